/* reconcile/status.h - the status branch as plain data: records of clients and rollouts
 *
 * The branch is the truth; this is what was read of it. Layout and keys: design.md section 6.
 * Nothing here talks to a remote; see reconcile/ledger.h for that.
 */
#pragma once
#include "base/node.h"
#include "git/commit.h"
#include "git/tree.h"
#include "reconcile/pin.h"

#define DIGEST_TEXT         72  /* "sha256:" and 64 hex digits, with the NUL */
#define KEY_ID_TEXT         16  /* "k1" */
#define ROLLOUT_TEXT        40  /* "20261124-101542-9f2c41d" */
#define ROLLOUT_TIME        15  /* of it, what tells the time and orders ids */
#define BACKUP_TEXT         80  /* "alpha-20261124-101542-9f2c41d" */
#define STATUS_GOOD_MAX     20  /* releases remembered as known good (design.md section 6) */
#define STATUS_ROLLOUTS_MAX 500 /* rollout records that stay in the tree */

/** A release, as records name it. Empty release text: none. */
struct release_ref {
	char release[DIGEST_TEXT];
	char release_key[KEY_ID_TEXT];
	char commit[OID_HEX + 1];
	char rollout[ROLLOUT_TEXT];
};

enum client_state {
	CLIENT_ONBOARDING,
	CLIENT_DEPLOYING,
	CLIENT_HEALTHY,
	CLIENT_ROLLED_BACK,
	CLIENT_FAILED,
	CLIENT_PAUSED,
	CLIENT_WAITING,
	CLIENT_OFFBOARDING,
	CLIENT_OFFBOARDED,
	CLIENT_STATES
};

struct client_hold {
	bool held;
	bool by_hand; /* `rollback CLIENT`: a newer commit ends it only with another release */
	char commit[OID_HEX + 1];
	char release[DIGEST_TEXT]; /* wanted release that is held */
	char release_key[KEY_ID_TEXT];
	char checks[DIGEST_TEXT]; /* digest of the checks that went with it */
	char *reason;
};

/** Nothing new starts: of a client, or of the whole fleet. */
struct pause {
	bool paused;
	char *reason, *by;
	int64_t since_s;
};
/** Free what it owns; make a copy that owns its own (@p to is overwritten). */
void pause_clear(struct pause *pause);
void pause_copy(struct pause *to, const struct pause *from);

/** The host does not run what the record says. */
struct drift {
	bool found;
	char runs[DIGEST_TEXT];    /* as the host says; "" nothing, or it does not say */
	char *what;                /* "runs sha256:1234abcd.. instead of sha256:5678abcd.." */
	char repair[ROLLOUT_TEXT]; /* that put it right, as far as we know; "" none */
	int64_t since_s;
};
/** Free what it owns; make a copy that owns its own (@p to is overwritten). */
void drift_clear(struct drift *drift);
void drift_copy(struct drift *to, const struct drift *from);

/** Do the data of a client that goes back come back too? */
enum restore_choice {
	RESTORE_NO,
	RESTORE_ASKED, /* a person has to say it */
	RESTORE_YES,
	RESTORE_CHOICES
};
/** The word of the records for it. */
const char *restore_choice_name(enum restore_choice choice);

/** A backup: its name on the host, and the release whose data it holds. */
struct client_backup {
	char name[BACKUP_TEXT];
	char release[DIGEST_TEXT];
};

struct client_app {
	char *name;
	char *version;
};

