/*
 *  start --> running --child ends--> draining --pipe empty, or DRAIN_MS--> reap
 *               |                                                           ^
 *               +--deadline, cancel--> ending (SIGTERM to the group) -------+
 *                                        |  the child ended and the pipe is empty
 *                                        +--grace_ms--> SIGKILL to the group
 *
 * The child stays a zombie until the group needs no signal any more, so that its process group id
 * cannot be given to somebody else in between.
 */
#include "base/exec.h"
#include "base/clock.h"
#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BUSY_TRIES          10 /* pauses of 1, 2, 4 ... ms, a second in all */
#define STANDARD_TIMEOUT_MS (10 * 60 * 1000)
#define STANDARD_GRACE_MS   5000
#define STANDARD_OUTPUT     ((size_t)1 << 20)
/* What background children of the child still say is of little use; long enough for a loaded
 * machine to hand over what was written before the exit. */
#define DRAIN_MS 500
/* Chunks read between two looks at the clock: a child that only writes must still time out. */
#define READS_PER_TURN 16
#define NOTE_SIZE      64
#define DEFAULT_PATH   "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct run {
	const struct exec_request *request;
	struct exec_result *result;
	pid_t pid;
	int pidfd;
	int out; /* our end of the pipe, -1 after its end */
	size_t kept, dropped;
	size_t max_output;
	int64_t deadline; /* 0: no longer watched */
	int64_t kill_at;  /* 0: not ending */
	int64_t drain_until;
	bool exited;
};

/* ---- start ---------------------------------------------------------------------------------- */

/* Descriptors 0-2 of the child are set by dup2(); one of ours down there would be overwritten. */
static bool move_up(int *fd)
{
	if (*fd > 2)
		return true;
	int moved = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
	if (moved < 0)
		return false;
	(void)close(*fd); /* the duplicate lives on */
	*fd = moved;
	return true;
}

static bool open_pipe(int *read_out, int *write_out, struct error *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, errno, "cannot make a pipe");
	*read_out = ends[0];
	*write_out = ends[1];
	if (!move_up(read_out) || !move_up(write_out) || fcntl(*read_out, F_SETFL, O_NONBLOCK) < 0)
		return error_errno(err, errno, "cannot make a pipe");
	return true;
}

/* A memory file instead of a pipe: nothing to feed, no SIGPIPE from a child that reads no input. */
static bool open_input(const struct exec_request *request, int *fd_out, struct error *err)
{
	auto_fd int fd = request->input ? memfd_create("input", MFD_CLOEXEC)
					: open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !move_up(&fd))
		return error_errno(err, errno, "cannot open the input of a child");
	const char *at = request->input;
	for (size_t left = at ? request->input_len : 0; left;) {
		ssize_t done = write(fd, at, left);
		if (done < 0 && errno != EINTR)
			return error_errno(err, errno, "cannot write the input of a child");
		if (done > 0) {
			at += done;
			left -= (size_t)done;
		}
	}
	if (request->input && lseek(fd, 0, SEEK_SET) < 0)
		return error_errno(err, errno, "cannot write the input of a child");
	*fd_out = fd;
	fd = -1;
	return true;
}

/* keep_fd passes the sweep of addclosefrom_np() as descriptor 3. */
static int add_descriptors(posix_spawn_file_actions_t *actions, const int fds[3], int keep)
{
	int rc = posix_spawn_file_actions_adddup2(actions, fds[0], 0);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, fds[1], 1);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, fds[2], 2);
	if (keep <= 2)
		return rc ? rc : posix_spawn_file_actions_addclosefrom_np(actions, 3);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, keep, 3);
	rc = rc ? rc : posix_spawn_file_actions_addclosefrom_np(actions, 4);
	if (keep == 3)
		return rc;
	rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, 3, keep);
	return rc ? rc : posix_spawn_file_actions_addclose(actions, 3);
}

static int set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	(void)sigemptyset(&none); /* cannot fail for a valid pointer */
	(void)sigfillset(&all);   /* likewise */
	int rc = posix_spawnattr_setsigmask(attributes, &none);
	rc = rc ? rc : posix_spawnattr_setsigdefault(attributes, &all);
	short flags = POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	return rc ? rc : posix_spawnattr_setflags(attributes, flags);
}

static const char *path_variable(const char *const *environment)
{
	for (; environment && *environment; environment++) {
		if (strncmp(*environment, "PATH=", 5) == 0)
			return *environment + 5;
	}
	return DEFAULT_PATH;
}

