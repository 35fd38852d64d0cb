#include "reconcile/fleet_parts.h"
#include "templates/mustache.h"

bool fleet_text_is_jinja(const char *text)
{
	return strstr(text, "{{") || strstr(text, "{%") || strstr(text, "{#");
}

/* Where to send a person whose variable has no place of its own. */
static void place_of(
	const struct node *node, const struct fleet *fleet, const char **file, unsigned *line)
{
	bool known = node && node->file && node->line;
	*file = known ? node->file : fleet->policy->inventory;
	*line = known ? node->line : 0;
}

/* A text that Aviary itself needs. NULL after a problem was added. */
static const char *need_text(const struct fleet *fleet, const struct host *host, const char *name,
	struct problems *problems)
{
	const struct node *value = node_get(host->vars, name);
	const char *file = NULL;
	unsigned line = 0;
	place_of(value ? value : host->place, fleet, &file, &line);
	if (!value || value->kind == NODE_NULL)
		problems_add(problems, file, line, "add it to the host's variables",
			"host '%s' has no '%s'", host->name, name);
	else if (value->kind != NODE_STRING || !value->len)
		problems_add(problems, file, line, "write it as text, in quotes",
			"'%s' of host '%s' must be a text, not a %s", name, host->name,
			value->len ? node_kind_name(value->kind) : "empty one");
	else if (fleet_text_is_jinja(value->text))
		problems_add(problems, file, line,
			"write the value itself: only Ansible reads Jinja",
			"'%s' of host '%s' is a Jinja expression", name, host->name);
	else
		return value->text;
	return NULL;
}

