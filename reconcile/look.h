/* reconcile/look.h - one look at the repository: fetch, read the status, plan the newest commit
 *
 * Used by the git thread only; see reconcile/git_thread.h for what it answers.
 */
#pragma once
#include "reconcile/git_thread.h"
#include "reconcile/ledger.h"

/** What looks share. */
struct looker {
	const struct git_options *options; /* borrowed */
	struct repo *repo;                 /* borrowed */
	struct remote *infra;              /* borrowed */
	struct ledger *ledger;             /* borrowed */
	struct plan_cache *cache;          /* borrowed */
	struct oid head, tip;              /* of the last look */
	struct oid newest;                 /* commit of the tracked branch now */
	struct oid rewritten;              /* head that came by a forced push */
	int64_t pins_end_s;                /* then the newest commit is planned again; 0: never */
	struct oid bad_tag;                /* an approval that does not count, told already */
	bool looked;
	const char *only;               /* of the look under way */
	const struct strlist *repair;   /* likewise */
	char signed_by[SIGNED_BY_TEXT]; /* who signed the commit that was planned last */
};

/** @return false: the remote could not be read, or our own machine failed; nothing is concluded. */
MUST_USE bool look(struct looker *looker, const struct look_request *request,
	struct look_result **result_out, struct error *err);

/** Whoever leads goes on until somebody else has a higher epoch. Else a new state folder may lead,
 *  or the one that led last; one that was overtaken while it tried may not. */
bool look_may_lead(const struct look_request *request, const struct status *status);
/** Why the newest commit is not planned again by itself, or NULL. */
const char *look_why_wait(const struct status *status, const char *commit);
