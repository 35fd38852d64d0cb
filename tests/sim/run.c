/* One run: trouble, then calm, then perhaps a commit that must bring everything in order. */
#include "tests/sim/sim.h"

static int64_t earliest(const struct world *world)
{
	int64_t next = hosts_next_ms(world);
	for (size_t i = 0; i < world->service_count; i++) {
		int64_t service_ms = service_next_ms(world, &world->services[i]);
		next = service_ms < next ? service_ms : next;
	}
	next = world->ghost_ms < next ? world->ghost_ms : next;
	return world->webhook_ms < next ? world->webhook_ms : next;
}

/* Whichever service has waited longest. */
static struct service *next_service(struct world *world)
{
	struct service *first = &world->services[0];
	for (size_t i = 1; i < world->service_count; i++)
		if (service_next_ms(world, &world->services[i]) < service_next_ms(world, first))
			first = &world->services[i];
	return first;
}

static void one_event(struct world *world, int64_t next)
{
	if (next > world->now_ms)
		world->now_ms = next;
	world->events++;
	if (world->now_ms >= world->webhook_ms) {
		world->webhook_ms = NEVER;
		tell(world, "a webhook says: look again");
		service_look(world);
	} else if (world->now_ms >= world->ghost_ms) {
		remote_ghost_lands(world);
	} else if (hosts_next_ms(world) <= world->now_ms) {
		hosts_happen(world);
	} else {
		service_happen(world, next_service(world));
	}
}

static bool looks_or_pushes(const struct world *world)
{
	for (size_t i = 0; i < world->service_count; i++) {
		const struct service *service = &world->services[i];
		if (!service->loop || service->loop->look_wanted ||
			remote_next_ms(service) != NEVER || service->loop->steps_running)
			return true;
	}
	return false;
}

/* Hosts that are away are asked for ever: that is rest, until somebody brings them back. */
static bool waits_for_hosts(const struct world *world)
{
	const struct rollout *rollout = world_rollout(world);
	return world->chapter == CHAPTER_TROUBLE && rollout && rollout->waits == WAIT_HOSTS &&
	       !rollout->unrecorded && !looks_or_pushes(world) && world->webhook_ms == NEVER;
}

/* Rounds go on while a person or a window is waited for: nothing else has happened for long. */
static bool only_watches(const struct world *world)
{
	return world->chapter == CHAPTER_TROUBLE &&
	       world->events > world->told_at + 300 + 100 * world->client_count;
}

static bool is_at_rest(const struct world *world, int64_t next)
{
	if (waits_for_hosts(world) || only_watches(world))
		return true;
	if (next != NEVER)
		return false;
	for (size_t i = 0; i < world->service_count; i++)
		if (!service_is_quiet(world, &world->services[i]))
			return false;
	return true;
}

/* Hosts are there, people resume what they paused, the remote answers. */
static void calm_down(struct world *world)
{
	tell(world, "-- calm --");
	world->chapter = CHAPTER_CALM;
	world->pushes_fail = world->looks_fail = world->slow_steps = 0;
	world->transient_steps = world->unsure_steps = 0;
	for (size_t i = 0; i < world->stage_count; i++)
		service_window(world, i, true);
	for (size_t i = 0; i < world->service_count; i++)
		world->services[i].crash_in = 0;
	world->others_moved = OTHERS_STILL;
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
	world->drift_asked = false;
	world_push_commit(world, true);
	service_look(world);
}

/* @return false: somebody was still paused, and the run goes on */
static bool resume_all(struct world *world)
{
	bool any = world->branch->asked.pause.paused;
	if (any)
		service_ask(world, REQUEST_RESUME, NULL);
	for (size_t i = 0; i < world->client_count; i++) {
		const struct client_record *record =
			status_client(world->branch, world->clients[i].name);
		if (!record || !record->pause.paused)
			continue;
		any = true;
		service_ask(world, REQUEST_RESUME, world->clients[i].name);
	}
	return any;
}

/* Of clients that failed nobody knows. */
static bool anybody_is_known(const struct world *world)
{
	const struct status *status = world->service->loop->status;
	for (size_t i = 0; i < status->client_count; i++)
		if (status->clients[i]->current.release[0] && !status->clients[i]->unsure)
			return true;
	return false;
}

/* Do the hosts run what the branch says? Nobody but us has touched them. @return false: asked */
static bool ask_for_drift(struct world *world)
{
	struct loop *loop = world->service->loop;
	if (world->drift_asked || !loop || !loop->leads || !anybody_is_known(world))
		return false;
	world->drift_asked = true;
	loop->drift.interval_ms = 1000;
	loop->drift.next_ms = world->now_ms;
	return true;
}

static void rest(struct world *world)
{
	if (world->chapter == CHAPTER_TROUBLE) {
		calm_down(world);
	} else if (!resume_all(world) && !ask_for_drift(world)) {
		promises_at_rest(world);
		if (world->chapter == CHAPTER_CALM && chance(world, STREAM_WORLD, 500))
			rescue(world);
		else
			world->chapter = CHAPTER_OVER;
	}
}

static bool is_asked_in_calm(const struct world *world)
{
	return world->chapter != CHAPTER_TROUBLE && service_may_approve(world) &&
	       !world_rollout(world)->unrecorded;
}

bool run(struct world *world)
{
	stand_ins_use(world);
	world_begin(world);
	trouble_plan(world);
	service_boot(world, &world->services[0]);
	while (world->chapter != CHAPTER_OVER && !world->broken[0]) {
		int64_t next = earliest(world);
		bool quiet = is_at_rest(world, next);
		if (world->troubles_left && (quiet || world->events >= world->trouble_at))
			trouble_happen(world);
		else if (is_asked_in_calm(world))
			service_ask(world, REQUEST_APPROVE, world_rollout(world)->record.id);
		else if (quiet)
			rest(world);
		else
			one_event(world, next);
		demand(world, world->events < world->event_limit,
			"promise 6, crash-safe: the run never comes to rest");
	}
	world_clear(world);
	return !world->broken[0];
}
