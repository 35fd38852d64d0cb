/* base/ssh_private.h - what a session is; of base/ssh*.c only */
#pragma once
#include "base/ssh.h"
#include "base/ssh_program.h"
#include <libssh2.h>

#define SSH_STDERR_MAX  8192
#define SSH_POLL_CAP_MS 5000 /* so that keep-alives go out while we wait */

enum ssh_phase { SSH_DIALLING, SSH_HANDSHAKE, SSH_LOGIN, SSH_READY };

struct ssh {
	struct dial *dial;
	struct deadline deadline;
	const struct ssh_options *options; /* until it is ready */
	enum ssh_phase phase;
	char *peer;                      /* "ssh host:port" */
	struct ssh_program *program;     /* or NULL; then there is no session */
	const char *const *program_argv; /* NULL: libssh2; borrowed until the command has started */
	LIBSSH2_SESSION *session;
	LIBSSH2_CHANNEL *channel;
	struct buf errors; /* stderr of the command */
	bool broken;       /* no polite good-bye */
	bool dropped;      /* in the handshake */
};

/** Our words for a failure of libssh2. @return false */
bool ssh_failed(struct ssh *ssh, long rc, struct error *err);
/** Wait until libssh2 can go on; breaks the session on false. */
MUST_USE bool ssh_wait(struct ssh *ssh, struct error *err);
/** Give the channel back without waiting for the network. */
void ssh_free_channel(struct ssh *ssh);

/** Repeat a libssh2 call until it does not ask to wait; rc LIBSSH2_ERROR_EAGAIN: err is set. */
#define SSH_CALL(self, rc, call, err)                                                              \
	do                                                                                         \
		(rc) = (call);                                                                     \
	while ((rc) == LIBSSH2_ERROR_EAGAIN && ssh_wait((self), (err)))

/** The step that the code of a libssh2 call means. */
#define SSH_STEP_OF(self, rc, err)                                                                 \
	((rc) == LIBSSH2_ERROR_EAGAIN                    ? SSH_WAIT                                \
		: (rc) < 0 && !ssh_failed(self, rc, err) ? SSH_FAILED                              \
							 : SSH_DONE)
