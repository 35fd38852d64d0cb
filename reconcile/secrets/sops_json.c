/* JSON as sops reads it: order and repeated keys are kept (specs/sops-age.md 2.12). Strict: what
 * stands behind the value is refused. */
#include "base/strmap.h"
#include "base/utf8.h"
#include "reconcile/secrets/sops_formats.h"
#include <errno.h>
#include <math.h>

#define TEXT_MAX ((size_t)32 << 20)

struct reader {
	struct arena *arena;
	const char *at, *end;
	struct node place; /* file and line */
	size_t nodes;
	unsigned depth;
	struct error *err;
};

static bool read_value(struct reader *reader, struct sops_item **item_out);

static bool fail(struct reader *reader, const char *what)
{
	return node_error(reader->err, &reader->place, "%s", what);
}

static void skip_blanks(struct reader *reader)
{
	for (; reader->at < reader->end && *reader->at && strchr(" \t\r\n", *reader->at);
		reader->at++)
		reader->place.line += *reader->at == '\n';
}

static bool take(struct reader *reader, char c)
{
	skip_blanks(reader);
	if (reader->at == reader->end || *reader->at != c)
		return false;
	reader->at++;
	return true;
}

static bool read_hex(struct reader *reader, uint32_t *out)
{
	*out = 0;
	if (reader->end - reader->at < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		static const char digits[] = "0123456789abcdefABCDEF";
		const char *digit = *reader->at ? strchr(digits, *reader->at) : NULL;
		if (!digit)
			return false;
		size_t value = (size_t)(digit - digits);
		*out = *out << 4 | (uint32_t)(value > 15 ? value - 6 : value);
		reader->at++;
	}
	return true;
}

static void add_utf8(struct buf *out, uint32_t code)
{
	if (code < 0x80) {
		buf_add_char(out, (char)code);
	} else if (code < 0x800) {
		buf_add_char(out, (char)(0xc0 | code >> 6));
		buf_add_char(out, (char)(0x80 | (code & 0x3f)));
	} else if (code < 0x10000) {
		buf_add_char(out, (char)(0xe0 | code >> 12));
		buf_add_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
		buf_add_char(out, (char)(0x80 | (code & 0x3f)));
	} else {
		buf_add_char(out, (char)(0xf0 | code >> 18));
		buf_add_char(out, (char)(0x80 | (code >> 12 & 0x3f)));
		buf_add_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
		buf_add_char(out, (char)(0x80 | (code & 0x3f)));
	}
}

