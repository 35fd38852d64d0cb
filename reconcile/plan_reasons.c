#include "reconcile/plan_parts.h"
#include <stdarg.h>

void reason_add(struct reason_list *list, const char *file, unsigned line, const char *format, ...)
{
	va_list args;
	auto_buf struct buf text = BUF_INIT(1000);
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	mem_grow(list->items, list->count, list->capacity);
	list->items[list->count++] = (struct plan_reason){
		.text = buf_steal(&text), .file = mem_dup_str(file ? file : ""), .line = line};
}

void reason_list_clear(struct reason_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].text);
		free(list->items[i].file);
	}
	free(list->items);
	*list = (struct reason_list){0};
}

static const struct release_input *find_input(
	const struct release *release, enum input_kind kind, const char *name)
{
	for (size_t i = 0; i < release->input_count; i++)
		if (release->inputs[i].kind == kind && !strcmp(release->inputs[i].name, name))
			return &release->inputs[i];
	return NULL;
}

static const struct release_file *find_file(const struct release *release, const char *path)
{
	for (size_t i = 0; i < release->file_count; i++)
		if (!strcmp(release->files[i].path, path))
			return &release->files[i];
	return NULL;
}

static const struct client_app *find_app(const struct release *release, const char *name)
{
	for (size_t i = 0; i < release->app_count; i++)
		if (!strcmp(release->apps[i].name, name))
			return &release->apps[i];
	return NULL;
}

/* ---- apps ----------------------------------------------------------------------------------- */

static void explain_versions(const struct plan_pair *pair, struct reason_list *reasons)
{
	const struct release *new = pair->new_release;
	for (size_t i = 0; i < new->app_count; i++) {
		const struct client_app *app = &new->apps[i];
		const struct client_app *old = find_app(pair->old_release, app->name);
		if (old && strcmp(old->version, app->version) != 0)
			reason_add(reasons, new->app_places[i].file, new->app_places[i].line,
				"%s %s -> %s", app->name, *old->version ? old->version : "?",
				*app->version ? app->version : "?");
	}
}

static void explain_apps(const struct plan_pair *pair, struct reason_list *reasons)
{
	const struct node *place = node_get(pair->new_client->host->vars, "apps");
	const char *file = place && place->file ? place->file : "";
	unsigned line = place ? place->line : 0;
	for (size_t i = 0; i < pair->new_release->app_count; i++) {
		const struct client_app *app = &pair->new_release->apps[i];
		if (!find_app(pair->old_release, app->name))
			reason_add(reasons, file, line, "app %s%s%s added", app->name,
				*app->version ? " " : "", app->version);
	}
	for (size_t i = 0; i < pair->old_release->app_count; i++)
		if (!find_app(pair->new_release, pair->old_release->apps[i].name))
			reason_add(reasons, file, line, "app %s removed",
				pair->old_release->apps[i].name);
}

/* ---- secrets and variables ------------------------------------------------------------------ */

static void explain_secrets(const struct plan_pair *pair, struct reason_list *reasons)
{
	for (size_t i = 0; i < pair->new_release->input_count; i++) {
		const struct release_input *input = &pair->new_release->inputs[i];
		if (input->kind != INPUT_SECRET)
			continue;
		const struct release_input *old =
			find_input(pair->old_release, INPUT_SECRET, input->name);
		if (!old || !strcmp(old->value, input->value))
			continue;
		reason_add(reasons, input->file, 0,
			pair->encrypted ? "encrypted value %s differs" : "secret %s changed",
			input->name);
	}
}

/* The version of an app is told as such. */
static bool is_told_as_version(const struct plan_pair *pair, const struct release_input *input)
{
	for (size_t i = 0; i < pair->new_release->app_count; i++) {
		const struct release_place *place = &pair->new_release->app_places[i];
		const char *app = pair->new_release->apps[i].name;
		size_t len = strlen(input->name);
		if (place->line && place->line == input->line &&
			!strcmp(place->file, input->file) && find_app(pair->old_release, app) &&
			len > 8 && !strcmp(input->name + len - 8, "_version"))
			return true;
	}
	return false;
}

static bool is_app_switch(const char *name)
{
	return !strcmp(name, "apps") || !strncmp(name, "apps.", 5);
}

/* Read on one side only: the value on the other tells whether it changed or is only used now. */
static bool same_value(const struct client *client, const struct release_input *input)
{
	const struct node *value = node_path(client->host->vars, input->name);
	auto_buf struct buf json = BUF_INIT(TREE_FILE_MAX);
	if (!value)
		return false;
	node_to_json(value, 0, true, &json);
	return !strcmp(json.text, input->value);
}

static void explain_new_variables(const struct plan_pair *pair, struct reason_list *reasons)
{
	for (size_t i = 0; i < pair->new_release->input_count; i++) {
		const struct release_input *input = &pair->new_release->inputs[i];
		if (input->kind != INPUT_VARIABLE || is_app_switch(input->name) ||
			same_value(pair->old_client, input) || is_told_as_version(pair, input))
			continue;
		bool known = node_path(pair->old_client->host->vars, input->name) != NULL;
		reason_add(reasons, input->file, input->line, "variable %s %s", input->name,
			known ? "changed" : "added");
	}
}

