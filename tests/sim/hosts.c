/* Hosts: activations, rounds of checks, and what a host says it runs. */
#include "tests/sim/sim.h"

static enum quality quality_of(const struct sim_client *client)
{
	const struct sim_host *host = &client->host;
	if (host->version == VERSION_NONE)
		return QUALITY_BROKEN;
	if (host->by_way_back && client->way_back != QUALITY_GOOD)
		return client->way_back;
	return client->quality[host->version];
}

/* ---- activations ------------------------------------------------------------------------------
 */

static int64_t step_time(struct world *world)
{
	if (world->slow_steps) {
		world->slow_steps--;
		return 2500 + choose(world, STREAM_TIMES, 2500);
	}
	return 1 + choose(world, STREAM_TIMES, 300);
}

static enum outcome outcome_before(
	struct world *world, const struct sim_client *client, const struct work *work)
{
	if (client->host.away)
		return OUTCOME_UNREACHABLE;
	if (client->host.epoch > work->epoch)
		return OUTCOME_REFUSED;
	if (world->transient_steps) {
		world->transient_steps--;
		return OUTCOME_TRANSIENT;
	}
	if (world->unsure_steps) {
		world->unsure_steps--;
		return OUTCOME_UNSURE;
	}
	/* Whoever was interrupted is not always there for the second attempt. */
	if (client->host.activating && world->chapter == CHAPTER_TROUBLE &&
		chance(world, STREAM_OUTCOMES, 80))
		return OUTCOME_UNREACHABLE;
	return OUTCOME_OK;
}

/* A connection is lost with its host, or without. */
static void lose_host(struct world *world, struct sim_client *client)
{
	client->host.away =
		world->chapter == CHAPTER_TROUBLE && chance(world, STREAM_OUTCOMES, 150);
	if (client->host.away)
		tell(world, "the host of %s is away", client->name);
}

/* What is in the backup that the way back brings. */
static uint8_t data_of_backup(const struct sim_client *client, const char *backup)
{
	for (size_t i = 0; i < BACKUPS_MAX; i++)
		if (!strcmp(client->backups[i].name, backup))
			return client->backups[i].data;
	return VERSION_NONE;
}

/* The same name again is the same backup, made anew. */
static void keep_backup(struct sim_client *client, const char *backup)
{
	struct sim_backup *place = NULL;
	for (size_t i = 0; i < BACKUPS_MAX && !place; i++)
		if (!strcmp(client->backups[i].name, backup))
			place = &client->backups[i];
	if (!place)
		place = &client->backups[client->backup_next++ % BACKUPS_MAX];
	(void)snprintf(place->name, sizeof(place->name), "%s", backup); /* fits */
	place->data = client->host.data;
}

static void touch_host(struct world *world, struct sim_client *client, struct job *job)
{
	const struct work *work = job->work;
	job->touched = true;
	client->host.version = release_version(work->target.release);
	client->host.by_way_back = job->back;
	client->host.activating = true;
	client->host.epoch = work->epoch;
	client->host.restored = work->restore;
	client->host.data =
		work->restore ? data_of_backup(client, work->backup) : client->host.version;
	if (!job->back)
		memcpy(client->host.begun, work->rollout, sizeof(client->host.begun));
	memcpy(client->host.rollout, work->rollout, sizeof(client->host.rollout));
	enum quality quality = quality_of(client);
	bool fails = quality == QUALITY_BROKEN ||
		     (quality == QUALITY_FLAKY && chance(world, STREAM_OUTCOMES, 100));
	if (job->outcome == OUTCOME_UNSURE)
		client->host.activating = fails || chance(world, STREAM_OUTCOMES, 500);
	else if (fails)
		job->outcome = OUTCOME_FAILED;
}

/* Does it hold the lock of its host? */
static bool is_locked(const struct job *job)
{
	return job->work->kind == WORK_ACTIVATE || job->work->kind == WORK_STEP;
}

/* Whoever comes with the lock of the host's state ends what a predecessor left running. */
static void end_predecessors(struct world *world, const struct job *job)
{
	for (size_t i = 0; i < world->job_count; i++) {
		struct job *other = &world->jobs[i];
		if (other->client != job->client || !is_locked(other))
			continue;
		other->done_ms = world->now_ms;
		if (other->outcome == OUTCOME_OK)
			other->outcome = OUTCOME_FAILED;
	}
}

static void say_state(
	const struct world *world, const struct sim_client *client, struct driver_state *state)
{
	const struct sim_host *host = &client->host;
	size_t index = (size_t)(client - world->clients);
	state->found = host->version != VERSION_NONE;
	if (state->found)
		release_text(index, host->version, state->release);
	memcpy(state->current, state->release, sizeof(state->current));
	memcpy(state->rollout, host->rollout, sizeof(host->rollout));
	state->epoch = host->epoch;
	state->activating = host->activating;
	if (host->restored)
		(void)snprintf(state->restore, sizeof(state->restore), "a backup");
	state->locked = hosts_are_busy(world, index, NULL);
}

