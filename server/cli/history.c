/* `aviary history`: the deployment history, read from the status branch. */
#include "base/emit.h"
#include "git/commit.h"
#include "server/cli/command.h"
#include "server/cli/history_verify.h"
#include "server/cli/source.h"

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

struct history {
	const char *client; /* NULL: all */
	bool json;
	struct buf *out;
	struct emitter emitter;
};

static bool visit(void *data, const struct commit_info *info)
{
	struct history *history = data;
	const char *client = commit_trailer(info, "Client");
	if (history->client && (!client || strcmp(client, history->client) != 0))
		return true;
	if (history->json)
		branch_emit_commit(&history->emitter, info);
	else
		branch_add_line(info, history->out);
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
	struct online_options options;
	struct error err;
	int done = online_options(
		argc, argv, ONLINE_BRANCH | ONLINE_VERIFY | ONLINE_ARGUMENT, usage, &options);
	if (done >= 0)
		return done;
	if (!source_open_branch(&options, &branch, &err))
		return online_fail(&err);
	if (options.verify)
		return history_verify(&branch, options.signers, options.json);
	struct history history = {.client = options.argument, .json = options.json, .out = &out};
	if (!read_history(&branch, &history, &err))
		return online_fail(&err);
	fwrite(out.text, 1, out.len, stdout);
	return fflush(stdout) ? 1 : 0;
}

const struct command command_history = {.name = "history",
	.summary = "the deployment history, from the status branch",
	.usage = usage,
	.run = run};
