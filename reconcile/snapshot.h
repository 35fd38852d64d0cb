/* reconcile/snapshot.h - what readers see: an immutable picture of the loop, swapped whole
 *
 * The loop publishes a new one after each change; HTTP threads and `apply` hold one while they
 * read. Records are shared, so a picture costs little.
 * Threads: a snapshot may be read by any; a board by any.
 */
#pragma once
#include "reconcile/request.h"
#include "reconcile/rollout.h"
#include "reconcile/status.h"

/** One client of the running rollout, beyond its record. */
struct snapshot_member {
	const char *client; /* of the rollout's record */
	int good_rounds, wanted_rounds;
	char step[STEP_NAME]; /* that runs; "" none */
	bool going_back;      /* to its known good, or there and being verified */
	char detail[512];     /* what the last bad round or failure said, "" none */
};

struct snapshot {
	int refs;
	char leader[64];
	int64_t epoch;
	bool ready;
	char not_ready[1400];     /* why /readyz says 503 */
	char problem[1400];       /* newest trouble that a person should know, "" none */
	char commit[OID_HEX + 1]; /* newest commit of the tracked branch that was looked at */
	char commit_subject[200];
	char commit_author[120];
	int64_t published_s;
	struct status *status;           /* shared records; never changed */
	struct strlist vanished;         /* recorded, but not in the inventory any more */
	struct rollout_record *rollout;  /* the running one as the machine has it, or NULL */
	struct snapshot_member *members; /* of it, one per client in order */
	size_t member_count;
	bool idle;                      /* nothing runs, nothing is being looked at */
	uint64_t looks;                 /* looks at the repository that ended so far */
	struct request_answer *answers; /* to the newest requests */
	size_t answer_count;
	uint64_t newest_request; /* number of the last one that the loop has taken */
};

/** An empty snapshot with one reference; the last snapshot_unref() frees it. Any thread. */
struct snapshot *snapshot_new(void);
void snapshot_unref(struct snapshot *snapshot);
DEFINE_CLEANUP(struct snapshot, snapshot_unref)
#define auto_snapshot CLEANUP(snapshot_unref_at)

/** What became of a request; one that is newer than the snapshot is queued.
 *  @return false: it is forgotten, or never was */
bool snapshot_answer(
	const struct snapshot *snapshot, uint64_t request, struct request_answer *answer_out);

/** Where the newest snapshot hangs. */
struct board;
struct board *board_new(void);
void board_free(struct board *board);
DEFINE_CLEANUP(struct board, board_free)
#define auto_board CLEANUP(board_free_at)
/** Takes the snapshot over and wakes waiters. */
void board_publish(struct board *board, struct snapshot *snapshot);
/** The newest one, never NULL after the first publish; the caller unrefs. */
struct snapshot *board_read(struct board *board);
/** Wait until a newer snapshot than @p seen is published or @p timeout_ms passed; then
 * board_read().
 *  @param seen  borrowed, only compared; may be NULL */
struct snapshot *board_wait(struct board *board, const struct snapshot *seen, int64_t timeout_ms);
