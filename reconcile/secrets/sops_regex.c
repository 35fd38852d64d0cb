/* From Go's RE2 syntax to POSIX extended. What both have goes through; \d \w \s, (?:...), (?i) at
 * the start and lazy quantifiers are rewritten; all else is refused. */
#include "base/buf.h"
#include "reconcile/secrets/sops_rules.h"
#include <ctype.h>

#define REPEAT_MAX   1000 /* of RE2 */
#define REPEAT_TOTAL 2000 /* product of nested {n,m}: the matcher's memory grows with it */

struct translation {
	const char *at;
	struct buf *out;
	struct error *err;
	size_t depth;
	unsigned long repeats;
	bool can_repeat; /* something stands before that a quantifier can follow */
};

static bool refuse(struct translation *t, const char *what)
{
	return error_set(
		t->err, ERR_INVALID, "regular expression has %s, which is not supported", what);
}

static const char *class_of(char letter)
{
	switch (letter) {
	case 'd':
		return "0-9";
	case 'w':
		return "0-9A-Za-z_";
	case 's':
		return "\t\n\f\r ";
	default:
		return NULL;
	}
}

static bool translate_escape(struct translation *t)
{
	char c = t->at[1];
	const char *members = class_of((char)tolower((unsigned char)c));
	t->can_repeat = true;
	if (members && (islower((unsigned char)c) || isupper((unsigned char)c))) {
		buf_addf(t->out, "[%s%s]", isupper((unsigned char)c) ? "^" : "", members);
	} else if (c == 'b' || c == 'B') {
		buf_addf(t->out, "\\%c", c);
		t->can_repeat = false;
	} else if (c == 'A' || c == 'z') {
		buf_add_char(t->out, c == 'A' ? '^' : '$');
		t->can_repeat = false;
	} else if (c == 't' || c == 'n') {
		buf_add_char(t->out, c == 't' ? '\t' : '\n');
	} else if (c > 0 && ispunct((unsigned char)c)) {
		bool special = strchr(".[]()*+?{}|^$\\", c) != NULL;
		buf_addf(t->out, special ? "\\%c" : "%c", c);
	} else {
		return refuse(t, c ? "an escape like \\p, \\x or \\Q" : "a \\ at its end");
	}
	t->at += 2;
	return true;
}

struct set {
	bool members[128];
};

static bool add_escape_to_set(struct translation *t, struct set *set, int *single_out)
{
	char c = t->at[1];
	const char *members = class_of(c);
	*single_out = -1;
	if (members) {
		for (int i = 0; i < 128; i++) {
			bool in = c == 's' ? i && strchr(members, i)
					   : isdigit(i) || (c == 'w' && (isalnum(i) || i == '_'));
			set->members[i] |= in;
		}
	} else if (c == 't' || c == 'n') {
		*single_out = c == 't' ? '\t' : '\n';
	} else if (c > 0 && ispunct((unsigned char)c)) {
		*single_out = c;
	} else {
		return refuse(t, "an escape inside [...] other than \\d \\w \\s");
	}
	t->at += 2;
	return true;
}

/* One member, or -1 where a class like \d was added. */
static bool take_member(struct translation *t, struct set *set, int *single_out)
{
	if (*t->at == '\\')
		return add_escape_to_set(t, set, single_out);
	if (*t->at == '[' && t->at[1] == ':')
		return refuse(t, "a named class");
	if ((unsigned char)*t->at >= 128)
		return refuse(t, "a character outside ASCII inside [...]");
	*single_out = *t->at++;
	return true;
}

static bool fill_set(struct translation *t, struct set *set)
{
	bool first = true;
	for (; *t->at && (*t->at != ']' || first); first = false) {
		int from, to;
		if (!take_member(t, set, &from))
			return false;
		to = from;
		if (from >= 0 && t->at[0] == '-' && t->at[1] && t->at[1] != ']') {
			t->at++;
			if (!take_member(t, set, &to))
				return false;
			if (to < from)
				return refuse(t, "a range that runs backwards");
		}
		for (int i = from; from >= 0 && i <= to; i++)
			set->members[i] = true;
	}
	if (!*t->at)
		return refuse(t, "a [ without its ]");
	t->at++;
	return true;
}

