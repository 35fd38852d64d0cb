/* reconcile/loop.h - the one thread that owns the rollout, and never blocks
 *
 *   webhook, poll ----> LOOK -----> git thread fetches and plans ----> LOOKED
 *   LOOKED: nothing runs  -> a rollout starts, a refusal is recorded, or nothing is to be done
 *           one runs      -> it goes on, or is superseded
 *   machine's actions: facts -> queue -> one push at a time by the git thread -> APPENDED
 *                      steps -> workers -> WORKED, ROUND
 *   A rollout ends when its last fact is accepted; then the loop looks again.
 *
 * When somebody else changed our records (ERR_REJECTED), the loop forgets the rollout, waits for
 * the steps under way, and starts from the branch and the hosts, as after a restart.
 */
#pragma once
#include "reconcile/drivers/hosts.h"
#include "reconcile/git_thread.h"
#include "reconcile/snapshot.h"

struct loop_options {
	struct git_options git;
	const char *state_dir;
	int64_t poll_interval_ms;
	size_t workers;
	struct hosts_options hosts;
	bool once; /* `apply`: end as soon as nothing is left to do */
};

/** How a `once` run ended. */
struct loop_outcome {
	int exit_status; /* design.md section 8 */
	char result[24]; /* succeeded, failed, refused, held, unchanged, error */
	char rollout[ROLLOUT_TEXT];
	char text[1400]; /* one sentence, for people */
};

struct loop;

/**
 * Open the mirror, start the git thread and the workers. The caller holds the lock of state_dir.
 * @param board  borrowed; snapshots are published there
 */
MUST_USE bool loop_new(const struct loop_options *options, struct board *board,
	struct loop **loop_out, struct error *err);
void loop_free(struct loop *loop);
DEFINE_CLEANUP(struct loop, loop_free)
#define auto_loop CLEANUP(loop_free_at)

/** Run until loop_stop(), or with `once` until nothing is left to do. Called once, by its own
 * thread. */
void loop_run(struct loop *loop, struct loop_outcome *outcome_out);

/** Look again now. Any thread; folds. */
void loop_poke(struct loop *loop);
/**
 * A person asks for something. Any thread.
 * @param request  copied; gets the number under which a snapshot tells what became of it
 * @return false: ERR_STOPPED, too many wait already
 */
MUST_USE bool loop_ask(struct loop *loop, struct request *request, struct error *err);
/** Finish or record what runs, at most LOOP_STOP_MS, then return from loop_run(). Any thread. */
void loop_stop(struct loop *loop);
#define LOOP_STOP_MS 25000 /* below systemd's 90 s, above a usual activation */
