/* Opening and writing a whole age file; wrapping the file key with X25519 (specs/sops-age.md 1.5,
 * 1.9, 1.10, 1.14). */
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/age_format.h"
#include "reconcile/secrets/age_ssh.h"
#include "reconcile/secrets/age_stream.h"
#include <sodium.h>

#define X25519_LABEL "age-encryption.org/v1/X25519"
#define WRAPPED_SIZE (AGE_FILE_KEY_SIZE + AGE_TAG_SIZE)

static const uint8_t zero_nonce[12];

/* What a stanza type means when it cannot be opened here. */
struct kind {
	const char *type;
	const char *plugin; /* NULL: no plugin */
};
static const struct kind plugin_kinds[] = {
	{"piv-p256", "yubikey"},
	{"tpm-ecc", "tpm"},
	{"p256tag", "tag"},
	{"mlkem768p256tag", "tagpq"},
};

/* wrap key = HKDF(X25519(secret, peer), share || recipient). False: low order point. */
static bool wrap_key(const uint8_t *secret, const uint8_t *peer, const uint8_t *share,
	const uint8_t *recipient, uint8_t key_out[AGE_HASH_SIZE])
{
	uint8_t shared[AGE_KEY_SIZE], salt[2 * AGE_KEY_SIZE];
	bool ok = crypto_scalarmult(shared, secret, peer) == 0;
	memcpy(salt, share, AGE_KEY_SIZE);
	memcpy(salt + AGE_KEY_SIZE, recipient, AGE_KEY_SIZE);
	age_hkdf((struct age_bytes){shared, sizeof(shared)}, (struct age_bytes){salt, sizeof(salt)},
		X25519_LABEL, key_out);
	sodium_memzero(shared, sizeof(shared));
	return ok;
}

static enum age_unwrap unwrap_x25519(const struct age_header *header,
	const struct age_stanza *stanza, const struct age_identity *identity, uint8_t *file_key_out)
{
	uint8_t share[AGE_KEY_SIZE], key[AGE_HASH_SIZE];
	const uint8_t *body = (const uint8_t *)header->bodies.text + stanza->body_at;
	if (stanza->arg_count != 2 || stanza->body_len != WRAPPED_SIZE ||
		!age_base64_decode(
			stanza->args[1].text, stanza->args[1].len, share, sizeof(share)) ||
		!wrap_key(identity->secret, share, share, identity->recipient, key))
		return AGE_UNWRAP_MALFORMED;
	bool ok = crypto_aead_chacha20poly1305_ietf_decrypt(file_key_out, NULL, NULL, body,
			  WRAPPED_SIZE, NULL, 0, zero_nonce, key) == 0;
	sodium_memzero(key, sizeof(key));
	return ok ? AGE_UNWRAP_OK : AGE_UNWRAP_OTHER;
}

/* One identity of any kind. */
struct opener {
	const struct age_identity *native;
	const struct age_ssh_key *ssh;
	const struct buf *passphrase;
};

static enum age_unwrap unwrap(const struct age_header *header, const struct age_stanza *stanza,
	const struct opener *opener, uint8_t *file_key_out)
{
	if (opener->native)
		return age_stanza_is(stanza, "X25519")
			       ? unwrap_x25519(header, stanza, opener->native, file_key_out)
			       : AGE_UNWRAP_OTHER;
	if (opener->ssh)
		return age_ssh_unwrap(header, stanza, opener->ssh, file_key_out);
	return age_scrypt_unwrap(header, stanza, opener->passphrase, file_key_out);
}

/* A malformed stanza of the identity's own type stops the search. */
static enum age_unwrap try_identity(
	const struct age_header *header, const struct opener *opener, uint8_t *file_key_out)
{
	for (size_t k = 0; k < header->count; k++) {
		enum age_unwrap result = unwrap(header, &header->stanzas[k], opener, file_key_out);
		if (result != AGE_UNWRAP_OTHER)
			return result;
	}
	return AGE_UNWRAP_OTHER;
}

