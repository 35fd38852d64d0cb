/* reconcile/ledger.h - the status branch of one remote: read it, write facts to it
 *
 * Writing: commits on the tip of the mirror, pushed alone by compare-and-swap; tags follow in a
 * second push. When somebody else moved the branch: fetch, and if no record was changed, commit the
 * facts again on the new tip, at most 5 times; otherwise ERR_REJECTED and the caller decides again.
 * Used by the git thread only.
 */
#pragma once
#include "git/remote.h"
#include "reconcile/fact.h"

struct ledger_options {
	struct repo *repo;     /* the mirror; borrowed */
	struct remote *remote; /* borrowed */
	const char *branch;    /* "deployments" */
	const char *folder;    /* "", or "status/" when the branch is the tracked one */
	const char *author_name;
	const char *author_mail;
	const char *signing_key_file; /* or NULL: commits and tags are not signed */
};

struct ledger;
/** Connects to nothing; strings are copied. */
struct ledger *ledger_new(const struct ledger_options *options);
void ledger_free(struct ledger *ledger);
DEFINE_CLEANUP(struct ledger, ledger_free)
#define auto_ledger CLEANUP(ledger_free_at)

/**
 * Fetch the branch and read it.
 * ERR_REFUSED: the branch is missing or shorter than the mirror knows (design.md section 6); hint
 * names `aviary apply --accept-history`.
 * @param accept_history  go on from what the remote has now
 */
MUST_USE bool ledger_load(
	struct ledger *ledger, bool accept_history, struct status **status_out, struct error *err);

/**
 * Commit and push facts in order, then their tags.
 *
 * After a network error the outcome is unknown: call again with the same batch, and the ledger
 * looks at the remote first, so that nothing is committed twice. The same after a tag was declined.
 * @param batch  number of these facts, never used twice; 0: they are never tried again
 * @return false: ERR_REJECTED (decide again), ERR_REFUSED (declined: the remote's words), network
 *         errors
 */
MUST_USE bool ledger_append(struct ledger *ledger, uint64_t batch, struct fact *const *facts,
	size_t count, struct error *err);

/**
 * Facts are decided on the records of one commit of the branch. Has nobody changed a record since,
 * as far as the last load or append has seen?
 * @param tip  that commit; empty: there was no branch
 * @return false: ERR_REJECTED (decide again)
 */
MUST_USE bool ledger_is_still(struct ledger *ledger, const struct oid *tip, struct error *err);

/** What the branch said after the last load or append; the caller frees. */
struct status *ledger_status(const struct ledger *ledger);

/** Push the tags that the newest rollout should have and the remote lacks: the rollback tags that
 *  records of running deployments name, or its own if it succeeded. For the start, since a kill
 *  between the two pushes of ledger_append() loses them. */
MUST_USE bool ledger_repair_tags(struct ledger *ledger, struct error *err);

/** Delete the oldest rollback tags beyond @p keep per client and 2,000 in all, by exact name and
 *  expected id; never that of a known good. */
MUST_USE bool ledger_prune_tags(struct ledger *ledger, size_t keep, struct error *err);