static void explain_old_variables(const struct plan_pair *pair, struct reason_list *reasons)
{
	for (size_t i = 0; i < pair->old_release->input_count; i++) {
		const struct release_input *input = &pair->old_release->inputs[i];
		if (input->kind != INPUT_VARIABLE || is_app_switch(input->name) ||
			find_input(pair->new_release, INPUT_VARIABLE, input->name))
			continue;
		if (!node_path(pair->new_client->host->vars, input->name))
			reason_add(reasons, "", 0, "variable %s removed", input->name);
	}
}

/* ---- files ---------------------------------------------------------------------------------- */

static bool file_differs(const struct release_file *a, const struct release_file *b)
{
	return a->mode != b->mode || a->shape_len != b->shape_len ||
	       memcmp(a->shape, b->shape, a->shape_len) != 0;
}

/* Bits of the new release's files whose text differs from the old one's. */
static uint64_t changed_files(const struct plan_pair *pair, size_t *count_out)
{
	uint64_t bits = 0;
	*count_out = 0;
	for (size_t i = 0; i < pair->new_release->file_count; i++) {
		const struct release_file *file = &pair->new_release->files[i];
		const struct release_file *old = find_file(pair->old_release, file->path);
		if (old && !file_differs(old, file))
			continue;
		bits |= file->bit;
		(*count_out)++;
	}
	for (size_t i = 0; i < pair->old_release->file_count; i++)
		if (!find_file(pair->new_release, pair->old_release->files[i].path))
			(*count_out)++;
	return bits;
}

static bool names_file(const struct reason_list *reasons, size_t count, const char *file)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(reasons->items[i].file, file))
			return true;
	return false;
}

static void explain_sources(
	const struct plan_pair *pair, uint64_t changed, size_t told, struct reason_list *reasons)
{
	for (size_t i = 0; i < pair->new_release->input_count; i++) {
		const struct release_input *input = &pair->new_release->inputs[i];
		if (input->kind != INPUT_FILE || !(input->used_by & changed))
			continue;
		const struct release_input *old =
			find_input(pair->old_release, INPUT_FILE, input->name);
		if (old && strcmp(old->value, input->value) != 0 &&
			!names_file(reasons, told, input->name))
			reason_add(reasons, input->name, 0, "%s changed", input->name);
	}
}

static void explain_files(const struct plan_pair *pair, struct reason_list *reasons)
{
	const struct release *old = pair->old_release, *new = pair->new_release;
	for (size_t i = 0; i < new->file_count; i++) {
		const struct release_file *before = find_file(old, new->files[i].path);
		if (!before)
			reason_add(reasons, POLICY_FILE, 0, "file %s added", new->files[i].path);
		else if (before->mode != new->files[i].mode)
			reason_add(reasons, POLICY_FILE, 0, "mode of %s %04o -> %04o",
				new->files[i].path, before->mode, new->files[i].mode);
		else if (strcmp(before->from, new->files[i].from) != 0 &&
			 file_differs(before, &new->files[i]))
			reason_add(reasons, POLICY_FILE, 0, "file %s comes from %s now",
				new->files[i].path, new->files[i].from);
	}
	for (size_t i = 0; i < old->file_count; i++)
		if (!find_file(new, old->files[i].path))
			reason_add(reasons, POLICY_FILE, 0, "file %s removed", old->files[i].path);
}

/* ---- summaries ------------------------------------------------------------------------------ */

#define SUMMARY_PARTS 3 /* more do not fit a commit's subject */

static char *join_reasons(const struct reason_list *reasons, size_t count)
{
	auto_buf struct buf text = BUF_INIT(400);
	for (size_t i = 0; i < count && i < SUMMARY_PARTS; i++)
		buf_addf(&text, "%s%s", i ? ", " : "", reasons->items[i].text);
	if (count > SUMMARY_PARTS)
		buf_addf(&text, " and %zu more", count - SUMMARY_PARTS);
	return buf_steal(&text);
}

char *plan_summary_apps(const struct client_app *apps, size_t count)
{
	auto_buf struct buf text = BUF_INIT(400);
	for (size_t i = 0; i < count && i < SUMMARY_PARTS; i++)
		buf_addf(&text, "%s%s%s%s", i ? ", " : "", apps[i].name,
			*apps[i].version ? " " : "", apps[i].version);
	if (count > SUMMARY_PARTS)
		buf_addf(&text, " and %zu more", count - SUMMARY_PARTS);
	return buf_steal(&text);
}

void plan_explain(const struct plan_pair *pair, struct reason_list *reasons, char **summary_out)
{
	size_t files = 0, versions, apps, secrets;
	uint64_t changed = changed_files(pair, &files);

	explain_versions(pair, reasons);
	versions = reasons->count;
	explain_apps(pair, reasons);
	apps = reasons->count;
	explain_secrets(pair, reasons);
	secrets = reasons->count - apps;
	explain_new_variables(pair, reasons);
	explain_old_variables(pair, reasons);
	explain_sources(pair, changed, versions, reasons);
	explain_files(pair, reasons);
	if (apps)
		*summary_out = join_reasons(reasons, apps);
	else if (files)
		*summary_out = mem_printf("%zu file%s", files, files == 1 ? "" : "s");
	else if (secrets)
		*summary_out = mem_printf("%zu secret%s", secrets, secrets == 1 ? "" : "s");
	else
		*summary_out = mem_dup_str("its release");
}
