/* reconcile/truth.h - what the hosts say they run, for a status branch that lost its history
 *
 * The first look of a service checks whether that is so; only `aviary apply --accept-history` goes
 * on (design.md section 6).
 */
#pragma once
#include "reconcile/drivers/driver.h"
#include "reconcile/fleet.h"
#include "reconcile/status.h"

struct truth {
	int64_t epoch;                 /* highest that any host has seen, 0 none */
	struct client_record *records; /* of hosts that run something else than the branch says */
	size_t count;
};
void truth_free(struct truth *truth);
DEFINE_CLEANUP(struct truth, truth_free)
#define auto_truth CLEANUP(truth_free_at)

/**
 * Ask the host of every client of a fleet.
 * @param hosts   connections; borrowed for the call
 * @param status  what the branch says; borrowed for the call
 * @return false: a host could not be asked, named in @p err; nothing may be concluded without it
 */
MUST_USE bool truth_ask(const struct fleet *fleet, struct hosts *hosts, const struct status *status,
	struct truth **truth_out, struct error *err);

/**
 * Does the branch know the rollout that each host names? An intent is recorded before its host is
 * touched, so one that it does not know was lost. Hosts that cannot be asked say nothing.
 * @return false: ERR_REFUSED, naming client, rollout and the way out
 */
MUST_USE bool truth_check(const struct fleet *fleet, struct hosts *hosts,
	const struct status *status, struct error *err);
