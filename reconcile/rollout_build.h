/* reconcile/rollout_build.h - a rollout out of a plan, and out of its own record after a restart */
#pragma once
#include "reconcile/plan.h"
#include "reconcile/rollout.h"

/**
 * A new rollout of a plan: every entry that starts (onboard, upgrade, rollback) becomes a member.
 * @param status  for the id and the known good releases
 */
struct rollout *rollout_from_plan(
	const struct plan *plan, const struct status *status, int64_t wall_s);

/**
 * Go on with a rollout that its record says is running. Clients that the record's commit touched
 * and whose last word is not recorded start in PHASE_RESUME: their hosts are asked first.
 * @param plan  of the record's commit, for policy (stages, verify); may lack entries
 */
struct rollout *rollout_from_record(
	const struct rollout_record *record, const struct plan *plan, const struct status *status);

/**
 * What a newer commit means for a running rollout (design.md section 5): does it change any client
 * of it, relative to the rollout's own commit?
 * @param newer  plan of the newer commit against the recorded state
 */
bool rollout_is_changed_by(
	const struct rollout *rollout, const struct plan *newer, const struct status *status);
/** The same for a rollout that waits: a change of any client ends it. */
bool rollout_is_left_behind_by(
	const struct rollout *rollout, const struct plan *newer, const struct status *status);
