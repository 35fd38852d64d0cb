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
