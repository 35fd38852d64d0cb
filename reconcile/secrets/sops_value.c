/* ENC[AES256_GCM,data:...,iv:...,tag:...,type:...] and the MAC (specs/sops-age.md 2.5, 2.9) */
#include "reconcile/secrets/sops_value.h"
#include "base/base64.h"
#include "base/buf.h"
#include <openssl/evp.h>
#include <sodium.h>

#define ENC_START "ENC[AES256_GCM,data:"
#define TAG_SIZE  16
#define BASE64    sodium_base64_VARIANT_ORIGINAL

static const char *const type_names[SOPS_TYPES] = {
	[SOPS_STR] = "str",
	[SOPS_INT] = "int",
	[SOPS_FLOAT] = "float",
	[SOPS_BOOL] = "bool",
	[SOPS_TIME] = "time",
	[SOPS_BYTES] = "bytes",
	[SOPS_COMMENT] = "comment",
};

struct sops_cipher {
	EVP_CIPHER_CTX *decrypt, *encrypt;
	uint8_t key[SOPS_KEY_SIZE];
};

struct part {
	const char *text;
	size_t len;
};

struct enc {
	struct part data, iv, tag, type;
};

/* libcrypto fails here only without memory or without the algorithm. */
static void must(int result)
{
	if (result != 1)
		mem_abort(0);
}

struct sops_cipher *sops_cipher_new(const uint8_t key[SOPS_KEY_SIZE])
{
	struct sops_cipher *cipher = mem_zero(1, sizeof(*cipher));
	memcpy(cipher->key, key, SOPS_KEY_SIZE);
	return cipher;
}

void sops_cipher_free(struct sops_cipher *cipher)
{
	if (!cipher)
		return;
	EVP_CIPHER_CTX_free(cipher->decrypt);
	EVP_CIPHER_CTX_free(cipher->encrypt);
	sodium_memzero(cipher->key, sizeof(cipher->key));
	free(cipher);
}

static EVP_CIPHER_CTX *new_context(const uint8_t *key, int encrypt)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	must(context ? 1 : 0);
	must(EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, key, NULL, encrypt));
	return context;
}

/* Up to @p mark, which is skipped. */
static bool take_part(const char **at, const char *end, const char *mark, struct part *part_out)
{
	const char *stop = memmem(*at, (size_t)(end - *at), mark, strlen(mark));
	if (!stop || stop == *at)
		return false;
	*part_out = (struct part){*at, (size_t)(stop - *at)};
	*at = stop + strlen(mark);
	return true;
}

/* What stands behind the last `]` of the line is ignored, as sops ignores it. */
static bool split(const char *text, size_t len, struct enc *enc_out)
{
	const char *at = text + strlen(ENC_START), *end = memchr(text, '\n', len);
	if (len < strlen(ENC_START) || memcmp(text, ENC_START, strlen(ENC_START)) != 0)
		return false;
	end = memrchr(text, ']', end ? (size_t)(end - text) : len);
	if (!end || end < at || !take_part(&at, end, ",iv:", &enc_out->data) ||
		!take_part(&at, end, ",tag:", &enc_out->iv) ||
		!take_part(&at, end, ",type:", &enc_out->tag) || at == end)
		return false;
	enc_out->type = (struct part){at, (size_t)(end - at)};
	return true;
}

bool sops_value_is_encrypted(const char *text, size_t len)
{
	struct enc enc;
	return split(text, len, &enc);
}

static bool decode(struct part part, uint8_t *out, size_t max, size_t *len_out)
{
	struct base64_room room = {out, max, 0};
	bool ok = base64_decode(BASE64_PADDED, part.text, part.len, &room);
	*len_out = room.len;
	return ok;
}

static bool find_type(struct part part, enum sops_type *type_out)
{
	for (size_t i = 0; i < SOPS_TYPES; i++) {
		if (strlen(type_names[i]) == part.len &&
			memcmp(type_names[i], part.text, part.len) == 0) {
			*type_out = (enum sops_type)i;
			return true;
		}
	}
	return false;
}

struct sealed {
	uint8_t iv[SOPS_IV_MAX], tag[TAG_SIZE];
	size_t iv_len, data_len;
	uint8_t *data;
};

/* The data is decrypted in place. */
static bool open_sealed(struct sops_cipher *cipher, struct sealed *sealed, struct sops_aad aad)
{
	int got;
	uint8_t rest[16];
	if (!cipher->decrypt)
		cipher->decrypt = new_context(cipher->key, 0);
	EVP_CIPHER_CTX *context = cipher->decrypt;
	must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, (int)sealed->iv_len, NULL));
	must(EVP_DecryptInit_ex(context, NULL, NULL, NULL, sealed->iv));
	must(EVP_DecryptUpdate(context, NULL, &got, (const unsigned char *)aad.text, (int)aad.len));
	must(EVP_DecryptUpdate(context, sealed->data, &got, sealed->data, (int)sealed->data_len));
	must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, sealed->tag));
	return EVP_DecryptFinal_ex(context, rest, &got) == 1;
}

