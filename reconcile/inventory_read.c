/* reconcile/inventory_read.c - groups and hosts of an inventory file
 *
 * Follows Ansible's yaml inventory plugin and InventoryData: what they refuse is a problem here,
 * what they warn about is a warning, and a name that is a group and a host at once gets its
 * variables as there.
 */
#include "reconcile/inventory_build.h"

#include <math.h>

static const char fix_shape[] = "write a map: `name:` with its keys below it, indented";

static void report(struct inventory_build *build, const struct node *place, const char *fix,
	const struct error *err)
{
	problems_add(build->problems, place->file, place->line, fix, "%s", err->message);
}

static bool is_text(const struct node *node)
{
	return node->kind == NODE_STRING ||
	       (node->kind == NODE_TAGGED && node->tag && !strcmp(node->tag, "!unsafe"));
}

/* Names become paths of variable files and go into messages, records and logs. */
static bool name_is_harmless(const char *name)
{
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (const char *at = name; *at; at++) {
		bool part = at == name || at[-1] == '/';
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return false;
		if (part && (!strncmp(at, "../", 3) || !strncmp(at, "./", 2) || !strcmp(at, "..")))
			return false;
	}
	return true;
}

static bool check_name(
	struct inventory_build *build, const char *what, const char *name, const struct node *place)
{
	if (!*name) {
		problems_add(build->problems, place->file, place->line, "give it a name",
			"empty %s name", what);
		return false;
	}
	if (!name_is_harmless(name)) {
		problems_add(build->problems, place->file, place->line,
			"use letters, digits, '-', '_' and '.'",
			"%s name with a control character or a path part", what);
		return false;
	}
	return true;
}

/* A key that must be text; numbers, booleans and null are refused as Ansible does. */
static bool check_key(
	struct inventory_build *build, const char *what, const struct node_entry *entry)
{
	if (is_text(entry->key_node))
		return check_name(build, what, entry->key_node->text, entry->key_node);
	problems_add(build->problems, entry->key_node->file, entry->key_node->line,
		"put it into quotes", "%s name '%s' is read as %s", what, entry->key,
		node_phrase(entry->key_node));
	return false;
}

size_t build_add_group(struct inventory_build *build, const char *name, const struct node *place)
{
	size_t position;

	if (name_table_find(&build->group_names, name, &position))
		return position;
	mem_grow(build->groups, build->group_count, build->group_capacity);
	position = build->group_count++;
	build->groups[position] = (struct group_build){.name = name, .place = place, .priority = 1};
	name_table_add(&build->group_names, build->arena, name, position);
	return position;
}

void build_link_host(struct inventory_build *build, size_t group, size_t host)
{
	struct links *groups = &build->hosts[host].groups;

	if (links_have(groups, group))
		return;
	links_add(groups, build->arena, (struct link){.position = (uint32_t)group});
	links_add(&build->groups[group].hosts, build->arena,
		(struct link){.position = (uint32_t)host});
}

static void link_group(
	struct inventory_build *build, size_t parent, size_t child, const struct node *place)
{
	struct group_build *group = &build->groups[child];

	if (parent == child) {
		problems_add(build->problems, place->file, place->line,
			"take it out of its own children", "group '%s' is its own child",
			group->name);
		return;
	}
	if (child == GROUP_UNGROUPED && parent != GROUP_ALL) {
		problems_add(build->problems, place->file, place->line, "name its hosts instead",
			"'ungrouped' cannot be a child of group '%s'", build->groups[parent].name);
		return;
	}
	if (links_have(&group->parents, parent))
		return;
	links_add(&group->parents, build->arena,
		(struct link){.position = (uint32_t)parent, .place = place});
	links_add(&build->groups[parent].children, build->arena,
		(struct link){.position = (uint32_t)child, .place = place});
}

bool build_add_child(
	struct inventory_build *build, size_t group, const char *name, const struct node *place)
{
	size_t position;

