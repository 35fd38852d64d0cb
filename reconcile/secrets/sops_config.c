#include "reconcile/secrets/sops_config.h"
#include "base/fs.h"
#include "reconcile/secrets/age.h"
#include <unistd.h>

#define CONFIG_MAX ((size_t)1 << 20)
#define LEVELS_MAX 100 /* of folders, as in sops */

struct sops_config {
	struct arena *arena;
	const char *folder; /* of the file, with a / at its end; "" for the working folder */
	const struct node *root;
};

/* Keys that are not age's: nothing can be encrypted for them here. */
static const char *const foreign[] = {"pgp", "kms", "gcp_kms", "azure_keyvault", "azure_kv",
	"hc_vault_transit_uri", "hc_vault", "vault", "hckms"};

void sops_creation_clear(struct sops_creation *creation)
{
	for (size_t i = 0; i < creation->group_count; i++)
		strlist_clear(&creation->groups[i]);
	free(creation->groups);
	free(creation->rule_text);
	*creation = (struct sops_creation){0};
}

struct strlist *sops_creation_add_group(struct sops_creation *creation)
{
	creation->groups =
		mem_resize(creation->groups, creation->group_count + 1, sizeof(*creation->groups));
	struct strlist *group = &creation->groups[creation->group_count++];
	*group = (struct strlist)STRLIST_INIT;
	return group;
}

bool sops_recipients_split(const char *text, struct strlist *out, struct error *err)
{
	while (*text) {
		size_t len = strcspn(text, ","), end = len;
		const char *start = text;
		text += len + (text[len] == ',');
		while (end && strchr(" \t\r\n", *start)) {
			start++;
			end--;
		}
		while (end && strchr(" \t\r\n", start[end - 1]))
			end--;
		if (!end)
			continue;
		auto_free char *recipient = mem_dup(start, end);
		if (!age_recipient_check(recipient, err))
			return false;
		strlist_add(out, recipient);
	}
	return true;
}

bool sops_creation_add_text(struct sops_creation *creation, const char *text, struct error *err)
{
	return sops_recipients_split(text, sops_creation_add_group(creation), err);
}

void sops_config_free(struct sops_config *config)
{
	if (!config)
		return;
	arena_free(config->arena);
	free(config);
}

bool sops_config_parse(const char *path, const char *bytes, size_t len,
	struct sops_config **config_out, struct error *err)
{
	auto_sops_config struct sops_config *config = mem_zero(1, sizeof(*config));
	const struct node_options options = {.rules = NODE_SOPS, .max_bytes = CONFIG_MAX};
	const char *slash = strrchr(path, '/');
	config->arena = arena_new(ARENA_PLAIN, 0);
	config->folder = arena_dup(config->arena, path, slash ? (size_t)(slash + 1 - path) : 0);
	if (!node_parse_yaml(config->arena, path, bytes, len, &options, &config->root, err))
		return false;
	if (config->root->kind != NODE_MAP && config->root->kind != NODE_NULL)
		return node_error(err, config->root, "the file is no map");
	*config_out = STEAL(config);
	return true;
}

bool sops_config_load(const char *path, struct sops_config **config_out, struct error *err)
{
	auto_buf struct buf text = BUF_INIT(CONFIG_MAX);
	return fs_read(path, CONFIG_MAX, &text, err) &&
	       sops_config_parse(path, text.text, text.len, config_out, err);
}

char *sops_config_find(const char *folder, const char *top)
{
	auto_free char *at = realpath(folder, NULL);
	auto_free char *last = top ? realpath(top, NULL) : NULL;
	for (int level = 0; at && level < LEVELS_MAX; level++) {
		char *path = mem_printf("%s/" SOPS_CONFIG_NAME, strcmp(at, "/") ? at : "");
		if (access(path, F_OK) == 0)
			return path;
		free(path);
		char *slash = strrchr(at, '/');
		if (!slash || !at[1] || (last && strcmp(at, last) == 0))
			break;
		slash[slash == at] = '\0';
	}
	return NULL;
}

/* ---- one rule ---- */

static bool rule_matches(
	const struct node *rule, const char *path, bool *matches_out, struct error *err)
{
	const struct node *text = node_get(rule, "path_regex");
	regex_t regex;
	*matches_out = true;
	if (!text || text->kind == NODE_NULL || !text->len)
		return true;
	if (text->kind != NODE_STRING)
		return node_error(err, text, "'path_regex' is no text");
	if (!sops_regex_compile(text->text, &regex, err)) {
		error_wrap(err, "'path_regex'");
		return error_at(err, text->file, text->line);
	}
	*matches_out = sops_regex_matches(&regex, path, strlen(path));
	regfree(&regex);
	return true;
}

static bool refuse_foreign(const struct node *map, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
		const struct node *keys = node_get(map, foreign[i]);
		if (keys && keys->kind != NODE_NULL && (keys->count || keys->len)) {
			error_set(err, ERR_REFUSED,
				"rule asks for keys of the kind '%s', for which nothing can be "
				"encrypted here",
				foreign[i]);
			return error_at(err, keys->file, keys->line);
		}
	}
	return true;
}

/* A text with commas, or a list of such. */
static bool add_recipients(const struct node *age, struct strlist *out, struct error *err)
{
	if (!age || age->kind == NODE_NULL)
		return true;
	if (age->kind == NODE_STRING)
		return sops_recipients_split(age->text, out, err) ||
		       error_at(err, age->file, age->line);
	if (age->kind != NODE_LIST)
		return node_error(err, age, "'age' is neither a text nor a list");
	for (size_t i = 0; i < age->count; i++) {
		const struct node *item = age->items[i];
		if (item->kind != NODE_STRING)
			return node_error(err, item, "entry of 'age' is no text");
		if (!sops_recipients_split(item->text, out, err))
			return error_at(err, item->file, item->line);
	}
	return true;
}

