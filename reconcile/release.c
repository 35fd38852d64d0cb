#include "reconcile/release.h"
#include "reconcile/release_parts.h"

/* Locking memory costs more than decrypting a small file: clients share an arena for a while. */
#define SECRETS_ARENA_MAX ((size_t)256 << 10)

static struct arena *new_arena(const struct release_builder *builder)
{
	return arena_new(builder->keyring ? ARENA_SECRET : ARENA_PLAIN, 0);
}

static struct arena *secrets_arena(struct release_builder *builder)
{
	if (builder->secrets && arena_used(builder->secrets) > SECRETS_ARENA_MAX)
		arena_free(STEAL(builder->secrets));
	if (!builder->secrets)
		builder->secrets = new_arena(builder);
	return builder->secrets;
}

struct release_builder *release_builder_late(
	const struct fleet *fleet, struct tree *tree, const struct keyring *keyring)
{
	struct release_builder *builder = mem_zero(1, sizeof(*builder));
	builder->fleet = fleet;
	builder->tree = tree;
	builder->keyring = keyring;
	builder->pinned_images = fleet->policy->pinned_images;
	builder->arena = arena_new(ARENA_PLAIN, 0);
	return builder;
}

static bool open_shared(struct release_builder *builder, struct error *err)
{
	if (builder->shared_arena)
		return true;
	struct arena *arena = new_arena(builder);
	if (!release_secrets_load(builder, builder->fleet->policy->secrets_shared, arena,
		    &builder->shared, err)) {
		arena_free(arena);
		return false;
	}
	builder->shared_arena = arena;
	return true;
}

bool release_builder_new(const struct fleet *fleet, struct tree *tree,
	const struct keyring *keyring, struct release_builder **builder_out, struct error *err)
{
	auto_release_builder struct release_builder *builder =
		release_builder_late(fleet, tree, keyring);
	if (!open_shared(builder, err))
		return false;
	*builder_out = STEAL(builder);
	return true;
}

void release_builder_require_pinned(struct release_builder *builder)
{
	builder->pinned_images = true;
}

void release_builder_free(struct release_builder *builder)
{
	if (!builder)
		return;
	strmap_clear(&builder->sources);
	strmap_clear(&builder->partials);
	strmap_clear(&builder->defined);
	strmap_clear(&builder->compose);
	for (size_t i = 0; i < builder->fact_count; i++) {
		problems_clear(&builder->facts[i]->problems);
		free(builder->facts[i]);
	}
	free(builder->facts);
	arena_free(builder->shared_arena);
	arena_free(builder->secrets);
	arena_free(builder->arena);
	free(builder);
}

bool release_source_read(struct release_builder *builder, const char *path,
	const struct release_source **source_out, struct error *err)
{
	struct release_source *source = strmap_get(&builder->sources, path);
	if (!source) {
		auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
		struct oid id = {{0}};
		bool found = tree_read(builder->tree, path, &text, &id, err);
		if (!found && err->code != ERR_NOT_FOUND)
			return false;
		source = arena_alloc(builder->arena, sizeof(*source));
		source->path = arena_str(builder->arena, path);
		source->text = arena_dup(builder->arena, text.text, text.len);
		source->len = text.len;
		source->id = id;
		source->missing = !found;
		strmap_set(&builder->sources, source->path, source);
	}
	*source_out = source;
	return true;
}

bool release_is_defined(struct release_builder *builder, const char *name)
{
	static char yes[] = "yes", no[] = "no";
	const char *known = strmap_get(&builder->defined, name);
	if (known)
		return known == yes;
	bool found = false;
	for (size_t i = 0; i < builder->fleet->inventory->host_count && !found; i++)
		found = node_path(builder->fleet->inventory->hosts[i].vars, name) != NULL;
	strmap_set(&builder->defined, arena_str(builder->arena, name), found ? yes : no);
	return found;
}

