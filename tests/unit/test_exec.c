#include "base/clock.h"
#include "base/exec.h"
#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Longer than any test may take: a test that reaches it hangs and is a failure. */
#define LONG_MS 120000

#define SH(script)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		"/bin/sh", "-c", (script), NULL                                                    \
	}
static const char *const plain[] = {"PATH=/usr/bin:/bin", "LANG=C", NULL};

static struct exec_request request_of(const char *const *argv)
{
	struct exec_request request = EXEC_REQUEST_INIT;
	request.argv = argv;
	request.environ_ = plain;
	request.timeout_ms = LONG_MS;
	request.grace_ms = LONG_MS;
	return request;
}

static struct exec_result run(const struct exec_request *request)
{
	struct exec_result result;
	struct error err;
	if (!exec_run(request, &result, &err))
		fail_msg("%s", err.message);
	return result;
}

static void assert_output(struct exec_request request, int status, const char *output)
{
	struct exec_result result = run(&request);
	assert_string_equal(result.output.text, output);
	assert_int_equal(result.exit_status, status);
	assert_false(result.timed_out || result.cancelled);
	exec_result_clear(&result);
}

static void status_and_both_outputs_come_back(void **state)
{
	(void)state;
	assert_output(request_of(SH("echo out; echo err >&2; exit 7")), 7, "out\nerr\n");
	assert_output(request_of(SH("kill -9 $$")), 128 + SIGKILL, "");
}

static void the_environment_is_exactly_what_was_asked_for(void **state)
{
	(void)state;
	struct exec_request request = request_of((const char *const[]){"env", NULL});
	assert_int_equal(setenv("TEST_EXEC_LEAK", "1", 1), 0);
	assert_output(request, 0, "PATH=/usr/bin:/bin\nLANG=C\n");
}

static void the_child_works_in_its_folder(void **state)
{
	(void)state;
	struct exec_request request = request_of(SH("pwd"));
	request.folder = "/usr";
	assert_output(request, 0, "/usr\n");
}

static void input_reaches_the_child_and_ends(void **state)
{
	(void)state;
	struct exec_request request = request_of(SH("wc -c"));
	size_t len = 300000; /* more than a pipe holds */
	auto_free char *input = mem_zero(len, 1);
	request.input = input;
	request.input_len = len;
	assert_output(request, 0, "300000\n");
	request.argv = SH("cat");
	request.input = NULL;
	assert_output(request, 0, "");
	request.argv = SH("true");
	request.input = input;
	assert_output(request, 0, ""); /* a child that reads nothing harms nobody */
}

