#include "reconcile/plan_parts.h"

void plan_side_clear(struct plan_side *side)
{
	release_builder_free(side->keyed);
	release_builder_free(side->plain);
	strmap_clear(&side->secret_ids);
	tree_entries_clear(&side->secrets);
	arena_free(side->arena);
	fleet_free(side->fleet);
	if (!side->tree_borrowed)
		tree_free(side->tree);
	*side = (struct plan_side){0};
}

static void add_error(struct plan_side *side, struct problems *problems, const struct error *err)
{
	(void)error_line(err, side->why, sizeof(side->why)); /* returns its argument */
	problems_add_error(problems, err);
}

static struct oid id_of(struct tree *tree, const char *path)
{
	struct tree_entry entry;
	struct error err;
	/* what cannot be read is told by who reads it */
	return tree_stat(tree, path, &entry, &err) ? entry.id : (struct oid){{0}};
}

static void list_secrets(struct plan_side *side)
{
	struct error err;
	side->fleet_id = id_of(side->tree, POLICY_FILE);
	side->shared_id = id_of(side->tree, side->fleet->policy->secrets_shared);
	side->arena = arena_new(ARENA_PLAIN, 0);
	side->secrets_listed = tree_list_deep(side->tree, "secrets", &side->secrets, &err) ||
			       err.code == ERR_NOT_FOUND;
	for (size_t i = 0; side->secrets_listed && i < side->secrets.count; i++)
		strmap_set(&side->secret_ids, side->secrets.items[i].path, &side->secrets.items[i]);
}

const struct oid *plan_side_secret(struct plan_side *side, const char *path)
{
	static const struct oid none = {{0}};
	struct tree_entry *entry = strmap_get(&side->secret_ids, path);
	if (entry || (side->secrets_listed && !strncmp(path, "secrets/", 8)))
		return entry ? &entry->id : &none;
	entry = arena_alloc(side->arena, sizeof(*entry));
	entry->id = id_of(side->tree, path);
	strmap_set(&side->secret_ids, arena_str(side->arena, path), entry);
	return &entry->id;
}

static bool open_builders(struct plan_work *work, struct plan_side *side, struct problems *problems)
{
	const struct plan_request *request = work->request;
	struct error err;
	list_secrets(side);
	if (!release_builder_new(side->fleet, side->tree, NULL, &side->plain, &err)) {
		add_error(side, problems, &err);
		return false;
	}
	if (!request->keyring || !request->keys || !request->keys->count)
		return true;
	if (plan_cache_opened(work->cache, &side->shared_id)) {
		side->keyed = release_builder_late(side->fleet, side->tree, request->keyring);
		return true;
	}
	if (!release_builder_new(side->fleet, side->tree, request->keyring, &side->keyed, &err)) {
		add_error(side, problems, &err);
		return false;
	}
	plan_cache_set_opened(work->cache, &side->shared_id);
	return true;
}

bool plan_side_open(struct plan_work *work, struct plan_side *side)
{
	size_t errors = work->problems->errors;
	struct fleet_known known = {.like = {plan_cache_fleet(work->cache)}};
	if (work->base && work->base->fleet) {
		known.like[1] = work->base->fleet;
		/* it was looked at when it was deployed */
		if (work->base->fleet->policy->encrypted_secrets)
			known.checked = work->base->tree;
	}
	if (!fleet_load_known(side->tree, &side->commit, &known, &side->fleet, work->problems) &&
		!side->fleet)
		return false;
	return open_builders(work, side, work->problems) && work->problems->errors == errors;
}

/* A commit that was deployed once and cannot be read now only costs the reasons. */
static void open_old(struct plan_work *work, struct plan_side *side)
{
	auto_problems struct problems problems = {0};
	struct error err;
	struct fleet_known known = {.like = {plan_cache_fleet(work->cache), work->target.fleet},
		.skip_encrypted = true};
	if (!fleet_load_known(side->tree, &side->commit, &known, &side->fleet, &problems)) {
		(void)problems_to_error(&problems, &err); /* always false: it makes the error */
		(void)error_line(&err, side->why, sizeof(side->why)); /* returns its argument */
		fleet_free(STEAL(side->fleet));
		return;
	}
	/* a file of secrets that no key opens any more: names are compared instead */
	(void)open_builders(work, side, &problems);
}

struct plan_side *plan_side_get(struct plan_work *work, const char *commit, struct error *err)
{
	for (size_t i = 0; i < work->side_count; i++)
		if (!strcmp(work->sides[i]->commit.hex, commit))
			return work->sides[i];
	if (!work->request->repo || !oid_valid(commit)) {
		error_set(err, ERR_NOT_FOUND, "commit '%s' cannot be read here", commit);
		return NULL;
	}
	struct oid id;
	memcpy(id.hex, commit, sizeof(id.hex));
	struct tree *tree = NULL;
	if (!tree_open_commit(work->request->repo, &id, &tree, err))
		return NULL;
	struct plan_side *side = mem_zero(1, sizeof(*side));
	side->commit = id;
	side->tree = tree;
	open_old(work, side);
	mem_grow(work->sides, work->side_count, work->side_capacity);
	work->sides[work->side_count++] = side;
	return side;
}

