/* Identities and recipients as text (specs/sops-age.md 1.13, 4.4) */
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/age_ssh.h"
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
	for (size_t i = 0; i < identities->ssh_count; i++)
		age_ssh_key_free(identities->ssh[i]);
	free(identities->ssh);
	for (size_t i = 0; i < identities->passphrase_count; i++)
		buf_clear(&identities->passphrases[i]);
	free(identities->passphrases);
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

void age_identities_add_passphrase(struct age_identities *identities, const char *text, size_t len)
{
	mem_grow(identities->passphrases, identities->passphrase_count,
		identities->passphrase_capacity);
	struct buf *passphrase = &identities->passphrases[identities->passphrase_count++];
	buf_init_secret(passphrase, AGE_MAX_PASSPHRASE);
	buf_add(passphrase, text, len);
}

size_t age_identities_count(const struct age_identities *identities)
{
	return identities->count + identities->ssh_count + identities->passphrase_count;
}

static bool read_ssh(
	struct age_identities *identities, const struct age_source *source, struct error *err)
{
	struct age_ssh_key *key;
	if (!age_ssh_private_parse(source, &key, err))
		return false;
	mem_grow(identities->ssh, identities->ssh_count, identities->ssh_capacity);
	identities->ssh[identities->ssh_count++] = key;
	return true;
}

/* A key file that is itself an age file, encrypted with a passphrase. */
static bool read_encrypted(
	struct age_identities *identities, const struct age_source *source, struct error *err)
{
	auto_age_identities struct age_identities person = AGE_IDENTITIES_INIT;
	auto_buf struct buf passphrase = BUF_INIT_SECRET(AGE_MAX_PASSPHRASE);
	auto_buf struct buf plain = BUF_INIT_SECRET(source->len);
	enum age_failure failure;
	if (!source->ask) {
		error_set(err, ERR_REFUSED, "key file '%s' is passphrase-protected", source->name);
		return error_hint(
			err, "decrypt it once with `age -d` into a file that only you can read");
	}
	if (!source->ask->ask(source->ask->data, source->name, &passphrase, err))
		return false;
	age_identities_add_passphrase(&person, passphrase.text, passphrase.len);
	const struct age_file file = {source->text, source->len,
		.armored = text_starts(source->text, source->len, "-----BEGIN AGE")};
	if (!age_decrypt(&file, &person, &plain, &failure, err))
		return error_wrap(err, "key file '%s'", source->name);
	return read_lines(identities, source->name, plain.text, plain.len, err);
}

static bool read_any(
	struct age_identities *identities, const struct age_source *source, struct error *err)
{
	const char *text = source->text;
	size_t len = source->len;
	if (len > AGE_MAX_KEY_FILE)
		return error_set(
			err, ERR_INVALID, "'%s' is larger than the limit of 16 MiB", source->name);
	if (text_starts(text, len, "age-encryption") || text_starts(text, len, "-----BEGIN AGE"))
		return read_encrypted(identities, source, err);
	if (age_ssh_is_private(text, len))
		return read_ssh(identities, source, err);
	return read_lines(identities, source->name, text, len, err);
}

bool age_identities_add(
	struct age_identities *identities, const struct age_source *source, struct error *err)
{
	auto_age_identities struct age_identities read = AGE_IDENTITIES_INIT;
	if (!read_any(&read, source, err))
		return false;
	for (size_t i = 0; i < read.count; i++)
		*add_place(identities) = read.items[i];
	for (size_t i = 0; i < read.ssh_count; i++) {
		mem_grow(identities->ssh, identities->ssh_count, identities->ssh_capacity);
		identities->ssh[identities->ssh_count++] = STEAL(read.ssh[i]);
	}
	identities->post_quantum += read.post_quantum;
	identities->plugins += read.plugins;
	return true;
}

bool age_identities_read(struct age_identities *identities, const char *source, const char *text,
	size_t len, struct error *err)
{
	const struct age_source from = {.name = source, .text = text, .len = len};
	return age_identities_add(identities, &from, err);
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
		return error_set(err, ERR_REFUSED, "recipient is an SSH key, not an age1... one");
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

static bool is_ssh(const char *text)
{
	text += strspn(text, " \t\r\n");
	return strncmp(text, "ssh-", 4) == 0 || strncmp(text, "ecdsa-", 6) == 0 ||
	       strncmp(text, "sk-", 3) == 0;
}

bool age_recipient_check(const char *text, struct error *err)
{
	uint8_t key[AGE_KEY_SIZE];
	auto_age_ssh_key struct age_ssh_key *ssh = NULL;
	return is_ssh(text) ? age_ssh_public_parse(text, &ssh, err)
			    : age_recipient_parse(text, key, err);
}

bool age_encrypt_to(
	const char *recipient, const void *plain, size_t len, struct buf *out, struct error *err)
{
	uint8_t keys[1][AGE_KEY_SIZE];
	auto_age_ssh_key struct age_ssh_key *key = NULL;
	struct age_recipients to = {.keys = keys, .count = 1};
	if (is_ssh(recipient)) {
		if (!age_ssh_public_parse(recipient, &key, err))
			return false;
		const struct age_ssh_key *const ssh[1] = {key};
		to = (struct age_recipients){.ssh = ssh, .ssh_count = 1};
		return age_encrypt(&to, plain, len, out, err);
	}
	return age_recipient_parse(recipient, keys[0], err) &&
	       age_encrypt(&to, plain, len, out, err);
}

/* Keys that are read one by one, and what frees them. */
struct reading {
	uint8_t (*keys)[AGE_KEY_SIZE];
	size_t count;
	struct age_ssh_key **ssh;
	size_t ssh_count;
};

static void reading_clear(struct reading *reading)
{
	for (size_t i = 0; i < reading->ssh_count; i++)
		age_ssh_key_free(reading->ssh[i]);
	free(reading->ssh);
	free(reading->keys);
}

bool age_encrypt_to_all(const struct strlist *recipients, const struct buf *plain, struct buf *out,
	struct error *err)
{
	CLEANUP(reading_clear) struct reading reading = {0};
	if (!recipients->count || recipients->count > AGE_RECIPIENTS_MAX)
		return error_set(err, ERR_INVALID,
			"a file is encrypted for 1 to %d recipients, not for %zu",
			AGE_RECIPIENTS_MAX, recipients->count);
	reading.keys = mem_zero(recipients->count, sizeof(*reading.keys));
	reading.ssh = mem_zero(recipients->count, sizeof(*reading.ssh));
	for (size_t i = 0; i < recipients->count; i++) {
		const char *text = recipients->items[i];
		bool ssh = is_ssh(text);
		if (ssh && !age_ssh_public_parse(text, &reading.ssh[reading.ssh_count], err))
			return false;
		if (!ssh && !age_recipient_parse(text, reading.keys[reading.count], err))
			return false;
		reading.ssh_count += ssh;
		reading.count += !ssh;
	}
	const struct age_recipients to = {.keys = (const uint8_t(*)[AGE_KEY_SIZE])reading.keys,
		.count = reading.count,
		.ssh = (const struct age_ssh_key *const *)reading.ssh,
		.ssh_count = reading.ssh_count};
	return age_encrypt(&to, plain->text, plain->len, out, err);
}
