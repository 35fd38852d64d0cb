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

/** Did the activation of the wanted release begin on its host, now or before this rollout? */
bool has_begun(const struct world *world, const struct sim_client *client);
/** It has to be activated, and this rollout has not touched it. */
bool is_fresh(const struct world *world, const struct sim_client *client);
/** Entries of its pipeline before the release is activated. */
size_t deploy_at(const struct world *world, size_t member);

/* promises_steps.c */
/** A client goes back, or asks whether its data go with it: what its pipeline's policy wants. */
void check_restore(struct world *world, size_t member, enum rollout_phase from, bool asks);
/** Nobody is waited for any more who could say whether its data come back. */
bool check_unanswered(const struct world *world, size_t member);
/** Before it is activated for the first time. */
void check_backup(struct world *world, size_t member);
/** How far a client came in its pipeline: before each event about it, and after each event. */
void watch_event(struct watch *watch, const struct rollout_event *event);
void watch_step(struct world *world, size_t member);
/** The remote accepted that a backup was made, or what came back with one. */
void accept_backup(struct world *world, struct sim_client *client, const struct fact *fact);

/* promises_stage.c */
/** Whoever touches a host must be the one who leads. */
void check_leads(struct world *world, const struct service *service);
/** Touched only after the remote knows: used for activations and steps. */
void check_recorded_first(struct world *world, const struct sim_client *client);
/** Of what starts, a release or the steps before it: nothing forbids it. */
void check_may_start(struct world *world, struct sim_client *client);
/** After each step: the stages, and what starts. */
void check_stages(struct world *world);
void check_starts(struct world *world, const struct rollout_actions *actions);

/* promises_end.c */
/** After each step: is the rollout over, and was it to be? */
void check_end(struct world *world);
/** An abort that no person asked for: an approval expired, and not too early. */
void check_expired(struct world *world);
