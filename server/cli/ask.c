/* What people ask of the running service: one POST, then its answer. */
#include "base/clock.h"
#include "server/cli/command.h"
#include "server/cli/source.h"
#include <cjson/cJSON.h>

#define PATIENCE_MS 60000 /* for the service's answer; a remote that is away takes longer */

#define COMMON                                                                                     \
	"  -c, --config FILE   configuration, for the socket's path (default " ONLINE_CONFIG ")\n" \
	"  --url URL           ask over HTTP, with the token of --token-file FILE\n"
#define COMMON_JSON COMMON "  --json              {request, state: done|refused|queued, text}\n"
#define EXIT_STATES                                                                                \
	"\nExit status: 0 done (also nothing to do), 1 refused, 2 usage, 3 no service answers,\n"  \
	"4 taken, and not recorded yet.\n"

static const char usage_reconcile[] =
	"usage: aviary reconcile [-c FILE | --url URL [--token-file FILE]] [--reason TEXT]\n"
	"                        [--json]\n\n"
	"Makes the running service look at the repository now, and waits until it has looked.\n"
	"What it finds is done after that: 'aviary apply' follows it to its end.\n" COMMON
	"  --json              {commit, rollout, idle, problem}\n"
	"\nExit status: 0 looked, 1 the service is in trouble, 2 usage, 3 no service answers.\n";

static const char usage_pause[] =
	"usage: aviary pause [CLIENT] --reason TEXT [-c FILE | --url URL [--token-file FILE]]\n"
	"                    [--json]\n\n"
	"Nothing new starts any more: in the whole fleet, or on one client. What runs ends. A\n"
	"paused client counts as changed and not healthy. Recorded in git with who asked and why;\n"
	"only 'aviary resume' ends it.\n"
	"  --reason TEXT       why; stands in the record\n" COMMON_JSON EXIT_STATES;

static const char usage_resume[] =
	"usage: aviary resume [CLIENT] [-c FILE | --url URL [--token-file FILE]] [--reason TEXT]\n"
	"                     [--json]\n\n"
	"Ends the pause of the fleet, or of one client; the newest commit is looked at again.\n"
	"  --reason TEXT       why; stands in the record\n" COMMON_JSON EXIT_STATES;

static const char usage_retry[] =
	"usage: aviary retry [CLIENT] [-c FILE | --url URL [--token-file FILE]] [--reason TEXT]\n"
	"                    [--json]\n\n"
	"Ends the hold that a failed or aborted rollout has left, and starts a new rollout of the\n"
	"newest commit over all clients that still differ, canary first. With a client named:\n"
	"over it and the clients of the stages before its own.\n"
	"  --reason TEXT       why; stands in the record\n" COMMON_JSON EXIT_STATES;

static const char usage_rollback[] =
	"usage: aviary rollback CLIENT --reason TEXT [-c FILE | --url URL [--token-file FILE]]\n"
	"                       [--json]\n\n"
	"Brings one client back to the release before, as a rollout of its own: the newest one\n"
	"that was known good and is not what runs. What the newest commit wants of it is held,\n"
	"until another commit wants something else or 'aviary retry CLIENT' ends it. Refused\n"
	"while a rollout runs. For a whole fleet: git revert.\n"
	"  --reason TEXT       why; stands in the record\n" COMMON_JSON EXIT_STATES;

static const char usage_approve[] =
	"usage: aviary approve ID --reason TEXT [--now] [-c FILE | --url URL [--token-file FILE]]\n"
	"                      [--json]\n\n"
	"Says yes to what a rollout waits for a person for: a stage with approval: manual, or\n"
	"more changes than policy.max_changed allows. 'aviary status' shows its id and what it\n"
	"asks.\n"
	"Over HTTP the token must be one that may approve.\n"
	"  --reason TEXT       why; stands in the record, with your name\n"
	"  --now               the stage starts outside of its windows too; also when that is\n"
	"                      all that it waits for\n" COMMON_JSON EXIT_STATES;

static const char usage_abort[] =
	"usage: aviary abort ID --reason TEXT [-c FILE | --url URL [--token-file FILE]]\n"
	"                    [--json]\n\n"
	"Ends a rollout: what runs of it comes to its end, the rest is skipped, and its commit\n"
	"is held until another one comes or 'aviary retry' ends the hold. It is the no to what it\n"
	"waits for. Over HTTP the token must be one that may approve.\n"
	"  --reason TEXT       why; stands in the record, with your name\n" COMMON_JSON EXIT_STATES;

