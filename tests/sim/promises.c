/* Promises about one client: each move of it must have its reason. */
#include "tests/sim/promises.h"
#include "reconcile/events.h"
#include <stdarg.h>

void break_promise(struct world *world, const char *format, ...)
{
	va_list args;
	if (world->broken[0])
		return; /* the first one counts */
	va_start(args, format);
	(void)vsnprintf(world->broken, sizeof(world->broken), format, args); /* long text is cut */
	va_end(args);
	tell(world, "BROKEN: %s", world->broken);
}

bool has_known_good(const struct world *world, const struct sim_client *client)
{
	const struct client_record *record = status_client(world->branch, client->name);
	const struct sim_commit *commit = world->commit;
	return record && record->known_good.release[0] &&
	       release_version(record->known_good.release) !=
		       commit->wanted[client_index(client->name)];
}

bool step_has(const struct rollout_actions *actions, enum rollout_action_kind kind, size_t member)
{
	for (size_t i = 0; i < actions->count; i++)
		if (actions->items[i].kind == kind && actions->items[i].client == member)
			return true;
	return false;
}

void promises_before(struct world *world, const struct rollout_event *event)
{
	const struct rollout *rollout = world_rollout(world);
	bool over = rollout->superseded || rollout->aborted || rollout->ended;
	if (event->kind == EVENT_START)
		promises_begin_rollout(world, false);
	if (event->kind == EVENT_SUPERSEDED)
		world->superseded = true;
	if (event->kind == EVENT_ABORT && !rollout->aborted && !rollout->ended)
		world->aborted = true;
	if (event->kind == EVENT_APPROVE && rollout->waits == WAIT_LIMIT && !over)
		world->yes_to_limit = true;
	if (event->kind == EVENT_APPROVE && rollout->waits == WAIT_APPROVAL && !over)
		world->yes_to_stage[rollout->current] = true;
	bool for_stage = rollout->waits == WAIT_APPROVAL || rollout->waits == WAIT_WINDOW;
	if (event->kind == EVENT_APPROVE && event->now && for_stage && !over)
		world->yes_to_now[rollout->current] = true;
	for (size_t i = 0; event->kind == EVENT_APPROVE && i < rollout->client_count; i++)
		world_member(world, i)->watch.yes |= rollout->waits == WAIT_RESTORE && !over &&
						     rollout->clients[i].phase == PHASE_ASK &&
						     rollout->clients[i].asked;
	if (world->repeats)
		return; /* it says nothing new */
	bool again = event->kind == EVENT_UNREACHABLE || event->kind == EVENT_UNSURE ||
		     (event->kind == EVENT_DEPLOYED && event->transient) ||
		     (event->kind == EVENT_STEP && event->transient);
	if (again) {
		world_member(world, event->client)->watch.starts = 0;
		world_member(world, event->client)->watch.failed_ms = world->now_ms;
		world_member(world, event->client)->watch.lost = event->kind == EVENT_UNSURE;
	}
	if (event_is_of_client(event->kind) && event->client != ROLLOUT_ALL)
		watch_event(&world_member(world, event->client)->watch, event);
	if (event->kind == EVENT_RUNS)
		world_member(world, event->client)->watch.doubted =
			event->runs == RUNS_TARGET_UNSURE;
	if (event->kind != EVENT_ROUND)
		return;
	struct watch *watch = &world_member(world, event->client)->watch;
	if (world->asked_ms < watch->since_ms)
		return; /* it asked what ran before */
	watch->good = event->ok ? watch->good + 1 : 0;
	watch->bad = event->ok ? 0 : watch->bad + 1;
	watch->round_ms = world->now_ms;
}

/* ---- moves of one client ----------------------------------------------------------------------
 */

struct move {
	size_t member;
	struct sim_client *client;
	struct watch *watch;
	enum rollout_phase from, to;
	enum member_state state;
	const struct rollout_event *event;
	bool own; /* the event is about this client */
};

static bool is_answer(const struct move *move, enum rollout_event_kind kind, bool ok)
{
	return move->own && move->event->kind == kind && move->event->ok == ok;
}

static bool timed_out(const struct world *world, const struct move *move)
{
	return world->now_ms >= move->watch->since_ms + world->commit->timeout_ms;
}

/* Its connection was lost, and its host says that it is not there: tried again, not for ever. */
static bool is_lost(const struct move *move)
{
	return move->from == PHASE_RESUME && move->watch->lost && is_answer(move, EVENT_RUNS, true);
}

static bool is_lost_too_often(const struct world *world, const struct move *move)
{
	return is_lost(move) && move->watch->attempts >= world->commit->retries;
}

/* Out of reach, as far as this rollout tries. */
static bool is_not_reached(const struct world *world, const struct move *move)
{
	return is_answer(move, EVENT_UNREACHABLE, false) ||
	       (is_lost_too_often(world, move) && move->event->runs == RUNS_UNTOUCHED);
}

