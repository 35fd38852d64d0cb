/* Facts of what keeps a client back: holds, and pins. */
#include "reconcile/fact_parts.h"

char *fact_hold_subject(const char *client, const char *release)
{
	return mem_printf("hold(%s): release %.8s is not tried again by itself", client,
		release + strlen("sha256:"));
}

struct fact *fact_hold_ended(
	const struct client_record *record, const char *by, const char *reason, int64_t wall_s)
{
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = mem_printf("hold(%s): ended", record->client);
	fact_add_trailer(fact, "Client", record->client);
	fact_add_trailer(fact, "Stage", record->stage);
	fact_add_trailer(fact, "Author", by);
	fact_add_trailer(fact, "Reason", reason);
	fact->client = mem_zero(1, sizeof(*fact->client));
	client_record_copy(fact->client, record);
	free(fact->client->hold.reason);
	fact->client->hold = (struct client_hold){0};
	fact->client->updated_s = wall_s;
	/* One that failed even to go back is not healthy because nothing forbids it any more. */
	if (!record->unsure && record->known_good.release[0] &&
		!strcmp(record->known_good.release, record->current.release))
		fact->client->state = CLIENT_HEALTHY;
	fact_add_client_file(fact);
	return fact;
}

struct fact *fact_hold_by_hand(const struct client_record *client, const struct release_ref *wanted,
	const struct request *request, int64_t wall_s)
{
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = fact_hold_subject(client->client, wanted->release);
	fact_add_trailer(fact, "Client", client->client);
	fact_add_trailer(fact, "Stage", client->stage);
	fact_add_trailer(fact, "Result", "held");
	fact_add_trailer(fact, "Source-Commit", wanted->commit);
	fact_add_trailer(fact, "Release", wanted->release);
	fact_add_trailer(fact, "Author", request->by);
	fact_add_trailer(fact, "Reason", request->reason);
	fact->client = mem_zero(1, sizeof(*fact->client));
	client_record_copy(fact->client, client);
	struct client_hold *hold = &fact->client->hold;
	free(hold->reason);
	*hold = (struct client_hold){.held = true,
		.by_hand = true,
		.reason = mem_printf("rollback asked by %s: %s", request->by, request->reason)};
	memcpy(hold->commit, wanted->commit, sizeof(hold->commit));
	memcpy(hold->release, wanted->release, sizeof(hold->release));
	memcpy(hold->release_key, wanted->release_key, sizeof(hold->release_key));
	fact->client->updated_s = wall_s;
	fact_add_client_file(fact);
	return fact;
}

struct fact *fact_pin(const struct client_record *record, const struct plan_pin *pin,
	const char *commit, int64_t wall_s)
{
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = mem_printf("hold(%s): %s until %s", record->client,
		pin->over ? "no longer pinned" : "pinned", pin->until);
	fact_add_trailer(fact, "Client", record->client);
	fact_add_trailer(fact, "Stage", record->stage);
	fact_add_trailer(fact, "Source-Commit", commit);
	fact_add_trailer(fact, "Release", record->current.release);
	fact_add_trailer(fact, "Reason", pin->reason);
	fact->client = mem_zero(1, sizeof(*fact->client));
	client_record_copy(fact->client, record);
	/* A pin that is made longer is still the one that was seen then. */
	struct pin seen = {.pinned = true, .reason = mem_dup_str(pin->reason), .since_s = wall_s};
	memcpy(seen.until, pin->until, sizeof(seen.until));
	(void)snprintf(seen.commit, sizeof(seen.commit), "%s", commit); /* an id */
	if (record->pin.pinned) {
		seen.since_s = record->pin.since_s;
		memcpy(seen.commit, record->pin.commit, sizeof(seen.commit));
	}
	pin_clear(&fact->client->pin);
	if (pin->over)
		pin_clear(&seen);
	fact->client->pin = seen;
	fact->client->updated_s = wall_s;
	fact_add_client_file(fact);
	return fact;
}
