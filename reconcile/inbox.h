/* reconcile/inbox.h - how everybody else talks to the loop
 *
 * A queue of messages with one reader. Webhooks only bring the next look nearer, so any number of
 * them folds into one.
 * Threads: any may post; only the loop takes.
 */
#pragma once
#include "base/error.h"

enum message_kind {
	MESSAGE_LOOK,     /* look again now; several fold into one */
	MESSAGE_LOOKED,   /* the git thread looked: `data` is a struct look_result */
	MESSAGE_APPENDED, /* the git thread wrote facts: `data` is the branch's tip; or not: `err`
			   */
	MESSAGE_WORKED,   /* a worker ended: `data` is a struct work */
	MESSAGE_ROUND,    /* a round of checks ended: `client`, `ok`, `err.message` */
	MESSAGE_REQUEST,  /* a person asks: `data` is a struct request */
	MESSAGE_STOP      /* finish or record what runs, then end */
};

struct message {
	struct message *next;
	enum message_kind kind;
	uint64_t rollout; /* serial of the rollout that it concerns; others are out of date */
	size_t client;
	uint32_t order; /* of the machine's action that it answers */
	bool ok;
	void *data;
	void (*free_data)(void *data); /* for messages that are never read; may be NULL */
	struct error err;
};

struct inbox;
/** An empty inbox, for any number of senders and one reader. */
struct inbox *inbox_new(void);
/** Frees unread messages too. */
void inbox_free(struct inbox *inbox);
DEFINE_CLEANUP(struct inbox, inbox_free)
#define auto_inbox CLEANUP(inbox_free_at)

/** A message to fill and post. */
struct message *message_new(enum message_kind kind);
void message_free(struct message *message);
DEFINE_CLEANUP(struct message, message_free)
#define auto_message CLEANUP(message_free_at)

/** Takes the message over. */
void inbox_post(struct inbox *inbox, struct message *message);
/** The oldest message, or NULL once the monotonic clock reached @p until_ms (INT64_MAX: waits for
 * ever). */
struct message *inbox_take(struct inbox *inbox, int64_t until_ms);
/** Is nothing waiting? Only a hint: the next message may be on its way. */
bool inbox_is_empty(struct inbox *inbox);
