#include "base/arena.h"
#include "base/buf.h"
#include <sodium.h>
#include <stdarg.h>
#include <sys/mman.h>

#define ARENA_BLOCK         ((size_t)64 * 1024) /* small enough for one client's secrets */
#define ARENA_DEFAULT_LIMIT ((size_t)1 << 30)
#define ARENA_ALIGN         16
#define ARENA_STEP          8 /* what is no multiple of 16 needs no more, whatever its type */

struct block {
	struct block *next;
	size_t size; /* of the whole mapping or allocation, this header included */
	size_t used; /* from the start of the block, this header included */
	size_t end;  /* texts are behind it: they need no alignment and leave no gaps */
};

struct arena {
	enum arena_kind kind;
	struct block *blocks; /* newest first */
	size_t used;
	size_t limit;
};

static size_t align_up(size_t size, size_t to)
{
	return (size + to - 1) / to * to;
}

static struct block *block_new(enum arena_kind kind, size_t size)
{
	if (kind == ARENA_PLAIN) {
		struct block *plain = mem_alloc(size);
		*plain = (struct block){.size = size, .end = size};
		return plain;
	}
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		mem_abort(size);
	/* Locking can fail at RLIMIT_MEMLOCK; serve --check warns about that limit once. */
	(void)mlock(map, size);
	(void)madvise(map, size, MADV_DONTDUMP); /* a kernel without it has the core limit 0 */
	struct block *secret = map;
	secret->size = secret->end = size;
	return secret;
}

static void block_free(enum arena_kind kind, struct block *block)
{
	if (kind == ARENA_PLAIN) {
		free(block);
		return;
	}
	size_t size = block->size;
	sodium_memzero(block, size);
	(void)munlock(block, size); /* fails only if it was never locked */
	(void)munmap(block, size);  /* our own mapping: cannot fail */
}

struct arena *arena_new(enum arena_kind kind, size_t limit)
{
	struct arena *arena = mem_zero(1, sizeof(*arena));
	arena->kind = kind;
	arena->limit = align_up(limit ? limit : ARENA_DEFAULT_LIMIT, ARENA_STEP);
	return arena;
}

void arena_free(struct arena *arena)
{
	if (!arena)
		return;
	for (struct block *block = arena->blocks, *next; block; block = next) {
		next = block->next;
		block_free(arena->kind, block);
	}
	free(arena);
}

/* The newest block, with @p need bytes free between `used` and `end`. */
static struct block *make_room(struct arena *arena, size_t need)
{
	const size_t head = align_up(sizeof(struct block), ARENA_ALIGN);
	struct block *block = arena->blocks;
	if (need > arena->limit - arena->used)
		mem_abort(need);
	if (!block || block->end - block->used < need) {
		size_t want = head + need;
		/* The first block of an arena is small: most arenas stay that way. */
		size_t usual = block ? ARENA_BLOCK : ARENA_BLOCK / 16;
		block = block_new(arena->kind, align_up(want > usual ? want : usual, 4096));
		block->used = head;
		block->next = arena->blocks;
		arena->blocks = block;
	}
	arena->used += need;
	return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	if (size > arena->limit - arena->used)
		mem_abort(size); /* also keeps the sums below from going around */
	size_t need = align_up(size ? size : 1, ARENA_STEP);
	size_t align = need % ARENA_ALIGN ? ARENA_STEP : ARENA_ALIGN;
	struct block *block = arena->blocks;
	size_t gap = block ? align_up(block->used, align) - block->used : 0;
	block = make_room(arena, need + gap);
	block->used = align_up(block->used, align);
	void *p = (char *)block + block->used;
	block->used += need;
	return memset(p, 0, need);
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes))
		mem_abort(SIZE_MAX);
	return arena_alloc(arena, bytes);
}

char *arena_dup(struct arena *arena, const void *bytes, size_t len)
{
	if (len >= arena->limit - arena->used)
		mem_abort(len);
	struct block *block = make_room(arena, len + 1);
	block->end -= len + 1;
	char *copy = (char *)block + block->end;
	if (len)
		memcpy(copy, bytes, len);
	copy[len] = '\0';
	return copy;
}

char *arena_str(struct arena *arena, const char *text)
{
	return text ? arena_dup(arena, text, strlen(text)) : NULL;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	auto_buf struct buf text = BUF_INIT_SECRET(SIZE_MAX / 2); /* the arena has the limit */
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	return arena_dup(arena, text.text, text.len);
}

size_t arena_used(const struct arena *arena)
{
	return arena->used;
}
