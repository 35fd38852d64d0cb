#include "reconcile/git_thread.h"
#include "base/fs.h"
#include "base/log.h"
#include "git/pack.h"
#include "reconcile/look.h"
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum task_kind { TASK_LOOK, TASK_APPEND, TASK_PRUNE };

struct task {
	struct task *next;
	enum task_kind kind;
	struct look_request look;
	struct fact *const *facts;
	size_t count; /* of facts, or tags to keep */
	uint64_t batch;
	struct oid decided_on;
};

struct git_thread {
	struct git_options options; /* strings owned by the configuration, which outlives us */
	struct inbox *inbox;
	struct repo *repo;
	struct repo *door; /* others open theirs by it: `repo` is renewed when packs go */
	struct remote *infra, *status;
	struct ledger *ledger;
	struct plan_cache *cache;
	struct looker looker;
	int cancel_fd;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t filled;
	struct task *first, *last;
	bool stopping;
};

/* ---- tasks -------------------------------------------------------------------------------------
 */

static void free_looked(void *data)
{
	look_result_free(data);
}

/* A plan of a large fleet frees tens of megabytes, which glibc would keep for the next one. */
static void give_memory_back(void)
{
#ifdef __GLIBC__
	(void)malloc_trim(0); /* whether it found any does not matter */
#endif
}

static void do_look(struct git_thread *thread, const struct task *task)
{
	struct message *answer = message_new(MESSAGE_LOOKED);
	struct look_result *result = NULL;
	answer->ok = look(&thread->looker, &task->look, &result, &answer->err);
	answer->data = result;
	answer->free_data = free_looked;
	bool planned = result && !result->nothing_new;
	inbox_post(thread->inbox, answer); /* the result is the loop's from here on */
	if (planned)
		give_memory_back();
}

static void do_append(struct git_thread *thread, const struct task *task)
{
	struct message *answer = message_new(MESSAGE_APPENDED);
	answer->ok =
		ledger_is_still(thread->ledger, &task->decided_on, &answer->err) &&
		ledger_append(thread->ledger, task->batch, task->facts, task->count, &answer->err);
	if (answer->ok) {
		auto_status struct status *status = ledger_status(thread->ledger);
		answer->data = mem_dup(&status->tip, sizeof(status->tip));
		answer->free_data = free;
	}
	inbox_post(thread->inbox, answer);
}

static void do_prune(struct git_thread *thread, const struct task *task)
{
	struct error err;
	if (!ledger_prune_tags(thread->ledger, task->count, &err))
		log_warn("old rollback tags were not deleted", LOG_ERROR_FIELD(&err));
}

/* Only while nobody waits: an intent is pushed first, and packing comes after some other task. */
static void keep_packed(struct git_thread *thread)
{
	struct error err;
	pthread_mutex_lock(&thread->lock);
	bool idle = !thread->first && !thread->stopping;
	pthread_mutex_unlock(&thread->lock);
	if (idle && !pack_mirror(thread->repo, &err))
		log_warn("mirror was not packed", LOG_ERROR_FIELD(&err));
}

static struct task *take_task(struct git_thread *thread)
{
	pthread_mutex_lock(&thread->lock);
	while (!thread->first && !thread->stopping)
		pthread_cond_wait(&thread->filled, &thread->lock);
	struct task *task = thread->stopping ? NULL : thread->first;
	if (task) {
		thread->first = task->next;
		if (!thread->first)
			thread->last = NULL;
	}
	pthread_mutex_unlock(&thread->lock);
	return task;
}

static void *run(void *data)
{
	struct git_thread *thread = data;
	struct task *task;
	while ((task = take_task(thread))) {
		if (task->kind == TASK_LOOK)
			do_look(thread, task);
		else if (task->kind == TASK_APPEND)
			do_append(thread, task);
		else
			do_prune(thread, task);
		free(task);
		keep_packed(thread);
	}
	return NULL;
}

static void add_task(struct git_thread *thread, struct task task)
{
	struct task *added = mem_alloc(sizeof(*added));
	*added = task;
	pthread_mutex_lock(&thread->lock);
	if (thread->last)
		thread->last->next = added;
	else
		thread->first = added;
	thread->last = added;
	pthread_cond_signal(&thread->filled);
	pthread_mutex_unlock(&thread->lock);
}

