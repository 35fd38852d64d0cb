#include "reconcile/fleet.h"
#include "reconcile/fleet_parts.h"
#include "reconcile/isolation.h"

#define DEFAULT_INVENTORY "ansible/inventory/clients.yml"

void fleet_free(struct fleet *fleet)
{
	if (!fleet)
		return;
	if (!__atomic_sub_fetch(fleet->refs, 1, __ATOMIC_ACQ_REL))
		arena_free(fleet->arena);
	free(fleet);
}

struct fleet *fleet_share(const struct fleet *fleet)
{
	struct fleet *copy = mem_zero(1, sizeof(*copy));
	*copy = *fleet;
	(void)__atomic_add_fetch(copy->refs, 1, __ATOMIC_RELAXED); /* only the last one counts */
	return copy;
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
	isolation_check_files(fleet, tree, problems);
}

static struct oid id_of(struct tree *tree, const char *path)
{
	struct tree_entry entry;
	struct error err;
	/* what cannot be read is no source to share; reading it tells the error */
	return *path && tree_stat(tree, path, &entry, &err) ? entry.id : (struct oid){{0}};
}

/* Folders, so that a file that is new in them counts as well. */
static void find_sources(struct tree *tree, const char *inventory, struct oid sources[3])
{
	const char *slash = strrchr(inventory, '/');
	auto_free char *folder =
		mem_printf("%.*s", slash ? (int)(slash - inventory) : 0, inventory);
	sources[0] = id_of(tree, POLICY_FILE);
	sources[1] = id_of(tree, "ansible");
	sources[2] = id_of(tree, folder);
}

/* A fleet of the same sources, or NULL. Only of commits: a folder may change while it is read. */
static struct fleet *find_like(
	struct tree *tree, const struct oid *commit, const struct fleet_known *known)
{
	for (size_t i = 0; i < ARRAY_LEN(known->like); i++) {
		const struct fleet *like = known->like[i];
		struct oid sources[3];
		if (!like || !commit || !*commit->hex || !*like->sources[0].hex ||
			!*like->sources[2].hex)
			continue;
		find_sources(tree, like->policy->inventory, sources);
		if (oid_equal(&sources[0], &like->sources[0]) &&
			oid_equal(&sources[1], &like->sources[1]) &&
			oid_equal(&sources[2], &like->sources[2]))
			return fleet_share(like);
	}
	return NULL;
}

static struct fleet *load_new(
	struct tree *tree, const struct oid *commit, struct problems *problems)
{
	auto_fleet struct fleet *fleet = mem_zero(1, sizeof(*fleet));
	fleet->arena = arena_new(ARENA_PLAIN, 0);
	fleet->refs = arena_alloc(fleet->arena, sizeof(*fleet->refs));
	*fleet->refs = 1;
	if (!policy_load(tree, fleet->arena, &fleet->policy, problems) && !fleet->policy) {
		look_at_inventory(fleet, tree, problems);
		return NULL;
	}
	load_clients(fleet, tree, problems);
	if (commit && *commit->hex)
		find_sources(tree, fleet->policy->inventory, fleet->sources);
	return STEAL(fleet);
}

bool fleet_load_known(struct tree *tree, const struct oid *commit, const struct fleet_known *known,
	struct fleet **fleet_out, struct problems *problems)
{
	size_t errors = problems->errors;
	struct error err;
	auto_fleet struct fleet *fleet = find_like(tree, commit, known);

	if (fleet)
		fleet_check_policy(fleet, tree, problems);
	else
		fleet = load_new(tree, commit, problems);
	if (!fleet)
		return false;
	fleet->commit = commit ? *commit : (struct oid){{0}};
	if (!tree_id(tree, &fleet->tree, &err))
		problems_add_error(problems, &err);
	if (fleet->policy->encrypted_secrets && !known->skip_encrypted)
		fleet_check_encrypted(fleet, tree, known->checked, problems);
	if (fleet->inventory)
		*fleet_out = STEAL(fleet);
	return problems->errors == errors;
}

bool fleet_load(struct tree *tree, const struct oid *commit, struct fleet **fleet_out,
	struct problems *problems)
{
	const struct fleet_known nothing = {.skip_encrypted = false};
	return fleet_load_known(tree, commit, &nothing, fleet_out, problems);
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
