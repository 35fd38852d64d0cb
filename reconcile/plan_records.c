/* From the records of the status branch and the wanted releases to the entries of a plan.
 *
 *   no record, nothing runs ............ onboard
 *   runs the wanted release
 *     and it is its known good ......... unchanged
 *     and its last rollout failed ...... upgrade or rollback: activated again
 *     and it is not .................... upgrade, unproved: verified and baked, not activated
 *   runs another one
 *     wanted one was known good ........ rollback
 *     else ............................. upgrade
 *   pinned, and wants another one
 *     runs its known good .............. pinned
 *     and it is not .................... upgrade, unproved, to what it runs
 *   whatever of these is forbidden by a hold or by the last rollout's failure ... held
 *   recorded, not in the inventory ..... vanished
 */
#include "base/strmap.h"
#include "reconcile/plan_parts.h"

struct looked {
	struct plan_work *work;
	size_t index;
	const struct client *client;
	const struct client_record *record; /* NULL: none, or offboarded */
	const struct plan_wanted *wanted;
	bool again;  /* runs the wanted release as far as we know, but its last rollout failed */
	bool repair; /* should run the wanted release, and does not */
	/* digest of the wanted release under the last other key that was asked for */
	char other_key[KEY_ID_TEXT];
	char other[DIGEST_TEXT];
};

/* The wanted release under a key that a record names; NULL if the key is lost. */
static const char *digest_under(struct looked *looked, const char *key_id)
{
	struct plan_work *work = looked->work;
	const struct digest_key *key = digest_keys_find(work->request->keys, key_id);
	auto_release struct release *release = NULL;

	if (!*looked->wanted->key || !strcmp(looked->wanted->key, key_id))
		return looked->wanted->digest;
	if (!strcmp(looked->other_key, key_id))
		return looked->other;
	/* without secrets the digest is the same under every key */
	auto_problems struct problems problems = {0};
	if (!plan_side_release(&work->target, looked->client, key, &release, &problems) ||
		!release->digest[0])
		return NULL;
	(void)snprintf(looked->other_key, sizeof(looked->other_key), "%s", key_id); /* same size */
	memcpy(looked->other, release->digest, sizeof(looked->other));
	return looked->other;
}

static bool is_wanted(
	struct looked *looked, const char *release, const char *key_id, const char *commit)
{
	if (!*release)
		return false;
	if (looked->work->request->keyless)
		return plan_same_plain(looked->work, looked->index, commit);
	const char *digest = digest_under(looked, key_id);
	return digest && !strcmp(digest, release);
}

static bool is_ref(struct looked *looked, const struct release_ref *ref)
{
	return is_wanted(looked, ref->release, ref->release_key, ref->commit);
}

static bool was_good(struct looked *looked)
{
	const struct client_record *record = looked->record;
	if (is_ref(looked, &record->known_good))
		return true;
	for (size_t i = 0; i < record->good_count; i++)
		if (is_ref(looked, &record->good[i]))
			return true;
	return false;
}

/* ---- holds ---------------------------------------------------------------------------------- */

/* Newest membership of each client; a held client was not worked on, so what was before counts. */
void plan_find_members(struct plan_work *work)
{
	const struct status *status = work->request->status;
	const struct fleet *fleet = work->target.fleet;
	struct strmap map = {0};

	work->last = arena_array(work->arena, fleet->client_count + 1, sizeof(*work->last));
	work->last_of = arena_array(work->arena, fleet->client_count + 1, sizeof(*work->last_of));
	for (size_t i = 0; i < fleet->client_count; i++)
		strmap_set(&map, fleet->clients[i].name, (void *)(uintptr_t)(i + 1));
	for (size_t r = 0; r < status->rollout_count; r++) {
		const struct rollout_record *rollout = status->rollouts[r];
		if (!work->own && !rollout_record_is_apart(rollout) && *work->request->commit.hex &&
			!strcmp(rollout->commit, work->request->commit.hex))
			work->own = rollout;
		for (size_t s = 0; s < rollout->stage_count; s++)
			for (size_t m = 0; m < rollout->stages[s].member_count; m++) {
				const struct member_record *member = &rollout->stages[s].members[m];
				size_t at = (size_t)(uintptr_t)strmap_get(&map, member->client);
				if (!at || work->last[at - 1] || member->action == PLAN_HELD ||
					member->action == PLAN_PAUSED)
					continue;
				work->last[at - 1] = member;
				work->last_of[at - 1] = rollout;
			}
	}
	strmap_clear(&map);
}

static bool failed(const struct rollout_record *rollout)
{
	return rollout && rollout_state_holds(rollout->state);
}

