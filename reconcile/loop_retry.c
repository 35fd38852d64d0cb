/* `retry [CLIENT]`: a person ends what failures and hands hold; the next look does the rest. */
#include "base/clock.h"
#include "base/strmap.h"
#include "reconcile/loop_state.h"

static size_t stage_of(const struct rollout_record *rollout, const char *client)
{
	for (size_t s = 0; s < rollout->stage_count; s++)
		for (size_t m = 0; m < rollout->stages[s].member_count; m++)
			if (!strcmp(rollout->stages[s].members[m].client, client))
				return s;
	return 0;
}

/* Does the failure hold that client no more, because somebody asked for a retry? As the plan sees
 * it. */
static bool is_forgiven(const struct status *status, const struct rollout_record *rollout,
	const char *client, size_t stage)
{
	for (size_t i = 0; i < status->asked.retry_count; i++) {
		const struct retry *retry = &status->asked.retries[i];
		bool before = retry->client && stage < stage_of(rollout, retry->client);
		if (retry_forgives(retry, rollout->id, client, before))
			return true;
	}
	return false;
}

/* Is that client held, or anybody (NULL), by the last rollout that wanted something of it? */
static bool held_by_rollout(const struct status *status, const char *name)
{
	struct strmap seen = {0};
	bool held = false;
	for (size_t r = 0; r < status->rollout_count && !held; r++) {
		const struct rollout_record *rollout = status->rollouts[r];
		for (size_t s = 0; s < rollout->stage_count; s++)
			for (size_t m = 0; m < rollout->stages[s].member_count; m++) {
				const char *client = rollout->stages[s].members[m].client;
				bool first = !strmap_get(&seen, client);
				strmap_set(&seen, client, &seen);
				if (first && rollout_state_holds(rollout->state) &&
					(!name || !strcmp(name, client)))
					held = held || !is_forgiven(status, rollout, client, s);
			}
	}
	strmap_clear(&seen);
	return held;
}

static bool is_held(const struct status *status, const char *name)
{
	for (size_t i = 0; i < status->client_count; i++)
		if (status->clients[i]->hold.held &&
			(!name || !strcmp(name, status->clients[i]->client)))
			return true;
	return held_by_rollout(status, name);
}

/* Does the newest commit wait, because its last rollout did not end well? */
static bool commit_is_held(const struct loop *loop)
{
	const struct status *status = loop->status;
	for (size_t i = 0; i < status->rollout_count; i++)
		if (!rollout_record_is_apart(status->rollouts[i]) &&
			!strcmp(status->rollouts[i]->commit, loop->seen->head.hex))
			return (rollout_state_holds(status->rollouts[i]->state) ||
				       status->rollouts[i]->state == ROLLOUT_REFUSED) &&
			       !asked_record_retry(&status->asked, status->rollouts[i]->id);
	return false;
}

bool loop_stage_is_before(const struct status *status, const char *stage, const char *other)
{
	for (size_t r = 0; r < status->rollout_count; r++) {
		const struct rollout_record *rollout = status->rollouts[r];
		bool found = false;
		for (size_t i = 0; i < rollout->stage_count; i++) {
			found = found || !strcmp(rollout->stages[i].name, stage);
			if (!strcmp(rollout->stages[i].name, other))
				return found && strcmp(stage, other) != 0;
		}
	}
	return false;
}

/* Of all, or of the one named and those of the stages before its own. */
static void end_holds(
	struct loop *loop, const struct request *request, const struct client_record *named)
{
	const char *reason = request->reason[0] ? request->reason : "retry";
	auto_free char *stage = named ? mem_dup_str(named->stage) : NULL;
	for (size_t i = 0; i < loop->status->client_count; i++) {
		const struct client_record *client = loop->status->clients[i];
		bool meant = !request->target[0] || !strcmp(client->client, request->target) ||
			     (stage && client->stage &&
				     loop_stage_is_before(loop->status, client->stage, stage));
		if (client->hold.held && meant)
			loop_record(loop,
				fact_hold_ended(client, request->by, reason, clock_wall_s()),
				false);
	}
}

void loop_decide_retry(struct loop *loop, struct asked *asked, const struct client_record *client)
{
	const struct request *request = &asked->request;
	const char *name = request->target[0] ? request->target : NULL;
	bool paused = loop->status->asked.pause.paused;
	asked_decided(loop, asked);
	if (loop->rollout) {
		asked_refuse(asked);
		asked_say(asked, "rollout %s runs: ask again when it has ended",
			loop->rollout->record.id);
		return;
	}
	if (!commit_is_held(loop) && !is_held(loop->status, name)) {
		asked_say(asked, "nothing to retry: %s held", name ? "it is not" : "nobody is");
		return;
	}
	loop_record(loop, fact_retry(loop->status, client, request, clock_wall_s()), false);
	end_holds(loop, request, client);
	asked_decided(loop, asked);
	loop->look_after_push = true;
	loop_ask_drift_soon(loop); /* a hold may have kept a repair back */
	asked_say(asked, "commit %.7s is tried again%s%s%s%s", loop->seen->head.hex,
		name ? " on " : "", name ? name : "",
		name ? " and the canaries before it" : ", canary first",
		paused ? ", once 'aviary resume' has ended the pause" : "");
}
