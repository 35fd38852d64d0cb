/* SSH keys: the wire form of public ones, the numbers of RSA keys (RFC 4253 6.6, RFC 8709) */
#include "base/base64.h"
#include "reconcile/secrets/age_ssh_parts.h"
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <sodium.h>

#define BLANKS " \t\r\n"

bool age_ssh_take_u32(struct age_ssh_reader *reader, uint32_t *out)
{
	const uint8_t *at = reader->at;
	if (reader->end - at < 4)
		return false;
	*out = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
	reader->at += 4;
	return true;
}

bool age_ssh_take(struct age_ssh_reader *reader, struct age_bytes *out)
{
	uint32_t len;
	if (!age_ssh_take_u32(reader, &len) || len > (size_t)(reader->end - reader->at))
		return false;
	*out = (struct age_bytes){reader->at, len};
	reader->at += len;
	return true;
}

bool age_ssh_bytes_are(struct age_bytes bytes, const char *text)
{
	return bytes.len == strlen(text) && memcmp(bytes.bytes, text, bytes.len) == 0;
}

static void add_string(struct buf *out, const void *bytes, size_t len)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_add_char(out, (char)(len >> shift & 0xff));
	buf_add(out, bytes, len);
}

static void add_mpint(struct buf *out, const BIGNUM *number)
{
	uint8_t bytes[AGE_SSH_MAX_BITS / 8 + 1] = {0};
	size_t len = (size_t)BN_num_bytes(number);
	BN_bn2bin(number, bytes + 1);
	bool high = len && bytes[1] & 0x80; /* would read as negative */
	add_string(out, bytes + !high, len + high);
}

/* Hash and name of a key whose wire form is complete. */
static struct age_ssh_key *finish(struct age_ssh_key *key)
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	auto_buf struct buf tag = BUF_INIT(AGE_SSH_TAG_SIZE);
	crypto_hash_sha256(hash, (const uint8_t *)key->wire.text, key->wire.len);
	age_base64_encode(hash, 4, &tag);
	memcpy(key->tag, tag.text, AGE_SSH_TAG_SIZE);
	return key;
}

static struct age_ssh_key *key_new(enum age_ssh_kind kind)
{
	struct age_ssh_key *key = mem_zero(1, sizeof(*key));
	key->kind = kind;
	buf_init(&key->wire, AGE_SSH_MAX_LINE);
	add_string(&key->wire, age_ssh_type(kind), strlen(age_ssh_type(kind)));
	return key;
}

struct age_ssh_key *age_ssh_key_ed25519(const uint8_t public_key[AGE_KEY_SIZE])
{
	auto_age_ssh_key struct age_ssh_key *key = key_new(AGE_SSH_ED25519);
	add_string(&key->wire, public_key, AGE_KEY_SIZE);
	if (crypto_sign_ed25519_pk_to_curve25519(key->point, public_key) != 0)
		return NULL;
	return finish(STEAL(key));
}

void age_ssh_key_set_seed(struct age_ssh_key *key, const uint8_t *seed)
{
	uint8_t hash[crypto_hash_sha512_BYTES];
	crypto_hash_sha512(hash, seed, AGE_KEY_SIZE);
	sodium_free(key->secret);
	key->secret = sodium_malloc(AGE_KEY_SIZE);
	if (!key->secret)
		mem_abort(AGE_KEY_SIZE);
	memcpy(key->secret, hash, AGE_KEY_SIZE); /* X25519 clamps it */
	sodium_memzero(hash, sizeof(hash));
}

struct age_ssh_key *age_ssh_key_rsa(EVP_PKEY *rsa)
{
	BIGNUM *n = NULL, *e = NULL;
	int bits = EVP_PKEY_get_bits(rsa);
	if (bits < AGE_SSH_MIN_BITS || bits > AGE_SSH_MAX_BITS ||
		EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_N, &n) <= 0 ||
		EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_E, &e) <= 0 || BN_num_bits(e) > 64) {
		BN_free(n);
		BN_free(e);
		return NULL;
	}
	struct age_ssh_key *key = key_new(AGE_SSH_RSA);
	add_mpint(&key->wire, e);
	add_mpint(&key->wire, n);
	BN_free(n);
	BN_free(e);
	key->rsa = rsa;
	return finish(key);
}

