#include "tests/lib/delivery.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

const struct webhook_tracked delivery_tracked = {"org/infra", false, "main", "deployments"};

struct forge_names {
	const char *event_header, *push, *signature_header, *prefix, *delivery_header;
};
static const struct forge_names names[WEBHOOK_FORGES] = {
	[WEBHOOK_GITHUB] = {"X-GitHub-Event", "push", "X-Hub-Signature-256",
		"sha256=", "X-GitHub-Delivery"},
	[WEBHOOK_GITLAB] = {"X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", "", "Idempotency-Key"},
	[WEBHOOK_GITEA] = {"X-Gitea-Event", "push", "X-Gitea-Signature", "", "X-Gitea-Delivery"},
	[WEBHOOK_FORGEJO] = {"X-Forgejo-Event", "push", "X-Forgejo-Signature", "",
		"X-Forgejo-Delivery"},
	[WEBHOOK_BITBUCKET] = {"X-Event-Key", "repo:push", "X-Hub-Signature",
		"sha256=", "X-Request-UUID"},
};

void delivery_mac(const char *key, const char *text, size_t len, char *hex)
{
	unsigned char mac[32];
	HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)text, len, mac, NULL);
	sodium_bin2hex(hex, 65, mac, sizeof(mac));
}

void delivery_judge(const struct delivery_trial *trial, const struct webhook_tracked *follow,
	struct webhook_verdict *verdict)
{
	const struct forge_names *forge = &names[trial->forge];
	size_t len = trial->body_len ? trial->body_len : strlen(trial->body);
	const char *text = trial->signed_text ? trial->signed_text : trial->body;
	char signature[80], hex[65];
	delivery_mac("key", text, trial->signed_text ? strlen(text) : len, hex);
	snprintf(signature, sizeof(signature), "%s%s", forge->prefix,
		trial->forge == WEBHOOK_GITLAB ? "key" : hex);
	const struct http_header headers[] = {
		{"Content-Type", trial->content_type ? trial->content_type : "application/json"},
		{forge->signature_header, signature}, {forge->delivery_header, "id-1"},
		{forge->event_header, trial->event ? trial->event : forge->push}};
	bool no_event = trial->event && !strcmp(trial->event, "-");
	static const struct webhook_secret secret = {"key", 3};
	struct webhook_input input = {
		.forge = trial->forge,
		.headers = headers,
		.header_count = no_event ? 3 : 4,
		.body = trial->body,
		.body_len = len,
		.secrets = &secret,
		.secret_count = 1,
		.tracked = follow,
	};
	webhook_judge(&input, verdict);
}

bool delivery_check(const struct delivery_trial *trial, const struct webhook_verdict *verdict)
{
	bool good = verdict->status == trial->status;
	if (verdict->status == 202)
		good &= verdict->dirty && !verdict->ignored && !verdict->error[0];
	else if (verdict->status == 204)
		good &= !verdict->dirty && verdict->ignored &&
			(!trial->says || !strcmp(verdict->ignored, trial->says));
	else
		good &= !verdict->dirty && !verdict->ignored &&
			strstr(verdict->error, trial->says ? trial->says : "") != NULL;
	if (!good)
		fprintf(stderr, "%s: %s: got %d '%s' '%s', wanted %d '%s'\n",
			webhook_forge_name(trial->forge), trial->name, verdict->status,
			verdict->ignored ? verdict->ignored : "", verdict->error, trial->status,
			trial->says ? trial->says : "");
	return good;
}

bool delivery_run(const struct delivery_trial *trials, size_t count)
{
	bool good = true;
	for (size_t i = 0; i < count; i++) {
		struct webhook_verdict verdict;
		delivery_judge(&trials[i], &delivery_tracked, &verdict);
		good &= delivery_check(&trials[i], &verdict);
	}
	return good;
}
