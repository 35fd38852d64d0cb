/* JSON by RFC 8259, nothing more: no comments, no trailing commas, no NaN, no repeated keys. */
#include "base/node_build.h"
#include "base/utf8.h"
#include <math.h>

#define BYTES_MAX ((size_t)64 * 1024 * 1024) /* over the largest webhook body */

struct reader {
	struct node_build build;
	const char *p, *end;
	const char *line_start;
	unsigned line;
	unsigned depth;
	size_t nodes;
	struct buf text; /* of the string that is read */
};

static bool fail(struct reader *reader, struct error *err, const char *text)
{
	error_set(err, ERR_INVALID, "not valid JSON: %s", text);
	return error_at(err, reader->build.file, reader->line);
}

static void skip_blanks(struct reader *reader)
{
	for (; reader->p < reader->end; reader->p++) {
		char c = *reader->p;
		if (c == '\n') {
			reader->line++;
			reader->line_start = reader->p + 1;
		} else if (c != ' ' && c != '\t' && c != '\r') {
			return;
		}
	}
}

static char peek(const struct reader *reader)
{
	return reader->p < reader->end ? *reader->p : '\0';
}

static struct node *new_node(struct reader *reader, enum node_kind kind)
{
	unsigned column = (unsigned)(reader->p - reader->line_start) + 1;
	return build_node(&reader->build, kind, reader->line, column);
}

static bool take_hex(struct reader *reader, unsigned *value_out)
{
	unsigned value = 0;
	if (reader->end - reader->p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		char c = *reader->p++;
		bool digit = c >= '0' && c <= '9';
		if (!digit && ((c | 0x20) < 'a' || (c | 0x20) > 'f'))
			return false;
		value = value * 16 + (unsigned)(digit ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	*value_out = value;
	return true;
}

static void add_character(struct buf *out, unsigned c)
{
	if (c < 0x80) {
		buf_add_char(out, (char)c);
	} else if (c < 0x800) {
		buf_add_char(out, (char)(0xC0 | c >> 6));
		buf_add_char(out, (char)(0x80 | (c & 0x3F)));
	} else if (c < 0x10000) {
		buf_add_char(out, (char)(0xE0 | c >> 12));
		buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3F)));
		buf_add_char(out, (char)(0x80 | (c & 0x3F)));
	} else {
		buf_add_char(out, (char)(0xF0 | c >> 18));
		buf_add_char(out, (char)(0x80 | (c >> 12 & 0x3F)));
		buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3F)));
		buf_add_char(out, (char)(0x80 | (c & 0x3F)));
	}
}

/* \uXXXX, or two of them for what lies above U+FFFF */
static bool take_unicode(struct reader *reader, struct error *err)
{
	unsigned first, second;
	if (!take_hex(reader, &first))
		return fail(reader, err, "'\\u' needs four hexadecimal digits");
	if (!first)
		return fail(reader, err, "a NUL character is not allowed");
	if (first >= 0xD800 && first < 0xDC00) {
		if (reader->end - reader->p < 2 || reader->p[0] != '\\' || reader->p[1] != 'u')
			return fail(reader, err, "half of a surrogate pair");
		reader->p += 2;
		if (!take_hex(reader, &second) || second < 0xDC00 || second > 0xDFFF)
			return fail(reader, err, "half of a surrogate pair");
		first = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
	} else if (first >= 0xDC00 && first < 0xE000) {
		return fail(reader, err, "half of a surrogate pair");
	}
	add_character(&reader->text, first);
	return true;
}

static bool take_escape(struct reader *reader, struct error *err)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	char c = peek(reader);
	const char *at = c ? strchr(names, c) : NULL;
	if (!at && c != 'u')
		return fail(reader, err, "unknown escape in a text");
	reader->p++;
	if (!at)
		return take_unicode(reader, err);
	buf_add_char(&reader->text, values[at - names]);
	return true;
}

