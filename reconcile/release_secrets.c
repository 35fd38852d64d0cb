#include "base/buf.h"
#include "reconcile/release_parts.h"
#include "reconcile/secrets/sops.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define SECRET_DEPTH_MAX 64

/* A secret's value in the context: a node like any other, that says so by its tag. */
struct secret_leaf {
	struct node node;
	const char *name;
};

static const char leaf_tag[] = "secret";

const char *release_secret_name(const struct node *node)
{
	/* the address is the mark: no file can spell it */
	return node->tag == leaf_tag ? ((const struct secret_leaf *)node)->name : NULL;
}

static const struct node *wrap(
	struct arena *arena, const struct node *node, const char *name, int depth);

static const char *join(struct arena *arena, const char *prefix, const char *name)
{
	return *prefix ? arena_printf(arena, "%s.%s", prefix, name) : arena_str(arena, name);
}

static const struct node *wrap_list(
	struct arena *arena, const struct node *node, const char *name, int depth)
{
	struct node *list = node_new(arena, NODE_LIST, node);
	list->items = arena_array(arena, node->count + 1, sizeof(*list->items));
	for (size_t i = 0; i < node->count; i++) {
		char number[24];
		(void)snprintf(number, sizeof(number), "%zu", i); /* fits: 20 digits */
		list->items[i] = wrap(arena, node->items[i], join(arena, name, number), depth + 1);
	}
	list->count = node->count;
	return list;
}

static const struct node *wrap_map(
	struct arena *arena, const struct node *node, const char *name, int depth)
{
	struct node_entry *entries = arena_array(arena, node->count + 1, sizeof(*entries));
	for (size_t i = 0; i < node->count; i++) {
		const struct node_entry *entry = &node->map[i];
		entries[i] = *entry;
		entries[i].value =
			wrap(arena, entry->value, join(arena, name, entry->key), depth + 1);
	}
	return node_new_map(arena, entries, node->count, node);
}

static const struct node *wrap(
	struct arena *arena, const struct node *node, const char *name, int depth)
{
	if (node->kind == NODE_MAP && depth < SECRET_DEPTH_MAX)
		return wrap_map(arena, node, name, depth);
	if (node->kind == NODE_LIST && depth < SECRET_DEPTH_MAX)
		return wrap_list(arena, node, name, depth);
	struct secret_leaf *leaf = arena_alloc(arena, sizeof(*leaf));
	leaf->node = *node;
	leaf->node.tag = leaf_tag;
	leaf->name = name;
	return &leaf->node;
}

static bool read_values(struct release_builder *builder, const char *path, const struct buf *text,
	struct arena *arena, const struct node **node_out, struct error *err)
{
	if (builder->keyring)
		return sops_decrypt_yaml(
			path, text->text, text->len, builder->keyring, arena, node_out, NULL, err);
	return sops_peek_yaml(path, text->text, text->len, arena, node_out, err);
}

bool release_secrets_load(struct release_builder *builder, const char *path, struct arena *arena,
	const struct node **node_out, struct error *err)
{
	auto_buf struct buf text = BUF_INIT_SECRET(TREE_FILE_MAX);
	const struct node *node = NULL;

	if (!tree_read(builder->tree, path, &text, NULL, err))
		return err->code == ERR_NOT_FOUND; /* optional until something uses it */
	if (!read_values(builder, path, &text, arena, &node, err)) {
		if (!err->hint[0])
			error_hint(err, err->code == ERR_AUTH ? "encrypt it for a key that is here"
							      : "encrypt the file again");
		return error_at(err, path, 0);
	}
	if (node->kind != NODE_MAP && node->kind != NODE_NULL) {
		error_set(err, ERR_INVALID, "a file of secrets must be a map");
		return error_at(err, path, 0);
	}
	*node_out = node->kind == NODE_MAP ? wrap(arena, node, "", 0) : NULL;
	return true;
}

const struct node *release_secrets_merge(
	struct arena *arena, const struct node *shared, const struct node *client)
{
	size_t count = 0;
	if (!shared || !client)
		return shared ? shared : client;
	struct node_entry *entries =
		arena_array(arena, shared->count + client->count, sizeof(*entries));
	for (size_t i = 0; i < shared->count; i++) {
		const struct node *own = node_get(client, shared->map[i].key);
		const struct node *value = shared->map[i].value;
		entries[count] = shared->map[i];
		if (own && own->kind == NODE_MAP && value->kind == NODE_MAP)
			own = release_secrets_merge(arena, value, own);
		if (own)
			entries[count].value = own;
		count++;
	}
	for (size_t i = 0; i < client->count; i++)
		if (!node_get(shared, client->map[i].key))
			entries[count++] = client->map[i];
	return node_new_map(arena, entries, count, client);
}

const char *release_secret_mark(
	struct arena *arena, const struct digest_key *key, const struct node *leaf)
{
	static const char digits[] = "0123456789abcdef";
	const char *name = release_secret_name(leaf);
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int mac_len = 0;

	/* the kind's number is part of digests: see docs/release-digest.md */
	if (!key)
		return arena_printf(arena, "%d:%s", (int)leaf->kind, leaf->text ? leaf->text : "");
	auto_buf struct buf text = BUF_INIT_SECRET(2 * TREE_FILE_MAX);
	buf_add(&text, name, strlen(name) + 1); /* the NUL parts name and value */
	buf_addf(&text, "%d:", (int)leaf->kind);
	buf_add(&text, leaf->text ? leaf->text : "", leaf->text ? leaf->len : 0);
	if (!HMAC(EVP_sha256(), key->key, sizeof(key->key), (const unsigned char *)text.text,
		    text.len, mac, &mac_len))
		mem_abort(text.len); /* fails only for want of memory */
	char *hex = arena_alloc(arena, 2 * (size_t)mac_len + 1);
	for (unsigned int i = 0; i < mac_len; i++) {
		hex[2 * i] = digits[mac[i] >> 4];
		hex[2 * i + 1] = digits[mac[i] & 15];
	}
	return hex;
}