/* Has a person asked that this failure holds the client no more? */
static bool is_forgiven(const struct looked *looked, const struct rollout_record *rollout)
{
	const struct plan_work *work = looked->work;
	const struct asked_record *asked = &work->request->status->asked;
	const struct fleet *fleet = work->target.fleet;
	for (size_t i = 0; i < asked->retry_count; i++) {
		const struct retry *retry = &asked->retries[i];
		const struct client *named =
			retry->client ? fleet_client(fleet, retry->client) : NULL;
		bool before =
			named && work->stages[looked->index] < work->stages[named - fleet->clients];
		if (retry_forgives(retry, rollout->id, looked->client->name, before))
			return true;
	}
	return false;
}

static bool hold_holds(struct looked *looked, struct reason_list *reasons)
{
	const struct client_hold *hold = &looked->record->hold;
	if (!hold->held)
		return false;
	bool same = *hold->release
			    ? is_wanted(looked, hold->release, hold->release_key, hold->commit)
			    : !strcmp(hold->commit, looked->work->request->commit.hex);
	if (same && !hold->by_hand && *hold->checks)
		same = !strcmp(hold->checks, looked->wanted->checks);
	if (same)
		reason_add(reasons, "", 0, "held: %s",
			hold->reason && *hold->reason ? hold->reason : "by a failed rollout");
	return same;
}

static bool rollout_holds(struct looked *looked, struct reason_list *reasons)
{
	struct plan_work *work = looked->work;
	const struct member_record *member = work->last[looked->index];
	const struct rollout_record *rollout = work->last_of[looked->index];

	if (failed(work->own) && !is_forgiven(looked, work->own)) {
		reason_add(reasons, "", 0, "held: rollout %s of this commit %s", work->own->id,
			rollout_state_name(work->own->state));
		return true;
	}
	if (!failed(rollout) || is_forgiven(looked, rollout) ||
		!is_wanted(looked, member->to, member->to_key,
			*member->commit ? member->commit : rollout->commit) ||
		(*member->checks && strcmp(member->checks, looked->wanted->checks) != 0))
		return false;
	reason_add(reasons, "", 0, "held: rollout %s wanted the same and %s", rollout->id,
		rollout_state_name(rollout->state));
	return true;
}

/* ---- reasons -------------------------------------------------------------------------------- */

static bool explain_pair(struct looked *looked, struct plan_side *side,
	const struct digest_key *key, struct reason_list *reasons, char **summary_out)
{
	auto_problems struct problems problems = {0};
	auto_release struct release *old = NULL;
	auto_release struct release *new = NULL;
	const struct client *before = fleet_client(side->fleet, looked->client->name);

	if (!before || !plan_side_release(side, before, key, &old, &problems) ||
		!plan_side_release(&looked->work->target, looked->client, key, &new, &problems))
		return false;
	struct plan_pair pair = {
		side, &looked->work->target, before, looked->client, old, new, !key};
	plan_explain(&pair, reasons, summary_out);
	return true;
}

static int by_name(const void *key, const void *item)
{
	return strcmp(key, ((const struct plan_change *)item)->client);
}

/* What runs is the base's release and no file of secrets differs: the trees have told it all. */
static bool take_told(struct looked *looked, struct plan_side *side, struct reason_list *reasons,
	char **summary_out)
{
	struct plan_work *work = looked->work;
	const struct client *client = looked->client;
	const struct client *before = fleet_client(side->fleet, client->name);
	if (side != work->base || !before || looked->wanted->steered ||
		!oid_equal(&side->shared_id, &work->target.shared_id) ||
		!oid_equal(plan_side_secret(side, before->secrets_file),
			plan_side_secret(&work->target, client->secrets_file)))
		return false;
	const struct plan_change *change = bsearch(
		client->name, work->changes, work->change_count, sizeof(*work->changes), by_name);
	for (size_t i = 0; change && i < change->reasons.count; i++) {
		const struct plan_reason *reason = &change->reasons.items[i];
		reason_add(reasons, reason->file, reason->line, "%s", reason->text);
	}
	if (change)
		*summary_out = mem_dup_str(change->summary);
	return change != NULL;
}

/* What changed since the commit of the release that runs. */
static void explain(
	struct looked *looked, bool moved, struct reason_list *reasons, char **summary_out)
{
	struct plan_work *work = looked->work;
	const struct release_ref *runs = &looked->record->current;
	const struct digest_key *key = digest_keys_find(work->request->keys, NULL);
	size_t told = reasons->count;
	struct error err;

