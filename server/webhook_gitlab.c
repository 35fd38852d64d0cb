#include "server/webhook_forge.h"

static const struct webhook_push_names names = {"project", "path_with_namespace", "web_url"};

/* System hooks tell the event in the body only. */
static bool system_push(const struct webhook_delivery *delivery)
{
	char event[16];
	return webhook_json_text(
		       webhook_json_member(delivery->body, "event_name"), event, sizeof(event)) &&
	       (!strcmp(event, "push") || !strcmp(event, "tag_push"));
}

static void gitlab_read(const struct webhook_delivery *delivery, struct webhook_verdict *verdict)
{
	bool push = webhook_event_is(delivery, "Push Hook") ||
		    webhook_event_is(delivery, "Tag Push Hook") ||
		    (webhook_event_is(delivery, "System Hook") && system_push(delivery));
	if (push)
		webhook_read_push(delivery, &names, verdict);
	else
		webhook_ignore(verdict, "event");
}

const struct webhook_kind webhook_gitlab = {
	.name = "gitlab",
	.event_header = "X-Gitlab-Event",
	.delivery_headers = {"Idempotency-Key", "webhook-id"},
	.form = WEBHOOK_NO_FORM,
	.authentic = webhook_gitlab_authentic,
	.read = gitlab_read,
};