/* May the release count as failed on this client? */
static bool is_bad(const struct world *world, const struct move *move)
{
	switch (move->from) {
	case PHASE_DEPLOY:
	case PHASE_BACK:
		return is_answer(move, EVENT_DEPLOYED, false) ||
		       is_answer(move, EVENT_UNREACHABLE, false);
	case PHASE_STEP:
		return is_answer(move, EVENT_STEP, false) ||
		       is_answer(move, EVENT_UNREACHABLE, false) ||
		       is_answer(move, EVENT_UNSURE, false);
	case PHASE_ASK: /* nobody said yes */
		return world->superseded || world_rollout(world)->aborted;
	case PHASE_VERIFY:
	case PHASE_BACK_VERIFY:
		return timed_out(world, move);
	case PHASE_HEALTHY:
		return move->watch->bad >= world->commit->healthy;
	case PHASE_RETRY: /* of its way back */
		return move->watch->failed;
	case PHASE_RESUME:
		return is_answer(move, EVENT_RUNS, true)
			       ? move->event->runs == RUNS_BACK_UNSURE || move->watch->failed ||
					 is_lost_too_often(world, move)
			       : is_answer(move, EVENT_RUNS, false) && timed_out(world, move);
	default:
		return false;
	}
}

/* Its host may be back already when it is asked after a restart. */
static bool went_back(const struct move *move)
{
	return move->watch->failed ||
	       (is_answer(move, EVENT_RUNS, true) && move->event->runs == RUNS_BACK);
}

static bool is_verified(const struct world *world, const struct move *move)
{
	return move->client->no_checks || move->watch->good >= world->commit->healthy;
}

static void to_verify(struct world *world, const struct move *move)
{
	const char *to = world_rollout(world)->clients[move->member].record->to;
	bool runs = move->client->host.version == release_version(to);
	bool asked =
		is_answer(move, EVENT_RUNS, true) &&
		(move->event->runs == RUNS_TARGET || (move->event->runs == RUNS_UNTOUCHED && runs));
	bool stepped = is_answer(move, EVENT_STEP, true) && runs;
	demand(world,
		is_answer(move, EVENT_DEPLOYED, true) || stepped ||
			(move->from == PHASE_INTENT && runs) ||
			((move->from == PHASE_RESUME || move->from == PHASE_AWAY) && asked),
		"promise 1, canary first: %s is verified without having been activated",
		move->client->name);
}

static void to_back(struct world *world, const struct move *move)
{
	bool allowed = move->from == PHASE_ASK && move->watch->yes;
	check_restore(world, move->member, move->from, false);
	demand(world, allowed || is_bad(world, move),
		"promise 3, automatic rollback: %s goes back without need", move->client->name);
	demand(world, has_known_good(world, move->client) && world->commit->roll_back,
		"promise 3, automatic rollback: %s goes back, but may not", move->client->name);
	demand(world, !is_lost(move) || !move->watch->failed,
		"retries: the way back of %s is tried again at once", move->client->name);
	move->watch->failed = true;
}

static void to_ask(struct world *world, const struct move *move)
{
	check_restore(world, move->member, move->from, true);
	demand(world, is_bad(world, move), "restore: %s asks for its data without need",
		move->client->name);
	demand(world, has_known_good(world, move->client) && world->commit->roll_back,
		"restore: %s asks for its data, but may not go back", move->client->name);
	move->watch->failed = true;
}

static void to_failed(struct world *world, const struct move *move)
{
	bool was_back = move->from == PHASE_BACK || move->from == PHASE_BACK_VERIFY ||
			(move->from == PHASE_RESUME && move->watch->failed) ||
			move->from == PHASE_ASK;
	bool untouched = move->from == PHASE_STEP && is_fresh(world, move->client);
	bool unanswered = check_unanswered(world, move->member);
	demand(world, is_bad(world, move), "promise 3, automatic rollback: %s failed without need",
		move->client->name);
	demand(world,
		was_back || untouched || unanswered || !world->commit->roll_back ||
			!has_known_good(world, move->client),
		"promise 3, automatic rollback: %s failed and does not go back",
		move->client->name);
	move->watch->failed = true;
}

/* Is something under way on its host that has not ended in this very step? */
static bool is_in_step(const struct world *world, const struct move *move)
{
	if (move->from == PHASE_RESUME)
		return !is_answer(move, EVENT_RUNS, true);
	if (move->from == PHASE_STEP)
		return hosts_are_busy(world, client_index(move->client->name), world->service);
	if (move->from != PHASE_DEPLOY && move->from != PHASE_BACK)
		return false;
	return !move->own ||
	       (move->event->kind != EVENT_DEPLOYED && move->event->kind != EVENT_UNREACHABLE);
}

