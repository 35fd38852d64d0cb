/* `aviary status`: what runs where, by the service that runs. */
#include "base/clock.h"
#include "server/cli/command.h"
#include "server/cli/online.h"
#include <cjson/cJSON.h>

static const char usage[] =
	"usage: aviary status [-c FILE | --url URL [--token-file FILE]] [--json]\n\n"
	"Asks the running service over its socket, or over HTTP with --url.\n"
	"  -c, --config FILE   configuration, for the socket's path (default " ONLINE_CONFIG ")\n"
	"  --json              what GET /api/v1/status answers\n";

static void print_ago(const char *time_text)
{
	int64_t then;
	char text[CLOCK_TEXT_SIZE];
	if (clock_parse(time_text, &then))
		printf("  %s", duration_human((clock_wall_s() - then) * 1000, text));
}

static void print_members(const cJSON *rollout, const cJSON *stage)
{
	const cJSON *member, *progress = cJSON_GetObjectItemCaseSensitive(rollout, "progress");
	cJSON_ArrayForEach(member, cJSON_GetObjectItemCaseSensitive(stage, "clients"))
	{
		const char *detail = online_text(
			cJSON_GetObjectItemCaseSensitive(progress, member->string), "detail");
		printf("  %-12s %-12s", member->string, online_text(member, "state"));
		if (*detail)
			printf(" %s", detail);
		putchar('\n');
	}
}

/* What it waits for, since when, and what a person can do. */
static void print_wait(const cJSON *rollout)
{
	const char *what = online_text(rollout, "waits_for");
	if (!*what)
		return;
	printf("Waiting for %s", what);
	if (*online_text(rollout, "waits_since"))
		printf(", since %s", online_text(rollout, "waits_since"));
	putchar('\n');
	/* Hosts and windows answer by themselves. */
	if (!strncmp(what, "approval", strlen("approval")))
		printf("Next    aviary approve %s --reason '...'   or: aviary abort\n",
			online_text(rollout, "id"));
}

static void print_rollout(const cJSON *status, const cJSON *rollout)
{
	const cJSON *stage;
	if (!cJSON_IsObject(rollout)) {
		printf("Rollout none yet\n");
		return;
	}
	printf("Rollout %s   %s   commit %.7s", online_text(rollout, "id"),
		online_text(rollout, "state"), online_text(rollout, "commit"));
	if (!strcmp(online_text(rollout, "commit"), online_text(status, "commit")))
		printf(" '%s' by %s", online_text(status, "subject"),
			online_text(status, "author"));
	print_ago(online_text(rollout, "started"));
	putchar('\n');
	print_wait(rollout);
	cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(rollout, "stages"))
	{
		printf("%-14s %s\n", online_text(stage, "name"), online_text(stage, "state"));
		if (!strcmp(online_text(rollout, "state"), "running") ||
			!strcmp(online_text(rollout, "state"), "waiting") ||
			!strcmp(online_text(rollout, "state"), "failed"))
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

static void print_clients(const cJSON *status)
{
	const cJSON *client;
	printf("\n%-12s %-12s %-12s %-8s apps\n", "client", "stage", "state", "commit");
	cJSON_ArrayForEach(client, cJSON_GetObjectItemCaseSensitive(status, "clients"))
	{
		printf("%-12s %-12s %-12s %-7.7s ", online_text(client, "client"),
			online_text(client, "stage"), online_text(client, "state"),
			online_text(client, "commit"));
		print_apps(client);
		putchar('\n');
	}
}

static void print_held(const cJSON *status)
{
	const cJSON *held;
	cJSON_ArrayForEach(held, cJSON_GetObjectItemCaseSensitive(status, "held")) printf(
		"Held    %s: %s\n", online_text(held, "client"), online_text(held, "reason"));
}

static void print_paused(const cJSON *status)
{
	const cJSON *paused;
	cJSON_ArrayForEach(paused, cJSON_GetObjectItemCaseSensitive(status, "paused"))
	{
		const char *client = online_text(paused, "client");
		printf("Paused  %s, since %s, '%s', by %s. Again: aviary resume%s%s\n",
			*client ? client : "the fleet", online_text(paused, "since"),
			online_text(paused, "reason"), online_text(paused, "by"),
			*client ? " " : "", client);
	}
}

static void print_vanished(const cJSON *status)
{
	const cJSON *client;
	cJSON_ArrayForEach(client, cJSON_GetObjectItemCaseSensitive(status, "vanished"))
		printf("Vanished %s: not in the inventory any more; nothing is destroyed\n",
			cJSON_GetStringValue(client));
}

static void print_status(const cJSON *status)
{
	const cJSON *leader = cJSON_GetObjectItemCaseSensitive(status, "leader");
	const cJSON *epoch = cJSON_GetObjectItemCaseSensitive(leader, "epoch");
	print_rollout(status, cJSON_GetObjectItemCaseSensitive(status, "rollout"));
	print_held(status);
	print_paused(status);
	print_vanished(status);
	if (*online_text(status, "problem"))
		printf("Trouble %s\n", online_text(status, "problem"));
	if (*online_text(leader, "instance"))
		printf("Leader  %s, epoch %d\n", online_text(leader, "instance"),
			cJSON_IsNumber(epoch) ? epoch->valueint : 0);
	print_clients(status);
}

static int run(int argc, char **argv)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf body = BUF_INIT(ONLINE_ANSWER_MAX);
	struct online_options options;
	struct online_service service;
	struct error err;
	int done = online_options(argc, argv, ONLINE_URL, usage, &options);
	if (done >= 0)
		return done;
	if (!online_find(&options, arena, &service))
		return 1;
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
