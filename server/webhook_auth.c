#include "server/webhook_forge.h"
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/sha.h>
#include <sodium.h>

#define SIGNING_WINDOW_S 300 /* default of the libraries of Standard Webhooks */
#define SIGNING_KEY_MIN  24  /* Standard Webhooks: 24 to 64 bytes */

/* A failure of the crypto library is a failure of the machine, like running out of memory. */
static void must(int done)
{
	if (done != 1)
		mem_abort(0);
}

void webhook_mac(const struct webhook_secret *key, const struct webhook_part *parts, size_t count,
	unsigned char *mac_out)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	size_t len = 0;
	must(EVP_MAC_init(context, (const unsigned char *)key->bytes, key->len, params));
	for (size_t i = 0; i < count; i++)
		must(EVP_MAC_update(context, parts[i].bytes, parts[i].len));
	must(EVP_MAC_final(context, mac_out, &len, WEBHOOK_MAC_SIZE));
	EVP_MAC_CTX_free(context);
	EVP_MAC_free(mac);
}

/* `<prefix>` and 64 hex digits of any case; anything else is no signature. */
static bool read_signature(
	const struct webhook_field *field, const char *prefix, unsigned char *mac_out)
{
	size_t prefix_len = strlen(prefix), used = 0;
	if (field->count != 1 || field->len != prefix_len + 2 * (size_t)WEBHOOK_MAC_SIZE)
		return false;
	if (memcmp(field->value, prefix, prefix_len) != 0)
		return false;
	return !sodium_hex2bin(mac_out, WEBHOOK_MAC_SIZE, field->value + prefix_len,
		       field->len - prefix_len, NULL, &used, NULL) &&
	       used == WEBHOOK_MAC_SIZE;
}

bool webhook_mac_holds(const struct webhook_input *input, const struct webhook_kind *kind,
	const struct webhook_part *message, const char **cause_out)
{
	struct webhook_field field = webhook_header(input, kind->signature_header);
	unsigned char given[WEBHOOK_MAC_SIZE] = {0};
	bool readable = read_signature(&field, kind->signature_prefix, given);
	unsigned found = 0;
	/* All secrets are tried, and also for an absent signature, so that time tells nothing. */
	for (size_t i = 0; i < input->secret_count; i++) {
		unsigned char expected[WEBHOOK_MAC_SIZE];
		webhook_mac(&input->secrets[i], message, 1, expected);
		found |= CRYPTO_memcmp(given, expected, sizeof(expected)) == 0;
	}
	if (readable && found)
		return true;
	*cause_out = !field.count      ? "signature missing"
		     : field.count > 1 ? "signature doubled"
		     : !readable       ? "signature malformed"
				       : "signature wrong";
	return false;
}

/* ---- GitLab -----------------------------------------------------------------------------------
 */

bool webhook_signing_key(
	const struct webhook_secret *secret, unsigned char *key_out, size_t *len_out)
{
	size_t prefix = strlen(WEBHOOK_SIGNING_PREFIX);
	const char *text = secret->bytes + prefix, *end = NULL;
	if (secret->len <= prefix || memcmp(secret->bytes, WEBHOOK_SIGNING_PREFIX, prefix) != 0)
		return false;
	return !sodium_base642bin(key_out, WEBHOOK_SIGNING_KEY_MAX, text, secret->len - prefix,
		       NULL, len_out, &end, sodium_base64_VARIANT_ORIGINAL) &&
	       end == text + secret->len - prefix && *len_out >= SIGNING_KEY_MIN;
}

static bool is_signing_token(const struct webhook_secret *secret)
{
	size_t prefix = strlen(WEBHOOK_SIGNING_PREFIX);
	return secret->len >= prefix && !memcmp(secret->bytes, WEBHOOK_SIGNING_PREFIX, prefix);
}