static void to_retry(struct world *world, const struct move *move)
{
	demand(world,
		is_lost(move) ||
			(is_bad(world, move) &&
				(move->event->transient || move->event->kind == EVENT_UNREACHABLE ||
					(move->event->kind == EVENT_UNSURE &&
						move->from == PHASE_STEP))),
		"retries: %s is tried again, though its failure cannot pass by itself",
		move->client->name);
	demand(world, ++move->watch->attempts <= world->commit->retries,
		"retries: %s is tried again too often", move->client->name);
}

static void to_skipped(struct world *world, const struct move *move)
{
	const struct rollout *rollout = world_rollout(world);
	size_t stage = move->client->stage;
	bool past = stage_failed(world, stage) > (size_t)world->commit->stages[stage].max_failures;
	demand(world,
		move->from == PHASE_AWAY || is_not_reached(world, move) ||
			(past && (move->from == PHASE_INTENT || move->from == PHASE_RETRY ||
					 move->from == PHASE_STEP ||
					 is_answer(move, EVENT_RUNS, true))) ||
			(move->from == PHASE_PENDING && rollout->ended) ||
			(world->aborted && !is_in_step(world, move)),
		"promise 6, crash-safe: %s is skipped without need", move->client->name);
	move->watch->unreachable |= is_not_reached(world, move);
	demand(world, !move->watch->failed,
		"promise 3, automatic rollback: %s failed and is called skipped",
		move->client->name);
}

static void to_superseded(struct world *world, const struct move *move)
{
	demand(world, world->superseded, "promise 6, crash-safe: %s is superseded by nothing",
		move->client->name);
	demand(world, !move->watch->failed,
		"promise 3, automatic rollback: %s failed and is called superseded",
		move->client->name);
	demand(world, !is_in_step(world, move),
		"promise 6, crash-safe: %s is left in the middle of a step", move->client->name);
}

static void to_healthy(struct world *world, const struct move *move)
{
	demand(world, is_verified(world, move) || move->watch->verified,
		"promise 1, canary first: %s counts as healthy after %d good rounds of %lld",
		move->client->name, move->watch->good, (long long)world->commit->healthy);
	demand(world,
		move->from == PHASE_VERIFY || move->client->no_checks ||
			(move->watch->verified && is_answer(move, EVENT_STEP, true)),
		"promise 1, canary first: %s is healthy without verification", move->client->name);
	move->watch->healthy_ms = world->now_ms;
	move->watch->round_ms = world->now_ms;
	move->watch->proved = true;
}

static void to_done(struct world *world, const struct move *move)
{
	switch (move->state) {
	case MEMBER_HEALTHY:
		if (move->from != PHASE_HEALTHY)
			to_healthy(world, move);
		break;
	case MEMBER_ROLLED_BACK:
		demand(world, is_verified(world, move) && went_back(move),
			"promise 3, automatic rollback: %s is rolled back after %d good rounds",
			move->client->name, move->watch->good);
		move->watch->failed = true;
		break;
	case MEMBER_FAILED:
		to_failed(world, move);
		break;
	case MEMBER_SKIPPED:
		to_skipped(world, move);
		break;
	case MEMBER_SUPERSEDED:
		to_superseded(world, move);
		break;
	default:
		demand(world, false, "promise 6, crash-safe: %s ends as '%s'", move->client->name,
			member_state_name(move->state));
		break;
	}
}

static void check_move(struct world *world, const struct move *move)
{
	switch (move->to) {
	case PHASE_VERIFY:
		to_verify(world, move);
		break;
	case PHASE_HEALTHY:
		to_healthy(world, move);
		break;
	case PHASE_BACK:
		if (move->from != PHASE_RETRY)
			to_back(world, move);
		break;
	case PHASE_ASK:
		to_ask(world, move);
		break;
	case PHASE_STEP:
		move->watch->verified |= move->from == PHASE_VERIFY && is_verified(world, move);
		break;
	case PHASE_RETRY:
		to_retry(world, move);
		break;
	case PHASE_AWAY:
		demand(world, is_not_reached(world, move),
			"promise 6, crash-safe: %s waits for its host without need",
			move->client->name);
		break;
	case PHASE_BACK_VERIFY:
		demand(world,
			is_answer(move, EVENT_DEPLOYED, true) ||
				(is_answer(move, EVENT_RUNS, true) &&
					move->event->runs == RUNS_BACK),
			"promise 3, automatic rollback: %s is not back yet", move->client->name);
		move->watch->failed = true;
		break;
	case PHASE_DONE:
		to_done(world, move);
		break;
	default:
		break; /* starts are checked where they happen */
	}
	if (move->to == PHASE_BACK && move->from != PHASE_RETRY)
		move->watch->attempts = 0;
	if (move->to == PHASE_HEALTHY || move->to == PHASE_DONE || move->to == PHASE_AWAY)
		world->settled_ms = world->now_ms;
	if (move->to == PHASE_AWAY)
		move->watch->attempts = 0; /* its host answers before the next one */
	move->watch->unreachable |= move->to == PHASE_AWAY;
	if (move->from == PHASE_AWAY && is_answer(move, EVENT_RUNS, true)) {
		move->watch->unreachable = false;
		move->watch->returned = true;
	}
	if (move->to == PHASE_RESUME)
		move->watch->since_ms = world->now_ms;
	if (move->to == PHASE_VERIFY || move->to == PHASE_BACK_VERIFY) {
		move->watch->since_ms = world->now_ms;
		move->watch->good = move->watch->bad = 0;
	}
}