static bool decode_parts(const struct enc *enc, struct sealed *sealed, struct error *err)
{
	size_t tag_len = 0;
	if (!decode(enc->data, sealed->data, enc->data.len, &sealed->data_len) ||
		!decode(enc->iv, sealed->iv, sizeof(sealed->iv), &sealed->iv_len) ||
		!decode(enc->tag, sealed->tag, sizeof(sealed->tag), &tag_len))
		return error_set(err, ERR_INVALID, "encrypted value has malformed base64");
	if (!sealed->iv_len || tag_len != TAG_SIZE)
		return error_set(
			err, ERR_INVALID, "encrypted value has an IV or a tag of wrong length");
	return true;
}

bool sops_value_decrypt(struct sops_cipher *cipher, const struct node *node, struct sops_aad aad,
	struct sops_plain *plain_out, struct error *err)
{
	struct enc enc;
	struct sealed sealed = {0};
	if (!split(node->text, node->len, &enc))
		return error_set(err, ERR_INVALID, "value is not encrypted");
	if (!find_type(enc.type, &plain_out->type))
		return error_set(err, ERR_INVALID, "encrypted value has an unknown type");
	sealed.data = mem_alloc(enc.data.len);
	bool ok = decode_parts(&enc, &sealed, err);
	if (ok && !open_sealed(cipher, &sealed, aad))
		ok = error_set(err, ERR_INVALID,
			"encrypted value does not open: it was changed, moved from another key, "
			"or belongs to another file");
	if (ok)
		buf_add(&plain_out->text, sealed.data, sealed.data_len);
	sodium_memzero(sealed.data, enc.data.len);
	free(sealed.data);
	return ok;
}

static void add_base64(struct buf *out, const char *name, const uint8_t *bytes, size_t len)
{
	size_t size = sodium_base64_encoded_len(len, BASE64);
	auto_free char *text = mem_alloc(size);
	buf_add_str(out, name);
	buf_add_str(out, sodium_bin2base64(text, size, bytes, len, BASE64));
}

void sops_value_encrypt(struct sops_cipher *cipher, const struct sops_plain *plain,
	struct sops_aad aad, struct buf *out)
{
	const struct buf *text = &plain->text;
	uint8_t iv[SOPS_IV_SIZE], tag[TAG_SIZE], rest[16];
	auto_free uint8_t *data = mem_alloc(text->len);
	int got;
	if (!cipher->encrypt)
		cipher->encrypt = new_context(cipher->key, 1);
	EVP_CIPHER_CTX *context = cipher->encrypt;
	randombytes_buf(iv, sizeof(iv));
	must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, SOPS_IV_SIZE, NULL));
	must(EVP_EncryptInit_ex(context, NULL, NULL, NULL, iv));
	must(EVP_EncryptUpdate(context, NULL, &got, (const unsigned char *)aad.text, (int)aad.len));
	must(EVP_EncryptUpdate(
		context, data, &got, (const unsigned char *)text->text, (int)text->len));
	must(EVP_EncryptFinal_ex(context, rest, &got));
	must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, tag));
	add_base64(out, ENC_START, data, text->len);
	add_base64(out, ",iv:", iv, sizeof(iv));
	add_base64(out, ",tag:", tag, sizeof(tag));
	buf_addf(out, ",type:%s]", type_names[plain->type]);
}

struct sops_mac {
	EVP_MD_CTX *context;
};

struct sops_mac *sops_mac_new(bool only_encrypted)
{
	struct sops_mac *mac = mem_zero(1, sizeof(*mac));
	uint8_t start[crypto_hash_sha256_BYTES];
	mac->context = EVP_MD_CTX_new();
	must(mac->context ? 1 : 0);
	must(EVP_DigestInit_ex(mac->context, EVP_sha512(), NULL));
	if (only_encrypted) {
		crypto_hash_sha256(start, (const unsigned char *)"sops", 4);
		must(EVP_DigestUpdate(mac->context, start, sizeof(start)));
	}
	return mac;
}

void sops_mac_free(struct sops_mac *mac)
{
	if (!mac)
		return;
	EVP_MD_CTX_free(mac->context);
	free(mac);
}

void sops_mac_add(struct sops_mac *mac, const char *text, size_t len)
{
	must(EVP_DigestUpdate(mac->context, text, len));
}

void sops_mac_end(struct sops_mac *mac, char text[SOPS_MAC_TEXT_SIZE])
{
	uint8_t hash[64];
	must(EVP_DigestFinal_ex(mac->context, hash, NULL));
	for (size_t i = 0; i < sizeof(hash); i++)
		(void)snprintf(text + 2 * i, 3, "%02X", hash[i]); /* fits */
}