/** clients/<client>.yaml. Inside a struct status records are immutable and shared. */
struct client_record {
	char *client;
	char *host; /* inventory name */
	char *root; /* of the driver, rendered; together with host: who owns what (renamed?) */
	enum client_state state;
	char *stage;
	struct release_ref current; /* `release`, `release_key`, `commit` of the file; rollout: the
				       last that touched it */
	struct client_app *apps;
	size_t app_count;
	struct release_ref known_good;
	struct release_ref previous;
	struct release_ref *good; /* newest first */
	size_t good_count;
	char *rollback_tag; /* or NULL */
	char *going_back;   /* why the running rollout's release failed; NULL: it did not */
	enum restore_choice restore; /* of that way back */
	struct client_backup backup; /* the newest that is of use for a way back */
	int ended; /* enum member_state: its last word in `current.rollout`; MEMBER_PENDING: none */
	bool unsure; /* its last activation, or its way back, failed: nobody knows what runs */
	struct client_hold hold;
	struct pause pause; /* beside `state`; the file says `state: paused`, and what it was */
	struct drift drift; /* beside `state` too */
	struct pin pin;     /* likewise */
	int64_t updated_s;
};
/** Free what a record owns; make a copy that owns its own (@p to is overwritten). */
void client_record_clear(struct client_record *record);
void client_record_copy(struct client_record *to, const struct client_record *from);
/** The word of the records for it. */
const char *client_state_name(enum client_state state);

enum plan_action {
	PLAN_UNCHANGED,
	PLAN_ONBOARD,
	PLAN_UPGRADE,
	PLAN_ROLLBACK,
	PLAN_VANISHED,
	PLAN_HELD,
	PLAN_PAUSED,
	PLAN_PINNED,
	PLAN_ACTIONS
};
/** The word of the records for it. */
const char *plan_action_name(enum plan_action action);

enum rollout_state {
	ROLLOUT_RUNNING,
	ROLLOUT_WAITING,
	ROLLOUT_SUCCEEDED,
	ROLLOUT_FAILED,
	ROLLOUT_REFUSED,
	ROLLOUT_SUPERSEDED,
	ROLLOUT_ABORTED,
	ROLLOUT_STATES
};
/** The word of the records for it. */
const char *rollout_state_name(enum rollout_state state);
static inline bool rollout_state_is_final(enum rollout_state state)
{
	return state > ROLLOUT_WAITING;
}

/** It holds its commit. */
static inline bool rollout_state_holds(enum rollout_state state)
{
	return state == ROLLOUT_FAILED || state == ROLLOUT_ABORTED;
}

enum stage_state {
	STAGE_PENDING,
	STAGE_RUNNING,
	STAGE_BAKING,
	STAGE_WAITING,
	STAGE_SUCCEEDED,
	STAGE_FAILED,
	STAGE_SKIPPED,
	STAGE_SUPERSEDED,
	STAGE_ABORTED,
	STAGE_STATES
};
/** The word of the records for it. */
const char *stage_state_name(enum stage_state state);

/** State of a client inside a rollout. */
enum member_state {
	MEMBER_PENDING,
	MEMBER_DEPLOYING,
	MEMBER_VERIFYING,
	MEMBER_WAITING,
	MEMBER_HEALTHY,
	MEMBER_ROLLED_BACK,
	MEMBER_FAILED,
	MEMBER_SKIPPED,
	MEMBER_SUPERSEDED,
	MEMBER_STATES
};
/** The word of the records for it. */
const char *member_state_name(enum member_state state);

struct member_record {
	char *client;
	enum plan_action action;
	char from[DIGEST_TEXT];
	char to[DIGEST_TEXT];
	char to_key[KEY_ID_TEXT];
	char checks[DIGEST_TEXT];
	char commit[OID_HEX + 1]; /* of `to`, if it is not the rollout's: a pin; else "" */
	enum member_state state;
	struct strlist reasons;
	int64_t started_s, finished_s; /* 0: not yet */
};

struct stage_record {
	char *name;
	enum stage_state state;
	bool manual;        /* starts only after a person approved it */
	int64_t expires_ms; /* the question for that; 0 never */
	int64_t bake_ms;
	int64_t bake_started_s;
	struct member_record *members;
	size_t member_count;
};

#define ROLLOUT_NOTES_MAX 50
/* `what` of approvals that are not a stage's: over the limit; the restore of clients, whose names
 * follow. */
#define APPROVES_LIMIT   "max_changed"
#define APPROVES_RESTORE "restore of "