/* Looked up in the child's PATH, not in ours; relative entries are skipped. */
static char *find_program(const char *name, const char *const *environment)
{
	if (strchr(name, '/'))
		return mem_dup_str(name);
	const char *at = path_variable(environment);
	for (;;) {
		size_t len = strcspn(at, ":");
		auto_free char *path = mem_printf("%.*s/%s", (int)len, at, name);
		if (path[0] == '/' && len && access(path, X_OK) == 0)
			return STEAL(path);
		if (!at[len])
			return NULL;
		at += len + 1;
	}
}

static bool spawn_failed(const struct exec_request *request, int errnum, struct error *err)
{
	const char *name = request->argv[0];
	if (errnum == ENOENT && request->folder && access(request->folder, X_OK) < 0)
		return error_set(err, ERR_NOT_FOUND, "cannot start '%s': no folder '%s'", name,
			request->folder);
	if (errnum == ENOENT || errnum == ENOTDIR)
		return error_set(err, ERR_NOT_FOUND,
			"cannot start '%s': there is no such program, or none of its first line",
			name);
	(void)error_errno(err, errnum, "cannot start '%s'", name); /* returns false */
	if (errnum == EACCES)
		(void)error_hint(err, "chmod +x '%s'", name); /* returns false */
	if (errnum == ENOEXEC)
		(void)error_hint(
			err, "a script needs a first line like '#!/bin/sh'"); /* as above */
	return false;
}

/* A program that was just written can be "busy" for a moment: a child that another thread starts
 * holds a copy of our descriptor for writing until its own exec. */
static void wait_while_busy(int tries)
{
	const struct timespec pause = {.tv_nsec = 1000000L << tries};
	(void)nanosleep(&pause, NULL); /* woken early: it is only tried sooner */
}

bool exec_start(
	const struct exec_request *request, const int fds[3], pid_t *pid_out, struct error *err)
{
	static const char *const nothing[] = {NULL};
	auto_free char *program = find_program(request->argv[0], request->environ_);
	if (!program)
		return error_set(err, ERR_NOT_FOUND, "cannot start '%s': not found in PATH",
			request->argv[0]);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int rc = posix_spawn_file_actions_init(&actions);
	if (rc)
		return error_errno(err, rc, "cannot start '%s'", request->argv[0]);
	rc = posix_spawnattr_init(&attributes);
	rc = rc ? rc : set_attributes(&attributes);
	rc = rc ? rc : add_descriptors(&actions, fds, request->keep_fd);
	if (!rc && request->folder)
		rc = posix_spawn_file_actions_addchdir_np(&actions, request->folder);
	for (int tries = 0; !rc; tries++) {
		rc = posix_spawn(pid_out, program, &actions, &attributes,
			(char *const *)request->argv,
			(char *const *)(request->environ_ ? request->environ_ : nothing));
		if (rc != ETXTBSY || tries == BUSY_TRIES)
			break;
		rc = 0;
		wait_while_busy(tries);
	}
	(void)posix_spawnattr_destroy(&attributes);       /* cannot fail */
	(void)posix_spawn_file_actions_destroy(&actions); /* cannot fail */
	return rc ? spawn_failed(request, rc, err) : true;
}

/* ---- watch ---------------------------------------------------------------------------------- */

static void keep_output(struct run *run, const char *bytes, size_t len)
{
	if (run->request->output)
		run->request->output(run->request->output_data, bytes, len);
	size_t room = run->max_output - run->kept;
	size_t take = len < room ? len : room;
	buf_add(&run->result->output, bytes, take);
	run->kept += take;
	run->dropped += len - take;
}

/* @return false once nothing is there for now, or the pipe has ended */
static bool read_chunk(struct run *run)
{
	char chunk[16384];
	ssize_t got = read(run->out, chunk, sizeof(chunk));
	if (got > 0)
		keep_output(run, chunk, (size_t)got);
	explicit_bzero(chunk, got > 0 ? (size_t)got : 0);
	if (got > 0 || (got < 0 && errno == EINTR))
		return true;
	if (got == 0 || errno != EAGAIN)
		fs_close_at(&run->out), run->out = -1;
	return false;
}

static void start_ending(struct run *run, int64_t now)
{
	int64_t grace = run->request->grace_ms ? run->request->grace_ms : STANDARD_GRACE_MS;
	int signal = run->request->end_signal ? run->request->end_signal : SIGTERM;
	(void)kill(-run->pid, signal); /* ESRCH: gone by itself, seen by the pidfd */
	run->kill_at = now + grace;
	run->deadline = 0;
}

