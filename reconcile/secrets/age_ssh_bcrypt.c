/* Passphrases of OpenSSH's container: bcrypt_pbkdf over libcrypto's Blowfish and libsodium's
 * SHA-512, then AES (openssh: PROTOCOL.key; the order of steps is OpenBSD's bcrypt_pbkdf.c). The
 * start of Blowfish's tables, the digits of pi, is computed, as libcrypto does not show it. */
#define OPENSSL_SUPPRESS_DEPRECATED /* BF_encrypt(): there is no other way to Blowfish's state */
#include "reconcile/secrets/age_ssh_parts.h"
#include <openssl/blowfish.h>
#include <openssl/bn.h>
#include <sodium.h>

#define HASH_SIZE   crypto_hash_sha512_BYTES
#define BLOCK_SIZE  32 /* of bcrypt's output */
#define BLOCK_WORDS 8
#define ROUNDS_MAX  1000 /* ssh-keygen writes 16 or 24 */
#define TABLE_WORDS (BF_ROUNDS + 2 + 4 * 256)
#define GUARD_BITS  64
#define SALT_MAX    64

static void must(int ok)
{
	if (!ok)
		mem_abort(0);
}

/* sum += factor * atan(1/x), in fixed point; negative factors subtract. */
static void add_atan(BIGNUM *sum, int bits, unsigned x, int factor)
{
	BIGNUM *power = BN_new(), *term = BN_new();
	bool negative = factor < 0;
	must(power && term && BN_set_bit(power, bits) &&
		BN_mul_word(power, (BN_ULONG)(negative ? -factor : factor)));
	must(BN_div_word(power, x) != (BN_ULONG)-1);
	for (unsigned k = 1; !BN_is_zero(power); k += 2) {
		must(BN_copy(term, power) != NULL);
		must(BN_div_word(term, k) != (BN_ULONG)-1);
		must(negative ? BN_sub(sum, sum, term) : BN_add(sum, sum, term));
		must(BN_div_word(power, x * x) != (BN_ULONG)-1);
		negative = !negative;
	}
	BN_free(power);
	BN_free(term);
}

/* Machin: pi = 16 atan(1/5) - 4 atan(1/239) */
static void fill_start(BF_KEY *start)
{
	const int bits = TABLE_WORDS * 32 + GUARD_BITS;
	uint8_t bytes[TABLE_WORDS * 4];
	BIGNUM *pi = BN_new();
	must(pi != NULL);
	add_atan(pi, bits, 5, 16);
	add_atan(pi, bits, 239, -4);
	must(BN_mask_bits(pi, bits) && BN_rshift(pi, pi, GUARD_BITS)); /* without the 3 */
	must(BN_bn2binpad(pi, bytes, sizeof(bytes)) == (int)sizeof(bytes));
	BN_free(pi);
	for (size_t i = 0; i < TABLE_WORDS; i++) {
		const uint8_t *at = bytes + 4 * i;
		BF_LONG word =
			(BF_LONG)at[0] << 24 | (BF_LONG)at[1] << 16 | (BF_LONG)at[2] << 8 | at[3];
		if (i < BF_ROUNDS + 2)
			start->P[i] = word;
		else
			start->S[i - BF_ROUNDS - 2] = word;
	}
}

/* Words of a text that starts again at its end. */
struct words {
	const uint8_t *bytes;
	size_t len, at;
};

static BF_LONG next_word(struct words *words)
{
	BF_LONG word = 0;
	for (int i = 0; i < 4; i++) {
		word = word << 8 | words->bytes[words->at];
		words->at = (words->at + 1) % words->len;
	}
	return word;
}

/* Blowfish's key schedule; with @p salt it is that of bcrypt. */
static void expand(BF_KEY *state, const uint8_t *salt, const uint8_t *key)
{
	struct words keys = {key, HASH_SIZE, 0}, salts = {salt, HASH_SIZE, 0};
	BF_LONG block[2] = {0, 0};
	for (size_t i = 0; i < BF_ROUNDS + 2; i++)
		state->P[i] ^= next_word(&keys);
	for (size_t i = 0; i < TABLE_WORDS; i += 2) {
		BF_LONG *to = i < BF_ROUNDS + 2 ? state->P + i : state->S + (i - BF_ROUNDS - 2);
		if (salt) {
			block[0] ^= next_word(&salts);
			block[1] ^= next_word(&salts);
		}
		BF_encrypt(block, state);
		to[0] = block[0];
		to[1] = block[1];
	}
	sodium_memzero(block, sizeof(block));
}

