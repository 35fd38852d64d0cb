#include "reconcile/secrets/sops_tree.h"
#include "base/buf.h"
#include "reconcile/secrets/secret.h"

#define PATH_MAX_LEN (1 << 20) /* of the additional data: NODE_MAX_DEPTH long keys */

struct walker {
	const struct sops_tree *tree;
	enum sops_walk walk;
	struct sops_mac *mac;
	struct buf path;         /* the keys, a colon behind each */
	struct sops_plain plain; /* of the value at hand; wiped */
	struct error *err;
	bool bad_key; /* the failure is one of format */
};

static bool walk_node(
	struct walker *walker, const struct node *node, bool hit, const struct node **node_out);

/* "'a.b' in x.yaml:3": keys may hold anything, so they are cleaned and cut. */
static bool fail_at(struct walker *walker, const struct node *node)
{
	auto_buf struct buf path = BUF_INIT(400);
	size_t len = walker->path.len ? walker->path.len - 1 : 0;
	buf_add_clean(&path, walker->path.text, len < 200 ? len : 200);
	for (size_t i = 0; i < path.len; i++)
		path.text[i] = path.text[i] == ':' ? '.' : path.text[i];
	error_wrap(walker->err, "'%s'", path.text);
	return error_at(walker->err, node->file, node->line);
}

static struct sops_aad aad_of(const struct walker *walker)
{
	return (struct sops_aad){walker->path.text, walker->path.len};
}

static void hash_plain(struct walker *walker, bool encrypted)
{
	if (walker->mac && (encrypted || !walker->tree->mac_only_encrypted))
		sops_mac_add(walker->mac, walker->plain.text.text, walker->plain.text.len);
}

static bool decrypt_scalar(
	struct walker *walker, const struct node *node, const struct node **node_out)
{
	struct arena *arena = walker->tree->arena;
	*node_out = node;
	if (node->kind != NODE_STRING)
		return error_set(walker->err, ERR_INVALID, "value is not encrypted (it is a %s)",
			node_kind_name(node->kind));
	if (!node->len)
		return true;
	if (!sops_value_decrypt(
		    walker->tree->cipher, node, aad_of(walker), &walker->plain, walker->err) ||
		!sops_value_node(arena, node, &walker->plain, node_out, walker->err))
		return false;
	if (!*node_out)
		return true; /* a comment */
	if (walker->tree->mask)
		secret_mask_add((*node_out)->text, (*node_out)->len);
	buf_truncate(
		&walker->plain.text, 0); /* the value counts, not the text that was decrypted */
	if (!sops_value_mac_text(*node_out, &walker->plain.text, walker->err))
		return false;
	hash_plain(walker, true);
	return true;
}

/* sops refuses integers from 2^63 on, so what we write must not have them. */
static bool check_writable(struct walker *walker, const struct node *node)
{
	return !node->integral || error_set(walker->err, ERR_INVALID,
					  "integer does not fit 64 bits: put it in quotes");
}

static bool encrypt_scalar(
	struct walker *walker, const struct node *node, const struct node **node_out)
{
	struct arena *arena = walker->tree->arena;
	if (!sops_value_mac_text(node, &walker->plain.text, walker->err))
		return false;
	hash_plain(walker, true);
	if (!walker->plain.text.len) {
		*node_out = node;
		return true;
	}
	auto_buf struct buf enc = BUF_INIT(walker->plain.text.len * 2 + 512);
	walker->plain.type = sops_type_of(node->kind);
	sops_value_encrypt(walker->tree->cipher, &walker->plain, aad_of(walker), &enc);
	*node_out = node_new_string(arena, enc.text, enc.len);
	return true;
}

static bool check_scalar(struct walker *walker, const struct node *node)
{
	if (node->kind == NODE_STRING &&
		(!node->len || sops_value_is_encrypted(node->text, node->len)))
		return true;
	return error_set(walker->err, ERR_REFUSED, "value is not encrypted");
}

static bool walk_encrypted(
	struct walker *walker, const struct node *node, const struct node **node_out)
{
	switch (walker->walk) {
	case SOPS_WALK_DECRYPT:
		return decrypt_scalar(walker, node, node_out);
	case SOPS_WALK_ENCRYPT:
		return encrypt_scalar(walker, node, node_out);
	case SOPS_WALK_CHECK:
		return check_scalar(walker, node);
	}
	return false;
}

static bool walk_scalar(
	struct walker *walker, const struct node *node, bool hit, const struct node **node_out)
{
	bool ok;
	*node_out = node;
	buf_truncate(&walker->plain.text, 0);
	if (walker->walk == SOPS_WALK_ENCRYPT && !check_writable(walker, node))
		return fail_at(walker, node);
	if (sops_rules_encrypt(walker->tree->rules, hit)) {
		ok = walk_encrypted(walker, node, node_out);
	} else {
		ok = !walker->mac || sops_value_mac_text(node, &walker->plain.text, walker->err);
		if (ok)
			hash_plain(walker, false);
	}
	return ok || fail_at(walker, node);
}

static bool key_is_text(const struct node_entry *entry)
{
	const struct node *key = entry->key_node;
	return !key || key->kind == NODE_STRING || strcmp(entry->key, "<<") == 0;
}

