/* reconcile/inventory.h - groups, hosts and their variables, as Ansible resolves them
 *
 * Oracle: `ansible-inventory -i <inventory> --playbook-dir ansible --list` of ansible-core 2.14,
 * Debian 12's; the few things that newer ones resolve otherwise stand in its end-to-end test.
 * Stricter than Ansible in what can only be a mistake: an inventory without hosts, names with
 * control characters or path parts, ports above 65535, a group over `ungrouped`.
 */
#pragma once
#include "base/node.h"
#include "base/problems.h"
#include "git/tree.h"

#define INVENTORY_DEFAULT_PATH "ansible/inventory/clients.yml"
#define INVENTORY_MAX_HOSTS    100000 /* what ranges may expand to, in one inventory */

struct host {
	const char *name;        /* inventory name */
	const struct node *vars; /* NODE_MAP, resolved by Ansible's precedence; sorted by key */
	const char **groups; /* all groups it belongs to, direct and by children, sorted, without
				`all` */
	size_t group_count;
	const struct node *place; /* file and line of its first mention */
};

struct group {
	const char *name;
	const char **hosts; /* direct members in file order */
	size_t host_count;
	const char **children; /* in file order */
	size_t child_count;
};

struct inventory {
	struct host *hosts; /* in the order of their first mention */
	size_t host_count;
	struct group *groups; /* `all` first */
	size_t group_count;
	const struct name_table *host_names; /* for inventory_host() */
};

/**
 * Read an inventory and the group_vars/host_vars beside it and in `ansible/`.
 *
 * @param path     inventory file in the tree
 * @param sources  files that were read are appended (may be NULL), for change detection
 * @param arena    owns the result
 * @return false if errors were added to @p problems
 */
MUST_USE bool inventory_load(struct tree *tree, const char *path, struct arena *arena,
	struct inventory **inventory_out, struct strlist *sources, struct problems *problems);

/** Is the host in the group (direct, by children, or `all`)? */
bool inventory_in_group(const struct host *host, const char *group);
/** The host of that inventory name, or NULL. */
const struct host *inventory_host(const struct inventory *inventory, const char *name);
/** Does the value, or any value inside it, hold a Jinja expression that Ansible would evaluate? */
bool node_has_jinja(const struct node *node);
/** The JSON of `ansible-inventory --list`. */
void inventory_to_json(const struct inventory *inventory, struct buf *out);
/** The JSON of `ansible-inventory --host NAME`. */
void inventory_host_to_json(const struct host *host, struct buf *out);
