/* What is kept between plans, and how one sees that two trees give a client the same release.
 *
 * A release is a function of the client's variables, its files of secrets, the digest key,
 * fleet.yaml and what rendering read of the tree (release_builder_trace()). The last is the same
 * list for most clients, so it is kept once per plan and cache (struct plan_inputs) and looked at
 * once per tree.
 */
#include "base/buf.h"
#include "base/strmap.h"
#include "reconcile/plan_parts.h"
#include "reconcile/release_parts.h"

#define APPS_MAX    100000 /* lists of apps with versions; past it too */
#define INPUTS_MAX  1024   /* lists; past it the cache starts anew */
#define CONTEXT_MAX TREE_FILE_MAX

struct plan_inputs {
	char *text;
	unsigned turn[2]; /* plan in which it was compared with target and base */
	bool same[2];
};

struct plan_cached {
	char key[DIGEST_TEXT];
	struct plan_inputs *inputs;
	struct plan_wanted wanted; /* apps of the cache's lists */
};

struct plan_cache {
	struct fleet *fleet;   /* of the last plan, or NULL */
	struct strmap inputs;  /* text -> struct plan_inputs */
	struct strmap clients; /* name -> struct plan_cached */
	struct arena *arena;   /* of the lists of apps */
	struct strmap apps; /* "name version" of each -> struct client_app[], as many clients have
			     * the same */
	struct oid opened;  /* shared file of secrets that opened last */
	unsigned turn;
};

struct plan_cache *plan_cache_new(void)
{
	struct plan_cache *cache = mem_zero(1, sizeof(*cache));
	cache->arena = arena_new(ARENA_PLAIN, 0);
	return cache;
}

static void forget(struct plan_cache *cache)
{
	strmap_clear(&cache->clients);
	for (size_t i = 0; i < cache->inputs.capacity; i++) {
		struct plan_inputs *inputs = cache->inputs.slots[i].value;
		if (!inputs)
			continue;
		free(inputs->text);
		free(inputs);
	}
	strmap_clear(&cache->inputs);
	strmap_clear(&cache->apps);
	arena_free(cache->arena);
	cache->arena = arena_new(ARENA_PLAIN, 0);
}

void plan_cache_free(struct plan_cache *cache)
{
	if (!cache)
		return;
	forget(cache);
	arena_free(cache->arena);
	fleet_free(cache->fleet);
	free(cache);
}

const struct fleet *plan_cache_fleet(const struct plan_cache *cache)
{
	return cache->fleet;
}

void plan_cache_begin(struct plan_cache *cache)
{
	if (cache->inputs.count > INPUTS_MAX || cache->apps.count > APPS_MAX)
		forget(cache);
	cache->turn++;
}

/* Entries of clients that left the fleet go with the cache, or when it is much larger than it. */
void plan_cache_end(struct plan_cache *cache, const struct fleet *fleet)
{
	struct fleet *old = cache->fleet;
	cache->fleet = *fleet->commit.hex ? fleet_share(fleet) : NULL;
	fleet_free(old);
	if (cache->clients.count > 2 * fleet->client_count + 100)
		forget(cache);
}

bool plan_cache_opened(const struct plan_cache *cache, const struct oid *shared_id)
{
	return *shared_id->hex && !strcmp(cache->opened.hex, shared_id->hex);
}

void plan_cache_set_opened(struct plan_cache *cache, const struct oid *shared_id)
{
	cache->opened = *shared_id;
}

/* ---- inputs --------------------------------------------------------------------------------- */

struct plan_inputs *plan_inputs_of(struct plan_cache *cache, const struct plan_side *side,
	const struct release *release, bool keyed)
{
	auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
	release_builder_trace(keyed ? side->keyed : side->plain, release, &text);
	struct plan_inputs *inputs = strmap_get(&cache->inputs, text.text);
	if (inputs)
		return inputs;
	inputs = mem_zero(1, sizeof(*inputs));
	inputs->text = buf_steal(&text);
	strmap_set(&cache->inputs, inputs->text, inputs);
	return inputs;
}