/** A person said yes. */
struct approval_record {
	char *what; /* name of a stage, or as above */
	char *by, *reason;
	char *tag; /* id of the approve/ tag that said so, or NULL */
	bool now;  /* the stage starts outside of its windows too */
	int64_t at_s;
};

/** Somebody ended the rollout, or nobody answered in time (by: NULL). */
struct abort_record {
	bool asked;
	char *by, *reason;
	int64_t at_s;
};

/** rollouts/<id>.yaml. Inside a struct status records are immutable and shared. */
struct rollout_record {
	char id[ROLLOUT_TEXT];
	char commit[OID_HEX + 1];
	char plan[16];
	enum rollout_state state;
	bool by_hand; /* `rollback CLIENT` */
	bool drift;   /* puts drift right */
	bool forced;  /* history was rewritten: its commit does not follow what was tried before */
	struct strlist reasons;
	struct strlist notes; /* newer commits that let it go on, and why */
	char *over_limit;     /* why policy.max_changed asks for an approval, or NULL */
	char *waits_for;      /* "approval of production", ... while it is waiting, or NULL */
	int64_t waits_since_s;
	int64_t window_opens_s;            /* while it waits for a window; 0: not known */
	struct approval_record *approvals; /* oldest first */
	size_t approval_count;
	struct abort_record abort;
	char superseded_by[OID_HEX + 1]; /* the newer commit; "" none */
	int64_t started_s, finished_s;
	struct stage_record *stages;
	size_t stage_count;
};
/** A rollout of one or a few clients to what they ran: it says nothing about its commit, which the
 *  others left. */
static inline bool rollout_record_is_apart(const struct rollout_record *record)
{
	return record->by_hand || record->drift;
}
/** A further approval; texts are copied. */
void rollout_record_approve(struct rollout_record *record, const struct approval_record *approval);
/** Did somebody say that the stage starts outside of its windows? */
bool rollout_record_starts_now(const struct rollout_record *record, const char *stage);
/** What was approved: "production, outside of its windows"; the caller frees. */
char *approval_record_what(const struct approval_record *approval);
/** It was ended; texts are copied. @param by  NULL: by nobody */
void rollout_record_abort(
	struct rollout_record *record, const char *by, const char *reason, int64_t at_s);
/** "aborted by eva", "superseded by 1234567"; the caller frees. */
char *rollout_record_ending(const struct rollout_record *record);
/** Did that approve/ tag say yes already? */
bool rollout_record_knows_tag(const struct rollout_record *record, const char *tag);
/** Did somebody say yes to it? */
bool rollout_record_is_approved(const struct rollout_record *record, const char *what);
/** As for client records. */
void rollout_record_clear(struct rollout_record *record);
void rollout_record_copy(struct rollout_record *to, const struct rollout_record *from);

/** requests.yaml: what people asked for that still counts and concerns no single client. */
struct retry {
	char until[ROLLOUT_TEXT]; /* failures of rollouts up to this one hold nobody any more: */
	char *client;             /* but this client and those of earlier stages; NULL all */
	char *reason, *by;
	int64_t at_s;
};
#define STATUS_RETRIES_MAX 50 /* of single clients; the oldest go first */

struct asked_record {
	struct pause pause; /* of the fleet */
	struct retry *retries;
	size_t retry_count;
};
/** Free what it owns; make a copy that owns its own (@p to is overwritten). */
void asked_record_clear(struct asked_record *record);
void asked_record_copy(struct asked_record *to, const struct asked_record *from);

struct status {
	struct oid
		tip; /* commit of the branch that was read; empty: the branch does not exist yet */
	const struct client_record **clients; /* sorted by name */
	size_t client_count;
	const struct rollout_record **rollouts; /* newest first */
	size_t rollout_count;
	size_t client_capacity, rollout_capacity;
	char leader[64]; /* instance, "" none */
	int64_t epoch;
	struct asked_record asked;
	char *digest_keys; /* text of digest-key.sops.yaml, or NULL */
	size_t digest_keys_len;
};

