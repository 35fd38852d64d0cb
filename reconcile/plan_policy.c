#include "base/clock.h"
#include "reconcile/plan_parts.h"

/* ---- the ratchet: the stricter of the old and the new policy, key by key --------------------- */

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void set_stage(struct plan_stage *stage, const struct policy_stage *policy)
{
	*stage = (struct plan_stage){.name = mem_dup_str(policy->name),
		.batch = policy->batch,
		.wave_pause_ms = policy->wave_pause_ms,
		.bake_ms = policy->bake_ms,
		.rollback_bake_ms = policy->rollback_bake_ms,
		.manual = policy->manual,
		.approval_expires_ms = policy->approval_expires_ms,
		.max_failures = policy->max_failures,
		.max_unreachable = policy->max_unreachable,
		.windows = {policy->windows}};
}

static const struct policy_stage *find_stage(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->stage_count; i++)
		if (!strcmp(policy->stages[i].name, name))
			return &policy->stages[i];
	return NULL;
}

struct batches plan_stage_batch(const struct plan_stage *stage, size_t clients)
{
	struct batches batch = stage->batch;
	if (stage->old_batch.count)
		batches_make_stricter(&batch, &stage->old_batch, clients);
	return batch;
}

static void make_stricter(struct plan_stage *stage, const struct policy_stage *old)
{
	stage->old_batch = old->batch;
	stage->wave_pause_ms = most(stage->wave_pause_ms, old->wave_pause_ms);
	stage->bake_ms = most(stage->bake_ms, old->bake_ms);
	stage->rollback_bake_ms = most(stage->rollback_bake_ms, old->rollback_bake_ms);
	stage->max_failures = least(stage->max_failures, old->max_failures);
	stage->max_unreachable = least(stage->max_unreachable, old->max_unreachable);
	stage->windows[1] = old->windows;
	/* The time to answer belongs to the question that is asked. */
	if (!stage->manual && old->manual)
		stage->approval_expires_ms = old->approval_expires_ms;
	stage->manual |= old->manual;
}

/* A removed stage keeps its place once: before the next one that is still there. */
static void add_removed(
	struct plan *plan, const struct policy *old, const struct policy *new, const char *before)
{
	for (size_t i = 0; i < old->stage_count; i++) {
		if (find_stage(new, old->stages[i].name))
			continue;
		size_t next = i + 1;
		while (next < old->stage_count && !find_stage(new, old->stages[next].name))
			next++;
		const char *follows = next < old->stage_count ? old->stages[next].name : NULL;
		if (before == follows || (before && follows && !strcmp(before, follows)))
			set_stage(&plan->stages[plan->stage_count++], &old->stages[i]);
	}
}

static void set_stages(struct plan_work *work, const struct policy *new, const struct policy *old)
{
	struct plan *plan = work->plan;
	size_t most_stages = new->stage_count + (old ? old->stage_count : 0);
	plan->stages = mem_zero(most_stages, sizeof(*plan->stages));
	for (size_t i = 0; i < new->stage_count; i++) {
		const struct policy_stage *stage = &new->stages[i];
		if (old)
			add_removed(plan, old, new, stage->name);
		struct plan_stage *out = &plan->stages[plan->stage_count++];
		const struct policy_stage *before = old ? find_stage(old, stage->name) : NULL;
		set_stage(out, stage);
		if (before)
			make_stricter(out, before);
	}
	if (old)
		add_removed(plan, old, new, NULL);
}

static bool fleet_file_differs(struct plan_work *work)
{
	struct tree_entry new, old;
	struct error err;
	if (!work->base)
		return false;
	return !tree_stat(work->target.tree, POLICY_FILE, &new, &err) ||
	       !tree_stat(work->base->tree, POLICY_FILE, &old, &err) ||
	       !oid_equal(&new.id, &old.id);
}

void plan_set_policy(struct plan_work *work)
{
	const struct policy *old = NULL;
	work->plan->fleet_changed = fleet_file_differs(work);
	if (work->plan->fleet_changed && work->base->fleet)
		old = work->base->fleet->policy;
	plan_take_policy(work, work->target.fleet->policy, old);
}

