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

bool look_to_repair(struct looker *looker, const struct look_request *request,
	struct look_result *result, struct error *err)
{
	result->by_hand = true;
	if (!repo_has_commit(looker->repo, &request->only_commit)) {
		strlist_addf(&result->refusals, "commit %.7s is not in the repository any more",
			request->only_commit.hex);
		return true;
	}
	if (!look_author(looker, &request->only_commit, result, err) ||
		!look_plan_commit(looker, &request->only_commit, result->status, &result->plan,
			&result->refusals, err))
		return false;
	memcpy(result->signed_by, looker->signed_by, sizeof(looker->signed_by));
	return true;
}
