/* server/main.c - the command: finds a subcommand in one table and runs it */
#include "git/repo.h"
#include "server/cli/command.h"

#include <sodium.h>

/* In the order of `aviary --help`. */
static const struct command *const commands[] = {
	&command_validate,
	&command_plan,
	&command_render,
	&command_inventory,
};

static void print_usage(FILE *out)
{
	fprintf(out, "usage: aviary COMMAND [ARGUMENTS] | aviary --version\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(out, "\n`aviary COMMAND --help` tells more.\n");
}

static int run_command(const struct command *command, int argc, char **argv)
{
	struct error err = {0};
	char line[sizeof(err)];

	if (sodium_init() < 0) {
		fprintf(stderr, "aviary: libsodium could not be started\n");
		return 1;
	}
	if (!repo_library_init(&err)) {
		fprintf(stderr, "aviary: %s\n", error_line(&err, line, sizeof(line)));
		return 1;
	}
	int status = command->run(argc, argv);
	repo_library_shutdown();
	return status;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "--version")) {
		printf("aviary %s\n", AVIARY_VERSION);
		return 0;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "help")) {
		print_usage(stdout);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (!strcmp(name, commands[i]->name))
			return run_command(commands[i], argc - 1, argv + 1);
	}
	if (*name)
		fprintf(stderr, "aviary: '%s' is no command\n", name);
	print_usage(stderr);
	return 2;
}
