/* Identities and recipients as text (specs/sops-age.md 1.13, 4.4) */
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/bech32.h"
#include <ctype.h>
#include <sodium.h>

#define SECRET_HRP       "AGE-SECRET-KEY-"
#define POST_QUANTUM_HRP "AGE-SECRET-KEY-PQ-"
#define PLUGIN_HRP       "AGE-PLUGIN-"
#define RECIPIENT_HRP    "age"

void age_identities_clear(struct age_identities *identities)
{
	sodium_free(identities->items);
	*identities = (struct age_identities){0};
}

/* The next free place; the list moves to new locked memory when it grows. */
static struct age_identity *add_place(struct age_identities *identities)
{
	if (identities->count == identities->capacity) {
		size_t capacity = identities->capacity ? identities->capacity * 2 : 4;
		struct age_identity *items = sodium_allocarray(capacity, sizeof(*items));
		if (!items)
			mem_abort(capacity * sizeof(*items));
		if (identities->count)
			memcpy(items, identities->items, identities->count * sizeof(*items));
		sodium_free(identities->items);
		identities->items = items;
		identities->capacity = capacity;
	}
	return &identities->items[identities->count++];
}

static void add_secret(struct age_identities *identities, const uint8_t *secret)
{
	struct age_identity *identity = add_place(identities);
	memcpy(identity->secret, secret, AGE_KEY_SIZE);
	/* cannot fail: the base point is not of low order */
	(void)crypto_scalarmult_base(identity->recipient, identity->secret);
}

void age_identities_generate(struct age_identities *identities)
{
	uint8_t secret[AGE_KEY_SIZE];
	randombytes_buf(secret, sizeof(secret));
	add_secret(identities, secret);
	sodium_memzero(secret, sizeof(secret));
}

static bool text_has(const char *text, size_t len, const char *part)
{
	return memmem(text, len, part, strlen(part)) != NULL;
}

static bool text_starts(const char *text, size_t len, const char *part)
{
	return len >= strlen(part) && memcmp(text, part, strlen(part)) == 0;
}

/* One complete line: exactly one identity. */
static bool read_line(struct age_identities *identities, const char *line, size_t len)
{
	auto_buf struct buf hrp = BUF_INIT_SECRET(BECH32_MAX_TEXT);
	auto_buf struct buf data = BUF_INIT_SECRET(BECH32_MAX_TEXT);
	if (!bech32_decode(line, len, &hrp, &data))
		return false;
	size_t prefix = strlen(PLUGIN_HRP);
	if (strcmp(hrp.text, SECRET_HRP) == 0 && data.len == AGE_KEY_SIZE)
		add_secret(identities, (const uint8_t *)data.text);
	else if (strcmp(hrp.text, POST_QUANTUM_HRP) == 0 && data.len == AGE_KEY_SIZE)
		identities->post_quantum++;
	else if (hrp.len > prefix + 1 && memcmp(hrp.text, PLUGIN_HRP, prefix) == 0 &&
		 hrp.text[hrp.len - 1] == '-')
		identities->plugins++;
	else
		return false;
	return true;
}

static bool read_lines(struct age_identities *identities, const char *source, const char *text,
	size_t len, struct error *err)
{
	const char *end = text + len;
	unsigned number = 0;
	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		const char *next = stop ? stop + 1 : end;
		size_t size = (size_t)((stop ? stop : end) - text);
		number++;
		if (size && text[size - 1] == '\r')
			size--;
		if (size && text[0] != '#' && !read_line(identities, text, size)) {
			error_set(err, ERR_INVALID, "line %u of '%s' is no age identity", number,
				source);
			return error_hint(err,
				"a key file has one AGE-SECRET-KEY-1... per line, without blanks "
				"around it, and comment lines that start with #");
		}
		text = next;
	}
	return true;
}

