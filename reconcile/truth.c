#include "reconcile/truth.h"
#include "base/clock.h"
#include "reconcile/renderer.h"
#include <pthread.h>

void truth_free(struct truth *truth)
{
	if (!truth)
		return;
	for (size_t i = 0; i < truth->count; i++)
		client_record_clear(&truth->records[i]);
	free(truth->records);
	free(truth);
}

/* The host's word against the record: what it runs is current; nothing of it is known good. */
static void add_record(struct truth *truth, const struct fleet *fleet, const struct client *client,
	const struct client_record *recorded, const struct driver_state *state)
{
	struct client_record *record = &truth->records[truth->count++];
	if (recorded)
		client_record_copy(record, recorded);
	else
		record->client = mem_dup_str(client->name);
	mem_replace_str(&record->host, client->host->name);
	mem_replace_str(&record->root, client->root);
	mem_replace_str(&record->stage, fleet->policy->stages[client->stage].name);
	bool same = recorded && !strcmp(recorded->current.release, state->release);
	if (!same)
		record->current = (struct release_ref){0};
	(void)snprintf(
		record->current.release, sizeof(record->current.release), "%s", state->release);
	(void)snprintf(record->current.commit, sizeof(record->current.commit), "%s", state->commit);
	(void)snprintf(
		record->current.rollout, sizeof(record->current.rollout), "%s", state->rollout);
	if (!same)
		record->state = CLIENT_WAITING;
	record->updated_s = clock_wall_s();
}

/* ---- asking --------------------------------------------------------------------------------- */

struct answer {
	struct driver_host host;
	struct driver_task task;
	struct question *question;
};

/* All hosts of a fleet, at the same time where the driver can. */
struct question {
	struct answer *answers; /* by client */
	size_t count, open;     /* open: under the lock */
	pthread_mutex_t lock;
	pthread_cond_t answered;
};

static void question_clear(struct question *question)
{
	(void)pthread_cond_destroy(&question->answered); /* nobody waits */
	(void)pthread_mutex_destroy(&question->lock);    /* nobody holds it */
	free(question->answers);
}

static void take_answer(struct driver_task *task)
{
	struct question *question = ((struct answer *)task->data)->question;
	(void)pthread_mutex_lock(&question->lock);
	if (--question->open == 0)
		(void)pthread_cond_signal(&question->answered);
	(void)pthread_mutex_unlock(&question->lock);
}

static void ask_one(const struct driver *driver, struct answer *answer)
{
	struct driver_task *task = &answer->task;
	*task = (struct driver_task){
		.work = DRIVER_ASK, .host = &answer->host, .done = take_answer, .data = answer};
	if (driver->begin) {
		driver->begin(task);
		return;
	}
	task->ok = driver->ask(task->host, &task->state, &task->err);
	take_answer(task);
}

static bool ask_all(const struct fleet *fleet, struct hosts *hosts, struct question *question,
	struct error *err)
{
	const struct driver *driver = driver_find(fleet->policy->driver.kind);
	*question = (struct question){.count = fleet->client_count,
		.open = fleet->client_count,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.answered = PTHREAD_COND_INITIALIZER};
	if (!driver)
		return error_set(
			err, ERR_INVALID, "driver '%s' does not exist", fleet->policy->driver.kind);
	question->answers = mem_zero(fleet->client_count, sizeof(*question->answers));
	for (size_t i = 0; i < question->count; i++) {
		question->answers[i].host = renderer_host(&fleet->clients[i], hosts);
		question->answers[i].question = question;
		ask_one(driver, &question->answers[i]);
	}
	(void)pthread_mutex_lock(&question->lock);
	while (question->open)
		(void)pthread_cond_wait(&question->answered, &question->lock); /* cannot fail */
	(void)pthread_mutex_unlock(&question->lock);
	return true;
}

bool truth_ask(const struct fleet *fleet, struct hosts *hosts, const struct status *status,
	struct truth **truth_out, struct error *err)
{
	auto_truth struct truth *truth = mem_zero(1, sizeof(*truth));
	CLEANUP(question_clear) struct question question = {0};
	truth->records = mem_zero(fleet->client_count, sizeof(*truth->records));
	if (!ask_all(fleet, hosts, &question, err))
		return false;
	for (size_t i = 0; i < fleet->client_count; i++) {
		const struct client *client = &fleet->clients[i];
		const struct client_record *record = status_client(status, client->name);
		const struct driver_task *task = &question.answers[i].task;
		const struct driver_state *state = &task->state;
		if (!task->ok) {
			*err = task->err;
			return error_wrap(err, "host of '%s'", client->name);
		}
		if (!state->found)
			continue;
		truth->epoch = state->epoch > truth->epoch ? state->epoch : truth->epoch;
		if (!record || strcmp(record->current.release, state->release) != 0 ||
			strcmp(record->current.rollout, state->rollout) < 0)
			add_record(truth, fleet, client, record, state);
	}
	*truth_out = STEAL(truth);
	return true;
}

static bool names_rollout(const struct client_record *record, const char *id)
{
	bool named = !strcmp(record->current.rollout, id) ||
		     !strcmp(record->known_good.rollout, id) ||
		     !strcmp(record->previous.rollout, id);
	for (size_t i = 0; i < record->good_count && !named; i++)
		named = !strcmp(record->good[i].rollout, id);
	return named;
}

bool truth_check(const struct fleet *fleet, struct hosts *hosts, const struct status *status,
	struct error *err)
{
	CLEANUP(question_clear) struct question question = {0};
	struct error ignored; /* of a driver that is not there: it names no rollout */
	if (!ask_all(fleet, hosts, &question, &ignored))
		return true;
	for (size_t i = 0; i < fleet->client_count; i++) {
		const struct client *client = &fleet->clients[i];
		const struct client_record *record = status_client(status, client->name);
		const struct driver_state *state = &question.answers[i].task.state;
		if (!question.answers[i].task.ok || !state->found)
			continue;
		if ((record && names_rollout(record, state->rollout)) ||
			status_rollout(status, state->rollout))
			continue;
		(void)error_set(err, ERR_REFUSED,
			"the host of '%s' names rollout %s, which the status branch does not know",
			client->name, state->rollout);
		return error_hint(err,
			"put the branch back on the remote, or take the truth from the hosts with "
			"'aviary apply --accept-history'");
	}
	return true;
}
