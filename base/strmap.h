/* base/strmap.h - pointers found by a string
 *
 * Open addressing, grows by doubling. Keys are borrowed and must live as long as the map.
 */
#pragma once
#include "base/mem.h"

struct strmap_slot {
	const char *key; /* NULL: free */
	void *value;
	uint64_t hash; /* of the key, so that only the right one is looked at */
};

struct strmap {
	struct strmap_slot *slots;
	size_t capacity; /* a power of two, or 0 */
	size_t count;
};

/** Value of a key, or NULL. */
void *strmap_get(const struct strmap *map, const char *key);
/** Set or replace; @p key is borrowed (the first one stays). */
void strmap_set(struct strmap *map, const char *key, void *value);
/** Give the table back; keys and values are the caller's. */
void strmap_clear(struct strmap *map);
