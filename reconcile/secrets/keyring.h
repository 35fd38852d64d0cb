/* reconcile/secrets/keyring.h - the age identities that may open this fleet's secrets */
#pragma once
#include "base/buf.h"
#include "base/error.h"

struct age_identities;
struct keyring;

/**
 * Read identities of all sources that exist: @p age_key_file (may be NULL), the file that
 * SOPS_AGE_KEY_FILE names, and SOPS_AGE_KEY. Key files readable by others are refused.
 * An identity file's bad line is named by its number, never its content.
 * @return true also when there is no source (keyring_count() is 0)
 */
MUST_USE bool keyring_load(
	const char *age_key_file, struct keyring **keyring_out, struct error *err);
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
/** Public recipients (age1...) of the identities, for encrypting to oneself. */
void keyring_recipients(const struct keyring *keyring, struct strlist *out);
/** For sops.c: the identities themselves. */
const struct age_identities *keyring_identities(const struct keyring *keyring);
