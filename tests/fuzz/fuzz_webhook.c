/* Bodies of deliveries, with the signature check out of the way: the body is signed here, so that
 * the reading behind it is reached. First byte: forge; second: kind of event. */
#include "server/webhook.h"
#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

struct shape {
	const char *event_header, *signature_header, *prefix;
	const char *events[2];
};

static const struct shape shapes[WEBHOOK_FORGES] = {
	{"X-GitHub-Event", "X-Hub-Signature-256", "sha256=", {"push", "ping"}},
	{"X-Gitlab-Event", "X-Gitlab-Token", NULL, {"Push Hook", "System Hook"}},
	{"X-Gitea-Event", "X-Gitea-Signature", "", {"push", "create"}},
	{"X-Forgejo-Event", "X-Forgejo-Signature", "", {"push", ""}},
	{"X-Event-Key", "X-Hub-Signature", "sha256=", {"repo:push", "repo:refs_changed"}},
};

static void sign(const struct shape *shape, const char *body, size_t len, char *text, size_t size)
{
	unsigned char mac[32];
	if (!shape->prefix) {
		(void)snprintf(text, size, "key"); /* fits */
		return;
	}
	HMAC(EVP_sha256(), "key", 3, (const unsigned char *)body, len, mac, NULL);
	int at = snprintf(text, size, "%s", shape->prefix);
	for (int i = 0; i < 32; i++)
		at += snprintf(text + at, size - (size_t)at, "%02x", mac[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct webhook_tracked tracked = {"o/n", false, "main", "deployments"};
	static const struct webhook_secret secret = {"key", 3};
	if (size < 2)
		return 0;
	const struct shape *shape = &shapes[data[0] % WEBHOOK_FORGES];
	bool form = data[1] & 2;
	char signature[80];
	/* A copy of exact size: reading behind the body shows under AddressSanitizer. */
	char *body = mem_alloc(size - 2);
	memcpy(body, data + 2, size - 2);
	sign(shape, body, size - 2, signature, sizeof(signature));
	struct http_header headers[] = {
		{"Content-Type", form ? "application/x-www-form-urlencoded" : "application/json"},
		{shape->event_header, shape->events[data[1] & 1]},
		{shape->signature_header, signature}};
	struct webhook_input input = {.forge = data[0] % WEBHOOK_FORGES,
		.headers = headers,
		.header_count = ARRAY_LEN(headers),
		.body = body,
		.body_len = size - 2,
		.secrets = &secret,
		.secret_count = 1,
		.tracked = &tracked};
	struct webhook_verdict verdict;
	webhook_judge(&input, &verdict);
	assert(verdict.dirty == (verdict.status == 202));
	assert((verdict.ignored != NULL) == (verdict.status == 204));
	assert((verdict.error[0] != '\0') == (verdict.status >= 400));
	free(body);
	return 0;
}
