/* Promises about stages and about what starts. */
#include "tests/sim/promises.h"

/* A bake is watched: longer than this no client is without an answer. */
#define ROUND_SLOWEST_MS 2600

static size_t size_by(const struct batches *policy, int64_t members, size_t wave)
{
	const struct batch *batch = &policy->items[wave < policy->count ? wave : policy->count - 1];
	int64_t size = batch->percent ? members * batch->size / 100 : batch->size;
	return size < 1 ? 1 : (size_t)size;
}

size_t wave_size(const struct world *world, size_t stage, size_t wave)
{
	const struct sim_stage *policy = &world->commit->stages[stage];
	int64_t members = (int64_t)world_rollout(world)->stages[stage].count;
	size_t size = size_by(&policy->batch, members, wave);
	size_t old = policy->old_batch.count ? size_by(&policy->old_batch, members, wave) : size;
	return old < size ? old : size;
}

/* What is left of the wave that comes when so many were started. */
static size_t wave_room(const struct world *world, size_t stage, size_t started)
{
	size_t end = 0;
	for (size_t wave = 0; end <= started; wave++)
		end += wave_size(world, stage, wave);
	return end - started;
}

static size_t largest_wave(const struct world *world, size_t stage)
{
	size_t largest = 0;
	for (size_t wave = 0; wave < BATCHES_MAX; wave++)
		if (wave_size(world, stage, wave) > largest)
			largest = wave_size(world, stage, wave);
	return largest;
}

static bool was_started(const struct watch *watch)
{
	return (watch->touched || watch->intent_out) && !watch->returned;
}

size_t stage_unreachable(struct world *world, size_t stage)
{
	const struct rollout *rollout = world_rollout(world);
	size_t unreachable = 0;
	for (size_t i = 0; i < rollout->client_count; i++)
		unreachable += rollout->clients[i].stage == stage &&
			       rollout->clients[i].record->state == MEMBER_SKIPPED &&
			       was_started(&world_member(world, i)->watch);
	return unreachable;
}

size_t stage_failed(struct world *world, size_t stage)
{
	size_t failed = 0;
	for (size_t i = 0; i < world->client_count; i++)
		failed += world->clients[i].stage == stage && world->clients[i].watch.failed;
	return failed;
}

/* ---- what starts ------------------------------------------------------------------------------
 */

/* The canaries' health is on the branch: recorded first. */
static void check_canaries(struct world *world, size_t stage)
{
	const struct rollout *rollout = world_rollout(world);
	for (size_t s = 0; s < stage; s++) {
		size_t healthy = 0, members = 0;
		demand(world, !world->blocked[s],
			"promise 1, canary first: a stage starts behind a held client");
		for (size_t i = 0; i < rollout->client_count; i++) {
			if (rollout->clients[i].stage != s)
				continue;
			const struct member_record *member = rollout->clients[i].record;
			const struct client_record *record =
				status_client(world->branch, member->client);
			members++;
			healthy += record && record->state == CLIENT_HEALTHY &&
				   !strcmp(record->known_good.release, member->to) &&
				   !strcmp(record->current.rollout, rollout->record.id);
		}
		demand(world, !members || healthy,
			"promise 1, canary first: no client of the stage before is known good");
		demand(world,
			stage_failed(world, s) <= (size_t)world->commit->stages[s].max_failures,
			"promise 1, canary first: too many failed in the stage before");
		demand(world,
			stage_unreachable(world, s) <=
				(size_t)world->commit->stages[s].max_unreachable,
			"promise 1, canary first: too many were not reached in the stage before");
		demand(world,
			rollout->stages[s].record->state == STAGE_SUCCEEDED ||
				rollout->stages[s].record->state == STAGE_SKIPPED,
			"promise 1, canary first: the stage before has not ended");
	}
}

static bool is_in_flight(const struct sim_client *client)
{
	const struct watch *watch = &client->watch;
	return was_started(watch) && !watch->proved && watch->phase != PHASE_DONE &&
	       watch->phase != PHASE_AWAY && !watch->finals;
}

