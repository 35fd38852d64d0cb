/* Drift: on a schedule, while nothing runs, the hosts are asked what they run. What differs from
 * the record is recorded once, and once more when it is over; with `drift: repair` a rollout of its
 * own puts it right (loop_repair.c).
 */
#include "base/clock.h"
#include "base/log.h"
#include "reconcile/loop_state.h"

#define FIRST_ROUND_MS   ((int64_t)300 * 1000) /* after the start, or sooner if it is due sooner */
#define SHARE_OF_WORKERS 4 /* of them one part asks: hosts that hang leave room for a rollout */

/* ---- when ---------------------------------------------------------------------------------------
 */

/* Records that nobody is changing, and we lead. */
static bool is_quiet(const struct loop *loop)
{
	return loop->leads && loop->looked && !loop->rollout && !loop->halted[0] &&
	       !loop->stopping && !loop->options.once && !loop->decide_again &&
	       !loop->status_stale && !loop_has_facts(loop) && !loop->look_running &&
	       !loop->look_wanted;
}

int64_t loop_drift_wake_ms(const struct loop *loop)
{
	const struct drift_round *round = &loop->drift;
	return round->next_ms && !round->running && is_quiet(loop) ? round->next_ms : INT64_MAX;
}

void loop_set_drift_policy(struct loop *loop, const struct look_result *result)
{
	struct drift_round *round = &loop->drift;
	if (!result->drift_interval_ms)
		return;
	int64_t interval_ms = result->drift_interval_ms;
	int64_t wait_ms =
		round->next_ms || interval_ms < FIRST_ROUND_MS ? interval_ms : FIRST_ROUND_MS;
	if (interval_ms != round->interval_ms || result->drift != round->policy)
		round->next_ms = clock_mono_ms() + wait_ms;
	round->interval_ms = interval_ms;
	round->policy = result->drift;
}

void loop_ask_drift_soon(struct loop *loop)
{
	if (loop->drift.next_ms)
		loop->drift.next_ms = clock_mono_ms();
}

/* ---- asking -------------------------------------------------------------------------------------
 */

static int by_commit(const void *a, const void *b)
{
	const struct client_record *const *left = a, *const *right = b;
	int order = strcmp((*left)->current.commit, (*right)->current.commit);
	return order ? order : strcmp((*left)->client, (*right)->client);
}

/* Of a client that failed nobody knows what runs, and a person is told so already. */
static bool is_known(const struct client_record *record)
{
	return record->current.release[0] && !record->unsure && record->state != CLIENT_OFFBOARDED;
}

/* Commit by commit: each is read once for all of its clients. */
static void list_clients(struct loop *loop)
{
	const struct status *status = loop->status;
	const struct client_record **known = mem_zero(status->client_count, sizeof(const void *));
	size_t count = 0;
	for (size_t i = 0; i < status->client_count; i++)
		if (is_known(status->clients[i]))
			known[count++] = status->clients[i];
	if (count > 1)
		qsort(known, count, sizeof(*known), by_commit);
	strlist_clear(&loop->drift.clients);
	for (size_t i = 0; i < count; i++)
		strlist_add(&loop->drift.clients, known[i]->client);
	free(known);
}

static void ask_host(struct loop *loop, const char *client)
{
	struct work *work = work_new(WORK_DRIFT);
	const struct client_record *record = status_client(loop->status, client);
	work->rollout_serial = loop->serial;
	work->client = mem_dup_str(client);
	if (record)
		work->target = record->current;
	workers_add(loop->workers, work);
}

static void ask_more(struct loop *loop)
{
	struct drift_round *round = &loop->drift;
	size_t most = loop->options.workers / SHARE_OF_WORKERS;
	while (round->asked < round->clients.count &&
		round->asked - round->answered < (most ? most : 1))
		ask_host(loop, round->clients.items[round->asked++]);
}

/* With `drift: off` nobody keeps looking after what was found before. */
static void forget_found(struct loop *loop)
{
	for (size_t i = 0; i < loop->status->client_count; i++) {
		const struct client_record *record = loop->status->clients[i];
		if (record->drift.found)
			loop_record(loop,
				fact_drift_over(
					record, "drift: off, nobody asks any more", clock_wall_s()),
				false);
	}
}

static void begin_round(struct loop *loop)
{
	struct drift_round *round = &loop->drift;
	round->next_ms = clock_mono_ms() + round->interval_ms;
	strlist_clear(&round->found);
	if (round->policy == DRIFT_OFF) {
		forget_found(loop);
		return;
	}
	list_clients(loop);
	if (!round->clients.count)
		return;
	if (loop->status->digest_keys)
		renderer_set_keys(
			loop->renderer, loop->status->digest_keys, loop->status->digest_keys_len);
	round->running = true;
	round->asked = round->answered = 0;
	ask_more(loop);
}

