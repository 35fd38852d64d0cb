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
/** Its intent is accepted: activate, or only verify if the host runs the release already. */
void client_deploy(struct step *step, size_t index);
/** Ask for what is due now, and end a verification whose time is over. */
void client_tick(struct step *step, size_t index);
/** Events of one client. */
void client_on_deployed(struct step *step, size_t index);
void client_on_unreachable(struct step *step, size_t index);
/** Nobody knows how it ended: the driver is asked what really runs. */
void client_on_unsure(struct step *step, size_t index);
void client_on_round(struct step *step, size_t index);
void client_on_runs(struct step *step, size_t index);
/** Waits for rounds of checks: after a deploy, or after going back. */
bool client_is_verifying(const struct rollout_client *client);

/* rollout_stage.c */

/** The clients of a stage, counted. */
struct tally {
	size_t pending, paused, in_flight, healthy, failed, away;
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
