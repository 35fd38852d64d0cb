#include "base/clock.h"
#include "reconcile/rollout_step.h"

#define RETRY_FIRST_MS 1000 /* before an attempt is repeated; doubled each time */
#define RETRY_MAX_MS   60000

static void act(struct step *step, struct rollout_action action)
{
	struct rollout_actions *actions = step->actions;
	mem_grow(actions->items, actions->count, actions->capacity);
	actions->items[actions->count++] = action;
}

void act_client(struct step *step, enum rollout_action_kind kind, size_t client)
{
	act(step, (struct rollout_action){.kind = kind,
			  .client = client,
			  .order = ++step->rollout->clients[client].order,
			  .stage = step->rollout->clients[client].stage});
}

void step_record(struct step *step, enum rollout_fact fact, size_t client, size_t stage)
{
	step->rollout->unrecorded++;
	act(step, (struct rollout_action){
			  .kind = ACTION_RECORD, .fact = fact, .client = client, .stage = stage});
}

void step_record_client(struct step *step, enum rollout_fact fact, size_t client)
{
	step_record(step, fact, client, step->rollout->clients[client].stage);
}

void client_end(struct step *step, size_t index, enum member_state state)
{
	struct rollout_client *client = &step->rollout->clients[index];
	bool touched = client->record->started_s != 0;
	client->phase = PHASE_DONE;
	client->round_running = false;
	client->next_round_ms = 0;
	client->record->state = state;
	if (!touched)
		return; /* told only in the rollout's last record */
	client->record->finished_s = step->event->wall_s;
	/* A wave is over when the last of it is; that can be in the bake. */
	step->rollout->stages[client->stage].wave_until_ms = 0;
	step_record_client(step, FACT_CLIENT_ENDED, index);
	if (client->failed)
		step_record_client(step, FACT_CLIENT_HELD, index);
}

void client_verify(struct step *step, size_t index, enum rollout_phase phase)
{
	struct rollout_client *client = &step->rollout->clients[index];
	client->phase = phase;
	client->record->state = MEMBER_VERIFYING;
	client->good_rounds = 0;
	client->bad_rounds = 0;
	client->round_running = false;
	client->next_round_ms = step->event->now_ms;
	client->verify_until_ms = step->event->now_ms + step->rollout->verify_timeout_ms;
}

void client_deploy(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	client->step = pipeline_find(rollout_pipeline(step->rollout, client), STEP_DEPLOY);
	client->stepping = false;
	client->phase = PHASE_DEPLOY;
	client->record->state = MEMBER_DEPLOYING;
	act_client(step, ACTION_DEPLOY, index);
}

void client_fail(struct step *step, size_t index, const char *why)
{
	struct rollout_client *client = &step->rollout->clients[index];
	bool was_back = client->phase == PHASE_BACK || client->phase == PHASE_BACK_VERIFY ||
			(client->phase == PHASE_RESUME && client->going_back);
	bool untouched = rollout_client_is_untouched(step->rollout, client);
	if (was_back) {
		char first[sizeof(client->failure)];
		memcpy(first, client->failure, sizeof(first));
		(void)snprintf(client->failure, sizeof(client->failure),
			"rollback failed: %.200s (after: %.200s)", why ? why : "", first);
	} else {
		(void)snprintf(client->failure, sizeof(client->failure), "%s", why ? why : "");
	}
	client->failed = true;
	if (!was_back && !untouched && step->rollout->roll_back && client->has_good)
		client_way_back(step, index);
	else
		client_end(step, index, MEMBER_FAILED);
}

static void client_enough_good_rounds(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	client->next_round_ms = 0;
	if (client->phase == PHASE_BACK_VERIFY) {
		client_end(step, index, MEMBER_ROLLED_BACK);
		return;
	}
	client->step++;
	client_go_on(step, index);
}

bool client_is_verifying(const struct rollout_client *client)
{
	return client->phase == PHASE_VERIFY || client->phase == PHASE_BACK_VERIFY;
}

static void client_timed_out(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	char why[sizeof(client->failure)], last[sizeof(client->failure)], limit[CLOCK_TEXT_SIZE];
	memcpy(last, client->failure, sizeof(last));
	(void)snprintf(why, sizeof(why), "not healthy within %s%s%.400s",
		duration_format(step->rollout->verify_timeout_ms, limit), last[0] ? ": " : "",
		last);
	client_fail(step, index, why);
}

void client_on_round(struct step *step, size_t index)
{
	struct rollout *rollout = step->rollout;
	struct rollout_client *client = &rollout->clients[index];
	if (!client->round_running)
		return; /* its wait was cut short meanwhile */
	client->round_running = false;
	client->next_round_ms = step->event->now_ms + rollout->verify_interval_ms;
	if (step->event->ok) {
		client->good_rounds++;
		client->bad_rounds = 0;
	} else {
		client->good_rounds = 0;
		client->bad_rounds++;
		/* While going back, `failure` keeps why the release failed. */
		if (client->phase != PHASE_BACK_VERIFY)
			(void)snprintf(client->failure, sizeof(client->failure), "%s",
				step->event->text ? step->event->text : "");
	}
	if (client_is_verifying(client)) {
		if (client->good_rounds >= rollout->verify_healthy)
			client_enough_good_rounds(step, index);
		else if (step->event->now_ms >= client->verify_until_ms)
			client_timed_out(step, index);
	} else if (client->phase == PHASE_HEALTHY &&
		   client->bad_rounds >= rollout->verify_healthy) {
		client_fail(step, index, step->event->text);
	}
}

