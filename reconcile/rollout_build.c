#include "reconcile/rollout_build.h"
#include "base/strmap.h"

static bool entry_starts(const struct plan_entry *entry)
{
	return entry->action == PLAN_ONBOARD || entry->action == PLAN_UPGRADE ||
	       entry->action == PLAN_ROLLBACK;
}

/* Behind a stage in which all are paused or pinned nobody is begun: once that is over, the same
 * commit has a rollout for the rest. */
static bool is_behind(const struct plan *plan, size_t stage)
{
	for (size_t i = 0; i < stage && i < plan->stage_count; i++)
		if (plan->stages[i].kept_back)
			return true;
	return false;
}

static size_t count_members(const struct plan *plan, size_t stage)
{
	size_t count = 0;
	for (size_t i = 0; i < plan->entry_count; i++)
		count += plan->entries[i].stage == stage && entry_starts(&plan->entries[i]);
	return is_behind(plan, stage) ? 0 : count;
}

static void fill_member(struct member_record *member, const struct plan_entry *entry)
{
	member->client = mem_dup_str(entry->client);
	member->action = entry->action;
	memcpy(member->from, entry->from.release, sizeof(member->from));
	memcpy(member->to, entry->to.release, sizeof(member->to));
	memcpy(member->to_key, entry->to.release_key, sizeof(member->to_key));
	memcpy(member->checks, entry->checks, sizeof(member->checks));
	if (entry->pinned)
		memcpy(member->commit, entry->to.commit, sizeof(member->commit));
	for (size_t i = 0; i < entry->reason_count; i++) {
		const struct plan_reason *reason = &entry->reasons[i];
		if (reason->file && reason->file[0] && reason->line)
			strlist_addf(&member->reasons, "%s (%s:%u)", reason->text, reason->file,
				reason->line);
		else if (reason->file && reason->file[0])
			strlist_addf(&member->reasons, "%s (%s)", reason->text, reason->file);
		else
			strlist_add(&member->reasons, reason->text);
	}
}

/* Urgent, and known: every changed client goes back to what was known good there. */
static bool only_goes_back(const struct plan *plan, size_t index)
{
	bool back = !plan->stages[index].blocked && !plan->stages[index].kept_back;
	for (size_t i = 0; i < plan->entry_count; i++)
		if (plan->entries[i].stage == index && entry_starts(&plan->entries[i]))
			back = back && plan->entries[i].action == PLAN_ROLLBACK;
	return back;
}

static void fill_stage(struct stage_record *stage, const struct plan *plan, size_t index)
{
	const struct plan_stage *policy = &plan->stages[index];
	stage->name = mem_dup_str(policy->name);
	stage->bake_ms = only_goes_back(plan, index) ? policy->rollback_bake_ms : policy->bake_ms;
	stage->manual = policy->manual;
	stage->expires_ms = policy->manual ? policy->approval_expires_ms : 0;
	stage->members = mem_zero(count_members(plan, index), sizeof(*stage->members));
	for (size_t i = 0; i < plan->entry_count && !is_behind(plan, index); i++)
		if (plan->entries[i].stage == index && entry_starts(&plan->entries[i]))
			fill_member(&stage->members[stage->member_count++], &plan->entries[i]);
}

static const struct plan_stage *stage_of(const struct plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->stage_count; i++)
		if (!strcmp(plan->stages[i].name, name))
			return &plan->stages[i];
	return NULL;
}

static struct rollout_stage *rollout_stage_of(struct rollout *rollout, const char *name)
{
	for (size_t i = 0; i < rollout->stage_count; i++)
		if (!strcmp(rollout->stages[i].record->name, name))
			return &rollout->stages[i];
	return NULL;
}

/* Stages with a held client that is no member. A member that this very rollout held is judged by
 * max_failures, also after a restart. */
static void block_stages(struct rollout *rollout, const struct plan *plan)
{
	struct strmap members = {0};
	if (rollout->record.by_hand)
		return; /* of one client: what others want of its commit is of no concern */
	for (size_t i = 0; i < rollout->client_count; i++)
		strmap_set(&members, rollout->clients[i].record->client, rollout);
	for (size_t i = 0; i < plan->entry_count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		struct rollout_stage *stage = rollout_stage_of(rollout, entry->stage_name);
		if (stage && entry->action == PLAN_HELD && !strmap_get(&members, entry->client))
			stage->blocked = true;
	}
	strmap_clear(&members);
}

