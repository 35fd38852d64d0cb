#include "base/known_hosts.h"
#include <fnmatch.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define LINES_MAX 100000
#define BLOB_MAX  16384 /* RSA 16384 bit needs 2 KiB */
#define HASH_SIZE 20    /* SHA-1, as HashKnownHosts writes it */

struct known_host {
	char *patterns; /* "a,b,!c" or "|1|salt|hash" */
	char *type;
	unsigned char *blob;
	size_t len;
	unsigned line;
	bool revoked;
};

struct known_hosts {
	char *file;
	struct known_host *items;
	size_t count, capacity;
};

/* @return number of bytes, or -1 if the text is not base64 */
static int decode(const char *text, size_t len, unsigned char *out, size_t size)
{
	if (!len || len % 4 || len / 4 * 3 > size)
		return -1;
	int got = EVP_DecodeBlock(out, (const unsigned char *)text, (int)len);
	if (got < 0)
		return -1;
	return got - (text[len - 1] == '=') - (text[len - 2] == '=');
}

static bool bad_line(
	const struct known_hosts *hosts, unsigned line, const char *what, struct error *err)
{
	(void)error_set(err, ERR_INVALID, "this line of known_hosts %s", what);
	(void)error_hint(err, "a line is: host type key; ssh-keyscan HOST prints such lines");
	return error_at(err, hosts->file, line);
}

/* The next word of a line; NULL at its end. */
static char *next_word(const char **at)
{
	*at += strspn(*at, " \t");
	size_t len = strcspn(*at, " \t");
	if (!len)
		return NULL;
	char *word = mem_dup(*at, len);
	*at += len;
	return word;
}

static bool parse_line(
	struct known_hosts *hosts, const char *text, unsigned line, struct error *err)
{
	auto_free char *first = next_word(&text);
	bool marker = first && first[0] == '@';
	auto_free char *patterns = marker ? next_word(&text) : STEAL(first);
	auto_free char *type = next_word(&text);
	auto_free char *key = next_word(&text);
	unsigned char blob[BLOB_MAX];

	if (!patterns && !marker)
		return true;
	if (marker && !strcmp(first, "@cert-authority"))
		return true;
	if (marker && strcmp(first, "@revoked") != 0)
		return bad_line(hosts, line, "begins with an unknown marker", err);
	if (!patterns || !type || !key)
		return bad_line(hosts, line, "has fewer than three words", err);
	int len = decode(key, strlen(key), blob, sizeof(blob));
	size_t type_len = strlen(type);
	if (len < (int)type_len + 4 || memcmp(blob + 4, type, type_len) != 0)
		return bad_line(hosts, line, "has a damaged key, or one of another type", err);
	mem_grow(hosts->items, hosts->count, hosts->capacity);
	hosts->items[hosts->count++] = (struct known_host){.patterns = STEAL(patterns),
		.type = STEAL(type),
		.blob = (unsigned char *)mem_dup(blob, (size_t)len),
		.len = (size_t)len,
		.line = line,
		.revoked = marker};
	return true;
}

bool known_hosts_parse(const char *file, const char *text, size_t len,
	struct known_hosts **hosts_out, struct error *err)
{
	auto_known_hosts struct known_hosts *hosts = mem_zero(1, sizeof(*hosts));
	const char *end = text + len;

	hosts->file = mem_dup_str(file);
	for (unsigned number = 1; text < end; number++) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t width = (size_t)((stop ? stop : end) - text);
		auto_free char *line = mem_dup(text, width);
		line[strcspn(line, "\r")] = '\0';
		if (number > LINES_MAX)
			return bad_line(hosts, number, "is one too many", err);
		if (line[strspn(line, " \t")] != '#' && !parse_line(hosts, line, number, err))
			return false;
		text += width + 1;
	}
	*hosts_out = STEAL(hosts);
	return true;
}

void known_hosts_free(struct known_hosts *hosts)
{
	if (!hosts)
		return;
	for (size_t i = 0; i < hosts->count; i++) {
		free(hosts->items[i].patterns);
		free(hosts->items[i].type);
		free(hosts->items[i].blob);
	}
	free(hosts->items);
	free(hosts->file);
	free(hosts);
}

/* "|1|base64 salt|base64 HMAC-SHA1(salt, name)", sshd(8) */
static bool matches_hash(const char *pattern, const char *name)
{
	unsigned char salt[HASH_SIZE + 4], wanted[HASH_SIZE + 4], got[EVP_MAX_MD_SIZE];
	unsigned got_len = 0;
	const char *middle = strchr(pattern + 3, '|');

	if (!middle)
		return false;
	int salt_len = decode(pattern + 3, (size_t)(middle - pattern - 3), salt, sizeof(salt));
	int wanted_len = decode(middle + 1, strlen(middle + 1), wanted, sizeof(wanted));
	if (salt_len < 0 || wanted_len != HASH_SIZE)
		return false;
	return HMAC(EVP_sha1(), salt, salt_len, (const unsigned char *)name, strlen(name), got,
		       &got_len) &&
	       !memcmp(got, wanted, HASH_SIZE);
}

