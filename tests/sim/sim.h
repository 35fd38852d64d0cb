/* tests/sim/sim.h - deterministic simulation of rollouts: hosts, a remote and one service, from a
 * seed
 *
 * The product's own pure code runs here: the machine (reconcile/rollout), its way from plans and
 * from records (reconcile/rollout_build), facts, records, and the comparison of records with what
 * a commit wants (reconcile/plan_records). The world around it is modelled: the loop (service.c),
 * hosts and checks (hosts.c), commits and policies (world.c), and what goes wrong (trouble.c).
 * After each event the promises of design.md section 2 are checked (promises*.c).
 *
 * Every decision of the world is a choice out of a stream of numbers. A run is replayed from the
 * numbers alone, and shrunk by leaving some out (shrink.c): 0 is always the choice in which
 * nothing unusual happens.
 */
#pragma once
#include "reconcile/fact.h"
#include "reconcile/fleet.h"
#include "reconcile/rollout_build.h"

#define CLIENTS_MAX  300
#define STAGES_MAX   3
#define COMMITS_MAX  16
#define VERSION_NONE 0xff /* nothing runs */
#define NEVER        INT64_MAX

/* ---- choices ----------------------------------------------------------------------------------
 */

enum stream { STREAM_WORLD, STREAM_TROUBLE, STREAM_TIMES, STREAM_OUTCOMES, STREAMS };

struct choices {
	uint64_t random;
	uint32_t *items; /* drawn so far, or to be drawn again */
	size_t count, capacity;
	size_t next;
	bool replays;
};

/* ---- the world --------------------------------------------------------------------------------
 */

/** What a release is worth on a client. */
enum quality {
	QUALITY_GOOD,
	QUALITY_SICK,   /* its checks fail */
	QUALITY_BROKEN, /* it does not activate */
	QUALITY_FLAKY,  /* its checks fail now and then */
	QUALITY_LATE,   /* its checks fail after a while */
	QUALITIES
};

struct sim_stage {
	struct batches batch;
	int64_t wave_pause_ms, bake_ms, rollback_bake_ms;
	int64_t max_failures, max_unreachable;
	bool manual;
	int64_t expires_ms;
};

struct sim_commit {
	char id[OID_HEX + 1];
	bool bad; /* does not parse */
	bool roll_back;
	uint8_t wanted[CLIENTS_MAX]; /* version of each client; VERSION_NONE: not in the inventory
				      */
	struct sim_stage stages[STAGES_MAX];
	int64_t interval_ms, healthy, timeout_ms, retries, max_changed;
};

struct sim_host {
	uint8_t version;
	bool activating;  /* activate began and did not end well */
	bool by_way_back; /* activated as a way back */
	bool away;        /* cannot be reached */
	char rollout[ROLLOUT_TEXT];
	int64_t since_ms; /* runs what it runs */
};

enum outcome {
	OUTCOME_OK,
	OUTCOME_FAILED,
	OUTCOME_UNREACHABLE,
	OUTCOME_TRANSIENT, /* it failed before anything was touched */
	OUTCOME_UNSURE     /* the connection was lost: nobody knows */
};

/** An activation. It belongs to the host: a crash of the service does not end it. */
struct sim_step {
	bool running, orphan;
	enum outcome outcome;
	enum rollout_action_kind kind;
	uint32_t order;
	int64_t done_ms;
	uint64_t serial;
	struct sim_host before;
};

/** A round of checks or a question; it dies with the service. */
struct sim_round {
	bool running, good;
	enum rollout_action_kind kind;
	uint32_t order;
	int64_t begun_ms, done_ms;
	uint64_t serial;
};

/** What the promises know of a client in the running rollout, from events alone. */
struct watch {
	enum rollout_phase phase;
	bool touched;         /* its intent was accepted */
	bool proved;          /* was healthy in any life of the service */
	bool failed;          /* did not get along with the release */
	bool unreachable;     /* was not reached */
	uint8_t good_version; /* known good when the rollout began */
	bool left_out;        /* was paused when its stage succeeded */
	bool intent_out;      /* its intent went out in this life */
	bool returned;        /* its host answered: it waits for a wave again */
	unsigned finals;      /* accepted facts with a final Result */
	int good, bad;        /* rounds in a row that asked what runs since the last activation */
	int64_t round_ms;     /* its last round, once it is healthy */
	int64_t since_ms;     /* begin of that: earlier rounds do not count */
	int64_t healthy_ms;
	unsigned starts;   /* of an activation of the wanted release in this life */
	int64_t attempts;  /* that are repeated, of an activation or of the way back */
	bool lost;         /* the connection to its host, in the last of them */
	int64_t failed_ms; /* when the last of them failed */
};