static void bcrypt_hash(
	const BF_KEY *start, const uint8_t *pass, const uint8_t *salt, uint8_t out[BLOCK_SIZE])
{
	BF_KEY state = *start;
	BF_LONG data[BLOCK_WORDS];
	struct words text = {(const uint8_t *)"OxychromaticBlowfishSwatDynamite", BLOCK_SIZE, 0};
	expand(&state, salt, pass);
	for (int i = 0; i < 64; i++) {
		expand(&state, NULL, salt);
		expand(&state, NULL, pass);
	}
	for (size_t i = 0; i < BLOCK_WORDS; i++)
		data[i] = next_word(&text);
	for (int i = 0; i < 64; i++) {
		for (size_t k = 0; k < BLOCK_WORDS; k += 2)
			BF_encrypt(data + k, &state);
	}
	for (size_t i = 0; i < BLOCK_SIZE; i++)
		out[i] = (uint8_t)(data[i / 4] >> 8 * (i % 4));
	sodium_memzero(&state, sizeof(state));
	sodium_memzero(data, sizeof(data));
}

/* The key that is asked for is spread over the blocks byte by byte. */
static void derive(
	const struct buf *passphrase, struct age_bytes salt, uint32_t rounds, struct buf *key)
{
	BF_KEY start;
	uint8_t pass[HASH_SIZE], salted[HASH_SIZE], part[BLOCK_SIZE], block[BLOCK_SIZE];
	uint8_t text[SALT_MAX + 4];
	size_t stride = (key->len + BLOCK_SIZE - 1) / BLOCK_SIZE;
	fill_start(&start);
	crypto_hash_sha512(pass, (const uint8_t *)passphrase->text, passphrase->len);
	memcpy(text, salt.bytes, salt.len);
	for (size_t count = 0; count < stride; count++) {
		memcpy(text + salt.len, (uint8_t[]){0, 0, 0, (uint8_t)(count + 1)}, 4);
		crypto_hash_sha512(salted, text, salt.len + 4);
		bcrypt_hash(&start, pass, salted, part);
		memcpy(block, part, BLOCK_SIZE);
		for (uint32_t i = 1; i < rounds; i++) {
			crypto_hash_sha512(salted, part, BLOCK_SIZE);
			bcrypt_hash(&start, pass, salted, part);
			for (size_t k = 0; k < BLOCK_SIZE; k++)
				block[k] ^= part[k];
		}
		for (size_t i = 0; i * stride + count < key->len; i++)
			key->text[i * stride + count] = (char)block[i];
	}
	sodium_memzero(pass, sizeof(pass));
	sodium_memzero(salted, sizeof(salted));
	sodium_memzero(part, sizeof(part));
	sodium_memzero(block, sizeof(block));
}

static const EVP_CIPHER *cipher_of(struct age_bytes name)
{
	if (age_ssh_bytes_are(name, "aes256-ctr"))
		return EVP_aes_256_ctr();
	if (age_ssh_bytes_are(name, "aes192-ctr"))
		return EVP_aes_192_ctr();
	if (age_ssh_bytes_are(name, "aes128-ctr"))
		return EVP_aes_128_ctr();
	return age_ssh_bytes_are(name, "aes256-cbc") ? EVP_aes_256_cbc() : NULL;
}

static bool decrypt(const EVP_CIPHER *cipher, const struct buf *key, uint8_t *bytes, size_t len)
{
	int got = 0;
	const uint8_t *text = (const uint8_t *)key->text;
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	bool ok = context && len % 16 == 0 && len <= AGE_SSH_MAX_FILE &&
		  EVP_DecryptInit_ex(context, cipher, NULL, text,
			  text + EVP_CIPHER_get_key_length(cipher)) == 1 &&
		  EVP_CIPHER_CTX_set_padding(context, 0) == 1 &&
		  EVP_DecryptUpdate(context, bytes, &got, bytes, (int)len) == 1 &&
		  (size_t)got == len;
	EVP_CIPHER_CTX_free(context);
	return ok;
}

bool age_ssh_unseal(const struct age_ssh_sealed *sealed, const struct buf *passphrase)
{
	struct age_ssh_reader reader = {
		sealed->kdf_options.bytes, sealed->kdf_options.bytes + sealed->kdf_options.len};
	struct age_bytes salt;
	uint32_t rounds;
	auto_buf struct buf key = BUF_INIT_SECRET(64);
	const EVP_CIPHER *cipher = cipher_of(sealed->cipher);
	if (!cipher || !age_ssh_bytes_are(sealed->kdf, "bcrypt") || !age_ssh_take(&reader, &salt) ||
		!age_ssh_take_u32(&reader, &rounds) || !salt.len || salt.len > SALT_MAX ||
		!rounds || rounds > ROUNDS_MAX || !passphrase->len)
		return false;
	for (int i = EVP_CIPHER_get_key_length(cipher) + EVP_CIPHER_get_iv_length(cipher); i; i--)
		buf_add_char(&key, 0);
	derive(passphrase, salt, rounds, &key);
	return decrypt(cipher, &key, sealed->bytes, sealed->len);
}
