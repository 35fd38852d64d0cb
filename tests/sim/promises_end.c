/* Promises about the branch, and about the ends of rollouts and of a run. */
#include "tests/lib/facts.h"
#include "tests/sim/promises.h"

static void accept_final(struct world *world, struct sim_client *client, const struct fact *fact)
{
	const struct client_record *record = fact->client;
	client->watch.finals++;
	demand(world, client->watch.touched,
		"promise 6, crash-safe: %s has a final record without a start", client->name);
	demand(world, client->watch.finals == 1,
		"promise 6, crash-safe: %s has %u final records in one rollout", client->name,
		client->watch.finals);
	demand(world, !hosts_are_busy(world, client_index(client->name), world->service),
		"promise 6, crash-safe: %s has its final record while a step runs", client->name);
	uint8_t good = release_version(record->known_good.release);
	bool succeeded =
		record->ended == MEMBER_HEALTHY && world->stages[client->stage] == STAGE_SUCCEEDED;
	demand(world, succeeded || good == client->watch.good_version,
		"known good: %s has a new one, though its stage did not succeed", client->name);
	demand(world, !succeeded || good == release_version(record->current.release),
		"known good: %s succeeded, and it is not what it runs", client->name);
	if (record->ended != MEMBER_ROLLED_BACK && record->ended != MEMBER_HEALTHY)
		return;
	demand(world,
		release_version(record->current.release) == client->host.version &&
			!client->host.activating,
		"promise 3, automatic rollback: the record of %s and its host differ",
		client->name);
}

static void accept_client(struct world *world, const struct fact *fact)
{
	const char *result = fact_trailer(fact, "Result");
	struct sim_client *client = &world->clients[client_index(fact->client->client)];
	if (!strcmp(result, "started")) {
		client->intent_epoch = world->branch->epoch;
		(void)snprintf(client->intent_of, sizeof(client->intent_of), "%s",
			fact_trailer(fact, "Rollout"));
	}
	if (strcmp(fact_trailer(fact, "Rollout"), world->rollout) != 0)
		return;
	accept_backup(world, client, fact);
	if (!strcmp(result, "started"))
		client->watch.touched = true;
	else if (result_is_final(result))
		accept_final(world, client, fact);
	else if (!strcmp(result, "held")) {
		client->hold_known = true;
		client->hold_by_hand = false;
		client->hold_version = release_version(fact->client->hold.release);
		demand(world, client->watch.finals == 1,
			"promise 6, crash-safe: %s is held before its final record", client->name);
	}
}

static void check_member_record(struct world *world, const struct member_record *member)
{
	const struct sim_client *client = &world->clients[client_index(member->client)];
	const struct client_record *record = status_client(world->branch, member->client);
	bool touched = client->watch.touched;
	demand(world, client->watch.finals == (touched ? 1 : 0),
		"promise 6, crash-safe: %s has %u final records in an ended rollout", client->name,
		client->watch.finals);
	demand(world,
		touched || member->state == MEMBER_SKIPPED || member->state == MEMBER_SUPERSEDED,
		"promise 6, crash-safe: %s was not touched and is '%s'", client->name,
		member_state_name(member->state));
	demand(world, !touched || (record && record->ended == (int)member->state),
		"promise 6, crash-safe: the records of %s and of its rollout tell two endings",
		client->name);
	bool failed = member->state == MEMBER_FAILED || member->state == MEMBER_ROLLED_BACK;
	demand(world, !failed || (record->hold.held && !strcmp(record->hold.release, member->to)),
		"hold: %s failed and is not held", client->name);
	demand(world, failed == client->watch.failed,
		"promise 3, automatic rollback: %s %s, its record says '%s'", client->name,
		failed ? "did not fail" : "failed", member_state_name(member->state));
	demand(world,
		!record || !touched ||
			(record->state != CLIENT_DEPLOYING && record->state != CLIENT_ONBOARDING),
		"promise 6, crash-safe: %s stays '%s'", client->name,
		client_state_name(record->state));
}

