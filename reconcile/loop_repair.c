/* `drift: repair`: what the hosts do not run any more is put right by a rollout of its own, on the
 * commit of the release that is recorded. Of several commits that of the earliest stage goes first;
 * the next round of questions finds the others again.
 */
#include "base/clock.h"
#include "base/log.h"
#include "reconcile/loop_state.h"

/* Proved there once, and nobody has said that nothing is to be done. */
static bool may_be_repaired(const struct client_record *record)
{
	return record && record->drift.found && !record->drift.repair[0] && !record->hold.held &&
	       !record->pause.paused && !record->unsure &&
	       !strcmp(record->known_good.release, record->current.release);
}

static const struct client_record *found_record(const struct loop *loop, size_t index)
{
	const struct client_record *record =
		status_client(loop->status, loop->drift.found.items[index]);
	return may_be_repaired(record) ? record : NULL;
}

static bool any_before(const struct loop *loop, const struct strlist *stages, const char *stage)
{
	for (size_t i = 0; i < stages->count; i++)
		if (loop_stage_is_before(loop->status, stages->items[i], stage))
			return true;
	return false;
}

static void add_stage(struct strlist *stages, const struct client_record *record)
{
	if (record->stage && !strlist_has(stages, record->stage))
		strlist_add(stages, record->stage);
}

/* Canary first: what is held there counts as changed and not healthy. */
static void find_blocking(const struct loop *loop, struct strlist *stages)
{
	for (size_t i = 0; i < loop->status->client_count; i++) {
		const struct client_record *record = loop->status->clients[i];
		if (record->hold.held && (record->drift.found || record->unsure))
			add_stage(stages, record);
	}
}

static bool is_blocked(
	const struct loop *loop, const struct strlist *stages, const struct client_record *record)
{
	return !record->stage || any_before(loop, stages, record->stage);
}

/* The commit that comes first. */
static const char *first_commit(const struct loop *loop, const struct strlist *blocking)
{
	const struct client_record *first = NULL;
	for (size_t i = 0; i < loop->drift.found.count; i++) {
		const struct client_record *record = found_record(loop, i);
		if (!record || is_blocked(loop, blocking, record))
			continue;
		if (!first || loop_stage_is_before(loop->status, record->stage, first->stage))
			first = record;
	}
	return first ? first->current.commit : NULL;
}

/* All clients of that commit, unless one of another commit stands before them. */
static void choose(struct loop *loop, const char *commit, struct strlist *blocking)
{
	struct strlist *repairs = &loop->drift.repairs;
	strlist_clear(repairs);
	for (size_t i = 0; i < loop->drift.found.count; i++) {
		const struct client_record *record = found_record(loop, i);
		if (record && strcmp(record->current.commit, commit) != 0)
			add_stage(blocking, record);
	}
	for (size_t i = 0; i < loop->drift.found.count; i++) {
		const struct client_record *record = found_record(loop, i);
		if (record && !strcmp(record->current.commit, commit) &&
			!is_blocked(loop, blocking, record))
			strlist_add(repairs, record->client);
	}
}

void loop_repair_drift(struct loop *loop)
{
	auto_strlist struct strlist blocking = STRLIST_INIT;
	struct look_request request = {.instance = loop->instance,
		.leads = loop->leads,
		.state_is_new = loop->state_is_new,
		.epoch = loop->epoch,
		.repair = &loop->drift.repairs};
	find_blocking(loop, &blocking);
	const char *commit =
		loop->status->asked.pause.paused ? NULL : first_commit(loop, &blocking);
	if (commit)
		choose(loop, commit, &blocking);
	strlist_clear(&loop->drift.found);
	if (!commit)
		return;
	(void)snprintf(request.only_commit.hex, sizeof(request.only_commit.hex), "%s", commit);
	loop->drift.looking = true;
	loop->look_running = true;
	git_thread_look(loop->git, request);
}

/* Said at each round, until somebody helps. */
static void tell_refused(const struct loop *loop, const char *why)
{
	for (size_t i = 0; i < loop->drift.repairs.count; i++)
		log_warn("drift is not repaired", LOG_STR("client", loop->drift.repairs.items[i]),
			LOG_STR("reason", why));
}

static void begin(struct loop *loop, struct look_result *result)
{
	struct plan *plan = STEAL(result->plan);
	struct rollout *rollout = rollout_from_plan(plan, loop->status, clock_wall_s());
	rollout->record.drift = true;
	for (size_t i = 0; i < rollout->client_count; i++) {
		const char *client = rollout->clients[i].record->client;
		const struct client_record *record = status_client(loop->status, client);
		strlist_addf(&rollout->record.reasons, "drift of %s: %s", client,
			record && record->drift.what ? record->drift.what : "");
	}
	memcpy(loop->signed_by, result->signed_by, sizeof(loop->signed_by));
	loop_begin(loop, rollout, plan, result->resume_author);
}

void loop_on_repair(struct loop *loop, struct look_result *result, bool may)
{
	loop->drift.looking = false;
	/* This look has seen the head, and planned nothing of it. */
	loop->look_wanted = loop->look_forced = true;
	if (!may || loop->rollout || loop_has_facts(loop) || loop->status->asked.pause.paused)
		return; /* the next round finds it again */
	if (result->refusals.count)
		tell_refused(loop, result->refusals.items[0]);
	else if (!result->plan || !result->plan->changed)
		tell_refused(loop, "its commit renders to another release now");
	else
		begin(loop, result);
}

void loop_repair_failed(struct loop *loop)
{
	loop->drift.looking = false;
}
