#include "reconcile/tofu_state.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/node.h"
#include "git/commit.h"
#include "git/pack.h"
#include "git/tree.h"
#include "reconcile/recipients.h"
#include "reconcile/secrets/age.h"
#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define REF         "refs/heads/" TOFU_STATE_BRANCH
#define TRACKING    "refs/remotes/state/" TOFU_STATE_BRANCH
#define SEEN        "refs/aviary/seen/" TOFU_STATE_BRANCH
#define PATH_TEXT   (TOFU_STATE_NAME + 16)
#define README_PATH "README.md"

static const char readme[] =
	"States of OpenTofu, kept by Aviary. `<name>/state.age` is the newest one, encrypted with\n"
	"age for whoever may read the shared secrets: `age -d -i KEY provision/state.age`. Each\n"
	"commit is a version. `<name>/lock.json` says who works on it now.\n\n"
	"Nobody but Aviary writes here. Never rewrite this branch: without a state OpenTofu does\n"
	"not know what exists.\n";

struct tofu_state {
	struct repo *repo;
	struct remote *remote;
	const char *author_name, *author_mail, *signing_key_file;
	bool (*recipients)(void *data, const struct keyring *keyring, struct strlist *recipients,
		struct error *err);
	void *data;
	int cancel_fd;
	pthread_mutex_t lock; /* of all above but cancel_fd: one call at a time */
	const struct keyring *keyring;
	pthread_mutex_t keys; /* of the keyring: nobody who holds it waits for the remote */
};

/* ---- life ------------------------------------------------------------------------------------ */

static bool open_all(
	struct tofu_state *state, const struct tofu_state_options *options, struct error *err)
{
	struct remote_options remote = options->remote;
	state->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (state->cancel_fd < 0)
		return error_errno(err, errno, "eventfd");
	remote.cancel_fd = state->cancel_fd;
	return remote_new(&remote, &state->remote, err) &&
	       repo_open_mirror(options->folder, &state->repo, err);
}

bool tofu_state_new(
	const struct tofu_state_options *options, struct tofu_state **state_out, struct error *err)
{
	auto_tofu_state struct tofu_state *state = mem_zero(1, sizeof(*state));
	state->author_name = options->author_name;
	state->author_mail = options->author_mail;
	state->signing_key_file = options->signing_key_file;
	state->keyring = options->keyring;
	state->recipients = options->recipients;
	state->data = options->data;
	state->cancel_fd = -1;
	pthread_mutex_init(&state->lock, NULL);
	pthread_mutex_init(&state->keys, NULL);
	if (!open_all(state, options, err))
		return false;
	*state_out = STEAL(state);
	return true;
}

void tofu_state_stop(struct tofu_state *state)
{
	const uint64_t one = 1;
	/* The counter is readable already if it cannot be raised. */
	if (write(state->cancel_fd, &one, sizeof(one)) < 0)
		return;
}

void tofu_state_free(struct tofu_state *state)
{
	if (!state)
		return;
	remote_free(state->remote);
	repo_free(state->repo);
	if (state->cancel_fd >= 0)
		close(state->cancel_fd);
	pthread_mutex_destroy(&state->lock);
	pthread_mutex_destroy(&state->keys);
	free(state);
}

void tofu_state_set_keyring(struct tofu_state *state, const struct keyring *keyring)
{
	pthread_mutex_lock(&state->keys);
	state->keyring = keyring;
	pthread_mutex_unlock(&state->keys);
}

/* ---- names ----------------------------------------------------------------------------------- */

bool tofu_state_name_is_good(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
	return len && len < TOFU_STATE_NAME && !name[len] && name[0] >= 'a';
}

bool tofu_lock_id(const struct buf *info, char id_out[TOFU_LOCK_ID], struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct node *root;
	if (!node_parse_json(arena, "lock", info->text, info->len, &root, err))
		return false;
	const struct node *id = node_get(root, "ID");
	if (!id || id->kind != NODE_STRING || !id->len || id->len >= TOFU_LOCK_ID)
		return error_set(err, ERR_INVALID, "the lock has no 'ID'");
	memcpy(id_out, id->text, id->len + 1);
	return true;
}

/* ---- the branch ------------------------------------------------------------------------------ */

static bool check_history(struct tofu_state *state, const struct oid *tip, struct error *err)
{
	struct repo_seen seen;
	if (!repo_look_back(state->repo, SEEN, tip, &seen, err))
		return false;
	if (!seen.lost)
		return true;
	error_set(err, ERR_SYSTEM, "branch '" TOFU_STATE_BRANCH "' %s", seen.lost);
	return error_hint(
		err, "push %s to it again: state_dir/tofu-state.git has it", seen.tip.hex);
}