static void accept_rollout(struct world *world, const struct rollout_record *record)
{
	if (!rollout_state_is_final(record->state) || strcmp(record->id, world->rollout) != 0)
		return;
	for (size_t s = 0; s < record->stage_count; s++)
		for (size_t m = 0; m < record->stages[s].member_count; m++)
			check_member_record(world, &record->stages[s].members[m]);
}

/* A person ended the holds of all, or of one client and those of the stages before its own. */
static void accept_retry(struct world *world, const struct fact *fact)
{
	const char *name = fact_trailer(fact, "Client"), *id = fact_trailer(fact, "Rollout");
	const struct sim_client *named = *name ? &world->clients[client_index(name)] : NULL;
	for (size_t i = 0; i < world->client_count; i++) {
		struct sim_client *client = &world->clients[i];
		if (named && client != named && client->stage >= named->stage)
			continue;
		client->hold_known = false;
		(void)snprintf(client->forgiven, sizeof(client->forgiven), "%s", id);
	}
	if (!named)
		(void)snprintf(world->forgiven, sizeof(world->forgiven), "%s", id);
}

/* `rollback CLIENT`: the newest commit's release is forbidden by hand. */
static void accept_hold_by_hand(struct world *world, const struct fact *fact)
{
	struct sim_client *client = &world->clients[client_index(fact->client->client)];
	client->hold_known = client->hold_by_hand = true;
	client->hold_version = release_version(fact->client->hold.release);
}

/* A newer commit ends a hold only by wanting another release. What failed is held by its rollout
 * all the same; what a person forbade is free from then on. */
static void accept_hold_ended(struct world *world, const struct fact *fact)
{
	struct sim_client *client = &world->clients[client_index(fact->client->client)];
	const char *reason = fact_trailer(fact, "Reason");
	size_t index = client_index(client->name), word = strlen("commit ");
	for (size_t i = 0; !strncmp(reason, "commit ", word) && i < world->commit_count; i++)
		demand(world,
			strncmp(world->commits[i].id, reason + word, 7) != 0 ||
				!client->hold_known ||
				world->commits[i].wanted[index] != client->hold_version,
			"hold: the hold of %s ends, and the same is wanted of it", client->name);
	if (client->hold_by_hand)
		client->hold_known = client->hold_by_hand = false;
}

/* Somebody leads who did not lead before: there must be a reason. */
static void accept_leader(struct world *world)
{
	struct service *service = NULL;
	for (size_t i = 0; i < world->service_count; i++)
		if (!strcmp(world->services[i].instance, world->branch->leader))
			service = &world->services[i];
	if (!service)
		return; /* it lost its state folder meanwhile */
	demand(world, world->branch->epoch > service->epoch,
		"leadership: %s leads again in an old epoch", service->instance);
	service->epoch = world->branch->epoch;
	if (service == world->service)
		return;
	demand(world, ++service->leads <= service->may_lead,
		"leadership: %s takes it over again and again", service->instance);
	world->service = service;
	if (world_rollout(world))
		promises_begin_rollout(world, true);
}

void promises_on_accepted(struct world *world, const struct fact *fact)
{
	tell(world, "  accepted: %s", fact->subject);
	if (!strncmp(fact->subject, "leader(", strlen("leader(")))
		accept_leader(world);
	if (!strncmp(fact->subject, "retry(", strlen("retry(")))
		accept_retry(world, fact);
	if (fact->client && !*fact_trailer(fact, "Rollout") &&
		!strcmp(fact_trailer(fact, "Result"), "held"))
		accept_hold_by_hand(world, fact);
	if (fact->client && !strncmp(fact->subject, "hold(", strlen("hold(")) &&
		!fact->client->hold.held)
		accept_hold_ended(world, fact);
	if (fact->client)
		accept_client(world, fact);
	if (fact->rollout)
		accept_rollout(world, fact->rollout);
}

static bool changes_another(struct world *world, const struct plan *plan)
{
	const struct rollout *rollout = world_rollout(world);
	for (size_t i = 0; i < plan->entry_count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		bool member = false;
		for (size_t m = 0; m < rollout->client_count; m++)
			member |= !strcmp(rollout->clients[m].record->client, entry->client);
		if (!member && entry->action != PLAN_HELD && entry->action != PLAN_PAUSED &&
			entry->action != PLAN_PINNED)
			return true;
	}
	return false;
}

