/* A new SOPS YAML file from values that are in memory already (specs/sops-age.md 3.1) */
#include "reconcile/secrets/sops_comments.h"
#include "reconcile/secrets/sops_file.h"
#include "reconcile/secrets/sops_formats.h"

#define PLAIN_MAX ((size_t)16 << 20)

static bool encrypt_plain(const struct buf *plain, const struct strlist *recipients,
	struct buf *out, struct error *err)
{
	const struct sops_source source = {SOPS_YAML, "values", plain->text, plain->len};
	const struct sops_printing printing = {.format = SOPS_YAML};
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	auto_sops_file struct sops_file *file = NULL;
	enum sops_failure failure;
	strlist_copy(sops_creation_add_group(&creation), recipients);
	return sops_file_new(&source, &creation, &file, &failure, err) &&
	       sops_file_write(file, &printing, out, err);
}

bool sops_encrypt_yaml(const struct node *plain, const struct strlist *recipients, struct buf *out,
	struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_buf struct buf text = BUF_INIT_SECRET(PLAIN_MAX);
	struct sops_item *document;
	if (plain->kind != NODE_MAP)
		return node_error(err, plain, "only a map can be encrypted, this is a %s",
			node_kind_name(plain->kind));
	if (node_get(plain, "sops"))
		return node_error(err, plain, "the key 'sops' is taken by SOPS itself");
	if (!recipients->count)
		return error_set(err, ERR_INVALID, "no recipient to encrypt for");
	if (!sops_comments_merge(arena, NULL, plain, 0, &document, err))
		return false;
	sops_yaml_write(document, 0, &text);
	if (buf_overflowed(&text))
		return node_error(err, plain, "values are larger than the limit of 16 MiB");
	return encrypt_plain(&text, recipients, out, err);
}
