/* reconcile/rollout.h - the rollout as a pure state machine: (state, event) -> (state, actions)
 *
 * Plain data; no clock, no I/O, no global. Time and outcomes come in as events; what is to be done
 * goes out as actions. Whoever drives it (reconcile/loop, tests/sim) carries them out.
 *
 * One client (phase; the word that records show):
 *
 *   PENDING ---- wave starts ----> INTENT (pending)      the intent is being recorded
 *   INTENT ----- recorded -------> STEP or DEPLOY (deploying)  first entry of its pipeline
 *   INTENT ----- resumed/asked --> VERIFY                the host runs it already
 *   STEP ------- ok -------------> STEP, DEPLOY, VERIFY or HEALTHY: the next entry; what a backup
 *                                  made, and all else, is accepted by the remote before it begins
 *   STEP ------- failed before deploy --> DONE (failed)  nothing was touched: no way back
 *   DEPLOY ----- ok -------------> STEP, or VERIFY (verifying): rounds until `healthy` in a row
 *   STEP, DEPLOY, BACK - failed, transient, retries left --> RETRY; after its back-off again
 *   DEPLOY, BACK - outcome unknown --> RESUME            the driver is asked until the deadline
 *   RESUME ----- asked: not there, retries left --> RETRY; none left: AWAY if it is untouched, else
 *                BACK, or DONE (failed) if it was going back
 *   STEP ------- outcome unknown --> RETRY: steps may be repeated
 *   VERIFY ----- enough good ----> STEP, or HEALTHY (healthy): rounds go on in bake
 *   DEPLOY, VERIFY, HEALTHY (bake), STEP after deploy - bad --> BACK, or ASK
 *   BACK (deploying)               driver returns to the known good, with its data if so chosen
 *   BACK ------- ok -------------> BACK_VERIFY (verifying)
 *   ASK (waiting)                  a person says whether the data come back too
 *   ASK -------- approved, and that is accepted --> BACK
 *   ASK -------- aborted, superseded --> DONE (failed)   it stays as it is
 *   BACK_VERIFY  enough good ----> DONE (rolled-back)
 *   BACK, BACK_VERIFY - bad -----> DONE (failed)
 *   without known good, or on_failure: hold: DEPLOY, VERIFY, STEP - bad --> DONE (failed)
 *   HEALTHY ---- stage succeeded > DONE (healthy)
 *   STEP, DEPLOY - unreachable before anything was touched --> AWAY (waiting)
 *   AWAY ------- the rollout waits for hosts, and this one answers --> INTENT, recorded again
 *   AWAY ------- its stage ends -> DONE (skipped)        a new rollout brings it up to date
 *   any wait --- superseded -----> DONE (superseded); STEP, DEPLOY and BACK end first
 *   any wait --- aborted --------> DONE (skipped); STEP, DEPLOY and BACK end first
 *   RESUME ----- driver answers -> INTENT | DEPLOY | STEP | VERIFY | BACK | BACK_VERIFY | ASK
 *   PENDING ---- paused ---------> stays; its stage waits for it, unless others of it are healthy
 *   RESUME ----- no answer until the deadline --> BACK, ASK, or DONE (failed) if it was going back
 *
 * Data: only the way back from a release whose activation began brings them back, and only from a
 * backup that belongs to the known good release. Before deploy a step is repeated from the
 * pipeline's beginning after a restart; after activation began no backup of before it is made
 * again.
 *
 * One stage:
 *   PENDING ---- something forbids the start --> WAITING   see enum rollout_wait
 *   PENDING, WAITING - may start --> RUNNING (waves, wave_pause between them)
 *   RUNNING ---- before the next wave: window closed, hosts away --> WAITING
 *   RUNNING, BAKING - nothing is in flight, a client is in ASK --> WAITING
 *   RUNNING ---- all healthy ----> BAKING --> SUCCEEDED
 *   SKIPPED without changed clients; FAILED past max_failures, or if no client of it became
 *   healthy; SUPERSEDED; ABORTED.
 *
 * The rollout:
 *   RUNNING <--> WAITING (as its stage) --> SUCCEEDED | FAILED | SUPERSEDED | ABORTED
 *   WAITING ---- approved, window opens (or a person says now), host answers --> RUNNING
 *   WAITING ---- approval expired --> ABORTED
 *   superseded or aborted while something of it runs: told at once, ended when that has ended
 *
 * Recording first: `unrecorded` counts the facts that went out and were not accepted yet. While it
 * is not 0 nothing starts but the rollback of a client whose intent was accepted (promise 4).
 */