	if (*looked->wanted->key && !digest_keys_find(work->request->keys, runs->release_key))
		reason_add(reasons, "", 0, "digest key lost");
	struct plan_side *side = plan_side_get(work, runs->commit, &err);
	bool done = side && side->fleet &&
		    (take_told(looked, side, reasons, summary_out) ||
			    explain_pair(looked, side, work->target.keyed ? key : NULL, reasons,
				    summary_out) ||
			    explain_pair(looked, side, NULL, reasons, summary_out));
	if (!done)
		reason_add(reasons, "", 0, "commit %.7s, which it runs, cannot be compared",
			runs->commit);
	else if (reasons->count == told && !moved)
		reason_add(reasons, "", 0, "its release differs from the recorded one");
	if (!*summary_out)
		*summary_out = plan_summary_apps(looked->wanted->apps, looked->wanted->app_count);
}

static void explain_new(struct looked *looked, struct reason_list *reasons, char **summary_out)
{
	const struct node *place = node_get(looked->client->host->vars, "client_name");
	reason_add(reasons, place->file, place->line, "%s",
		looked->record ? "onboarding did not end well" : "new client");
	*summary_out = plan_summary_apps(looked->wanted->apps, looked->wanted->app_count);
}

static void explain_moved(struct looked *looked, struct reason_list *reasons)
{
	reason_add(reasons, POLICY_FILE, 0, "driver.root %s -> %s", looked->record->root,
		looked->client->root);
}

/* ---- one client ----------------------------------------------------------------------------- */

static enum plan_action decide(struct looked *looked, bool *moved_out, bool *unproved_out)
{
	const struct client_record *record = looked->record;
	if (!record || !*record->current.release)
		return PLAN_ONBOARD;
	*moved_out =
		record->root && *record->root && strcmp(record->root, looked->client->root) != 0;
	bool wanted = is_ref(looked, &record->current);
	if (looked->work->request->repair) {
		looked->repair = wanted && !*moved_out;
		return looked->repair ? PLAN_UPGRADE : PLAN_UNCHANGED;
	}
	if (!wanted || *moved_out)
		return !*moved_out && was_good(looked) ? PLAN_ROLLBACK : PLAN_UPGRADE;
	/* Activating it, or going back to it, failed: nobody knows what state the host is in. */
	looked->again = record->unsure;
	if (looked->again)
		return was_good(looked) ? PLAN_ROLLBACK : PLAN_UPGRADE;
	if (is_ref(looked, &record->known_good))
		return PLAN_UNCHANGED;
	*unproved_out = true;
	return PLAN_UPGRADE;
}

static bool is_paused(const struct client_record *record, struct reason_list *reasons)
{
	if (!record || !record->pause.paused)
		return false;
	reason_add(reasons, "", 0, "paused by %s: %s",
		record->pause.by ? record->pause.by : "somebody",
		record->pause.reason ? record->pause.reason : "");
	return true;
}

/* Only some clients are meant, whatever the others want. */
static bool is_apart(const struct plan_request *request)
{
	return request->only || request->repair;
}

static bool is_meant(const struct plan_request *request, const char *client)
{
	return request->repair ? strlist_has(request->repair, client)
			       : !request->only || !strcmp(request->only, client);
}

static void add_entry(struct looked *looked, enum plan_action action, bool moved, bool unproved)
{
	struct reason_list reasons = {0};
	char *summary = NULL;
	bool onboard = action == PLAN_ONBOARD;
	bool by_hand = is_apart(looked->work->request);
	bool held = !by_hand && ((looked->record && hold_holds(looked, &reasons)) ||
					rollout_holds(looked, &reasons));

	/* What it runs already may be proved, and one that runs nothing is onboarded. */
	bool pinned = !held && !by_hand && !unproved && !looked->again && !onboard &&
		      plan_is_pinned(looked->work, looked->client, &reasons);
	bool paused = !held && !pinned && !by_hand && is_paused(looked->record, &reasons);
	if (!held && looked->record && looked->record->hold.held)
		strlist_add(&looked->work->plan->ends_hold, looked->client->name);
	if (moved)
		explain_moved(looked, &reasons);
	if (onboard) {
		explain_new(looked, &reasons, &summary);
	} else if (looked->repair) {
		reason_add(&reasons, "", 0, "drift: %s", looked->record->drift.what);
		summary = plan_summary_apps(looked->wanted->apps, looked->wanted->app_count);
	} else if (looked->again) {
		reason_add(&reasons, "", 0, "its last rollout failed: activated again");
		summary = plan_summary_apps(looked->wanted->apps, looked->wanted->app_count);
	} else if (unproved) {
		reason_add(&reasons, "", 0, "runs the wanted release, which is not proved yet");
		summary = plan_summary_apps(looked->wanted->apps, looked->wanted->app_count);
	} else {
		explain(looked, moved, &reasons, &summary);
	}
	struct plan_entry *entry = plan_add_client(looked->work, looked->index);
	entry->action = held ? PLAN_HELD : pinned ? PLAN_PINNED : paused ? PLAN_PAUSED : action;
	/* One that was paused after its intent goes on after a restart. */
	entry->unproved = unproved && !held;
	if (looked->record)
		entry->from = looked->record->current;
	if (pinned && plan_verifies_pinned(looked->work, looked->record, entry)) {
		free(summary);
		summary = mem_dup_str("what it runs is verified, it is pinned");
		if (is_paused(looked->record, &reasons))
			entry->action = PLAN_PAUSED;
	}
	plan_entry_take(entry, &reasons, summary);
}

