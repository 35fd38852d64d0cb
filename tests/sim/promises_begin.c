/* Promises about the begin of a rollout, and what the others must know then. */
#include "tests/sim/promises.h"

/* Clients that hold back every later stage: held, or all that changes there is paused. */
static void find_blocked(struct world *world)
{
	const struct rollout *rollout = world_rollout(world);
	const struct plan *plan = world->service->loop->plan;
	for (size_t s = 0; s < world->stage_count; s++)
		world->blocked[s] = false;
	for (size_t i = 0; plan && !rollout->record.by_hand && i < plan->entry_count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		if (entry->stage >= world->stage_count)
			continue;
		bool member = false;
		for (size_t m = 0; m < rollout->client_count; m++)
			member |= !strcmp(rollout->clients[m].record->client, entry->client);
		bool alone = !rollout->stages[entry->stage].count;
		bool waits = entry->action == PLAN_PAUSED || entry->action == PLAN_PINNED;
		if (!member && (entry->action == PLAN_HELD || (waits && alone)))
			world->blocked[entry->stage] = true;
	}
}

/* Has a person said that failures up to this rollout count no more? */
static bool is_forgiven(const struct world *world, const struct sim_client *client, const char *id)
{
	return strcmp(id, world->forgiven) <= 0 || strcmp(id, client->forgiven) <= 0;
}

/* The newest rollout of the commit on the branch, if it did not end well. */
static const struct rollout_record *failed_before(const struct world *world)
{
	for (size_t i = 0; i < world->branch->rollout_count; i++) {
		const struct rollout_record *record = world->branch->rollouts[i];
		if (!record->by_hand && !strcmp(record->commit, world->commit->id))
			return rollout_state_holds(record->state) ? record : NULL;
	}
	return NULL;
}

/* Nothing is tried again by itself that failed: neither the commit nor a client's release. What a
 * person sent a client back from is not wanted of it again either. */
static void check_hold(struct world *world)
{
	const struct rollout *rollout = world_rollout(world);
	const struct sim_commit *commit = world->commit;
	const struct rollout_record *failed = failed_before(world);
	if (rollout->record.by_hand)
		return; /* a person chose the release */
	for (size_t i = 0; i < world->client_count; i++)
		if (world->clients[i].hold_known && commit->wanted[i] != VERSION_NONE &&
			commit->wanted[i] != world->clients[i].hold_version)
			world->clients[i].hold_known = false;
	for (size_t i = 0; i < rollout->client_count; i++) {
		const struct sim_client *client = world_member(world, i);
		bool stays = rollout->clients[i].record->commit[0]; /* pinned: only verified */
		demand(world, !client->hold_known || stays,
			"hold: %s is started again on a release that it is held from",
			client->name);
		demand(world, !failed || is_forgiven(world, client, failed->id),
			"hold: a commit whose rollout failed is rolled out again");
	}
}

/* A pinned client stays on what it ran. That may be verified; what nobody knows the state of, or
 * what runs nothing, gets what is wanted. */
static void check_pins(struct world *world)
{
	const struct rollout *rollout = world_rollout(world);
	for (size_t i = 0; i < rollout->client_count && !rollout->record.by_hand; i++) {
		const struct member_record *member = rollout->clients[i].record;
		size_t index = client_index(member->client);
		const struct client_record *record =
			status_client(world->service->loop->status, member->client);
		bool known = record && record->current.release[0] && !record->unsure;
		bool wanted = release_version(member->to) == world->commit->wanted[index];
		demand(world,
			!world->commit->pinned[index] || !known || rollout->resumed ||
				!strcmp(record->current.release, member->to),
			"pins: %s is moved to another release", member->client);
		demand(world, wanted || (member->commit[0] && world->commit->pinned[index]),
			"pins: %s is not moved to what is wanted of it", member->client);
		if (!wanted) /* promised of it is what it is verified on */
			world->effective.wanted[index] = release_version(member->to);
	}
}

/* Does everybody who changes in the stage go back to what was known good there? */
static bool only_goes_back(struct world *world, size_t stage)
{
	const struct rollout *rollout = world_rollout(world);
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
	const struct rollout *rollout = world_rollout(world);
	const struct sim_commit *commit = world->commit;
	size_t changed = 0;
	for (size_t i = 0; i < rollout->client_count; i++)
		changed += rollout->clients[i].record->action != PLAN_ONBOARD;
	world->over_limit =
		!rollout->record.by_hand &&
		changed * 100 > (size_t)commit->max_changed * world->branch->client_count;
	for (size_t s = 0; s < world->stage_count; s++)
		world->bake_ms[s] = only_goes_back(world, s) ? commit->stages[s].rollback_bake_ms
							     : commit->stages[s].bake_ms;
}

/* Who runs the wanted release already has begun with it, whatever becomes of this rollout. */
static bool runs_wanted(const struct world *world, size_t client)
{
	return world->clients[client].host.version == world->commit->wanted[client];
}