struct sim_client {
	char name[8];
	size_t stage;
	bool no_checks;
	enum quality quality[COMMITS_MAX];
	enum quality way_back;
	struct sim_host host;
	struct sim_step step;
	struct sim_round rounds[2]; /* the second one is late: its wait was cut short */
	struct watch watch;
	bool hold_known; /* a failure that the branch knows forbids `hold_version` */
	uint8_t hold_version;
	bool restored; /* its last rollout failed: it is activated again on purpose */
};

/* ---- the service ------------------------------------------------------------------------------
 */

struct facts {
	struct fact **items;
	size_t count, capacity;
	size_t of_rollout;
};

struct service {
	bool up, stopping, leads;
	struct status *known; /* with every fact that went out put in */
	struct rollout *rollout;
	struct plan *plan;
	const struct sim_commit *commit; /* of the rollout */
	struct facts queue, sent;
	bool push_fails, push_rejected;
	int64_t push_ms, retry_ms, look_ms, stop_ms; /* NEVER: none is under way */
	bool look_wanted, look_resumes, look_after_push, decide_again, stale;
	uint64_t serial;
	size_t steps_running;
	unsigned crash_in; /* so many actions from now, 0 not */
	int64_t born_ms;
};

enum chapter { CHAPTER_TROUBLE, CHAPTER_CALM, CHAPTER_RESCUE, CHAPTER_OVER };

struct world {
	uint64_t seed;
	struct choices choices[STREAMS];
	bool tells;       /* the story goes to stdout */
	bool in_texts;    /* records go through their files */
	bool trusts_plan; /* the plan alone says that a commit was tried before */
	int64_t now_ms, wall_s;
	size_t client_count, stage_count;
	struct sim_client clients[CLIENTS_MAX];
	struct sim_commit commits[COMMITS_MAX];
	size_t commit_count;
	int64_t webhook_ms;
	struct status *branch; /* what the remote has accepted */
	unsigned epoch;
	struct service service;
	enum chapter chapter;
	unsigned troubles_left;
	uint64_t trouble_at; /* number of the event */
	uint64_t events, event_limit;
	uint64_t told_at; /* number of the event that led to the newest fact */
	/* what goes wrong next */
	bool others_moved;
	unsigned duplicates;        /* results that come twice */
	struct rollout_event again; /* one of them, for the second time */
	uint64_t again_serial;
	bool repeats;                     /* it is told right now */
	int64_t again_ms, again_asked_ms; /* NEVER: none */
	unsigned pushes_fail, slow_steps, transient_steps, unsure_steps;
	bool closed[STAGES_MAX]; /* outside of their windows */
	/* of the running rollout, for the promises */
	char rollout[ROLLOUT_TEXT];
	bool superseded, aborted, blocked[STAGES_MAX];
	bool over_limit, yes_to_limit, yes_to_stage[STAGES_MAX]; /* said by a person */
	int64_t bake_ms[STAGES_MAX];
	int64_t settled_ms; /* when a client of a wave came to its end last */
	int64_t waits_ms;   /* since when it waits for an approval, 0 it does not */
	bool clock_was_set; /* since the rollout began, or it was resumed */
	enum stage_state stages[STAGES_MAX];
	int64_t baking_ms[STAGES_MAX];
	int64_t slept_ms;  /* when the machine slept last */
	int64_t asked_ms;  /* begin of the round whose answer is told now */
	uint64_t rollouts; /* started */
	char broken[200];  /* the promise that was broken, "" none */
};

/* choices.c */

/** A number below @p below; 0 is the choice in which nothing unusual happens. */
uint32_t choose(struct world *world, enum stream stream, uint32_t below);
bool chance(struct world *world, enum stream stream, unsigned in_thousand);
/** Fresh numbers from a seed, or the recorded ones again from their beginning. */
void choices_seed(struct choices choices[STREAMS], uint64_t seed);
void choices_again(struct choices choices[STREAMS]);
void choices_copy(struct choices to[STREAMS], const struct choices from[STREAMS]);
void choices_free(struct choices choices[STREAMS]);

/* story.c */

