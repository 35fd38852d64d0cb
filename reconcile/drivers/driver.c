#include "reconcile/drivers/driver.h"
#include "base/fs.h"
#include "base/node.h"

#define DIGEST_PREFIX "sha256:"
#define PREFIX_LEN    (sizeof(DIGEST_PREFIX) - 1)
#define DIGEST_HEX    64

static const struct driver *const drivers[] = {&driver_local, &driver_ssh};
static const char *const names[] = {"local", "ssh", NULL};

const struct driver *driver_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	}
	return NULL;
}

const char *const *driver_names(void)
{
	return names;
}

static bool is_digest(const char *text)
{
	return strncmp(text, DIGEST_PREFIX, PREFIX_LEN) == 0 &&
	       strspn(text + PREFIX_LEN, "0123456789abcdef") == DIGEST_HEX &&
	       text[PREFIX_LEN + DIGEST_HEX] == '\0';
}

bool driver_same_release(const char *a, const char *b)
{
	size_t len = PREFIX_LEN + DRIVER_SHORT;
	return strlen(a) >= len && strncmp(a, b, len) == 0;
}

bool driver_release_folder(const char *digest, char *name, struct error *err)
{
	if (!is_digest(digest))
		return error_set(err, ERR_INVALID, "'%s' is not a release digest", digest);
	memcpy(name, digest + PREFIX_LEN, DRIVER_SHORT);
	name[DRIVER_SHORT] = '\0';
	return true;
}

static bool check_file(const struct driver_file *file, struct error *err)
{
	if (!fs_path_is_inside(file->path))
		return error_set(
			err, ERR_INVALID, "file '%s' does not stay inside the release", file->path);
	/* Without the owner's read bit nobody could verify it; set-id and sticky bits have no
	 * business in a release. */
	if ((file->mode & ~0777U) || !(file->mode & 0400)) {
		(void)error_set(err, ERR_INVALID, "file '%s': mode %04o", file->path, file->mode);
		return error_hint(err, "a mode is from 0400 to 0777 and its owner can read");
	}
	return true;
}

/* Two files of one path, or a file where another needs a folder. */
static bool collides(const char *a, const char *b)
{
	size_t len = strlen(a);
	return strncmp(a, b, len) == 0 && (b[len] == '\0' || b[len] == '/');
}

bool driver_check_release(const struct driver_release *release, struct error *err)
{
	char name[DRIVER_SHORT + 1];
	if (!driver_release_folder(release->digest, name, err))
		return false;
	for (size_t i = 0; release->files && i < release->count; i++) {
		const struct driver_file *file = &release->files[i];
		if (!check_file(file, err))
			return false;
		for (size_t k = 0; k < release->count; k++) {
			if (k != i && collides(file->path, release->files[k].path))
				return error_set(err, ERR_INVALID,
					"files '%s' and '%s' cannot both be in a release",
					file->path, release->files[k].path);
		}
	}
	return true;
}

static void add_own(struct strlist *environment, const char *name, const char *standard)
{
	const char *value = getenv(name);
	strlist_addf(environment, "%s=%s", name, value && *value ? value : standard);
}

void driver_environment(const struct driver_host *host, const struct driver_release *release,
	struct strlist *environment)
{
	add_own(environment, "PATH",
		"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	add_own(environment, "HOME", "/");
	add_own(environment, "LANG", "C.UTF-8");
	strlist_addf(environment, "AVIARY_CLIENT=%s", host->client);
	strlist_addf(environment, "AVIARY_RELEASE=%s", release->digest);
	strlist_addf(environment, "AVIARY_COMMIT=%s", release->commit);
	strlist_addf(environment, "AVIARY_ROLLOUT=%s", release->rollout);
	strlist_addf(environment, "AVIARY_STAGE=%s", release->stage);
	strlist_addf(environment, "AVIARY_ACTION=%s", release->action);
}

void driver_step_environment(const struct driver_step *step, struct strlist *environment)
{
	strlist_addf(environment, "AVIARY_STEP=%s", step->name);
	strlist_addf(environment, "AVIARY_BACKUP=%s", step->backup);
}

/* ---- the state file ------------------------------------------------------------------------- */

void driver_state_format(const struct driver_state *state, struct buf *out)
{
	buf_addf(out, "release: %s\ncommit: %s\nrollout: %s\n", state->release, state->commit,
		state->rollout);
	buf_addf(out, "epoch: %lld\nphase: %s\nupdated: %s\n", (long long)state->epoch,
		state->activating ? "activating" : "active", state->updated);
	if (state->restore[0])
		buf_addf(out, "restore: %s\n", state->restore);
}

static bool copy_value(const struct node *root, const char *key, char *value, size_t size)
{
	const struct node *node = node_get(root, key);
	if (!node || !node->text || node->len >= size || node->kind == NODE_TAGGED)
		return false;
	memcpy(value, node->text, node->len + 1);
	return true;
}

static bool parse_epoch(const char *text, int64_t *epoch_out)
{
	char *end = NULL;
	if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 18)
		return false;
	*epoch_out = strtoll(text, &end, 10);
	return true;
}

bool driver_state_parse(const char *text, struct driver_state *state_out, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct node_options options = {.rules = NODE_CORE12};
	const struct node *root = NULL;
	struct driver_state state = {.found = true};
	char epoch[32], phase[16];
	const struct {
		const char *key;
		char *value;
		size_t size;
	} keys[] = {
		{"release", state.release, sizeof(state.release)},
		{"commit", state.commit, sizeof(state.commit)},
		{"rollout", state.rollout, sizeof(state.rollout)},
		{"epoch", epoch, sizeof(epoch)},
		{"phase", phase, sizeof(phase)},
		{"updated", state.updated, sizeof(state.updated)},
	};
	if (!node_parse_yaml(arena, "state", text, strlen(text), &options, &root, err))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (!copy_value(root, keys[i].key, keys[i].value, keys[i].size))
			return error_set(err, ERR_INVALID, "no '%s' in it", keys[i].key);
	}
	if (node_get(root, "restore") &&
		!copy_value(root, "restore", state.restore, sizeof(state.restore)))
		return error_set(err, ERR_INVALID, "'restore' is not the name of a backup");
	if (!is_digest(state.release))
		return error_set(err, ERR_INVALID, "'release' is not a digest");
	if (!parse_epoch(epoch, &state.epoch))
		return error_set(err, ERR_INVALID, "'epoch' is not a number");
	state.activating = strcmp(phase, "activating") == 0;
	if (!state.activating && strcmp(phase, "active") != 0)
		return error_set(err, ERR_INVALID, "'phase' is neither activating nor active");
	*state_out = state;
	return true;
}
