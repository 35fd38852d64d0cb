/* One run: trouble, then calm, then perhaps a commit that must bring everything in order. */
#include "tests/sim/sim.h"

static int64_t earliest(const struct world *world)
{
	int64_t next = hosts_next_ms(world), service = service_next_ms(world);
	if (service < next)
		next = service;
	return world->webhook_ms < next ? world->webhook_ms : next;
}

static void one_event(struct world *world)
{
	int64_t next = earliest(world);
	if (next > world->now_ms)
		world->now_ms = next;
	world->events++;
	if (world->now_ms >= world->webhook_ms) {
		world->webhook_ms = NEVER;
		tell(world, "a webhook says: look again");
		service_look(world);
	} else if (hosts_next_ms(world) <= world->now_ms) {
		hosts_happen(world);
	} else {
		service_happen(world);
	}
	service_settle(world);
}

/* Hosts that are away are asked for ever: that is rest, until somebody brings them back. */
static bool waits_for_hosts(const struct world *world)
{
	const struct service *service = &world->service;
	if (world->chapter != CHAPTER_TROUBLE || !service->up || !service->rollout)
		return false;
	return service->rollout->waits == WAIT_HOSTS && !service->rollout->unrecorded &&
	       !service->steps_running && !service->look_wanted && service->look_ms == NEVER &&
	       world->webhook_ms == NEVER;
}

/* Rounds go on while a person or a window is waited for: nothing else has happened for long. */
static bool only_watches(const struct world *world)
{
	return world->chapter == CHAPTER_TROUBLE &&
	       world->events > world->told_at + 300 + 100 * world->client_count;
}

static bool is_at_rest(const struct world *world)
{
	if (waits_for_hosts(world) || only_watches(world))
		return true;
	return earliest(world) == NEVER && service_is_quiet(world);
}

/* Hosts are there, people resume what they paused, the remote answers. */
static void calm_down(struct world *world)
{
	tell(world, "-- calm --");
	world->chapter = CHAPTER_CALM;
	world->pushes_fail = world->slow_steps = 0;
	world->transient_steps = world->unsure_steps = 0;
	for (size_t i = 0; i < world->stage_count; i++)
		service_window(world, i, true);
	world->service.crash_in = 0;
	world->others_moved = false;
	world->duplicates = 0;
	for (size_t i = 0; i < world->client_count; i++)
		world->clients[i].host.away = false;
	if (world_head(world)->bad)
		world_push_commit(world, false);
	service_look(world);
}

static void rescue(struct world *world)
{
	tell(world, "-- a commit that is good for everybody --");
	world->chapter = CHAPTER_RESCUE;
	world_push_commit(world, true);
	service_look(world);
}

/* @return false: somebody was still paused, and the run goes on */
static bool resume_all(struct world *world)
{
	const struct status *branch = world->branch;
	bool any = branch->asked.pause.paused;
	service_pause(world, SIZE_MAX, false);
	for (size_t i = 0; i < world->client_count; i++) {
		const struct client_record *record = status_client(branch, world->clients[i].name);
		any |= record && record->pause.paused;
		service_pause(world, i, false);
	}
	service_settle(world);
	return any;
}

static void rest(struct world *world)
{
	if (world->chapter == CHAPTER_TROUBLE) {
		calm_down(world);
	} else if (!resume_all(world)) {
		promises_at_rest(world);
		if (world->chapter == CHAPTER_CALM && chance(world, STREAM_WORLD, 500))
			rescue(world);
		else
			world->chapter = CHAPTER_OVER;
	}
	service_settle(world);
}

static bool is_asked_in_calm(const struct world *world)
{
	const struct service *service = &world->service;
	return world->chapter != CHAPTER_TROUBLE && service_may_approve(world) &&
	       !service->rollout->unrecorded;
}

bool run(struct world *world)
{
	world_begin(world);
	trouble_plan(world);
	service_boot(world);
	service_settle(world);
	while (world->chapter != CHAPTER_OVER && !world->broken[0]) {
		bool quiet = is_at_rest(world);
		if (world->troubles_left && (quiet || world->events >= world->trouble_at)) {
			trouble_happen(world);
			service_settle(world);
		} else if (is_asked_in_calm(world)) {
			service_approve(world);
			service_settle(world);
		} else if (quiet) {
			rest(world);
		} else {
			one_event(world);
		}
		demand(world, world->events < world->event_limit,
			"promise 6, crash-safe: the run never comes to rest");
	}
	world_clear(world);
	return !world->broken[0];
}
