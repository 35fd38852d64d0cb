/* usage: sim [--runs N] [--seed N] [--trace]
 *
 * Without --runs, one run of the seed. Exit status 1 if a promise was broken: the seed, the promise
 * and the shortest story that breaks it are printed. */
#include "base/log.h"
#include "tests/sim/sim.h"
#include <getopt.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define TEXTS_EVERY 64 /* runs; records go through their files in one of so many */

struct options {
	uint64_t runs, seed;
	bool tells, shrinks;
};

struct totals {
	uint64_t runs, rollouts, events;
};

static volatile uint64_t seed_now; /* for the signal handler */

/* An assertion of the machine: the seed is all that can be told. */
static void on_death(int number)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "\nseed %llu: died of signal %d\n",
		(unsigned long long)seed_now, number);
	if (len > 0 && write(STDERR_FILENO, text, (size_t)len) < 0)
		_exit(2);
	(void)signal(number, SIG_DFL);
	(void)raise(number);
}

static double processor_s(void)
{
	struct timespec spent = {0};
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
	return (double)spent.tv_sec + (double)spent.tv_nsec / 1e9;
}

static void reset(struct world *world, uint64_t seed)
{
	world_reset(world, seed, seed % TEXTS_EVERY == 0);
	texts_want(world->in_texts);
	seed_now = seed;
}

static bool run_seed(struct world *world, uint64_t seed, bool tells)
{
	reset(world, seed);
	world->tells = tells;
	choices_seed(world->choices, seed);
	return run(world);
}

static void tell_failure(struct world *world, const struct options *options)
{
	printf("seed %llu: %s\n", (unsigned long long)world->seed, world->broken);
	if (options->tells || !options->shrinks)
		return;
	shrink(world);
	reset(world, world->seed);
	world->tells = true;
	choices_again(world->choices);
	printf("the shortest story that breaks it:\n");
	(void)run(world);
}

static bool run_all(const struct options *options, struct totals *totals)
{
	struct world *world = mem_zero(1, sizeof(*world));
	bool good = true;
	for (uint64_t i = 0; good && i < options->runs; i++) {
		good = run_seed(world, options->seed + i, options->tells);
		totals->runs++;
		totals->rollouts += world->rollouts;
		totals->events += world->events;
		if (!good)
			tell_failure(world, options);
	}
	choices_free(world->choices);
	free(world);
	return good;
}

static bool read_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {{"runs", required_argument, NULL, 'r'},
		{"seed", required_argument, NULL, 's'}, {"trace", no_argument, NULL, 't'},
		{"no-shrink", no_argument, NULL, 'n'}, {NULL, 0, NULL, 0}};
	int option;
	*options = (struct options){.runs = 1, .seed = 1, .shrinks = true};
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'r')
			options->runs = strtoull(optarg, NULL, 10);
		else if (option == 's')
			options->seed = strtoull(optarg, NULL, 10);
		else if (option == 't')
			options->tells = true;
		else if (option == 'n')
			options->shrinks = false;
		else
			return false;
	}
	return optind == argc;
}

int main(int argc, char **argv)
{
	struct options options;
	struct totals totals = {0};
	if (!read_options(argc, argv, &options)) {
		fprintf(stderr, "usage: sim [--runs N] [--seed N] [--trace] [--no-shrink]\n");
		return 2;
	}
	log_setup(-1, LOG_ERROR, LOG_TEXT);
	(void)signal(SIGABRT, on_death);
	(void)signal(SIGSEGV, on_death);
	double begun_s = processor_s();
	bool good = run_all(&options, &totals);
	double spent_s = processor_s() - begun_s;
	printf("%llu runs, %llu rollouts, %llu events: %.0f rollouts/s, %.0f events/s\n",
		(unsigned long long)totals.runs, (unsigned long long)totals.rollouts,
		(unsigned long long)totals.events, (double)totals.rollouts / spent_s,
		(double)totals.events / spent_s);
	return good ? 0 : 1;
}
