#include "base/strmap.h"
#include "reconcile/plan_parts.h"

void plan_side_clear(struct plan_side *side)
{
	release_builder_free(side->keyed);
	release_builder_free(side->plain);
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

static bool open_builders(struct plan_work *work, struct plan_side *side, struct problems *problems)
{
	const struct plan_request *request = work->request;
	struct error err;
	if (!release_builder_new(side->fleet, side->tree, NULL, &side->plain, &err)) {
		add_error(side, problems, &err);
		return false;
	}
	if (!request->keyring || !request->keys || !request->keys->count)
		return true;
	if (release_builder_new(side->fleet, side->tree, request->keyring, &side->keyed, &err))
		return true;
	add_error(side, problems, &err);
	return false;
}

bool plan_side_open(struct plan_work *work, struct plan_side *side)
{
	size_t errors = work->problems->errors;
	if (!fleet_load(side->tree, &side->commit, &side->fleet, work->problems) && !side->fleet)
		return false;
	return open_builders(work, side, work->problems) && work->problems->errors == errors;
}

/* A commit that was deployed once and cannot be read now only costs the reasons. */
static void open_old(struct plan_work *work, struct plan_side *side)
{
	auto_problems struct problems problems = {0};
	struct error err;
	if (!fleet_load(side->tree, &side->commit, &side->fleet, &problems)) {
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

static bool build_one(struct plan_work *work, size_t index, struct problems *problems)
{
	const struct client *client = &work->target.fleet->clients[index];
	const struct digest_key *key = digest_keys_find(work->request->keys, NULL);
	struct plan_wanted *wanted = &work->wanted[index];
	auto_release struct release *plain = NULL;
	auto_release struct release *keyed = NULL;

	if (!plan_side_release(&work->target, client, NULL, &plain, problems))
		return false;
	memcpy(wanted->plain, plain->plain, sizeof(wanted->plain));
	memcpy(wanted->digest, plain->digest, sizeof(wanted->digest));
	if (work->target.keyed) {
		if (!plan_side_release(&work->target, client, key, &keyed, problems))
			return false;
		memcpy(wanted->digest, keyed->digest, sizeof(wanted->digest));
		memcpy(wanted->key, keyed->key, sizeof(wanted->key));
	}
	if (work->request->status && !*wanted->digest) {
		problems_add(problems, client->secrets_file, 0,
			"give the service an age key that opens it", "its secrets need a key");
		return false;
	}
	memcpy(wanted->checks, plain->checks, sizeof(wanted->checks));
	keep_apps(work->arena, keyed ? keyed : plain, wanted);
	return true;
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
		good &= build_one(work, i, &problems);
		collect(&mistakes, fleet->clients[i].name, &problems);
	}
	tell(&mistakes, fleet->client_count, work->problems);
	return good;
}
