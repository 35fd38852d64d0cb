/* The rollout machine: a client goes through its pipeline, entry by entry. */
#include "reconcile/rollout_step.h"

const char *rollout_pipeline(const struct rollout *rollout, const struct rollout_client *client)
{
	return client->record->action == PLAN_ONBOARD ? rollout->onboard : rollout->upgrade;
}

bool rollout_step_name(const struct rollout *rollout, const struct rollout_client *client,
	char name_out[STEP_NAME])
{
	return pipeline_entry(rollout_pipeline(rollout, client), client->step, name_out);
}

void rollout_backup_name(const struct rollout *rollout, const struct rollout_client *client,
	char name_out[BACKUP_TEXT])
{
	(void)snprintf(name_out, BACKUP_TEXT, "%.31s-%s", client->record->client,
		rollout->record.id); /* fits */
}

static bool is_before_deploy(const struct rollout *rollout, const struct rollout_client *client)
{
	return client->step < pipeline_find(rollout_pipeline(rollout, client), STEP_DEPLOY);
}

bool rollout_client_is_untouched(const struct rollout *rollout, const struct rollout_client *client)
{
	return client->stepping && !client->activated && is_before_deploy(rollout, client);
}

static bool is_turn_of(const struct step *step, size_t index, const char *name)
{
	char entry[STEP_NAME];
	return rollout_step_name(step->rollout, &step->rollout->clients[index], entry) &&
	       !strcmp(entry, name);
}

static void run_step(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	client->phase = PHASE_STEP;
	client->stepping = true;
	client->round_running = true;
	client->next_round_ms = 0;
	act_client(step, ACTION_STEP, index);
}

void client_step_again(struct step *step, size_t index)
{
	run_step(step, index);
}

static void start_entry(struct step *step, size_t index)
{
	if (is_turn_of(step, index, STEP_DEPLOY)) {
		client_deploy(step, index);
		return;
	}
	if (is_before_deploy(step->rollout, &step->rollout->clients[index]))
		step->rollout->clients[index].record->state = MEMBER_DEPLOYING;
	run_step(step, index);
}

void client_go_on(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	char name[STEP_NAME];
	client->next_round_ms = 0;
	client->round_running = false;
	client->attempts = 0;
	if (!rollout_step_name(step->rollout, client, name)) {
		client->phase = PHASE_HEALTHY;
		client->record->state = MEMBER_HEALTHY;
		client->bad_rounds = 0;
	} else if (!strcmp(name, STEP_VERIFY)) {
		client_verify(step, index, PHASE_VERIFY);
	} else {
		client->phase = PHASE_STEP; /* its turn, once it may start */
	}
}

void client_begin(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	client->step = 0;
	if (!client->unproved) {
		start_entry(step, index);
		return;
	}
	client->activated = client->begun = true;
	client->step = pipeline_find(rollout_pipeline(step->rollout, client), STEP_VERIFY);
	client_go_on(step, index);
}

void client_walk(struct step *step, size_t index)
{
	struct rollout *rollout = step->rollout;
	struct rollout_client *client = &rollout->clients[index];
	if (client->round_running || !rollout_may_start(rollout) || rollout_any_is_asked(rollout))
		return;
	if (!client->activated && client_is_past_failures(rollout, client))
		client_end(step, index, MEMBER_SKIPPED); /* its host is untouched */
	else
		start_entry(step, index);
}

void client_on_step(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	if (client->phase != PHASE_STEP || !client->round_running)
		return;
	client->round_running = false;
	if (!step->event->ok) {
		if (!step->event->transient || !client_retries(step, index, step->event->text))
			client_fail(step, index, step->event->text);
		return;
	}
	if (is_turn_of(step, index, STEP_BACKUP)) {
		client->has_backup |= client->runs_good && !client->activated;
		step_record_client(step, FACT_CLIENT_BACKUP, index);
	}
	client->step++;
	client_go_on(step, index);
}

void client_step_lost(struct step *step, size_t index)
{
	static const char why[] = "the connection was lost while a step ran";
	if (!client_retries(step, index, why))
		client_fail(step, index, why);
}
