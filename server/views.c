#include "server/views.h"
#include "base/emit.h"
#include "server/views_parts.h"

/* Appends `"key":`, after a comma where something stands before. */
static void add_key(struct buf *out, const char *key)
{
	char before = out->len ? out->text[out->len - 1] : '{';
	buf_addf(out, "%s\"%s\":", before == '{' || before == '[' ? "" : ",", key);
}

static void add_client_list(const struct snapshot *snapshot, struct buf *out)
{
	buf_add_char(out, '[');
	for (size_t i = 0; i < snapshot->status->client_count; i++) {
		if (i)
			buf_add_char(out, ',');
		client_record_to_json(snapshot->status->clients[i], out);
	}
	buf_add_char(out, ']');
}

static bool is_running(const struct snapshot *snapshot, const char *id)
{
	return snapshot->rollout && !strcmp(snapshot->rollout->id, id);
}

/* What only the machine knows of a client: rounds, and what the last bad one said. */
static void add_progress(const struct snapshot *snapshot, struct buf *out)
{
	buf_add_char(out, '{');
	for (size_t i = 0; i < snapshot->member_count; i++) {
		const struct snapshot_member *member = &snapshot->members[i];
		struct emitter emitter;
		add_key(out, member->client);
		emit_begin(&emitter, EMIT_JSON, out);
		emit_int(&emitter, "good_rounds", member->good_rounds);
		emit_int(&emitter, "wanted_rounds", member->wanted_rounds);
		if (member->going_back)
			emit_bool(&emitter, "going_back", true);
		emit_opt(&emitter, "step", member->step);
		emit_opt(&emitter, "detail", member->detail);
		emit_end(&emitter);
	}
	buf_add_char(out, '}');
}

static void add_rollout(
	const struct snapshot *snapshot, const struct rollout_record *record, struct buf *out)
{
	if (!is_running(snapshot, record->id)) {
		rollout_record_to_json(record, out);
		return;
	}
	rollout_record_to_json(snapshot->rollout, out);
	buf_truncate(out, out->len - 1); /* its closing brace */
	add_key(out, "progress");
	add_progress(snapshot, out);
	buf_add_char(out, '}');
}

static void add_held(const struct snapshot *snapshot, struct buf *out)
{
	bool first = true;
	buf_add_char(out, '[');
	for (size_t i = 0; i < snapshot->status->client_count; i++) {
		const struct client_record *record = snapshot->status->clients[i];
		struct emitter emitter;
		if (!record->hold.held)
			continue;
		if (!first)
			buf_add_char(out, ',');
		first = false;
		emit_begin(&emitter, EMIT_JSON, out);
		emit_str(&emitter, "client", record->client);
		emit_opt(&emitter, "commit", record->hold.commit);
		emit_opt(&emitter, "release", record->hold.release);
		emit_opt(&emitter, "reason", record->hold.reason);
		emit_end(&emitter);
	}
	buf_add_char(out, ']');
}

static void add_one_paused(const char *client, const struct pause *pause, struct buf *out)
{
	struct emitter emitter;
	if (!pause->paused)
		return;
	if (out->text[out->len - 1] != '[')
		buf_add_char(out, ',');
	emit_begin(&emitter, EMIT_JSON, out);
	emit_str(&emitter, "client", client);
	emit_opt(&emitter, "reason", pause->reason);
	emit_opt(&emitter, "by", pause->by);
	emit_time(&emitter, "since", pause->since_s);
	emit_end(&emitter);
}

/* The fleet has no client's name: null. */
static void add_paused(const struct snapshot *snapshot, struct buf *out)
{
	const struct status *status = snapshot->status;
	buf_add_char(out, '[');
	add_one_paused(NULL, &status->asked.pause, out);
	for (size_t i = 0; i < status->client_count; i++)
		add_one_paused(status->clients[i]->client, &status->clients[i]->pause, out);
	buf_add_char(out, ']');
}