/* Whoever was started before, in this life or in another one. */
static size_t stage_started(struct world *world, size_t stage)
{
	size_t started = 0;
	for (size_t i = 0; i < world->client_count; i++)
		started +=
			world->clients[i].stage == stage && was_started(&world->clients[i].watch);
	return started;
}

static bool is_approved(const struct world *world, const char *what)
{
	const struct rollout_record *record = status_rollout(world->branch, world->rollout);
	for (size_t i = 0; record && i < record->approval_count; i++)
		if (!strcmp(record->approvals[i].what, what))
			return true;
	return false;
}

/* What a person or the clock must allow. */
static void check_gates(struct world *world, size_t stage)
{
	const struct sim_stage *policy = &world->commit->stages[stage];
	size_t before = stage_started(world, stage);
	demand(world, !world->closed[stage] || world->yes_to_now[stage],
		"windows: a wave starts outside of them");
	demand(world, !policy->manual || world->yes_to_stage[stage],
		"promise 1, canary first: a stage starts that nobody approved");
	demand(world, !world->over_limit || world->yes_to_limit,
		"max_changed: a wave starts that nobody approved");
	demand(world, !before || world->now_ms >= world->settled_ms + policy->wave_pause_ms,
		"promise 2, blast radius: a wave starts before its pause is over");
}

void check_starts(struct world *world, const struct rollout_actions *actions)
{
	const struct rollout *rollout = world_rollout(world);
	const struct status *known = world->service->loop->status;
	size_t started = 0, in_flight = 0, stage = SIZE_MAX;
	for (size_t i = 0; i < actions->count; i++) {
		const struct rollout_action *action = &actions->items[i];
		if (action->kind != ACTION_RECORD || action->fact != FACT_CLIENT_STARTED)
			continue;
		const char *name = rollout->clients[action->client].record->client;
		const struct client_record *record = status_client(known, name);
		demand(world, !known->asked.pause.paused && !(record && record->pause.paused),
			"pause: %s is started", name);
		demand(world, !world->superseded, "superseded: %s is started", name);
		demand(world, !rollout->stopping, "stopping: %s is started", name);
		demand(world, stage == SIZE_MAX || stage == action->stage,
			"promise 2, blast radius: two stages start");
		stage = action->stage;
		started++;
	}
	if (!started)
		return;
	for (size_t i = 0; i < world->client_count; i++)
		in_flight += is_in_flight(&world->clients[i]);
	demand(world, !in_flight, "promise 2, blast radius: a wave starts while another runs");
	check_gates(world, stage);
	size_t room = wave_room(world, stage, stage_started(world, stage));
	demand(world, started <= room,
		"promise 2, blast radius: %zu clients start, and %zu are left of the wave", started,
		room);
	demand(world, !world->aborted, "aborted: a wave starts");
	demand(world,
		stage_failed(world, stage) <= (size_t)world->commit->stages[stage].max_failures,
		"promise 2, blast radius: a wave starts past max_failures");
	for (size_t i = 0; i < actions->count; i++) {
		if (actions->items[i].kind != ACTION_RECORD ||
			actions->items[i].fact != FACT_CLIENT_STARTED)
			continue;
		struct watch *watch = &world_member(world, actions->items[i].client)->watch;
		watch->intent_out = true;
		watch->returned = false;
	}
}

/* ---- activations ------------------------------------------------------------------------------
 */

void check_recorded_first(struct world *world, const struct sim_client *client)
{
	const struct client_record *record = status_client(world->branch, client->name);
	const char *id = world_rollout(world)->record.id;
	demand(world, record && !strcmp(record->current.rollout, id) && client->watch.touched,
		"promise 4, recorded first: %s is touched before the remote accepted it",
		client->name);
	demand(world, record && record->state != CLIENT_WAITING,
		"promise 4, recorded first: %s is touched while it is told to be away",
		client->name);
	demand(world, record && record->ended == MEMBER_PENDING && !client->watch.finals,
		"promise 6, crash-safe: %s is touched after its final record", client->name);
	demand(world, record && (!record->known_good.release[0] || record->rollback_tag),
		"promise 4, recorded first: %s is touched without its rollback tag", client->name);
	demand(world, status_rollout(world->branch, id) != NULL,
		"promise 4, recorded first: the rollout is not on the branch");
}

