#include "reconcile/drivers/hosts.h"
#include "base/clock.h"
#include "base/fs.h"
#include "reconcile/drivers/hosts_job.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CONCURRENCY 32
#define PULLS       10
/* Logins to one server at a time: sshd drops some of more than ten (MaxStartups). */
#define STRANGERS_MAX 8
#define TICK_MS       5000 /* keep-alives */

struct list {
	struct hosts_job *first, **end;
	size_t count;
};

struct hosts {
	struct hosts_options options;
	char *key_file, *known_hosts_file, *program_config;
	pthread_t thread;
	pthread_mutex_t lock;
	int wake; /* eventfd */
	/* under the lock */
	struct list inbox;
	bool stopping, joined;
	/* the thread's own */
	struct dialer *dialer;
	struct list waiting, running;
	struct hosts_access *access;
	bool program_ready; /* its configuration is written */
	struct pollfd *fds;
	size_t fd_capacity;
	int64_t next_tick;
};

/* ---- lists ---------------------------------------------------------------------------------- */

static void list_init(struct list *list)
{
	*list = (struct list){.end = &list->first};
}

static void list_add(struct list *list, struct hosts_job *job)
{
	job->next = NULL;
	*list->end = job;
	list->end = &job->next;
	list->count++;
}

/* All of it, in order. */
static struct hosts_job *list_take(struct list *list)
{
	struct hosts_job *first = list->first;
	list_init(list);
	return first;
}

/* Neither fails for a default mutex that exists and is used in pairs. */
static void lock(struct hosts *hosts)
{
	(void)pthread_mutex_lock(&hosts->lock);
}

