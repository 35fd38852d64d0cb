#include "base/clock.h"
#include "base/emit.h"
#include "reconcile/fact_parts.h"

#define RECORD_LIMIT ((size_t)64 << 20) /* a rollout of 10,000 clients with reasons is 10 MiB */

void fact_free(struct fact *fact)
{
	if (!fact)
		return;
	free(fact->subject);
	free(fact->body);
	strlist_clear(&fact->trailer_keys);
	strlist_clear(&fact->trailer_values);
	for (size_t i = 0; i < fact->file_count; i++) {
		free(fact->files[i].path);
		free(fact->files[i].text);
	}
	free(fact->files);
	free(fact->tag);
	free(fact->tag_message);
	if (fact->client)
		client_record_clear(fact->client);
	free(fact->client);
	if (fact->rollout)
		rollout_record_clear(fact->rollout);
	free(fact->rollout);
	if (fact->asked)
		asked_record_clear(fact->asked);
	free(fact->asked);
	free(fact);
}

void fact_add_trailer(struct fact *fact, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	strlist_add(&fact->trailer_keys, key);
	strlist_add(&fact->trailer_values, value);
}

void fact_add_file(struct fact *fact, char *path, char *text, size_t len)
{
	fact->files = mem_resize(fact->files, fact->file_count + 1, sizeof(*fact->files));
	fact->files[fact->file_count++] = (struct fact_file){path, text, len};
}

void fact_add_client_file(struct fact *fact)
{
	auto_buf struct buf text = BUF_INIT(RECORD_LIMIT);
	client_record_to_yaml(fact->client, &text);
	size_t len = text.len;
	fact_add_file(
		fact, mem_printf("clients/%s.yaml", fact->client->client), buf_steal(&text), len);
}

static void add_rollout_file(struct fact *fact, const struct rollout_record *record)
{
	auto_buf struct buf text = BUF_INIT(RECORD_LIMIT);
	fact->rollout = mem_zero(1, sizeof(*fact->rollout));
	rollout_record_copy(fact->rollout, record);
	rollout_record_to_yaml(record, &text);
	size_t len = text.len;
	fact_add_file(fact, mem_printf("rollouts/%s.yaml", record->id), buf_steal(&text), len);
}

void fact_add_events(struct fact *fact, const char *id, const struct buf *text)
{
	fact_add_file(
		fact, mem_printf("events/%s.jsonl", id), mem_dup(text->text, text->len), text->len);
}

/* The tree keeps the newest records; older ones stay in the branch's history. */
static void prune_rollouts(struct fact *fact, const struct status *status)
{
	for (size_t i = STATUS_ROLLOUTS_MAX - 1; i < status->rollout_count; i++) {
		const struct rollout_record *record = status->rollouts[i];
		if (!rollout_state_is_final(record->state))
			continue;
		fact_add_file(fact, mem_printf("rollouts/%s.yaml", record->id), NULL, 0);
		fact_add_file(fact, mem_printf("events/%s.jsonl", record->id), NULL, 0);
	}
}

void fact_add_duration(struct fact *fact, int64_t from_s, int64_t to_s)
{
	char text[CLOCK_TEXT_SIZE];
	if (from_s && to_s >= from_s)
		fact_add_trailer(fact, "Duration", duration_format((to_s - from_s) * 1000, text));
}

/* ---- the rollout ----------------------------------------------------------------------------- */

void fact_add_reasons(struct fact *fact, const struct strlist *reasons)
{
	for (size_t i = 0; i < reasons->count; i++)
		fact_add_trailer(fact, "Reason", reasons->items[i]);
}

static struct fact *fact_rollout(
	const struct fact_context *context, const char *result, const char *what)
{
	const struct rollout_record *record = &context->rollout->record;
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = mem_printf("rollout(%s): %s", record->id, what);
	fact_add_trailer(fact, "Rollout", record->id);
	fact_add_trailer(fact, "Result", result);
	fact_add_trailer(fact, "Source-Commit", record->commit);
	fact_add_trailer(fact, "Plan", record->plan);
	fact_add_trailer(fact, "Author", context->author);
	fact_add_trailer(fact, "Signed-By", context->signed_by);
	add_rollout_file(fact, record);
	return fact;
}

