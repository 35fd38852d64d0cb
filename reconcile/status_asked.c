/* What people asked for, in records: pauses and retries. */
#include "base/emit.h"
#include "reconcile/status_parts.h"

void pause_clear(struct pause *pause)
{
	free(pause->reason);
	free(pause->by);
	*pause = (struct pause){0};
}

void pause_copy(struct pause *to, const struct pause *from)
{
	*to = *from;
	to->reason = mem_dup_str(from->reason);
	to->by = mem_dup_str(from->by);
}

static void retry_clear(struct retry *retry)
{
	free(retry->client);
	free(retry->reason);
	free(retry->by);
}

static void retry_copy(struct retry *to, const struct retry *from)
{
	*to = *from;
	to->client = mem_dup_str(from->client);
	to->reason = mem_dup_str(from->reason);
	to->by = mem_dup_str(from->by);
}

void asked_record_clear(struct asked_record *record)
{
	pause_clear(&record->pause);
	for (size_t i = 0; i < record->retry_count; i++)
		retry_clear(&record->retries[i]);
	free(record->retries);
	*record = (struct asked_record){0};
}

void asked_record_copy(struct asked_record *to, const struct asked_record *from)
{
	*to = *from;
	pause_copy(&to->pause, &from->pause);
	to->retries = mem_zero(from->retry_count, sizeof(*to->retries));
	for (size_t i = 0; i < from->retry_count; i++)
		retry_copy(&to->retries[i], &from->retries[i]);
}

void asked_record_add_retry(struct asked_record *record, const struct retry *retry)
{
	size_t drop = record->retry_count == STATUS_RETRIES_MAX ? 1 : 0;
	if (!retry->client)
		drop = record->retry_count;
	for (size_t i = 0; i < drop; i++)
		retry_clear(&record->retries[i]);
	record->retry_count -= drop;
	if (record->retry_count)
		memmove(record->retries, record->retries + drop,
			record->retry_count * sizeof(*record->retries));
	record->retries =
		mem_resize(record->retries, record->retry_count + 1, sizeof(*record->retries));
	retry_copy(&record->retries[record->retry_count++], retry);
}

bool retry_forgives(const struct retry *retry, const char *rollout, const char *client, bool before)
{
	return strcmp(rollout, retry->until) <= 0 &&
	       (!retry->client || before || !strcmp(retry->client, client));
}

const struct retry *asked_record_retry(const struct asked_record *record, const char *rollout)
{
	for (size_t i = record->retry_count; i-- > 0;)
		if (strcmp(rollout, record->retries[i].until) <= 0)
			return &record->retries[i];
	return NULL;
}

void status_put_asked(struct status *status, const struct asked_record *record)
{
	asked_record_clear(&status->asked);
	asked_record_copy(&status->asked, record);
}

void pause_emit(
	struct emitter *emitter, const char *key, const struct pause *pause, const char *was)
{
	if (!pause->paused)
		return;
	emit_map(emitter, key);
	emit_opt(emitter, "was", was);
	emit_opt(emitter, "reason", pause->reason);
	emit_opt(emitter, "by", pause->by);
	emit_time(emitter, "since", pause->since_s);
	emit_close(emitter);
}

bool pause_read(const struct node *map, struct pause *pause, struct error *err)
{
	if (!map || map->kind != NODE_MAP)
		return true;
	if (!record_time(map, "since", &pause->since_s, err))
		return false;
	pause->paused = true;
	pause->reason = mem_dup_str(record_text(map, "reason"));
	pause->by = mem_dup_str(record_text(map, "by"));
	return true;
}

static void emit_retry(struct emitter *emitter, const struct retry *retry)
{
	emit_map(emitter, NULL);
	emit_str(emitter, "until", retry->until);
	emit_opt(emitter, "client", retry->client);
	emit_opt(emitter, "reason", retry->reason);
	emit_opt(emitter, "by", retry->by);
	emit_time(emitter, "at", retry->at_s);
	emit_close(emitter);
}

void asked_record_to_yaml(const struct asked_record *record, struct buf *out)
{
	struct emitter emitter;
	emit_begin(&emitter, EMIT_YAML, out);
	pause_emit(&emitter, "paused", &record->pause, NULL);
	if (record->retry_count)
		emit_list(&emitter, "retried");
	for (size_t i = 0; i < record->retry_count; i++)
		emit_retry(&emitter, &record->retries[i]);
	if (record->retry_count)
		emit_close(&emitter);
	emit_end(&emitter);
}

static bool read_retry(const struct node *map, struct asked_record *record, struct error *err)
{
	const char *until = record_text(map, "until");
	struct retry retry = {.client = mem_dup_str(record_text(map, "client")),
		.reason = mem_dup_str(record_text(map, "reason")),
		.by = mem_dup_str(record_text(map, "by"))};
	bool good = until && strlen(until) < sizeof(retry.until);
	if (good) {
		memcpy(retry.until, until, strlen(until) + 1);
		good = record_time(map, "at", &retry.at_s, err);
	} else {
		node_error(err, map, "a retry needs 'until', a rollout");
	}
	if (good)
		asked_record_add_retry(record, &retry);
	retry_clear(&retry);
	return good;
}

static bool read_asked(const struct node *node, struct asked_record *record, struct error *err)
{
	const struct node *retried = node_get(node, "retried");
	if (!pause_read(node_get(node, "paused"), &record->pause, err))
		return false;
	for (size_t i = 0; retried && retried->kind == NODE_LIST && i < retried->count; i++)
		if (!read_retry(retried->items[i], record, err))
			return false;
	return true;
}

bool asked_record_from_node(
	const struct node *node, struct asked_record *record_out, struct error *err)
{
	struct asked_record record = {0};
	if (!read_asked(node, &record, err)) {
		asked_record_clear(&record);
		return false;
	}
	*record_out = record;
	return true;
}