/**
 * Read every record of the branch's tip.
 * @param folder  where they stand in the tree: "", or "status/" on the tracked branch
 * @return false: ERR_INVALID with file:line for a record that somebody broke by hand
 */
MUST_USE bool status_load(struct tree *tree, const char *folder, const struct oid *tip,
	struct status **status_out, struct error *err);
/** Read what stands beside the records anew: leader, requests of the fleet, digest keys.
 *  @return false likewise; @p status is of no use then */
MUST_USE bool status_load_beside(
	struct tree *tree, const char *folder, struct status *status, struct error *err);
/** A copy that shares the records: cheap, and safe to read in another thread while the original
 *  is changed by status_put_*(). */
struct status *status_copy(const struct status *status);
/** An empty status, for a branch that does not exist yet. */
struct status *status_new(void);
void status_free(struct status *status);
DEFINE_CLEANUP(struct status, status_free)
#define auto_status CLEANUP(status_free_at)

/** Record of a client, or NULL. Binary search. */
const struct client_record *status_client(const struct status *status, const char *client);
const struct rollout_record *status_rollout(const struct status *status, const char *id);
/** The rollout that is not over yet, or NULL. Not always the newest record: a commit that came
 *  meanwhile may have been refused. */
const struct rollout_record *status_running(const struct status *status);
/** Put a changed record in (copied), keeping the order; used when facts were accepted. */
void status_put_client(struct status *status, const struct client_record *record);
void status_put_rollout(struct status *status, const struct rollout_record *record);

/** One more; @p retry is copied. One of all replaces those before it. */
void asked_record_add_retry(struct asked_record *record, const struct retry *retry);
/**
 * Has this retry ended what a rollout's failure holds a client back for?
 * @param before  the client's stage comes before that of the client that the retry names
 */
bool retry_forgives(
	const struct retry *retry, const char *rollout, const char *client, bool before);
/** The newest retry that forgives this rollout to somebody, or NULL. */
const struct retry *asked_record_retry(const struct asked_record *record, const char *rollout);
/** Likewise what people asked of the fleet. */
void status_put_asked(struct status *status, const struct asked_record *record);

/** Text of clients/<client>.yaml and rollouts/<id>.yaml; every scalar that could read back
 *  differently is quoted. */
void client_record_to_yaml(const struct client_record *record, struct buf *out);
void rollout_record_to_yaml(const struct rollout_record *record, struct buf *out);
MUST_USE bool client_record_from_node(
	const struct node *node, struct client_record *record_out, struct error *err);
MUST_USE bool rollout_record_from_node(
	const struct node *node, struct rollout_record *record_out, struct error *err);
/** requests.yaml likewise. */
void asked_record_to_yaml(const struct asked_record *record, struct buf *out);
MUST_USE bool asked_record_from_node(
	const struct node *node, struct asked_record *record_out, struct error *err);
struct emitter;
/** `key: {reason, by, since}`; nothing if it is none. @param was  state of a client, NULL none */
void pause_emit(
	struct emitter *emitter, const char *key, const struct pause *pause, const char *was);
MUST_USE bool pause_read(const struct node *map, struct pause *pause, struct error *err);
/** `drift: {runs, what, repair, since}`; nothing if there is none. */
void drift_emit(struct emitter *emitter, const struct drift *drift);
MUST_USE bool drift_read(const struct node *map, struct drift *drift, struct error *err);
/** The same as JSON objects, for the command and the API: names and values as in the files. */
void client_record_to_json(const struct client_record *record, struct buf *out);
void rollout_record_to_json(const struct rollout_record *record, struct buf *out);

/** YYYYMMDD-HHMMSS-<7 of commit>, later than that of any rollout which a record names. */
void rollout_id_make(
	const struct status *status, int64_t wall_s, const char *commit, char id_out[ROLLOUT_TEXT]);