/* From what a person sent a client back is no change that ends its way back. */
static bool is_left_by_hand(
	const struct world *world, const struct status *status, size_t index, uint8_t wanted)
{
	const struct client_record *record = status_client(status, world->clients[index].name);
	return world->by_hand && record && record->hold.held &&
	       release_version(record->hold.release) == wanted;
}

/* What a plan leaves a pinned client on. */
static uint8_t kept_version(const struct world *world, const struct plan *plan, size_t index)
{
	const struct plan_entry *entry = plan_find(plan, world->clients[index].name);
	const struct sim_commit *commit = world_commit(world, plan->target);
	if (!entry)
		return commit->wanted[index];
	return release_version(
		entry->action == PLAN_PINNED ? entry->from.release : entry->to.release);
}

/* Does the newer commit want something else of a client of the rollout? */
void promises_on_supersede(
	struct world *world, const struct plan *plan, const struct status *status, bool changed)
{
	const struct rollout *rollout = world_rollout(world);
	const struct sim_commit *newer = world_commit(world, plan->target);
	bool expected = rollout->record.state == ROLLOUT_WAITING && changes_another(world, plan);
	for (size_t i = 0; i < rollout->client_count; i++) {
		size_t index = client_index(rollout->clients[i].record->client);
		uint8_t wanted = newer->pinned[index] ? kept_version(world, plan, index)
						      : newer->wanted[index];
		expected |= wanted != release_version(rollout->clients[i].record->to) &&
			    !is_left_by_hand(world, status, index, wanted);
	}
	demand(world, changed == expected, "superseded: a newer commit %s, and the rollout %s",
		expected ? "changes a client" : "changes nothing", changed ? "ends" : "goes on");
}

void check_expired(struct world *world)
{
	const struct rollout *rollout = world_rollout(world);
	if (!rollout->aborted || world->aborted)
		return;
	int64_t limit_ms = world->commit->stages[rollout->current].expires_ms;
	demand(world,
		limit_ms &&
			(rollout->resumed || world->clock_was_set ||
				(world->waits_ms && world->now_ms >= world->waits_ms + limit_ms)),
		"approval_expires: the rollout is aborted by nobody");
	world->aborted = true;
}

/* ---- at rest ----------------------------------------------------------------------------------
 */

static const struct rollout_record *last_of(const struct world *world, const char *commit)
{
	for (size_t i = 0; i < world->branch->rollout_count; i++)
		if (!world->branch->rollouts[i]->by_hand &&
			!strcmp(world->branch->rollouts[i]->commit, commit))
			return world->branch->rollouts[i];
	return NULL;
}

/* The newest rollout that had this client wanted the same and failed, whether it reached it or not.
 */
static bool is_held_by_rollout(const struct world *world, const struct sim_client *client)
{
	uint8_t wanted = world_head(world)->wanted[client_index(client->name)];
	for (size_t i = 0; i < world->branch->rollout_count; i++) {
		const struct rollout_record *rollout = world->branch->rollouts[i];
		for (size_t s = 0; s < rollout->stage_count; s++)
			for (size_t m = 0; m < rollout->stages[s].member_count; m++) {
				const struct member_record *member = &rollout->stages[s].members[m];
				if (!strcmp(member->client, client->name))
					return rollout_state_holds(rollout->state) &&
					       rollout->reasons.count &&
					       release_version(member->to) == wanted;
			}
	}
	return false;
}

/* Why a client may differ from what the newest commit wants. */
static bool is_kept_back(const struct world *world, const struct sim_client *client)
{
	const struct client_record *record = status_client(world->branch, client->name);
	const struct rollout_record *last = last_of(world, world_head(world)->id);
	bool held = record && record->hold.held && record->hold.reason && record->hold.reason[0];
	bool stopped = last &&
		       (rollout_state_holds(last->state) || last->state == ROLLOUT_REFUSED) &&
		       last->reasons.count;
	bool pinned = world_head(world)->pinned[client_index(client->name)] && record &&
		      record->pin.pinned;
	return held || stopped || pinned || is_held_by_rollout(world, client);
}

