/* The state of the machine as one line, and back: its record as the branch has it, and the fields
 * of its structs by tables. A field that is in no table does not survive a replay, so the sizes of
 * the structs are checked when this is compiled. */
#include "base/emit.h"
#include "reconcile/events.h"

#define STATE_MAX ((size_t)16 << 20)

enum field_kind {
	FIELD_BOOL,
	FIELD_INT,
	FIELD_INT64,
	FIELD_UINT32,
	FIELD_SIZE,
	FIELD_TEXT,
	FIELD_BATCHES
};

struct field {
	const char *name;
	enum field_kind kind;
	size_t offset, size;
};

#define FIELD(type, member, kind)                                                                  \
	{                                                                                          \
#member, kind, offsetof(struct type, member), sizeof(((struct type *)0)->member)   \
	}

static const struct field rollout_fields[] = {
	FIELD(rollout, current, FIELD_SIZE),
	FIELD(rollout, roll_back, FIELD_BOOL),
	FIELD(rollout, verify_interval_ms, FIELD_INT64),
	FIELD(rollout, verify_healthy, FIELD_INT64),
	FIELD(rollout, verify_timeout_ms, FIELD_INT64),
	FIELD(rollout, retries, FIELD_INT64),
	FIELD(rollout, unrecorded, FIELD_SIZE),
	FIELD(rollout, paused, FIELD_BOOL),
	FIELD(rollout, superseded, FIELD_BOOL),
	FIELD(rollout, aborted, FIELD_BOOL),
	FIELD(rollout, tells_end, FIELD_BOOL),
	FIELD(rollout, wait_until_ms, FIELD_INT64),
	FIELD(rollout, stopping, FIELD_BOOL),
	FIELD(rollout, ended, FIELD_BOOL),
	FIELD(rollout, resumed, FIELD_BOOL),
	FIELD(rollout, restore, FIELD_INT),
	FIELD(rollout, onboard, FIELD_TEXT),
	FIELD(rollout, upgrade, FIELD_TEXT),
};

static const struct field stage_fields[] = {
	FIELD(rollout_stage, batch, FIELD_BATCHES),
	FIELD(rollout_stage, wave_pause_ms, FIELD_INT64),
	FIELD(rollout_stage, max_failures, FIELD_INT64),
	FIELD(rollout_stage, max_unreachable, FIELD_INT64),
	FIELD(rollout_stage, blocked, FIELD_BOOL),
	FIELD(rollout_stage, closed, FIELD_BOOL),
	FIELD(rollout_stage, opens_s, FIELD_INT64),
	FIELD(rollout_stage, bake_until_ms, FIELD_INT64),
	FIELD(rollout_stage, wave_until_ms, FIELD_INT64),
};

/* `phase` stands there as a word, `waits` of the rollout too. */
static const struct field client_fields[] = {
	FIELD(rollout_client, unproved, FIELD_BOOL),
	FIELD(rollout_client, no_checks, FIELD_BOOL),
	FIELD(rollout_client, has_good, FIELD_BOOL),
	FIELD(rollout_client, activated, FIELD_BOOL),
	FIELD(rollout_client, touched, FIELD_BOOL),
	FIELD(rollout_client, lost, FIELD_BOOL),
	FIELD(rollout_client, unreachable, FIELD_BOOL),
	FIELD(rollout_client, going_back, FIELD_BOOL),
	FIELD(rollout_client, paused, FIELD_BOOL),
	FIELD(rollout_client, stepping, FIELD_BOOL),
	FIELD(rollout_client, begun, FIELD_BOOL),
	FIELD(rollout_client, runs_good, FIELD_BOOL),
	FIELD(rollout_client, has_backup, FIELD_BOOL),
	FIELD(rollout_client, failed, FIELD_BOOL),
	FIELD(rollout_client, round_running, FIELD_BOOL),
	FIELD(rollout_client, restore, FIELD_INT),
	FIELD(rollout_client, order, FIELD_UINT32),
	FIELD(rollout_client, good_rounds, FIELD_INT),
	FIELD(rollout_client, bad_rounds, FIELD_INT),
	FIELD(rollout_client, step, FIELD_SIZE),
	FIELD(rollout_client, attempts, FIELD_INT64),
	FIELD(rollout_client, asked, FIELD_INT64),
	FIELD(rollout_client, verify_until_ms, FIELD_INT64),
	FIELD(rollout_client, next_round_ms, FIELD_INT64),
	FIELD(rollout_client, failure, FIELD_TEXT),
	FIELD(rollout_client, attempt, FIELD_TEXT),
};

