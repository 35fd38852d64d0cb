#include "reconcile/plan.h"
#include "reconcile/plan_parts.h"

/* Of the succeeded rollouts only so many are compared in git order: each costs a walk. */
#define BASE_CANDIDATES 50

/* ---- entries -------------------------------------------------------------------------------- */

static void entry_clear(struct plan_entry *entry)
{
	free(entry->client);
	free(entry->host);
	free(entry->root);
	free(entry->stage_name);
	for (size_t i = 0; i < entry->app_count; i++) {
		free(entry->apps[i].name);
		free(entry->apps[i].version);
	}
	free(entry->apps);
	for (size_t i = 0; i < entry->reason_count; i++) {
		free(entry->reasons[i].text);
		free(entry->reasons[i].file);
	}
	free(entry->reasons);
	free(entry->summary);
}

struct plan_entry *plan_add_entry(struct plan_work *work)
{
	struct plan *plan = work->plan;
	mem_grow(plan->entries, plan->entry_count, plan->entry_capacity);
	struct plan_entry *entry = &plan->entries[plan->entry_count++];
	*entry = (struct plan_entry){.stage = 0};
	return entry;
}

void plan_entry_take(struct plan_entry *entry, struct reason_list *reasons, char *summary)
{
	entry->reasons = reasons->items;
	entry->reason_count = reasons->count;
	entry->summary = summary ? summary : mem_dup_str("");
	*reasons = (struct reason_list){0};
}

struct plan_entry *plan_add_client(struct plan_work *work, size_t index)
{
	const struct client *client = &work->target.fleet->clients[index];
	const struct plan_wanted *wanted = &work->wanted[index];
	struct plan_entry *entry = plan_add_entry(work);

	entry->client = mem_dup_str(client->name);
	entry->host = mem_dup_str(client->host->name);
	entry->root = mem_dup_str(client->root);
	entry->stage = work->stages[index];
	entry->stage_name = mem_dup_str(work->plan->stages[entry->stage].name);
	memcpy(entry->to.release, wanted->digest, sizeof(entry->to.release));
	memcpy(entry->to.release_key, wanted->key, sizeof(entry->to.release_key));
	memcpy(entry->to.commit, work->request->commit.hex, sizeof(entry->to.commit));
	memcpy(entry->checks, wanted->checks, sizeof(entry->checks));
	entry->apps = mem_zero(wanted->app_count, sizeof(*entry->apps));
	entry->app_count = wanted->app_count;
	for (size_t i = 0; i < wanted->app_count; i++) {
		entry->apps[i].name = mem_dup_str(wanted->apps[i].name);
		entry->apps[i].version = mem_dup_str(wanted->apps[i].version);
	}
	return entry;
}

static int by_stage(const void *a, const void *b)
{
	const struct plan_entry *left = a, *right = b;
	int order = (left->stage > right->stage) - (left->stage < right->stage);
	return order ? order : strcmp(left->client, right->client);
}

const struct plan_entry *plan_find(const struct plan *plan, const char *client)
{
	const struct plan_entry *found = NULL;
	struct plan_entry key = {.client = (char *)(uintptr_t)client}; /* only compared */
	for (size_t i = 0; plan->entry_count && !found && i <= plan->stage_count; i++) {
		key.stage = i < plan->stage_count ? i : SIZE_MAX; /* behind all: vanished */
		found = bsearch(&key, plan->entries, plan->entry_count, sizeof(key), by_stage);
	}
	return found;
}

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->entry_count; i++)
		entry_clear(&plan->entries[i]);
	free(plan->entries);
	for (size_t i = 0; i < plan->stage_count; i++)
		free(plan->stages[i].name);
	free(plan->stages);
	free(plan->over_limit);
	strlist_clear(&plan->refusals);
	strlist_clear(&plan->ends_hold);
	plan_pins_clear(&plan->pins);
	plan_data_clear(plan);
	problems_clear(&plan->warnings);
	free(plan);
}

/* ---- building ------------------------------------------------------------------------------- */

static void work_clear(struct plan_work *work)
{
	plan_side_clear(&work->target);
	for (size_t i = 0; i < work->side_count; i++) {
		plan_side_clear(work->sides[i]);
		free(work->sides[i]);
	}
	free(work->sides);
	for (size_t i = 0; i < work->change_count; i++) {
		reason_list_clear(&work->changes[i].reasons);
		free(work->changes[i].summary);
	}
	free(work->changes);
	plan_cache_free(work->own_cache);
	arena_free(work->arena);
	plan_free(work->plan);
}

