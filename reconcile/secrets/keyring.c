#include "reconcile/secrets/keyring.h"
#include "base/fs.h"
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/age_ssh.h"
#include <sodium.h>
#include <unistd.h>

#define KEY_VARIABLE "SOPS_AGE_KEY"

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

static bool add_file(struct keyring *keyring, const struct keyring_sources *sources,
	const char *path, struct error *err)
{
	auto_buf struct buf text = BUF_INIT_SECRET(AGE_MAX_KEY_FILE);
	bool read = sources->others_may_read ? fs_read(path, AGE_MAX_KEY_FILE, &text, err)
					     : fs_read_secret(path, AGE_MAX_KEY_FILE, &text, err);
	if (!read)
		return error_wrap(err, "age key file");
	const struct age_source source = {path, text.text, text.len, sources->ask};
	return age_identities_add(&keyring->identities, &source, err);
}

/* SOPS_AGE_KEY may have several identities in a line, parted by blanks. */
static bool add_text(struct keyring *keyring, const char *name, const char *text, struct error *err)
{
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

static bool add_named(
	struct keyring *keyring, const struct keyring_sources *sources, struct error *err)
{
	const char *file = sources->age_key_file, *named = getenv("SOPS_AGE_KEY_FILE");
	if (file && *file && !add_file(keyring, sources, file, err))
		return false;
	if (named && *named && (!file || strcmp(named, file) != 0) &&
		!add_file(keyring, sources, named, err))
		return error_wrap(err, "SOPS_AGE_KEY_FILE");
	return add_text(keyring, KEY_VARIABLE,
		sources->age_keys ? sources->age_keys : getenv(KEY_VARIABLE), err);
}

static bool add_more(
	struct keyring *keyring, const struct keyring_sources *sources, struct error *err)
{
	for (size_t i = 0; i < sources->more_count; i++) {
		if (!age_identities_add(&keyring->identities, &sources->more[i], err))
			return false;
	}
	return true;
}

void keyring_take_environment(struct buf *out)
{
	char *text = getenv(KEY_VARIABLE);
	if (!text)
		return;
	buf_add_str(out, text);
	sodium_memzero(text, strlen(text)); /* where /proc/PID/environ shows it */
}

bool keyring_load(const char *age_key_file, struct keyring **keyring_out, struct error *err)
{
	const struct keyring_sources sources = {.age_key_file = age_key_file};
	return keyring_load_sources(&sources, keyring_out, NULL, err);
}

/* A default place that need not exist, nor be in order: others may open the file. */
static void add_default(struct keyring *keyring, const struct keyring_sources *sources,
	const char *path, struct strlist *notes)
{
	struct error err;
	if (access(path, F_OK) != 0 || add_file(keyring, sources, path, &err))
		return;
	if (notes)
		strlist_addf(notes, "'%s' is passed over: %s", path, err.message);
}

static bool add_personal(struct keyring *keyring, const struct keyring_sources *sources,
	struct strlist *notes, struct error *err)
{
	static const char *const keys[] = {"id_ed25519", "id_rsa"};
	const char *ssh = getenv("SOPS_AGE_SSH_PRIVATE_KEY_FILE");
	const char *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");
	if (ssh && *ssh && !add_file(keyring, sources, ssh, err))
		return error_wrap(err, "SOPS_AGE_SSH_PRIVATE_KEY_FILE");
	if ((config && *config) || (home && *home)) {
		bool xdg = config && *config;
		auto_free char *path = mem_printf(
			"%s%s/sops/age/keys.txt", xdg ? config : home, xdg ? "" : "/.config");
		add_default(keyring, sources, path, notes);
	}
	for (size_t i = 0; home && *home && i < ARRAY_LEN(keys); i++) {
		auto_free char *path = mem_printf("%s/.ssh/%s", home, keys[i]);
		add_default(keyring, sources, path, notes);
	}
	return true;
}

bool keyring_load_sources(const struct keyring_sources *sources, struct keyring **keyring_out,
	struct strlist *notes, struct error *err)
{
	auto_keyring struct keyring *keyring = keyring_new();
	if (!add_named(keyring, sources, err) || !add_more(keyring, sources, err) ||
		(sources->personal && !add_personal(keyring, sources, notes, err)))
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
	return age_identities_count(&keyring->identities);
}

void keyring_recipients(const struct keyring *keyring, struct strlist *out)
{
	const struct age_identities *identities = &keyring->identities;
	char text[AGE_RECIPIENT_SIZE];
	for (size_t i = 0; i < identities->count; i++)
		strlist_add(out, age_recipient_format(identities->items[i].recipient, text));
	for (size_t i = 0; i < identities->ssh_count; i++) {
		auto_buf struct buf line = BUF_INIT(AGE_SSH_MAX_LINE);
		age_ssh_key_format(identities->ssh[i], &line);
		strlist_add(out, line.text);
	}
}

const struct age_identities *keyring_identities(const struct keyring *keyring)
{
	return &keyring->identities;
}
