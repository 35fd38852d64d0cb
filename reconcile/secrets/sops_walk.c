#include "reconcile/secrets/sops_walk.h"
#include "base/buf.h"
#include "reconcile/secrets/secret.h"

#define PATH_MAX_LEN (1 << 20) /* of the additional data: NODE_MAX_DEPTH long keys */

struct walker {
	const struct sops_walk *walk;
	struct sops_mac *mac;
	struct buf path;         /* the keys, a colon behind each */
	struct sops_plain plain; /* of the value at hand; wiped */
	struct error *err;
};

/* What decides whether an item is encrypted, beside its own key. */
struct scope {
	bool key;      /* a key of the path is named by the rule */
	bool comments; /* a comment before the item or its containers matches */
};

static bool walk_item(struct walker *walker, struct sops_item *item, struct scope scope);

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

/* Comments of the top level have the path ":". */
static struct sops_aad aad_of(const struct walker *walker)
{
	if (!walker->path.len)
		return (struct sops_aad){":", 1};
	return (struct sops_aad){walker->path.text, walker->path.len};
}

static void hash_plain(struct walker *walker, bool encrypted)
{
	if (walker->mac && (encrypted || !walker->walk->mac_only_encrypted))
		sops_mac_add(walker->mac, walker->plain.text.text, walker->plain.text.len);
}

