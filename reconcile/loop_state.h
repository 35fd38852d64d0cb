/* reconcile/loop_state.h - inside of the loop, shared by its files only */
#pragma once
#include "reconcile/events.h"
#include "reconcile/loop.h"
#include "reconcile/renderer.h"
#include "reconcile/rollout_build.h"
#include "reconcile/workers.h"

struct fact_list {
	struct fact **items;
	size_t count, capacity;
};

/** A request that is not done yet. */
struct asked {
	struct request request;
	bool decided; /* its facts are queued, or it is known that none are needed */
	bool refused;
	bool told;                      /* abort: the machine knows */
	bool looking;                   /* the git thread looks for it */
	uint64_t facts;                 /* done once so many were accepted */
	char text[REQUEST_ANSWER_TEXT]; /* the answer; before that, what it waits for */
};

struct loop {
	struct loop_options options;
	struct board *board;
	struct inbox *inbox;
	struct git_thread *git;
	struct hosts *hosts;
	struct renderer *renderer;
	struct workers *workers;

	char instance[64];
	bool state_is_new;     /* no instance of this state folder led yet: it may take over */
	bool leads, stands_by; /* neither: the first look did not end yet */
	int64_t epoch;

	struct status *status; /* with every fact that went out put in */
	struct look_result
		*seen; /* last look that found something; its status and plan are moved out */
	bool look_running, look_wanted, look_forced, look_resumes;
	bool poked;            /* atomic: a look that webhooks asked for did not begin yet */
	bool resume_waits;     /* what `seen` goes on with, until it is accepted that we lead */
	bool look_after_push;  /* a look found facts of ours under way: it is repeated after them */
	unsigned looks_failed; /* in a row */
	uint64_t looks;
	bool looked; /* at least once with success */
	int64_t next_look_ms;
	int64_t look_not_before_ms; /* unless it is forced */

	struct rollout *rollout; /* NULL: nothing runs */
	struct plan *plan;       /* of it; NULL if its commit does not load any more */
	char author[120];
	char signed_by[SIGNED_BY_TEXT];
	struct event_log *events; /* of it */
	struct oid stands_in;     /* for the commit of the rollout, if that is gone; else empty */
	char *events_before;      /* of the branch, for a rollout that goes on; or NULL */
	uint64_t serial;          /* of the rollout; answers with another one are out of date */
	int64_t windows_ms;       /* when windows of its stages are looked at again; 0: none */
	size_t steps_running;     /* activations and questions under way */

	struct fact_list queue; /* facts that wait for the push under way */
	struct fact_list sent;  /* of the push under way or to be repeated */
	size_t sent_of_rollout; /* facts of the machine among them */
	size_t queued_of_rollout;
	uint64_t batch; /* number of the facts in `sent` */
	bool append_running;
	int64_t append_retry_ms; /* 0: no retry is due */
	unsigned append_failed;  /* in a row */

	uint64_t queued_ever, accepted_ever; /* facts since the start; dropped ones count as both */

	bool take_over; /* a person said that we lead, with the next look */
	struct request take_over_by;
	uint64_t by_hand; /* request that the look under way is for; 0 none */
	char by_hand_client[ROLLOUT_TEXT];
	bool status_stale;   /* facts were dropped: the next look reads the branch anew */
	struct asked *asked; /* in the order of their numbers */
	size_t asked_count, asked_capacity;
	struct request_answer answers[REQUEST_ANSWERS]; /* a ring */
	size_t answer_count, answer_next;
	uint64_t request_taken;  /* newest number that the loop has seen */
	uint64_t request_next;   /* atomic: number of the next */
	size_t requests_waiting; /* atomic */

	struct drift_round {
		enum policy_drift policy; /* of the last deployed commit */
		int64_t interval_ms;
		int64_t next_ms;        /* monotonic, of the next round; 0: no look was made yet */
		bool running;           /* a round */
		struct strlist clients; /* of it */
		size_t asked, answered; /* of them */
		struct strlist found;   /* that it found drifted: they may be repaired */
		bool looking;           /* the git thread looks what a repair needs */
		struct strlist repairs; /* clients of that look */
	} drift;

	bool decide_again;      /* somebody else changed our records */
	unsigned decided_again; /* in a row, without a push that was accepted */
	char halted[1400];      /* a host knows more than the branch: nothing is touched. "" none */
	struct oid halted_tip;  /* of the branch then */
	bool stopping;
	int64_t stop_until_ms;
	bool changed;            /* something that a snapshot shows */
	struct strlist vanished; /* recorded clients that the newest plan did not find */
	char problem[1400];
	char not_ready[1400];
	struct loop_outcome outcome;
};

/* loop_rollout.c */

