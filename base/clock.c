#include "base/clock.h"
#include <inttypes.h>
#include <time.h>

#define MS_SECOND    INT64_C(1000)
#define MS_MINUTE    (60 * MS_SECOND)
#define MS_HOUR      (60 * MS_MINUTE)
#define MS_DAY       (24 * MS_HOUR)
#define DURATION_MAX (3650 * MS_DAY) /* longer is a typing mistake */

static const struct {
	const char *unit;
	int64_t ms;
} units[] = {{"d", MS_DAY}, {"h", MS_HOUR}, {"m", MS_MINUTE}, {"s", MS_SECOND}, {"ms", 1}};

int64_t clock_mono_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * MS_SECOND + now.tv_nsec / 1000000;
}

int64_t clock_wall_s(void)
{
	return time(NULL);
}

static const char *format_utc(int64_t wall_s, const char *format, char *text)
{
	time_t seconds = wall_s;
	struct tm utc;
	if (!gmtime_r(&seconds, &utc) || !strftime(text, CLOCK_TEXT_SIZE, format, &utc))
		text[0] = '\0';
	return text;
}

const char *clock_format(int64_t wall_s, char *text)
{
	return format_utc(wall_s, "%Y-%m-%dT%H:%M:%SZ", text);
}

const char *clock_format_id(int64_t wall_s, char *text)
{
	return format_utc(wall_s, "%Y%m%d-%H%M%S", text);
}

bool clock_parse(const char *text, int64_t *wall_s_out)
{
	struct tm utc = {0};
	char again[CLOCK_TEXT_SIZE];
	if (strlen(text) != strlen("2026-11-24T10:15:42Z"))
		return false; /* four digits of the year, no blanks */
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &utc);
	if (!end || *end)
		return false;
	int64_t wall_s = timegm(&utc);
	/* strptime takes February 30; only what prints the same was meant. */
	if (strcmp(clock_format(wall_s, again), text))
		return false;
	*wall_s_out = wall_s;
	return true;
}

bool clock_parse_id(const char *text, int64_t *wall_s_out)
{
	struct tm utc = {0};
	char head[CLOCK_TEXT_SIZE], again[CLOCK_TEXT_SIZE];
	(void)snprintf(head, sizeof(head), "%.15s", text); /* fits */
	const char *end = strptime(head, "%Y%m%d-%H%M%S", &utc);
	if (!end || *end || strlen(head) != 15)
		return false;
	int64_t wall_s = timegm(&utc);
	if (strcmp(clock_format_id(wall_s, again), head))
		return false; /* as in clock_parse() */
	*wall_s_out = wall_s;
	return true;
}

bool duration_parse(const char *text, int64_t *ms_out)
{
	int64_t total = 0;
	size_t next_unit = 0;
	if (!*text)
		return false;
	while (*text) {
		int64_t number = 0;
		const char *start = text;
		for (; *text >= '0' && *text <= '9'; text++) {
			number = number * 10 + (*text - '0');
			if (number > DURATION_MAX)
				return false;
		}
		size_t len = strspn(text, "dhms");
		if (text == start || !len)
			return false;
		while (next_unit < ARRAY_LEN(units) &&
			(strlen(units[next_unit].unit) != len ||
				strncmp(units[next_unit].unit, text, len) != 0))
			next_unit++;
		if (next_unit == ARRAY_LEN(units) || number > DURATION_MAX / units[next_unit].ms)
			return false;
		total += number * units[next_unit++].ms;
		text += len;
	}
	if (total > DURATION_MAX)
		return false;
	*ms_out = total;
	return true;
}

const char *duration_format(int64_t ms, char *text)
{
	size_t used = 0;
	for (size_t i = 0; i < ARRAY_LEN(units) && used < CLOCK_TEXT_SIZE; i++) {
		int64_t number = ms / units[i].ms;
		ms %= units[i].ms;
		if (number)
			used += (size_t)snprintf(text + used, CLOCK_TEXT_SIZE - used,
				"%" PRId64 "%s", number, units[i].unit);
	}
	if (!used)
		(void)snprintf(text, CLOCK_TEXT_SIZE, "0s");
	return text;
}

const char *duration_human(int64_t ms, char *text)
{
	if (ms < 10 * MS_SECOND)
		(void)snprintf(text, CLOCK_TEXT_SIZE, "%.1fs", (double)ms / MS_SECOND);
	else if (ms < MS_MINUTE)
		(void)snprintf(text, CLOCK_TEXT_SIZE, "%" PRId64 "s", ms / MS_SECOND);
	else if (ms < MS_HOUR)
		(void)snprintf(text, CLOCK_TEXT_SIZE, "%" PRId64 "m%02" PRId64 "s", ms / MS_MINUTE,
			ms % MS_MINUTE / MS_SECOND);
	else if (ms < 2 * MS_DAY)
		(void)snprintf(text, CLOCK_TEXT_SIZE, "%" PRId64 "h%02" PRId64 "m", ms / MS_HOUR,
			ms % MS_HOUR / MS_MINUTE);
	else
		(void)snprintf(text, CLOCK_TEXT_SIZE, "%" PRId64 " days", ms / MS_DAY);
	return text;
}