/* ASCII that stands for itself: most texts are nothing else. */
static void take_plain(struct reader *reader)
{
	const char *start = reader->p;
	while (reader->p < reader->end && *reader->p >= 0x20 && *reader->p < 0x7F &&
		*reader->p != '"' && *reader->p != '\\')
		reader->p++;
	buf_add(&reader->text, start, (size_t)(reader->p - start));
}

/* Reads a string into reader->text; *p is its quotation mark. */
static bool take_string(struct reader *reader, struct error *err)
{
	buf_truncate(&reader->text, 0);
	reader->p++;
	for (;;) {
		take_plain(reader);
		if (reader->p == reader->end)
			return fail(reader, err, "a text does not end");
		unsigned char c = (unsigned char)*reader->p;
		size_t width = utf8_width(reader->p, (size_t)(reader->end - reader->p));
		if (c == '"') {
			reader->p++;
			return true;
		}
		if (c < 0x20)
			return fail(reader, err, "control character in a text");
		if (!width)
			return fail(reader, err, "the text is not UTF-8");
		if (c != '\\') {
			buf_add(&reader->text, reader->p, width);
			reader->p += width;
			continue;
		}
		reader->p++;
		if (!take_escape(reader, err))
			return false;
	}
}

static size_t take_digits(struct reader *reader)
{
	const char *start = reader->p;
	while (peek(reader) >= '0' && peek(reader) <= '9')
		reader->p++;
	return (size_t)(reader->p - start);
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)? */
static bool scan_number(struct reader *reader, bool *integer_out)
{
	*integer_out = true;
	reader->p += peek(reader) == '-';
	bool zero = peek(reader) == '0';
	size_t whole = take_digits(reader);
	if (!whole || (zero && whole > 1))
		return false;
	if (peek(reader) == '.') {
		*integer_out = false;
		reader->p++;
		if (!take_digits(reader))
			return false;
	}
	if ((peek(reader) | 0x20) != 'e')
		return true;
	*integer_out = false;
	reader->p++;
	reader->p += peek(reader) == '-' || peek(reader) == '+';
	return take_digits(reader) > 0;
}

static bool read_number(struct reader *reader, const struct node **node_out, struct error *err)
{
	struct node *node = new_node(reader, NODE_FLOAT);
	const char *start = reader->p;
	bool integer;
	if (!scan_number(reader, &integer))
		return fail(reader, err, "not a number");
	node->len = (size_t)(reader->p - start);
	node->text = build_text(&reader->build, start, node->len);
	node->plain = true;
	*node_out = node;
	bool negative = *node->text == '-';
	if (integer)
		return resolve_digits(
			&reader->build, node, node->text + negative, 10, negative, err);
	node->number = strtod(node->text, NULL);
	return isfinite(node->number) || fail(reader, err, "the number is too large");
}

static bool read_word(struct reader *reader, const struct node **node_out, struct error *err)
{
	static const struct {
		const char *text;
		enum node_kind kind;
	} words[] = {{"true", NODE_BOOL}, {"false", NODE_BOOL}, {"null", NODE_NULL}};
	size_t left = (size_t)(reader->end - reader->p);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t len = strlen(words[i].text);
		if (left < len || memcmp(reader->p, words[i].text, len))
			continue;
		struct node *node = new_node(reader, words[i].kind);
		if (node->kind == NODE_BOOL)
			node->boolean = *words[i].text == 't';
		node->text = words[i].text;
		node->len = len;
		node->plain = true;
		reader->p += len;
		*node_out = node;
		return true;
	}
	return fail(reader, err, left ? "expected a value" : "the text ends too early");
}

static bool read_string(
	struct reader *reader, bool is_key, const struct node **node_out, struct error *err)
{
	struct node *node = new_node(reader, NODE_STRING);
	if (!take_string(reader, err))
		return false;
	node->len = reader->text.len;
	node->text = is_key ? build_key(&reader->build, reader->text.text, node->len)
			    : build_text(&reader->build, reader->text.text, node->len);
	*node_out = node;
	return true;
}

