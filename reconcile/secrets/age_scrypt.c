/* The stanza for a passphrase (specs/sops-age.md 1.6). SOPS writes none; they protect key files. */
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/age_format.h"
#include <sodium.h>

#define LABEL        "age-encryption.org/v1/scrypt"
#define SALT_SIZE    16
#define WRAPPED_SIZE (AGE_FILE_KEY_SIZE + AGE_TAG_SIZE)

/* ^[1-9][0-9]*$ and not too much work */
static bool read_work(struct age_arg arg, unsigned *work_out)
{
	unsigned work = 0;
	if (!arg.len || arg.len > 2 || arg.text[0] == '0')
		return false;
	for (size_t i = 0; i < arg.len; i++) {
		if (arg.text[i] < '0' || arg.text[i] > '9')
			return false;
		work = work * 10 + (unsigned)(arg.text[i] - '0');
	}
	*work_out = work;
	return work <= AGE_MAX_WORK;
}

static bool derive(const struct buf *passphrase, const uint8_t *salt, unsigned work, uint8_t *key)
{
	uint8_t salted[sizeof(LABEL) - 1 + SALT_SIZE];
	memcpy(salted, LABEL, sizeof(LABEL) - 1);
	memcpy(salted + sizeof(LABEL) - 1, salt, SALT_SIZE);
	return crypto_pwhash_scryptsalsa208sha256_ll((const uint8_t *)passphrase->text,
		       passphrase->len, salted, sizeof(salted), 1ull << work, 8, 1, key,
		       AGE_HASH_SIZE) == 0;
}

enum age_unwrap age_scrypt_unwrap(const struct age_header *header, const struct age_stanza *stanza,
	const struct buf *passphrase, uint8_t file_key_out[AGE_FILE_KEY_SIZE])
{
	static const uint8_t nonce[12];
	uint8_t salt[SALT_SIZE], key[AGE_HASH_SIZE];
	unsigned work;
	const uint8_t *body = (const uint8_t *)header->bodies.text + stanza->body_at;
	if (!age_stanza_is(stanza, "scrypt"))
		return AGE_UNWRAP_OTHER;
	if (stanza->arg_count != 3 || stanza->body_len != WRAPPED_SIZE ||
		!age_base64_decode(stanza->args[1].text, stanza->args[1].len, salt, SALT_SIZE) ||
		!read_work(stanza->args[2], &work))
		return AGE_UNWRAP_MALFORMED;
	if (!derive(passphrase, salt, work, key))
		mem_abort(1024ul << work);
	bool ok = crypto_aead_chacha20poly1305_ietf_decrypt(
			  file_key_out, NULL, NULL, body, WRAPPED_SIZE, NULL, 0, nonce, key) == 0;
	sodium_memzero(key, sizeof(key));
	return ok ? AGE_UNWRAP_OK : AGE_UNWRAP_OTHER;
}
