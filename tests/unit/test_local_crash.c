#include "tests/lib/local_host.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

/* ---- interruptions -------------------------------------------------------------------------- */

static size_t count_staged(struct local_host *fixture)
{
	auto_free char *path = host_path(fixture, "releases");
	size_t count = 0;
	DIR *list = opendir(path);
	assert_non_null(list);
	for (struct dirent *entry; (entry = readdir(list));)
		count += strncmp(entry->d_name, ".new", 4) == 0;
	(void)closedir(list); /* read-only */
	return count;
}

static void prune_all(struct local_host *fixture)
{
	struct error err;
	fixture->host.keep = 0;
	assert_true(driver_local.prune(&fixture->host, NULL, 0, &err));
}

static void a_full_disk_at_any_write_leaves_a_whole_release(void **state)
{
	struct local_host *fixture = *state;
	int n = 1;
	host_activate_well(fixture, 'a');
	for (bool good = false; !good; n++) {
		auto_free char *value = mem_printf("write:%d", n);
		struct host_release release;
		struct error err;
		enum driver_touched touched;
		struct driver_state before = host_ask(fixture);
		assert_int_equal(setenv("AVIARY_FAULT", value, 1), 0);
		good = host_activate(fixture, host_release(&release, 'b'), &touched, &err);
		assert_int_equal(unsetenv("AVIARY_FAULT"), 0);
		if (good)
			break;
		assert_int_equal(err.code, ERR_SYSTEM);
		assert_non_null(strstr(err.message, "No space left"));
		if (touched == DRIVER_TOUCHED_NOTHING)
			assert_string_equal(host_ask(fixture).current, before.current);
		host_assert_current(fixture, touched == DRIVER_TOUCHED_NOTHING ? 'a' : 'b');
		assert_int_equal(count_staged(fixture), 0);
		host_activate_well(fixture, 'a');
		prune_all(fixture); /* so that each turn stages */
	}
	assert_true(n > 4); /* three files and the state */
	host_assert_active(fixture, 'b');
}

/* Runs an activation in a process of its own, as a service does. */
static pid_t start_service(struct local_host *fixture, char digit, const char *fault)
{
	pid_t service = fork();
	assert_true(service >= 0);
	if (service > 0)
		return service;
	struct host_release release;
	struct error err;
	if (fault)
		(void)setenv("AVIARY_FAULT", fault, 1); /* checked by what follows */
	bool good = host_activate(fixture, host_release(&release, digit), NULL, &err);
	_exit(good ? 0 : 1);
}

/* @return true if it was killed, false if it ended well */
static bool was_killed(pid_t service)
{
	int status = 0;
	assert_int_equal(waitpid(service, &status, 0), service);
	if (WIFSIGNALED(status))
		return true;
	assert_int_equal(WEXITSTATUS(status), 0);
	return false;
}

static void death_at_any_point_leaves_a_whole_release_and_the_next_start_ends_well(void **state)
{
	struct local_host *fixture = *state;
	int n = 1;
	host_activate_well(fixture, 'a');
	for (;; n++) {
		auto_free char *fault = mem_printf("kill:%d", n);
		if (!was_killed(start_service(fixture, 'b', fault)))
			break;
		struct driver_state seen = host_ask(fixture);
		bool switched = strncmp(seen.current, "sha256:b", 8) == 0;
		host_assert_current(fixture, switched ? 'b' : 'a');
		assert_false(switched && strncmp(seen.release, "sha256:a", 8) == 0);
		host_activate_well(fixture, 'b');
		host_assert_active(fixture, 'b');
		assert_int_equal(count_staged(fixture), 0);
		host_activate_well(fixture, 'a');
		prune_all(fixture); /* so that each turn stages */
	}
	assert_true(n > 15);
	host_assert_active(fixture, 'b');
}

/* Ends too when the folder goes: a test that fails must leave nothing behind. */
#define WAIT_FOR_GO "while [ -e .. ] && [ ! -e ../../go ]; do sleep 0.01; done; "

static void kill_service(pid_t service)
{
	assert_int_equal(kill(service, SIGKILL), 0);
	assert_true(was_killed(service));
}

static void the_activation_of_a_dead_service_is_waited_for(void **state)
{
	struct local_host *fixture = *state;
	fixture->argv[2] = "touch ../../up; " WAIT_FOR_GO NOTE;
	pid_t dead = start_service(fixture, 'a', NULL);
	host_wait_for(fixture, "up");
	kill_service(dead);
	assert_true(host_ask(fixture).locked);
	pid_t next = start_service(fixture, 'b', NULL);
	host_put(fixture, "go");
	assert_false(was_killed(next));
	host_assert_text(fixture, "notes", "aaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbb\n");
	host_assert_active(fixture, 'b');
}

