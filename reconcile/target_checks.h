/* reconcile/target_checks.h - a client's checks from the policy into the form of the checks engine
 */
#pragma once
#include "reconcile/checks/checks.h"
#include "reconcile/release.h"

/** All texts are owned by @p arena. ERR_INVALID: a template of a check does not render. */
MUST_USE bool target_checks(const struct fleet *fleet, const struct client *client,
	struct arena *arena, struct check_spec **specs_out, size_t *count_out, struct error *err);
