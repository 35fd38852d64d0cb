/* run_usage PROGRAM ARGUMENTS...: runs it and prints on stderr, as its last line, seconds on the
 * clock, seconds of CPU and KiB of peak memory. The peak of what a large process starts would be
 * that process's own, so this small one stands between. */
#include "base/mem.h"
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double clock_s(void)
{
	struct timespec now;
	if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		abort();
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double seconds(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
	struct rusage usage;
	pid_t pid;
	int status;
	double start = clock_s();
	if (argc < 2 || posix_spawnp(&pid, argv[1], NULL, NULL, argv + 1, environ) != 0 ||
		wait4(pid, &status, 0, &usage) != pid)
		return 2;
	fprintf(stderr, "%.6f %.6f %ld\n", clock_s() - start,
		seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
