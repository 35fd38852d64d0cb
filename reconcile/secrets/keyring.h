/* reconcile/secrets/keyring.h - the age identities that may open this fleet's secrets */
#pragma once
#include "base/buf.h"
#include "base/error.h"

struct age_identities;
struct age_ask;
struct age_source;
struct keyring;

/**
 * Read identities of all sources that exist: @p age_key_file (may be NULL), the file that
 * SOPS_AGE_KEY_FILE names, and SOPS_AGE_KEY. Key files readable by others are refused.
 * An identity file's bad line is named by its number, never its content.
 * @return true also when there is no source (keyring_count() is 0)
 */
MUST_USE bool keyring_load(
	const char *age_key_file, struct keyring **keyring_out, struct error *err);
/** Where the command takes identities from; the service uses keyring_load(). */
struct keyring_sources {
	const char *age_key_file;      /* NULL: none */
	const char *age_keys;          /* instead of SOPS_AGE_KEY, see keyring_take_environment() */
	bool personal;                 /* the user's own: SOPS_AGE_SSH_PRIVATE_KEY_FILE,
					* $XDG_CONFIG_HOME/sops/age/keys.txt or ~/.config/...,
					* ~/.ssh/id_ed25519 and id_rsa, where they exist */
	bool others_may_read;          /* take key files that others can read, as age and sops do */
	const struct age_source *more; /* texts that hold identities, as those of key files */
	size_t more_count;
	const struct age_ask *ask; /* for passphrases, see age.h; NULL: such keys are refused */
};
/** As keyring_load(), from these sources, SOPS_AGE_KEY_FILE and SOPS_AGE_KEY. A broken key in one
 *  of the user's default places is passed over, its reason goes to @p notes (may be NULL). */
MUST_USE bool keyring_load_sources(const struct keyring_sources *sources,
	struct keyring **keyring_out, struct strlist *notes, struct error *err);
/** Move SOPS_AGE_KEY's value to @p out (should be BUF_INIT_SECRET) and overwrite it where the
 * kernel shows it in /proc/PID/environ. Before other threads start. */
void keyring_take_environment(struct buf *out);
/** A keyring of one key file's text in memory; @p source names it in messages. */
MUST_USE bool keyring_read(const char *source, const char *text, size_t len,
	struct keyring **keyring_out, struct error *err);
/** A keyring with one new identity. */
struct keyring *keyring_generate(void);
/** Append the key file's text of all identities; @p out should be BUF_INIT_SECRET. */
void keyring_write(const struct keyring *keyring, struct buf *out);
/** Wipes the identities. */
void keyring_free(struct keyring *keyring);
DEFINE_CLEANUP(struct keyring, keyring_free)
#define auto_keyring CLEANUP(keyring_free_at)
/** How many identities can open something here. */
size_t keyring_count(const struct keyring *keyring);
/** Public recipients (age1..., ssh-...) of the identities, for encrypting to oneself. */
void keyring_recipients(const struct keyring *keyring, struct strlist *out);
/** For sops.c: the identities themselves. */
const struct age_identities *keyring_identities(const struct keyring *keyring);
