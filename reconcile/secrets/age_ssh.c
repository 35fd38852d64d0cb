/* Stanzas for SSH keys (specs/sops-age.md 1.7, 1.8). An ed25519 key is used as an X25519 key, and
 * its wire form tweaks the shared secret, so that it differs from that of a native recipient. */
#include "reconcile/secrets/age_ssh_parts.h"
#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <sodium.h>

#define ED25519_LABEL "age-encryption.org/v1/ssh-ed25519"
#define RSA_LABEL     "age-encryption.org/v1/ssh-rsa"
#define WRAPPED_SIZE  (AGE_FILE_KEY_SIZE + AGE_TAG_SIZE)
#define RSA_MAX_SIZE  (AGE_SSH_MAX_BITS / 8)

static const uint8_t zero_nonce[12];

const char *age_ssh_type(enum age_ssh_kind kind)
{
	return kind == AGE_SSH_RSA ? "ssh-rsa" : "ssh-ed25519";
}

void age_ssh_key_free(struct age_ssh_key *key)
{
	if (!key)
		return;
	buf_clear(&key->wire);
	sodium_free(key->secret);
	EVP_PKEY_free(key->rsa);
	free(key);
}

void age_ssh_key_format(const struct age_ssh_key *key, struct buf *out)
{
	size_t size = sodium_base64_encoded_len(key->wire.len, sodium_base64_VARIANT_ORIGINAL);
	auto_free char *text = mem_alloc(size);
	buf_addf(out, "%s %s", age_ssh_type(key->kind),
		sodium_bin2base64(text, size, (const uint8_t *)key->wire.text, key->wire.len,
			sodium_base64_VARIANT_ORIGINAL));
}

/* Argument @p index is what the stanza must have to be for this key. */
static bool tag_is(const struct age_stanza *stanza, const struct age_ssh_key *key)
{
	return stanza->args[1].len == AGE_SSH_TAG_SIZE - 1 &&
	       memcmp(stanza->args[1].text, key->tag, AGE_SSH_TAG_SIZE - 1) == 0;
}

/* key = HKDF(X25519(tweak, point), share || recipient's point); @p point is X25519(secret, peer) */
static bool ed25519_key(const struct age_ssh_key *key, const uint8_t *point, const uint8_t *share,
	uint8_t key_out[AGE_HASH_SIZE])
{
	uint8_t tweak[AGE_HASH_SIZE], shared[AGE_KEY_SIZE], salt[2 * AGE_KEY_SIZE];
	const struct age_bytes wire = {(const uint8_t *)key->wire.text, key->wire.len};
	age_hkdf((struct age_bytes){0}, wire, ED25519_LABEL, tweak);
	bool ok = crypto_scalarmult(shared, tweak, point) == 0;
	memcpy(salt, share, AGE_KEY_SIZE);
	memcpy(salt + AGE_KEY_SIZE, key->point, AGE_KEY_SIZE);
	age_hkdf((struct age_bytes){shared, sizeof(shared)}, (struct age_bytes){salt, sizeof(salt)},
		ED25519_LABEL, key_out);
	sodium_memzero(shared, sizeof(shared));
	return ok;
}

static enum age_unwrap unwrap_ed25519(const struct age_header *header,
	const struct age_stanza *stanza, const struct age_ssh_key *key, uint8_t *file_key_out)
{
	uint8_t share[AGE_KEY_SIZE], point[AGE_KEY_SIZE], wrap[AGE_HASH_SIZE];
	const uint8_t *body = (const uint8_t *)header->bodies.text + stanza->body_at;
	if (stanza->arg_count != 3 ||
		!age_base64_decode(stanza->args[2].text, stanza->args[2].len, share, sizeof(share)))
		return AGE_UNWRAP_MALFORMED;
	if (!tag_is(stanza, key))
		return AGE_UNWRAP_OTHER;
	bool ok = stanza->body_len == WRAPPED_SIZE &&
		  crypto_scalarmult(point, key->secret, share) == 0 &&
		  ed25519_key(key, point, share, wrap) &&
		  crypto_aead_chacha20poly1305_ietf_decrypt(file_key_out, NULL, NULL, body,
			  WRAPPED_SIZE, NULL, 0, zero_nonce, wrap) == 0;
	sodium_memzero(point, sizeof(point));
	sodium_memzero(wrap, sizeof(wrap));
	return ok ? AGE_UNWRAP_OK : AGE_UNWRAP_MALFORMED;
}

