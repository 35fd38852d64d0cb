/* base/ssh.h - SSH sessions (libssh2): dial, host key, login by key, one command at a time
 *
 * Every call that waits ends at the session's deadline, or at once when it is cancelled. After a
 * false the session can only be freed. A session belongs to one thread at a time. The host key
 * must be in the given known_hosts; there is no "accept new". Agents, passwords and files of $HOME
 * are not used.
 *
 * Two ways of use: ssh_open(), ssh_read(), ... wait by themselves. A thread with many sessions
 * takes ssh_start() and the ..._step() calls, repeats those that say SSH_WAIT when ssh_poll()'s
 * descriptor is ready, and asks ssh_check() when the time of ssh_left_ms() is over.
 */
#pragma once
#include "base/dial.h"
#include "base/known_hosts.h"

/** Call once, before threads. */
MUST_USE bool ssh_library_init(struct error *err);

struct ssh_options {
	const char *host; /* name or address; not beginning with `-` */
	unsigned port;    /* 0 = 22 */
	const char *user;
	const struct known_hosts *known_hosts;
	const char *fingerprint; /* "SHA256:..." of the host key, instead of known_hosts; or NULL */
	const char *key;         /* private key, OpenSSH or PEM, without passphrase */
	size_t key_len;
	const char *key_name;     /* file name of the key, for messages */
	struct deadline deadline; /* limits and cancel_fd; the rest is set by ssh_open() */
	/* For ssh_start(): the program `ssh` with these arguments does it all, but for the command
	 * itself: argv, ends with NULL. Of what is above host, port and deadline count. */
	const char *const *program;
};

struct ssh;
/**
 * Connect and log in. Options are borrowed for the call.
 *
 * @return true, or false with ERR_UNREACHABLE (name, connection, no common algorithm, lost),
 *         ERR_AUTH (host key, our key), ERR_INVALID (our key file), ERR_TIMEOUT, ERR_STOPPED
 */
MUST_USE bool ssh_open(const struct ssh_options *options, struct ssh **ssh_out, struct error *err);
void ssh_free(struct ssh *ssh);
DEFINE_CLEANUP(struct ssh, ssh_free)
#define auto_ssh CLEANUP(ssh_free_at)

/** What is being done, for messages of time-outs ("fetching"); a constant string. */
void ssh_doing(struct ssh *ssh, const char *doing);
/** Set total_ms and idle_ms anew, from now: the session serves for another piece of work. */
void ssh_restart_clock(struct ssh *ssh, int64_t idle_ms, int64_t total_ms);

/** Start a command, passed to the user's login shell; see ssh_quote(). */
MUST_USE bool ssh_exec_start(struct ssh *ssh, const char *command, struct error *err);
/** Read stdout, at least one byte; *got_out 0 = end. stderr is kept beside, see ssh_stderr(). */
MUST_USE bool ssh_read(
	struct ssh *ssh, void *bytes, size_t size, size_t *got_out, struct error *err);
/** Write all. stderr is read meanwhile, stdout is not: a command that answers more than 2 MiB
 *  before it has read its input is not for this. */
MUST_USE bool ssh_write(struct ssh *ssh, const void *bytes, size_t len, struct error *err);
/** End of stdin. */
MUST_USE bool ssh_write_end(struct ssh *ssh, struct error *err);

struct ssh_result {
	int exit_status; /* 0 also when the server sent none: demand a last line of the command */
	char signal[32]; /* name without SIG that ended it, or "" */
};
/** Read to the end of both streams and wait for the command's end. */
MUST_USE bool ssh_exec_finish(struct ssh *ssh, struct ssh_result *result_out, struct error *err);
/** The first 8 KiB of stderr so far, as it came. */
const struct buf *ssh_stderr(const struct ssh *ssh);

/* ---- without waiting ------------------------------------------------------------------------ */

enum ssh_step { SSH_FAILED, SSH_WAIT, SSH_DONE };

/** Begin as ssh_open(). @p options and what they point to must live until ssh_open_step() is done.
 *  @param dialer  of the thread; must outlive the session. ERR_INVALID, ERR_SYSTEM */
MUST_USE bool ssh_start(const struct ssh_options *options, struct dialer *dialer,
	struct ssh **ssh_out, struct error *err);
/** Go on connecting and logging in. */
enum ssh_step ssh_open_step(struct ssh *ssh, struct error *err);
/** Did the server hang up before it knew us, as it does when too many knock at once? */
bool ssh_was_dropped(const struct ssh *ssh);
/** Start a command; the same one until it is done. */
enum ssh_step ssh_exec_step(struct ssh *ssh, const char *command, struct error *err);
enum ssh_stream { SSH_STDOUT, SSH_STDERR };
struct ssh_chunk {
	char bytes[16384];
	size_t len;
};
/** Read what is there; done with len 0 = end. */
enum ssh_step ssh_read_step(
	struct ssh *ssh, enum ssh_stream stream, struct ssh_chunk *chunk, struct error *err);
/** Write what goes; call again with the rest. */
enum ssh_step ssh_write_step(
	struct ssh *ssh, const void *bytes, size_t len, size_t *put_out, struct error *err);
/** End of stdin. */
enum ssh_step ssh_write_end_step(struct ssh *ssh, struct error *err);
#define SSH_POLL_MAX 3
/** What to wait for into @p fds. @return how many; 0 while ssh_open_step() dials, which
 *  dialer_wait() does */
size_t ssh_poll(struct ssh *ssh, struct pollfd *fds);
/** Milliseconds to the next deadline or keep-alive, at most @p cap. */
int ssh_left_ms(const struct ssh *ssh, int cap);
/** Sends keep-alives. ERR_TIMEOUT, ERR_STOPPED. */
MUST_USE bool ssh_check(struct ssh *ssh, struct error *err);

/* ---- texts ---------------------------------------------------------------------------------- */

/** Append @p text in single quotes for a POSIX shell; `'` and `!` are taken out of them. */
void ssh_quote(const char *text, struct buf *out);
/** Is this key text one that the libssh2 at hand can use? ERR_INVALID says why not and what to do.
 *  @param name  file name, for messages */
MUST_USE bool ssh_key_check(const char *name, const char *key, size_t len, struct error *err);
