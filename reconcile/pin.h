/* reconcile/pin.h - `aviary_pin`: a client is kept on the release that it runs until a day is over
 *
 * The day is one of UTC and belongs to the pin: `until: 2027-01-31` ends when 2027-02-01 begins.
 * Who else must know the date of today gets it as Unix seconds.
 */
#pragma once
#include "base/node.h"
#include "base/problems.h"

#define PIN_UNTIL      12  /* "2027-01-31", with the NUL and one to spare */
#define PIN_REASON_MAX 500 /* bytes; it becomes a trailer, and a line of `status` */

/** What the inventory asks for. */
struct client_pin {
	const struct node *place;
	const char *until, *reason;
	int64_t end_s; /* Unix seconds when it is over; 0: there is no pin */
};

/** What a client's record says. */
struct pin {
	bool pinned;
	char until[PIN_UNTIL];
	char *reason;
	char commit[41]; /* in which it was first seen */
	int64_t since_s; /* when that was */
};

/**
 * Read the value of `aviary_pin`.
 * @param name      of the host, for messages
 * @param problems  NULL: mistakes are told elsewhere
 * @return false: it is no pin; @p pin_out is untouched then
 */
bool pin_from_node(const struct node *node, const char *name, struct client_pin *pin_out,
	struct problems *problems);
/** When a day is over. @return false: there is no such day, or it is written otherwise */
MUST_USE bool pin_day_end(const char *until, int64_t *end_s_out);

/** Free what it owns; make a copy that owns its own (@p to is overwritten). */
void pin_clear(struct pin *pin);
void pin_copy(struct pin *to, const struct pin *from);
struct emitter;
/** `pinned: {until, reason, commit, since}`; nothing if it is none. */
void pin_emit(struct emitter *emitter, const struct pin *pin);
MUST_USE bool pin_read(const struct node *map, struct pin *pin, struct error *err);
