/* Has the checks of many clients run at once, and prints as JSON what it took.
 *
 * usage: checks_bench CA_FILE URL...
 *
 * CA_FILE may be empty: the system's authorities. Each URL is a client with one check `http`.
 */
#include "base/clock.h"
#include "reconcile/checks/checks.h"
#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

struct bench {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	size_t left, failed;
};

static void one_done(void *data, const struct check_outcome *outcome)
{
	struct bench *bench = data;
	(void)pthread_mutex_lock(&bench->lock);
	if (!outcome->good && !bench->failed++)
		fprintf(stderr, "%s\n", outcome->detail);
	if (!--bench->left)
		(void)pthread_cond_signal(&bench->ended);
	(void)pthread_mutex_unlock(&bench->lock);
}

static void run_all(struct bench *bench, struct checks *checks, char **argv, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct check_spec spec = {.name = "bench",
			.kind = PROBE_HTTP,
			.target = argv[2 + i],
			.timeout_ms = 120000,
			.ca_file = argv[1][0] ? argv[1] : NULL};
		const struct check_round round = {.specs = &spec, .count = 1};
		checks_start(checks, &round, one_done, bench);
	}
	(void)pthread_mutex_lock(&bench->lock);
	while (bench->left)
		(void)pthread_cond_wait(&bench->ended, &bench->lock);
	(void)pthread_mutex_unlock(&bench->lock);
}

int main(int argc, char **argv)
{
	struct bench bench = {.lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
	auto_checks struct checks *checks = NULL;
	struct rusage used;
	struct error err;
	(void)signal(SIGPIPE, SIG_IGN); /* cannot fail for a valid signal */
	if (argc < 3 || curl_global_init(CURL_GLOBAL_DEFAULT) || !checks_new(&checks, &err)) {
		fputs("usage: see the source\n", stderr);
		return 2;
	}
	bench.left = (size_t)argc - 2;
	int64_t began = clock_mono_ms();
	run_all(&bench, checks, argv, bench.left);
	(void)getrusage(RUSAGE_SELF, &used); /* cannot fail */
	printf("{\"wall_s\": %.3f, \"cpu_s\": %.3f, \"memory_kib\": %ld, \"failed\": %zu}\n",
		(double)(clock_mono_ms() - began) / 1000,
		(double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
			(double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6,
		used.ru_maxrss, bench.failed);
	return bench.failed != 0;
}