/* Identities in turn, native ones first. */
static enum age_unwrap find_file_key(const struct age_header *header,
	const struct age_identities *identities, uint8_t *file_key_out)
{
	enum age_unwrap result = AGE_UNWRAP_OTHER;
	for (size_t i = 0; i < identities->count && result == AGE_UNWRAP_OTHER; i++) {
		const struct opener opener = {.native = &identities->items[i]};
		result = try_identity(header, &opener, file_key_out);
	}
	for (size_t i = 0; i < identities->ssh_count && result == AGE_UNWRAP_OTHER; i++) {
		const struct opener opener = {.ssh = identities->ssh[i]};
		result = try_identity(header, &opener, file_key_out);
	}
	for (size_t i = 0; i < identities->passphrase_count && result == AGE_UNWRAP_OTHER; i++) {
		const struct opener opener = {.passphrase = &identities->passphrases[i]};
		result = try_identity(header, &opener, file_key_out);
	}
	return result;
}

static size_t count_type(const struct age_header *header, const char *type)
{
	size_t count = 0;
	for (size_t i = 0; i < header->count; i++)
		count += age_stanza_is(&header->stanzas[i], type);
	return count;
}

static const char *needed_plugin(const struct age_header *header)
{
	for (size_t i = 0; i < ARRAY_LEN(plugin_kinds); i++) {
		if (count_type(header, plugin_kinds[i].type))
			return plugin_kinds[i].plugin;
	}
	return NULL;
}

/* Says why nothing opened: by what the header asks for that is not built here. */
static bool refuse_no_match(const struct age_header *header, bool passphrases,
	enum age_failure *failure_out, struct error *err)
{
	const char *plugin = needed_plugin(header);
	bool native = count_type(header, "X25519");
	bool ssh = count_type(header, "ssh-ed25519") || count_type(header, "ssh-rsa");
	*failure_out = AGE_NO_MATCH;
	if (native || ssh)
		return error_set(err, ERR_AUTH, "none of the identities opens it");
	if (count_type(header, "scrypt"))
		return passphrases ? error_set(err, ERR_AUTH, "the passphrase does not open it")
				   : error_set(err, ERR_REFUSED,
					     "encrypted with a passphrase, which is not supported");
	if (plugin)
		return error_set(err, ERR_REFUSED,
			"needs the age plugin %s, which is not supported", plugin);
	if (count_type(header, "mlkem768x25519")) {
		*failure_out = AGE_UNSUPPORTED;
		return error_set(err, ERR_REFUSED,
			"encrypted only to a post-quantum age key (age1pq1...), which is not "
			"supported; add an age1... recipient");
	}
	return error_set(err, ERR_AUTH, "none of the identities opens it");
}

static bool unwrap_header(const struct age_header *header, const struct age_identities *identities,
	uint8_t *file_key_out, enum age_failure *failure_out, struct error *err)
{
	*failure_out = AGE_HEADER;
	if (header->count > 1 && count_type(header, "scrypt"))
		return error_set(
			err, ERR_INVALID, "age header has a passphrase beside other recipients");
	switch (find_file_key(header, identities, file_key_out)) {
	case AGE_UNWRAP_OK:
		break;
	case AGE_UNWRAP_MALFORMED:
		return error_set(
			err, ERR_INVALID, "age header has a malformed stanza for this key");
	case AGE_UNWRAP_OTHER:
		return refuse_no_match(header, identities->passphrase_count > 0, failure_out, err);
	}
	uint8_t mac[AGE_HASH_SIZE];
	age_header_mac(file_key_out, header->bytes, header->mac_covers, mac);
	if (sodium_memcmp(mac, header->mac, sizeof(mac)) == 0)
		return true;
	*failure_out = AGE_HMAC;
	return error_set(err, ERR_INVALID, "age header was changed (its HMAC differs)");
}

static void payload_key(
	const uint8_t *file_key, const uint8_t *nonce, uint8_t key_out[AGE_HASH_SIZE])
{
	age_hkdf((struct age_bytes){file_key, AGE_FILE_KEY_SIZE},
		(struct age_bytes){nonce, AGE_NONCE_SIZE}, "payload", key_out);
}

bool age_start_read(struct age_bytes bytes, const struct age_identities *identities,
	struct age_start *start_out, enum age_failure *failure_out, struct error *err)
{
	auto_age_header struct age_header header = {0};
	uint8_t file_key[AGE_FILE_KEY_SIZE] = {0};
	*failure_out = AGE_HEADER;
	if (!age_header_parse((const char *)bytes.bytes, bytes.len, &header, err))
		return false;
	bool ok = unwrap_header(&header, identities, file_key, failure_out, err);
	if (ok && bytes.len - header.size < AGE_NONCE_SIZE) {
		*failure_out = AGE_HEADER;
		ok = error_set(err, ERR_INVALID, "age file ends within its nonce");
	}
	if (ok) {
		payload_key(file_key, bytes.bytes + header.size, start_out->key);
		start_out->size = header.size + AGE_NONCE_SIZE;
	}
	sodium_memzero(file_key, sizeof(file_key));
	return ok;
}