static void compare_client(struct plan_work *work, size_t index)
{
	const struct client *client = &work->target.fleet->clients[index];
	const struct client_record *record = status_client(work->request->status, client->name);
	bool moved = false, unproved = false;

	if (record && record->state == CLIENT_OFFBOARDED)
		record = NULL;
	struct looked looked = {.work = work,
		.index = index,
		.client = client,
		.record = record,
		.wanted = &work->wanted[index]};
	if (!work->request->only)
		plan_note_pin(work, client, record);
	enum plan_action action = decide(&looked, &moved, &unproved);
	if (action != PLAN_UNCHANGED) {
		add_entry(&looked, action, moved, unproved);
		return;
	}
	work->plan->unchanged++;
	struct reason_list reasons = {0};
	if (record->hold.held && !hold_holds(&looked, &reasons))
		strlist_add(&work->plan->ends_hold, client->name);
	reason_list_clear(&reasons);
}

static void add_vanished(struct plan_work *work, const struct client_record *record)
{
	struct reason_list reasons = {0};
	struct plan_entry *entry = plan_add_entry(work);
	entry->client = mem_dup_str(record->client);
	entry->host = mem_dup_str(record->host ? record->host : "");
	entry->root = mem_dup_str(record->root ? record->root : "");
	entry->stage_name = mem_dup_str(record->stage ? record->stage : "");
	entry->stage = SIZE_MAX; /* behind all stages */
	entry->action = PLAN_VANISHED;
	entry->from = record->current;
	reason_add(&reasons, "", 0, "not in the inventory any more");
	plan_entry_take(entry, &reasons, mem_dup_str("not in the inventory any more"));
}

bool plan_compare_records(struct plan_work *work)
{
	const struct status *status = work->request->status;
	const struct fleet *fleet = work->target.fleet;

	plan_find_members(work);
	for (size_t i = 0; i < fleet->client_count; i++)
		if (is_meant(work->request, fleet->clients[i].name))
			compare_client(work, i);
	for (size_t i = 0; i < status->client_count && !is_apart(work->request); i++) {
		const struct client_record *record = status->clients[i];
		if (record->state != CLIENT_OFFBOARDED && !fleet_client(fleet, record->client))
			add_vanished(work, record);
	}
	return true;
}

/* ---- renamed -------------------------------------------------------------------------------- */

static const char *host_address(const struct client *client)
{
	const struct node *address = node_get(client->host->vars, "ansible_host");
	return address && address->kind == NODE_STRING ? address->text : NULL;
}

static const char *what_is_taken(
	struct plan_work *work, const struct client *client, const struct client_record *record)
{
	const struct fleet *base = work->base ? work->base->fleet : NULL;
	const struct client *owner = base ? fleet_client(base, record->client) : NULL;
	const char *old = owner ? host_address(owner) : NULL;
	const char *new = host_address(client);
	if (record->host && !strcmp(record->host, client->host->name))
		return "its inventory name";
	if (record->root && !strcmp(record->root, client->root))
		return "its driver root";
	return old && new && !strcmp(old, new) ? "its ansible_host" : NULL;
}

void plan_check_renamed(struct plan_work *work)
{
	const struct status *status = work->request->status;
	const struct fleet *fleet = work->target.fleet;
	for (size_t i = 0; i < fleet->client_count; i++) {
		const struct client *client = &fleet->clients[i];
		const struct client_record *known = status_client(status, client->name);
		if (known && known->state != CLIENT_OFFBOARDED)
			continue;
		for (size_t k = 0; k < status->client_count; k++) {
			const struct client_record *record = status->clients[k];
			const char *taken = record->state == CLIENT_OFFBOARDED
						    ? NULL
						    : what_is_taken(work, client, record);
			if (!taken)
				continue;
			const struct node *place = node_get(client->host->vars, "client_name");
			auto_free char *fix =
				mem_printf("set client_name back to '%s', or give the new client a "
					   "host and a driver root of its own",
					record->client);
			problems_add(work->problems, place->file, place->line, fix,
				"new client '%s' takes %s from client '%s': renamed?", client->name,
				taken, record->client);
		}
	}
}
