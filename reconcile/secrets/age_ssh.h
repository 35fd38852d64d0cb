/* reconcile/secrets/age_ssh.h - SSH keys as age recipients and identities
 *
 * Specs/sops-age.md 1.7, 1.8, 4.3. Kinds: ssh-ed25519 and ssh-rsa. Private keys come in the OpenSSH
 * container, as PKCS#1 or PKCS#8.
 */
#pragma once
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/age_format.h"

#define AGE_SSH_MAX_FILE (64 * 1024) /* a private RSA key of 16384 bits has 13 KB */
#define AGE_SSH_MAX_LINE 16384       /* and its public line 3 KB */
#define AGE_SSH_MIN_BITS 2048        /* of an RSA recipient */
#define AGE_SSH_MAX_BITS 16384

struct age_ssh_key;

/** Read `ssh-ed25519 AAAA... comment` or `ssh-rsa ...`. Other kinds are refused by name. */
MUST_USE bool age_ssh_public_parse(
	const char *line, struct age_ssh_key **key_out, struct error *err);
/** Does this text hold a private key of SSH or PEM? */
bool age_ssh_is_private(const char *text, size_t len);
/** Read a private key. A passphrase is asked for once; without @p source->ask such a key is
 *  ERR_REFUSED. */
MUST_USE bool age_ssh_private_parse(
	const struct age_source *source, struct age_ssh_key **key_out, struct error *err);
/** Wipes; NULL is fine. */
void age_ssh_key_free(struct age_ssh_key *key);
DEFINE_CLEANUP(struct age_ssh_key, age_ssh_key_free)
#define auto_age_ssh_key CLEANUP(age_ssh_key_free_at)
/** Append the public key's line, without comment. */
void age_ssh_key_format(const struct age_ssh_key *key, struct buf *out);

/** Try a private key on a stanza of any type. */
enum age_unwrap age_ssh_unwrap(const struct age_header *header, const struct age_stanza *stanza,
	const struct age_ssh_key *key, uint8_t file_key_out[AGE_FILE_KEY_SIZE]);
/** Append the stanza for a public key. False: the key is of low order, or libcrypto failed. */
MUST_USE bool age_ssh_wrap(const struct age_ssh_key *key, const uint8_t file_key[AGE_FILE_KEY_SIZE],
	struct buf *header);