/* OAEP with SHA-256 and age's label; the context takes over a copy of the label. */
static bool set_oaep(EVP_PKEY_CTX *context)
{
	char *label = OPENSSL_strdup(RSA_LABEL);
	if (label && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) > 0 &&
		EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) > 0 &&
		EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) > 0 &&
		EVP_PKEY_CTX_set0_rsa_oaep_label(context, label, (int)strlen(label)) > 0)
		return true;
	OPENSSL_free(label);
	return false;
}

static enum age_unwrap unwrap_rsa(const struct age_header *header, const struct age_stanza *stanza,
	const struct age_ssh_key *key, uint8_t *file_key_out)
{
	uint8_t plain[RSA_MAX_SIZE];
	size_t len = sizeof(plain);
	const uint8_t *body = (const uint8_t *)header->bodies.text + stanza->body_at;
	if (stanza->arg_count != 2)
		return AGE_UNWRAP_MALFORMED;
	if (!tag_is(stanza, key))
		return AGE_UNWRAP_OTHER;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key->rsa, NULL);
	bool ok = context && EVP_PKEY_decrypt_init(context) > 0 && set_oaep(context) &&
		  EVP_PKEY_decrypt(context, plain, &len, body, stanza->body_len) > 0 &&
		  len == AGE_FILE_KEY_SIZE;
	if (ok)
		memcpy(file_key_out, plain, AGE_FILE_KEY_SIZE);
	EVP_PKEY_CTX_free(context);
	sodium_memzero(plain, sizeof(plain));
	return ok ? AGE_UNWRAP_OK : AGE_UNWRAP_MALFORMED;
}

enum age_unwrap age_ssh_unwrap(const struct age_header *header, const struct age_stanza *stanza,
	const struct age_ssh_key *key, uint8_t file_key_out[AGE_FILE_KEY_SIZE])
{
	if (!age_stanza_is(stanza, age_ssh_type(key->kind)))
		return AGE_UNWRAP_OTHER;
	return key->kind == AGE_SSH_RSA ? unwrap_rsa(header, stanza, key, file_key_out)
					: unwrap_ed25519(header, stanza, key, file_key_out);
}

static bool wrap_ed25519(const struct age_ssh_key *key, const uint8_t *file_key, struct buf *header)
{
	uint8_t secret[AGE_KEY_SIZE], share[AGE_KEY_SIZE], point[AGE_KEY_SIZE];
	uint8_t wrap[AGE_HASH_SIZE], body[WRAPPED_SIZE];
	auto_buf struct buf args = BUF_INIT(128);
	randombytes_buf(secret, sizeof(secret));
	(void)crypto_scalarmult_base(share, secret); /* cannot fail for the base point */
	bool ok = crypto_scalarmult(point, secret, key->point) == 0 &&
		  ed25519_key(key, point, share, wrap);
	if (ok) {
		/* has no failure of its own */
		(void)crypto_aead_chacha20poly1305_ietf_encrypt(
			body, NULL, file_key, AGE_FILE_KEY_SIZE, NULL, 0, NULL, zero_nonce, wrap);
		buf_addf(&args, "ssh-ed25519 %s ", key->tag);
		age_base64_encode(share, sizeof(share), &args);
		age_header_add(header, args.text, body, sizeof(body));
	}
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(point, sizeof(point));
	sodium_memzero(wrap, sizeof(wrap));
	return ok;
}

static bool wrap_rsa(const struct age_ssh_key *key, const uint8_t *file_key, struct buf *header)
{
	uint8_t body[RSA_MAX_SIZE];
	size_t len = sizeof(body);
	auto_buf struct buf args = BUF_INIT(64);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key->rsa, NULL);
	bool ok = context && EVP_PKEY_encrypt_init(context) > 0 && set_oaep(context) &&
		  EVP_PKEY_encrypt(context, body, &len, file_key, AGE_FILE_KEY_SIZE) > 0;
	EVP_PKEY_CTX_free(context);
	buf_addf(&args, "ssh-rsa %s", key->tag);
	if (ok)
		age_header_add(header, args.text, body, len);
	return ok;
}

bool age_ssh_wrap(const struct age_ssh_key *key, const uint8_t file_key[AGE_FILE_KEY_SIZE],
	struct buf *header)
{
	return key->kind == AGE_SSH_RSA ? wrap_rsa(key, file_key, header)
					: wrap_ed25519(key, file_key, header);
}
