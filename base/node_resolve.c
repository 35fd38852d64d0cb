#include "base/node_build.h"
#include <limits.h>
#include <math.h>
#include <sodium.h>

#define DIGITS         "0123456789"
#define CORE           "tag:yaml.org,2002:"
#define DIGITS_MAX     1000 /* bounds the work of one conversion; Python's own limit is 4,300 */
#define DECIMAL_GROUPS (DIGITS_MAX * 4 / 29 + 2) /* of 9 digits (29.9 bits); 4 bits a hex digit */

bool resolve_time_exists(const struct resolve_time *time)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	if (time->month < 1 || time->month > 12 || time->day < 1)
		return false;
	bool leap = time->year % 4 == 0 && (time->year % 100 != 0 || time->year % 400 == 0);
	int last = days[time->month - 1] + (time->month == 2 && leap);
	return time->day <= last && time->hour <= 23 && time->minute <= 59 && time->second <= 59;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return (c | 0x20) - 'a' + 10;
}

/* number = number * base + digit, in groups of nine decimal digits, lowest first */
static size_t big_step(uint32_t *groups, size_t count, unsigned base, unsigned digit)
{
	uint64_t carry = digit;
	for (size_t i = 0; i < count; i++) {
		carry += (uint64_t)groups[i] * base;
		groups[i] = (uint32_t)(carry % 1000000000u);
		carry /= 1000000000u;
	}
	if (carry)
		groups[count++] = (uint32_t)carry;
	return count;
}

static bool set_big(struct node_build *build, struct node *node, const char *digits, unsigned base,
	bool negative)
{
	uint32_t groups[DECIMAL_GROUPS] = {0};
	size_t count = 1;
	for (const char *p = digits; *p; p++)
		if (*p != '_')
			count = big_step(groups, count, base, (unsigned)digit_value(*p));
	auto_buf struct buf text = BUF_INIT(DECIMAL_GROUPS * 9 + 2);
	buf_addf(&text, "%s%u", negative ? "-" : "", groups[count - 1]);
	for (size_t i = count - 1; i > 0; i--)
		buf_addf(&text, "%09u", groups[i - 1]);
	node->kind = NODE_FLOAT;
	node->integral = true;
	node->number = strtod(text.text, NULL);
	node->text = build_text(build, text.text, text.len);
	node->len = text.len;
	return true;
}

bool resolve_digits(struct node_build *build, struct node *node, const char *digits, unsigned base,
	bool negative, struct error *err)
{
	uint64_t value = 0;
	bool fits = true;
	size_t len = 0;
	for (const char *p = digits; *p; p++) {
		if (*p == '_')
			continue;
		len += len || *p != '0';
		fits = fits && !__builtin_mul_overflow(value, (uint64_t)base, &value) &&
		       !__builtin_add_overflow(value, (uint64_t)digit_value(*p), &value);
	}
	if (len > DIGITS_MAX)
		return node_error(err, node, "a number of %zu digits is too long", len);
	if (!fits || value > (uint64_t)INT64_MAX + negative)
		return set_big(build, node, digits, base, negative);
	node->kind = NODE_INT;
	node->integer = negative ? (int64_t)(0 - value) : (int64_t)value;
	return true;
}

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(text, words[i]))
			return true;
	return false;
}

/* null, true, false, .inf and .nan as YAML 1.2 core and go-yaml both write them */
static bool resolve_word(struct node *node)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
	static const char *const bools[] = {"true", "True", "TRUE", "false", "False", "FALSE"};
	static const char *const infinite[] = {".inf", ".Inf", ".INF"};
	static const char *const nans[] = {".nan", ".NaN", ".NAN"};
	const char *text = node->text;
	const char *unsigned_text = text + (*text == '-' || *text == '+');
	if (is_one_of(text, nulls, ARRAY_LEN(nulls))) {
		node->kind = NODE_NULL;
	} else if (is_one_of(text, bools, ARRAY_LEN(bools))) {
		node->kind = NODE_BOOL;
		node->boolean = (*text | 0x20) == 't';
	} else if (is_one_of(unsigned_text, infinite, ARRAY_LEN(infinite))) {
		node->kind = NODE_FLOAT;
		node->number = *text == '-' ? (double)-INFINITY : (double)INFINITY;
	} else if (is_one_of(text, nans, ARRAY_LEN(nans))) {
		node->kind = NODE_FLOAT;
		node->number = (double)NAN;
	} else {
		return false;
	}
	return true;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(const char *text)
{
	text += *text == '-' || *text == '+';
	size_t whole = strspn(text, DIGITS);
	text += whole;
	if (*text == '.') {
		size_t fraction = strspn(text + 1, DIGITS);
		if (!whole && !fraction)
			return false;
		text += 1 + fraction;
	} else if (!whole) {
		return false;
	}
	if (*text == 'e' || *text == 'E') {
		text++;
		text += *text == '-' || *text == '+';
		size_t exponent = strspn(text, DIGITS);
		if (!exponent)
			return false;
		text += exponent;
	}
	return !*text;
}

