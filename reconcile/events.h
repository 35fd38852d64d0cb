/* reconcile/events.h - the events of a rollout, as events/<id>.jsonl keeps them for replay
 *
 * One JSON object a line. A rollout begins, and goes on after each restart, with a line that holds
 * the whole state of the machine; then one line for each event, with what the machine decided on
 * it. Nothing of it is a value or a secret: names, words, times, and the sentences that the commits
 * of the branch carry as Reason.
 *
 * Left out is what decides nothing: ticks that only ask for a round of checks, and good rounds of
 * clients that are healthy already. A bake of a day would be millions of them.
 */
#pragma once
#include "base/buf.h"
#include "base/node.h"
#include "reconcile/rollout.h"

#define EVENTS_NUMBER_MAX ((int64_t)1 << 52) /* of times, counts: sums stay numbers */
#define EVENTS_MAX        ((size_t)8 << 20)  /* of a file; what comes later is left out */

/* Every event, its word, and whether it is about one client. The compiler says if one is missing.
 */
#define EVENT_WORDS(X)                                                                             \
	X(EVENT_START, "start", false)                                                             \
	X(EVENT_RECORDED, "recorded", false)                                                       \
	X(EVENT_TICK, "tick", false)                                                               \
	X(EVENT_DEPLOYED, "deployed", true)                                                        \
	X(EVENT_STEP, "step", true)                                                                \
	X(EVENT_UNREACHABLE, "unreachable", true)                                                  \
	X(EVENT_UNSURE, "unsure", true)                                                            \
	X(EVENT_ROUND, "round", true)                                                              \
	X(EVENT_RUNS, "runs", true)                                                                \
	X(EVENT_SUPERSEDED, "superseded", false)                                                   \
	X(EVENT_PAUSE, "pause", true)                                                              \
	X(EVENT_RESUME, "resume", true)                                                            \
	X(EVENT_NOTE, "note", false)                                                               \
	X(EVENT_APPROVE, "approve", false)                                                         \
	X(EVENT_ABORT, "abort", false)                                                             \
	X(EVENT_WINDOW, "window", false)                                                           \
	X(EVENT_STOP, "stop", false)

#define RUNS_WORDS(X)                                                                              \
	X(RUNS_UNTOUCHED, "untouched", false)                                                      \
	X(RUNS_TARGET, "target", false)                                                            \
	X(RUNS_TARGET_UNSURE, "target-unsure", false)                                              \
	X(RUNS_BACK, "back", false)                                                                \
	X(RUNS_BACK_UNSURE, "back-unsure", false)                                                  \
	X(RUNS_UNKNOWN, "unknown", false)

#define PHASE_WORDS(X)                                                                             \
	X(PHASE_PENDING, "pending", false)                                                         \
	X(PHASE_INTENT, "intent", false)                                                           \
	X(PHASE_RESUME, "resume", false)                                                           \
	X(PHASE_STEP, "step", false)                                                               \
	X(PHASE_DEPLOY, "deploy", false)                                                           \
	X(PHASE_RETRY, "retry", false)                                                             \
	X(PHASE_AWAY, "away", false)                                                               \
	X(PHASE_VERIFY, "verify", false)                                                           \
	X(PHASE_HEALTHY, "healthy", false)                                                         \
	X(PHASE_ASK, "ask", false)                                                                 \
	X(PHASE_BACK, "back", false)                                                               \
	X(PHASE_BACK_VERIFY, "back-verify", false)                                                 \
	X(PHASE_DONE, "done", false)

#define WAIT_WORDS(X)                                                                              \
	X(WAIT_NOTHING, "nothing", false)                                                          \
	X(WAIT_LIMIT, "limit", false)                                                              \
	X(WAIT_APPROVAL, "approval", false)                                                        \
	X(WAIT_WINDOW, "window", false)                                                            \
	X(WAIT_HOSTS, "hosts", false)                                                              \
	X(WAIT_RESTORE, "restore", false)

/** Words of the lists above. */
const char *event_word(enum rollout_event_kind kind);
bool event_is_of_client(enum rollout_event_kind kind);
const char *event_runs_word(enum rollout_runs runs);
const char *event_phase_word(enum rollout_phase phase);
const char *event_wait_word(enum rollout_wait wait);
MUST_USE bool event_from_word(const char *word, enum rollout_event_kind *kind_out);
MUST_USE bool event_runs_from_word(const char *word, enum rollout_runs *runs_out);
MUST_USE bool event_phase_from_word(const char *word, enum rollout_phase *phase_out);
MUST_USE bool event_wait_from_word(const char *word, enum rollout_wait *wait_out);

/** What an action decides, in a few words: "record alpha started", "deploy alpha". A round of
 *  checks decides nothing: NULL. The caller frees. */
char *event_decision(const struct rollout *rollout, const struct rollout_action *action);

struct plan;
struct event_log;
/**
 * Begin with the state as it is now, before EVENT_START.
 * @param before  text of the file as the branch has it, for a rollout that goes on; or NULL
 */
struct event_log *event_log_new(const struct rollout *rollout, int64_t now_ms, const char *before);
void event_log_free(struct event_log *log);
DEFINE_CLEANUP(struct event_log, event_log_free)
#define auto_event_log CLEANUP(event_log_free_at)
/** rollout_step(), and the event is remembered. */
void event_log_step(struct event_log *log, struct rollout *rollout,
	const struct rollout_event *event, struct rollout_actions *actions);
/** The file as it is now; borrowed until the next step. */
const struct buf *event_log_text(const struct event_log *log);

/** The machine's state as a JSON line without its end, and back: event_state.c */
void event_state_write(const struct rollout *rollout, int64_t wall_s, struct buf *out);
MUST_USE bool event_state_read(
	const struct node *line, struct rollout **rollout_out, struct error *err);

/**
 * What the rollout does with a client that fails, by its first line: event_policy.c. Of stages
 * nothing: nobody else is begun without the commit.
 * @param text      a file of events, or NULL
 * @param plan_out  nothing but that; the defaults of fleet.yaml on failure
 */
MUST_USE bool events_policy(const char *text, struct plan *plan_out, struct error *err);