bool plan_side_release(struct plan_side *side, const struct client *client,
	const struct digest_key *key, struct release **release_out, struct problems *problems)
{
	struct release_builder *builder = key ? side->keyed : side->plain;
	if (!builder) {
		problems_add(problems, "", 0, "", "%s", side->why);
		return false;
	}
	return release_build(builder, client, key, false, release_out, problems);
}

/* ---- mistakes ------------------------------------------------------------------------------- */

/* One mistake of a template concerns many clients: told once, with the names of who has it. */
struct mistake {
	struct problem problem; /* borrowed texts of the arena */
	const char *client;
	size_t clients;
};
struct mistakes {
	struct arena *arena;
	struct strmap map;
	struct mistake **items;
	size_t count, capacity;
};

static void collect(struct mistakes *mistakes, const char *client, const struct problems *problems)
{
	for (size_t i = 0; i < problems->count; i++) {
		const struct problem *item = &problems->items[i];
		const char *key = arena_printf(
			mistakes->arena, "%s:%u:%s", item->file, item->line, item->what);
		struct mistake *mistake = strmap_get(&mistakes->map, key);
		if (!mistake && mistakes->count >= PROBLEMS_LIMIT)
			continue;
		if (!mistake) {
			mistake = arena_alloc(mistakes->arena, sizeof(*mistake));
			mistake->problem = (struct problem){.warning = item->warning,
				.file = arena_str(mistakes->arena, item->file),
				.line = item->line,
				.what = arena_str(mistakes->arena, item->what),
				.fix = arena_str(mistakes->arena, item->fix)};
			mistake->client = client;
			mem_grow(mistakes->items, mistakes->count, mistakes->capacity);
			mistakes->items[mistakes->count++] = mistake;
			strmap_set(&mistakes->map, key, mistake);
		}
		mistake->clients++;
	}
}

static void tell(struct mistakes *mistakes, size_t client_count, struct problems *problems)
{
	for (size_t i = 0; i < mistakes->count; i++) {
		const struct mistake *item = mistakes->items[i];
		char who[96] = "";
		if (item->clients == 1 && client_count > 1)
			(void)snprintf(who, sizeof(who), " (client %s)", item->client);
		else if (item->clients < client_count)
			(void)snprintf(who, sizeof(who), " (client %s and %zu more)", item->client,
				item->clients - 1); /* fits: names are short */
		problems_add(problems, item->problem.file, item->problem.line, item->problem.fix,
			"%s%s", item->problem.what, who);
	}
	free(mistakes->items);
	strmap_clear(&mistakes->map);
}

/* ---- wanted releases ------------------------------------------------------------------------ */

static void keep_apps(
	struct arena *arena, const struct release *release, struct plan_wanted *wanted)
{
	wanted->app_count = release->app_count;
	wanted->apps = arena_array(arena, release->app_count + 1, sizeof(*wanted->apps));
	for (size_t i = 0; i < release->app_count; i++) {
		wanted->apps[i].name = arena_str(arena, release->apps[i].name);
		wanted->apps[i].version = arena_str(arena, release->apps[i].version);
	}
}

/* With keys only the release with keys is built: the one without is needed for the plan's digest
 * alone, where the two trees differ. */
static bool build_one(struct plan_work *work, size_t index, struct problems *problems)
{
	const struct client *client = &work->target.fleet->clients[index];
	const struct digest_key *key =
		work->target.keyed ? digest_keys_find(work->request->keys, NULL) : NULL;
	struct plan_wanted *wanted = &work->wanted[index];
	auto_release struct release *release = NULL;

	if (!plan_side_release(&work->target, client, key, &release, problems))
		return false;
	memcpy(wanted->plain, release->plain, sizeof(wanted->plain));
	memcpy(wanted->digest, release->digest, sizeof(wanted->digest));
	memcpy(wanted->key, release->key, sizeof(wanted->key));
	memcpy(wanted->checks, release->checks, sizeof(wanted->checks));
	wanted->steered = release->steered;
	wanted->inputs = plan_inputs_of(work->cache, &work->target, release, key != NULL);
	keep_apps(work->arena, release, wanted);
	if (!work->request->status || work->request->keyless || *wanted->digest)
		return true;
	problems_add(problems, client->secrets_file, 0, "give the service an age key that opens it",
		"its secrets need a key");
	return false;
}

bool plan_build_wanted(struct plan_work *work)
{
	const struct fleet *fleet = work->target.fleet;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	struct mistakes mistakes = {.arena = arena};
	bool good = true;

	work->wanted = arena_array(work->arena, fleet->client_count + 1, sizeof(*work->wanted));
	for (size_t i = 0; i < fleet->client_count; i++) {
		auto_problems struct problems problems = {0};
		char key[DIGEST_TEXT];
		if (plan_cache_get(work, i, key))
			continue;
		if (build_one(work, i, &problems))
			plan_cache_put(work, i, key);
		else
			good = false;
		collect(&mistakes, fleet->clients[i].name, &problems);
	}
	tell(&mistakes, fleet->client_count, work->problems);
	return good;
}