/* The groups that it merges come first. */
static bool add_group(
	const struct node *group, struct strlist *out, unsigned depth, struct error *err)
{
	const struct node *merge = node_get(group, "merge");
	if (group->kind != NODE_MAP || depth > NODE_MAX_DEPTH)
		return node_error(err, group, "entry of 'key_groups' is no map");
	if (!refuse_foreign(group, err))
		return false;
	for (size_t i = 0; merge && merge->kind == NODE_LIST && i < merge->count; i++) {
		if (!add_group(merge->items[i], out, depth + 1, err))
			return false;
	}
	return add_recipients(node_get(group, "age"), out, err);
}

static bool read_key_groups(
	const struct node *groups, struct sops_creation *creation, struct error *err)
{
	if (groups->kind != NODE_LIST)
		return node_error(err, groups, "'key_groups' is no list");
	if (groups->count > SOPS_MAX_GROUPS)
		return node_error(err, groups, "'key_groups' has more than the limit of %d groups",
			SOPS_MAX_GROUPS);
	for (size_t i = 0; i < groups->count; i++) {
		auto_strlist struct strlist all = STRLIST_INIT;
		struct strlist *group = sops_creation_add_group(creation);
		if (!add_group(groups->items[i], &all, 0, err))
			return false;
		for (size_t k = 0; k < all.count; k++) {
			if (!strlist_has(group, all.items[k]))
				strlist_add(group, all.items[k]);
		}
		if (!group->count)
			return node_error(err, groups->items[i], "key group has no recipient");
	}
	return true;
}

static bool read_keys(const struct node *rule, struct sops_creation *creation, struct error *err)
{
	const struct node *groups = node_get(rule, "key_groups");
	if (groups && groups->count)
		return read_key_groups(groups, creation, err);
	if (!refuse_foreign(rule, err) ||
		!add_recipients(node_get(rule, "age"), sops_creation_add_group(creation), err))
		return false;
	return creation->groups[0].count || node_error(err, rule, "rule names no recipient");
}

static bool read_threshold(
	const struct node *rule, struct sops_creation *creation, struct error *err)
{
	const struct node *node = node_get(rule, "shamir_threshold");
	if (!node || node->kind == NODE_NULL)
		return true;
	if (node->kind != NODE_INT || node->integer < 0 || node->integer > SOPS_MAX_GROUPS)
		return node_error(
			err, node, "'shamir_threshold' is no number from 0 to %d", SOPS_MAX_GROUPS);
	creation->shamir_threshold = (unsigned)node->integer;
	return true;
}

/* The rule for values is read, and compiled, as in a file's metadata. */
static bool read_encryption(
	const struct node *rule, struct sops_creation *creation, struct error *err)
{
	struct sops_rules rules;
	const struct node *mac_only = node_get(rule, "mac_only_encrypted");
	bool ok = sops_rules_read(rule, &rules, err);
	if (ok) {
		creation->rule = rules.rule;
		creation->rule_text = mem_dup_str(rules.text);
		creation->mac_only_encrypted =
			mac_only && mac_only->kind == NODE_BOOL && mac_only->boolean;
	}
	sops_rules_clear(&rules);
	return ok;
}

static bool read_rule(
	const struct node *rule, struct sops_creation *creation_out, struct error *err)
{
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	if (!read_keys(rule, &creation, err) || !read_threshold(rule, &creation, err) ||
		!read_encryption(rule, &creation, err))
		return false;
	*creation_out = creation;
	creation = (struct sops_creation)SOPS_CREATION_INIT;
	return true;
}

bool sops_config_rule(const struct sops_config *config, const char *path,
	struct sops_creation *creation_out, struct error *err)
{
	const struct node *rules = node_get(config->root, "creation_rules");
	size_t folder = strlen(config->folder);
	const char *inside = strncmp(path, config->folder, folder) == 0 ? path + folder : path;
	for (size_t i = 0; rules && rules->kind == NODE_LIST && i < rules->count; i++) {
		bool matches;
		if (rules->items[i]->kind != NODE_MAP)
			return node_error(
				err, rules->items[i], "entry of 'creation_rules' is no map");
		if (!rule_matches(rules->items[i], inside, &matches, err))
			return false;
		if (matches)
			return read_rule(rules->items[i], creation_out, err) ||
			       error_at(err, rules->items[i]->file, rules->items[i]->line);
	}
	error_set(err, ERR_NOT_FOUND, "no creation rule matches '%s'", inside);
	return error_at(err, config->root->file, 0);
}

/* Blanks per level; SOPS_INDENT_NONE for zero where @p none says so. */
static unsigned indent_of(const struct sops_config *config, const char *path, bool none)
{
	const struct node *node = node_path(config->root, path);
	if (!node || node->kind != NODE_INT || node->integer < 0 || node->integer > SOPS_INDENT_MAX)
		return 0;
	return node->integer || !none ? (unsigned)node->integer : SOPS_INDENT_NONE;
}

struct sops_layout sops_config_layout(const struct sops_config *config)
{
	return (struct sops_layout){
		.yaml_indent = indent_of(config, "stores.yaml.indent", false),
		.json_indent = indent_of(config, "stores.json.indent", true),
		.binary_indent = indent_of(config, "stores.json_binary.indent", true),
	};
}