#pragma once
#include "reconcile/batch.h"
#include "reconcile/pipeline.h"
#include "reconcile/status.h"

enum rollout_phase {
	PHASE_PENDING,
	PHASE_INTENT,
	PHASE_RESUME,
	PHASE_STEP,
	PHASE_DEPLOY,
	PHASE_RETRY,
	PHASE_AWAY,
	PHASE_VERIFY,
	PHASE_HEALTHY,
	PHASE_ASK,
	PHASE_BACK,
	PHASE_BACK_VERIFY,
	PHASE_DONE
};

/** What a rollout waits for; `record.waits_for` says it in words. */
enum rollout_wait {
	WAIT_NOTHING,
	WAIT_LIMIT,    /* over policy.max_changed: EVENT_APPROVE */
	WAIT_APPROVAL, /* approval: manual of the current stage: EVENT_APPROVE */
	WAIT_WINDOW,   /* windows of the current stage: EVENT_WINDOW */
	WAIT_HOSTS,    /* hosts that could not be reached: EVENT_RUNS */
	WAIT_RESTORE   /* clients in PHASE_ASK: EVENT_APPROVE */
};
/** Does a person have to answer it, by approve or abort? */
static inline bool rollout_wait_is_for_person(enum rollout_wait wait)
{
	return wait == WAIT_LIMIT || wait == WAIT_APPROVAL || wait == WAIT_RESTORE;
}

struct rollout_client {
	struct member_record *record; /* in rollout->record */
	size_t stage;
	enum rollout_phase phase;
	bool unproved;      /* the host runs `to` already: verify and bake, no activation */
	bool no_checks;     /* nothing to ask: healthy as soon as it is activated */
	bool has_good;      /* there is a known good release to go back to */
	bool activated;     /* the host runs `to`, as far as we know */
	bool touched;       /* its activation was interrupted, and has to be brought to an end */
	bool lost;          /* its connection was lost in an activation, or in the way back */
	bool unreachable;   /* the host could not be reached, nothing was touched */
	bool going_back;    /* resumed: the branch says that its way back has begun */
	bool paused;        /* by a person: it is not started; counts as changed and not healthy */
	bool stepping;      /* its newest action is a step */
	bool begun;         /* the activation of `to` began, as far as we know */
	bool runs_good;     /* it ran its known good release when the rollout began */
	bool has_backup;    /* there is one that belongs to the known good release */
	bool failed;        /* failed or rolled back: counts against max_failures */
	bool round_running; /* a round of checks, or a step, was asked for and not answered */
	enum restore_choice restore;
	uint32_t order; /* number of the newest action for it: only its answer counts */
	int good_rounds, bad_rounds; /* in a row */
	size_t step;                 /* entry of its pipeline that runs, or comes next */
	int64_t attempts;            /* of the step, activation or way back that failed */
	int64_t asked;               /* questions while it was away, since it was activated last; in
					PHASE_ASK: a person was told */
	int64_t verify_until_ms;     /* monotonic */
	int64_t next_round_ms;       /* monotonic; 0 none */
	char failure[512];           /* why it failed, for people */
	char attempt[200];           /* why the last attempt failed, for people */
};

struct rollout_stage {
	struct stage_record *record; /* in rollout->record */
	size_t first, count;         /* its clients in rollout->clients */
	struct batches batch;
	int64_t wave_pause_ms;
	int64_t max_failures, max_unreachable;
	bool blocked;          /* a held client of the stage changes: no later stage starts */
	bool closed;           /* outside of its windows: nothing starts */
	int64_t opens_s;       /* then: when the next one opens; 0 not known */
	int64_t bake_until_ms; /* monotonic, 0 = not baking */
	int64_t wave_until_ms; /* monotonic, 0 = no pause between waves */
};

