/* reconcile/rollout_step.h - inside of the rollout machine, shared by its two files only */
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
void client_on_round(struct step *step, size_t index);
void client_on_runs(struct step *step, size_t index);
/** Waits for rounds of checks: after a deploy, or after going back. */
bool client_is_verifying(const struct rollout_client *client);
