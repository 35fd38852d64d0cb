/* YAML 1.1 as PyYAML's SafeLoader and Ansible's constructor read it: the regular expressions of
 * yaml/resolver.py by hand, in their order (float, int, timestamp for what starts with a digit).
 */
#include "base/node_build.h"
#include <math.h>

#define DIGITS "0123456789"

static bool is_bool(const char *text, bool *value_out)
{
	static const struct {
		const char *lower, *title, *upper;
		bool value;
	} words[] = {
		{"yes", "Yes", "YES", true},
		{"no", "No", "NO", false},
		{"true", "True", "TRUE", true},
		{"false", "False", "FALSE", false},
		{"on", "On", "ON", true},
		{"off", "Off", "OFF", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(text, words[i].lower) && strcmp(text, words[i].title) &&
			strcmp(text, words[i].upper))
			continue;
		*value_out = words[i].value;
		return true;
	}
	return false;
}

static bool is_null(const char *text)
{
	return !*text || !strcmp(text, "~") || !strcmp(text, "null") || !strcmp(text, "Null") ||
	       !strcmp(text, "NULL");
}

/* (:[0-5]?[0-9])+ ; end of it, or NULL if there is none */
static const char *skip_sixties(const char *p)
{
	const char *start = p;
	while (*p == ':' && p[1] >= '0' && p[1] <= '9') {
		if (p[2] < '0' || p[2] > '9')
			p += 2;
		else if (p[1] <= '5')
			p += 3;
		else
			break;
	}
	return p > start ? p : NULL;
}

/* ([eE][-+][0-9]+)? to the end of the text: the sign is not optional */
static bool is_exponent_or_end(const char *p)
{
	if (!*p)
		return true;
	if ((*p != 'e' && *p != 'E') || (p[1] != '-' && p[1] != '+'))
		return false;
	size_t digits = strspn(p + 2, DIGITS);
	return digits && !p[2 + digits];
}

enum number_form { NOT_NUMBER, PLAIN_FLOAT, SIXTY_FLOAT };

static enum number_form float_form(const char *text)
{
	const char *p = text + (*text == '-' || *text == '+');
	if (*text == '.') {
		bool digit = text[1] >= '0' && text[1] <= '9';
		return digit && is_exponent_or_end(text + 1 + strspn(text + 1, DIGITS "_"))
			       ? PLAIN_FLOAT
			       : NOT_NUMBER;
	}
	if (*p < '0' || *p > '9')
		return NOT_NUMBER;
	p += strspn(p, DIGITS "_");
	if (*p == '.')
		return is_exponent_or_end(p + 1 + strspn(p + 1, DIGITS "_")) ? PLAIN_FLOAT
									     : NOT_NUMBER;
	p = skip_sixties(p);
	if (!p || *p != '.')
		return NOT_NUMBER;
	return p[1 + strspn(p + 1, DIGITS "_")] ? NOT_NUMBER : SIXTY_FLOAT;
}

static void without_underscores(const char *text, struct buf *out)
{
	for (; *text; text++)
		if (*text != '_')
			buf_add_char(out, *text);
}

/* Adds the parts as Python does, lowest first, so that the last bit agrees. */
static double sum_sixties(char *text)
{
	double sum = 0, base = 1;
	for (char *colon; (colon = strrchr(text, ':')); base *= 60) {
		sum += strtod(colon + 1, NULL) * base;
		*colon = '\0';
	}
	return sum + strtod(text, NULL) * base;
}

static bool resolve_float(struct node *node)
{
	const char *text = node->text;
	const char *magnitude = text + (*text == '-' || *text == '+');
	enum number_form form = float_form(text);
	if (!strcmp(magnitude, ".inf") || !strcmp(magnitude, ".Inf") || !strcmp(magnitude, ".INF"))
		node->number = (double)INFINITY;
	else if (!strcmp(text, ".nan") || !strcmp(text, ".NaN") || !strcmp(text, ".NAN"))
		node->number = (double)NAN;
	else if (form == NOT_NUMBER)
		return false;
	else {
		auto_buf struct buf plain = BUF_INIT_SECRET(node->len + 1);
		without_underscores(magnitude, &plain);
		node->number =
			form == SIXTY_FLOAT ? sum_sixties(plain.text) : strtod(plain.text, NULL);
	}
	if (*text == '-')
		node->number = -node->number;
	node->kind = NODE_FLOAT;
	return true;
}

/* Is the whole text digits of the set or underscores, at least one? */
static bool all_of(const char *text, const char *set)
{
	return *text && !text[strspn(text, set)];
}

static bool resolve_sixties(struct node *node, const char *digits, bool negative, struct error *err)
{
	int64_t sum = 0, part = 0;
	bool fits = true;
	for (const char *p = digits; *p && fits; p++) {
		if (*p == ':') {
			fits = !__builtin_add_overflow(sum, part, &sum) &&
			       !__builtin_mul_overflow(sum, 60, &sum);
			part = 0;
		} else if (*p != '_') {
			fits = !__builtin_mul_overflow(part, 10, &part) &&
			       !__builtin_add_overflow(part, *p - '0', &part);
		}
	}
	if (!fits || __builtin_add_overflow(sum, part, &sum))
		return node_error(
			err, node, "'%.40s' is a base 60 number that is too large", node->text);
	node->kind = NODE_INT;
	node->integer = negative ? -sum : sum;
	return true;
}