void release_builder_trace(
	const struct release_builder *builder, const struct release *release, struct buf *out)
{
	for (size_t i = 0; i < release->input_count; i++)
		if (release->inputs[i].kind == INPUT_FILE)
			buf_addf(
				out, "%s\n%s\n", release->inputs[i].name, release->inputs[i].value);
	for (size_t i = 0; i < builder->sources.capacity; i++) {
		const struct release_source *source = builder->sources.slots[i].value;
		if (source && source->missing)
			buf_addf(out, "%s\n-\n", source->path);
	}
	for (size_t i = 0; i < builder->defined.capacity; i++)
		if (builder->defined.slots[i].key)
			buf_addf(out, "?%s\n%s\n", builder->defined.slots[i].key,
				(const char *)builder->defined.slots[i].value);
}

/* What templates see: the client's variables and `secrets`. */
static const struct node *make_context(
	struct arena *arena, const struct client *client, const struct node *secrets)
{
	const struct node *vars = client_context(client, arena);
	struct node_entry *entries = arena_array(arena, vars->count + 1, sizeof(*entries));
	if (vars->count)
		memcpy(entries, vars->map, vars->count * sizeof(*entries));
	if (!secrets)
		secrets = node_new_map(arena, entries, 0, NULL);
	entries[vars->count] = (struct node_entry){.key = "secrets",
		.key_len = 7,
		.key_node = node_new_string(arena, "secrets", 7),
		.value = secrets};
	return node_new_map(arena, entries, vars->count + 1, vars);
}

static bool uses_secrets(const struct release *release)
{
	for (size_t i = 0; i < release->input_count; i++)
		if (release->inputs[i].kind == INPUT_SECRET)
			return true;
	return false;
}

static void set_digests(struct release *release, const struct digest_key *key)
{
	release_sort_inputs(release);
	if (key)
		(void)snprintf(release->key, sizeof(release->key), "%s", key->id); /* same size */
	if (key || !uses_secrets(release))
		release_make_digest(release, release->digest);
	if (!key)
		release_make_digest(release, release->plain);
}

static bool fill(struct release_trace *trace, struct problems *problems)
{
	struct release_builder *builder = trace->builder;
	bool good = release_render(trace, problems);
	good &= release_read_compose(builder, trace->client, trace->release, problems);
	good &= release_checks_digest(
		builder->fleet, trace->client, trace->release->checks, problems);
	if (good)
		set_digests(trace->release, trace->key);
	return good;
}

bool release_secrets(struct release_builder *builder, const struct client *client,
	struct arena *arena, const struct node **secrets_out, struct error *err)
{
	const struct node *own = NULL;
	if (!open_shared(builder, err) || !release_secrets_load(builder, client->secrets_file,
						  secrets_arena(builder), &own, err))
		return false;
	*secrets_out = release_secrets_merge(arena, builder->shared, own);
	return true;
}

bool release_build(struct release_builder *builder, const struct client *client,
	const struct digest_key *key, bool want_content, struct release **release_out,
	struct problems *problems)
{
	struct arena *arena = arena_new(want_content ? ARENA_SECRET : ARENA_PLAIN, 0);
	auto_release struct release *release = arena_alloc(arena, sizeof(*release));
	auto_arena struct arena *scratch = arena_new(ARENA_PLAIN, 0);
	const struct node *own = NULL;
	struct error err;

	release->arena = arena;
	if (!open_shared(builder, &err) || !release_secrets_load(builder, client->secrets_file,
						   secrets_arena(builder), &own, &err)) {
		problems_add_error(problems, &err);
		return false;
	}
	struct release_trace trace = {
		.builder = builder,
		.client = client,
		.key = key,
		.release = release,
		.want_content = want_content,
		.context = make_context(
			scratch, client, release_secrets_merge(scratch, builder->shared, own)),
	};
	if (!fill(&trace, problems))
		return false;
	*release_out = STEAL(release);
	return true;
}

void release_free(struct release *release)
{
	if (release)
		arena_free(release->arena); /* the release itself lives in it */
}

const char *release_app_version(const struct release *release, const char *app)
{
	for (size_t i = 0; i < release->app_count; i++)
		if (!strcmp(release->apps[i].name, app))
			return release->apps[i].version;
	return "";
}
