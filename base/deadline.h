/* base/deadline.h - until when a conversation may last, and what may end it sooner
 *
 * Three limits: connect_ms for the way to the peer, idle_ms between two signs of life (each
 * restarts it), total_ms for all of it. A readable cancel_fd ends every wait at once.
 */
#pragma once
#include "base/error.h"
#include <poll.h>

struct deadline {
	int64_t connect_ms;
	int64_t idle_ms;
	int64_t total_ms;
	int cancel_fd;     /* readable = stop; -1 none */
	const char *peer;  /* for messages: "ssh git.example:22"; borrowed */
	const char *doing; /* for messages: "connecting"; borrowed, changes as it goes on */
	int64_t end_ms;    /* set by deadline_start(): CLOCK_MONOTONIC */
	int64_t phase_ms;  /* length of the phase that runs: connect_ms or idle_ms */
	int64_t phase_end_ms;
};

/** Start the clock of the whole and of the way to the peer. */
void deadline_start(struct deadline *deadline);
/** A new connection within the whole: connect_ms from now. */
void deadline_connecting(struct deadline *deadline);
/** A sign of life, or a new step: idle_ms from now. */
void deadline_progress(struct deadline *deadline);
/** Milliseconds that are left, at most @p cap; 0 if it is over. */
int deadline_left(const struct deadline *deadline, int cap);
/** ERR_STOPPED if cancelled, ERR_TIMEOUT if a limit has passed. */
MUST_USE bool deadline_check(const struct deadline *deadline, struct error *err);
/** Wait for @p events of @p fd, or @p cap milliseconds. @return false as deadline_check() */
MUST_USE bool deadline_poll(
	const struct deadline *deadline, int fd, short events, int cap, struct error *err);
