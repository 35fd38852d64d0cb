/* reconcile/inventory_json.c - the JSON of ansible-inventory
 *
 * Layout and order as there: four spaces, keys sorted, groups without members left out, hosts
 * without variables left out of `_meta`. What Python's json can say and JSON cannot (Infinity,
 * NaN) is written as Python does, since the readers of this output are Ansible's.
 */
#include "reconcile/inventory.h"

bool node_has_jinja(const struct node *node)
{
	if (node->kind == NODE_STRING)
		return strstr(node->text, "{{") || strstr(node->text, "{%") ||
		       strstr(node->text, "{#");
	for (size_t i = 0; node->kind == NODE_LIST && i < node->count; i++) {
		if (node_has_jinja(node->items[i]))
			return true;
	}
	for (size_t i = 0; node->kind == NODE_MAP && i < node->count; i++) {
		if (node_has_jinja(node->map[i].value))
			return true;
	}
	return false;
}

static struct node_entry entry_of(const char *key, const struct node *value)
{
	return (struct node_entry){.key = key, .key_len = strlen(key), .value = value};
}

static const struct node *name_list(struct arena *arena, const char **names, size_t count)
{
	struct node *list = node_new(arena, NODE_LIST, NULL);

	list->items = arena_array(arena, count, sizeof(*list->items));
	list->count = count;
	for (size_t i = 0; i < count; i++)
		list->items[i] = node_new_string(arena, names[i], strlen(names[i]));
	return list;
}

/* Members of a group; those of `all` are told by their groups. @return NULL if it has none */
static const struct node *group_node(struct arena *arena, const struct group *group)
{
	struct node_entry entries[2];
	size_t count = 0;

	if (group->child_count)
		entries[count++] =
			entry_of("children", name_list(arena, group->children, group->child_count));
	if (group->host_count && strcmp(group->name, "all") != 0)
		entries[count++] =
			entry_of("hosts", name_list(arena, group->hosts, group->host_count));
	return count ? node_new_map(arena, entries, count, NULL) : NULL;
}

static const struct node *meta_node(struct arena *arena, const struct inventory *inventory)
{
	auto_free struct node_entry *entries = mem_zero(inventory->host_count, sizeof(*entries));
	struct node_entry hostvars;
	size_t count = 0;

	for (size_t i = 0; i < inventory->host_count; i++) {
		const struct host *host = &inventory->hosts[i];
		if (host->vars->count)
			entries[count++] = entry_of(host->name, host->vars);
	}
	hostvars = entry_of("hostvars", node_new_map(arena, entries, count, NULL));
	return node_new_map(arena, &hostvars, 1, NULL);
}

void inventory_to_json(const struct inventory *inventory, struct buf *out)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_free struct node_entry *entries =
		mem_zero(inventory->group_count + 1, sizeof(*entries));
	size_t count = 0;

	entries[count++] = entry_of("_meta", meta_node(arena, inventory));
	for (size_t i = 0; i < inventory->group_count; i++) {
		const struct group *group = &inventory->groups[i];
		const struct node *node = group_node(arena, group);
		if (node && strcmp(group->name, "_meta") != 0)
			entries[count++] = entry_of(group->name, node);
	}
	node_to_json(node_new_map(arena, entries, count, NULL), 4, true, out);
}

void inventory_host_to_json(const struct host *host, struct buf *out)
{
	node_to_json(host->vars, 4, true, out);
}
