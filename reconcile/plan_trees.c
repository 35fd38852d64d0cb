#include "base/strmap.h"
#include "reconcile/plan_parts.h"
#include <openssl/sha.h>

static size_t stage_by_name(const struct plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->stage_count; i++)
		if (!strcmp(plan->stages[i].name, name))
			return i;
	return SIZE_MAX;
}

/* A client that was canary still counts as canary in the rollout that moves it: the earlier one of
 * where it was and where it is. */
static size_t effective_stage(struct plan_work *work, const struct client *client)
{
	const struct fleet *fleet = work->target.fleet;
	size_t now = stage_by_name(work->plan, fleet->policy->stages[client->stage].name);
	const struct fleet *base = work->base ? work->base->fleet : NULL;
	const struct client *before = base ? fleet_client(base, client->name) : NULL;
	if (!before)
		return now;
	size_t then = stage_by_name(work->plan, base->policy->stages[before->stage].name);
	return then < now ? then : now;
}

static struct plan_change *add_change(
	struct plan_work *work, const char *client, size_t stage, enum plan_action action)
{
	struct plan_change *change = &work->changes[work->change_count++];
	*change = (struct plan_change){.client = client,
		.action = action,
		.stage = stage < work->plan->stage_count ? work->plan->stages[stage].name : ""};
	return change;
}

/* Nothing that the release depends on differs: no need to build both. */
static bool has_same_inputs(struct plan_work *work, size_t index, const struct client *before)
{
	const struct client *client = &work->target.fleet->clients[index];
	const struct plan_wanted *wanted = &work->wanted[index];
	return !wanted->steered && oid_equal(&work->base->fleet_id, &work->target.fleet_id) &&
	       oid_equal(&work->base->shared_id, &work->target.shared_id) &&
	       oid_equal(plan_side_secret(work->base, before->secrets_file),
		       plan_side_secret(&work->target, client->secrets_file)) &&
	       plan_inputs_same(work->cache, wanted->inputs, work, true) &&
	       (before->host->vars == client->host->vars ||
		       node_equal(before->host->vars, client->host->vars));
}

/* Both releases without keys. @return false if the target's cannot be built */
static bool build_both(struct plan_work *work, size_t index, const struct client *before,
	struct release **old_out, struct release **new_out)
{
	const struct client *client = &work->target.fleet->clients[index];
	auto_problems struct problems problems = {0};
	if (!plan_side_release(&work->target, client, NULL, new_out, work->problems))
		return false;
	/* a base that does not render is a difference: the reasons say so */
	return plan_side_release(work->base, before, NULL, old_out, &problems) || !*old_out;
}

static bool compare_with_base(struct plan_work *work, size_t index, const struct client *before)
{
	const struct client *client = &work->target.fleet->clients[index];
	auto_release struct release *old = NULL;
	auto_release struct release *new = NULL;

	if (has_same_inputs(work, index, before))
		return true;
	if (!build_both(work, index, before, &old, &new))
		return false;
	if (old && !strcmp(old->plain, new->plain))
		return true;
	struct plan_change *change =
		add_change(work, client->name, work->stages[index], PLAN_UPGRADE);
	if (!old) {
		reason_add(&change->reasons, "", 0, "the release of %.7s cannot be read",
			work->base->commit.hex);
		change->summary = mem_dup_str("its release");
		return true;
	}
	memcpy(change->from, old->digest, sizeof(change->from));
	struct plan_pair pair = {work->base, &work->target, before, client, old, new, true};
	plan_explain(&pair, &change->reasons, &change->summary);
	if (!change->reasons.count)
		reason_add(&change->reasons, "", 0, "its release differs");
	return true;
}

static bool compare_client(struct plan_work *work, size_t index)
{
	const struct client *client = &work->target.fleet->clients[index];
	const struct fleet *base = work->base ? work->base->fleet : NULL;
	const struct client *before = base ? fleet_client(base, client->name) : NULL;

	if (before)
		return compare_with_base(work, index, before);
	struct plan_change *change =
		add_change(work, client->name, work->stages[index], PLAN_ONBOARD);
	const struct node *place = node_get(client->host->vars, "client_name");
	reason_add(&change->reasons, place->file, place->line, "new client");
	change->summary =
		plan_summary_apps(work->wanted[index].apps, work->wanted[index].app_count);
	return true;
}

static int by_client(const void *a, const void *b)
{
	const struct plan_change *left = a, *right = b;
	return strcmp(left->client, right->client);
}

