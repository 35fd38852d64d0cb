/* git/tree_revert.h - the files that `git revert` would leave, without a commit and a work tree */
#pragma once
#include "git/tree.h"

/**
 * Take back what @p commit changed (a merge: relative to its first parent), on the files of
 * @p onto. Nothing is written into the repository: what is new stays in memory, with the tree.
 * @return false: ERR_REFUSED if they conflict, with the paths; ERR_INVALID if @p onto does not
 *         contain the commit
 */
MUST_USE bool tree_open_revert(struct repo *repo, const struct oid *commit, const struct oid *onto,
	struct tree **tree_out, struct error *err);
