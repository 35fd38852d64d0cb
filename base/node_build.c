#include "base/node_build.h"
#include <math.h>
#include <sodium.h>

#define NODES_FIRST 8 /* most files are small: one client's secrets */
#define NODES_PIECE 128
#define CHARS_FIRST 256
#define CHARS_PIECE 4096
#define INDEX_FROM  24 /* entries from which hashing beats comparing one by one */

/* Hash of a map's keys, keyed at random so that nobody can choose colliding keys. */
struct map_index {
	unsigned char key[crypto_shorthash_KEYBYTES];
	size_t mask;
	uint32_t slots[]; /* number of the entry + 1; 0 is free */
};

void build_init(struct node_build *build, struct arena *arena, const char *file)
{
	/* A small text must not pay for a cache that it does not fill. */
	memset(build, 0, offsetof(struct node_build, keys));
	build->arena = arena;
	build->nodes_piece = NODES_FIRST;
	build->chars_piece = CHARS_FIRST;
	build->file = arena_str(arena, file);
}

void build_clear(struct node_build *build)
{
	free(build->pending);
	build->pending = NULL;
}

struct node *build_node(
	struct node_build *build, enum node_kind kind, unsigned line, unsigned column)
{
	if (!build->nodes_left) {
		build->nodes_left = build->nodes_piece;
		build->nodes = arena_array(build->arena, build->nodes_left, sizeof(struct node));
		if (build->nodes_piece < NODES_PIECE)
			build->nodes_piece *= 2;
	}
	struct node *node = build->nodes++;
	build->nodes_left--;
	node->kind = kind;
	node->file = build->file;
	node->line = line;
	node->column = column & NODE_COLUMN_MAX;
	return node;
}

const char *build_text(struct node_build *build, const char *text, size_t len)
{
	if (!len)
		return "";
	if (len >= build->chars_piece / 4)
		return arena_dup(build->arena, text, len);
	if (len >= build->chars_left) {
		build->chars_left = build->chars_piece;
		build->chars = arena_alloc(build->arena, build->chars_left);
		if (build->chars_piece < CHARS_PIECE)
			build->chars_piece *= 2;
	}
	char *copy = memcpy(build->chars, text, len);
	build->chars += len + 1; /* the arena's memory is zero: the NUL is there */
	build->chars_left -= len + 1;
	return copy;
}

const char *build_key(struct node_build *build, const char *text, size_t len)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) * 16777619u;
	size_t slot = (hash ^ hash >> 16) % BUILD_KEY_CACHE;
	uint64_t bit = (uint64_t)1 << slot % 64, *known = &build->keys_known[slot / 64];
	if ((*known & bit) && build->keys[slot].len == len &&
		!memcmp(build->keys[slot].text, text, len))
		return build->keys[slot].text;
	*known |= bit;
	build->keys[slot].text = build_text(build, text, len);
	build->keys[slot].len = len;
	return build->keys[slot].text;
}

void build_push(struct node_build *build, const struct node_entry *entry)
{
	mem_grow(build->pending, build->pending_count, build->pending_capacity);
	build->pending[build->pending_count++] = *entry;
}

void build_list(struct node_build *build, struct node *list, size_t first)
{
	list->count = build->pending_count - first;
	list->items = NULL;
	if (list->count)
		list->items = arena_array(build->arena, list->count, sizeof(*list->items));
	for (size_t i = 0; i < list->count; i++)
		list->items[i] = build->pending[first + i].value;
	build->pending_count = first;
}

static bool is_string(const struct node_entry *entry)
{
	return !entry->key_node || entry->key_node->kind == NODE_STRING;
}

/* Python tells 1 and "1" apart although both print as "1". */
static bool same_key(const struct node_entry *a, const struct node_entry *b)
{
	return a->key_len == b->key_len && !memcmp(a->key, b->key, a->key_len) &&
	       is_string(a) == is_string(b);
}

static size_t slot_of(const struct map_index *index, const char *key, size_t len)
{
	unsigned char hash[crypto_shorthash_BYTES];
	uint64_t value;
	crypto_shorthash(hash, (const unsigned char *)key, len, index->key);
	memcpy(&value, hash, sizeof(value));
	return (size_t)value & index->mask;
}

static struct map_index *index_new(struct arena *arena, size_t count)
{
	size_t size = 64;
	while (size < count * 2)
		size *= 2;
	struct map_index *index =
		arena_alloc(arena, sizeof(*index) + size * sizeof(index->slots[0]));
	index->mask = size - 1;
	randombytes_buf(index->key, sizeof(index->key));
	return index;
}

/* Number of the entry with that text as its key, of the same sort, or SIZE_MAX. */
static size_t index_find(const struct map_index *index, const struct node_entry *entries,
	const struct node_entry *like)
{
	size_t slot = slot_of(index, like->key, like->key_len);
	for (; index->slots[slot]; slot = (slot + 1) & index->mask)
		if (same_key(&entries[index->slots[slot] - 1], like))
			return index->slots[slot] - 1;
	return SIZE_MAX;
}

