/* What goes wrong, and what people do meanwhile. */
#include "tests/sim/sim.h"

enum trouble {
	TROUBLE_NONE, /* 0 is the choice in which nothing unusual happens */
	TROUBLE_CRASH,
	TROUBLE_CRASH_SOON,
	TROUBLE_COMMIT,
	TROUBLE_REVERT,
	TROUBLE_BAD_COMMIT,
	TROUBLE_FORCED,
	TROUBLE_OTHERS_MOVE,
	TROUBLE_PUSHES_FAIL,
	TROUBLE_AWAY,
	TROUBLE_BACK_AGAIN,
	TROUBLE_PAUSE,
	TROUBLE_RESUME,
	TROUBLE_RETRY,
	TROUBLE_ROLLBACK,
	TROUBLE_CLOCK,
	TROUBLE_STOP,
	TROUBLE_DUPLICATE,
	TROUBLE_SLOW,
	TROUBLE_APPROVE,
	TROUBLE_ABORT,
	TROUBLE_WINDOW,
	TROUBLE_NOW, /* a person does not wait for the window */
	TROUBLE_TRANSIENT,
	TROUBLE_UNSURE,
	TROUBLE_SECOND, /* another service is pointed at the same repository */
	TROUBLE_LEAD,   /* a person says who leads */
	TROUBLES
};

static void set_next(struct world *world)
{
	size_t size = world->client_count < 40 ? world->client_count : 40;
	uint32_t most = (uint32_t)(6 + 12 * size);
	world->trouble_at = world->events + 1 + choose(world, STREAM_TROUBLE, most);
}

void trouble_plan(struct world *world)
{
	static const unsigned numbers[] = {0, 0, 1, 1, 1, 2, 2, 3, 4, 6};
	world->troubles_left = numbers[choose(world, STREAM_TROUBLE, ARRAY_LEN(numbers))];
	set_next(world);
}

static struct service *some_service(struct world *world)
{
	if (world->service_count == 1)
		return &world->services[0];
	return &world->services[choose(world, STREAM_TROUBLE, (uint32_t)world->service_count)];
}

static void crash(struct world *world)
{
	struct service *service = some_service(world);
	if (service->loop)
		service_crash(world, service, "");
}

static void move_host(struct world *world, bool away)
{
	struct sim_client *client =
		&world->clients[choose(world, STREAM_TROUBLE, (uint32_t)world->client_count)];
	client->host.away = away;
	tell(world, "the host of %s is %s", client->name, away ? "away" : "there");
}

static void move_clock(struct world *world)
{
	static const int64_t jumps_s[] = {-31536000, -3600, -1, 1, 3600, 31536000};
	if (chance(world, STREAM_TROUBLE, 400)) {
		world->now_ms += choose(world, STREAM_TROUBLE, 5000); /* asleep */
		world->slept_ms = world->now_ms;
		tell(world, "the machine was asleep");
		return;
	}
	world->clock_was_set = true;
	world->wall_s += jumps_s[choose(world, STREAM_TROUBLE, ARRAY_LEN(jumps_s))];
	tell(world, "the clock is set");
}

static void push_commit(struct world *world, enum trouble trouble)
{
	static const int64_t hooks_ms[] = {0, 100, 2000};
	if (world->commit_count + 3 >= COMMITS_MAX)
		return;
	if (trouble == TROUBLE_COMMIT)
		world_push_commit(world, false);
	else if (trouble == TROUBLE_REVERT)
		world_push_revert(world);
	else if (trouble == TROUBLE_FORCED)
		world_push_forced(world);
	else
		world_push_bad(world);
	/* a webhook comes at once, late, or not at all: then the poll */
	world->webhook_ms =
		world->now_ms + hooks_ms[choose(world, STREAM_TROUBLE, ARRAY_LEN(hooks_ms))];
}

static void ask_about_somebody(struct world *world, enum request_kind kind)
{
	uint32_t whom = choose(world, STREAM_TROUBLE, (uint32_t)world->client_count + 1);
	service_ask(world, kind, whom ? world->clients[whom - 1].name : NULL);
}

static void send_back(struct world *world)
{
	uint32_t whom = choose(world, STREAM_TROUBLE, (uint32_t)world->client_count);
	service_ask(world, REQUEST_ROLLBACK, world->clients[whom].name);
}

static void abort_rollout(struct world *world)
{
	const struct rollout *rollout = world_rollout(world);
	if (rollout && !rollout->ended)
		service_ask(world, REQUEST_ABORT, rollout->record.id);
}

static void approve(struct world *world)
{
	if (service_may_approve(world))
		service_ask(world, REQUEST_APPROVE, world_rollout(world)->record.id);
}

/* Where nothing waits for a window yet, one closes: the next time something will. */
static void start_now(struct world *world)
{
	if (service_may_start_now(world))
		service_start_now(world);
	else
		service_window(
			world, choose(world, STREAM_TROUBLE, (uint32_t)world->stage_count), false);
}

