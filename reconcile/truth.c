#include "reconcile/truth.h"
#include "base/clock.h"
#include "reconcile/drivers/driver.h"

void truth_free(struct truth *truth)
{
	if (!truth)
		return;
	for (size_t i = 0; i < truth->count; i++)
		client_record_clear(&truth->records[i]);
	free(truth->records);
	free(truth);
}

/* The host's word against the record: what it runs is current; nothing of it is known good. */
static void add_record(struct truth *truth, const struct fleet *fleet, const struct client *client,
	const struct client_record *recorded, const struct driver_state *state)
{
	struct client_record *record = &truth->records[truth->count++];
	if (recorded)
		client_record_copy(record, recorded);
	else
		record->client = mem_dup_str(client->name);
	mem_replace_str(&record->host, client->host->name);
	mem_replace_str(&record->root, client->root);
	mem_replace_str(&record->stage, fleet->policy->stages[client->stage].name);
	bool same = recorded && !strcmp(recorded->current.release, state->release);
	if (!same)
		record->current = (struct release_ref){0};
	(void)snprintf(
		record->current.release, sizeof(record->current.release), "%s", state->release);
	(void)snprintf(record->current.commit, sizeof(record->current.commit), "%s", state->commit);
	(void)snprintf(
		record->current.rollout, sizeof(record->current.rollout), "%s", state->rollout);
	if (!same)
		record->state = CLIENT_WAITING;
	record->updated_s = clock_wall_s();
}

static bool ask_client(const struct fleet *fleet, const struct client *client,
	struct driver_state *state, struct error *err)
{
	const struct driver *driver = driver_find(fleet->policy->driver.kind);
	const struct driver_host host = {.client = client->name, .root = client->root};
	if (!driver)
		return error_set(
			err, ERR_INVALID, "driver '%s' does not exist", fleet->policy->driver.kind);
	return driver->ask(&host, state, err) || error_wrap(err, "host of '%s'", client->name);
}

bool truth_ask(const struct fleet *fleet, const struct status *status, struct truth **truth_out,
	struct error *err)
{
	auto_truth struct truth *truth = mem_zero(1, sizeof(*truth));
	truth->records = mem_zero(fleet->client_count, sizeof(*truth->records));
	for (size_t i = 0; i < fleet->client_count; i++) {
		const struct client *client = &fleet->clients[i];
		const struct client_record *record = status_client(status, client->name);
		struct driver_state state = {0};
		if (!ask_client(fleet, client, &state, err))
			return false;
		if (!state.found)
			continue;
		truth->epoch = state.epoch > truth->epoch ? state.epoch : truth->epoch;
		if (!record || strcmp(record->current.release, state.release) != 0 ||
			strcmp(record->current.rollout, state.rollout) < 0)
			add_record(truth, fleet, client, record, &state);
	}
	*truth_out = STEAL(truth);
	return true;
}

static bool names_rollout(const struct client_record *record, const char *id)
{
	bool named = !strcmp(record->current.rollout, id) ||
		     !strcmp(record->known_good.rollout, id) ||
		     !strcmp(record->previous.rollout, id);
	for (size_t i = 0; i < record->good_count && !named; i++)
		named = !strcmp(record->good[i].rollout, id);
	return named;
}

bool truth_check(const struct fleet *fleet, const struct status *status, struct error *err)
{
	for (size_t i = 0; i < fleet->client_count; i++) {
		const struct client *client = &fleet->clients[i];
		const struct client_record *record = status_client(status, client->name);
		struct driver_state state = {0};
		struct error ignored;
		if (!ask_client(fleet, client, &state, &ignored) || !state.found)
			continue;
		if ((record && names_rollout(record, state.rollout)) ||
			status_rollout(status, state.rollout))
			continue;
		(void)error_set(err, ERR_REFUSED,
			"the host of '%s' names rollout %s, which the status branch does not know",
			client->name, state.rollout);
		return error_hint(err,
			"put the branch back on the remote, or take the truth from the hosts with "
			"'aviary apply --accept-history'");
	}
	return true;
}