static bool walk_entry(struct walker *walker, struct node_entry *entry, bool hit)
{
	size_t before = walker->path.len;
	buf_add(&walker->path, entry->key, entry->key_len);
	buf_add_char(&walker->path, ':');
	if (!key_is_text(entry)) {
		walker->bad_key = true;
		error_set(walker->err, ERR_INVALID, "key is no text: put it in quotes");
		return fail_at(walker, entry->key_node);
	}
	hit = hit || sops_rules_hit(walker->tree->rules, entry->key, entry->key_len) ||
	      sops_comments_hit(walker->tree->comments, entry->key_node, false);
	if (!walk_node(walker, entry->value, hit, &entry->value))
		return false;
	buf_truncate(&walker->path, before);
	return true;
}

static bool walk_map(
	struct walker *walker, const struct node *map, bool hit, const struct node **node_out)
{
	auto_free struct node_entry *entries = mem_alloc(map->count * sizeof(*entries));
	for (size_t i = 0; i < map->count; i++) {
		entries[i] = map->map[i];
		if (!walk_entry(walker, &entries[i], hit))
			return false;
	}
	*node_out = node_new_map(walker->tree->arena, entries, map->count, map);
	return true;
}

/* A list element that decrypts to a comment is one: it takes no place. */
static bool walk_list(
	struct walker *walker, const struct node *list, bool hit, const struct node **node_out)
{
	struct arena *arena = walker->tree->arena;
	struct node *result = node_new(arena, NODE_LIST, list);
	const struct node **items = arena_array(arena, list->count, sizeof(struct node *));
	size_t count = 0;
	bool run = false; /* a hit stands before encrypted comments, and they before an item */
	for (size_t i = 0; i < list->count; i++) {
		run = run || sops_comments_hit(walker->tree->comments, list->items[i], true);
		if (!walk_node(walker, list->items[i], hit || run, &items[count]))
			return false;
		run = run && !items[count];
		count += items[count] != NULL;
	}
	result->items = items;
	result->count = count;
	*node_out = result;
	return true;
}

static bool walk_node(
	struct walker *walker, const struct node *node, bool hit, const struct node **node_out)
{
	switch (node->kind) {
	case NODE_MAP:
		return walk_map(walker, node, hit, node_out);
	case NODE_LIST:
		return walk_list(walker, node, hit, node_out);
	case NODE_NULL:
		*node_out = node;
		return true;
	default:
		return walk_scalar(walker, node, hit, node_out);
	}
}

/* A document: a map, or nothing at all, which counts as an empty one. */
static bool walk_document(
	struct walker *walker, const struct node *document, const struct node **node_out)
{
	if (document->kind == NODE_NULL) {
		*node_out = node_new_map(walker->tree->arena, NULL, 0, document);
		return true;
	}
	if (document->kind != NODE_MAP) {
		walker->bad_key = true;
		return node_error(walker->err, document, "document is no map but a %s",
			node_kind_name(document->kind));
	}
	return walk_map(walker, document, false, node_out);
}

const struct node *sops_tree_without_metadata(struct arena *arena, const struct node *document)
{
	size_t count = 0;
	if (!node_get(document, "sops"))
		return document;
	auto_free struct node_entry *entries = mem_alloc(document->count * sizeof(*entries));
	for (size_t i = 0; i < document->count; i++) {
		if (strcmp(document->map[i].key, "sops") != 0)
			entries[count++] = document->map[i];
	}
	return node_new_map(arena, entries, count, document);
}

static bool walk_documents(
	struct walker *walker, const struct node *documents, const struct node **documents_out)
{
	struct arena *arena = walker->tree->arena;
	struct node *list = node_new(arena, NODE_LIST, documents);
	const struct node **items = arena_array(arena, documents->count, sizeof(struct node *));
	for (size_t i = 0; i < documents->count; i++) {
		const struct node *document =
			sops_tree_without_metadata(arena, documents->items[i]);
		if (!walk_document(walker, document, &items[i]))
			return false;
	}
	list->items = items;
	list->count = documents->count;
	*documents_out = list;
	return true;
}

bool sops_tree_walk(const struct sops_tree *tree, enum sops_walk walk, const struct node *documents,
	struct sops_walked *walked_out, struct error *err)
{
	auto_sops_mac struct sops_mac *mac =
		walk == SOPS_WALK_CHECK ? NULL : sops_mac_new(tree->mac_only_encrypted);
	struct walker walker = {
		.tree = tree,
		.walk = walk,
		.mac = mac,
		.path = BUF_INIT(PATH_MAX_LEN),
		.plain = {.text = BUF_INIT_SECRET((size_t)16 << 20)},
		.err = err,
	};
	*walked_out = (struct sops_walked){.mac = ""};
	bool ok = walk_documents(&walker, documents, &walked_out->documents);
	if (!ok)
		walked_out->failure = walker.bad_key ? SOPS_FORMAT : SOPS_VALUE;
	else if (mac)
		sops_mac_end(mac, walked_out->mac);
	buf_clear(&walker.path);
	buf_clear(&walker.plain.text);
	return ok;
}
