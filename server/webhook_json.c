#include "server/webhook_json.h"
#include "base/utf8.h"
#include <endian.h>

/* The check walks bytes with a bit per open bracket; `expect` is what may come next. */
enum expect { EXPECT_VALUE, EXPECT_VALUE_OR_END, EXPECT_KEY, EXPECT_KEY_OR_END, EXPECT_MORE };

struct scan {
	const char *at, *end;
	unsigned depth;
	bool is_object[WEBHOOK_JSON_DEPTH];
	const char *problem;
};

static bool fail(struct scan *scan, const char *problem)
{
	scan->problem = problem;
	return false;
}

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
		at++;
	return at;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits behind `\u`; -1 if they are none. */
static int32_t hex4(const char *at, const char *end)
{
	int32_t code = 0;
	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hex_value(at[i]);
		if (digit < 0)
			return -1;
		code = code * 16 + digit;
	}
	return code;
}

/* The code point of an escape at `\u`; @p used counts its bytes, 12 for a surrogate pair. */
static int32_t unicode_escape(const char *at, const char *end, size_t *used)
{
	int32_t code = hex4(at + 2, end);
	*used = 6;
	if (code < 0xD800 || code > 0xDFFF)
		return code;
	if (code > 0xDBFF || end - at < 12 || at[6] != '\\' || at[7] != 'u')
		return -1;
	int32_t low = hex4(at + 8, end);
	if (low < 0xDC00 || low > 0xDFFF)
		return -1;
	*used = 12;
	return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
}

static bool check_escape(struct scan *scan)
{
	if (scan->end - scan->at < 2)
		return fail(scan, "ends inside a string");
	if (scan->at[1] != 'u') {
		if (!memchr("\"\\/bfnrt", scan->at[1], 8))
			return fail(scan, "has an unknown escape");
		scan->at += 2;
		return true;
	}
	size_t used = 0;
	int32_t code = unicode_escape(scan->at, scan->end, &used);
	if (code < 0)
		return fail(scan, "has a broken \\u escape");
	if (!code)
		return fail(scan, "has an escaped NUL");
	scan->at += used;
	return true;
}

#define EACH_BYTE(b) (0x0101010101010101u * (b))

/* The first quote, backslash, control character or byte of a longer character at or behind @p at,
 * or @p end. Eight bytes at a time: strings are nearly all of a body. In each term the top bit of a
 * byte tells; bits above a true one may be wrong, so only the lowest counts. */
static const char *find_special(const char *at, const char *end)
{
	for (; end - at >= 8; at += 8) {
		uint64_t word = 0;
		memcpy(&word, at, sizeof(word));
		word = le64toh(word);
		uint64_t quote = word ^ EACH_BYTE('"'), slash = word ^ EACH_BYTE('\\');
		uint64_t found =
			(((word - EACH_BYTE(0x20)) & ~word) | ((quote - EACH_BYTE(1)) & ~quote) |
				((slash - EACH_BYTE(1)) & ~slash) | word) &
			EACH_BYTE(0x80);
		if (found)
			return at + __builtin_ctzll(found) / 8;
	}
	while (at < end && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' &&
		*at != '\\')
		at++;
	return at;
}

static bool check_string(struct scan *scan)
{
	scan->at++;
	while ((scan->at = find_special(scan->at, scan->end)) < scan->end) {
		unsigned char c = (unsigned char)*scan->at;
		if (c == '"') {
			scan->at++;
			return true;
		}
		if (c == '\\') {
			if (!check_escape(scan))
				return false;
			continue;
		}
		if (c < 0x20)
			return fail(scan, "has a control character inside a string");
		size_t width = utf8_width(scan->at, (size_t)(scan->end - scan->at));
		if (!width)
			return fail(scan, "is not valid UTF-8");
		scan->at += width;
	}
	return fail(scan, "ends inside a string");
}

static bool check_digits(struct scan *scan)
{
	const char *start = scan->at;
	while (scan->at < scan->end && is_digit(*scan->at))
		scan->at++;
	return scan->at > start;
}

/* Only its form: nobody reads a number, so any size will do. */
static bool check_number(struct scan *scan)
{
	bool good = true;
	if (*scan->at == '-')
		scan->at++;
	if (scan->at < scan->end && *scan->at == '0')
		scan->at++;
	else
		good = check_digits(scan);
	if (good && scan->at < scan->end && *scan->at == '.') {
		scan->at++;
		good = check_digits(scan);
	}
	if (good && scan->at < scan->end && (*scan->at | 0x20) == 'e') {
		scan->at++;
		if (scan->at < scan->end && (*scan->at == '+' || *scan->at == '-'))
			scan->at++;
		good = check_digits(scan);
	}
	return good || fail(scan, "has a broken number");
}

