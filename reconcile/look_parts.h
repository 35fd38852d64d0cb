/* reconcile/look_parts.h - what the parts of a look share; nobody else includes this */
#pragma once
#include "git/commit.h"
#include "reconcile/digest_key.h"
#include "reconcile/look.h"

/** Does the commit change nothing but our records? Then we made it (status.branch is the tracked
 *  one). */
MUST_USE bool look_is_our_own(
	struct looker *looker, const struct commit_info *info, bool *ours_out, struct error *err);

/**
 * Are the commit and all since the last deployed one signed by listed keys?
 *
 * @param base      last deployed commit; empty: only @p commit is judged
 * @param refusals  gets a sentence for each that is not
 * @return false: it could not be found out (the list does not read, a tool is missing)
 *
 * Who signed stands in looker->signed_by afterwards.
 */
MUST_USE bool look_check_signed(struct looker *looker, const struct oid *commit,
	const struct oid *base, struct strlist *refusals, struct error *err);

/** Is there a tag that approves what the recorded rollout waits for? Into result->approval. */
MUST_USE bool look_for_approval(
	struct looker *looker, struct look_result *result, struct error *err);

/** What the last deployed fleet.yaml says about drift, into @p result. */
MUST_USE bool look_read_drift(struct looker *looker, struct look_result *result, struct error *err);

/** Who wrote a commit, into result->resume_author. */
MUST_USE bool look_author(struct looker *looker, const struct oid *commit,
	struct look_result *result, struct error *err);

/** The plan of one commit. @p plan_out stays NULL if the commit has mistakes: @p refusals tells
 *  them. */
MUST_USE bool look_plan_commit(struct looker *looker, const struct oid *commit,
	const struct status *status, struct plan **plan_out, struct strlist *refusals,
	struct error *err);

/**
 * The digest keys for a plan of @p commit, made on first use and when no identity opens them any
 * more. The newest commit also tells for whom they are encrypted, and when a new one is due.
 */
MUST_USE bool look_digest_keys(struct looker *looker, const struct oid *commit,
	const struct status *status, struct digest_keys *keys, struct error *err);

/** Plan what request->repair names, to what is recorded of it. */
MUST_USE bool look_to_repair(struct looker *looker, const struct look_request *request,
	struct look_result *result, struct error *err);
