#include "reconcile/events.h"
#include "base/emit.h"

struct event_log {
	struct buf text;
	int64_t base_ms;   /* when it began: times count from here */
	int64_t wall_s;    /* as told last */
	int64_t *asked_ms; /* per client, when its round was asked for */
	uint64_t print;    /* of the state after the last step */
	bool cut;
};

/* ---- what decides something --------------------------------------------------------------------
 */

static uint64_t stir(uint64_t print, uint64_t word)
{
	print = (print ^ word) * 0x9E3779B97F4A7C15u;
	return print ^ print >> 32;
}

/* Like FNV-1a, but eight bytes at a time: this runs over the whole state at each event. */
static uint64_t mix(uint64_t print, const void *bytes, size_t len)
{
	const char *at = bytes;
	uint64_t word;
	for (; len >= sizeof(word); len -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		print = stir(print, word);
	}
	word = 0;
	memcpy(&word, at, len);
	return stir(print, word);
}

/* Lanes do not wait for each other's products. */
static uint64_t mix_long(const void *bytes, size_t len)
{
	const char *at = bytes;
	uint64_t lanes[4] = {1, 2, 3, 4}, words[4];
	for (; len >= sizeof(words); len -= sizeof(words), at += sizeof(words)) {
		memcpy(words, at, sizeof(words));
		for (size_t i = 0; i < ARRAY_LEN(lanes); i++)
			lanes[i] = stir(lanes[i], words[i]);
	}
	return mix(mix(0, lanes, sizeof(lanes)), at, len);
}

/* Of everything but the counters of rounds and their times. Padding may differ for nothing, which
 * only keeps an event too many. */
static uint64_t print_of(const struct rollout *rollout)
{
	const char *moving = (const char *)&rollout->record.state; /* what it is for stays */
	uint64_t print = mix_long(
		moving, offsetof(struct rollout, onboard) - offsetof(struct rollout, record.state));
	for (size_t i = 0; i < rollout->stage_count; i++) {
		const struct rollout_stage *stage = &rollout->stages[i];
		const char *moves = (const char *)&stage->blocked; /* its policy stays */
		print = (print ^ stage->record->state) * 0x100000001b3u;
		print = mix(print, moves, (size_t)((const char *)(stage + 1) - moves));
	}
	for (size_t i = 0; i < rollout->client_count; i++) {
		const struct rollout_client *client = &rollout->clients[i];
		const char *flags = (const char *)&client->unproved;
		const char *end = (const char *)&client->round_running;
		uint64_t states = ((uint64_t)client->phase << 32) | client->record->state;
		states ^= (uint64_t)client->step << 16 ^ (uint64_t)client->restore << 24;
		print = (print ^ states) * 0x100000001b3u;
		print = mix(print, flags, (size_t)(end - flags));
	}
	return print;
}

struct before {
	bool counts;  /* the round would be counted, good or bad */
	bool settled; /* it is healthy, and no bad round stands against it */
	bool stale;   /* the answer to an older action, which the machine passes over */
};

static struct before look_before(const struct rollout *rollout, const struct rollout_event *event)
{
	if (!event_is_of_client(event->kind) || event->client >= rollout->client_count)
		return (struct before){0};
	const struct rollout_client *client = &rollout->clients[event->client];
	return (struct before){.counts = client->round_running,
		.stale = event->order && event->order != client->order,
		.settled = client->phase == PHASE_HEALTHY && !client->bad_rounds};
}

static bool decides(const struct before *before, const struct rollout_event *event, bool changed)
{
	if (changed)
		return true;
	if (event->kind == EVENT_TICK || before->stale)
		return false;
	if (event->kind == EVENT_ROUND)
		return before->counts && !(event->ok && before->settled);
	return true;
}

/* ---- one line ----------------------------------------------------------------------------------
 */

