#include "reconcile/window.h"
#include "reconcile/zone.h"
#include <ctype.h>

#define DAY_MIN 1440

static int day_of(const char *text)
{
	static const char *const days[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
	for (int i = 0; i < 7; i++)
		if (!strncmp(text, days[i], 3))
			return i;
	return -1;
}

bool window_parse_days(const char *text, unsigned *days_out)
{
	unsigned days = 0;
	for (;;) {
		int first = day_of(text), last = first;
		if (first < 0)
			return false;
		text += 3;
		if (*text == '-') {
			last = day_of(text + 1);
			if (last < 0)
				return false;
			text += 4;
		}
		for (int day = first;; day = (day + 1) % 7) {
			days |= 1u << day;
			if (day == last)
				break;
		}
		if (!*text) {
			*days_out = days;
			return true;
		}
		if (*text++ != ',')
			return false;
		text += strspn(text, " ");
	}
}

bool window_parse_time(const char *text, int *minutes_out)
{
	bool form = strlen(text) == 5 && text[2] == ':' && isdigit((unsigned char)text[0]) &&
		    isdigit((unsigned char)text[1]) && isdigit((unsigned char)text[3]) &&
		    isdigit((unsigned char)text[4]);
	if (!form)
		return false;
	int minutes =
		((text[0] - '0') * 10 + text[1] - '0') * 60 + (text[3] - '0') * 10 + text[4] - '0';
	if (text[3] > '5' || minutes > DAY_MIN)
		return false;
	*minutes_out = minutes;
	return true;
}

static bool is_open(const struct window *window, int64_t local_s)
{
	int64_t days = local_s / 86400 - (local_s % 86400 < 0);
	int minute = (int)((local_s - days * 86400) / 60);
	int today = (int)(((days + 3) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
	bool begins = window->days & 1u << today;
	bool began = window->days & 1u << (today + 6) % 7;
	if (window->from_min < window->to_min)
		return begins && minute >= window->from_min && minute < window->to_min;
	return (begins && minute >= window->from_min) || (began && minute < window->to_min);
}

bool windows_are_open(const struct windows *windows, int64_t wall_s, struct error *err)
{
	struct error own;
	int64_t offset;
	for (size_t i = 0; i < windows->count; i++) {
		const struct window *window = &windows->items[i];
		if (zone_offset(window->zone, wall_s, &offset, err ? err : &own) &&
			is_open(window, wall_s + offset))
			return true;
	}
	return !windows->count;
}

static bool all_are_open(const struct windows *lists, size_t count, int64_t wall_s)
{
	for (size_t i = 0; i < count; i++)
		if (!windows_are_open(&lists[i], wall_s, NULL))
			return false;
	return true;
}

/* By looking, since zones change their offset: every five minutes, then back to the first. */
int64_t windows_next(const struct windows *lists, size_t count, int64_t wall_s)
{
	int64_t begin_s = wall_s - wall_s % 300, end_s = wall_s + (int64_t)8 * DAY_MIN * 60;
	for (int64_t at_s = begin_s + 300; at_s <= end_s; at_s += 300) {
		if (!all_are_open(lists, count, at_s))
			continue;
		int64_t first_s = at_s;
		while (first_s - 60 > wall_s && first_s > at_s - 300 &&
			all_are_open(lists, count, first_s - 60))
			first_s -= 60;
		return first_s;
	}
	return 0;
}
