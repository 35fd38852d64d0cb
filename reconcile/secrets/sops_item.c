#include "reconcile/secrets/sops_item.h"
#include "base/buf.h"
#include "base/strmap.h"
#include "reconcile/secrets/sops_value.h"
#include <sodium.h>

struct sops_item *sops_item_new(
	struct arena *arena, enum sops_item_kind kind, const struct node *value)
{
	struct sops_item *item = arena_alloc(arena, sizeof(*item));
	item->kind = kind;
	item->value = value ? value : node_new(arena, NODE_NULL, NULL);
	return item;
}

struct sops_item *sops_item_comment(
	struct arena *arena, const struct node *place, const char *text, size_t len)
{
	struct node *value = node_new(arena, NODE_STRING, place);
	value->text = arena_dup(arena, text, len);
	value->len = len;
	return sops_item_new(arena, SOPS_ITEM_COMMENT, value);
}

void sops_item_name(struct arena *arena, struct sops_item *item, const char *key, size_t len)
{
	item->key = arena_dup(arena, key, len);
	item->key_len = len;
}

void sops_item_add(struct arena *arena, struct sops_item *parent, struct sops_item *item)
{
	if (parent->count == parent->capacity) {
		size_t capacity = parent->capacity ? parent->capacity * 2 : 8;
		struct sops_item **items = arena_array(arena, capacity, sizeof(struct sops_item *));
		if (parent->count)
			memcpy(items, parent->items, parent->count * sizeof(struct sops_item *));
		parent->items = items;
		parent->capacity = capacity;
	}
	parent->items[parent->count++] = item;
}

void sops_item_remove(struct sops_item *parent, size_t index)
{
	memmove(parent->items + index, parent->items + index + 1,
		(parent->count - index - 1) * sizeof(struct sops_item *));
	parent->count--;
}

struct sops_item *sops_item_get(
	const struct sops_item *map, const char *key, size_t len, size_t *index_out)
{
	for (size_t i = 0; i < map->count; i++) {
		struct sops_item *item = map->items[i];
		if (!item->key || item->key_len != len || memcmp(item->key, key, len) != 0)
			continue;
		if (index_out)
			*index_out = i;
		return item;
	}
	return NULL;
}

bool sops_item_has_values(const struct sops_item *container)
{
	for (size_t i = 0; i < container->count; i++) {
		if (container->items[i]->kind != SOPS_ITEM_COMMENT)
			return true;
	}
	return false;
}

static bool same_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && sodium_memcmp(a, b, a_len) == 0; /* values are among them */
}

static bool is_number(const struct node *node)
{
	return node->kind == NODE_INT || node->kind == NODE_FLOAT;
}

/* By what is hashed; @p loose takes 3 and 3.0 for the same. */
static bool same_scalar(const struct node *a, const struct node *b, bool loose)
{
	auto_buf struct buf text_a = BUF_INIT_SECRET(SIZE_MAX / 2);
	auto_buf struct buf text_b = BUF_INIT_SECRET(SIZE_MAX / 2);
	struct error err;
	if (a->kind != b->kind && !(loose && is_number(a) && is_number(b)))
		return false;
	return sops_value_mac_text(a, &text_a, &err) && sops_value_mac_text(b, &text_b, &err) &&
	       same_text(text_a.text, text_a.len, text_b.text, text_b.len);
}

static bool same_head(const struct sops_item *a, const struct sops_item *b)
{
	return a->kind == b->kind && !a->key == !b->key &&
	       same_text(a->key, a->key_len, b->key, b->key_len);
}

bool sops_item_equal(const struct sops_item *a, const struct sops_item *b)
{
	if (!same_head(a, b))
		return false;
	if (a->kind == SOPS_ITEM_SCALAR || a->kind == SOPS_ITEM_COMMENT)
		return same_scalar(a->value, b->value, false);
	bool same = a->count == b->count;
	for (size_t i = 0; same && i < a->count; i++)
		same = sops_item_equal(a->items[i], b->items[i]);
	return same;
}

static size_t skip_comments(const struct sops_item *container, size_t i)
{
	while (i < container->count && container->items[i]->kind == SOPS_ITEM_COMMENT)
		i++;
	return i;
}

bool sops_item_same_values(const struct sops_item *a, const struct sops_item *b)
{
	size_t i = 0, k = 0;
	if (!same_head(a, b))
		return false;
	if (a->kind == SOPS_ITEM_SCALAR)
		return same_scalar(a->value, b->value, true);
	for (;; i++, k++) {
		i = skip_comments(a, i);
		k = skip_comments(b, k);
		if (i == a->count || k == b->count)
			return i == a->count && k == b->count;
		if (!sops_item_same_values(a->items[i], b->items[k]))
			return false;
	}
}

struct sops_item *sops_item_of_scalar(struct arena *arena, const struct node *node)
{
	enum sops_item_kind kind = node->kind == NODE_MAP    ? SOPS_ITEM_MAP
				   : node->kind == NODE_LIST ? SOPS_ITEM_LIST
							     : SOPS_ITEM_SCALAR;
	return sops_item_new(arena, kind, node);
}

struct sops_item *sops_item_of_node(struct arena *arena, const struct node *node)
{
	struct sops_item *item = sops_item_of_scalar(arena, node);
	for (size_t i = 0; item->kind != SOPS_ITEM_SCALAR && i < node->count; i++) {
		bool list = item->kind == SOPS_ITEM_LIST;
		struct sops_item *child =
			sops_item_of_node(arena, list ? node->items[i] : node->map[i].value);
		if (!list)
			sops_item_name(arena, child, node->map[i].key, node->map[i].key_len);
		sops_item_add(arena, item, child);
	}
	return item;
}

static const struct node *list_to_node(struct arena *arena, const struct sops_item *item)
{
	struct node *list = node_new(arena, NODE_LIST, item->value);
	const struct node **items = arena_array(arena, item->count, sizeof(struct node *));
	for (size_t i = 0; i < item->count; i++) {
		if (item->items[i]->kind != SOPS_ITEM_COMMENT)
			items[list->count++] = sops_item_to_node(arena, item->items[i]);
	}
	list->items = items;
	return list;
}

/* Of a key that comes twice the last value stays, at the first one's place. */
static size_t drop_repeats(struct node_entry *entries, size_t count)
{
	struct strmap seen = {0};
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		struct node_entry *before = strmap_get(&seen, entries[i].key);
		if (before) {
			before->value = entries[i].value;
			continue;
		}
		entries[kept] = entries[i];
		strmap_set(&seen, entries[kept].key, &entries[kept]);
		kept++;
	}
	strmap_clear(&seen);
	return kept;
}

static const struct node *map_to_node(struct arena *arena, const struct sops_item *item)
{
	auto_free struct node_entry *entries = mem_alloc(item->count * sizeof(*entries));
	size_t count = 0;
	for (size_t i = 0; i < item->count; i++) {
		const struct sops_item *child = item->items[i];
		if (child->kind == SOPS_ITEM_COMMENT)
			continue;
		entries[count++] = (struct node_entry){.key = child->key,
			.key_len = child->key_len,
			.key_node = child->key_node,
			.value = sops_item_to_node(arena, child)};
	}
	return node_new_map(arena, entries, drop_repeats(entries, count), item->value);
}

const struct node *sops_item_to_node(struct arena *arena, const struct sops_item *item)
{
	switch (item->kind) {
	case SOPS_ITEM_MAP:
		return map_to_node(arena, item);
	case SOPS_ITEM_LIST:
		return list_to_node(arena, item);
	default:
		return item->value;
	}
}