/* Runs what the newest commit wants, and the branch calls that known good. */
static bool is_well(const struct world *world, const struct sim_client *client)
{
	const struct client_record *record = status_client(world->branch, client->name);
	uint8_t wanted = world_head(world)->wanted[client_index(client->name)];
	return record && client->host.version == wanted && !client->host.activating &&
	       record->state == CLIENT_HEALTHY &&
	       release_version(record->known_good.release) == wanted;
}

/* A client that is kept back keeps back the stages behind its own. */
static bool is_behind_another(const struct world *world, const struct sim_client *client)
{
	for (size_t i = 0; i < world->client_count; i++) {
		const struct sim_client *other = &world->clients[i];
		if (other->stage < client->stage && !is_well(world, other) &&
			is_kept_back(world, other))
			return true;
	}
	return false;
}

/* The commit is held, or refused since those who are held keep back all others: no hold ends. */
static bool nothing_is_planned(const struct world *world)
{
	const struct sim_commit *head = world_head(world);
	const struct rollout_record *last = last_of(world, head->id);
	for (size_t i = 0; i < world->client_count; i++)
		if (!is_well(world, &world->clients[i]))
			return true;
	return last && last->state != ROLLOUT_SUCCEEDED;
}

static void check_client_at_rest(struct world *world, const struct sim_client *client)
{
	const struct client_record *record = status_client(world->branch, client->name);
	demand(world,
		!record || record->state == CLIENT_FAILED ||
			release_version(record->current.release) == client->host.version ||
			!record->current.release[0],
		"promise 6, crash-safe: %s runs something else than its record says", client->name);
	uint8_t wanted = world_head(world)->wanted[client_index(client->name)];
	demand(world,
		!record || !record->hold.held || release_version(record->hold.release) == wanted ||
			is_held_by_rollout(world, client) || nothing_is_planned(world),
		"hold: %s stays held from a release that nobody wants of it", client->name);
	if (is_well(world, client))
		return;
	demand(world, world->chapter != CHAPTER_RESCUE,
		"promise 5, level-triggered: %s does not run what the newest commit wants",
		client->name);
	demand(world, is_kept_back(world, client) || is_behind_another(world, client),
		"promise 5, level-triggered: %s differs from the newest commit, nobody says why",
		client->name);
}

void promises_at_rest(struct world *world)
{
	demand(world, !world_rollout(world), "promise 6, crash-safe: the rollout never ends");
	demand(world, !status_running(world->branch),
		"promise 6, crash-safe: a rollout has no final record");
	for (size_t i = 0; i < world->client_count; i++)
		check_client_at_rest(world, &world->clients[i]);
}

/* ---- the end of a rollout -----------------------------------------------------------------------
 */

/* Whoever stands behind a held client cannot be reached by this rollout, paused or not. */
static bool is_behind_blocked(const struct world *world, size_t stage)
{
	for (size_t s = 0; s < stage; s++)
		if (world->blocked[s])
			return true;
	return false;
}

static enum rollout_state expected_state(struct world *world)
{
	const struct rollout *rollout = world_rollout(world);
	for (size_t i = 0; i < rollout->client_count; i++)
		if (world_member(world, i)->watch.failed)
			return ROLLOUT_FAILED;
	if (world->aborted)
		return ROLLOUT_ABORTED;
	if (world->superseded)
		return ROLLOUT_SUPERSEDED;
	for (size_t i = 0; i < rollout->client_count; i++)
		if (rollout->clients[i].record->state != MEMBER_HEALTHY &&
			(!rollout->clients[i].paused ||
				is_behind_blocked(world, rollout->clients[i].stage)) &&
			!world_member(world, i)->watch.left_out &&
			!world_member(world, i)->watch.unreachable)
			return ROLLOUT_FAILED;
	return ROLLOUT_SUCCEEDED;
}

