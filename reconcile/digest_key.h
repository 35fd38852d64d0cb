/* reconcile/digest_key.h - the keys under which secrets enter release digests
 *
 * A list with ids, newest last, kept as digest-key.sops.yaml on the status branch (design.md
 * section 6). Text form: a SOPS YAML file with `keys: [{id: k1, key: <64 hex>}]`.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"
#include "reconcile/secrets/keyring.h"

#define DIGEST_KEY_BYTES 32
#define DIGEST_KEYS_MAX  64

struct digest_key {
	char id[16];
	unsigned char key[DIGEST_KEY_BYTES];
};

struct digest_keys {
	struct digest_key items[DIGEST_KEYS_MAX];
	size_t count;
};

/** Read the file. ERR_AUTH: no identity of the keyring opens it (the keys count as lost). */
MUST_USE bool digest_keys_read(const char *text, size_t len, const struct keyring *keyring,
	struct digest_keys *keys_out, struct error *err);
/** Append a new random key with the next id. */
MUST_USE bool digest_keys_add(struct digest_keys *keys, struct error *err);
/** Encrypt all for @p recipients. */
MUST_USE bool digest_keys_write(const struct digest_keys *keys, const struct strlist *recipients,
	struct buf *out, struct error *err);
/** Key by id, or NULL. The newest: digest_keys_find(keys, NULL). */
const struct digest_key *digest_keys_find(const struct digest_keys *keys, const char *id);
void digest_keys_wipe(struct digest_keys *keys);
#define auto_digest_keys CLEANUP(digest_keys_wipe)