#if __SIZEOF_POINTER__ == 8
_Static_assert(sizeof(struct rollout_client) == 808, "a field is missing in client_fields");
_Static_assert(sizeof(struct rollout_stage) == 344, "a field is missing in stage_fields");
_Static_assert(sizeof(struct rollout) - sizeof(struct rollout_record) == 752,
	"a field is missing in rollout_fields");
#endif

/* ---- writing -----------------------------------------------------------------------------------
 */

static void emit_batches(struct emitter *emitter, const char *name, const struct batches *batches)
{
	auto_buf struct buf text = BUF_INIT(1000);
	for (size_t i = 0; i < batches->count; i++)
		buf_addf(&text, "%s%lld%s", i ? "," : "", (long long)batches->items[i].size,
			batches->items[i].percent ? "%" : "");
	emit_opt(emitter, name, text.text);
}

static void emit_field(struct emitter *emitter, const struct field *field, const void *owner)
{
	const void *at = (const char *)owner + field->offset;
	int64_t number = 0;
	if (field->kind == FIELD_TEXT) {
		emit_opt(emitter, field->name, at);
		return;
	}
	if (field->kind == FIELD_BATCHES) {
		emit_batches(emitter, field->name, at);
		return;
	}
	if (field->kind == FIELD_BOOL)
		number = *(const bool *)at;
	else if (field->kind == FIELD_INT)
		number = *(const int *)at;
	else if (field->kind == FIELD_UINT32)
		number = *(const uint32_t *)at;
	else
		memcpy(&number, at, sizeof(number));
	if (number) /* what is left out is 0 */
		emit_int(emitter, field->name, number);
}

static void emit_fields(
	struct emitter *emitter, const struct field *fields, size_t count, const void *owner)
{
	for (size_t i = 0; i < count; i++)
		emit_field(emitter, &fields[i], owner);
}

/* The record, without what the machine does not look at: releases and reasons stand in the record
 * of the branch. */
static void emit_record(struct emitter *emitter, const struct rollout_record *full)
{
	auto_buf struct buf json = BUF_INIT(STATE_MAX);
	struct rollout_record record;
	rollout_record_copy(&record, full);
	for (size_t i = 0; i < record.stage_count; i++)
		for (size_t j = 0; j < record.stages[i].member_count; j++) {
			struct member_record *member = &record.stages[i].members[j];
			strlist_clear(&member->reasons);
			member->from[0] = member->to[0] = '\0';
			member->to_key[0] = member->checks[0] = '\0';
		}
	rollout_record_to_json(&record, &json);
	emit_raw_json(emitter, "record", json.text);
	rollout_record_clear(&record);
}

void event_state_write(const struct rollout *rollout, int64_t wall_s, struct buf *out)
{
	struct emitter emitter;
	emit_begin(&emitter, EMIT_JSON, out);
	emit_str(&emitter, "e", "state");
	emit_int(&emitter, "w", wall_s);
	emit_record(&emitter, &rollout->record);
	emit_map(&emitter, "rollout");
	emit_str(&emitter, "waits", event_wait_word(rollout->waits));
	emit_fields(&emitter, rollout_fields, ARRAY_LEN(rollout_fields), rollout);
	emit_close(&emitter);
	emit_list(&emitter, "stages");
	for (size_t i = 0; i < rollout->stage_count; i++) {
		emit_map(&emitter, NULL);
		emit_fields(&emitter, stage_fields, ARRAY_LEN(stage_fields), &rollout->stages[i]);
		emit_close(&emitter);
	}
	emit_close(&emitter);
	emit_list(&emitter, "clients");
	for (size_t i = 0; i < rollout->client_count; i++) {
		emit_map(&emitter, NULL);
		emit_str(&emitter, "phase", event_phase_word(rollout->clients[i].phase));
		emit_fields(
			&emitter, client_fields, ARRAY_LEN(client_fields), &rollout->clients[i]);
		emit_close(&emitter);
	}
	emit_close(&emitter);
	emit_end(&emitter);
}

