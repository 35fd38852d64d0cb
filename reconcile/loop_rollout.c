/* The loop's side of a rollout: what the machine wants is done, what came of it is fed back. */
#include "base/clock.h"
#include "base/log.h"
#include "reconcile/loop_state.h"

/* ---- steps for workers -------------------------------------------------------------------------
 */

static struct work *work_for(const struct loop *loop, enum work_kind kind, size_t index)
{
	const struct rollout_client *client = &loop->rollout->clients[index];
	const struct member_record *member = client->record;
	struct work *work = work_new(kind);
	work->rollout_serial = loop->serial;
	work->index = index;
	work->client = mem_dup_str(member->client);
	work->stage = mem_dup_str(loop->rollout->stages[client->stage].record->name);
	work->action = member->action;
	work->epoch = loop->epoch;
	work->accept_history = loop->options.git.accept_history;
	memcpy(work->rollout, loop->rollout->record.id, sizeof(work->rollout));
	memcpy(work->target.release, member->to, sizeof(work->target.release));
	memcpy(work->target.release_key, member->to_key, sizeof(work->target.release_key));
	memcpy(work->target.commit,
		member->commit[0] ? member->commit : loop->rollout->record.commit,
		sizeof(work->target.commit));
	return work;
}

static const struct release_ref *known_good_of(const struct loop *loop, size_t index)
{
	const struct client_record *record =
		status_client(loop->status, loop->rollout->clients[index].record->client);
	return record && record->known_good.release[0] ? &record->known_good : NULL;
}

/* Releases that pruning must not touch: where the client came from and where it may go back to. */
static void keep_releases(struct work *work, const struct loop *loop, size_t index)
{
	const struct release_ref *good = known_good_of(loop, index);
	const struct member_record *member = loop->rollout->clients[index].record;
	if (good)
		strlist_add(&work->keep, good->release);
	if (member->from[0])
		strlist_add(&work->keep, member->from);
	strlist_add(&work->keep, member->to);
}

/* Work on the way back: the known good release at its own commit. */
static void aim_back(struct work *work, const struct loop *loop, size_t index)
{
	const struct release_ref *good = known_good_of(loop, index);
	if (!good)
		return;
	const char *steps = loop->stands_in.hex[0] ? loop->stands_in.hex : work->target.commit;
	memcpy(work->fallback_commit, steps, sizeof(work->fallback_commit));
	work->target = *good;
	work->action = PLAN_ROLLBACK;
}

/* What the host should run before: nobody knows it after a failure. */
static void tell_recorded(struct work *work, const struct loop *loop)
{
	const struct client_record *record = status_client(loop->status, work->client);
	if (!record || record->unsure || loop->drift.policy == DRIFT_OFF)
		return;
	memcpy(work->recorded, record->current.release, sizeof(work->recorded));
	mem_replace_str(&work->recorded_root, record->root);
}

static enum work_kind kind_of(const struct rollout_action *action)
{
	switch (action->kind) {
	case ACTION_ASK:
		return WORK_ASK;
	case ACTION_ROUND:
		return WORK_ROUND;
	case ACTION_STEP:
		return WORK_STEP;
	default:
		return WORK_ACTIVATE;
	}
}

/* Which step, and the name of the backup that it is about. */
static void aim_step(
	struct work *work, const struct loop *loop, const struct rollout_action *action)
{
	const struct rollout_client *client = &loop->rollout->clients[action->client];
	if (action->kind != ACTION_STEP && action->kind != ACTION_BACK)
		return;
	rollout_backup_name(loop->rollout, client, work->backup);
	if (action->kind == ACTION_STEP)
		(void)rollout_step_name(loop->rollout, client, work->step); /* it has one */
	work->restore = action->kind == ACTION_BACK && client->restore == RESTORE_YES;
	if (!work->restore)
		return;
	const struct client_record *record = status_client(loop->status, client->record->client);
	/* Never data of another release than the one that they are for. */
	bool fits = record && record->known_good.release[0] &&
		    !strcmp(record->backup.release, record->known_good.release);
	(void)snprintf(work->backup, sizeof(work->backup), "%s", fits ? record->backup.name : "");
}

static void tell_work(const struct work *work)
{
	if (work->kind == WORK_ACTIVATE)
		log_info("activating release", LOG_STR("client", work->client),
			LOG_STR("release", work->target.release),
			LOG_STR("action", plan_action_name(work->action)),
			LOG_STR("rollout", work->rollout));
	if (work->kind == WORK_STEP)
		log_info("running step", LOG_STR("client", work->client),
			LOG_STR("step", work->step), LOG_STR("rollout", work->rollout));
	if (work->restore)
		log_info("restoring data", LOG_STR("client", work->client),
			LOG_STR("backup", work->backup), LOG_STR("rollout", work->rollout));
}

