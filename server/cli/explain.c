/* `aviary explain`: why a client is in its state, from its record and the facts behind it. */
#include "base/clock.h"
#include "base/emit.h"
#include "git/commit.h"
#include "git/tree.h"
#include "reconcile/status.h"
#include "server/cli/command.h"
#include "server/cli/source.h"

#define OUTPUT_MAX ((size_t)256 << 20)
#define FACTS      20 /* as many as fit on a screen; --all for the rest */

static const char usage[] =
	"usage: aviary explain CLIENT [-c FILE | --url URL [--token-file FILE] | --branch NAME]\n"
	"                      [--all] [--json]\n\n"
	"Tells why a client is in its state: its record, then the facts behind it with their\n"
	"reasons, newest first. Needs no service.\n"
	"  -c, --config FILE   ask the service over its socket; if none runs, read its mirror.\n"
	"                      Without it: origin/deployments of the repository in the\n"
	"                      working folder\n"
	"  --url URL           ask over HTTP, with the token of --token-file FILE\n"
	"  --branch NAME       origin/NAME instead\n"
	"  --all               every fact, not only the newest 20\n"
	"  --json              {record, facts: [{commit, time, subject, reasons}]}\n";

/* ---- the record --------------------------------------------------------------------------------
 */

static bool read_record(struct source *source, const char *client, struct client_record *record_out,
	struct error *err)
{
	const struct node_options rules = {.rules = NODE_CORE12};
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
	const struct node *node;
	auto_buf struct buf asked = BUF_INIT(1 << 12);
	auto_free char *path = mem_printf("clients/%s.yaml", client);
	buf_add_str(&asked, "clients/");
	source_escape(&asked, client);
	if (!source_read(source, path, asked.text, &text, err)) {
		if (err->code == ERR_NOT_FOUND)
			error_set(err, ERR_NOT_FOUND, "the branch has no client '%s'", client);
		return false;
	}
	return node_parse_yaml(arena, path, text.text, text.len, &rules, &node, err) &&
	       client_record_from_node(node, record_out, err);
}

static void add_drift(const struct drift *drift, struct buf *out)
{
	char since[CLOCK_TEXT_SIZE];
	buf_addf(out, "Drift since %s: %s. ", clock_format(drift->since_s, since),
		drift->what ? drift->what : "runs something else");
	if (drift->repair[0])
		buf_addf(out, "Rollout %s put it right; its host was not asked again yet.\n",
			drift->repair);
	else
		buf_add_str(out, "The next release that is deployed there ends it, or drift: "
				 "repair in fleet.yaml.\n");
}

static void add_why(const struct client_record *record, struct buf *out)
{
	const char *good = record->known_good.release;
	if (record->pause.paused)
		buf_addf(out, "Paused by %s: %s. aviary resume %s\n", record->pause.by,
			record->pause.reason, record->client);
	if (record->pin.pinned)
		buf_addf(out,
			"Pinned until %s, first seen in commit %.7s: %s. It keeps what it runs; "
			"then the newest commit comes by itself.\n",
			record->pin.until, record->pin.commit,
			record->pin.reason ? record->pin.reason : "");
	if (record->restore == RESTORE_ASKED)
		buf_addf(out,
			"Waits for a person: restore the data of backup %s? Its release failed: "
			"%s. Yes: aviary approve %s --reason '...'; no, it stays as it is: aviary "
			"abort %s --reason '...'\n",
			record->backup.name, record->going_back ? record->going_back : "",
			record->current.rollout, record->current.rollout);
	else if (record->going_back)
		buf_addf(out, "Goes back to its known good release: %s\n", record->going_back);
	if (record->hold.held)
		buf_addf(out,
			"Held: release %.8s of commit %.7s is not tried again by itself: %s. A "
			"newer commit that wants another release ends that, or: aviary retry %s\n",
			record->hold.release + strlen("sha256:"), record->hold.commit,
			record->hold.reason ? record->hold.reason : "", record->client);
	if (record->drift.found)
		add_drift(&record->drift, out);
	if (record->backup.name[0])
		buf_addf(out, "Newest backup for a way back: %s, of release %.8s.\n",
			record->backup.name,
			record->backup.release[0] ? record->backup.release + strlen("sha256:")
						  : "unknown");
	if (!record->current.release[0])
		buf_add_str(out, "Nothing was deployed yet.\n");
	else if (good[0] && !strcmp(good, record->current.release))
		buf_addf(out, "Runs its known good release, of commit %.7s.\n",
			record->current.commit);
	else if (good[0])
		buf_addf(out, "Its known good release is that of commit %.7s, rollout %s.\n",
			record->known_good.commit, record->known_good.rollout);
	else
		buf_add_str(out, "It has no known good release: nothing to go back to.\n");
}