static bool check_word(struct scan *scan)
{
	static const char *const words[] = {"true", "false", "null"};
	size_t left = (size_t)(scan->end - scan->at);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t len = strlen(words[i]);
		if (left >= len && !memcmp(scan->at, words[i], len)) {
			scan->at += len;
			return true;
		}
	}
	return fail(scan, left ? "has an unexpected character" : "ends too early");
}

static bool check_open(struct scan *scan, enum expect *expect)
{
	bool object = *scan->at == '{';
	if (scan->depth == WEBHOOK_JSON_DEPTH)
		return fail(scan, "is nested too deeply");
	scan->is_object[scan->depth++] = object;
	scan->at++;
	*expect = object ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
	return true;
}

static bool check_value(struct scan *scan, enum expect *expect)
{
	char c = scan->at < scan->end ? *scan->at : '\0';
	if (c == '{' || c == '[')
		return check_open(scan, expect);
	*expect = EXPECT_MORE;
	if (c == '"')
		return check_string(scan);
	if (c == '-' || is_digit(c))
		return check_number(scan);
	return check_word(scan);
}

static bool check_key(struct scan *scan, enum expect *expect)
{
	if (scan->at == scan->end || *scan->at != '"')
		return fail(scan, "misses a member name in quotes");
	if (!check_string(scan))
		return false;
	scan->at = skip_blanks(scan->at, scan->end);
	if (scan->at == scan->end || *scan->at != ':')
		return fail(scan, "misses a colon");
	scan->at++;
	*expect = EXPECT_VALUE;
	return true;
}

/* A closing bracket if one may stand here; false with no problem set if there is none. */
static bool check_close(struct scan *scan, enum expect *expect)
{
	bool object = scan->is_object[scan->depth - 1];
	if (*expect == EXPECT_VALUE || *expect == EXPECT_KEY)
		return false;
	if (scan->at == scan->end || *scan->at != (object ? '}' : ']'))
		return false;
	scan->depth--;
	scan->at++;
	*expect = EXPECT_MORE;
	return true;
}

static bool check_step(struct scan *scan, enum expect *expect)
{
	scan->at = skip_blanks(scan->at, scan->end);
	if (check_close(scan, expect))
		return true;
	switch (*expect) {
	case EXPECT_VALUE:
	case EXPECT_VALUE_OR_END:
		return check_value(scan, expect);
	case EXPECT_KEY:
	case EXPECT_KEY_OR_END:
		return check_key(scan, expect);
	case EXPECT_MORE:
		break;
	}
	if (scan->at == scan->end)
		return fail(scan, "ends too early");
	if (*scan->at != ',')
		return fail(scan, "misses a comma");
	scan->at++;
	*expect = scan->is_object[scan->depth - 1] ? EXPECT_KEY : EXPECT_VALUE;
	return true;
}

bool webhook_json_check(
	const char *bytes, size_t len, struct webhook_json *object_out, const char **problem_out)
{
	struct scan scan = {.at = bytes, .end = bytes + len};
	enum expect expect = EXPECT_MORE;
	bool good = true;
	if (len >= 3 && !memcmp(bytes, "\xEF\xBB\xBF", 3))
		scan.at += 3;
	scan.at = skip_blanks(scan.at, scan.end);
	const char *start = scan.at;
	if (scan.at == scan.end)
		good = fail(&scan, "is empty");
	else if (*scan.at != '{')
		good = fail(&scan, "is no JSON object");
	else
		good = check_open(&scan, &expect);
	while (good && scan.depth)
		good = check_step(&scan, &expect);
	const char *end = scan.at;
	if (good && skip_blanks(scan.at, scan.end) != scan.end)
		good = fail(&scan, "goes on behind the JSON object");
	if (good)
		*object_out = (struct webhook_json){start, (size_t)(end - start)};
	else
		*problem_out = scan.problem;
	return good;
}

/* ---- reading proven text: no bounds can be missed any more ------------------------------------
 */

static const char *skip_string(const char *at, const char *end)
{
	for (at = find_special(at + 1, end); *at != '"'; at = find_special(at, end))
		at += *at == '\\' ? 2 : 1;
	return at + 1;
}

/* What a byte outside of strings does to the depth. */
static size_t depth_change(char c)
{
	if (c == '{' || c == '[')
		return 1;
	return c == '}' || c == ']' ? (size_t)-1 : 0;
}

/* The end of the value at @p at. Scalars other than strings end where a comma, bracket or blank
 * begins. */
static const char *value_end(const char *at, const char *end)
{
	size_t depth = 0;
	if (*at != '"' && !depth_change(*at))
		return at + strcspn(at, ",]} \t\r\n");
	do {
		if (*at == '"') {
			at = skip_string(at, end);
		} else {
			depth += depth_change(*at++);
		}
	} while (depth);
	return at;
}