/* A number that is not negative; zero bytes at its start are allowed. */
static bool push_number(
	OSSL_PARAM_BLD *build, const char *name, struct age_bytes bytes, BIGNUM **number_out)
{
	if (!bytes.len || bytes.len > AGE_SSH_MAX_BITS / 8 + 1 || bytes.bytes[0] & 0x80)
		return false;
	*number_out = BN_bin2bn(bytes.bytes, (int)bytes.len, NULL);
	return *number_out && OSSL_PARAM_BLD_push_BN(build, name, *number_out);
}

EVP_PKEY *age_ssh_rsa_of(struct age_bytes n, struct age_bytes e, struct age_bytes d)
{
	BIGNUM *numbers[3] = {NULL};
	EVP_PKEY *rsa = NULL;
	OSSL_PARAM *params = NULL;
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	if (build && context && push_number(build, OSSL_PKEY_PARAM_RSA_N, n, &numbers[0]) &&
		push_number(build, OSSL_PKEY_PARAM_RSA_E, e, &numbers[1]) &&
		(!d.len || push_number(build, OSSL_PKEY_PARAM_RSA_D, d, &numbers[2])))
		params = OSSL_PARAM_BLD_to_param(build);
	int selection = d.len ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY;
	if (params && EVP_PKEY_fromdata_init(context) > 0 &&
		EVP_PKEY_fromdata(context, &rsa, selection, params) <= 0)
		rsa = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(context);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		BN_clear_free(numbers[i]);
	return rsa;
}

static struct age_ssh_key *read_rsa(struct age_ssh_reader *reader)
{
	struct age_bytes e, n;
	EVP_PKEY *rsa = NULL;
	if (age_ssh_take(reader, &e) && age_ssh_take(reader, &n) && reader->at == reader->end)
		rsa = age_ssh_rsa_of(n, e, (struct age_bytes){0});
	struct age_ssh_key *key = rsa ? age_ssh_key_rsa(rsa) : NULL;
	if (!key)
		EVP_PKEY_free(rsa);
	return key;
}

static struct age_ssh_key *read_wire(const char *type, const uint8_t *bytes, size_t len)
{
	struct age_ssh_reader reader = {bytes, bytes + len};
	struct age_bytes name, point;
	if (!age_ssh_take(&reader, &name) || !age_ssh_bytes_are(name, type))
		return NULL;
	if (strcmp(type, "ssh-rsa") == 0)
		return read_rsa(&reader);
	if (!age_ssh_take(&reader, &point) || point.len != AGE_KEY_SIZE || reader.at != reader.end)
		return NULL;
	return age_ssh_key_ed25519(point.bytes);
}

static bool refuse_type(const char *line, struct error *err)
{
	auto_buf struct buf type = BUF_INIT(200);
	size_t len = strcspn(line, BLANKS);
	buf_add_clean(&type, line, len < 60 ? len : 60);
	error_set(err, ERR_REFUSED, "recipient is an SSH key of type '%s', which is not supported",
		type.text);
	return error_hint(err, "use an age1... recipient, ssh-ed25519 or ssh-rsa");
}

bool age_ssh_public_parse(const char *line, struct age_ssh_key **key_out, struct error *err)
{
	uint8_t bytes[AGE_SSH_MAX_LINE];
	struct base64_room room = {bytes, sizeof(bytes), 0};
	line += strspn(line, BLANKS);
	size_t type_len = strcspn(line, BLANKS);
	const char *text = line + type_len + strspn(line + type_len, BLANKS);
	bool rsa = type_len == 7 && memcmp(line, "ssh-rsa", 7) == 0;
	if (!rsa && !(type_len == 11 && memcmp(line, "ssh-ed25519", 11) == 0))
		return refuse_type(line, err);
	struct age_ssh_key *key = NULL;
	if (base64_decode(BASE64_PADDED, text, strcspn(text, BLANKS), &room))
		key = read_wire(rsa ? "ssh-rsa" : "ssh-ed25519", bytes, room.len);
	if (!key)
		return error_set(err, ERR_INVALID,
			rsa ? "recipient is no SSH key of type ssh-rsa with 2048 to 16384 bits"
			    : "recipient is no SSH key of type ssh-ed25519");
	*key_out = key;
	return true;
}
