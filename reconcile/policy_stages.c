/* `stages:` of fleet.yaml. */
#include "base/buf.h"
#include "base/clock.h"
#include "reconcile/policy_file.h"
#include "reconcile/zone.h"

#define DEFAULT_BAKE_MS 600000 /* of the stage canary, if no stages are written */

static bool is_stage_name(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
	return text[0] >= 'a' && text[0] <= 'z' && len <= 31 && !text[len];
}

/* One size: a number of clients or a percentage. */
static bool read_size(const struct node *node, struct batch *out)
{
	bool percent = false;
	int64_t size = 0;
	if (node->kind == NODE_INT) {
		size = node->integer;
	} else {
		size_t digits = node->kind == NODE_STRING ? strspn(node->text, "0123456789") : 0;
		percent = digits && digits < 4 && !strcmp(node->text + digits, "%");
		size = percent ? strtol(node->text, NULL, 10) : 0;
	}
	*out = (struct batch){.percent = percent, .size = size};
	return size >= 1 && size <= (percent ? 100 : 1000000);
}

static bool read_batch(struct converter *self, const struct node *node, struct policy_stage *stage)
{
	static const char fix[] = "write a number of clients or a percentage, or a list of both: "
				  "5 or 25% or [1, 5, 25%]";
	struct batches *batch = &stage->batch;
	bool list = node && node->kind == NODE_LIST;
	size_t count = list ? node->count : 1;
	*batch = (struct batches){.items = {{.size = 1}}, .count = 1};
	if (!node)
		return true;
	if (!count || count > BATCHES_MAX)
		return policy_problem(self->problems, node, fix,
			"'batch' of stage '%s' must have 1 to %d sizes", stage->name, BATCHES_MAX);
	for (size_t i = 0; i < count; i++) {
		const struct node *item = list ? node->items[i] : node;
		if (!read_size(item, &batch->items[i]))
			return policy_problem(self->problems, item, fix,
				"'batch' of stage '%s' must be at least 1 client or 1%%, at most "
				"100%%",
				stage->name);
	}
	batch->count = count;
	return true;
}

static bool check_approval(struct converter *self, const struct policy_stage *stage)
{
	if (stage->manual || !stage->approval_expires_ms)
		return true;
	return policy_problem(self->problems, node_get(stage->node, "approval_expires"),
		"write 'approval: manual' too, or remove the key",
		"'approval_expires' of stage '%s' without 'approval: manual'", stage->name);
}

static bool read_window(struct converter *self, const struct window_file *file,
	const struct node *node, struct window *out)
{
	struct error err;
	int64_t offset;
	bool good = true;
	if (!file->days || !file->from || !file->to || !file->zone)
		return true; /* reported by the table */
	if (!window_parse_days(file->days, &out->days))
		good = policy_problem(self->problems, node_get(node, "days"),
			"write mon-thu, or mon,wed,fri", "'%.40s' are no days", file->days);
	bool times = window_parse_time(file->from, &out->from_min) &&
		     window_parse_time(file->to, &out->to_min);
	if (!times || out->from_min == out->to_min)
		good = policy_problem(self->problems, node_get(node, "from"),
			"write two times from \"00:00\" to \"24:00\"",
			"'%.20s' to '%.20s' is no window", file->from, file->to);
	if (!zone_offset(file->zone, clock_wall_s(), &offset, &err))
		good = policy_problem(self->problems, node_get(node, "zone"),
			"write a zone of the tz database: Europe/Amsterdam", "%s", err.message);
	(void)snprintf(out->zone, sizeof(out->zone), "%s", file->zone);
	return good;
}

static bool read_windows(
	struct converter *self, const struct stage_file *file, struct policy_stage *stage)
{
	const struct key_list *list = &file->windows;
	const struct node *node = node_get(stage->node, "windows");
	bool good = true;
	if (!node || node->kind != NODE_LIST)
		return true; /* not written, or reported by the table */
	if (!list->count || list->count > WINDOWS_MAX)
		return policy_problem(self->problems, node, "remove the key to start at any time",
			"'windows' of stage '%s' must have 1 to %d entries", stage->name,
			WINDOWS_MAX);
	for (size_t i = 0; i < list->count; i++)
		good = read_window(self, (const struct window_file *)list->items + i,
			       list->nodes[i], &stage->windows.items[i]) &&
		       good;
	stage->windows.count = list->count;
	return good;
}

static bool check_stage_name(struct converter *self, size_t at)
{
	const struct policy_stage *stages = self->policy->stages;
	const struct node *place = node_get(stages[at].node, "name");
	if (!is_stage_name(stages[at].name))
		return policy_problem(self->problems, place,
			"use lower case letters, digits and '-', at most 31, a letter first",
			"'%.60s' can not be the name of a stage", stages[at].name);
	for (size_t i = 0; i < at; i++)
		if (stages[i].name && !strcmp(stages[i].name, stages[at].name))
			return policy_problem(self->problems, place, "give it another name",
				"stage '%s' is there twice, first in line %u", stages[at].name,
				stages[i].node->line);
	return true;
}

static void use_default_stages(struct converter *self)
{
	struct policy *policy = self->policy;
	policy->stage_count = 2;
	policy->stages = arena_array(self->arena, 2, sizeof(*policy->stages));
	policy->stages[0] = (struct policy_stage){.name = "canary",
		.group = "canary",
		.batch = {.items = {{.size = 1}}, .count = 1},
		.bake_ms = DEFAULT_BAKE_MS,
		.node = self->root};
	policy->stages[1] = (struct policy_stage){.name = "production",
		.group = "production",
		.batch = {.items = {{.size = 1}}, .count = 1},
		.node = self->root};
}

bool policy_read_stages(struct converter *self)
{
	const struct key_list *list = &self->raw->stages;
	const struct stage_file *files = list->items;
	struct policy *policy = self->policy;
	bool good = true;
	if (!files) {
		use_default_stages(self);
		return true;
	}
	if (!list->count)
		return policy_problem(self->problems, node_get(self->root, "stages"),
			"write a stage or remove the key", "'stages' is empty");
	policy->stages = arena_array(self->arena, list->count, sizeof(*policy->stages));
	policy->stage_count = list->count;
	for (size_t i = 0; i < list->count; i++) {
		struct policy_stage *stage = &policy->stages[i];
		*stage = (struct policy_stage){.name = files[i].name,
			.group = files[i].group ? files[i].group : files[i].name,
			.wave_pause_ms = files[i].wave_pause_ms,
			.bake_ms = files[i].bake_ms,
			.rollback_bake_ms = files[i].rollback_bake_ms,
			.manual = files[i].approval == APPROVAL_MANUAL,
			.approval_expires_ms = files[i].approval_expires_ms,
			.max_failures = files[i].max_failures,
			.max_unreachable = files[i].max_unreachable,
			.node = list->nodes[i]};
		if (!stage->name)
			continue; /* reported by the table */
		good = check_stage_name(self, i) && good;
		good = read_batch(self, files[i].batch, stage) && good;
		good = check_approval(self, stage) && good;
		good = read_windows(self, &files[i], stage) && good;
	}
	return good;
}
