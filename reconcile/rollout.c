#include "reconcile/rollout.h"
#include "reconcile/rollout_step.h"
#include <assert.h>

static struct rollout_stage *current_stage(struct rollout *rollout)
{
	return rollout->current < rollout->stage_count ? &rollout->stages[rollout->current] : NULL;
}

bool rollout_may_start(const struct rollout *rollout)
{
	return !rollout->unrecorded && !rollout->superseded && !rollout->aborted;
}

static bool starts_nothing(const struct rollout *rollout)
{
	return rollout->superseded || rollout->aborted || rollout->stopping;
}

/* ---- the rollout ----------------------------------------------------------------------------- */

static bool any_failed(const struct rollout *rollout)
{
	for (size_t i = 0; i < rollout->client_count; i++)
		if (rollout->clients[i].failed)
			return true;
	return false;
}

/* Whatever never started, and the stages that hold it, get their last word. */
static void end_rest(struct step *step)
{
	struct rollout *rollout = step->rollout;
	bool superseded = rollout->superseded && !rollout->aborted;
	enum member_state member = superseded ? MEMBER_SUPERSEDED : MEMBER_SKIPPED;
	for (size_t i = 0; i < rollout->client_count; i++)
		if (rollout->clients[i].phase == PHASE_PENDING)
			client_end(step, i, member);
	for (size_t i = 0; i < rollout->stage_count; i++) {
		struct stage_record *stage = rollout->stages[i].record;
		if (stage->state <= STAGE_WAITING)
			stage->state = !rollout->stages[i].count ? STAGE_SKIPPED
				       : superseded              ? STAGE_SUPERSEDED
				       : rollout->aborted && i == rollout->current ? STAGE_ABORTED
										   : STAGE_SKIPPED;
		rollout->stages[i].bake_until_ms = 0;
	}
}

static void rollout_finish(struct step *step, enum rollout_state state)
{
	struct rollout *rollout = step->rollout;
	end_rest(step);
	wait_forget(rollout);
	rollout->record.state = state;
	rollout->record.finished_s = step->event->wall_s;
	rollout->ended = true;
	step_record(step, FACT_ROLLOUT_ENDED, 0, 0);
}

/* For what a newer commit, or a person, does not wait. */
static bool is_wait(const struct rollout_client *client)
{
	switch (client->phase) {
	case PHASE_INTENT:
	case PHASE_VERIFY:
	case PHASE_HEALTHY:
	case PHASE_AWAY:
		return true;
	case PHASE_STEP:
		return !client->round_running;
	case PHASE_RETRY:
		return client->stepping || (!client->going_back && !client->touched);
	default:
		return false;
	}
}

/* @return true while a step or an activation runs, or its outcome is unknown */
static bool cut_clients_short(struct step *step)
{
	struct rollout *rollout = step->rollout;
	enum member_state state = rollout->aborted ? MEMBER_SKIPPED : MEMBER_SUPERSEDED;
	bool busy = false;
	for (size_t i = 0; i < rollout->client_count; i++) {
		enum rollout_phase phase = rollout->clients[i].phase;
		if (client_is_asking(&rollout->clients[i]))
			client_end_unanswered(step, i);
		else if (is_wait(&rollout->clients[i]))
			client_end(step, i, state);
		else if (phase != PHASE_PENDING && phase != PHASE_DONE)
			busy = true;
	}
	return busy;
}

static void add_failures(struct rollout *rollout)
{
	for (size_t i = 0; i < rollout->client_count; i++) {
		const struct rollout_client *client = &rollout->clients[i];
		if (client->failed || client->unreachable)
			strlist_addf(&rollout->record.reasons, "%s: %s", client->record->client,
				client->failure);
	}
}

/* A newer commit, or a person, ended it: waits end at once, running steps first. */
static void end_short(struct step *step)
{
	struct rollout *rollout = step->rollout;
	if (cut_clients_short(step)) {
		/* A restart could not tell from the clients alone who ended it, and why. */
		if (rollout->tells_end)
			step_record(step, FACT_ENDING, 0, rollout->current);
		rollout->tells_end = false;
		return;
	}
	if (rollout->superseded)
		strlist_addf(&rollout->record.reasons, "superseded by %.7s",
			rollout->record.superseded_by);
	add_failures(rollout);
	rollout_finish(step, any_failed(rollout) ? ROLLOUT_FAILED
			     : rollout->aborted  ? ROLLOUT_ABORTED
						 : ROLLOUT_SUPERSEDED);
}