static void start_work(struct loop *loop, const struct rollout_action *action)
{
	enum rollout_phase phase = loop->rollout->clients[action->client].phase;
	enum work_kind kind = kind_of(action);
	/* Another one leads, or a host knows more than we do: the rollout is dropped as soon as
	 * what runs has ended. */
	if (loop->stands_by || loop->halted[0])
		return;
	struct work *work = work_for(loop, kind, action->client);
	work->order = action->order;
	if (action->kind == ACTION_BACK || phase == PHASE_BACK_VERIFY)
		aim_back(work, loop, action->client);
	aim_step(work, loop, action);
	if (kind == WORK_ACTIVATE)
		keep_releases(work, loop, action->client);
	if (action->kind == ACTION_DEPLOY || action->kind == ACTION_STEP)
		tell_recorded(work, loop);
	if (kind != WORK_ROUND)
		loop->steps_running++;
	tell_work(work);
	workers_add(loop->workers, work);
}

static void record_action(struct loop *loop, const struct rollout_action *action)
{
	const struct fact_context context = {.rollout = loop->rollout,
		.plan = loop->plan,
		.status = loop->status,
		.author = loop->author,
		.signed_by = loop->signed_by,
		.wall_s = clock_wall_s()};
	struct fact *fact = fact_from_action(&context, action);
	log_info("recording", LOG_STR("fact", fact->subject));
	loop_record(loop, fact, true);
}

void loop_feed(struct loop *loop, struct rollout_event event)
{
	struct rollout_actions actions = {0};
	event.now_ms = clock_mono_ms();
	event.wall_s = clock_wall_s();
	event_log_step(loop->events, loop->rollout, &event, &actions);
	for (size_t i = 0; i < actions.count; i++) {
		if (actions.items[i].kind == ACTION_RECORD)
			record_action(loop, &actions.items[i]);
		else
			start_work(loop, &actions.items[i]);
	}
	rollout_actions_clear(&actions);
	loop->changed = true;
}

/* ---- windows ------------------------------------------------------------------------------------
 */

#define WINDOWS_EVERY_MS 5000 /* clocks are set, zones change: not worth a calculation */

static const struct plan_stage *policy_of(const struct plan *plan, const char *stage)
{
	for (size_t i = 0; plan && i < plan->stage_count; i++)
		if (!strcmp(plan->stages[i].name, stage))
			return &plan->stages[i];
	return NULL;
}

static bool is_open(struct loop *loop, const struct plan_stage *policy)
{
	bool open = true;
	for (size_t i = 0; i < ARRAY_LEN(policy->windows); i++) {
		struct error err = {0};
		if (windows_are_open(&policy->windows[i], clock_wall_s(), &err))
			continue;
		open = false;
		if (err.message[0])
			loop_set_problem(loop, err.message);
	}
	return open;
}

/* @param begins  the machine has not started: it begins with what is open now */
static void look_at_windows(struct loop *loop, bool begins)
{
	struct rollout *rollout = loop->rollout;
	loop->windows_ms = 0;
	for (size_t i = 0; i < rollout->stage_count; i++) {
		const struct plan_stage *policy =
			policy_of(loop->plan, rollout->stages[i].record->name);
		if (!policy || !(policy->windows[0].count || policy->windows[1].count))
			continue;
		bool open = is_open(loop, policy);
		loop->windows_ms = clock_mono_ms() + WINDOWS_EVERY_MS;
		if (!begins && open != rollout->stages[i].closed)
			continue;
		int64_t opens_s = open ? 0
				       : windows_next(policy->windows, ARRAY_LEN(policy->windows),
						 clock_wall_s());
		if (!begins) {
			loop_feed(loop, (struct rollout_event){.kind = EVENT_WINDOW,
						.stage = i,
						.ok = open,
						.opens_s = opens_s});
			continue;
		}
		rollout->stages[i].closed = !open;
		rollout->stages[i].opens_s = opens_s;
	}
}

void loop_apply_windows(struct loop *loop)
{
	look_at_windows(loop, false);
}

/* ---- life of a rollout --------------------------------------------------------------------------
 */

