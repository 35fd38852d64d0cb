/* reconcile/inventory_build.h - an inventory while it is being read; only for
 * reconcile/inventory*.c
 *
 *   inventory_read    YAML -> groups, hosts, and which maps of variables were set on each
 *   inventory_ranges  web[01:50]:22 -> names and port
 *   inventory_groups  implied memberships, depth, order
 *   inventory_vars    group_vars/ and host_vars/ files
 *   inventory         precedence: one map of variables per host
 *
 * Everything but the arrays named here lives in the arena of the result.
 */
#pragma once
#include "reconcile/inventory.h"

/* Name -> position, open addressing. */
struct name_slot {
	const char *name;
	uint32_t hash;
	uint32_t position;
};
struct name_table {
	struct name_slot *slots;
	size_t count, capacity; /* capacity: 0 or a power of two */
};

/** Find a name. @param position_out  may be NULL */
bool name_table_find(const struct name_table *table, const char *name, size_t *position_out);
/** Add a name that is not there yet; it is borrowed. */
void name_table_add(
	struct name_table *table, struct arena *arena, const char *name, size_t position);

struct map_list {
	const struct node **items;
	size_t count, capacity;
};
/** Append a map to a list in the arena. */
void map_list_add(struct map_list *list, struct arena *arena, const struct node *map);

struct link {
	uint32_t position;        /* of a group or host */
	const struct node *place; /* where the file says so; NULL if implied */
};
struct links {
	struct link *items;
	size_t count, capacity;
};
/** Append a link to a list in the arena. */
void links_add(struct links *links, struct arena *arena, struct link link);
/** Is there a link to this position? */
bool links_have(const struct links *links, size_t position);

struct group_build {
	const char *name;
	const struct node *place;
	struct map_list vars; /* in the order in which they were set, without its priority */
	struct links children, parents, hosts;
	int64_t priority; /* ansible_group_priority */
	unsigned depth;   /* longest way from `all` */
	uint32_t rank;    /* place in the order of precedence */
	bool files_read;
	struct map_list beside;   /* group_vars/ beside the inventory */
	struct map_list playbook; /* group_vars/ in ansible/ */
};

struct host_build {
	const char *name;
	const struct node *place;
	const struct node *port; /* ansible_port from host:port, or NULL */
	struct map_list vars;
	struct links groups; /* direct */
	bool left_ungrouped; /* was taken out of `ungrouped`, which no longer counts for it */
};

#define GROUP_ALL       0
#define GROUP_UNGROUPED 1
#define GROUP_PRIORITY  "ansible_group_priority"

struct inventory_build {
	struct arena *arena;
	struct problems *problems;
	struct tree *tree;
	struct strlist *sources; /* may be NULL */
	const char *path;
	struct group_build *groups; /* `all`, `ungrouped`, then in file order */
	size_t group_count, group_capacity;
	struct host_build *hosts;
	size_t host_count, host_capacity;
	struct name_table group_names, host_names;
	size_t expanded; /* steps of ranges so far, at most INVENTORY_MAX_HOSTS */
};

/** Read one file of the tree as Ansible reads it: JSON if it is JSON, else YAML 1.1.
 *  @return false after a problem was added */
MUST_USE bool build_read_file(
	struct inventory_build *build, const char *path, const struct node **node_out);
/** "a list", "text", ... for messages. */
const char *node_phrase(const struct node *node);
/** Python's truth of a value: what Ansible takes for "nothing there". */
bool node_is_true(const struct node *node);

/** Take in the groups and hosts of the inventory file. */
void build_read_groups(struct inventory_build *build, const struct node *root);
/** Position of the group, which is added if it is new. */
size_t build_add_group(struct inventory_build *build, const char *name, const struct node *place);
/** Make the group or host @p name a member of a group.
 *  @return false if there is neither; other mistakes become problems */
bool build_add_child(
	struct inventory_build *build, size_t group, const char *name, const struct node *place);
/** Membership of a host in a group, once. */
void build_link_host(struct inventory_build *build, size_t group, size_t host);

/** Memberships that nobody writes (`all`, `ungrouped`), depths and the order of precedence. */
void build_order_groups(struct inventory_build *build);

struct vars_files;
/** The four folders of variables. @return owned, freed by vars_files_free() */
struct vars_files *vars_files_new(struct inventory_build *build);
void vars_files_free(struct vars_files *files);
DEFINE_CLEANUP(struct vars_files, vars_files_free)
#define auto_vars_files CLEANUP(vars_files_free_at)

enum vars_place { BESIDE_GROUPS, BESIDE_HOSTS, PLAYBOOK_GROUPS, PLAYBOOK_HOSTS, VARS_PLACES };
/** Append the maps of the files that belong to a group or host, in the order they are read. */
void vars_files_read(
	struct vars_files *files, enum vars_place place, const char *name, struct map_list *out);

struct host_pattern {
	const char *names; /* host name, ranges not yet expanded */
	size_t len;
	int port; /* 0: none */
};
/** Part a host key into names and port, as Ansible's parse_address().
 *  @return false: port above 65535 */
MUST_USE bool host_pattern_parse(
	const char *text, struct host_pattern *pattern_out, struct error *err);

typedef void host_pattern_visit(void *context, const char *name);
/** Call @p visit with each name of a pattern.
 *  @param steps  counts steps over all calls; ERR_INVALID past INVENTORY_MAX_HOSTS */
MUST_USE bool host_pattern_expand(const struct host_pattern *pattern, size_t *steps,
	host_pattern_visit *visit, void *context, struct error *err);
