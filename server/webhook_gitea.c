/* Gitea and Forgejo: the same bodies, other header names. Only the native headers count: both also
 * send GitHub's and Gogs' names. */
#include "server/webhook_forge.h"

static void gitea_read(const struct webhook_delivery *delivery, struct webhook_verdict *verdict)
{
	static const struct webhook_push_names names = {"repository", "full_name", "html_url"};
	if (webhook_event_is(delivery, "push"))
		webhook_read_push(delivery, &names, verdict);
	else
		webhook_ignore(verdict, "event");
}

const struct webhook_kind webhook_gitea = {
	.name = "gitea",
	.event_header = "X-Gitea-Event",
	.delivery_headers = {"X-Gitea-Delivery"},
	.signature_header = "X-Gitea-Signature",
	.signature_prefix = "",
	.form = WEBHOOK_PAYLOAD_SIGNED,
	.read = gitea_read,
};

const struct webhook_kind webhook_forgejo = {
	.name = "forgejo",
	.event_header = "X-Forgejo-Event",
	.delivery_headers = {"X-Forgejo-Delivery"},
	.signature_header = "X-Forgejo-Signature",
	.signature_prefix = "",
	.form = WEBHOOK_PAYLOAD_SIGNED,
	.read = gitea_read,
};
