/* STREAM: chunks of 64 KiB, each sealed under an 11-byte counter and a byte that is 1 for the last
 * (specs/sops-age.md 1.11). Only the first chunk may be empty, and only if it is also the last. */
#include "reconcile/secrets/age_format.h"
#include <sodium.h>

#define SEALED_SIZE (AGE_CHUNK_SIZE + AGE_TAG_SIZE)
#define LAST_FLAG   11 /* its place in the nonce */

struct nonce {
	uint8_t bytes[12];
};

static struct nonce nonce_of(uint64_t counter, bool last)
{
	struct nonce nonce = {0};
	for (int i = 0; i < 8; i++)
		nonce.bytes[LAST_FLAG - 1 - i] = (uint8_t)(counter >> 8 * i);
	nonce.bytes[LAST_FLAG] = last;
	return nonce;
}

/* A payload while it is opened, and room for one chunk. */
struct opener {
	const uint8_t *key;
	uint64_t counter;
	bool last; /* the chunk that was opened was the last */
	uint8_t *plain;
};

static bool open_chunk(struct opener *opener, bool last, const uint8_t *sealed, size_t size)
{
	struct nonce nonce = nonce_of(opener->counter, last);
	opener->last = last;
	return size >= AGE_TAG_SIZE &&
	       crypto_aead_chacha20poly1305_ietf_decrypt(opener->plain, NULL, NULL, sealed, size,
		       NULL, 0, nonce.bytes, opener->key) == 0;
}

/* A full chunk may be the last or not, a shorter one is. */
static bool open_next(struct opener *opener, const uint8_t *sealed, size_t size)
{
	return (size == SEALED_SIZE && open_chunk(opener, false, sealed, size)) ||
	       open_chunk(opener, true, sealed, size);
}

static bool open_chunks(
	struct opener *opener, struct age_bytes payload, struct buf *out, struct error *err)
{
	size_t at = 0;
	for (; !opener->last; opener->counter++) {
		size_t left = payload.len - at;
		size_t size = left < SEALED_SIZE ? left : SEALED_SIZE;
		if (!size)
			return error_set(err, ERR_INVALID, "age payload is cut off");
		if (!open_next(opener, payload.bytes + at, size))
			return error_set(err, ERR_INVALID, "age payload is damaged or cut off");
		if (size == AGE_TAG_SIZE && opener->counter)
			return error_set(err, ERR_INVALID, "age payload ends with an empty chunk");
		buf_add(out, opener->plain, size - AGE_TAG_SIZE);
		at += size;
	}
	if (at != payload.len)
		return error_set(err, ERR_INVALID, "age payload goes on after its last chunk");
	return true;
}

bool age_stream_open(const uint8_t key[AGE_HASH_SIZE], const uint8_t *bytes, size_t len,
	struct buf *out, struct error *err)
{
	size_t size = len < AGE_CHUNK_SIZE ? len + 1 : AGE_CHUNK_SIZE;
	struct opener opener = {.key = key, .plain = mem_alloc(size)};
	bool ok = open_chunks(&opener, (struct age_bytes){bytes, len}, out, err);
	sodium_memzero(opener.plain, size);
	free(opener.plain);
	if (ok && buf_overflowed(out))
		return error_set(err, ERR_INVALID, "age payload is larger than expected");
	return ok;
}

void age_stream_seal(
	const uint8_t key[AGE_HASH_SIZE], const uint8_t *plain, size_t len, struct buf *out)
{
	uint8_t *sealed = mem_alloc(SEALED_SIZE);
	size_t at = 0;
	bool last = false;
	for (uint64_t counter = 0; !last; counter++) {
		size_t size = len - at < AGE_CHUNK_SIZE ? len - at : AGE_CHUNK_SIZE;
		unsigned long long sealed_size;
		last = at + size == len;
		struct nonce nonce = nonce_of(counter, last);
		/* cannot fail: it has no failure of its own */
		(void)crypto_aead_chacha20poly1305_ietf_encrypt(
			sealed, &sealed_size, plain + at, size, NULL, 0, NULL, nonce.bytes, key);
		buf_add(out, sealed, sealed_size);
		at += size;
	}
	free(sealed);
}
