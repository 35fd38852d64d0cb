/* Memory for one thread: a quarter of a run's time went into the C library's, which cares for
 * threads and for blocks that grow together. Here a block that is given back waits for the next one
 * of its size. Sanitizers have their own, and look there for what is used after it was freed. */
#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&                             \
	!__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)

#define UNIT    16
#define SMALL   1024 /* up to here sizes are multiples of UNIT, beyond powers of two */
#define CLASSES (SMALL / UNIT + 64)
#define PART    ((size_t)4 << 20) /* asked for at once */

/* In front of each block; memory is zero until it was used once. */
struct block {
	size_t size;
	struct block *next; /* while it is free */
};
_Static_assert(sizeof(struct block) == UNIT, "blocks lie as malloc() promises");

static struct block *free_blocks[CLASSES];
static char *part, *part_end;

static size_t round_up(size_t size)
{
	if (size <= SMALL)
		return size ? (size + UNIT - 1) / UNIT * UNIT : UNIT;
	return (size_t)1 << (64 - __builtin_clzl(size - 1));
}

static struct block **list_of(size_t rounded)
{
	if (rounded <= SMALL)
		return &free_blocks[rounded / UNIT - 1];
	return &free_blocks[SMALL / UNIT + (size_t)__builtin_ctzl(rounded)];
}

static struct block *cut_block(size_t rounded)
{
	size_t needed = rounded + sizeof(struct block);
	if ((size_t)(part_end - part) < needed) {
		size_t size = needed < PART ? PART : needed;
		void *fresh = mmap(
			NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (fresh == MAP_FAILED) {
			errno = ENOMEM;
			return NULL;
		}
		part = fresh;
		part_end = part + size;
	}
	struct block *block = (struct block *)(void *)part;
	part += needed;
	block->size = rounded;
	return block;
}

static struct block *block_of(void *memory)
{
	return (struct block *)memory - 1;
}

/* The compiler would make calloc() out of malloc() and memset(), also within calloc(). */
static void *take(size_t size)
{
	if (size > PTRDIFF_MAX / 2) {
		errno = ENOMEM;
		return NULL;
	}
	size_t rounded = round_up(size);
	struct block **list = list_of(rounded), *block = *list;
	if (block)
		*list = block->next;
	else
		block = cut_block(rounded);
	return block ? block + 1 : NULL;
}

void *malloc(size_t size)
{
	return take(size);
}

void free(void *memory)
{
	if (!memory)
		return;
	struct block *block = block_of(memory), **list = list_of(block->size);
	block->next = *list;
	*list = block;
}

void *calloc(size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	void *memory = take(bytes);
	return memory ? memset(memory, 0, bytes) : NULL;
}

void *realloc(void *memory, size_t size)
{
	size_t old = memory ? block_of(memory)->size : 0;
	if (memory && size <= old)
		return memory;
	void *larger = take(size);
	if (larger && memory) {
		memcpy(larger, memory, old);
		free(memory);
	}
	return larger;
}

size_t malloc_usable_size(void *memory)
{
	return memory ? block_of(memory)->size : 0;
}

#endif