static const char usage_lead[] =
	"usage: aviary lead [-c FILE | --url URL [--token-file FILE]] [--reason TEXT] [--json]\n\n"
	"Makes the service lead again after another instance has led: it takes a new epoch, goes\n"
	"on from the status branch and the hosts, and the other one stands by.\n"
	"  --reason TEXT       why; stands in the record\n" COMMON_JSON EXIT_STATES;

/* One command that posts. */
static const struct ask {
	const char *name, *usage;
	unsigned takes;
	const char *path;    /* behind /api/v1, without an argument */
	const char *path_of; /* with one, before it; the command's name follows. NULL: takes none */
} asks[] = {
	{"pause", usage_pause, ONLINE_ARGUMENT | ONLINE_WHY, "/pause", "/clients"},
	{"resume", usage_resume, ONLINE_ARGUMENT, "/resume", "/clients"},
	{"lead", usage_lead, 0, "/lead", NULL},
	{"approve", usage_approve, ONLINE_ARGUMENT | ONLINE_MUST | ONLINE_WHY | ONLINE_NOW, NULL,
		"/rollouts"},
	{"abort", usage_abort, ONLINE_ARGUMENT | ONLINE_MUST | ONLINE_WHY, NULL, "/rollouts"},
	{"rollback", usage_rollback, ONLINE_ARGUMENT | ONLINE_MUST | ONLINE_WHY, NULL, "/clients"},
	{"retry", usage_retry, ONLINE_ARGUMENT, "/retry", "/clients"},
};

static char *path_of(const struct ask *ask, const struct online_options *options)
{
	auto_buf struct buf path = BUF_INIT(4096);
	if (!options->argument)
		return mem_printf("/api/v1%s", ask->path);
	buf_addf(&path, "/api/v1%s/", ask->path_of);
	source_escape(&path, options->argument);
	buf_addf(&path, "/%s", ask->name);
	return buf_steal(&path);
}

static char *body_of(const struct online_options *options)
{
	cJSON *body = cJSON_CreateObject();
	if (options->reason)
		cJSON_AddStringToObject(body, "reason", options->reason);
	if (options->now)
		cJSON_AddTrueToObject(body, "now");
	char *printed = cJSON_PrintUnformatted(body);
	char *text = mem_dup_str(printed);
	cJSON_free(printed);
	cJSON_Delete(body);
	return text;
}

/* POST, and parse the answer. The caller deletes it. */
static bool post(const struct online_service *service, const char *path,
	const struct online_options *options, cJSON **answer_out, struct error *err)
{
	auto_buf struct buf body = BUF_INIT(1 << 20);
	auto_free char *json = body_of(options);
	if (!online_request(service, path, json, &body, err))
		return false;
	*answer_out = cJSON_ParseWithLength(body.text, body.len);
	if (cJSON_IsObject(*answer_out))
		return true;
	cJSON_Delete(*answer_out);
	return error_set(err, ERR_UNREACHABLE, "what answers is no aviary service");
}

static void print_json(const cJSON *object)
{
	char *text = cJSON_PrintUnformatted(object);
	puts(text ? text : "null");
	cJSON_free(text);
}

/* ---- requests that the loop decides
 * ---------------------------------------------------------------------- */

/* Until it is decided and recorded, or the patience is over. The caller deletes the answer. */
static bool follow(
	const struct online_service *service, double request, cJSON **answer_out, struct error *err)
{
	auto_free char *path = mem_printf("/api/v1/requests/%.0f", request);
	int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
	for (;;) {
		if (!online_get(service, path, answer_out, err))
			return false;
		bool queued = !strcmp(online_text(*answer_out, "state"), "queued");
		if (!queued || clock_mono_ms() > until_ms)
			return true;
		cJSON_Delete(*answer_out);
		online_pause();
	}
}

static int tell(const cJSON *answer, bool json)
{
	const char *state = online_text(answer, "state"), *text = online_text(answer, "text");
	bool done = !strcmp(state, "done"), refused = !strcmp(state, "refused");
	if (json)
		print_json(answer);
	else if (done)
		puts(text);
	else if (refused)
		fprintf(stderr, "aviary: refused: %s\n", text);
	else
		fprintf(stderr, "aviary: the service has taken it, it is not recorded yet: %s\n",
			*text ? text : "see its log");
	return done ? 0 : refused ? 1 : 4;
}

static const struct ask *find_ask(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(asks); i++)
		if (!strcmp(asks[i].name, name))
			return &asks[i];
	abort(); /* main() found the command by this name */
}