static void add_forced(struct fact *fact, const struct rollout_record *record)
{
	if (record->forced)
		fact_add_trailer(fact, "Reason", "forced: the tracked branch was rewritten");
}

static struct fact *fact_rollout_started(const struct fact_context *context)
{
	struct fact *fact = fact_rollout(context, "started", "started");
	add_forced(fact, &context->rollout->record);
	fact_add_reasons(fact, &context->rollout->record.reasons);
	prune_rollouts(fact, context->status);
	return fact;
}

static bool healthy_everywhere(const struct rollout *rollout)
{
	for (size_t i = 0; i < rollout->client_count; i++)
		if (rollout->clients[i].record->state != MEMBER_HEALTHY)
			return false;
	return true;
}

static struct fact *fact_rollout_ended(const struct fact_context *context)
{
	const struct rollout_record *record = &context->rollout->record;
	const char *word = rollout_state_name(record->state);
	struct fact *fact = fact_rollout(context, word, word);
	fact_add_duration(fact, record->started_s, record->finished_s);
	fact_add_reasons(fact, &record->reasons);
	if (record->state == ROLLOUT_SUCCEEDED && healthy_everywhere(context->rollout)) {
		fact->tag = mem_printf("deploy/%s", record->id);
		memcpy(fact->tag_commit, record->commit, sizeof(fact->tag_commit));
		fact->tag_message = mem_printf("rollout %s succeeded", record->id);
	}
	return fact;
}

static struct fact *fact_stage(const struct fact_context *context, size_t index)
{
	const struct rollout_record *record = &context->rollout->record;
	const struct stage_record *stage = &record->stages[index];
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = mem_printf("rollout(%s): stage %s %s", record->id, stage->name,
		stage_state_name(stage->state));
	fact_add_trailer(fact, "Rollout", record->id);
	fact_add_trailer(fact, "Stage", stage->name);
	fact_add_trailer(fact, "Source-Commit", record->commit);
	fact_add_trailer(fact, "Plan", record->plan);
	add_rollout_file(fact, record);
	return fact;
}

static struct fact *fact_waiting(const struct fact_context *context)
{
	const struct rollout_record *record = &context->rollout->record;
	auto_free char *what = mem_printf("waiting for %s", record->waits_for);
	return fact_rollout(context, "waiting", what);
}

static struct fact *fact_approved(const struct fact_context *context)
{
	const struct rollout_record *record = &context->rollout->record;
	const struct approval_record *approval = &record->approvals[record->approval_count - 1];
	struct fact *fact = mem_zero(1, sizeof(*fact));
	auto_free char *what = approval_record_what(approval);
	fact->subject = mem_printf("approve(%s): %s", record->id, what);
	fact_add_trailer(fact, "Rollout", record->id);
	bool restore = !strncmp(approval->what, APPROVES_RESTORE, strlen(APPROVES_RESTORE));
	if (restore)
		fact_add_trailer(fact, "Stage", record->stages[context->rollout->current].name);
	else if (strcmp(approval->what, APPROVES_LIMIT) != 0)
		fact_add_trailer(fact, "Stage", approval->what);
	fact_add_trailer(fact, "Source-Commit", record->commit);
	fact_add_trailer(fact, "Plan", record->plan);
	fact_add_trailer(fact, "Approved-By", approval->by);
	fact_add_trailer(fact, "Reason", approval->reason);
	add_rollout_file(fact, record);
	return fact;
}

static struct fact *fact_ending(const struct fact_context *context)
{
	const struct rollout_record *record = &context->rollout->record;
	const struct abort_record *abort = &record->abort;
	auto_free char *what = rollout_record_ending(record);
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = mem_printf("rollout(%s): ending, %s", record->id, what);
	fact_add_trailer(fact, "Rollout", record->id);
	fact_add_trailer(fact, "Source-Commit", record->commit);
	fact_add_trailer(fact, "Plan", record->plan);
	fact_add_trailer(fact, "Author", abort->by);
	fact_add_trailer(fact, "Reason", abort->reason);
	add_rollout_file(fact, record);
	return fact;
}

/* ---- one fact ------------------------------------------------------------------------------- */

