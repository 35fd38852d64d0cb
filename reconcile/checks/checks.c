/*
 *  checks_start() --> inbox --> engine thread --http, tcp, tls--> http_client --> verdict
 *   (any thread)                     |  ^                                           |
 *                                 command, verdict of it                            v
 *                                    v  |                                  last of its round?
 *                                 worker threads                               done(outcome)
 *
 * A round is changed by the engine's thread alone; workers hand their verdicts over. So the one
 * lock guards three lists and nothing else.
 */
#include "reconcile/checks/checks.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"
#include "reconcile/checks/checks_judge.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/* Commands at the same time: a check of 200 clients must not start 200 processes. */
#define WORKERS 8
/* Nothing needs the engine between two events; it is woken for each. */
#define ENGINE_TURN_MS 60000
#define WHY_MAX        2048 /* more than any error's message */
#define TOLD_MAX       360  /* of one check, so that a second one fits into the detail */

#define BODY_MAX ((size_t)64 * 1024)

struct probe {
	struct probe *next; /* in one of the lists */
	struct checks *checks;
	struct round *round;
	const struct check_spec *spec;
	struct buf why; /* empty: good */
};

struct round {
	struct round *next, **link; /* all that run, to free them at the end */
	struct arena *arena;
	struct probe *probes;
	size_t count, pending;
	const char *folder;
	void (*command)(void *data, const struct check_spec *spec, struct probe *probe);
	void *command_data;
	void (*done)(void *data, const struct check_outcome *outcome);
	void *data;
};

struct list {
	struct probe *first, **end;
};

struct checks {
	pthread_t engine;
	pthread_t workers[WORKERS];
	pthread_mutex_t lock;
	pthread_cond_t work; /* commands has one, or stopping */
	/* under the lock */
	struct round *inbox;
	struct list commands, finished;
	size_t worker_count, idle_count;
	bool stopping;
	/* the engine's own */
	struct round *running;
	struct http_client *client;
	int stop[2]; /* readable at the end: ends commands */
};

/* ---- lists and locks ------------------------------------------------------------------------ */

