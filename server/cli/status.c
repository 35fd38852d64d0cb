/* `aviary status`: what runs where, by the service that runs. */
#include "base/clock.h"
#include "server/cli/command.h"
#include "server/cli/follow.h"
#include "server/cli/online.h"
#include <cjson/cJSON.h>

#define ROWS_MAX 40 /* clients that are all shown: a screen */
#define LIST_MAX 4  /* of anything else that may be as long as the fleet: the answer stays one */

static const char usage[] =
	"usage: aviary status [-c FILE | --url URL [--token-file FILE]] [--json] [--watch]\n\n"
	"What runs, what waits and what to do about it, what is held and paused, each client; of\n"
	"more than 40 only those that are not well. It fits on a screen: of more than 4 of a\n"
	"kind the others are counted, --json has them. Asks the running service over its\n"
	"socket, or over HTTP with --url.\n"
	"  --watch             follow the rollout that runs, a line for each change, until it\n"
	"                      ends or waits; exit status as of apply\n"
	"  -c, --config FILE   configuration, for the socket's path (default " ONLINE_CONFIG ")\n"
	"  --json              what GET /api/v1/status answers\n";

static void print_ago(const char *time_text)
{
	int64_t then;
	char text[CLOCK_TEXT_SIZE];
	if (clock_parse(time_text, &then))
		printf("  %s", duration_human((clock_wall_s() - then) * 1000, text));
}

static void print_rest(const char *label, int all)
{
	if (all > LIST_MAX)
		printf("%-7s and %d more: aviary status --json\n", label, all - LIST_MAX);
}

/* Of a stage that is longer than a screen only those with which something is. */
static bool is_told(const cJSON *member, int all)
{
	const char *state = online_text(member, "state");
	return all <= ROWS_MAX / 2 ||
	       (strcmp(state, "healthy") != 0 && strcmp(state, "pending") != 0 &&
		       strcmp(state, "skipped") != 0);
}

static void print_members(const cJSON *rollout, const cJSON *stage)
{
	const cJSON *member, *progress = cJSON_GetObjectItemCaseSensitive(rollout, "progress");
	const cJSON *clients = cJSON_GetObjectItemCaseSensitive(stage, "clients");
	int all = cJSON_GetArraySize(clients), told = 0;
	cJSON_ArrayForEach(member, clients)
	{
		const char *detail = online_text(
			cJSON_GetObjectItemCaseSensitive(progress, member->string), "detail");
		if (!is_told(member, all) || (++told > LIST_MAX && all > ROWS_MAX / 2))
			continue;
		printf("  %-12s %-12s", member->string, online_text(member, "state"));
		if (*detail)
			printf(" %s", detail);
		putchar('\n');
	}
	if (all > ROWS_MAX / 2)
		print_rest(" ", told);
}

static bool is_open(const cJSON *rollout)
{
	const char *state = online_text(rollout, "state");
	return !strcmp(state, "running") || !strcmp(state, "waiting");
}

/* "stage 2 of 3": the first that is not over. */
static void print_position(const cJSON *stages)
{
	int count = cJSON_GetArraySize(stages), at = 0;
	const cJSON *stage;
	cJSON_ArrayForEach(stage, stages)
	{
		const char *state = online_text(stage, "state");
		at++;
		if (!strcmp(state, "running") || !strcmp(state, "baking") ||
			!strcmp(state, "waiting") || !strcmp(state, "pending"))
			break;
	}
	printf("   stage %d of %d", at, count);
}

/* What it waits for, since when. */
static void print_wait(const cJSON *rollout)
{
	const char *what = online_text(rollout, "waits_for");
	if (!*what)
		return;
	printf("Waiting for %s", what);
	if (*online_text(rollout, "waits_since"))
		printf(", since %s", online_text(rollout, "waits_since"));
	putchar('\n');
}