/* The last deployed commit. Not being able to read it stops the plan; one that reads and does not
 * validate by today's rules counts as nothing, with a warning. */
static bool open_base(struct plan_work *work)
{
	const struct plan_request *request = work->request;
	struct error err;
	if (!*request->base.hex)
		return true;
	struct plan_side *base = plan_side_get(work, request->base.hex, &err);
	if (!base) {
		error_wrap(&err, "last deployed commit %.7s", request->base.hex);
		problems_add_error(work->problems, &err);
		return false;
	}
	work->base = base;
	if (!base->fleet)
		problems_warn(&work->plan->warnings, "", 0, "",
			"the last deployed commit %.7s does not validate any more: %s",
			base->commit.hex, base->why);
	return true;
}

static void take_warnings(struct plan_work *work, size_t first)
{
	for (size_t i = first; i < work->problems->count; i++) {
		const struct problem *item = &work->problems->items[i];
		if (item->warning)
			problems_warn(&work->plan->warnings, item->file, item->line, item->fix,
				"%s", item->what);
	}
}

static bool build(struct plan_work *work)
{
	struct plan *plan = work->plan;
	size_t errors = work->problems->errors, first = work->problems->count;

	if (!open_base(work))
		return false;
	bool opened = plan_side_open(work, &work->target);
	if (!opened && (!work->target.fleet || !work->target.plain))
		return false;
	plan_set_policy(work);
	if (work->request->status)
		plan_check_renamed(work);
	/* with mistakes already told, those of templates are looked for all the same */
	if (!plan_build_wanted(work) || !opened || work->problems->errors > errors)
		return false;
	if (!plan_compare_trees(work))
		return false;
	plan_make_digest(work);
	if (!work->request->status)
		plan_take_changes(work);
	else if (!plan_compare_records(work))
		return false;
	if (plan->entry_count > 1)
		qsort(plan->entries, plan->entry_count, sizeof(*plan->entries), by_stage);
	plan_judge(work);
	if (*work->request->reverts.hex)
		plan_find_data(work);
	take_warnings(work, first);
	plan_cache_end(work->cache, work->target.fleet);
	return true;
}

bool plan_build(const struct plan_request *request, struct plan **plan_out,
	struct fleet **fleet_out, struct problems *problems)
{
	struct plan_work work = {.request = request, .problems = problems};

	work.plan = mem_zero(1, sizeof(*work.plan));
	work.arena = arena_new(ARENA_PLAIN, 0);
	if (!request->cache)
		work.own_cache = plan_cache_new();
	work.cache = request->cache ? request->cache : work.own_cache;
	plan_cache_begin(work.cache);
	work.target.tree = request->tree;
	work.target.tree_borrowed = true;
	work.target.commit = request->commit;
	memcpy(work.plan->base, request->base.hex, sizeof(work.plan->base));
	memcpy(work.plan->target, request->commit.hex, sizeof(work.plan->target));
	bool good = build(&work);
	if (good) {
		*plan_out = STEAL(work.plan);
		if (fleet_out) {
			release_builder_free(STEAL(work.target.keyed));
			release_builder_free(STEAL(work.target.plain));
			*fleet_out = STEAL(work.target.fleet);
		}
	} else {
		problems_sort(problems);
	}
	work_clear(&work);
	return good;
}

bool plan_last_deployed(
	struct repo *repo, const struct status *status, struct oid *commit_out, struct error *err)
{
	struct oid newest = {{0}};
	size_t compared = 0;
	for (size_t i = 0; i < status->rollout_count && compared < BASE_CANDIDATES; i++) {
		const struct rollout_record *rollout = status->rollouts[i];
		struct oid commit = {{0}};
		bool older = false;
		if (rollout->state != ROLLOUT_SUCCEEDED || rollout_record_is_apart(rollout) ||
			!oid_valid(rollout->commit))
			continue;
		memcpy(commit.hex, rollout->commit, sizeof(commit.hex));
		if (oid_equal(&commit, &newest) || !repo_has_commit(repo, &commit))
			continue;
		compared++;
		if (*newest.hex && !repo_is_ancestor(repo, &newest, &commit, &older, err))
			return false;
		/* beside each other, after a forced push: the later rollout, which came first */
		if (!*newest.hex || older)
			newest = commit;
	}
	*commit_out = newest;
	return true;
}