static void add_record(const struct client_record *record, struct buf *out)
{
	char time_text[CLOCK_TEXT_SIZE];
	buf_addf(out, "%s   %s   %s", record->client, client_state_name(record->state),
		record->stage ? record->stage : "");
	for (size_t i = 0; i < record->app_count; i++)
		buf_addf(out, "%s%s %s", i ? ", " : "   ", record->apps[i].name,
			record->apps[i].version);
	buf_addf(out, "   since %s\n", clock_format(record->updated_s, time_text));
	add_why(record, out);
}

/* ---- the facts ---------------------------------------------------------------------------------
 */

struct facts {
	const struct online_options *options;
	struct buf *out;
	struct emitter *json; /* or NULL */
	size_t count;
};

static void add_json(struct facts *facts, const struct commit_info *info)
{
	struct emitter *json = facts->json;
	emit_map(json, NULL);
	emit_str(json, "commit", info->id.hex);
	emit_time(json, "time", info->wall_s);
	emit_str(json, "subject", info->subject);
	emit_list(json, "reasons");
	for (size_t i = 0; i < info->trailer_keys.count; i++)
		if (!strcmp(info->trailer_keys.items[i], "Reason"))
			emit_str(json, NULL, info->trailer_values.items[i]);
	emit_close(json);
	emit_close(json);
}

static void add_text(struct facts *facts, const struct commit_info *info)
{
	static const char *const told[] = {"Reason", "Author", "Approved-By", "Backup", "Duration"};
	branch_add_line(info, facts->out);
	for (size_t i = 0; i < info->trailer_keys.count; i++)
		for (size_t j = 0; j < ARRAY_LEN(told); j++) {
			const char *value = info->trailer_values.items[i];
			if (strcmp(info->trailer_keys.items[i], told[j]) != 0)
				continue;
			buf_addf(facts->out, "                             %s: ", told[j]);
			buf_add_clean(facts->out, value, strlen(value));
			buf_add_char(facts->out, '\n');
		}
}

static bool visit(void *data, const struct commit_info *info)
{
	struct facts *facts = data;
	const char *client = commit_trailer(info, "Client");
	if (!client || strcmp(client, facts->options->argument) != 0)
		return true;
	if (facts->json)
		add_json(facts, info);
	else
		add_text(facts, info);
	return facts->options->all || ++facts->count < FACTS;
}

static bool add_facts(struct source *source, struct facts *facts, struct error *err)
{
	auto_buf struct buf path = BUF_INIT(1 << 12);
	buf_add_str(&path, "clients/");
	source_escape(&path, facts->options->argument);
	buf_addf(&path, "/history%s", facts->options->all ? "?all=1" : "");
	return source_walk(source, path.text, visit, facts, err);
}

static bool explain(const struct online_options *options, struct source *source,
	const struct client_record *record, struct buf *out, struct error *err)
{
	struct emitter emitter;
	struct facts facts = {.options = options, .out = out};
	if (!options->json) {
		add_record(record, out);
		buf_add_char(out, '\n');
		return add_facts(source, &facts, err);
	}
	auto_buf struct buf json = BUF_INIT(OUTPUT_MAX);
	facts.json = &emitter;
	client_record_to_json(record, &json);
	emit_begin(&emitter, EMIT_JSON, out);
	emit_raw_json(&emitter, "record", json.text);
	emit_list(&emitter, "facts");
	if (!add_facts(source, &facts, err))
		return false;
	emit_close(&emitter);
	emit_end(&emitter);
	buf_add_char(out, '\n');
	return true;
}

static int run(int argc, char **argv)
{
	auto_buf struct buf out = BUF_INIT(OUTPUT_MAX);
	auto_source struct source source = {0};
	CLEANUP(client_record_clear) struct client_record record = {0};
	struct online_options options;
	struct error err;
	int done = online_options(argc, argv,
		ONLINE_URL | ONLINE_BRANCH | ONLINE_ALL | ONLINE_ARGUMENT | ONLINE_MUST, usage,
		&options);
	if (done >= 0)
		return done;
	if (!source_open(&options, &source, &err) ||
		!read_record(&source, options.argument, &record, &err) ||
		!explain(&options, &source, &record, &out, &err))
		return online_fail(&err);
	fwrite(out.text, 1, out.len, stdout);
	return fflush(stdout) ? 1 : 0;
}

const struct command command_explain = {
	.name = "explain", .summary = "why a client is in its state", .usage = usage, .run = run};
