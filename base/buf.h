/* base/buf.h - the one string builder, with a limit from birth; and lists of strings
 *
 * `text` is never NULL and always NUL-terminated. Going over the limit drops what does not fit and
 * sticks: check buf_overflowed() once at the end. A buf made by buf_init_secret() is wiped.
 */
#pragma once
#include "base/mem.h"

struct buf {
	char *text; /* len bytes and a NUL; NUL bytes inside are allowed */
	size_t len;
	size_t capacity; /* 0: text points to a shared empty string */
	size_t limit;
	bool overflow;
	bool secret; /* wiped on growth and on clear */
};

/** @param limit  most bytes it may hold, without the NUL */
void buf_init(struct buf *buf, size_t limit);
/** As buf_init(), and the memory is wiped before it is given back. */
void buf_init_secret(struct buf *buf, size_t limit);
void buf_clear(struct buf *buf);
/** Declares a buf of the function: `auto_buf struct buf text = BUF_INIT(limit);` */
#define auto_buf CLEANUP(buf_clear)
extern char buf_empty[1];
#define BUF_INIT(max)                                                                              \
	{                                                                                          \
		.text = buf_empty, .limit = (max)                                                  \
	}
#define BUF_INIT_SECRET(max)                                                                       \
	{                                                                                          \
		.text = buf_empty, .limit = (max), .secret = true                                  \
	}

/** Append bytes, a text, one byte, or formatted text; see above for the limit. */
void buf_add(struct buf *buf, const void *bytes, size_t len);
void buf_add_str(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);
void buf_add_int(struct buf *buf, int64_t number); /* decimal */
PRINTF(2, 3) void buf_addf(struct buf *buf, const char *format, ...);
void buf_addv(struct buf *buf, const char *format, va_list args);
/** Cut to @p len bytes; more than it holds is our own mistake. */
void buf_truncate(struct buf *buf, size_t len);
/** Hand the text over (caller frees with free()) and leave the buf empty and usable; ask
 *  buf_overflowed() before. */
char *buf_steal(struct buf *buf);
static inline bool buf_overflowed(const struct buf *buf)
{
	return buf->overflow;
}

/** Append text as the inside of a JSON string (without the quotes); invalid UTF-8 becomes U+FFFD.
 */
void buf_add_json(struct buf *buf, const char *text, size_t len);
/** Append text so that a terminal or log line shows it harmlessly: control characters and invalid
 *  UTF-8 become `?`. */
void buf_add_clean(struct buf *buf, const char *text, size_t len);

/** A list of owned strings. */
struct strlist {
	char **items;
	size_t count;
	size_t capacity;
};
#define STRLIST_INIT                                                                               \
	{                                                                                          \
		0                                                                                  \
	}
#define auto_strlist CLEANUP(strlist_clear)
/** Append a copy of the text. */
void strlist_add(struct strlist *list, const char *text);
PRINTF(2, 3) void strlist_addf(struct strlist *list, const char *format, ...);
/** Takes ownership of a malloc()ed string. */
void strlist_take(struct strlist *list, char *text);
void strlist_clear(struct strlist *list);
bool strlist_has(const struct strlist *list, const char *text);
/** Sort by bytes. */
void strlist_sort(struct strlist *list);
void strlist_copy(struct strlist *to, const struct strlist *from);

/** The name of @p names nearest to @p text by edit distance (at most a third of its length, at
 *  least 1), for "did you mean"; NULL if none is near. */
const char *nearest_name(const char *text, const char *const *names, size_t count);
