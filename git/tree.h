/* git/tree.h - the files of one commit, or of a folder as it lies
 *
 * The one way in which the infra repo is read. Symlinks, submodules, LFS pointers, `..` and names
 * with control characters are refused by name, never followed: ERR_REFUSED with the path. A failed
 * read is an error and never "not there": only ERR_NOT_FOUND says that a path does not exist.
 * A tree belongs to one thread at a time.
 */
#pragma once
#include "git/repo.h"

struct tree;

enum tree_type { TREE_FILE, TREE_EXECUTABLE, TREE_FOLDER, TREE_SYMLINK, TREE_SUBMODULE };

struct tree_entry {
	char *path; /* from the root, without a leading slash */
	enum tree_type type;
	struct oid id; /* blob or tree id; for a folder as it lies: what git would give it */
};

struct tree_entries {
	struct tree_entry *items; /* sorted by path, bytewise */
	size_t count, capacity;
};
void tree_entries_clear(struct tree_entries *entries);
#define auto_tree_entries CLEANUP(tree_entries_clear)

#define TREE_FILE_MAX ((size_t)16 << 20) /* specs/libraries.md 5.1 */

/** The files of a commit; keeps its own handle of the repository. */
MUST_USE bool tree_open_commit(
	struct repo *repo, const struct oid *commit, struct tree **tree_out, struct error *err);
/** The files below @p folder as they lie, `.git` and what .gitignore names left out. */
MUST_USE bool tree_open_folder(const char *folder, struct tree **tree_out, struct error *err);
void tree_free(struct tree *tree);
DEFINE_CLEANUP(struct tree, tree_free)
#define auto_tree CLEANUP(tree_free_at)

/** Id of the whole tree. */
MUST_USE bool tree_id(struct tree *tree, struct oid *id_out, struct error *err);
/** Type and id of one path. ERR_NOT_FOUND. @p entry_out->path is NULL. */
MUST_USE bool tree_stat(
	struct tree *tree, const char *path, struct tree_entry *entry_out, struct error *err);
/** Content of a file of at most TREE_FILE_MAX bytes. @param id_out  may be NULL */
MUST_USE bool tree_read(struct tree *tree, const char *path, struct buf *out, struct oid *id_out,
	struct error *err);
/** Entries directly below a folder ("" = root). A missing folder is ERR_NOT_FOUND. */
MUST_USE bool tree_list(
	struct tree *tree, const char *folder, struct tree_entries *out, struct error *err);
/** All files below a folder, folders left out; refuses what this header refuses. */
MUST_USE bool tree_list_deep(
	struct tree *tree, const char *folder, struct tree_entries *out, struct error *err);
/**
 * Write all files into an empty private folder, as nobody else may read them: executables 0700,
 * files 0600. Refuses what this header refuses, and more than 1 GiB or 100,000 files (ERR_INVALID).
 * Nothing is synced: whoever dies begins anew.
 */
MUST_USE bool tree_check_out(struct tree *tree, const char *folder, struct error *err);
