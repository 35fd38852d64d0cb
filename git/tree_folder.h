/* git/tree_folder.h - what tree_walk.c finds and tree_folder.c reads; nobody else includes this */
#pragma once
#include "git/repo_priv.h"
#include "git/tree_priv.h"

struct folder_file {
	char *path;
	enum tree_type type;
	struct oid id; /* empty: not hashed yet */
};

struct folder_tree {
	struct tree tree;
	char *root;        /* real path, without a final slash */
	struct repo *repo; /* NULL outside of a repository */
	git_index *index;
	char *prefix;   /* "sub/" if root is a subfolder of the work folder, else "" */
	bool file_mode; /* core.fileMode: the executable bit counts */
	struct folder_file *files;
	size_t count, capacity;
};

/** Find the files of self->root; sorts them by path. */
MUST_USE bool tree_folder_walk(struct folder_tree *self, struct error *err);
