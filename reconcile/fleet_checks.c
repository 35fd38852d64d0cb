#include "base/strmap.h"
#include "reconcile/fleet_parts.h"
#include "reconcile/secrets/sops.h"

static int by_root(const void *a, const void *b)
{
	const struct client *const *left = a, *const *right = b;
	return strcmp((*left)->root, (*right)->root);
}

static void check_roots(struct fleet *fleet, struct problems *problems)
{
	const struct node *place = node_path(fleet->policy->node, "driver.root");
	auto_free const struct client **sorted = mem_zero(fleet->client_count, sizeof(*sorted));

	for (size_t i = 0; i < fleet->client_count; i++)
		sorted[i] = &fleet->clients[i];
	if (fleet->client_count > 1)
		qsort(sorted, fleet->client_count, sizeof(*sorted), by_root);
	for (size_t i = 1; i < fleet->client_count; i++)
		if (!strcmp(sorted[i - 1]->root, sorted[i]->root))
			problems_add(problems, POLICY_FILE, place ? place->line : 0,
				sorted[i]->address ? "give each client a host of its own, or put "
						     "{{client_name}} into driver.root"
						   : "put {{client_name}} into driver.root",
				"clients '%s' and '%s' have the same driver.root '%s'",
				sorted[i - 1]->name, sorted[i]->name, sorted[i]->root);
}

void fleet_check_unique(struct fleet *fleet, struct problems *problems)
{
	for (size_t i = 1; i < fleet->client_count; i++) {
		const struct client *first = fleet->by_name[i - 1], *second = fleet->by_name[i];
		if (strcmp(first->name, second->name) != 0)
			continue;
		const struct node *name = node_get(second->host->vars, "client_name");
		problems_add(problems, name->file, name->line, "give each host its own client_name",
			"client_name '%s' belongs to host '%s' already", second->name,
			first->host->name);
	}
	check_roots(fleet, problems);
}

static bool is_version_name(const char *name)
{
	size_t len = strlen(name);
	return len > 8 && !strcmp(name + len - 8, "_version");
}

static void check_version(const char *name, const struct node *value, struct problems *problems)
{
	auto_free char *fix = mem_printf("write %s: \"%s\"", name, value->text);
	if (value->kind == NODE_FLOAT)
		problems_add(problems, value->file, value->line, fix,
			"'%s' is read as a number: %s means %g", name, value->text, value->number);
	else if (value->kind == NODE_INT || value->kind == NODE_TIME)
		problems_add(problems, value->file, value->line, fix,
			"'%s' is read as a %s, not as text", name, node_kind_name(value->kind));
	else if (value->kind == NODE_STRING && fleet_text_is_jinja(value->text))
		problems_add(problems, value->file, value->line,
			"write the version itself: only Ansible reads Jinja",
			"'%s' is a Jinja expression", name);
}

static void check_reserved(const struct node_entry *entry, struct problems *problems)
{
	const struct node *place = entry->key_node ? entry->key_node : entry->value;
	if (!strcmp(entry->key, "aviary_offboard"))
		problems_add(problems, place->file, place->line, "take it out",
			"'%s' is not supported yet", entry->key);
	if (!strcmp(entry->key, "secrets"))
		problems_add(problems, place->file, place->line, "give the variable another name",
			"'secrets' is the name under which templates see decrypted secrets");
}

/* One value is shared by all hosts of its group: say it once. */
static bool is_new(struct strmap *seen, struct arena *arena, const void *value)
{
	char key[32];
	(void)snprintf(key, sizeof(key), "%p", value); /* fits: a pointer */
	if (strmap_get(seen, key))
		return false;
	strmap_set(seen, arena_str(arena, key), seen);
	return true;
}

void fleet_check_variables(const struct fleet *fleet, struct problems *problems)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	struct strmap seen = {0};

	for (size_t i = 0; i < fleet->inventory->host_count; i++) {
		const struct node *vars = fleet->inventory->hosts[i].vars;
		for (size_t k = 0; k < vars->count; k++) {
			const struct node_entry *entry = &vars->map[k];
			if (is_version_name(entry->key) && is_new(&seen, arena, entry->value))
				check_version(entry->key, entry->value, problems);
			if (!strncmp(entry->key, "aviary_", 7) || !strcmp(entry->key, "secrets"))
				check_reserved(entry, problems);
			struct client_pin pin;
			if (!strcmp(entry->key, "aviary_pin") && is_new(&seen, arena, entry->value))
				(void)pin_from_node(entry->value, fleet->inventory->hosts[i].name,
					&pin, problems); /* read again for each client */
		}
	}
	strmap_clear(&seen);
}

static bool group_exists(const struct inventory *inventory, const char *name)
{
	if (!strcmp(name, "all"))
		return true;
	for (size_t i = 0; i < inventory->group_count; i++)
		if (!strcmp(inventory->groups[i].name, name))
			return true;
	return false;
}

/* Clients with mistakes are left out: what is missing then may be theirs. */
static bool all_were_read(const struct fleet *fleet)
{
	return fleet->client_count == fleet->inventory->host_count;
}

