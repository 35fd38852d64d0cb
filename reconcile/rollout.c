#include "reconcile/rollout.h"
#include "reconcile/rollout_step.h"
#include <assert.h>

static struct rollout_stage *current_stage(struct rollout *rollout)
{
	return rollout->current < rollout->stage_count ? &rollout->stages[rollout->current] : NULL;
}

static bool starts_nothing(const struct rollout *rollout)
{
	return rollout->superseded || rollout->stopping;
}

/* ---- one stage ------------------------------------------------------------------------------- */

struct tally {
	size_t pending, paused, in_flight, healthy, failed, unreachable;
};

static struct tally stage_tally(const struct rollout *rollout, const struct rollout_stage *stage)
{
	struct tally tally = {0};
	for (size_t i = stage->first; i < stage->first + stage->count; i++) {
		const struct rollout_client *client = &rollout->clients[i];
		bool done_healthy =
			client->phase == PHASE_DONE && client->record->state == MEMBER_HEALTHY;
		tally.failed += client->failed;
		tally.unreachable += client->unreachable;
		if (client->phase == PHASE_PENDING && client->paused)
			tally.paused++;
		else if (client->phase == PHASE_PENDING)
			tally.pending++;
		else if (client->phase == PHASE_HEALTHY || done_healthy)
			tally.healthy++;
		else if (client->phase != PHASE_DONE)
			tally.in_flight++;
	}
	return tally;
}

static bool stage_is_broken(const struct rollout_stage *stage, const struct tally *tally)
{
	return tally->failed > (size_t)stage->max_failures || tally->unreachable > 0;
}

size_t rollout_wave_size(const struct rollout_stage *stage)
{
	size_t size = (size_t)stage->batch;
	if (stage->batch_is_percent)
		size = stage->count * (size_t)stage->batch / 100;
	return size ? size : 1;
}

static void stage_start_wave(struct step *step, struct rollout_stage *stage)
{
	struct rollout *rollout = step->rollout;
	size_t room = rollout_wave_size(stage);
	for (size_t i = stage->first; i < stage->first + stage->count && room; i++) {
		struct rollout_client *client = &rollout->clients[i];
		if (client->phase != PHASE_PENDING || client->paused)
			continue;
		client->phase = PHASE_INTENT;
		client->record->started_s = step->event->wall_s;
		step_record_client(step, FACT_CLIENT_STARTED, i);
		room--;
	}
}

static void stage_bake(struct step *step, struct rollout_stage *stage)
{
	struct rollout *rollout = step->rollout;
	stage->record->state = STAGE_BAKING;
	stage->record->bake_started_s = step->event->wall_s;
	stage->bake_until_ms = step->event->now_ms + stage->record->bake_ms;
	for (size_t i = stage->first; i < stage->first + stage->count; i++)
		if (rollout->clients[i].phase == PHASE_HEALTHY && !rollout->clients[i].no_checks)
			rollout->clients[i].next_round_ms =
				step->event->now_ms + rollout->verify_interval_ms;
	if (stage->record->bake_ms)
		step_record(step, FACT_STAGE, 0, rollout->current);
}

/* Clients that are well when their stage ends keep the release, whatever became of the others. */
static void stage_end_clients(struct step *step, struct rollout_stage *stage)
{
	for (size_t i = stage->first; i < stage->first + stage->count; i++)
		if (step->rollout->clients[i].phase == PHASE_HEALTHY)
			client_end(step, i, MEMBER_HEALTHY);
}

static bool has_members_after(const struct rollout *rollout, size_t stage)
{
	for (size_t i = stage + 1; i < rollout->stage_count; i++)
		if (rollout->stages[i].count)
			return true;
	return false;
}

/* A held client of the stage keeps every later stage from starting. */
static bool stage_blocks(const struct rollout *rollout, size_t index)
{
	return rollout->stages[index].blocked && has_members_after(rollout, index);
}

static void stage_end(struct step *step, struct rollout_stage *stage, enum stage_state state)
{
	struct rollout *rollout = step->rollout;
	size_t index = rollout->current;
	stage->record->state = state;
	stage->bake_until_ms = 0;
	stage_end_clients(step, stage);
	rollout->current = index + 1;
	/* The last stage is told by the rollout's own end. */
	if (state == STAGE_SUCCEEDED && has_members_after(rollout, index) && !stage->blocked)
		step_record(step, FACT_STAGE, 0, index);
}