/* The plan's policy, and what the records say about each client's way back. */
static void apply_policy(
	struct rollout *rollout, const struct plan *plan, const struct status *status)
{
	rollout->roll_back = plan->roll_back;
	rollout->verify_interval_ms = plan->verify_interval_ms;
	rollout->verify_healthy = plan->verify_healthy;
	rollout->verify_timeout_ms = plan->verify_timeout_ms;
	rollout->retries = plan->retries;
	rollout->restore = plan->restore;
	memcpy(rollout->onboard, plan->onboard, sizeof(rollout->onboard));
	memcpy(rollout->upgrade, plan->upgrade, sizeof(rollout->upgrade));
	for (size_t i = 0; i < rollout->stage_count; i++) {
		struct rollout_stage *stage = &rollout->stages[i];
		const struct plan_stage *policy = stage_of(plan, stage->record->name);
		if (!policy)
			continue;
		stage->batch = plan_stage_batch(policy, stage->count);
		stage->wave_pause_ms = policy->wave_pause_ms;
		stage->max_failures = policy->max_failures;
		stage->max_unreachable = policy->max_unreachable;
	}
	block_stages(rollout, plan);
	rollout->paused = status->asked.pause.paused;
	for (size_t i = 0; i < rollout->client_count; i++) {
		struct rollout_client *client = &rollout->clients[i];
		const struct client_record *record = status_client(status, client->record->client);
		const char *good = record ? record->known_good.release : "";
		const struct plan_entry *entry = plan_find(plan, client->record->client);
		client->has_good = good[0] && strcmp(good, client->record->to) != 0;
		client->unproved = entry && entry->unproved;
		client->runs_good =
			good[0] && !record->unsure && !strcmp(client->record->from, good);
		client->has_backup = good[0] && !strcmp(record->backup.release, good);
		client->paused = record && record->pause.paused;
	}
}

struct rollout *rollout_from_plan(
	const struct plan *plan, const struct status *status, int64_t wall_s)
{
	struct rollout_record record = {.state = ROLLOUT_RUNNING};
	rollout_id_make(status, wall_s, plan->target, record.id);
	memcpy(record.commit, plan->target, sizeof(record.commit));
	memcpy(record.plan, plan->digest, sizeof(record.plan));
	record.over_limit = mem_dup_str(plan->over_limit);
	record.stages = mem_zero(plan->stage_count, sizeof(*record.stages));
	record.stage_count = plan->stage_count;
	for (size_t i = 0; i < plan->stage_count; i++)
		fill_stage(&record.stages[i], plan, i);
	struct rollout *rollout = rollout_new(&record);
	apply_policy(rollout, plan, status);
	return rollout;
}

static void resume_client(struct rollout_client *client, const struct rollout_record *rollout,
	const struct client_record *record)
{
	bool touched = record && !strcmp(record->current.rollout, rollout->id);
	if (!touched) {
		client->phase = PHASE_PENDING;
		client->record->state = MEMBER_PENDING;
		client->record->started_s = 0;
		return;
	}
	if (!client->record->started_s)
		client->record->started_s = record->updated_s;
	if (record->ended == MEMBER_PENDING && record->restore == RESTORE_ASKED) {
		client->phase = PHASE_ASK;
		client->restore = RESTORE_ASKED;
		client->failed = true;
		client->record->state = MEMBER_WAITING;
		(void)snprintf(client->failure, sizeof(client->failure), "%s",
			record->going_back ? record->going_back : "");
		return;
	}
	if (record->ended == MEMBER_PENDING && record->state == CLIENT_WAITING) {
		client->phase = PHASE_AWAY;
		client->unreachable = true;
		client->record->state = MEMBER_WAITING;
		(void)snprintf(client->failure, sizeof(client->failure),
			"its host could not be reached before the service restarted");
		return;
	}
	if (record->ended == MEMBER_PENDING) {
		client->phase = PHASE_RESUME;
		client->begun = true; /* until the host says otherwise */
		client->going_back = record->going_back != NULL;
		client->restore = record->restore;
		(void)snprintf(client->failure, sizeof(client->failure), "%s",
			record->going_back ? record->going_back : "");
		return;
	}
	client->phase = PHASE_DONE;
	client->record->state = (enum member_state)record->ended;
	client->record->finished_s = record->updated_s;
	client->failed = client->record->state == MEMBER_ROLLED_BACK ||
			 client->record->state == MEMBER_FAILED;
	if (client->failed && record->hold.reason)
		(void)snprintf(client->failure, sizeof(client->failure), "%s", record->hold.reason);
	client->unreachable = client->record->state == MEMBER_SKIPPED;
	if (client->unreachable)
		(void)snprintf(client->failure, sizeof(client->failure),
			"was skipped before the service restarted");
}