static void emit_event(struct event_log *log, struct emitter *emitter,
	const struct rollout *rollout, const struct rollout_event *event)
{
	emit_str(emitter, "e", event_word(event->kind));
	emit_int(emitter, "t", event->now_ms - log->base_ms);
	if (event->wall_s != log->wall_s)
		emit_int(emitter, "w", event->wall_s);
	log->wall_s = event->wall_s;
	if (event_is_of_client(event->kind) && event->client < rollout->client_count)
		emit_str(emitter, "c", rollout->clients[event->client].record->client);
	if (event->ok)
		emit_bool(emitter, "ok", true);
	if (event->kind == EVENT_ROUND)
		emit_int(emitter, "a", log->asked_ms[event->client] - log->base_ms);
	if (event->kind == EVENT_RUNS)
		emit_str(emitter, "runs", event_runs_word(event->runs));
	if (event->kind == EVENT_WINDOW && event->stage < rollout->stage_count)
		emit_str(emitter, "stage", rollout->stages[event->stage].record->name);
	if (event->transient)
		emit_bool(emitter, "transient", true);
	if (event->untouched)
		emit_bool(emitter, "untouched", true);
	if (event->restores)
		emit_bool(emitter, "restores", true);
	if (event->count)
		emit_int(emitter, "n", (int64_t)event->count);
	emit_opt(emitter, "who", event->who);
	emit_opt(emitter, "tag", event->tag);
	if (event->now)
		emit_bool(emitter, "now", true);
	if (event->opens_s)
		emit_int(emitter, "opens", event->opens_s);
	if (!event->ok)
		emit_opt(emitter, "text", event->text);
}

static void add_line(struct event_log *log, const struct rollout *rollout,
	const struct rollout_event *event, const struct rollout_actions *actions, size_t first)
{
	auto_strlist struct strlist decisions = STRLIST_INIT;
	struct emitter emitter;
	size_t start = log->text.len;
	for (size_t i = first; i < actions->count; i++) {
		char *text = event_decision(rollout, &actions->items[i]);
		if (text)
			strlist_take(&decisions, text);
	}
	emit_begin(&emitter, EMIT_JSON, &log->text);
	emit_event(log, &emitter, rollout, event);
	emit_strs(&emitter, "do", &decisions);
	emit_end(&emitter);
	buf_add_char(&log->text, '\n');
	if (log->text.len + 64 < EVENTS_MAX)
		return;
	buf_truncate(&log->text, start);
	buf_add_str(&log->text, "{\"e\":\"cut\"}\n");
	log->cut = true;
}

static bool only_rounds(const struct rollout_actions *actions, size_t first)
{
	for (size_t i = first; i < actions->count; i++)
		if (actions->items[i].kind != ACTION_ROUND)
			return false;
	return true;
}

void event_log_step(struct event_log *log, struct rollout *rollout,
	const struct rollout_event *event, struct rollout_actions *actions)
{
	const struct before before = look_before(rollout, event);
	size_t first = actions->count;
	rollout_step(rollout, event, actions);
	uint64_t print = print_of(rollout);
	bool changed = print != log->print || !only_rounds(actions, first);
	log->print = print;
	/* A stale answer is for the machine no more than a moment that passes. */
	struct rollout_event told = *event;
	if (before.stale)
		told = (struct rollout_event){
			.kind = EVENT_TICK, .now_ms = event->now_ms, .wall_s = event->wall_s};
	if (!log->cut && decides(&before, event, changed))
		add_line(log, rollout, &told, actions, first);
	for (size_t i = first; i < actions->count; i++)
		if (actions->items[i].kind == ACTION_ROUND)
			log->asked_ms[actions->items[i].client] = event->now_ms;
}

/* ---- life --------------------------------------------------------------------------------------
 */

struct event_log *event_log_new(const struct rollout *rollout, int64_t now_ms, const char *before)
{
	struct event_log *log = mem_zero(1, sizeof(*log));
	buf_init(&log->text, EVENTS_MAX * 2); /* a line too many is taken back */
	log->base_ms = now_ms;
	log->asked_ms = mem_zero(rollout->client_count, sizeof(*log->asked_ms));
	for (size_t i = 0; i < rollout->client_count; i++)
		log->asked_ms[i] = now_ms;
	log->print = print_of(rollout);
	log->wall_s = rollout->record.started_s;
	if (before)
		buf_add_str(&log->text, before);
	log->cut =
		log->text.len + 64 >= EVENTS_MAX || (before && strstr(before, "{\"e\":\"cut\"}"));
	if (log->cut)
		return log;
	event_state_write(rollout, log->wall_s, &log->text);
	buf_add_char(&log->text, '\n');
	return log;
}

void event_log_free(struct event_log *log)
{
	if (!log)
		return;
	buf_clear(&log->text);
	free(log->asked_ms);
	free(log);
}

const struct buf *event_log_text(const struct event_log *log)
{
	return &log->text;
}
