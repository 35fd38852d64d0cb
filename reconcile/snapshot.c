#include "reconcile/snapshot.h"
#include <errno.h>
#include <pthread.h>
#include <time.h>

struct snapshot *snapshot_new(void)
{
	struct snapshot *snapshot = mem_zero(1, sizeof(*snapshot));
	snapshot->refs = 1;
	return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
	if (!snapshot || __atomic_sub_fetch(&snapshot->refs, 1, __ATOMIC_ACQ_REL))
		return;
	status_free(snapshot->status);
	strlist_clear(&snapshot->vanished);
	if (snapshot->rollout)
		rollout_record_clear(snapshot->rollout);
	free(snapshot->rollout);
	free(snapshot->members);
	free(snapshot->answers);
	free(snapshot);
}

bool snapshot_answer(
	const struct snapshot *snapshot, uint64_t request, struct request_answer *answer_out)
{
	for (size_t i = 0; i < snapshot->answer_count; i++)
		if (snapshot->answers[i].id == request) {
			*answer_out = snapshot->answers[i];
			return true;
		}
	if (request <= snapshot->newest_request)
		return false;
	*answer_out = (struct request_answer){.id = request, .state = REQUEST_QUEUED};
	return true;
}

struct board {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct snapshot *newest;
};

struct board *board_new(void)
{
	struct board *board = mem_zero(1, sizeof(*board));
	pthread_condattr_t attributes;
	pthread_mutex_init(&board->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&board->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	board->newest = snapshot_new();
	board->newest->status = status_new();
	return board;
}

void board_free(struct board *board)
{
	if (!board)
		return;
	snapshot_unref(board->newest);
	pthread_cond_destroy(&board->changed);
	pthread_mutex_destroy(&board->lock);
	free(board);
}

void board_publish(struct board *board, struct snapshot *snapshot)
{
	pthread_mutex_lock(&board->lock);
	struct snapshot *old = board->newest;
	board->newest = snapshot;
	pthread_cond_broadcast(&board->changed);
	pthread_mutex_unlock(&board->lock);
	snapshot_unref(old);
}

static struct snapshot *take(struct board *board)
{
	__atomic_add_fetch(&board->newest->refs, 1, __ATOMIC_RELAXED);
	return board->newest;
}

struct snapshot *board_read(struct board *board)
{
	pthread_mutex_lock(&board->lock);
	struct snapshot *snapshot = take(board);
	pthread_mutex_unlock(&board->lock);
	return snapshot;
}

struct snapshot *board_wait(struct board *board, const struct snapshot *seen, int64_t timeout_ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&board->lock);
	while (board->newest == seen)
		if (pthread_cond_timedwait(&board->changed, &board->lock, &until) == ETIMEDOUT)
			break;
	struct snapshot *snapshot = take(board);
	pthread_mutex_unlock(&board->lock);
	return snapshot;
}
