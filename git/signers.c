#include "git/signers.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/known_hosts.h"
#include "git/signers_list.h"
#include <ctype.h>
#include <sodium.h>
#include <time.h>

#define LINES_MAX 100000
#define KEY_MAX   16384 /* bytes of a public key: RSA of 16384 bits needs 2 KiB */

static const char *const key_types[] = {"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256",
	"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com",
	"sk-ecdsa-sha2-nistp256@openssh.com"};

void signers_free(struct signers *signers)
{
	if (!signers)
		return;
	for (size_t i = 0; i < signers->count; i++) {
		free(signers->items[i].name);
		free(signers->items[i].purposes);
		free(signers->items[i].key);
	}
	for (size_t i = 0; i < signers->revoked_count; i++)
		free(signers->revoked[i].key);
	free(signers->items);
	free(signers->revoked);
	free(signers->keyring);
	free(signers->file);
	free(signers);
}

/* ---- words of a line ---------------------------------------------------------------------------
 */

/* The next word; blanks inside of double quotes belong to it. NULL: none, or a quote is open. */
static char *next_word(const char **at)
{
	*at += strspn(*at, " \t");
	const char *end = *at;
	for (bool quoted = false; *end && (quoted || (*end != ' ' && *end != '\t')); end++)
		quoted ^= *end == '"';
	if (end == *at)
		return NULL;
	char *word = mem_dup(*at, (size_t)(end - *at));
	*at = end;
	return word;
}

static bool is_key_type(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(key_types); i++)
		if (!strcmp(word, key_types[i]))
			return true;
	return false;
}

/* "type base64": the bytes that it stands for. */
static bool read_key(const char *type, const char *text, unsigned char **key_out, size_t *len_out,
	struct error *err)
{
	size_t len = 0, size = text ? strlen(text) : 0;
	struct span inner;
	if (!type || !is_key_type(type))
		return error_set(err, ERR_INVALID, "'%s' is no type of key that is supported",
			type ? type : "");
	if (!size || size > KEY_MAX * 4 / 3)
		return error_set(err, ERR_INVALID, "the key is missing or too long");
	auto_free unsigned char *key = mem_alloc(size);
	if (sodium_base642bin(
		    key, size, text, size, NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL))
		return error_set(err, ERR_INVALID, "the key is no base64");
	struct span rest = {key, len};
	if (!span_take(&rest, &inner) || !span_is(&inner, type) || !rest.len)
		return error_set(err, ERR_INVALID, "the key is damaged, or not of type '%s'", type);
	*key_out = STEAL(key);
	*len_out = len;
	return true;
}

/* ---- options -----------------------------------------------------------------------------------
 */

static int two_digits(const char *at)
{
	return (at[0] - '0') * 10 + at[1] - '0';
}

/* YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS; local time unless Z follows. */
static bool read_time(const char *text, int64_t *wall_s_out)
{
	size_t digits = strspn(text, "0123456789");
	bool utc = !strcmp(text + digits, "Z");
	struct tm tm = {.tm_isdst = -1};
	if ((digits != 8 && digits != 12 && digits != 14) || (!utc && text[digits]))
		return false;
	tm.tm_year = two_digits(text) * 100 + two_digits(text + 2) - 1900;
	tm.tm_mon = two_digits(text + 4) - 1;
	tm.tm_mday = two_digits(text + 6);
	tm.tm_hour = digits > 8 ? two_digits(text + 8) : 0;
	tm.tm_min = digits > 8 ? two_digits(text + 10) : 0;
	tm.tm_sec = digits > 12 ? two_digits(text + 12) : 0;
	struct tm wanted = tm;
	time_t at = utc ? timegm(&tm) : mktime(&tm);
	/* the calendar turns a 30th of February into something else */
	if (tm.tm_mon != wanted.tm_mon || tm.tm_mday != wanted.tm_mday || wanted.tm_hour > 23 ||
		wanted.tm_min > 59 || wanted.tm_sec > 59 || at <= 0)
		return false;
	*wall_s_out = at;
	return true;
}

static bool read_limit(
	const char *name, const char *value, bool *has, int64_t *wall_s, struct error *err)
{
	if (*has)
		return error_set(err, ERR_INVALID, "'%s' stands twice", name);
	*has = true;
	if (read_time(value, wall_s))
		return true;
	(void)error_set(err, ERR_INVALID, "'%s' is no time for '%s'", value, name);
	return error_hint(err, "write YYYYMMDD or YYYYMMDDHHMMSS, with Z for UTC");
}