static void list_init(struct list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_add(struct list *list, struct probe *probe)
{
	probe->next = NULL;
	*list->end = probe;
	list->end = &probe->next;
}

static struct probe *list_take(struct list *list)
{
	struct probe *probe = list->first;
	if (!probe)
		return NULL;
	list->first = probe->next;
	if (!list->first)
		list->end = &list->first;
	return probe;
}

/* Neither fails for a default mutex that exists and is used in pairs. */
static void lock(struct checks *checks)
{
	(void)pthread_mutex_lock(&checks->lock);
}

static void unlock(struct checks *checks)
{
	(void)pthread_mutex_unlock(&checks->lock);
}

/* ---- rounds --------------------------------------------------------------------------------- */

static const char *const *copy_texts(struct arena *arena, const char *const *texts)
{
	size_t count = 0;
	if (!texts)
		return NULL;
	while (texts[count])
		count++;
	const char **copy = arena_array(arena, count + 1, sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = arena_str(arena, texts[i]);
	return copy;
}

static const struct check_spec *copy_spec(struct arena *arena, const struct check_spec *spec)
{
	struct check_spec *copy = arena_alloc(arena, sizeof(*copy));
	struct check_member *members = arena_array(arena, spec->json_count, sizeof(*members));
	*copy = *spec;
	for (size_t i = 0; i < spec->json_count; i++) {
		members[i].name = arena_str(arena, spec->json[i].name);
		members[i].json = arena_str(arena, spec->json[i].json);
	}
	copy->json = members;
	copy->name = arena_str(arena, spec->name);
	copy->target = arena_str(arena, spec->target);
	copy->argv = copy_texts(arena, spec->argv);
	copy->headers = copy_texts(arena, spec->headers);
	copy->body = arena_str(arena, spec->body);
	copy->ca_file = arena_str(arena, spec->ca_file);
	return copy;
}

static struct round *round_new(struct checks *checks, const struct check_round *from)
{
	struct arena *arena = arena_new(ARENA_PLAIN, 0);
	struct round *round = arena_alloc(arena, sizeof(*round));
	round->arena = arena;
	round->count = round->pending = from->count;
	round->folder = arena_str(arena, from->folder);
	round->command = from->command;
	round->command_data = from->command_data;
	round->probes = arena_array(arena, from->count, sizeof(*round->probes));
	for (size_t i = 0; i < from->count; i++) {
		struct probe *probe = &round->probes[i];
		*probe = (struct probe){.checks = checks, .round = round};
		probe->spec = copy_spec(arena, &from->specs[i]);
		buf_init(&probe->why, WHY_MAX);
	}
	return round;
}

static void round_free(struct round *round)
{
	for (size_t i = 0; i < round->count; i++)
		buf_clear(&round->probes[i].why);
	arena_free(round->arena);
}

static void free_rounds(struct round *round)
{
	while (round) {
		struct round *next = round->next;
		round_free(round);
		round = next;
	}
}

/* Length of the part that is told: cut between two characters. */
static size_t told_len(const struct buf *why)
{
	size_t len = why->len < TOLD_MAX ? why->len : TOLD_MAX;
	while (len && len < why->len && ((unsigned char)why->text[len] & 0xC0) == 0x80)
		len--;
	return len;
}

/* Room for "; 12 more failed" stays free; after the first that does not fit none is told. */
static void tell_outcome(const struct round *round, struct check_outcome *outcome)
{
	auto_buf struct buf detail = BUF_INIT(sizeof(outcome->detail) - 1);
	size_t told = 0;
	for (size_t i = 0; i < round->count; i++) {
		const struct probe *probe = &round->probes[i];
		if (!probe->why.len)
			continue;
		size_t len = told_len(&probe->why);
		size_t need = detail.len + strlen(probe->spec->name) + len + 4;
		if (told == outcome->failed++ && need <= detail.limit - 24) {
			buf_addf(&detail, "%s%s: %.*s", told ? "; " : "", probe->spec->name,
				(int)len, probe->why.text);
			told++;
		}
	}
	if (outcome->failed > told)
		buf_addf(&detail, "%s%zu more failed", told ? "; " : "", outcome->failed - told);
	outcome->good = outcome->failed == 0;
	memcpy(outcome->detail, detail.text, detail.len + 1);
}

static void finish_round(struct round *round)
{
	struct check_outcome outcome = {0};
	tell_outcome(round, &outcome);
	*round->link = round->next;
	if (round->next)
		round->next->link = round->link;
	round->done(round->data, &outcome);
	round_free(round);
}

static void finish_probe(struct probe *probe)
{
	if (--probe->round->pending == 0)
		finish_round(probe->round);
}

/* ---- commands ------------------------------------------------------------------------------- */

static void add_own(struct strlist *environment, const char *name, const char *standard)
{
	const char *value = getenv(name);
	strlist_addf(environment, "%s=%s", name, value && *value ? value : standard);
}

static void run_command(struct probe *probe)
{
	struct error err;
	struct exec_result result;
	struct exec_request request = EXEC_REQUEST_INIT;
	auto_strlist struct strlist environment = STRLIST_INIT;
	add_own(&environment, "PATH",
		"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	add_own(&environment, "HOME", "/");
	add_own(&environment, "LANG", "C.UTF-8");
	strlist_take(&environment, NULL);
	request.argv = probe->spec->argv;
	request.environ_ = (const char *const *)environment.items;
	request.folder = probe->round->folder;
	request.timeout_ms = judge_timeout_ms(probe->spec);
	request.grace_ms = 1000; /* a probe has nothing to tidy up */
	request.cancel_fd = probe->checks->stop[0];
	request.max_output = CHECKS_OUTPUT_MAX;
	if (!exec_run(&request, &result, &err)) {
		buf_add_clean(&probe->why, err.message, strlen(err.message));
		return;
	}
	judge_command(probe->spec, &result, &probe->why);
	exec_result_clear(&result);
}

static void *work(void *data)
{
	struct checks *checks = data;
	lock(checks);
	while (!checks->stopping) {
		struct probe *probe = list_take(&checks->commands);
		if (!probe) {
			checks->idle_count++;
			(void)pthread_cond_wait(&checks->work, &checks->lock); /* cannot fail */
			checks->idle_count--;
			continue;
		}
		unlock(checks);
		run_command(probe);
		lock(checks);
		list_add(&checks->finished, probe);
		http_client_wake(checks->client);
	}
	unlock(checks);
	return NULL;
}

/* Signals belong to the main thread: ours start with all of them blocked. */
static int start_thread(pthread_t *thread, void *(*run)(void *), struct checks *checks)
{
	sigset_t all, before;
	(void)sigfillset(&all);                          /* cannot fail for a valid pointer */
	(void)pthread_sigmask(SIG_BLOCK, &all, &before); /* likewise */
	int rc = pthread_create(thread, NULL, run, checks);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* likewise */
	return rc;
}

/* @return false if there is nobody to run it */
static bool hand_to_worker(struct checks *checks, struct probe *probe)
{
	lock(checks);
	bool more = !checks->idle_count && checks->worker_count < WORKERS;
	if (more && start_thread(&checks->workers[checks->worker_count], work, checks) == 0)
		checks->worker_count++;
	bool good = checks->worker_count > 0;
	if (good) {
		list_add(&checks->commands, probe);
		(void)pthread_cond_signal(&checks->work); /* cannot fail */
	}
	unlock(checks);
	return good;
}

/* ---- the engine ----------------------------------------------------------------------------- */

static void take_answer(void *data, const struct http_answer *answer)
{
	struct probe *probe = data;
	judge_answer(probe->spec, answer, clock_wall_s(), &probe->why);
	finish_probe(probe);
}

static void start_http(struct checks *checks, struct probe *probe)
{
	const struct check_spec *spec = probe->spec;
	const char *scheme = spec->kind == PROBE_TLS ? "https" : "http";
	auto_free char *url = spec->kind == PROBE_HTTP
				      ? mem_dup_str(spec->target)
				      : mem_printf("%s://%s", scheme, spec->target);
	struct http_request request = {
		.method = "GET",
		.url = url,
		.headers = spec->headers,
		.ca_file = spec->ca_file,
		.connect_ms = judge_timeout_ms(spec),
		.timeout_ms = judge_timeout_ms(spec),
		.max_body = BODY_MAX,
		.connect_only = spec->kind != PROBE_HTTP,
		.want_certificate = spec->kind == PROBE_TLS,
	};
	http_client_start(checks->client, &request, take_answer, probe);
}

static void start_round(struct checks *checks, struct round *round)
{
	round->next = checks->running;
	round->link = &checks->running;
	if (round->next)
		round->next->link = &round->next;
	checks->running = round;
	round->pending++; /* ours: the round must outlive this loop */
	for (size_t i = 0; i < round->count; i++) {
		struct probe *probe = &round->probes[i];
		if (probe->spec->kind != PROBE_COMMAND) {
			start_http(checks, probe);
		} else if (round->command) {
			round->command(round->command_data, probe->spec, probe);
		} else if (!hand_to_worker(checks, probe)) {
			buf_add_str(&probe->why, "no thread could be started for the command");
			finish_probe(probe);
		}
	}
	if (--round->pending == 0)
		finish_round(round);
}

/* @return false at the end: then nothing is begun or told any more */
static bool take_work(struct checks *checks)
{
	struct round *inbox = NULL;
	struct probe *finished = NULL;
	lock(checks);
	bool stopping = checks->stopping;
	if (!stopping) {
		inbox = STEAL(checks->inbox);
		finished = checks->finished.first;
		list_init(&checks->finished);
	}
	unlock(checks);
	while (finished) {
		struct probe *next = finished->next;
		finish_probe(finished);
		finished = next;
	}
	while (inbox) {
		struct round *next = inbox->next;
		start_round(checks, inbox);
		inbox = next;
	}
	return !stopping;
}

static void *run_engine(void *data)
{
	struct checks *checks = data;
	while (take_work(checks))
		(void)http_client_run(
			checks->client, ENGINE_TURN_MS); /* rounds know what is left */
	return NULL;
}

/* ---- outside -------------------------------------------------------------------------------- */

static struct checks *checks_alloc(void)
{
	struct checks *checks = mem_zero(1, sizeof(*checks));
	checks->stop[0] = checks->stop[1] = -1;
	list_init(&checks->commands);
	list_init(&checks->finished);
	/* Neither can fail without attributes. */
	(void)pthread_mutex_init(&checks->lock, NULL);
	(void)pthread_cond_init(&checks->work, NULL);
	return checks;
}

/* All threads are gone, or never were. */
static void checks_dismantle(struct checks *checks)
{
	http_client_free(checks->client);
	free_rounds(checks->inbox);
	free_rounds(checks->running);
	fs_close_at(&checks->stop[0]);
	fs_close_at(&checks->stop[1]);
	(void)pthread_mutex_destroy(&checks->lock); /* nobody holds it */
	(void)pthread_cond_destroy(&checks->work);  /* nobody waits */
	free(checks);
}

bool checks_new(struct checks **checks_out, struct error *err)
{
	struct checks *checks = checks_alloc();
	bool good = http_client_new(&checks->client, err);
	if (good && pipe2(checks->stop, O_CLOEXEC) < 0)
		good = error_errno(err, errno, "cannot make a pipe");
	if (good) {
		int rc = start_thread(&checks->engine, run_engine, checks);
		if (rc)
			good = error_errno(err, rc, "cannot start the thread of the checks");
	}
	if (!good) {
		checks_dismantle(checks);
		return false;
	}
	*checks_out = checks;
	return true;
}

void checks_free(struct checks *checks)
{
	if (!checks)
		return;
	lock(checks);
	checks->stopping = true;
	(void)pthread_cond_broadcast(&checks->work); /* cannot fail */
	unlock(checks);
	fs_close_at(&checks->stop[1]); /* its other end is readable from now on */
	checks->stop[1] = -1;
	http_client_wake(checks->client);
	(void)pthread_join(checks->engine, NULL); /* ours and joinable */
	for (size_t i = 0; i < checks->worker_count; i++)
		(void)pthread_join(checks->workers[i], NULL); /* likewise */
	checks_dismantle(checks);
}

int64_t checks_timeout_ms(const struct check_spec *spec)
{
	return judge_timeout_ms(spec);
}

void checks_command_done(struct probe *probe, const struct exec_result *result, const char *why)
{
	struct checks *checks = probe->checks;
	if (result)
		judge_command(probe->spec, result, &probe->why);
	else
		buf_add_clean(&probe->why, why, strlen(why));
	lock(checks);
	list_add(&checks->finished, probe);
	unlock(checks);
	http_client_wake(checks->client);
}

void checks_start(struct checks *checks, const struct check_round *from,
	void (*done)(void *data, const struct check_outcome *outcome), void *data)
{
	struct round *round = round_new(checks, from);
	round->done = done;
	round->data = data;
	lock(checks);
	round->next = checks->inbox;
	checks->inbox = round;
	unlock(checks);
	http_client_wake(checks->client);
}
