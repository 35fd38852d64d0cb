/* reconcile/secrets/age_ssh_parts.h - inside of an SSH key: for age_ssh*.c only */
#pragma once
#include "reconcile/secrets/age_ssh.h"
#include <openssl/evp.h>

#define AGE_SSH_TAG_SIZE 7 /* 6 characters of base64 and a NUL */

enum age_ssh_kind { AGE_SSH_ED25519, AGE_SSH_RSA };

struct age_ssh_key {
	enum age_ssh_kind kind;
	struct buf wire;             /* the public key as SSH sends it */
	char tag[AGE_SSH_TAG_SIZE];  /* start of the wire form's hash */
	uint8_t point[AGE_KEY_SIZE]; /* ed25519: Montgomery form of the public key */
	uint8_t *secret;             /* ed25519, private: sodium_malloc()ed scalar */
	EVP_PKEY *rsa;               /* public or private */
};

/** "ssh-ed25519" or "ssh-rsa" */
const char *age_ssh_type(enum age_ssh_kind kind);
/** A key of an ed25519 public key. NULL: no point of the curve. */
struct age_ssh_key *age_ssh_key_ed25519(const uint8_t public_key[AGE_KEY_SIZE]);
/** A key that takes over an RSA key, public or private. NULL: of a size that is refused; the RSA
 *  key stays the caller's. */
struct age_ssh_key *age_ssh_key_rsa(EVP_PKEY *rsa);
/** Make a key private: @p seed of 32 bytes, as ed25519 has it. */
void age_ssh_key_set_seed(struct age_ssh_key *key, const uint8_t *seed);

/** Bytes in SSH's encoding that are being read. */
struct age_ssh_reader {
	const uint8_t *at, *end;
};
/** Take a string with its length before it. */
bool age_ssh_take(struct age_ssh_reader *reader, struct age_bytes *out);
/** Take a number of 4 bytes. */
bool age_ssh_take_u32(struct age_ssh_reader *reader, uint32_t *out);
/** Is the string this text? */
bool age_ssh_bytes_are(struct age_bytes bytes, const char *text);
/** Numbers of an RSA key as mpints; d is empty for a public key. NULL: libcrypto takes them not. */
EVP_PKEY *age_ssh_rsa_of(struct age_bytes n, struct age_bytes e, struct age_bytes d);

/** The encrypted private part of an OpenSSH container, and how it is encrypted. */
struct age_ssh_sealed {
	struct age_bytes cipher, kdf, kdf_options;
	uint8_t *bytes;
	size_t len;
};
/** Decrypt it in place. False: passphrase is wrong or the encryption unknown. */
bool age_ssh_unseal(const struct age_ssh_sealed *sealed, const struct buf *passphrase);