static bool read_option(
	struct signer *signer, const char *name, const char *value, struct error *err)
{
	if (!strcasecmp(name, "cert-authority")) {
		(void)error_set(err, ERR_INVALID, "'cert-authority' is not supported");
		return error_hint(err, "list the keys themselves");
	}
	if (!value)
		return error_set(
			err, ERR_INVALID, "'%s' is no option with a value in quotes", name);
	if (!strcasecmp(name, "valid-after"))
		return read_limit(name, value, &signer->has_after, &signer->after_s, err);
	if (!strcasecmp(name, "valid-before"))
		return read_limit(name, value, &signer->has_before, &signer->before_s, err);
	if (strcasecmp(name, "namespaces") != 0)
		return error_set(err, ERR_INVALID, "'%s' is no option that is known", name);
	if (signer->purposes)
		return error_set(err, ERR_INVALID, "'namespaces' stands twice");
	signer->purposes = mem_dup_str(value);
	return true;
}

/* name="value",name="value": next_word() saw to it that quotes are closed. */
static bool read_options(struct signer *signer, char *at, struct error *err)
{
	while (*at) {
		char *name = at, *value = NULL;
		at += strcspn(at, "=,");
		if (*at == '=') {
			*at++ = '\0';
			char *end = *at == '"' ? strchr(at + 1, '"') : NULL;
			if (!end || (end[1] && end[1] != ','))
				return error_set(err, ERR_INVALID,
					"the value of '%s' does not stand in quotes", name);
			value = at + 1;
			*end = '\0';
			at = end + 1;
		}
		bool more = *at == ',';
		*at = more ? '\0' : *at;
		if (!*name || (more && !at[1]))
			return error_set(err, ERR_INVALID, "an option is empty");
		if (!read_option(signer, name, value, err))
			return false;
		at += more;
	}
	if (signer->has_after && signer->has_before && signer->before_s <= signer->after_s)
		return error_set(err, ERR_INVALID, "'valid-before' is not after 'valid-after'");
	return true;
}

/* ---- lines -------------------------------------------------------------------------------------
 */

/* The first name that is not negated. */
static char *first_name(char *principals)
{
	size_t len = strlen(principals);
	if (len > 1 && principals[0] == '"' && principals[len - 1] == '"') {
		principals[len - 1] = '\0';
		principals++;
	}
	while (*principals == '!' || *principals == ',')
		principals += *principals == ',' ? 1 : strcspn(principals, ",");
	size_t width = strcspn(principals, ",");
	if (!width || width >= SIGNER_TEXT || strchr(principals, '"'))
		return NULL;
	for (size_t i = 0; i < width; i++)
		if (iscntrl((unsigned char)principals[i]))
			return NULL;
	return mem_dup(principals, width);
}

static bool read_signer(struct signer *signer, const char *text, struct error *err)
{
	auto_free char *principals = next_word(&text);
	auto_free char *second = next_word(&text);
	bool options = second && !is_key_type(second);
	auto_free char *third = options ? next_word(&text) : NULL;
	auto_free char *key = next_word(&text);
	const char *type = options ? third : second;
	signer->name = principals ? first_name(principals) : NULL;
	if (!signer->name)
		return error_set(err, ERR_INVALID, "the line names nobody");
	if (!second)
		return error_set(err, ERR_INVALID, "the line has no key");
	/* "name ssh-dss AAAA": the type is what is wrong, not an option */
	if (options && (!third || !is_key_type(third)) && !strpbrk(second, "=,") &&
		strcasecmp(second, "cert-authority") != 0)
		type = second;
	else if (options && !read_options(signer, second, err))
		return false;
	return read_key(type, key, &signer->key, &signer->key_len, err);
}

struct lines {
	const char *file, *text;
	size_t len;
	bool (*take)(struct signers *, const char *, unsigned, struct error *);
};

