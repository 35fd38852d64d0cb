/* ini as the library that sops uses reads it (ini.v1; specs/sops-age.md 2.14). Comments before a
 * section or key, and behind it, are one comment of it: the first entry of the section, or the
 * entry behind the key. */
#include "base/strmap.h"
#include "reconcile/secrets/sops_formats.h"

#define TEXT_MAX ((size_t)16 << 20)
#define TRIPLE   "\"\"\""

struct text {
	const char *start;
	size_t len;
};

struct reader {
	struct arena *arena;
	const char *at, *end;
	struct node place; /* file and line of the line at hand */
	struct sops_item *document, *section;
	struct buf comment; /* lines that were read and belong to what comes */
	struct strmap keys; /* of the section, by name */
	unsigned automatic; /* number of the next key that is called `-` */
	size_t nodes;
	struct error *err;
};

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct text trim_left(struct text text)
{
	while (text.len && is_blank(text.start[0])) {
		text.start++;
		text.len--;
	}
	return text;
}

static struct text trim(struct text text)
{
	text = trim_left(text);
	while (text.len && is_blank(text.start[text.len - 1]))
		text.len--;
	return text;
}

static struct text next_line(struct reader *reader)
{
	const char *start = reader->at;
	const char *stop = memchr(start, '\n', (size_t)(reader->end - start));
	reader->at = stop ? stop + 1 : reader->end;
	reader->place.line++;
	return (struct text){start, (size_t)((stop ? stop : reader->end) - start)};
}

static size_t find_any(struct text text, const char *chars)
{
	size_t i = 0;
	while (i < text.len && !(text.start[i] && strchr(chars, text.start[i])))
		i++;
	return i;
}

static struct text cut(struct text text, size_t from)
{
	return (struct text){text.start + from, text.len - from};
}

static bool fail(struct reader *reader, const char *what)
{
	return node_error(reader->err, &reader->place, "%s", what);
}

/* What is behind a section or value: a comment, if it has a mark. */
static void take_comment(struct reader *reader, struct text rest)
{
	struct text comment = cut(rest, find_any(rest, "#;"));
	buf_add(&reader->comment, comment.start, comment.len);
}

/* The comment that was read, without its first mark, as an item of the section. */
static void add_comment(struct reader *reader)
{
	struct text text = trim((struct text){reader->comment.text, reader->comment.len});
	if (text.len) {
		const char marks[] = {text.start[0], ' ', '\0'};
		size_t skip = 0;
		while (skip < text.len && strchr(marks, text.start[skip]))
			skip++;
		text = cut(text, skip);
		struct sops_item *item =
			sops_item_comment(reader->arena, &reader->place, text.start, text.len);
		sops_item_add(reader->arena, reader->section, item);
	}
	buf_truncate(&reader->comment, 0);
}

static void start_section(struct reader *reader, const char *name, size_t len)
{
	struct node *place = node_new(reader->arena, NODE_MAP, &reader->place);
	reader->section = sops_item_new(reader->arena, SOPS_ITEM_MAP, place);
	sops_item_name(reader->arena, reader->section, name, len);
	sops_item_add(reader->arena, reader->document, reader->section);
	strmap_clear(&reader->keys);
	reader->automatic = 1;
}

/* Keys under a header [DEFAULT] join those before the first header. */
static void rejoin_default(struct reader *reader)
{
	reader->section = reader->document->items[0];
	strmap_clear(&reader->keys);
	for (size_t i = 0; i < reader->section->count; i++) {
		struct sops_item *item = reader->section->items[i];
		if (item->key)
			strmap_set(&reader->keys, item->key, item);
	}
}

static bool read_section(struct reader *reader, struct text line)
{
	const char *close = memrchr(line.start, ']', line.len);
	if (!close)
		return fail(reader, "section has no ']'");
	size_t len = (size_t)(close - line.start - 1);
	if (!len)
		return fail(reader, "section has no name");
	if (len == 7 && memcmp(line.start + 1, "DEFAULT", 7) == 0)
		rejoin_default(reader);
	else
		start_section(reader, line.start + 1, len);
	take_comment(reader, cut(line, len + 2));
	add_comment(reader);
	return true;
}

/* """...""" or `...` over lines. @p rest stands behind the opening quotes. */
static bool read_quoted(struct reader *reader, struct text rest, const char *quote, struct buf *out)
{
	size_t width = strlen(quote);
	buf_add(out, rest.start, rest.len);
	buf_add_char(out, '\n');
	while (reader->at < reader->end) {
		struct text line = next_line(reader);
		const char *last = NULL, *found = line.start;
		while ((found = memmem(
				found, (size_t)(line.start + line.len - found), quote, width))) {
			last = found;
			found += width;
		}
		if (last) {
			buf_add(out, line.start, (size_t)(last - line.start));
			take_comment(reader, cut(line, (size_t)(last - line.start)));
			return true;
		}
		buf_add(out, line.start, line.len);
		buf_add_char(out, '\n');
	}
	return fail(reader, "value's quotes are not closed");
}

/* A quoted value that ends in its own line. False: it does not. */
static bool read_quoted_line(struct text line, const char *quote, struct buf *out)
{
	size_t width = strlen(quote);
	for (size_t at = line.len; at >= width; at--) {
		if (memcmp(line.start + at - width, quote, width) == 0) {
			buf_add(out, line.start, at - width);
			return true;
		}
	}
	return false;
}

