#include "reconcile/drivers/compose.h"
#include "reconcile/renderer_parts.h"
#include "reconcile/target_checks.h"

static void forget(struct rendered_commit *loaded)
{
	release_builder_free(loaded->builder);
	fleet_free(loaded->fleet);
	tree_free(loaded->tree);
	*loaded = (struct rendered_commit){0};
}

struct renderer *renderer_new(struct repo *repo, const struct keyring *keyring, struct hosts *hosts)
{
	struct renderer *renderer = mem_zero(1, sizeof(*renderer));
	pthread_mutex_init(&renderer->lock, NULL);
	pthread_mutex_init(&renderer->keys_lock, NULL);
	renderer->repo = repo;
	renderer->keyring = keyring;
	renderer->hosts = hosts;
	return renderer;
}

void renderer_free(struct renderer *renderer)
{
	if (!renderer)
		return;
	for (size_t i = 0; i < RENDERER_COMMITS; i++)
		forget(&renderer->commits[i]);
	digest_keys_wipe(&renderer->keys);
	repo_free(renderer->repo);
	pthread_mutex_destroy(&renderer->lock);
	pthread_mutex_destroy(&renderer->keys_lock);
	free(renderer->keys_text);
	free(renderer);
}

void renderer_forget(struct renderer *renderer)
{
	pthread_mutex_lock(&renderer->lock);
	for (size_t i = 0; i < RENDERER_COMMITS; i++)
		forget(&renderer->commits[i]);
	pthread_mutex_unlock(&renderer->lock);
}

void renderer_set_keys(struct renderer *renderer, const char *text, size_t len)
{
	pthread_mutex_lock(&renderer->keys_lock);
	free(renderer->keys_text);
	renderer->keys_text = mem_dup(text, len);
	renderer->keys_len = len;
	pthread_mutex_unlock(&renderer->keys_lock);
}

/* Decrypt what renderer_set_keys() brought. Tried again by the next release if it fails. */
static bool take_keys(struct renderer *renderer, struct error *err)
{
	auto_digest_keys struct digest_keys keys = {0};
	pthread_mutex_lock(&renderer->keys_lock);
	auto_free char *text = STEAL(renderer->keys_text);
	size_t len = renderer->keys_len;
	pthread_mutex_unlock(&renderer->keys_lock);
	if (!text)
		return true;
	if (digest_keys_read(text, len, renderer->keyring, &keys, err)) {
		renderer->keys = keys;
		return true;
	}
	pthread_mutex_lock(&renderer->keys_lock);
	if (!renderer->keys_text)
		renderer->keys_text = STEAL(text);
	pthread_mutex_unlock(&renderer->keys_lock);
	return error_wrap(err, "digest-key.sops.yaml");
}

static bool load_commit(struct renderer *renderer, const char *commit,
	struct rendered_commit *loaded, struct error *err)
{
	auto_problems struct problems problems = {0};
	struct oid id = {0};
	const struct keyring *keyring = keyring_count(renderer->keyring) ? renderer->keyring : NULL;
	(void)snprintf(id.hex, sizeof(id.hex), "%s", commit);
	if (!tree_open_commit(renderer->repo, &id, &loaded->tree, err))
		return false;
	if (!fleet_load(loaded->tree, &id, &loaded->fleet, &problems))
		return problems_to_error(&problems, err);
	if (!release_builder_new(loaded->fleet, loaded->tree, keyring, &loaded->builder, err))
		return false;
	(void)snprintf(loaded->commit, sizeof(loaded->commit), "%s", commit);
	return true;
}

/* In the place of the one that was not used for longest. */
bool renderer_find_commit(struct renderer *renderer, const char *commit,
	struct rendered_commit **loaded_out, struct error *err)
{
	struct rendered_commit *place = &renderer->commits[0];
	for (size_t i = 0; i < RENDERER_COMMITS; i++) {
		struct rendered_commit *candidate = &renderer->commits[i];
		if (!strcmp(candidate->commit, commit)) {
			place = candidate;
			break;
		}
		if (candidate->used < place->used)
			place = candidate;
	}
	if (strcmp(place->commit, commit) != 0) {
		forget(place);
		if (!load_commit(renderer, commit, place, err)) {
			forget(place);
			return error_wrap(err, "commit %.7s", commit);
		}
	}
	place->used = ++renderer->clock;
	*loaded_out = place;
	return true;
}

static bool build_release(struct renderer *renderer, struct rendered_commit *loaded,
	const struct client *client, const char *key_id, struct target *target, struct error *err)
{
	auto_problems struct problems problems = {0};
	const struct digest_key *key = NULL;
	if (key_id[0]) {
		if (!take_keys(renderer, err))
			return false;
		key = digest_keys_find(&renderer->keys, key_id);
		if (!key)
			return error_set(
				err, ERR_NOT_FOUND, "digest key '%s' is not known", key_id);
	}
	if (!release_build(loaded->builder, client, key, true, &target->release, &problems))
		return problems_to_error(&problems, err);
	return true;
}