/* Its host had come back, and it was paused when its stage went on without it. */
static void leave_out(struct rollout *rollout, struct rollout_client *client)
{
	if (client->phase != PHASE_AWAY ||
		rollout->stages[client->stage].record->state <= STAGE_WAITING)
		return;
	client->phase = PHASE_PENDING;
	client->record->state = MEMBER_PENDING;
}

struct rollout *rollout_from_record(
	const struct rollout_record *recorded, const struct plan *plan, const struct status *status)
{
	struct rollout_record record;
	rollout_record_copy(&record, recorded);
	struct rollout *rollout = rollout_new(&record);
	rollout->resumed = true;
	apply_policy(rollout, plan, status);
	for (size_t i = 0; i < rollout->client_count; i++)
		resume_client(&rollout->clients[i], recorded,
			status_client(status, rollout->clients[i].record->client));
	for (size_t i = 0; i < rollout->client_count; i++)
		leave_out(rollout, &rollout->clients[i]);
	/* What was ended does not go on, even if the newer commit is gone again. */
	rollout->superseded = rollout->record.superseded_by[0] != '\0';
	rollout->aborted = rollout->record.abort.asked;
	/* Only watched time counts: a bake begins again. */
	for (size_t i = 0; i < rollout->stage_count; i++)
		if (rollout->stages[i].record->state == STAGE_BAKING)
			rollout->stages[i].record->state = STAGE_RUNNING;
	return rollout;
}

/* What a person sent back: what the hold forbids it does not change it. */
static bool is_forbidden(
	const struct rollout *rollout, const char *wanted, const struct client_record *record)
{
	return rollout->record.by_hand && record && record->hold.held &&
	       !strcmp(wanted, record->hold.release);
}

/* Of a client that is pinned nothing is wanted but what it runs. */
static const char *wanted_of(const struct plan_entry *entry, const struct client_record *record)
{
	if (entry && entry->action == PLAN_PINNED)
		return entry->from.release;
	return entry ? entry->to.release : record ? record->current.release : "";
}

bool rollout_is_changed_by(
	const struct rollout *rollout, const struct plan *newer, const struct status *status)
{
	for (size_t i = 0; i < rollout->client_count; i++) {
		const struct member_record *member = rollout->clients[i].record;
		const struct plan_entry *entry = plan_find(newer, member->client);
		const struct client_record *record = status_client(status, member->client);
		const char *wanted = wanted_of(entry, record);
		if (!is_forbidden(rollout, wanted, record) &&
			(strcmp(wanted, member->to) != 0 ||
				(entry && strcmp(entry->checks, member->checks) != 0)))
			return true;
	}
	return false;
}

bool rollout_is_left_behind_by(
	const struct rollout *rollout, const struct plan *newer, const struct status *status)
{
	struct strmap members = {0};
	bool other = false;
	for (size_t i = 0; i < rollout->client_count; i++)
		strmap_set(&members, rollout->clients[i].record->client, &members);
	for (size_t i = 0; i < newer->entry_count && !other; i++)
		other = entry_starts(&newer->entries[i]) &&
			!strmap_get(&members, newer->entries[i].client);
	strmap_clear(&members);
	return other || rollout_is_changed_by(rollout, newer, status);
}