struct rollout {
	struct rollout_record record;
	struct rollout_stage *stages;
	size_t stage_count;
	struct rollout_client *clients; /* stage by stage */
	size_t client_count;
	size_t current; /* stage that is worked on */
	bool roll_back; /* on_failure: rollback */
	int64_t verify_interval_ms, verify_healthy, verify_timeout_ms;
	int64_t retries;   /* of attempts that failed for what may pass by itself */
	size_t unrecorded; /* facts not yet accepted by the remote */
	bool paused;       /* by a person: no client is started, what runs ends */
	bool superseded; /* a newer commit came: nothing starts, waits end; by record.superseded_by
			  */
	bool aborted;    /* by record.abort: as superseded, then held */
	bool tells_end;  /* one of the two is news that the branch does not have */
	enum rollout_wait waits;
	int64_t wait_until_ms; /* monotonic: the approval expires; 0 never */
	bool stopping;         /* the service stops: nothing starts; resumed after the restart */
	bool ended;            /* the final record went out */
	bool resumed;          /* its start is recorded already */
	enum restore_when restore;
	char onboard[PIPELINE_TEXT], upgrade[PIPELINE_TEXT]; /* see reconcile/pipeline.h */
};

enum rollout_event_kind {
	EVENT_START,       /* begin, or go on after a restart */
	EVENT_RECORDED,    /* `count` facts were accepted by the remote, with their tags */
	EVENT_TICK,        /* time passed */
	EVENT_DEPLOYED,    /* result of ACTION_DEPLOY or ACTION_BACK: ok, or failed (text) */
	EVENT_STEP,        /* result of ACTION_STEP: ok, or failed (text) */
	EVENT_UNREACHABLE, /* the host could not be reached; the action did not begin there */
	EVENT_UNSURE,      /* outcome of the action unknown: connection lost */
	EVENT_ROUND,       /* result of ACTION_ROUND: ok or bad (text) */
	EVENT_RUNS,        /* answer to ACTION_ASK, see `runs` */
	EVENT_SUPERSEDED,  /* a newer commit; `text` is its id */
	EVENT_PAUSE,       /* by a person, of `client` or ROLLOUT_ALL: not started until */
	EVENT_RESUME,      /* this */
	EVENT_NOTE,        /* `text` is remembered in the record, once */
	EVENT_APPROVE,     /* `who` says yes to what is waited for, `text` why; else ignored */
	EVENT_ABORT,       /* `who` ends it, `text` why */
	EVENT_WINDOW,      /* the windows of `stage` opened (ok) or closed */
	EVENT_STOP         /* the service is stopping */
};

#define ROLLOUT_ALL SIZE_MAX /* as `client` of an event: the fleet */

enum rollout_runs {
	RUNS_UNTOUCHED,     /* this rollout has not touched the host */
	RUNS_TARGET,        /* the wanted release, activated */
	RUNS_TARGET_UNSURE, /* the wanted release is current, its activation did not end well or is
			       unknown */
	RUNS_BACK,          /* the known good, activated by this rollout */
	RUNS_BACK_UNSURE,   /* going back had begun */
	RUNS_UNKNOWN        /* something else: activate again */
};

struct rollout_event {
	enum rollout_event_kind kind;
	size_t client;  /* index in rollout->clients */
	uint32_t order; /* of the action that this answers; 0: of the newest one */
	size_t stage;   /* EVENT_WINDOW */
	bool ok;
	bool transient; /* a failed EVENT_DEPLOYED or EVENT_STEP: it did not begin, and what kept it
			   from that may pass by itself */
	bool untouched; /* a failed EVENT_DEPLOYED: it did not begin */
	bool restores;  /* EVENT_RUNS: the way back that the host knows of brought data back */
	enum rollout_runs runs;
	size_t count;     /* EVENT_RECORDED */
	int64_t now_ms;   /* monotonic, of every event */
	int64_t wall_s;   /* of every event, for records */
	const char *text; /* why; borrowed for the call; may be NULL */
	const char *who;  /* a person's name; borrowed for the call; may be NULL */
	bool now;         /* EVENT_APPROVE: the stage starts outside of its windows too */
	int64_t opens_s;  /* EVENT_WINDOW that closed: Unix seconds of the next one; 0 not known */
	const char *tag;  /* EVENT_APPROVE: id of the tag that says so; may be NULL */
};

