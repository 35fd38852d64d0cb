/* One stage of the rollout machine: gates, waves, bake. */
#include "reconcile/rollout_step.h"

struct tally stage_tally(const struct rollout *rollout, const struct rollout_stage *stage)
{
	struct tally tally = {0};
	for (size_t i = stage->first; i < stage->first + stage->count; i++) {
		const struct rollout_client *client = &rollout->clients[i];
		bool done_healthy =
			client->phase == PHASE_DONE && client->record->state == MEMBER_HEALTHY;
		tally.failed += client->failed;
		if (client->phase == PHASE_PENDING && client->paused)
			tally.paused++;
		else if (client->phase == PHASE_PENDING)
			tally.pending++;
		else if (client->phase == PHASE_HEALTHY || done_healthy)
			tally.healthy++;
		else if (client->phase == PHASE_AWAY)
			tally.away++;
		else if (client_is_asking(client))
			tally.asking++;
		else if (client->phase != PHASE_DONE)
			tally.in_flight++;
	}
	return tally;
}

bool stage_is_broken(const struct rollout_stage *stage, const struct tally *tally)
{
	return tally->failed > (size_t)stage->max_failures;
}

size_t rollout_wave_room(const struct rollout *rollout, const struct rollout_stage *stage)
{
	struct tally tally = stage_tally(rollout, stage);
	return batches_room(
		&stage->batch, stage->count, stage->count - tally.pending - tally.paused);
}

static void stage_start_wave(struct step *step, struct rollout_stage *stage, size_t started)
{
	struct rollout *rollout = step->rollout;
	size_t room = batches_room(&stage->batch, stage->count, started);
	stage->wave_until_ms = 0;
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
	for (size_t i = stage->first; i < stage->first + stage->count; i++) {
		enum rollout_phase phase = step->rollout->clients[i].phase;
		if (phase == PHASE_HEALTHY)
			client_end(step, i, MEMBER_HEALTHY);
		else if (phase == PHASE_AWAY)
			client_end(step, i, MEMBER_SKIPPED);
	}
}

static bool has_members_after(const struct rollout *rollout, size_t stage)
{
	for (size_t i = stage + 1; i < rollout->stage_count; i++)
		if (rollout->stages[i].count)
			return true;
	return false;
}

bool stage_blocks(const struct rollout *rollout, size_t index)
{
	return rollout->stages[index].blocked && has_members_after(rollout, index);
}

static void stage_end(struct step *step, struct rollout_stage *stage, enum stage_state state)
{
	struct rollout *rollout = step->rollout;
	size_t index = rollout->current;
	stage->record->state = state;
	stage->bake_until_ms = stage->wave_until_ms = 0;
	stage_end_clients(step, stage);
	rollout->current = index + 1;
	/* The last stage is told by the rollout's own end. */
	if (state == STAGE_SUCCEEDED && has_members_after(rollout, index) && !stage->blocked)
		step_record(step, FACT_STAGE, 0, index);
}

/* @return true while the next wave has to wait for its time */
static bool stage_pauses(struct step *step, struct rollout_stage *stage, size_t started)
{
	if (!started || !stage->wave_pause_ms)
		return false;
	if (!stage->wave_until_ms)
		stage->wave_until_ms = step->event->now_ms + stage->wave_pause_ms;
	return step->event->now_ms < stage->wave_until_ms;
}

static void stage_next_wave(struct step *step, struct rollout_stage *stage, size_t started)
{
	struct rollout *rollout = step->rollout;
	stage->bake_until_ms = 0; /* one that was paused comes into the bake */
	if (rollout->paused)
		return;
	if (stage_pauses(step, stage, started)) {
		wait_end(step); /* the hosts that it waited for are back: now only time is */
		return;
	}
	enum rollout_wait gate = wait_before_start(rollout, stage, started);
	if (gate) {
		wait_begin(step, gate);
		return;
	}
	wait_end(step);
	stage->record->state = STAGE_RUNNING;
	stage_start_wave(step, stage, started);
}

/* Nobody is healthy who would let the stage succeed: for hosts that are away it waits. */
static bool stage_waits_for_hosts(const struct rollout_stage *stage, const struct tally *tally)
{
	if (tally->away > (size_t)stage->max_unreachable)
		return true;
	return tally->away && !tally->pending && !tally->paused && !tally->healthy &&
	       !tally->failed;
}

/* All were started, nobody is in flight. @return true if it moved and may move again */
static bool stage_advance_bake(struct step *step, struct rollout_stage *stage)
{
	wait_forget(step->rollout); /* its bake, or its end, is what is told */
	if (!stage->bake_until_ms) {
		stage_bake(step, stage);
		return true;
	}
	if (step->event->now_ms < stage->bake_until_ms)
		return false;
	stage_end(step, stage, STAGE_SUCCEEDED);
	return !stage_blocks(step->rollout, step->rollout->current - 1);
}

bool stage_advance(struct step *step, struct rollout_stage *stage)
{
	struct tally tally = stage_tally(step->rollout, stage);
	if (!stage->count) {
		stage_end(step, stage, STAGE_SKIPPED);
		return !stage_blocks(step->rollout, step->rollout->current - 1);
	}
	size_t started = stage->count - tally.pending - tally.paused;
	if (stage->record->state == STAGE_PENDING && started)
		stage->record->state = STAGE_RUNNING;
	if (tally.in_flight)
		return false;
	if (tally.asking) {
		wait_begin(step, WAIT_RESTORE);
		return false;
	}
	bool hopeless = !tally.pending && !tally.paused && !tally.healthy;
	if (stage_is_broken(stage, &tally) || (hopeless && (tally.failed || !tally.away))) {
		wait_forget(step->rollout);
		stage_end(step, stage, STAGE_FAILED);
		return false;
	}
	if (stage_waits_for_hosts(stage, &tally)) {
		wait_begin(step, WAIT_HOSTS);
		return false;
	}
	if (tally.pending) {
		stage_next_wave(step, stage, started);
		return false;
	}
	if (tally.paused && !tally.healthy) {
		stage->bake_until_ms = 0; /* whoever baked went back: nothing is left to watch */
		return false;
	}
	return stage_advance_bake(step, stage);
}