static bool client_name_is_valid(const char *name)
{
	size_t len = strlen(name);
	return len >= 1 && len <= 31 && name[0] >= 'a' && name[0] <= 'z' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static bool app_name_is_valid(const char *name)
{
	size_t len = strlen(name);
	return len >= 1 && len <= 63 && name[0] != '-' && name[0] != '_' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
		       len;
}

static bool read_app(const struct node *item, struct client *client, struct problems *problems)
{
	if (item->kind != NODE_STRING || !app_name_is_valid(item->text)) {
		problems_add(problems, item->file, item->line, "letters, digits, - and _ only",
			"'%s' is no name of an app", item->text ? item->text : "");
		return false;
	}
	for (size_t i = 0; i < client->app_count; i++)
		if (!strcmp(client->apps[i], item->text)) {
			problems_add(problems, item->file, item->line, "list it once",
				"app '%s' stands twice in 'apps'", item->text);
			return false;
		}
	client->apps[client->app_count++] = item->text;
	return true;
}

static bool read_apps(const struct fleet *fleet, const struct host *host, struct client *client,
	struct problems *problems)
{
	const struct node *apps = node_get(host->vars, "apps");
	bool good = true;
	const char *file = NULL;
	unsigned line = 0;

	place_of(apps ? apps : host->place, fleet, &file, &line);
	if (!apps) {
		problems_add(problems, file, line, "add 'apps: [...]' to the host's variables",
			"host '%s' has no 'apps'", host->name);
		return false;
	}
	if (apps->kind != NODE_LIST) {
		problems_add(problems, file, line, "write apps: [nextcloud, ...]",
			"'apps' of host '%s' must be a list, not a %s", host->name,
			node_kind_name(apps->kind));
		return false;
	}
	client->apps = arena_array(fleet->arena, apps->count + 1, sizeof(*client->apps));
	for (size_t i = 0; i < apps->count; i++)
		good &= read_app(apps->items[i], client, problems);
	return good;
}

static const struct node *apps_map(struct arena *arena, const struct node *apps)
{
	struct node_entry *entries = arena_array(arena, apps->count + 1, sizeof(*entries));
	for (size_t i = 0; i < apps->count; i++) {
		const struct node *app = apps->items[i];
		struct node *on = node_new(arena, NODE_BOOL, app);
		on->boolean = true;
		on->text = "true";
		on->len = 4;
		entries[i] = (struct node_entry){
			.key = app->text, .key_len = app->len, .key_node = app, .value = on};
	}
	return node_new_map(arena, entries, apps->count, apps);
}

const struct node *client_context(const struct client *client, struct arena *arena)
{
	const struct node *vars = client->host->vars;
	struct node_entry *entries = arena_array(arena, vars->count + 1, sizeof(*entries));
	for (size_t i = 0; i < vars->count; i++) {
		entries[i] = vars->map[i];
		if (!strcmp(entries[i].key, "apps"))
			entries[i].value = apps_map(arena, entries[i].value);
	}
	return node_new_map(arena, entries, vars->count, vars);
}

/* A one-line template of fleet.yaml, rendered for the client. NULL after a problem was added. */
static const char *render_text(const struct fleet *fleet, const struct node *context,
	const char *path, const char *text, struct problems *problems)
{
	const struct node *place = node_path(fleet->policy->node, path);
	auto_free char *out = NULL;
	struct error err;

	if (!mustache_text(place ? place : fleet->policy->node, text, context, &out, &err)) {
		problems_add_error(problems, &err);
		return NULL;
	}
	return arena_str(fleet->arena, out);
}

static bool read_root(const struct fleet *fleet, const struct node *context, struct client *client,
	struct problems *problems)
{
	const struct node *place = node_path(fleet->policy->node, "driver.root");
	client->folder =
		render_text(fleet, context, "driver.root", fleet->policy->driver.root, problems);
	if (!client->folder)
		return false;
	const char *folder = client->root = client->folder;
	bool inside = folder[0] == '/' && folder[1] && !strstr(folder, "/../") &&
		      !fleet_text_is_jinja(folder) && strlen(folder) < 512;
	if (!inside)
		problems_add(problems, POLICY_FILE, place ? place->line : 0,
			"write an absolute path, for example /srv/fleet/{{client_name}}",
			"driver.root of client '%s' is '%s'", client->name, folder);
	return inside && fleet_read_address(fleet, client, problems);
}

static bool find_stage(const struct fleet *fleet, struct client *client, struct problems *problems)
{
	const struct node *name = node_get(client->host->vars, "client_name");
	for (size_t i = 0; i < fleet->policy->stage_count; i++)
		if (inventory_in_group(client->host, fleet->policy->stages[i].group)) {
			client->stage = i;
			return true;
		}
	problems_add(problems, name->file ? name->file : fleet->policy->inventory, name->line,
		"put its host into the group of a stage", "client '%s' belongs to no stage",
		client->name);
	return false;
}

bool fleet_read_client(struct fleet *fleet, const struct host *host, struct client *client_out,
	struct problems *problems)
{
	struct client client = {.host = host};
	const struct node *name = node_get(host->vars, "client_name");

	client.name = need_text(fleet, host, "client_name", problems);
	bool good = client.name != NULL;
	if (client.name && !client_name_is_valid(client.name)) {
		problems_add(problems, name->file, name->line,
			"a to z, 0 to 9 and -, beginning with a letter, at most 31 characters",
			"'%s' is no name of a client", client.name);
		good = false;
	}
	good &= need_text(fleet, host, "domain", problems) != NULL;
	good &= read_apps(fleet, host, &client, problems);
	const struct node *pin = node_get(host->vars, "aviary_pin");
	if (pin)
		/* a mistake in it is told by fleet_check_variables(), once for all of a group */
		(void)pin_from_node(pin, host->name, &client.pin, NULL);
	if (!good)
		return false;
	auto_arena struct arena *scratch = arena_new(ARENA_PLAIN, 0);
	const struct node *context = client_context(&client, scratch);
	client.secrets_file = render_text(
		fleet, context, "secrets.client", fleet->policy->secrets_client, problems);
	if (!read_root(fleet, context, &client, problems) ||
		!find_stage(fleet, &client, problems) || !client.secrets_file)
		return false;
	*client_out = client;
	return true;
}
