/* `aviary logs`: what the steps of a client printed in a rollout, by the service that runs. */
#include "server/cli/command.h"
#include "server/cli/source.h"
#include <cjson/cJSON.h>

static const char usage[] =
	"usage: aviary logs ROLLOUT CLIENT [-c FILE | --url URL [--token-file FILE]]\n"
	"                   [--follow] [--json]\n\n"
	"What the steps of a client printed in a rollout, on the host and here: masked, at most\n"
	"1 MiB of each step. 'aviary status' and 'aviary history' show the ids of rollouts.\n"
	"Asks the running service over its socket, or over HTTP with --url.\n"
	"  --follow            go on as more comes, until the rollout is done with the client\n"
	"  -c, --config FILE   configuration, for the socket's path (default " ONLINE_CONFIG ")\n"
	"  --url URL           ask over HTTP, with the token of --token-file FILE\n"
	"  --json              {rollout, client, state, running, from, end, text}; with\n"
	"                      --follow a line for each part\n";

static void print_part(const struct online_options *options, const cJSON *part)
{
	if (options->json) {
		char *text = cJSON_PrintUnformatted(part);
		puts(text ? text : "{}");
		cJSON_free(text);
	} else {
		fputs(online_text(part, "text"), stdout);
	}
	fflush(stdout);
}

/* @param end  where the next part begins */
static char *path_of(const struct online_options *options, double end)
{
	auto_buf struct buf path = BUF_INIT(1 << 14);
	buf_add_str(&path, "/api/v1/rollouts/");
	source_escape(&path, options->argument);
	buf_add_str(&path, "/log/");
	source_escape(&path, options->second);
	buf_addf(&path, "?from=%.0f", end);
	return buf_steal(&path);
}

static int logs(const struct online_options *options, const struct online_service *service)
{
	struct error err;
	double end = 0;
	for (bool more = true, first = true; more; first = false) {
		auto_free char *path = path_of(options, end);
		cJSON *part = NULL;
		if (!first)
			online_pause();
		if (!online_get(service, path, &part, &err))
			return online_fail(&err);
		more = options->follow &&
		       cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(part, "running"));
		bool news = online_number(part, "end") > end;
		if (news || (options->json && (first || !more)))
			print_part(options, part);
		else if (!more && end <= 0)
			fprintf(stderr, "aviary: nothing is kept of it: nothing was printed yet, "
					"or it was long ago, or elsewhere\n");
		end = online_number(part, "end");
		cJSON_Delete(part);
	}
	return 0;
}

static int run(int argc, char **argv)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	struct online_options options;
	struct online_service service;
	int done = online_options(argc, argv,
		ONLINE_URL | ONLINE_FOLLOW | ONLINE_ARGUMENT | ONLINE_MUST | ONLINE_SECOND, usage,
		&options);
	if (done >= 0)
		return done;
	return online_find(&options, arena, &service) ? logs(&options, &service) : 1;
}

const struct command command_logs = {
	"logs", "what the steps of a client printed in a rollout", usage, run};
