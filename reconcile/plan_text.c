#include "base/clock.h"
#include "reconcile/plan_parts.h"

/* ---- text: specs of what people like to read, first line is the answer ---------------------- */

struct widths {
	int stage, client, action, reason;
};

static int wider(int width, const char *text)
{
	int len = (int)strlen(text);
	return len > width ? len : width;
}

/* A column is never wider than this: one long name must not push all others off the screen. */
#define COLUMN_MAX 48

static struct widths measure(const struct plan *plan)
{
	struct widths widths = {0};
	for (size_t i = 0; i < plan->entry_count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		widths.stage = wider(widths.stage, entry->stage_name);
		widths.client = wider(widths.client, entry->client);
		widths.action = wider(widths.action, plan_action_name(entry->action));
		for (size_t k = 0; k < entry->reason_count; k++)
			widths.reason = wider(widths.reason, entry->reasons[k].text);
	}
	if (widths.reason > COLUMN_MAX)
		widths.reason = COLUMN_MAX;
	return widths;
}

static void add_place(struct buf *out, const struct plan_reason *reason, int width)
{
	if (!*reason->file) {
		buf_addf(out, "%s\n", reason->text);
		return;
	}
	buf_addf(out, "%-*s  %s", width, reason->text, reason->file);
	if (reason->line)
		buf_addf(out, ":%u", reason->line);
	buf_add_char(out, '\n');
}

static void add_entry(struct buf *out, const struct plan_entry *entry, const struct widths *widths,
	bool name_stage)
{
	int lead = widths->stage + widths->client + widths->action + 6;
	buf_addf(out, "%-*s  %-*s  %-*s  ", widths->stage, name_stage ? entry->stage_name : "",
		widths->client, entry->client, widths->action, plan_action_name(entry->action));
	for (size_t i = 0; i < entry->reason_count; i++) {
		if (i)
			buf_addf(out, "%-*s", lead, "");
		add_place(out, &entry->reasons[i], widths->reason);
	}
	if (!entry->reason_count)
		buf_add_char(out, '\n');
}

static bool starts(const struct plan_entry *entry)
{
	return entry->action == PLAN_ONBOARD || entry->action == PLAN_UPGRADE ||
	       entry->action == PLAN_ROLLBACK;
}

static size_t count_in(const struct plan *plan, size_t stage)
{
	size_t count = 0;
	for (size_t i = 0; i < plan->entry_count; i++)
		count += plan->entries[i].stage == stage && starts(&plan->entries[i]);
	return count;
}

static size_t next_stage(const struct plan *plan, size_t stage)
{
	for (stage++; stage < plan->stage_count; stage++)
		if (count_in(plan, stage))
			return stage;
	return SIZE_MAX;
}

static void add_waves(struct buf *out, const struct plan *plan, size_t stage)
{
	const struct plan_stage *policy = &plan->stages[stage];
	size_t count = count_in(plan, stage);
	const struct batches both = plan_stage_batch(policy, count), *batch = &both;
	char pause[CLOCK_TEXT_SIZE];
	if (policy->manual)
		buf_add_str(out, "after somebody approved it ");
	buf_addf(out, "%s in waves of %zu", policy->name, batches_wave(batch, count, 0));
	for (size_t wave = 1; wave < batch->count; wave++)
		buf_addf(out, ", %zu", batches_wave(batch, count, wave));
	if (batch->count == 1 && batch->items[0].percent)
		buf_addf(out, " (%lld%% of %zu%s)", (long long)batch->items[0].size, count,
			count * (size_t)batch->items[0].size < 100 ? ", at least 1" : "");
	if (policy->windows[0].count || policy->windows[1].count)
		buf_add_str(out, ", only in its windows");
	if (policy->wave_pause_ms)
		buf_addf(out, ", %s apart", duration_format(policy->wave_pause_ms, pause));
	if (policy->max_failures)
		buf_addf(out, ", stop after more than %lld failure%s",
			(long long)policy->max_failures, policy->max_failures == 1 ? "" : "s");
	else
		buf_add_str(out, ", stop at the first failure");
}

/* As the rollout has it: shorter where all that change go back to what was good there. */
static int64_t bake_of(const struct plan *plan, size_t stage)
{
	bool back = true;
	for (size_t i = 0; i < plan->entry_count; i++)
		back = back && (plan->entries[i].stage != stage || !starts(&plan->entries[i]) ||
				       plan->entries[i].action == PLAN_ROLLBACK);
	return back ? plan->stages[stage].rollback_bake_ms : plan->stages[stage].bake_ms;
}

