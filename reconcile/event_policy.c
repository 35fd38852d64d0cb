/* What fleet.yaml said when a rollout began, for one whose commit is gone. */
#include "reconcile/events.h"
#include "reconcile/plan.h"

bool events_policy(const char *text, struct plan *plan_out, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_rollout struct rollout *begun = NULL;
	const struct node *line;
	*plan_out = (struct plan){.roll_back = true,
		.verify_interval_ms = 5000,
		.verify_healthy = 3,
		.verify_timeout_ms = 300000};
	err->code = ERR_NONE;
	if (!text)
		return error_set(err, ERR_NOT_FOUND, "the rollout has no events");
	if (!node_parse_json(arena, "events", text, strcspn(text, "\n"), &line, err) ||
		!event_state_read(line, &begun, err))
		return false;
	plan_out->roll_back = begun->roll_back;
	plan_out->verify_interval_ms = begun->verify_interval_ms;
	plan_out->verify_healthy = begun->verify_healthy;
	plan_out->verify_timeout_ms = begun->verify_timeout_ms;
	plan_out->retries = begun->retries;
	plan_out->restore = begun->restore;
	memcpy(plan_out->onboard, begun->onboard, sizeof(plan_out->onboard));
	memcpy(plan_out->upgrade, begun->upgrade, sizeof(plan_out->upgrade));
	return true;
}
