/* Hosts: activations, rounds of checks, and what a host says it runs. */
#include "tests/sim/sim.h"

static enum quality quality_of(const struct sim_client *client)
{
	const struct sim_host *host = &client->host;
	if (host->version == VERSION_NONE)
		return QUALITY_BROKEN;
	if (host->by_way_back && client->way_back != QUALITY_GOOD)
		return client->way_back;
	return client->quality[host->version];
}

/* ---- activations ------------------------------------------------------------------------------
 */

static int64_t step_time(struct world *world)
{
	if (world->slow_steps) {
		world->slow_steps--;
		return 2500 + choose(world, STREAM_TIMES, 2500);
	}
	return 1 + choose(world, STREAM_TIMES, 300);
}

static uint8_t version_back(const struct world *world, const struct sim_client *client)
{
	const struct client_record *record = status_client(world->service.known, client->name);
	return record ? release_version(record->known_good.release) : VERSION_NONE;
}

static enum outcome outcome_before(struct world *world, const struct sim_client *client)
{
	if (client->host.away)
		return OUTCOME_UNREACHABLE;
	if (world->transient_steps) {
		world->transient_steps--;
		return OUTCOME_TRANSIENT;
	}
	if (world->unsure_steps) {
		world->unsure_steps--;
		return OUTCOME_UNSURE;
	}
	return OUTCOME_OK;
}

void hosts_activate(struct world *world, const struct rollout_action *action)
{
	size_t member = action->client;
	enum rollout_action_kind kind = action->kind;
	struct sim_client *client = world_member(world, member);
	const struct rollout *rollout = world->service.rollout;
	bool back = kind == ACTION_BACK;
	client->step = (struct sim_step){.running = true,
		.kind = kind,
		.order = action->order,
		.serial = world->service.serial,
		.done_ms = world->now_ms + step_time(world),
		.before = client->host,
		.outcome = outcome_before(world, client)};
	if (client->step.outcome == OUTCOME_UNREACHABLE ||
		client->step.outcome == OUTCOME_TRANSIENT)
		return;
	bool unsure = client->step.outcome == OUTCOME_UNSURE;
	if (unsure && chance(world, STREAM_OUTCOMES, 400))
		return; /* lost before it reached the host */
	client->host.version = back ? version_back(world, client)
				    : release_version(rollout->clients[member].record->to);
	client->host.by_way_back = back;
	client->host.activating = true;
	memcpy(client->host.rollout, rollout->record.id, sizeof(client->host.rollout));
	enum quality quality = quality_of(client);
	bool fails = quality == QUALITY_BROKEN ||
		     (quality == QUALITY_FLAKY && chance(world, STREAM_OUTCOMES, 100));
	if (unsure)
		client->host.activating = fails || chance(world, STREAM_OUTCOMES, 500);
	else if (fails)
		client->step.outcome = OUTCOME_FAILED;
}

static size_t member_of(const struct world *world, const struct sim_client *client)
{
	const struct rollout *rollout = world->service.rollout;
	for (size_t i = 0; rollout && i < rollout->client_count; i++)
		if (!strcmp(rollout->clients[i].record->client, client->name))
			return i;
	return SIZE_MAX;
}

/* Tell the service, now and perhaps a second time later. */
static void answer(struct world *world, struct rollout_event event)
{
	if (world->duplicates) {
		world->duplicates--;
		world->again = event;
		world->again_serial = world->service.serial;
		world->again_asked_ms = world->asked_ms;
		world->again_ms = world->now_ms + choose(world, STREAM_TIMES, 400);
	}
	service_feed(world, event);
}

static void answer_again(struct world *world)
{
	const struct service *service = &world->service;
	world->again_ms = NEVER;
	world->asked_ms = world->again_asked_ms;
	if (service->rollout && world->again_serial == service->serial) {
		tell(world, "the same answer comes again");
		world->repeats = true;
		service_feed(world, world->again);
		world->repeats = false;
	}
}

static void end_step(struct world *world, struct sim_client *client)
{
	struct service *service = &world->service;
	struct sim_step *step = &client->step;
	step->running = false;
	if (step->outcome == OUTCOME_OK) {
		client->host.activating = false;
		client->host.since_ms = world->now_ms;
	}
	if (step->orphan || !service->up)
		return;
	service->steps_running--;
	if (!service->rollout || step->serial != service->serial)
		return;
	size_t member = member_of(world, client);
	const struct rollout_event event = {
		.kind = step->outcome == OUTCOME_UNREACHABLE ? EVENT_UNREACHABLE
			: step->outcome == OUTCOME_UNSURE    ? EVENT_UNSURE
							     : EVENT_DEPLOYED,
		.client = member,
		.order = step->order,
		.ok = step->outcome == OUTCOME_OK,
		.transient = step->outcome == OUTCOME_TRANSIENT,
		.text = "activate failed"};
	answer(world, event);
}

/* ---- rounds and questions ---------------------------------------------------------------------
 */

