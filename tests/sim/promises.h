/* tests/sim/promises.h - what the files of the promises share; nobody else includes it */
#pragma once
#include "tests/sim/sim.h"

/** Clients of wave number @p wave, computed anew from the policy. */
size_t wave_size(const struct world *world, size_t stage, size_t wave);
/** Members of a stage that were not reached. */
size_t stage_unreachable(struct world *world, size_t stage);
/** Members of a stage that did not get along with the release. */
size_t stage_failed(struct world *world, size_t stage);
/** Is there a release that was known good, and is not the wanted one itself? */
bool has_known_good(const struct world *world, const struct sim_client *client);
/** Does the step want this of the member? */
bool step_has(const struct rollout_actions *actions, enum rollout_action_kind kind, size_t member);

/* promises_stage.c */
/** After each step: the stages, what starts, and the end. */
void check_stages(struct world *world);
void check_starts(struct world *world, const struct rollout_actions *actions);
void check_end(struct world *world);