/* What must have happened by now. */
static void check_waits(struct world *world, const struct move *move)
{
	const struct rollout *rollout = world_rollout(world);
	bool verifies = move->to == PHASE_VERIFY || move->to == PHASE_BACK_VERIFY;
	bool bad = move->watch->bad >= world->commit->healthy;
	if (rollout->stopping)
		return;
	demand(world, !verifies || !timed_out(world, move),
		"promise 3, automatic rollback: the verification of %s does not end",
		move->client->name);
	demand(world,
		move->to != PHASE_RESUME || !is_answer(move, EVENT_RUNS, false) ||
			!timed_out(world, move),
		"promise 6, crash-safe: %s does not answer and is asked for ever",
		move->client->name);
	demand(world, move->to != PHASE_HEALTHY || !bad,
		"promise 3, automatic rollback: %s is not healthy in its bake and stays",
		move->client->name);
	bool answered = move->own && (move->event->kind == EVENT_DEPLOYED ||
					     move->event->kind == EVENT_UNREACHABLE);
	bool step = move->from == PHASE_DEPLOY || move->from == PHASE_BACK;
	demand(world, !answered || !step || move->to != move->from,
		"promise 6, crash-safe: the result of a step of %s is lost", move->client->name);
}

static void check_client(struct world *world, size_t member, const struct rollout_event *event)
{
	const struct rollout_client *client = &world_rollout(world)->clients[member];
	struct move move = {.member = member,
		.client = world_member(world, member),
		.to = client->phase,
		.state = client->record->state,
		.event = event,
		.own = event->client == member && !world->repeats};
	move.watch = &move.client->watch;
	move.from = move.watch->phase;
	watch_step(world, member);
	if (move.from != move.to)
		check_move(world, &move);
	check_waits(world, &move);
	move.watch->phase = move.to;
}

static bool step_records(
	const struct rollout_actions *actions, enum rollout_fact fact, size_t member)
{
	for (size_t i = 0; i < actions->count; i++)
		if (actions->items[i].kind == ACTION_RECORD && actions->items[i].fact == fact &&
			actions->items[i].client == member)
			return true;
	return false;
}

/* What happens to a client is told when it happens. */
static void check_told(struct world *world, size_t member, enum rollout_phase before,
	const struct rollout_actions *actions)
{
	const struct rollout_client *client = &world_rollout(world)->clients[member];
	if (client->phase == before)
		return;
	const struct client_record *known =
		status_client(world->service->loop->status, client->record->client);
	if (client->phase == PHASE_BACK || client->phase == PHASE_BACK_VERIFY)
		demand(world, known && known->going_back,
			"promise 4, recorded first: nobody is told that %s goes back",
			client->record->client);
	if (client->phase == PHASE_ASK)
		demand(world, step_records(actions, FACT_CLIENT_ASKS, member),
			"restore: nobody is told that %s waits for a person",
			client->record->client);
	if (client->phase == PHASE_RETRY)
		demand(world, step_records(actions, FACT_CLIENT_RETRY, member),
			"retries: nobody is told that %s is tried again", client->record->client);
	if (client->phase == PHASE_AWAY)
		demand(world, step_records(actions, FACT_CLIENT_WAITING, member),
			"waiting: nobody is told that the host of %s is away",
			client->record->client);
}

void promises_after(struct world *world, const struct rollout_event *event,
	const struct rollout_actions *actions)
{
	const struct rollout *rollout = world_rollout(world);
	for (size_t i = 0; i < rollout->client_count; i++) {
		enum rollout_phase before = world_member(world, i)->watch.phase;
		check_client(world, i, event);
		if (rollout->clients[i].phase == PHASE_BACK && before != PHASE_BACK)
			demand(world, step_has(actions, ACTION_BACK, i),
				"promise 3, automatic rollback: %s does not go back at once",
				rollout->clients[i].record->client);
		check_told(world, i, before, actions);
	}
	check_starts(world, actions);
	check_stages(world);
	check_end(world);
}
