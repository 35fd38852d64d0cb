#include "server/branch.h"
#include "base/clock.h"
#include "base/emit.h"
#include "git/tree.h"

void branch_clear(struct branch *branch)
{
	repo_free(branch->repo);
	free(branch->folder);
	arena_free(branch->arena);
	*branch = (struct branch){0};
}

/* Records stand at the root of a branch of their own, below status/ on the tracked one. */
bool branch_open_ref(struct branch *branch, const char *ref, struct error *err)
{
	auto_tree struct tree *tree = NULL;
	struct tree_entry entry;
	struct error none;
	if (!repo_ref(branch->repo, ref, &branch->tip, err) ||
		!tree_open_commit(branch->repo, &branch->tip, &tree, err))
		return false;
	bool is_inside = tree_stat(tree, "status/leader.yaml", &entry, &none) &&
			 !tree_stat(tree, "leader.yaml", &entry, &none);
	free(branch->folder);
	branch->folder = mem_dup_str(is_inside ? "status/" : "");
	return true;
}

bool branch_open_mirror(
	const char *state_dir, const char *name, struct branch *branch_out, struct error *err)
{
	auto_branch struct branch branch = {0};
	auto_free char *mirror = mem_printf("%s/mirror.git", state_dir);
	auto_free char *seen = mem_printf("refs/aviary/seen/%s", name);
	auto_free char *ref = mem_printf("refs/remotes/status/%s", name);
	struct error none;
	if (!repo_discover(mirror, &branch.repo, err))
		return false;
	if (!repo_ref(branch.repo, seen, &branch.seen, &none))
		branch.seen = (struct oid){0}; /* nothing was read yet */
	if (!branch_open_ref(&branch, ref, err))
		return false;
	*branch_out = branch;
	branch = (struct branch){0};
	return true;
}

bool branch_read(const struct branch *branch, const char *path, struct buf *text, struct error *err)
{
	auto_tree struct tree *tree = NULL;
	auto_free char *whole = mem_printf("%s%s", branch->folder, path);
	return tree_open_commit(branch->repo, &branch->tip, &tree, err) &&
	       tree_read(tree, whole, text, NULL, err);
}

void branch_add_line(const struct commit_info *info, struct buf *out)
{
	char time_text[CLOCK_TEXT_SIZE];
	buf_addf(out, "%.7s  %.16s  ", info->id.hex, clock_format(info->wall_s, time_text));
	buf_add_clean(out, info->subject, strlen(info->subject));
	buf_add_char(out, '\n');
}

void branch_emit_commit(struct emitter *emitter, const struct commit_info *info)
{
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
