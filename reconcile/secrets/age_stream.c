/* STREAM: chunks of 64 KiB, each sealed under an 11-byte counter and a byte that is 1 for the last
 * (specs/sops-age.md 1.11). Only the first chunk may be empty, and only if it is also the last.
 * ChaCha20-Poly1305 is libcrypto's here: for whole chunks it is three times as fast as
 * libsodium's. */
#include "reconcile/secrets/age_stream.h"
#include <openssl/evp.h>
#include <sodium.h>

#define LAST_FLAG 11 /* its place in the nonce */

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

/* libcrypto fails here only without memory or without the algorithm. */
static void must(int result)
{
	if (result != 1)
		mem_abort(0);
}

void age_stream_init(struct age_stream *stream, const uint8_t key[AGE_HASH_SIZE], bool seal)
{
	*stream = (struct age_stream){.cipher = EVP_CIPHER_CTX_new()};
	must(stream->cipher ? 1 : 0);
	must(EVP_CipherInit_ex(
		stream->cipher, EVP_chacha20_poly1305(), NULL, key, NULL, seal ? 1 : 0));
}

void age_stream_clear(struct age_stream *stream)
{
	EVP_CIPHER_CTX_free(stream->cipher); /* wipes the key */
	stream->cipher = NULL;
}

/* False: the tag is of something else; what stands in @p plain is nothing then. */
static bool open_chunk(
	struct age_stream *stream, bool last, struct age_bytes sealed, uint8_t *plain)
{
	struct nonce nonce = nonce_of(stream->counter, last);
	uint8_t tag[AGE_TAG_SIZE], rest[AGE_TAG_SIZE];
	int got = 0;
	if (sealed.len < AGE_TAG_SIZE)
		return false;
	int size = (int)(sealed.len - AGE_TAG_SIZE); /* a chunk at most */
	memcpy(tag, sealed.bytes + size, sizeof(tag));
	must(EVP_CipherInit_ex(stream->cipher, NULL, NULL, NULL, nonce.bytes, -1));
	must(EVP_CIPHER_CTX_ctrl(stream->cipher, EVP_CTRL_AEAD_SET_TAG, AGE_TAG_SIZE, tag));
	must(EVP_CipherUpdate(stream->cipher, plain, &got, sealed.bytes, size));
	stream->last = last;
	return EVP_CipherFinal_ex(stream->cipher, rest, &got) == 1;
}

bool age_stream_open_chunk(
	struct age_stream *stream, struct age_bytes sealed, uint8_t *plain, struct error *err)
{
	/* a full chunk may be the last or not, a shorter one is */
	bool full = sealed.len == AGE_SEALED_SIZE;
	if (stream->last)
		return error_set(err, ERR_INVALID, "age payload goes on after its last chunk");
	if (!sealed.len)
		return error_set(err, ERR_INVALID, "age payload is cut off");
	if (!(full && open_chunk(stream, false, sealed, plain)) &&
		!open_chunk(stream, true, sealed, plain))
		return error_set(err, ERR_INVALID, "age payload is damaged or cut off");
	if (sealed.len == AGE_TAG_SIZE && stream->counter)
		return error_set(err, ERR_INVALID, "age payload ends with an empty chunk");
	stream->counter++;
	return true;
}

void age_stream_seal_chunk(
	struct age_stream *stream, struct age_bytes plain, bool last, uint8_t *sealed)
{
	struct nonce nonce = nonce_of(stream->counter++, last);
	int got = 0, more = 0;
	must(EVP_CipherInit_ex(stream->cipher, NULL, NULL, NULL, nonce.bytes, -1));
	must(EVP_CipherUpdate(stream->cipher, sealed, &got, plain.bytes, (int)plain.len));
	must(EVP_CipherFinal_ex(stream->cipher, sealed + got, &more));
	must(EVP_CIPHER_CTX_ctrl(
		stream->cipher, EVP_CTRL_AEAD_GET_TAG, AGE_TAG_SIZE, sealed + plain.len));
}

static bool open_all(struct age_stream *stream, struct age_bytes payload, uint8_t *plain,
	struct buf *out, struct error *err)
{
	size_t at = 0;
	while (!stream->last || at < payload.len) {
		size_t left = payload.len - at;
		size_t size = left < AGE_SEALED_SIZE ? left : AGE_SEALED_SIZE;
		if (!age_stream_open_chunk(
			    stream, (struct age_bytes){payload.bytes + at, size}, plain, err))
			return false;
		buf_add(out, plain, size - AGE_TAG_SIZE);
		at += size;
	}
	return !buf_overflowed(out) ||
	       error_set(err, ERR_INVALID, "age payload is larger than expected");
}

bool age_stream_open(const uint8_t key[AGE_HASH_SIZE], const uint8_t *bytes, size_t len,
	struct buf *out, struct error *err)
{
	size_t size = len < AGE_CHUNK_SIZE ? len + 1 : AGE_CHUNK_SIZE;
	auto_age_stream struct age_stream stream;
	uint8_t *plain = mem_alloc(size);
	age_stream_init(&stream, key, false);
	bool ok = open_all(&stream, (struct age_bytes){bytes, len}, plain, out, err);
	sodium_memzero(plain, size);
	free(plain);
	return ok;
}

void age_stream_seal(
	const uint8_t key[AGE_HASH_SIZE], const uint8_t *plain, size_t len, struct buf *out)
{
	auto_age_stream struct age_stream stream;
	auto_free uint8_t *sealed =
		mem_alloc((len < AGE_CHUNK_SIZE ? len : AGE_CHUNK_SIZE) + AGE_TAG_SIZE);
	size_t at = 0;
	bool last = false;
	age_stream_init(&stream, key, true);
	while (!last) {
		size_t size = len - at < AGE_CHUNK_SIZE ? len - at : AGE_CHUNK_SIZE;
		last = at + size == len;
		age_stream_seal_chunk(&stream, (struct age_bytes){plain + at, size}, last, sealed);
		buf_add(out, sealed, size + AGE_TAG_SIZE);
		at += size;
	}
}
