/* clock: durations and times, good and bad */
#include "base/clock.h"
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#define DAY (INT64_C(86400) * 1000)

static void durations_are_read(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{"0s", 0},
		{"0ms", 0},
		{"1ms", 1},
		{"500ms", 500},
		{"30s", 30000},
		{"10m", 600000},
		{"1h30m", 5400000},
		{"14d", 14 * DAY},
		{"1d2h3m4s5ms", DAY + 7200000 + 180000 + 4000 + 5},
		{"1s500ms", 1500},
		{"1m1ms", 60001},
		{"90m", 5400000},
		{"007s", 7000},
		{"3650d", 3650 * DAY},
		{"315360000s", 3650 * DAY},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ms = -1;
		if (!duration_parse(rows[i].text, &ms))
			fail_msg("'%s' is refused", rows[i].text);
		assert_int_equal(ms, rows[i].ms);
	}
}

static void wrong_durations_are_refused(void **state)
{
	(void)state;
	static const char *const rows[] = {"", "0", "10", "s", "ms", "10 m", " 10m", "10m ", "-1s",
		"+1s", "1.5h", "1e3s", "10M", "10min", "10x", "1w", "1m1h", "1s1s", "1ms1s", "1hm",
		"1mm", "1sm", "1h30", "3651d", "3650d1ms", "99999999999999999999s",
		"9223372036854775808ms", "1\xc2\xb5s", "1s\n"};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ms = 42;
		if (duration_parse(rows[i], &ms))
			fail_msg("'%s' is taken as %lld ms", rows[i], (long long)ms);
		assert_int_equal(ms, 42);
	}
}

static void durations_are_written_as_short_as_they_are_read(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {{0, "0s"}, {1, "1ms"}, {1500, "1s500ms"}, {90000, "1m30s"}, {3600000, "1h"},
		{DAY + 1, "1d1ms"}, {14 * DAY, "14d"}, {3650 * DAY, "3650d"},
		{DAY + 7200000 + 180000 + 4000 + 5, "1d2h3m4s5ms"}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[CLOCK_TEXT_SIZE];
		int64_t ms;
		assert_string_equal(duration_format(rows[i].ms, text), rows[i].text);
		assert_true(duration_parse(text, &ms));
		assert_int_equal(ms, rows[i].ms);
	}
}

static void extreme_durations_fit_their_text(void **state)
{
	(void)state;
	static const int64_t rows[] = {INT64_MAX, INT64_MIN, -1};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[CLOCK_TEXT_SIZE];
		assert_true(strlen(duration_format(rows[i], text)) < CLOCK_TEXT_SIZE);
		assert_true(strlen(duration_human(rows[i], text)) < CLOCK_TEXT_SIZE);
	}
}

static void people_read_rounded_durations(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {{0, "0.0s"}, {400, "0.4s"}, {9900, "9.9s"}, {10000, "10s"}, {59999, "59s"},
		{60000, "1m00s"}, {852000, "14m12s"}, {7440000, "2h04m"}, {47 * 3600000, "47h00m"},
		{2 * DAY, "2 days"}, {3 * DAY + 5, "3 days"}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[CLOCK_TEXT_SIZE];
		assert_string_equal(duration_human(rows[i].ms, text), rows[i].text);
	}
}

static void times_are_written_in_utc_and_read_back(void **state)
{
	(void)state;
	static const struct {
		int64_t wall_s;
		const char *text;
		const char *id;
	} rows[] = {
		{0, "1970-01-01T00:00:00Z", "19700101-000000"},
		{1795515342, "2026-11-24T10:15:42Z", "20261124-101542"},
		{1709164800, "2024-02-29T00:00:00Z", "20240229-000000"},
		{INT64_C(4102444799), "2099-12-31T23:59:59Z", "20991231-235959"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[CLOCK_TEXT_SIZE];
		int64_t wall_s = -1;
		assert_string_equal(clock_format_id(rows[i].wall_s, text), rows[i].id);
		assert_string_equal(clock_format(rows[i].wall_s, text), rows[i].text);
		assert_true(clock_parse(text, &wall_s));
		assert_int_equal(wall_s, rows[i].wall_s);
	}
}

static void wrong_times_are_refused(void **state)
{
	(void)state;
	static const char *const rows[] = {"", "now", "2026-11-24", "2026-11-24T10:15:42",
		"2026-11-24 10:15:42Z", "2026-11-24T10:15:42+00:00", "2026-11-24T10:15:42z",
		"2026-11-24T10:15:42ZZ", " 2026-11-24T10:15:42Z", "2026-11-24T10:15:42Z ",
		"2026-02-30T10:15:42Z", "2025-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
		"2026-11-24T24:00:00Z", "2026-11-24T10:60:00Z", "2026-11-24T10:15:60Z",
		"2026-1-4T10:15:42Z", "26-11-24T10:15:42Z", "2026-11-24T10:15:42.5Z"};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t wall_s = 42;
		if (clock_parse(rows[i], &wall_s))
			fail_msg("'%s' is taken as %lld", rows[i], (long long)wall_s);
		assert_int_equal(wall_s, 42);
	}
}

static void a_time_beyond_the_calendar_is_empty(void **state)
{
	(void)state;
	char text[CLOCK_TEXT_SIZE] = "x";
	assert_string_equal(clock_format(INT64_MAX, text), "");
}

static void monotonic_time_never_goes_back(void **state)
{
	(void)state;
	int64_t last = clock_mono_ms();
	for (int i = 0; i < 1000; i++) {
		int64_t now = clock_mono_ms();
		assert_true(now >= last);
		last = now;
	}
	assert_true(clock_wall_s() > INT64_C(1700000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_read),
		cmocka_unit_test(wrong_durations_are_refused),
		cmocka_unit_test(durations_are_written_as_short_as_they_are_read),
		cmocka_unit_test(extreme_durations_fit_their_text),
		cmocka_unit_test(people_read_rounded_durations),
		cmocka_unit_test(times_are_written_in_utc_and_read_back),
		cmocka_unit_test(wrong_times_are_refused),
		cmocka_unit_test(a_time_beyond_the_calendar_is_empty),
		cmocka_unit_test(monotonic_time_never_goes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