static bool set_string(struct node *node)
{
	node->kind = NODE_STRING;
	return true;
}

static bool set_float(struct node *node, const char *text)
{
	node->kind = NODE_FLOAT;
	node->number = strtod(text, NULL);
	return true;
}

static bool consists_of(const char *text, const char *set)
{
	return *text && !text[strspn(text, set)];
}

/* YAML 1.2 core schema, section 10.3.2 */
static bool resolve_core(struct node_build *build, struct node *node, struct error *err)
{
	const char *text = node->text;
	const char *digits = text + (*text == '-' || *text == '+');
	if (resolve_word(node))
		return true;
	if (consists_of(digits, DIGITS))
		return resolve_digits(build, node, digits, 10, *text == '-', err);
	if (!strncmp(text, "0o", 2) && consists_of(text + 2, "01234567"))
		return resolve_digits(build, node, text + 2, 8, false, err);
	if (!strncmp(text, "0x", 2) && consists_of(text + 2, DIGITS "abcdefABCDEF"))
		return resolve_digits(build, node, text + 2, 16, false, err);
	return is_float(text) ? set_float(node, text) : set_string(node);
}

/* Reads min to max digits; NULL if there are fewer. */
static const char *take_number(const char *p, int min, int max, int *out)
{
	int value = 0, count = 0;
	for (; count < max && p && *p >= '0' && *p <= '9'; count++)
		value = value * 10 + (*p++ - '0');
	*out = value;
	return count >= min ? p : NULL;
}

static const char *take_char(const char *p, const char *set)
{
	return p && *p && strchr(set, *p) ? p + 1 : NULL;
}

static const char *take_go_zone(const char *p, struct resolve_time *time)
{
	int hours = 0, minutes = 0;
	time->has_zone = true;
	if (*p == 'Z')
		return p + 1;
	int sign = *p == '-' ? -1 : 1;
	p = take_char(p, "+-");
	p = take_number(p, 2, 2, &hours);
	p = take_char(p, ":");
	p = take_number(p, 2, 2, &minutes);
	time->offset = sign * (hours * 60 + minutes);
	return hours <= 24 && minutes < 60 ? p : NULL;
}

/* The four layouts that go-yaml v3 tries, see specs of SOPS files */
static bool parse_go_time(const char *p, struct resolve_time *time)
{
	*time = (struct resolve_time){0};
	p = take_number(p, 4, 4, &time->year);
	p = take_number(take_char(p, "-"), 1, 2, &time->month);
	p = take_number(take_char(p, "-"), 1, 2, &time->day);
	if (!p || !*p)
		return p && resolve_time_exists(time);
	bool with_zone = *p != ' ';
	time->has_time = true;
	p = take_number(take_char(p, "Tt "), 1, 2, &time->hour);
	p = take_number(take_char(p, ":"), 1, 2, &time->minute);
	p = take_number(take_char(p, ":"), 1, 2, &time->second);
	if (p && *p == '.') {
		time->fraction = p + 1;
		time->fraction_len = (int)strspn(p + 1, DIGITS);
		p = time->fraction_len ? p + 1 + time->fraction_len : NULL;
	}
	if (p && with_zone)
		p = take_go_zone(p, time);
	return p && !*p && resolve_time_exists(time);
}

/* RFC 3339 as Go prints it: nanoseconds without trailing zeros, Z for an offset of zero */
static const char *go_time_text(struct node_build *build, const struct resolve_time *time)
{
	char text[80];
	int fraction = time->fraction_len < 9 ? time->fraction_len : 9;
	while (fraction && time->fraction[fraction - 1] == '0')
		fraction--;
	int len = snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d%s%.*s", time->year,
		time->month, time->day, time->hour, time->minute, time->second, fraction ? "." : "",
		fraction, fraction ? time->fraction : "");
	if (time->offset)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%c%02d:%02d",
			time->offset < 0 ? '-' : '+', abs(time->offset) / 60,
			abs(time->offset) % 60);
	else
		text[len++] = 'Z';
	return build_text(build, text, (size_t)len);
}

/* Integers as strconv.ParseInt(text, 0, 64) takes them: a leading 0 is octal. */
static bool go_integer(const char *text, const char **digits_out, unsigned *base_out)
{
	static const char sets[][24] = {
		[2] = "01", [8] = "01234567", [10] = DIGITS, [16] = DIGITS "abcdefABCDEF"};
	unsigned base = 10;
	if (text[0] == '0' && text[1]) {
		char mark = text[1] | 0x20;
		base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
		text += mark == 'x' || mark == 'b' || mark == 'o' ? 2 : 1;
	}
	*digits_out = text;
	*base_out = base;
	return consists_of(text, sets[base]);
}

static bool is_uint64(const char *digits)
{
	static const char largest[] = "18446744073709551615";
	size_t len = strlen(digits);
	return *digits != '-' &&
	       (len < strlen(largest) || (len == strlen(largest) && strcmp(digits, largest) <= 0));
}

