/* reconcile/plan.h - what a commit asks for, client by client, each with its reasons */
#pragma once
#include "reconcile/batch.h"
#include "reconcile/pipeline.h"
#include "reconcile/release.h"
#include "reconcile/status.h"
#include "reconcile/window.h"

struct plan_reason {
	char *text; /* "nextcloud 28.0.1 -> 28.0.2", "secret nextcloud_admin changed": names, never
		       values */
	char *file; /* "" none */
	unsigned line;
};

struct plan_entry {
	char *client;
	char *host;
	char *root;
	size_t stage; /* index in plan->stages; SIZE_MAX: vanished */
	char *stage_name;
	enum plan_action action;
	bool unproved; /* the client runs `to` already, but it is not its known good */
	bool pinned;   /* `to` is what it is pinned to: only verified, and the commit wants
			  something else */
	struct release_ref from;  /* what it runs, as recorded; empty for a first onboarding */
	struct release_ref to;    /* what the commit wants */
	char checks[DIGEST_TEXT]; /* digest of its checks; "" if it has none */
	struct client_app *apps;
	size_t app_count;
	struct plan_reason *reasons;
	size_t reason_count;
	char *summary; /* for commit subjects: "nextcloud 28.0.1 -> 28.0.2", "2 files" */
};

enum plan_verdict { PLAN_NOTHING, PLAN_ALLOWED, PLAN_REFUSED };

/** How the refusal begins that only holds and pauses cause: it is judged again at each look. */
#define PLAN_NONE_STARTS "no client may start: "

struct plan_stage {
	char *name;
	struct batches batch, old_batch; /* of the new policy, and of the old one if it counts */
	int64_t wave_pause_ms, bake_ms, rollback_bake_ms;
	bool manual; /* approval: manual */
	int64_t approval_expires_ms, max_failures, max_unreachable;
	struct windows windows[2]; /* open while both are: of the new policy and of the old one */
	bool blocked;              /* a held client of it changes: no later stage starts */
	bool kept_back; /* all that change there are paused or pinned: no later stage is begun */
};

/** A pin that begins, changes or ends: to be recorded. */
struct plan_pin {
	char *client;
	char until[PIN_UNTIL];
	char *reason; /* of the pin; of its end, if it is over */
	bool over;
};
struct plan_pins {
	struct plan_pin *items;
	size_t count, capacity;
};
void plan_pins_clear(struct plan_pins *pins);

/** A client that an app's version goes back for, after that app may have changed its data. */
struct plan_data {
	char *client;
	char *apps;               /* "nextcloud 28.0.2 -> 28.0.1" */
	char backup[BACKUP_TEXT]; /* that it has; "" none */
	bool belongs; /* it holds the data of the release that the client goes back to */
};

struct plan {
	char base[OID_HEX + 1];   /* commit compared with; "" nothing */
	char target[OID_HEX + 1]; /* "" a folder as it lies */
	char digest[16];          /* "p-5a30e7c1" */
	size_t entry_capacity;
	struct plan_entry *entries; /* all that are not unchanged, by stage, then name */
	size_t entry_count;
	size_t changed; /* onboard, upgrade, rollback */
	size_t unchanged;
	enum plan_verdict verdict;
	bool fleet_changed;      /* fleet.yaml differs from the base's */
	struct strlist refusals; /* why REFUSED, one sentence each */
	char *over_limit;        /* why policy.max_changed asks for an approval, or NULL */
	struct problems warnings;
	struct strlist ends_hold; /* clients whose hold this commit ends */
	struct oid reverts;       /* empty: this is no plan of a revert */
	bool data_known;          /* of a revert: something was recorded to tell it by */
	struct plan_data *data;
	size_t data_count, data_capacity;
	struct plan_pins pins;
	int64_t pins_end_s; /* when the first pin that keeps somebody back is over; 0: none */
	struct plan_stage *stages;
	size_t stage_count;
	bool roll_back; /* on_failure: rollback */
	size_t keep_rollback_tags;
	int64_t verify_interval_ms, verify_healthy, verify_timeout_ms;
	int64_t retries; /* of the driver */
	enum restore_when restore;
	char onboard[PIPELINE_TEXT], upgrade[PIPELINE_TEXT]; /* see reconcile/pipeline.h */
};

struct plan_request {
	struct repo *repo; /* to read the commits that clients run, for reasons; may be NULL */
	struct tree *tree; /* target */
	struct oid commit; /* target; empty = folder */
	const struct status *
		status; /* recorded state; borrowed; NULL = nothing recorded: compare with `base` */
	struct oid base;                /* last deployed commit, empty = nothing */
	const struct keyring *keyring;  /* NULL: without keys */
	const struct digest_keys *keys; /* NULL: without keys */
	bool keyless;       /* with `status`: releases are the same if their encrypted text is */
	struct oid reverts; /* the tree is what its revert would leave; empty: it is not */
	int64_t wall_s;     /* Unix seconds: which pins are over */
	const char *only; /* a client that a person sends there: nothing else changes, and no hold,
			     pause or limit speaks against it; NULL: all */
	const struct strlist *repair; /* clients whose drift is put right there: they get what is
			     recorded again, if this commit renders to it; NULL: none */
	struct plan_cache *cache;     /* may be NULL; makes the next plan of the same fleet cheap */
};

/** What a service keeps between plans: parsed fleets and release digests by their inputs. */
struct plan_cache;
struct plan_cache *plan_cache_new(void);
void plan_cache_free(struct plan_cache *cache);

/**
 * @return false if the tree has mistakes: all of them in @p problems, the commit is refused.
 *         A plan that policy refuses is built, with verdict PLAN_REFUSED.
 */
MUST_USE bool plan_build(const struct plan_request *request, struct plan **plan_out,
	struct fleet **fleet_out, struct problems *problems);
void plan_free(struct plan *plan);
/** The entry of a client, or NULL. Binary search, since entries are sorted. */
const struct plan_entry *plan_find(const struct plan *plan, const char *client);
DEFINE_CLEANUP(struct plan, plan_free)
#define auto_plan CLEANUP(plan_free_at)

/**
 * The commit that plans compare with: that of the newest rollout, in git order, which ended
 * succeeded. Commits that the repository lacks do not count.
 * @param commit_out  empty: nothing was deployed yet
 */
MUST_USE bool plan_last_deployed(
	struct repo *repo, const struct status *status, struct oid *commit_out, struct error *err);

/** Its waves if so many of its clients change: the smaller ones of both policies. */
struct batches plan_stage_batch(const struct plan_stage *stage, size_t clients);

/** For people: first the answer, then a line per client that changes, with its reasons. */
void plan_to_text(const struct plan *plan, struct buf *out);
/** design.md section 8: {from, to, plan, verdict, changed, unchanged, clients, warnings}. */
void plan_to_json(const struct plan *plan, struct buf *out);