/* As the workers do before the first step of a rollout there. */
static void compare(const struct world *world, const struct sim_client *client, struct work *work)
{
	struct driver_state state = {0};
	say_state(world, client, &state);
	if (!work->recorded[0] || strcmp(state.rollout, work->rollout) == 0 ||
		(work->target.release[0] && state.epoch > work->epoch))
		return;
	drift_compare(work->recorded, &state, &work->drift);
	work->compared = true;
}

static void activate(struct world *world, struct job *job)
{
	struct sim_client *client = &world->clients[job->client];
	const struct rollout *rollout = job->service->loop->rollout;
	job->back = rollout->clients[job->work->index].phase == PHASE_BACK;
	job->before = client->host;
	job->done_ms = world->now_ms + step_time(world);
	job->outcome = outcome_before(world, client, job->work);
	if (job->outcome == OUTCOME_UNREACHABLE || job->outcome == OUTCOME_TRANSIENT ||
		job->outcome == OUTCOME_REFUSED)
		return;
	compare(world, client, job->work);
	if (job->outcome == OUTCOME_UNSURE)
		lose_host(world, client);
	if (job->outcome == OUTCOME_UNSURE && chance(world, STREAM_OUTCOMES, 400))
		return; /* lost before it reached the host */
	end_predecessors(world, job);
	touch_host(world, client, job);
}

/* Steps fail now and then; they change nothing of what runs. */
static void run_step(struct world *world, struct job *job)
{
	job->before = world->clients[job->client].host;
	job->done_ms = world->now_ms + step_time(world);
	job->outcome = outcome_before(world, &world->clients[job->client], job->work);
	if (job->outcome == OUTCOME_UNREACHABLE || job->outcome == OUTCOME_TRANSIENT ||
		job->outcome == OUTCOME_REFUSED)
		return;
	end_predecessors(world, job);
	if (job->outcome == OUTCOME_OK && world->chapter != CHAPTER_RESCUE &&
		chance(world, STREAM_OUTCOMES, 60))
		job->outcome = OUTCOME_FAILED;
}

static void tell_worked(struct world *world, struct job *job)
{
	struct message *answer = message_new(MESSAGE_WORKED);
	struct work *work = STEAL(job->work);
	answer->rollout = work->rollout_serial;
	answer->client = work->index;
	answer->order = work->order;
	answer->ok = work->ok;
	if (!work->ok)
		(void)error_set(&answer->err, ERR_INVALID, "%s",
			work->kind == WORK_ASK    ? "no answer"
			: work->kind == WORK_STEP ? "a step failed"
						  : "activate failed");
	answer->data = work;
	answer->free_data = (void (*)(void *))work_free;
	stand_ins_post(job->service, answer);
	service_turn(world, job->service);
}

static void end_activation(struct world *world, struct job *job)
{
	struct sim_client *client = &world->clients[job->client];
	if (job->outcome == OUTCOME_OK && job->work->kind == WORK_ACTIVATE) {
		client->host.activating = false;
		client->host.since_ms = world->now_ms;
	} else if (job->outcome == OUTCOME_OK && !strcmp(job->work->step, STEP_BACKUP)) {
		keep_backup(client, job->work->backup);
	}
	if (!job->service)
		return;
	job->work->ok = job->outcome == OUTCOME_OK;
	job->work->unreachable = job->outcome == OUTCOME_UNREACHABLE;
	job->work->unsure = job->outcome == OUTCOME_UNSURE;
	job->work->transient = job->outcome == OUTCOME_TRANSIENT;
	job->work->refused = job->outcome == OUTCOME_REFUSED;
	job->work->untouched = job->work->unreachable || job->work->transient;
	tell_worked(world, job);
}

/* ---- rounds and questions ---------------------------------------------------------------------
 */

static bool round_is_good(struct world *world, const struct sim_client *client)
{
	if (client->host.away)
		return false;
	switch (quality_of(client)) {
	case QUALITY_GOOD:
		return world->chapter == CHAPTER_RESCUE || !chance(world, STREAM_OUTCOMES, 20);
	case QUALITY_FLAKY:
		return !chance(world, STREAM_OUTCOMES, 500);
	case QUALITY_LATE:
		return world->now_ms < client->host.since_ms + 900;
	case QUALITY_SICK:
		return chance(world, STREAM_OUTCOMES, 50);
	default:
		return false;
	}
}

static void ask(struct world *world, struct job *job)
{
	bool slow = world->chapter != CHAPTER_RESCUE && chance(world, STREAM_TIMES, 15);
	job->good =
		job->work->kind == WORK_ROUND && round_is_good(world, &world->clients[job->client]);
	job->done_ms = world->now_ms + 1 + choose(world, STREAM_TIMES, slow ? 2500 : 60);
}