void plan_take_policy(struct plan_work *work, const struct policy *new, const struct policy *old)
{
	struct plan *plan = work->plan;
	set_stages(work, new, old);
	plan->roll_back = new->on_failure == ON_FAILURE_ROLLBACK;
	plan->keep_rollback_tags = (size_t) new->keep_rollback_tags;
	plan->verify_interval_ms = new->verify_interval_ms;
	plan->verify_timeout_ms = new->verify_timeout_ms;
	plan->verify_healthy = new->verify_healthy;
	plan->retries = new->driver.retries;
	plan->restore = new->restore;
	(void)snprintf(plan->onboard, sizeof(plan->onboard), "%s", new->onboard); /* fits */
	(void)snprintf(plan->upgrade, sizeof(plan->upgrade), "%s", new->upgrade); /* fits */
	work->pinned = new->pinned_images;
	work->max_changed = (int)new->max_changed;
	work->canary_coverage = new->canary_coverage;
	if (!old)
		return;
	plan->verify_healthy = most(new->verify_healthy, old->verify_healthy);
	work->max_changed = (int)least(new->max_changed, old->max_changed);
	if (old->canary_coverage > new->canary_coverage)
		work->canary_coverage = old->canary_coverage;
	work->pinned |= old->pinned_images;
	if (old->pinned_images && work->target.plain)
		release_builder_require_pinned(work->target.plain);
	if (old->pinned_images && work->target.keyed)
		release_builder_require_pinned(work->target.keyed);
}

/* ---- verdict -------------------------------------------------------------------------------- */

static bool changes(const struct plan_entry *entry)
{
	return entry->action == PLAN_ONBOARD || entry->action == PLAN_UPGRADE ||
	       entry->action == PLAN_ROLLBACK;
}

/* Changed, and not healthy. */
static bool is_kept_back(const struct plan_entry *entry)
{
	return entry->action == PLAN_HELD || entry->action == PLAN_PAUSED ||
	       entry->action == PLAN_PINNED || entry->pinned;
}

static bool stage_changes(const struct plan *plan, size_t stage)
{
	for (size_t i = 0; i < plan->entry_count; i++)
		if (changes(&plan->entries[i]) && plan->entries[i].stage == stage)
			return true;
	return false;
}

static void keep_back(struct plan *plan, const struct plan_entry *entry)
{
	if (entry->stage >= plan->stage_count)
		return;
	struct plan_stage *stage = &plan->stages[entry->stage];
	stage->blocked |= entry->action == PLAN_HELD;
	/* One that is only verified would count as healthy beside others: it goes before them. */
	stage->kept_back |=
		entry->pinned || (entry->action != PLAN_HELD && !stage_changes(plan, entry->stage));
}

static size_t count_actions(struct plan *plan)
{
	size_t kept_back = 0;
	plan->changed = 0;
	for (size_t i = 0; i < plan->entry_count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		plan->changed += changes(entry);
		if (!is_kept_back(entry))
			continue;
		kept_back++;
		keep_back(plan, entry);
	}
	return kept_back;
}

/* A held client, or all of a stage paused, is changed and not healthy: its own stage may go on, no
 * later one. */
static bool some_may_start(const struct plan *plan)
{
	size_t last = 0;
	while (last + 1 < plan->stage_count && !plan->stages[last].blocked &&
		!plan->stages[last].kept_back)
		last++;
	for (size_t i = 0; i < plan->entry_count; i++)
		if (changes(&plan->entries[i]) && plan->entries[i].stage <= last)
			return true;
	return false;
}

/* "held alpha, beta and 3 more" */
static void add_names(struct plan *plan, enum plan_action action, struct buf *text)
{
	size_t told = 0, left = 0;
	for (size_t i = 0; i < plan->entry_count; i++) {
		if (plan->entries[i].action != action)
			continue;
		if (told >= 8)
			left++;
		else if (!told++)
			buf_addf(text, "%s%s %s", text->len ? ", " : "", plan_action_name(action),
				plan->entries[i].client);
		else
			buf_addf(text, ", %s", plan->entries[i].client);
	}
	if (left)
		buf_addf(text, " and %zu more", left);
}

static void refuse_kept_back(struct plan *plan)
{
	auto_buf struct buf names = BUF_INIT(1200);
	add_names(plan, PLAN_HELD, &names);
	add_names(plan, PLAN_PAUSED, &names);
	add_names(plan, PLAN_PINNED, &names);
	strlist_addf(&plan->refusals, PLAN_NONE_STARTS "%s", names.text);
}

