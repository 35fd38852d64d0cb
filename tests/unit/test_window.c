/* Windows of stages, with the system's tz database; the days on which clocks change above all. */
#include "base/clock.h"
#include "reconcile/window.h"
#include "reconcile/zone.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static int64_t at(const char *text)
{
	int64_t wall_s;
	if (!clock_parse(text, &wall_s))
		fail_msg("no time: %s", text);
	return wall_s;
}

static void need_zones(void)
{
	if (access("/usr/share/zoneinfo/Europe/Amsterdam", R_OK)) {
		print_message("skipped: no tz database\n");
		skip();
	}
}

static void zones_have_the_offset_of_the_day(void **state)
{
	(void)state;
	static const struct {
		const char *zone, *time;
		int64_t minutes;
	} cases[] = {
		{"UTC", "2026-11-24T10:00:00Z", 0},
		{"Europe/Amsterdam", "2026-01-15T12:00:00Z", 60},
		{"Europe/Amsterdam", "2026-03-29T00:59:59Z", 60},
		{"Europe/Amsterdam", "2026-03-29T01:00:00Z", 120},
		{"Europe/Amsterdam", "2026-10-25T00:59:59Z", 120},
		{"Europe/Amsterdam", "2026-10-25T01:00:00Z", 60},
		/* behind the end of the table: by the rule */
		{"Europe/Amsterdam", "2091-07-01T12:00:00Z", 120},
		{"Europe/Amsterdam", "2091-12-31T23:59:59Z", 60},
		{"America/New_York", "2026-03-08T06:59:59Z", -300},
		{"America/New_York", "2026-03-08T07:00:00Z", -240},
		{"America/New_York", "2090-07-01T12:00:00Z", -240},
		/* the southern half has its summer over new year */
		{"Australia/Sydney", "2026-01-15T12:00:00Z", 660},
		{"Australia/Sydney", "2026-07-15T12:00:00Z", 600},
		{"Australia/Sydney", "2092-01-15T12:00:00Z", 660},
		{"Australia/Sydney", "2092-07-15T12:00:00Z", 600},
		{"Asia/Kolkata", "2026-07-15T12:00:00Z", 330},
		{"Asia/Kathmandu", "2090-07-15T12:00:00Z", 345},
		{"America/Sao_Paulo", "2090-01-15T12:00:00Z", -180},
	};
	need_zones();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err;
		int64_t offset = -1;
		if (!zone_offset(cases[i].zone, at(cases[i].time), &offset, &err))
			fail_msg("%s: %s", cases[i].zone, err.message);
		if (offset != cases[i].minutes * 60)
			fail_msg("%s at %s: %lld", cases[i].zone, cases[i].time,
				(long long)offset / 60);
	}
}

static void what_is_no_zone_is_said(void **state)
{
	(void)state;
	static const char *const names[] = {"Europe/Amsterdamm", "../../../etc/passwd",
		"/etc/localtime", "", "Europe", "Europe//Amsterdam"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct error err = {0};
		int64_t offset;
		assert_false(zone_offset(names[i], 0, &offset, &err));
		assert_true(err.message[0]);
	}
}

static struct windows only(const char *days, const char *from, const char *to, const char *zone)
{
	struct windows windows = {.count = 1};
	assert_true(window_parse_days(days, &windows.items[0].days));
	assert_true(window_parse_time(from, &windows.items[0].from_min));
	assert_true(window_parse_time(to, &windows.items[0].to_min));
	(void)snprintf(windows.items[0].zone, WINDOW_ZONE, "%s", zone);
	return windows;
}

