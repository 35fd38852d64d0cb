/* problems: what is kept, in which order, and what the first error says */
#include "base/problems.h"
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static void problems_are_sorted_and_said_once(void **state)
{
	(void)state;
	auto_problems struct problems problems = {0};
	problems_add(&problems, "b.yaml", 2, NULL, "two");
	problems_add(&problems, "b.yaml", 10, "fix it", "ten %d", 10);
	problems_warn(&problems, "a.yaml", 9, NULL, "warned");
	problems_add(&problems, "b.yaml", 2, NULL, "two");
	problems_add(&problems, NULL, 0, NULL, "nowhere");
	problems_sort(&problems);
	assert_int_equal(problems.count, 4);
	assert_int_equal(problems.errors, 3);
	assert_int_equal(problems.warnings, 1);
	assert_string_equal(problems.items[0].what, "nowhere");
	assert_string_equal(problems.items[0].file, "");
	assert_true(problems.items[1].warning);
	assert_int_equal(problems.items[2].line, 2);
	assert_string_equal(problems.items[3].what, "ten 10");
	assert_string_equal(problems.items[3].fix, "fix it");
}

static void an_error_is_never_dropped_for_a_warning(void **state)
{
	(void)state;
	auto_problems struct problems problems = {0};
	problems_warn(&problems, "a", 1, NULL, "same");
	problems_add(&problems, "a", 1, NULL, "same");
	problems_sort(&problems);
	assert_int_equal(problems.count, 2);
	assert_int_equal(problems.errors, 1);
	assert_false(problems.items[0].warning);
}

static void past_the_limit_problems_are_only_counted(void **state)
{
	(void)state;
	auto_problems struct problems problems = {0};
	for (unsigned i = 0; i < PROBLEMS_LIMIT + 50; i++)
		problems_add(&problems, "a", i, NULL, "x");
	assert_int_equal(problems.count, PROBLEMS_LIMIT);
	assert_int_equal(problems.errors, PROBLEMS_LIMIT + 50);
	problems_warn(&problems, "a", 1, NULL, "w");
	assert_int_equal(problems.count, PROBLEMS_LIMIT);
	assert_int_equal(problems.warnings, 1);
}

static void a_flood_of_warnings_hides_no_error(void **state)
{
	(void)state;
	auto_problems struct problems problems = {0};
	struct error err;
	for (unsigned i = 0; i < PROBLEMS_LIMIT; i++)
		problems_warn(&problems, "a", i, NULL, "w");
	problems_add(&problems, "b", 7, NULL, "broken");
	assert_int_equal(problems.count, PROBLEMS_LIMIT);
	assert_false(problems_to_error(&problems, &err));
	assert_string_equal(err.message, "broken");
	assert_string_equal(err.where, "b:7");
}

static void an_error_keeps_its_place_and_remedy(void **state)
{
	(void)state;
	static const struct {
		const char *where;
		const char *file;
		unsigned line;
	} rows[] = {{"fleet.yaml:12", "fleet.yaml", 12}, {"fleet.yaml", "fleet.yaml", 0},
		{"a:b:3", "a:b", 3}, {"a:", "a:", 0}, {"a:1x", "a:1x", 0}, {"", "", 0}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_problems struct problems problems = {0};
		struct error err, again;
		error_set(&err, ERR_INVALID, "100%% wrong");
		error_hint(&err, "do");
		(void)snprintf(err.where, sizeof(err.where), "%s", rows[i].where);
		problems_add_error(&problems, &err);
		assert_string_equal(problems.items[0].file, rows[i].file);
		assert_int_equal(problems.items[0].line, rows[i].line);
		assert_false(problems_to_error(&problems, &again));
		assert_int_equal(again.code, ERR_INVALID);
		assert_string_equal(again.message, "100% wrong");
		assert_string_equal(again.where, rows[i].where);
		assert_string_equal(again.hint, "do");
	}
}

static void the_first_error_says_how_many_follow(void **state)
{
	(void)state;
	auto_problems struct problems problems = {0};
	struct error err;
	problems_warn(&problems, "a", 1, NULL, "w");
	problems_add(&problems, "b", 2, NULL, "one");
	problems_add(&problems, "c", 3, NULL, "two");
	problems_add(&problems, "d", 4, NULL, "three");
	assert_false(problems_to_error(&problems, &err));
	assert_string_equal(err.message, "one (and 2 more)");
	assert_string_equal(err.where, "b:2");
	problems_clear(&problems);
	assert_int_equal(problems.errors + problems.warnings + problems.count, 0);
}

static void a_problem_is_one_line_with_as_much_as_there_is(void **state)
{
	(void)state;
	static const struct {
		bool warning;
		const char *file;
		unsigned line;
		const char *fix, *text;
	} rows[] = {
		{false, "a.yaml", 3, "mend it", "a.yaml:3: is odd: mend it"},
		{true, "a.yaml", 3, NULL, "a.yaml:3: warning: is odd"},
		{false, "a.yaml", 0, NULL, "a.yaml: is odd"},
		{true, "", 0, "mend it", "warning: is odd: mend it"},
		{false, "", 7, NULL, "is odd"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_problems struct problems problems = {0};
		(rows[i].warning ? problems_warn : problems_add)(
			&problems, rows[i].file, rows[i].line, rows[i].fix, "is odd");
		auto_free char *text = problem_text(&problems.items[0]);
		assert_string_equal(text, rows[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(problems_are_sorted_and_said_once),
		cmocka_unit_test(an_error_is_never_dropped_for_a_warning),
		cmocka_unit_test(past_the_limit_problems_are_only_counted),
		cmocka_unit_test(a_flood_of_warnings_hides_no_error),
		cmocka_unit_test(an_error_keeps_its_place_and_remedy),
		cmocka_unit_test(the_first_error_says_how_many_follow),
		cmocka_unit_test(a_problem_is_one_line_with_as_much_as_there_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
