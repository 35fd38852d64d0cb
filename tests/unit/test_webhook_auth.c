/* Who may: signatures, tokens, secrets. What an authentic delivery means: test_webhook.c. */
#include "tests/lib/delivery.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

#define A         "1111111111111111111111111111111111111111"
#define B         "2222222222222222222222222222222222222222"
#define MOVED     "\"ref\":\"refs/heads/main\",\"before\":\"" A "\",\"after\":\"" B "\""
#define MAIN_PUSH "{" MOVED ",\"repository\":{\"full_name\":\"org/infra\"}}"
#define LAB_MAIN  "{" MOVED ",\"project\":{\"path_with_namespace\":\"org/infra\"}}"

#define SIGNING_TOKEN "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define SIGNING_KEY   "0123456789abcdef0123456789abcdef"
#define NOW           1798761600

/* ---- authentication ---------------------------------------------------------------------------
 */

/* One GitHub push with these headers; the verdict's status. */
static int judge_headers(const struct http_header *headers, size_t count,
	const struct webhook_secret *secrets, size_t secret_count)
{
	struct webhook_verdict verdict;
	struct webhook_input input = {.forge = WEBHOOK_GITHUB,
		.headers = headers,
		.header_count = count,
		.body = MAIN_PUSH,
		.body_len = strlen(MAIN_PUSH),
		.secrets = secrets,
		.secret_count = secret_count,
		.tracked = &delivery_tracked};
	webhook_judge(&input, &verdict);
	if (verdict.status == 401) {
		assert_string_equal(verdict.error, "signature or token missing or wrong");
		assert_non_null(verdict.cause);
	}
	return verdict.status;
}

#define JSON_TYPE                                                                                  \
	{                                                                                          \
		"content-type", "application/json"                                                 \
	}
#define PUSH_EVENT                                                                                 \
	{                                                                                          \
		"x-github-event", "push"                                                           \
	}

static void a_signature_must_be_there_once_whole_and_right(void **state)
{
	(void)state;
	static const struct webhook_secret key = {"key", 3};
	char hex[65], good[80], upper[80], cut[80], longer[80], bare[80], sha1[80], odd[80];
	delivery_mac("key", MAIN_PUSH, strlen(MAIN_PUSH), hex);
	snprintf(good, sizeof(good), "sha256=%s", hex);
	snprintf(upper, sizeof(upper), "sha256=%s", hex);
	for (char *c = upper + 7; *c; c++)
		*c = (char)(*c >= 'a' ? *c - 32 : *c);
	snprintf(cut, sizeof(cut), "sha256=%.62s", hex);
	snprintf(longer, sizeof(longer), "sha256=%s00", hex);
	snprintf(bare, sizeof(bare), "%s", hex);
	snprintf(sha1, sizeof(sha1), "sha1=%.40s", hex);
	snprintf(odd, sizeof(odd), "sha256=%.63sx", hex);
	const struct {
		const char *value;
		int status;
	} rows[] = {{good, 202}, {upper, 202}, {cut, 401}, {longer, 401}, {bare, 401}, {sha1, 401},
		{odd, 401}, {"sha256=", 401}, {"", 401},
		{"sha256=0000000000000000000000000000000000000000000000000000000000000000", 401}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct http_header headers[] = {
			JSON_TYPE, PUSH_EVENT, {"x-hub-signature-256", rows[i].value}};
		assert_int_equal(judge_headers(headers, 3, &key, 1), rows[i].status);
	}
	const struct http_header none[] = {JSON_TYPE, PUSH_EVENT, {"X-Hub-Signature", good}};
	assert_int_equal(judge_headers(none, 3, &key, 1), 401);
	const struct http_header twice[] = {JSON_TYPE, PUSH_EVENT, {"X-Hub-Signature-256", good},
		{"x-hub-signature-256", good}};
	assert_int_equal(judge_headers(twice, 4, &key, 1), 401);
}