/** Feed the machine and carry out what it wants. @p text may be NULL. */
void loop_feed(struct loop *loop, struct rollout_event event);
/** Tell the machine which stages are inside of their windows now. */
void loop_apply_windows(struct loop *loop);
/** Begin a rollout; takes both over. */
void loop_begin(struct loop *loop, struct rollout *rollout, struct plan *plan, const char *author);
/** Answers of workers and checks. */
void loop_on_worked(struct loop *loop, struct message *message);
void loop_on_round(struct loop *loop, const struct message *message);
/** Touch nothing more until somebody moved the branch or restarts us: a host refused. */
void loop_halt(struct loop *loop, const struct error *err);
/** Forget the running rollout (it ended, or is read anew from the branch). */
void loop_drop_rollout(struct loop *loop);

/* loop_record.c */

/** Queue a fact for the branch (taken over) and put its records into the status. */
void loop_record(struct loop *loop, struct fact *fact, bool of_rollout);
/** Push what is queued, if no push is under way. */
void loop_push(struct loop *loop);
void loop_on_appended(struct loop *loop, const struct message *message);
/** Forget facts that were not accepted. */
void loop_drop_facts(struct loop *loop);
bool loop_has_facts(const struct loop *loop);

/* loop_look.c */

/** Start a look if one is wanted and none runs. */
void loop_start_look(struct loop *loop);
void loop_on_looked(struct loop *loop, struct message *message);
/** Name of this instance: from state_dir/instance, made on first use. */
MUST_USE bool loop_read_instance(struct loop *loop, struct error *err);
/** Leadership was accepted: the state folder is not new any more. */
void loop_keep_instance(struct loop *loop);
/** Likewise: go on with the rollout that the branch says is running. */
void loop_on_leading(struct loop *loop);

/* loop_request.c */

/** Numbers of requests begin here: no earlier run of the service gave them out. */
void loop_init_requests(struct loop *loop);
void loop_on_request(struct loop *loop, const struct message *message);
/** Decide what can be decided now, and answer what is done. */
void loop_settle_requests(struct loop *loop);
/** Their facts were dropped: all that were not accepted are decided again. */
void loop_reopen_requests(struct loop *loop);
/** What a request's answer says, once it is done. */
PRINTF(2, 3) void asked_say(struct asked *asked, const char *format, ...);
/** Done as soon as everything that is queued so far was accepted. */
void asked_decided(struct loop *loop, struct asked *asked);
/** Done now, and refused; asked_say() tells why. */
void asked_refuse(struct asked *asked);
/** Tell the rollout that runs what is paused now. */
void loop_apply_pauses(struct loop *loop);
/** What became of them, for a snapshot. */
void loop_show_requests(const struct loop *loop, struct snapshot *snapshot);

/* loop_retry.c */

/** End holds, and let the newest commit be tried again. @param client  NULL: all */
void loop_decide_retry(struct loop *loop, struct asked *asked, const struct client_record *client);
/** Of two stages, in the order of the newest rollout that has both. */
bool loop_stage_is_before(const struct status *status, const char *stage, const char *other);

/* loop_by_hand.c */

/** `rollback CLIENT`: look what the release to go back to needs. */
void loop_decide_rollback(
	struct loop *loop, struct asked *asked, const struct client_record *client);
/** The look ended: the rollout begins, or is refused. @param may  we lead and nothing is amiss */
void loop_on_by_hand(struct loop *loop, struct look_result *result, bool may);
/** The look failed, if it was for a request: that is refused. */
void loop_by_hand_failed(struct loop *loop, const struct error *err);

/* loop.c: loop_run() without waiting and without snapshots, which is what tests/sim drives */

/** Before the first turn. */
void loop_begin_turns(struct loop *loop);
/** Everything that one message, or the time, leads to. @param message  borrowed; NULL: none */
void loop_turn(struct loop *loop, struct message *message);
/** When the next turn is due without a message. */
int64_t loop_next_wake_ms(const struct loop *loop);
/** Nothing is left to do, or it was told to stop: no more turns. */
bool loop_is_done(const struct loop *loop);

/** Remember trouble for `status` and say it in the log, once per text. */
void loop_set_problem(struct loop *loop, const char *text);

/* loop_drift.c */

/** Monotonic time of the next round, INT64_MAX: none may begin now. */
int64_t loop_drift_wake_ms(const struct loop *loop);
/** Ask hosts what they run, if it is time; or put right what was found. */
void loop_go_on_with_drift(struct loop *loop);
/** A look found what fleet.yaml says. */
void loop_set_drift_policy(struct loop *loop, const struct look_result *result);
/** Ask again as soon as nothing runs. */
void loop_ask_drift_soon(struct loop *loop);
/** A host answered a question of a round. */
void loop_on_drift(struct loop *loop, const struct message *message);
/** A rollout compared a host with its record before the first step there. */
void loop_note_drift(struct loop *loop, const struct work *work);
/** A rollout begins: what a round was told counts no more. */
void loop_stop_drift_round(struct loop *loop);

/* loop_repair.c */

/** Look what putting right needs, of the hosts that the last round found drifted. */
void loop_repair_drift(struct loop *loop);
/** The look ended: the rollout begins, or it is told why not. @param may  as of loop_on_by_hand()
 */
void loop_on_repair(struct loop *loop, struct look_result *result, bool may);
/** The look failed: the next round finds it again. */
void loop_repair_failed(struct loop *loop);
