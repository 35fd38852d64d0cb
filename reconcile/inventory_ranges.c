/* reconcile/inventory_ranges.c - host patterns: web[01:50].example.org:22
 *
 * Follows Ansible's parse_address() and expand_hostname_range() in what they accept, which is
 * sometimes more than they meant to: a port counts only if the rest looks like a host name or an
 * address; what does not is a name as it stands.
 */
#include "reconcile/inventory_build.h"

#include <ctype.h>

#define RANGES_MAX      8    /* of one pattern; each is a level of recursion */
#define HOST_NAME_LIMIT 1024 /* of one host name; DNS allows 253 */
#define LETTERS         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
	return isxdigit((unsigned char)c) != 0;
}

static size_t skip_while(const char *text, size_t len, bool (*is)(char))
{
	size_t at = 0;

	while (at < len && is(text[at]))
		at++;
	return at;
}

/* Length of "[begin:end]" or "[begin:end:step]" at the start of text, or 0. */
static size_t range_len(const char *text, size_t len, bool (*is)(char), size_t max_digits)
{
	size_t at = 1;

	if (!len || text[0] != '[')
		return 0;
	for (int bound = 0; bound < 3; bound++) {
		size_t digits = skip_while(text + at, len - at, bound < 2 ? is : is_digit);
		if (!digits || (bound < 2 && digits > max_digits))
			return 0;
		at += digits;
		if (at < len && text[at] == ']' && bound)
			return at + 1;
		if (at >= len || text[at] != ':')
			return 0;
		at++;
	}
	return 0;
}

static size_t label_range_len(const char *text, size_t len)
{
	size_t found = range_len(text, len, is_digit, SIZE_MAX);
	return found ? found : range_len(text, len, is_letter, 1);
}

/* Python's \w: letters and digits of any script. Beyond ASCII only the blocks that hold no
 * letters are left out; a wrong guess there keeps ":22" in a name that nobody has. */
static bool is_word(uint32_t c)
{
	if (c < 0x80)
		return isalnum((int)c) || c == '_';
	if (c < 0xaa || c == 0xab || c == 0xd7 || c == 0xf7)
		return false;
	return !(c >= 0x2000 && c <= 0x206f) && !(c >= 0x20a0 && c <= 0x20cf) &&
	       !(c >= 0x2190 && c <= 0x245f) && !(c >= 0x2500 && c <= 0x2bff) &&
	       !(c >= 0x3000 && c <= 0x3004) && !(c >= 0xd800 && c <= 0xf8ff) &&
	       !(c >= 0x1f000 && c <= 0x1faff);
}

/* One code point of valid UTF-8. */
static size_t decode(const char *text, size_t len, uint32_t *point_out)
{
	unsigned char first = (unsigned char)text[0];
	size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	uint32_t point = size == 1 ? first : first & (0xffu >> (size + 1));

	if (size > len)
		size = len;
	for (size_t i = 1; i < size; i++)
		point = point << 6 | ((unsigned char)text[i] & 0x3f);
	*point_out = point;
	return size;
}

/* Length of a label: word characters, ranges and inner dashes; 0 if it is none. */
static size_t label_len(const char *text, size_t len)
{
	size_t at = 0;
	char last = '-';

	while (at < len && text[at] != '.') {
		size_t size = label_range_len(text + at, len - at);
		uint32_t point = 0;
		if (!size) {
			size = decode(text + at, len - at, &point);
			if (!is_word(point) && (point != '-' || at == 0))
				return 0;
		}
		at += size;
		last = text[at - 1];
	}
	return last == '-' || last == '_' ? 0 : at;
}

/* Host names with ranges; IPv4 addresses with ranges are among them. */
static bool is_hostname(const char *text, size_t len)
{
	for (size_t at = 0;; at++) {
		size_t label = label_len(text + at, len - at);
		if (!label)
			return false;
		at += label;
		if (at == len)
			return true;
	}
}

/* Length of one part of an IPv6 address that ':' or the end may follow. */
static size_t part_len(const char *text, size_t len)
{
	size_t found = range_len(text, len, is_hex, SIZE_MAX);
	if (found)
		return found;
	found = skip_while(text, len, is_hex);
	return found > 4 ? 4 : found;
}

