/* reconcile/secrets/age.h - files of age v1: keys, opening, writing
 *
 * Format: specs/sops-age.md section 1. Handled: X25519, SSH keys (age_ssh.h), passphrases when a
 * person is there to be asked. Recognised and refused by name: post-quantum keys, plugins.
 * Identities live in locked memory that is wiped.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"

#define AGE_KEY_SIZE       32
#define AGE_RECIPIENT_SIZE 64                 /* text of an X25519 recipient, with its NUL */
#define AGE_MAX_KEY_FILE   (16 * 1024 * 1024) /* as age's own limit */
#define AGE_MAX_PASSPHRASE 1024
#define AGE_RECIPIENTS_MAX 1000 /* of one file that is written here */
#define AGE_MAX_WORK       18   /* log2 of scrypt's N: 256 MiB of memory, half a second */

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

/** Text that identities are read from. */
struct age_source {
	const char *name; /* for messages: path or name of the variable */
	const char *text;
	size_t len;
	const struct age_ask *ask; /* NULL: what needs a passphrase is refused */
};

struct age_ssh_key;

/** A list of identities; those of kinds that are not supported are only counted. */
struct age_identities {
	struct age_identity *items; /* sodium_malloc()ed */
	size_t count, capacity;
	struct age_ssh_key **ssh; /* private keys; tried after the native ones */
	size_t ssh_count, ssh_capacity;
	struct buf *passphrases; /* for files encrypted with one; each BUF_INIT_SECRET */
	size_t passphrase_count, passphrase_capacity;
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

/** As age_identities_read(), and takes private SSH keys and, where it may ask, key files with a
 *  passphrase. All or none. */
MUST_USE bool age_identities_add(
	struct age_identities *identities, const struct age_source *source, struct error *err);
/** Add a passphrase; it is copied. */
void age_identities_add_passphrase(struct age_identities *identities, const char *text, size_t len);
/** How many identities can open something. */
size_t age_identities_count(const struct age_identities *identities);

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
	const struct age_ssh_key *const *ssh;
	size_t ssh_count;
};

/** Is this text a recipient that can be encrypted for: X25519 or SSH? Others are refused by name.
 */
MUST_USE bool age_recipient_check(const char *text, struct error *err);
/** As age_encrypt(), for one recipient's text of any kind. */
MUST_USE bool age_encrypt_to(
	const char *recipient, const void *plain, size_t len, struct buf *out, struct error *err);

/** As age_encrypt(), for the texts of recipients of any kind; at most AGE_RECIPIENTS_MAX. */
MUST_USE bool age_encrypt_to_all(const struct strlist *recipients, const struct buf *plain,
	struct buf *out, struct error *err);

/** Append a binary age file for at least one recipient. ERR_INVALID for a recipient that is a low
 *  order point. */
MUST_USE bool age_encrypt(const struct age_recipients *recipients, const void *plain, size_t len,
	struct buf *out, struct error *err);
