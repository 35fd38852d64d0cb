/* tests/sim/sim.h - deterministic simulation of rollouts: hosts, a remote and one service, from a
 * seed
 *
 * The product's own code runs here: the machine (reconcile/rollout*), facts and records, the
 * comparison of records with what a commit wants (reconcile/plan_records, plan_policy), and the
 * whole loop (reconcile/loop*): the linker puts stand-ins (stand_ins.c) in place of the clock, the
 * inbox, the git thread and the workers. The world around it is modelled: the forge with the
 * tracked branch and the status branch (remote.c), hosts and checks (hosts.c), commits and policies
 * (world.c), and what goes wrong (trouble.c). After each event the promises of design.md section 2
 * are checked (promises*.c).
 *
 * Every decision of the world is a choice out of a stream of numbers. A run is replayed from the
 * numbers alone, and shrunk by leaving some out (shrink.c): 0 is always the choice in which
 * nothing unusual happens.
 */
#pragma once
#include "reconcile/fact.h"
#include "reconcile/fleet.h"
#include "reconcile/loop_state.h"

#define CLIENTS_MAX  300
#define STAGES_MAX   3
#define COMMITS_MAX  16
#define SERVICES     2
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
	struct batches batch, old_batch; /* the second one counts too, if there is one */
	int64_t wave_pause_ms, bake_ms, rollback_bake_ms;
	int64_t max_failures, max_unreachable;
	bool manual;
	int64_t expires_ms;
};

struct sim_commit {
	char id[OID_HEX + 1];
	bool bad;       /* does not parse */
	bool gone;      /* the branch was rewritten without it */
	uint8_t policy; /* number of its fleet.yaml */
	bool roll_back;
	uint8_t wanted[CLIENTS_MAX]; /* version of each client; VERSION_NONE: not in the inventory
				      */
	bool pinned[CLIENTS_MAX];
	struct sim_stage stages[STAGES_MAX];
	int64_t interval_ms, healthy, timeout_ms, retries, max_changed;
	const char *onboard, *upgrade; /* pipelines */
	enum restore_when restore;
};

struct sim_host {
	uint8_t version;
	bool activating;  /* activate began and did not end well */
	bool by_way_back; /* activated as a way back */
	bool away;        /* cannot be reached */
	bool restored;    /* it came back with data of a backup */
	uint8_t data;     /* version that used them last: a release changes its data for good */
	char rollout[ROLLOUT_TEXT];
	char begun[ROLLOUT_TEXT]; /* rollout that last activated what it wants, or tried */
	int64_t epoch;            /* highest that activated something here */
	int64_t since_ms;         /* runs what it runs */
};

enum outcome {
	OUTCOME_OK,
	OUTCOME_FAILED,
	OUTCOME_UNREACHABLE,
	OUTCOME_TRANSIENT, /* it failed before anything was touched */
	OUTCOME_UNSURE,    /* the connection was lost: nobody knows */
	OUTCOME_REFUSED    /* the host follows a newer leader */
};

#define BACKUPS_MAX 8

struct sim_backup {
	char name[BACKUP_TEXT];
	uint8_t data;
};

/** Something that is under way on a host for a service. An activation or a step belongs to the
 * host: a crash of the service does not end it. A round of checks or a question dies with the
 * service. */
struct job {
	struct service *service; /* NULL: it died */
	struct work *work;
	size_t client;
	enum outcome outcome;
	bool back;    /* an activation of the known good */
	bool good;    /* a round */
	bool touched; /* its host is not what it was */
	int64_t begun_ms, done_ms;
	struct sim_host before;
};