bool client_is_past_failures(const struct rollout *rollout, const struct rollout_client *client)
{
	const struct rollout_stage *stage = &rollout->stages[client->stage];
	struct tally tally = stage_tally(rollout, stage);
	return stage_is_broken(stage, &tally);
}

/* Its host is untouched; else what begun there is brought to an end. */
static bool client_begins(const struct rollout_client *client)
{
	return !client->going_back && !client->touched && !client->activated;
}

/* The same again, once its time has come; the way back waits for no remote. */
static void client_try_again(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	bool begins = client_begins(client);
	if ((begins || client->stepping) && !rollout_may_start(step->rollout))
		return;
	if (!client->going_back && step->rollout->unrecorded)
		return;
	if (begins && client_is_past_failures(step->rollout, client)) {
		client_end(step, index, MEMBER_SKIPPED); /* its host is untouched */
		return;
	}
	client->next_round_ms = 0;
	if (client->stepping) {
		client_step_again(step, index);
		return;
	}
	client->phase = client->going_back ? PHASE_BACK : PHASE_DEPLOY;
	act_client(step, client->going_back ? ACTION_BACK : ACTION_DEPLOY, index);
}

/* Ask for the rounds that are due, and end the waits whose time is over. */
void client_tick(struct step *step, size_t index)
{
	struct rollout *rollout = step->rollout;
	struct rollout_client *client = &rollout->clients[index];
	if (rollout->stopping) /* no rounds are asked for any more, so none can be late */
		return;
	if (client_is_verifying(client) && client->no_checks) {
		client_enough_good_rounds(step, index);
		if (client->phase != PHASE_STEP)
			return;
	}
	if (client->phase == PHASE_STEP) {
		client_walk(step, index);
		return;
	}
	if (client->phase == PHASE_ASK) {
		client_tick_ask(step, index);
		return;
	}
	if (client_is_verifying(client) && step->event->now_ms >= client->verify_until_ms) {
		client_timed_out(step, index);
		return;
	}
	bool asking = client->phase == PHASE_RESUME || client->phase == PHASE_AWAY;
	if (client->round_running || !client->next_round_ms ||
		step->event->now_ms < client->next_round_ms)
		return;
	if (client->phase == PHASE_RETRY) {
		client_try_again(step, index);
		return;
	}
	if (!asking && !client_is_verifying(client) && client->phase != PHASE_HEALTHY)
		return;
	client->round_running = true;
	act_client(step, asking ? ACTION_ASK : ACTION_ROUND, index);
}

bool client_retries(struct step *step, size_t index, const char *why)
{
	struct rollout *rollout = step->rollout;
	struct rollout_client *client = &rollout->clients[index];
	bool gives_up = (client_begins(client) || client->stepping) &&
			(rollout->superseded || rollout->aborted);
	if (client->attempts >= rollout->retries || gives_up)
		return false;
	int64_t wait_ms = RETRY_FIRST_MS << (client->attempts < 6 ? client->attempts : 6);
	client->attempts++;
	client->next_round_ms =
		step->event->now_ms + (wait_ms < RETRY_MAX_MS ? wait_ms : RETRY_MAX_MS);
	client->phase = PHASE_RETRY;
	if (!client->activated || client->going_back)
		client->record->state = MEMBER_DEPLOYING;
	(void)snprintf(client->attempt, sizeof(client->attempt), "%s", why ? why : "");
	step_record_client(step, FACT_CLIENT_RETRY, index);
	return true;
}

/* Its host could not be reached, and is untouched: others may go on without it. */
static void client_is_away(struct step *step, size_t index, const char *why)
{
	struct rollout_client *client = &step->rollout->clients[index];
	(void)snprintf(client->failure, sizeof(client->failure), "%s", why ? why : "");
	client->unreachable = true;
	client->stepping = false;
	client->phase = PHASE_AWAY;
	client->record->state = MEMBER_WAITING;
	client->next_round_ms = 0;
	step_record_client(step, FACT_CLIENT_WAITING, index);
}

/* The connection was lost before the activation was over: repeated as what may pass by itself. */
void client_try_lost(struct step *step, size_t index, bool untouched)
{
	static const char why[] = "the connection was lost while it was activated";
	struct rollout *rollout = step->rollout;
	struct rollout_client *client = &rollout->clients[index];
	client->lost = false;
	client->touched |= !untouched && !client->going_back;
	client->begun = client->touched || client->going_back;
	if (untouched && !client->touched && (rollout->superseded || rollout->aborted))
		client->phase = PHASE_INTENT; /* is ended with the other waits */
	else if (client_retries(step, index, why))
		return;
	else if (untouched && !client->touched)
		client_is_away(step, index, why);
	else
		client_fail(step, index, why);
}

