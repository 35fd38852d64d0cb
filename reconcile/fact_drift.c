/* Facts of drift: what a host runs beside what the record says. */
#include "reconcile/fact_parts.h"

static struct fact *fact_of(const struct client_record *record, char *subject, int64_t wall_s)
{
	struct fact *fact = mem_zero(1, sizeof(*fact));
	fact->subject = subject;
	fact_add_trailer(fact, "Client", record->client);
	fact_add_trailer(fact, "Stage", record->stage);
	fact->client = mem_zero(1, sizeof(*fact->client));
	client_record_copy(fact->client, record);
	fact->client->updated_s = wall_s;
	return fact;
}

static struct fact *finish(struct fact *fact, const char *reason)
{
	fact_add_trailer(fact, "Source-Commit", fact->client->current.commit);
	fact_add_trailer(fact, "Release", fact->client->current.release);
	fact_add_trailer(fact, "Reason", reason);
	fact_add_client_file(fact);
	return fact;
}

static void take_drift(struct client_record *record, const struct drift *drift, int64_t since_s)
{
	drift_clear(&record->drift);
	drift_copy(&record->drift, drift);
	record->drift.since_s = since_s;
}

struct fact *fact_drift_found(
	const struct client_record *record, const struct drift *drift, int64_t wall_s)
{
	struct fact *fact =
		fact_of(record, mem_printf("drift(%s): %s", record->client, drift->what), wall_s);
	take_drift(fact->client, drift, record->drift.found ? record->drift.since_s : wall_s);
	return finish(fact, NULL);
}

struct fact *fact_drift_over(const struct client_record *record, const char *why, int64_t wall_s)
{
	struct fact *fact =
		fact_of(record, mem_printf("drift(%s): over: %s", record->client, why), wall_s);
	drift_clear(&fact->client->drift);
	return finish(fact, record->drift.what);
}

struct fact *fact_drift_held(
	const struct client_record *record, const struct drift *drift, int64_t wall_s)
{
	const char *release = record->current.release;
	auto_free char *reason = mem_printf("drift came back after rollout %s had repaired it: %s",
		record->drift.repair, drift->what);
	struct fact *fact = fact_of(record, fact_hold_subject(record->client, release), wall_s);
	struct client_hold *hold = &fact->client->hold;
	fact_add_trailer(fact, "Result", "held");
	free(hold->reason);
	*hold = (struct client_hold){.held = true, .reason = mem_dup_str(reason)};
	memcpy(hold->commit, record->current.commit, sizeof(hold->commit));
	memcpy(hold->release, release, sizeof(hold->release));
	memcpy(hold->release_key, record->current.release_key, sizeof(hold->release_key));
	take_drift(fact->client, drift, record->drift.since_s);
	return finish(fact, reason);
}