static void any_secret_of_the_list_is_accepted(void **state)
{
	(void)state;
	static const struct webhook_secret secrets[] = {{"new", 3}, {"key", 3}};
	char good[80] = "sha256=";
	delivery_mac("key", MAIN_PUSH, strlen(MAIN_PUSH), good + 7);
	const struct http_header headers[] = {JSON_TYPE, PUSH_EVENT, {"X-Hub-Signature-256", good}};
	assert_int_equal(judge_headers(headers, 3, secrets, 2), 202);
	assert_int_equal(judge_headers(headers, 3, secrets, 1), 401);
}

static void the_published_vector_of_github_holds(void **state)
{
	(void)state;
	static const struct webhook_secret secret = {"It's a Secret to Everybody", 26};
	const struct http_header headers[] = {JSON_TYPE, PUSH_EVENT,
		{"X-Hub-Signature-256",
			"sha256="
			"757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}};
	struct webhook_verdict verdict;
	struct webhook_input input = {WEBHOOK_GITHUB, headers, 3, "Hello, World!", 13, &secret, 1,
		&delivery_tracked, NOW};
	webhook_judge(&input, &verdict);
	assert_int_equal(verdict.status, 400); /* authentic, but no JSON */
}

static void gitea_counts_its_own_header_only(void **state)
{
	(void)state;
	static const struct webhook_secret key = {"key", 3};
	char hex[65], prefixed[80];
	delivery_mac("key", MAIN_PUSH, strlen(MAIN_PUSH), hex);
	snprintf(prefixed, sizeof(prefixed), "sha256=%s", hex);
	const struct http_header headers[] = {JSON_TYPE, {"X-Gitea-Event", "push"},
		{"X-Hub-Signature-256", prefixed}, {"X-Gogs-Signature", hex},
		{"X-Gitea-Signature", ""}};
	struct webhook_verdict verdict;
	struct webhook_input input = {WEBHOOK_GITEA, headers, ARRAY_LEN(headers), MAIN_PUSH,
		strlen(MAIN_PUSH), &key, 1, &delivery_tracked, NOW};
	webhook_judge(&input, &verdict);
	assert_int_equal(verdict.status, 401);
}

/* ---- GitLab's two kinds of secret -------------------------------------------------------------
 */

static int judge_gitlab(const struct http_header *extra, size_t count,
	const struct webhook_secret *secrets, size_t secret_count)
{
	struct http_header headers[8] = {JSON_TYPE, {"X-Gitlab-Event", "Push Hook"}};
	struct webhook_verdict verdict;
	for (size_t i = 0; i < count; i++)
		headers[2 + i] = extra[i];
	struct webhook_input input = {WEBHOOK_GITLAB, headers, 2 + count, LAB_MAIN,
		strlen(LAB_MAIN), secrets, secret_count, &delivery_tracked, NOW};
	webhook_judge(&input, &verdict);
	return verdict.status;
}

static void a_plain_token_must_be_equal(void **state)
{
	(void)state;
	static const struct webhook_secret key = {"key", 3};
	static const struct {
		const char *token;
		int status;
	} rows[] = {{"key", 202}, {"keys", 401}, {"ke", 401}, {"Key", 401}, {"", 401}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct http_header headers[] = {{"X-Gitlab-Token", rows[i].token}};
		assert_int_equal(judge_gitlab(headers, 1, &key, 1), rows[i].status);
	}
	const struct http_header twice[] = {{"X-Gitlab-Token", "key"}, {"X-Gitlab-Token", "key"}};
	assert_int_equal(judge_gitlab(twice, 2, &key, 1), 401);
	assert_int_equal(judge_gitlab(NULL, 0, &key, 1), 401);
}

static void sign_gitlab(const char *id, const char *stamp, char *entry, size_t size)
{
	unsigned char mac[32];
	char base64[64];
	auto_free char *message = mem_printf("%s.%s.%s", id, stamp, LAB_MAIN);
	HMAC(EVP_sha256(), SIGNING_KEY, 32, (const unsigned char *)message, strlen(message), mac,
		NULL);
	sodium_bin2base64(base64, sizeof(base64), mac, sizeof(mac), sodium_base64_VARIANT_ORIGINAL);
	snprintf(entry, size, "v1,%s", base64);
}

static void a_signing_token_takes_fresh_signatures_only(void **state)
{
	(void)state;
	static const struct webhook_secret token = {SIGNING_TOKEN, sizeof(SIGNING_TOKEN) - 1};
	static const struct {
		const char *stamp;
		int status;
	} rows[] = {{"1798761600", 202}, {"1798761300", 202}, {"1798761900", 202},
		{"1798761299", 401}, {"1798761901", 401}, {"+1798761600", 401}, {"", 401},
		{"1798761600.0", 401}, {"99999999999999999999", 401}, {"-1", 401}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char entry[80];
		sign_gitlab("id", rows[i].stamp, entry, sizeof(entry));
		const struct http_header headers[] = {{"webhook-id", "id"},
			{"webhook-timestamp", rows[i].stamp}, {"webhook-signature", entry}};
		assert_int_equal(judge_gitlab(headers, 3, &token, 1), rows[i].status);
	}
}

static void a_signing_token_ignores_other_versions_and_the_plain_token(void **state)
{
	(void)state;
	static const struct webhook_secret secrets[] = {
		{SIGNING_TOKEN, sizeof(SIGNING_TOKEN) - 1}, {"key", 3}};
	char entry[80], list[256], other[256];
	sign_gitlab("id", "1798761600", entry, sizeof(entry));
	snprintf(list, sizeof(list), "v1,AAAA v1a,%s  %s v2,x", entry + 3, entry);
	snprintf(other, sizeof(other), "v2,%s %s=", entry + 3, entry);
	struct http_header headers[] = {{"webhook-id", "id"}, {"webhook-timestamp", "1798761600"},
		{"webhook-signature", list}};
	assert_int_equal(judge_gitlab(headers, 3, secrets, 1), 202);
	headers[2].value = other;
	assert_int_equal(judge_gitlab(headers, 3, secrets, 1), 401);
	headers[0].value = "another";
	headers[2].value = list;
	assert_int_equal(judge_gitlab(headers, 3, secrets, 1), 401);
	const struct http_header plain[] = {{"X-Gitlab-Token", SIGNING_TOKEN}};
	assert_int_equal(judge_gitlab(plain, 1, secrets, 1), 401);
	const struct http_header old[] = {{"X-Gitlab-Token", "key"}};
	assert_int_equal(judge_gitlab(old, 1, secrets, 2), 202); /* while the hook is changed */
}

static void secrets_are_checked_at_the_start(void **state)
{
	(void)state;
	static const struct {
		enum webhook_forge forge;
		const char *secret;
		bool good;
	} rows[] = {{WEBHOOK_GITHUB, "x", true}, {WEBHOOK_GITHUB, "", false},
		{WEBHOOK_GITLAB, "plain", true}, {WEBHOOK_GITLAB, SIGNING_TOKEN, true},
		{WEBHOOK_GITLAB, "whsec_", false}, {WEBHOOK_GITLAB, "whsec_!!!", false},
		{WEBHOOK_GITLAB, "whsec_c2hvcnQ=", false}, {WEBHOOK_GITEA, "whsec_", true}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct webhook_secret secret = {rows[i].secret, strlen(rows[i].secret)};
		struct error err = {0};
		assert_int_equal(webhook_secret_check(rows[i].forge, &secret, &err), rows[i].good);
		assert_int_equal(err.code, rows[i].good ? ERR_NONE : ERR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signature_must_be_there_once_whole_and_right),
		cmocka_unit_test(any_secret_of_the_list_is_accepted),
		cmocka_unit_test(the_published_vector_of_github_holds),
		cmocka_unit_test(gitea_counts_its_own_header_only),
		cmocka_unit_test(a_plain_token_must_be_equal),
		cmocka_unit_test(a_signing_token_takes_fresh_signatures_only),
		cmocka_unit_test(a_signing_token_ignores_other_versions_and_the_plain_token),
		cmocka_unit_test(secrets_are_checked_at_the_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