static void check_stage(const struct fleet *fleet, size_t stage, struct problems *problems)
{
	const struct policy_stage *item = &fleet->policy->stages[stage];
	unsigned line = item->node ? item->node->line : 0;
	size_t members = 0;

	if (!group_exists(fleet->inventory, item->group)) {
		problems_add(problems, POLICY_FILE, line, "name a group of the inventory",
			"stage '%s': the inventory has no group '%s'", item->name, item->group);
		return;
	}
	for (size_t i = 0; i < fleet->client_count; i++)
		members += fleet->clients[i].stage == stage;
	if (members || !all_were_read(fleet))
		return;
	if (!stage)
		problems_add(problems, POLICY_FILE, line, "put at least one client into its group",
			"the first stage, '%s', has no client", item->name);
	else
		problems_warn(
			problems, POLICY_FILE, line, "", "stage '%s' has no client", item->name);
}

static bool app_exists(const struct fleet *fleet, const char *app)
{
	for (size_t i = 0; i < fleet->client_count; i++)
		for (size_t k = 0; k < fleet->clients[i].app_count; k++)
			if (!strcmp(fleet->clients[i].apps[k], app))
				return true;
	return false;
}

static void check_sources(const struct policy *policy, struct tree *tree, struct problems *problems)
{
	for (size_t i = 0; i < policy->file_count; i++) {
		const struct policy_file *file = &policy->files[i];
		struct tree_entry entry;
		struct error err;
		if (tree_stat(tree, file->from, &entry, &err)) {
			if (entry.type != TREE_FILE && entry.type != TREE_EXECUTABLE)
				problems_add(problems, POLICY_FILE,
					file->node ? file->node->line : 0,
					"name a file of the repository",
					"release file '%s' is not a file", file->from);
			continue;
		}
		if (err.code != ERR_NOT_FOUND) {
			problems_add_error(problems, &err);
			continue;
		}
		problems_add(problems, POLICY_FILE, file->node ? file->node->line : 0,
			"name a file of the repository", "release file '%s' does not exist",
			file->from);
	}
}

void fleet_check_policy(const struct fleet *fleet, struct tree *tree, struct problems *problems)
{
	const struct policy *policy = fleet->policy;
	for (size_t i = 0; i < policy->stage_count; i++)
		check_stage(fleet, i, problems);
	for (size_t i = 0; i < policy->check_count; i++) {
		const struct policy_check *check = &policy->checks[i];
		const char *app = check->app ? check->app : check->name;
		if (strcmp(app, "all") != 0 && all_were_read(fleet) && !app_exists(fleet, app))
			problems_add(problems, POLICY_FILE, check->node ? check->node->line : 0,
				"write app: all, or the name of an app of some client",
				"check '%s' is for app '%s', which no client has", check->name,
				app);
	}
	check_sources(policy, tree, problems);
	fleet_check_steps(fleet, tree, problems);
}

/* What says something about the folder, not a secret. */
static bool is_exempt(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	return !strcmp(name, "README.md") || !strcmp(name, ".gitkeep") ||
	       !strcmp(name, ".gitignore") || !strcmp(name, ".gitattributes");
}

static void check_file(struct tree *tree, const char *path, struct problems *problems)
{
	auto_buf struct buf text = BUF_INIT_SECRET(TREE_FILE_MAX);
	struct error err;

	if (is_exempt(path))
		return;
	if (!tree_read(tree, path, &text, NULL, &err)) {
		if (err.code != ERR_NOT_FOUND)
			problems_add_error(problems, &err);
		return;
	}
	if (sops_check_encrypted(path, text.text, text.len, &err))
		return;
	error_at(&err, path, 0);
	if (!err.hint[0])
		error_hint(
			&err, "encrypt it with sops, and replace the values that were committed");
	problems_add_error(problems, &err);
}

/* Is it the very file of the other tree? */
static bool is_in(const struct tree_entries *entries, const struct tree_entry *entry)
{
	size_t low = 0, high = entries->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(entry->path, entries->items[middle].path);
		if (!order)
			return oid_equal(&entry->id, &entries->items[middle].id);
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

void fleet_check_encrypted(const struct fleet *fleet, struct tree *tree, struct tree *checked,
	struct problems *problems)
{
	auto_tree_entries struct tree_entries entries = {0};
	auto_tree_entries struct tree_entries known = {0};
	const char *named[] = {fleet->policy->secrets_shared, fleet->policy->secrets_service};
	struct error err;

	if (checked && !tree_list_deep(checked, "secrets", &known, &err))
		tree_entries_clear(&known); /* all are looked at then */
	if (!tree_list_deep(tree, "secrets", &entries, &err) && err.code != ERR_NOT_FOUND)
		problems_add_error(problems, &err);
	for (size_t i = 0; i < entries.count; i++)
		if (!is_in(&known, &entries.items[i]))
			check_file(tree, entries.items[i].path, problems);
	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		if (named[i] && strncmp(named[i], "secrets/", 8) != 0)
			check_file(tree, named[i], problems);
	for (size_t i = 0; i < fleet->client_count; i++)
		if (strncmp(fleet->clients[i].secrets_file, "secrets/", 8) != 0)
			check_file(tree, fleet->clients[i].secrets_file, problems);
}