	if (name_table_find(&build->group_names, name, &position))
		link_group(build, group, position, place);
	else if (name_table_find(&build->host_names, name, &position))
		build_link_host(build, group, position);
	else
		return false;
	return true;
}

/* ---- variables of groups and hosts ------------------------------------------------------------
 */

/* Python's int(value). */
static bool priority_of(const struct node *value, int64_t *priority_out)
{
	char *end = NULL;

	if (value->kind == NODE_INT)
		*priority_out = value->integer;
	else if (value->kind == NODE_BOOL)
		*priority_out = value->boolean;
	else if (value->kind == NODE_FLOAT && fabs(value->number) < 1e15)
		*priority_out = (int64_t)value->number;
	else if (is_text(value) && value->len && value->len < 16)
		*priority_out = strtoll(value->text, &end, 10);
	else
		return false;
	while (end && (*end == ' ' || *end == '\n'))
		end++;
	return !end || (!*end && end != value->text);
}

static void set_group_vars(
	struct inventory_build *build, struct group_build *group, const struct node *map)
{
	const struct node *priority = node_get(map, GROUP_PRIORITY);

	map_list_add(&group->vars, build->arena, map);
	if (priority && !priority_of(priority, &group->priority))
		problems_add(build->problems, priority->file, priority->line, "write a number",
			"'" GROUP_PRIORITY "' of group '%s' is no number", group->name);
}

/* Ansible looks for a group of that name first, also when it means the host. */
static void set_host_vars(struct inventory_build *build, const char *name, const struct node *map)
{
	size_t position;

	if (name_table_find(&build->group_names, name, &position))
		set_group_vars(build, &build->groups[position], map);
	else if (name_table_find(&build->host_names, name, &position))
		map_list_add(&build->hosts[position].vars, build->arena, map);
}

struct host_visit {
	struct inventory_build *build;
	const struct node *place;
	const struct node *vars; /* NULL if it has none */
	const struct node *port;
	size_t group;
};

static size_t add_host(struct host_visit *visit, const char *name)
{
	struct inventory_build *build = visit->build;
	size_t position;

	if (name_table_find(&build->host_names, name, &position))
		return position; /* the port of a second mention is lost, as with Ansible */
	mem_grow(build->hosts, build->host_count, build->host_capacity);
	position = build->host_count++;
	build->hosts[position] = (struct host_build){
		.name = arena_str(build->arena, name), .place = visit->place, .port = visit->port};
	name_table_add(&build->host_names, build->arena, build->hosts[position].name, position);
	return position;
}

static void visit_host(void *context, const char *name)
{
	struct host_visit *visit = context;

	if (!check_name(visit->build, "host", name, visit->place))
		return;
	build_link_host(visit->build, visit->group, add_host(visit, name));
	if (visit->vars)
		set_host_vars(visit->build, name, visit->vars);
}

static const struct node *port_node(
	struct inventory_build *build, int port, const struct node *place)
{
	if (!port)
		return NULL;
	struct node *node = node_new(build->arena, NODE_INT, place);
	node->integer = port;
	node->text = arena_printf(build->arena, "%d", port);
	node->len = strlen(node->text);
	return node;
}

static void read_host(struct inventory_build *build, size_t group, const struct node_entry *entry)
{
	struct host_visit visit = {.build = build, .place = entry->key_node, .group = group};
	struct host_pattern pattern;
	struct error err = {0};

	if (!check_key(build, "host", entry))
		return;
	if (entry->value->kind == NODE_MAP) {
		visit.vars = entry->value;
	} else if (node_is_true(entry->value)) {
		problems_add(build->problems, entry->value->file, entry->value->line, fix_shape,
			"variables of host '%s' are %s, not a map", entry->key,
			node_phrase(entry->value));
		return;
	}
	if (!host_pattern_parse(entry->key_node->text, &pattern, &err)) {
		report(build, entry->key_node, "a port is a number up to 65535", &err);
		return;
	}
	visit.port = port_node(build, pattern.port, entry->key_node);
	if (!host_pattern_expand(&pattern, &build->expanded, visit_host, &visit, &err))
		report(build, entry->key_node, "write ranges as [1:3], [01:50], [a:f] or [1:9:2]",
			&err);
}