static void check_radius(struct world *world, const struct sim_client *client)
{
	size_t in_flight = 0;
	for (size_t i = 0; i < world->client_count; i++) {
		const struct sim_client *other = &world->clients[i];
		if (!is_in_flight(other))
			continue;
		in_flight++;
		demand(world, other->stage == client->stage,
			"promise 2, blast radius: two stages are in flight");
	}
	demand(world, in_flight <= largest_wave(world, client->stage),
		"promise 2, blast radius: %zu clients in flight", in_flight);
	/* An activation that a crash interrupted is ended, whatever became of the others. */
	bool fresh = is_fresh(world, client);
	demand(world,
		!fresh || stage_failed(world, client->stage) <=
				  (size_t)world->commit->stages[client->stage].max_failures,
		"promise 2, blast radius: %s starts past max_failures", client->name);
}

static void check_need(struct world *world, size_t member, struct sim_client *client)
{
	const char *to = world_rollout(world)->clients[member].record->to;
	bool runs = client->host.version == release_version(to) && !client->host.activating;
	demand(world, !client->watch.failed,
		"promise 3, automatic rollback: %s failed and is activated again", client->name);
	demand(world, !runs || client->host.away || client->restored || client->watch.doubted,
		"promise 6, crash-safe: %s is activated, though it runs the release already",
		client->name);
	demand(world, !client->watch.starts++, "promise 6, crash-safe: %s is activated twice",
		client->name);
	demand(world,
		!client->watch.attempts || client->host.away ||
			world->now_ms >= client->watch.failed_ms + 1000,
		"retries: %s is tried again at once", client->name);
}

void check_may_start(struct world *world, struct sim_client *client)
{
	const struct loop *loop = world->service->loop;
	demand(world, !loop->queued_of_rollout && !loop->sent_of_rollout,
		"promise 4, recorded first: %s starts while facts are not accepted", client->name);
	/* An activation that was interrupted is ended: what runs must be known. */
	bool fresh = is_fresh(world, client);
	demand(world, !fresh || !world->superseded, "superseded: %s is activated", client->name);
	demand(world, !loop->stopping, "stopping: %s is activated", client->name);
	demand(world, !fresh || !world->aborted, "aborted: %s is activated", client->name);
	demand(world,
		!world->commit->stages[client->stage].manual ||
			is_approved(world, loop->rollout->stages[client->stage].record->name),
		"promise 4, recorded first: %s starts before its approval is accepted",
		client->name);
	demand(world, !world->over_limit || is_approved(world, APPROVES_LIMIT),
		"promise 4, recorded first: %s starts before its approval is accepted",
		client->name);
	check_canaries(world, client->stage);
	check_radius(world, client);
}

static void check_activation(struct world *world, size_t member)
{
	struct sim_client *client = world_member(world, member);
	demand(world, !hosts_are_busy(world, client_index(client->name), world->service),
		"promise 6, crash-safe: two steps at once on %s", client->name);
	check_recorded_first(world, client);
	if (world->service->loop->rollout->clients[member].phase == PHASE_BACK)
		return;
	check_may_start(world, client);
	check_need(world, member, client);
	if (is_fresh(world, client))
		check_backup(world, member);
}

/* Another one leads, and it does not know yet: what was accepted of it before is brought to an end,
 * until the new leader has come to the host. */
static void check_overtaken(struct world *world, const struct service *service, size_t member)
{
	const struct rollout *rollout = service->loop->rollout;
	const struct sim_client *client =
		&world->clients[client_index(rollout->clients[member].record->client)];
	demand(world,
		client->host.epoch > service->loop->epoch || /* it is refused there */
			(client->intent_epoch <= service->epoch &&
				!strcmp(client->intent_of, rollout->record.id)),
		"leadership: %s starts %s, and %s leads", service->instance, client->name,
		world->service->instance);
}

/* Whoever touches a host must be the one who leads. */
void check_leads(struct world *world, const struct service *service)
{
	demand(world, service->loop->epoch == service->epoch,
		"leadership: %s acts before the remote has accepted that it leads",
		service->instance);
	demand(world, service->loop->leads && !service->loop->stands_by,
		"leadership: %s acts, and stands by", service->instance);
}

