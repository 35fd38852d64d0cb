#include "reconcile/workers.h"
#include "base/log.h"
#include "reconcile/output.h"
#include "reconcile/secrets/secret.h"
#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct entry {
	struct entry *next;
	struct work *work;
};

struct round;

struct workers {
	struct workers_options options;
	char *log_dir;
	struct checks *checks;
	int cancel_fd;
	pthread_t *threads;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t filled;
	size_t started, idle; /* threads; they start when there is work for them */
	size_t waiting;       /* entries in the list */
	struct entry *first, *last;
	struct round *rounds; /* under way */
	bool stopping;
};

struct work *work_new(enum work_kind kind)
{
	struct work *work = mem_zero(1, sizeof(*work));
	work->kind = kind;
	return work;
}

void work_free(struct work *work)
{
	if (!work)
		return;
	free(work->client);
	free(work->stage);
	free(work->recorded_root);
	drift_clear(&work->drift);
	strlist_clear(&work->keep);
	free(work);
}
static void free_work(void *data)
{
	work_free(data);
}

/* ---- activate ----------------------------------------------------------------------------------
 */

static struct driver_file *driver_files(struct arena *arena, const struct release *release)
{
	struct driver_file *files = arena_array(arena, release->file_count, sizeof(*files));
	for (size_t i = 0; i < release->file_count; i++)
		files[i] = (struct driver_file){.path = release->files[i].path,
			.mode = release->files[i].mode,
			.bytes = release->files[i].bytes,
			.len = release->files[i].len};
	return files;
}

static bool same_as_planned(const struct work *work, const struct target *target, struct error *err)
{
	if (!strcmp(target->release->digest, work->target.release))
		return true;
	error_set(err, ERR_SYSTEM, "release of '%s' renders as %.15s, but %.15s was planned",
		work->client, target->release->digest, work->target.release);
	return error_hint(err, "this is a mistake in aviary: please report it");
}

/* The target to activate: rendered, or without files if the host still has the release. */
static bool find_target(struct workers *workers, const struct work *work,
	struct target **target_out, struct error *err)
{
	auto_target struct target *target = NULL;
	bool has = false;
	struct renderer *renderer = workers->options.renderer;
	bool planned = renderer_target(renderer, work->target.commit, work->client,
		work->target.release_key, &target, err);
	if (planned) {
		if (!same_as_planned(work, target, err))
			return false;
		*target_out = STEAL(target);
		return true;
	}
	/* Going back must not depend on reading an old commit, if the host has its files. */
	struct error first = *err;
	if (!work->fallback_commit[0] ||
		!renderer_target(
			renderer, work->fallback_commit, work->client, NULL, &target, err) ||
		!target->driver->has_release(&target->host, work->target.release, &has, err) ||
		!has) {
		*err = first;
		return false;
	}
	*target_out = STEAL(target);
	return true;
}

static void prune(const struct target *target, const struct work *work)
{
	struct error err;
	if (!target->driver->prune(
		    &target->host, (const char *const *)work->keep.items, work->keep.count, &err))
		log_warn("old releases were not deleted", LOG_STR("client", work->client),
			LOG_ERROR_FIELD(&err));
}

/* Before its first step on a host the rollout compares what runs with the record. */
static void compare(
	struct work *work, const struct target *target, const struct driver_state *state)
{
	if (!work->recorded[0] || work->compared || !strcmp(state->rollout, work->rollout) ||
		(work->recorded_root && strcmp(work->recorded_root, target->host.root) != 0))
		return;
	drift_compare(work->recorded, state, &work->drift);
	work->compared = true;
}

/* Ids are ordered by time, and ours is the newest that the branch knows: a host that names another
 * one as late was touched by a rollout that the branch has lost (design.md section 6). */
static bool history_is_whole(const struct target *target, struct work *work, struct error *err)
{
	struct driver_state state;
	struct error later; /* whoever does not answer now does not answer activate() either */
	if (!target->driver->ask(&target->host, &state, &later))
		return true;
	compare(work, target, &state);
	if (work->accept_history || !state.found || !strcmp(state.rollout, work->rollout) ||
		strncmp(state.rollout, work->rollout, ROLLOUT_TIME) < 0)
		return true;
	error_set(err, ERR_REFUSED,
		"the host of '%s' was last touched by rollout %s, which the status branch does not "
		"know",
		work->client, state.rollout);
	return error_hint(err, "put the branch back on the remote, or take the truth from the "
			       "hosts with 'aviary apply --accept-history'");
}