static void programs_that_cannot_start_are_told_apart(void **state)
{
	(void)state;
	struct exec_result result;
	struct error err;
	struct exec_request request = request_of((const char *const[]){"no-such-program", NULL});
	assert_false(exec_run(&request, &result, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	request.argv = (const char *const[]){"/no/such/program", NULL};
	assert_false(exec_run(&request, &result, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	request.argv = (const char *const[]){"/etc/passwd", NULL};
	assert_false(exec_run(&request, &result, &err));
	assert_int_equal(err.code, ERR_SYSTEM);
	assert_non_null(strstr(err.hint, "chmod +x"));
	request.argv = SH("true");
	request.folder = "/no/such/folder";
	assert_false(exec_run(&request, &result, &err));
	assert_non_null(strstr(err.message, "/no/such/folder"));
}

static void the_child_has_no_descriptor_but_its_own(void **state)
{
	(void)state;
	int leak = open("/dev/null", O_RDONLY); /* on purpose without O_CLOEXEC */
	assert_true(leak >= 0);
	assert_output(request_of(SH("for fd in 0 1 2 3 4 5 6 7 8 9 10 11; do "
				    "[ -e /proc/self/fd/$fd ] && echo $fd; done; true")),
		0, "0\n1\n2\n");
	assert_int_equal(close(leak), 0);
}

static void a_kept_descriptor_survives_under_its_number(void **state)
{
	(void)state;
	for (int number = 3; number <= 9; number += 6) {
		auto_fd int fd = fcntl(0, F_DUPFD_CLOEXEC, number);
		const char *script = "for fd in 3 4 5 6 7 8 9 10 11 12; do "
				     "[ -e /proc/self/fd/$fd ] && echo $fd; done; true";
		auto_free char *expected = mem_printf("%d\n", fd);
		struct exec_request request = request_of(SH(script));
		request.keep_fd = fd;
		assert_output(request, 0, expected);
	}
}

static void signals_start_at_their_defaults(void **state)
{
	(void)state;
	void (*old)(int) = signal(SIGTERM, SIG_IGN);
	struct exec_request request = request_of(SH("kill -TERM $$; echo still here"));
	struct exec_result result = run(&request);
	(void)signal(SIGTERM, old); /* what it was */
	assert_int_equal(result.signal, SIGTERM);
	assert_string_equal(result.output.text, "");
	exec_result_clear(&result);
}

static void a_late_child_is_asked_to_end(void **state)
{
	(void)state;
	struct exec_request request = request_of(
		SH("trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.05; done"));
	request.timeout_ms = 300;
	struct exec_result result = run(&request);
	assert_true(result.timed_out);
	assert_int_equal(result.exit_status, 3);
	assert_non_null(strstr(result.output.text, "up\n"));
	assert_non_null(strstr(result.output.text, "asked\n"));
	exec_result_clear(&result);
}

static void a_late_child_that_does_not_listen_is_killed_with_its_group(void **state)
{
	(void)state;
	struct exec_request request =
		request_of(SH("trap '' TERM; (trap '' TERM; sleep 1000) & sleep 1000; sleep 1000"));
	request.timeout_ms = 100;
	request.grace_ms = 100;
	struct exec_result result = run(&request);
	assert_true(result.timed_out);
	assert_int_equal(result.signal, SIGKILL);
	exec_result_clear(&result);
}

static void a_child_that_only_writes_still_times_out(void **state)
{
	(void)state;
	struct exec_request request = request_of((const char *const[]){"yes", NULL});
	request.timeout_ms = 200;
	request.max_output = 10;
	struct exec_result result = run(&request);
	assert_true(result.timed_out);
	assert_memory_equal(result.output.text, "y\ny\ny\ny\ny\n\n[", 12);
	assert_non_null(strstr(result.output.text, "bytes more were dropped]"));
	exec_result_clear(&result);
}

static void a_background_child_that_holds_the_pipe_does_not_hang_us(void **state)
{
	(void)state;
	struct exec_request request = request_of(SH("sleep 1000 & echo $!"));
	struct exec_result result = run(&request);
	pid_t left = (pid_t)strtol(result.output.text, NULL, 10);
	assert_int_equal(result.exit_status, 0);
	assert_true(left > 1);
	assert_int_equal(
		kill(left, 0), 0); /* and goes on: it may be the service that was started */
	assert_int_equal(kill(left, SIGKILL), 0);
	exec_result_clear(&result);
}

static void cancelling_ends_the_child(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	struct exec_request request = request_of(SH("sleep 1000"));
	request.cancel_fd = ends[0];
	struct exec_result result = run(&request);
	assert_true(result.cancelled);
	assert_false(result.timed_out);
	assert_int_equal(result.signal, SIGTERM);
	exec_result_clear(&result);
	assert_int_equal(close(ends[0]) | close(ends[1]), 0);
}

/* What another thread's new child does between its fork and its exec. */
static void *hold_for_a_moment(void *data)
{
	const struct timespec moment = {.tv_nsec = 20000000};
	(void)nanosleep(&moment, NULL);
	(void)close(*(int *)data);
	return NULL;
}

static void a_program_that_was_just_written_is_waited_for(void **state)
{
	(void)state;
	char path[] = "/tmp/aviary-exec-XXXXXX";
	const char script[] = "#!/bin/sh\necho ran\n";
	pthread_t holder;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, script, sizeof(script) - 1), sizeof(script) - 1);
	assert_int_equal(fchmod(fd, 0700), 0);
	assert_int_equal(pthread_create(&holder, NULL, hold_for_a_moment, &fd), 0);
	assert_output(request_of((const char *const[]){path, NULL}), 0, "ran\n");
	assert_int_equal(pthread_join(holder, NULL), 0);
	assert_int_equal(unlink(path), 0);
}

struct heard {
	char text[64];
	size_t len;
	pid_t pid;
};

static void hear(void *data, const char *bytes, size_t len)
{
	struct heard *heard = data;
	size_t room = sizeof(heard->text) - 1 - heard->len;
	memcpy(heard->text + heard->len, bytes, len < room ? len : room);
	heard->len += len < room ? len : room;
}

static void note_pid(void *data, pid_t pid)
{
	((struct heard *)data)->pid = pid;
}

static void output_and_pid_are_told_as_they_come(void **state)
{
	(void)state;
	struct heard heard = {0};
	struct exec_request request = request_of(SH("echo $$ beyond the limit"));
	request.max_output = 2;
	request.output = hear;
	request.output_data = &heard;
	request.started = note_pid;
	request.started_data = &heard;
	struct exec_result result = run(&request);
	auto_free char *expected = mem_printf("%d beyond the limit\n", (int)heard.pid);
	assert_string_equal(heard.text, expected);
	exec_result_clear(&result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_and_both_outputs_come_back),
		cmocka_unit_test(the_environment_is_exactly_what_was_asked_for),
		cmocka_unit_test(the_child_works_in_its_folder),
		cmocka_unit_test(input_reaches_the_child_and_ends),
		cmocka_unit_test(programs_that_cannot_start_are_told_apart),
		cmocka_unit_test(the_child_has_no_descriptor_but_its_own),
		cmocka_unit_test(a_kept_descriptor_survives_under_its_number),
		cmocka_unit_test(signals_start_at_their_defaults),
		cmocka_unit_test(a_late_child_is_asked_to_end),
		cmocka_unit_test(a_late_child_that_does_not_listen_is_killed_with_its_group),
		cmocka_unit_test(a_child_that_only_writes_still_times_out),
		cmocka_unit_test(a_background_child_that_holds_the_pipe_does_not_hang_us),
		cmocka_unit_test(cancelling_ends_the_child),
		cmocka_unit_test(a_program_that_was_just_written_is_waited_for),
		cmocka_unit_test(output_and_pid_are_told_as_they_come),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
