/* Files with a private SSH key: OpenSSH's container
 *
 *   "openssh-key-v1" NUL, cipher, kdf, kdf options, number of keys (1), public key,
 *   private part: check, check, type, numbers, comment, padding 1 2 3 ...
 *
 * and PKCS#1, PKCS#8 by libcrypto. */
#include "reconcile/secrets/age_ssh_parts.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sodium.h>

#define OPENSSH_BEGIN  "-----BEGIN OPENSSH PRIVATE KEY-----"
#define OPENSSH_END    "-----END OPENSSH PRIVATE KEY-----"
#define MAGIC          "openssh-key-v1" /* with its NUL */
#define PASSPHRASE_MAX 1024

/* What an OpenSSH container consists of. */
struct container {
	struct age_ssh_sealed sealed;
	uint8_t *bytes;
	size_t len;
};

static void container_clear(struct container *container)
{
	if (container->bytes)
		sodium_memzero(container->bytes, container->len);
	free(container->bytes);
}

bool age_ssh_is_private(const char *text, size_t len)
{
	return memmem(text, len, "PRIVATE KEY-----", strlen("PRIVATE KEY-----")) != NULL;
}

static bool refuse_locked(const char *source, struct error *err)
{
	error_set(err, ERR_REFUSED, "SSH key '%s' is passphrase-protected", source);
	return error_hint(err, "use an age key (AGE-SECRET-KEY-1...), or an SSH key without a "
			       "passphrase that only you can read");
}

static bool malformed(const char *source, struct error *err)
{
	return error_set(err, ERR_INVALID,
		"'%s' is an SSH or PEM key that does not parse as ssh-ed25519 or ssh-rsa", source);
}

static bool ask(const struct age_source *source, struct buf *passphrase, struct error *err)
{
	if (!source->ask)
		return refuse_locked(source->name, err);
	return source->ask->ask(source->ask->data, source->name, passphrase, err);
}

static bool decode(const struct age_source *source, struct container *container)
{
	const char *begin = memmem(source->text, source->len, OPENSSH_BEGIN, strlen(OPENSSH_BEGIN));
	const char *text = begin + strlen(OPENSSH_BEGIN);
	size_t left = (size_t)(source->text + source->len - text);
	const char *end = memmem(text, left, OPENSSH_END, strlen(OPENSSH_END));
	if (!end)
		return false;
	container->bytes = mem_zero(1, left + 1);
	return sodium_base642bin(container->bytes, left + 1, text, (size_t)(end - text), "\r\n",
		       &container->len, NULL, sodium_base64_VARIANT_ORIGINAL) == 0;
}

static bool split(struct container *container)
{
	struct age_ssh_reader reader = {container->bytes, container->bytes + container->len};
	struct age_ssh_sealed *sealed = &container->sealed;
	struct age_bytes public_key, private_part;
	uint32_t keys;
	if (container->len < sizeof(MAGIC) || memcmp(container->bytes, MAGIC, sizeof(MAGIC)) != 0)
		return false;
	reader.at += sizeof(MAGIC);
	if (!age_ssh_take(&reader, &sealed->cipher) || !age_ssh_take(&reader, &sealed->kdf) ||
		!age_ssh_take(&reader, &sealed->kdf_options) || !age_ssh_take_u32(&reader, &keys) ||
		keys != 1 || !age_ssh_take(&reader, &public_key) ||
		!age_ssh_take(&reader, &private_part))
		return false;
	sealed->bytes = container->bytes + (private_part.bytes - container->bytes);
	sealed->len = private_part.len;
	return true;
}

static struct age_ssh_key *private_ed25519(struct age_ssh_reader *reader)
{
	struct age_bytes public_key, secret;
	uint8_t computed[AGE_KEY_SIZE], key64[crypto_sign_ed25519_SECRETKEYBYTES];
	if (!age_ssh_take(reader, &public_key) || public_key.len != AGE_KEY_SIZE ||
		!age_ssh_take(reader, &secret) || secret.len != sizeof(key64))
		return NULL;
	/* cannot fail; a public half that is not the seed's would wrap for somebody else */
	(void)crypto_sign_ed25519_seed_keypair(computed, key64, secret.bytes);
	sodium_memzero(key64, sizeof(key64));
	if (sodium_memcmp(computed, public_key.bytes, AGE_KEY_SIZE) != 0)
		return NULL;
	struct age_ssh_key *key = age_ssh_key_ed25519(computed);
	if (key)
		age_ssh_key_set_seed(key, secret.bytes);
	return key;
}

static struct age_ssh_key *own_rsa(EVP_PKEY *rsa)
{
	struct age_ssh_key *key = rsa ? age_ssh_key_rsa(rsa) : NULL;
	if (!key)
		EVP_PKEY_free(rsa);
	return key;
}

static struct age_ssh_key *private_rsa(struct age_ssh_reader *reader)
{
	struct age_bytes n, e, d;
	if (!age_ssh_take(reader, &n) || !age_ssh_take(reader, &e) || !age_ssh_take(reader, &d))
		return NULL;
	return d.len ? own_rsa(age_ssh_rsa_of(n, e, d)) : NULL;
}

