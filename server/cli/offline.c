#include "server/cli/offline.h"
#include "base/clock.h"
#include "reconcile/isolation.h"
#include "reconcile/plan.h"
#include "reconcile/secret_check.h"
#include "server/cli/command.h"

#include <getopt.h>

#define OUTPUT_MAX ((size_t)1 << 30)

int offline_fail(const struct error *err)
{
	char line[sizeof(*err)];
	fprintf(stderr, "aviary: %s\n", error_line(err, line, sizeof(line)));
	return error_exit_status(err->code);
}

int offline_write(const struct buf *text)
{
	if (!buf_overflowed(text) && fwrite(text->text, 1, text->len, stdout) == text->len &&
		!fflush(stdout))
		return 0;
	fprintf(stderr, "aviary: cannot write to standard output\n");
	return 1;
}

static void add_problem(struct buf *out, const struct problem *item)
{
	auto_free char *text = problem_text(item);
	buf_add_clean(out, text, strlen(text));
	buf_add_char(out, '\n');
}

void offline_add_problems(struct buf *out, const struct problems *problems)
{
	size_t errors = 0;
	for (size_t i = 0; i < problems->count; i++)
		if (!problems->items[i].warning) {
			add_problem(out, &problems->items[i]);
			errors++;
		}
	if (problems->errors > errors)
		buf_addf(out, "and %zu more errors\n", problems->errors - errors);
	for (size_t i = 0; i < problems->count; i++)
		if (problems->items[i].warning)
			add_problem(out, &problems->items[i]);
}

static void add_text(struct buf *out, const char *name, const char *text)
{
	buf_addf(out, "\"%s\": \"", name);
	buf_add_json(out, text, strlen(text));
	buf_add_char(out, '"');
}

static void add_list(
	struct buf *out, const char *name, const struct problems *problems, bool warnings)
{
	const char *comma = "";
	buf_addf(out, "\"%s\": [", name);
	for (size_t i = 0; i < problems->count; i++) {
		const struct problem *item = &problems->items[i];
		if (item->warning != warnings)
			continue;
		buf_addf(out, "%s{", comma);
		add_text(out, "file", item->file);
		buf_addf(out, ", \"line\": %u, ", item->line);
		add_text(out, "what", item->what);
		buf_add_str(out, ", ");
		add_text(out, "fix", item->fix);
		buf_add_char(out, '}');
		comma = ", ";
	}
	buf_add_char(out, ']');
}

void offline_add_problems_json(struct buf *out, const struct problems *problems)
{
	add_list(out, "errors", problems, false);
	buf_add_str(out, ", ");
	add_list(out, "warnings", problems, true);
}

void offline_find_repo(const char *folder, struct repo **repo_out)
{
	auto_repo struct repo *repo = NULL;
	struct error err;
	if (!repo_discover(folder, &repo, &err) || !repo_folder(repo))
		return; /* no repository: the folder alone is enough for most of the work */
	auto_free char *here = realpath(folder, NULL);
	auto_free char *root = realpath(repo_folder(repo), NULL);
	if (here && root && !strcmp(here, root))
		*repo_out = STEAL(repo);
}

bool offline_open_tree(const char *folder, struct repo *repo, const char *revision,
	struct tree **tree_out, struct oid *commit_out, struct error *err)
{
	if (!revision)
		return tree_open_folder(folder, tree_out, err);
	if (!repo) {
		error_set(err, ERR_NOT_FOUND, "'%s' is not the root of a git repository", folder);
		return error_hint(err, "give the folder of the checkout");
	}
	return repo_revision(repo, revision, commit_out, err) &&
	       tree_open_commit(repo, commit_out, tree_out, err);
}

/* ---- aviary validate ------------------------------------------------------------------------ */

static const char validate_usage[] =
	"usage: aviary validate [DIR] [--age-key-file FILE] [--json]\n"
	"\n"
	"Reads the infra repo in DIR (default: here) as it lies and tells every mistake of it:\n"
	"fleet.yaml, inventory, templates, secrets that are not encrypted or in the release of\n"
	"another client, keys in plain files, rendered files. Needs no key and no service.\n"
	"\n"
	"  --age-key-file FILE  open all files of secrets, too; SOPS_AGE_KEY_FILE and\n"
	"                       SOPS_AGE_KEY do the same\n"
	"\n"
	"Exit status: 0 valid, 1 mistakes, 2 usage.\n";

