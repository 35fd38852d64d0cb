/* `aviary replay`: the decisions of a rollout, taken again and told in a person's words. */
#include "reconcile/replay.h"
#include "base/clock.h"
#include "base/emit.h"
#include "git/commit.h"
#include "git/tree.h"
#include "server/cli/command.h"
#include "server/cli/source.h"

#define STORY_MAX ((size_t)256 << 20)

static const char usage[] =
	"usage: aviary replay ID [-c FILE | --url URL [--token-file FILE] | --branch NAME]\n"
	"                     [--json]\n\n"
	"Runs the rollout machine on the recorded events of rollout ID again, tells the story,\n"
	"and compares: with the decisions of that day, and with the commits of the branch.\n"
	"  -c, --config FILE   ask the service over its socket; if none runs, read its mirror.\n"
	"                      Without it: origin/deployments of the repository in the\n"
	"                      working folder\n"
	"  --url URL           ask over HTTP, with the token of --token-file FILE\n"
	"  --branch NAME       origin/NAME instead\n"
	"  --json              {rollout, same, events, decisions, differences, story: [...]}\n\n"
	"Exit status: 0 the same decisions, 1 others, or there are no events.\n";

/* ---- what the branch has ------------------------------------------------------------------------
 */

struct told {
	const char *id;
	struct strlist words; /* newest first */
	bool begun;
};

static void clear_told(struct told *told)
{
	strlist_clear(&told->words);
}

/* What people ask for later may name a rollout that is over: no decision of its machine. */
static bool is_of_machine(const char *subject)
{
	static const char *const verbs[] = {
		"rollout(", "onboard(", "deploy(", "rollback(", "hold(", "approve("};
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (!strncmp(subject, verbs[i], strlen(verbs[i])))
			return true;
	return false;
}

static bool collect(void *data, const struct commit_info *info)
{
	struct told *told = data;
	const char *rollout = commit_trailer(info, "Rollout");
	const char *result = commit_trailer(info, "Result");
	if (!rollout || strcmp(rollout, told->id) != 0 || !is_of_machine(info->subject))
		return true;
	char *word = replay_fact_word(info->subject, commit_trailer(info, "Client"), result);
	strlist_take(&told->words, word);
	told->begun = !strcmp(word, "rollout started");
	return !told->begun;
}

/* What the service is asked for of a rollout, below /api/v1/. */
static char *path_of(const char *id, const char *what)
{
	auto_buf struct buf path = BUF_INIT(1 << 12);
	buf_add_str(&path, "rollouts/");
	source_escape(&path, id);
	buf_addf(&path, "/%s", what);
	return buf_steal(&path);
}

static bool read_events(struct source *source, const char *id, struct buf *text, struct error *err)
{
	auto_free char *path = mem_printf("events/%s.jsonl", id);
	auto_free char *asked = path_of(id, "events");
	if (source_read(source, path, asked, text, err))
		return true;
	if (err->code != ERR_NOT_FOUND)
		return false;
	error_set(err, ERR_NOT_FOUND, "the branch has no events of rollout '%s'", id);
	return error_hint(err,
		"the newest 500 rollouts have some, but not those that were refused; older ones "
		"stand in the history: git log -- %s%s",
		source->branch.folder ? source->branch.folder : "", path);
}

/* ---- the story ---------------------------------------------------------------------------------
 */

struct story {
	struct buf *out;
	struct emitter *json; /* or NULL */
	size_t part;
};

static const char *what_runs(enum rollout_runs runs)
{
	switch (runs) {
	case RUNS_UNTOUCHED:
		return "this rollout has not touched it";
	case RUNS_TARGET:
		return "the wanted release runs";
	case RUNS_TARGET_UNSURE:
		return "the wanted release is there, its activation did not end well";
	case RUNS_BACK:
		return "the known good release runs";
	case RUNS_BACK_UNSURE:
		return "it was going back";
	case RUNS_UNKNOWN:
		return "something else runs";
	}
	abort(); /* every answer is named above */
}

static const char *name_of(const struct replay_step *step)
{
	size_t client = step->event->client;
	return client < step->rollout->client_count ? step->rollout->clients[client].record->client
						    : "the fleet";
}

static void add_outcome(
	const struct replay_step *step, const char *good, const char *bad, struct buf *out)
{
	const char *text = step->event->text;
	bool ok = step->event->ok;
	buf_addf(out, "%s: %s", name_of(step), ok ? good : bad);
	if (!ok && text && *text)
		buf_addf(out, ": %s", text);
}

static void add_person(const struct replay_step *step, const char *what, struct buf *out)
{
	const struct rollout_event *event = step->event;
	buf_addf(out, "%s %s", event->who ? event->who : "somebody", what);
	if (event->text && *event->text)
		buf_addf(out, ": %s", event->text);
}

