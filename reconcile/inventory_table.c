/* reconcile/inventory_table.c - names, maps and links while an inventory is being read */
#include "reconcile/inventory_build.h"

/* FNV-1a: short names, and nobody gains by making their own inventory slow. */
static uint32_t hash_name(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return hash;
}

static struct name_slot *find_slot(const struct name_table *table, const char *name, uint32_t hash)
{
	for (size_t at = hash;; at++) {
		struct name_slot *slot = &table->slots[at & (table->capacity - 1)];
		if (!slot->name || (slot->hash == hash && !strcmp(slot->name, name)))
			return slot;
	}
}

bool name_table_find(const struct name_table *table, const char *name, size_t *position_out)
{
	if (!table->capacity)
		return false;
	const struct name_slot *slot = find_slot(table, name, hash_name(name));
	if (!slot->name)
		return false;
	if (position_out)
		*position_out = slot->position;
	return true;
}

static void grow_table(struct name_table *table, struct arena *arena)
{
	struct name_table bigger = {
		.count = table->count, .capacity = table->capacity ? table->capacity * 2 : 16};

	bigger.slots = arena_array(arena, bigger.capacity, sizeof(*bigger.slots));
	for (size_t i = 0; i < table->capacity; i++) {
		const struct name_slot *slot = &table->slots[i];
		if (slot->name)
			*find_slot(&bigger, slot->name, slot->hash) = *slot;
	}
	*table = bigger;
}

void name_table_add(
	struct name_table *table, struct arena *arena, const char *name, size_t position)
{
	uint32_t hash = hash_name(name);

	if (table->count * 4 >= table->capacity * 3)
		grow_table(table, arena);
	*find_slot(table, name, hash) =
		(struct name_slot){.name = name, .hash = hash, .position = (uint32_t)position};
	table->count++;
}

/* Arrays in the arena double; what they leave behind is at most what they hold. */
static void *grow_array(
	struct arena *arena, const void *items, size_t count, size_t *capacity, size_t size)
{
	*capacity = count ? count * 2 : 2;
	void *bigger = arena_array(arena, *capacity, size);
	if (count)
		memcpy(bigger, items, count * size);
	return bigger;
}

void map_list_add(struct map_list *list, struct arena *arena, const struct node *map)
{
	if (list->count == list->capacity)
		list->items = grow_array(
			arena, list->items, list->count, &list->capacity, sizeof(*list->items));
	list->items[list->count++] = map;
}

void links_add(struct links *links, struct arena *arena, struct link link)
{
	if (links->count == links->capacity)
		links->items = grow_array(
			arena, links->items, links->count, &links->capacity, sizeof(*links->items));
	links->items[links->count++] = link;
}

bool links_have(const struct links *links, size_t position)
{
	for (size_t i = 0; i < links->count; i++) {
		if (links->items[i].position == position)
			return true;
	}
	return false;
}

const char *node_phrase(const struct node *node)
{
	switch (node->kind) {
	case NODE_NULL:
		return "nothing";
	case NODE_BOOL:
		return node->boolean ? "the word true" : "the word false";
	case NODE_INT:
	case NODE_FLOAT:
		return "a number";
	case NODE_STRING:
		return "text";
	case NODE_TIME:
		return "a date";
	case NODE_LIST:
		return "a list";
	case NODE_MAP:
		return "a map";
	case NODE_TAGGED:
		break;
	}
	return "a tagged value";
}
