/* Drives git/remote from pytest. Prints one JSON object; exit status 0 if that could be printed.
 *
 * usage: git_tool [--OPTION VALUE]... MIRROR URL list
 *                                     MIRROR URL fetch INTO REF...
 *                                     MIRROR URL push NAME NEW OLD [NAME NEW OLD]...
 *                                     MIRROR URL hammer BRANCH WRITER COUNT
 * OPTION: key, known-hosts, token, ca (files); connect, idle, total (ms); cancel (descriptor)
 */
#include "base/clock.h"
#include "base/ssh.h"
#include "git/commit.h"
#include "git/remote.h"
#include <signal.h>

#define TRIES_MAX 200 /* of one hammer blow: three writers lose often, never for ever */

struct tool {
	struct remote_options options;
	struct remote *remote;
	struct repo *repo;
	struct buf out;
	struct error err;
};

static void add_text(struct buf *out, const char *key, const char *value)
{
	buf_addf(out, "\"%s\": \"", key);
	buf_add_json(out, value, strlen(value));
	buf_add_str(out, "\"");
}

static bool do_list(struct tool *tool)
{
	auto_remote_refs struct remote_refs refs = {0};

	if (!remote_list(tool->remote, tool->repo, &refs, &tool->err))
		return false;
	buf_add_str(&tool->out, "\"refs\": {");
	for (size_t i = 0; i < refs.count; i++) {
		buf_add_str(&tool->out, i ? ", " : "");
		add_text(&tool->out, refs.items[i].name, refs.items[i].id.hex);
	}
	buf_add_str(&tool->out, "}, ");
	return true;
}

static bool do_fetch(struct tool *tool, char **words, int count)
{
	auto_strlist struct strlist missing = STRLIST_INIT;

	if (!remote_fetch(tool->remote, tool->repo, words[0], (const char *const *)words + 1,
		    (size_t)count - 1, &missing, &tool->err))
		return false;
	buf_add_str(&tool->out, "\"missing\": [");
	for (size_t i = 0; i < missing.count; i++)
		buf_addf(&tool->out, "%s\"%s\"", i ? ", " : "", missing.items[i]);
	buf_add_str(&tool->out, "], ");
	return true;
}

static struct oid oid_of(const char *text)
{
	struct oid id = {0};
	if (oid_valid(text))
		memcpy(id.hex, text, OID_HEX);
	return id;
}

static bool do_push(struct tool *tool, char **words, int count)
{
	static const char *const verdicts[] = {"unknown", "accepted", "moved", "declined"};
	size_t updates_count = (size_t)count / 3;
	auto_free struct remote_update *updates = mem_zero(updates_count, sizeof(*updates));

	for (size_t i = 0; i < updates_count; i++) {
		updates[i].name = words[i * 3];
		updates[i].id = oid_of(words[i * 3 + 1]);
		updates[i].expected = oid_of(words[i * 3 + 2]);
	}
	bool fine = remote_push(tool->remote, tool->repo, updates, updates_count, &tool->err);
	buf_add_str(&tool->out, "\"updates\": {");
	for (size_t i = 0; i < updates_count; i++) {
		buf_addf(&tool->out, "%s\"%s\": {", i ? ", " : "", updates[i].name);
		add_text(&tool->out, "verdict", verdicts[updates[i].verdict]);
		buf_add_str(&tool->out, ", ");
		add_text(&tool->out, "text", updates[i].text);
		buf_add_str(&tool->out, "}");
	}
	buf_add_str(&tool->out, "}, ");
	return fine;
}

/* Fetch, commit on the tip, push: false with ERR_REJECTED if somebody was faster. */
static bool blow(struct tool *tool, const char *branch, const char *writer, int number)
{
	static const struct commit_author author = {"Hammer", "hammer@example.org", 1700000000};
	auto_free char *full = mem_printf("refs/heads/%s", branch);
	auto_free char *copy = mem_printf("refs/remotes/origin/%s", branch);
	auto_free char *path = mem_printf("%s/%d", writer, number);
	auto_free char *message = mem_printf("%s %d\n", writer, number);
	const char *names[] = {full};
	const struct commit_change change = {path, "x", 1};
	struct oid tip, id;

	if (!remote_fetch(tool->remote, tool->repo, "origin", names, 1, NULL, &tool->err) ||
		!repo_ref(tool->repo, copy, &tip, &tool->err) ||
		!commit_create(tool->repo, &tip, &change, 1, message, &author, &id, &tool->err))
		return false;
	struct remote_update update = {.name = full, .id = id, .expected = tip};
	return remote_push(tool->remote, tool->repo, &update, 1, &tool->err);
}