static bool read_value(struct reader *reader, const struct node **node_out, struct error *err);

static bool read_member(struct reader *reader, struct error *err)
{
	struct node_entry entry = {0};
	if (peek(reader) != '"')
		return fail(reader, err, "expected a key in double quotes");
	if (!read_string(reader, true, &entry.key_node, err))
		return false;
	entry.key = entry.key_node->text;
	entry.key_len = entry.key_node->len;
	skip_blanks(reader);
	if (peek(reader) != ':')
		return fail(reader, err, "expected ':' after a key");
	reader->p++;
	if (!read_value(reader, &entry.value, err))
		return false;
	build_push(&reader->build, &entry);
	return true;
}

static bool read_item(struct reader *reader, struct error *err)
{
	struct node_entry entry = {0};
	if (!read_value(reader, &entry.value, err))
		return false;
	build_push(&reader->build, &entry);
	return true;
}

/* The items up to the closing bracket; *p is the opening one. */
static bool read_items(struct reader *reader, enum node_kind kind, struct error *err)
{
	char close = kind == NODE_MAP ? '}' : ']';
	reader->p++;
	skip_blanks(reader);
	if (peek(reader) == close) {
		reader->p++;
		return true;
	}
	for (;;) {
		skip_blanks(reader);
		if (kind == NODE_MAP ? !read_member(reader, err) : !read_item(reader, err))
			return false;
		skip_blanks(reader);
		char c = peek(reader);
		if (c != ',' && c != close)
			return fail(reader, err,
				close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
		reader->p++;
		if (c == close)
			return true;
	}
}

static bool read_collection(
	struct reader *reader, enum node_kind kind, const struct node **node_out, struct error *err)
{
	if (reader->depth >= NODE_MAX_DEPTH)
		return fail(reader, err, "nested deeper than 128 levels");
	struct node *node = new_node(reader, kind);
	size_t first = reader->build.pending_count;
	reader->depth++;
	if (!read_items(reader, kind, err))
		return false;
	reader->depth--;
	*node_out = node;
	if (kind == NODE_MAP)
		return build_map(&reader->build, node, first, false, err);
	build_list(&reader->build, node, first);
	return true;
}

static bool read_value(struct reader *reader, const struct node **node_out, struct error *err)
{
	skip_blanks(reader);
	if (++reader->nodes > NODE_MAX_LARGE)
		return fail(reader, err, "more than 1000000 values");
	char c = peek(reader);
	if (c == '{')
		return read_collection(reader, NODE_MAP, node_out, err);
	if (c == '[')
		return read_collection(reader, NODE_LIST, node_out, err);
	if (c == '"')
		return read_string(reader, false, node_out, err);
	if (c == '-' || (c >= '0' && c <= '9'))
		return read_number(reader, node_out, err);
	return read_word(reader, node_out, err);
}

static bool read_document(struct reader *reader, const struct node **node_out, struct error *err)
{
	const struct node *root;
	if (!read_value(reader, &root, err))
		return false;
	skip_blanks(reader);
	if (reader->p < reader->end)
		return fail(reader, err, "something follows after the value");
	*node_out = root;
	return true;
}

bool node_parse_json(struct arena *arena, const char *file, const char *bytes, size_t len,
	const struct node **node_out, struct error *err)
{
	if (len > BYTES_MAX) {
		error_set(err, ERR_INVALID, "%zu bytes are more than the limit of %zu", len,
			BYTES_MAX);
		return error_at(err, file, 0);
	}
	struct reader reader = {.p = bytes, .end = bytes + len, .line_start = bytes, .line = 1};
	buf_init_secret(&reader.text, BYTES_MAX);
	build_init(&reader.build, arena, file);
	bool good = read_document(&reader, node_out, err);
	build_clear(&reader.build);
	buf_clear(&reader.text);
	return good;
}