/* Ansible's expression is anchored neither after "::" nor after eight parts. */
static bool is_ipv6(const char *text, size_t len)
{
	size_t at = 0;

	if (len >= 2 && text[0] == ':' && text[1] == ':')
		return true;
	for (int parts = 1; parts <= 8; parts++) {
		size_t part = part_len(text + at, len - at);
		if (!part)
			return false;
		if (parts == 8)
			return true;
		at += part;
		if (at >= len || text[at] != ':')
			return false;
		at++;
		if (at < len && text[at] == ':')
			return parts <= 6;
	}
	return false;
}

/* Offset of the ':' before a port that ends text: digits only, and no other ':' outside brackets
 * before it. */
static bool find_port(const char *text, size_t len, size_t *colon_out)
{
	size_t at = 0;

	while (at < len && text[at] != ':') {
		if (text[at] == ']')
			return false;
		if (text[at] == '[') {
			const char *end = memchr(text + at, ']', len - at);
			if (!end)
				return false;
			at = (size_t)(end - text);
		}
		at++;
	}
	if (at + 1 >= len || skip_while(text + at + 1, len - at - 1, is_digit) != len - at - 1)
		return false;
	*colon_out = at;
	return true;
}

/* "[host]:port": offset of the last ']'. */
static bool find_bracketed_port(const char *text, size_t len, size_t *bracket_out)
{
	const char *end = len && text[0] == '[' ? memrchr(text, ']', len) : NULL;
	size_t at = end ? (size_t)(end - text) : 0;

	if (at < 2 || at + 2 >= len || text[at + 1] != ':')
		return false;
	if (skip_while(text + at + 2, len - at - 2, is_digit) != len - at - 2)
		return false;
	*bracket_out = at;
	return true;
}

static int port_number(const char *digits, size_t len)
{
	int port = 0;

	for (size_t i = 0; i < len && port <= 65535; i++)
		port = port * 10 + (digits[i] - '0');
	return port;
}

bool host_pattern_parse(const char *text, struct host_pattern *pattern_out, struct error *err)
{
	struct host_pattern whole = {.names = text, .len = strlen(text)};
	struct host_pattern found = whole;
	size_t at;
	bool has_port = false;

	if (find_bracketed_port(text, whole.len, &at)) {
		found.port = port_number(text + at + 2, whole.len - at - 2);
		found.names = text + 1;
		found.len = at - 1;
		has_port = true;
	}
	if (find_port(found.names, found.len, &at)) {
		found.port = port_number(found.names + at + 1, found.len - at - 1);
		found.len = at;
		has_port = true;
	}
	if (has_port && !is_hostname(found.names, found.len) && !is_ipv6(found.names, found.len))
		found = whole;
	if (found.port > 65535) {
		error_set(err, ERR_INVALID, "port of host '%s' is above 65535", text);
		return false;
	}
	*pattern_out = found;
	return true;
}

/* ---- expansion ------------------------------------------------------------------------------ */

struct range {
	int64_t begin, end, step; /* end included */
	int width;                /* of zero-padded numbers, else 0 */
	bool letters;
};

struct expansion {
	size_t *steps;
	host_pattern_visit *visit;
	void *context;
	struct error *err;
};

/* Python's int(): spaces around, a sign, single underscores between digits. */
static bool parse_int(const char *text, size_t len, int64_t *value_out)
{
	int64_t value = 0;
	bool negative, after_digit = false;

	while (len && isspace((unsigned char)text[len - 1]))
		len--;
	while (len && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	negative = len && *text == '-';
	if (len && (*text == '-' || *text == '+')) {
		text++;
		len--;
	}
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '_' ? !after_digit : !is_digit(text[i]))
			return false;
		after_digit = text[i] != '_';
		if (after_digit)
			value = value * 10 + (text[i] - '0');
		if (value > INT32_MAX)
			return false;
	}
	*value_out = negative ? -value : value;
	return after_digit;
}

static bool letter_position(const char *text, size_t len, int64_t *position_out)
{
	const char *at = len && len <= 52 ? memmem(LETTERS, 52, text, len) : NULL;

	if (!at)
		return false;
	*position_out = at - LETTERS;
	return true;
}