/** What the promises know of a client in the running rollout, from events alone. */
struct watch {
	enum rollout_phase phase;
	bool touched;         /* its intent was accepted */
	bool proved;          /* was healthy in any life of the service */
	bool failed;          /* did not get along with the release */
	bool unreachable;     /* was not reached */
	uint8_t good_version; /* known good when the rollout began */
	bool doubted;         /* its host could not say whether its activation ended well */
	bool left_out;        /* was paused when its stage succeeded */
	bool intent_out;      /* its intent went out in this life */
	bool returned;        /* its host answered: it waits for a wave again */
	unsigned finals;      /* accepted facts with a final Result */
	int good, bad;        /* rounds in a row that asked what runs since the last activation */
	int64_t round_ms;     /* its last round, once it is healthy */
	int64_t since_ms;     /* begin of that: earlier rounds do not count */
	int64_t healthy_ms;
	size_t entry;      /* of its pipeline: so many have ended well in this life */
	bool stepped;      /* a step was started by the newest event */
	bool fresh;        /* and nothing had been activated before it in this rollout */
	bool unproved;     /* it is only to be verified */
	bool backed_up;    /* the branch says that this rollout made a backup */
	bool ran;          /* it ran the wanted release when the rollout began */
	bool unknown;      /* nobody knows whether the wanted release was activated */
	bool untouched;    /* so its host said when it was asked last */
	bool verified;     /* enough good rounds */
	bool yes;          /* a person allowed the restore of its data */
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
	struct sim_backup backups[BACKUPS_MAX]; /* a ring */
	size_t backup_next;
	struct watch watch;
	int64_t intent_epoch; /* of the branch, when its newest intent was accepted, and whose */
	char intent_of[ROLLOUT_TEXT];
	bool hold_known; /* a failure that the branch knows forbids `hold_version` */
	bool hold_by_hand;
	uint8_t hold_version;
	char forgiven[ROLLOUT_TEXT]; /* a person asked to try again what failed up to this rollout
				      */
	bool restored;               /* its last rollout failed: it is activated again on purpose */
};

/* ---- services ---------------------------------------------------------------------------------
 */

/** A push under way, or one that its service did not live to see the end of. */
struct push {
	bool running;
	struct fact *const *facts;
	size_t count;
	uint64_t batch;
	unsigned decided_on; /* this tip of the status branch */
	int64_t done_ms;
	bool fails, lands; /* the remote cannot be reached; the facts arrive all the same */
};

/** One process, with its state folder. Its threads are stand-ins: their work is done by remote.c
 *  and hosts.c, their answers wait here. */
struct service {
	unsigned number; /* 0: the one that should be there */
	char instance[16];
	unsigned folders; /* that it had so far */
	bool folder_is_new;
	struct loop *loop; /* NULL: it is down */
	bool dead;         /* in the middle of what it does: nothing of that has any effect */
	unsigned crash_in; /* so many actions from now, 0 not */
	struct message *first, *last;
	/* its git thread */
	struct look_request look;
	bool look_running, looked;
	int64_t look_ms;
	char head[OID_HEX + 1]; /* of its last look */
	unsigned look_tip;
	struct push push;
	uint64_t attempt; /* batch of the push that failed last, and did it land? */
	bool attempt_landed;
	unsigned attempt_tip;
	int64_t born_ms;
	int64_t epoch;            /* highest that the remote has accepted of it */
	unsigned leads, may_lead; /* so often it began to lead where it did not; was allowed to */
};

/** What somebody else does to the status branch, just before the next push. */
enum others { OTHERS_STILL, OTHERS_MOVED_RECORDS, OTHERS_MOVED_NOTES };

enum chapter { CHAPTER_TROUBLE, CHAPTER_CALM, CHAPTER_RESCUE, CHAPTER_OVER };

