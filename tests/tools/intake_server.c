/* http + intake without a loop, for the tests of deliveries and for trying things by hand:
 *	intake_server LISTEN URL BRANCH STATUS_BRANCH FORGE=SECRET_FILE...
 * Runs until SIGTERM. Prints a line `dirty forge=... delivery=...` on stdout for each 202.
 */
#include "base/fs.h"
#include "base/log.h"
#include "server/intake.h"
#include <signal.h>

static void say_dirty(void *data, enum webhook_forge forge, const char *delivery)
{
	(void)data;
	printf("dirty forge=%s delivery=%s\n", webhook_forge_name(forge), delivery);
	fflush(stdout);
}

#define SECRETS_MAX 8

struct door {
	struct webhook_secret secrets[SECRETS_MAX];
	size_t count;
};

/* FORGE=SECRET_FILE[,SECRET_FILE...] */
static bool read_forge(
	char *argument, struct intake_forge *forge, struct door *door, struct error *err)
{
	char *files = strchr(argument, '=');
	if (!files)
		return error_set(err, ERR_INVALID, "'%s' is not FORGE=SECRET_FILE", argument);
	*files++ = '\0';
	if (!webhook_forge_parse(argument, &forge->forge))
		return error_set(err, ERR_INVALID, "unknown forge '%s'", argument);
	forge->secret_file = files;
	forge->secrets = door->secrets;
	for (char *file = strsep(&files, ","); file; file = strsep(&files, ",")) {
		auto_buf struct buf text = BUF_INIT_SECRET(4096);
		if (door->count == SECRETS_MAX || !fs_read_secret(file, 4096, &text, err))
			return false;
		door->secrets[door->count].len = text.len;
		door->secrets[door->count++].bytes = buf_steal(&text);
		forge->secret_count = door->count;
	}
	return true;
}

static bool serve(char **argv, const struct intake_forge *forges, size_t count, struct error *err)
{
	auto_intake struct intake *intake = NULL;
	auto_http_server struct http_server *server = NULL;
	struct intake_options options = {.repository_url = argv[2],
		.branch = argv[3],
		.status_branch = argv[4],
		.forges = forges,
		.forge_count = count,
		.dirty = say_dirty};
	struct http_options http = {.listen = argv[1]};
	sigset_t signals;
	int signal = 0;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	if (!intake_new(&options, &intake, err))
		return false;
	struct http_routes routes = intake_routes(intake);
	if (!http_server_new(&http, &routes, 1, &server, err))
		return false;
	return !sigwait(&signals, &signal);
}

int main(int argc, char **argv)
{
	struct intake_forge forges[WEBHOOK_FORGES] = {0};
	struct door doors[WEBHOOK_FORGES] = {0};
	struct error err = {0};
	char line[1500];
	size_t count = 0;
	bool good = argc > 5 && argc <= 5 + WEBHOOK_FORGES;
	if (!good)
		fprintf(stderr, "usage: intake_server LISTEN URL BRANCH STATUS_BRANCH "
				"FORGE=SECRET_FILE...\n");
	for (int i = 5; good && i < argc; i++, count++)
		good = read_forge(argv[i], &forges[count], &doors[count], &err);
	good = good && serve(argv, forges, count, &err);
	if (err.code)
		fprintf(stderr, "%s\n", error_line(&err, line, sizeof(line)));
	for (size_t i = 0; i < ARRAY_LEN(doors); i++)
		for (size_t j = 0; j < doors[i].count; j++)
			free((char *)doors[i].secrets[j].bytes);
	return good ? 0 : 1;
}
