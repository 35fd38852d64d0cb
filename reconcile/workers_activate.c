#include "base/log.h"
#include "reconcile/output.h"
#include "reconcile/workers_parts.h"

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
		(work->recorded_root && strcmp(work->recorded_root, target->root) != 0))
		return;
	drift_compare(work->recorded, state, &work->drift);
	work->compared = true;
}

/* Ids are ordered by time, and ours is the newest that the branch knows: a host that names another
 * one as late was touched by a rollout that the branch has lost (design.md section 6). */
static bool history_is_whole(const struct target *target, struct work *work,
	const struct driver_state *state, struct error *err)
{
	compare(work, target, state);
	if (work->accept_history || !state->found || !strcmp(state->rollout, work->rollout) ||
		strncmp(state->rollout, work->rollout, ROLLOUT_TIME) < 0)
		return true;
	work->refused = true;
	error_set(err, ERR_REFUSED,
		"the host of '%s' was last touched by rollout %s, which the status branch does not "
		"know",
		work->client, state->rollout);
	return error_hint(err, "put the branch back on the remote, or take the truth from the "
			       "hosts with 'aviary apply --accept-history'");
}

static struct driver_release release_of(const struct work *work, const struct target *target)
{
	const struct release *release = target->release;
	return (struct driver_release){
		.digest = work->target.release,
		.files = target_files(target),
		.count = release ? release->file_count : 0,
		.commit = work->target.commit,
		.rollout = work->rollout,
		.stage = work->stage,
		.action = plan_action_name(work->action),
		.epoch = work->epoch,
	};
}

/* As the rollout's commit has it, also on the way back: its backup step made the backup. */
static bool find_step(struct workers *workers, const struct work *work, const char *name,
	struct found_step *found_out, struct error *err)
{
	const char *commit = work->fallback_commit[0] ? work->fallback_commit : work->target.commit;
	auto_target struct target *target = NULL;
	if (!renderer_target(workers->options.renderer, commit, work->client, NULL, &target, err))
		return false;
	struct driver_step *step = target_step(target, name);
	if (!step)
		return error_set(
			err, ERR_NOT_FOUND, "commit %.7s defines no step '%s'", commit, name);
	if (work->restore && !work->backup[0])
		return error_set(err, ERR_NOT_FOUND,
			"no backup of '%s' is recorded that belongs to its known good release",
			work->client);
	step->backup = work->backup;
	found_out->step = step;
	found_out->holder = STEAL(target);
	return true;
}

/* ---- one activation ----------------------------------------------------------------------------
 */

static struct activation *activation_new(
	struct workers *workers, struct work *work, struct target *target)
{
	struct activation *activation = mem_zero(1, sizeof(*activation));
	activation->workers = workers;
	activation->work = work;
	activation->target = target;
	return activation;
}

static void activation_free(struct activation *activation)
{
	target_free(activation->target);
	target_free(activation->restore.holder);
	free(activation);
}

static void name_step(struct activation *activation)
{
	const struct work *work = activation->work;
	const char *restored = activation->restore.step ? "restore, " : "";
	if (work->kind == WORK_STEP)
		(void)snprintf(activation->step, sizeof(activation->step), "%s", work->step);
	else
		(void)snprintf(activation->step, sizeof(activation->step), "%sactivate (%s)",
			restored, activation->release.action);
}

static void prepare(struct activation *activation)
{
	const struct work *work = activation->work;
	const struct target *target = activation->target;
	struct driver_run run = DRIVER_RUN_INIT;
	activation->release = release_of(work, target);
	activation->release.restore = activation->restore.step;
	const struct output_place place = {
		activation->workers->log_dir, work->rollout, work->client};
	name_step(activation);
	output_begin(&activation->output, &place, activation->step);
	run.cancel_fd = activation->workers->cancel_fd;
	run.output = output_add;
	run.output_data = &activation->output;
	activation->task = (struct driver_task){.work = DRIVER_ACTIVATE,
		.host = &target->host,
		.release = &activation->release,
		.keep = (const char *const *)work->keep.items,
		.keep_count = work->keep.count,
		.run = run,
		.data = activation};
}

void workers_conclude(struct activation *activation)
{
	struct work *work = activation->work;
	struct driver_task *task = &activation->task;
	enum error_code code = task->err.code;
	bool untouched = task->run.touched == DRIVER_TOUCHED_NOTHING, failed = !task->ok;
	/* of those that run here only ansible knows whether the host answers */
	bool tried = !task->step || !task->step->here || activation->away;
	output_end(&activation->output, task->ok, &task->err);
	work->ok = task->ok;
	if (failed)
		work->err = task->err;
	work->untouched = failed && untouched;
	work->unreachable = failed && untouched && tried && code == ERR_UNREACHABLE;
	work->unsure = failed && task->run.touched == DRIVER_TOUCHED_UNKNOWN && code != ERR_STOPPED;
	work->transient = failed && untouched && error_is_transient(code);
	work->refused = failed && untouched && code == ERR_REFUSED;
	workers_answer(activation->workers, work);
	activation_free(activation);
}