static void check_time(struct run *run, int64_t now)
{
	if (run->deadline && !run->exited && now >= run->deadline) {
		run->result->timed_out = true;
		start_ending(run, now);
	}
	if (run->kill_at && now >= run->kill_at && !run->exited)
		(void)kill(-run->pid, SIGKILL); /* as above */
}

static bool is_over(const struct run *run, int64_t now)
{
	return run->exited && (run->out < 0 || now >= run->drain_until);
}

static int wait_ms(const struct run *run, int64_t now)
{
	int64_t until = run->exited    ? run->drain_until
			: run->kill_at ? run->kill_at
				       : run->deadline;
	int64_t left = until - now;
	if (run->kill_at && !run->exited && left <= 0)
		return 100; /* SIGKILL was sent; it needs a moment, at worst until the disk answers
			     */
	return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

static void handle_events(struct run *run, const struct pollfd *fds, int64_t now)
{
	if (fds[0].revents) {
		for (int i = 0; i < READS_PER_TURN && read_chunk(run); i++)
			;
	}
	if (fds[1].revents && !run->exited) {
		run->exited = true;
		run->drain_until = run->kill_at ? run->kill_at : now + DRAIN_MS;
	}
	if (fds[2].revents && !run->kill_at && !run->exited) {
		run->result->cancelled = true;
		start_ending(run, now);
	}
}

static void watch(struct run *run)
{
	int64_t now = clock_mono_ms();
	while (!is_over(run, now)) {
		struct pollfd fds[3] = {
			{.fd = run->out, .events = POLLIN},
			{.fd = run->exited ? -1 : run->pidfd, .events = POLLIN},
			{.fd = run->kill_at || run->exited ? -1 : run->request->cancel_fd,
				.events = POLLIN},
		};
		int ready = poll(fds, ARRAY_LEN(fds), wait_ms(run, now));
		now = clock_mono_ms();
		if (ready > 0)
			handle_events(run, fds, now);
		check_time(run, now);
	}
}

/* ---- end ------------------------------------------------------------------------------------ */

static void reap(struct run *run)
{
	struct exec_result *result = run->result;
	siginfo_t info = {0};
	if (run->kill_at)
		(void)kill(-run->pid, SIGKILL); /* what of the group outlived its leader */
	while (waitid(P_PIDFD, (id_t)run->pidfd, &info, WEXITED) < 0 && errno == EINTR)
		;
	bool by_signal = info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
	result->signal = by_signal ? info.si_status : 0;
	result->exit_status = by_signal ? 128 + info.si_status : info.si_status;
	if (run->dropped)
		buf_addf(&result->output, "\n[%zu bytes more were dropped]\n", run->dropped);
}

/* Only when there is no pidfd: nobody could watch the child, so it may not go on. */
static bool give_up(pid_t pid, int errnum, struct error *err)
{
	(void)kill(-pid, SIGKILL); /* it is our unreaped child: the id is still its own */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return error_errno(err, errnum, "cannot watch a child process");
}

bool exec_run(const struct exec_request *request, struct exec_result *result_out, struct error *err)
{
	auto_fd int input = -1;
	auto_fd int output = -1;
	auto_fd int pidfd = -1;
	struct run run = {.request = request, .result = result_out, .out = -1};
	int64_t timeout = request->timeout_ms ? request->timeout_ms : STANDARD_TIMEOUT_MS;
	int64_t start = clock_mono_ms();

	bool started = open_pipe(&run.out, &output, err) && open_input(request, &input, err) &&
		       exec_start(request, (int[]){input, output, output}, &run.pid, err);
	if (!started) {
		fs_close_at(&run.out);
		return false;
	}
	fs_close_at(&output), output = -1; /* else the pipe never ends */
	pidfd = pidfd_open(run.pid, 0);
	if (pidfd < 0) {
		fs_close_at(&run.out);
		return give_up(run.pid, errno, err);
	}
	if (request->started)
		request->started(request->started_data, run.pid);
	*result_out = (struct exec_result){0};
	run.pidfd = pidfd;
	run.deadline = start + timeout;
	run.max_output = request->max_output ? request->max_output : STANDARD_OUTPUT;
	buf_init(&result_out->output, run.max_output + NOTE_SIZE);
	watch(&run);
	reap(&run);
	fs_close_at(&run.out);
	result_out->took_ms = clock_mono_ms() - start;
	return true;
}

void exec_result_clear(struct exec_result *result)
{
	buf_clear(&result->output);
}