/* `]` first, `^` never first, `-` last: as POSIX wants them. */
static void write_set(struct buf *out, const struct set *set, bool negated)
{
	buf_add_str(out, negated ? "[^" : "[");
	if (set->members[']'])
		buf_add_char(out, ']');
	for (int i = 1; i < 128; i++) {
		if (set->members[i] && i != ']' && i != '^' && i != '-' && i != '[')
			buf_add_char(out, (char)i);
	}
	if (set->members['['])
		buf_add_char(out, '[');
	if (set->members['^'])
		buf_add_char(out, '^');
	if (set->members['-'])
		buf_add_char(out, '-');
	buf_add_char(out, ']');
}

static bool translate_set(struct translation *t)
{
	struct set set = {0};
	size_t members = 0;
	t->at++;
	bool negated = *t->at == '^';
	t->at += negated;
	if (!fill_set(t, &set))
		return false;
	for (int i = 1; i < 128; i++)
		members += set.members[i];
	t->can_repeat = true;
	if (members == 1 && set.members['^'] && !negated)
		buf_add_str(t->out, "\\^");
	else
		write_set(t->out, &set, negated);
	return true;
}

static bool translate_group(struct translation *t)
{
	t->at++;
	if (t->at[0] == '?' && t->at[1] == ':')
		t->at += 2;
	else if (t->at[0] == '?')
		return refuse(t, "a group with flags or a name");
	if (*t->at == ')')
		return refuse(t, "an empty group");
	buf_add_char(t->out, '(');
	t->depth++;
	t->can_repeat = false;
	return true;
}

/* {n}, {n,} and {n,m}; anything else is a literal brace in Go, which we refuse. */
static bool translate_braces(struct translation *t)
{
	char *end;
	const char *start = t->at + 1;
	unsigned long least = strtoul(start, &end, 10), most = least;
	bool ok = isdigit((unsigned char)*start);
	if (ok && *end == ',' && isdigit((unsigned char)end[1]))
		most = strtoul(end + 1, &end, 10);
	else if (ok && *end == ',')
		end++;
	if (!ok || *end != '}' || least > most || most > REPEAT_MAX)
		return refuse(t, "braces that are no repetition up to 1000");
	t->repeats *= most ? most : 1;
	if (t->repeats > REPEAT_TOTAL || most > RE_DUP_MAX)
		return refuse(t, "repetitions of more than 2000 in all");
	buf_add(t->out, t->at, (size_t)(end + 1 - t->at));
	t->at = end + 1;
	return true;
}

static bool translate_quantifier(struct translation *t)
{
	if (!t->can_repeat)
		return refuse(t, "a repetition of nothing");
	if (*t->at == '{') {
		if (!translate_braces(t))
			return false;
	} else {
		buf_add_char(t->out, *t->at++);
	}
	if (*t->at == '?') /* lazy: the same for whether it matches */
		t->at++;
	t->can_repeat = false;
	return true;
}

static bool translate_one(struct translation *t)
{
	char c = *t->at;
	if (c == '\\')
		return translate_escape(t);
	if (c == '[')
		return translate_set(t);
	if (c == '(')
		return translate_group(t);
	if (strchr("*+?{", c))
		return translate_quantifier(t);
	if (c == ')') {
		if (!t->depth--)
			return refuse(t, "a ) without its (");
		t->can_repeat = true;
	} else if (c == '|') {
		if (!t->out->len || strchr("(|", t->out->text[t->out->len - 1]) || !t->at[1] ||
			strchr("|)", t->at[1]))
			return refuse(t, "an empty alternative");
		t->can_repeat = false;
	} else {
		t->can_repeat = c != '^' && c != '$';
	}
	if (c == ']' || c == '}')
		buf_add_char(t->out, '\\');
	buf_add_char(t->out, c);
	t->at++;
	return true;
}

bool sops_regex_translate(
	const char *regex, struct buf *posix_out, bool *icase_out, struct error *err)
{
	struct translation t = {.at = regex, .out = posix_out, .err = err, .repeats = 1};
	*icase_out = strncmp(regex, "(?i)", 4) == 0;
	t.at += *icase_out ? 4 : 0;
	if (strlen(regex) > SOPS_REGEX_MAX)
		return error_set(err, ERR_INVALID,
			"regular expression is longer than the limit of %d bytes", SOPS_REGEX_MAX);
	while (*t.at) {
		if (!translate_one(&t))
			return false;
	}
	return t.depth ? refuse(&t, "a ( without its )") : true;
}