static bool do_hammer(struct tool *tool, char **words)
{
	int lost = 0;
	long count = strtol(words[2], NULL, 10);

	for (int done = 0, tries = 0; done < count; tries++) {
		if (blow(tool, words[0], words[1], done)) {
			done++;
			tries = 0;
		} else if (tool->err.code == ERR_REJECTED && tries < TRIES_MAX) {
			lost++;
		} else {
			return false;
		}
	}
	buf_addf(&tool->out, "\"lost\": %d, ", lost);
	return true;
}

static bool read_option(struct tool *tool, const char *name, const char *value)
{
	struct remote_options *options = &tool->options;
	const struct {
		const char *name;
		const char **text;
		int64_t *ms;
	} known[] = {
		{"--key", &options->ssh_key_file, NULL},
		{"--known-hosts", &options->known_hosts_file, NULL},
		{"--token", &options->token_file, NULL},
		{"--ca", &options->ca_file, NULL},
		{"--connect", NULL, &options->connect_ms},
		{"--idle", NULL, &options->idle_ms},
		{"--total", NULL, &options->total_ms},
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(known[i].name, name) != 0)
			continue;
		if (known[i].text)
			*known[i].text = value;
		else
			*known[i].ms = strtoll(value, NULL, 10);
		return true;
	}
	if (strcmp(name, "--cancel") != 0)
		return false;
	options->cancel_fd = (int)strtol(value, NULL, 10);
	return true;
}

static bool run(struct tool *tool, int count, char **words)
{
	tool->options.url = words[1];
	if (!repo_library_init(&tool->err) || !ssh_library_init(&tool->err) ||
		!repo_open_mirror(words[0], &tool->repo, &tool->err) ||
		!remote_new(&tool->options, &tool->remote, &tool->err))
		return false;
	if (!strcmp(words[2], "list"))
		return do_list(tool);
	if (!strcmp(words[2], "fetch") && count > 3)
		return do_fetch(tool, words + 3, count - 3);
	if (!strcmp(words[2], "push"))
		return do_push(tool, words + 3, count - 3);
	if (!strcmp(words[2], "hammer") && count == 6)
		return do_hammer(tool, words + 3);
	return error_set(&tool->err, ERR_INVALID, "unknown command '%s'", words[2]);
}

int main(int argc, char **argv)
{
	struct tool tool = {.options.cancel_fd = -1};
	int at = 1;

	(void)signal(SIGPIPE, SIG_IGN); /* as the service does; cannot fail */
	buf_init(&tool.out, (size_t)1 << 26);
	while (at + 1 < argc && read_option(&tool, argv[at], argv[at + 1]))
		at += 2;
	if (argc - at < 3) {
		fprintf(stderr, "usage: git_tool [--OPTION VALUE]... MIRROR URL COMMAND ...\n");
		return 2;
	}
	int64_t start = clock_mono_ms();
	bool fine = run(&tool, argc - at, argv + at);
	if (!fine) {
		add_text(&tool.out, "code", error_code_name(tool.err.code));
		buf_add_str(&tool.out, ", ");
		add_text(&tool.out, "message", tool.err.message);
		buf_add_str(&tool.out, ", ");
		add_text(&tool.out, "hint", tool.err.hint);
		buf_add_str(&tool.out, ", ");
		add_text(&tool.out, "where", tool.err.where);
		buf_add_str(&tool.out, ", ");
	}
	printf("{%s\"ok\": %s, \"took_ms\": %lld}\n", tool.out.text, fine ? "true" : "false",
		(long long)(clock_mono_ms() - start));
	remote_free(tool.remote);
	repo_free(tool.repo);
	buf_clear(&tool.out);
	repo_library_shutdown();
	return 0;
}