/* @return false with *done false: no integer; with *done true: an error is set */
static bool resolve_int(struct node_build *build, struct node *node, bool *done, struct error *err)
{
	const char *text = node->text;
	bool negative = *text == '-';
	const char *digits = text + (negative || *text == '+');
	*done = true;
	unsigned base = 0;
	if (!strncmp(digits, "0b", 2) && all_of(digits + 2, "01_"))
		base = 2;
	else if (!strncmp(digits, "0x", 2) && all_of(digits + 2, DIGITS "abcdefABCDEF_"))
		base = 16;
	if (base && strspn(digits + 2, "_") == strlen(digits + 2))
		return node_error(err, node, "'%.40s' is a number without digits", text);
	if (base)
		return resolve_digits(build, node, digits + 2, base, negative, err);
	if (digits[0] == '0' && !digits[strspn(digits, "01234567_")])
		return resolve_digits(build, node, digits, 8, negative, err);
	*done = *digits >= '1' && *digits <= '9';
	if (!*done)
		return false;
	const char *rest = digits + strspn(digits, DIGITS "_");
	if (!*rest)
		return resolve_digits(build, node, digits, 10, negative, err);
	rest = skip_sixties(rest);
	if (rest && !*rest)
		return resolve_sixties(node, digits, negative, err);
	*done = false;
	return false;
}

/* min to max digits; NULL passes through and marks a text that does not match */
static const char *take_number(const char *p, int min, int max, int *out)
{
	int value = 0, count = 0;
	for (; count < max && p && *p >= '0' && *p <= '9'; count++)
		value = value * 10 + (*p++ - '0');
	*out = value;
	return count >= min ? p : NULL;
}

static const char *take_char(const char *p, char c)
{
	return p && *p == c ? p + 1 : NULL;
}

/* ([ \t]*(Z|[-+][0-9][0-9]?(:[0-9][0-9])?))? */
static const char *take_zone(const char *p, struct resolve_time *time)
{
	const char *start = p;
	int hours, minutes = 0;
	p += strspn(p, " \t");
	if (!*p)
		return start; /* trailing blanks do not match, as they do not in Python */
	time->has_zone = true;
	if (*p == 'Z')
		return p + 1;
	if (*p != '-' && *p != '+')
		return NULL;
	int sign = *p == '-' ? -1 : 1;
	p = take_number(p + 1, 1, 2, &hours);
	if (p && *p == ':')
		p = take_number(p + 1, 2, 2, &minutes);
	time->offset = sign * (hours * 60 + minutes);
	return p;
}

static bool parse_time(const char *text, struct resolve_time *time)
{
	*time = (struct resolve_time){0};
	const char *p = take_number(text, 4, 4, &time->year);
	p = take_number(take_char(p, '-'), 1, 2, &time->month);
	p = take_number(take_char(p, '-'), 1, 2, &time->day);
	if (p && !*p)
		return p - text == 10; /* without a time both have two digits */
	if (!p)
		return false;
	size_t blanks = strspn(p, " \t");
	if (!blanks && *p != 'T' && *p != 't')
		return false;
	time->has_time = true;
	p = take_number(p + (blanks ? blanks : 1), 1, 2, &time->hour);
	p = take_number(take_char(p, ':'), 2, 2, &time->minute);
	p = take_number(take_char(p, ':'), 2, 2, &time->second);
	if (p && *p == '.') {
		time->fraction = p + 1;
		time->fraction_len = (int)strspn(p + 1, DIGITS);
		p += 1 + time->fraction_len;
	}
	p = p ? take_zone(p, time) : NULL;
	return p && !*p;
}

static int microseconds(const struct resolve_time *time)
{
	int value = 0;
	for (int i = 0; i < 6; i++)
		value = value * 10 + (i < time->fraction_len ? time->fraction[i] - '0' : 0);
	return value;
}

/* datetime.isoformat() */
static const char *iso_text(struct node_build *build, const struct resolve_time *time)
{
	auto_buf struct buf text = BUF_INIT(64);
	buf_addf(&text, "%04d-%02d-%02d", time->year, time->month, time->day);
	if (time->has_time)
		buf_addf(&text, "T%02d:%02d:%02d", time->hour, time->minute, time->second);
	if (microseconds(time))
		buf_addf(&text, ".%06d", microseconds(time));
	if (time->has_zone)
		buf_addf(&text, "%c%02d:%02d", time->offset < 0 ? '-' : '+', abs(time->offset) / 60,
			abs(time->offset) % 60);
	return build_text(build, text.text, text.len);
}

static bool set_time(struct node_build *build, struct node *node, const struct resolve_time *time,
	struct error *err)
{
	bool exists = time->year >= 1 && resolve_time_exists(time) && abs(time->offset) < 24 * 60;
	if (!exists) {
		node_error(err, node, "'%.40s' is a date that does not exist", node->text);
		return error_hint(err, "write it in quotes if it is a text");
	}
	node->kind = NODE_TIME;
	node->iso = iso_text(build, time);
	return true;
}

bool resolve_ansible(struct node_build *build, struct node *node, struct error *err)
{
	const char *text = node->text;
	struct resolve_time time;
	bool done = false, value;
	node->kind = NODE_STRING;
	if (is_null(text)) {
		node->kind = NODE_NULL;
		return true;
	}
	if (is_bool(text, &value)) {
		node->kind = NODE_BOOL;
		node->boolean = value;
		return true;
	}
	if (!strchr("0123456789+-.<=", *text))
		return true;
	if (resolve_float(node) || resolve_int(build, node, &done, err))
		return true;
	if (done)
		return false;
	if (parse_time(text, &time))
		return set_time(build, node, &time, err);
	if (strcmp(text, "=") && strcmp(text, "<<"))
		return true;
	node_error(err, node, "'%s' has no meaning as a value", text);
	return error_hint(err, "write it in quotes");
}