struct fact *fact_from_action(
	const struct fact_context *context, const struct rollout_action *action)
{
	switch (action->fact) {
	case FACT_ROLLOUT_STARTED:
		return fact_rollout_started(context);
	case FACT_CLIENT_STARTED:
		return fact_client_started(context, action->client);
	case FACT_CLIENT_BACKUP:
		return fact_client_backup(context, action->client);
	case FACT_CLIENT_ASKS:
		return fact_client_asks(context, action->client);
	case FACT_CLIENT_BACK:
		return fact_client_back(context, action->client);
	case FACT_CLIENT_RETRY:
		return fact_client_retry(context, action->client);
	case FACT_CLIENT_WAITING:
		return fact_client_waiting(context, action->client);
	case FACT_WAITING:
		return fact_waiting(context);
	case FACT_APPROVED:
		return fact_approved(context);
	case FACT_ENDING:
		return fact_ending(context);
	case FACT_STAGE:
		return fact_stage(context, action->stage);
	case FACT_CLIENT_ENDED:
		return fact_client_ended(context, action->client);
	case FACT_CLIENT_HELD:
		return fact_client_held(context, action->client);
	case FACT_ROLLOUT_ENDED:
		return fact_rollout_ended(context);
	}
	abort(); /* every fact is named above; the compiler says if one is not */
}

/* ---- facts without a running rollout -----------------------------------------------------------
 */

struct fact *fact_refused(
	const struct status *status, const struct refusal *refusal, int64_t wall_s)
{
	struct rollout_record record = {.state = ROLLOUT_REFUSED,
		.forced = refusal->forced,
		.started_s = wall_s,
		.finished_s = wall_s};
	struct fact *fact = mem_zero(1, sizeof(*fact));
	rollout_id_make(status, wall_s, refusal->commit, record.id);
	(void)snprintf(record.commit, sizeof(record.commit), "%s", refusal->commit);
	(void)snprintf(record.plan, sizeof(record.plan), "%s", refusal->plan);
	strlist_copy(&record.reasons, refusal->reasons);
	fact->subject = mem_printf("rollout(%s): refused", record.id);
	fact_add_trailer(fact, "Rollout", record.id);
	fact_add_trailer(fact, "Result", "refused");
	fact_add_trailer(fact, "Source-Commit", refusal->commit);
	fact_add_trailer(fact, "Plan", refusal->plan);
	add_forced(fact, &record);
	fact_add_reasons(fact, refusal->reasons);
	add_rollout_file(fact, &record);
	prune_rollouts(fact, status);
	rollout_record_clear(&record);
	return fact;
}

struct fact *fact_drift(const struct client_record *record)
{
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = mem_printf("drift(%s): the host runs release %.8s, taken from it",
		record->client, record->current.release + strlen("sha256:"));
	fact_add_trailer(fact, "Client", record->client);
	fact_add_trailer(fact, "Stage", record->stage);
	fact_add_trailer(fact, "Source-Commit", record->current.commit);
	fact_add_trailer(fact, "Release", record->current.release);
	fact->client = mem_zero(1, sizeof(*fact->client));
	client_record_copy(fact->client, record);
	fact_add_client_file(fact);
	return fact;
}

struct fact *fact_leader(
	const char *instance, int64_t epoch, const struct request *request, int64_t wall_s)
{
	auto_buf struct buf text = BUF_INIT(1024);
	struct emitter emitter;
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = mem_printf("leader(%s): epoch %lld", instance, (long long)epoch);
	fact_add_trailer(fact, "Author", request ? request->by : NULL);
	fact_add_trailer(fact, "Reason", request ? request->reason : NULL);
	emit_begin(&emitter, EMIT_YAML, &text);
	emit_str(&emitter, "instance", instance);
	emit_int(&emitter, "epoch", epoch);
	emit_time(&emitter, "since", wall_s);
	emit_end(&emitter);
	size_t len = text.len;
	fact_add_file(fact, mem_dup_str("leader.yaml"), buf_steal(&text), len);
	return fact;
}

struct fact *fact_digest_keys(const char *key_id, const char *what, const char *text, size_t len)
{
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = mem_printf("key(%s): %s", key_id, what);
	fact_add_file(fact, mem_dup_str("digest-key.sops.yaml"), mem_dup(text, len), len);
	return fact;
}
