/* Times plans of a fleet that fleet_make made, in this one process; for tests/bench.
 *
 * usage: fleet_plan FOLDER COMMIT...   prints a line "what<TAB>value<TAB>unit" for each figure
 *
 * The first commit is planned cold, the others warm, each against main with the records of the
 * status branch, as a service does that just started.
 */
#include "base/clock.h"
#include "base/fs.h"
#include "git/commit.h"
#include "reconcile/plan.h"
#include <sodium.h>
#include <time.h>

#define KEY_LIMIT ((size_t)64 << 10)

struct timer {
	struct repo *repo;
	struct keyring *keyring;
	struct digest_keys keys;
	struct status *status;
	struct plan_cache *cache;
	struct oid base;
	struct error err;
};

static void must(struct timer *timer, bool fine, const char *what)
{
	char line[sizeof(timer->err)];
	if (fine)
		return;
	fprintf(stderr, "fleet_plan: %s: %s\n", what, error_line(&timer->err, line, sizeof(line)));
	exit(1);
}

static double now_ms(clockid_t clock)
{
	struct timespec now;
	(void)clock_gettime(clock, &now); /* cannot fail for the clocks used here */
	return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static struct oid tip(struct timer *timer, const char *branch)
{
	struct oid id = {{0}};
	must(timer, repo_revision(timer->repo, branch, &id, &timer->err), branch);
	return id;
}

static void load_status(struct timer *timer)
{
	auto_tree struct tree *tree = NULL;
	struct oid id = tip(timer, "deployments");
	double before = now_ms(CLOCK_MONOTONIC);
	must(timer,
		tree_open_commit(timer->repo, &id, &tree, &timer->err) &&
			status_load(tree, "", &id, &timer->status, &timer->err) &&
			digest_keys_read(timer->status->digest_keys, timer->status->digest_keys_len,
				timer->keyring, &timer->keys, &timer->err),
		"status branch");
	printf("records\t%.1f\tms\n", now_ms(CLOCK_MONOTONIC) - before);
}

static void plan(struct timer *timer, const char *branch, const char *how)
{
	auto_tree struct tree *tree = NULL;
	auto_plan struct plan *made = NULL;
	auto_problems struct problems problems = {0};
	struct oid id = tip(timer, branch);
	double wall = now_ms(CLOCK_MONOTONIC), cpu = now_ms(CLOCK_PROCESS_CPUTIME_ID);
	must(timer, tree_open_commit(timer->repo, &id, &tree, &timer->err), branch);
	const struct plan_request request = {.repo = timer->repo,
		.tree = tree,
		.commit = id,
		.base = timer->base,
		.status = timer->status,
		.keyring = timer->keyring,
		.keys = &timer->keys,
		.cache = timer->cache};
	must(timer,
		plan_build(&request, &made, NULL, &problems) ||
			problems_to_error(&problems, &timer->err),
		branch);
	printf("%s %s\t%.1f\tms\n", how, branch, now_ms(CLOCK_MONOTONIC) - wall);
	printf("%s %s cpu\t%.1f\tms\n", how, branch, now_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	printf("%s %s changed\t%zu\tclients\n", how, branch, made->changed);
}

/* What the kernel says of this process, in KiB. */
static void print_memory(const char *key, const char *what)
{
	char line[256];
	FILE *file = fopen("/proc/self/status", "r");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			printf("%s\t%ld\tKiB\n", what, strtol(line + strlen(key) + 1, NULL, 10));
	if (file)
		(void)fclose(file); /* read only */
}

static void open_fleet(struct timer *timer, const char *folder)
{
	auto_buf struct buf text = BUF_INIT_SECRET(KEY_LIMIT);
	auto_free char *repo = mem_printf("%s/repo.git", folder);
	auto_free char *key = mem_printf("%s/key.txt", folder);
	must(timer,
		repo_open_mirror(repo, &timer->repo, &timer->err) &&
			fs_read_secret(key, KEY_LIMIT, &text, &timer->err) &&
			keyring_read(key, text.text, text.len, &timer->keyring, &timer->err),
		folder);
	timer->base = tip(timer, "main");
	timer->cache = plan_cache_new();
}

int main(int argc, char **argv)
{
	struct timer timer = {0};
	if (argc < 3) {
		fprintf(stderr, "usage: fleet_plan FOLDER COMMIT...\n");
		return 2;
	}
	must(&timer, sodium_init() >= 0 && repo_library_init(&timer.err), "libraries");
	open_fleet(&timer, argv[1]);
	load_status(&timer);
	for (int i = 2; i < argc; i++) {
		plan(&timer, argv[i], i == 2 ? "cold" : "warm");
		print_memory("VmRSS:", i == 2 ? "resident after cold" : "resident after warm");
	}
	print_memory("VmHWM:", "resident at most");
	print_memory("RssAnon:", "anonymous");
	print_memory("RssFile:", "file");
	plan_cache_free(timer.cache);
	status_free(timer.status);
	keyring_free(timer.keyring);
	repo_free(timer.repo);
	repo_library_shutdown();
	return 0;
}
