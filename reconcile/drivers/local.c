/*
 * driver `local`: the host is a folder of this machine.
 *
 *   lock -> epoch -> stage release -> state: activating -> switch current -> activate -> state:
 * active
 *
 * Death at any arrow leaves a whole release current. Before `state: activating` nothing was
 * touched; after it ask() tells the release that was begun and the one that is current.
 */
#include "base/clock.h"
#include "base/fs.h"
#include "reconcile/drivers/local_command.h"
#include "reconcile/drivers/local_lock.h"
#include "reconcile/drivers/local_release.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_NAME          "state"
#define STATE_MAX           4096
#define FENCE_NAME          "epoch"
#define FENCE_MAX           32
#define LINK_NAME           "current"
#define LINK_PREFIX         "releases/"
#define STANDARD_TIMEOUT_MS (10 * 60 * 1000)

/* A host whose folders are open. */
struct place {
	const struct driver_host *host;
	char *releases_path;
	int root, own, releases; /* <root>, <root>/.aviary, <root>/releases; -1 if missing */
	struct local_lock lock;
};

static void place_clear(struct place *place)
{
	local_lock_release(&place->lock);
	fs_close_at(&place->root);
	fs_close_at(&place->own);
	fs_close_at(&place->releases);
	free(place->releases_path);
}
#define auto_place CLEANUP(place_clear)

static void place_init(struct place *place, const struct driver_host *host)
{
	*place = (struct place){.host = host, .root = -1, .own = -1, .releases = -1};
	place->lock = (struct local_lock)LOCAL_LOCK_INIT;
	place->releases_path = mem_printf("%s/releases", host->root);
}

/* A root that cannot be opened is a host that cannot be reached, unless it is our own shortage. */
static bool root_failed(const struct driver_host *host, int errnum, struct error *err)
{
	bool ours = errnum == ENOSPC || errnum == EDQUOT || errnum == EMFILE || errnum == ENFILE;
	(void)error_errno(err, errnum, "host of '%s': folder '%s'", host->client, host->root);
	if (!ours)
		err->code = ERR_UNREACHABLE;
	return false;
}