/* Take each line that is neither empty nor a comment. */
static bool take_lines(const struct lines *lines, struct signers *signers, struct error *err)
{
	const char *at = lines->text, *end = at + lines->len;
	for (unsigned number = 1; at < end; number++) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t width = (size_t)((stop ? stop : end) - at);
		auto_free char *line = mem_dup(at, width);
		size_t blank = strspn(line, " \t\r");
		at += width + 1;
		if (strlen(line) != width || number > LINES_MAX) {
			(void)error_set(err, ERR_INVALID, "no text of at most %d lines", LINES_MAX);
			return error_at(err, lines->file, number);
		}
		if (width && line[width - 1] == '\r')
			line[width - 1] = '\0';
		if (!line[blank] || line[blank] == '#')
			continue;
		if (!lines->take(signers, line + blank, number, err))
			return error_at(err, lines->file, number);
	}
	return true;
}

static bool take_signer(
	struct signers *signers, const char *line, unsigned number, struct error *err)
{
	mem_grow(signers->items, signers->count, signers->capacity);
	struct signer *signer = &signers->items[signers->count++];
	*signer = (struct signer){.line = number};
	if (read_signer(signer, line, err))
		return true;
	if (!err->hint[0])
		(void)error_hint(err, "a line is: name namespaces=\"git\" type key; "
				      "see ssh-keygen(1), ALLOWED SIGNERS");
	return false;
}

static bool take_revoked(
	struct signers *signers, const char *line, unsigned number, struct error *err)
{
	auto_free char *type = next_word(&line);
	auto_free char *key = next_word(&line);
	struct revoked_key revoked;
	(void)number; /* revoked keys are not told by their line */
	if (!read_key(type, key, &revoked.key, &revoked.key_len, err))
		return error_hint(err, "a line is: type key comment, as in id_ed25519.pub");
	mem_grow(signers->revoked, signers->revoked_count, signers->revoked_capacity);
	signers->revoked[signers->revoked_count++] = revoked;
	return true;
}

bool signers_parse(const char *file, const char *text, size_t len, struct signers **signers_out,
	struct error *err)
{
	auto_signers struct signers *signers = mem_zero(1, sizeof(*signers));
	signers->file = mem_dup_str(file);
	if (!take_lines(&(struct lines){file, text, len, take_signer}, signers, err))
		return false;
	if (!signers->count) {
		(void)error_set(err, ERR_INVALID, "'%s' lists no key", file);
		return error_hint(err, "with an empty list nothing could be deployed: add a line");
	}
	*signers_out = STEAL(signers);
	return true;
}

bool signers_revoke(
	struct signers *signers, const char *file, const char *text, size_t len, struct error *err)
{
	static const char krl[] = "SSHKRL\n";
	if (len >= sizeof(krl) && !memcmp(text, krl, sizeof(krl))) {
		(void)error_set(err, ERR_INVALID, "'%s' is a binary key revocation list", file);
		return error_hint(err, "list the revoked public keys, one a line");
	}
	return take_lines(&(struct lines){file, text, len, take_revoked}, signers, err);
}

bool signers_load(
	const struct signers_files *files, struct signers **signers_out, struct error *err)
{
	auto_buf struct buf text = BUF_INIT(SIGNERS_FILE_MAX);
	auto_buf struct buf revoked = BUF_INIT(SIGNERS_FILE_MAX);
	auto_signers struct signers *signers = NULL;
	if (!fs_read(files->allowed, text.limit, &text, err) ||
		!signers_parse(files->allowed, text.text, text.len, &signers, err))
		return false;
	if (files->revoked &&
		(!fs_read(files->revoked, revoked.limit, &revoked, err) ||
			!signers_revoke(signers, files->revoked, revoked.text, revoked.len, err)))
		return false;
	signers->keyring = mem_dup_str(files->keyring);
	*signers_out = STEAL(signers);
	return true;
}

/* ---- judging -----------------------------------------------------------------------------------
 */

/* One pattern of OpenSSH: `*` and `?` only. */
static bool matches(const char *pattern, size_t len, const char *text)
{
	const char *end = pattern + len, *star = NULL, *again = NULL;
	while (*text) {
		if (pattern < end && *pattern == '*') {
			star = ++pattern;
			again = text;
		} else if (pattern < end && (*pattern == '?' || *pattern == *text)) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star;
			text = ++again;
		} else {
			return false;
		}
	}
	while (pattern < end && *pattern == '*')
		pattern++;
	return pattern == end;
}