static bool decrypt_scalar(struct walker *walker, struct sops_item *item)
{
	const struct node *node = item->value, *value;
	if (node->kind != NODE_STRING)
		return error_set(walker->err, ERR_INVALID, "value is not encrypted (it is a %s)",
			node_kind_name(node->kind));
	if (!node->len)
		return true;
	if (!sops_value_decrypt(
		    walker->walk->cipher, node, aad_of(walker), &walker->plain, walker->err) ||
		!sops_value_node(walker->walk->arena, node, &walker->plain, &value, walker->err))
		return false;
	item->enc = node->text;
	item->enc_len = node->len;
	if (!value && item->key)
		return error_set(walker->err, ERR_INVALID, "value has the type of a comment");
	if (!value) { /* a comment that stands as an element of a list */
		struct sops_item *comment = sops_item_comment(
			walker->walk->arena, node, walker->plain.text.text, walker->plain.text.len);
		item->kind = SOPS_ITEM_COMMENT;
		item->value = comment->value;
		return true;
	}
	item->value = value;
	if (walker->walk->mask)
		secret_mask_add(value->text, value->len);
	/* the value counts, not the text that was decrypted */
	buf_truncate(&walker->plain.text, 0);
	if (!sops_value_mac_text(value, &walker->plain.text, walker->err))
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

/* Puts the ENC[...] text of walker->plain in place of the value; what an item had is kept. */
static void seal(struct walker *walker, struct sops_item *item)
{
	struct arena *arena = walker->walk->arena;
	if (!item->enc) {
		auto_buf struct buf enc = BUF_INIT(walker->plain.text.len * 2 + 512);
		sops_value_encrypt(walker->walk->cipher, &walker->plain, aad_of(walker), &enc);
		item->enc = arena_dup(arena, enc.text, enc.len);
		item->enc_len = enc.len;
	}
	struct node *value = node_new(arena, NODE_STRING, item->value);
	value->text = item->enc;
	value->len = item->enc_len;
	item->value = value;
}

static bool encrypt_scalar(struct walker *walker, struct sops_item *item)
{
	if (!sops_value_mac_text(item->value, &walker->plain.text, walker->err))
		return false;
	hash_plain(walker, true);
	walker->plain.type = sops_type_of(item->value->kind);
	if (walker->plain.text.len)
		seal(walker, item);
	return true;
}

static bool check_scalar(struct walker *walker, const struct node *node)
{
	if (node->kind == NODE_STRING &&
		(!node->len || sops_value_is_encrypted(node->text, node->len)))
		return true;
	return error_set(walker->err, ERR_REFUSED, "value is not encrypted");
}

static bool walk_encrypted(struct walker *walker, struct sops_item *item)
{
	switch (walker->walk->kind) {
	case SOPS_WALK_DECRYPT:
		return decrypt_scalar(walker, item);
	case SOPS_WALK_ENCRYPT:
		return encrypt_scalar(walker, item);
	case SOPS_WALK_CHECK:
		return check_scalar(walker, item->value);
	case SOPS_WALK_VISIT:
		walker->walk->visit(walker->walk->data, item, aad_of(walker));
		return true;
	}
	return false;
}

static bool hit(const struct walker *walker, struct scope scope)
{
	return sops_rules_on_comments(walker->walk->rules) ? scope.comments : scope.key;
}

static bool walk_scalar(struct walker *walker, struct sops_item *item, struct scope scope)
{
	bool ok;
	const struct node *node = item->value;
	if (node->kind == NODE_NULL)
		return true;
	buf_truncate(&walker->plain.text, 0);
	if (walker->walk->kind == SOPS_WALK_ENCRYPT && !check_writable(walker, node))
		return fail_at(walker, node);
	if (sops_rules_encrypt(walker->walk->rules, hit(walker, scope))) {
		ok = walk_encrypted(walker, item);
	} else {
		ok = !walker->mac || sops_value_mac_text(node, &walker->plain.text, walker->err);
		if (ok)
			hash_plain(walker, false);
	}
	return ok || fail_at(walker, node);
}

/* A comment that does not decrypt was not encrypted: old files have such. */
static void decrypt_comment(struct walker *walker, struct sops_item *item)
{
	const struct node *text = item->value;
	struct error ignored;
	if (!sops_value_decrypt(
		    walker->walk->cipher, text, aad_of(walker), &walker->plain, &ignored) ||
		walker->plain.type != SOPS_COMMENT)
		return;
	item->enc = text->text;
	item->enc_len = text->len;
	item->beside = false; /* sops prints what was beside a value above it */
	item->value = sops_item_comment(
		walker->walk->arena, text, walker->plain.text.text, walker->plain.text.len)
			      ->value;
}

static bool comment_matches(const struct walker *walker, const struct node *text)
{
	return sops_rules_match_comment(walker->walk->rules, text->text, text->len);
}

/* An encrypted comment becomes an element of a list, but a comment everywhere else. */
static bool encrypt_comment(struct walker *walker, struct sops_item *item, bool in_list)
{
	const struct sops_rules *rules = walker->walk->rules;
	buf_add(&walker->plain.text, item->value->text, item->value->len);
	walker->plain.type = SOPS_COMMENT;
	if (!walker->plain.text.len)
		return true;
	seal(walker, item);
	if (rules->rule == SOPS_UNENCRYPTED_COMMENT_REGEX && comment_matches(walker, item->value))
		return error_set(walker->err, ERR_INVALID,
			"'unencrypted_comment_regex' matches an encrypted comment");
	if (in_list)
		item->kind = SOPS_ITEM_SCALAR;
	return true;
}

/* Under encrypted_comment_regex the comment that matches stays plain itself, the next ones do not;
 * under unencrypted_comment_regex it stays plain too. */
static bool walk_comment(
	struct walker *walker, struct sops_item *item, struct scope *scope, bool in_list)
{
	const struct sops_walk *walk = walker->walk;
	bool on_comments = sops_rules_on_comments(walk->rules);
	bool matches = on_comments && comment_matches(walker, item->value);
	struct scope own = *scope;
	bool ok = true;
	if (walk->rules->rule == SOPS_UNENCRYPTED_COMMENT_REGEX)
		own.comments |= matches;
	scope->comments |= matches;
	buf_truncate(&walker->plain.text, 0);
	if (!sops_rules_encrypt(walk->rules, hit(walker, own)))
		return true;
	if (walk->kind == SOPS_WALK_DECRYPT)
		decrypt_comment(walker, item);
	else if (walk->kind == SOPS_WALK_ENCRYPT)
		ok = encrypt_comment(walker, item, in_list);
	else if (walk->kind == SOPS_WALK_VISIT)
		walk->visit(walk->data, item, aad_of(walker));
	return ok || fail_at(walker, item->value);
}

static bool walk_entry(struct walker *walker, struct sops_item *item, struct scope scope)
{
	size_t before = walker->path.len;
	buf_add(&walker->path, item->key, item->key_len);
	buf_add_char(&walker->path, ':');
	scope.key = scope.key || sops_rules_hit(walker->walk->rules, item->key, item->key_len);
	if (!walk_item(walker, item, scope))
		return false;
	buf_truncate(&walker->path, before);
	return true;
}

/* Comments count for the item that follows them, those above for all that is inside. */
static bool walk_container(struct walker *walker, struct sops_item *container, struct scope outer)
{
	bool in_list = container->kind == SOPS_ITEM_LIST, ok = true;
	struct scope scope = outer;
	for (size_t i = 0; ok && i < container->count; i++) {
		struct sops_item *item = container->items[i];
		if (item->kind == SOPS_ITEM_COMMENT) {
			ok = walk_comment(walker, item, &scope, in_list);
			continue;
		}
		ok = item->key ? walk_entry(walker, item, scope) : walk_item(walker, item, scope);
		if (item->kind != SOPS_ITEM_COMMENT) /* it has turned out to be one */
			scope = outer;
	}
	return ok;
}

static bool walk_item(struct walker *walker, struct sops_item *item, struct scope scope)
{
	return item->kind == SOPS_ITEM_SCALAR ? walk_scalar(walker, item, scope)
					      : walk_container(walker, item, scope);
}

bool sops_walk_documents(const struct sops_walk *walk, struct sops_item *documents,
	struct sops_walked *walked_out, struct error *err)
{
	bool hashes = walk->kind == SOPS_WALK_DECRYPT || walk->kind == SOPS_WALK_ENCRYPT;
	auto_sops_mac struct sops_mac *mac = hashes ? sops_mac_new(walk->mac_only_encrypted) : NULL;
	struct walker walker = {
		.walk = walk,
		.mac = mac,
		.path = BUF_INIT(PATH_MAX_LEN),
		.plain = {.text = BUF_INIT_SECRET((size_t)16 << 20)},
		.err = err,
	};
	*walked_out = (struct sops_walked){.mac = ""};
	bool ok = walk_container(&walker, documents, (struct scope){0});
	if (!ok)
		walked_out->failure = SOPS_VALUE;
	else if (mac)
		sops_mac_end(mac, walked_out->mac);
	buf_clear(&walker.path);
	buf_clear(&walker.plain.text);
	return ok;
}
