/* reconcile/rollout_step.h - inside of the rollout machine, shared by its files only */
#pragma once
#include "reconcile/rollout.h"

/* One call of rollout_step(): what every part of it reads and appends to. */
struct step {
	struct rollout *rollout;
	const struct rollout_event *event;
	struct rollout_actions *actions;
};

/** Give a fact out and count it as unrecorded. */
void step_record(struct step *step, enum rollout_fact fact, size_t client, size_t stage);
/** Give out a fact about one client. */
void step_record_client(struct step *step, enum rollout_fact fact, size_t client);
/** The client's last word in this rollout; recorded by itself if the host may have been touched. */
void client_end(struct step *step, size_t index, enum member_state state);
/** Its intent is accepted: the first entry of its pipeline, or only verify if the host runs the
 *  release already. */
void client_begin(struct step *step, size_t index);
/** Activate the release, whatever of its pipeline comes before that. */
void client_deploy(struct step *step, size_t index);
/** It did not get along: back to its known good release, or its end. */
void client_fail(struct step *step, size_t index, const char *why);
/** Give out an action about one client. */
void act_client(struct step *step, enum rollout_action_kind kind, size_t client);
/** Rounds of checks begin. */
void client_verify(struct step *step, size_t index, enum rollout_phase phase);
/** The attempt is repeated after a while: only what may pass by itself, and not for ever.
 *  @return false: not any more */
bool client_retries(struct step *step, size_t index, const char *why);
/** The connection was lost before the activation was over: repeated as what may pass by itself. */
void client_try_lost(struct step *step, size_t index, bool untouched);
/** More of its stage failed than it tolerates? */
bool client_is_past_failures(const struct rollout *rollout, const struct rollout_client *client);
/** Nothing forbids that something starts: all is recorded, nothing ends the rollout. */
bool rollout_may_start(const struct rollout *rollout);
/** A host did not say yet what it runs: nothing starts before that. */
bool rollout_any_is_asked(const struct rollout *rollout);
/** Ask for what is due now, and end a verification whose time is over. */
void client_tick(struct step *step, size_t index);
/** Events of one client. */
void client_on_deployed(struct step *step, size_t index);
void client_on_unreachable(struct step *step, size_t index);
/** Nobody knows how it ended: the driver is asked what really runs. */
void client_on_unsure(struct step *step, size_t index);
void client_on_round(struct step *step, size_t index);
void client_on_runs(struct step *step, size_t index);
/** Result of a step. */
void client_on_step(struct step *step, size_t index);
/** Waits for rounds of checks: after a deploy, or after going back. */
bool client_is_verifying(const struct rollout_client *client);

/* rollout_pipeline.c */

/** An entry of its pipeline ended well: what comes next comes now, or once it may start. */
void client_go_on(struct step *step, size_t index);
/** Start the step, or the activation, whose turn it is, if it may start. */
void client_walk(struct step *step, size_t index);
/** The connection was lost while a step ran. */
void client_step_lost(struct step *step, size_t index);
/** Once more the step that did not begin, or whose outcome is unknown. */
void client_step_again(struct step *step, size_t index);

/* rollout_back.c */

/** Its release failed, and there is a known good one: there, with its data or without, or to a
 *  person first. */
void client_way_back(struct step *step, size_t index);
/** After a restart. @param there  the host is back already */
void client_resume_back(struct step *step, size_t index, bool there);
/** A person said yes to the restore of those who wait for that. */
void clients_restore(struct step *step);
/** The answer is on the branch: go. */
void client_tick_ask(struct step *step, size_t index);
/** A person has to answer. */
bool client_is_asking(const struct rollout_client *client);
/** Nobody said yes: it ends as it is. */
void client_end_unanswered(struct step *step, size_t index);

/* rollout_stage.c */

/** The clients of a stage, counted. */
struct tally {
	size_t pending, paused, in_flight, healthy, failed, away, asking;
};
/** Counted anew. */
struct tally stage_tally(const struct rollout *rollout, const struct rollout_stage *stage);
/** More failed than it tolerates: nothing of it starts any more. */
bool stage_is_broken(const struct rollout_stage *stage, const struct tally *tally);
/** A held client of the stage keeps every later stage from starting. */
bool stage_blocks(const struct rollout *rollout, size_t index);
/** One move of the current stage. @return true if it moved and may move again */
bool stage_advance(struct step *step, struct rollout_stage *stage);

/* rollout_wait.c */

/** What forbids the start of a wave of the current stage. */
enum rollout_wait wait_before_start(
	const struct rollout *rollout, const struct rollout_stage *stage, size_t started);
/** The current stage and the rollout wait; recorded unless the branch says it already. */
void wait_begin(struct step *step, enum rollout_wait wait);
/** They go on; recorded. Does nothing if they do not wait. */
void wait_end(struct step *step);
/** The same without a fact: the rollout ends. */
void wait_forget(struct rollout *rollout);
void wait_on_approve(struct step *step);
void wait_on_abort(struct step *step);
/** An approval that nobody gave in time is an abort. */
void wait_expire(struct step *step);
/** Time until a host that is away is asked again: longer each time. */
int64_t wait_ask_again_ms(const struct rollout *rollout, const struct rollout_client *client);
