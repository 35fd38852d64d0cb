/* reconcile/tofu_state.h - states of OpenTofu and their locks, on a branch of their own
 *
 * Branch `tofu-state` of the repository with the status branch: <name>/state.age is the state,
 * encrypted with age; <name>/lock.json are tofu's own words about who works on it. Each change is a
 * commit, so that no version is lost. Nothing is answered before the remote has accepted it: the
 * mirror in the state folder is a cache, and a new machine fetches it.
 *
 * Never forced: when somebody else moved the branch it is fetched, and decided again. A branch that
 * is missing or shorter than the mirror knows is refused, since a state that is forgotten makes
 * tofu build everything a second time.
 *
 * Threads: any; calls wait for each other and for the remote.
 */
#pragma once
#include "git/remote.h"
#include "reconcile/secrets/keyring.h"

#define TOFU_STATE_BRANCH "tofu-state"
#define TOFU_STATE_NAME   32                 /* of a state, with the NUL */
#define TOFU_STATE_MAX    ((size_t)15 << 20) /* bytes of one; encrypted it is a file of git */
#define TOFU_LOCK_MAX     ((size_t)64 << 10) /* bytes of what tofu says of a lock */

struct tofu_state_options {
	const char *folder;           /* of the mirror; it is made; copied */
	struct remote_options remote; /* read at once, but for the strings' files */
	const char *author_name, *author_mail, *signing_key_file; /* borrowed */
	const struct keyring *keyring;                            /* borrowed; opens states */
	/* Whoever may read states, asked at each write: appended to @p recipients. Any thread. */
	bool (*recipients)(void *data, const struct keyring *keyring, struct strlist *recipients,
		struct error *err);
	void *data;
};

struct tofu_state;
/** Connects to nothing. */
MUST_USE bool tofu_state_new(
	const struct tofu_state_options *options, struct tofu_state **state_out, struct error *err);
/** Calls that wait for the remote end at once, and no new ones begin. */
void tofu_state_stop(struct tofu_state *state);
void tofu_state_free(struct tofu_state *state);
DEFINE_CLEANUP(struct tofu_state, tofu_state_free)
#define auto_tofu_state CLEANUP(tofu_state_free_at)
/** Another keyring from now on; the old one is not used any more after the return. Does not wait
 * for the remote. */
void tofu_state_set_keyring(struct tofu_state *state, const struct keyring *keyring);

/** `[a-z][a-z0-9-]{0,30}`: can a state have that name? */
bool tofu_state_name_is_good(const char *name);

/** Who asks, for which state. */
struct tofu_state_ask {
	const char *name;
	const char *by; /* a person or a step, for the history */
	const char *id; /* of the lock that is held; "" none */
};

/** The newest state. ERR_NOT_FOUND: there is none. @param out  should be BUF_INIT_SECRET */
MUST_USE bool tofu_state_read(
	struct tofu_state *state, const char *name, struct buf *out, struct error *err);
/**
 * A new version of the state.
 *
 * @param text        NULL: the state is removed; its versions stay in the history
 * @param holder_out  what the holder of the lock said of it, if that is not who asks; else empty
 * @return false: ERR_REFUSED if the lock is somebody else's, or not held any more
 */
MUST_USE bool tofu_state_write(struct tofu_state *state, const struct tofu_state_ask *ask,
	const struct buf *text, struct buf *holder_out, struct error *err);
/** Take the lock. @param info  tofu's JSON with `ID`; ask->id does not count. Again is fine. */
MUST_USE bool tofu_state_lock(struct tofu_state *state, const struct tofu_state_ask *ask,
	const struct buf *info, struct buf *holder_out, struct error *err);
/** Give the lock of ask->id back, or with NULL whoever's it is; one that nobody holds is fine. */
MUST_USE bool tofu_state_unlock(struct tofu_state *state, const struct tofu_state_ask *ask,
	struct buf *holder_out, struct error *err);
#define TOFU_LOCK_ID 200
/** The `ID` in what tofu says of a lock. ERR_INVALID. */
MUST_USE bool tofu_lock_id(const struct buf *info, char id_out[TOFU_LOCK_ID], struct error *err);
