/* server/branch.h - the status branch, as they find it who only read it: commands, and the API */
#pragma once
#include "base/arena.h"
#include "git/commit.h"

struct config;
struct emitter;

struct branch {
	struct repo *repo;
	struct oid tip;
	char *folder;    /* of the records: "", or "status/" on the tracked branch */
	struct oid seen; /* newest commit that the service knows of; empty without its mirror */
	struct arena *arena;
	struct config *config; /* of a command with -c, else NULL; lives in the arena */
};
void branch_clear(struct branch *branch);
#define auto_branch CLEANUP(branch_clear)

/**
 * Open it in a repository.
 * @param branch  its repo is set, on success also its tip and folder
 * @param ref     "refs/remotes/origin/deployments"
 * @return false with ERR_NOT_FOUND if there is no such ref
 */
MUST_USE bool branch_open_ref(struct branch *branch, const char *ref, struct error *err);

/** Open it in the mirror of a service. @param name  status.branch */
MUST_USE bool branch_open_mirror(
	const char *state_dir, const char *name, struct branch *branch_out, struct error *err);

/**
 * A file of the records at the tip, for example "clients/alpha.yaml".
 * @return false with ERR_NOT_FOUND if there is none
 */
MUST_USE bool branch_read(
	const struct branch *branch, const char *path, struct buf *text, struct error *err);

/** A commit as one line: id, time, subject. */
void branch_add_line(const struct commit_info *info, struct buf *out);
/** A commit as an object of a list: {commit, subject, time, trailers: [{key, value}]}. */
void branch_emit_commit(struct emitter *emitter, const struct commit_info *info);
