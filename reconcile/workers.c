#include "base/log.h"
#include "reconcile/output.h"
#include "reconcile/secrets/secret.h"
#include "reconcile/workers_parts.h"
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct entry {
	struct entry *next;
	struct work *work;
};

struct work *work_new(enum work_kind kind)
{
	struct work *work = mem_alloc(sizeof(*work));
	memset(work, 0, offsetof(struct work, err)); /* most of it is the error's text */
	work->err.code = ERR_NONE;
	work->err.message[0] = work->err.where[0] = work->err.hint[0] = '\0';
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

/* ---- steps --------------------------------------------------------------------------------------
 */

/* With the files of the release where the driver can compare them, and they can be had. */
static bool ask_drift(struct workers *workers, struct work *work, struct error *err)
{
	auto_target struct target *target = NULL;
	auto_target struct target *whole = NULL;
	struct renderer *renderer = workers->options.renderer;
	const struct release_ref *runs = &work->target;
	struct error none; /* without files only its state is compared */
	if (!renderer_target(renderer, runs->commit, work->client, NULL, &target, err))
		return false;
	if (target->driver->compare && !renderer_target(renderer, runs->commit, work->client,
					       runs->release_key, &whole, &none))
		whole = NULL;
	work->compared =
		drift_ask(runs->release, whole ? whole : target, &work->state, &work->drift, err);
	return work->compared;
}

void workers_answer(struct workers *workers, struct work *work)
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

/* ---- commands of checks on a host that is not here ---- */

struct command {
	struct driver_task task;
	struct probe *probe;
	struct exec_result result;
};

static void add_output(void *data, const char *bytes, size_t len)
{
	buf_add(&((struct command *)data)->result.output, bytes, len);
}

static void command_done(struct driver_task *task)
{
	struct command *command = task->data;
	command->result.exit_status = task->status;
	command->result.signal = task->status > 128 ? task->status - 128 : 0;
	command->result.timed_out = task->late;
	checks_command_done(command->probe, task->ok ? &command->result : NULL, task->err.message);
	exec_result_clear(&command->result);
	free(command);
}

static void begin_command(void *data, const struct check_spec *spec, struct probe *probe)
{
	const struct target *target = ((struct round *)data)->target;
	struct command *command = mem_zero(1, sizeof(*command));
	command->probe = probe;
	buf_init(&command->result.output, CHECKS_OUTPUT_MAX);
	command->task = (struct driver_task){.work = DRIVER_COMMAND,
		.host = &target->host,
		.argv = spec->argv,
		.timeout_ms = checks_timeout_ms(spec),
		.run = {.cancel_fd = -1, .output = add_output, .output_data = command},
		.done = command_done,
		.data = command};
	target->driver->begin(&command->task);
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
	struct check_round checks = {
		.specs = target->checks, .count = target->check_count, .folder = current};
	struct round *round = mem_zero(1, sizeof(*round));
	if (target->driver->begin) {
		checks.command = begin_command;
		checks.command_data = round;
	}
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

static void do_work(struct workers *workers, struct work *work)
{
	switch (work->kind) {
	case WORK_ACTIVATE:
		workers_activate(workers, work);
		break;
	case WORK_STEP:
		workers_step(workers, work);
		break;
	case WORK_ASK:
		workers_ask(workers, work);
		break;
	case WORK_DRIFT:
		work->ok = ask_drift(workers, work, &work->err);
		workers_answer(workers, work);
		break;
	case WORK_ROUND:
		start_round(workers, work);
		break;
	case WORK_TIDY:
		renderer_forget(workers->options.renderer);
		output_prune(workers->log_dir, STATUS_ROLLOUTS_MAX);
		work_free(work);
		break;
	}
}

static void *run(void *data)
{
	struct workers *workers = data;
	struct work *work;
	while ((work = take_work(workers)))
		do_work(workers, work);
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
	workers->steps_dir = mem_dup_str(options->steps_dir);
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
	free(workers->steps_dir);
	free(workers);
}
