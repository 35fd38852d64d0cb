#include "base/node.h"
#include "base/node_build.h"
#include <math.h>

const struct node *node_path(const struct node *map, const char *dotted)
{
	char part[256];
	while (map) {
		size_t len = strcspn(dotted, ".");
		if (len >= sizeof(part))
			return NULL;
		memcpy(part, dotted, len);
		part[len] = '\0';
		map = node_get(map, part);
		if (!dotted[len])
			return map;
		dotted += len + 1;
	}
	return NULL;
}

const char *node_kind_name(enum node_kind kind)
{
	static const char *const names[] = {
		[NODE_NULL] = "nothing",
		[NODE_BOOL] = "true or false",
		[NODE_INT] = "number",
		[NODE_FLOAT] = "number",
		[NODE_STRING] = "text",
		[NODE_TIME] = "date",
		[NODE_LIST] = "list",
		[NODE_MAP] = "map",
		[NODE_TAGGED] = "tagged text",
	};
	return (size_t)kind < ARRAY_LEN(names) ? names[kind] : "unknown";
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool key_is_string(const struct node_entry *entry)
{
	return !entry->key_node || entry->key_node->kind == NODE_STRING;
}

static bool same_list(const struct node *a, const struct node *b)
{
	for (size_t i = 0; i < a->count; i++)
		if (!node_equal(a->items[i], b->items[i]))
			return false;
	return true;
}

static bool same_map(const struct node *a, const struct node *b)
{
	for (size_t i = 0; i < a->count; i++) {
		const struct node_entry *left = &a->map[i];
		const struct node_entry *right = i < b->count ? &b->map[i] : NULL;
		/* Mostly both come in the same order; look up only where they do not. */
		bool aligned = right && same_text(left->key, right->key) &&
			       key_is_string(left) == key_is_string(right);
		const struct node *other = aligned ? right->value : node_get(b, left->key);
		if (!other || !node_equal(left->value, other))
			return false;
	}
	return true;
}

bool node_equal(const struct node *a, const struct node *b)
{
	if (a == b)
		return true;
	if (!a || !b || a->kind != b->kind || a->count != b->count)
		return false;
	switch (a->kind) {
	case NODE_NULL:
		return true;
	case NODE_BOOL:
		return a->boolean == b->boolean;
	case NODE_INT:
		return a->integer == b->integer;
	case NODE_FLOAT:
		if (a->integral || b->integral)
			return a->integral == b->integral && same_text(a->text, b->text);
		return a->number == b->number || (isnan(a->number) && isnan(b->number));
	case NODE_STRING:
		return a->len == b->len && !memcmp(a->text, b->text, a->len);
	case NODE_TIME:
		return same_text(a->iso, b->iso);
	case NODE_TAGGED:
		return same_text(a->tag, b->tag) && same_text(a->text, b->text);
	case NODE_LIST:
		return same_list(a, b);
	case NODE_MAP:
		return same_map(a, b);
	}
	return false;
}

bool node_error(struct error *err, const struct node *node, const char *format, ...)
{
	char text[sizeof(err->message)];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args); /* cut as error_set() would */
	va_end(args);
	error_set(err, ERR_INVALID, "%s", text);
	if (node && node->file)
		error_at(err, node->file, node->line);
	return false;
}

struct node *node_new(struct arena *arena, enum node_kind kind, const struct node *place)
{
	struct node *node = arena_alloc(arena, sizeof(*node));
	node->kind = kind;
	if (place) {
		node->file = place->file;
		node->line = place->line;
		node->column = place->column;
	}
	return node;
}

const struct node *node_new_string(struct arena *arena, const char *text, size_t len)
{
	struct node *node = node_new(arena, NODE_STRING, NULL);
	node->text = arena_dup(arena, text, len);
	node->len = len;
	return node;
}

const struct node *node_new_bool(struct arena *arena, bool value)
{
	struct node *node = node_new(arena, NODE_BOOL, NULL);
	node->boolean = value;
	node->text = value ? "true" : "false";
	node->len = strlen(node->text);
	return node;
}

const struct node *node_new_map(struct arena *arena, const struct node_entry *entries, size_t count,
	const struct node *place)
{
	struct node *map = node_new(arena, NODE_MAP, place);
	map->count = count;
	if (count) {
		struct node_entry *copy = arena_array(arena, count, sizeof(*copy));
		map->map = memcpy(copy, entries, count * sizeof(*copy));
	}
	build_index(arena, map);
	return map;
}
