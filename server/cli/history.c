/* `aviary history`: the deployment history, read from the status branch. */
#include "base/clock.h"
#include "base/emit.h"
#include "git/commit.h"
#include "server/cli/command.h"
#include "server/cli/history_verify.h"
#include "server/cli/online.h"
#include <getopt.h>

#define OUTPUT_MAX ((size_t)1 << 30)

static const char usage[] =
	"usage: aviary history [CLIENT] [-c FILE | --branch NAME] [--json]\n"
	"       aviary history --verify [--signers FILE] [-c FILE | --branch NAME] [--json]\n\n"
	"Shows the commits of the status branch, newest first; of one client if named.\n"
	"  -c, --config FILE   read the service's mirror; without it: origin/deployments of\n"
	"                      the repository in the working folder\n"
	"  --branch NAME       origin/NAME instead\n"
	"  --verify            check the whole branch, offline: unbroken, written by Aviary\n"
	"                      alone, each end after its start. Each break is named with its\n"
	"                      commit and what it means; exit status 1\n"
	"  --signers FILE      whose signatures count, as in ssh-keygen(1), ALLOWED SIGNERS;\n"
	"                      without it: the key status.signing_key_file of -c FILE\n"
	"  --json              {commits: [{commit, subject, time, trailers}]}, with --verify\n"
	"                      {unbroken, commits, breaks: [{commit, subject, what, means}]}\n";

struct history_options {
	const char *config, *client, *branch, *signers;
	bool json, verify, help;
};

static bool parse(int argc, char **argv, struct history_options *options)
{
	static const struct option longs[] = {{"config", required_argument, NULL, 'c'},
		{"branch", required_argument, NULL, 'b'}, {"verify", no_argument, NULL, 'v'},
		{"signers", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int letter;
	optind = 0;
	while ((letter = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
		if (letter == 'c')
			options->config = optarg;
		else if (letter == 'b')
			options->branch = optarg;
		else if (letter == 's')
			options->signers = optarg;
		else if (letter == 'v')
			options->verify = true;
		else if (letter == 'j')
			options->json = true;
		else if (letter == 'h')
			options->help = true;
		else
			return false;
	}
	if (optind < argc)
		options->client = argv[optind++];
	return optind == argc && !(options->verify && options->client) &&
	       !(options->signers && !options->verify) && !(options->config && options->branch);
}

struct history {
	const char *client; /* NULL: all */
	bool json;
	struct buf *out;
	struct emitter emitter;
};

static void add_json(struct history *history, const struct commit_info *info)
{
	struct emitter *emitter = &history->emitter;
	emit_map(emitter, NULL);
	emit_str(emitter, "commit", info->id.hex);
	emit_str(emitter, "subject", info->subject);
	emit_time(emitter, "time", info->wall_s);
	emit_list(emitter, "trailers");
	for (size_t i = 0; i < info->trailer_keys.count; i++) {
		emit_map(emitter, NULL);
		emit_str(emitter, "key", info->trailer_keys.items[i]);
		emit_str(emitter, "value", info->trailer_values.items[i]);
		emit_close(emitter);
	}
	emit_close(emitter);
	emit_close(emitter);
}

static void add_line(struct history *history, const struct commit_info *info)
{
	char time_text[CLOCK_TEXT_SIZE];
	buf_addf(
		history->out, "%.7s  %.16s  ", info->id.hex, clock_format(info->wall_s, time_text));
	buf_add_clean(history->out, info->subject, strlen(info->subject));
	buf_add_char(history->out, '\n');
}

static bool visit(void *data, const struct commit_info *info)
{
	struct history *history = data;
	const char *client = commit_trailer(info, "Client");
	if (history->client && (!client || strcmp(client, history->client) != 0))
		return true;
	if (history->json)
		add_json(history, info);
	else
		add_line(history, info);
	return !buf_overflowed(history->out);
}

static bool read_history(const struct branch *branch, struct history *history, struct error *err)
{
	if (history->json) {
		emit_begin(&history->emitter, EMIT_JSON, history->out);
		emit_list(&history->emitter, "commits");
	}
	if (!commit_walk(branch->repo, &branch->tip, visit, history, err))
		return false;
	if (history->json) {
		emit_close(&history->emitter);
		emit_end(&history->emitter);
		buf_add_char(history->out, '\n');
	}
	return true;
}

static int run(int argc, char **argv)
{
	auto_buf struct buf out = BUF_INIT(OUTPUT_MAX);
	auto_branch struct branch branch = {0};
	struct history_options options = {0};
	struct error err;
	if (!parse(argc, argv, &options)) {
		fputs(usage, stderr);
		return 2;
	}
	if (options.help) {
		fputs(usage, stdout);
		return 0;
	}
	if (!branch_open(options.config, options.branch, &branch, &err))
		return online_fail(&err);
	if (options.verify)
		return history_verify(&branch, options.signers, options.json);
	struct history history = {.client = options.client, .json = options.json, .out = &out};
	if (!read_history(&branch, &history, &err))
		return online_fail(&err);
	fwrite(out.text, 1, out.len, stdout);
	return fflush(stdout) ? 1 : 0;
}

const struct command command_history = {.name = "history",
	.summary = "the deployment history, from the status branch",
	.usage = usage,
	.run = run};
