#include "git/transport_pipe.h"
#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ERRORS_MAX 8192
#define GRACE_MS   2000 /* for git and its hooks to end by themselves */
#define DRAIN_MS   100  /* how often stderr is looked at while we wait */

struct pipe_wire {
	struct deadline deadline;
	pid_t pid;
	int stream; /* the child's stdin and stdout */
	int errors_fd;
	struct buf errors;
	bool broken; /* a deadline has passed: no patience at the end */
};

/* Descriptors 0-2 only, no signal blocked or ignored, a process group of its own. */
static int spawn(pid_t *pid_out, const char *const *argv, int stream, int errors)
{
	auto_free char *path = mem_printf("PATH=%s", getenv("PATH") ? getenv("PATH") : "/usr/bin");
	auto_free char *home = mem_printf("HOME=%s", getenv("HOME") ? getenv("HOME") : "/");
	const char *const environment[] = {path, home, "LC_ALL=C", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;

	(void)sigemptyset(&none); /* these two cannot fail */
	(void)sigfillset(&all);
	int rc = posix_spawn_file_actions_init(&actions);
	if (rc)
		return rc;
	rc = posix_spawnattr_init(&attributes);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&actions, stream, 0);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&actions, stream, 1);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&actions, errors, 2);
	if (!rc)
		rc = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	if (!rc)
		rc = posix_spawnattr_setflags(&attributes,
			POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	if (!rc)
		rc = posix_spawnattr_setsigmask(&attributes, &none);
	if (!rc)
		rc = posix_spawnattr_setsigdefault(&attributes, &all);
	if (!rc)
		rc = posix_spawnp(pid_out, argv[0], &actions, &attributes, (char *const *)argv,
			(char *const *)environment);
	(void)posix_spawnattr_destroy(&attributes); /* both always 0 */
	(void)posix_spawn_file_actions_destroy(&actions);
	return rc;
}

/* @return whether the child ended within @p ms */
static bool ends_within(pid_t pid, int ms)
{
	auto_fd int fd = pidfd_open(pid, 0);
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	if (fd >= 0 && poll(&wait, 1, ms) != 1)
		return false;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return true;
}

static void close_wire(void *wire)
{
	struct pipe_wire *self = wire;

	fs_close_at(&self->stream); /* end of input: git ends by itself, hooks may take a moment */
	if (self->pid > 0 && !ends_within(self->pid, self->broken ? 0 : GRACE_MS)) {
		(void)kill(-self->pid, SIGTERM); /* git removes its lock files then */
		if (!ends_within(self->pid, GRACE_MS)) {
			(void)kill(-self->pid, SIGKILL); /* may have ended: nothing to do then */
			(void)ends_within(self->pid, -1);
		}
	}
	fs_close_at(&self->errors_fd);
	buf_clear(&self->errors);
	free(self);
}

static bool start(struct pipe_wire *self, const char *service, const char *path, struct error *err)
{
	const char *const argv[] = {"git", service + strlen("git-"), path, NULL};
	int stream[2], errors[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) < 0)
		return error_errno(err, errno, "socketpair failed");
	self->stream = stream[0];
	auto_fd int child_stream = stream[1];
	if (pipe2(errors, O_CLOEXEC) < 0)
		return error_errno(err, errno, "pipe failed");
	self->errors_fd = errors[0];
	auto_fd int child_errors = errors[1];
	if (fcntl(self->stream, F_SETFL, O_NONBLOCK) < 0 ||
		fcntl(self->errors_fd, F_SETFL, O_NONBLOCK) < 0)
		return error_errno(err, errno, "fcntl failed");
	int rc = spawn(&self->pid, argv, child_stream, child_errors);
	if (rc == 0)
		return true;
	self->pid = 0;
	(void)error_errno(err, rc, "git could not be started");
	return error_hint(err, "a repository at a path needs git(1) installed");
}

static bool open_wire(
	struct transport *transport, const char *service, void **wire_out, struct error *err)
{
	struct pipe_wire *self = mem_zero(1, sizeof(*self));

	self->deadline = transport->deadline;
	self->deadline.peer = transport->peer;
	self->deadline.doing = transport_doing(transport);
	self->stream = self->errors_fd = -1;
	buf_init(&self->errors, ERRORS_MAX);
	deadline_start(&self->deadline);
	deadline_progress(&self->deadline);
	if (!start(self, service, transport->path, err)) {
		close_wire(self);
		return false;
	}
	*wire_out = self;
	return true;
}

static void drain_errors(struct pipe_wire *self)
{
	char chunk[4096];
	ssize_t got;

	while ((got = read(self->errors_fd, chunk, sizeof(chunk))) > 0)
		buf_add(&self->errors, chunk, (size_t)got); /* over the limit is dropped */
}

/* Wait for the stream, reading stderr meanwhile so that it cannot fill up. */
static bool wait_for_stream(struct pipe_wire *self, short events, struct error *err)
{
	drain_errors(self);
	self->broken = !deadline_poll(&self->deadline, self->stream, events, DRAIN_MS, err);
	return !self->broken;
}

static bool read_wire(void *wire, void *bytes, size_t size, size_t *got_out, struct error *err)
{
	struct pipe_wire *self = wire;

	deadline_progress(&self->deadline); /* libgit2 may have been busy meanwhile */
	while (true) {
		ssize_t got = recv(self->stream, bytes, size, 0);
		if (got >= 0 || (errno != EAGAIN && errno != EINTR)) {
			deadline_progress(&self->deadline);
			*got_out = got > 0 ? (size_t)got : 0; /* reset by a child that died: end */
			/* at the end all of stderr is there, or comes with the exit */
			if (got <= 0 && ends_within(self->pid, GRACE_MS))
				self->pid = 0;
			drain_errors(self);
			return true;
		}
		if (!wait_for_stream(self, POLLIN, err))
			return false;
	}
}

static bool write_wire(void *wire, const void *bytes, size_t len, struct error *err)
{
	struct pipe_wire *self = wire;
	const char *at = bytes;

	deadline_progress(&self->deadline);
	while (len) {
		ssize_t put = send(self->stream, at, len, MSG_NOSIGNAL);
		if (put > 0) {
			at += put;
			len -= (size_t)put;
			deadline_progress(&self->deadline);
			continue;
		}
		if (put < 0 && errno != EAGAIN && errno != EINTR)
			return error_set(err, ERR_UNREACHABLE, "%s: git ended while %s",
				self->deadline.peer, self->deadline.doing);
		if (!wait_for_stream(self, POLLOUT, err))
			return false;
	}
	return true;
}

static const struct buf *wire_errors(const void *wire)
{
	return &((const struct pipe_wire *)wire)->errors;
}

const struct wire_kind transport_pipe = {
	.open = open_wire,
	.read = read_wire,
	.write = write_wire,
	.errors = wire_errors,
	.close = close_wire,
};
