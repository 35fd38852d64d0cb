#include "server/webhook_forge.h"

static void github_read(const struct webhook_delivery *delivery, struct webhook_verdict *verdict)
{
	static const struct webhook_push_names names = {"repository", "full_name", "html_url"};
	if (webhook_event_is(delivery, "push"))
		webhook_read_push(delivery, &names, verdict);
	else
		webhook_ignore(verdict, webhook_event_is(delivery, "ping") ? "ping" : "event");
}

const struct webhook_kind webhook_github = {
	.name = "github",
	.event_header = "X-GitHub-Event",
	.delivery_headers = {"X-GitHub-Delivery"},
	.signature_header = "X-Hub-Signature-256",
	.signature_prefix = "sha256=",
	.form = WEBHOOK_FORM_SIGNED,
	.read = github_read,
};