static void add_pinned(const struct snapshot *snapshot, struct buf *out)
{
	buf_add_char(out, '[');
	for (size_t i = 0; i < snapshot->status->client_count; i++) {
		const struct client_record *record = snapshot->status->clients[i];
		struct emitter emitter;
		if (!record->pin.pinned)
			continue;
		if (out->text[out->len - 1] != '[')
			buf_add_char(out, ',');
		emit_begin(&emitter, EMIT_JSON, out);
		emit_str(&emitter, "client", record->client);
		emit_str(&emitter, "until", record->pin.until);
		emit_opt(&emitter, "reason", record->pin.reason);
		emit_time(&emitter, "since", record->pin.since_s);
		emit_end(&emitter);
	}
	buf_add_char(out, ']');
}

static void add_vanished(const struct snapshot *snapshot, struct buf *out)
{
	buf_add_char(out, '[');
	for (size_t i = 0; i < snapshot->vanished.count; i++) /* names need no escaping */
		buf_addf(out, "%s\"%s\"", i ? "," : "", snapshot->vanished.items[i]);
	buf_add_char(out, ']');
}

static void add_leader(const struct snapshot *snapshot, struct buf *out)
{
	struct emitter emitter;
	emit_begin(&emitter, EMIT_JSON, out);
	emit_opt(&emitter, "instance", snapshot->leader);
	emit_int(&emitter, "epoch", snapshot->epoch);
	emit_end(&emitter);
}

static void add_text(struct buf *out, const char *key, const char *text)
{
	add_key(out, key);
	if (!text || !*text) {
		buf_add_str(out, "null");
		return;
	}
	buf_add_char(out, '"');
	buf_add_json(out, text, strlen(text));
	buf_add_char(out, '"');
}

void view_status(const struct snapshot *snapshot, struct buf *out)
{
	const struct status *status = snapshot->status;
	buf_add_char(out, '{');
	add_key(out, "leader");
	add_leader(snapshot, out);
	add_text(out, "commit", snapshot->commit);
	add_text(out, "subject", snapshot->commit_subject);
	add_text(out, "author", snapshot->commit_author);
	add_key(out, "ready");
	buf_add_str(out, snapshot->ready ? "true" : "false");
	add_key(out, "idle");
	buf_add_str(out, snapshot->idle ? "true" : "false");
	add_key(out, "looks");
	buf_addf(out, "%llu", (unsigned long long)snapshot->looks);
	add_text(out, "problem", snapshot->ready ? snapshot->problem : snapshot->not_ready);
	add_key(out, "rollout");
	if (snapshot->rollout)
		add_rollout(snapshot, snapshot->rollout, out);
	else if (status->rollout_count)
		add_rollout(snapshot, status->rollouts[0], out);
	else
		buf_add_str(out, "null");
	add_key(out, "waits");
	view_add_waits(snapshot, out);
	add_key(out, "held");
	add_held(snapshot, out);
	add_key(out, "paused");
	add_paused(snapshot, out);
	add_key(out, "pinned");
	add_pinned(snapshot, out);
	add_key(out, "vanished");
	add_vanished(snapshot, out);
	add_key(out, "clients");
	add_client_list(snapshot, out);
	buf_add_char(out, '}');
}

void view_clients(const struct snapshot *snapshot, struct buf *out)
{
	buf_add_str(out, "{\"clients\":");
	add_client_list(snapshot, out);
	buf_add_char(out, '}');
}

void view_rollouts(const struct snapshot *snapshot, struct buf *out)
{
	const struct status *status = snapshot->status;
	buf_add_str(out, "{\"rollouts\":[");
	for (size_t i = 0; i < status->rollout_count; i++) {
		if (i)
			buf_add_char(out, ',');
		add_rollout(snapshot, status->rollouts[i], out);
	}
	buf_add_str(out, "]}");
}

bool view_rollout(const struct snapshot *snapshot, const char *id, struct buf *out)
{
	const struct rollout_record *record = status_rollout(snapshot->status, id);
	if (record)
		add_rollout(snapshot, record, out);
	return record != NULL;
}

bool view_client(const struct snapshot *snapshot, const char *name, struct buf *out)
{
	const struct client_record *record = status_client(snapshot->status, name);
	if (record)
		client_record_to_json(record, out);
	return record != NULL;
}
