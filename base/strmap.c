#include "base/strmap.h"

/* FNV-1a: short keys, and nobody outside chooses them in numbers that would matter. */
static uint64_t hash_text(const char *text)
{
	uint64_t hash = 14695981039346656037u;
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 1099511628211u;
	return hash ^ (hash >> 32);
}

static bool is_key(const struct strmap_slot *slot, uint64_t hash, const char *key)
{
	return slot->hash == hash && strcmp(slot->key, key) == 0;
}

static struct strmap_slot *find(const struct strmap *map, uint64_t hash, const char *key)
{
	size_t mask = map->capacity - 1;
	size_t at = (size_t)hash & mask;
	while (map->slots[at].key && !is_key(&map->slots[at], hash, key))
		at = (at + 1) & mask;
	return &map->slots[at];
}

/* A key that is not in the map yet. */
static void place(struct strmap *map, const struct strmap_slot *slot)
{
	size_t mask = map->capacity - 1;
	size_t at = (size_t)slot->hash & mask;
	while (map->slots[at].key)
		at = (at + 1) & mask;
	map->slots[at] = *slot;
}

static void grow(struct strmap *map)
{
	struct strmap bigger = {.capacity = map->capacity ? map->capacity * 2 : 32};
	bigger.slots = mem_zero(bigger.capacity, sizeof(*bigger.slots));
	for (size_t i = 0; i < map->capacity; i++)
		if (map->slots[i].key)
			place(&bigger, &map->slots[i]);
	bigger.count = map->count;
	free(map->slots);
	*map = bigger;
}

void *strmap_get(const struct strmap *map, const char *key)
{
	return map->capacity ? find(map, hash_text(key), key)->value : NULL;
}

void strmap_set(struct strmap *map, const char *key, void *value)
{
	if (map->count * 2 >= map->capacity)
		grow(map);
	uint64_t hash = hash_text(key);
	struct strmap_slot *slot = find(map, hash, key);
	if (!slot->key) {
		slot->key = key;
		slot->hash = hash;
		map->count++;
	}
	slot->value = value;
}

void strmap_clear(struct strmap *map)
{
	free(map->slots);
	*map = (struct strmap){0};
}
