/* reconcile/drivers/local_lock.h - one activation at a time on a host, also after a crash
 *
 *   free --take()--> held by us ("service <pid>") --child()--> also held by activate ("child
 * <pid>") ^                   |                                          |
 *    +---- release() ----+---- we die: the child holds it on -------+ until it ends
 *
 * A flock() on <root>/.aviary/lock whose descriptor activate inherits, so the lock lives as long as
 * one of the two. The file's text names the process that matters, since what activate leaves in
 * the background inherits the descriptor too and must block nobody once activate has ended. A
 * flock() on the folder itself guards looking and replacing.
 */
#pragma once
#include "base/error.h"
#include <sys/types.h>

struct local_lock {
	int folder; /* <root>/.aviary */
	int fd;     /* for exec_request.keep_fd */
};
#define LOCAL_LOCK_INIT                                                                            \
	{                                                                                          \
		.folder = -1, .fd = -1                                                             \
	}

/**
 * Wait for the lock, at most @p timeout_ms. The activation of a service that died is ended then;
 * that of one that lives is not.
 * @param folder     open <root>/.aviary, borrowed while the lock is held
 * @param cancel_fd  readable = give up; -1 none
 * @return false with ERR_TIMEOUT (a living service holds it), ERR_STOPPED, ERR_SYSTEM
 */
MUST_USE bool local_lock_take(int folder, int64_t timeout_ms, int cancel_fd,
	struct local_lock *lock_out, struct error *err);
/** Write down that @p pid is the activation that the lock now stands for. If that fails (disk
 *  full) the lock still holds; after our death the child is looked for in /proc. */
void local_lock_child(struct local_lock *lock, pid_t pid);
/** Give it back; what still runs in the background keeps nothing. Fine if it is not held. */
void local_lock_release(struct local_lock *lock);
#define auto_local_lock CLEANUP(local_lock_release)
/** Does an activation, or a service that prepares one, hold it now? */
bool local_lock_is_held(int folder);