/* The private part in the clear; @p wrong_out: its two check numbers differ. */
static struct age_ssh_key *read_private(const uint8_t *bytes, size_t len, bool *wrong_out)
{
	struct age_ssh_reader reader = {bytes, bytes + len};
	uint32_t check, again;
	struct age_bytes type;
	*wrong_out = !age_ssh_take_u32(&reader, &check) || !age_ssh_take_u32(&reader, &again) ||
		     check != again;
	if (*wrong_out || !age_ssh_take(&reader, &type))
		return NULL;
	if (age_ssh_bytes_are(type, "ssh-ed25519"))
		return private_ed25519(&reader);
	return age_ssh_bytes_are(type, "ssh-rsa") ? private_rsa(&reader) : NULL;
}

static bool unseal(
	const struct age_source *source, const struct container *container, struct error *err)
{
	auto_buf struct buf passphrase = BUF_INIT_SECRET(PASSPHRASE_MAX);
	if (!ask(source, &passphrase, err))
		return false;
	if (age_ssh_unseal(&container->sealed, &passphrase))
		return true;
	return error_set(err, ERR_REFUSED,
		"SSH key '%s' is encrypted in a way that is not supported", source->name);
}

static bool parse_openssh(
	const struct age_source *source, struct age_ssh_key **key_out, struct error *err)
{
	CLEANUP(container_clear) struct container container = {0};
	bool wrong;
	if (!decode(source, &container) || !split(&container))
		return malformed(source->name, err);
	bool locked = !age_ssh_bytes_are(container.sealed.cipher, "none");
	if (locked && !unseal(source, &container, err))
		return false;
	*key_out = read_private(container.sealed.bytes, container.sealed.len, &wrong);
	if (!*key_out && locked && wrong)
		return error_set(
			err, ERR_AUTH, "passphrase does not open SSH key '%s'", source->name);
	return *key_out || malformed(source->name, err);
}

/* What libcrypto's callback is told and tells. */
struct question {
	const struct age_source *source;
	struct error *err;
	bool asked, refused;
};

static int answer(char *text, int size, int writing, void *data)
{
	struct question *question = data;
	auto_buf struct buf passphrase = BUF_INIT_SECRET(PASSPHRASE_MAX);
	(void)writing; /* only reading asks */
	question->asked = true;
	question->refused = !ask(question->source, &passphrase, question->err);
	if (question->refused || passphrase.len > (size_t)size)
		return -1;
	memcpy(text, passphrase.text, passphrase.len);
	return (int)passphrase.len;
}

static struct age_ssh_key *key_of_pem(EVP_PKEY *pem)
{
	uint8_t seed[AGE_KEY_SIZE], public_key[AGE_KEY_SIZE];
	size_t seed_len = sizeof(seed), public_len = sizeof(public_key);
	struct age_ssh_key *key = NULL;
	if (EVP_PKEY_get_base_id(pem) == EVP_PKEY_RSA) {
		(void)EVP_PKEY_up_ref(pem); /* own_rsa() takes one; cannot fail */
		return own_rsa(pem);
	}
	if (EVP_PKEY_get_base_id(pem) == EVP_PKEY_ED25519 &&
		EVP_PKEY_get_raw_private_key(pem, seed, &seed_len) > 0 &&
		EVP_PKEY_get_raw_public_key(pem, public_key, &public_len) > 0)
		key = age_ssh_key_ed25519(public_key);
	if (key)
		age_ssh_key_set_seed(key, seed);
	sodium_memzero(seed, sizeof(seed));
	return key;
}

static bool parse_pem(
	const struct age_source *source, struct age_ssh_key **key_out, struct error *err)
{
	struct question question = {.source = source, .err = err};
	BIO *bio = BIO_new_mem_buf(source->text, (int)source->len);
	EVP_PKEY *pem = bio ? PEM_read_bio_PrivateKey(bio, NULL, answer, &question) : NULL;
	*key_out = pem ? key_of_pem(pem) : NULL;
	EVP_PKEY_free(pem);
	BIO_free(bio);
	ERR_clear_error(); /* libcrypto's words are of no use to the reader */
	if (*key_out)
		return true;
	if (question.refused)
		return false;
	if (question.asked && !pem)
		return error_set(
			err, ERR_AUTH, "passphrase does not open SSH key '%s'", source->name);
	return malformed(source->name, err);
}

bool age_ssh_private_parse(
	const struct age_source *source, struct age_ssh_key **key_out, struct error *err)
{
	struct age_ssh_key *key = NULL;
	if (source->len > AGE_SSH_MAX_FILE)
		return error_set(err, ERR_INVALID,
			"SSH key '%s' is larger than the limit of 64 KiB", source->name);
	bool openssh =
		memmem(source->text, source->len, OPENSSH_BEGIN, strlen(OPENSSH_BEGIN)) != NULL;
	if (!(openssh ? parse_openssh : parse_pem)(source, &key, err))
		return false;
	*key_out = key;
	return true;
}