/* The bounds of "begin:end:step". Letters are tried first, as Ansible does. */
static bool parse_range(const char *text, size_t len, struct range *range, struct error *err)
{
	const char *field[3];
	size_t field_len[3], count = 0;
	const char *end_of_text = text + len;

	for (const char *at = text; at; count++) {
		const char *colon = memchr(at, ':', (size_t)(end_of_text - at));
		if (count == 3)
			return error_set(err, ERR_INVALID, "more than begin:end:step");
		field[count] = at;
		field_len[count] = (size_t)((colon ? colon : end_of_text) - at);
		at = colon ? colon + 1 : NULL;
	}
	if (count < 2)
		return error_set(err, ERR_INVALID, "not begin:end or begin:end:step");
	if (!field_len[1])
		return error_set(err, ERR_INVALID, "the end is missing");
	if (!field_len[0]) {
		field[0] = "0";
		field_len[0] = 1;
	}
	*range = (struct range){.step = 1};
	if (field[0][0] == '0' && field_len[0] > 1) {
		if (field_len[0] != field_len[1])
			return error_set(err, ERR_INVALID, "bounds of different lengths");
		range->width = (int)field_len[0];
	}
	bool step = count < 3 || parse_int(field[2], field_len[2], &range->step);
	if (letter_position(field[0], field_len[0], &range->begin) &&
		letter_position(field[1], field_len[1], &range->end)) {
		range->letters = true;
		if (range->begin > range->end)
			return error_set(err, ERR_INVALID, "the end lies before the begin");
	} else if (!parse_int(field[0], field_len[0], &range->begin) ||
		   !parse_int(field[1], field_len[1], &range->end)) {
		return error_set(err, ERR_INVALID, "bounds are neither numbers nor letters");
	}
	if (!step || !range->step)
		return error_set(err, ERR_INVALID, "the step must be a number other than 0");
	/* a slice of letters that runs backwards is empty in Python */
	if (range->letters && range->step < 0)
		range->end = range->begin - 1, range->step = 1;
	return true;
}

static bool expand(const char *text, int depth, struct expansion *to);

static bool expand_range(const char *text, size_t low, size_t high, int depth, struct expansion *to)
{
	struct range range;
	/* Python's range(begin, end + 1, step): backwards it stops one earlier */
	if (!parse_range(text + low + 1, high - low - 1, &range, to->err))
		return error_wrap(to->err, "range '%.*s'",
			(int)(high - low + 1 > 80 ? 80 : high - low + 1), text + low);
	int64_t stop = range.end + 1;
	for (int64_t at = range.begin; range.step > 0 ? at < stop : at > stop; at += range.step) {
		auto_buf struct buf name = BUF_INIT(HOST_NAME_LIMIT);
		if (++*to->steps > INVENTORY_MAX_HOSTS)
			return error_set(to->err, ERR_INVALID, "ranges name more than %d hosts",
				INVENTORY_MAX_HOSTS);
		buf_add(&name, text, low);
		if (range.letters)
			buf_add_char(&name, LETTERS[at]);
		else
			buf_addf(&name, "%0*lld", range.width, (long long)at);
		buf_add_str(&name, text + high + 1);
		if (buf_overflowed(&name))
			return error_set(to->err, ERR_INVALID, "host name is longer than %d bytes",
				HOST_NAME_LIMIT);
		if (!expand(name.text, depth + 1, to))
			return false;
	}
	return true;
}

/* Ansible puts '|' for the first '[' and the first ']' and parts the text there. */
static bool expand(const char *text, int depth, struct expansion *to)
{
	const char *open = strchr(text, '[');
	const char *close = strchr(text, ']');

	if (!open) {
		to->visit(to->context, text);
		return true;
	}
	if (!close || strchr(text, '|'))
		return error_set(to->err, ERR_INVALID, "'[' without a range [begin:end]");
	if (depth == RANGES_MAX)
		return error_set(to->err, ERR_INVALID, "more than %d ranges", RANGES_MAX);
	size_t low = (size_t)(open < close ? open - text : close - text);
	size_t high = (size_t)(open < close ? close - text : open - text);
	return expand_range(text, low, high, depth, to);
}

bool host_pattern_expand(const struct host_pattern *pattern, size_t *steps,
	host_pattern_visit *visit, void *context, struct error *err)
{
	struct expansion to = {.steps = steps, .visit = visit, .context = context, .err = err};
	auto_free char *names = NULL;

	if (pattern->len > HOST_NAME_LIMIT)
		return error_set(
			err, ERR_INVALID, "host name is longer than %d bytes", HOST_NAME_LIMIT);
	names = mem_dup(pattern->names, pattern->len);
	return expand(names, 0, &to);
}