static void advance(struct step *step)
{
	struct rollout *rollout = step->rollout;
	struct rollout_stage *stage;
	if (rollout->ended)
		return;
	if (rollout->superseded || rollout->aborted) {
		end_short(step);
		return;
	}
	if (rollout->stopping)
		return;
	while ((stage = current_stage(rollout)) && stage_advance(step, stage))
		;
	stage = current_stage(rollout);
	struct rollout_stage *before =
		rollout->current ? &rollout->stages[rollout->current - 1] : NULL;
	bool blocked = before && stage_blocks(rollout, rollout->current - 1);
	bool stopped = blocked || (before && before->record->state == STAGE_FAILED);
	if (stage && !stopped)
		return;
	bool failed = any_failed(rollout) || stopped;
	if (blocked)
		strlist_addf(&rollout->record.reasons,
			"a client of stage '%s' is held: no later stage starts",
			before->record->name);
	add_failures(rollout);
	rollout_finish(step, failed ? ROLLOUT_FAILED : ROLLOUT_SUCCEEDED);
}

static void start(struct step *step)
{
	struct rollout *rollout = step->rollout;
	if (!rollout->resumed) {
		rollout->record.started_s = step->event->wall_s;
		step_record(step, FACT_ROLLOUT_STARTED, 0, 0);
	}
	while (rollout->current < rollout->stage_count &&
		(rollout->stages[rollout->current].record->state == STAGE_SUCCEEDED ||
			rollout->stages[rollout->current].record->state == STAGE_SKIPPED))
		rollout->current++;
	for (size_t i = 0; i < rollout->client_count; i++) {
		struct rollout_client *client = &rollout->clients[i];
		if (client->phase != PHASE_RESUME)
			continue;
		client->next_round_ms = step->event->now_ms;
		client->verify_until_ms = step->event->now_ms + rollout->verify_timeout_ms;
	}
}

/* Hosts that did not say yet what they run may turn out to have failed: past max_failures nothing
 * more starts. */
bool rollout_any_is_asked(const struct rollout *rollout)
{
	for (size_t i = 0; i < rollout->client_count; i++)
		if (rollout->clients[i].phase == PHASE_RESUME)
			return true;
	return false;
}

static void release_intents(struct step *step)
{
	struct rollout *rollout = step->rollout;
	if (rollout->unrecorded || starts_nothing(rollout) || rollout_any_is_asked(rollout))
		return;
	const struct rollout_stage *stage = NULL;
	bool broken = false;
	for (size_t i = 0; i < rollout->client_count; i++) {
		const struct rollout_stage *own = &rollout->stages[rollout->clients[i].stage];
		if (rollout->clients[i].phase != PHASE_INTENT)
			continue;
		if (own != stage) { /* starting a client breaks no stage: one count is enough */
			struct tally tally = stage_tally(rollout, own);
			broken = stage_is_broken(own, &tally);
			stage = own;
		}
		if (broken)
			client_end(step, i, MEMBER_SKIPPED);
		else
			client_begin(step, i);
	}
}

static void set_paused(struct rollout *rollout, size_t client, bool paused)
{
	if (client == ROLLOUT_ALL)
		rollout->paused = paused;
	else
		rollout->clients[client].paused = paused;
}

/* The answer to an action that a later one of the same client has overtaken: a round of checks that
 * asked the release before, a result that comes twice. */
static bool is_stale(const struct rollout *rollout, const struct rollout_event *event)
{
	switch (event->kind) {
	case EVENT_DEPLOYED:
	case EVENT_STEP:
	case EVENT_UNREACHABLE:
	case EVENT_UNSURE:
	case EVENT_ROUND:
	case EVENT_RUNS:
		return event->order && event->order != rollout->clients[event->client].order;
	default:
		return false;
	}
}