bool plan_compare_trees(struct plan_work *work)
{
	const struct fleet *fleet = work->target.fleet;
	const struct fleet *base = work->base ? work->base->fleet : NULL;
	size_t before = base ? base->client_count : 0;

	work->changes = mem_zero(fleet->client_count + before + 1, sizeof(*work->changes));
	work->stages = arena_array(work->arena, fleet->client_count + 1, sizeof(*work->stages));
	for (size_t i = 0; i < fleet->client_count; i++) {
		work->stages[i] = effective_stage(work, &fleet->clients[i]);
		if (!compare_client(work, i))
			return false;
	}
	for (size_t i = 0; i < before; i++) {
		const struct client *client = &base->clients[i];
		if (fleet_client(fleet, client->name))
			continue;
		const char *stage = base->policy->stages[client->stage].name;
		struct plan_change *change = add_change(
			work, client->name, stage_by_name(work->plan, stage), PLAN_VANISHED);
		reason_add(&change->reasons, "", 0, "not in the inventory any more");
		change->summary = mem_dup_str("not in the inventory any more");
	}
	if (work->change_count > 1)
		qsort(work->changes, work->change_count, sizeof(*work->changes), by_client);
	return true;
}

static void digest_text(const struct plan_work *work, struct buf *text)
{
	bool has_base = work->base && work->base->fleet;
	buf_add_str(text, "aviary plan 1\n");
	buf_addf(text, "base %s\n", has_base ? work->base->fleet->tree.hex : "-");
	buf_addf(text, "target %s\n", work->target.fleet->tree.hex);
	for (size_t i = 0; i < work->change_count; i++) {
		const struct plan_change *change = &work->changes[i];
		buf_addf(text, "client %s %s %s\n", change->client,
			*change->stage ? change->stage : "-", plan_action_name(change->action));
		for (size_t k = 0; k < change->reasons.count; k++) {
			const struct plan_reason *reason = &change->reasons.items[k];
			buf_addf(text, "reason %s %s:%u\n", reason->text, reason->file,
				reason->line);
		}
	}
}

void plan_make_digest(struct plan_work *work)
{
	auto_buf struct buf text = BUF_INIT((size_t)256 << 20);
	unsigned char hash[SHA256_DIGEST_LENGTH];
	digest_text(work, &text);
	SHA256((const unsigned char *)text.text, text.len, hash);
	(void)snprintf(work->plan->digest, sizeof(work->plan->digest), "p-%02x%02x%02x%02x",
		hash[0], hash[1], hash[2], hash[3]); /* always 10 characters */
}

static void take_vanished(struct plan_work *work, struct plan_change *change)
{
	const struct client *client = fleet_client(work->base->fleet, change->client);
	struct plan_entry *entry = plan_add_entry(work);
	entry->client = mem_dup_str(change->client);
	entry->host = mem_dup_str(client->host->name);
	entry->root = mem_dup_str(client->root);
	entry->stage_name = mem_dup_str(change->stage);
	entry->stage = SIZE_MAX; /* behind all stages */
	entry->action = PLAN_VANISHED;
	memcpy(entry->from.commit, work->base->commit.hex, sizeof(entry->from.commit));
	plan_entry_take(entry, &change->reasons, STEAL(change->summary));
}

void plan_take_changes(struct plan_work *work)
{
	const struct fleet *fleet = work->target.fleet;
	struct strmap map = {0};
	for (size_t i = 0; i < work->change_count; i++) {
		strmap_set(&map, work->changes[i].client, &work->changes[i]);
		if (work->changes[i].action == PLAN_VANISHED)
			take_vanished(work, &work->changes[i]);
	}
	for (size_t i = 0; i < fleet->client_count; i++) {
		plan_note_pin(work, &fleet->clients[i], NULL);
		struct plan_change *change = strmap_get(&map, fleet->clients[i].name);
		if (!change) {
			work->plan->unchanged++;
			continue;
		}
		struct plan_entry *entry = plan_add_client(work, i);
		entry->action = change->action;
		if (change->action == PLAN_UPGRADE) {
			memcpy(entry->from.release, change->from, sizeof(entry->from.release));
			memcpy(entry->from.commit, work->base->commit.hex,
				sizeof(entry->from.commit));
		}
		if (change->action == PLAN_UPGRADE &&
			plan_is_pinned(work, &fleet->clients[i], &change->reasons))
			entry->action = PLAN_PINNED;
		plan_entry_take(entry, &change->reasons, STEAL(change->summary));
	}
	strmap_clear(&map);
}
