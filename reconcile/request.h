/* reconcile/request.h - what a person asks of the running service, and what became of it
 *
 * The API checks who asks and what can be checked against a snapshot; the loop decides. A request
 * that changes something counts as done once the remote has accepted its record.
 */
#pragma once
#include "reconcile/status.h"

#define REQUEST_REASON_MAX 500 /* bytes; it becomes a trailer, and a line of `status` */
#define REQUEST_BY_TEXT    80
#define REQUESTS_MAX       100 /* that wait for the loop or for the remote */
#define REQUEST_ANSWERS    64  /* that are remembered after they are done */

enum request_kind {
	REQUEST_RECONCILE, /* look again now; never waits */
	REQUEST_PAUSE,
	REQUEST_RESUME,
	REQUEST_RETRY,
	REQUEST_ROLLBACK,
	REQUEST_APPROVE,
	REQUEST_ABORT,
	REQUEST_LEAD,
	REQUEST_KINDS
};

struct request {
	uint64_t id;
	enum request_kind kind;
	char target[ROLLOUT_TEXT]; /* a client, or the id of a rollout; "" the whole fleet */
	char by[REQUEST_BY_TEXT];  /* name of the token, or of the socket's user */
	char reason[REQUEST_REASON_MAX + 1]; /* "" none */
	bool now; /* REQUEST_APPROVE: outside of the windows of the stage too */
};

/** Is its target the id of a rollout? Else a client, or the fleet. */
static inline bool request_is_about_rollout(const struct request *request)
{
	return request->kind == REQUEST_APPROVE || request->kind == REQUEST_ABORT;
}

enum request_state { REQUEST_QUEUED, REQUEST_DONE, REQUEST_REFUSED };
/** The word of the API for it. */
const char *request_state_name(enum request_state state);

#define REQUEST_ANSWER_TEXT 900
struct request_answer {
	uint64_t id;
	enum request_state state;
	char text[REQUEST_ANSWER_TEXT]; /* a sentence: what was done, or why not */
};

/**
 * Read the body of a POST: empty, or `{"reason": "...", "now": true}`.
 * @param reason  of REQUEST_REASON_MAX + 1 bytes; "" without one
 * @param now     false without it
 * @return false: ERR_INVALID, with what is wrong
 */
MUST_USE bool request_read_body(
	const char *body, size_t len, char *reason, bool *now, struct error *err);