struct arguments {
	const char *folder;
	const char *key_file;
	bool json;
	bool help;
};

static bool parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
		{"age-key-file", required_argument, NULL, 'k'}, {"help", no_argument, NULL, 'H'},
		{NULL, 0, NULL, 0}};
	int option;

	*arguments = (struct arguments){.folder = "."};
	optind = 0; /* start over: glibc keeps its place between calls */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'j')
			arguments->json = true;
		else if (option == 'k')
			arguments->key_file = optarg;
		else if (option == 'H')
			arguments->help = true;
		else
			return false;
	}
	if (optind < argc)
		arguments->folder = argv[optind++];
	return optind == argc;
}

static void add_answer(struct buf *out, const struct problems *problems, const struct fleet *fleet)
{
	if (problems->errors)
		buf_addf(out, "%zu error%s, %zu warning%s.\n", problems->errors,
			problems->errors == 1 ? "" : "s", problems->warnings,
			problems->warnings == 1 ? "" : "s");
	else
		buf_addf(out, "valid: %zu client%s in %zu stage%s, %zu warning%s.\n",
			fleet->client_count, fleet->client_count == 1 ? "" : "s",
			fleet->policy->stage_count, fleet->policy->stage_count == 1 ? "" : "s",
			problems->warnings, problems->warnings == 1 ? "" : "s");
}

static int tell(
	const struct arguments *arguments, struct problems *problems, const struct fleet *fleet)
{
	auto_buf struct buf out = BUF_INIT(OUTPUT_MAX);
	problems_sort(problems);
	if (arguments->json) {
		buf_add_char(&out, '{');
		offline_add_problems_json(&out, problems);
		buf_add_str(&out, "}\n");
	} else {
		add_answer(&out, problems, fleet);
		offline_add_problems(&out, problems);
	}
	return offline_write(&out);
}

/* Who gets which secret, and all files that are or should be secret. */
static void check_secrets(
	struct tree *tree, const struct keyring *keyring, struct problems *problems)
{
	auto_isolation struct isolation *isolation = NULL;
	auto_fleet struct fleet *fleet = NULL; /* that of a plan is not there after mistakes */
	auto_problems struct problems told = {0};
	struct secret_counts counts;
	bool readable = fleet_load(tree, NULL, &fleet, &told) || fleet;
	const struct secret_check check = {.tree = tree,
		.fleet = readable ? fleet : NULL,
		.keyring = keyring_count(keyring) ? keyring : NULL,
		.encrypted_known = readable,
		.lenient = true};
	/* a failure is one of the problems */
	if (!readable || isolation_build(fleet, tree, &isolation, problems))
		secret_check_run(&check, &counts, problems);
}

static int validate(const struct arguments *arguments)
{
	auto_tree struct tree *tree = NULL;
	auto_plan struct plan *plan = NULL;
	auto_fleet struct fleet *fleet = NULL;
	auto_keyring struct keyring *keyring = NULL;
	auto_problems struct problems problems = {0};
	struct error err = {0};

	const struct keyring_sources sources = {
		.age_key_file = arguments->key_file, .others_may_read = true};
	if (!keyring_load_sources(&sources, &keyring, NULL, &err) ||
		!tree_open_folder(arguments->folder, &tree, &err))
		return offline_fail(&err);
	struct plan_request request = {.tree = tree, .wall_s = clock_wall_s()};
	bool valid = plan_build(&request, &plan, &fleet, &problems);
	check_secrets(tree, keyring, &problems);
	int status = tell(arguments, &problems, fleet);
	return valid && !problems.errors ? status : 1;
}

static int run_validate(int argc, char **argv)
{
	struct arguments arguments;
	if (!parse_arguments(argc, argv, &arguments)) {
		fputs(validate_usage, stderr);
		return 2;
	}
	if (arguments.help) {
		fputs(validate_usage, stdout);
		return 0;
	}
	return validate(&arguments);
}

const struct command command_validate = {.name = "validate",
	.summary = "tell every mistake of an infra repo",
	.usage = validate_usage,
	.run = run_validate};