static void resume(struct step *step, size_t index, enum rollout_runs runs)
{
	struct rollout_client *client = &step->rollout->clients[index];
	if (client->going_back || runs == RUNS_BACK || runs == RUNS_BACK_UNSURE) {
		client_resume_back(step, index, runs == RUNS_BACK);
	} else if (runs == RUNS_TARGET) {
		client->activated = client->begun = true;
		client->touched = false;
		client->step =
			pipeline_find(rollout_pipeline(step->rollout, client), STEP_DEPLOY) + 1;
		client_go_on(step, index);
	} else if (client->lost) {
		client_try_lost(step, index, runs == RUNS_UNTOUCHED);
	} else if (runs == RUNS_UNTOUCHED) {
		client->begun = client->unproved;
		client->phase = PHASE_INTENT;
	} else if (step->rollout->unrecorded || step->rollout->stopping) {
		/* nothing starts: ask again, if need be after the restart */
		client->next_round_ms = step->event->now_ms + step->rollout->verify_interval_ms;
	} else {
		client->unproved = false;
		client->touched = client->begun = true;
		client_deploy(step, index);
	}
}

/* An answer means that the host is back; silence, that it is asked again later. */
static void client_on_answer_of_away(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	client->round_running = false;
	client->next_round_ms = 0;
	if (!step->event->ok) {
		client->next_round_ms =
			step->event->now_ms + wait_ask_again_ms(step->rollout, client);
		client->asked++;
		return;
	}
	client->asked++; /* one that answers, and cannot be activated, is asked less and less often
			  */
	client->attempts = 0;
	client->unreachable = client->lost = false;
	client->failure[0] = '\0';
	client->record->state = MEMBER_PENDING;
	if (step->event->runs == RUNS_UNTOUCHED) { /* it starts again, in a wave like any other */
		client->phase = PHASE_PENDING;
		return;
	}
	struct rollout_stage *stage = &step->rollout->stages[client->stage];
	if (stage->bake_until_ms) { /* whoever comes into a bake is watched as long as the others */
		stage->bake_until_ms = 0;
		stage->record->state = STAGE_RUNNING;
	}
	client->phase = PHASE_RESUME;
	client->verify_until_ms = step->event->now_ms + step->rollout->verify_timeout_ms;
	resume(step, index, step->event->runs);
}

void client_on_runs(struct step *step, size_t index)
{
	struct rollout *rollout = step->rollout;
	struct rollout_client *client = &rollout->clients[index];
	client->order++; /* the same answer, should it come again, is an old one */
	if (client->phase == PHASE_AWAY) {
		client_on_answer_of_away(step, index);
		return;
	}
	if (client->phase != PHASE_RESUME)
		return;
	client->round_running = false;
	client->next_round_ms = 0;
	if (!step->event->ok) { /* the host did not answer: ask again until the deadline */
		client->next_round_ms = step->event->now_ms + rollout->verify_interval_ms;
		if (step->event->now_ms >= client->verify_until_ms)
			client_fail(step, index, step->event->text);
		return;
	}
	resume(step, index, step->event->runs);
}

void client_on_deployed(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	if (client->phase != PHASE_DEPLOY && client->phase != PHASE_BACK)
		return;
	if (client->phase == PHASE_DEPLOY && (step->event->ok || !step->event->untouched))
		client->begun = true;
	if (!step->event->ok) {
		if (!step->event->transient || !client_retries(step, index, step->event->text))
			client_fail(step, index, step->event->text);
		return;
	}
	client->touched = false;
	client->asked = 0;
	client->activated = client->phase == PHASE_DEPLOY;
	if (!client->activated) {
		client_verify(step, index, PHASE_BACK_VERIFY);
		return;
	}
	client->step++;
	client_go_on(step, index);
}

static bool is_working(const struct rollout_client *client)
{
	return client->phase == PHASE_DEPLOY || client->phase == PHASE_BACK ||
	       (client->phase == PHASE_STEP && client->round_running);
}

void client_on_unreachable(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	if (!is_working(client))
		return;
	client->round_running = false;
	if (client_retries(step, index, step->event->text))
		return;
	if (client->phase == PHASE_BACK || client->touched || client->activated)
		client_fail(step, index, step->event->text);
	else
		client_is_away(step, index, step->event->text);
}

void client_on_unsure(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	if (!is_working(client))
		return;
	client->round_running = false;
	if (client->phase == PHASE_STEP) { /* it may be repeated, and tells nothing of releases */
		client_step_lost(step, index);
		return;
	}
	client->phase = PHASE_RESUME;
	client->lost = true;
	client->begun = true; /* until the host says otherwise */
	client->next_round_ms = step->event->now_ms;
	client->verify_until_ms = step->event->now_ms + step->rollout->verify_timeout_ms;
}
