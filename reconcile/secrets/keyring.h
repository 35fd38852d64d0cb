/* reconcile/secrets/keyring.h - the age identities that may open this fleet's secrets */
#pragma once
#include "base/buf.h"
#include "base/error.h"

struct keyring;

/**
 * Read identities of all sources that exist: @p age_key_file (may be NULL), the file that
 * SOPS_AGE_KEY_FILE names, and SOPS_AGE_KEY. Key files readable by others are refused.
 * An identity file's bad line is named by its number, never its content.
 * @return true also when there is no source (keyring_count() is 0)
 */
MUST_USE bool keyring_load(
	const char *age_key_file, struct keyring **keyring_out, struct error *err);
void keyring_free(struct keyring *keyring);
DEFINE_CLEANUP(struct keyring, keyring_free)
#define auto_keyring CLEANUP(keyring_free_at)
size_t keyring_count(const struct keyring *keyring);
/** Public recipients (age1...) of the identities, for encrypting to oneself. */
void keyring_recipients(const struct keyring *keyring, struct strlist *out);