/* One move of the current stage. @return true if it moved and may move again */
static bool stage_advance(struct step *step, struct rollout_stage *stage)
{
	struct tally tally = stage_tally(step->rollout, stage);
	bool broken = stage_is_broken(stage, &tally);
	if (!stage->count) {
		stage_end(step, stage, STAGE_SKIPPED);
		return !stage_blocks(step->rollout, step->rollout->current - 1);
	}
	if (stage->record->state == STAGE_PENDING)
		stage->record->state = STAGE_RUNNING;
	if (tally.in_flight)
		return false;
	if (broken || (!tally.pending && !tally.paused && !tally.healthy)) {
		stage_end(step, stage, STAGE_FAILED);
		return false;
	}
	if (tally.pending) {
		stage->record->state = STAGE_RUNNING; /* one that was paused comes into the bake */
		stage->bake_until_ms = 0;
		if (!step->rollout->paused)
			stage_start_wave(step, stage);
		return false;
	}
	if (tally.paused && !tally.healthy)
		return false;
	if (!stage->bake_until_ms) {
		stage_bake(step, stage);
		return true;
	}
	if (step->event->now_ms < stage->bake_until_ms)
		return false;
	stage_end(step, stage, STAGE_SUCCEEDED);
	return !stage_blocks(step->rollout, step->rollout->current - 1);
}

/* ---- the rollout ----------------------------------------------------------------------------- */

static bool any_failed(const struct rollout *rollout)
{
	for (size_t i = 0; i < rollout->client_count; i++)
		if (rollout->clients[i].failed || rollout->clients[i].unreachable)
			return true;
	return false;
}

/* Whatever never started, and the stages that hold it, get their last word. */
static void end_rest(struct rollout *rollout, enum member_state member, enum stage_state state)
{
	for (size_t i = 0; i < rollout->client_count; i++) {
		if (rollout->clients[i].phase != PHASE_PENDING)
			continue;
		rollout->clients[i].phase = PHASE_DONE;
		rollout->clients[i].record->state = member;
	}
	for (size_t i = 0; i < rollout->stage_count; i++) {
		struct stage_record *stage = rollout->stages[i].record;
		if (stage->state <= STAGE_WAITING)
			stage->state = rollout->stages[i].count ? state : STAGE_SKIPPED;
		rollout->stages[i].bake_until_ms = 0;
	}
}

static void rollout_finish(struct step *step, enum rollout_state state)
{
	struct rollout *rollout = step->rollout;
	bool superseded = rollout->superseded;
	end_rest(rollout, superseded ? MEMBER_SUPERSEDED : MEMBER_SKIPPED,
		superseded ? STAGE_SUPERSEDED : STAGE_SKIPPED);
	rollout->record.state = state;
	rollout->record.finished_s = step->event->wall_s;
	rollout->ended = true;
	step_record(step, FACT_ROLLOUT_ENDED, 0, 0);
}

/* @return true while an activation runs or its outcome is unknown */
static bool supersede_clients(struct step *step)
{
	struct rollout *rollout = step->rollout;
	bool busy = false;
	for (size_t i = 0; i < rollout->client_count; i++) {
		enum rollout_phase phase = rollout->clients[i].phase;
		if (phase == PHASE_INTENT || phase == PHASE_VERIFY || phase == PHASE_HEALTHY)
			client_end(step, i, MEMBER_SUPERSEDED);
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

static void advance(struct step *step)
{
	struct rollout *rollout = step->rollout;
	struct rollout_stage *stage;
	if (rollout->ended)
		return;
	if (rollout->superseded) {
		if (supersede_clients(step))
			return;
		strlist_addf(
			&rollout->record.reasons, "superseded by %.7s", rollout->superseded_by);
		add_failures(rollout);
		rollout_finish(step, any_failed(rollout) ? ROLLOUT_FAILED : ROLLOUT_SUPERSEDED);
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

static void release_intents(struct step *step)
{
	struct rollout *rollout = step->rollout;
	if (rollout->unrecorded || starts_nothing(rollout))
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
			client_deploy(step, i);
	}
}

static void set_paused(struct rollout *rollout, size_t client, bool paused)
{
	if (client == ROLLOUT_ALL)
		rollout->paused = paused;
	else
		rollout->clients[client].paused = paused;
}

static void dispatch(struct step *step)
{
	struct rollout *rollout = step->rollout;
	const struct rollout_event *event = step->event;
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
	case EVENT_UNREACHABLE:
		client_on_unreachable(step, event->client);
		break;
	case EVENT_ROUND:
		client_on_round(step, event->client);
		break;
	case EVENT_RUNS:
		client_on_runs(step, event->client);
		break;
	case EVENT_SUPERSEDED:
		rollout->superseded = true;
		(void)snprintf(rollout->superseded_by, sizeof(rollout->superseded_by), "%s",
			event->text ? event->text : "");
		break;
	case EVENT_PAUSE:
	case EVENT_RESUME:
		set_paused(rollout, event->client, event->kind == EVENT_PAUSE);
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
		if (client->next_round_ms && !client->round_running)
			next = earlier(next, client->next_round_ms);
		if (client_is_verifying(client))
			next = earlier(next, client->verify_until_ms);
	}
	/* A bake that is over does not end while a client of it goes back: an event tells that. */
	for (size_t i = 0; i < rollout->stage_count; i++)
		if (rollout->stages[i].bake_until_ms && !rollout->superseded &&
			!stage_tally(rollout, &rollout->stages[i]).in_flight)
			next = earlier(next, rollout->stages[i].bake_until_ms);
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
			.record = stage, .first = next, .count = stage->member_count, .batch = 1};
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
