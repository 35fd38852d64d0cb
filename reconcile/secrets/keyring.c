#include "reconcile/secrets/keyring.h"
#include "base/fs.h"
#include "reconcile/secrets/age.h"
#include <sodium.h>

struct keyring {
	struct age_identities identities;
};

static struct keyring *keyring_new(void)
{
	if (sodium_init() < 0)
		abort(); /* no source of random numbers: nothing can be trusted from here on */
	return mem_zero(1, sizeof(struct keyring));
}

void keyring_free(struct keyring *keyring)
{
	if (!keyring)
		return;
	age_identities_clear(&keyring->identities);
	free(keyring);
}

static bool add_file(struct keyring *keyring, const char *path, struct error *err)
{
	auto_buf struct buf text = BUF_INIT_SECRET(AGE_MAX_KEY_FILE);
	if (!fs_read_secret(path, AGE_MAX_KEY_FILE, &text, err))
		return error_wrap(err, "age key file");
	return age_identities_read(&keyring->identities, path, text.text, text.len, err);
}

/* SOPS_AGE_KEY may have several identities in a line, parted by blanks. */
static bool add_variable(struct keyring *keyring, const char *name, struct error *err)
{
	const char *text = getenv(name);
	if (!text || !*text)
		return true;
	auto_buf struct buf lines = BUF_INIT_SECRET(AGE_MAX_KEY_FILE);
	bool comment = false, line_start = true;
	for (; *text; text++) {
		comment = *text != '\n' && (comment || (line_start && *text == '#'));
		line_start = *text == '\n';
		bool blank = *text == ' ' || *text == '\t';
		buf_add_char(&lines, blank && !comment ? '\n' : *text);
	}
	return age_identities_read(&keyring->identities, name, lines.text, lines.len, err);
}

bool keyring_load(const char *age_key_file, struct keyring **keyring_out, struct error *err)
{
	auto_keyring struct keyring *keyring = keyring_new();
	const char *named = getenv("SOPS_AGE_KEY_FILE");
	if (age_key_file && *age_key_file && !add_file(keyring, age_key_file, err))
		return false;
	if (named && *named && (!age_key_file || strcmp(named, age_key_file) != 0) &&
		!add_file(keyring, named, err))
		return error_wrap(err, "SOPS_AGE_KEY_FILE");
	if (!add_variable(keyring, "SOPS_AGE_KEY", err))
		return false;
	*keyring_out = STEAL(keyring);
	return true;
}

bool keyring_read(const char *source, const char *text, size_t len, struct keyring **keyring_out,
	struct error *err)
{
	auto_keyring struct keyring *keyring = keyring_new();
	if (!age_identities_read(&keyring->identities, source, text, len, err))
		return false;
	*keyring_out = STEAL(keyring);
	return true;
}

struct keyring *keyring_generate(void)
{
	struct keyring *keyring = keyring_new();
	age_identities_generate(&keyring->identities);
	return keyring;
}

void keyring_write(const struct keyring *keyring, struct buf *out)
{
	char text[AGE_RECIPIENT_SIZE];
	for (size_t i = 0; i < keyring->identities.count; i++) {
		const struct age_identity *identity = &keyring->identities.items[i];
		buf_addf(
			out, "# public key: %s\n", age_recipient_format(identity->recipient, text));
		age_identity_format(identity, out);
		buf_add_char(out, '\n');
	}
}

size_t keyring_count(const struct keyring *keyring)
{
	return keyring->identities.count;
}

void keyring_recipients(const struct keyring *keyring, struct strlist *out)
{
	char text[AGE_RECIPIENT_SIZE];
	for (size_t i = 0; i < keyring->identities.count; i++)
		strlist_add(
			out, age_recipient_format(keyring->identities.items[i].recipient, text));
}

const struct age_identities *keyring_identities(const struct keyring *keyring)
{
	return &keyring->identities;
}
