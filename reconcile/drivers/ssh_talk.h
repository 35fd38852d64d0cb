/* reconcile/drivers/ssh_talk.h - the conversation with templates/host.sh, without any connection
 *
 *   we: the command         host: state, what of the release is there, "ready"
 *   we: orders, archive     host: "waiting" ..., "done STATUS"; or "fail KIND TEXT" before anything
 *                                 was touched
 *
 * Pure: bytes in, bytes out. Whoever holds the connection moves them. The host may be hostile:
 * what it says is bounded, and only its own client depends on it.
 */
#pragma once
#include "reconcile/drivers/driver.h"

#define TALK_NONCE 16 /* hex digits that begin each line of the host's answer */

enum talk_state {
	TALK_GOES_ON, /* hear more */
	TALK_READY,   /* the state is known; talk_go_on(), or end the connection */
	TALK_ENDED    /* the task has its answer */
};

struct talk;
/**
 * @param task   borrowed; gets the answer
 * @param nonce  TALK_NONCE hex digits and a NUL, new for each talk
 * @return false: ERR_INVALID, the release cannot be delivered
 */
MUST_USE bool talk_new(
	struct driver_task *task, const char *nonce, struct talk **talk_out, struct error *err);
void talk_free(struct talk *talk);
DEFINE_CLEANUP(struct talk, talk_free)
#define auto_talk CLEANUP(talk_free_at)

/** Append the command for the login shell. Nothing in it is secret. */
void talk_command(const struct talk *talk, struct buf *out);
/** The host said this on stdout. */
enum talk_state talk_hear(struct talk *talk, const char *bytes, size_t len);
/** After TALK_READY: do it. */
void talk_go_on(struct talk *talk);
/** What to send next. @return its length; 0: nothing for now, see talk_is_told() */
size_t talk_next(const struct talk *talk, const char **bytes_out);
/** So much of it was sent. */
void talk_sent(struct talk *talk, size_t len);
/** Everything is sent that there is to send: close stdin. */
bool talk_is_told(const struct talk *talk);
/** May the activation run, so that silence is no sign of death? */
bool talk_is_working(const struct talk *talk);
/** Bytes of files that need not be sent, since the host has them. */
size_t talk_saved(const struct talk *talk);

/** After TALK_ENDED: put what stderr said into a message that it explains. */
void talk_explain(struct talk *talk, const struct buf *errors);
/** The connection has ended before the talk: sets the task's answer.
 *  @param why     of the connection; ERR_NONE: the command ended by itself
 *  @param errors  what stderr said */
void talk_break(struct talk *talk, const struct error *why, const struct buf *errors);
/** How long the answer of the host may take from now on, in all. */
int64_t talk_total_ms(const struct talk *talk);