static bool refuse_other_kinds(const char *source, const char *text, size_t len, struct error *err)
{
	if (len > AGE_MAX_KEY_FILE)
		return error_set(
			err, ERR_INVALID, "'%s' is larger than the limit of 16 MiB", source);
	if (text_starts(text, len, "age-encryption") || text_starts(text, len, "-----BEGIN AGE")) {
		error_set(err, ERR_REFUSED, "key file '%s' is passphrase-protected", source);
		return error_hint(
			err, "decrypt it once with `age -d` into a file that only you can read");
	}
	if (text_has(text, len, "PRIVATE KEY-----")) {
		error_set(err, ERR_REFUSED, "'%s' is an SSH or PEM key, which is not supported",
			source);
		return error_hint(err, "use an age key: AGE-SECRET-KEY-1...");
	}
	return true;
}

bool age_identities_read(struct age_identities *identities, const char *source, const char *text,
	size_t len, struct error *err)
{
	auto_age_identities struct age_identities read = AGE_IDENTITIES_INIT;
	if (!refuse_other_kinds(source, text, len, err) ||
		!read_lines(&read, source, text, len, err))
		return false;
	for (size_t i = 0; i < read.count; i++)
		*add_place(identities) = read.items[i];
	identities->post_quantum += read.post_quantum;
	identities->plugins += read.plugins;
	return true;
}

void age_identity_format(const struct age_identity *identity, struct buf *out)
{
	auto_buf struct buf lower = BUF_INIT_SECRET(256);
	bech32_encode("age-secret-key-", identity->secret, AGE_KEY_SIZE, &lower);
	for (size_t i = 0; i < lower.len; i++)
		buf_add_char(out, (char)toupper((unsigned char)lower.text[i]));
}

const char *age_recipient_format(const uint8_t recipient[AGE_KEY_SIZE], char *text)
{
	auto_buf struct buf out = BUF_INIT(AGE_RECIPIENT_SIZE - 1);
	bech32_encode(RECIPIENT_HRP, recipient, AGE_KEY_SIZE, &out);
	memcpy(text, out.text, out.len + 1);
	return text;
}

/* A recipient that is well-formed for somebody else, or no recipient at all. */
static bool refuse_recipient(const char *text, size_t len, const char *hrp, struct error *err)
{
	if (text_starts(text, len, "age1pq1"))
		return error_set(err, ERR_REFUSED,
			"recipient is a post-quantum age key (age1pq1...), which is not supported");
	if (text_starts(text, len, "ssh-") || text_starts(text, len, "ecdsa-") ||
		text_starts(text, len, "sk-"))
		return error_set(
			err, ERR_REFUSED, "recipient is an SSH key, which is not supported");
	if (text_starts(hrp, strlen(hrp), "age1"))
		return error_set(err, ERR_REFUSED,
			"recipient needs the age plugin '%.40s', which is not supported", hrp + 4);
	if (text_starts(text, len, "AGE-")) {
		error_set(err, ERR_INVALID, "recipient is a secret key");
		return error_hint(err, "give its public key, age1...");
	}
	auto_buf struct buf clean = BUF_INIT(400);
	buf_add_clean(&clean, text, len < 80 ? len : 80);
	return error_set(err, ERR_INVALID, "'%s' is no age recipient (age1...)", clean.text);
}

bool age_recipient_parse(const char *text, uint8_t recipient_out[AGE_KEY_SIZE], struct error *err)
{
	auto_buf struct buf hrp = BUF_INIT(BECH32_MAX_TEXT);
	auto_buf struct buf data = BUF_INIT_SECRET(BECH32_MAX_TEXT);
	text += strspn(text, " \t\r\n");
	size_t len = strlen(text);
	while (len && strchr(" \t\r\n", text[len - 1]))
		len--;
	if (!bech32_decode(text, len, &hrp, &data) || strcmp(hrp.text, RECIPIENT_HRP) != 0 ||
		data.len != AGE_KEY_SIZE)
		return refuse_recipient(text, len, hrp.text, err);
	memcpy(recipient_out, data.text, AGE_KEY_SIZE);
	return true;
}
