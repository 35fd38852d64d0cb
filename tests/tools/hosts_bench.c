/* Has driver `ssh` do the same work on many hosts at once, and prints as JSON what it took.
 *
 * usage: hosts_bench ask|activate|pull CONCURRENCY KEY KNOWN_HOSTS USER ROOTS RELEASE FOLDER
 * PORT...
 *
 * A host is a port of 127.0.0.1 with its root in ROOTS/<n>, n counting from 0; a port may stand
 * there several times. With pull one of them pulls at a time. RELEASE is the digest of the files of
 * FOLDER; its activate is ./activate.
 */
#include "base/clock.h"
#include "base/fs.h"
#include "base/ssh.h"
#include "reconcile/drivers/hosts.h"
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <sys/resource.h>

#define FILE_BYTES ((size_t)256 << 20)
#define FILES      256

struct bench {
	struct driver_file files[FILES];
	void *owned[2 * FILES]; /* their names and contents */
	struct driver_release release;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	size_t left, failed;
};

static void one_done(struct driver_task *task)
{
	struct bench *bench = task->data;
	(void)pthread_mutex_lock(&bench->lock);
	if (!task->ok && !bench->failed++)
		fprintf(stderr, "%s\n", task->err.message);
	if (!--bench->left)
		(void)pthread_cond_signal(&bench->ended);
	(void)pthread_mutex_unlock(&bench->lock);
}

static bool read_files(struct bench *bench, const char *folder, struct error *err)
{
	struct driver_release *release = &bench->release;
	DIR *dir = opendir(folder);
	bool fine = dir || error_errno(err, errno, "cannot open '%s'", folder);
	for (struct dirent *entry; fine && (entry = readdir(dir));) {
		struct driver_file *file = &bench->files[release->count];
		struct buf text = BUF_INIT(FILE_BYTES);
		if (entry->d_name[0] == '.' || release->count == FILES)
			continue;
		auto_free char *path = mem_printf("%s/%s", folder, entry->d_name);
		fine = fs_read(path, FILE_BYTES, &text, err);
		bench->owned[2 * release->count] = mem_dup_str(entry->d_name);
		file->path = bench->owned[2 * release->count];
		file->mode = strcmp(entry->d_name, "activate") ? 0644 : 0755;
		file->len = text.len;
		bench->owned[2 * release->count + 1] = buf_steal(&text);
		file->bytes = bench->owned[2 * release->count + 1];
		release->count++;
	}
	if (dir)
		(void)closedir(dir); /* read-only */
	release->files = bench->files;
	return fine;
}

static double cpu_s(void)
{
	struct rusage used;
	(void)getrusage(RUSAGE_SELF, &used); /* cannot fail */
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* What the tasks point to, to be freed by end_all(). */
struct host_list {
	struct driver_host *items;
	char **roots;
	size_t count;
};

static void end_all(struct host_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->roots[i]);
	free(list->roots);
	free(list->items);
}

static void begin_all(struct bench *bench, struct hosts *hosts, char **argv,
	struct driver_task *tasks, struct host_list *list)
{
	static const char *const activate[] = {"./activate", NULL};
	size_t count = bench->left;
	struct driver_host *each = mem_zero(count, sizeof(*each));
	*list = (struct host_list){each, mem_zero(count, sizeof(char *)), count};
	for (size_t i = 0; i < count; i++) {
		list->roots[i] = mem_printf("%s/%zu", argv[6], i);
		each[i] = (struct driver_host){.client = "bench",
			.root = list->roots[i],
			.activate = activate,
			.pulls = !strcmp(argv[1], "pull"),
			.keep = 3,
			.hosts = hosts,
			.address = "127.0.0.1",
			.port = (unsigned)strtoul(argv[9 + i], NULL, 10),
			.user = argv[5]};
		tasks[i] = (struct driver_task){
			.work = strcmp(argv[1], "ask") ? DRIVER_ACTIVATE : DRIVER_ASK,
			.host = &each[i],
			.release = &bench->release,
			.done = one_done,
			.data = bench};
	}
	for (size_t i = 0; i < count; i++)
		hosts_begin(hosts, &tasks[i]);
}

static bool measure(struct bench *bench, char **argv, struct error *err)
{
	CLEANUP(end_all) struct host_list list = {0};
	auto_hosts struct hosts *hosts = NULL;
	const struct hosts_options options = {.ssh_key_file = argv[3],
		.known_hosts_file = argv[4],
		.concurrency = strtoul(argv[2], NULL, 10),
		.pulls = 1,
		.connect_ms = 120000};
	auto_free struct driver_task *tasks = mem_zero(bench->left, sizeof(*tasks));
	if (!read_files(bench, argv[8], err) || !hosts_new(&options, &hosts, err))
		return false;
	int64_t began = clock_mono_ms();
	double used = cpu_s();
	begin_all(bench, hosts, argv, tasks, &list);
	(void)pthread_mutex_lock(&bench->lock);
	while (bench->left)
		(void)pthread_cond_wait(&bench->ended, &bench->lock);
	(void)pthread_mutex_unlock(&bench->lock);
	struct rusage usage;
	(void)getrusage(RUSAGE_SELF, &usage); /* cannot fail */
	printf("{\"wall_s\": %.3f, \"cpu_s\": %.3f, \"memory_kib\": %ld, \"failed\": %zu}\n",
		(double)(clock_mono_ms() - began) / 1000, cpu_s() - used, usage.ru_maxrss,
		bench->failed);
	return true;
}

int main(int argc, char **argv)
{
	struct bench bench = {.lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
	struct error err;
	(void)signal(SIGPIPE, SIG_IGN); /* cannot fail for a valid signal */
	if (argc < 10) {
		fputs("usage: see the source\n", stderr);
		return 2;
	}
	bench.left = (size_t)argc - 9;
	bench.release = (struct driver_release){.digest = argv[7],
		.commit = "0123456789012345678901234567890123456789",
		.rollout = "20261124-101542-0123456",
		.stage = "production",
		.action = "upgrade",
		.epoch = 1};
	bool good = sodium_init() >= 0 && ssh_library_init(&err) && measure(&bench, argv, &err);
	for (size_t i = 0; i < ARRAY_LEN(bench.owned); i++)
		free(bench.owned[i]);
	if (!good) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	return bench.failed != 0;
}
