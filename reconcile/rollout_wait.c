/* What a rollout waits for, and who answers. */
#include "base/clock.h"
#include "reconcile/rollout_step.h"

#define AWAY_ASK_MAX_MS 300000 /* between two questions to a host that does not answer */

enum rollout_wait wait_before_start(
	const struct rollout *rollout, const struct rollout_stage *stage, size_t started)
{
	const struct rollout_record *record = &rollout->record;
	if (record->over_limit && !rollout_record_is_approved(record, APPROVES_LIMIT))
		return WAIT_LIMIT;
	if (stage->record->manual && !started &&
		!rollout_record_is_approved(record, stage->record->name))
		return WAIT_APPROVAL;
	if (rollout_record_starts_now(record, stage->record->name))
		return WAIT_NOTHING;
	return stage->closed ? WAIT_WINDOW : WAIT_NOTHING;
}

static bool is_away(const struct rollout_client *client)
{
	return client->phase == PHASE_AWAY;
}

static void name_clients(const struct rollout *rollout,
	bool (*is_meant)(const struct rollout_client *client), struct buf *text)
{
	const struct rollout_stage *stage = &rollout->stages[rollout->current];
	size_t named = 0, left = 0;
	for (size_t i = stage->first; i < stage->first + stage->count; i++) {
		if (!is_meant(&rollout->clients[i]))
			continue;
		if (named < 8)
			buf_addf(text, "%s%s", named++ ? ", " : "",
				rollout->clients[i].record->client);
		else
			left++;
	}
	if (left)
		buf_addf(text, " and %zu more", left);
}

/* Whom a person was told of. */
static bool is_told(const struct rollout_client *client)
{
	return client_is_asking(client) && client->asked;
}

static void describe(const struct rollout *rollout, enum rollout_wait wait, struct buf *text)
{
	const struct rollout_stage *stage = &rollout->stages[rollout->current];
	switch (wait) {
	case WAIT_NOTHING:
		break;
	case WAIT_LIMIT:
		buf_addf(text, "approval: %s", rollout->record.over_limit);
		break;
	case WAIT_APPROVAL:
		buf_addf(text, "approval of %s", stage->record->name);
		break;
	case WAIT_WINDOW:
		buf_addf(text, "the next window of %s", stage->record->name);
		break;
	case WAIT_HOSTS:
		buf_add_str(text, "unreachable hosts: ");
		name_clients(rollout, is_away, text);
		break;
	case WAIT_RESTORE:
		buf_add_str(text, "approval of " APPROVES_RESTORE);
		name_clients(rollout, client_is_asking, text);
		break;
	}
}

static void ask_hosts(struct step *step)
{
	struct rollout *rollout = step->rollout;
	for (size_t i = 0; i < rollout->client_count; i++) {
		struct rollout_client *client = &rollout->clients[i];
		if (client->phase == PHASE_AWAY && !client->next_round_ms && !client->round_running)
			client->next_round_ms =
				step->event->now_ms + wait_ask_again_ms(rollout, client);
	}
}

/* A yes is one to what was asked, not to what is asked later. */
static void note_told(struct rollout *rollout)
{
	for (size_t i = 0; i < rollout->client_count; i++)
		if (client_is_asking(&rollout->clients[i]))
			rollout->clients[i].asked = 1;
}

/* Only time that the question stood open counts, also before a restart. */
static void expire_later(struct step *step)
{
	struct rollout *rollout = step->rollout;
	const struct stage_record *stage = rollout->stages[rollout->current].record;
	int64_t passed_ms = (step->event->wall_s - rollout->record.waits_since_s) * 1000;
	int64_t left_ms = stage->expires_ms - (passed_ms > 0 ? passed_ms : 0);
	rollout->wait_until_ms = step->event->now_ms + (left_ms > 0 ? left_ms : 0);
}

void wait_begin(struct step *step, enum rollout_wait wait)
{
	struct rollout *rollout = step->rollout;
	struct rollout_record *record = &rollout->record;
	auto_buf struct buf text = BUF_INIT(1024);
	if (wait == rollout->waits && wait != WAIT_HOSTS && wait != WAIT_RESTORE)
		return;
	/* Of many who ask one after the other a person is told in one go. */
	if (wait == WAIT_RESTORE && rollout->waits == wait && rollout->unrecorded)
		return;
	describe(rollout, wait, &text);
	bool told = record->state == ROLLOUT_WAITING && record->waits_for &&
		    !strcmp(record->waits_for, text.text);
	rollout->waits = wait;
	record->state = ROLLOUT_WAITING;
	rollout->stages[rollout->current].record->state = STAGE_WAITING;
	if (!told) {
		mem_replace_str(&record->waits_for, text.text);
		record->waits_since_s = step->event->wall_s;
		record->window_opens_s =
			wait == WAIT_WINDOW ? rollout->stages[rollout->current].opens_s : 0;
		step_record(step, FACT_WAITING, 0, rollout->current);
	}
	rollout->wait_until_ms = 0;
	if (wait == WAIT_HOSTS)
		ask_hosts(step);
	else if (wait == WAIT_RESTORE)
		note_told(rollout);
	else if (wait == WAIT_APPROVAL && rollout->stages[rollout->current].record->expires_ms)
		expire_later(step);
}