static void end_ask(struct world *world, struct job *job)
{
	struct sim_client *client = &world->clients[job->client];
	struct work *work = job->work;
	struct service *service = job->service;
	bool drift = work->kind == WORK_DRIFT;
	bool busy = hosts_are_busy(world, job->client, NULL);
	work->ok = !client->host.away &&
		   (world->chapter == CHAPTER_RESCUE || !chance(world, STREAM_OUTCOMES, 100));
	work->refused = !drift && client->host.epoch > work->epoch;
	work->ok = work->ok && !work->refused;
	if (work->ok && !drift)
		client->host.epoch = work->epoch; /* who led before is refused from now on */
	say_state(world, client, &work->state);
	if (!drift)
		work->state.activating = work->state.activating || busy;
	if (drift)
		drift_compare(work->target.release, &work->state, &work->drift);
	work->compared = drift && work->ok;
	tell_worked(world, job);
	/* one round is enough: else nothing ever comes to rest */
	if (drift && service->loop && !service->loop->drift.running)
		service->loop->drift.next_ms = 0;
}

static void end_round(struct world *world, struct job *job)
{
	struct message *answer = message_new(MESSAGE_ROUND);
	answer->rollout = job->work->rollout_serial;
	answer->client = job->work->index;
	answer->order = job->work->order;
	answer->ok = job->good;
	if (!job->good)
		(void)error_set(&answer->err, ERR_INVALID, "status 500");
	stand_ins_post(job->service, answer);
	world->asked_ms = job->begun_ms;
	service_turn(world, job->service);
}

/* ---- jobs -------------------------------------------------------------------------------------
 */

void hosts_work(struct world *world, struct service *service, struct work *work)
{
	struct job job = {.service = service,
		.work = work,
		.client = client_index(work->client),
		.begun_ms = world->now_ms};
	if (work->kind == WORK_ACTIVATE) {
		promises_on_activate(world, service, work->index);
		activate(world, &job);
	} else if (work->kind == WORK_STEP) {
		promises_on_step(world, service, work->index);
		run_step(world, &job);
	} else {
		ask(world, &job);
	}
	mem_grow(world->jobs, world->job_count, world->job_capacity);
	world->jobs[world->job_count++] = job;
}

static void end_job(struct world *world, size_t index)
{
	struct job job = world->jobs[index];
	world->job_count--;
	memmove(&world->jobs[index], &world->jobs[index + 1],
		(world->job_count - index) * sizeof(job));
	if (is_locked(&job))
		end_activation(world, &job);
	else if (job.work->kind == WORK_ASK || job.work->kind == WORK_DRIFT)
		end_ask(world, &job);
	else
		end_round(world, &job);
	work_free(job.work);
}

int64_t hosts_next_ms(const struct world *world)
{
	int64_t next = world->again_ms;
	for (size_t i = 0; i < world->job_count; i++)
		if (world->jobs[i].done_ms < next)
			next = world->jobs[i].done_ms;
	return next;
}

void hosts_happen(struct world *world)
{
	if (world->now_ms >= world->again_ms) {
		service_hear_again(world);
		return;
	}
	for (size_t i = 0; i < world->job_count; i++)
		if (world->now_ms >= world->jobs[i].done_ms) {
			end_job(world, i);
			return;
		}
}

bool hosts_are_busy(const struct world *world, size_t client, const struct service *service)
{
	for (size_t i = 0; i < world->job_count; i++)
		if (world->jobs[i].client == client && is_locked(&world->jobs[i]) &&
			(!service || world->jobs[i].service == service))
			return true;
	return false;
}

/* A child goes on, or ends with the service: before or after it touched the host. */
static bool outlives(struct world *world, struct job *job)
{
	struct sim_client *client = &world->clients[job->client];
	if (!is_locked(job))
		return false;
	job->service = NULL;
	uint32_t fate = choose(world, STREAM_OUTCOMES, 4);
	if (fate == 1 && job->touched) {
		client->host = job->before;
		tell(world, "%s: nothing was touched yet", client->name);
	}
	return fate >= 2;
}

void hosts_after_crash(struct world *world, const struct service *service)
{
	size_t kept = 0;
	for (size_t i = 0; i < world->job_count; i++) {
		struct job *job = &world->jobs[i];
		if (job->service != service || outlives(world, job))
			world->jobs[kept++] = *job;
		else
			work_free(job->work);
	}
	world->job_count = kept;
}

void hosts_clear(struct world *world)
{
	for (size_t i = 0; i < world->job_count; i++)
		work_free(world->jobs[i].work);
	free(STEAL(world->jobs));
	world->job_count = world->job_capacity = 0;
}