static void begin_new(struct world *world, bool adopted)
{
	const struct rollout *rollout = world_rollout(world);
	demand(world, rollout->resumed || !status_running(world->branch),
		"promise 2, blast radius: two rollouts run");
	demand(world,
		rollout->record.by_hand || adopted || rollout->resumed ||
			!strcmp(rollout->record.commit, world_head(world)->id),
		"promise 5, level-triggered: not the newest commit is rolled out");
	if (!rollout->resumed)
		check_hold(world);
	memcpy(world->rollout, rollout->record.id, sizeof(world->rollout));
	world->rollouts++;
	world->aborted = world->yes_to_limit = false;
	memset(world->yes_to_stage, 0, sizeof(world->yes_to_stage));
	memset(world->yes_to_now, 0, sizeof(world->yes_to_now));
	for (size_t i = 0; i < world->client_count; i++) {
		struct sim_client *client = &world->clients[i];
		const struct client_record *record = status_client(world->branch, client->name);
		client->watch = (struct watch){.good_version = VERSION_NONE};
		if (record)
			client->watch.good_version = release_version(record->known_good.release);
		client->watch.ran = runs_wanted(world, i);
		client->watch.backed_up = record && strstr(record->backup.name, world->rollout);
		client->restored = record && record->unsure;
		/* a push that came late, of a service that died, has begun it */
		client->watch.touched =
			record && !strcmp(record->current.rollout, rollout->record.id);
		client->watch.finals = client->watch.touched && record->ended;
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

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void make_stricter(struct sim_stage *stage, const struct sim_stage *old)
{
	stage->old_batch = old->batch;
	stage->bake_ms = most(stage->bake_ms, old->bake_ms);
	stage->rollback_bake_ms = most(stage->rollback_bake_ms, old->rollback_bake_ms);
	stage->wave_pause_ms = most(stage->wave_pause_ms, old->wave_pause_ms);
	stage->max_failures = least(stage->max_failures, old->max_failures);
	stage->max_unreachable = least(stage->max_unreachable, old->max_unreachable);
	if (old->manual && !stage->manual)
		stage->expires_ms = old->expires_ms;
	stage->manual = stage->manual || old->manual;
}

/* What is promised of this rollout: the stricter of the old and the new policy. */
static void find_policy(struct world *world)
{
	const struct rollout *rollout = world_rollout(world);
	const struct sim_commit *commit = world_commit(world, rollout->record.commit);
	const struct sim_commit *base = world_last_deployed(world, world->branch);
	struct sim_commit *effective = &world->effective;
	bool lost = !world->service->loop->plan;
	bool told = world->events_text && !strcmp(world->events_of, rollout->record.id);
	world->commit = effective;
	world->unplanned = lost && !told;
	if (lost && told && !strcmp(rollout->record.id, world->rollout))
		return; /* its events tell what its policy was, also if the old one is gone too */
	*effective = *commit;
	if (world->unplanned) { /* as without a fleet.yaml */
		effective->retries = 0;
		effective->interval_ms = 5000;
		effective->healthy = 3;
		effective->timeout_ms = 300000;
		effective->roll_back = true;
		return;
	}
	if (!base || base->policy == commit->policy)
		return;
	for (size_t i = 0; i < world->stage_count; i++)
		make_stricter(&effective->stages[i], &base->stages[i]);
	effective->healthy = most(commit->healthy, base->healthy);
	effective->max_changed = least(commit->max_changed, base->max_changed);
}

void promises_begin_rollout(struct world *world, bool adopted)
{
	const struct rollout *rollout = world_rollout(world);
	bool new = !rollout->resumed || strcmp(rollout->record.id, world->rollout) != 0;
	world->superseded = world->aborted = false;
	world->clock_was_set = adopted; /* nobody saw since when it waits */
	find_policy(world);
	check_pins(world);
	world->by_hand = rollout->record.by_hand;
	if (!new)
		for (size_t i = 0; i < world->client_count; i++)
			world->clients[i].watch.phase = PHASE_PENDING;
	if (new)
		begin_new(world, adopted);
	if (rollout->resumed)
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
		if (watch->phase == PHASE_AWAY) { /* whatever a push that was lost said */
			watch->unreachable = true;
			watch->returned = false;
		}
		watch->good = adopted ? rollout->clients[i].good_rounds : 0;
		watch->bad = adopted ? rollout->clients[i].bad_rounds : 0;
		watch->starts = 0;
		watch->entry = adopted ? rollout->clients[i].step : 0;
		watch->unproved = rollout->clients[i].unproved;
		watch->stepped = watch->verified = false;
		/* a person is asked what was decided before */
		watch->unknown = watch->phase == PHASE_RESUME || watch->phase == PHASE_ASK;
		watch->lost = watch->doubted = false;
		watch->attempts = watch->failed_ms = 0;
		watch->since_ms = world->now_ms;
		watch->healthy_ms = watch->round_ms = 0;
	}
}