static void the_activation_of_a_dead_service_is_ended_at_the_deadline(void **state)
{
	struct local_host *fixture = *state;
	const char *good = fixture->argv[2];
	fixture->argv[2] = "touch ../../up; sleep 1000; " NOTE;
	pid_t dead = start_service(fixture, 'a', NULL);
	host_wait_for(fixture, "up");
	kill_service(dead);
	fixture->host.activate_timeout_ms = 500;
	fixture->argv[2] = good;
	struct host_release release;
	struct error err;
	enum driver_touched touched;
	/* the deadline also holds for the new one, so a loaded machine may miss it */
	bool done = host_activate(fixture, host_release(&release, 'b'), &touched, &err);
	assert_true(done || err.code == ERR_TIMEOUT);
	host_assert_current(fixture, 'b');
	host_assert_text(fixture, "notes", "bbbbbbbbbbbbbbbb\n");
}

static void an_activation_that_nobody_named_is_found(void **state)
{
	struct local_host *fixture = *state;
	char *scratch = fixture->root;
	fixture->argv[2] = WAIT_FOR_GO NOTE;
	/* A new host each turn, so that each has the same points to die at. */
	for (int n = 1; n == 1 || !host_ask(fixture).locked; n++) {
		auto_free char *fault = mem_printf("kill:%d", n);
		if (n > 1)
			free(fixture->root);
		fixture->root = mem_printf("%s/%d", scratch, n);
		fixture->host.root = fixture->root;
		assert_true(was_killed(start_service(fixture, 'a', fault)));
	}
	pid_t next = start_service(fixture, 'b', NULL);
	host_put(fixture, "go");
	assert_false(was_killed(next));
	host_assert_text(fixture, "notes", "aaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbb\n");
	free(fixture->root);
	fixture->root = scratch;
}

static pid_t read_pid(struct local_host *fixture, const char *name)
{
	auto_buf struct buf text = BUF_INIT(100);
	host_read(fixture, name, &text);
	return (pid_t)strtol(text.text, NULL, 10);
}

static void what_activate_left_running_blocks_nobody_and_lives_on(void **state)
{
	struct local_host *fixture = *state;
	const char *good = fixture->argv[2];
	fixture->argv[2] = "sleep 1000 & echo $! > ../../left; touch ../../up; " WAIT_FOR_GO;
	pid_t dead = start_service(fixture, 'a', NULL);
	host_wait_for(fixture, "up");
	kill_service(dead);
	host_put(fixture, "go");
	fixture->argv[2] = good;
	host_activate_well(fixture, 'b');
	host_assert_active(fixture, 'b');
	fixture->argv[2] = "sleep 1000 & echo $! > ../../left2";
	host_activate_well(fixture, 'a');
	assert_false(host_ask(fixture).locked);
	fixture->argv[2] = good;
	host_activate_well(fixture, 'b');
	assert_int_equal(kill(read_pid(fixture, "left"), SIGKILL), 0);
	assert_int_equal(kill(read_pid(fixture, "left2"), SIGKILL), 0);
}

static void two_services_take_turns(void **state)
{
	struct local_host *fixture = *state;
	pid_t services[6];
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		services[i] = start_service(fixture, i % 2 ? 'a' : 'b', NULL);
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		assert_false(was_killed(services[i]));
	auto_buf struct buf notes = BUF_INIT(1000);
	host_read(fixture, "notes", &notes);
	assert_int_equal(notes.len, 6 * 17);
}

static void a_living_service_is_not_ended(void **state)
{
	struct local_host *fixture = *state;
	struct host_release release;
	fixture->argv[2] = "touch ../../up; " WAIT_FOR_GO NOTE;
	pid_t first = start_service(fixture, 'a', NULL);
	host_wait_for(fixture, "up");
	struct error err;
	assert_true(driver_local.prune(&fixture->host, NULL, 0, &err)); /* does nothing, at once */
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	struct driver_run run = {.cancel_fd = ends[0]};
	host_release(&release, 'b');
	assert_false(driver_local.activate(&fixture->host, &release.release, &run, &err));
	assert_int_equal(err.code, ERR_STOPPED);
	assert_int_equal(run.touched, DRIVER_TOUCHED_NOTHING);
	host_put(fixture, "go");
	assert_false(was_killed(first));
	host_assert_active(fixture, 'a');
	assert_int_equal(close(ends[0]) | close(ends[1]), 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, host_setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_full_disk_at_any_write_leaves_a_whole_release),
		CASE(death_at_any_point_leaves_a_whole_release_and_the_next_start_ends_well),
		CASE(the_activation_of_a_dead_service_is_waited_for),
		CASE(the_activation_of_a_dead_service_is_ended_at_the_deadline),
		CASE(an_activation_that_nobody_named_is_found),
		CASE(what_activate_left_running_blocks_nobody_and_lives_on),
		CASE(two_services_take_turns),
		CASE(a_living_service_is_not_ended),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
