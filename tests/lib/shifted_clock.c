/* Preloaded by tests: time() is as much later as the file CLOCK_SHIFT_FILE says, in seconds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

time_t time(time_t *out)
{
	struct timespec now;
	long long shift = 0;
	const char *path = getenv("CLOCK_SHIFT_FILE");
	FILE *file = path ? fopen(path, "re") : NULL;
	(void)clock_gettime(CLOCK_REALTIME, &now); /* this clock is always there */
	if (file && fscanf(file, "%lld", &shift) != 1)
		shift = 0;
	if (file)
		(void)fclose(file); /* was only read */
	now.tv_sec += shift;
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}
