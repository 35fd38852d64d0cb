/* server/main.c - the command: finds a subcommand in one table and runs it */
#include "base/log.h"
#include "git/repo.h"
#include "reconcile/secrets/secret.h"
#include "server/cli/command.h"
#include "server/man.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <git2.h>
#include <libssh2.h>
#include <malloc.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <sodium.h>
#include <yaml.h>

/* In the order of `aviary --help`. */
static const struct command *const commands[] = {
	&command_serve,
	&command_apply,
	&command_status,
	&command_reconcile,
	&command_approve,
	&command_abort,
	&command_pause,
	&command_resume,
	&command_retry,
	&command_rollback,
	&command_lead,
	&command_logs,
	&command_history,
	&command_replay,
	&command_explain,
	&command_validate,
	&command_plan,
	&command_render,
	&command_inventory,
	&command_secrets,
};

static void print_usage(FILE *out)
{
	fprintf(out, "usage: aviary COMMAND [ARGUMENTS] | aviary --version\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(out, "\n`aviary COMMAND --help` tells more.\n");
}

/* Ours, and of each library the one that runs, which may be newer than the one built against. */
static void print_versions(void)
{
	int major, minor, revision;
	git_libgit2_version(&major, &minor, &revision);
	printf("aviary %s\n", AVIARY_VERSION);
	printf("libgit2 %d.%d.%d\n", major, minor, revision);
	printf("libmicrohttpd %s\n", MHD_get_version());
	printf("libcurl %s\n", curl_version_info(CURLVERSION_NOW)->version);
	printf("cJSON %s\n", cJSON_Version());
	printf("libsodium %s\n", sodium_version_string());
	printf("libssh2 %s\n", libssh2_version(0));
	printf("libyaml %s\n", yaml_get_version_string());
	printf("%s\n", OpenSSL_version(OPENSSL_VERSION));
}

static int run_command(const struct command *command, int argc, char **argv)
{
	struct error err = {0};
	char line[sizeof(err)];

#ifdef M_ARENA_MAX
	/* By default glibc gives each thread an arena of its own, which keeps what one big plan
	 * freed. Fails only for values that it does not know. */
	(void)mallopt(M_ARENA_MAX, 2);
#endif
	if (sodium_init() < 0) {
		fprintf(stderr, "aviary: libsodium could not be started\n");
		return 1;
	}
	if (!repo_library_init(&err)) {
		fprintf(stderr, "aviary: %s\n", error_line(&err, line, sizeof(line)));
		return 1;
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) || libssh2_init(0)) {
		fprintf(stderr, "aviary: libcurl or libssh2 could not be started\n");
		return 1;
	}
	log_set_mask(secret_mask);
	int status = command->run(argc, argv);
	secret_mask_clear();
	libssh2_exit();
	curl_global_cleanup();
	repo_library_shutdown();
	return status;
}

/* Not in the usage: `make install` calls it. */
static int print_man_page(const char *page)
{
	auto_buf struct buf text = BUF_INIT(1 << 20);
	if (!man_write(page, commands, ARRAY_LEN(commands), &text)) {
		fprintf(stderr, "usage: aviary man aviary|aviary-secrets|aviary.yaml|fleet.yaml\n");
		return 2;
	}
	return fputs(text.text, stdout) == EOF || fflush(stdout) ? 1 : 0;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "--version")) {
		print_versions();
		return 0;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "help")) {
		print_usage(stdout);
		return 0;
	}
	if (!strcmp(name, "man"))
		return print_man_page(argc == 3 ? argv[2] : "");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (!strcmp(name, commands[i]->name))
			return run_command(commands[i], argc - 1, argv + 1);
	}
	if (*name)
		fprintf(stderr, "aviary: '%s' is no command\n", name);
	print_usage(stderr);
	return 2;
}
