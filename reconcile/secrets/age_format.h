/* reconcile/secrets/age_format.h - the parts of an age file: armor, header, STREAM
 *
 * For age.c and its tests; everybody else wants age.h. Sections of specs/sops-age.md: 1.2 to 1.4
 * (header), 1.11 (STREAM), 1.12 (armor).
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"

#define AGE_FILE_KEY_SIZE 16
#define AGE_HASH_SIZE     32 /* HMAC-SHA-256, HKDF output, keys of the AEAD */
#define AGE_TAG_SIZE      16
#define AGE_NONCE_SIZE    16
#define AGE_CHUNK_SIZE    65536
#define AGE_MAX_HEADER    (256 * 1024)
#define AGE_MAX_STANZAS   1000
#define AGE_KEPT_ARGS     4 /* no type that we read has more; the others are only counted */

/** What an identity made of a stanza. */
enum age_unwrap {
	AGE_UNWRAP_OK,
	AGE_UNWRAP_OTHER, /* not for this identity */
	AGE_UNWRAP_MALFORMED
};

struct age_arg {
	const char *text; /* inside the header's bytes, not NUL-terminated */
	size_t len;
};

struct age_stanza {
	struct age_arg args[AGE_KEPT_ARGS]; /* args[0] is the type */
	size_t arg_count;
	size_t body_at, body_len; /* in age_header.bodies */
};

struct age_header {
	struct age_stanza *stanzas;
	size_t count, capacity;
	struct buf bodies;
	const char *bytes;          /* borrowed */
	size_t mac_covers;          /* bytes from the first to the three dashes */
	uint8_t mac[AGE_HASH_SIZE]; /* as the file has it */
	size_t size;                /* bytes up to where the nonce starts */
};

/** Parse a header strictly. @p bytes must live as long as @p header_out, which is to be cleared
 *  also after a failure. */
MUST_USE bool age_header_parse(
	const char *bytes, size_t len, struct age_header *header_out, struct error *err);
void age_header_clear(struct age_header *header);
#define auto_age_header CLEANUP(age_header_clear)
/** Is this the stanza's type? Case counts. */
bool age_stanza_is(const struct age_stanza *stanza, const char *type);
/** Append one stanza to a header that is being written. @p args is "type arg ...". */
void age_header_add(struct buf *header, const char *args, const uint8_t *body, size_t len);
/** HMAC of a header's bytes up to and including its three dashes. */
void age_header_mac(const uint8_t file_key[AGE_FILE_KEY_SIZE], const char *bytes, size_t len,
	uint8_t mac_out[AGE_HASH_SIZE]);

/** Strict unpadded base64 into exactly @p size bytes. */
MUST_USE bool age_base64_decode(const char *text, size_t len, uint8_t *out, size_t size);
/** Append unpadded base64. */
void age_base64_encode(const void *bytes, size_t len, struct buf *out);

/** Bytes of somebody else. */
struct age_bytes {
	const uint8_t *bytes;
	size_t len;
};

/** HKDF-SHA-256 with an output of 32 bytes. The salt may be empty. */
void age_hkdf(
	struct age_bytes ikm, struct age_bytes salt, const char *info, uint8_t out[AGE_HASH_SIZE]);

/** Open a payload (what follows the nonce): appends every chunk that is authentic, in order. */
MUST_USE bool age_stream_open(const uint8_t key[AGE_HASH_SIZE], const uint8_t *bytes, size_t len,
	struct buf *out, struct error *err);
/** Append the chunks of @p plain. */
void age_stream_seal(
	const uint8_t key[AGE_HASH_SIZE], const uint8_t *plain, size_t len, struct buf *out);

/** Append the bytes of an armored text. */
MUST_USE bool age_armor_decode(const char *text, size_t len, struct buf *out, struct error *err);
/** Append the armor of @p bytes, which ends with a line feed. */
void age_armor_encode(const uint8_t *bytes, size_t len, struct buf *out);

/** Try a passphrase on a stanza of any type. Work beyond AGE_MAX_WORK is malformed, before any is
 *  done. */
enum age_unwrap age_scrypt_unwrap(const struct age_header *header, const struct age_stanza *stanza,
	const struct buf *passphrase, uint8_t file_key_out[AGE_FILE_KEY_SIZE]);
