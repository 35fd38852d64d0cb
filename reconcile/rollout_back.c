/* The rollout machine: a client goes back to its known good release, with its data or without. */
#include "reconcile/rollout_step.h"

static bool restores(const struct rollout *rollout, const struct rollout_client *client)
{
	return client->begun && client->has_backup && rollout->restore != RESTORE_NEVER;
}

static void stop_waiting(struct rollout_client *client)
{
	client->touched = false;
	client->stepping = false;
	client->attempts = 0;
	client->round_running = false;
	client->next_round_ms = 0;
}

/* Once: the branch must know of the failure before it is told of others that it stopped. */
static void tell_back(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	if (!client->going_back)
		step_record_client(step, FACT_CLIENT_BACK, index);
	client->going_back = true;
}

static void go_back(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	client->failed = true;
	stop_waiting(client);
	client->phase = PHASE_BACK;
	client->record->state = MEMBER_DEPLOYING;
	/* The accepted intent covers this rollback: it starts at once, whatever the remote says. */
	act_client(step, ACTION_BACK, index);
	tell_back(step, index);
}

static void ask(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	client->failed = true;
	stop_waiting(client);
	client->asked = 0;
	client->phase = PHASE_ASK;
	client->record->state = MEMBER_WAITING;
	step_record_client(step, FACT_CLIENT_ASKS, index);
}

void client_end_unanswered(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	char why[sizeof(client->failure)];
	memcpy(why, client->failure, sizeof(why));
	(void)snprintf(client->failure, sizeof(client->failure),
		"%.400s; it was not approved to restore its data, so it stays as it is", why);
	client_end(step, index, MEMBER_FAILED);
}

void client_way_back(struct step *step, size_t index)
{
	struct rollout_client *client = &step->rollout->clients[index];
	if (restores(step->rollout, client) && step->rollout->restore == RESTORE_ASK) {
		client->restore = RESTORE_ASKED;
		if (step->rollout->superseded || step->rollout->aborted)
			client_end_unanswered(step, index); /* nobody is waited for any more */
		else
			ask(step, index);
		return;
	}
	client->restore = restores(step->rollout, client) ? RESTORE_YES : RESTORE_NO;
	go_back(step, index);
}

/* The reason was recorded with the beginning of the way back, unless we died just before. Then the
 * host knows whether data came back with it. */
void client_resume_back(struct step *step, size_t index, bool there)
{
	struct rollout_client *client = &step->rollout->clients[index];
	if (!client->failure[0])
		(void)snprintf(client->failure, sizeof(client->failure),
			"was going back when the service restarted");
	if (!client->going_back)
		client->restore = step->event->restores ? RESTORE_YES : RESTORE_NO;
	if (!there && client->lost && client->going_back) {
		client_try_lost(step, index, false);
		return;
	}
	if (!there) {
		go_back(step, index);
		return;
	}
	client->failed = true;
	tell_back(step, index);
	client_verify(step, index, PHASE_BACK_VERIFY);
}

bool client_is_asking(const struct rollout_client *client)
{
	return client->phase == PHASE_ASK && client->restore == RESTORE_ASKED;
}

/* Nobody hurries: who said so is on the branch before data are replaced. */
void clients_restore(struct step *step)
{
	for (size_t i = 0; i < step->rollout->client_count; i++) {
		struct rollout_client *client = &step->rollout->clients[i];
		if (!client_is_asking(client) || !client->asked)
			continue;
		client->restore = RESTORE_YES;
		client->record->state = MEMBER_DEPLOYING;
		tell_back(step, i);
	}
}

void client_tick_ask(struct step *step, size_t index)
{
	if (step->rollout->clients[index].restore == RESTORE_YES && !step->rollout->unrecorded)
		go_back(step, index);
}
