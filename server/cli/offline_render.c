/* server/cli/offline_render.c - `aviary render`: the files of one client's release, to look at */
#include "base/fs.h"
#include "reconcile/release.h"
#include "reconcile/secrets/keyring.h"
#include "server/cli/command.h"
#include "server/cli/offline.h"

#include <getopt.h>

#define OUTPUT_MAX ((size_t)64 << 20)

static const char usage[] =
	"usage: aviary render CLIENT [DIR] --out DIR [--show-secrets] [--age-key-file FILE]\n"
	"                     [--commit REV] [--json]\n"
	"\n"
	"Writes the files that CLIENT gets. Secrets are shown as <secret:name> unless asked for.\n"
	"\n"
	"  --out DIR            where to write; made if it does not exist\n"
	"  --show-secrets       decrypt; files get no rights for group and others then\n"
	"  --age-key-file FILE  key for it; SOPS_AGE_KEY_FILE and SOPS_AGE_KEY work too\n"
	"  --commit REV         render this commit instead of the folder as it lies\n"
	"\n"
	"Exit status: 0 fine, 1 refused or invalid, 2 usage.\n";

struct arguments {
	const char *client;
	const char *folder;
	const char *out;
	const char *key_file;
	const char *commit;
	bool show;
	bool json;
	bool help;
};

static bool take_option(struct arguments *arguments, int option)
{
	switch (option) {
	case 'o':
		arguments->out = optarg;
		return true;
	case 's':
		arguments->show = true;
		return true;
	case 'k':
		arguments->key_file = optarg;
		return true;
	case 'c':
		arguments->commit = optarg;
		return true;
	case 'j':
		arguments->json = true;
		return true;
	case 'H':
		arguments->help = true;
		return true;
	default:
		return false;
	}
}

static bool parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {{"out", required_argument, NULL, 'o'},
		{"show-secrets", no_argument, NULL, 's'},
		{"age-key-file", required_argument, NULL, 'k'},
		{"commit", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'H'}, {NULL, 0, NULL, 0}};
	int option;

	*arguments = (struct arguments){.folder = "."};
	optind = 0; /* start over: glibc keeps its place between calls */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take_option(arguments, option))
			return false;
	if (arguments->help)
		return true;
	if (optind < argc)
		arguments->client = argv[optind++];
	if (optind < argc)
		arguments->folder = argv[optind++];
	return optind == argc && arguments->client && arguments->out;
}

static bool write_file(
	const struct arguments *arguments, const struct release_file *file, struct error *err)
{
	auto_free char *path = mem_printf("%s/%s", arguments->out, file->path);
	auto_free char *folder = mem_printf("%.*s", (int)(strrchr(path, '/') - path), path);
	mode_t mode = (mode_t)(arguments->show ? file->mode & 0700 : file->mode & 0777);
	if (!fs_make_folders(folder, arguments->show ? 0700 : 0755, err))
		return false;
	return fs_write(path, arguments->show ? file->bytes : file->shape,
		arguments->show ? file->len : file->shape_len, mode, err);
}

static void add_file(struct buf *out, const struct release_file *file, bool json, bool first)
{
	if (!json) {
		buf_addf(out, "  %04o  %s  from %s\n", file->mode, file->path, file->from);
		return;
	}
	buf_addf(out, "%s{\"path\": \"", first ? "" : ", ");
	buf_add_json(out, file->path, strlen(file->path));
	buf_addf(out, "\", \"mode\": \"%04o\", \"from\": \"", file->mode);
	buf_add_json(out, file->from, strlen(file->from));
	buf_add_str(out, "\"}");
}

static int write_release(const struct arguments *arguments, const struct release *release)
{
	auto_buf struct buf out = BUF_INIT(OUTPUT_MAX);
	struct error err;

	if (!fs_make_folders(arguments->out, arguments->show ? 0700 : 0755, &err))
		return offline_fail(&err);
	if (arguments->json)
		buf_addf(&out, "{\"client\": \"%s\", \"files\": [", arguments->client);
	else
		buf_addf(&out, "%zu file%s of %s in %s\n", release->file_count,
			release->file_count == 1 ? "" : "s", arguments->client, arguments->out);
	for (size_t i = 0; i < release->file_count; i++) {
		if (!write_file(arguments, &release->files[i], &err))
			return offline_fail(&err);
		add_file(&out, &release->files[i], arguments->json, !i);
	}
	if (arguments->json)
		buf_add_str(&out, "]}\n");
	return offline_write(&out);
}

static int print_problems(struct problems *problems)
{
	auto_buf struct buf out = BUF_INIT(OUTPUT_MAX);
	problems_sort(problems);
	offline_add_problems(&out, problems);
	fputs(out.text, stderr);
	return 1;
}

static int no_client(const struct fleet *fleet, const char *name)
{
	auto_free const char **names = mem_zero(fleet->client_count, sizeof(*names));
	struct error err;
	for (size_t i = 0; i < fleet->client_count; i++)
		names[i] = fleet->clients[i].name;
	const char *nearest = nearest_name(name, names, fleet->client_count);
	error_set(&err, ERR_NOT_FOUND, "there is no client '%s'", name);
	if (nearest)
		error_hint(&err, "did you mean '%s'?", nearest);
	return offline_fail(&err);
}

static int render(const struct arguments *arguments, struct tree *tree, const struct oid *commit,
	const struct keyring *keyring)
{
	auto_fleet struct fleet *fleet = NULL;
	auto_release_builder struct release_builder *builder = NULL;
	auto_release struct release *release = NULL;
	auto_problems struct problems problems = {0};
	/* nothing is compared here: any key will do, and no value enters a digest as it is */
	auto_digest_keys struct digest_keys keys = {0};
	struct error err;

	if (!fleet_load(tree, commit, &fleet, &problems))
		return print_problems(&problems);
	const struct client *client = fleet_client(fleet, arguments->client);
	if (!client)
		return no_client(fleet, arguments->client);
	if (!digest_keys_add(&keys, &err) ||
		!release_builder_new(fleet, tree, keyring, &builder, &err))
		return offline_fail(&err);
	if (!release_build(builder, client, keyring ? digest_keys_find(&keys, NULL) : NULL,
		    arguments->show, &release, &problems))
		return print_problems(&problems);
	return write_release(arguments, release);
}

static bool load_keys(
	const struct arguments *arguments, struct keyring **keyring_out, struct error *err)
{
	if (!arguments->show)
		return true;
	if (!keyring_load(arguments->key_file, keyring_out, err))
		return false;
	if (keyring_count(*keyring_out))
		return true;
	error_set(err, ERR_REFUSED, "--show-secrets needs an age key");
	return error_hint(err, "give --age-key-file FILE, or set SOPS_AGE_KEY_FILE");
}

static int run_render(int argc, char **argv)
{
	auto_repo struct repo *repo = NULL;
	auto_tree struct tree *tree = NULL;
	auto_keyring struct keyring *keyring = NULL;
	struct arguments arguments;
	struct oid commit = {{0}};
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
	if (!load_keys(&arguments, &keyring, &err) ||
		!offline_open_tree(arguments.folder, repo, arguments.commit, &tree, &commit, &err))
		return offline_fail(&err);
	return render(&arguments, tree, &commit, keyring);
}

const struct command command_render = {.name = "render",
	.summary = "write the files that a client gets",
	.usage = usage,
	.run = run_render};
