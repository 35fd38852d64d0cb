/* server/cli/inventory.c - `aviary inventory`: the inventory as Aviary reads it
 *
 * Prints the JSON of ansible-inventory, so that the two can be compared. Needs neither git nor
 * fleet.yaml; a host is named as in the inventory.
 */
#include "reconcile/inventory.h"
#include "server/cli/command.h"

#include <getopt.h>

#define OUTPUT_MAX ((size_t)1 << 30)

static const char usage[] =
	"usage: aviary inventory [DIR] --list | --host NAME\n"
	"\n"
	"Prints the inventory of an infra repo as JSON, as `ansible-inventory` does: the file\n"
	"that `inventory` in fleet.yaml names, else " INVENTORY_DEFAULT_PATH ".\n"
	"\n"
	"  --list       groups, hosts and all variables of each host\n"
	"  --host NAME  the variables of one host, by its name in the inventory\n";

struct arguments {
	const char *folder;
	const char *host;
	bool list;
	bool help;
};

static bool parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {{"list", no_argument, NULL, 'l'},
		{"host", required_argument, NULL, 'h'}, {"help", no_argument, NULL, 'H'},
		{NULL, 0, NULL, 0}};
	int option;

	*arguments = (struct arguments){.folder = "."};
	optind = 0; /* start over: glibc keeps its place between calls */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'l')
			arguments->list = true;
		else if (option == 'h')
			arguments->host = optarg;
		else if (option == 'H')
			arguments->help = true;
		else
			return false;
	}
	if (arguments->help)
		return true;
	if (optind < argc)
		arguments->folder = argv[optind++];
	return optind == argc && arguments->list == !arguments->host;
}

/* The path that fleet.yaml names; the default if there is no fleet.yaml. */
static bool find_path(
	struct tree *tree, struct arena *arena, const char **path_out, struct error *err)
{
	static const struct node_options options = {.rules = NODE_CORE12};
	auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
	const struct node *fleet, *path;

	*path_out = INVENTORY_DEFAULT_PATH;
	if (!tree_read(tree, "fleet.yaml", &text, NULL, err))
		return err->code == ERR_NOT_FOUND;
	if (!node_parse_yaml(arena, "fleet.yaml", text.text, text.len, &options, &fleet, err))
		return false;
	path = node_get(fleet, "inventory");
	if (!path)
		return true;
	if (path->kind != NODE_STRING)
		return node_error(err, path, "'inventory' is not the path of a file");
	*path_out = path->text;
	return true;
}

static void print_error(const struct error *err)
{
	char line[2048];
	fprintf(stderr, "aviary: %s\n", error_line(err, line, sizeof(line)));
}

static void print_problems(struct problems *problems)
{
	problems_sort(problems);
	for (size_t i = 0; i < problems->count; i++) {
		auto_free char *text = problem_text(&problems->items[i]);
		fprintf(stderr, "%s\n", text);
	}
}

static int report_missing(const struct inventory *inventory, const char *name)
{
	auto_free const char **names = mem_zero(inventory->host_count, sizeof(*names));
	const char *near;

	for (size_t i = 0; i < inventory->host_count; i++)
		names[i] = inventory->hosts[i].name;
	near = nearest_name(name, names, inventory->host_count);
	fprintf(stderr, "aviary: no host '%s' in the inventory", name);
	if (near)
		fprintf(stderr, ": did you mean '%s'?", near);
	fputc('\n', stderr);
	return 1;
}

static int print_inventory(const struct inventory *inventory, const struct arguments *arguments)
{
	auto_buf struct buf out = BUF_INIT(OUTPUT_MAX);

	if (arguments->list) {
		inventory_to_json(inventory, &out);
	} else {
		const struct host *host = inventory_host(inventory, arguments->host);
		if (!host)
			return report_missing(inventory, arguments->host);
		inventory_host_to_json(host, &out);
	}
	buf_add_char(&out, '\n');
	if (buf_overflowed(&out) || fwrite(out.text, 1, out.len, stdout) != out.len ||
		fflush(stdout)) {
		fprintf(stderr, "aviary: cannot write the inventory\n");
		return 1;
	}
	return 0;
}

static int run_inventory(int argc, char **argv)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_tree struct tree *tree = NULL;
	auto_problems struct problems problems = {0};
	struct arguments arguments;
	struct inventory *inventory = NULL;
	const char *path;
	struct error err = {0};

	if (!parse_arguments(argc, argv, &arguments)) {
		fputs(usage, stderr);
		return 2;
	}
	if (arguments.help) {
		fputs(usage, stdout);
		return 0;
	}
	if (!tree_open_folder(arguments.folder, &tree, &err) ||
		!find_path(tree, arena, &path, &err)) {
		print_error(&err);
		return error_exit_status(err.code);
	}
	bool ok = inventory_load(tree, path, arena, &inventory, NULL, &problems);
	print_problems(&problems);
	return ok ? print_inventory(inventory, &arguments) : 1;
}

const struct command command_inventory = {.name = "inventory",
	.summary = "print the inventory as JSON",
	.usage = usage,
	.run = run_inventory};
