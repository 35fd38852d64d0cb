/* base/arena.h - many small objects with one owner and one end
 *
 * Everything that is read from one commit (trees of YAML, variables, plans) lives in one arena and
 * is freed at once. A secret arena keeps its memory locked and wipes it before it goes.
 * Not for several threads at the same time; what was allocated may be read by all.
 */
#pragma once
#include "base/mem.h"

struct arena;

enum arena_kind {
	ARENA_PLAIN,
	ARENA_SECRET, /* mlock()ed where the limit allows, MADV_DONTDUMP, wiped when freed */
};

/** @param limit  bytes that may be allocated in all, 0 = 1 GiB; past it the process aborts, so
 *                callers bound their input first */
struct arena *arena_new(enum arena_kind kind, size_t limit);
void arena_free(struct arena *arena);
DEFINE_CLEANUP(struct arena, arena_free)
#define auto_arena CLEANUP(arena_free_at)

/** Zeroed memory, aligned for any type of that size; lives until arena_free(). */
void *arena_alloc(struct arena *arena, size_t size);
/** Zeroed array. */
void *arena_array(struct arena *arena, size_t count, size_t size);
/** Copy of bytes with a NUL behind them; not aligned. */
char *arena_dup(struct arena *arena, const void *bytes, size_t len);
/** Copy of a string; NULL gives NULL. */
char *arena_str(struct arena *arena, const char *text);
PRINTF(2, 3) char *arena_printf(struct arena *arena, const char *format, ...);
/** Bytes handed out so far. */
size_t arena_used(const struct arena *arena);
