/* git/repo.h - a repository opened with libgit2, and ids of its objects
 *
 * One struct repo belongs to one thread at a time. libgit2's global state is set up by
 * repo_library_init() before any thread starts. All errors of libgit2 are translated in repo.c.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"

#define OID_HEX 40

/** Object id as lower-case hex; all zero bytes ("" text) means none. */
struct oid {
	char hex[OID_HEX + 1];
};
/** The same object? Two empty ids are equal. */
bool oid_equal(const struct oid *a, const struct oid *b);
/** Exactly 40 lower-case hex digits? */
bool oid_valid(const char *text);

struct repo;

/** Call once before threads; clears libgit2's search paths of configuration. */
MUST_USE bool repo_library_init(struct error *err);
void repo_library_shutdown(void);

/** Open or create the bare mirror @p path (0700). Removes what a killed process left: *.lock,
 * tmp_*. The caller holds the lock of the state folder. */
MUST_USE bool repo_open_mirror(const char *path, struct repo **repo_out, struct error *err);
/** Open the repository that contains @p folder, for the command line. ERR_NOT_FOUND if none. */
MUST_USE bool repo_discover(const char *folder, struct repo **repo_out, struct error *err);
/** A second handle on the same repository, for another thread. */
MUST_USE bool repo_reopen(const struct repo *repo, struct repo **repo_out, struct error *err);
void repo_free(struct repo *repo);
DEFINE_CLEANUP(struct repo, repo_free)
#define auto_repo CLEANUP(repo_free_at)

/** Work folder of a non-bare repository, with a final slash, or NULL. */
const char *repo_folder(const struct repo *repo);
/** Id of a reference by its full name. ERR_NOT_FOUND. */
MUST_USE bool repo_ref(struct repo *repo, const char *name, struct oid *id_out, struct error *err);
/** As repo_ref(), but an empty id if there is none. */
MUST_USE bool repo_ref_or_none(
	struct repo *repo, const char *name, struct oid *id_out, struct error *err);
/** Commit id of any revision ("HEAD~2", "main", a short id). ERR_NOT_FOUND. */
MUST_USE bool repo_revision(
	struct repo *repo, const char *text, struct oid *id_out, struct error *err);
/** Move a reference from @p old (empty: must not exist) to @p id. ERR_REJECTED if it is elsewhere.
 */
MUST_USE bool repo_ref_set(struct repo *repo, const char *name, const struct oid *id,
	const struct oid *old, struct error *err);
/** Let a local reference be at @p id, wherever it was; an empty id deletes it. */
MUST_USE bool repo_ref_move(
	struct repo *repo, const char *name, const struct oid *id, struct error *err);
/** Delete a local reference; a missing one is fine. */
MUST_USE bool repo_ref_delete(struct repo *repo, const char *name, struct error *err);
/** Is @p ancestor reachable from @p id (or equal)? *out tells. */
MUST_USE bool repo_is_ancestor(struct repo *repo, const struct oid *ancestor, const struct oid *id,
	bool *out, struct error *err);

/** What a branch had when it was seen last, and what became of it. */
struct repo_seen {
	struct oid tip;
	const char *lost; /* words for a branch that lost commits since; NULL: it lost none */
};
/** Compare the tip of a branch (empty: it is gone) with the reference @p name that says what was
 *  seen of it. */
MUST_USE bool repo_look_back(struct repo *repo, const char *name, const struct oid *tip,
	struct repo_seen *seen_out, struct error *err);
/** Is the object here? */
bool repo_has_commit(struct repo *repo, const struct oid *id);
/** Names of references that begin with @p prefix, sorted. */
MUST_USE bool repo_refs(
	struct repo *repo, const char *prefix, struct strlist *names_out, struct error *err);
