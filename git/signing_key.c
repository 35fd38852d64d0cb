/* OpenSSH's PROTOCOL.key, the base64 of:
 *
 *   "openssh-key-v1\0" string cipher, string kdf, string options, uint32 1, string public key,
 *   string { uint32 check, uint32 check, string type, string public, string seed+public, ... }
 */
#include "git/signing_key.h"
#include "base/fs.h"
#include <sodium.h>

#define KEY_BEGIN  "-----BEGIN OPENSSH PRIVATE KEY-----\n"
#define KEY_END    "-----END OPENSSH PRIVATE KEY-----"
#define KEY_MAGIC  "openssh-key-v1"
#define ARMOR_LINE 70 /* characters, as ssh-keygen writes them */

struct signing_key {
	unsigned char packed[SIGNING_KEY_MAX];
	struct span public_blob; /* these point into packed */
	struct span secret;
};

static void wipe(struct signing_key *key)
{
	sodium_memzero(key, sizeof(*key));
}

static bool refuse(const char *path, const char *what, struct error *err)
{
	(void)error_set(err, ERR_INVALID, "signing key '%s' %s", path, what);
	return error_hint(err, "make one: ssh-keygen -t ed25519 -N '' -f FILE");
}

static bool skip(struct span *rest, size_t len)
{
	if (rest->len < len)
		return false;
	*rest = (struct span){rest->at + len, rest->len - len};
	return true;
}

static bool read_secret(struct signing_key *key, struct span inner)
{
	struct span type, point;
	return skip(&inner, 8) && span_take(&inner, &type) && span_is(&type, "ssh-ed25519") &&
	       span_take(&inner, &point) && point.len == crypto_sign_PUBLICKEYBYTES &&
	       span_take(&inner, &key->secret) && key->secret.len == crypto_sign_SECRETKEYBYTES &&
	       key->public_blob.len >= point.len &&
	       !memcmp(key->secret.at + crypto_sign_SEEDBYTES, point.at, point.len) &&
	       !memcmp(key->public_blob.at + key->public_blob.len - point.len, point.at, point.len);
}

static bool read_packed(
	const char *path, struct signing_key *key, struct span rest, struct error *err)
{
	struct span cipher, kdf, options, inner;
	if (rest.len < sizeof(KEY_MAGIC) || memcmp(rest.at, KEY_MAGIC, sizeof(KEY_MAGIC)) != 0 ||
		!skip(&rest, sizeof(KEY_MAGIC)) || !span_take(&rest, &cipher) ||
		!span_take(&rest, &kdf) || !span_take(&rest, &options) || !skip(&rest, 4) ||
		!span_take(&rest, &key->public_blob) || !span_take(&rest, &inner))
		return refuse(path, "is damaged", err);
	if (!span_is(&cipher, "none"))
		return refuse(path, "is locked with a passphrase, which nobody types here", err);
	if (!read_secret(key, inner))
		return refuse(path, "is damaged, or not of type ed25519", err);
	return true;
}

static bool load(const char *path, struct signing_key *key, struct error *err)
{
	auto_buf struct buf text = BUF_INIT_SECRET(SIGNING_KEY_MAX);
	size_t begin = strlen(KEY_BEGIN), len = 0;
	if (!fs_read_secret(path, text.limit, &text, err))
		return false;
	const char *end = strstr(text.text, KEY_END);
	if (strncmp(text.text, KEY_BEGIN, begin) != 0 || !end)
		return refuse(path, "is not a private key in OpenSSH's format", err);
	if (sodium_base642bin(key->packed, sizeof(key->packed), text.text + begin,
		    (size_t)(end - text.text) - begin, "\r\n", &len, NULL,
		    sodium_base64_VARIANT_ORIGINAL))
		return refuse(path, "is damaged", err);
	return read_packed(path, key, (struct span){key->packed, len}, err);
}

static void add_armor(const struct buf *packed, struct buf *out)
{
	size_t size = sodium_base64_encoded_len(packed->len, sodium_base64_VARIANT_ORIGINAL);
	auto_free char *text = mem_alloc(size);
	(void)sodium_bin2base64(text, size, (const unsigned char *)packed->text, packed->len,
		sodium_base64_VARIANT_ORIGINAL); /* returns text */
	buf_add_str(out, "-----BEGIN SSH SIGNATURE-----\n");
	for (const char *at = text; *at;) {
		size_t width = strnlen(at, ARMOR_LINE);
		buf_add(out, at, width);
		buf_add_char(out, '\n');
		at += width;
	}
	buf_add_str(out, "-----END SSH SIGNATURE-----");
}

static void add_signature(const struct signing_key *key, const struct span *bytes, struct buf *out)
{
	static const unsigned char head[] = {'S', 'S', 'H', 'S', 'I', 'G', 0, 0, 0, 1};
	const struct sshsig asked = {.purpose = {(const unsigned char *)"git", 3},
		.hash = {(const unsigned char *)"sha512", 6}};
	auto_buf struct buf covered = BUF_INIT(SSHSIG_MAX);
	auto_buf struct buf made = BUF_INIT(SSHSIG_MAX);
	auto_buf struct buf packed = BUF_INIT(SSHSIG_MAX);
	unsigned char value[crypto_sign_BYTES];
	sshsig_covered(&asked, bytes->at, bytes->len, &covered);
	/* always 0 */
	(void)crypto_sign_detached(
		value, NULL, (const unsigned char *)covered.text, covered.len, key->secret.at);
	span_add(&made, "ssh-ed25519", strlen("ssh-ed25519"));
	span_add(&made, value, sizeof(value));
	buf_add(&packed, head, sizeof(head));
	span_add(&packed, key->public_blob.at, key->public_blob.len);
	span_add(&packed, "git", 3);
	span_add(&packed, "", 0);
	span_add(&packed, "sha512", 6);
	span_add(&packed, made.text, made.len);
	add_armor(&packed, out);
}

bool signing_key_sign(
	const char *path, const struct span *bytes, struct buf *armor_out, struct error *err)
{
	CLEANUP(wipe) struct signing_key key = {0};
	if (!load(path, &key, err))
		return false;
	add_signature(&key, bytes, armor_out);
	return true;
}

bool signing_key_check(const char *path, struct error *err)
{
	CLEANUP(wipe) struct signing_key key = {0};
	return load(path, &key, err);
}

bool signing_key_public(const char *path, struct buf *out, struct error *err)
{
	CLEANUP(wipe) struct signing_key key = {0};
	if (!load(path, &key, err))
		return false;
	size_t size =
		sodium_base64_encoded_len(key.public_blob.len, sodium_base64_VARIANT_ORIGINAL);
	auto_free char *text = mem_alloc(size);
	(void)sodium_bin2base64(text, size, key.public_blob.at, key.public_blob.len,
		sodium_base64_VARIANT_ORIGINAL); /* returns text */
	buf_addf(out, "ssh-ed25519 %s", text);
	return true;
}