static bool activate(struct workers *workers, struct work *work, struct error *err)
{
	auto_target struct target *target = NULL;
	struct driver_run run = DRIVER_RUN_INIT;
	struct output output;
	if (!find_target(workers, work, &target, err))
		return false;
	if (!history_is_whole(target, work, err)) {
		work->refused = true;
		return false;
	}
	const struct driver_release release = {
		.digest = work->target.release,
		.files = target->release ? driver_files(target->arena, target->release) : NULL,
		.count = target->release ? target->release->file_count : 0,
		.commit = work->target.commit,
		.rollout = work->rollout,
		.stage = work->stage,
		.action = plan_action_name(work->action),
		.epoch = work->epoch,
	};
	output_begin(&output, workers->log_dir, work->rollout, work->client);
	run.cancel_fd = workers->cancel_fd;
	run.output = output_add;
	run.output_data = &output;
	bool ok = target->driver->activate(&target->host, &release, &run, err);
	output_end(&output, ok, err);
	bool untouched = run.touched == DRIVER_TOUCHED_NOTHING;
	if (ok)
		prune(target, work);
	work->unreachable = !ok && untouched && err->code == ERR_UNREACHABLE;
	work->unsure = !ok && run.touched == DRIVER_TOUCHED_UNKNOWN && err->code != ERR_STOPPED;
	work->transient = !ok && untouched && error_is_transient(err->code);
	work->refused = !ok && untouched && err->code == ERR_REFUSED;
	return ok;
}

static bool ask(struct workers *workers, struct work *work, struct error *err)
{
	auto_target struct target *target = NULL;
	return renderer_target(workers->options.renderer, work->target.commit, work->client, NULL,
		       &target, err) &&
	       target->driver->ask(&target->host, &work->state, err);
}

/* With the files of the release where they can be had: else only its state is compared. */
static bool ask_drift(struct workers *workers, struct work *work, struct error *err)
{
	auto_target struct target *target = NULL;
	struct renderer *renderer = workers->options.renderer;
	const struct release_ref *runs = &work->target;
	if (!renderer_target(
		    renderer, runs->commit, work->client, runs->release_key, &target, err) &&
		!renderer_target(renderer, runs->commit, work->client, NULL, &target, err))
		return false;
	work->compared = drift_ask(runs->release, target, &work->state, &work->drift, err);
	return work->compared;
}

static bool do_step(struct workers *workers, struct work *work, struct error *err)
{
	switch (work->kind) {
	case WORK_ACTIVATE:
		return activate(workers, work, err);
	case WORK_DRIFT:
		return ask_drift(workers, work, err);
	default:
		return ask(workers, work, err);
	}
}

static void answer_worked(struct workers *workers, struct work *work)
{
	struct message *message = message_new(MESSAGE_WORKED);
	message->rollout = work->rollout_serial;
	message->client = work->index;
	message->order = work->order;
	message->ok = work->ok;
	message->err = work->err;
	message->data = work;
	message->free_data = free_work;
	inbox_post(workers->options.inbox, message);
}

/* ---- rounds of checks ---------------------------------------------------------------------------
 */

struct round {
	struct round *next, **link; /* in workers->rounds */
	struct workers *workers;
	struct work *work;
	struct target *target;
};

static void answer_round(
	struct inbox *inbox, const struct work *work, bool good, const char *detail)
{
	struct message *message = message_new(MESSAGE_ROUND);
	message->rollout = work->rollout_serial;
	message->client = work->index;
	message->order = work->order;
	message->ok = good;
	if (!good)
		error_set(&message->err, ERR_INVALID, "%s", detail);
	inbox_post(inbox, message);
}

static void round_add(struct round *round)
{
	struct workers *workers = round->workers;
	pthread_mutex_lock(&workers->lock);
	round->next = workers->rounds;
	round->link = &workers->rounds;
	if (round->next)
		round->next->link = &round->next;
	workers->rounds = round;
	pthread_mutex_unlock(&workers->lock);
}

static void round_free(struct round *round)
{
	pthread_mutex_lock(&round->workers->lock);
	*round->link = round->next;
	if (round->next)
		round->next->link = round->link;
	pthread_mutex_unlock(&round->workers->lock);
	target_free(round->target);
	work_free(round->work);
	free(round);
}

static void round_done(void *data, const struct check_outcome *outcome)
{
	struct round *round = data;
	auto_buf struct buf detail = BUF_INIT(2 * sizeof(outcome->detail));
	buf_add_str(&detail, outcome->detail); /* may quote what a server said */
	secret_mask(&detail);
	answer_round(round->workers->options.inbox, round->work, outcome->good, detail.text);
	round_free(round);
}