static size_t put_code(char *to, uint32_t code)
{
	if (code < 0x80) {
		to[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		to[0] = (char)(0xC0 | code >> 6);
		to[1] = (char)(0x80 | (code & 63));
		return 2;
	}
	if (code < 0x10000) {
		to[0] = (char)(0xE0 | code >> 12);
		to[1] = (char)(0x80 | (code >> 6 & 63));
		to[2] = (char)(0x80 | (code & 63));
		return 3;
	}
	to[0] = (char)(0xF0 | code >> 18);
	to[1] = (char)(0x80 | (code >> 12 & 63));
	to[2] = (char)(0x80 | (code >> 6 & 63));
	to[3] = (char)(0x80 | (code & 63));
	return 4;
}

/* One character of a string into @p to (4 bytes at most); returns how many bytes it took. */
static size_t decode_char(const char *at, const char *end, char *to, size_t *put)
{
	static const char from[] = "bfnrt", into[] = "\b\f\n\r\t";
	size_t used = 1;
	*put = 1;
	to[0] = *at;
	if (*at != '\\')
		return used;
	if (at[1] == 'u') {
		*put = put_code(to, (uint32_t)unicode_escape(at, end, &used));
		return used;
	}
	const char *known = strchr(from, at[1]);
	to[0] = known ? into[known - from] : at[1];
	return 2;
}

bool webhook_json_text(struct webhook_json value, char *text, size_t size)
{
	if (!value.text || *value.text != '"')
		return false;
	const char *at = value.text + 1, *end = value.text + value.len - 1;
	size_t len = 0;
	while (at < end) {
		char bytes[4];
		size_t put = 0;
		at += decode_char(at, end, bytes, &put);
		if (len + put >= size)
			return false;
		memcpy(text + len, bytes, put);
		len += put;
	}
	text[len] = '\0';
	return true;
}

/* Is the string at @p key (of @p len bytes with its quotes) this name? Names may be escaped. */
static bool key_is(const char *key, size_t len, const char *name)
{
	size_t name_len = strlen(name);
	if (len == name_len + 2 && !memcmp(key + 1, name, name_len))
		return true;
	if (!memchr(key, '\\', len))
		return false;
	char text[64];
	return webhook_json_text((struct webhook_json){key, len}, text, sizeof(text)) &&
	       !strcmp(text, name);
}

static bool take_member(struct webhook_json key, struct webhook_json value,
	const char *const *names, size_t count, struct webhook_json *out)
{
	for (size_t i = 0; i < count; i++) {
		if (!key_is(key.text, key.len, names[i]))
			continue;
		if (out[i].text)
			return false;
		out[i] = value;
	}
	return true;
}

bool webhook_json_members(struct webhook_json object, const char *const *names, size_t count,
	struct webhook_json *out)
{
	for (size_t i = 0; i < count; i++)
		out[i] = (struct webhook_json){0};
	if (!webhook_json_is_object(object))
		return false;
	const char *end = object.text + object.len;
	const char *at = skip_blanks(object.text + 1, end);
	while (*at != '}') {
		struct webhook_json key = {at, (size_t)(skip_string(at, end) - at)};
		at = skip_blanks(at + key.len, end);
		at = skip_blanks(at + 1, end);
		struct webhook_json value = {at, (size_t)(value_end(at, end) - at)};
		if (!take_member(key, value, names, count, out))
			return false;
		at = skip_blanks(at + value.len, end);
		if (*at == ',')
			at = skip_blanks(at + 1, end);
	}
	return true;
}

struct webhook_json webhook_json_member(struct webhook_json object, const char *name)
{
	struct webhook_json value = {0};
	if (!webhook_json_members(object, &name, 1, &value))
		return (struct webhook_json){0};
	return value;
}

bool webhook_json_next(struct webhook_json array, size_t *at, struct webhook_json *item_out)
{
	if (!webhook_json_is_array(array))
		return false;
	const char *end = array.text + array.len;
	const char *item = skip_blanks(array.text + (*at ? *at : 1), end);
	if (*item == ',')
		item = skip_blanks(item + 1, end);
	if (*item == ']')
		return false;
	*item_out = (struct webhook_json){item, (size_t)(value_end(item, end) - item)};
	*at = (size_t)(item - array.text) + item_out->len;
	return true;
}

bool webhook_json_is_null(struct webhook_json value)
{
	return !value.text || *value.text == 'n';
}

bool webhook_json_is_object(struct webhook_json value)
{
	return value.text && *value.text == '{';
}

bool webhook_json_is_array(struct webhook_json value)
{
	return value.text && *value.text == '[';
}
