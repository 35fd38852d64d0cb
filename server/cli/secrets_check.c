/* `aviary secrets check` and `isolation`: the secrets of a whole repository */
#include "reconcile/isolation.h"
#include "reconcile/secret_check.h"
#include "server/cli/offline.h"
#include "server/cli/secrets.h"

#define OUTPUT_MAX  ((size_t)256 << 20)
#define WIDE_MATRIX 16 /* more clients are told by their names */

static int print(const struct buf *out, int status)
{
	int written = offline_write(out);
	return written ? written : status;
}

/* ---- check ---------------------------------------------------------------------------------- */

static void add_counts(struct buf *out, const struct secret_counts *counts, bool keys,
	const struct problems *problems)
{
	buf_addf(out, "%zu encrypted file%s", counts->encrypted, counts->encrypted == 1 ? "" : "s");
	if (keys)
		buf_addf(out, " (%zu opened)", counts->opened);
	else
		buf_add_str(out, " (not opened: no key)");
	buf_addf(out, ", %zu other%s: ", counts->plain, counts->plain == 1 ? "" : "s");
	size_t found = problems->errors + problems->warnings;
	if (found)
		buf_addf(out, "%zu finding%s.\n", found, found == 1 ? "" : "s");
	else
		buf_add_str(out, "nothing found.\n");
}

static int run_check(const struct secrets_options *options)
{
	const char *folder = options->file_count ? options->files[0] : ".";
	auto_tree struct tree *tree = NULL;
	auto_fleet struct fleet *fleet = NULL;
	auto_keyring struct keyring *keyring = NULL;
	auto_problems struct problems problems = {0}, of_fleet = {0};
	auto_buf struct buf out = BUF_INIT(OUTPUT_MAX);
	struct secret_counts counts;
	struct error err;
	if (!secrets_keys(options, &keyring, &err) || !tree_open_folder(folder, &tree, &err))
		return secrets_fail(SOPS_OK, &err);
	/* what else is wrong with the fleet is for `validate` to tell */
	bool readable = fleet_load(tree, NULL, &fleet, &of_fleet) || fleet;
	const struct secret_check check = {
		.tree = tree,
		.fleet = readable ? fleet : NULL,
		.keyring = keyring_count(keyring) ? keyring : NULL,
	};
	secret_check_run(&check, &counts, &problems);
	problems_sort(&problems);
	if (options->json) {
		buf_addf(&out, "{\"encrypted\": %zu, \"opened\": %zu, \"plain\": %zu, ",
			counts.encrypted, counts.opened, counts.plain);
		offline_add_problems_json(&out, &problems);
		buf_add_str(&out, "}\n");
	} else {
		add_counts(&out, &counts, check.keyring != NULL, &problems);
		offline_add_problems(&out, &problems);
	}
	return print(&out, problems.errors + problems.warnings ? 1 : 0);
}

const struct secrets_command secrets_check = {
	.name = "check",
	.summary = "look at all secrets of a repository",
	.arguments = "[DIR] [--json]",
	.options = "kj",
	.text = "Lists files that are not encrypted, files whose recipients are not those\n"
		"of .sops.yaml, files that your keys do not open, values that two clients\n"
		"share, and keys and passwords in plain files. Names and lines only, never\n"
		"a value. Write `aviary:allow` on or above a line that is meant to be\n"
		"public.\n"
		"Exit status: 0 nothing found, 1 findings, 2 usage.\n",
	.most = 1,
	.run = run_check,
};

/* ---- isolation ------------------------------------------------------------------------------ */

static const char *label(const struct isolation_secret *secret)
{
	return *secret->name ? secret->name : "(encrypted)";
}

static void add_text(struct buf *out, const char *name, const char *text, const char *end)
{
	buf_addf(out, "\"%s\": \"", name);
	buf_add_json(out, text, strlen(text));
	buf_addf(out, "\"%s", end);
}

static void add_readers_json(struct buf *out, const struct isolation *isolation, size_t secret)
{
	const char *comma = "";
	buf_add_str(out, "\"clients\": [");
	for (size_t i = 0; i < isolation->client_count; i++) {
		if (!isolation_has(isolation, i, secret))
			continue;
		buf_addf(out, "%s\"%s\"", comma, isolation->clients[i]);
		comma = ", ";
	}
	buf_add_str(out, "]}");
}

static void add_json(struct buf *out, const struct isolation *isolation)
{
	buf_add_str(out, "\"clients\": [");
	for (size_t i = 0; i < isolation->client_count; i++)
		buf_addf(out, "%s\"%s\"", i ? ", " : "", isolation->clients[i]);
	buf_add_str(out, "], \"secrets\": [");
	for (size_t i = 0; i < isolation->secret_count; i++) {
		const struct isolation_secret *secret = &isolation->secrets[i];
		buf_add_str(out, i ? ", {" : "{");
		add_text(out, "file", secret->file, ", ");
		add_text(out, "secret", secret->name, ", ");
		add_text(out, "owner", secret->owner, ", ");
		add_readers_json(out, isolation, i);
	}
	buf_add_str(out, "], \"leaks\": [");
	for (size_t i = 0; i < isolation->leak_count; i++) {
		const struct isolation_leak *leak = &isolation->leaks[i];
		buf_add_str(out, i ? ", {" : "{");
		add_text(out, "client", leak->client, ", ");
		add_text(out, "secret", leak->secret->name, ", ");
		add_text(out, "owner", leak->secret->owner, ", ");
		add_text(out, "file", leak->secret->file, ", ");
		add_text(out, "in", leak->path, "}");
	}
	buf_add_str(out, "], ");
}

