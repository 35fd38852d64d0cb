/* git/sshsig.h - signatures that ssh-keygen(1) makes, as OpenSSH's PROTOCOL.sshsig describes them
 *
 * Parsed strictly: what is no exact signature of version 1 is refused. Who may sign is not decided
 * here, see git/signers.h.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"

#define SSHSIG_MAX ((size_t)32 << 10) /* of the armor; RSA of 16384 bits needs 6 KiB */

/** Bytes that somebody else owns. */
struct span {
	const unsigned char *at;
	size_t len;
};
/** Take a string of SSH's wire format (uint32 length, bytes) off the front. */
MUST_USE bool span_take(struct span *from, struct span *string_out);
bool span_is(const struct span *span, const char *text);
/** Append a string of that format. */
void span_add(struct buf *out, const void *bytes, size_t len);

struct sshsig {
	unsigned char *packed; /* owned; the spans point into it */
	struct span key;       /* public key in SSH's wire format */
	struct span key_type;  /* "ssh-ed25519" */
	struct span purpose;   /* namespace: "git" */
	struct span hash;      /* "sha256" or "sha512" */
	struct span signature; /* in SSH's wire format */
};

/** Does the text begin as an armored SSH signature? */
bool sshsig_is_one(const char *armor, size_t len);
/** ERR_AUTH: damaged. @param signature_out  the caller's to clear */
MUST_USE bool sshsig_parse(
	const char *armor, size_t len, struct sshsig *signature_out, struct error *err);
void sshsig_clear(struct sshsig *signature);
#define auto_sshsig CLEANUP(sshsig_clear)

/** The bytes that a signature of @p bytes covers: OpenSSH signs a hash in an envelope. */
void sshsig_covered(const struct sshsig *signature, const void *bytes, size_t len, struct buf *out);

/**
 * Did the key in the signature make it over these bytes?
 *
 * Ed25519 in process, every other type by `ssh-keygen -Y check-novalidate`, which gets the
 * signature in a memory file and the bytes as its input.
 * @param armor  what @p signature was parsed from
 * @return false with ERR_AUTH: no; other codes: it could not be found out
 */
MUST_USE bool sshsig_verify(const struct sshsig *signature, const struct span *armor,
	const struct span *bytes, struct error *err);