/* The branch as the remote has it now; an empty id and no tree if it has none. */
static bool fetch(
	struct tofu_state *state, struct oid *tip_out, struct tree **tree_out, struct error *err)
{
	auto_strlist struct strlist missing = STRLIST_INIT;
	const char *const refs[] = {REF};
	*tip_out = (struct oid){0};
	if (!remote_fetch(state->remote, state->repo, "state", refs, 1, &missing, err) ||
		(!missing.count && !repo_ref(state->repo, TRACKING, tip_out, err)) ||
		!check_history(state, tip_out, err))
		return error_wrap(err, "state of tofu");
	return !tip_out->hex[0] || (tree_open_commit(state->repo, tip_out, tree_out, err) &&
					   repo_ref_move(state->repo, SEEN, tip_out, err));
}

/* A file of the tip; nothing is appended, and false with ERR_NOT_FOUND, if it is not there. */
static bool read_file(
	struct tree *tree, const char *name, const char *file, struct buf *out, struct error *err)
{
	char path[PATH_TEXT];
	if (!tree)
		return error_set(err, ERR_NOT_FOUND, "there is no state yet");
	(void)snprintf(path, sizeof(path), "%s/%s", name, file);
	return tree_read(tree, path, out, NULL, err);
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool read_state(
	struct tofu_state *state, const char *name, struct buf *out, struct error *err)
{
	auto_tree struct tree *tree = NULL;
	auto_buf struct buf sealed = BUF_INIT(TREE_FILE_MAX);
	struct oid tip;
	enum age_failure failure;
	if (!fetch(state, &tip, &tree, err) || !read_file(tree, name, "state.age", &sealed, err))
		return false;
	const struct age_file file = {.bytes = sealed.text, .len = sealed.len};
	pthread_mutex_lock(&state->keys);
	bool opened = age_decrypt(&file, keyring_identities(state->keyring), out, &failure, err);
	pthread_mutex_unlock(&state->keys);
	return opened || error_wrap(err, "branch '" TOFU_STATE_BRANCH "': %s/state.age", name);
}

bool tofu_state_read(struct tofu_state *state, const char *name, struct buf *out, struct error *err)
{
	pthread_mutex_lock(&state->lock);
	bool good = read_state(state, name, out, err);
	pthread_mutex_unlock(&state->lock);
	return good;
}

/* ---- writing --------------------------------------------------------------------------------- */

enum change_kind { CHANGE_WRITE, CHANGE_REMOVE, CHANGE_LOCK, CHANGE_UNLOCK };

struct change {
	enum change_kind kind;
	const struct tofu_state_ask *ask;
	const struct buf *bytes; /* encrypted state, or what is said of the lock */
	char id[TOFU_LOCK_ID];   /* of the lock that is taken, given back, or written under */
	bool any;                /* whoever's it is */
	struct buf *holder;      /* out */
};

enum decision { DECIDED_COMMIT, DECIDED_NOTHING, DECIDED_NO };

static enum decision lock_is_lost(const struct change *change, struct error *err)
{
	/* A state that was computed before somebody else's work would undo it. */
	error_set(err, ERR_REFUSED, "lock %.40s of the state '%s' is not held any more", change->id,
		change->ask->name);
	return DECIDED_NO;
}

static enum decision decide(
	const struct change *change, struct tree *tree, struct buf *lock, struct error *err)
{
	char held[TOFU_LOCK_ID] = "";
	bool locked = read_file(tree, change->ask->name, "lock.json", lock, err);
	if (!locked && err->code != ERR_NOT_FOUND)
		return DECIDED_NO;
	/* What does not read is somebody's lock all the same. */
	bool ours = change->any ||
		    (locked && tofu_lock_id(lock, held, err) && !strcmp(held, change->id));
	if (locked && !ours) {
		buf_add(change->holder, lock->text, lock->len);
		error_set(err, ERR_REFUSED, "the state '%s' is locked by somebody else",
			change->ask->name);
		return DECIDED_NO;
	}
	if (change->kind == CHANGE_LOCK)
		return locked ? DECIDED_NOTHING : DECIDED_COMMIT;
	if (change->kind == CHANGE_UNLOCK)
		return locked ? DECIDED_COMMIT : DECIDED_NOTHING;
	return change->id[0] && !locked ? lock_is_lost(change, err) : DECIDED_COMMIT;
}

static bool commit(
	struct tofu_state *state, const struct change *change, struct oid *tip, struct error *err)
{
	static const char *const verbs[] = {"written", "removed", "locked", "unlocked"};
	bool of_lock = change->kind == CHANGE_LOCK || change->kind == CHANGE_UNLOCK;
	char path[PATH_TEXT];
	auto_buf struct buf message = BUF_INIT(4096);
	auto_free char *subject =
		mem_printf("tofu(%s): %s", change->ask->name, verbs[change->kind]);
	const struct trailer trailers[] = {{"Author", change->ask->by}, {"Lock", change->id}};
	const struct commit_author author = {
		state->author_name, state->author_mail, clock_wall_s(), state->signing_key_file};
	struct commit_change changes[2];
	size_t count = 0;
	(void)snprintf(path, sizeof(path), "%s/%s", change->ask->name,
		of_lock ? "lock.json" : "state.age");
	if (!tip->hex[0])
		changes[count++] = (struct commit_change){README_PATH, readme, sizeof(readme) - 1};
	changes[count++] = (struct commit_change){path, change->bytes ? change->bytes->text : NULL,
		change->bytes ? change->bytes->len : 0};
	commit_message(subject, NULL, trailers, ARRAY_LEN(trailers), &message);
	return commit_create(state->repo, tip, changes, count, message.text, &author, tip, err);
}

/* One try on the branch as it is. @return false with ERR_REJECTED: somebody else moved it */
static bool try_change(struct tofu_state *state, const struct change *change, struct error *err)
{
	auto_tree struct tree *tree = NULL;
	auto_buf struct buf lock = BUF_INIT(TREE_FILE_MAX);
	struct oid before, tip;
	if (!fetch(state, &before, &tree, err))
		return false;
	enum decision decision = decide(change, tree, &lock, err);
	if (decision != DECIDED_COMMIT)
		return decision == DECIDED_NOTHING;
	tip = before;
	if (!commit(state, change, &tip, err))
		return false;
	struct remote_update update = {.name = REF, .id = tip, .expected = before};
	if (!remote_push(state->remote, state->repo, &update, 1, err))
		return err->code == ERR_REFUSED /* of a hook: nobody holds a lock */
			       ? error_set(err, ERR_SYSTEM, "the remote declined: %s", update.text)
			       : false;
	/* Accepted: what goes wrong from here on concerns the cache only. */
	if (!repo_ref_move(state->repo, TRACKING, &tip, err) ||
		!repo_ref_move(state->repo, SEEN, &tip, err) || !pack_mirror(state->repo, err))
		log_warn("cache of tofu's states was not updated", LOG_ERROR_FIELD(err));
	return true;
}

static bool make_change(struct tofu_state *state, const struct change *change, struct error *err)
{
	for (int i = 0; i < REMOTE_TRIES; i++) {
		if (i)
			remote_pause(i);
		if (try_change(state, change, err))
			return true;
		if (err->code != ERR_REJECTED)
			return false;
	}
	return false;
}

/* Nobody is locked out of what Aviary itself must read: its own key is always among them. */
static bool seal(
	struct tofu_state *state, const struct buf *text, struct buf *out, struct error *err)
{
	auto_strlist struct strlist all = STRLIST_INIT;
	if (!state->recipients(state->data, state->keyring, &all, err))
		return false;
	if (!recipients_keep_own(state->keyring, &all))
		return error_set(err, ERR_SYSTEM, "there is no age key that could open the state");
	return age_encrypt_to_all(&all, text, out, err);
}

static struct change change_of(
	enum change_kind kind, const struct tofu_state_ask *ask, struct buf *holder)
{
	struct change change = {.kind = kind, .ask = ask, .holder = holder};
	(void)snprintf(change.id, sizeof(change.id), "%s", ask->id ? ask->id : "");
	return change;
}

bool tofu_state_write(struct tofu_state *state, const struct tofu_state_ask *ask,
	const struct buf *text, struct buf *holder_out, struct error *err)
{
	auto_buf struct buf sealed = BUF_INIT(TREE_FILE_MAX);
	struct change change = change_of(text ? CHANGE_WRITE : CHANGE_REMOVE, ask, holder_out);
	if (text && (text->len < 2 || text->text[0] != '{'))
		return error_set(err, ERR_INVALID, "that is no state of tofu");
	pthread_mutex_lock(&state->keys);
	bool good = !text || seal(state, text, &sealed, err);
	pthread_mutex_unlock(&state->keys);
	change.bytes = text ? &sealed : NULL;
	pthread_mutex_lock(&state->lock);
	good = good && make_change(state, &change, err);
	pthread_mutex_unlock(&state->lock);
	return good;
}

bool tofu_state_lock(struct tofu_state *state, const struct tofu_state_ask *ask,
	const struct buf *info, struct buf *holder_out, struct error *err)
{
	struct change change = change_of(CHANGE_LOCK, ask, holder_out);
	if (info->len > TOFU_LOCK_MAX || !tofu_lock_id(info, change.id, err))
		return error_set(err, ERR_INVALID, "that is no lock of tofu");
	change.bytes = info;
	pthread_mutex_lock(&state->lock);
	bool good = make_change(state, &change, err);
	pthread_mutex_unlock(&state->lock);
	return good;
}

bool tofu_state_unlock(struct tofu_state *state, const struct tofu_state_ask *ask,
	struct buf *holder_out, struct error *err)
{
	struct change change = change_of(CHANGE_UNLOCK, ask, holder_out);
	change.any = !ask->id;
	pthread_mutex_lock(&state->lock);
	bool good = make_change(state, &change, err);
	pthread_mutex_unlock(&state->lock);
	return good;
}
