/* What a revert asks for beside its plan: releases go back by themselves, data do not. */
#include "reconcile/plan_parts.h"

bool plan_same_plain(struct plan_work *work, size_t index, const char *commit)
{
	auto_problems struct problems problems = {0};
	auto_release struct release *release = NULL;
	const char *name = work->target.fleet->clients[index].name;
	struct error err;
	struct plan_side *side = plan_side_get(work, commit, &err);
	const struct client *client = side && side->fleet ? fleet_client(side->fleet, name) : NULL;
	/* a commit that is gone, or does not read any more, is another one */
	return client && plan_side_release(side, client, NULL, &release, &problems) &&
	       !strcmp(release->plain, work->wanted[index].plain);
}

/* ---- whose data --------------------------------------------------------------------------------
 */

static const char *version_of(const struct client_record *record, const char *app)
{
	for (size_t i = 0; i < record->app_count; i++)
		if (!strcmp(record->apps[i].name, app))
			return record->apps[i].version;
	return NULL;
}

/* What it runs may have changed its data: an app that goes back will not know them. */
static char *apps_going_back(const struct plan_entry *entry, const struct client_record *record)
{
	auto_buf struct buf text = BUF_INIT(8192);
	for (size_t i = 0; i < entry->app_count; i++) {
		const struct client_app *app = &entry->apps[i];
		const char *runs = version_of(record, app->name);
		if (runs && strcmp(runs, app->version) != 0)
			buf_addf(&text, "%s%s %s -> %s", text.len ? ", " : "", app->name, runs,
				app->version);
	}
	return text.len ? buf_steal(&text) : NULL;
}

/* Commit of a release that the record knows, or NULL. */
static const char *commit_of(const struct client_record *record, const char *release)
{
	const struct release_ref *known[] = {&record->known_good, &record->previous};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(known[i]->release, release))
			return known[i]->commit;
	for (size_t i = 0; i < record->good_count; i++)
		if (!strcmp(record->good[i].release, release))
			return record->good[i].commit;
	return NULL;
}

static bool backup_belongs(
	struct plan_work *work, const struct plan_entry *entry, const struct client_record *record)
{
	const struct fleet *fleet = work->target.fleet;
	const struct client *client = fleet_client(fleet, entry->client);
	const char *release = record->backup.release;
	const char *commit = *release ? commit_of(record, release) : NULL;
	return client && commit && plan_same_plain(work, (size_t)(client - fleet->clients), commit);
}

/* It changes, and runs what the reverted commit made of it: other commits may come with the revert
 * that were not deployed there yet, and those take nobody back. */
static bool goes_back(const struct plan_work *work, const struct plan_entry *entry)
{
	const struct plan_request *request = work->request;
	struct oid runs = {{0}};
	struct error err;
	bool contains = false;
	if ((entry->action != PLAN_UPGRADE && entry->action != PLAN_ROLLBACK) || entry->unproved ||
		!oid_valid(entry->from.commit))
		return false;
	memcpy(runs.hex, entry->from.commit, sizeof(runs.hex));
	/* a commit that is gone says nothing: better told once too often */
	if (!repo_has_commit(request->repo, &runs) ||
		!repo_is_ancestor(request->repo, &request->reverts, &runs, &contains, &err))
		return true;
	return contains;
}

void plan_find_data(struct plan_work *work)
{
	struct plan *plan = work->plan;
	const struct status *status = work->request->status;
	plan->reverts = work->request->reverts;
	plan->data_known = status != NULL;
	for (size_t i = 0; status && i < plan->entry_count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		const struct client_record *record = status_client(status, entry->client);
		char *apps =
			record && goes_back(work, entry) ? apps_going_back(entry, record) : NULL;
		if (!apps)
			continue;
		mem_grow(plan->data, plan->data_count, plan->data_capacity);
		struct plan_data *data = &plan->data[plan->data_count++];
		*data = (struct plan_data){.client = mem_dup_str(entry->client), .apps = apps};
		memcpy(data->backup, record->backup.name, sizeof(data->backup));
		data->belongs = *data->backup && backup_belongs(work, entry, record);
	}
}

void plan_data_clear(struct plan *plan)
{
	for (size_t i = 0; i < plan->data_count; i++) {
		free(plan->data[i].client);
		free(plan->data[i].apps);
	}
	free(plan->data);
}

/* ---- telling it --------------------------------------------------------------------------------
 */

static void add_data(struct buf *out, const struct plan_data *data, int width)
{
	buf_addf(out, "  %-*s  %s: ", width, data->client, data->apps);
	if (!*data->backup)
		buf_add_str(out, "it has no backup\n");
	else if (data->belongs)
		buf_addf(out, "backup %s holds the data of that release\n", data->backup);
	else
		buf_addf(out, "its backup %s holds those of another release\n", data->backup);
}

void plan_data_to_text(const struct plan *plan, struct buf *out)
{
	static const char *const when[] = {[RESTORE_NEVER] = "no step brings them back",
		[RESTORE_ALWAYS] = "steps.restore (when: always) runs only where the revert fails",
		[RESTORE_ASK] =
			"steps.restore (when: ask) is asked for only where the revert fails"};
	int width = 0;
	if (!*plan->reverts.hex)
		return;
	if (!plan->data_known) {
		buf_add_str(out, "whose data would have to come back is not known: nothing is "
				 "recorded in origin/deployments\n");
		return;
	}
	if (!plan->data_count) {
		buf_add_str(
			out, "data: no app goes to another version, so none have to come back\n");
		return;
	}
	buf_addf(out,
		"data of %zu client%s would have to come back too: a revert brings back "
		"releases, no data; %s\n",
		plan->data_count, plan->data_count == 1 ? "" : "s", when[plan->restore]);
	for (size_t i = 0; i < plan->data_count; i++)
		if ((int)strlen(plan->data[i].client) > width)
			width = (int)strlen(plan->data[i].client);
	for (size_t i = 0; i < plan->data_count; i++)
		add_data(out, &plan->data[i], width);
}

void plan_data_to_json(const struct plan *plan, struct buf *out)
{
	static const char *const words[] = {
		[RESTORE_NEVER] = "never", [RESTORE_ALWAYS] = "always", [RESTORE_ASK] = "ask"};
	if (!*plan->reverts.hex)
		return;
	buf_addf(out, ", \"reverts\": \"%s\", \"restore\": \"%s\", \"data\": ", plan->reverts.hex,
		words[plan->restore]);
	if (!plan->data_known) {
		buf_add_str(out, "null");
		return;
	}
	for (size_t i = 0; i < plan->data_count; i++) {
		const struct plan_data *data = &plan->data[i];
		buf_add_str(out, i ? ", {" : "[{");
		plan_add_member(out, "client", data->client);
		buf_add_str(out, ", ");
		plan_add_member(out, "apps", data->apps);
		buf_add_str(out, ", ");
		plan_add_member(out, "backup", data->backup);
		buf_addf(out, ", \"belongs\": %s}", data->belongs ? "true" : "false");
	}
	buf_add_str(out, plan->data_count ? "]" : "[]");
}
