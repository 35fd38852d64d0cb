/* server/cli/offline.h - what validate, plan and render share: they run on a checkout */
#pragma once
#include "base/problems.h"
#include "git/tree.h"

/** Print an error as "aviary: where: message: hint". @return the exit status for it */
int offline_fail(const struct error *err);
/** Write a whole text to standard output. @return 0, or 1 with a message */
int offline_write(const struct buf *text);
/** Lines "file:line: what: what to do", errors first. */
void offline_add_problems(struct buf *out, const struct problems *problems);
/** "errors": [{file, line, what, fix}], "warnings": [...] */
void offline_add_problems_json(struct buf *out, const struct problems *problems);

/** Open the repository of @p folder if the folder is its root; else NULL stays. */
void offline_find_repo(const char *folder, struct repo **repo_out);
/** Files of a revision, or of the folder as it lies (revision NULL; commit stays empty). */
MUST_USE bool offline_open_tree(const char *folder, struct repo *repo, const char *revision,
	struct tree **tree_out, struct oid *commit_out, struct error *err);
