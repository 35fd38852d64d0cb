#include "reconcile/replay.h"
#include "base/arena.h"

#define NOW_MS                                                                                     \
	1000000 /* the clock of a replayed part starts here: 0 means "none" in the machine         \
		 */

#define LINES_AT_ONCE 64   /* share an arena */
#define PLACE_MAX     8192 /* "events/20261124-101542-1a2b3c4.jsonl:12" */

struct run {
	const char *file;
	const struct replay_listener *listener;
	struct replay *replay;
	struct rollout *rollout; /* of the part that runs, or NULL */
	struct replay_step step;
};

void replay_clear(struct replay *replay)
{
	strlist_clear(&replay->record);
	*replay = (struct replay){0};
}

static void clear_run(struct run *run)
{
	rollout_free(run->rollout);
}

char *replay_fact_word(const char *subject, const char *client, const char *result)
{
	static const char approve[] = "approve(", attempt[] = "attempt ", backup[] = ": backup ";
	const char *colon = strstr(subject, "): ");
	const char *what = colon ? colon + strlen("): ") : "";
	const char *last = strrchr(what, ':');
	if (!strncmp(subject, approve, sizeof(approve) - 1))
		return mem_printf("approved %s", what);
	if (client && *client && result && *result)
		return mem_printf("%s %s", client, result);
	if (client && *client && !strncmp(what, attempt, sizeof(attempt) - 1))
		return mem_printf("%s attempt failed", client);
	if (client && *client && last && !strncmp(last, backup, sizeof(backup) - 1))
		return mem_printf("%s backed up", client);
	if (client && *client)
		return mem_printf("%s %s", client, last ? last + 2 : what);
	if (result && *result)
		return mem_printf("rollout %s", result);
	return mem_dup_str(what); /* "stage canary baking" */
}

/* ---- reading a line ----------------------------------------------------------------------------
 */

static const char *text_at(const struct node *line, const char *key)
{
	const struct node *node = node_get(line, key);
	return node && node->kind == NODE_STRING ? node->text : NULL;
}

static int64_t number_at(const struct node *line, const char *key, int64_t otherwise)
{
	const struct node *node = node_get(line, key);
	if (!node || node->kind != NODE_INT)
		return otherwise;
	if (node->integer > EVENTS_NUMBER_MAX)
		return EVENTS_NUMBER_MAX;
	return node->integer < 0 ? 0 : node->integer;
}

static bool find_client(const struct rollout *rollout, const char *name, size_t *index_out)
{
	for (size_t i = 0; name && i < rollout->client_count; i++) {
		if (strcmp(rollout->clients[i].record->client, name) != 0)
			continue;
		*index_out = i;
		return true;
	}
	return false;
}

static bool read_stage(const struct node *line, const struct rollout *rollout,
	struct rollout_event *event, struct error *err)
{
	const char *name = text_at(line, "stage");
	for (size_t i = 0; event->kind == EVENT_WINDOW && i < rollout->stage_count; i++) {
		if (!name || strcmp(rollout->stages[i].record->name, name) != 0)
			continue;
		event->stage = i;
		return true;
	}
	return event->kind != EVENT_WINDOW ||
	       node_error(err, line, "the rollout has no stage '%s'", name ? name : "");
}

/* Whom the event is about. What pauses or goes on without a name is the fleet. */
static bool read_client(const struct node *line, const struct rollout *rollout,
	struct rollout_event *event, struct error *err)
{
	const char *name = text_at(line, "c");
	bool of_fleet = !name && (event->kind == EVENT_PAUSE || event->kind == EVENT_RESUME);
	if (of_fleet)
		event->client = ROLLOUT_ALL;
	else if (event_is_of_client(event->kind) && !find_client(rollout, name, &event->client))
		return node_error(err, line, "the rollout has no client '%s'", name ? name : "");
	return true;
}

static bool flag_at(const struct node *line, const char *key)
{
	const struct node *node = node_get(line, key);
	return node && node->kind == NODE_BOOL && node->boolean;
}

static bool read_event(const struct node *line, const struct run *run, struct rollout_event *event,
	struct error *err)
{
	const char *word = text_at(line, "e"), *runs = text_at(line, "runs");
	*event = (struct rollout_event){.ok = flag_at(line, "ok"),
		.transient = flag_at(line, "transient"),
		.untouched = flag_at(line, "untouched"),
		.restores = flag_at(line, "restores"),
		.who = text_at(line, "who"),
		.tag = text_at(line, "tag"),
		.now = flag_at(line, "now"),
		.opens_s = number_at(line, "opens", 0),
		.now_ms = NOW_MS + number_at(line, "t", 0),
		.wall_s = number_at(line, "w", run->step.wall_s),
		.text = text_at(line, "text")};
	if (!word || !event_from_word(word, &event->kind))
		return node_error(err, line, "no such event: '%s'", word ? word : "");
	if (event->kind == EVENT_RUNS && (!runs || !event_runs_from_word(runs, &event->runs)))
		return node_error(err, line, "no such answer: '%s'", runs ? runs : "");
	if (event->kind == EVENT_RECORDED)
		event->count = (size_t)number_at(line, "n", 0);
	if (event->count > run->rollout->unrecorded)
		return node_error(err, line, "more facts were accepted than recorded");
	return read_stage(line, run->rollout, event, err) &&
	       read_client(line, run->rollout, event, err);
}

