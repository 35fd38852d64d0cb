#include "base/clock.h"
#include "base/deadline.h"
#include "base/fs.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

static struct error err;

static struct deadline make(int64_t connect_ms, int64_t idle_ms, int64_t total_ms, int cancel_fd)
{
	struct deadline deadline = {.connect_ms = connect_ms,
		.idle_ms = idle_ms,
		.total_ms = total_ms,
		.cancel_fd = cancel_fd,
		.peer = "ssh git.example:22",
		.doing = "fetching"};
	deadline_start(&deadline);
	return deadline;
}

static void nothing_has_passed_at_the_start(void **state)
{
	(void)state;
	struct deadline deadline = make(60000, 60000, 60000, -1);
	assert_true(deadline_check(&deadline, &err));
	assert_int_equal(deadline_left(&deadline, 1000), 1000);
	assert_true(deadline_left(&deadline, 100000) <= 60000);
}

static void each_limit_says_which_one_it_was(void **state)
{
	(void)state;
	static const struct {
		int64_t connect_ms, idle_ms, total_ms;
		bool progress;
		const char *text;
	} cases[] = {
		{0, 60000, 60000, false, "no answer within 0 ms while fetching"},
		{60000, 0, 60000, true, "no answer within 0 ms while fetching"},
		{60000, 60000, 0, true, "not finished within 0 ms while fetching"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct deadline deadline =
			make(cases[i].connect_ms, cases[i].idle_ms, cases[i].total_ms, -1);
		if (cases[i].progress)
			deadline_progress(&deadline);
		assert_false(deadline_check(&deadline, &err));
		assert_int_equal(err.code, ERR_TIMEOUT);
		assert_non_null(strstr(err.message, cases[i].text));
		assert_non_null(strstr(err.message, "ssh git.example:22"));
		assert_int_equal(deadline_left(&deadline, 1000), 0);
	}
}

static void a_wait_ends_at_the_limit(void **state)
{
	(void)state;
	auto_fd int fd = eventfd(0, EFD_CLOEXEC);
	struct deadline deadline = make(20, 20, 60000, -1);
	int64_t start = clock_mono_ms();

	while (deadline_poll(&deadline, fd, POLLIN, 60000, &err))
		;
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_true(clock_mono_ms() - start >= 20);
}

static void a_wait_ends_when_the_descriptor_is_ready(void **state)
{
	(void)state;
	auto_fd int fd = eventfd(1, EFD_CLOEXEC);
	struct deadline deadline = make(60000, 60000, 60000, -1);
	assert_true(deadline_poll(&deadline, fd, POLLIN, 60000, &err));
}

static void cancel_ends_a_wait_at_once(void **state)
{
	(void)state;
	auto_fd int fd = eventfd(0, EFD_CLOEXEC);
	auto_fd int cancel = eventfd(1, EFD_CLOEXEC);
	struct deadline deadline = make(60000, 60000, 60000, cancel);
	assert_false(deadline_poll(&deadline, fd, POLLIN, 60000, &err));
	assert_int_equal(err.code, ERR_STOPPED);
	assert_false(deadline_check(&deadline, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_has_passed_at_the_start),
		cmocka_unit_test(each_limit_says_which_one_it_was),
		cmocka_unit_test(a_wait_ends_at_the_limit),
		cmocka_unit_test(a_wait_ends_when_the_descriptor_is_ready),
		cmocka_unit_test(cancel_ends_a_wait_at_once),
	};
	return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