static bool decrypt_binary(const struct age_file *file, const struct age_identities *identities,
	struct buf *out, enum age_failure *failure_out, struct error *err)
{
	const struct age_bytes all = {file->bytes, file->len};
	struct age_start start;
	if (!age_start_read(all, identities, &start, failure_out, err))
		return false;
	bool ok =
		age_stream_open(start.key, all.bytes + start.size, all.len - start.size, out, err);
	*failure_out = ok ? AGE_OK : AGE_PAYLOAD;
	sodium_memzero(&start, sizeof(start));
	return ok;
}

bool age_decrypt(const struct age_file *file, const struct age_identities *identities,
	struct buf *out, enum age_failure *failure_out, struct error *err)
{
	if (!file->armored)
		return decrypt_binary(file, identities, out, failure_out, err);
	auto_buf struct buf binary = BUF_INIT(file->len);
	*failure_out = AGE_ARMOR;
	if (!age_armor_decode(file->bytes, file->len, &binary, err))
		return false;
	const struct age_file inner = {.bytes = binary.text, .len = binary.len};
	return decrypt_binary(&inner, identities, out, failure_out, err);
}

static bool add_recipient(struct buf *header, const uint8_t *recipient, const uint8_t *file_key)
{
	uint8_t secret[AGE_KEY_SIZE], share[AGE_KEY_SIZE], key[AGE_HASH_SIZE], body[WRAPPED_SIZE];
	randombytes_buf(secret, sizeof(secret));
	/* neither can fail: base point; encryption has no failure of its own */
	(void)crypto_scalarmult_base(share, secret);
	bool ok = wrap_key(secret, recipient, share, recipient, key);
	(void)crypto_aead_chacha20poly1305_ietf_encrypt(
		body, NULL, file_key, AGE_FILE_KEY_SIZE, NULL, 0, NULL, zero_nonce, key);
	auto_buf struct buf args = BUF_INIT(128);
	buf_add_str(&args, "X25519 ");
	age_base64_encode(share, sizeof(share), &args);
	if (ok)
		age_header_add(header, args.text, body, sizeof(body));
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(key, sizeof(key));
	return ok;
}

static void start_payload(struct buf *out, const uint8_t *file_key, uint8_t *key_out)
{
	uint8_t nonce[AGE_NONCE_SIZE];
	randombytes_buf(nonce, sizeof(nonce));
	buf_add(out, nonce, sizeof(nonce));
	payload_key(file_key, nonce, key_out);
}

bool age_start_write(const struct age_recipients *recipients, struct buf *out,
	struct age_start *start_out, struct error *err)
{
	auto_buf struct buf header = BUF_INIT(AGE_MAX_HEADER);
	uint8_t file_key[AGE_FILE_KEY_SIZE], mac[AGE_HASH_SIZE];
	size_t count = recipients->count + recipients->ssh_count;
	bool ok = count > 0 && count <= AGE_MAX_STANZAS;
	randombytes_buf(file_key, sizeof(file_key));
	for (size_t i = 0; ok && i < recipients->count; i++)
		ok = add_recipient(&header, recipients->keys[i], file_key);
	for (size_t i = 0; ok && i < recipients->ssh_count; i++)
		ok = age_ssh_wrap(recipients->ssh[i], file_key, &header);
	if (ok) {
		buf_add_str(&header, "---");
		age_header_mac(file_key, header.text, header.len, mac);
		buf_add_char(&header, ' ');
		age_base64_encode(mac, sizeof(mac), &header);
		buf_add_char(&header, '\n');
		buf_add(out, header.text, header.len);
		start_payload(out, file_key, start_out->key);
		start_out->size = header.len + AGE_NONCE_SIZE;
	}
	sodium_memzero(file_key, sizeof(file_key));
	return ok || error_set(err, ERR_INVALID,
			     "an age file needs 1 to %d recipients, none of them of low order",
			     AGE_MAX_STANZAS);
}

bool age_encrypt(const struct age_recipients *recipients, const void *plain, size_t len,
	struct buf *out, struct error *err)
{
	struct age_start start;
	if (!age_start_write(recipients, out, &start, err))
		return false;
	age_stream_seal(start.key, plain, len, out);
	sodium_memzero(&start, sizeof(start));
	return true;
}