struct driver_host renderer_host(const struct client *client, struct hosts *hosts)
{
	return (struct driver_host){
		.client = client->name,
		.root = client->folder,
		.hosts = hosts,
		.address = client->address,
		.port = client->port,
		.user = client->user,
		.fingerprint = client->fingerprint,
		.openssh = client->openssh,
		.jump = client->jump,
		.sudo = client->sudo,
	};
}

const char **renderer_copy_argv(struct arena *arena, const struct key_texts *texts)
{
	const char **argv = arena_array(arena, texts->count + 1, sizeof(*argv));
	for (size_t i = 0; i < texts->count; i++)
		argv[i] = arena_str(arena, texts->items[i]);
	return argv;
}

static void fill_steps(struct target *target, const struct policy *policy)
{
	target->steps = arena_array(target->arena, policy->step_count, sizeof(*target->steps));
	target->step_count = policy->step_count;
	for (size_t i = 0; i < policy->step_count; i++)
		target->steps[i] = (struct driver_step){
			.name = arena_str(target->arena, policy->steps[i].name),
			.argv = renderer_copy_argv(target->arena, &policy->steps[i].argv),
			.timeout_ms = policy->steps[i].timeout_ms,
			.here = policy->steps[i].kind != RUN_REMOTE,
			.backup = ""};
}

struct driver_step *target_step(const struct target *target, const char *name)
{
	for (size_t i = 0; i < target->step_count; i++)
		if (!strcmp(target->steps[i].name, name))
			return &target->steps[i];
	return NULL;
}

struct driver_file *target_files(const struct target *target)
{
	const struct release *release = target->release;
	if (!release)
		return NULL;
	struct driver_file *files = arena_array(target->arena, release->file_count, sizeof(*files));
	for (size_t i = 0; i < release->file_count; i++)
		files[i] = (struct driver_file){.path = release->files[i].path,
			.mode = release->files[i].mode,
			.bytes = release->files[i].bytes,
			.len = release->files[i].len};
	return files;
}

/* With texts of its own: the commit may be forgotten before the target is done with. */
static void fill_host(struct target *target, const struct policy_driver *policy,
	const struct client *client, struct hosts *hosts)
{
	struct arena *arena = target->arena;
	struct driver_host host = renderer_host(client, hosts);
	const char **argv = renderer_copy_argv(arena, &policy->activate);
	host.client = arena_str(arena, host.client);
	host.root = arena_str(arena, host.root);
	host.address = arena_str(arena, host.address);
	host.user = arena_str(arena, host.user);
	host.fingerprint = arena_str(arena, host.fingerprint);
	host.jump = arena_str(arena, host.jump);
	host.activate = policy->activate.count ? argv : NULL;
	host.pulls = policy->compose;
	if (policy->compose)
		host.activate = compose_argv(arena, host.root, policy->activate_timeout_ms);
	host.activate_timeout_ms = policy->activate_timeout_ms;
	host.keep = policy->keep;
	target->host = host;
	target->root = arena_str(arena, client->root);
}

static bool fill_target(struct rendered_commit *loaded, const char *client_name,
	struct hosts *hosts, struct target *target, struct error *err)
{
	const struct fleet *fleet = loaded->fleet;
	const struct client *client = fleet_client(fleet, client_name);
	if (!client)
		return error_set(err, ERR_NOT_FOUND, "commit %.7s does not describe client '%s'",
			loaded->commit, client_name);
	target->driver = driver_find(fleet->policy->driver.kind);
	if (!target->driver)
		return error_set(
			err, ERR_INVALID, "driver '%s' does not exist", fleet->policy->driver.kind);
	fill_host(target, &fleet->policy->driver, client, hosts);
	fill_steps(target, fleet->policy);
	return target_checks(
		fleet, client, target->arena, &target->checks, &target->check_count, err);
}

bool renderer_target(struct renderer *renderer, const char *commit, const char *client_name,
	const char *want_release, struct target **target_out, struct error *err)
{
	auto_target struct target *target = mem_zero(1, sizeof(*target));
	struct rendered_commit *loaded = NULL;
	target->arena = arena_new(ARENA_PLAIN, 0);
	pthread_mutex_lock(&renderer->lock);
	bool ok = renderer_find_commit(renderer, commit, &loaded, err) &&
		  fill_target(loaded, client_name, renderer->hosts, target, err) &&
		  (!want_release ||
			  build_release(renderer, loaded, fleet_client(loaded->fleet, client_name),
				  want_release, target, err));
	pthread_mutex_unlock(&renderer->lock);
	if (!ok)
		return false;
	*target_out = STEAL(target);
	return true;
}

void target_free(struct target *target)
{
	if (!target)
		return;
	release_free(target->release);
	arena_free(target->arena);
	free(target);
}