static void add_readers(struct buf *out, const struct isolation *isolation, size_t secret)
{
	const struct isolation_secret *item = &isolation->secrets[secret];
	const char *comma = "";
	if (item->readers == isolation->client_count || !item->readers) {
		buf_add_str(out, item->readers ? "all" : "nobody");
		return;
	}
	for (size_t i = 0; i < isolation->client_count; i++) {
		if (!isolation_has(isolation, i, secret))
			continue;
		buf_addf(out, "%s%s", comma, isolation->clients[i]);
		comma = ", ";
	}
}

static void add_row(struct buf *out, const struct isolation *isolation, size_t secret, int width)
{
	buf_addf(out, "  %-*s  ", width, label(&isolation->secrets[secret]));
	if (isolation->client_count > WIDE_MATRIX)
		add_readers(out, isolation, secret);
	for (size_t i = 0; i < isolation->client_count && isolation->client_count <= WIDE_MATRIX;
		i++)
		buf_addf(out, "%s%*s", isolation_has(isolation, i, secret) ? "x" : ".",
			(int)strlen(isolation->clients[i]) + 1, "");
	while (out->text[out->len - 1] == ' ')
		buf_truncate(out, out->len - 1);
	buf_add_char(out, '\n');
}

static void add_matrix(struct buf *out, const struct isolation *isolation)
{
	const char *file = "";
	int width = 6;
	for (size_t i = 0; i < isolation->secret_count; i++) {
		int len = (int)strlen(label(&isolation->secrets[i]));
		width = len > width && len < 60 ? len : width;
	}
	buf_addf(out, "\n%-*s", width + 4, "");
	for (size_t i = 0; i < isolation->client_count && isolation->client_count <= WIDE_MATRIX;
		i++)
		buf_addf(out, "%s%s", isolation->clients[i],
			i + 1 < isolation->client_count ? "  " : "");
	buf_add_char(out, '\n');
	for (size_t i = 0; i < isolation->secret_count; i++) {
		if (strcmp(isolation->secrets[i].file, file) != 0)
			buf_addf(out, "%s\n", isolation->secrets[i].file);
		file = isolation->secrets[i].file;
		add_row(out, isolation, i, width);
	}
}

static int show(const struct secrets_options *options, const struct fleet *fleet, struct tree *tree,
	struct problems *problems)
{
	auto_isolation struct isolation *isolation = NULL;
	auto_buf struct buf out = BUF_INIT(OUTPUT_MAX);
	bool good = fleet && isolation_build(fleet, tree, &isolation, problems);
	problems_sort(problems);
	if (options->json) {
		buf_add_char(&out, '{');
		if (good)
			add_json(&out, isolation);
		offline_add_problems_json(&out, problems);
		buf_add_str(&out, "}\n");
		return print(&out, good && !problems->errors ? 0 : 1);
	}
	if (good)
		buf_addf(&out, "%zu client%s, %zu secret%s, %zu leak%s.\n", isolation->client_count,
			isolation->client_count == 1 ? "" : "s", isolation->secret_count,
			isolation->secret_count == 1 ? "" : "s", isolation->leak_count,
			isolation->leak_count == 1 ? "" : "s");
	offline_add_problems(&out, problems);
	if (good)
		add_matrix(&out, isolation);
	return print(&out, good && !problems->errors ? 0 : 1);
}

static int run_isolation(const struct secrets_options *options)
{
	const char *folder = options->file_count ? options->files[0] : ".";
	auto_repo struct repo *repo = NULL;
	auto_tree struct tree *tree = NULL;
	auto_fleet struct fleet *fleet = NULL;
	auto_problems struct problems problems = {0};
	struct oid commit = {{0}};
	struct error err;
	offline_find_repo(folder, &repo);
	if (!offline_open_tree(folder, repo, options->commit, &tree, &commit, &err))
		return secrets_fail(SOPS_OK, &err);
	bool valid = fleet_load(tree, &commit, &fleet, &problems);
	int status = show(options, fleet, tree, &problems); /* what of it can be rendered */
	return valid ? status : 1;
}

const struct secrets_command secrets_isolation = {
	.name = "isolation",
	.summary = "show which client gets which secret",
	.arguments = "[DIR] [--commit REV] [--json]",
	.options = "jC",
	.text = "Renders the releases of all clients with a marker in place of each secret\n"
		"and shows which of them hold which: each client its own and the shared\n"
		"ones. A secret of another client, or of the service, is an error. Needs no\n"
		"key.\n"
		"Exit status: 0 all have their own, 1 leaks or mistakes, 2 usage.\n",
	.most = 1,
	.run = run_isolation,
};
