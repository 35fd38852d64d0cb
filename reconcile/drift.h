/* reconcile/drift.h - does a host run what its record says?
 *
 * Drift is whatever makes the record wrong: another release, or none; `current` that points
 * elsewhere; a folder that is missing or whose files were changed; an activation that nobody ends.
 * A host that cannot be reached is no drift, nor is one on which an activation runs.
 */
#pragma once
#include "reconcile/drivers/driver.h"
#include "reconcile/renderer.h"
#include "reconcile/status.h"

/**
 * Compare a host's answer with the release that is recorded.
 * @param drift_out  found or not; the caller clears it
 */
void drift_compare(const char *recorded, const struct driver_state *state, struct drift *drift_out);

/**
 * Ask a host, and look into the folder of its release.
 * @param recorded   what the record says that it runs
 * @param target     of that release's commit; its files are compared if it has any
 * @param state_out  what the host said
 * @param drift_out  as of drift_compare()
 * @return false: it could not be asked, which says nothing
 */
MUST_USE bool drift_ask(const char *recorded, const struct target *target,
	struct driver_state *state_out, struct drift *drift_out, struct error *err);

/** Is it the same drift, which was told already? Whether it was repaired does not matter. */
bool drift_is_same(const struct drift *a, const struct drift *b);