static bool matches(const char *patterns, const char *name)
{
	bool found = false;

	if (!strncmp(patterns, "|1|", 3))
		return matches_hash(patterns, name);
	while (*patterns) {
		size_t len = strcspn(patterns, ",");
		bool negated = patterns[0] == '!';
		auto_free char *raw = mem_dup(patterns + negated, len - negated);
		/* brackets are literal here: only `*` and `?` have a meaning */
		auto_buf struct buf pattern = BUF_INIT(4096);
		for (const char *c = raw; *c; c++)
			buf_addf(&pattern, "%s%c", *c == '[' || *c == '\\' ? "\\" : "", *c);
		if (fnmatch(pattern.text, name, FNM_CASEFOLD) == 0) {
			if (negated)
				return false;
			found = true;
		}
		patterns += len + (patterns[len] == ',');
	}
	return found;
}

/* ssh(1) writes the port only where it is not 22. */
static char *name_with_port(const char *host, unsigned port)
{
	return port == 22 ? mem_dup_str(host) : mem_printf("[%s]:%u", host, port);
}

void known_hosts_types(
	const struct known_hosts *hosts, const char *host, unsigned port, struct strlist *types_out)
{
	auto_free char *name = name_with_port(host, port);

	for (size_t i = 0; i < hosts->count; i++) {
		const struct known_host *item = &hosts->items[i];
		if (item->revoked || strlist_has(types_out, item->type))
			continue;
		if (matches(item->patterns, name) || matches(item->patterns, host))
			strlist_add(types_out, item->type);
	}
}

static void add_base64(const void *bytes, size_t len, struct buf *out)
{
	auto_free unsigned char *text = mem_alloc((len + 2) / 3 * 4 + 1);
	int written = EVP_EncodeBlock(text, bytes, (int)len);
	buf_add(out, text, (size_t)written);
}

void known_hosts_fingerprint(const void *blob, size_t len, struct buf *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_len = 0;

	if (!EVP_Digest(blob, len, digest, &digest_len, EVP_sha256(), NULL))
		mem_abort(len);
	buf_add_str(out, "SHA256:");
	add_base64(digest, digest_len, out);
	while (out->len && out->text[out->len - 1] == '=')
		buf_truncate(out, out->len - 1);
}

static bool refuse_unknown(const struct known_hosts *hosts, const char *name, const void *blob,
	size_t len, struct error *err)
{
	auto_buf struct buf print = BUF_INIT(200);
	auto_buf struct buf key = BUF_INIT(BLOB_MAX * 2);
	const unsigned char *bytes = blob;
	size_t type_len = len > 4 ? bytes[3] : 0;

	known_hosts_fingerprint(blob, len, &print);
	add_base64(blob, len, &key);
	if (type_len + 4 > len)
		return error_set(err, ERR_AUTH, "host '%s' showed a damaged key", name);
	(void)error_set(err, ERR_AUTH,
		"host key of '%s' is not known: %s; its line in '%s' would be: %s %.*s %s", name,
		print.text, hosts->file, name, (int)type_len, (const char *)blob + 4, key.text);
	return error_hint(err, "compare the fingerprint with the host's own (ssh-keygen -lf "
			       "/etc/ssh/ssh_host_ed25519_key.pub), then add the line");
}

static bool refuse_changed(const struct known_hosts *hosts, const struct known_host *known,
	const char *name, const struct buf *shown, struct error *err)
{
	auto_buf struct buf wanted = BUF_INIT(200);

	known_hosts_fingerprint(known->blob, known->len, &wanted);
	(void)error_set(err, ERR_AUTH, "host key of '%s' has changed: known is %s, shown was %s",
		name, wanted.text, shown->text);
	(void)error_hint(err, "somebody may be in the middle; if the host was really reinstalled, "
			      "replace this line");
	return error_at(err, hosts->file, known->line);
}

bool known_hosts_check(
	const struct known_hosts *hosts, const struct host_key *shown, struct error *err)
{
	auto_free char *name = name_with_port(shown->host, shown->port);
	auto_buf struct buf print = BUF_INIT(200);
	const struct known_host *other = NULL;
	bool match = false;

	known_hosts_fingerprint(shown->blob, shown->len, &print);
	for (size_t i = 0; i < hosts->count; i++) {
		const struct known_host *item = &hosts->items[i];
		bool exact = matches(item->patterns, name);
		if (!exact && !matches(item->patterns, shown->host))
			continue;
		bool same = item->len == shown->len && !memcmp(item->blob, shown->blob, shown->len);
		if (same && item->revoked) {
			(void)error_set(err, ERR_AUTH, "host key of '%s' (%s) is revoked", name,
				print.text);
			return error_at(err, hosts->file, item->line);
		}
		match |= same;
		/* as ssh(1): a key of the bare name proves an odd port, but says nothing against it
		 */
		if (exact && !item->revoked && !other)
			other = item;
	}
	if (match)
		return true;
	return other ? refuse_changed(hosts, other, name, &print, err)
		     : refuse_unknown(hosts, name, shown->blob, shown->len, err);
}
