#include "reconcile/secrets/sops.h"
#include "tests/lib/sops_cases.h"
#include <setjmp.h>
#include <sodium.h>

#include <cmocka.h>

static void cases_made_for_us_end_as_they_say(void **state)
{
	(void)state; /* no fixture of its own */
	struct tally tally = {0};
	sops_cases_run("tests/fixtures/sops", &tally);
	tally_print(&tally);
	assert_int_equal(tally.failed, 0);
	assert_true(tally.passed >= 90);
}

static void cases_of_other_projects_end_as_they_say(void **state)
{
	(void)state; /* no fixture of its own */
	struct tally tally = {0};
	auto_free char *folder = fixture_shared("sops/upstream");
	if (!folder)
		skip();
	sops_cases_run(folder, &tally);
	tally_print(&tally);
	assert_int_equal(tally.failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cases_made_for_us_end_as_they_say),
		cmocka_unit_test(cases_of_other_projects_end_as_they_say),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