void loop_begin(struct loop *loop, struct rollout *rollout, struct plan *plan, const char *author)
{
	loop_stop_drift_round(loop);
	loop->rollout = rollout;
	loop->plan = plan;
	loop->serial++;
	if (!rollout->resumed)
		loop->stands_in = (struct oid){0};
	(void)snprintf(loop->author, sizeof(loop->author), "%s", author);
	for (size_t i = 0; i < rollout->client_count; i++)
		rollout->clients[i].no_checks = !rollout->clients[i].record->checks[0];
	if (loop->status->digest_keys)
		renderer_set_keys(
			loop->renderer, loop->status->digest_keys, loop->status->digest_keys_len);
	log_info(rollout->resumed ? "rollout goes on" : "rollout starts",
		LOG_STR("rollout", rollout->record.id), LOG_STR("commit", rollout->record.commit),
		LOG_INT("clients", rollout->client_count));
	/* Leadership, holds and the like, said just before, come first: nothing of a rollout that
	 * goes on is touched before they are accepted. */
	loop->queued_of_rollout = rollout->unrecorded = loop->queue.count;
	look_at_windows(loop, true);
	loop->events = event_log_new(rollout, clock_mono_ms(), loop->events_before);
	free(STEAL(loop->events_before));
	loop_feed(loop, (struct rollout_event){.kind = EVENT_START});
}

void loop_drop_rollout(struct loop *loop)
{
	rollout_free(loop->rollout);
	event_log_free(STEAL(loop->events));
	plan_free(loop->plan);
	workers_add(loop->workers, work_new(WORK_TIDY));
	loop->rollout = NULL;
	loop->plan = NULL;
	loop->serial++; /* answers that are still under way are out of date now */
	loop->changed = true;
}

void loop_halt(struct loop *loop, const struct error *err)
{
	struct error told = *err;
	if (!told.hint[0])
		error_hint(&told, "put the status branch back on the remote, or take the truth "
				  "from the hosts with 'aviary apply --accept-history'");
	error_line(&told, loop->halted, sizeof(loop->halted));
	loop->halted_tip = (struct oid){0};
	loop->decide_again = true;
	log_err("a host knows more than the status branch: nothing is touched",
		LOG_ERROR_FIELD(&told));
}

/* ---- answers ------------------------------------------------------------------------------------
 */

static enum rollout_runs what_runs(const struct loop *loop, const struct work *work)
{
	const struct driver_state *state = &work->state;
	const struct release_ref *good = known_good_of(loop, work->index);
	bool sure = !state->activating && driver_same_release(state->current, state->release);
	if (!state->found || strcmp(state->rollout, work->rollout) != 0)
		return RUNS_UNTOUCHED;
	if (driver_same_release(state->release, work->target.release))
		return sure ? RUNS_TARGET : RUNS_TARGET_UNSURE;
	if (good && driver_same_release(state->release, good->release))
		return sure ? RUNS_BACK : RUNS_BACK_UNSURE;
	return RUNS_UNKNOWN;
}

static void tell_failure(const struct work *work, const struct message *message)
{
	if (message->ok)
		return;
	if (work->kind == WORK_STEP)
		log_warn("step failed", LOG_STR("client", work->client),
			LOG_STR("step", work->step), LOG_ERROR_FIELD(&message->err));
	else
		log_warn("activation failed", LOG_STR("client", work->client),
			LOG_ERROR_FIELD(&message->err));
}

void loop_on_worked(struct loop *loop, struct message *message)
{
	const struct work *work = message->data;
	struct rollout_event event = {.client = message->client,
		.order = message->order,
		.ok = message->ok,
		.text = message->err.message};
	if (work->kind == WORK_DRIFT) {
		loop_on_drift(loop, message);
		return;
	}
	loop->steps_running--;
	if (message->rollout != loop->serial || !loop->rollout)
		return;
	loop_note_drift(loop, work);
	/* We ended it ourselves because we stop: the host is asked after the restart. */
	if (!message->ok && message->err.code == ERR_STOPPED)
		return;
	if (work->refused) {
		loop_halt(loop, &message->err);
		return;
	}
	if (work->kind == WORK_ASK) {
		event.kind = EVENT_RUNS;
		event.runs = message->ok ? what_runs(loop, work) : RUNS_UNKNOWN;
		event.restores = message->ok && work->state.restore[0];
	} else {
		event.kind = work->unreachable         ? EVENT_UNREACHABLE
			     : work->unsure            ? EVENT_UNSURE
			     : work->kind == WORK_STEP ? EVENT_STEP
						       : EVENT_DEPLOYED;
		event.transient = work->transient;
		event.untouched = work->untouched;
		tell_failure(work, message);
	}
	loop_feed(loop, event);
}

void loop_on_round(struct loop *loop, const struct message *message)
{
	if (message->rollout != loop->serial || !loop->rollout)
		return;
	loop_feed(loop, (struct rollout_event){.kind = EVENT_ROUND,
				.client = message->client,
				.order = message->order,
				.ok = message->ok,
				.text = message->err.message});
}