static void index_add(struct map_index *index, const struct node_entry *entries, size_t at)
{
	size_t slot = slot_of(index, entries[at].key, entries[at].key_len);
	while (index->slots[slot])
		slot = (slot + 1) & index->mask;
	index->slots[slot] = (uint32_t)at + 1;
}

static bool number_of(const struct node_entry *entry, double *number_out)
{
	const struct node *node = entry->key_node;
	if (!node ||
		(node->kind != NODE_BOOL && node->kind != NODE_INT && node->kind != NODE_FLOAT))
		return false;
	*number_out = node->kind == NODE_FLOAT ? node->number
		      : node->kind == NODE_INT ? (double)node->integer
					       : node->boolean;
	return true;
}

/* The other spellings of a small whole number: 1, 1.0, true. */
static size_t find_number(
	const struct map_index *index, const struct node_entry *entries, size_t at)
{
	double number;
	char whole[32], real[NODE_FLOAT_TEXT];
	if (!number_of(&entries[at], &number) || fabs(number) >= 0x1p53 || number != rint(number))
		return SIZE_MAX;
	(void)snprintf(whole, sizeof(whole), "%lld", (long long)number); /* fits */
	const char *const texts[] = {whole, node_float_text(number, real),
		number == 1   ? "true"
		: number == 0 ? "false"
			      : whole};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct node_entry like = entries[at];
		like.key = texts[i];
		like.key_len = strlen(texts[i]);
		size_t found = index_find(index, entries, &like);
		if (found != SIZE_MAX)
			return found;
	}
	return SIZE_MAX;
}

static bool same_in_python(const struct node_entry *a, const struct node_entry *b)
{
	double left, right;
	if (!number_of(a, &left) || !number_of(b, &right))
		return same_key(a, b);
	bool exact = a->key_node->kind == b->key_node->kind; /* two long integers differ by text */
	return exact ? same_key(a, b) : left == right;
}

/* Number of the entry before `at` with the same key, or `at`. */
static size_t find_same(const struct node_build *build, struct map_index *index,
	const struct node_entry *entries, size_t at)
{
	size_t same = SIZE_MAX;
	if (index) {
		same = index_find(index, entries, &entries[at]);
		if (same == SIZE_MAX && build->python_keys)
			same = find_number(index, entries, at);
		if (same == SIZE_MAX)
			index_add(index, entries, at);
		return same == SIZE_MAX ? at : same;
	}
	for (size_t i = 0; i < at; i++)
		if (build->python_keys ? same_in_python(&entries[i], &entries[at])
				       : same_key(&entries[i], &entries[at]))
			return i;
	return at;
}

static bool duplicate_error(
	const struct node_entry *one, const struct node_entry *two, struct error *err)
{
	node_error(err, two->key_node, "key '%.100s' is written twice, first in line %u", two->key,
		one->key_node->line);
	return error_hint(err, "remove one of the two");
}

bool build_map(
	struct node_build *build, struct node *map, size_t first, bool last_wins, struct error *err)
{
	struct node_entry *entries = first ? build->pending + first : build->pending;
	size_t count = build->pending_count - first, kept = 0;
	struct map_index *index = count >= INDEX_FROM ? index_new(build->arena, count) : NULL;
	for (size_t i = 0; i < count; i++) {
		entries[kept] = entries[i];
		size_t same = find_same(build, index, entries, kept);
		if (same == kept) {
			kept++;
			continue;
		}
		if (!last_wins)
			return duplicate_error(&entries[same], &entries[kept], err);
		entries[same].value = entries[kept].value;
	}
	build->pending_count = first;
	map->index = index;
	map->count = kept;
	map->map = NULL;
	if (kept) {
		struct node_entry *copy = arena_array(build->arena, kept, sizeof(*copy));
		map->map = memcpy(copy, entries, kept * sizeof(*copy));
	}
	return true;
}

void build_index(struct arena *arena, struct node *map)
{
	if (map->count < INDEX_FROM)
		return;
	struct map_index *index = index_new(arena, map->count);
	for (size_t i = 0; i < map->count; i++)
		index_add(index, map->map, i);
	map->index = index;
}

const struct node *node_get(const struct node *map, const char *key)
{
	if (!map || map->kind != NODE_MAP)
		return NULL;
	size_t len = strlen(key);
	const struct map_index *index = map->index;
	if (!index) {
		for (size_t i = 0; i < map->count; i++)
			if (map->map[i].key_len == len && !memcmp(map->map[i].key, key, len))
				return map->map[i].value;
		return NULL;
	}
	for (size_t slot = slot_of(index, key, len); index->slots[slot];
		slot = (slot + 1) & index->mask) {
		const struct node_entry *entry = &map->map[index->slots[slot] - 1];
		if (entry->key_len == len && !memcmp(entry->key, key, len))
			return entry->value;
	}
	return NULL;
}
