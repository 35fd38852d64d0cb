/* What a commit writes, against what its fact may write, and against what its trailers say. */
#include "base/node.h"
#include "git/commit_paths.h"
#include "git/tree.h"
#include "reconcile/audit_parts.h"
#include "reconcile/status.h"

static const char meddled[] = "somebody else wrote a record, or changed the commit after it was "
			      "made: compare it with the host and with the log of that day";
static const char contradicts[] = "message and record were written by different hands: neither is "
				  "to be believed before the host was asked";

/* Name of a file in a folder of records: "alpha" of "clients/alpha.yaml". NULL if it is another. */
static char *name_in(const char *path, const char *folder, const char *suffix)
{
	size_t len = strlen(path), head = strlen(folder), tail = strlen(suffix);
	bool fits = len > head + tail && !strncmp(path, folder, head) &&
		    !strcmp(path + len - tail, suffix) && !strchr(path + head, '/');
	return fits ? mem_dup(path + head, len - head - tail) : NULL;
}

/* The records of a client stand alone, rollouts may take older ones away, and the rest is few files
 * at the root. @return NULL, or why the fact may not write this */
static const char *why_not(const struct told *told, const struct commit_path *file, bool is_root)
{
	const char *path = file->path;
	auto_free char *client = name_in(path, "clients/", ".yaml");
	auto_free char *rollout = name_in(path, "rollouts/", ".yaml");
	auto_free char *events = name_in(path, "events/", ".jsonl");
	if (client)
		return told->client && !strcmp(client, told->client) && !file->removed
			       ? NULL
			       : "which is the record of another client";
	if (rollout || events)
		return file->removed || (told->rollout &&
						!strcmp(rollout ? rollout : events, told->rollout))
			       ? NULL
			       : "which is the record of another rollout";
	if (!strcmp(path, "README.md"))
		return is_root ? NULL : "which is written once";
	size_t len = strlen(path);
	bool at_root = !strchr(path, '/') && len > 5 && !strcmp(path + len - 5, ".yaml");
	/* What people ask for stands in requests.yaml, also what they ask for a client. */
	bool may = !told->client || (told->verb && !strcmp(told->verb, "retry"));
	return at_root && may ? NULL : "which is none of its records";
}

static bool read_record(struct audit_walk *walk, const struct told *told, const char *path,
	const struct node **node_out, struct error *err)
{
	const struct node_options rules = {.rules = NODE_CORE12};
	auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
	auto_tree struct tree *tree = NULL;
	struct oid commit;
	memcpy(commit.hex, told->commit, sizeof(commit.hex));
	return tree_open_commit(walk->options->repo, &commit, &tree, err) &&
	       tree_read(tree, path, &text, NULL, err) &&
	       node_parse_yaml(walk->arena, path, text.text, text.len, &rules, node_out, err);
}

static const char *text_at(const struct node *record, const char *key)
{
	const struct node *value = node_get(record, key);
	return value && value->text ? value->text : "";
}

/* Words of a client's end, in the message and in the record. */
static const char *ended_word(const char *result)
{
	return !strcmp(result, "succeeded") ? "healthy" : result;
}

static void compare_client(
	struct audit_walk *walk, const struct told *told, const struct node *record)
{
	const char *ended = text_at(record, "ended");
	bool starts = !strcmp(told->result, "started");
	if (strcmp(text_at(record, "rollout"), told->rollout) != 0)
		audit_add(walk, told, contradicts, "names rollout %s, and the record '%s'",
			told->rollout, text_at(record, "rollout"));
	else if (starts ? *ended != '\0' : strcmp(ended, ended_word(told->result)) != 0)
		audit_add(walk, told, contradicts, "says '%s', and the record '%s'", told->result,
			*ended ? ended : text_at(record, "state"));
}

/* Does the record that the commit wrote say what its trailers say? Only ends are compared: where a
 * rollout has no client, start and end are decided at once, and the start's record tells the end.
 */
static bool check_record(struct audit_walk *walk, const struct told *told, struct error *err)
{
	const struct node *record;
	if (!told->rollout || !told->result || told->stage || !audit_ends_rollout(told->result))
		return true;
	auto_free char *path =
		mem_printf("%srollouts/%s.yaml", walk->options->folder, told->rollout);
	if (!read_record(walk, told, path, &record, err))
		return false;
	const char *state = text_at(record, "state");
	if (strcmp(state, told->result) != 0)
		audit_add(walk, told, contradicts, "says '%s', and the record '%s'", told->result,
			state);
	return true;
}

static bool check_client_record(struct audit_walk *walk, const struct told *told, struct error *err)
{
	const struct node *record;
	auto_free char *path = mem_printf("%sclients/%s.yaml", walk->options->folder, told->client);
	if (!read_record(walk, told, path, &record, err))
		return false;
	if (told->rollout && told->result && audit_is_start_or_end(told->result))
		compare_client(walk, told, record);
	return true;
}

/* Path inside of the records' folder, or NULL for what people wrote beside it. */
static const char *inside(const struct audit_walk *walk, const char *path)
{
	size_t len = strlen(walk->options->folder);
	return strncmp(path, walk->options->folder, len) ? NULL : path + len;
}

static bool check_paths(struct audit_walk *walk, const struct told *told,
	const struct commit_paths *paths, bool is_root)
{
	bool wrote_client = false, ours = false;
	for (size_t i = 0; i < paths->count; i++) {
		struct commit_path file = paths->items[i];
		const char *path = inside(walk, file.path);
		if (!path)
			continue;
		ours = true;
		file.path = (char *)(uintptr_t)path; /* only read */
		const char *why = why_not(told, &file, is_root);
		auto_free char *client = name_in(path, "clients/", ".yaml");
		wrote_client = wrote_client || client;
		if (why)
			audit_add(walk, told, meddled, "%s '%s', %s",
				file.removed ? "removes" : "writes", path, why);
	}
	/* Others, such as an attempt that is repeated, may say what the record says already. */
	bool must = told->client && told->result && audit_is_start_or_end(told->result);
	if (ours && must && !wrote_client)
		audit_add(walk, told, meddled, "writes no record of '%s'", told->client);
	return ours;
}

bool audit_check_files(struct audit_walk *walk, const struct commit_info *info,
	const struct told *told, bool *is_fact_out, struct error *err)
{
	auto_commit_paths struct commit_paths paths = {0};
	if (!commit_paths_read(walk->options->repo, &info->id, &paths, err))
		return false;
	/* The first record brings the README along, also below people's commits. */
	bool ours = check_paths(walk, told, &paths, !info->parents || walk->options->folder[0]);
	*is_fact_out = ours || !walk->options->folder[0];
	if (!*is_fact_out || !told->verb || !ours)
		return true;
	return told->client ? check_client_record(walk, told, err) : check_record(walk, told, err);
}