static void add_event_of_client(const struct replay_step *step, struct buf *out)
{
	const struct rollout_event *event = step->event;
	if (event->kind == EVENT_DEPLOYED)
		add_outcome(step, "activated", "the activation failed", out);
	else if (event->kind == EVENT_STEP)
		add_outcome(step, "its step ended well", "its step failed", out);
	else if (event->kind == EVENT_UNREACHABLE)
		add_outcome(step, "", "its host cannot be reached", out);
	else if (event->kind == EVENT_UNSURE)
		add_outcome(step, "", "the connection was lost, the outcome is unknown", out);
	else if (event->kind == EVENT_ROUND)
		add_outcome(step, "checks are good", "checks are bad", out);
	else if (event->kind == EVENT_RUNS)
		add_outcome(step, what_runs(event->runs), "its host does not answer", out);
	else
		buf_addf(out, "%s %s", name_of(step),
			event->kind == EVENT_PAUSE ? "is paused" : "goes on");
}

static void add_event(const struct replay_step *step, struct buf *out)
{
	const struct rollout_event *event = step->event;
	switch (event->kind) {
	case EVENT_START:
		buf_add_str(out, step->part > 1 ? "the service goes on with the rollout"
				 : step->rollout->record.forced
					 ? "the rollout begins, after a forced push"
					 : "the rollout begins");
		break;
	case EVENT_RECORDED:
		buf_addf(out, "the remote has accepted %zu fact%s", event->count,
			event->count == 1 ? "" : "s");
		break;
	case EVENT_TICK:
		buf_add_str(out, "time has passed");
		break;
	case EVENT_DEPLOYED:
	case EVENT_STEP:
	case EVENT_UNREACHABLE:
	case EVENT_UNSURE:
	case EVENT_ROUND:
	case EVENT_RUNS:
	case EVENT_PAUSE:
	case EVENT_RESUME:
		add_event_of_client(step, out);
		break;
	case EVENT_SUPERSEDED:
		buf_addf(out, "commit %.7s takes over", event->text ? event->text : "");
		break;
	case EVENT_NOTE:
		buf_add_str(out, event->text ? event->text : "");
		break;
	case EVENT_APPROVE:
		add_person(step, "approves", out);
		break;
	case EVENT_ABORT:
		add_person(step, "aborts", out);
		break;
	case EVENT_WINDOW:
		buf_addf(out, "the window of stage %s %s",
			step->rollout->stages[event->stage].record->name,
			event->ok ? "opens" : "closes");
		break;
	case EVENT_STOP:
		buf_add_str(out, "the service stops");
		break;
	}
}

static void add_decision(const char *decision, struct buf *out)
{
	static const struct {
		const char *prefix, *words;
	} phrases[] = {{"record ", "records: "}, {"deploy ", "activates "},
		{"back ", "brings back "}, {"run ", "runs "}, {"ask ", "asks the host of "}};
	for (size_t i = 0; i < ARRAY_LEN(phrases); i++) {
		size_t len = strlen(phrases[i].prefix);
		if (strncmp(decision, phrases[i].prefix, len) != 0)
			continue;
		buf_addf(out, "%s%s", phrases[i].words, decision + len);
		return;
	}
	buf_add_str(out, decision);
}

static void add_decisions(const struct strlist *decisions, const char *lead, struct buf *out)
{
	for (size_t i = 0; i < decisions->count; i++) {
		buf_addf(out, "            %s ", lead);
		add_decision(decisions->items[i], out);
		buf_add_char(out, '\n');
	}
}

static void tell_text(struct story *story, const struct replay_step *step)
{
	auto_buf struct buf event = BUF_INIT(1 << 16);
	struct buf *out = story->out;
	char text[CLOCK_TEXT_SIZE];
	if (step->part != story->part && step->wall_s)
		buf_addf(out, "%s\n", clock_format(step->wall_s, text));
	story->part = step->part;
	add_event(step, &event);
	buf_addf(out, "%10s  ", duration_human(step->since_ms, text));
	buf_add_clean(out, event.text, event.len);
	buf_add_char(out, '\n');
	add_decisions(step->decisions, "->", out);
	if (!step->same) {
		buf_addf(
			out, "            line %zu: another decision; recorded was:\n", step->line);
		add_decisions(step->recorded, "!!", out);
	}
}

static void tell_json(struct story *story, const struct replay_step *step)
{
	auto_buf struct buf event = BUF_INIT(1 << 16);
	struct emitter *json = story->json;
	add_event(step, &event);
	emit_map(json, NULL);
	emit_int(json, "line", (int64_t)step->line);
	emit_int(json, "part", (int64_t)step->part);
	emit_int(json, "since_ms", step->since_ms);
	emit_time(json, "time", step->wall_s);
	emit_str(json, "event", event.text);
	emit_strs(json, "decisions", step->decisions);
	emit_bool(json, "same", step->same);
	emit_close(json);
}

static void tell(void *data, const struct replay_step *step)
{
	struct story *story = data;
	if (story->json)
		tell_json(story, step);
	else
		tell_text(story, step);
}

/* ---- comparing ---------------------------------------------------------------------------------
 */

/* The branch is read newest first. */
static const char *told_word(const struct told *told, size_t index)
{
	return told->words.items[told->words.count - 1 - index];
}