static void read_continued(struct reader *reader, struct text line, struct buf *out)
{
	buf_add(out, line.start, line.len - 1);
	while (reader->at < reader->end) {
		struct text next = trim(next_line(reader));
		if (!next.len)
			return;
		bool more = next.start[next.len - 1] == '\\';
		buf_add(out, next.start, next.len - more);
		if (!more)
			return;
	}
}

static bool is_surrounded(struct text text, char quote)
{
	return text.len >= 2 && text.start[0] == quote &&
	       memchr(text.start + 1, quote, text.len - 1) == text.start + text.len - 1;
}

static bool read_value(struct reader *reader, struct text value, struct buf *out)
{
	value = trim_left(value);
	if (!value.len)
		return true;
	const char *quote = value.len > 3 && memcmp(value.start, TRIPLE, 3) == 0 ? TRIPLE
			    : value.start[0] == '`'                              ? "`"
										 : NULL;
	if (quote) {
		struct text rest = cut(value, strlen(quote));
		return read_quoted_line(rest, quote, out) || read_quoted(reader, rest, quote, out);
	}
	value = trim(value);
	if (value.start[value.len - 1] == '\\') {
		read_continued(reader, value, out);
		return true;
	}
	size_t mark = find_any(value, "#;");
	if (mark < value.len) {
		take_comment(reader, value);
		value = trim((struct text){value.start, mark});
	}
	if (is_surrounded(value, '"') || is_surrounded(value, '\''))
		value = (struct text){value.start + 1, value.len - 2};
	buf_add(out, value.start, value.len);
	return true;
}

/* The name, perhaps in quotes; @p rest_out stands behind the `=`. */
static bool read_name(
	struct reader *reader, struct text line, struct text *name_out, struct text *rest_out)
{
	const char *quote = line.len > 6 && memcmp(line.start, TRIPLE, 3) == 0 ? TRIPLE
			    : line.start[0] == '"'                             ? "\""
			    : line.start[0] == '`'                             ? "`"
									       : NULL;
	size_t width = quote ? strlen(quote) : 0, from = 0;
	if (quote) {
		const char *close = memmem(line.start + width, line.len - width, quote, width);
		if (!close)
			return fail(reader, "key's quotes are not closed");
		from = (size_t)(close - line.start);
	}
	size_t split = from + find_any(cut(line, from), "=:");
	if (split == line.len || !split)
		return fail(reader, "line has no key and '='");
	*name_out = trim((struct text){line.start + width, (quote ? from : split) - width});
	*rest_out = cut(line, split + 1);
	return true;
}

/* A key that comes twice in a section keeps its place and takes the last value. */
static void add_key(
	struct reader *reader, struct text name, const struct node *place, const struct buf *value)
{
	struct node *node = node_new(reader->arena, NODE_STRING, place);
	node->text = arena_dup(reader->arena, value->text, value->len);
	node->len = value->len;
	struct sops_item *item = sops_item_new(reader->arena, SOPS_ITEM_SCALAR, node);
	sops_item_name(reader->arena, item, name.start, name.len);
	struct sops_item *before = strmap_get(&reader->keys, item->key);
	if (before) {
		before->value = node;
		return;
	}
	strmap_set(&reader->keys, item->key, item);
	sops_item_add(reader->arena, reader->section, item);
}

static bool read_key(struct reader *reader, struct text line)
{
	struct text name = {0}, rest = {0};
	struct node place = reader->place;
	char number[16];
	auto_buf struct buf value = BUF_INIT_SECRET(TEXT_MAX);
	if (++reader->nodes > NODE_MAX_NODES)
		return node_error(
			reader->err, &reader->place, "more than %d values", NODE_MAX_NODES);
	if (!read_name(reader, line, &name, &rest) || !read_value(reader, rest, &value))
		return false;
	if (name.len == 1 && name.start[0] == '-') {
		int len = snprintf(number, sizeof(number), "#%u", reader->automatic++);
		name = (struct text){number, (size_t)len};
	}
	add_key(reader, name, &place, &value);
	add_comment(reader);
	return true;
}

static bool read_lines(struct reader *reader)
{
	while (reader->at < reader->end) {
		struct text line = trim_left(next_line(reader));
		bool ok = true;
		if (!line.len)
			continue;
		if (line.start[0] == ';' || line.start[0] == '#') {
			buf_add(&reader->comment, line.start, line.len);
			buf_add_char(&reader->comment, '\n');
			continue;
		}
		ok = line.start[0] == '[' ? read_section(reader, line) : read_key(reader, line);
		if (!ok)
			return false;
	}
	return true;
}

bool sops_ini_read(const struct sops_source *source, struct arena *arena,
	struct sops_item **document_out, struct error *err)
{
	size_t bom = source->len >= 3 && memcmp(source->bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	struct reader reader = {
		.arena = arena,
		.at = source->bytes + bom,
		.end = source->bytes + source->len,
		.place = {.file = arena_str(arena, source->file), .line = 1, .column = 1},
		.comment = BUF_INIT_SECRET(TEXT_MAX),
		.err = err,
	};
	struct node *place = node_new(arena, NODE_MAP, &reader.place);
	reader.document = sops_item_new(arena, SOPS_ITEM_MAP, place);
	reader.place.line = 0;
	start_section(&reader, "DEFAULT", strlen("DEFAULT"));
	bool ok = read_lines(&reader);
	buf_clear(&reader.comment);
	strmap_clear(&reader.keys);
	if (ok)
		*document_out = reader.document;
	return ok;
}