/* ---- running -----------------------------------------------------------------------------------
 */

static void decide(struct run *run, const struct rollout_event *event, struct strlist *decisions)
{
	struct rollout_actions actions = {0};
	rollout_step(run->rollout, event, &actions);
	for (size_t i = 0; i < actions.count; i++) {
		char *text = event_decision(run->rollout, &actions.items[i]);
		if (text)
			strlist_take(decisions, text);
	}
	rollout_actions_clear(&actions);
}

/* Ticks that only asked for rounds are not in the file; the answer says when it was asked for. */
static void ask_first(struct run *run, const struct node *line, const struct rollout_event *event,
	struct strlist *decisions)
{
	if (event->kind != EVENT_ROUND || run->rollout->clients[event->client].round_running)
		return;
	const struct rollout_event tick = {.kind = EVENT_TICK,
		.now_ms = NOW_MS + number_at(line, "a", 0),
		.wall_s = event->wall_s};
	decide(run, &tick, decisions);
	/* A machine that stops asks for none: this one was under way already. */
	if (run->rollout->stopping)
		run->rollout->clients[event->client].round_running = true;
}

static bool same_lists(const struct strlist *a, const struct strlist *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

static void count(struct run *run, const struct strlist *decisions, bool same)
{
	static const char prefix[] = "record ";
	struct replay *replay = run->replay;
	replay->events++;
	replay->decisions += decisions->count;
	replay->different += !same;
	for (size_t i = 0; i < decisions->count; i++)
		if (!strncmp(decisions->items[i], prefix, sizeof(prefix) - 1))
			strlist_add(&replay->record, decisions->items[i] + sizeof(prefix) - 1);
	replay->ended = run->rollout->ended;
}

static bool on_event(struct run *run, const struct node *line, struct error *err)
{
	auto_strlist struct strlist decisions = STRLIST_INIT;
	auto_strlist struct strlist recorded = STRLIST_INIT;
	const struct node *list = node_get(line, "do");
	struct rollout_event event;
	if (!run->rollout)
		return node_error(err, line, "an event before any state");
	if (!read_event(line, run, &event, err))
		return false;
	for (size_t i = 0; list && list->kind == NODE_LIST && i < list->count; i++)
		strlist_add(&recorded, list->items[i]->text ? list->items[i]->text : "");
	ask_first(run, line, &event, &decisions);
	decide(run, &event, &decisions);
	run->step.wall_s = event.wall_s;
	run->step.since_ms = event.now_ms - NOW_MS;
	run->step.rollout = run->rollout;
	run->step.event = &event;
	run->step.decisions = &decisions;
	run->step.recorded = &recorded;
	run->step.same = same_lists(&decisions, &recorded);
	count(run, &decisions, run->step.same);
	if (run->listener)
		run->listener->tell(run->listener->data, &run->step);
	return true;
}

static bool on_line(struct run *run, const struct node *line, struct error *err)
{
	const char *word = text_at(line, "e");
	if (word && !strcmp(word, "cut")) {
		run->replay->cut = true;
		return true;
	}
	if (!word || strcmp(word, "state") != 0)
		return on_event(run, line, err);
	rollout_free(STEAL(run->rollout));
	run->step.part = ++run->replay->parts;
	run->step.wall_s = number_at(line, "w", 0);
	return event_state_read(line, &run->rollout, err);
}

bool replay_run(const struct replay_input *input, const struct replay_listener *listener,
	struct replay *replay_out, struct error *err)
{
	auto_replay struct replay replay = {0};
	CLEANUP(clear_run)
	struct run run = {.file = input->file, .listener = listener, .replay = &replay};
	const char *at = input->text, *end = input->text + input->len;
	auto_arena struct arena *arena = NULL;
	auto_buf struct buf place = BUF_INIT(PLACE_MAX);
	for (size_t number = 1; at < end; number++) {
		if (number % LINES_AT_ONCE == 1) {
			arena_free(arena);
			arena = arena_new(ARENA_PLAIN, 0);
		}
		const struct node *line;
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((stop ? stop : end) - at);
		buf_truncate(&place, 0);
		buf_add_str(&place, input->file);
		buf_add_char(&place, ':');
		buf_add_int(&place, (int64_t)number);
		err->code = ERR_NONE;
		run.step.line = number;
		if (!node_parse_json(arena, place.text, at, len, &line, err) ||
			!on_line(&run, line, err))
			return false;
		at += len + (stop != NULL);
	}
	*replay_out = replay;
	replay = (struct replay){0};
	return true;
}
