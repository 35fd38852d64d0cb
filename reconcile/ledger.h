/* reconcile/ledger.h - the status branch of one remote: read it, write facts to it
 *
 * Writing: commits on the tip of the mirror, pushed alone by compare-and-swap; tags follow in a
 * second push. When somebody else moved the branch: fetch, and if no file that the facts write was
 * changed by the others (nor leader.yaml), commit them again on the new tip, at most 5 times;
 * otherwise ERR_REJECTED and the caller decides again. Used by the git thread only.
 */
#pragma once
#include "git/remote.h"
#include "reconcile/fact.h"

struct ledger_options {
	struct repo *repo;     /* the mirror; borrowed */
	struct remote *remote; /* borrowed */
	const char *branch;    /* "deployments" */
	const char *author;    /* "Aviary <aviary@localhost>" */
};

struct ledger;
MUST_USE bool ledger_new(
	const struct ledger_options *options, struct ledger **ledger_out, struct error *err);
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
 * Commit and push facts in order, then their tags; deletes rollback tags beyond @p keep_tags per
 * client (never that of a known good).
 * @param status  brought up to date with the facts that were accepted (also if only tags failed)
 * @return false: ERR_REJECTED (decide again), ERR_REFUSED (declined: the remote's words), network
 *         errors (outcome unknown: load again before deciding)
 */
MUST_USE bool ledger_append(struct ledger *ledger, struct status *status, struct fact *const *facts,
	size_t count, struct error *err);

/** Push tags that records name and the remote lacks (a push that was cut between branch and tags).
 */
MUST_USE bool ledger_repair_tags(
	struct ledger *ledger, const struct status *status, struct error *err);
