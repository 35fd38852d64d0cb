/* git/repo_priv.h - what the modules of git/ share about libgit2; nobody else includes this */
#pragma once
#include "git/repo.h"
#include <git2.h>
#if __has_include(<git2/sys/errors.h>)
#include <git2/sys/errors.h> /* git_error_set_str() moved here in libgit2 1.8 */
#endif

struct repo {
	git_repository *git;
	bool bare;
	struct batch *batch; /* of pack_batch_open(), else NULL; libgit2 owns it */
};

/**
 * Translate the failure of a libgit2 call; the one place where its codes become ours.
 * Call it at once after the failed call: libgit2 keeps the text per thread.
 * @param rc  the negative return code
 * @return false
 */
PRINTF(3, 4) bool repo_fail(struct error *err, int rc, const char *format, ...);

/** The empty id becomes libgit2's zero id. */
void oid_to_git(const struct oid *id, git_oid *out);
/** The zero id becomes the empty one. */
void oid_from_git(const git_oid *id, struct oid *out);

/** A name that may stand in a tree: not empty, `.`, `..` or `.git`, no slash, no control
 *  character. */
bool repo_name_is_safe(const char *name);
/** A path from the root of a tree made of such names, at most 1024 bytes. */
bool repo_path_is_safe(const char *path);

/* clang-format off */
#define DEFINE_GIT_OWNER(type) \
	static inline void type##_free_at(type **owned) { type##_free(*owned); }
DEFINE_GIT_OWNER(git_repository)
DEFINE_GIT_OWNER(git_reference)
DEFINE_GIT_OWNER(git_reference_iterator)
DEFINE_GIT_OWNER(git_object)
DEFINE_GIT_OWNER(git_commit)
DEFINE_GIT_OWNER(git_tree)
DEFINE_GIT_OWNER(git_tree_entry)
DEFINE_GIT_OWNER(git_treebuilder)
DEFINE_GIT_OWNER(git_blob)
DEFINE_GIT_OWNER(git_signature)
DEFINE_GIT_OWNER(git_index)
DEFINE_GIT_OWNER(git_odb)
DEFINE_GIT_OWNER(git_odb_object)
DEFINE_GIT_OWNER(git_remote)
DEFINE_GIT_OWNER(git_filter_list)
/* clang-format on */
/** Declares an owned object of libgit2: `auto_git(git_tree) *tree = NULL;` */
#define auto_git(type) CLEANUP(type##_free_at) type