/** A line of the story; nothing unless it is told. */
PRINTF(2, 3) void tell(const struct world *world, const char *format, ...);
/** An event or an action, if the story is told. */
void tell_event(const struct world *world, const struct rollout_event *event);
void tell_action(const struct world *world, const struct rollout_action *action);

/* world.c */
void world_begin(struct world *world);
void world_clear(struct world *world);
/** Plan of a commit against records, as the service would make it. */
struct plan *world_plan(
	struct world *world, const struct sim_commit *commit, const struct status *status);
/** The newest commit; a commit by its id, or NULL. */
const struct sim_commit *world_head(const struct world *world);
const struct sim_commit *world_commit(const struct world *world, const char *id);
/** Digest of a version on a client, and back. */
void release_text(size_t client, uint8_t version, char text[DIGEST_TEXT]);
uint8_t release_version(const char *text);
size_t client_index(const char *name);
/** Client of a member of the running rollout. */
struct sim_client *world_member(struct world *world, size_t member);
/** New commits: each client that changes gets a new version; or an older commit's wishes. */
void world_push_commit(struct world *world, bool rescue);
void world_push_bad(struct world *world);
void world_push_revert(struct world *world);

/* hosts.c */
void hosts_activate(struct world *world, const struct rollout_action *action);
void hosts_ask(struct world *world, const struct rollout_action *action);
/** When something of a host is due next. */
int64_t hosts_next_ms(const struct world *world);
/** Something of a host is due: end it, and tell the service. */
void hosts_happen(struct world *world);
/** The service died. */
void hosts_after_crash(struct world *world);
/** Does an activation run? */
bool hosts_are_busy(const struct world *world);

/* looks.c */
void look_now(struct world *world);

/* service.c */
void service_record(struct world *world, struct fact *fact, bool of_rollout);
/** A rollout begins or goes on; takes both over. */
void service_begin(struct world *world, struct rollout *rollout, struct plan *plan);
/** It starts, dies, is given back. */
void service_boot(struct world *world);
void service_crash(struct world *world, const char *why);
void service_free(struct world *world);
/** One event for the machine, and what it wants of the world. */
void service_feed(struct world *world, struct rollout_event event);
/** When something of its own is due next. */
int64_t service_next_ms(const struct world *world);
/** Whatever of its own is due. */
void service_happen(struct world *world);
/** After each event: pushes, looks, ends. */
void service_settle(struct world *world);
/** Somebody says: look again. */
void service_look(struct world *world);
/** A person answers what the rollout waits for, or ends it. */
bool service_may_approve(const struct world *world);
void service_approve(struct world *world);
void service_abort(struct world *world);
/** The windows of a stage open or close. */
void service_window(struct world *world, size_t stage, bool open);
/** A person pauses or resumes. @param client  SIZE_MAX: the fleet */
void service_pause(struct world *world, size_t client, bool pause);
/** Nothing of its own will ever be due. */
bool service_is_quiet(const struct world *world);

/* trouble.c */
void trouble_plan(struct world *world);
void trouble_happen(struct world *world);

/* promises.c, promises_hosts.c, promises_end.c: each failure names its promise */
#define demand(world, holds, ...)                                                                  \
	do {                                                                                       \
		if (!(holds))                                                                      \
			break_promise(world, __VA_ARGS__);                                         \
	} while (0)
/** The sentence begins with the name of the promise; the first one counts. */
PRINTF(2, 3) void break_promise(struct world *world, const char *format, ...);
/** A rollout begins, or goes on after a restart. */
void promises_begin_rollout(struct world *world);
/** Around each event of the machine, and where it activates something. */
void promises_before(struct world *world, const struct rollout_event *event);
void promises_after(struct world *world, const struct rollout_event *event,
	const struct rollout_actions *actions);
void promises_on_activate(struct world *world, size_t member, enum rollout_action_kind kind);
/** The remote accepted a fact; the service lost its memory; a newer commit was judged. */
void promises_on_accepted(struct world *world, const struct fact *fact);
void promises_on_restart(struct world *world);
void promises_on_supersede(struct world *world, const struct plan *newer, bool ends);
/** Nothing happens any more. */
void promises_at_rest(struct world *world);

/* texts.c */
/** Records of facts are written as YAML, and read again by texts_read(). Slow. */
void texts_want(bool wanted);
void texts_read(struct world *world, const struct fact *fact);

/* run.c */
/** One run out of the world's choices. @return false: see world->broken */
bool run(struct world *world);

/* shrink.c */
/** Make the choices of a failing run as few as they can be. */
void shrink(struct world *world);