static void windows_open_and_close_by_the_local_clock(void **state)
{
	(void)state;
	static const struct {
		const char *days, *from, *to, *zone, *time;
		bool open;
	} cases[] = {
		/* 2026-11-24 is a Tuesday */
		{"mon-thu", "09:00", "16:00", "UTC", "2026-11-24T08:59:59Z", false},
		{"mon-thu", "09:00", "16:00", "UTC", "2026-11-24T09:00:00Z", true},
		{"mon-thu", "09:00", "16:00", "UTC", "2026-11-24T15:59:59Z", true},
		{"mon-thu", "09:00", "16:00", "UTC", "2026-11-24T16:00:00Z", false},
		{"fri", "09:00", "16:00", "UTC", "2026-11-24T12:00:00Z", false},
		{"sat-mon", "00:00", "24:00", "UTC", "2026-11-23T23:59:59Z", true},
		{"sat-mon", "00:00", "24:00", "UTC", "2026-11-24T00:00:00Z", false},
		{"mon,wed, fri", "00:00", "24:00", "UTC", "2026-11-25T12:00:00Z", true},
		/* past midnight it belongs to the day on which it begins */
		{"mon", "22:00", "04:00", "UTC", "2026-11-23T23:00:00Z", true},
		{"mon", "22:00", "04:00", "UTC", "2026-11-24T03:59:59Z", true},
		{"mon", "22:00", "04:00", "UTC", "2026-11-24T04:00:00Z", false},
		{"mon", "22:00", "04:00", "UTC", "2026-11-23T03:00:00Z", false},
		{"tue", "09:00", "16:00", "Europe/Amsterdam", "2026-11-24T07:59:59Z", false},
		{"tue", "09:00", "16:00", "Europe/Amsterdam", "2026-11-24T08:00:00Z", true},
		/* in summer an hour earlier */
		{"tue", "09:00", "16:00", "Europe/Amsterdam", "2026-07-21T07:00:00Z", true},
		{"tue", "09:00", "16:00", "Europe/Amsterdam", "2026-07-21T14:00:00Z", false},
		/* 2026-03-29: 02:00 to 03:00 does not exist */
		{"sun", "02:00", "03:00", "Europe/Amsterdam", "2026-03-29T00:59:59Z", false},
		{"sun", "02:00", "03:00", "Europe/Amsterdam", "2026-03-29T01:00:00Z", false},
		{"sun", "01:00", "04:00", "Europe/Amsterdam", "2026-03-29T01:30:00Z", true},
		/* 2026-10-25: 02:00 to 03:00 comes twice */
		{"sun", "02:00", "03:00", "Europe/Amsterdam", "2026-10-25T00:30:00Z", true},
		{"sun", "02:00", "03:00", "Europe/Amsterdam", "2026-10-25T01:30:00Z", true},
		{"sun", "02:00", "03:00", "Europe/Amsterdam", "2026-10-25T02:00:00Z", false},
		/* another day there */
		{"wed", "00:00", "06:00", "Australia/Sydney", "2026-11-24T14:00:00Z", true},
	};
	need_zones();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct windows windows =
			only(cases[i].days, cases[i].from, cases[i].to, cases[i].zone);
		if (windows_are_open(&windows, at(cases[i].time), NULL) != cases[i].open)
			fail_msg("%s %s-%s %s at %s", cases[i].days, cases[i].from, cases[i].to,
				cases[i].zone, cases[i].time);
	}
}

static void a_zone_that_is_gone_is_closed_and_none_is_open(void **state)
{
	(void)state;
	struct error err = {0};
	const struct windows gone = only("mon-sun", "00:00", "24:00", "No/Where");
	const struct windows none = {.count = 0};
	assert_false(windows_are_open(&gone, 0, &err));
	assert_true(strstr(err.message, "No/Where") != NULL);
	assert_true(windows_are_open(&none, 0, NULL));
}

static void days_and_times_have_one_form(void **state)
{
	(void)state;
	static const char *const days[] = {
		"", "monday", "mon-", "-mon", "mon,", "mo", "mon;tue", "xyz", "Mon"};
	static const char *const times[] = {
		"", "9:00", "09:60", "24:01", "25:00", "09-00", "09:0", "0900", "09:00 "};
	unsigned bits;
	int minutes;
	for (size_t i = 0; i < ARRAY_LEN(days); i++)
		assert_false(window_parse_days(days[i], &bits));
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		assert_false(window_parse_time(times[i], &minutes));
}

static void the_next_window_is_told_to_the_minute(void **state)
{
	(void)state;
	static const struct windows mornings = {.items = {{.days = 0x1f,
							.from_min = 541,
							.to_min = 960,
							.zone = "Europe/Amsterdam"}},
		.count = 1};
	static const struct windows evenings = {
		.items = {{.days = 0x1f, .from_min = 930, .to_min = 1080, .zone = "UTC"}},
		.count = 1};
	static const struct windows nowhere = {
		.items = {{.days = 0x1f, .from_min = 0, .to_min = 60, .zone = "No/Where"}},
		.count = 1};
	const struct windows both[] = {mornings, evenings}, either[] = {mornings, {.count = 0}};
	need_zones();
	/* Friday after the window; the clocks change on Sunday */
	assert_int_equal(
		windows_next(either, 2, at("2026-10-23T14:00:00Z")), at("2026-10-26T08:01:00Z"));
	assert_int_equal(
		windows_next(either, 2, at("2026-10-23T06:59:30Z")), at("2026-10-23T07:01:00Z"));
	/* from 15:30 UTC to 16:00 in Amsterdam: never at once */
	assert_int_equal(windows_next(both, 2, at("2026-10-23T14:00:00Z")), 0);
	assert_int_equal(windows_next(&nowhere, 1, at("2026-10-23T14:00:00Z")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zones_have_the_offset_of_the_day),
		cmocka_unit_test(what_is_no_zone_is_said),
		cmocka_unit_test(windows_open_and_close_by_the_local_clock),
		cmocka_unit_test(a_zone_that_is_gone_is_closed_and_none_is_open),
		cmocka_unit_test(days_and_times_have_one_form),
		cmocka_unit_test(the_next_window_is_told_to_the_minute),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
