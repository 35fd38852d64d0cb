/* Promises about the begin of a rollout, and what the others must know then. */
#include "tests/sim/promises.h"

/* Clients that hold back every later stage: held, or all that changes there is paused. */
static void find_blocked(struct world *world)
{
	const struct service *service = &world->service;
	const struct plan *plan = service->plan;
	for (size_t s = 0; s < world->stage_count; s++)
		world->blocked[s] = false;
	for (size_t i = 0; i < plan->entry_count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		if (entry->stage >= world->stage_count)
			continue;
		bool member = false;
		for (size_t m = 0; m < service->rollout->client_count; m++)
			member |=
				!strcmp(service->rollout->clients[m].record->client, entry->client);
		bool alone = !service->rollout->stages[entry->stage].count;
		if (!member &&
			(entry->action == PLAN_HELD || (entry->action == PLAN_PAUSED && alone)))
			world->blocked[entry->stage] = true;
	}
}

/* Nothing is tried again by itself that failed: neither the commit nor a client's release. */
static void check_hold(struct world *world)
{
	const struct rollout *rollout = world->service.rollout;
	const struct sim_commit *commit = world->service.commit;
	for (size_t i = 0; i < world->client_count; i++)
		if (world->clients[i].hold_known && commit->wanted[i] != VERSION_NONE &&
			commit->wanted[i] != world->clients[i].hold_version)
			world->clients[i].hold_known = false;
	for (size_t i = 0; i < rollout->client_count; i++)
		demand(world, !world_member(world, i)->hold_known,
			"hold: %s is started again on a release that failed there",
			world_member(world, i)->name);
	for (size_t i = 0; i < world->branch->rollout_count; i++)
		demand(world,
			strcmp(world->branch->rollouts[i]->commit, commit->id) != 0 ||
				(world->branch->rollouts[i]->state != ROLLOUT_FAILED &&
					world->branch->rollouts[i]->state != ROLLOUT_ABORTED),
			"hold: a commit whose rollout failed is rolled out again");
}

/* Does everybody who changes in the stage go back to what was known good there? */
static bool only_goes_back(struct world *world, size_t stage)
{
	const struct rollout *rollout = world->service.rollout;
	for (size_t i = 0; i < rollout->client_count; i++) {
		const struct member_record *member = rollout->clients[i].record;
		const struct client_record *record = status_client(world->branch, member->client);
		bool good = false;
		if (rollout->clients[i].stage != stage)
			continue;
		for (size_t k = 0; record && k < record->good_count; k++)
			good |= !strcmp(record->good[k].release, member->to);
		if (!good || member->action != PLAN_ROLLBACK)
			return false;
	}
	return !world->blocked[stage];
}

static void find_limits(struct world *world)
{
	const struct rollout *rollout = world->service.rollout;
	const struct sim_commit *commit = world->service.commit;
	size_t changed = 0;
	for (size_t i = 0; i < rollout->client_count; i++)
		changed += rollout->clients[i].record->action != PLAN_ONBOARD;
	world->over_limit =
		changed * 100 > (size_t)commit->max_changed * world->branch->client_count;
	for (size_t s = 0; s < world->stage_count; s++)
		world->bake_ms[s] = only_goes_back(world, s) ? commit->stages[s].rollback_bake_ms
							     : commit->stages[s].bake_ms;
}

static void begin_new(struct world *world)
{
	const struct rollout *rollout = world->service.rollout;
	demand(world, !status_running(world->branch), "promise 2, blast radius: two rollouts run");
	demand(world, !strcmp(rollout->record.commit, world_head(world)->id),
		"promise 5, level-triggered: not the newest commit is rolled out");
	check_hold(world);
	memcpy(world->rollout, rollout->record.id, sizeof(world->rollout));
	world->rollouts++;
	world->aborted = world->yes_to_limit = false;
	memset(world->yes_to_stage, 0, sizeof(world->yes_to_stage));
	for (size_t i = 0; i < world->client_count; i++) {
		struct sim_client *client = &world->clients[i];
		const struct client_record *record = status_client(world->branch, client->name);
		client->watch = (struct watch){.good_version = VERSION_NONE};
		if (record)
			client->watch.good_version = release_version(record->known_good.release);
		client->restored = record && record->state == CLIENT_FAILED;
	}
}

static bool is_on_branch(const struct world *world, const struct sim_client *client)
{
	const struct client_record *record = status_client(world->branch, client->name);
	return record && !strcmp(record->current.rollout, world->rollout);
}

static bool branch_knows_failed(const struct world *world, const struct sim_client *client)
{
	const struct client_record *record = status_client(world->branch, client->name);
	return is_on_branch(world, client) &&
	       (record->going_back || record->ended == MEMBER_ROLLED_BACK ||
		       record->ended == MEMBER_FAILED);
}

/* A failure that neither the branch nor the host knows is judged anew. */
static bool is_known_failed(const struct world *world, const struct sim_client *client)
{
	const struct sim_host *host = &client->host;
	bool host_knows = host->by_way_back && !strcmp(host->rollout, world->rollout);
	return branch_knows_failed(world, client) || (is_on_branch(world, client) && host_knows);
}

/* What was ended before a restart, and told so, does not go on. */
static void find_ended(struct world *world)
{
	const struct rollout_record *record = status_rollout(world->branch, world->rollout);
	world->superseded |= record && record->superseded_by[0];
	world->aborted |= record && record->abort.asked;
}

void promises_begin_rollout(struct world *world)
{
	const struct rollout *rollout = world->service.rollout;
	bool new = strcmp(rollout->record.id, world->rollout) != 0;
	world->superseded = world->aborted = world->clock_was_set = false;
	if (new)
		begin_new(world);
	else
		find_ended(world);
	find_blocked(world);
	if (new)
		find_limits(world);
	world->settled_ms = world->now_ms;
	world->waits_ms = 0;
	for (size_t s = 0; s < world->stage_count; s++)
		world->stages[s] = rollout->stages[s].record->state;
	for (size_t i = 0; i < rollout->client_count; i++) {
		struct watch *watch = &world_member(world, i)->watch;
		watch->failed = is_known_failed(world, world_member(world, i));
		watch->phase = rollout->clients[i].phase;
		watch->intent_out = watch->phase == PHASE_RESUME;
		watch->good = watch->bad = 0;
		watch->starts = 0;
		watch->lost = false;
		watch->attempts = watch->failed_ms = 0;
		watch->since_ms = world->now_ms;
		watch->healthy_ms = watch->round_ms = 0;
	}
}

void promises_on_restart(struct world *world)
{
	for (size_t i = 0; i < world->client_count; i++)
		world->clients[i].watch.phase = PHASE_PENDING;
}
