#include "reconcile/secrets/sops_flat.h"
#include "base/buf.h"

#define MAP_MARK     "__map_"
#define LIST_MARK    "__list_"
#define DEPTH_MAX    16
#define METADATA_MAX 10000 /* entries: 1,000 recipients have 2,000 */

/* One entry while the tree is built: what is left of its path. */
struct flat {
	const char *rest;
	const struct node *value;
};

static int compare_flat(const void *a, const void *b)
{
	return strcmp(((const struct flat *)a)->rest, ((const struct flat *)b)->rest);
}

/* Length of the first part of a path: up to the next mark. */
static size_t part_len(const char *rest)
{
	const char *map = strstr(rest, MAP_MARK), *list = strstr(rest, LIST_MARK);
	const char *end = map && (!list || map < list) ? map : list;
	return end ? (size_t)(end - rest) : strlen(rest);
}

/* How many of the sorted entries share the first one's first part. */
static size_t same_part(const struct flat *flat, size_t count, size_t len)
{
	size_t same = 1;
	while (same < count && strncmp(flat[same].rest, flat[0].rest, len) == 0 &&
		part_len(flat[same].rest) == len)
		same++;
	return same;
}

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

struct builder {
	struct arena *arena;
	const struct node *place;
	struct error *err;
};

static bool fail(struct builder *builder)
{
	return node_error(builder->err, builder->place, "flattened 'sops' metadata are malformed");
}

static bool build(struct builder *builder, struct flat *flat, size_t count, int depth,
	const struct node **out);

static bool build_map(struct builder *builder, struct flat *flat, size_t count, int depth,
	const struct node **out)
{
	auto_free struct node_entry *entries = mem_alloc(count * sizeof(*entries));
	size_t found = 0;
	for (size_t at = 0; at < count;) {
		size_t len = part_len(flat[at].rest);
		size_t same = same_part(flat + at, count - at, len);
		struct node_entry *entry = &entries[found++];
		*entry = (struct node_entry){
			.key = arena_dup(builder->arena, flat[at].rest, len), .key_len = len};
		for (size_t i = at; i < at + same; i++)
			flat[i].rest += len;
		if (!build(builder, flat + at, same, depth + 1, &entry->value))
			return false;
		at += same;
	}
	*out = node_new_map(builder->arena, entries, found, builder->place);
	return true;
}

static bool build_list(struct builder *builder, struct flat *flat, size_t count, int depth,
	const struct node **out)
{
	struct node *list = node_new(builder->arena, NODE_LIST, builder->place);
	const struct node **items = arena_array(builder->arena, count, sizeof(struct node *));
	for (size_t at = 0; at < count;) {
		size_t len = part_len(flat[at].rest);
		size_t same = same_part(flat + at, count - at, len);
		char *end;
		unsigned long index = strtoul(flat[at].rest, &end, 10);
		if (end != flat[at].rest + len || index >= count || items[index])
			return fail(builder);
		for (size_t i = at; i < at + same; i++)
			flat[i].rest += len;
		if (!build(builder, flat + at, same, depth + 1, &items[index]))
			return false;
		list->count++;
		at += same;
	}
	for (size_t i = 0; i < list->count; i++) {
		if (!items[i])
			return fail(builder);
	}
	list->items = items;
	*out = list;
	return true;
}

/* Every entry's path starts with a mark here, or is at its end. */
static bool build(struct builder *builder, struct flat *flat, size_t count, int depth,
	const struct node **out)
{
	bool list = starts_with(flat[0].rest, LIST_MARK);
	const char *mark = list ? LIST_MARK : MAP_MARK;
	if (count == 1 && !*flat[0].rest) {
		*out = flat[0].value;
		return true;
	}
	if (depth > DEPTH_MAX)
		return fail(builder);
	for (size_t i = 0; i < count; i++) {
		if (!starts_with(flat[i].rest, mark))
			return fail(builder);
		flat[i].rest += strlen(mark);
	}
	return (list ? build_list : build_map)(builder, flat, count, depth, out);
}

static const struct node *unescape(struct arena *arena, const struct node *value)
{
	if (!strstr(value->text, "\\n"))
		return value;
	struct node *copy = node_new(arena, NODE_STRING, value);
	char *text = arena_dup(arena, value->text, value->len);
	size_t len = 0;
	for (const char *at = value->text; *at; at++) {
		bool escaped = at[0] == '\\' && at[1] == 'n';
		text[len++] = escaped ? '\n' : *at;
		at += escaped;
	}
	text[len] = '\0';
	copy->text = text;
	copy->len = len;
	return copy;
}

bool sops_unflatten(struct arena *arena, const struct sops_item *flat, const struct node **map_out,
	struct error *err)
{
	struct builder builder = {arena, flat->value, err};
	size_t count = 0;
	if (flat->count > METADATA_MAX)
		return node_error(err, flat->value, "'sops' has more than the limit of %d entries",
			METADATA_MAX);
	auto_free struct flat *sorted = mem_alloc(flat->count * sizeof(*sorted));
	for (size_t i = 0; i < flat->count; i++) {
		const struct sops_item *item = flat->items[i];
		if (item->kind == SOPS_ITEM_SCALAR)
			sorted[count++] = (struct flat){item->key, unescape(arena, item->value)};
	}
	qsort(sorted, count, sizeof(*sorted), compare_flat);
	return build_map(&builder, sorted, count, 0, map_out);
}

/* What is being flattened: where to, and how. */
struct flattening {
	struct arena *arena;
	struct sops_item *to;
	bool escaped;
};

static void add_flat(struct flattening *flattening, const char *key, const struct node *node)
{
	auto_buf struct buf text = BUF_INIT((size_t)16 << 20);
	for (size_t i = 0; i < node->len; i++) {
		if (flattening->escaped && node->text[i] == '\n')
			buf_add_str(&text, "\\n");
		else
			buf_add_char(&text, node->text[i]);
	}
	struct sops_item *item = sops_item_new(flattening->arena, SOPS_ITEM_SCALAR,
		node_new_string(flattening->arena, text.text, text.len));
	sops_item_name(flattening->arena, item, key, strlen(key));
	sops_item_add(flattening->arena, flattening->to, item);
}

static void flatten(struct flattening *flattening, const char *key, const struct node *node)
{
	if (node->kind != NODE_MAP && node->kind != NODE_LIST) {
		add_flat(flattening, key, node);
		return;
	}
	for (size_t i = 0; i < node->count; i++) {
		bool list = node->kind == NODE_LIST;
		if (!list && node->map[i].value->kind == NODE_NULL)
			continue; /* as an empty list; its text would be read as something */
		auto_free char *next = list ? mem_printf("%s" LIST_MARK "%zu", key, i)
					    : mem_printf("%s" MAP_MARK "%s", key, node->map[i].key);
		flatten(flattening, next, list ? node->items[i] : node->map[i].value);
	}
}

void sops_flatten(struct arena *arena, const struct node *map, const char *prefix, bool escaped,
	struct sops_item *to)
{
	struct flattening flattening = {arena, to, escaped};
	for (size_t i = 0; i < map->count; i++) {
		if (map->map[i].value->kind == NODE_NULL)
			continue;
		auto_free char *key = mem_printf("%s%s", prefix, map->map[i].key);
		flatten(&flattening, key, map->map[i].value);
	}
}
