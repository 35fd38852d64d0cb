/* git/commit_paths.h - which files a commit changes, against its first parent */
#pragma once
#include "git/repo.h"

struct commit_path {
	char *path;
	bool removed;
};

struct commit_paths {
	struct commit_path *items; /* sorted by path */
	size_t count, capacity;
};
void commit_paths_clear(struct commit_paths *paths);
#define auto_commit_paths CLEANUP(commit_paths_clear)

/** Files that the commit adds, changes or removes; all of its files if it has no parent. */
MUST_USE bool commit_paths_read(struct repo *repo, const struct oid *commit,
	struct commit_paths *paths_out, struct error *err);