/* What the machine wanted recorded, beside what the branch has. */
static void compare(
	const struct replay *replay, const struct told *told, struct strlist *differences)
{
	size_t count = told->words.count;
	if (replay->different)
		strlist_addf(differences, "%zu events lead to other decisions", replay->different);
	if (replay->cut)
		return; /* it cannot tell the end */
	for (size_t i = 0, k = 0; i < replay->record.count || k < count; k++) {
		const char *now = i < replay->record.count ? replay->record.items[i] : "nothing";
		const char *then = k < count ? told_word(told, k) : "nothing";
		if (!strcmp(now, then)) {
			i++;
			continue;
		}
		/* A push that a dead service left under way may land after the next one has read
		 * the branch, which then says the same again. */
		if (k && k < count && !strcmp(then, told_word(told, k - 1)))
			continue;
		strlist_addf(
			differences, "fact %zu is '%s', and the branch has '%s'", i + 1, now, then);
		return;
	}
}

static void add_head(const char *id, const struct replay *replay, const struct strlist *differences,
	struct buf *out)
{
	buf_addf(out, "Rollout %s: %zu events, %zu decisions", id, replay->events,
		replay->decisions);
	if (replay->parts > 1)
		buf_addf(out, ", gone on with %zu times", replay->parts - 1);
	buf_addf(out, "%s.%s\n", replay->ended ? "" : ", not over",
		differences->count ? "" : " The same decisions again, as the branch has them.");
	for (size_t i = 0; i < differences->count; i++)
		buf_addf(out, "different: %s\n", differences->items[i]);
	if (replay->cut)
		buf_add_str(out, "The file had reached its limit: later events are not in it.\n");
}

static bool replay_text(const struct replay_input *input, const char *id, const struct told *told,
	struct buf *out, struct error *err)
{
	auto_buf struct buf text = BUF_INIT(STORY_MAX);
	auto_strlist struct strlist differences = STRLIST_INIT;
	auto_replay struct replay replay = {0};
	struct story story = {.out = &text};
	if (!replay_run(input, &(struct replay_listener){tell, &story}, &replay, err))
		return false;
	compare(&replay, told, &differences);
	add_head(id, &replay, &differences, out);
	buf_add(out, text.text, text.len);
	return differences.count == 0 || error_set(err, ERR_REFUSED, "not the same decisions");
}

static bool replay_json(const struct replay_input *input, const char *id, const struct told *told,
	struct buf *out, struct error *err)
{
	auto_strlist struct strlist differences = STRLIST_INIT;
	auto_replay struct replay replay = {0};
	struct emitter emitter;
	struct story story = {.out = out, .json = &emitter};
	emit_begin(&emitter, EMIT_JSON, out);
	emit_str(&emitter, "rollout", id);
	emit_list(&emitter, "story");
	if (!replay_run(input, &(struct replay_listener){tell, &story}, &replay, err))
		return false;
	emit_close(&emitter);
	compare(&replay, told, &differences);
	emit_bool(&emitter, "same", !differences.count);
	emit_int(&emitter, "events", (int64_t)replay.events);
	emit_int(&emitter, "decisions", (int64_t)replay.decisions);
	emit_int(&emitter, "parts", (int64_t)replay.parts);
	emit_bool(&emitter, "ended", replay.ended);
	emit_strs(&emitter, "differences", &differences);
	emit_end(&emitter);
	buf_add_char(out, '\n');
	return differences.count == 0 || error_set(err, ERR_REFUSED, "not the same decisions");
}

static int print(const struct online_options *options, struct buf *out, struct error *err)
{
	auto_source struct source source = {0};
	auto_free char *history = path_of(options->argument, "history");
	auto_buf struct buf events = BUF_INIT(TREE_FILE_MAX);
	CLEANUP(clear_told) struct told told = {.id = options->argument};
	if (!source_open(options, &source, err) ||
		!read_events(&source, options->argument, &events, err) ||
		!source_walk(&source, history, collect, &told, err))
		return online_fail(err);
	const struct replay_input input = {
		.file = options->argument, .text = events.text, .len = events.len};
	bool same = options->json ? replay_json(&input, options->argument, &told, out, err)
				  : replay_text(&input, options->argument, &told, out, err);
	if (!same && err->code != ERR_REFUSED)
		return online_fail(err);
	fwrite(out->text, 1, out->len, stdout);
	return fflush(stdout) || !same ? 1 : 0;
}

static int run(int argc, char **argv)
{
	auto_buf struct buf out = BUF_INIT(STORY_MAX);
	struct online_options options;
	struct error err;
	int done = online_options(argc, argv,
		ONLINE_URL | ONLINE_BRANCH | ONLINE_ARGUMENT | ONLINE_MUST, usage, &options);
	return done >= 0 ? done : print(&options, &out, &err);
}

const struct command command_replay = {.name = "replay",
	.summary = "take the decisions of a rollout again, and tell its story",
	.usage = usage,
	.run = run};
