/* server/cli/offline_plan.c - `aviary plan`: what a commit or a folder would change
 *
 * Works without keys, so that the infra repo's own CI can run it: secrets are compared by their
 * encrypted text. The plan digest is the one that the service computes.
 */
#include "base/clock.h"
#include "git/tree_revert.h"
#include "reconcile/plan.h"
#include "reconcile/status.h"
#include "server/cli/command.h"
#include "server/cli/offline.h"

#include <getopt.h>

#define OUTPUT_MAX    ((size_t)1 << 30)
#define STATUS_BRANCH "refs/remotes/origin/deployments"

static const char usage[] =
	"usage: aviary plan [DIR] [--from REV | --revert REV] [--to REV] [--json]\n"
	"\n"
	"Shows which clients of the infra repo in DIR (default: here) would change, and why.\n"
	"Needs no key and no service: secrets are compared by their encrypted text.\n"
	"\n"
	"  --from REV  compare with this commit; default: the last one that was deployed, by\n"
	"              origin/deployments, else with nothing\n"
	"  --to REV    plan for this commit; default: the folder as it lies\n"
	"  --revert REV  what reverting that commit on --to (default: HEAD) would do, compared\n"
	"              with what the clients run by origin/deployments; and whose data would\n"
	"              have to come back too. Uncommitted changes do not count\n"
	"  --json      the same as JSON\n"
	"\n"
	"Exit status: 0 allowed or nothing to do, 1 refused or invalid, 2 usage.\n";

struct arguments {
	const char *folder;
	const char *from;
	const char *to;
	const char *revert;
	bool json;
	bool help;
};

static bool parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {{"from", required_argument, NULL, 'f'},
		{"to", required_argument, NULL, 't'}, {"revert", required_argument, NULL, 'r'},
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'H'},
		{NULL, 0, NULL, 0}};
	int option;

	*arguments = (struct arguments){.folder = "."};
	optind = 0; /* start over: glibc keeps its place between calls */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'f')
			arguments->from = optarg;
		else if (option == 't')
			arguments->to = optarg;
		else if (option == 'r')
			arguments->revert = optarg;
		else if (option == 'j')
			arguments->json = true;
		else if (option == 'H')
			arguments->help = true;
		else
			return false;
	}
	if (optind < argc)
		arguments->folder = argv[optind++];
	return optind == argc && !(arguments->from && arguments->revert);
}

/* What is recorded on the status branch, if it is here. */
static bool load_status(struct repo *repo, struct status **status_out, struct error *err)
{
	auto_tree struct tree *tree = NULL;
	struct oid tip;
	if (!repo_ref(repo, STATUS_BRANCH, &tip, err))
		return err->code == ERR_NOT_FOUND; /* nothing was deployed yet */
	return tree_open_commit(repo, &tip, &tree, err) &&
	       status_load(tree, "", &tip, status_out, err);
}

static bool find_from(const char *from, struct repo *repo, struct oid *base, struct error *err)
{
	auto_status struct status *status = NULL;

	if (from && !repo)
		return error_set(err, ERR_NOT_FOUND, "--from needs the root of a git repository");
	if (from)
		return repo_revision(repo, from, base, err);
	if (!repo)
		return true;
	return load_status(repo, &status, err) &&
	       (!status || plan_last_deployed(repo, status, base, err));
}

/* Compared with what is recorded of each client; without that, with the commit before. */
static bool open_revert(const struct arguments *arguments, struct repo *repo,
	struct plan_request *request, struct status **status_out, struct error *err)
{
	struct oid onto = {{0}};
	if (!repo)
		return error_set(err, ERR_NOT_FOUND, "--revert needs the root of a git repository");
	if (!repo_revision(repo, arguments->revert, &request->reverts, err) ||
		!repo_revision(repo, arguments->to ? arguments->to : "HEAD", &onto, err) ||
		!tree_open_revert(repo, &request->reverts, &onto, &request->tree, err) ||
		!load_status(repo, status_out, err))
		return false;
	request->status = *status_out;
	request->keyless = true;
	request->base = onto;
	return !*status_out || plan_last_deployed(repo, *status_out, &request->base, err);
}

static bool open_request(const struct arguments *arguments, struct repo *repo,
	struct plan_request *request, struct status **status_out, struct error *err)
{
	request->repo = repo;
	request->wall_s = clock_wall_s();
	if (arguments->revert)
		return open_revert(arguments, repo, request, status_out, err);
	return offline_open_tree(arguments->folder, repo, arguments->to, &request->tree,
		       &request->commit, err) &&
	       find_from(arguments->from, repo, &request->base, err);
}

static int print_invalid(const struct plan_request *request, struct problems *problems, bool json)
{
	auto_buf struct buf out = BUF_INIT(OUTPUT_MAX);
	problems_sort(problems);
	if (!json) {
		buf_addf(&out, "refused: %zu error%s, %zu warning%s.\n", problems->errors,
			problems->errors == 1 ? "" : "s", problems->warnings,
			problems->warnings == 1 ? "" : "s");
		offline_add_problems(&out, problems);
	} else {
		const char *from = request->base.hex, *to = request->commit.hex;
		buf_addf(&out, "{\"from\": %s%s%s, ", *from ? "\"" : "", *from ? from : "null",
			*from ? "\"" : "");
		buf_addf(&out, "\"to\": %s%s%s, ", *to ? "\"" : "", *to ? to : "null",
			*to ? "\"" : "");
		buf_add_str(&out, "\"plan\": null, \"verdict\": \"refused\", \"changed\": 0, "
				  "\"unchanged\": 0, \"clients\": [], ");
		offline_add_problems_json(&out, problems);
		buf_add_str(&out, "}\n");
	}
	(void)offline_write(&out); /* the status is 1 either way */
	return 1;
}

static int print_plan(const struct plan *plan, bool json)
{
	auto_buf struct buf out = BUF_INIT(OUTPUT_MAX);
	if (json) {
		plan_to_json(plan, &out);
		buf_add_char(&out, '\n');
	} else {
		plan_to_text(plan, &out);
	}
	int status = offline_write(&out);
	return plan->verdict == PLAN_REFUSED ? 1 : status;
}

static int run_plan(int argc, char **argv)
{
	auto_repo struct repo *repo = NULL;
	auto_status struct status *status = NULL;
	auto_tree struct tree *tree = NULL;
	auto_plan struct plan *plan = NULL;
	auto_problems struct problems problems = {0};
	struct arguments arguments;
	struct plan_request request = {0};
	struct error err = {0};

	if (!parse_arguments(argc, argv, &arguments)) {
		fputs(usage, stderr);
		return 2;
	}
	if (arguments.help) {
		fputs(usage, stdout);
		return 0;
	}
	offline_find_repo(arguments.folder, &repo);
	bool opened = open_request(&arguments, repo, &request, &status, &err);
	tree = request.tree;
	if (!opened)
		return offline_fail(&err);
	if (!plan_build(&request, &plan, NULL, &problems))
		return print_invalid(&request, &problems, arguments.json);
	return print_plan(plan, arguments.json);
}

const struct command command_plan = {.name = "plan",
	.summary = "show which clients a commit changes, and why",
	.usage = usage,
	.run = run_plan};
