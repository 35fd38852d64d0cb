/* What waits for whom, and the command that moves it on: the answer to "why does nothing happen?".
 */
#include "base/clock.h"
#include "base/emit.h"
#include "server/views_parts.h"

/* The newest rollout of the newest commit, by which it is held or was refused. */
static const struct rollout_record *own_rollout(const struct snapshot *snapshot)
{
	const struct status *status = snapshot->status;
	for (size_t i = 0; i < status->rollout_count; i++)
		if (!rollout_record_is_apart(status->rollouts[i]) &&
			!strcmp(status->rollouts[i]->commit, snapshot->commit))
			return status->rollouts[i];
	return NULL;
}

/* Takes `what` over. */
static void add_one(struct buf *out, char *what, const char *next)
{
	struct emitter emitter;
	if (out->text[out->len - 1] != '[')
		buf_add_char(out, ',');
	emit_begin(&emitter, EMIT_JSON, out);
	emit_str(&emitter, "what", what);
	emit_opt(&emitter, "next", next);
	emit_end(&emitter);
	free(what);
}

static char *answer_of(const struct rollout_record *record)
{
	static const char restore[] = "approval of " APPROVES_RESTORE;
	static const char window[] = "the next window";
	if (!strncmp(record->waits_for, restore, sizeof(restore) - 1))
		return mem_printf("aviary approve %s --reason '...' brings the data back, "
				  "aviary abort %s --reason '...' leaves it as it is",
			record->id, record->id);
	if (!strncmp(record->waits_for, window, sizeof(window) - 1))
		return mem_printf("aviary approve %s --now --reason '...'", record->id);
	if (!strncmp(record->waits_for, "approval", strlen("approval")))
		return mem_printf("aviary approve %s --reason '...'", record->id);
	return NULL;
}

static void add_question(const struct rollout_record *record, struct buf *out)
{
	auto_free char *next = answer_of(record);
	char opens[CLOCK_TEXT_SIZE] = "";
	if (record->window_opens_s)
		(void)clock_format(record->window_opens_s, opens);
	add_one(out,
		mem_printf("rollout %s waits for %s%s%s", record->id, record->waits_for,
			*opens ? ", which opens " : "", opens),
		next);
}

static void add_commit(const struct rollout_record *record, struct buf *out)
{
	const char *reason = record->reasons.count ? record->reasons.items[0] : "";
	if (record->state == ROLLOUT_REFUSED)
		add_one(out, mem_printf("commit %.7s was refused: %s", record->commit, reason),
			!strncmp(reason, PLAN_NONE_STARTS, strlen(PLAN_NONE_STARTS))
				? NULL
				: "push a correction");
	else
		add_one(out,
			mem_printf("commit %.7s is held: rollout %s %s", record->commit, record->id,
				rollout_state_name(record->state)),
			"push a fix, or: aviary retry");
}

void view_add_waits(const struct snapshot *snapshot, struct buf *out)
{
	const struct status *status = snapshot->status;
	const struct rollout_record *running = snapshot->rollout, *own = own_rollout(snapshot);
	const struct pause *pause = &status->asked.pause;
	buf_add_char(out, '[');
	if (running && running->state == ROLLOUT_WAITING && running->waits_for)
		add_question(running, out);
	if (pause->paused)
		add_one(out, mem_dup_str("nothing new starts: the fleet is paused"),
			"aviary resume");
	if (!running && own && own->state != ROLLOUT_SUCCEEDED &&
		own->state != ROLLOUT_SUPERSEDED && rollout_state_is_final(own->state) &&
		!asked_record_retry(&status->asked, own->id))
		add_commit(own, out);
	buf_add_char(out, ']');
}
