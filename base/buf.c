#include "base/buf.h"
#include "base/utf8.h"
#include <sodium.h>

char buf_empty[1] = ""; /* never written: capacity 0 marks it */

void buf_init(struct buf *buf, size_t limit)
{
	*buf = (struct buf)BUF_INIT(limit);
}

void buf_init_secret(struct buf *buf, size_t limit)
{
	*buf = (struct buf)BUF_INIT_SECRET(limit);
}

static void release_memory(struct buf *buf)
{
	if (!buf->capacity)
		return;
	if (buf->secret)
		sodium_memzero(buf->text, buf->capacity);
	free(buf->text);
}

void buf_clear(struct buf *buf)
{
	release_memory(buf);
	buf->text = buf_empty;
	buf->len = 0;
	buf->capacity = 0;
	buf->overflow = false;
}

static bool grow(struct buf *buf, size_t more)
{
	if (buf->overflow || more > buf->limit - buf->len) {
		buf->overflow = true;
		return false;
	}
	size_t need = buf->len + more + 1;
	size_t capacity = buf->capacity ? buf->capacity : 64;
	while (capacity < need)
		capacity *= 2;
	char *text = mem_alloc(capacity);
	memcpy(text, buf->text, buf->len + 1);
	release_memory(buf);
	buf->text = text;
	buf->capacity = capacity;
	return true;
}

/* Room for `more` bytes and the NUL; false if the limit forbids it. */
static inline bool reserve(struct buf *buf, size_t more)
{
	bool fits = !buf->overflow && more <= buf->limit - buf->len;
	return (fits && buf->len + more < buf->capacity) || grow(buf, more);
}

void buf_add(struct buf *buf, const void *bytes, size_t len)
{
	if (!len || !reserve(buf, len))
		return;
	memcpy(buf->text + buf->len, bytes, len);
	buf->len += len;
	buf->text[buf->len] = '\0';
}

void buf_add_str(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_add_char(struct buf *buf, char c)
{
	if (!reserve(buf, 1))
		return;
	buf->text[buf->len++] = c;
	buf->text[buf->len] = '\0';
}

void buf_add_int(struct buf *buf, int64_t number)
{
	char digits[24];
	size_t at = sizeof(digits);
	uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
	do
		digits[--at] = (char)('0' + left % 10);
	while (left /= 10);
	if (number < 0)
		digits[--at] = '-';
	buf_add(buf, digits + at, sizeof(digits) - at);
}

void buf_addv(struct buf *buf, const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, format, args);
	if (len > 0 && reserve(buf, (size_t)len)) {
		(void)vsnprintf(buf->text + buf->len, (size_t)len + 1, format, again);
		buf->len += (size_t)len;
	}
	va_end(again);
}

void buf_addf(struct buf *buf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	buf_addv(buf, format, args);
	va_end(args);
}

void buf_truncate(struct buf *buf, size_t len)
{
	if (len >= buf->len)
		return;
	buf->len = len;
	buf->text[len] = '\0';
}

char *buf_steal(struct buf *buf)
{
	char *text = buf->capacity ? buf->text : mem_dup("", 0);
	buf->text = buf_empty;
	buf->len = 0;
	buf->capacity = 0;
	buf->overflow = false;
	return text;
}

/* Bytes from here on that JSON takes as they are: most texts are nothing else. */
static size_t plain_len(const char *text, size_t len)
{
	size_t plain = 0;
	while (plain < len && text[plain] >= 0x20 && text[plain] < 0x7F && text[plain] != '"' &&
		text[plain] != '\\')
		plain++;
	return plain;
}

void buf_add_json(struct buf *buf, const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t plain = plain_len(text + i, len - i);
		buf_add(buf, text + i, plain);
		i += plain;
		if (i == len)
			return;
		unsigned char c = (unsigned char)text[i];
		size_t width = utf8_width(text + i, len - i);
		if (!width) {
			buf_add_str(buf, "\xEF\xBF\xBD");
			i++;
			continue;
		}
		if (c == '"' || c == '\\')
			buf_addf(buf, "\\%c", c);
		else if (c == '\n')
			buf_add_str(buf, "\\n");
		else if (c == '\t')
			buf_add_str(buf, "\\t");
		else if (c < 0x20 || c == 0x7F)
			buf_addf(buf, "\\u%04x", c);
		else
			buf_add(buf, text + i, width);
		i += width;
	}
}

void buf_add_clean(struct buf *buf, const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)text[i];
		size_t width = utf8_width(text + i, len - i);
		/* C1 controls (U+0080..U+009F) drive terminals as much as C0 does. */
		bool c1 = width == 2 && c == 0xC2 && (unsigned char)text[i + 1] < 0xA0;
		if (!width || c < 0x20 || c == 0x7F || c1)
			buf_add_char(buf, '?');
		else
			buf_add(buf, text + i, width);
		i += width ? width : 1;
	}
}

void strlist_take(struct strlist *list, char *text)
{
	mem_grow(list->items, list->count, list->capacity);
	list->items[list->count++] = text;
}

void strlist_add(struct strlist *list, const char *text)
{
	strlist_take(list, mem_dup_str(text));
}

void strlist_addf(struct strlist *list, const char *format, ...)
{
	auto_buf struct buf text = BUF_INIT(SIZE_MAX / 2);
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	strlist_take(list, buf_steal(&text));
}

void strlist_clear(struct strlist *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct strlist)STRLIST_INIT;
}

bool strlist_has(const struct strlist *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (!strcmp(list->items[i], text))
			return true;
	return false;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void strlist_sort(struct strlist *list)
{
	if (list->count > 1)
		qsort(list->items, list->count, sizeof(*list->items), compare_strings);
}

void strlist_copy(struct strlist *to, const struct strlist *from)
{
	for (size_t i = 0; i < from->count; i++)
		strlist_add(to, from->items[i]);
}

#define NEAREST_MAX 64 /* longer names are not compared: a person does not mistype those */

static unsigned edit_distance(const char *a, const char *b)
{
	unsigned row[NEAREST_MAX + 1];
	size_t a_len = strlen(a), b_len = strlen(b);
	for (unsigned j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned diagonal = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned above = row[j];
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);
			best = best < above + 1 ? best : above + 1;
			row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
			diagonal = above;
		}
	}
	return row[b_len];
}

const char *nearest_name(const char *text, const char *const *names, size_t count)
{
	const char *nearest = NULL;
	size_t len = strlen(text);
	if (len > NEAREST_MAX)
		return NULL;
	unsigned best = (unsigned)(len / 3 > 1 ? len / 3 : 1) + 1;
	for (size_t i = 0; i < count; i++) {
		if (strlen(names[i]) > NEAREST_MAX)
			continue;
		unsigned distance = edit_distance(text, names[i]);
		if (distance < best) {
			best = distance;
			nearest = names[i];
		}
	}
	return nearest;
}