static int open_folder(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool check_root(const struct driver_host *host, struct error *err)
{
	if (host->root[0] == '/' && host->root[1])
		return true;
	return error_set(err, ERR_INVALID, "root '%s' of '%s' is not an absolute path", host->root,
		host->client);
}

/* Opens what is there; a missing root or part of it leaves -1. */
static bool place_open(struct place *place, struct error *err)
{
	const struct driver_host *host = place->host;
	if (!check_root(host, err))
		return false;
	place->root = open_folder(AT_FDCWD, host->root);
	if (place->root < 0)
		return errno == ENOENT ? true : root_failed(host, errno, err);
	place->own = open_folder(place->root, ".aviary");
	if (place->own < 0 && errno != ENOENT)
		return root_failed(host, errno, err);
	place->releases = open_folder(place->root, "releases");
	if (place->releases < 0 && errno != ENOENT)
		return root_failed(host, errno, err);
	return true;
}

static bool make_part(int root, const char *name, mode_t mode)
{
	fs_fault_point();
	if (mkdirat(root, name, mode) == 0)
		return fchmodat(root, name, mode, 0) == 0 && fsync(root) == 0;
	return errno == EEXIST;
}

/* As place_open(), with all parts. */
static bool place_make(struct place *place, struct error *err)
{
	const struct driver_host *host = place->host;
	if (!check_root(host, err))
		return false;
	if (access(host->root, F_OK) < 0 && !fs_make_folders(host->root, 0755, err)) {
		int errnum = errno;
		return root_failed(host, errnum, err);
	}
	auto_fd int root = open_folder(AT_FDCWD, host->root);
	if (root < 0 || !make_part(root, ".aviary", 0700) || !make_part(root, "releases", 0755))
		return root_failed(host, errno, err);
	return place_open(place, err);
}

/* ---- state ---------------------------------------------------------------------------------- */

/* What a leader left that only asked: a file of its own, since an activation of somebody else may
 * be writing the state. */
static bool read_fence(const struct place *place, int64_t *epoch_out, struct error *err)
{
	auto_buf struct buf text = BUF_INIT(FENCE_MAX);
	auto_free char *path = mem_printf("%s/.aviary/" FENCE_NAME, place->host->root);
	*epoch_out = 0;
	if (!fs_read(path, FENCE_MAX, &text, err))
		return err->code == ERR_NOT_FOUND;
	*epoch_out = strtoll(text.text, NULL, 10);
	return true;
}

/* The epoch is the highest that was seen here. */
static bool read_state(struct place *place, struct driver_state *state, struct error *err)
{
	auto_buf struct buf text = BUF_INIT(STATE_MAX);
	auto_free char *path = mem_printf("%s/.aviary/" STATE_NAME, place->host->root);
	int64_t fence;
	*state = (struct driver_state){0};
	if (!read_fence(place, &fence, err))
		return false;
	state->epoch = fence;
	if (!fs_read(path, STATE_MAX, &text, err))
		return err->code == ERR_NOT_FOUND;
	if (driver_state_parse(text.text, state, err)) {
		state->epoch = state->epoch > fence ? state->epoch : fence;
		return true;
	}
	(void)error_wrap(err, "state of the host"); /* returns false */
	(void)error_at(err, path, 0);               /* returns false */
	return error_hint(err, "remove the file if the host should count as new");
}

static bool put_state(struct place *place, const struct driver_state *state, struct error *err)
{
	auto_buf struct buf text = BUF_INIT(STATE_MAX);
	driver_state_format(state, &text);
	const struct fs_content content = {text.text, text.len, 0600};
	if (!fs_write_at(place->own, STATE_NAME, &content, err))
		return error_wrap(err, "state of the host");
	return true;
}

static bool write_state(struct place *place, const struct driver_release *release, bool activating,
	struct error *err)
{
	struct driver_state state = {.epoch = release->epoch, .activating = activating};
	(void)snprintf(state.release, sizeof(state.release), "%s", release->digest);  /* checked */
	(void)snprintf(state.commit, sizeof(state.commit), "%s", release->commit);    /* 40 hex */
	(void)snprintf(state.rollout, sizeof(state.rollout), "%s", release->rollout); /* an id */
	(void)clock_format(clock_wall_s(), state.updated); /* returns its argument */
	if (release->restore)
		(void)snprintf(state.restore, sizeof(state.restore), "%s",
			release->restore->backup); /* fits */
	return put_state(place, &state, err);
}

/* The folder that current names, "" if none of ours. */
static void read_current(const struct place *place, char *name)
{
	char target[64] = "";
	size_t prefix = strlen(LINK_PREFIX);
	name[0] = '\0';
	if (readlinkat(place->root, LINK_NAME, target, sizeof(target) - 1) < 0 ||
		strncmp(target, LINK_PREFIX, prefix) != 0 ||
		strlen(target) != prefix + DRIVER_SHORT)
		return;
	memcpy(name, target + prefix, DRIVER_SHORT + 1);
}

static bool local_ask(
	const struct driver_host *host, struct driver_state *state_out, struct error *err)
{
	struct driver_state state = {0};
	char name[DRIVER_SHORT + 1] = "";
	auto_place struct place place;
	place_init(&place, host);
	if (!place_open(&place, err))
		return false;
	if (place.root >= 0) {
		if (!read_state(&place, &state, err))
			return false;
		read_current(&place, name);
	}
	if (name[0])
		(void)snprintf(state.current, sizeof(state.current), "sha256:%s", name); /* fits */
	if (driver_same_release(state.release, state.current))
		memcpy(state.current, state.release, sizeof(state.current));
	state.locked = place.own >= 0 && local_lock_is_held(place.own);
	*state_out = state;
	return true;
}

static bool local_has_release(
	const struct driver_host *host, const char *digest, bool *has_out, struct error *err)
{
	char name[DRIVER_SHORT + 1];
	struct stat st;
	auto_place struct place place;
	place_init(&place, host);
	if (!driver_release_folder(digest, name, err) || !place_open(&place, err))
		return false;
	*has_out = place.releases >= 0 &&
		   fstatat(place.releases, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		   S_ISDIR(st.st_mode);
	return true;
}

static bool local_compare(const struct driver_host *host, const struct driver_release *release,
	const char **path_out, struct error *err)
{
	char name[DRIVER_SHORT + 1];
	auto_place struct place place;
	place_init(&place, host);
	if (!driver_release_folder(release->digest, name, err) || !place_open(&place, err))
		return false;
	*path_out =
		place.releases < 0 ? NULL : local_release_compare(place.releases, name, release);
	return true;
}

/* ---- activate ------------------------------------------------------------------------------- */

static int64_t timeout_of(const struct driver_host *host)
{
	return host->activate_timeout_ms ? host->activate_timeout_ms : STANDARD_TIMEOUT_MS;
}

static bool run_in_current(struct place *place, const struct driver_release *release,
	const struct driver_step *step, struct driver_run *run, struct error *err)
{
	auto_strlist struct strlist environment = STRLIST_INIT;
	auto_free char *folder = mem_printf("%s/" LINK_NAME, place->host->root);
	struct stat st;
	driver_environment(place->host, release, &environment);
	if (step)
		driver_step_environment(step, &environment);
	strlist_take(&environment, NULL);
	bool whole = stat(folder, &st) == 0; /* not before the first release */
	const struct local_command command = {
		.name = step ? step->name : "activate",
		.argv = step ? step->argv : place->host->activate,
		.environment = (const char *const *)environment.items,
		.folder = whole ? folder : place->host->root,
		.timeout_ms = step ? step->timeout_ms : timeout_of(place->host),
	};
	return local_command_run(&command, &place->lock, run, err);
}

/* What the data need first, then the release itself. */
static bool run_activate(struct place *place, const struct driver_release *release,
	struct driver_run *run, struct error *err)
{
	if (release->restore && !run_in_current(place, release, release->restore, run, err))
		return false;
	if (!place->host->activate || !place->host->activate[0])
		return true;
	return run_in_current(place, release, NULL, run, err);
}

/* @param state_out  as it is there */
static bool check_epoch(
	struct place *place, int64_t epoch, struct driver_state *state_out, struct error *err)
{
	if (!read_state(place, state_out, err))
		return false;
	if (epoch >= state_out->epoch)
		return true;
	return error_set(err, ERR_REFUSED,
		"the host of '%s' follows a newer leader (epoch %lld, ours is %lld)",
		place->host->client, (long long)state_out->epoch, (long long)epoch);
}

static bool local_fence(
	const struct driver_host *host, int64_t epoch, bool *fenced_out, struct error *err)
{
	struct driver_state state;
	auto_place struct place place;
	place_init(&place, host);
	*fenced_out = true;
	if (!place_open(&place, err) || !check_epoch(&place, epoch, &state, err))
		return false;
	if (place.own < 0)
		return true;
	auto_free char *text = mem_printf("%lld\n", (long long)epoch);
	const struct fs_content content = {text, strlen(text), 0600};
	if (state.epoch < epoch && !fs_write_at(place.own, FENCE_NAME, &content, err))
		return error_wrap(err, "fence of the host");
	/* Whoever holds the lock looked at the epoch before this. */
	*fenced_out = state.epoch == epoch || !local_lock_is_held(place.own);
	return true;
}

static bool check_link(const struct place *place, struct error *err)
{
	struct stat st;
	if (fstatat(place->root, LINK_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISLNK(st.st_mode))
		return true;
	(void)error_set(err, ERR_INVALID, "'%s/" LINK_NAME "' is not a symlink",
		place->host->root); /* returns false */
	return error_hint(err, "move it away; Aviary makes it point to a release");
}

static bool check_cancel(const struct driver_run *run, struct error *err)
{
	struct pollfd fd = {.fd = run->cancel_fd, .events = POLLIN};
	if (poll(&fd, 1, 0) > 0)
		return error_set(err, ERR_STOPPED, "stopped before anything was touched");
	return true;
}

/* Up to the moment before anything points to the release. */
static bool prepare(struct place *place, const struct driver_release *release, const char *name,
	const struct driver_run *run, struct error *err)
{
	if (!place_make(place, err))
		return false;
	if (!local_lock_take(
		    place->own, timeout_of(place->host), run->cancel_fd, &place->lock, err))
		return error_wrap(err, "host of '%s'", place->host->client);
	struct driver_state state;
	return check_epoch(place, release->epoch, &state, err) && check_link(place, err) &&
	       local_release_tidy(place->releases, place->releases_path, err) &&
	       local_release_put(place->releases, place->releases_path, name, release, err) &&
	       check_cancel(run, err);
}

static bool local_activate(const struct driver_host *host, const struct driver_release *release,
	struct driver_run *run, struct error *err)
{
	char name[DRIVER_SHORT + 1];
	auto_place struct place place;
	place_init(&place, host);
	run->touched = DRIVER_TOUCHED_NOTHING;
	if (!driver_check_release(release, err) ||
		!driver_release_folder(release->digest, name, err) ||
		!prepare(&place, release, name, run, err) ||
		!write_state(&place, release, true, err))
		return false;
	auto_free char *target = mem_printf(LINK_PREFIX "%s", name);
	local_release_touch(place.releases, name);
	if (!fs_switch_link(place.root, LINK_NAME, target, err))
		return false;
	run->touched = DRIVER_TOUCHED_FAILED;
	if (!run_activate(&place, release, run, err))
		return false;
	run->touched = DRIVER_TOUCHED_UNKNOWN;
	return write_state(&place, release, false, err);
}

/* ---- steps ---------------------------------------------------------------------------------- */

static bool local_run_step(const struct driver_host *host, const struct driver_release *release,
	const struct driver_step *step, struct driver_run *run, struct error *err)
{
	auto_place struct place place;
	place_init(&place, host);
	run->touched = DRIVER_TOUCHED_NOTHING;
	if (!place_make(&place, err))
		return false;
	if (!local_lock_take(place.own, step->timeout_ms, run->cancel_fd, &place.lock, err))
		return error_wrap(err, "host of '%s'", host->client);
	struct driver_state state;
	if (!check_epoch(&place, release->epoch, &state, err) || !check_cancel(run, err))
		return false;
	run->touched = DRIVER_TOUCHED_FAILED;
	return run_in_current(&place, release, step, run, err);
}

/* ---- prune ---------------------------------------------------------------------------------- */

static bool add_release(const char *digest, struct strlist *names, struct error *err)
{
	char name[DRIVER_SHORT + 1];
	if (!driver_release_folder(digest, name, err))
		return false;
	strlist_add(names, name);
	return true;
}

/* Under the lock, so that what is current stays so. */
static bool prune_locked(struct place *place, struct strlist *names, struct error *err)
{
	struct driver_state state;
	char name[DRIVER_SHORT + 1];
	if (!read_state(place, &state, err))
		return false;
	/* that of the state was begun and is perhaps not current yet */
	if (state.found && !add_release(state.release, names, err))
		return false;
	read_current(place, name);
	strlist_add(names, name);
	return local_release_tidy(place->releases, place->releases_path, err) &&
	       local_release_prune(
		       place->releases, place->releases_path, place->host->keep, names, err);
}

static bool local_prune(
	const struct driver_host *host, const char *const *digests, size_t count, struct error *err)
{
	auto_strlist struct strlist names = STRLIST_INIT;
	auto_place struct place place;
	place_init(&place, host);
	for (size_t i = 0; i < count; i++) {
		if (!add_release(digests[i], &names, err))
			return false;
	}
	if (!place_open(&place, err))
		return false;
	/* Waiting would hold up whoever prunes; the next time comes. */
	if (place.releases < 0 || place.own < 0 || local_lock_is_held(place.own))
		return true;
	if (!local_lock_take(place.own, 0, -1, &place.lock, err))
		return err->code == ERR_TIMEOUT;
	return prune_locked(&place, &names, err);
}

const struct driver driver_local = {
	.name = "local",
	.ask = local_ask,
	.fence = local_fence,
	.has_release = local_has_release,
	.compare = local_compare,
	.activate = local_activate,
	.run_step = local_run_step,
	.prune = local_prune,
};