static bool answer_is(const struct plan_side *side, const char *question, const char *answer)
{
	struct tree_entry entry;
	struct error err;
	if (*question == '?')
		return release_is_defined(side->plain, question + 1) == !strcmp(answer, "yes");
	if (tree_stat(side->tree, question, &entry, &err))
		return !strcmp(entry.id.hex, answer);
	return err.code == ERR_NOT_FOUND && !strcmp(answer, "-");
}

static bool all_same(const struct plan_side *side, const struct plan_inputs *inputs)
{
	auto_free char *copy = mem_dup_str(inputs->text);
	for (char *line = copy; *line;) {
		char *answer = strchr(line, '\n');
		char *end = answer ? strchr(answer + 1, '\n') : NULL;
		if (!end)
			return false;
		*answer++ = *end = '\0';
		if (!answer_is(side, line, answer))
			return false;
		line = end + 1;
	}
	return true;
}

bool plan_inputs_same(const struct plan_cache *cache, struct plan_inputs *inputs,
	struct plan_work *work, bool base)
{
	const struct plan_side *side = base ? work->base : &work->target;
	if (inputs->turn[base] == cache->turn)
		return inputs->same[base];
	inputs->turn[base] = cache->turn;
	inputs->same[base] = side->plain && all_same(side, inputs);
	return inputs->same[base];
}

/* ---- wanted releases ------------------------------------------------------------------------ */

static void make_key(struct plan_work *work, size_t index, char key_out[DIGEST_TEXT])
{
	const struct client *client = &work->target.fleet->clients[index];
	const struct digest_key *key = digest_keys_find(work->request->keys, NULL);
	auto_buf struct buf text = BUF_INIT(CONTEXT_MAX);

	buf_addf(&text, "%s\n%s\n%d\n%s\n%s\n", work->target.fleet_id.hex,
		work->target.keyed ? key->id : "-", work->pinned,
		plan_side_secret(&work->target, client->secrets_file)->hex,
		work->target.shared_id.hex);
	if (work->target.keyed)
		buf_add(&text, key->key, sizeof(key->key));
	node_to_json(client->host->vars, 0, false, &text);
	release_digest_text(&text, key_out);
}

bool plan_cache_get(struct plan_work *work, size_t index, char key_out[DIGEST_TEXT])
{
	const char *name = work->target.fleet->clients[index].name;
	make_key(work, index, key_out);
	struct plan_cached *cached = strmap_get(&work->cache->clients, name);
	if (!cached || strcmp(cached->key, key_out) != 0 ||
		!plan_inputs_same(work->cache, cached->inputs, work, false))
		return false;
	work->wanted[index] = cached->wanted; /* apps stay the cache's, which outlives the work */
	return true;
}

static struct client_app *share_apps(struct plan_cache *cache, const struct plan_wanted *wanted)
{
	auto_buf struct buf text = BUF_INIT(CONTEXT_MAX);
	for (size_t i = 0; i < wanted->app_count; i++)
		buf_addf(&text, "%s %s\n", wanted->apps[i].name, wanted->apps[i].version);
	struct client_app *apps = strmap_get(&cache->apps, text.text);
	if (apps)
		return apps;
	apps = arena_array(cache->arena, wanted->app_count + 1, sizeof(*apps));
	for (size_t i = 0; i < wanted->app_count; i++)
		apps[i] = (struct client_app){arena_str(cache->arena, wanted->apps[i].name),
			arena_str(cache->arena, wanted->apps[i].version)};
	strmap_set(&cache->apps, arena_str(cache->arena, text.text), apps);
	return apps;
}

void plan_cache_put(struct plan_work *work, size_t index, const char *key)
{
	const char *name = work->target.fleet->clients[index].name;
	struct plan_wanted *wanted = &work->wanted[index];
	struct plan_cached *cached = strmap_get(&work->cache->clients, name);

	if (!cached) {
		/* Not from the heap: pieces that stay between those that building a release frees
		 * would leave holes, and each allocation after it would search them. */
		cached = arena_alloc(work->cache->arena, sizeof(*cached));
		strmap_set(&work->cache->clients, arena_str(work->cache->arena, name), cached);
	}
	memcpy(cached->key, key, sizeof(cached->key));
	cached->inputs = wanted->inputs;
	cached->wanted = *wanted;
	cached->wanted.apps = share_apps(work->cache, wanted);
}
