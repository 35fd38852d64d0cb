/* What a look finds out about drift: the policy, and what a repair needs. */
#include "reconcile/look_parts.h"

/* One that does not read any more says nothing. */
bool look_read_drift(struct looker *looker, struct look_result *result, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_problems struct problems problems = {0};
	auto_tree struct tree *tree = NULL;
	struct policy *policy = NULL;
	struct oid base = {0};
	result->drift = DRIFT_REPORT;
	result->drift_interval_ms = DRIFT_INTERVAL_MS;
	if (result->plan)
		memcpy(base.hex, result->plan->base, sizeof(base.hex));
	else if (!plan_last_deployed(looker->repo, result->status, &base, err))
		return false;
	if (!base.hex[0])
		return true;
	if (!tree_open_commit(looker->repo, &base, &tree, err))
		return false;
	if (policy_load(tree, arena, &policy, &problems)) {
		result->drift = policy->drift;
		result->drift_interval_ms = policy->drift_interval_ms;
	}
	return true;
}