/* Both sides are hashed first, so that neither length nor common start shows in the time. */
static bool token_equals(const struct webhook_field *field, const struct webhook_secret *secret)
{
	unsigned char given[SHA256_DIGEST_LENGTH], expected[SHA256_DIGEST_LENGTH];
	SHA256((const unsigned char *)field->value, field->len, given);
	SHA256((const unsigned char *)secret->bytes, secret->len, expected);
	bool equal = CRYPTO_memcmp(given, expected, sizeof(given)) == 0;
	OPENSSL_cleanse(expected, sizeof(expected));
	return equal && field->count == 1;
}

static bool read_seconds(const struct webhook_field *field, int64_t *seconds_out)
{
	int64_t seconds = 0;
	if (field->count != 1 || !field->len || field->len > 12)
		return false;
	for (size_t i = 0; i < field->len; i++) {
		if (field->value[i] < '0' || field->value[i] > '9')
			return false;
		seconds = seconds * 10 + (field->value[i] - '0');
	}
	*seconds_out = seconds;
	return true;
}

/* Is `v1,<base64>` one of the entries of the list, which are parted by blanks? */
static bool list_has(const struct webhook_field *list, const char *entry, size_t entry_len)
{
	unsigned found = 0;
	for (size_t at = 0; at < list->len;) {
		const char *start = list->value + at;
		const char *blank = memchr(start, ' ', list->len - at);
		size_t len = blank ? (size_t)(blank - start) : list->len - at;
		if (len == entry_len)
			found |= CRYPTO_memcmp(start, entry, len) == 0;
		at += len + 1;
	}
	return found;
}

static bool signed_with(const struct webhook_input *input, const struct webhook_secret *secret,
	const struct webhook_part *message, size_t count)
{
	struct webhook_field list = webhook_header(input, "webhook-signature");
	unsigned char key_bytes[WEBHOOK_SIGNING_KEY_MAX], mac[WEBHOOK_MAC_SIZE];
	struct webhook_secret key = {(const char *)key_bytes, 0};
	char entry[64] = "v1,";
	if (!webhook_signing_key(secret, key_bytes, &key.len))
		return false;
	webhook_mac(&key, message, count, mac);
	OPENSSL_cleanse(key_bytes, sizeof(key_bytes));
	sodium_bin2base64(
		entry + 3, sizeof(entry) - 3, mac, sizeof(mac), sodium_base64_VARIANT_ORIGINAL);
	return list_has(&list, entry, strlen(entry)) && list.count == 1;
}

/* Standard Webhooks: `<id>.<timestamp>.<body>`. */
static bool signature_holds(
	const struct webhook_input *input, const struct webhook_secret *secret, const char **cause)
{
	struct webhook_field id = webhook_header(input, "webhook-id");
	struct webhook_field stamp = webhook_header(input, "webhook-timestamp");
	int64_t then = 0;
	bool stamped = read_seconds(&stamp, &then);
	struct webhook_part message[] = {{id.value, id.len}, {".", 1}, {stamp.value, stamp.len},
		{".", 1}, {input->body, input->body_len}};
	bool matches = signed_with(input, secret, message, ARRAY_LEN(message));
	int64_t off = then > input->now_s ? then - input->now_s : input->now_s - then;
	bool fresh = stamped && off <= SIGNING_WINDOW_S;
	if (id.count != 1 || !stamped)
		*cause = "webhook-id or webhook-timestamp missing or malformed";
	else if (!matches)
		*cause = webhook_header(input, "webhook-signature").count ? "signature wrong"
									  : "signature missing";
	else if (!fresh)
		*cause = "signature too old, or the clocks differ";
	return id.count == 1 && matches && fresh;
}

bool webhook_gitlab_authentic(const struct webhook_input *input, const char **cause_out)
{
	struct webhook_field token = webhook_header(input, "X-Gitlab-Token");
	unsigned found = 0;
	for (size_t i = 0; i < input->secret_count; i++) {
		const struct webhook_secret *secret = &input->secrets[i];
		/* The kind of secret decides: a signing token never counts as a plain one. */
		if (is_signing_token(secret)) {
			found |= signature_holds(input, secret, cause_out);
			continue;
		}
		bool equal = token_equals(&token, secret);
		if (!equal)
			*cause_out = token.count ? "token wrong" : "token missing";
		found |= equal;
	}
	return found;
}
