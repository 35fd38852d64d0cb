/* server/cli/branch.h - the status branch, as the commands find it that read it offline */
#pragma once
#include "base/arena.h"
#include "git/commit.h"

struct config;

struct branch {
	struct repo *repo;
	struct oid tip;
	char *folder;    /* of the records: "", or "status/" on the tracked branch */
	struct oid seen; /* newest commit that the service knows of; empty without -c */
	struct arena *arena;
	struct config *config; /* with -c, else NULL; lives in the arena */
};
void branch_clear(struct branch *branch);
#define auto_branch CLEANUP(branch_clear)

#define BRANCH_DEFAULT "deployments"

/**
 * Open it: with @p config_path the mirror of that service, else origin/<name> of the repository in
 * the working folder.
 * @param name  of the branch without a configuration; NULL: BRANCH_DEFAULT
 * @return false with ERR_NOT_FOUND and what to fetch
 */
MUST_USE bool branch_open(
	const char *config_path, const char *name, struct branch *branch_out, struct error *err);

/**
 * A file of the records at the tip, for example "clients/alpha.yaml".
 * @return false with ERR_NOT_FOUND if there is none
 */
MUST_USE bool branch_read(
	const struct branch *branch, const char *path, struct buf *text, struct error *err);

/** A commit as one line: id, time, subject. */
void branch_add_line(const struct commit_info *info, struct buf *out);
