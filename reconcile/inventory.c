/* reconcile/inventory.c - precedence: one map of variables per host
 *
 * Ansible: VariableManager.get_vars() with its default VARIABLE_PRECEDENCE and hash_behaviour
 * `replace`. From weak to strong; groups in the order of depth, priority, name:
 *
 *   all: vars of the inventory           groups: vars of the inventory
 *   all: group_vars beside the inventory all: group_vars of ansible/
 *   groups: group_vars beside            groups: group_vars of ansible/
 *   host: vars of the inventory          host: host_vars beside, host_vars of ansible/
 *
 * Hosts with the same groups share everything but the last line.
 */
#include "reconcile/inventory_build.h"

/* Ansible's own names: it sets them itself and never lists them (InventoryCLI, INTERNAL_VARS). */
static const char *const internal_names[] = {"ansible_config_file", "ansible_diff_mode",
	"ansible_facts", "ansible_forks", "ansible_inventory_sources", "ansible_limit",
	"ansible_playbook_python", "ansible_run_tags", "ansible_skip_tags", "ansible_verbosity",
	"ansible_version", "group_names", "groups", "inventory_dir", "inventory_file",
	"inventory_hostname", "inventory_hostname_short", "omit", "playbook_dir"};

/* Entries of several maps, the stronger later. */
struct entry_ref {
	const struct node_entry *entry;
	size_t order;
};
struct entry_list {
	struct entry_ref *items;
	size_t count, capacity;
};

static void entry_list_clear(struct entry_list *list)
{
	free(list->items);
	*list = (struct entry_list){0};
}
#define auto_entry_list CLEANUP(entry_list_clear)

/* A set of groups that at least one host has. */
struct group_set {
	const char **names; /* sorted, without `all` */
	size_t name_count;
	const struct node *vars; /* NODE_MAP of all layers of groups, sorted by key */
};

struct resolution {
	struct inventory_build *build;
	struct vars_files *files;
	struct name_table set_names; /* direct groups as text -> position */
	struct group_set *sets;
	size_t set_count, set_capacity;
};

