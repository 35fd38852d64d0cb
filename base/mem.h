/* base/mem.h - memory that never comes back NULL, and owners that clean up by themselves
 *
 * Out of memory aborts here: the service is crash-safe (design.md, promise 6), so no half-tested
 * path pretends to handle it. In exchange nothing that comes from outside may grow without a
 * limit; see base/buf.h and base/arena.h.
 */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST_USE        __attribute__((warn_unused_result))
#define PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))
#define CLEANUP(func)   __attribute__((cleanup(func)))
#define ARRAY_LEN(a)    (sizeof(a) / sizeof((a)[0]))

/** Take the pointer out of an owned local: returns its value and leaves NULL behind. */
#define STEAL(ptr)                                                                                 \
	({                                                                                         \
		__typeof__(ptr) *steal_from_ = &(ptr);                                             \
		__typeof__(ptr) stolen_ = *steal_from_;                                            \
		*steal_from_ = NULL;                                                               \
		stolen_;                                                                           \
	})

/** Define x_free_at(), the form of x_free() that CLEANUP() calls with the variable's address. */
#define DEFINE_CLEANUP(type, free_func)                                                            \
	static inline void free_func##_at(type **owned)                                            \
	{                                                                                          \
		if (*owned)                                                                        \
			free_func(*owned);                                                         \
	}

/** Says which allocation failed on stderr and aborts; never returns. */
static inline _Noreturn void mem_abort(size_t size)
{
	fprintf(stderr, "aviary: out of memory (%zu bytes)\n", size);
	abort();
}

/** malloc() that aborts instead of returning NULL. The caller frees with free(). */
static inline void *mem_alloc(size_t size)
{
	void *p = malloc(size ? size : 1);
	if (!p)
		mem_abort(size);
	return p;
}

/** calloc() that aborts; also refuses a product that overflows. */
static inline void *mem_zero(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);
	if (!p)
		mem_abort(size);
	return p;
}

/** reallocarray() that aborts; the old block is freed or kept as by realloc(). */
static inline void *mem_resize(void *old, size_t count, size_t size)
{
	void *p = reallocarray(old, count ? count : 1, size ? size : 1);
	if (!p)
		mem_abort(size);
	return p;
}

/** strdup() that aborts. NULL gives NULL. */
static inline char *mem_dup_str(const char *text)
{
	if (!text)
		return NULL;
	size_t len = strlen(text) + 1;
	return memcpy(mem_alloc(len), text, len);
}

/** Put a copy of @p text into an owned field in place of what it held; they may be the same. */
static inline void mem_replace_str(char **field, const char *text)
{
	char *copy = mem_dup_str(text);
	free(*field);
	*field = copy;
}

/** Copy of @p len bytes with a NUL behind them. */
static inline char *mem_dup(const void *bytes, size_t len)
{
	char *copy = mem_alloc(len + 1);
	if (len)
		memcpy(copy, bytes, len);
	copy[len] = '\0';
	return copy;
}

/** vasprintf() that aborts; the caller frees. */
static inline char *mem_vprintf(const char *format, va_list args)
{
	char *text = NULL;
	if (vasprintf(&text, format, args) < 0)
		mem_abort(0);
	return text;
}

/** asprintf() that aborts; the caller frees. */
PRINTF(1, 2) static inline char *mem_printf(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *text = mem_vprintf(format, args);
	va_end(args);
	return text;
}

/** Make room for one more item of an array that doubles; evaluates its arguments several times. */
#define mem_grow(array, count, capacity)                                                           \
	do {                                                                                       \
		if ((count) == (capacity)) {                                                       \
			(capacity) = (capacity) ? (capacity)*2 : 8;                                \
			(array) = mem_resize((array), (capacity), sizeof(*(array)));               \
		}                                                                                  \
	} while (0)

static inline void mem_free_at(void *owned)
{
	free(*(void **)owned);
}
/** Declares an owned local that free() releases: `auto_free char *name = NULL;` */
#define auto_free CLEANUP(mem_free_at)

static inline void mem_close_at(FILE **owned)
{
	if (*owned)
		(void)fclose(*owned); /* read-only streams: nothing to lose at close */
}
#define auto_file CLEANUP(mem_close_at)
