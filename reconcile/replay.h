/* reconcile/replay.h - runs the machine on the events of a rollout again
 *
 * The same state and the same events must lead to the same decisions, or the machine is not what it
 * was when the rollout ran, or the file is not what it wrote.
 */
#pragma once
#include "base/error.h"
#include "reconcile/events.h"

/** One event that was replayed; all borrowed for the call. */
struct replay_step {
	size_t line;                   /* in the file, from 1 */
	size_t part;                   /* how often the rollout has begun or gone on: 1, 2, ... */
	int64_t since_ms;              /* since this part began */
	int64_t wall_s;                /* 0: not known yet */
	const struct rollout *rollout; /* after the event */
	const struct rollout_event *event;
	const struct strlist *decisions; /* of the machine now */
	const struct strlist *recorded;  /* of the machine then */
	bool same;
};

struct replay {
	size_t events, decisions, parts;
	size_t different;      /* steps whose decisions differ */
	bool cut;              /* the file had reached its limit */
	bool ended;            /* with a last word for the rollout */
	struct strlist record; /* what was decided to be recorded, in order, without "record " */
};
void replay_clear(struct replay *replay);
#define auto_replay CLEANUP(replay_clear)

/** What a fact of a rollout says, as `record` of a replay words it. Texts may be NULL or "".
 *  The caller frees. */
char *replay_fact_word(const char *subject, const char *client, const char *result);

struct replay_input {
	const char *file; /* for messages */
	const char *text;
	size_t len;
};

struct replay_listener {
	void (*tell)(void *data, const struct replay_step *step);
	void *data;
};

/**
 * @param listener  is told each event; or NULL
 * @return false: ERR_INVALID with file and line, it is no file of events
 */
MUST_USE bool replay_run(const struct replay_input *input, const struct replay_listener *listener,
	struct replay *replay_out, struct error *err);
