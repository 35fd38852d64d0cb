#include "reconcile/drivers/ansible_events.h"
#include "base/node.h"

/* ---- one event ------------------------------------------------------------------------------ */

static const char *text_of(const struct node *event, const char *key)
{
	const struct node *value = node_get(event, key);
	return value && value->kind == NODE_STRING ? value->text : "";
}

static bool is_true(const struct node *event, const char *key)
{
	const struct node *value = node_get(event, key);
	return value && value->kind == NODE_BOOL && value->boolean;
}

static void say(struct ansible_events *events, const char *head, const char *text)
{
	auto_free char *line = mem_printf("%s%s%s\n", head, *text ? ": " : "", text);
	events->show(events->data, line, strlen(line));
}

static void say_of_host(
	struct ansible_events *events, const char *word, const struct node *event, bool with_text)
{
	auto_free char *head = mem_printf("%s: %s", word, text_of(event, "host"));
	say(events, head, with_text ? text_of(event, "text") : "");
}

/* Masked before it is cut: nobody finds half of a secret. */
static void copy(const struct ansible_events *events, char *to, const char *text)
{
	auto_buf struct buf clean = BUF_INIT_SECRET(ANSIBLE_LINE_MAX);
	buf_add_str(&clean, text);
	if (events->mask)
		events->mask(&clean);
	(void)snprintf(to, ANSIBLE_TEXT_MAX, "%s", clean.text); /* what does not fit is cut */
	to[strcspn(to, "\r\n")] = '\0';
}

/* The last one counts: an earlier one was rescued. */
static void note_failure(struct ansible_events *events, const struct node *event)
{
	copy(events, events->what, events->task[0] ? events->task : "a task");
	copy(events, events->why, text_of(event, "text"));
}

static void on_play(struct ansible_events *events, const struct node *event)
{
	say(events, "PLAY", text_of(event, "name"));
}

static void on_no_hosts(struct ansible_events *events, const struct node *event)
{
	(void)event; /* has nothing more to say */
	say(events, "no host of this play", "");
}

static void on_task(struct ansible_events *events, const struct node *event)
{
	copy(events, events->task, text_of(event, "name"));
	say(events, "TASK", text_of(event, "name"));
}

static void on_ok(struct ansible_events *events, const struct node *event)
{
	say_of_host(events, is_true(event, "changed") ? "changed" : "ok", event, false);
}

static void on_skipped(struct ansible_events *events, const struct node *event)
{
	say_of_host(events, "skipped", event, false);
}

static void on_failed(struct ansible_events *events, const struct node *event)
{
	bool ignored = is_true(event, "ignored");
	say_of_host(events, ignored ? "failed, ignored" : "failed", event, true);
	if (!ignored)
		note_failure(events, event);
}

static void on_unreachable(struct ansible_events *events, const struct node *event)
{
	say_of_host(events, "unreachable", event, true);
	note_failure(events, event);
}

static int64_t count_of(const struct node *host, const char *key)
{
	const struct node *value = node_get(host, key);
	bool good = value && value->kind == NODE_INT && value->integer > 0 &&
		    value->integer < 1000000; /* sums stay far from the end of int64_t */
	return good ? value->integer : 0;
}

static void on_stats(struct ansible_events *events, const struct node *event)
{
	const struct node *hosts = node_get(event, "stats");
	if (!hosts || hosts->kind != NODE_MAP)
		return;
	events->ended = true;
	for (size_t i = 0; i < hosts->count; i++) {
		const struct node *host = hosts->map[i].value;
		events->done += count_of(host, "ok");
		events->failed += count_of(host, "failures");
		events->unreachable += count_of(host, "unreachable");
	}
}

static const struct {
	const char *name;
	void (*take)(struct ansible_events *events, const struct node *event);
} kinds[] = {
	{"v2_playbook_on_play_start", on_play},
	{"v2_playbook_on_no_hosts_matched", on_no_hosts},
	{"v2_playbook_on_task_start", on_task},
	{"v2_runner_on_ok", on_ok},
	{"v2_runner_on_skipped", on_skipped},
	{"v2_runner_on_failed", on_failed},
	{"v2_runner_on_unreachable", on_unreachable},
	{"v2_playbook_on_stats", on_stats},
};

static bool take_event(struct ansible_events *events)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct node *event = NULL;
	struct error err; /* then it is no event, but a line to show */
	if (events->line.text[0] != '{' ||
		!node_parse_json(arena, "event", events->line.text, events->line.len, &event, &err))
		return false;
	const char *name = text_of(event, "_event");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i].name, name) != 0)
			continue;
		kinds[i].take(events, event);
		return true;
	}
	return false;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void end_line(struct ansible_events *events)
{
	if (buf_overflowed(&events->line))
		say(events, "[a line that is too long was dropped]", "");
	else if (!take_event(events))
		say(events, events->line.text, "");
	buf_clear(&events->line);
	buf_init_secret(&events->line, ANSIBLE_LINE_MAX);
}

void ansible_events_init(struct ansible_events *events,
	void (*show)(void *data, const char *bytes, size_t len), void *data)
{
	*events = (struct ansible_events){.show = show, .data = data};
	buf_init_secret(&events->line, ANSIBLE_LINE_MAX);
}

void ansible_events_add(void *data, const char *bytes, size_t len)
{
	struct ansible_events *events = data;
	while (len) {
		const char *end = memchr(bytes, '\n', len);
		size_t part = end ? (size_t)(end - bytes) : len;
		buf_add(&events->line, bytes, part);
		if (!end)
			return;
		end_line(events);
		bytes += part + 1;
		len -= part + 1;
	}
}

void ansible_events_end(struct ansible_events *events)
{
	if (events->line.len)
		end_line(events);
	buf_clear(&events->line);
}
