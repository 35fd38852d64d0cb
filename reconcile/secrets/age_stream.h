/* reconcile/secrets/age_stream.h - an age file's payload, chunk by chunk: for age*.c and tests */
#pragma once
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/age_format.h"
#include <openssl/types.h>

#define AGE_SEALED_SIZE (AGE_CHUNK_SIZE + AGE_TAG_SIZE)

/** What stands before the payload. */
struct age_start {
	uint8_t key[AGE_HASH_SIZE]; /* of the payload; wipe it */
	size_t size;                /* of header and nonce */
};
/** Read and check the header and the nonce behind it. */
MUST_USE bool age_start_read(struct age_bytes bytes, const struct age_identities *identities,
	struct age_start *start_out, enum age_failure *failure_out, struct error *err);
/** Append a header for the recipients and a nonce. */
MUST_USE bool age_start_write(const struct age_recipients *recipients, struct buf *out,
	struct age_start *start_out, struct error *err);

struct age_stream {
	EVP_CIPHER_CTX *cipher;
	uint64_t counter;
	bool last; /* the chunk that was opened was the last */
};

/** To seal, or else to open. */
void age_stream_init(struct age_stream *stream, const uint8_t key[AGE_HASH_SIZE], bool seal);
void age_stream_clear(struct age_stream *stream);
#define auto_age_stream CLEANUP(age_stream_clear)

/** Open the next chunk: AGE_SEALED_SIZE bytes, or all that is left. @p plain is set only if true
 *  comes back. */
MUST_USE bool age_stream_open_chunk(
	struct age_stream *stream, struct age_bytes sealed, uint8_t *plain, struct error *err);
/** Seal the next chunk: AGE_CHUNK_SIZE bytes, fewer for the last. @p sealed takes AGE_TAG_SIZE
 *  bytes more. */
void age_stream_seal_chunk(
	struct age_stream *stream, struct age_bytes plain, bool last, uint8_t *sealed);