static void check_max_changed(struct plan_work *work)
{
	struct plan *plan = work->plan;
	const struct status *status = work->request->status;
	size_t recorded = 0, touched = 0;

	if (!status && work->base && work->base->fleet)
		recorded = work->base->fleet->client_count;
	for (size_t i = 0; status && i < status->client_count; i++)
		recorded += status->clients[i]->state != CLIENT_OFFBOARDED;
	for (size_t i = 0; i < plan->entry_count; i++) {
		enum plan_action action = plan->entries[i].action;
		touched += action == PLAN_UPGRADE || action == PLAN_ROLLBACK ||
			   action == PLAN_VANISHED;
	}
	if (recorded && touched * 100 > (size_t)work->max_changed * recorded)
		plan->over_limit = mem_printf("%zu of %zu recorded clients would change or vanish: "
					      "policy.max_changed is %d%%",
			touched, recorded, work->max_changed);
}

/* ---- canary coverage ------------------------------------------------------------------------ */

static bool runs_on_canary(const struct plan_work *work, const char *app)
{
	const struct fleet *fleet = work->target.fleet;
	for (size_t i = 0; i < fleet->client_count; i++) {
		const struct client *client = &fleet->clients[i];
		for (size_t k = 0; !work->stages[i] && k < client->app_count; k++)
			if (!strcmp(client->apps[k], app))
				return true;
	}
	return false;
}

/* Is this app one of those that change for the client: "app X", "X 1 -> 2", or all of a new one. */
static bool app_changes(const struct plan_entry *entry, const char *app)
{
	size_t len = strlen(app);
	if (entry->action == PLAN_ONBOARD)
		return true;
	for (size_t i = 0; i < entry->reason_count; i++) {
		const char *text = entry->reasons[i].text;
		if (!strncmp(text, "app ", 4))
			text += 4;
		if (!strncmp(text, app, len) && text[len] == ' ' &&
			(strstr(text, " -> ") || strstr(text, " added")))
			return true;
	}
	return false;
}

static void add_coverage(struct plan_work *work, const char *app)
{
	struct plan *plan = work->plan;
	const char *only = NULL;
	size_t others = 0;
	for (size_t i = 0; i < plan->entry_count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		bool has = false;
		for (size_t k = 0; k < entry->app_count; k++)
			has |= !strcmp(entry->apps[k].name, app);
		if (!has || !changes(entry) || !app_changes(entry, app))
			continue;
		if (!only)
			only = entry->client;
		else
			others++;
	}
	auto_free char *text =
		others ? mem_printf("%s changes on no canary (%s and %zu more run it)", app, only,
				 others)
		       : mem_printf("%s changes on no canary (only %s runs it)", app,
				 only ? only : "");
	if (work->canary_coverage == COVERAGE_REFUSE)
		strlist_addf(&plan->refusals, "%s: policy.canary_coverage", text);
	else
		problems_warn(&plan->warnings, "", 0, "", "%s: canary_coverage", text);
}

static void check_coverage(struct plan_work *work)
{
	struct plan *plan = work->plan;
	auto_strlist struct strlist told = STRLIST_INIT;
	if (work->canary_coverage == COVERAGE_OFF)
		return;
	for (size_t i = 0; i < plan->entry_count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		if (!changes(entry) || !entry->stage)
			continue;
		for (size_t k = 0; k < entry->app_count; k++) {
			const char *app = entry->apps[k].name;
			if (strlist_has(&told, app) || !app_changes(entry, app))
				continue;
			strlist_add(&told, app);
			if (!runs_on_canary(work, app))
				add_coverage(work, app);
		}
	}
}

void plan_judge(struct plan_work *work)
{
	struct plan *plan = work->plan;
	size_t kept_back = count_actions(plan);

	if (work->request->only || work->request->repair) {
		plan->verdict = plan->changed ? PLAN_ALLOWED : PLAN_NOTHING;
		return;
	}
	if (plan->changed || kept_back) {
		check_coverage(work);
		if (!some_may_start(plan))
			refuse_kept_back(plan);
	}
	check_max_changed(work);
	bool failed = work->own && rollout_state_holds(work->own->state) &&
		      !asked_record_retry(&work->request->status->asked, work->own->id);
	if (failed)
		plan->verdict = PLAN_NOTHING;
	else if (plan->refusals.count)
		plan->verdict = PLAN_REFUSED;
	else
		plan->verdict = plan->changed ? PLAN_ALLOWED : PLAN_NOTHING;
}