static bool round_is_good(struct world *world, const struct sim_client *client)
{
	if (client->host.away)
		return false;
	switch (quality_of(client)) {
	case QUALITY_GOOD:
		return world->chapter == CHAPTER_RESCUE || !chance(world, STREAM_OUTCOMES, 20);
	case QUALITY_FLAKY:
		return !chance(world, STREAM_OUTCOMES, 500);
	case QUALITY_LATE:
		return world->now_ms < client->host.since_ms + 900;
	case QUALITY_SICK:
		return chance(world, STREAM_OUTCOMES, 50);
	default:
		return false;
	}
}

void hosts_ask(struct world *world, const struct rollout_action *action)
{
	enum rollout_action_kind kind = action->kind;
	struct sim_client *client = world_member(world, action->client);
	struct sim_round *round = &client->rounds[0];
	bool slow = world->chapter != CHAPTER_RESCUE && chance(world, STREAM_TIMES, 15);
	if (round->running) /* the machine does not wait for it any more: it will be late */
		client->rounds[1] = *round;
	*round = (struct sim_round){.running = true,
		.kind = kind,
		.order = action->order,
		.serial = world->service.serial,
		.begun_ms = world->now_ms,
		.good = kind == ACTION_ROUND && round_is_good(world, client),
		.done_ms = world->now_ms + 1 + choose(world, STREAM_TIMES, slow ? 2500 : 60)};
	/* whoever asks a host waits for an activation that is under way there */
	if (kind == ACTION_ASK && client->step.running && round->done_ms <= client->step.done_ms)
		round->done_ms = client->step.done_ms + 1;
}

static enum rollout_runs what_runs(const struct world *world, const struct sim_client *client)
{
	const struct sim_host *host = &client->host;
	const struct rollout *rollout = world->service.rollout;
	size_t member = member_of(world, client);
	const char *to = rollout->clients[member].record->to;
	if (strcmp(host->rollout, rollout->record.id) != 0)
		return RUNS_UNTOUCHED;
	if (host->version == release_version(to))
		return host->activating ? RUNS_TARGET_UNSURE : RUNS_TARGET;
	if (host->version == version_back(world, client))
		return host->activating ? RUNS_BACK_UNSURE : RUNS_BACK;
	return RUNS_UNKNOWN;
}

static void end_round(struct world *world, struct sim_client *client, struct sim_round *round)
{
	struct service *service = &world->service;
	struct sim_round done = *round;
	round->running = false;
	service->steps_running -= done.kind == ACTION_ASK;
	if (!service->rollout || done.serial != service->serial)
		return;
	struct rollout_event event = {.kind = EVENT_ROUND,
		.client = member_of(world, client),
		.order = done.order,
		.ok = done.good,
		.text = "status 500"};
	if (done.kind == ACTION_ASK) {
		event.kind = EVENT_RUNS;
		event.ok = !client->host.away && (world->chapter == CHAPTER_RESCUE ||
							 !chance(world, STREAM_OUTCOMES, 100));
		event.runs = event.ok ? what_runs(world, client) : RUNS_UNKNOWN;
		event.text = "no answer";
	}
	world->asked_ms = done.begun_ms;
	answer(world, event);
}

/* ---- time -------------------------------------------------------------------------------------
 */

int64_t hosts_next_ms(const struct world *world)
{
	int64_t next = world->again_ms;
	for (size_t i = 0; i < world->client_count; i++) {
		const struct sim_client *client = &world->clients[i];
		if (client->step.running && client->step.done_ms < next)
			next = client->step.done_ms;
		for (size_t k = 0; k < ARRAY_LEN(client->rounds); k++)
			if (client->rounds[k].running && client->rounds[k].done_ms < next)
				next = client->rounds[k].done_ms;
	}
	return next;
}

void hosts_happen(struct world *world)
{
	if (world->now_ms >= world->again_ms) {
		answer_again(world);
		return;
	}
	for (size_t i = 0; i < world->client_count; i++) {
		struct sim_client *client = &world->clients[i];
		if (client->step.running && world->now_ms >= client->step.done_ms) {
			end_step(world, client);
			return;
		}
		for (size_t k = 0; k < ARRAY_LEN(client->rounds); k++)
			if (client->rounds[k].running &&
				world->now_ms >= client->rounds[k].done_ms) {
				end_round(world, client, &client->rounds[k]);
				return;
			}
	}
}

bool hosts_are_busy(const struct world *world)
{
	for (size_t i = 0; i < world->client_count; i++)
		if (world->clients[i].step.running)
			return true;
	return false;
}

/* A child goes on, or ends with the service: before or after it touched the host. */
void hosts_after_crash(struct world *world)
{
	for (size_t i = 0; i < world->client_count; i++) {
		struct sim_client *client = &world->clients[i];
		client->rounds[0].running = client->rounds[1].running = false;
		if (!client->step.running)
			continue;
		client->step.orphan = true;
		uint32_t fate = choose(world, STREAM_OUTCOMES, 4);
		if (fate < 2)
			client->step.running = false;
		if (fate == 1)
			client->host = client->step.before;
		if (fate == 1)
			tell(world, "%s: nothing was touched yet", client->name);
	}
}
