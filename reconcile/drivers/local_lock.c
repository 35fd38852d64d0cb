#include "reconcile/drivers/local_lock.h"
#include "base/clock.h"
#include "base/fs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME "lock"
#define LOCK_TEXT 47 /* bytes of its line */
/* Looks while waiting: an activation takes seconds to minutes. */
#define LOOK_MS 50
/* From SIGTERM to SIGKILL for an activation whose service died. */
#define GRACE_MS 5000

enum holder_kind {
	HOLDER_NONE,    /* nobody that matters: only leftovers hold the descriptor */
	HOLDER_SERVICE, /* a living service */
	HOLDER_CHILD,   /* a living activation; its service may be dead */
	HOLDER_UNKNOWN  /* the service died between starting activate and naming it */
};

struct holder {
	enum holder_kind kind;
	pid_t pid;
};

/* ---- processes ------------------------------------------------------------------------------ */

/* Start time of a process in clock ticks since boot: with the pid it names a process for good.
 * 0: there is none, or it is a zombie, which does nothing and holds nothing. */
static unsigned long long start_of(pid_t pid)
{
	char path[64];
	struct error ignored;
	unsigned long long start = 0;
	auto_buf struct buf text = BUF_INIT(4096);
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid); /* fits */
	if (!fs_read(path, 4096, &text, &ignored))
		return 0;
	/* The name in parentheses may hold anything; field 3 is the state, 22 the start. */
	const char *at = strrchr(text.text, ')');
	if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
		return 0;
	at += 2;
	for (int field = 3; field < 22 && at; field++)
		at = (at = strchr(at, ' ')) ? at + 1 : NULL;
	if (at)
		start = strtoull(at, NULL, 10);
	return start;
}

static bool has_open(pid_t pid, const struct stat *lock)
{
	char path[64];
	bool found = false;
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid); /* fits */
	DIR *list = opendir(path);
	if (!list)
		return false; /* gone, or another user's: then we could not end it either */
	for (struct dirent *entry; !found && (entry = readdir(list));) {
		struct stat st;
		found = fstatat(dirfd(list), entry->d_name, &st, 0) == 0 &&
			st.st_dev == lock->st_dev && st.st_ino == lock->st_ino;
	}
	(void)closedir(list); /* read-only */
	return found;
}

/* The oldest process that leads a session of its own and has the lock open: that is how exec
 * starts activate. 0: none. */
static pid_t find_orphan(const struct stat *lock)
{
	pid_t oldest = 0;
	unsigned long long oldest_start = 0;
	DIR *list = opendir("/proc");
	if (!list)
		return 0;
	for (struct dirent *entry; (entry = readdir(list));) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (pid <= 0 || pid == getpid() || getsid(pid) != pid || !has_open(pid, lock))
			continue;
		unsigned long long start = start_of(pid);
		if (start && (!oldest || start < oldest_start)) {
			oldest = pid;
			oldest_start = start;
		}
	}
	(void)closedir(list); /* read-only */
	return oldest;
}

/* ---- the text of the lock ------------------------------------------------------------------- */

/* In place, since the lock is this very file; in one write of one size, so that a kill never leaves
 * it empty, which would mean that nobody holds it. */
static bool write_text(int fd, const char *kind, pid_t pid)
{
	char text[LOCK_TEXT + 1];
	(void)snprintf(text, sizeof(text), "%-8s %12d %24llu\n", kind, (int)pid, start_of(pid));
	fs_fault_point();
	return pwrite(fd, text, LOCK_TEXT, 0) == LOCK_TEXT;
}

static struct holder holder_of(int fd)
{
	char text[LOCK_TEXT + 1] = "", kind[16] = "";
	int pid = 0;
	unsigned long long start = 0;
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
	if (len == 0)
		return (struct holder){HOLDER_NONE, 0}; /* release() empties it */
	if (len < 0 || sscanf(text, "%15s %d %llu", kind, &pid, &start) != 3)
		return (struct holder){HOLDER_UNKNOWN, 0};
	bool child = strcmp(kind, "child") == 0;
	if (start && start_of(pid) == start)
		return (struct holder){child ? HOLDER_CHILD : HOLDER_SERVICE, pid};
	return (struct holder){child ? HOLDER_NONE : HOLDER_UNKNOWN, 0};
}

/* ---- taking --------------------------------------------------------------------------------- */