/* \uXXXX, two of them for a character above U+FFFF; half a pair becomes U+FFFD, as in Go. */
static bool read_code(struct reader *reader, struct buf *out)
{
	uint32_t code, low;
	if (!read_hex(reader, &code))
		return false;
	if (code >= 0xd800 && code < 0xdc00 && reader->end - reader->at >= 6 &&
		reader->at[0] == '\\' && reader->at[1] == 'u') {
		const char *before = reader->at;
		reader->at += 2;
		if (!read_hex(reader, &low))
			return false;
		if (low >= 0xdc00 && low < 0xe000) {
			add_utf8(out, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
			return true;
		}
		reader->at = before;
	}
	add_utf8(out, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
	return true;
}

static bool read_escape(struct reader *reader, struct buf *out)
{
	static const char letters[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	if (reader->at == reader->end)
		return false;
	char c = *reader->at++;
	if (c == 'u')
		return read_code(reader, out);
	const char *letter = c ? strchr(letters, c) : NULL;
	if (!letter)
		return false;
	buf_add_char(out, means[letter - letters]);
	return true;
}

/* Behind the opening quote. */
static bool read_text(struct reader *reader, struct buf *out)
{
	while (reader->at < reader->end && *reader->at != '"') {
		if (*reader->at == '\\') {
			reader->at++;
			if (!read_escape(reader, out))
				return fail(reader, "malformed escape in a JSON string");
			continue;
		}
		size_t width = utf8_width(reader->at, (size_t)(reader->end - reader->at));
		if ((uint8_t)*reader->at < 0x20)
			return fail(reader, "control character in a JSON string");
		if (width)
			buf_add(out, reader->at, width);
		else
			buf_add_str(out, "\xef\xbf\xbd"); /* as Go's decoder does */
		reader->at += width ? width : 1;
	}
	if (reader->at == reader->end)
		return fail(reader, "JSON string is not closed");
	reader->at++;
	return true;
}

static struct sops_item *scalar(struct reader *reader, enum node_kind kind, const char *text,
	size_t len, struct node **node_out)
{
	struct node *node = node_new(reader->arena, kind, &reader->place);
	node->text = arena_dup(reader->arena, text, len);
	node->len = len;
	*node_out = node;
	return sops_item_new(reader->arena, SOPS_ITEM_SCALAR, node);
}

static bool read_string(struct reader *reader, struct sops_item **item_out)
{
	struct node *node;
	auto_buf struct buf text = BUF_INIT_SECRET(TEXT_MAX);
	if (!read_text(reader, &text))
		return false;
	*item_out = scalar(reader, NODE_STRING, text.text, text.len, &node);
	return true;
}

static size_t digits_at(const char *at, const char *end)
{
	size_t count = 0;
	while (at + count < end && at[count] >= '0' && at[count] <= '9')
		count++;
	return count;
}

/* -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? */
static bool number_len(const char *at, const char *end, size_t *len_out, bool *integer_out)
{
	const char *start = at;
	*integer_out = true;
	at += at < end && *at == '-';
	size_t digits = digits_at(at, end);
	if (!digits || (digits > 1 && *at == '0'))
		return false;
	at += digits;
	if (at < end && *at == '.') {
		digits = digits_at(at + 1, end);
		at += 1 + digits;
		*integer_out = false;
		if (!digits)
			return false;
	}
	if (at < end && (*at == 'e' || *at == 'E')) {
		at++;
		at += at < end && (*at == '+' || *at == '-');
		digits = digits_at(at, end);
		at += digits;
		*integer_out = false;
		if (!digits)
			return false;
	}
	*len_out = (size_t)(at - start);
	return true;
}

static bool read_number(struct reader *reader, struct sops_item **item_out)
{
	size_t len;
	bool integer;
	struct node *node;
	if (!number_len(reader->at, reader->end, &len, &integer))
		return fail(reader, "malformed JSON value");
	*item_out = scalar(reader, NODE_INT, reader->at, len, &node);
	reader->at += len;
	errno = 0;
	if (integer)
		node->integer = strtoll(node->text, NULL, 10);
	if (integer && !errno)
		return true;
	node->kind = NODE_FLOAT;
	node->number = strtod(node->text, NULL);
	return !isinf(node->number) || fail(reader, "JSON number is out of range");
}

static bool read_word(struct reader *reader, struct sops_item **item_out)
{
	static const struct {
		const char *text;
		enum node_kind kind;
		bool boolean;
	} words[] = {
		{"null", NODE_NULL, false}, {"true", NODE_BOOL, true}, {"false", NODE_BOOL, false}};
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t len = strlen(words[i].text);
		struct node *node;
		if ((size_t)(reader->end - reader->at) < len ||
			memcmp(reader->at, words[i].text, len) != 0)
			continue;
		*item_out = scalar(reader, words[i].kind, words[i].text, len, &node);
		if (words[i].kind == NODE_BOOL)
			node->boolean = words[i].boolean;
		reader->at += len;
		return true;
	}
	return read_number(reader, item_out);
}

static struct sops_item *container(struct reader *reader, bool list)
{
	struct node *node = node_new(reader->arena, list ? NODE_LIST : NODE_MAP, &reader->place);
	return sops_item_new(reader->arena, list ? SOPS_ITEM_LIST : SOPS_ITEM_MAP, node);
}

static bool read_member(struct reader *reader, struct sops_item **item_out)
{
	auto_buf struct buf key = BUF_INIT(TEXT_MAX);
	if (!take(reader, '"'))
		return fail(reader, "JSON object has no key where one is expected");
	if (!read_text(reader, &key))
		return false;
	if (!take(reader, ':'))
		return fail(reader, "JSON key has no ':'");
	if (!read_value(reader, item_out))
		return false;
	sops_item_name(reader->arena, *item_out, key.text, key.len);
	return true;
}

/* Behind the opening bracket. */
static bool read_members(struct reader *reader, struct sops_item *to, char close)
{
	struct sops_item *item;
	if (take(reader, close))
		return true;
	do {
		bool ok = close == '}' ? read_member(reader, &item) : read_value(reader, &item);
		if (!ok)
			return false;
		sops_item_add(reader->arena, to, item);
	} while (take(reader, ','));
	return take(reader, close) || fail(reader, "JSON has no ',' or closing bracket");
}

static bool read_value(struct reader *reader, struct sops_item **item_out)
{
	skip_blanks(reader);
	if (reader->at == reader->end)
		return fail(reader, "JSON ends too early");
	if (++reader->nodes > NODE_MAX_NODES)
		return node_error(
			reader->err, &reader->place, "more than %d values", NODE_MAX_NODES);
	char c = *reader->at;
	if (c == '"') {
		reader->at++;
		return read_string(reader, item_out);
	}
	if (c != '{' && c != '[')
		return read_word(reader, item_out);
	if (reader->depth == NODE_MAX_DEPTH)
		return node_error(reader->err, &reader->place, "nested deeper than %d levels",
			NODE_MAX_DEPTH);
	reader->at++;
	reader->depth++;
	*item_out = container(reader, c == '[');
	bool ok = read_members(reader, *item_out, c == '[' ? ']' : '}');
	reader->depth--;
	return ok;
}

static bool read_all(const struct sops_source *source, struct arena *arena,
	struct sops_item **item_out, struct error *err)
{
	struct reader reader = {
		.arena = arena,
		.at = source->bytes,
		.end = source->bytes + source->len,
		.place = {.file = arena_str(arena, source->file), .line = 1, .column = 1},
		.err = err,
	};
	if (!read_value(&reader, item_out))
		return false;
	skip_blanks(&reader);
	return reader.at == reader.end || fail(&reader, "text stands behind the JSON value");
}

bool sops_json_read(const struct sops_source *source, struct arena *arena,
	struct sops_item **document_out, struct error *err)
{
	struct sops_item *item;
	if (!read_all(source, arena, &item, err))
		return false;
	if (item->kind != SOPS_ITEM_MAP)
		return node_error(err, item->value, "JSON file holds no object");
	*document_out = item;
	return true;
}

bool sops_json_read_value(const struct sops_source *source, struct arena *arena,
	struct sops_item **value_out, struct error *err)
{
	if (!read_all(source, arena, value_out, err))
		return false;
	const struct node *node = (*value_out)->value;
	if (node->kind == NODE_INT) {
		struct node *number = node_new(arena, NODE_FLOAT, node);
		number->text = node->text;
		number->len = node->len;
		number->number = (double)node->integer;
		(*value_out)->value = number;
	}
	return true;
}
