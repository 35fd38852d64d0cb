/* reconcile/secrets/sops.h - SOPS files with age keys: open, look at, write
 *
 * Format: specs/sops-age.md (sops 3.13, all versions since 3.3 read back). Order of work: parse,
 * metadata, data key, walk, MAC; nothing is handed out before the MAC was checked.
 */
#pragma once
#include "base/node.h"
#include "reconcile/secrets/keyring.h"

/** What went wrong, beside the struct error: classes that the command's exit status tells apart. */
enum sops_failure {
	SOPS_OK,
	SOPS_NOT_SOPS, /* no `sops` entry */
	SOPS_FORMAT,   /* does not parse */
	SOPS_METADATA,
	SOPS_NO_KEY, /* no identity opens it */
	SOPS_VALUE,  /* a value does not decrypt; path and line in the error */
	SOPS_MAC,
	SOPS_UNSUPPORTED, /* encrypted only to kinds of keys that are not supported */
	SOPS_ENCRYPTED    /* has a `sops` entry where a plain file is wanted */
};

/** Exit status of the command, as sops has it: 25 value, 51 MAC, 128 no key or one that is not
 *  supported, 203 already encrypted; 1 for all else. */
int sops_failure_exit(enum sops_failure failure);
#define SOPS_EXIT_UNCHANGED 200

/** Name of a class for logs and tests: "no-key", "mac-mismatch", ... */
const char *sops_failure_name(enum sops_failure failure);

/**
 * Decrypt a SOPS YAML file.
 * @param arena        ARENA_SECRET; owns the values
 * @param node_out     map of the plain values without `sops`, places kept
 * @param failure_out  class of the failure, may be NULL
 */
MUST_USE bool sops_decrypt_yaml(const char *file, const char *bytes, size_t len,
	const struct keyring *keyring, struct arena *arena, const struct node **node_out,
	enum sops_failure *failure_out, struct error *err);

/** As sops_decrypt_yaml() for any SOPS format, chosen by the file's name, and any number of
 *  documents: @p node_out is a list of maps. A binary file is a map with the key `data`. */
MUST_USE bool sops_decrypt_documents(const char *file, const char *bytes, size_t len,
	const struct keyring *keyring, struct arena *arena, const struct node **node_out,
	enum sops_failure *failure_out, struct error *err);

/** The tree without decrypting: ENC[...] texts as they stand, without `sops`. For work without
 * keys. */
MUST_USE bool sops_peek_yaml(const char *file, const char *bytes, size_t len, struct arena *arena,
	const struct node **node_out, struct error *err);

/** Does the file (any SOPS format, by its name) carry valid SOPS metadata and only encrypted values
 *  where its rule wants them? For policy.encrypted_secrets; err says what is plain and where. */
MUST_USE bool sops_check_encrypted(
	const char *file, const char *bytes, size_t len, struct error *err);

/** Recipients of the age entries, in order. */
MUST_USE bool sops_recipients(const char *file, const char *bytes, size_t len,
	struct strlist *recipients_out, struct error *err);

/** Encrypt a plain map as a new SOPS YAML file for these age recipients (default rules). */
MUST_USE bool sops_encrypt_yaml(const struct node *plain, const struct strlist *recipients,
	struct buf *out, struct error *err);