static void stop(struct world *world)
{
	struct service *service = some_service(world);
	if (!service->loop)
		return;
	tell(world, "service %s is told to stop", service->instance);
	loop_stop(service->loop);
	service_turn(world, service);
}

static void begin(struct world *world, enum trouble trouble)
{
	switch (trouble) {
	case TROUBLE_CRASH:
		crash(world);
		break;
	case TROUBLE_CRASH_SOON:
		some_service(world)->crash_in = 1 + choose(world, STREAM_TROUBLE, 12);
		break;
	case TROUBLE_COMMIT:
	case TROUBLE_REVERT:
	case TROUBLE_BAD_COMMIT:
	case TROUBLE_FORCED:
		push_commit(world, trouble);
		break;
	case TROUBLE_OTHERS_MOVE:
		world->others_moved = chance(world, STREAM_TROUBLE, 200) ? OTHERS_MOVED_NOTES
									 : OTHERS_MOVED_RECORDS;
		break;
	case TROUBLE_PUSHES_FAIL:
		world->pushes_fail = 1 + choose(world, STREAM_TROUBLE, 4);
		world->looks_fail = choose(world, STREAM_TROUBLE, 3);
		break;
	case TROUBLE_AWAY:
	case TROUBLE_BACK_AGAIN:
		move_host(world, trouble == TROUBLE_AWAY);
		break;
	case TROUBLE_PAUSE:
		ask_about_somebody(world, REQUEST_PAUSE);
		break;
	case TROUBLE_RESUME:
		ask_about_somebody(world, REQUEST_RESUME);
		break;
	case TROUBLE_RETRY:
		ask_about_somebody(world, REQUEST_RETRY);
		break;
	case TROUBLE_ROLLBACK:
		send_back(world);
		break;
	case TROUBLE_CLOCK:
		move_clock(world);
		break;
	case TROUBLE_STOP:
		stop(world);
		break;
	case TROUBLE_DUPLICATE:
		world->duplicates = 1 + choose(world, STREAM_TROUBLE, 4);
		break;
	case TROUBLE_SLOW:
		world->slow_steps = 1 + choose(world, STREAM_TROUBLE, 3);
		break;
	case TROUBLE_APPROVE:
		approve(world);
		break;
	case TROUBLE_ABORT:
		abort_rollout(world);
		break;
	case TROUBLE_WINDOW:
		service_window(world, choose(world, STREAM_TROUBLE, (uint32_t)world->stage_count),
			chance(world, STREAM_TROUBLE, 300));
		break;
	case TROUBLE_NOW:
		start_now(world);
		break;
	case TROUBLE_TRANSIENT:
		world->transient_steps = 1 + choose(world, STREAM_TROUBLE, 4);
		break;
	case TROUBLE_UNSURE:
		world->unsure_steps = 1 + choose(world, STREAM_TROUBLE, 6);
		break;
	case TROUBLE_SECOND:
		world->service_count = SERVICES;
		break;
	case TROUBLE_LEAD:
		service_lead(world, some_service(world));
		break;
	case TROUBLE_NONE:
	case TROUBLES:
		break;
	}
}

/* Crashes and commits are what most is promised about. */
void trouble_happen(struct world *world)
{
	static const enum trouble kinds[] = {TROUBLE_NONE, TROUBLE_CRASH, TROUBLE_CRASH,
		TROUBLE_CRASH_SOON, TROUBLE_CRASH_SOON, TROUBLE_CRASH_SOON, TROUBLE_COMMIT,
		TROUBLE_COMMIT, TROUBLE_REVERT, TROUBLE_BAD_COMMIT, TROUBLE_OTHERS_MOVE,
		TROUBLE_OTHERS_MOVE, TROUBLE_PUSHES_FAIL, TROUBLE_AWAY, TROUBLE_AWAY,
		TROUBLE_BACK_AGAIN, TROUBLE_PAUSE, TROUBLE_PAUSE, TROUBLE_RESUME, TROUBLE_CLOCK,
		TROUBLE_STOP, TROUBLE_DUPLICATE, TROUBLE_SLOW, TROUBLE_APPROVE, TROUBLE_ABORT,
		TROUBLE_WINDOW, TROUBLE_TRANSIENT, TROUBLE_UNSURE, TROUBLE_UNSURE, TROUBLE_RETRY,
		TROUBLE_RETRY, TROUBLE_RETRY, TROUBLE_ROLLBACK, TROUBLE_ROLLBACK, TROUBLE_SECOND,
		TROUBLE_LEAD, TROUBLE_FORCED, TROUBLE_NOW, TROUBLE_NOW};
	world->troubles_left--;
	begin(world, kinds[choose(world, STREAM_TROUBLE, ARRAY_LEN(kinds))]);
	set_next(world);
}
