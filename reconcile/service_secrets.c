#include "reconcile/service_secrets.h"
#include "reconcile/secrets/sops.h"

static bool read_values(const struct service_secrets *source, const struct buf *text,
	struct arena *arena, const struct node **node_out, struct error *err)
{
	const char *path = source->policy->secrets_service;
	if (source->keyring)
		return sops_decrypt_yaml(
			path, text->text, text->len, source->keyring, arena, node_out, NULL, err);
	return sops_peek_yaml(path, text->text, text->len, arena, node_out, err);
}

bool service_secrets_load(const struct service_secrets *source, struct arena *arena,
	const struct node **node_out, struct error *err)
{
	auto_buf struct buf text = BUF_INIT_SECRET(TREE_FILE_MAX);
	const char *path = source->policy->secrets_service;
	const struct node *node = NULL;
	*node_out = NULL;
	if (!tree_read(source->tree, path, &text, NULL, err))
		return err->code == ERR_NOT_FOUND; /* optional until something uses it */
	if (!read_values(source, &text, arena, &node, err))
		return error_at(err, path, 0);
	if (node->kind == NODE_NULL)
		return true;
	if (node->kind != NODE_MAP) {
		(void)error_set(err, ERR_INVALID, "a file of secrets must be a map");
		return error_at(err, path, 0);
	}
	*node_out = node;
	return true;
}

static bool can_be_variable(const struct node_entry *entry)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
	const char *name = entry->key;
	const struct node *value = entry->value;
	bool is_name = *name && !(*name >= '0' && *name <= '9') && !name[strspn(name, letters)];
	return is_name && value->text && value->kind != NODE_NULL && value->kind != NODE_MAP &&
	       value->kind != NODE_LIST;
}

const char **service_secrets_environment(const struct node *secrets, struct arena *arena)
{
	size_t count = 0, all = secrets ? secrets->count : 0;
	const char **environment = arena_array(arena, all + 1, sizeof(*environment));
	for (size_t i = 0; i < all; i++) {
		const struct node_entry *entry = &secrets->map[i];
		if (can_be_variable(entry))
			environment[count++] =
				arena_printf(arena, "%s=%s", entry->key, entry->value->text);
	}
	return environment;
}

static bool is_reserved(const char *name)
{
	static const char *const whole[] = {"PATH", "HOME", "LANG", "IFS", "ENV", "BASH_ENV",
		"SHELLOPTS", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME"};
	static const char *const starts[] = {"AVIARY_", "LD_", "ANSIBLE_", "GIT_", "SOPS_AGE_"};
	for (size_t i = 0; i < ARRAY_LEN(whole); i++)
		if (!strcmp(name, whole[i]))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(starts); i++)
		if (!strncmp(name, starts[i], strlen(starts[i])))
			return true;
	return false;
}

void service_secrets_check(const struct node *secrets, struct problems *problems)
{
	for (size_t i = 0; secrets && i < secrets->count; i++) {
		const struct node_entry *entry = &secrets->map[i];
		if (is_reserved(entry->key))
			problems_add(problems, entry->value->file, entry->value->line,
				"give it another name",
				"'%s' of secrets.service would change how programs of steps run",
				entry->key);
	}
}