int signers_match(const char *patterns, const char *text)
{
	int found = 0;
	while (*patterns) {
		size_t len = strcspn(patterns, ",");
		bool negated = *patterns == '!';
		if (matches(patterns + negated, len - negated, text)) {
			if (negated)
				return -1;
			found = 1;
		}
		patterns += len + (patterns[len] == ',');
	}
	return found;
}

static const char *place(
	const struct signers *signers, const struct signer *signer, char *text, size_t size)
{
	(void)snprintf(text, size, "%s:%u", signers->file, signer->line);
	return text;
}

/* Does this line, which has the key, allow the signature? Tells why not. */
static bool line_allows(const struct signers *signers, const struct signer *signer, int64_t wall_s,
	struct error *err)
{
	char made[CLOCK_TEXT_SIZE], limit[CLOCK_TEXT_SIZE], where[320];
	(void)place(signers, signer, where, sizeof(where));
	if (signer->purposes && signers_match(signer->purposes, "git") != 1) {
		(void)error_set(
			err, ERR_AUTH, "the key of '%s' may not sign for git", signer->name);
		return error_hint(err, "its namespaces in %s are '%s'", where, signer->purposes);
	}
	if (signer->has_after && wall_s < signer->after_s) {
		(void)error_set(err, ERR_AUTH,
			"the key of '%s' counts from %s on, and this is of %s", signer->name,
			clock_format(signer->after_s, limit), clock_format(wall_s, made));
		return error_hint(err, "see valid-after in %s", where);
	}
	if (signer->has_before && wall_s > signer->before_s) {
		(void)error_set(err, ERR_AUTH,
			"the key of '%s' has expired: it counts until %s, and this is of %s",
			signer->name, clock_format(signer->before_s, limit),
			clock_format(wall_s, made));
		return error_hint(err, "see valid-before in %s; sign with a newer key", where);
	}
	return true;
}

static bool check_revoked(
	const struct signers *signers, const struct span *key, const char *print, struct error *err)
{
	for (size_t i = 0; i < signers->revoked_count; i++) {
		const struct revoked_key *revoked = &signers->revoked[i];
		if (revoked->key_len != key->len || memcmp(revoked->key, key->at, key->len) != 0)
			continue;
		(void)error_set(err, ERR_AUTH, "its key %s is revoked", print);
		return error_hint(err, "sign it again, with another key");
	}
	return true;
}

/* The line that allows it; of several with the same key the first that does. */
static const struct signer *find_line(
	const struct signers *signers, const struct span *key, int64_t wall_s, struct error *err)
{
	auto_buf struct buf print = BUF_INIT(128);
	bool listed = false;
	known_hosts_fingerprint(key->at, key->len, &print);
	if (!check_revoked(signers, key, print.text, err))
		return NULL;
	for (size_t i = 0; i < signers->count; i++) {
		const struct signer *signer = &signers->items[i];
		if (signer->key_len != key->len || memcmp(signer->key, key->at, key->len) != 0)
			continue;
		listed = true;
		if (line_allows(signers, signer, wall_s, err))
			return signer;
	}
	if (!listed) {
		(void)error_set(err, ERR_AUTH, "its key %s is not listed", print.text);
		(void)error_hint(
			err, "if it belongs to one of yours, add it to '%s'", signers->file);
	}
	return NULL;
}

bool signers_check(const struct signers *signers, const struct signed_text *text, char *signer_out,
	struct error *err)
{
	auto_sshsig struct sshsig signature = {0};
	if (!sshsig_parse((const char *)text->armor.at, text->armor.len, &signature, err))
		return false;
	if (!span_is(&signature.purpose, "git")) {
		auto_buf struct buf purpose = BUF_INIT(64);
		buf_add_clean(&purpose, (const char *)signature.purpose.at, signature.purpose.len);
		(void)error_set(
			err, ERR_AUTH, "it is signed for '%s' and not for 'git'", purpose.text);
		return error_hint(err, "let git sign it: git commit -S, with gpg.format ssh");
	}
	const struct signer *signer = find_line(signers, &signature.key, text->wall_s, err);
	if (!signer || !sshsig_verify(&signature, &text->armor, &text->bytes, err))
		return false;
	(void)snprintf(signer_out, SIGNER_TEXT, "%s", signer->name);
	return true;
}
