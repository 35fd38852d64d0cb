#include "base/ssh.h"
#include <libssh2.h>
#include <openssl/evp.h>
#include <sodium.h>

#define OPENSSH_MAGIC "openssh-key-v1" /* and a NUL: openssh, PROTOCOL.key */
#define OPENSSH_BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----"
#define HEAD_MAX      1024     /* the public half, which stands before the secret one */
#define RSA_LIBSSH2   0x010b00 /* 1.11.0 signs with rsa-sha2; SHA-1 is refused everywhere now */
#define MAKE_KEY_HINT "make a key of its own: ssh-keygen -t ed25519 -N '' -f FILE"

struct key_head {
	const unsigned char *at;
	size_t left;
};

/* The next string (u32 length, bytes) of SSH's wire format. */
static bool next_string(struct key_head *head, const unsigned char **bytes_out, size_t *len_out)
{
	if (head->left < 4)
		return false;
	size_t len = ((size_t)head->at[0] << 24) | ((size_t)head->at[1] << 16) |
		     ((size_t)head->at[2] << 8) | head->at[3];
	if (len > head->left - 4)
		return false;
	*bytes_out = head->at + 4;
	*len_out = len;
	head->at += 4 + len;
	head->left -= 4 + len;
	return true;
}

static bool is(const unsigned char *bytes, size_t len, const char *text)
{
	return len == strlen(text) && !memcmp(bytes, text, len);
}

static bool refuse_rsa(const char *name, struct error *err)
{
	(void)error_set(err, ERR_INVALID,
		"'%s' is an RSA key, which needs libssh2 1.11; this is libssh2 %s", name,
		libssh2_version(0));
	return error_hint(err, MAKE_KEY_HINT);
}

static bool refuse_encrypted(const char *name, struct error *err)
{
	(void)error_set(err, ERR_INVALID, "'%s' is locked with a passphrase", name);
	return error_hint(err, "nobody is there to type it; " MAKE_KEY_HINT);
}

static bool refuse_damaged(const char *name, struct error *err)
{
	(void)error_set(
		err, ERR_INVALID, "'%s' is not a private key in OpenSSH or PEM format", name);
	return error_hint(err, MAKE_KEY_HINT);
}

/* magic, cipher, kdf, kdf options, number of keys, public key { type, ... } */
static bool check_head(const char *name, struct key_head head, struct error *err)
{
	const unsigned char *cipher, *skipped, *type;
	size_t cipher_len, skipped_len, type_len;

	if (head.left < sizeof(OPENSSH_MAGIC) ||
		memcmp(head.at, OPENSSH_MAGIC, sizeof(OPENSSH_MAGIC)) != 0)
		return refuse_damaged(name, err);
	head.at += sizeof(OPENSSH_MAGIC);
	head.left -= sizeof(OPENSSH_MAGIC);
	if (!next_string(&head, &cipher, &cipher_len))
		return refuse_damaged(name, err);
	if (!is(cipher, cipher_len, "none"))
		return refuse_encrypted(name, err);
	if (!next_string(&head, &skipped, &skipped_len) ||
		!next_string(&head, &skipped, &skipped_len) || head.left < 8)
		return refuse_damaged(name, err);
	head.at += 8; /* number of keys, length of the public one */
	head.left -= 8;
	if (!next_string(&head, &type, &type_len))
		return refuse_damaged(name, err);
	if (is(type, type_len, "ssh-rsa") && !libssh2_version(RSA_LIBSSH2))
		return refuse_rsa(name, err);
	return true;
}

static bool check_openssh(const char *name, const char *text, const char *end, struct error *err)
{
	char packed[HEAD_MAX / 3 * 4 + 1];
	unsigned char bytes[HEAD_MAX];
	size_t len = 0;

	for (; text < end && *text != '-' && len < sizeof(packed) - 1; text++) {
		if (*text != '\n' && *text != '\r')
			packed[len++] = *text;
	}
	len -= len % 4;
	packed[len] = '\0';
	int got = EVP_DecodeBlock(bytes, (const unsigned char *)packed, (int)len);
	bool fine = got > 0 ? check_head(name, (struct key_head){bytes, (size_t)got}, err)
			    : refuse_damaged(name, err);
	sodium_memzero(packed, sizeof(packed));
	sodium_memzero(bytes, sizeof(bytes));
	return fine;
}

bool ssh_key_check(const char *name, const char *key, size_t len, struct error *err)
{
	const char *openssh = memmem(key, len, OPENSSH_BEGIN, strlen(OPENSSH_BEGIN));

	if (openssh)
		return check_openssh(name, openssh + strlen(OPENSSH_BEGIN), key + len, err);
	if (!memmem(key, len, "PRIVATE KEY-----", 16))
		return refuse_damaged(name, err);
	if (memmem(key, len, "ENCRYPTED", 9))
		return refuse_encrypted(name, err);
	if (memmem(key, len, "BEGIN RSA PRIVATE KEY", 21) && !libssh2_version(RSA_LIBSSH2))
		return refuse_rsa(name, err);
	return true;
}

void ssh_quote(const char *text, struct buf *out)
{
	buf_add_char(out, '\'');
	for (; *text; text++) {
		if (*text == '\'' || *text == '!')
			buf_addf(out, "'\\%c'", *text);
		else
			buf_add_char(out, *text);
	}
	buf_add_char(out, '\'');
}
