#include "reconcile/fleet.h"
#include "reconcile/fleet_parts.h"

#define DEFAULT_INVENTORY "ansible/inventory/clients.yml"

void fleet_free(struct fleet *fleet)
{
	if (!fleet)
		return;
	arena_free(fleet->arena);
	free(fleet);
}

static int by_name(const void *a, const void *b)
{
	const struct client *const *left = a, *const *right = b;
	return strcmp((*left)->name, (*right)->name);
}

static int by_stage(const void *a, const void *b)
{
	const struct client *left = a, *right = b;
	int order = (left->stage > right->stage) - (left->stage < right->stage);
	return order ? order : strcmp(left->name, right->name);
}

static void read_clients(struct fleet *fleet, struct problems *problems)
{
	size_t hosts = fleet->inventory->host_count;
	fleet->clients = arena_array(fleet->arena, hosts + 1, sizeof(*fleet->clients));
	fleet->by_name = arena_array(fleet->arena, hosts + 1, sizeof(*fleet->by_name));
	for (size_t i = 0; i < hosts; i++) {
		struct client *client = &fleet->clients[fleet->client_count];
		if (fleet_read_client(fleet, &fleet->inventory->hosts[i], client, problems))
			fleet->client_count++;
	}
	if (fleet->client_count > 1)
		qsort(fleet->clients, fleet->client_count, sizeof(*fleet->clients), by_stage);
	for (size_t i = 0; i < fleet->client_count; i++)
		fleet->by_name[i] = &fleet->clients[i];
	if (fleet->client_count > 1)
		qsort(fleet->by_name, fleet->client_count, sizeof(*fleet->by_name), by_name);
}

/* Without a policy there is nothing to render, but mistakes of the inventory can still be told. */
static void look_at_inventory(struct fleet *fleet, struct tree *tree, struct problems *problems)
{
	struct tree_entry entry;
	struct error err;
	if (!tree_stat(tree, DEFAULT_INVENTORY, &entry, &err))
		return; /* fleet.yaml may name another one: its own mistake is told already */
	if (inventory_load(
		    tree, DEFAULT_INVENTORY, fleet->arena, &fleet->inventory, NULL, problems))
		fleet_check_variables(fleet, problems);
}

static void load_clients(struct fleet *fleet, struct tree *tree, struct problems *problems)
{
	if (!inventory_load(tree, fleet->policy->inventory, fleet->arena, &fleet->inventory, NULL,
		    problems)) {
		fleet->inventory = NULL;
		return;
	}
	fleet_check_variables(fleet, problems);
	read_clients(fleet, problems);
	fleet_check_unique(fleet, problems);
	fleet_check_policy(fleet, tree, problems);
}

bool fleet_load(struct tree *tree, const struct oid *commit, struct fleet **fleet_out,
	struct problems *problems)
{
	auto_fleet struct fleet *fleet = mem_zero(1, sizeof(*fleet));
	size_t errors = problems->errors;
	struct error err;

	fleet->arena = arena_new(ARENA_PLAIN, 0);
	if (commit)
		fleet->commit = *commit;
	if (!tree_id(tree, &fleet->tree, &err))
		problems_add_error(problems, &err);
	if (!policy_load(tree, fleet->arena, &fleet->policy, problems) && !fleet->policy) {
		look_at_inventory(fleet, tree, problems);
		return false;
	}
	load_clients(fleet, tree, problems);
	if (fleet->policy->encrypted_secrets)
		fleet_check_encrypted(fleet, tree, problems);
	if (fleet->inventory)
		*fleet_out = STEAL(fleet);
	return problems->errors == errors;
}

const struct client *fleet_client(const struct fleet *fleet, const char *name)
{
	size_t low = 0, high = fleet->client_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, fleet->by_name[middle]->name);
		if (!order)
			return fleet->by_name[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}