static void unlock(struct hosts *hosts)
{
	(void)pthread_mutex_unlock(&hosts->lock);
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void finish(struct hosts_job *job)
{
	struct driver_task *task = job->task;
	hosts_job_free(job);
	task->done(task);
}

static void fail(struct hosts_job *job, const struct error *err)
{
	hosts_job_fail(job, err);
	finish(job);
}

static bool same_server(const struct hosts_job *a, const struct hosts_job *b)
{
	const struct driver_host *x = a->task->host, *y = b->task->host;
	return x->port == y->port && !strcmp(x->address, y->address);
}

static bool may_knock(const struct hosts *hosts, const struct hosts_job *job, int64_t now)
{
	size_t strangers = 0;
	if (job->not_before > now)
		return false;
	for (const struct hosts_job *other = hosts->running.first; other; other = other->next)
		strangers += other->phase == JOB_OPENING && same_server(job, other);
	return strangers < STRANGERS_MAX;
}

/* A registry, and the way to it, are shared by all. */
static bool may_pull(const struct hosts *hosts, const struct hosts_job *job)
{
	size_t pulling = 0;
	if (!hosts_job_pulls(job))
		return true;
	for (const struct hosts_job *other = hosts->running.first; other; other = other->next)
		pulling += other->pulling;
	return pulling < hosts->options.pulls;
}

/* Before the first host that needs it. */
static bool write_program_config(struct hosts *hosts, struct error *err)
{
	auto_buf struct buf text = BUF_INIT(65536);
	const char *path = hosts->program_config;
	if (!path || hosts->program_ready)
		return true;
	hosts_program_config(&hosts->options, &text);
	hosts->program_ready = fs_write(path, text.text, text.len, 0600, err);
	return hosts->program_ready;
}

static void start_job(struct hosts *hosts, struct hosts_job *job)
{
	struct hosts_access *access = NULL;
	struct error err;
	bool program = hosts_program_is_used(job->task->host, &hosts->options);
	bool fine = program ? write_program_config(hosts, &err)
			    : hosts_access_read(&hosts->options, hosts->access, &access, &err);
	if (!fine) {
		fail(job, &err);
		return;
	}
	if (access && access != hosts->access) {
		hosts_access_drop(hosts->access);
		hosts->access = access;
		access->users++;
	}
	if (!hosts_job_start(job, hosts->dialer, access, &err))
		fail(job, &err);
	else
		list_add(&hosts->running, job);
}

static void start_waiting(struct hosts *hosts)
{
	int64_t now = clock_mono_ms();
	struct hosts_job *job = list_take(&hosts->waiting), *next;
	for (; job; job = next) {
		next = job->next;
		bool room = hosts->running.count < hosts->options.concurrency;
		if (room && may_knock(hosts, job, now) && may_pull(hosts, job))
			start_job(hosts, job);
		else
			list_add(&hosts->waiting, job);
	}
}

static void turn_running(struct hosts *hosts, bool tick)
{
	struct hosts_job *job = list_take(&hosts->running), *next;
	for (; job; job = next) {
		next = job->next;
		bool ready = job->hot || !job->poll_count;
		for (size_t i = 0; i < job->poll_count; i++)
			ready |= hosts->fds[job->poll_at + i].revents != 0;
		bool kept = !ready || hosts_job_turn(job);
		if (kept && (tick || hosts_job_left_ms(job, TICK_MS) == 0))
			hosts_job_check(job);
		if (!kept)
			list_add(&hosts->waiting, job);
		else if (job->phase == JOB_OVER)
			finish(job);
		else
			list_add(&hosts->running, job);
	}
}

/* @return milliseconds to wait at most */
static int make_poll_set(struct hosts *hosts, size_t *count_out)
{
	size_t count = 1;
	int timeout = TICK_MS;
	int64_t now = clock_mono_ms();
	size_t most = SSH_POLL_MAX * hosts->running.count + 1;
	if (hosts->fd_capacity < most) {
		hosts->fd_capacity = 2 * most;
		hosts->fds = mem_resize(hosts->fds, hosts->fd_capacity, sizeof(*hosts->fds));
	}
	hosts->fds[0] = (struct pollfd){.fd = hosts->wake, .events = POLLIN};
	for (struct hosts_job *job = hosts->running.first; job; job = job->next) {
		job->poll_at = count;
		job->poll_count = ssh_poll(job->ssh, hosts->fds + count);
		count += job->poll_count;
		timeout = hosts_job_left_ms(job, timeout);
	}
	for (const struct hosts_job *job = hosts->waiting.first; job; job = job->next) {
		int64_t left = job->not_before - now;
		if (left > 0 && left < timeout)
			timeout = (int)left;
	}
	*count_out = count;
	return timeout;
}

/* @return false at the end */
static bool take_inbox(struct hosts *hosts)
{
	uint64_t rung;
	if (read(hosts->wake, &rung, sizeof(rung)) < 0 && errno != EAGAIN)
		return false; /* it is ours and open */
	lock(hosts);
	struct hosts_job *job = list_take(&hosts->inbox), *next;
	bool stopping = hosts->stopping;
	unlock(hosts);
	for (; job; job = next) {
		next = job->next;
		list_add(&hosts->waiting, job);
	}
	return !stopping;
}

static void end_all(struct list *list, const struct error *err)
{
	struct hosts_job *job = list_take(list), *next;
	for (; job; job = next) {
		next = job->next;
		fail(job, err);
	}
}

static void *run(void *data)
{
	struct hosts *hosts = data;
	struct error err;
	size_t count = 0;
	bool fine = true;
	while (fine && take_inbox(hosts)) {
		start_waiting(hosts);
		int timeout = make_poll_set(hosts, &count);
		fine = dialer_wait(hosts->dialer, hosts->fds, count, timeout, &err);
		int64_t now = clock_mono_ms();
		bool tick = now >= hosts->next_tick;
		if (tick)
			hosts->next_tick = now + TICK_MS;
		turn_running(hosts, tick);
	}
	if (fine)
		(void)error_set(&err, ERR_STOPPED, "stopped while a host was worked on");
	lock(hosts);
	hosts->stopping = true; /* nobody hears begin() any more */
	struct list rest = hosts->inbox;
	rest.end = rest.first ? rest.end : &rest.first;
	list_init(&hosts->inbox);
	unlock(hosts);
	end_all(&rest, &err);
	end_all(&hosts->waiting, &err);
	end_all(&hosts->running, &err);
	return NULL;
}

/* ---- outside -------------------------------------------------------------------------------- */

static bool start_thread(struct hosts *hosts, struct error *err)
{
	sigset_t all, before;
	(void)sigfillset(&all);                          /* cannot fail for a valid pointer */
	(void)pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are the main thread's */
	int rc = pthread_create(&hosts->thread, NULL, run, hosts);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* likewise */
	if (!rc)
		return true;
	hosts->joined = true;
	return error_errno(err, rc, "cannot start the thread of the hosts");
}

bool hosts_new(const struct hosts_options *options, struct hosts **hosts_out, struct error *err)
{
	auto_hosts struct hosts *hosts = mem_zero(1, sizeof(*hosts));
	hosts->joined = true; /* there is none yet */
	hosts->wake = -1;
	hosts->options = *options;
	hosts->options.ssh_key_file = hosts->key_file = mem_dup_str(options->ssh_key_file);
	hosts->options.known_hosts_file = hosts->known_hosts_file =
		mem_dup_str(options->known_hosts_file);
	hosts->options.program_config = hosts->program_config =
		mem_dup_str(options->program_config);
	if (!hosts->options.concurrency)
		hosts->options.concurrency = CONCURRENCY;
	if (!hosts->options.pulls)
		hosts->options.pulls = PULLS;
	(void)pthread_mutex_init(&hosts->lock, NULL); /* cannot fail without attributes */
	list_init(&hosts->inbox);
	list_init(&hosts->waiting);
	list_init(&hosts->running);
	hosts->dialer = dialer_new();

	hosts->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (hosts->wake < 0)
		return error_errno(err, errno, "eventfd");
	hosts->joined = false;
	if (!start_thread(hosts, err))
		return false;
	*hosts_out = STEAL(hosts);
	return true;
}

static void ring(struct hosts *hosts)
{
	const uint64_t one = 1;
	/* full is awake; anything else would be our own mistake */
	(void)!write(hosts->wake, &one, sizeof(one));
}

void hosts_stop(struct hosts *hosts)
{
	if (!hosts || hosts->joined)
		return;
	lock(hosts);
	hosts->stopping = true;
	unlock(hosts);
	ring(hosts);
	(void)pthread_join(hosts->thread, NULL); /* ours and joinable */
	hosts->joined = true;
}

void hosts_free(struct hosts *hosts)
{
	if (!hosts)
		return;
	hosts_stop(hosts);
	hosts_access_drop(hosts->access);
	dialer_free(hosts->dialer);
	fs_close_at(&hosts->wake);
	(void)pthread_mutex_destroy(&hosts->lock); /* nobody holds it */
	free(hosts->fds);
	free(hosts->key_file);
	free(hosts->known_hosts_file);
	free(hosts->program_config);
	free(hosts);
}

void hosts_begin(struct hosts *hosts, struct driver_task *task)
{
	task->ok = false;
	task->run.touched = DRIVER_TOUCHED_NOTHING;
	task->state = (struct driver_state){0};
	if (!hosts) {
		(void)error_set(&task->err, ERR_INVALID,
			"there are no connections to hosts here"); /* false */
		task->done(task);
		return;
	}
	struct hosts_job *job = hosts_job_new(task, &hosts->options);
	lock(hosts);
	bool stopping = hosts->stopping;
	if (!stopping)
		list_add(&hosts->inbox, job);
	unlock(hosts);
	if (!stopping) {
		ring(hosts);
		return;
	}
	struct error err;
	(void)error_set(&err, ERR_STOPPED, "stopped before the host was asked"); /* false */
	fail(job, &err);
}

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool done;
};

static void wake_waiter(struct driver_task *task)
{
	struct waiter *waiter = task->data;
	(void)pthread_mutex_lock(&waiter->lock);
	waiter->done = true;
	(void)pthread_cond_signal(&waiter->ended);
	(void)pthread_mutex_unlock(&waiter->lock);
}

bool hosts_do(struct hosts *hosts, struct driver_task *task, struct error *err)
{
	struct waiter waiter = {
		.lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
	task->done = wake_waiter;
	task->data = &waiter;
	hosts_begin(hosts, task);
	(void)pthread_mutex_lock(&waiter.lock);
	while (!waiter.done)
		(void)pthread_cond_wait(&waiter.ended, &waiter.lock); /* cannot fail */
	(void)pthread_mutex_unlock(&waiter.lock);
	(void)pthread_cond_destroy(&waiter.ended); /* nobody waits */
	(void)pthread_mutex_destroy(&waiter.lock); /* nobody holds it */
	if (!task->ok)
		*err = task->err;
	return task->ok;
}