static void end_round(struct loop *loop)
{
	struct drift_round *round = &loop->drift;
	round->running = false;
	round->next_ms = clock_mono_ms() + round->interval_ms;
	workers_add(loop->workers, work_new(WORK_TIDY)); /* lets go of the commits */
	log_debug("hosts were asked what they run", LOG_INT("clients", round->clients.count));
}

void loop_stop_drift_round(struct loop *loop)
{
	struct drift_round *round = &loop->drift;
	if (round->running)
		round->next_ms = clock_mono_ms(); /* again, once nothing runs */
	round->running = false;
	strlist_clear(&round->found);
}

void loop_go_on_with_drift(struct loop *loop)
{
	if (loop->drift.running || !is_quiet(loop))
		return;
	if (loop->drift.next_ms && clock_mono_ms() >= loop->drift.next_ms)
		begin_round(loop);
	else if (loop->drift.found.count)
		loop_repair_drift(loop);
}

/* ---- answers ------------------------------------------------------------------------------------
 */

static void report(struct loop *loop, const struct client_record *record, const struct drift *drift)
{
	if (drift_is_same(drift, &record->drift))
		return;
	log_warn("host does not run what is recorded", LOG_STR("client", record->client),
		LOG_STR("drift", drift->what));
	loop_record(loop, fact_drift_found(record, drift, clock_wall_s()), false);
}

static void note_found(
	struct loop *loop, const struct client_record *record, const struct drift *drift)
{
	if (record->drift.repair[0] && !record->hold.held) {
		log_warn("drift came back after a repair: it is held",
			LOG_STR("client", record->client), LOG_STR("rollout", record->drift.repair),
			LOG_STR("drift", drift->what));
		loop_record(loop, fact_drift_held(record, drift, clock_wall_s()), false);
	} else {
		report(loop, record, drift);
	}
}

static void note_over(struct loop *loop, const struct client_record *record)
{
	auto_free char *why = mem_printf("runs %.15s.. as recorded", record->current.release);
	log_info("drift is over", LOG_STR("client", record->client));
	loop_record(loop, fact_drift_over(record, why, clock_wall_s()), false);
}

void loop_note_drift(struct loop *loop, const struct work *work)
{
	const struct client_record *record = status_client(loop->status, work->client);
	if (record && work->compared && work->drift.found)
		report(loop, record, &work->drift);
}

/* Ids are ordered by time: a host that names a later one than the branch knows is no drift, the
 * branch has lost that rollout (design.md section 6). */
static bool knows_more(const struct loop *loop, const struct driver_state *state)
{
	const struct status *status = loop->status;
	return state->found && status->rollout_count &&
	       strncmp(state->rollout, status->rollouts[0]->id, ROLLOUT_TIME) > 0;
}

static void halt(struct loop *loop, const struct work *work)
{
	struct error err;
	(void)error_set(&err, ERR_REFUSED, /* always false: it makes the error */
		"the host of '%s' was last touched by rollout %s, which the status branch does not "
		"know",
		work->client, work->state.rollout);
	loop_halt(loop, &err);
}

/* Its last word counts if the record is still the one that it was asked about. */
static void take_answer(
	struct loop *loop, const struct work *work, bool answered, const struct error *err)
{
	const struct client_record *record = status_client(loop->status, work->client);
	if (!record || !is_known(record) ||
		strcmp(record->current.release, work->target.release) != 0)
		return;
	if (!answered) {
		if (err->code != ERR_UNREACHABLE && err->code != ERR_STOPPED)
			log_warn("host cannot be asked what it runs",
				LOG_STR("client", work->client), LOG_ERROR_FIELD(err));
	} else if (work->state.epoch > loop->epoch) {
		loop->look_wanted = loop->look_forced = true; /* who leads now? */
	} else if (knows_more(loop, &work->state)) {
		halt(loop, work);
	} else if (work->drift.found) {
		if (loop->drift.policy == DRIFT_REPAIR)
			strlist_add(&loop->drift.found, work->client);
		note_found(loop, record, &work->drift);
	} else if (record->drift.found && !work->state.locked) {
		note_over(loop, record);
	}
}

void loop_on_drift(struct loop *loop, const struct message *message)
{
	const struct work *work = message->data;
	struct drift_round *round = &loop->drift;
	if (!round->running || message->rollout != loop->serial)
		return;
	round->answered++;
	if (loop->leads && !loop->rollout && !loop->decide_again && !loop->status_stale)
		take_answer(loop, work, message->ok, &message->err);
	ask_more(loop);
	if (round->answered == round->clients.count)
		end_round(loop);
}
