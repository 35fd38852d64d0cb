/* reconcile/workers.h - a pool of threads that does the steps of clients: activate, ask, check
 *
 * Work goes in with everything it needs and comes back as MESSAGE_WORKED (or MESSAGE_ROUND) in the
 * loop's inbox. A hanging host costs one thread and nothing else.
 */
#pragma once
#include "reconcile/drift.h"
#include "reconcile/inbox.h"
#include "reconcile/renderer.h"

enum work_kind {
	WORK_ACTIVATE, /* deliver and activate `target` */
	WORK_STEP,     /* run `step` */
	WORK_ASK,      /* what does the host run? */
	WORK_DRIFT,    /* does the host run `target`, which is recorded? */
	WORK_TIDY,     /* a rollout ended: let go of its commits and of old output */
	WORK_ROUND     /* one round of checks as `target`'s commit defines them */
};

struct work {
	enum work_kind kind;
	uint64_t rollout_serial; /* copied into the answer */
	size_t index;            /* of the client in the rollout; copied into the answer */
	uint32_t order;          /* of the machine's action; copied into the answer */
	char *client;
	char *stage;
	struct release_ref target; /* release, its key and commit */
	char fallback_commit[OID_HEX +
			     1]; /* whose driver settings serve if target.commit does not load */
	char rollout[ROLLOUT_TEXT];
	enum plan_action action;
	int64_t epoch;
	bool accept_history; /* the host may name a rollout that the branch does not know */
	struct strlist keep; /* digests that must stay on the host */
	/* WORK_ACTIVATE, WORK_STEP: what the record says that the host runs before; "" it does not
	 * know */
	char recorded[DIGEST_TEXT];
	char *recorded_root; /* where; another root is another host */
	char step[STEP_NAME];
	bool restore;             /* WORK_ACTIVATE: with the data of `backup` */
	char backup[BACKUP_TEXT]; /* to make, or to restore */
	/* answer */
	bool ok;
	bool unreachable;          /* nothing was touched */
	bool unsure;               /* nobody knows what the host runs: it has to be asked */
	bool transient;            /* nothing was touched, and it may pass by itself */
	bool untouched;            /* nothing was touched */
	bool refused;              /* the host follows a newer leader, or knows more than we do */
	struct driver_state state; /* WORK_ASK, WORK_DRIFT */
	bool compared;             /* `drift` tells what the host runs beside the record, if any */
	struct drift drift;
	struct error err;
};
/** A piece of work, zeroed but for its kind; owned by the caller until it is handed over. */
struct work *work_new(enum work_kind kind);
void work_free(struct work *work);

struct workers_options {
	size_t threads;
	const char *log_dir;   /* <log_dir>/<rollout>/<client>.log: masked output of activations */
	const char *steps_dir; /* where steps work that run on this machine, see step_place.h */
	const char *ssh_key_file, *known_hosts_file; /* of hosts, for ansible; borrowed, or NULL */
	struct renderer *renderer;                   /* borrowed */
	struct inbox *inbox;                         /* borrowed */
};

struct workers;
/** Start the threads of the pool. */
MUST_USE bool workers_new(
	const struct workers_options *options, struct workers **workers_out, struct error *err);
/** Cancels what runs (children get SIGTERM), joins. */
void workers_free(struct workers *workers);
DEFINE_CLEANUP(struct workers, workers_free)
#define auto_workers CLEANUP(workers_free_at)

/** Takes the work over. */
void workers_add(struct workers *workers, struct work *work);
