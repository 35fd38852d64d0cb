/* reconcile/window.h - when a stage may start: days and times of a zone */
#pragma once
#include "base/error.h"
#include "base/mem.h"

#define WINDOWS_MAX 16
#define WINDOW_ZONE 64

struct window {
	unsigned days;        /* bits, Monday is 1 << 0; the day on which it begins */
	int from_min, to_min; /* minutes of the local day, 0..1440; from > to: past midnight */
	char zone[WINDOW_ZONE];
};

/** Open while one of them is; none: always. */
struct windows {
	struct window items[WINDOWS_MAX];
	size_t count;
};

/** "mon-thu", "mon,wed,fri", "sat-sun". @return false: it names no days */
MUST_USE bool window_parse_days(const char *text, unsigned *days_out);
/** "09:00" to "24:00". */
MUST_USE bool window_parse_time(const char *text, int *minutes_out);
/** May something start at that time? A zone that can not be read is closed.
 *  @param err  set if a zone could not be read; may be NULL */
bool windows_are_open(const struct windows *windows, int64_t wall_s, struct error *err);
/** When all of @p count lists are open at once next, at most eight days on, to the minute.
 *  @return Unix seconds; 0: not that soon, or a zone cannot be read */
int64_t windows_next(const struct windows *lists, size_t count, int64_t wall_s);
