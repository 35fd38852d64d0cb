#include "server/cli/branch.h"
#include "base/clock.h"
#include "git/tree.h"
#include "server/cli/online.h"

void branch_clear(struct branch *branch)
{
	repo_free(branch->repo);
	free(branch->folder);
	arena_free(branch->arena);
	*branch = (struct branch){0};
}

static bool open_mirror(
	const char *config_path, struct branch *branch, char **ref_out, struct error *err)
{
	struct error none;
	if (!online_config(config_path, NULL, branch->arena, &branch->config))
		return error_set(err, ERR_INVALID, "'%s' cannot be used", config_path);
	auto_free char *mirror = mem_printf("%s/mirror.git", branch->config->state_dir);
	auto_free char *seen = mem_printf("refs/aviary/seen/%s", branch->config->status.branch);
	if (!repo_discover(mirror, &branch->repo, err))
		return false;
	if (!repo_ref(branch->repo, seen, &branch->seen, &none))
		branch->seen = (struct oid){0}; /* nothing was read yet */
	*ref_out = mem_printf("refs/remotes/status/%s", branch->config->status.branch);
	return true;
}

/* Records stand at the root of a branch of their own, below status/ on the tracked one. */
static bool find_folder(struct branch *branch, struct error *err)
{
	auto_tree struct tree *tree = NULL;
	struct tree_entry entry;
	struct error none;
	if (!tree_open_commit(branch->repo, &branch->tip, &tree, err))
		return false;
	bool is_inside = tree_stat(tree, "status/leader.yaml", &entry, &none) &&
			 !tree_stat(tree, "leader.yaml", &entry, &none);
	branch->folder = mem_dup_str(is_inside ? "status/" : "");
	return true;
}

static bool open_branch(
	const char *config_path, const char *name, struct branch *branch, struct error *err)
{
	auto_free char *ref = NULL;
	branch->arena = arena_new(ARENA_PLAIN, 0);
	if (config_path) {
		if (!open_mirror(config_path, branch, &ref, err))
			return false;
	} else {
		ref = mem_printf("refs/remotes/origin/%s", name ? name : BRANCH_DEFAULT);
		if (!repo_discover(".", &branch->repo, err))
			return false;
	}
	if (!repo_ref(branch->repo, ref, &branch->tip, err))
		return error_hint(err, "fetch the status branch, or name the service's -c FILE");
	return find_folder(branch, err);
}

bool branch_open(
	const char *config_path, const char *name, struct branch *branch_out, struct error *err)
{
	auto_branch struct branch branch = {0};
	if (!open_branch(config_path, name, &branch, err))
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