enum rollout_action_kind {
	ACTION_RECORD, /* write `fact` and answer with EVENT_RECORDED once accepted */
	ACTION_STEP,   /* run the step that rollout_step_name() says */
	ACTION_DEPLOY, /* deliver and activate `to` */
	ACTION_BACK,   /* activate the known good again, after its restore if that is chosen */
	ACTION_ROUND,  /* one round of checks */
	ACTION_ASK     /* what does the host run? */
};

enum rollout_fact {
	FACT_ROLLOUT_STARTED,
	FACT_CLIENT_STARTED, /* intent; with the rollback tag */
	FACT_CLIENT_BACKUP,  /* its backup was made; no Result */
	FACT_CLIENT_ASKS,    /* it waits for a person: restore its data? Result waiting */
	FACT_CLIENT_BACK,    /* its rollback has begun; no Result */
	FACT_CLIENT_RETRY,   /* an attempt failed and is repeated; no Result */
	FACT_CLIENT_WAITING, /* its host could not be reached; Result waiting */
	FACT_STAGE,          /* a stage changed state */
	FACT_WAITING,        /* the rollout waits, see record.waits_for */
	FACT_APPROVED,       /* the newest of record.approvals */
	FACT_ENDING,         /* aborted or superseded, while something of it still runs */
	FACT_CLIENT_ENDED,   /* final Result by the member's state */
	FACT_CLIENT_HELD,
	FACT_ROLLOUT_ENDED
};

struct rollout_action {
	enum rollout_action_kind kind;
	enum rollout_fact fact;
	size_t client;  /* index, for what concerns a client */
	uint32_t order; /* goes into the event that answers it; 0: ACTION_RECORD */
	size_t stage;
};

struct rollout_actions {
	struct rollout_action *items;
	size_t count, capacity;
};
void rollout_actions_clear(struct rollout_actions *actions);

/**
 * One step. @p actions is appended to. Facts come in the order in which they must be committed;
 * what may run only after a fact was accepted is given out by the step of its EVENT_RECORDED.
 */
void rollout_step(struct rollout *rollout, const struct rollout_event *event,
	struct rollout_actions *actions);

/** Monotonic time of the next EVENT_TICK that is needed, INT64_MAX = none. */
int64_t rollout_next_tick_ms(const struct rollout *rollout);

/** Pipeline of a client. */
const char *rollout_pipeline(const struct rollout *rollout, const struct rollout_client *client);
/** Name of the entry of its pipeline that runs or comes next. @return false past the end */
bool rollout_step_name(const struct rollout *rollout, const struct rollout_client *client,
	char name_out[STEP_NAME]);
/** Name of the backup that this rollout makes of a client: always the same, also after a restart.
 */
void rollout_backup_name(const struct rollout *rollout, const struct rollout_client *client,
	char name_out[BACKUP_TEXT]);
/** Did it come to its end before anything was touched, by a step before deploy? */
bool rollout_client_is_untouched(
	const struct rollout *rollout, const struct rollout_client *client);

/** Clients that the next wave of a stage may start. */
size_t rollout_wave_room(const struct rollout *rollout, const struct rollout_stage *stage);

/** Give the machine its arrays: one rollout_stage per record stage, one rollout_client per member
 *  in order; the caller then sets policy fields. The record is taken over. */
struct rollout *rollout_new(struct rollout_record *record);
void rollout_free(struct rollout *rollout);
DEFINE_CLEANUP(struct rollout, rollout_free)
#define auto_rollout CLEANUP(rollout_free_at)
