/* `aviary apply`: one reconcile in the foreground, or by the service that holds the state folder.
 */
#include "base/clock.h"
#include "server/api.h"
#include "server/cli/command.h"
#include "server/cli/follow.h"
#include "server/cli/online.h"
#include "server/service.h"
#include "server/views.h"
#include <cjson/cJSON.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define NO_ANSWER_MS 60000

static const char usage[] =
	"usage: aviary apply [-c FILE] [--json] [--accept-history]\n\n"
	"Looks at the repository once and does what its newest commit asks for, with progress;\n"
	"ends when nothing is left to do. Beside a running service it asks that one and follows.\n"
	"  -c, --config FILE   configuration (default " ONLINE_CONFIG ")\n"
	"  --json              one object a line; the last one is {result, rollout}\n"
	"  --accept-history    go on although the status branch lost commits: the truth is what\n"
	"                      the remote and the hosts say now\n\n"
	"Exit status: 0 fine (also nothing to do), 1 refused, failed or held, 2 usage, 3 nothing\n"
	"could be reached, 4 waiting.\n";

/* ---- with a loop of our own
 * ------------------------------------------------------------------------ */

struct own_loop {
	struct loop *loop;
	struct loop_outcome outcome;
	bool done; /* atomic */
};

static void *run_loop(void *data)
{
	struct own_loop *own = data;
	loop_run(own->loop, &own->outcome);
	__atomic_store_n(&own->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void show(struct follow *follow, const struct snapshot *snapshot)
{
	auto_buf struct buf view = BUF_INIT(ONLINE_ANSWER_MAX);
	view_status(snapshot, &view);
	follow_update(follow, view.text);
}

static int end(struct follow *follow, const struct own_loop *own, struct board *board, bool json)
{
	auto_buf struct buf view = BUF_INIT(ONLINE_ANSWER_MAX);
	auto_snapshot struct snapshot *last = board_read(board);
	if (!strcmp(own->outcome.result, "error")) {
		fprintf(stderr, "aviary: %s\n", own->outcome.text);
		if (json)
			printf("{\"result\":\"error\",\"rollout\":null}\n");
		return own->outcome.exit_status;
	}
	view_status(last, &view);
	return follow_end(follow, view.text);
}

static void follow_own(struct own_loop *own, struct board *board, struct follow *follow)
{
	sigset_t signals;
	const struct timespec none = {0};
	struct snapshot *seen = NULL;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	while (!__atomic_load_n(&own->done, __ATOMIC_ACQUIRE)) {
		struct snapshot *next = board_wait(board, seen, ONLINE_POLL_MS);
		snapshot_unref(seen);
		seen = next;
		show(follow, seen);
		if (sigtimedwait(&signals, NULL, &none) > 0)
			loop_stop(own->loop);
	}
	snapshot_unref(seen);
	auto_snapshot struct snapshot *last = board_read(board);
	follow_expect(follow, own->outcome.rollout);
	show(follow, last);
}

static int apply_here(const struct config *config, const struct online_options *options)
{
	struct error err;
	auto_keyring struct keyring *keyring = NULL;
	auto_buf struct buf overwritten = BUF_INIT_SECRET(SERVICE_AGE_KEYS_MAX);
	auto_board struct board *board = board_new();
	auto_follow struct follow *follow = follow_new(stdout, options->json);
	auto_loop struct loop *loop = NULL;
	pthread_t thread;
	sigset_t signals;
	if (!keyring_load(config->age_key_file, &keyring, &err))
		return online_fail(&err);
	keyring_take_environment(&overwritten);
	struct loop_options loop_options = service_loop_options(config, keyring);
	loop_options.once = true;
	loop_options.git.accept_history = options->accept_history;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (!loop_new(&loop_options, board, &loop, &err))
		return online_fail(&err);
	struct own_loop own = {.loop = loop};
	if (pthread_create(&thread, NULL, run_loop, &own)) {
		fprintf(stderr, "aviary: cannot start a thread\n");
		return 1;
	}
	follow_own(&own, board, follow);
	pthread_join(thread, NULL);
	return end(follow, &own, board, options->json);
}

/* ---- with the service that runs
 * --------------------------------------------------------------------- */

static double number_of(const char *json, const char *key)
{
	cJSON *object = cJSON_Parse(json);
	double number = online_number(object, key);
	cJSON_Delete(object);
	return number;
}

static bool is_true(const char *json, const char *key)
{
	cJSON *object = cJSON_Parse(json);
	bool yes = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
	cJSON_Delete(object);
	return yes;
}

/* For a person, hosts or a window: the service goes on with it when it may. */
static bool is_waiting(const char *json)
{
	cJSON *status = cJSON_Parse(json);
	const cJSON *rollout = cJSON_GetObjectItemCaseSensitive(status, "rollout");
	bool waiting = !strcmp(online_text(rollout, "state"), "waiting");
	cJSON_Delete(status);
	return waiting;
}

static bool ask_status(const struct online_service *service, struct buf *view, struct error *err)
{
	buf_clear(view);
	return online_request(service, "/api/v1/status", NULL, view, err);
}

static char *newest_rollout(const char *status_json)
{
	cJSON *status = cJSON_Parse(status_json);
	const cJSON *rollout = cJSON_GetObjectItemCaseSensitive(status, "rollout");
	const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(rollout, "id"));
	char *copy = mem_dup_str(id ? id : "");
	cJSON_Delete(status);
	return copy;
}

static void expect_new_rollout(struct follow *follow, const char *old, const char *status_json)
{
	auto_free char *id = newest_rollout(status_json);
	if (strcmp(id, old) != 0)
		follow_expect(follow, id);
}

static int apply_there(const struct config *config, const struct online_options *options)
{
	struct error err;
	auto_buf struct buf view = BUF_INIT(ONLINE_ANSWER_MAX);
	auto_buf struct buf answer = BUF_INIT(ONLINE_ANSWER_MAX);
	auto_follow struct follow *follow = follow_new(stdout, options->json);
	const struct online_service service = {.socket = config->socket};
	if (options->accept_history) {
		fprintf(stderr,
			"aviary: a service runs on '%s': stop it first, --accept-history is for "
			"a foreground run\n",
			config->state_dir);
		return 1;
	}
	if (!ask_status(&service, &view, &err))
		return online_fail(&err);
	auto_free char *old = newest_rollout(view.text);
	follow_update(follow, view.text);
	if (!online_request(&service, "/api/v1/reconcile", "{}", &answer, &err))
		return online_fail(&err);
	double looks = number_of(answer.text, "looks");
	int64_t until_ms = clock_mono_ms() + NO_ANSWER_MS;
	for (;;) {
		if (!ask_status(&service, &view, &err))
			return online_fail(&err);
		expect_new_rollout(follow, old, view.text);
		follow_update(follow, view.text);
		bool looked = number_of(view.text, "looks") > looks;
		if (looked && (is_true(view.text, "idle") || is_waiting(view.text)))
			break;
		if (!looked && clock_mono_ms() > until_ms) {
			fprintf(stderr,
				"aviary: the service did not look within a minute: see its log\n");
			return 3;
		}
		online_pause();
	}
	return follow_end(follow, view.text);
}

static int run(int argc, char **argv)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	struct online_options options;
	struct config *config;
	struct error err;
	int lock = -1;
	int done = online_options(argc, argv, ONLINE_ACCEPT, usage, &options);
	if (done >= 0)
		return done;
	if (!online_config(options.config, NULL, arena, &config))
		return 1;
	log_setup(STDERR_FILENO, LOG_ERROR, config->log_format);
	if (!service_harden(&err))
		return online_fail(&err);
	if (!service_lock(config, &lock, &err))
		return err.code == ERR_REFUSED ? apply_there(config, &options) : online_fail(&err);
	int status = apply_here(config, &options);
	close(lock);
	return status;
}

const struct command command_apply = {.name = "apply",
	.summary = "do what the newest commit asks for, once, with progress",
	.usage = usage,
	.run = run};