/* What happens between a stage and the next one that changes. */
static void add_gap(struct buf *out, const struct plan *plan, size_t stage, int lead)
{
	char bake[CLOCK_TEXT_SIZE];
	size_t next = next_stage(plan, stage);
	if (plan->stages[stage].blocked) {
		buf_addf(out, "%-*sa client of this stage is held: no later stage starts\n", lead,
			"");
		return;
	}
	if (plan->stages[stage].kept_back && next != SIZE_MAX) {
		buf_addf(out,
			"%-*sall that change in this stage are paused or pinned: no later stage "
			"starts\n",
			lead, "");
		return;
	}
	if (next == SIZE_MAX || !count_in(plan, stage))
		return;
	buf_addf(out, "%-*s", lead, "");
	if (bake_of(plan, stage))
		buf_addf(out, "bake %s, then ", duration_format(bake_of(plan, stage), bake));
	else
		buf_add_str(out, "then ");
	add_waves(out, plan, next);
	buf_add_char(out, '\n');
}

static const char *verdict_word(const struct plan *plan)
{
	static const char *const words[] = {"nothing", "allowed", "refused"};
	return words[plan->verdict];
}

static void add_first_line(struct buf *out, const struct plan *plan)
{
	size_t others = 0;
	for (size_t i = 0; i < plan->entry_count; i++)
		others += !starts(&plan->entries[i]) && plan->entries[i].action != PLAN_VANISHED;
	size_t all = plan->changed + plan->unchanged + others;
	if (!plan->changed && !others)
		buf_addf(out, "%zu client%s, none changes.", all, all == 1 ? "" : "s");
	else
		buf_addf(out, "%zu of %zu client%s change%s, %zu do%s not.", plan->changed, all,
			all == 1 ? "" : "s", plan->changed == 1 ? "s" : "", all - plan->changed,
			all - plan->changed == 1 ? "es" : "");
	if (plan->verdict == PLAN_NOTHING)
		buf_add_str(out, " Nothing to do.");
	else
		buf_addf(out, " Policy: %s.", verdict_word(plan));
	buf_addf(out, " Plan %s.\n", plan->digest);
}

/* "each upgrade: backup, deploy, verify", where there is more than the two. */
static void add_pipeline(
	struct buf *out, const struct plan *plan, const char *pipeline, bool onboard)
{
	char name[STEP_NAME];
	bool any = false;
	for (size_t i = 0; i < plan->entry_count; i++)
		any = any || (starts(&plan->entries[i]) &&
				     (plan->entries[i].action == PLAN_ONBOARD) == onboard);
	if (!any || !pipeline_entry(pipeline, 2, name))
		return;
	buf_addf(out, "each %s: ", onboard ? "onboarding" : "upgrade");
	for (size_t i = 0; pipeline_entry(pipeline, i, name); i++)
		buf_addf(out, "%s%s", i ? ", " : "", name);
	if (!onboard && plan->restore == RESTORE_ALWAYS)
		buf_add_str(out, "; if it fails, its data come back with the release");
	else if (!onboard && plan->restore == RESTORE_ASK)
		buf_add_str(out, "; if it fails, a person is asked whether its data come back");
	buf_add_char(out, '\n');
}

static void add_notes(struct buf *out, const struct plan *plan)
{
	add_pipeline(out, plan, plan->onboard, true);
	add_pipeline(out, plan, plan->upgrade, false);
	plan_data_to_text(plan, out);
	for (size_t i = 0; i < plan->ends_hold.count; i++)
		buf_addf(out, "ends the hold of %s\n", plan->ends_hold.items[i]);
	for (size_t i = 0; i < plan->refusals.count; i++)
		buf_addf(out, "refused: %s\n", plan->refusals.items[i]);
	if (plan->over_limit)
		buf_addf(out, "waits for somebody to approve it: %s\n", plan->over_limit);
	for (size_t i = 0; i < plan->warnings.count; i++) {
		const struct problem *item = &plan->warnings.items[i];
		buf_add_str(out, "warning: ");
		if (*item->file && item->line)
			buf_addf(out, "%s:%u: ", item->file, item->line);
		else if (*item->file)
			buf_addf(out, "%s: ", item->file);
		buf_addf(out, "%s\n", item->what);
	}
}

void plan_to_text(const struct plan *plan, struct buf *out)
{
	struct widths widths = measure(plan);
	const struct plan_entry *entries = plan->entries;

	add_first_line(out, plan);
	if (plan->entry_count)
		buf_add_char(out, '\n');
	for (size_t i = 0; i < plan->entry_count; i++) {
		bool first = !i || entries[i].stage != entries[i - 1].stage ||
			     entries[i].action == PLAN_VANISHED;
		bool last = i + 1 == plan->entry_count || entries[i + 1].stage != entries[i].stage;
		if (entries[i].action == PLAN_VANISHED) {
			buf_addf(out,
				"%-*s  %-*s  not in the inventory any more: reported, "
				"nothing is destroyed\n",
				wider(widths.stage, "vanished"), "vanished", widths.client,
				entries[i].client);
			continue;
		}
		add_entry(out, &entries[i], &widths, first);
		if (last && entries[i].stage < plan->stage_count)
			add_gap(out, plan, entries[i].stage, widths.stage + 2);
	}
	add_notes(out, plan);
}

