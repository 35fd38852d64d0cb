#include "git/tree_revert.h"
#include "git/pack.h"
#include "git/repo_priv.h"
#include "git/tree_priv.h"

#define PATHS_TOLD 5 /* of a conflict: the first ones show where to look */

static bool tell_conflict(
	git_index *index, const struct oid *commit, const struct oid *onto, struct error *err)
{
	auto_strlist struct strlist paths = STRLIST_INIT;
	auto_buf struct buf text = BUF_INIT(4096);
	const git_index_entry *sides[3];
	git_index_conflict_iterator *iterator = NULL;
	int rc = git_index_conflict_iterator_new(&iterator, index);
	while (!rc && !(rc = git_index_conflict_next(&sides[0], &sides[1], &sides[2], iterator)))
		for (size_t i = 0; i < ARRAY_LEN(sides); i++)
			if (sides[i] && !strlist_has(&paths, sides[i]->path))
				strlist_add(&paths, sides[i]->path);
	git_index_conflict_iterator_free(iterator);
	if (rc != GIT_ITEROVER)
		return repo_fail(err, rc, "conflicts of the revert of %s", commit->hex);
	for (size_t i = 0; i < paths.count && i < PATHS_TOLD; i++)
		buf_addf(&text, "%s'%.200s'", i ? ", " : "", paths.items[i]);
	if (paths.count > PATHS_TOLD)
		buf_addf(&text, " and %zu more", paths.count - PATHS_TOLD);
	(void)error_set(err, ERR_REFUSED, "reverting %.7s on %.7s conflicts in %s", commit->hex,
		onto->hex, text.text);
	return error_hint(err,
		"later commits changed the same lines: 'git revert %.7s', solve it, 'aviary plan'",
		commit->hex);
}

static int revert(struct repo *memory, const struct oid *commit, const struct oid *onto,
	git_index **index_out)
{
	git_merge_options options = GIT_MERGE_OPTIONS_INIT;
	auto_git(git_commit) *reverted = NULL;
	auto_git(git_commit) *ours = NULL;
	git_oid id;
	oid_to_git(commit, &id);
	int rc = git_commit_lookup(&reverted, memory->git, &id);
	oid_to_git(onto, &id);
	rc = rc ? rc : git_commit_lookup(&ours, memory->git, &id);
	if (rc)
		return rc;
	unsigned mainline = git_commit_parentcount(reverted) > 1; /* of a merge: what it merged */
	return git_revert_commit(index_out, memory->git, reverted, ours, mainline, &options);
}

bool tree_open_revert(struct repo *repo, const struct oid *commit, const struct oid *onto,
	struct tree **tree_out, struct error *err)
{
	auto_repo struct repo *memory = NULL;
	auto_git(git_index) *index = NULL;
	struct oid made;
	git_oid id;
	bool contained;
	if (!repo_is_ancestor(repo, commit, onto, &contained, err))
		return false;
	if (!contained)
		return error_set(err, ERR_INVALID,
			"commit %.7s is no part of %.7s: there is nothing to revert", commit->hex,
			onto->hex);
	if (!pack_batch_open(repo, &memory, err))
		return false;
	int rc = revert(memory, commit, onto, &index);
	if (!rc && git_index_has_conflicts(index))
		return tell_conflict(index, commit, onto, err);
	rc = rc ? rc : git_index_write_tree_to(&id, index, memory->git);
	if (rc)
		return repo_fail(err, rc, "revert of %s", commit->hex);
	oid_from_git(&id, &made);
	return tree_open_object(STEAL(memory), &made, tree_out, err);
}
