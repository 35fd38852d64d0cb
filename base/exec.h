/* base/exec.h - child processes: argv arrays, explicit environment, deadline, bounded capture
 *
 * posix_spawn with a session of its own, descriptors 0-2 only, default signals. At the deadline
 * or on cancel the whole group gets SIGTERM, then SIGKILL after grace_ms. Never a shell.
 * What a child leaves running in the background goes on after a normal end; its output is heard
 * for half a second more. Input comes from a memory file, so it never touches a disk.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"
#include <sys/types.h>

struct exec_request {
	const char *const
		*argv; /* ends with NULL; argv[0] with `/` is a path, else looked up in PATH */
	const char *const *environ_; /* ends with NULL: the whole environment of the child */
	const char *folder;          /* working folder, NULL = ours */
	const void *input;           /* stdin, NULL = /dev/null */
	size_t input_len;
	int64_t timeout_ms; /* from the start of the child; 0 = 10 minutes */
	int64_t grace_ms;   /* between SIGTERM and SIGKILL; 0 = 5 s */
	int end_signal;    /* for SIGTERM another one, of which the child knows more; 0 = SIGTERM */
	int cancel_fd;     /* readable = end the child as at the deadline; -1 none */
	size_t max_output; /* kept of stdout and stderr together, the rest is read and dropped
			    * with a note; 0 = 1 MiB */
	int keep_fd; /* descriptor that the child inherits under the same number (lock); -1 none */
	void (*output)(void *data, const char *bytes,
		size_t len); /* called as output comes; may be NULL */
	void *output_data;
	void (*started)(
		void *data, pid_t pid); /* the child runs; its group is @p pid; may be NULL */
	void *started_data;
};
#define EXEC_REQUEST_INIT                                                                          \
	{                                                                                          \
		.cancel_fd = -1, .keep_fd = -1                                                     \
	}

struct exec_result {
	int exit_status; /* 0-255, or 128+signal */
	int signal;      /* that ended it, or 0 */
	bool timed_out;
	bool cancelled;
	int64_t took_ms;
	struct buf output; /* stdout and stderr as they came */
};

/**
 * Run a child to its end.
 * @param result_out  set when the child ran, whatever its status; exec_result_clear() it
 * @return false only if it could not be started (ERR_NOT_FOUND, ERR_SYSTEM)
 * Threads: any.
 */
MUST_USE bool exec_run(
	const struct exec_request *request, struct exec_result *result_out, struct error *err);
/**
 * Only start a child, with these descriptors as its 0, 1 and 2; all others are closed in it. The
 * caller ends and reaps it. Of the request argv, environ_ and folder count.
 * @return false: ERR_NOT_FOUND, ERR_SYSTEM
 */
MUST_USE bool exec_start(
	const struct exec_request *request, const int fds[3], pid_t *pid_out, struct error *err);
void exec_result_clear(struct exec_result *result);