static bool may_start(struct driver_task *task, struct error *err)
{
	struct activation *activation = task->data;
	return history_is_whole(activation->target, activation->work, &task->state, err);
}

static void done(struct driver_task *task)
{
	workers_conclude(task->data);
}

static void activate_and_wait(struct activation *activation)
{
	struct driver_task *task = &activation->task;
	const struct target *target = activation->target;
	struct error later; /* whoever does not answer now does not answer activate() either */
	if (target->driver->ask(task->host, &task->state, &later) && !may_start(task, &task->err)) {
		workers_conclude(activation);
		return;
	}
	task->ok = target->driver->activate(task->host, task->release, &task->run, &task->err);
	if (task->ok)
		prune(target, activation->work);
	workers_conclude(activation);
}

void workers_activate(struct workers *workers, struct work *work)
{
	auto_target struct target *target = NULL;
	struct found_step restore = {0};
	if (!find_target(workers, work, &target, &work->err) ||
		(work->restore && !find_step(workers, work, STEP_RESTORE, &restore, &work->err))) {
		work->untouched = true;
		workers_answer(workers, work);
		return;
	}
	struct activation *activation = activation_new(workers, work, STEAL(target));
	activation->restore = restore;
	prepare(activation);
	activation->task.may_start = may_start;
	activation->task.done = done;
	if (activation->target->driver->begin)
		activation->target->driver->begin(&activation->task);
	else
		activate_and_wait(activation);
}

/* ---- one step ----------------------------------------------------------------------------------
 */

void workers_step(struct workers *workers, struct work *work)
{
	struct found_step found = {0};
	struct error later; /* whoever does not answer now does not answer run_step() either */
	if (!find_step(workers, work, work->step, &found, &work->err)) {
		work->untouched = true;
		workers_answer(workers, work);
		return;
	}
	struct activation *activation = activation_new(workers, work, found.holder);
	struct driver_task *task = &activation->task;
	const struct driver *driver = found.holder->driver;
	prepare(activation);
	task->work = DRIVER_STEP;
	task->step = found.step;
	task->may_start = may_start;
	task->done = done;
	if (found.step->here) {
		workers_step_here(activation);
		return;
	}
	if (driver->begin) {
		driver->begin(task);
		return;
	}
	if (driver->ask(task->host, &task->state, &later) && !may_start(task, &task->err)) {
		workers_conclude(activation);
		return;
	}
	task->ok = driver->run_step(task->host, task->release, found.step, &task->run, &task->err);
	workers_conclude(activation);
}

/* ---- one question ------------------------------------------------------------------------------
 */

static void answered(struct driver_task *task)
{
	struct activation *activation = task->data;
	struct work *work = activation->work;
	work->ok = task->ok;
	work->state = task->state;
	/* Whoever holds the lock looked at the epoch before ours was there. */
	work->state.activating |= task->fenced && task->state.locked;
	if (!task->ok) {
		work->err = task->err;
		work->refused = task->err.code == ERR_REFUSED;
	}
	workers_answer(activation->workers, work);
	activation_free(activation);
}

/* Whoever led before and does not know yet that we do must not change what the host says now. */
static bool ask_fenced(const struct target *target, struct work *work, struct driver_task *task)
{
	const struct driver *driver = target->driver;
	bool fenced = true;
	if (driver->fence && !driver->fence(task->host, work->epoch, &fenced, &task->err))
		return false;
	if (!driver->ask(task->host, &task->state, &task->err))
		return false;
	/* What runs there may be his: not sure before it has ended. */
	task->state.activating = task->state.activating || !fenced;
	return true;
}

void workers_ask(struct workers *workers, struct work *work)
{
	struct target *target = NULL;
	if (!renderer_target(workers->options.renderer, work->target.commit, work->client, NULL,
		    &target, &work->err)) {
		workers_answer(workers, work);
		return;
	}
	struct activation *activation = activation_new(workers, work, target);
	struct driver_task *task = &activation->task;
	*task = (struct driver_task){
		.work = DRIVER_ASK, .host = &target->host, .done = answered, .data = activation};
	task->epoch = work->epoch;
	if (target->driver->begin) {
		target->driver->begin(task);
		return;
	}
	task->ok = ask_fenced(target, work, task);
	answered(task);
}