/* ---- groups -----------------------------------------------------------------------------------
 */

static bool read_group(
	struct inventory_build *build, const struct node_entry *entry, size_t *group_out);

static void read_child(struct inventory_build *build, size_t group, const struct node_entry *entry)
{
	size_t child;

	if (read_group(build, entry, &child)) {
		link_group(build, group, child, entry->key_node);
		return;
	}
	if (entry->value->kind == NODE_MAP || entry->value->kind == NODE_NULL)
		return; /* its name was refused and reported */
	/* not a group's definition: the name may still be known */
	if (!is_text(entry->key_node) ||
		!build_add_child(build, group, entry->key, entry->key_node))
		problems_add(build->problems, entry->key_node->file, entry->key_node->line,
			fix_shape, "child '%s' of group '%s' is neither a group nor a host",
			entry->key, build->groups[group].name);
}

enum section { SECTION_VARS, SECTION_CHILDREN, SECTION_HOSTS, SECTIONS };
static const char *const section_names[] = {"vars", "children", "hosts"};

/* A section that is one word stands for a map with that key. */
static const struct node *section_map(struct inventory_build *build, const struct node *value)
{
	if (!is_text(value))
		return value;
	struct node_entry entry = {.key = value->text,
		.key_len = value->len,
		.key_node = value,
		.value = node_new(build->arena, NODE_NULL, value)};
	return node_new_map(build->arena, &entry, 1, value);
}

static void read_section(
	struct inventory_build *build, size_t group, enum section section, const struct node *value)
{
	const struct node *map = section_map(build, value);

	if (map->kind == NODE_NULL)
		return;
	if (map->kind != NODE_MAP) {
		problems_add(build->problems, value->file, value->line, fix_shape,
			"'%s' of group '%s' is %s, not a map", section_names[section],
			build->groups[group].name, node_phrase(map));
		return;
	}
	if (section == SECTION_VARS)
		set_group_vars(build, &build->groups[group], map);
	for (size_t i = 0; i < map->count && section != SECTION_VARS; i++) {
		if (section == SECTION_CHILDREN)
			read_child(build, group, &map->map[i]);
		else
			read_host(build, group, &map->map[i]);
	}
}

static void read_group_entry(
	struct inventory_build *build, size_t group, const struct node_entry *entry)
{
	for (enum section section = 0; section < SECTIONS; section++) {
		if (is_text(entry->key_node) && !strcmp(entry->key, section_names[section])) {
			read_section(build, group, section, entry->value);
			return;
		}
	}
	if (entry->value->kind != NODE_NULL)
		problems_warn(build->problems, entry->key_node->file, entry->key_node->line,
			"a group has 'hosts', 'children' and 'vars'",
			"key '%s' in group '%s' is ignored", entry->key, build->groups[group].name);
}

/* @return false if it defines no group; said as a problem or a warning */
static bool read_group(
	struct inventory_build *build, const struct node_entry *entry, size_t *group_out)
{
	const struct node *data = entry->value;

	if (data->kind != NODE_MAP && data->kind != NODE_NULL) {
		problems_warn(build->problems, entry->key_node->file, entry->key_node->line,
			fix_shape, "group '%s' is ignored: it is %s, not a map", entry->key,
			node_phrase(data));
		return false;
	}
	if (!check_key(build, "group", entry))
		return false;
	*group_out = build_add_group(build, entry->key_node->text, entry->key_node);
	for (size_t i = 0; data->kind == NODE_MAP && i < data->count; i++)
		read_group_entry(build, *group_out, &data->map[i]);
	return true;
}

void build_read_groups(struct inventory_build *build, const struct node *root)
{
	size_t group;

	for (size_t i = 0; i < root->count; i++)
		(void)read_group(build, &root->map[i], &group); /* what is wrong was reported */
}
