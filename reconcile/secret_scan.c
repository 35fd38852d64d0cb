#include "reconcile/secret_scan.h"
#include <ctype.h>
#include <strings.h>

#define SCAN_MAX    ((size_t)4 << 20) /* settings are smaller; what is larger is data */
#define BINARY_AT   8000              /* a NUL up to here, as git looks for it */
#define ALLOW       "aviary:allow"
#define VALUE_LEAST 8
#define FIX_KEY     "take it out, make a new one, and keep that out of git"
#define FIX_VALUE   "move it into a file of secrets, or write # " ALLOW " if it is public"

struct line {
	const char *text;
	size_t len;
	unsigned number;
};

/* ---- forms ---------------------------------------------------------------------------------- */

static const struct {
	const char *start;
	size_t least; /* letters, digits, - and _ behind it */
	const char *what;
} forms[] = {
	{"AGE-SECRET-KEY-1", 50, "a private age key"},
	{"AGE-SECRET-KEY-PQ-1", 50, "a private age key"},
	{"ghp_", 36, "a GitHub token"},
	{"gho_", 36, "a GitHub token"},
	{"ghs_", 36, "a GitHub token"},
	{"github_pat_", 40, "a GitHub token"},
	{"glpat-", 20, "a GitLab token"},
	{"xoxb-", 20, "a Slack token"},
	{"xoxp-", 20, "a Slack token"},
	{"AKIA", 16, "an AWS access key"},
	{"sk_live_", 20, "a Stripe key"},
	{"SG.", 20, "a SendGrid key"},
};

static bool is_token(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_';
}

static const char *find_form(const struct line *line)
{
	const char *end = line->text + line->len;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		size_t start_len = strlen(forms[i].start), len = 0;
		const char *at = memmem(line->text, line->len, forms[i].start, start_len);
		if (!at || (at > line->text && is_token(at[-1])))
			continue;
		while (at + start_len + len < end && is_token(at[start_len + len]))
			len++;
		if (len >= forms[i].least)
			return forms[i].what;
	}
	const char *pem = memmem(line->text, line->len, "-----BEGIN ", 11);
	if (pem && memmem(pem, (size_t)(end - pem), "PRIVATE KEY-----", 16))
		return "a private key";
	return NULL;
}

/* ---- settings ------------------------------------------------------------------------------- */

static bool is_settings(const char *path)
{
	static const char *const ends[] = {".yml", ".yaml", ".json", ".env", ".ini", ".toml",
		".conf", ".cfg", ".cnf", ".properties", ".mustache", ".j2", ".tfvars"};
	size_t len = strlen(path);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		size_t end = strlen(ends[i]);
		if (len >= end && !strcmp(path + len - end, ends[i]))
			return true;
	}
	return false;
}

static bool is_secret_name(const char *name, size_t len)
{
	static const char *const ends[] = {"password", "passwd", "passphrase", "secret", "token",
		"api_key", "apikey", "api-key", "secret_key", "secret-key", "secretkey",
		"private_key", "private-key", "access_key", "access-key", "encryption_key"};
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		size_t end = strlen(ends[i]);
		if (len < end || strncasecmp(name + len - end, ends[i], end) != 0)
			continue;
		return len == end || !isalnum((unsigned char)name[len - end - 1]) ||
		       isupper((unsigned char)name[len - end]);
	}
	return false;
}

static bool is_quote(char c)
{
	return c == '"' || c == '\'';
}

static void trim(const char **text, size_t *len)
{
	while (*len && (isspace((unsigned char)**text) || is_quote(**text)))
		(*text)++, (*len)--;
	while (*len && (isspace((unsigned char)(*text)[*len - 1]) || is_quote((*text)[*len - 1]) ||
			       (*text)[*len - 1] == ','))
		(*len)--;
}

/* A template's variable, a reference, a path, a word for "fill this in": no value. */
static bool is_literal(const char *value, size_t len)
{
	static const char *const others[] = {"{{", "${", "$(", "<", "ENC[", "!vault", "lookup("};
	if (len < VALUE_LEAST || strchr("/$*&{[|>%", *value))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (memmem(value, len, others[i], strlen(others[i])))
			return false;
	for (size_t i = 0; i < len; i++)
		if (isspace((unsigned char)value[i]))
			return false; /* a sentence, or a value with a comment behind it */
	return memchr(value, '.', len) == NULL || memchr(value, '/', len) == NULL;
}

/* "name: value" or "name = value", maybe behind `- ` or `export `; sets the name. */
static bool is_setting(const struct line *line, const char **name_out, size_t *name_len_out)
{
	const char *start = line->text, *end = start + line->len;
	while (start < end && (isspace((unsigned char)*start) || *start == '-' || is_quote(*start)))
		start++;
	const char *at = start;
	while (at < end && *at != ':' && *at != '=')
		at++;
	if (at == end || *start == '#' || *start == ';')
		return false;
	size_t name_len = (size_t)(at - start);
	while (name_len &&
		(isspace((unsigned char)start[name_len - 1]) || is_quote(start[name_len - 1])))
		name_len--;
	const char *value = at + 1;
	size_t len = (size_t)(end - value);
	const char *comment = memmem(value, len, " #", 2);
	if (comment)
		len = (size_t)(comment - value);
	trim(&value, &len);
	*name_out = start;
	*name_len_out = name_len;
	return is_secret_name(start, name_len) && len && is_literal(value, len);
}

/* ---- the file ------------------------------------------------------------------------------- */

static bool allows(const struct line *line)
{
	return memmem(line->text, line->len, ALLOW, strlen(ALLOW)) != NULL;
}

static void scan_line(
	const char *path, const struct line *line, bool settings, struct problems *problems)
{
	const char *form = find_form(line);
	const char *name;
	size_t len;
	if (form)
		problems_add(problems, path, line->number, FIX_KEY, "%s in plain text", form);
	else if (settings && is_setting(line, &name, &len))
		problems_warn(problems, path, line->number, FIX_VALUE,
			"'%.*s' looks like a secret in plain text", (int)(len > 64 ? 64 : len),
			name);
}

void secret_scan(const char *path, const char *text, size_t len, struct problems *problems)
{
	bool allowed = false, settings = is_settings(path);
	const char *end = text + len;
	if (len > SCAN_MAX || memchr(text, '\0', len < BINARY_AT ? len : BINARY_AT))
		return;
	struct line line = {.number = 1};
	for (const char *at = text; at < end; at = line.text + line.len + 1, line.number++) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		line.text = at;
		line.len = stop ? (size_t)(stop - at) : (size_t)(end - at);
		bool allows_here = allows(&line);
		if (!allows_here && !allowed)
			scan_line(path, &line, settings, problems);
		allowed = allows_here;
	}
}
