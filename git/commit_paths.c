#include "git/commit_paths.h"
#include "git/repo_priv.h"

DEFINE_GIT_OWNER(git_diff)

void commit_paths_clear(struct commit_paths *paths)
{
	for (size_t i = 0; i < paths->count; i++)
		free(paths->items[i].path);
	free(paths->items);
	*paths = (struct commit_paths){0};
}

static int make_diff(git_repository *git, const git_oid *id, git_diff **diff_out)
{
	git_diff_options options = GIT_DIFF_OPTIONS_INIT;
	auto_git(git_commit) *commit = NULL;
	auto_git(git_commit) *parent = NULL;
	auto_git(git_tree) *before = NULL;
	auto_git(git_tree) *after = NULL;
	int rc = git_commit_lookup(&commit, git, id);
	rc = rc ? rc : git_commit_tree(&after, commit);
	if (!rc && git_commit_parentcount(commit)) {
		rc = git_commit_parent(&parent, commit, 0);
		rc = rc ? rc : git_commit_tree(&before, parent);
	}
	return rc ? rc : git_diff_tree_to_tree(diff_out, git, before, after, &options);
}

bool commit_paths_read(struct repo *repo, const struct oid *commit, struct commit_paths *paths_out,
	struct error *err)
{
	auto_git(git_diff) *diff = NULL;
	struct commit_paths paths = {0};
	git_oid id;
	oid_to_git(commit, &id);
	int rc = make_diff(repo->git, &id, &diff);
	if (rc)
		return repo_fail(err, rc, "changes of commit %s", commit->hex);
	for (size_t i = 0; i < git_diff_num_deltas(diff); i++) {
		const git_diff_delta *delta = git_diff_get_delta(diff, i);
		bool removed = delta->status == GIT_DELTA_DELETED;
		mem_grow(paths.items, paths.count, paths.capacity);
		paths.items[paths.count++] = (struct commit_path){
			.path = mem_dup_str(removed ? delta->old_file.path : delta->new_file.path),
			.removed = removed};
	}
	*paths_out = paths;
	return true;
}