static bool resolve_go_number(
	struct node_build *build, struct node *node, const char *text, struct error *err)
{
	const char *digits;
	unsigned base;
	const struct node written = *node;
	bool negative = *text == '-';
	if (go_integer(text + (negative || *text == '+'), &digits, &base)) {
		if (!resolve_digits(build, node, digits, base, negative, err))
			return false;
		if (node->integral && is_uint64(node->text))
			return node_error(err, node,
				"an integer over 9223372036854775807, which sops refuses");
		node->integral = false; /* sops has no larger integers: these are floats */
		node->text = written.text;
		node->len = written.len;
		return true;
	}
	if (!is_float(text) || !isfinite(strtod(text, NULL)))
		return set_string(node);
	return set_float(node, text);
}

static bool resolve_sops(struct node_build *build, struct node *node, struct error *err)
{
	struct resolve_time time;
	if (resolve_word(node))
		return true;
	if (!*node->text || !strchr(DIGITS "+-.", *node->text))
		return set_string(node);
	if (parse_go_time(node->text, &time)) {
		node->kind = NODE_TIME;
		node->iso = go_time_text(build, &time);
		return true;
	}
	auto_buf struct buf text = BUF_INIT_SECRET(node->len + 1);
	for (const char *p = node->text; *p; p++)
		if (*p != '_')
			buf_add_char(&text, *p);
	return resolve_go_number(build, node, text.text, err);
}

bool resolve_plain(
	struct node_build *build, enum node_rules rules, struct node *node, struct error *err)
{
	switch (rules) {
	case NODE_CORE12:
		return resolve_core(build, node, err);
	case NODE_ANSIBLE11:
		return resolve_ansible(build, node, err);
	case NODE_SOPS:
		return resolve_sops(build, node, err);
	}
	return set_string(node);
}

static bool decode_binary(struct node_build *build, struct node *node, struct error *err)
{
	auto_free char *room = mem_alloc(node->len + 1);
	size_t len = 0;
	if (sodium_base642bin((unsigned char *)room, node->len + 1, node->text, node->len,
		    " \t\r\n", &len, NULL, sodium_base64_VARIANT_ORIGINAL) ||
		memchr(room, '\0', len)) {
		sodium_memzero(room, node->len + 1);
		return node_error(err, node, "the value under '!!binary' is not base64 of a text");
	}
	node->text = build_text(build, room, len);
	node->len = len;
	sodium_memzero(room, node->len + 1);
	return set_string(node);
}

/* Does not repeat the value: under NODE_SOPS it may be a secret that is being encrypted. */
static bool wrong_kind(const struct node *node, struct error *err)
{
	return node_error(err, node, "the value is not what its tag '%.60s' says", node->tag);
}

static bool force_float(struct node *node, struct error *err)
{
	if (node->kind == NODE_INT) {
		double number = (double)node->integer;
		node->number = number;
	} else if (node->kind == NODE_STRING && is_float(node->text)) {
		node->number = strtod(node->text, NULL);
	} else if (node->kind != NODE_FLOAT) {
		return wrong_kind(node, err);
	}
	node->kind = NODE_FLOAT;
	node->integral = false;
	return true;
}

static bool resolve_core_tag(struct node_build *build, enum node_rules rules, struct node *node,
	const char *name, struct error *err)
{
	if (!strcmp(name, "str"))
		return set_string(node);
	if (!strcmp(name, "binary") && rules == NODE_SOPS)
		return decode_binary(build, node, err);
	if (!strcmp(name, "null")) {
		node->kind = NODE_NULL;
		return true;
	}
	if (!resolve_plain(build, rules, node, err))
		return false;
	if (!strcmp(name, "float"))
		return force_float(node, err);
	bool fits = (!strcmp(name, "bool") && node->kind == NODE_BOOL) ||
		    (!strcmp(name, "int") && (node->kind == NODE_INT || node->integral)) ||
		    (!strcmp(name, "timestamp") && node->kind == NODE_TIME);
	return fits || wrong_kind(node, err);
}

bool resolve_tagged(
	struct node_build *build, enum node_rules rules, struct node *node, struct error *err)
{
	static const char *const core[] = {"str", "int", "float", "bool", "null"};
	const char *tag = node->tag;
	const char *name = strncmp(tag, CORE, strlen(CORE)) ? "" : tag + strlen(CORE);
	bool is_time = !strcmp(name, "timestamp") && rules != NODE_CORE12;
	bool is_binary = !strcmp(name, "binary") && rules == NODE_SOPS;
	if (is_time || is_binary || is_one_of(name, core, ARRAY_LEN(core)))
		return resolve_core_tag(build, rules, node, name, err);
	if (rules == NODE_SOPS)
		return set_string(node); /* go-yaml drops tags that it does not know */
	if (rules == NODE_ANSIBLE11 && (!strcmp(tag, "!vault") || !strcmp(tag, "!unsafe") ||
					       !strcmp(tag, "!vault-encrypted"))) {
		node->kind = NODE_TAGGED;
		return true;
	}
	return node_error(err, node, "the tag '%.60s' is not known here", tag);
}