static int compare_text(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static bool is_internal(const char *key)
{
	return (*key == 'a' || *key == 'g' || *key == 'i' || *key == 'o' || *key == 'p') &&
	       bsearch(&key, internal_names, ARRAY_LEN(internal_names), sizeof(*internal_names),
		       compare_text);
}

/* ---- maps ---------------------------------------------------------------------------------------
 */

static void add_entry(struct entry_list *list, const struct node_entry *entry)
{
	mem_grow(list->items, list->count, list->capacity);
	list->items[list->count] = (struct entry_ref){.entry = entry, .order = list->count};
	list->count++;
}

static void add_map(struct entry_list *list, const struct node *map)
{
	for (size_t i = 0; i < map->count; i++) {
		if (!is_internal(map->map[i].key))
			add_entry(list, &map->map[i]);
	}
}

static void add_maps(struct entry_list *list, const struct map_list *maps)
{
	for (size_t i = 0; i < maps->count; i++)
		add_map(list, maps->items[i]);
}

/* The vars of a group in the inventory: its priority is no variable there. */
static void add_group_vars(struct entry_list *list, const struct group_build *group)
{
	for (size_t i = 0; i < group->vars.count; i++) {
		const struct node *map = group->vars.items[i];
		for (size_t k = 0; k < map->count; k++) {
			if (!is_internal(map->map[k].key) &&
				strcmp(map->map[k].key, GROUP_PRIORITY))
				add_entry(list, &map->map[k]);
		}
	}
}

static int by_key(const void *left, const void *right)
{
	const struct entry_ref *a = left, *b = right;
	int order = strcmp(a->entry->key, b->entry->key);

	if (order)
		return order;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* Sort by key; of equal keys the last one stays. */
static void sort_entries(struct entry_list *list)
{
	size_t kept = 0;

	if (list->count > 1)
		qsort(list->items, list->count, sizeof(*list->items), by_key);
	for (size_t i = 0; i < list->count; i++) {
		if (i + 1 == list->count ||
			strcmp(list->items[i].entry->key, list->items[i + 1].entry->key) != 0)
			list->items[kept++] = list->items[i];
	}
	list->count = kept;
}

/* A map of weak entries (a sorted map) under strong ones (a sorted list). */
static const struct node *merge_map(struct arena *arena, const struct node *weak,
	const struct entry_list *strong, const struct node *place)
{
	size_t weak_count = weak ? weak->count : 0, count = 0, w = 0, s = 0;
	auto_free struct node_entry *merged = mem_zero(weak_count + strong->count, sizeof(*merged));

	if (weak && !strong->count)
		return weak;
	while (w < weak_count || s < strong->count) {
		int order = w == weak_count ? 1
			    : s == strong->count
				    ? -1
				    : strcmp(weak->map[w].key, strong->items[s].entry->key);
		merged[count++] = order < 0 ? weak->map[w] : *strong->items[s].entry;
		w += order <= 0;
		s += order >= 0;
	}
	return node_new_map(arena, merged, count, place);
}

/* ---- groups of a host ---------------------------------------------------------------------------
 */

static int by_rank(const void *left, const void *right)
{
	const struct group_build *a = *(struct group_build *const *)left;
	const struct group_build *b = *(struct group_build *const *)right;
	return a->rank < b->rank ? -1 : a->rank > b->rank;
}

/* All groups of a host but `all`, weakest first. @return owned array */
static struct group_build **collect_groups(
	struct inventory_build *build, const struct host_build *host, size_t *count_out)
{
	struct group_build **found = mem_zero(build->group_count, sizeof(*found));
	auto_free bool *seen = mem_zero(build->group_count, sizeof(*seen));
	size_t count = 0;
	const struct links *links = &host->groups;

	seen[GROUP_ALL] = true;
	seen[GROUP_UNGROUPED] = host->left_ungrouped;
	for (size_t done = 0;; links = &found[done++]->parents) {
		for (size_t i = 0; i < links->count; i++) {
			size_t position = links->items[i].position;
			if (!seen[position])
				found[count++] = &build->groups[position];
			seen[position] = true;
		}
		if (done == count)
			break;
	}
	if (count)
		qsort(found, count, sizeof(struct group_build *), by_rank);
	*count_out = count;
	return found;
}

static void read_group_files(struct resolution *resolution, struct group_build *group)
{
	if (group->files_read)
		return;
	group->files_read = true;
	vars_files_read(resolution->files, BESIDE_GROUPS, group->name, &group->beside);
	vars_files_read(resolution->files, PLAYBOOK_GROUPS, group->name, &group->playbook);
}

static const struct node *resolve_groups(
	struct resolution *resolution, struct group_build **groups, size_t count)
{
	struct inventory_build *build = resolution->build;
	struct group_build *all = &build->groups[GROUP_ALL];
	auto_entry_list struct entry_list list = {0};

	read_group_files(resolution, all);
	for (size_t i = 0; i < count; i++)
		read_group_files(resolution, groups[i]);
	add_group_vars(&list, all);
	for (size_t i = 0; i < count; i++)
		add_group_vars(&list, groups[i]);
	add_maps(&list, &all->beside);
	add_maps(&list, &all->playbook);
	for (size_t i = 0; i < count; i++)
		add_maps(&list, &groups[i]->beside);
	for (size_t i = 0; i < count; i++)
		add_maps(&list, &groups[i]->playbook);
	sort_entries(&list);
	return merge_map(build->arena, NULL, &list, NULL);
}

static void fill_set(
	struct resolution *resolution, const struct host_build *host, struct group_set *set)
{
	size_t count;
	auto_free struct group_build **groups = collect_groups(resolution->build, host, &count);

	set->vars = resolve_groups(resolution, groups, count);
	set->names = arena_array(resolution->build->arena, count, sizeof(*set->names));
	set->name_count = count;
	for (size_t i = 0; i < count; i++)
		set->names[i] = groups[i]->name;
	if (count)
		qsort(set->names, count, sizeof(*set->names), compare_text);
}

/* Hosts with the same direct groups share one set. */
static const struct group_set *find_set(
	struct resolution *resolution, const struct host_build *host)
{
	auto_buf struct buf key = BUF_INIT(SIZE_MAX / 2);
	struct arena *arena = resolution->build->arena;
	size_t position;

	buf_add_str(&key, host->left_ungrouped ? "-" : "");
	for (size_t i = 0; i < host->groups.count; i++)
		buf_addf(&key, "%u ", host->groups.items[i].position);
	if (!name_table_find(&resolution->set_names, key.text, &position)) {
		mem_grow(resolution->sets, resolution->set_count, resolution->set_capacity);
		position = resolution->set_count++;
		resolution->sets[position] = (struct group_set){0};
		fill_set(resolution, host, &resolution->sets[position]);
		name_table_add(&resolution->set_names, arena, arena_str(arena, key.text), position);
	}
	return &resolution->sets[position];
}

/* ---- hosts --------------------------------------------------------------------------------------
 */

static void resolve_host(
	struct resolution *resolution, const struct host_build *from, struct host *host)
{
	const struct group_set *set = find_set(resolution, from);
	auto_entry_list struct entry_list list = {0};
	struct map_list files = {0};
	struct node_entry port = {.key = "ansible_port",
		.key_len = strlen("ansible_port"),
		.key_node = from->place,
		.value = from->port};

	if (from->port)
		add_entry(&list, &port);
	add_maps(&list, &from->vars);
	vars_files_read(resolution->files, BESIDE_HOSTS, from->name, &files);
	vars_files_read(resolution->files, PLAYBOOK_HOSTS, from->name, &files);
	add_maps(&list, &files);
	sort_entries(&list);
	*host = (struct host){.name = from->name,
		.vars = merge_map(resolution->build->arena, set->vars, &list, from->place),
		.groups = set->names,
		.group_count = set->name_count,
		.place = from->place};
}

static void resolve_hosts(struct inventory_build *build, struct inventory *inventory)
{
	auto_vars_files struct vars_files *files = vars_files_new(build);
	struct resolution resolution = {.build = build, .files = files};
	struct name_table *names = arena_alloc(build->arena, sizeof(*names));

	inventory->hosts = arena_array(build->arena, build->host_count, sizeof(*inventory->hosts));
	inventory->host_count = build->host_count;
	for (size_t i = 0; i < build->host_count; i++)
		resolve_host(&resolution, &build->hosts[i], &inventory->hosts[i]);
	*names = build->host_names;
	inventory->host_names = names;
	free(resolution.sets);
}

static const char **link_names(
	struct inventory_build *build, const struct links *links, bool groups)
{
	const char **names = arena_array(build->arena, links->count, sizeof(*names));

	for (size_t i = 0; i < links->count; i++) {
		size_t position = links->items[i].position;
		names[i] = groups ? build->groups[position].name : build->hosts[position].name;
	}
	return names;
}

static void take_groups(struct inventory_build *build, struct inventory *inventory)
{
	inventory->groups =
		arena_array(build->arena, build->group_count, sizeof(*inventory->groups));
	inventory->group_count = build->group_count;
	for (size_t i = 0; i < build->group_count; i++) {
		struct group_build *from = &build->groups[i];
		inventory->groups[i] = (struct group){.name = from->name,
			.hosts = link_names(build, &from->hosts, false),
			.host_count = from->hosts.count,
			.children = link_names(build, &from->children, true),
			.child_count = from->children.count};
	}
}

static bool check_root(struct inventory_build *build, const struct node *root)
{
	const struct node *plugin = node_get(root, "plugin");

	if (!node_is_true(root))
		problems_add(build->problems, build->path, 0,
			"name at least one host below all.hosts", "the inventory is empty");
	else if (root->kind != NODE_MAP)
		problems_add(build->problems, build->path, root->line,
			"write `all:` with `hosts:` below it", "the inventory is %s, not a map",
			node_phrase(root));
	else if (plugin && node_is_true(plugin))
		problems_add(build->problems, build->path, plugin->line,
			"name the file that `ansible-inventory --list -y` writes",
			"the file configures an inventory plugin; Aviary runs none");
	else
		return true;
	return false;
}

/* What Ansible would take for another kind of inventory. */
static bool check_path(struct inventory_build *build)
{
	const char *name = strrchr(build->path, '/');
	const char *dot = strrchr(name ? name : build->path, '.');
	struct tree_entry entry = {0};
	struct error err = {0};

	if (!tree_stat(build->tree, build->path, &entry, &err)) {
		if (err.code == ERR_NOT_FOUND)
			error_hint(&err,
				"write the inventory, or name it as `inventory` in fleet.yaml");
		error_at(&err, build->path, 0);
		problems_add_error(build->problems, &err);
		return false;
	}
	if (entry.type == TREE_FOLDER ||
		(dot && strcmp(dot, ".yml") && strcmp(dot, ".yaml") && strcmp(dot, ".json"))) {
		problems_add(build->problems, build->path, 0,
			"name one file that ends in .yml, .yaml or .json",
			"%s is no YAML inventory", entry.type == TREE_FOLDER ? "a folder" : "it");
		return false;
	}
	return true;
}

static bool build_inventory(struct inventory_build *build, struct inventory *inventory)
{
	const size_t errors = build->problems->errors;
	const struct node *root;

	(void)build_add_group(build, "all", NULL); /* positions 0 and 1 */
	(void)build_add_group(build, "ungrouped", NULL);
	(void)build_add_child(build, GROUP_ALL, "ungrouped", NULL);
	if (!check_path(build) || !build_read_file(build, build->path, &root) ||
		!check_root(build, root))
		return false;
	build_read_groups(build, root);
	build_order_groups(build);
	if (!build->host_count && build->problems->errors == errors)
		problems_add(build->problems, build->path, 0,
			"name at least one host below all.hosts", "the inventory names no host");
	if (build->problems->errors != errors)
		return false;
	resolve_hosts(build, inventory);
	take_groups(build, inventory);
	return build->problems->errors == errors;
}

bool inventory_load(struct tree *tree, const char *path, struct arena *arena,
	struct inventory **inventory_out, struct strlist *sources, struct problems *problems)
{
	struct inventory_build build = {.arena = arena,
		.problems = problems,
		.tree = tree,
		.sources = sources,
		.path = arena_str(arena, path)};
	struct inventory *inventory = arena_alloc(arena, sizeof(*inventory));
	bool ok = build_inventory(&build, inventory);

	free(build.groups);
	free(build.hosts);
	if (ok)
		*inventory_out = inventory;
	return ok;
}

bool inventory_in_group(const struct host *host, const char *group)
{
	return !strcmp(group, "all") ||
	       (host->group_count && bsearch(&group, host->groups, host->group_count,
					     sizeof(*host->groups), compare_text));
}

const struct host *inventory_host(const struct inventory *inventory, const char *name)
{
	size_t position;

	return name_table_find(inventory->host_names, name, &position) ? &inventory->hosts[position]
								       : NULL;
}