static void dispatch(struct step *step)
{
	struct rollout *rollout = step->rollout;
	const struct rollout_event *event = step->event;
	if (is_stale(rollout, event))
		return;
	switch (event->kind) {
	case EVENT_START:
		start(step);
		break;
	case EVENT_RECORDED:
		assert(event->count <= rollout->unrecorded);
		rollout->unrecorded -= event->count;
		break;
	case EVENT_TICK:
		break;
	case EVENT_DEPLOYED:
		client_on_deployed(step, event->client);
		break;
	case EVENT_STEP:
		client_on_step(step, event->client);
		break;
	case EVENT_UNREACHABLE:
		client_on_unreachable(step, event->client);
		break;
	case EVENT_UNSURE:
		client_on_unsure(step, event->client);
		break;
	case EVENT_ROUND:
		client_on_round(step, event->client);
		break;
	case EVENT_RUNS:
		client_on_runs(step, event->client);
		break;
	case EVENT_SUPERSEDED:
		rollout->tells_end |= !rollout->superseded && !rollout->aborted;
		rollout->superseded = true;
		(void)snprintf(rollout->record.superseded_by, sizeof(rollout->record.superseded_by),
			"%s", event->text ? event->text : "");
		break;
	case EVENT_NOTE:
		if (event->text && !strlist_has(&rollout->record.notes, event->text) &&
			rollout->record.notes.count < ROLLOUT_NOTES_MAX)
			strlist_add(&rollout->record.notes, event->text);
		break;
	case EVENT_APPROVE:
		wait_on_approve(step);
		break;
	case EVENT_ABORT:
		wait_on_abort(step);
		break;
	case EVENT_PAUSE:
	case EVENT_RESUME:
		set_paused(rollout, event->client, event->kind == EVENT_PAUSE);
		break;
	case EVENT_WINDOW:
		rollout->stages[event->stage].closed = !event->ok;
		rollout->stages[event->stage].opens_s = event->opens_s;
		break;
	case EVENT_STOP:
		rollout->stopping = true;
		break;
	}
}

void rollout_step(
	struct rollout *rollout, const struct rollout_event *event, struct rollout_actions *actions)
{
	struct step step = {rollout, event, actions};
	dispatch(&step);
	release_intents(&step);
	for (size_t i = 0; i < rollout->client_count; i++)
		client_tick(&step, i);
	wait_expire(&step);
	advance(&step);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t rollout_next_tick_ms(const struct rollout *rollout)
{
	int64_t next = INT64_MAX;
	if (rollout->ended || rollout->stopping)
		return next;
	for (size_t i = 0; i < rollout->client_count; i++) {
		const struct rollout_client *client = &rollout->clients[i];
		bool held_up =
			client->phase == PHASE_RETRY && !client->going_back && rollout->unrecorded;
		if (client->next_round_ms && !client->round_running && !held_up)
			next = earlier(next, client->next_round_ms);
		if (client_is_verifying(client))
			next = earlier(next, client->verify_until_ms);
	}
	if (starts_nothing(rollout))
		return next;
	if (rollout->wait_until_ms)
		next = earlier(next, rollout->wait_until_ms);
	/* A bake that is over does not end while a client of it goes back: an event tells that. */
	for (size_t i = 0; i < rollout->stage_count; i++) {
		const struct rollout_stage *stage = &rollout->stages[i];
		if (!stage->bake_until_ms && !stage->wave_until_ms)
			continue;
		struct tally tally = stage_tally(rollout, stage);
		if (tally.in_flight || rollout->record.state == ROLLOUT_WAITING)
			continue;
		if (stage->bake_until_ms)
			next = earlier(next, stage->bake_until_ms);
		else if (tally.pending && !rollout->paused) /* else a person is waited for */
			next = earlier(next, stage->wave_until_ms);
	}
	return next;
}

struct rollout *rollout_new(struct rollout_record *rollout_record)
{
	struct rollout *rollout = mem_zero(1, sizeof(*rollout));
	size_t next = 0;
	rollout->record = *rollout_record;
	*rollout_record = (struct rollout_record){0};
	rollout->stage_count = rollout->record.stage_count;
	rollout->stages = mem_zero(rollout->stage_count, sizeof(*rollout->stages));
	for (size_t i = 0; i < rollout->stage_count; i++)
		rollout->client_count += rollout->record.stages[i].member_count;
	rollout->clients = mem_zero(rollout->client_count, sizeof(*rollout->clients));
	for (size_t i = 0; i < rollout->stage_count; i++) {
		struct stage_record *stage = &rollout->record.stages[i];
		rollout->stages[i] = (struct rollout_stage){
			.record = stage, .first = next, .count = stage->member_count};
		for (size_t j = 0; j < stage->member_count; j++)
			rollout->clients[next++] =
				(struct rollout_client){.record = &stage->members[j], .stage = i};
	}
	return rollout;
}

void rollout_free(struct rollout *rollout)
{
	if (!rollout)
		return;
	rollout_record_clear(&rollout->record);
	free(rollout->stages);
	free(rollout->clients);
	free(rollout);
}

void rollout_actions_clear(struct rollout_actions *actions)
{
	free(actions->items);
	*actions = (struct rollout_actions){0};
}
