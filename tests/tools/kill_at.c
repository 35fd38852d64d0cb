/* kill_at [--all] N REPORT COMMAND [ARGUMENT...]: kill COMMAND -9 at the N-th change of the world
 *
 * Runs COMMAND under ptrace and counts the system calls by which it, or a child of it before that
 * child has become another program, changes what others can see: names and contents made sure of
 * (rename, link, symlink, unlink, mkdir, fsync), programs started (exec), and what is written to
 * git of a push: its commands and its pack. At the entry of the N-th one (from 1; 0: never) COMMAND
 * is killed, so that the call itself does not happen. What it started lives on, or with --all dies
 * with it. Writes `N NAME` of the last call counted to REPORT. Exit status: that of COMMAND, or 128
 * and the signal; 125 where ptrace is not permitted.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOT_PERMITTED 125
#define LISTING       4096
#define PUSH_HEAD     91 /* length, two ids and their spaces, "refs/" */
#define PAUSE_NS      1000000

static const struct {
	uint64_t number;
	const char *name;
} CHANGES[] = {
#ifdef SYS_rename
	{SYS_rename, "rename"},
#endif
#ifdef SYS_link
	{SYS_link, "link"},
#endif
#ifdef SYS_symlink
	{SYS_symlink, "symlink"},
#endif
#ifdef SYS_unlink
	{SYS_unlink, "unlink"},
#endif
#ifdef SYS_mkdir
	{SYS_mkdir, "mkdir"},
#endif
#ifdef SYS_renameat
	{SYS_renameat, "renameat"},
#endif
	{SYS_renameat2, "renameat2"},
	{SYS_linkat, "linkat"},
	{SYS_symlinkat, "symlinkat"},
	{SYS_unlinkat, "unlinkat"},
	{SYS_mkdirat, "mkdirat"},
	{SYS_fsync, "fsync"},
	{SYS_fdatasync, "fdatasync"},
	{SYS_execve, "execve"},
	{SYS_execveat, "execveat"},
};

struct run {
	unsigned long at, count;
	const char *last;
	pid_t command;
	bool all;
};

static volatile sig_atomic_t forward_to; /* the command, for the signals that are meant for it */

static void forward(int signal)
{
	if (forward_to > 0)
		(void)kill((pid_t)forward_to,
			signal); /* it may have ended: then there is nothing to tell */
}

static const char *change_name(uint64_t number)
{
	for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++)
		if (CHANGES[i].number == number)
			return CHANGES[i].name;
	return NULL;
}

static bool is_hex(const char *text, size_t len)
{
	return strspn(text, "0123456789abcdef") >= len;
}

/* Is it a write of what `git receive-pack` acts on? */
static bool is_push(pid_t thread, const struct __ptrace_syscall_info *info)
{
	char head[PUSH_HEAD + 1] = "";
	struct iovec own = {head, PUSH_HEAD};
	struct iovec theirs = {(void *)(uintptr_t)info->entry.args[1], info->entry.args[2]};
	if (theirs.iov_len > PUSH_HEAD)
		theirs.iov_len = PUSH_HEAD;
	if (info->entry.nr != SYS_write || process_vm_readv(thread, &own, 1, &theirs, 1, 0) < 0)
		return false;
	return strncmp(head, "PACK", 4) == 0 ||
	       (is_hex(head, 44) && head[44] == ' ' && is_hex(head + 45, 40) &&
		       strncmp(head + 85, " refs/", 6) == 0);
}

/* Returns whether the command was killed now. */
static bool look_at_call(struct run *run, pid_t thread)
{
	struct __ptrace_syscall_info info;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, (void *)sizeof info, &info) <= 0 ||
		info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return false;
	const char *name = change_name(info.entry.nr);
	if (!name && is_push(thread, &info))
		name = "push";
	/* the command's own start is no change that it made */
	if (!name || (thread == run->command && strncmp(name, "exec", 4) == 0))
		return false;
	run->count++;
	run->last = name;
	return run->count == run->at && kill(run->command, SIGKILL) == 0;
}

/* The signal that a stopped thread is to be given when it goes on. */
static int pending_signal(int status)
{
	int signal = WSTOPSIG(status);
	if (status >> 16 || signal == (SIGTRAP | 0x80) || signal == SIGSTOP || signal == SIGTRAP)
		return 0;
	return signal;
}

/* A child that becomes another program is left alone from then on. */
static bool is_foreign_exec(const struct run *run, pid_t thread, int status)
{
	return status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8) && thread != run->command;
}

