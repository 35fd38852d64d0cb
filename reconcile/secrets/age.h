/* reconcile/secrets/age.h - files of age v1: keys, opening, writing
 *
 * Format: specs/sops-age.md section 1. Handled: X25519. Recognised and refused by name: SSH keys,
 * passphrases, post-quantum keys, plugins. Identities live in locked memory that is wiped.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"

#define AGE_KEY_SIZE       32
#define AGE_RECIPIENT_SIZE 64                 /* text of an X25519 recipient, with its NUL */
#define AGE_MAX_KEY_FILE   (16 * 1024 * 1024) /* as age's own limit */

/** Which part of the format failed, beside the struct error. */
enum age_failure {
	AGE_OK,
	AGE_ARMOR,
	AGE_HEADER,      /* header malformed, or a stanza of a type that an identity looked at */
	AGE_NO_MATCH,    /* well-formed, but no identity opens it */
	AGE_UNSUPPORTED, /* the same, and all its recipients are post-quantum */
	AGE_HMAC,        /* a file key was found, but the header is not what was written */
	AGE_PAYLOAD
};

/** Asks a person for a passphrase. @p source names what it is for. */
struct age_ask {
	bool (*ask)(void *data, const char *source, struct buf *passphrase_out, struct error *err);
	void *data;
};

struct age_identity {
	uint8_t secret[AGE_KEY_SIZE];
	uint8_t recipient[AGE_KEY_SIZE]; /* public key of secret */
};

/** A list of identities, of which only the X25519 ones can open anything. */
struct age_identities {
	struct age_identity *items; /* sodium_malloc()ed */
	size_t count, capacity;
	size_t post_quantum; /* seen and passed over */
	size_t plugins;      /* seen and passed over */
};
#define AGE_IDENTITIES_INIT                                                                        \
	{                                                                                          \
		0                                                                                  \
	}

/** Wipes and frees. */
void age_identities_clear(struct age_identities *identities);
#define auto_age_identities CLEANUP(age_identities_clear)

/**
 * Add the identities of a key file's text, all or none.
 * @param source  for messages: path or name of the variable; lines are named by number only
 */
MUST_USE bool age_identities_read(struct age_identities *identities, const char *source,
	const char *text, size_t len, struct error *err);

/** Make a new identity and add it. */
void age_identities_generate(struct age_identities *identities);

/** `AGE-SECRET-KEY-1...` of an identity, for key files; @p out should be BUF_INIT_SECRET. */
void age_identity_format(const struct age_identity *identity, struct buf *out);

/** `age1...` of a public key into @p text of AGE_RECIPIENT_SIZE bytes; returns @p text. */
const char *age_recipient_format(const uint8_t recipient[AGE_KEY_SIZE], char *text);

/** Read an X25519 recipient, blanks around it allowed; other kinds are refused by name. */
MUST_USE bool age_recipient_parse(
	const char *text, uint8_t recipient_out[AGE_KEY_SIZE], struct error *err);

/** An age file in memory, borrowed. */
struct age_file {
	const void *bytes;
	size_t len;
	bool armored; /* ASCII armor around it; else it must be binary */
};

/**
 * Open an age file.
 *
 * @param out          plaintext; after AGE_PAYLOAD it holds the chunks before the damage, which are
 *                     authentic; should be BUF_INIT_SECRET with a limit of at least the
 *                     file's size
 * @param failure_out  AGE_OK or which part failed
 */
MUST_USE bool age_decrypt(const struct age_file *file, const struct age_identities *identities,
	struct buf *out, enum age_failure *failure_out, struct error *err);

/** Public keys to encrypt for. */
struct age_recipients {
	const uint8_t (*keys)[AGE_KEY_SIZE];
	size_t count;
};

/** Append a binary age file for at least one recipient. ERR_INVALID for a recipient that is a low
 *  order point. */
MUST_USE bool age_encrypt(const struct age_recipients *recipients, const void *plain, size_t len,
	struct buf *out, struct error *err);