struct world {
	uint64_t seed;
	struct choices choices[STREAMS];
	bool tells;       /* the story goes to stdout */
	bool in_texts;    /* records go through their files */
	bool trusts_plan; /* the plan alone says that a commit was tried before */
	int64_t now_ms, wall_s;
	size_t client_count, stage_count;
	size_t commit_count;
	int64_t webhook_ms;
	struct status *branch; /* what the remote has accepted */
	unsigned tip;          /* of it: counts its changes; the last one of a record */
	unsigned record_tip;
	char *events_text; /* events/<id>.jsonl of the newest rollout there */
	char events_of[ROLLOUT_TEXT];
	struct strlist told;  /* facts of the newest rollout there, as a replay words them */
	struct fact **ghosts; /* facts of a push whose service died: it may land yet */
	size_t ghost_count;
	unsigned ghost_tip;
	int64_t ghost_ms;
	struct service services[SERVICES];
	size_t service_count;
	struct service *service; /* the one that leads, or did last: promises are about it */
	struct service *active;  /* whose turn it is */
	struct job *jobs;
	size_t job_count, job_capacity;
	const struct sim_commit *commit; /* of the rollout, and under its policy: `effective` */
	struct sim_commit effective;
	bool unplanned;               /* its commit and its events are gone: no policy */
	struct rollout_event stepped; /* of the machine that is judged, and what it wants */
	bool stepping;                /* is being carried out */
	enum chapter chapter;
	unsigned troubles_left;
	uint64_t trouble_at; /* number of the event */
	uint64_t events, event_limit;
	uint64_t told_at; /* number of the event that led to the newest fact */
	/* what goes wrong next */
	enum others others_moved;
	unsigned duplicates;        /* results that come twice */
	struct rollout_event again; /* one of them, for the second time */
	uint64_t again_serial;
	struct service *again_for;
	bool repeats;                     /* it is told right now */
	bool drift_asked;                 /* of the hosts, in this chapter */
	int64_t again_ms, again_asked_ms; /* NEVER: none */
	unsigned pushes_fail, looks_fail, slow_steps, transient_steps, unsure_steps;
	bool closed[STAGES_MAX]; /* outside of their windows */
	/* of the running rollout, for the promises */
	char rollout[ROLLOUT_TEXT];
	bool by_hand, superseded, aborted, blocked[STAGES_MAX];
	bool over_limit, yes_to_limit, yes_to_stage[STAGES_MAX]; /* said by a person */
	bool yes_to_now[STAGES_MAX]; /* likewise: outside of its windows */
	char forgiven[ROLLOUT_TEXT]; /* of all clients */
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
	/* large, and zeroed as far as they are used: see world_reset() */
	struct sim_commit commits[COMMITS_MAX];
	struct sim_client clients[CLIENTS_MAX];
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

/** Before a run: everything is forgotten but the choices. */
void world_reset(struct world *world, uint64_t seed, bool in_texts);
void world_begin(struct world *world);
void world_clear(struct world *world);
/** Plan of a commit against records, as the service would make it. @param only  NULL: all clients
 */
struct plan *world_plan(struct world *world, const struct sim_commit *commit,
	const struct status *status, const char *only);
/** The newest commit; a commit by its id, or NULL. */
const struct sim_commit *world_head(const struct world *world);
/** Newest commit that is deployed, or NULL. */
const struct sim_commit *world_last_deployed(
	const struct world *world, const struct status *status);
const struct sim_commit *world_commit(const struct world *world, const char *id);
/** Digest of a version on a client, and back. */
void release_text(size_t client, uint8_t version, char text[DIGEST_TEXT]);
uint8_t release_version(const char *text);
static inline size_t client_index(const char *name)
{
	return (size_t)((name[1] - '0') * 100 + (name[2] - '0') * 10 + (name[3] - '0'));
}
/** The rollout that runs, or NULL; client of a member of it. */
static inline struct rollout *world_rollout(const struct world *world)
{
	return world->service->loop ? world->service->loop->rollout : NULL;
}
static inline struct sim_client *world_member(struct world *world, size_t member)
{
	const struct rollout *rollout = world_rollout(world);
	return &world->clients[client_index(rollout->clients[member].record->client)];
}
/** The wall clock, as it is set. */
int64_t world_wall_s(const struct world *world);
/** New commits: each client that changes gets a new version; or an older commit's wishes. */
void world_push_commit(struct world *world, bool rescue);
void world_push_bad(struct world *world);
void world_push_revert(struct world *world);
/** A forced push: the newest commits are gone, and another one is there. */
void world_push_forced(struct world *world);

/* hosts.c */

/** A worker gets something to do; takes it over. */
void hosts_work(struct world *world, struct service *service, struct work *work);
/** When something of a host is due next. */
int64_t hosts_next_ms(const struct world *world);
/** Something of a host is due: end it, and tell the service. */
void hosts_happen(struct world *world);
/** The service died; is given back. */
void hosts_after_crash(struct world *world, const struct service *service);
void hosts_clear(struct world *world);
/** Does an activation run on that client's host? @param service  of that one; NULL: of anybody */
bool hosts_are_busy(const struct world *world, size_t client, const struct service *service);

/* remote.c */

/** Looks and pushes of a service: begun, due next, done. */
void remote_look(struct world *world, struct service *service, const struct look_request *request);
void remote_append(struct world *world, struct service *service, const struct push *push);
int64_t remote_next_ms(const struct service *service);
void remote_happen(struct world *world, struct service *service);
/** What a service that dies was pushing lands now, later, or never. */
void remote_after_crash(struct world *world, struct service *service);
/** It is due. */
void remote_ghost_lands(struct world *world);
void remote_clear(struct world *world);

/* stand_ins.c */

/** World in which everything happens from now on. */
void stand_ins_use(struct world *world);
/** A message for a service. */
void stand_ins_post(struct service *service, struct message *message);

/* service.c */

/** It starts, dies, is given back. */
void service_boot(struct world *world, struct service *service);
void service_crash(struct world *world, struct service *service, const char *why);
void services_clear(struct world *world);
/** All that waits for it, and then the time. */
void service_turn(struct world *world, struct service *service);
/** When something of its own is due next; whatever is due. */
int64_t service_next_ms(const struct world *world, const struct service *service);
void service_happen(struct world *world, struct service *service);
/** Nothing of its own will ever be due. */
bool service_is_quiet(const struct world *world, const struct service *service);
/** Somebody says: look again. */
void service_look(struct world *world);
/** A person asks whoever leads. @param target  a client, or NULL */
void service_ask(struct world *world, enum request_kind kind, const char *target);
/** A person says that this one leads from now on. */
void service_lead(struct world *world, struct service *service);
/** Would `approve` answer something? */
bool service_may_approve(const struct world *world);
/** `approve --now` for the stage that waits, and would it be taken? */
void service_start_now(struct world *world);
bool service_may_start_now(const struct world *world);
/** The windows of a stage open or close. */
void service_window(struct world *world, size_t stage, bool open);
/** An answer comes for the second time. */
void service_hear_again(struct world *world);

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
/** A rollout begins, or goes on after a restart. @param adopted  did so before it was known that
 * its service leads */
void promises_begin_rollout(struct world *world, bool adopted);
/** Around each event of the machine, and where it activates something. */
void promises_before(struct world *world, const struct rollout_event *event);
void promises_after(struct world *world, const struct rollout_event *event,
	const struct rollout_actions *actions);
void promises_on_activate(struct world *world, const struct service *service, size_t member);
void promises_on_step(struct world *world, const struct service *service, size_t member);
/** The remote accepted a fact; a newer commit was judged. */
void promises_on_accepted(struct world *world, const struct fact *fact);
void promises_on_supersede(
	struct world *world, const struct plan *newer, const struct status *status, bool ends);
/** Nothing happens any more. */
void promises_at_rest(struct world *world);

/* replays.c */

/** The remote accepted a fact: with the last one of a rollout its events are run again. */
void replays_on_accepted(struct world *world, const struct fact *fact);
void replays_clear(struct world *world);

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
