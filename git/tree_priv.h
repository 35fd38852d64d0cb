/* git/tree_priv.h - the two kinds of tree behind git/tree.h: tree_commit.c and tree_folder.c */
#pragma once
#include "git/tree.h"

/** What a kind does. Paths are checked already and never empty, but for the folder of list. */
struct tree_kind {
	bool (*id)(struct tree *tree, struct oid *id_out, struct error *err);
	bool (*stat)(struct tree *tree, const char *path, struct tree_entry *entry_out,
		struct error *err);
	/** Bytes of a file that stat() called a file; entry->id becomes that of these bytes. */
	bool (*read)(struct tree *tree, const char *path, struct tree_entry *entry, struct buf *out,
		struct error *err);
	/** In any order; appends to @p out. */
	bool (*list)(
		struct tree *tree, const char *folder, struct tree_entries *out, struct error *err);
	void (*free)(struct tree *tree);
};

/** First member of the struct of each kind. */
struct tree {
	const struct tree_kind *kind;
};

/** The files of a commit or tree. @param own  a handle that goes with the tree, also on failure */
MUST_USE bool tree_open_object(
	struct repo *own, const struct oid *object, struct tree **tree_out, struct error *err);

/** Append an entry; takes ownership of @p path. */
void tree_entries_add(
	struct tree_entries *entries, char *path, enum tree_type type, const struct oid *id);

/** ERR_NOT_FOUND for a path of a tree. @return false */
bool tree_not_found(const char *path, struct error *err);
/** ERR_REFUSED if a symlink or submodule stands at @p path. */
bool tree_check_type(const char *path, enum tree_type type, struct error *err);