void git_thread_look(struct git_thread *thread, struct look_request request)
{
	add_task(thread, (struct task){.kind = TASK_LOOK, .look = request});
}

void git_thread_append(struct git_thread *thread, uint64_t batch, struct fact *const *facts,
	size_t count, const struct oid *decided_on)
{
	add_task(thread, (struct task){.kind = TASK_APPEND,
				 .batch = batch,
				 .facts = facts,
				 .count = count,
				 .decided_on = *decided_on});
}

void git_thread_prune_tags(struct git_thread *thread, size_t keep)
{
	add_task(thread, (struct task){.kind = TASK_PRUNE, .count = keep});
}

bool git_thread_repo(struct git_thread *thread, struct repo **repo_out, struct error *err)
{
	return repo_reopen(thread->door, repo_out, err);
}

/* ---- life --------------------------------------------------------------------------------------
 */

static bool open_remotes(struct git_thread *thread, struct error *err)
{
	struct remote_options options = thread->options.infra;
	options.cancel_fd = thread->cancel_fd;
	if (!remote_new(&options, &thread->infra, err))
		return error_wrap(err, "repository.url");
	if (thread->options.status_url) {
		options.url = thread->options.status_url;
		if (!remote_new(&options, &thread->status, err))
			return error_wrap(err, "status.url");
	}
	return true;
}

static bool open_all(struct git_thread *thread, struct error *err)
{
	auto_free char *path = mem_printf("%s/mirror.git", thread->options.state_dir);
	thread->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (thread->cancel_fd < 0)
		return error_errno(err, errno, "eventfd");
	if (!repo_open_mirror(path, &thread->repo, err) ||
		!repo_reopen(thread->repo, &thread->door, err) || !open_remotes(thread, err))
		return false;
	const struct ledger_options ledger = {
		.repo = thread->repo,
		.remote = thread->status ? thread->status : thread->infra,
		.branch = thread->options.status_branch,
		.folder = thread->options.status_inside ? "status/" : "",
		.author_name = thread->options.author_name,
		.author_mail = thread->options.author_mail,
		.signing_key_file = thread->options.signing_key_file,
	};
	thread->ledger = ledger_new(&ledger);
	thread->cache = plan_cache_new();
	thread->looker = (struct looker){
		.options = &thread->options,
		.repo = thread->repo,
		.infra = thread->infra,
		.ledger = thread->ledger,
		.cache = thread->cache,
	};
	return true;
}

bool git_thread_new(const struct git_options *options, struct inbox *inbox,
	struct git_thread **thread_out, struct error *err)
{
	auto_git_thread struct git_thread *thread = mem_zero(1, sizeof(*thread));
	thread->options = *options;
	thread->inbox = inbox;
	pthread_mutex_init(&thread->lock, NULL);
	pthread_cond_init(&thread->filled, NULL);
	if (!open_all(thread, err))
		return false;
	int failed = pthread_create(&thread->thread, NULL, run, thread);
	if (failed)
		return error_errno(err, failed, "cannot start the git thread");
	thread->started = true;
	*thread_out = STEAL(thread);
	return true;
}

static void stop(struct git_thread *thread)
{
	const uint64_t one = 1;
	pthread_mutex_lock(&thread->lock);
	thread->stopping = true;
	pthread_cond_signal(&thread->filled);
	pthread_mutex_unlock(&thread->lock);
	if (thread->cancel_fd >= 0 && write(thread->cancel_fd, &one, sizeof(one)) < 0)
		log_warn("remote call could not be cancelled", LOG_INT("errno", errno));
	if (thread->started)
		pthread_join(thread->thread, NULL);
}

void git_thread_free(struct git_thread *thread)
{
	if (!thread)
		return;
	stop(thread);
	for (struct task *task = thread->first, *next; task; task = next) {
		next = task->next;
		free(task);
	}
	plan_cache_free(thread->cache);
	ledger_free(thread->ledger);
	remote_free(thread->status);
	remote_free(thread->infra);
	repo_free(thread->door);
	repo_free(thread->repo);
	if (thread->cancel_fd >= 0)
		close(thread->cancel_fd);
	pthread_cond_destroy(&thread->filled);
	pthread_mutex_destroy(&thread->lock);
	free(thread);
}