static void go_on(const struct run *run, pid_t thread, int status)
{
	int request = is_foreign_exec(run, thread, status) ? PTRACE_DETACH : PTRACE_SYSCALL;
	/* ESRCH: killed meanwhile, its end is reported by the next wait */
	(void)ptrace(request, thread, NULL, (void *)(intptr_t)pending_signal(status));
}

/* Everything below this process, which is the reaper of orphans, until nothing is left. */
static void kill_children(void)
{
	char path[64];
	(void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid()); /* fits */
	for (;;) {
		char list[LISTING] = "";
		FILE *file = fopen(path, "re");
		if (file && !fgets(list, sizeof list, file))
			list[0] = 0;
		if (file)
			(void)fclose(file); /* read only */
		char *next = list;
		for (char *end; strtol(next, &end, 10) > 0; next = end)
			(void)kill((pid_t)strtol(next, NULL, 10), SIGKILL); /* or gone */
		if (waitpid(-1, NULL, __WALL) < 0 && errno == ECHILD)
			return;
	}
}

/* A process that we trace, or 0. */
static pid_t find_traced(void)
{
	char path[64], line[128];
	DIR *list = opendir("/proc");
	pid_t found = 0;
	for (struct dirent *entry; list && !found && (entry = readdir(list));) {
		long tracer = 0;
		(void)snprintf(path, sizeof path, "/proc/%.20s/status", entry->d_name); /* fits */
		FILE *file = entry->d_name[0] >= '0' && entry->d_name[0] <= '9' ? fopen(path, "re")
										: NULL;
		while (file && fgets(line, sizeof line, file))
			(void)sscanf(line, "TracerPid: %ld", &tracer); /* the other lines do not */
		if (file)
			(void)fclose(file); /* read only */
		if (tracer == (long)getpid())
			found = (pid_t)strtol(entry->d_name, NULL, 10);
	}
	if (list)
		(void)closedir(list); /* read only */
	return found;
}

/* A child that was just forked has a stop before it: left with that it would never go on. */
static void let_go(void)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	int status;
	while (find_traced()) {
		pid_t thread = waitpid(-1, &status, __WALL | WNOHANG);
		if (thread > 0 && WIFSTOPPED(status))
			(void)ptrace(PTRACE_DETACH, thread, NULL,
				(void *)(intptr_t)pending_signal(status)); /* ESRCH: it is dead */
		else if (thread <= 0)
			(void)nanosleep(&pause, NULL); /* woken early: it is only asked sooner */
	}
}

static int exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int follow(struct run *run)
{
	for (;;) {
		int status;
		pid_t thread = waitpid(-1, &status, __WALL);
		if (thread < 0 && errno == EINTR)
			continue;
		if (thread < 0)
			return NOT_PERMITTED;
		if (!WIFSTOPPED(status)) {
			if (thread == run->command)
				return exit_status(status);
			continue;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80) && look_at_call(run, thread)) {
			/* a child whose call it was lives on; one of the command is dead: ESRCH */
			(void)ptrace(PTRACE_DETACH, thread, NULL, NULL);
			continue;
		}
		go_on(run, thread, status);
	}
}

static pid_t start(char *const argv[])
{
	pid_t pid = fork();
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(NOT_PERMITTED);
		(void)raise(SIGSTOP); /* until the options below are set */
		(void)execvp(argv[0], argv);
		_exit(127);
	}
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
		       PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)options) < 0 ||
		ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0)
		return -1;
	return pid;
}

static bool report(const char *path, const struct run *run)
{
	FILE *file = fopen(path, "we");
	if (!file)
		return false;
	bool written = fprintf(file, "%lu %s\n", run->count, run->last) > 0;
	return fclose(file) == 0 && written;
}

int main(int argc, char **argv)
{
	struct run run = {.last = "nothing"};
	run.all = argc > 1 && strcmp(argv[1], "--all") == 0;
	argv += run.all ? 1 : 0;
	argc -= run.all ? 1 : 0;
	if (argc < 4) {
		(void)fprintf(stderr, "usage: kill_at [--all] N REPORT COMMAND [ARGUMENT...]\n");
		return 2;
	}
	run.at = strtoul(argv[1], NULL, 10);
	struct sigaction action = {.sa_handler = forward};
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || sigaction(SIGTERM, &action, NULL) < 0 ||
		sigaction(SIGHUP, &action, NULL) < 0)
		return NOT_PERMITTED;
	run.command = start(argv + 3);
	if (run.command < 0)
		return NOT_PERMITTED;
	forward_to = run.command;
	int status = follow(&run);
	let_go();
	if (run.all)
		kill_children();
	return report(argv[2], &run) ? status : NOT_PERMITTED;
}