/* A superseded rollout waits for steps that run, and for nothing else. */
static void check_superseded(struct world *world)
{
	const struct rollout *rollout = world_rollout(world);
	bool busy = false;
	for (size_t i = 0; i < rollout->client_count; i++) {
		enum rollout_phase phase = rollout->clients[i].phase;
		busy |= phase == PHASE_DEPLOY || phase == PHASE_BACK || phase == PHASE_RESUME ||
			phase == PHASE_BACK_VERIFY ||
			(phase == PHASE_STEP && rollout->clients[i].round_running) ||
			(phase == PHASE_ASK && world_member(world, i)->watch.yes);
	}
	for (size_t i = 0; i < rollout->client_count; i++)
		busy |= rollout->clients[i].phase == PHASE_RETRY &&
			(rollout->clients[i].going_back || rollout->clients[i].touched);
	demand(world, busy, "superseded: the fix waits for the failing one");
	const struct rollout_record *known =
		status_rollout(world->service->loop->status, world->rollout);
	demand(world, known && (!world->superseded || world->aborted || known->superseded_by[0]),
		"promise 6, crash-safe: nobody is told that the rollout is superseded");
	demand(world, known && (!world->aborted || known->abort.asked),
		"promise 6, crash-safe: nobody is told that the rollout is aborted");
}

/* Does the branch say that the stage starts outside of its windows? */
static bool is_told_now(const struct world *world, size_t stage)
{
	const struct rollout_record *known = status_rollout(world->branch, world->rollout);
	for (size_t i = 0; known && i < known->approval_count; i++)
		if (known->approvals[i].now &&
			!strcmp(known->approvals[i].what, known->stages[stage].name))
			return true;
	return false;
}

/* An approval that nobody gave is an abort, in time and not before. */
static void check_waiting(struct world *world)
{
	const struct rollout *rollout = world_rollout(world);
	bool waits = rollout->record.state == ROLLOUT_WAITING;
	/* after a restart the record says so before the machine finds out what it waits for */
	demand(world, waits == (rollout->waits != WAIT_NOTHING) || (waits && rollout->resumed),
		"waiting: the record and the machine differ");
	demand(world, !waits || rollout->record.waits_for, "waiting: nobody knows for what");
	demand(world, rollout->waits != WAIT_WINDOW || !is_told_now(world, rollout->current),
		"windows: a stage waits for them, and a person said now");
	if (rollout->waits != WAIT_APPROVAL) {
		world->waits_ms = 0;
		return;
	}
	if (!world->waits_ms)
		world->waits_ms = world->now_ms;
	int64_t limit_ms = world->commit->stages[rollout->current].expires_ms;
	demand(world, !limit_ms || rollout->stopping || world->now_ms < world->waits_ms + limit_ms,
		"approval_expires: the rollout waits on");
}

void check_end(struct world *world)
{
	const struct rollout *rollout = world_rollout(world);
	if (!rollout->ended) {
		demand(world,
			rollout->record.state == ROLLOUT_RUNNING ||
				rollout->record.state == ROLLOUT_WAITING,
			"promise 6, crash-safe: a rollout that goes on has a final state");
		if (world->superseded || world->aborted)
			check_superseded(world);
		check_waiting(world);
		return;
	}
	check_expired(world);
	demand(world, rollout->record.state == expected_state(world),
		"promise 3, automatic rollback: the rollout ends '%s' instead of '%s'",
		rollout_state_name(rollout->record.state),
		rollout_state_name(expected_state(world)));
	for (size_t i = 0; i < rollout->client_count; i++)
		demand(world, rollout->clients[i].phase == PHASE_DONE,
			"promise 6, crash-safe: the rollout ends before %s does",
			rollout->clients[i].record->client);
	for (size_t s = 0; s < rollout->stage_count; s++)
		demand(world, rollout->stages[s].record->state > STAGE_WAITING,
			"promise 6, crash-safe: the rollout ends before a stage does");
	demand(world, !world->aborted || rollout->record.abort.asked,
		"promise 6, crash-safe: the record does not name the abort");
	demand(world, rollout->record.state == ROLLOUT_SUCCEEDED || rollout->record.reasons.count,
		"the rollout ends without a reason");
}