/* ---- reading -----------------------------------------------------------------------------------
 */

/* "1,5,25%" */
static bool read_batches(const struct node *node, struct batches *batches, struct error *err)
{
	const char *at = node->text;
	while (node->kind == NODE_STRING && *at && batches->count < BATCHES_MAX) {
		char *end;
		struct batch *batch = &batches->items[batches->count++];
		batch->size = strtoll(at, &end, 10);
		batch->percent = *end == '%';
		end += batch->percent;
		if (end == at || batch->size < 0 || batch->size > INT32_MAX ||
			(*end && *end != ','))
			return node_error(err, node, "no such batch: '%s'", node->text);
		at = end + (*end == ',');
	}
	return (node->kind == NODE_STRING && !*at) || node_error(err, node, "too many batches");
}

static bool read_field(
	const struct node *map, const struct field *field, void *owner, struct error *err)
{
	void *at = (char *)owner + field->offset;
	const struct node *node = node_get(map, field->name);
	bool is_text = field->kind == FIELD_TEXT;
	if (!node)
		return true;
	if (field->kind == FIELD_BATCHES)
		return read_batches(node, at, err);
	if (is_text ? node->kind != NODE_STRING || node->len >= field->size
		    : node->kind != NODE_INT || node->integer < 0 ||
				node->integer > EVENTS_NUMBER_MAX)
		return node_error(err, node, "'%s' is not what it should be", field->name);
	if (is_text)
		memcpy(at, node->text, node->len + 1);
	else if (field->kind == FIELD_BOOL)
		*(bool *)at = node->integer != 0;
	else if (field->kind == FIELD_INT)
		*(int *)at = (int)node->integer;
	else if (field->kind == FIELD_UINT32)
		*(uint32_t *)at = (uint32_t)node->integer;
	else
		memcpy(at, &node->integer, sizeof(node->integer));
	return true;
}

static bool read_fields(const struct node *map, const struct field *fields, size_t count,
	void *owner, struct error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!read_field(map, &fields[i], owner, err))
			return false;
	return true;
}

static bool read_clients(const struct node *list, struct rollout *rollout, struct error *err)
{
	for (size_t i = 0; i < rollout->client_count; i++) {
		const struct node *phase = node_get(list->items[i], "phase");
		if (!phase || phase->kind != NODE_STRING ||
			!event_phase_from_word(phase->text, &rollout->clients[i].phase))
			return node_error(err, list->items[i], "a client needs a known 'phase'");
		if (!read_fields(list->items[i], client_fields, ARRAY_LEN(client_fields),
			    &rollout->clients[i], err))
			return false;
	}
	return true;
}

static bool is_list_of(const struct node *node, size_t count)
{
	return node && node->kind == NODE_LIST && node->count == count;
}

bool event_state_read(const struct node *line, struct rollout **rollout_out, struct error *err)
{
	const struct node *stages = node_get(line, "stages"), *clients = node_get(line, "clients");
	const struct node *fields = node_get(line, "rollout"), *recorded = node_get(line, "record");
	struct rollout_record record;
	if (!recorded || !fields || fields->kind != NODE_MAP)
		return node_error(err, line, "a state needs 'record' and 'rollout'");
	if (!rollout_record_from_node(recorded, &record, err))
		return false;
	auto_rollout struct rollout *rollout = rollout_new(&record);
	const struct node *waits = node_get(fields, "waits");
	if (!waits || !waits->text || !event_wait_from_word(waits->text, &rollout->waits))
		return node_error(err, fields, "a rollout needs a known 'waits'");
	if (!is_list_of(stages, rollout->stage_count) ||
		!is_list_of(clients, rollout->client_count))
		return node_error(err, line, "a state needs its 'stages' and 'clients'");
	if (!read_fields(fields, rollout_fields, ARRAY_LEN(rollout_fields), rollout, err))
		return false;
	for (size_t i = 0; i < rollout->stage_count; i++)
		if (!read_fields(stages->items[i], stage_fields, ARRAY_LEN(stage_fields),
			    &rollout->stages[i], err))
			return false;
	if (!read_clients(clients, rollout, err) || rollout->current > rollout->stage_count)
		return err->code ? false : node_error(err, line, "no such stage");
	*rollout_out = STEAL(rollout);
	return true;
}