void promises_on_activate(struct world *world, const struct service *service, size_t member)
{
	check_leads(world, service);
	if (service == world->service)
		check_activation(world, member);
	else
		check_overtaken(world, service, member);
}

/* ---- stages -----------------------------------------------------------------------------------
 */

static void check_bake(struct world *world, size_t stage, const struct sim_client *client)
{
	const struct watch *watch = &client->watch;
	int64_t bake_ms = world->bake_ms[stage];
	int64_t interval_ms = world->commit->interval_ms;
	demand(world, world->now_ms >= watch->healthy_ms + bake_ms && watch->healthy_ms,
		"promise 1, canary first: %s was watched for %lld ms of a bake of %lld",
		client->name, (long long)(world->now_ms - watch->healthy_ms), (long long)bake_ms);
	int64_t seen_ms = watch->round_ms > world->baking_ms[stage] ? watch->round_ms
								    : world->baking_ms[stage];
	demand(world,
		client->no_checks || world->stages[stage] != STAGE_BAKING ||
			world->slept_ms >= watch->healthy_ms ||
			world->now_ms - seen_ms <= interval_ms + ROUND_SLOWEST_MS,
		"promise 1, canary first: nobody looked at %s in its bake", client->name);
}

static void check_succeeded(struct world *world, size_t stage)
{
	const struct rollout *rollout = world_rollout(world);
	size_t healthy = 0;
	for (size_t i = 0; i < rollout->client_count; i++) {
		const struct rollout_client *client = &rollout->clients[i];
		struct sim_client *about = world_member(world, i);
		if (client->stage != stage)
			continue;
		bool left_out =
			client->phase == PHASE_PENDING || client->record->state == MEMBER_SKIPPED;
		demand(world, client->phase == PHASE_DONE || (left_out && client->paused),
			"promise 1, canary first: the stage ends before %s does", about->name);
		demand(world, !left_out || client->paused || client->unreachable,
			"promise 6, crash-safe: %s is left out", about->name);
		about->watch.left_out = left_out && client->paused;
		if (client->record->state != MEMBER_HEALTHY)
			continue;
		healthy++;
		check_bake(world, stage, about);
	}
	demand(world, healthy, "promise 1, canary first: a stage succeeds without any client");
	demand(world,
		stage_unreachable(world, stage) <=
			(size_t)world->commit->stages[stage].max_unreachable,
		"promise 1, canary first: a stage succeeds past max_unreachable");
	demand(world,
		stage_failed(world, stage) <= (size_t)world->commit->stages[stage].max_failures,
		"promise 3, automatic rollback: a stage succeeds past max_failures");
}

/* A stage fails past max_failures, or when nobody is left who could be healthy. */
static void check_failed(struct world *world, size_t stage)
{
	const struct rollout *rollout = world_rollout(world);
	size_t left = 0;
	for (size_t i = 0; i < rollout->client_count; i++) {
		const struct rollout_client *client = &rollout->clients[i];
		bool waits = client->paused && !world_member(world, i)->watch.touched;
		left += client->stage == stage &&
			(client->record->state == MEMBER_HEALTHY || waits);
	}
	demand(world,
		!left || stage_failed(world, stage) >
				 (size_t)world->commit->stages[stage].max_failures,
		"max_failures: a stage fails within them");
}

void check_stages(struct world *world)
{
	const struct rollout *rollout = world_rollout(world);
	for (size_t s = 0; s < rollout->stage_count; s++) {
		enum stage_state state = rollout->stages[s].record->state;
		if (state == world->stages[s])
			continue;
		if (state == STAGE_BAKING)
			world->baking_ms[s] = world->now_ms;
		if (state == STAGE_SUCCEEDED)
			check_succeeded(world, s);
		if (state == STAGE_FAILED)
			check_failed(world, s);
		if (state == STAGE_SKIPPED)
			demand(world, !rollout->stages[s].count || rollout->ended,
				"promise 6, crash-safe: a stage with clients is skipped");
		world->stages[s] = state;
	}
}