/* Takes the work over. */
static void start_round(struct workers *workers, struct work *work)
{
	struct target *target = NULL;
	struct error err;
	if (!renderer_target(workers->options.renderer, work->target.commit, work->client, NULL,
		    &target, &err)) {
		answer_round(workers->options.inbox, work, false, err.message);
		work_free(work);
		return;
	}
	auto_free char *current = mem_printf("%s/current", target->host.root);
	const struct check_round checks = {
		.specs = target->checks, .count = target->check_count, .folder = current};
	struct round *round = mem_zero(1, sizeof(*round));
	round->workers = workers;
	round->work = work;
	round->target = target;
	round_add(round);
	checks_start(workers->checks, &checks, round_done, round);
}

/* ---- threads ------------------------------------------------------------------------------------
 */

static struct work *take_work(struct workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	workers->idle++;
	while (!workers->first && !workers->stopping)
		pthread_cond_wait(&workers->filled, &workers->lock);
	workers->idle--;
	struct entry *entry = workers->stopping ? NULL : workers->first;
	struct work *work = NULL;
	if (entry) {
		workers->first = entry->next;
		if (!workers->first)
			workers->last = NULL;
		work = entry->work;
		workers->waiting--;
		free(entry);
	}
	pthread_mutex_unlock(&workers->lock);
	return work;
}

static void *run(void *data)
{
	struct workers *workers = data;
	struct work *work;
	while ((work = take_work(workers))) {
		if (work->kind == WORK_ROUND) {
			start_round(workers, work);
			continue;
		}
		if (work->kind == WORK_TIDY) {
			renderer_forget(workers->options.renderer);
			output_prune(workers->log_dir, STATUS_ROLLOUTS_MAX);
			work_free(work);
			continue;
		}
		work->ok = do_step(workers, work, &work->err);
		answer_worked(workers, work);
	}
	return NULL;
}

static bool start_thread(struct workers *workers, struct error *err)
{
	int failed = pthread_create(&workers->threads[workers->started], NULL, run, workers);
	if (failed)
		return error_errno(err, failed, "cannot start a worker");
	workers->started++;
	return true;
}

void workers_add(struct workers *workers, struct work *work)
{
	struct error err;
	struct entry *entry = mem_zero(1, sizeof(*entry));
	entry->work = work;
	pthread_mutex_lock(&workers->lock);
	if (workers->last)
		workers->last->next = entry;
	else
		workers->first = entry;
	workers->last = entry;
	workers->waiting++;
	bool wanted =
		workers->waiting > workers->idle && workers->started < workers->options.threads;
	if (wanted &&
		!start_thread(workers, &err)) /* there is one at least: it only takes longer */
		log_warn("fewer workers than wanted", LOG_ERROR_FIELD(&err));
	pthread_cond_signal(&workers->filled);
	pthread_mutex_unlock(&workers->lock);
}

bool workers_new(
	const struct workers_options *options, struct workers **workers_out, struct error *err)
{
	auto_workers struct workers *workers = mem_zero(1, sizeof(*workers));
	workers->options = *options;
	workers->log_dir = mem_dup_str(options->log_dir);
	workers->threads = mem_zero(options->threads, sizeof(*workers->threads));
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->filled, NULL);
	workers->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (workers->cancel_fd < 0)
		return error_errno(err, errno, "eventfd");
	if (!checks_new(&workers->checks, err))
		return false;
	if (!start_thread(workers, err)) /* nobody else knows it yet: no lock */
		return false;
	*workers_out = STEAL(workers);
	return true;
}

void workers_free(struct workers *workers)
{
	const uint64_t one = 1;
	if (!workers)
		return;
	pthread_mutex_lock(&workers->lock);
	workers->stopping = true;
	pthread_cond_broadcast(&workers->filled);
	pthread_mutex_unlock(&workers->lock);
	if (workers->cancel_fd >= 0 && write(workers->cancel_fd, &one, sizeof(one)) < 0)
		log_warn("workers could not be cancelled", LOG_INT("errno", errno));
	for (size_t i = 0; i < workers->started; i++)
		pthread_join(workers->threads[i], NULL);
	checks_free(workers->checks); /* does not answer what is under way */
	while (workers->rounds)
		round_free(workers->rounds);
	for (struct entry *entry = workers->first, *next; entry; entry = next) {
		next = entry->next;
		work_free(entry->work);
		free(entry);
	}
	if (workers->cancel_fd >= 0)
		close(workers->cancel_fd);
	pthread_cond_destroy(&workers->filled);
	pthread_mutex_destroy(&workers->lock);
	free(workers->threads);
	free(workers->log_dir);
	free(workers);
}