static void print_stage(const cJSON *stage)
{
	const cJSON *clients = cJSON_GetObjectItemCaseSensitive(stage, "clients"), *member;
	int healthy = 0;
	cJSON_ArrayForEach(member, clients) healthy +=
		!strcmp(online_text(member, "state"), "healthy");
	printf("%-12s %-12s", online_text(stage, "name"), online_text(stage, "state"));
	if (cJSON_GetArraySize(clients))
		printf(" %d/%d", healthy, cJSON_GetArraySize(clients));
	if (!strcmp(online_text(stage, "state"), "baking"))
		printf("   bake %s, since %s", online_text(stage, "bake"),
			online_text(stage, "bake_started"));
	putchar('\n');
}

static void print_rollout(const cJSON *status, const cJSON *rollout)
{
	const cJSON *stage, *stages = cJSON_GetObjectItemCaseSensitive(rollout, "stages");
	if (!cJSON_IsObject(rollout)) {
		printf("Rollout none yet\n");
		return;
	}
	printf("Rollout %s   %s", online_text(rollout, "id"), online_text(rollout, "state"));
	if (is_open(rollout))
		print_position(stages);
	printf("   commit %.7s", online_text(rollout, "commit"));
	if (!strcmp(online_text(rollout, "commit"), online_text(status, "commit")))
		printf(" '%s' by %s", online_text(status, "subject"),
			online_text(status, "author"));
	print_ago(online_text(rollout, "started"));
	putchar('\n');
	print_wait(rollout);
	cJSON_ArrayForEach(stage, stages)
	{
		print_stage(stage);
		if (is_open(rollout) || !strcmp(online_text(rollout, "state"), "failed"))
			print_members(rollout, stage);
	}
}

static void print_apps(const cJSON *client)
{
	const cJSON *app;
	cJSON_ArrayForEach(
		app, cJSON_GetObjectItemCaseSensitive(client, "apps")) if (cJSON_IsString(app))
		printf(" %s %s", app->string, app->valuestring);
}

/* In a large fleet those that are well and not held are only counted. */
static void print_clients(const cJSON *status)
{
	const cJSON *client, *clients = cJSON_GetObjectItemCaseSensitive(status, "clients");
	bool all = cJSON_GetArraySize(clients) <= ROWS_MAX;
	int others = 0, told = 0;
	printf("\n%-12s %-12s %-12s %-8s apps\n", "client", "stage", "state", "commit");
	cJSON_ArrayForEach(client, clients)
	{
		bool well = !strcmp(online_text(client, "state"), "healthy");
		if (!all && well && !cJSON_GetObjectItemCaseSensitive(client, "held") &&
			!cJSON_GetObjectItemCaseSensitive(client, "drift")) {
			others++;
			continue;
		}
		if (++told > LIST_MAX && !all)
			continue;
		printf("%-12s %-12s %-12s %-7.7s ", online_text(client, "client"),
			online_text(client, "stage"), online_text(client, "state"),
			online_text(client, "commit"));
		print_apps(client);
		putchar('\n');
	}
	if (!all)
		print_rest("", told);
	if (others)
		printf("Others  %d healthy\n", others);
}

/* The first ones of a kind, and how many more there are. */
static void print_list(const cJSON *list, const char *label, void (*print)(const cJSON *item))
{
	const cJSON *item;
	int told = 0;
	cJSON_ArrayForEach(item, list)
	{
		if (++told > LIST_MAX)
			break;
		print(item);
	}
	print_rest(label, cJSON_GetArraySize(list));
}

/* Why nothing goes on, and what to do. */
static void print_waits(const cJSON *waits)
{
	printf("Waits   %s\n", online_text(waits, "what"));
	if (*online_text(waits, "next"))
		printf("        Next: %s\n", online_text(waits, "next"));
}

static void print_held(const cJSON *held)
{
	printf("Held    %s: %s. Again: aviary retry %s\n", online_text(held, "client"),
		online_text(held, "reason"), online_text(held, "client"));
}

static void print_paused(const cJSON *paused)
{
	const char *client = online_text(paused, "client");
	printf("Paused  %s, since %s, '%s', by %s. Again: aviary resume%s%s\n",
		*client ? client : "the fleet", online_text(paused, "since"),
		online_text(paused, "reason"), online_text(paused, "by"), *client ? " " : "",
		client);
}

static void print_pinned(const cJSON *pinned)
{
	printf("Pinned  %s until %s, '%s'. Then the newest commit comes by itself\n",
		online_text(pinned, "client"), online_text(pinned, "until"),
		online_text(pinned, "reason"));
}

