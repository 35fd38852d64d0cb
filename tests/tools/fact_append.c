/* Times facts of the status branch of a fleet that fleet_make made, for tests/bench.
 *
 * usage: fact_append FOLDER FACTS PER_PUSH   prints lines "what<TAB>value<TAB>unit"
 *
 * Each fact is a new record of another client, committed in the mirror FOLDER/mirror.git and pushed
 * to FOLDER/repo.git. Then the mirror is packed, however little there is to pack. Bytes are those
 * of all objects that came, for each fact.
 */
#include "base/clock.h"
#include "git/pack.h"
#include "reconcile/ledger.h"
#include <ftw.h>
#include <sodium.h>
#include <time.h>

struct appender {
	struct repo *repo;
	struct remote *remote;
	struct ledger *ledger;
	struct status *status;
	size_t made;
	struct error err;
};

static void must(struct appender *self, bool fine, const char *what)
{
	char line[sizeof(self->err)];
	if (fine)
		return;
	fprintf(stderr, "fact_append: %s: %s\n", what, error_line(&self->err, line, sizeof(line)));
	exit(1);
}

static double now_ms(clockid_t clock)
{
	struct timespec now;
	(void)clock_gettime(clock, &now); /* cannot fail for the clocks used here */
	return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

/* Clients in an order that is not that of their names, as waves are. */
static struct fact *make_fact(struct appender *self)
{
	size_t index = self->made * 7919 % self->status->client_count;
	struct client_record record = *self->status->clients[index];
	record.updated_s = 1800000000 + (int64_t)++self->made;
	return fact_drift(&record);
}

static void append(struct appender *self, size_t facts, size_t per_push)
{
	auto_free struct fact **batch = mem_zero(per_push, sizeof(*batch));
	uint64_t number = 0;
	for (size_t done = 0; done < facts; done += per_push) {
		for (size_t i = 0; i < per_push; i++)
			batch[i] = make_fact(self);
		must(self, ledger_append(self->ledger, ++number, batch, per_push, &self->err),
			"append");
		for (size_t i = 0; i < per_push; i++)
			fact_free(batch[i]);
	}
}

static struct {
	double bytes, files; /* nftw() hands nothing through */
} seen;

static int look(const char *path, const struct stat *info, int type, struct FTW *where)
{
	(void)where; /* how deep it is does not matter */
	size_t len = strlen(path);
	if (type != FTW_F)
		return 0;
	seen.bytes += (double)info->st_size;
	seen.files += len < 4 || strcmp(path + len - 4, ".idx") != 0;
	return 0;
}

/* Bytes of all objects of the mirror, indexes included. */
static double measure_mirror(struct appender *self, const char *folder)
{
	auto_free char *path = mem_printf("%s/mirror.git/objects", folder);
	seen.bytes = seen.files = 0;
	must(self, nftw(path, look, 16, FTW_PHYS) == 0, path);
	return seen.bytes;
}

static void open_fleet(struct appender *self, const char *folder)
{
	auto_free char *mirror = mem_printf("%s/mirror.git", folder);
	auto_free char *bare = mem_printf("%s/repo.git", folder);
	const struct remote_options options = {.url = bare, .cancel_fd = -1};
	must(self,
		repo_open_mirror(mirror, &self->repo, &self->err) &&
			remote_new(&options, &self->remote, &self->err),
		folder);
	const struct ledger_options ledger = {.repo = self->repo,
		.remote = self->remote,
		.branch = "deployments",
		.folder = "",
		.author_name = "Aviary",
		.author_mail = "aviary@example.org"};
	self->ledger = ledger_new(&ledger);
	must(self, ledger_load(self->ledger, false, &self->status, &self->err), "status branch");
}

int main(int argc, char **argv)
{
	struct appender self = {0};
	if (argc != 4) {
		fprintf(stderr, "usage: fact_append FOLDER FACTS PER_PUSH\n");
		return 2;
	}
	size_t facts = strtoul(argv[2], NULL, 10), per_push = strtoul(argv[3], NULL, 10);
	must(&self, sodium_init() >= 0 && repo_library_init(&self.err), "libraries");
	open_fleet(&self, argv[1]);
	double start = measure_mirror(&self, argv[1]);
	double wall = now_ms(CLOCK_MONOTONIC), cpu = now_ms(CLOCK_PROCESS_CPUTIME_ID);
	append(&self, facts, per_push);
	wall = now_ms(CLOCK_MONOTONIC) - wall;
	cpu = now_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	double before = measure_mirror(&self, argv[1]), packing = now_ms(CLOCK_MONOTONIC);
	must(&self, pack_mirror_now(self.repo, &self.err), "packing");
	packing = now_ms(CLOCK_MONOTONIC) - packing;
	double after = measure_mirror(&self, argv[1]), each = facts ? (double)facts : 1;
	printf("fact\t%.3f\tms\nfact cpu\t%.3f\tms\n", wall / each, cpu / each);
	printf("bytes before\t%.1f\tbytes\nbytes\t%.1f\tbytes\n", (before - start) / each,
		(after - start) / each);
	printf("packing\t%.1f\tms\nfiles\t%.0f\tin all\n", packing, seen.files);
	status_free(self.status);
	ledger_free(self.ledger);
	remote_free(self.remote);
	repo_free(self.repo);
	repo_library_shutdown();
	return 0;
}
