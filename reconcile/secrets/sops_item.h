/* reconcile/secrets/sops_item.h - documents of a SOPS file as they are changed and written
 *
 * Unlike nodes (base/node.h) items can be changed, keep duplicate keys, and know the comments
 * that stand between them. They live in an arena and belong to one tree only.
 */
#pragma once
#include "base/node.h"

enum sops_item_kind { SOPS_ITEM_SCALAR, SOPS_ITEM_COMMENT, SOPS_ITEM_MAP, SOPS_ITEM_LIST };

struct sops_item {
	enum sops_item_kind kind;
	bool beside;                 /* a comment on the line of the scalar that follows it */
	const char *key;             /* of what stands in a map; NULL for comments and in lists */
	size_t key_len;              /* keys may hold NUL */
	const struct node *key_node; /* place of the key, or NULL */
	const struct node *value;    /* scalar: its value; comment: its text, a string without the
				      * mark; map and list: their place */
	const char *enc;             /* decrypted: the ENC[...] text that it had; else NULL */
	size_t enc_len;
	struct sops_item **items; /* map and list, comments among them */
	size_t count, capacity;
};

/** A new item; @p value may be NULL for a map or list that stands nowhere. */
struct sops_item *sops_item_new(
	struct arena *arena, enum sops_item_kind kind, const struct node *value);
/** A comment of this text. */
struct sops_item *sops_item_comment(
	struct arena *arena, const struct node *place, const char *text, size_t len);
/** Give an item a key; copies it. */
void sops_item_name(struct arena *arena, struct sops_item *item, const char *key, size_t len);
/** Add an item at the end of a map or list. */
void sops_item_add(struct arena *arena, struct sops_item *parent, struct sops_item *item);
/** Take the item at an index out of a map or list. */
void sops_item_remove(struct sops_item *parent, size_t index);
/** The first value of a key, or NULL. @p index_out may be NULL. */
struct sops_item *sops_item_get(
	const struct sops_item *map, const char *key, size_t len, size_t *index_out);
/** Is there anything but comments in a map or list? */
bool sops_item_has_values(const struct sops_item *container);
/** Same values, keys, order and comments? The ENC texts and places do not count. */
bool sops_item_equal(const struct sops_item *a, const struct sops_item *b);

/** The same as values, in order? Numbers of one value are, whatever their kind; comments do not
 *  count. What was written is compared with what it was written from. */
bool sops_item_same_values(const struct sops_item *a, const struct sops_item *b);

/** An item of a scalar or of an empty container. */
struct sops_item *sops_item_of_scalar(struct arena *arena, const struct node *node);
/** The items of a tree whose keys are known to be text. */
struct sops_item *sops_item_of_node(struct arena *arena, const struct node *node);
/** The values as nodes; comments are left out, of a key that comes twice the last is kept. */
const struct node *sops_item_to_node(struct arena *arena, const struct sops_item *item);
