/* reconcile/fact.h - facts of a rollout as commits of the status branch
 *
 * Pure: from the machine's actions, the plan and the records to subjects, trailers, file contents
 * and tags, as design.md section 6 words them.
 */
#pragma once
#include "reconcile/plan.h"
#include "reconcile/request.h"
#include "reconcile/rollout.h"
#include "reconcile/status.h"

struct fact_file {
	char *path;
	char *text; /* NULL: remove */
	size_t len;
};

struct fact {
	char *subject;
	char *body; /* may be NULL */
	struct strlist trailer_keys, trailer_values;
	struct fact_file *files;
	size_t file_count;
	char *tag; /* annotated tag to make once the branch was accepted, or NULL */
	char tag_commit[OID_HEX + 1];
	char *tag_message;
	size_t keep_tags; /* rollback tags of the client that stay, this one included; 0: all */
	struct client_record *client;   /* the record as it is after the fact, or NULL; owned */
	struct rollout_record *rollout; /* likewise */
	struct asked_record *asked;     /* likewise */
	bool of_rollout;                /* of the machine of the rollout that runs */
};
void fact_free(struct fact *fact);
DEFINE_CLEANUP(struct fact, fact_free)
#define auto_fact CLEANUP(fact_free_at)

struct fact_context {
	const struct rollout *rollout;
	const struct plan
		*plan; /* of the rollout; after a restart rebuilt from the rollout's commit */
	const struct status *status; /* with all earlier facts put in */
	const char *author;          /* of the source commit, for the Author trailer */
	const char *signed_by;       /* likewise, for Signed-By; "" without allowed_signers_file */
	int64_t wall_s;
};

/** The commit for one ACTION_RECORD. */
struct fact *fact_from_action(
	const struct fact_context *context, const struct rollout_action *action);

/** Let the fact carry the events of its rollout too: events/<id>.jsonl. */
void fact_add_events(struct fact *fact, const char *id, const struct buf *text);

/** A commit that is not tried, and why. */
struct refusal {
	const char *commit;
	const char *plan; /* its digest; "" it has none */
	const struct strlist *reasons;
	bool forced; /* see struct rollout_record */
};
/** rollout(<id>): refused, with all reasons. */
struct fact *fact_refused(
	const struct status *status, const struct refusal *refusal, int64_t wall_s);
/** hold(<client>): ended. @param by  who asked for it; NULL: nobody */
struct fact *fact_hold_ended(
	const struct client_record *record, const char *by, const char *reason, int64_t wall_s);
/** hold(<client>): pinned until <day>, or that this is over. @param commit  that says so */
struct fact *fact_pin(const struct client_record *record, const struct plan_pin *pin,
	const char *commit, int64_t wall_s);
/** drift(<client>): what the host says it runs is taken into the record. */
struct fact *fact_drift(const struct client_record *record);
/** drift(<client>): <what>. The record keeps what was recorded, and beside it what the host says.
 */
struct fact *fact_drift_found(
	const struct client_record *record, const struct drift *drift, int64_t wall_s);
/** drift(<client>): over: <why>. */
struct fact *fact_drift_over(const struct client_record *record, const char *why, int64_t wall_s);
/** hold(<client>): the drift that record->drift.repair put right is back, as @p drift: it is not
 * put right again by itself. */
struct fact *fact_drift_held(
	const struct client_record *record, const struct drift *drift, int64_t wall_s);
/** pause(<client>) or pause(fleet): <reason>. @param client  NULL: the fleet */
struct fact *fact_pause(const struct status *status, const struct client_record *client,
	const struct request *request, int64_t wall_s);
/** resume(<client>) or resume(fleet). */
struct fact *fact_resume(const struct status *status, const struct client_record *client,
	const struct request *request, int64_t wall_s);
/** retry(<client>), or retry(<newest rollout>): failures so far hold it, or nobody, any more. */
struct fact *fact_retry(const struct status *status, const struct client_record *client,
	const struct request *request, int64_t wall_s);
/** hold(<client>): the release that the newest commit wants is forbidden by a person. */
struct fact *fact_hold_by_hand(const struct client_record *client, const struct release_ref *wanted,
	const struct request *request, int64_t wall_s);
/** leader(<instance>): epoch N. @param request  of who said so; NULL: the service itself */
struct fact *fact_leader(
	const char *instance, int64_t epoch, const struct request *request, int64_t wall_s);
/** key(<id>): @p what, for example "digest key made". */
struct fact *fact_digest_keys(const char *key_id, const char *what, const char *text, size_t len);
