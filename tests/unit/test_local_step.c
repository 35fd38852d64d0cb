/* Steps of the pipeline on a host of the `local` driver: a command under the host's lock. */
#include "base/buf.h"
#include "tests/lib/local_host.h"

#define SAY "echo \"$AVIARY_STEP $AVIARY_BACKUP $AVIARY_ACTION $AVIARY_CLIENT $(pwd)\" >> "

static struct driver_step step_of(const char *const *argv)
{
	return (struct driver_step){.name = "backup",
		.argv = argv,
		.timeout_ms = LONG_MS,
		.backup = "alpha-20261124-101542-9f2c41d"};
}

static bool run_step(struct local_host *fixture, const char *script, int64_t timeout_ms,
	struct driver_run *run, struct error *err)
{
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	struct driver_step step = step_of(argv);
	struct host_release release;
	host_release(&release, 'b');
	if (timeout_ms)
		step.timeout_ms = timeout_ms;
	return driver_local.run_step(&fixture->host, &release.release, &step, run, err);
}

static void assert_note(struct local_host *fixture, const char *name, const char *text)
{
	auto_buf struct buf notes = BUF_INIT(1000);
	auto_free char *folder = host_path(fixture, text);
	auto_free char *expected =
		mem_printf("backup alpha-20261124-101542-9f2c41d upgrade alpha %s\n", folder);
	host_read(fixture, name, &notes);
	assert_string_equal(notes.text, expected);
}

static void a_step_runs_in_the_current_release_and_changes_nothing_of_it(void **state)
{
	struct local_host *fixture = *state;
	struct driver_run run = DRIVER_RUN_INIT;
	struct error err;
	host_activate_well(fixture, 'a');
	assert_true(run_step(fixture, SAY "../../step", 0, &run, &err));
	auto_free char *folder = mem_printf("releases/%s", "aaaaaaaaaaaaaaaa");
	assert_note(fixture, "step", folder);
	host_assert_active(fixture, 'a');
}

static void a_step_of_a_new_host_runs_in_its_root(void **state)
{
	struct local_host *fixture = *state;
	struct driver_run run = DRIVER_RUN_INIT;
	struct error err;
	assert_true(run_step(fixture, SAY "step; pwd -P > where", 0, &run, &err));
	struct driver_state seen = host_ask(fixture);
	assert_false(seen.found);
	assert_string_equal(seen.current, "");
	assert_false(seen.locked);
}

static void a_failing_step_says_how_it_ended(void **state)
{
	struct local_host *fixture = *state;
	struct driver_run run = DRIVER_RUN_INIT;
	struct error err;
	host_activate_well(fixture, 'a');
	assert_false(run_step(fixture, "exit 3", 0, &run, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.message, "backup ended with status 3");
	assert_int_equal(run.touched, DRIVER_TOUCHED_FAILED);
	host_assert_active(fixture, 'a');
}

static void a_step_that_takes_too_long_is_ended(void **state)
{
	struct local_host *fixture = *state;
	struct driver_run run = DRIVER_RUN_INIT;
	struct error err;
	assert_false(run_step(fixture, "exec sleep 1000", 1, &run, &err));
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_false(host_ask(fixture).locked);
}

static void a_step_obeys_only_the_newest_leader(void **state)
{
	struct local_host *fixture = *state;
	struct driver_run run = DRIVER_RUN_INIT;
	struct host_release newer;
	struct error err;
	host_release(&newer, 'a')->release.epoch = 8;
	assert_true(host_activate(fixture, &newer, NULL, &err));
	assert_false(run_step(fixture, "touch ../../ran", 0, &run, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_int_equal(run.touched, DRIVER_TOUCHED_NOTHING);
	auto_free char *ran = host_path(fixture, "ran");
	assert_int_equal(access(ran, F_OK), -1);
}

/* The way back: the known good release is current, its data come first, then it is activated. */
static void data_are_restored_before_the_release_is_activated(void **state)
{
	struct local_host *fixture = *state;
	const char *const argv[] = {"/bin/sh", "-c",
		"echo \"$AVIARY_STEP of $AVIARY_BACKUP in $(cat version)\" >> ../../notes", NULL};
	struct driver_step step = step_of(argv);
	struct host_release back;
	struct error err;
	auto_buf struct buf notes = BUF_INIT(1000);
	step.name = "restore";
	host_release(&back, 'a')->release.restore = &step;
	assert_true(host_activate(fixture, &back, NULL, &err));
	host_read(fixture, "notes", &notes);
	assert_string_equal(
		notes.text, "restore of alpha-20261124-101542-9f2c41d in a\naaaaaaaaaaaaaaaa\n");
	host_assert_active(fixture, 'a');
}

static void a_release_whose_data_cannot_be_restored_is_not_activated(void **state)
{
	struct local_host *fixture = *state;
	const char *const argv[] = {"/bin/sh", "-c", "exit 9", NULL};
	struct driver_step step = step_of(argv);
	struct host_release back;
	struct error err;
	enum driver_touched touched = DRIVER_TOUCHED_NOTHING;
	step.name = "restore";
	host_release(&back, 'a')->release.restore = &step;
	assert_false(host_activate(fixture, &back, &touched, &err));
	assert_string_equal(err.message, "restore ended with status 9");
	assert_int_equal(touched, DRIVER_TOUCHED_FAILED);
	assert_true(host_ask(fixture).activating);
	auto_free char *notes = host_path(fixture, "notes");
	assert_int_equal(access(notes, F_OK), -1);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, host_setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_step_runs_in_the_current_release_and_changes_nothing_of_it),
		CASE(a_step_of_a_new_host_runs_in_its_root),
		CASE(a_failing_step_says_how_it_ended),
		CASE(a_step_that_takes_too_long_is_ended),
		CASE(a_step_obeys_only_the_newest_leader),
		CASE(data_are_restored_before_the_release_is_activated),
		CASE(a_release_whose_data_cannot_be_restored_is_not_activated),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