static void print_vanished(const cJSON *client)
{
	printf("Vanished %s: not in the inventory any more; nothing is destroyed\n",
		cJSON_GetStringValue(client));
}

static void print_drift(const cJSON *status)
{
	const cJSON *client;
	int told = 0;
	cJSON_ArrayForEach(client, cJSON_GetObjectItemCaseSensitive(status, "clients"))
	{
		const cJSON *drift = cJSON_GetObjectItemCaseSensitive(client, "drift");
		told += drift != NULL;
		if (drift && told <= LIST_MAX)
			printf("Drift   %s: %s, since %s. Why: aviary explain %s\n",
				online_text(client, "client"), online_text(drift, "what"),
				online_text(drift, "since"), online_text(client, "client"));
	}
	print_rest("Drift", told);
}

static void print_lists(const cJSON *status)
{
	const cJSON *held = cJSON_GetObjectItemCaseSensitive(status, "held");
	const cJSON *paused = cJSON_GetObjectItemCaseSensitive(status, "paused");
	print_list(cJSON_GetObjectItemCaseSensitive(status, "waits"), "Waits", print_waits);
	if (!cJSON_GetArraySize(held))
		printf("Held    none\n");
	print_list(held, "Held", print_held);
	if (!cJSON_GetArraySize(paused))
		printf("Paused  none\n");
	print_list(paused, "Paused", print_paused);
	print_list(cJSON_GetObjectItemCaseSensitive(status, "pinned"), "Pinned", print_pinned);
	print_drift(status);
	print_list(
		cJSON_GetObjectItemCaseSensitive(status, "vanished"), "Vanished", print_vanished);
}

static void print_status(const cJSON *status)
{
	const cJSON *leader = cJSON_GetObjectItemCaseSensitive(status, "leader");
	print_rollout(status, cJSON_GetObjectItemCaseSensitive(status, "rollout"));
	print_lists(status);
	if (*online_text(status, "problem"))
		printf("Trouble %s\n", online_text(status, "problem"));
	if (*online_text(leader, "instance"))
		printf("Leader  %s, epoch %.0f\n", online_text(leader, "instance"),
			online_number(leader, "epoch"));
	print_clients(status);
}

/* A line for each change, until nothing runs, or what runs waits. */
static int watch(const struct online_service *service, bool json)
{
	auto_follow struct follow *follow = follow_new(stdout, json);
	struct error err;
	for (;;) {
		auto_buf struct buf body = BUF_INIT(ONLINE_ANSWER_MAX);
		if (!online_request(service, "/api/v1/status", NULL, &body, &err))
			return online_fail(&err);
		cJSON *status = cJSON_ParseWithLength(body.text, body.len);
		const cJSON *rollout = cJSON_GetObjectItemCaseSensitive(status, "rollout");
		bool waiting = !strcmp(online_text(rollout, "state"), "waiting");
		bool over = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(status, "idle"));
		cJSON_Delete(status);
		follow_update(follow, body.text);
		if (waiting || over)
			return follow_end(follow, body.text);
		online_pause();
	}
}

static int run(int argc, char **argv)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf body = BUF_INIT(ONLINE_ANSWER_MAX);
	struct online_options options;
	struct online_service service;
	struct error err;
	int done = online_options(argc, argv, ONLINE_URL | ONLINE_WATCH, usage, &options);
	if (done >= 0)
		return done;
	if (!online_find(&options, arena, &service))
		return 1;
	if (options.watch)
		return watch(&service, options.json);
	if (!online_request(&service, "/api/v1/status", NULL, &body, &err))
		return online_fail(&err);
	if (options.json) {
		puts(body.text);
		return 0;
	}
	cJSON *status = cJSON_ParseWithLength(body.text, body.len);
	bool good = cJSON_IsObject(status);
	if (good)
		print_status(status);
	else
		fprintf(stderr, "aviary: what answers is no aviary service\n");
	cJSON_Delete(status);
	return good ? 0 : 3;
}

const struct command command_status = {.name = "status",
	.summary = "what runs where, by the running service",
	.usage = usage,
	.run = run};