static int open_lock(int folder, int flags)
{
	return openat(folder, LOCK_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
}

/* One look, under the guard. @return true with lock_out set, or false with what holds it. */
static bool try_take(int folder, int *fd_out, struct holder *holder, struct error *err)
{
	auto_fd int fd = open_lock(folder, O_CREAT);
	struct stat st;
	*holder = (struct holder){HOLDER_NONE, 0};
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, errno, "cannot open the lock of the host");
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		if (!write_text(fd, "service", getpid()))
			return error_errno(err, errno, "cannot write the lock of the host");
		*fd_out = fd;
		fd = -1;
		return true;
	}
	if (errno != EWOULDBLOCK)
		return error_errno(err, errno, "cannot lock the host");
	*holder = holder_of(fd);
	if (holder->kind == HOLDER_UNKNOWN && (holder->pid = find_orphan(&st)) > 0) {
		holder->kind = HOLDER_CHILD;
		if (!write_text(fd, "child", holder->pid))
			return error_errno(err, errno, "cannot write the lock of the host");
	}
	/* A new file: what holds the old one holds nothing that anybody looks at. */
	if (holder->kind == HOLDER_NONE && unlinkat(folder, LOCK_NAME, 0) < 0)
		return error_errno(err, errno, "cannot replace the lock of the host");
	return error_set(err, ERR_TIMEOUT, "another service (process %d) works on this host",
		(int)holder->pid);
}

/* Held for moments only, so waiting for it is fine. */
static bool guard(int folder)
{
	int rc;
	while ((rc = flock(folder, LOCK_EX)) < 0 && errno == EINTR)
		;
	return rc == 0;
}

static void unguard(int folder)
{
	(void)flock(folder, LOCK_UN); /* ours, so it cannot fail */
}

/* As try_take(), with the guard. */
static bool look(int folder, int *fd_out, struct holder *holder, struct error *err)
{
	if (!guard(folder))
		return error_errno(err, errno, "cannot lock the host");
	bool good = try_take(folder, fd_out, holder, err);
	unguard(folder);
	return good;
}

/* @return true if @p cancel_fd asks to give up */
static bool wait_a_moment(int cancel_fd)
{
	struct pollfd fd = {.fd = cancel_fd, .events = POLLIN};
	return poll(&fd, 1, LOOK_MS) > 0;
}

/* What to send to an activation that outlived its time: nothing, SIGTERM once, SIGKILL. */
static void end_late_child(pid_t pid, int64_t late_ms, bool *asked)
{
	if (late_ms >= GRACE_MS)
		(void)kill(-pid, SIGKILL); /* ESRCH: gone, as wished; EPERM: told by the wait */
	else if (!*asked)
		(void)kill(-pid, SIGTERM); /* as above */
	*asked = true;
}

bool local_lock_take(int folder, int64_t timeout_ms, int cancel_fd, struct local_lock *lock_out,
	struct error *err)
{
	int64_t deadline = clock_mono_ms() + timeout_ms;
	struct local_lock lock = {.folder = folder, .fd = -1};
	bool asked = false;
	for (;;) {
		struct holder holder = {HOLDER_NONE, 0};
		if (look(folder, &lock.fd, &holder, err)) {
			*lock_out = lock;
			return true;
		}
		int64_t late_ms = clock_mono_ms() - deadline;
		if (err->code != ERR_TIMEOUT)
			return false;
		if (holder.kind == HOLDER_NONE)
			continue; /* replaced: take the new one */
		if (late_ms >= 0 && holder.kind != HOLDER_CHILD)
			return false;
		if (late_ms >= 2 * GRACE_MS)
			return error_set(err, ERR_SYSTEM,
				"the activation in process %d cannot be ended", (int)holder.pid);
		if (late_ms >= 0)
			end_late_child(holder.pid, late_ms, &asked);
		if (wait_a_moment(cancel_fd))
			return error_set(err, ERR_STOPPED,
				"stopped while an activation still runs on this host");
	}
}

void local_lock_child(struct local_lock *lock, pid_t pid)
{
	(void)write_text(lock->fd, "child", pid); /* find_orphan() finds it all the same */
}

void local_lock_release(struct local_lock *lock)
{
	if (lock->fd < 0)
		return;
	/* Full disk or the like: without the file nobody can mistake it for a running activation.
	 */
	if (ftruncate(lock->fd, 0) < 0)
		(void)unlinkat(lock->folder, LOCK_NAME, 0); /* then its holder is looked up */
	(void)flock(lock->fd, LOCK_UN); /* also for background processes that inherited it */
	fs_close_at(&lock->fd);
	lock->fd = -1;
}

/* Under the guard: a look must not seem a holder to somebody who takes it. */
bool local_lock_is_held(int folder)
{
	if (!guard(folder))
		return true; /* the careful answer: whoever believes it waits or asks again */
	int fd = open_lock(folder, 0);
	bool held =
		fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && holder_of(fd).kind != HOLDER_NONE;
	fs_close_at(&fd);
	unguard(folder);
	return held;
}