/* ---- JSON: design.md section 8 -------------------------------------------------------------- */

static void add_string(struct buf *out, const char *text)
{
	buf_add_char(out, '"');
	buf_add_json(out, text, strlen(text));
	buf_add_char(out, '"');
}

void plan_add_member(struct buf *out, const char *name, const char *text)
{
	buf_addf(out, "\"%s\": ", name);
	if (*text)
		add_string(out, text);
	else
		buf_add_str(out, "null");
}

static void add_reasons(struct buf *out, const struct plan_entry *entry)
{
	buf_add_str(out, "\"reasons\": [");
	for (size_t i = 0; i < entry->reason_count; i++) {
		const struct plan_reason *reason = &entry->reasons[i];
		buf_add_str(out, i ? ", {" : "{");
		plan_add_member(out, "text", reason->text);
		buf_add_str(out, ", ");
		plan_add_member(out, "file", reason->file);
		if (reason->line)
			buf_addf(out, ", \"line\": %u}", reason->line);
		else
			buf_add_str(out, ", \"line\": null}");
	}
	buf_add_char(out, ']');
}

static void add_json_entry(struct buf *out, const struct plan_entry *entry)
{
	buf_add_str(out, "{");
	plan_add_member(out, "client", entry->client);
	buf_add_str(out, ", ");
	plan_add_member(out, "stage", entry->stage_name);
	buf_add_str(out, ", ");
	plan_add_member(out, "action", plan_action_name(entry->action));
	buf_add_str(out, ", ");
	plan_add_member(out, "from", entry->from.release);
	buf_add_str(out, ", ");
	plan_add_member(out, "to", entry->to.release);
	buf_add_str(out, ", ");
	add_reasons(out, entry);
	buf_add_char(out, '}');
}

static void add_json_pipeline(struct buf *out, const char *key, const char *pipeline)
{
	char name[STEP_NAME];
	buf_addf(out, "\"%s\": [", key);
	for (size_t i = 0; pipeline_entry(pipeline, i, name); i++)
		buf_addf(out, "%s\"%s\"", i ? ", " : "", name);
	buf_add_char(out, ']');
}

static void add_problem(struct buf *out, const struct problem *item)
{
	buf_add_char(out, '{');
	plan_add_member(out, "file", item->file);
	if (item->line)
		buf_addf(out, ", \"line\": %u, ", item->line);
	else
		buf_add_str(out, ", \"line\": null, ");
	plan_add_member(out, "what", item->what);
	buf_add_str(out, ", ");
	plan_add_member(out, "fix", item->fix);
	buf_add_char(out, '}');
}

void plan_to_json(const struct plan *plan, struct buf *out)
{
	buf_add_char(out, '{');
	plan_add_member(out, "from", plan->base);
	buf_add_str(out, ", ");
	plan_add_member(out, "to", plan->target);
	buf_add_str(out, ", ");
	plan_add_member(out, "plan", plan->digest);
	buf_add_str(out, ", ");
	plan_add_member(out, "verdict", verdict_word(plan));
	if (plan->over_limit) {
		buf_add_str(out, ", ");
		plan_add_member(out, "needs_approval", plan->over_limit);
	}
	buf_addf(out, ", \"changed\": %zu, \"unchanged\": %zu, \"clients\": [", plan->changed,
		plan->unchanged);
	for (size_t i = 0; i < plan->entry_count; i++) {
		buf_add_str(out, i ? ", " : "");
		add_json_entry(out, &plan->entries[i]);
	}
	buf_add_str(out, "], \"steps\": {");
	add_json_pipeline(out, "onboard", plan->onboard);
	buf_add_str(out, ", ");
	add_json_pipeline(out, "upgrade", plan->upgrade);
	buf_add_char(out, '}');
	plan_data_to_json(plan, out);
	buf_add_str(out, ", \"refusals\": [");
	for (size_t i = 0; i < plan->refusals.count; i++) {
		buf_add_str(out, i ? ", " : "");
		add_string(out, plan->refusals.items[i]);
	}
	buf_add_str(out, "], \"warnings\": [");
	for (size_t i = 0; i < plan->warnings.count; i++) {
		buf_add_str(out, i ? ", " : "");
		add_problem(out, &plan->warnings.items[i]);
	}
	buf_add_str(out, "]}");
}