void wait_forget(struct rollout *rollout)
{
	rollout->waits = WAIT_NOTHING;
	rollout->wait_until_ms = 0;
	rollout->record.state = ROLLOUT_RUNNING;
	rollout->record.waits_since_s = rollout->record.window_opens_s = 0;
	mem_replace_str(&rollout->record.waits_for, NULL);
}

void wait_end(struct step *step)
{
	struct rollout *rollout = step->rollout;
	if (rollout->record.state != ROLLOUT_WAITING)
		return;
	/* A yes is a fact of its own, with the same file. */
	bool told = step->event->kind == EVENT_APPROVE;
	wait_forget(rollout);
	struct rollout_stage *stage = &rollout->stages[rollout->current];
	stage->record->state = stage->bake_until_ms ? STAGE_BAKING : STAGE_RUNNING;
	if (!told)
		step_record(step, FACT_STAGE, 0, rollout->current);
}

static const char *text_or(const char *text, const char *other)
{
	return text && text[0] ? text : other;
}

/* What a yes is a yes to. */
static void describe_answer(const struct rollout *rollout, struct buf *text)
{
	if (rollout->waits == WAIT_LIMIT) {
		buf_add_str(text, APPROVES_LIMIT);
	} else if (rollout->waits == WAIT_RESTORE) {
		buf_add_str(text, APPROVES_RESTORE);
		name_clients(rollout, is_told, text);
	} else {
		buf_add_str(text, rollout->stages[rollout->current].record->name);
	}
}

void wait_on_approve(struct step *step)
{
	struct rollout *rollout = step->rollout;
	bool restore = rollout->waits == WAIT_RESTORE;
	auto_buf struct buf what = BUF_INIT(1024);
	bool now = step->event->now &&
		   (rollout->waits == WAIT_WINDOW || rollout->waits == WAIT_APPROVAL);
	bool answers = rollout_wait_is_for_person(rollout->waits) || now;
	if (!answers || rollout->superseded || rollout->aborted)
		return;
	describe_answer(rollout, &what);
	const struct approval_record approval = {.what = what.text,
		.by = (char *)text_or(step->event->who, "somebody"),
		.reason = (char *)step->event->text,
		.tag = (char *)step->event->tag,
		.now = now,
		.at_s = step->event->wall_s};
	rollout_record_approve(&rollout->record, &approval);
	wait_end(step); /* also while it is paused: one yes is enough */
	step_record(step, FACT_APPROVED, 0, rollout->current);
	if (restore)
		clients_restore(step);
}

void wait_on_abort(struct step *step)
{
	struct rollout *rollout = step->rollout;
	if (rollout->aborted || rollout->ended)
		return;
	const char *who = text_or(step->event->who, "somebody");
	const char *why = text_or(step->event->text, "");
	rollout->aborted = rollout->tells_end = true;
	rollout_record_abort(&rollout->record, who, why, step->event->wall_s);
	strlist_addf(&rollout->record.reasons, "aborted by %s%s%s", who, *why ? ": " : "", why);
}

void wait_expire(struct step *step)
{
	struct rollout *rollout = step->rollout;
	char limit[CLOCK_TEXT_SIZE];
	if (!rollout->wait_until_ms || rollout->aborted || rollout->superseded ||
		rollout->stopping || step->event->now_ms < rollout->wait_until_ms)
		return;
	const struct stage_record *stage = rollout->stages[rollout->current].record;
	auto_free char *why = mem_printf("approval of %s expired: nobody answered within %s",
		stage->name, duration_format(stage->expires_ms, limit));
	rollout->aborted = rollout->tells_end = true;
	rollout_record_abort(&rollout->record, NULL, why, step->event->wall_s);
	strlist_add(&rollout->record.reasons, why);
}

int64_t wait_ask_again_ms(const struct rollout *rollout, const struct rollout_client *client)
{
	int64_t doublings = client->asked < 12 ? client->asked : 12;
	int64_t wait_ms = rollout->verify_interval_ms << doublings;
	return wait_ms < AWAY_ASK_MAX_MS ? wait_ms : AWAY_ASK_MAX_MS;
}
