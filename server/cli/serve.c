/* `aviary serve`: the service in the foreground; systemd or a container keeps it. */
#include "server/cli/command.h"
#include "server/cli/online.h"
#include "server/service.h"
#include <getopt.h>
#include <unistd.h>

static const char usage[] =
	"usage: aviary serve [-c FILE] [--check] [--listen ADDRESS] [--state-dir DIR]\n"
	"                    [--log-format text|json]\n\n"
	"Runs the service until SIGTERM. SIGHUP reads secrets, tokens and age keys again.\n"
	"  -c, --config FILE   configuration (default " ONLINE_CONFIG ")\n"
	"  --check             only check the configuration and its files, then exit\n"
	"  --listen, --state-dir, --log-format   override the keys of the file\n";

struct serve_options {
	const char *config;
	struct config_flags flags;
	bool check, help;
};

static bool parse(int argc, char **argv, struct serve_options *options)
{
	static const struct option longs[] = {{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'}, {"listen", required_argument, NULL, 'l'},
		{"state-dir", required_argument, NULL, 's'},
		{"log-format", required_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'},
		{0}};
	int letter;
	options->config = ONLINE_CONFIG;
	while ((letter = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
		switch (letter) {
		case 'c':
			options->config = optarg;
			break;
		case 'k':
			options->check = true;
			break;
		case 'l':
			options->flags.listen = optarg;
			break;
		case 's':
			options->flags.state_dir = optarg;
			break;
		case 'f':
			options->flags.log_format = optarg;
			break;
		case 'h':
			options->help = true;
			break;
		default:
			return false;
		}
	}
	return optind == argc;
}

/* Every mistake of the configuration's files. @return false if there are errors */
static bool check(const struct config *config)
{
	auto_problems struct problems problems = {0};
	bool good = config_check(config, &problems);
	problems_sort(&problems);
	for (size_t i = 0; i < problems.count; i++) {
		auto_free char *text = problem_text(&problems.items[i]);
		fprintf(stderr, "%s\n", text);
	}
	return good;
}

static int serve(const struct config *config)
{
	struct error err;
	int lock = -1;
	if (!service_harden(&err) || !service_lock(config, &lock, &err))
		return online_fail(&err);
	bool good = service_run(config, &err);
	close(lock);
	return good ? 0 : online_fail(&err);
}

static int run(int argc, char **argv)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	struct serve_options options = {0};
	struct config *config;
	if (!parse(argc, argv, &options)) {
		fputs(usage, stderr);
		return 2;
	}
	if (options.help) {
		fputs(usage, stdout);
		return 0;
	}
	if (!online_config(options.config, &options.flags, arena, &config))
		return 1;
	log_setup(STDERR_FILENO, config->log_level, config->log_format);
	if (!check(config))
		return 1;
	if (options.check) {
		printf("%s: fine\n", options.config);
		return 0;
	}
	return serve(config);
}

const struct command command_serve = {
	.name = "serve", .summary = "run the service", .usage = usage, .run = run};