static int run_ask(int argc, char **argv)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct ask *ask = find_ask(argv[0]);
	struct online_options options;
	struct online_service service;
	struct error err;
	cJSON *answer = NULL;
	int done = online_options(
		argc, argv, ask->takes | ONLINE_URL | ONLINE_REASON, ask->usage, &options);
	if (done >= 0)
		return done;
	if (!online_find(&options, arena, &service))
		return 1;
	auto_free char *path = path_of(ask, &options);
	if (!post(&service, path, &options, &answer, &err))
		return online_fail(&err);
	double request = online_number(answer, "request");
	cJSON_Delete(answer);
	if (!follow(&service, request, &answer, &err))
		return online_fail(&err);
	int status = tell(answer, options.json);
	cJSON_Delete(answer);
	return status;
}

/* ---- reconcile
 * ------------------------------------------------------------------------------------------- */

static bool wait_for_look(
	const struct online_service *service, double looks, cJSON **status_out, struct error *err)
{
	int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
	for (;;) {
		if (!online_get(service, "/api/v1/status", status_out, err))
			return false;
		if (online_number(*status_out, "looks") > looks)
			return true;
		cJSON_Delete(*status_out);
		if (clock_mono_ms() > until_ms)
			return error_set(err, ERR_TIMEOUT,
				"the service did not look within a minute: see its log");
		online_pause();
	}
}

static int tell_look(const cJSON *status, bool json)
{
	static const char *const keys[] = {"commit", "rollout", "idle", "problem"};
	const cJSON *rollout = cJSON_GetObjectItemCaseSensitive(status, "rollout");
	const char *problem = online_text(status, "problem"), *id = online_text(rollout, "id");
	if (json) {
		cJSON *told = cJSON_CreateObject();
		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			cJSON_AddItemToObject(told, keys[i],
				cJSON_Duplicate(
					cJSON_GetObjectItemCaseSensitive(status, keys[i]), true));
		cJSON_DeleteItemFromObject(told, "rollout");
		if (*id)
			cJSON_AddStringToObject(told, "rollout", id);
		else
			cJSON_AddNullToObject(told, "rollout");
		print_json(told);
		cJSON_Delete(told);
	} else if (*problem) {
		fprintf(stderr, "aviary: the service looked and is in trouble: %s\n", problem);
	} else {
		printf("looked at commit %.7s '%s' by %s: ", online_text(status, "commit"),
			online_text(status, "subject"), online_text(status, "author"));
		if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(status, "idle")))
			puts("nothing to do");
		else if (*id)
			printf("rollout %s is %s\n", id, online_text(rollout, "state"));
		else
			puts("it is being planned");
	}
	return *problem ? 1 : 0;
}

static int run_reconcile(int argc, char **argv)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	struct online_options options;
	struct online_service service;
	struct error err;
	cJSON *answer = NULL, *status = NULL;
	int done =
		online_options(argc, argv, ONLINE_URL | ONLINE_REASON, usage_reconcile, &options);
	if (done >= 0)
		return done;
	if (!online_find(&options, arena, &service))
		return 1;
	if (!post(&service, "/api/v1/reconcile", &options, &answer, &err))
		return online_fail(&err);
	double looks = online_number(answer, "looks");
	cJSON_Delete(answer);
	if (!wait_for_look(&service, looks, &status, &err))
		return online_fail(&err);
	int result = tell_look(status, options.json);
	cJSON_Delete(status);
	return result;
}

const struct command command_reconcile = {.name = "reconcile",
	.summary = "make the running service look at the repository now",
	.usage = usage_reconcile,
	.run = run_reconcile};
const struct command command_pause = {.name = "pause",
	.summary = "nothing new starts, in the fleet or on one client",
	.usage = usage_pause,
	.run = run_ask};
const struct command command_resume = {
	.name = "resume", .summary = "end a pause", .usage = usage_resume, .run = run_ask};
const struct command command_retry = {.name = "retry",
	.summary = "end a hold and try the newest commit again",
	.usage = usage_retry,
	.run = run_ask};
const struct command command_rollback = {.name = "rollback",
	.summary = "bring one client back to the release before",
	.usage = usage_rollback,
	.run = run_ask};
const struct command command_approve = {.name = "approve",
	.summary = "say yes to what a rollout waits for",
	.usage = usage_approve,
	.run = run_ask};
const struct command command_abort = {.name = "abort",
	.summary = "end a rollout and hold its commit",
	.usage = usage_abort,
	.run = run_ask};
const struct command command_lead = {.name = "lead",
	.summary = "lead again after another instance has led",
	.usage = usage_lead,
	.run = run_ask};
