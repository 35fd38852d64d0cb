#include "reconcile/drivers/ssh_talk.h"
#include "tests/lib/local_host.h"

#define NONCE "0123456789abcdef"

/* A talk about the release of digit a with a host that is not there. */
struct talk_case {
	struct driver_host host;
	struct host_release release;
	struct driver_task task;
	struct talk *talk;
};

static void begin(struct talk_case *test, enum driver_work work)
{
	static const char *const argv[] = {"true", NULL};
	struct error err;
	*test = (struct talk_case){.host = {.client = "alpha", .root = "/opt/alpha", .keep = 3}};
	host_release(&test->release, 'a');
	test->task = (struct driver_task){.work = work,
		.host = &test->host,
		.release = &test->release.release,
		.digest = test->release.digest,
		.argv = argv};
	assert_true(talk_new(&test->task, NONCE, &test->talk, &err));
}

static void hear_text(struct talk_case *test, const char *text)
{
	(void)talk_hear(test->talk, text, strlen(text)); /* told by the next one */
}

/* One line of the host. */
static enum talk_state hear(struct talk_case *test, const char *line)
{
	auto_free char *text = mem_printf(NONCE " %s\n", line);
	return talk_hear(test->talk, text, strlen(text));
}

/* All that is to be sent by now. */
static void send_all(struct talk_case *test, struct buf *sent)
{
	const char *bytes = NULL;
	size_t len;
	while ((len = talk_next(test->talk, &bytes))) {
		size_t some = len > 7 ? 7 : len;
		buf_add(sent, bytes, some);
		talk_sent(test->talk, some);
	}
}

static bool has(const struct buf *buf, const char *text)
{
	return memmem(buf->text, buf->len, text, strlen(text)) != NULL;
}

static void a_state_is_read_among_the_greetings_of_a_shell(void **state)
{
	(void)state;
	struct talk_case test;
	begin(&test, DRIVER_ASK);
	hear_text(&test, "Welcome!\n\n0123456789abcdefend\n");
	(void)hear(&test, "state");
	(void)hear(&test, "line release: sha256:"
			  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	(void)hear(&test, "line commit: 9f2c41d9f2c41d9f2c41d9f2c41d9f2c41d9f2c4");
	(void)hear(&test, "line rollout: 20261124-101542-9f2c41d");
	(void)hear(&test, "line epoch: 12");
	(void)hear(&test, "line phase: activating");
	(void)hear(&test, "line updated: 2026-11-24T10:15:42Z");
	(void)hear(&test, "current aaaaaaaaaaaaaaaa");
	(void)hear(&test, "locked");
	(void)hear(&test, "has");
	assert_int_equal(hear(&test, "end"), TALK_ENDED);
	assert_true(test.task.ok && test.task.has && test.task.state.found);
	assert_true(test.task.state.activating && test.task.state.locked);
	assert_int_equal(test.task.state.epoch, 12);
	assert_string_equal(test.task.state.current, test.release.digest);
	talk_free(test.talk);
}

static void only_files_that_the_host_lacks_are_sent(void **state)
{
	(void)state;
	struct talk_case test;
	auto_buf struct buf sums = BUF_INIT(100000);
	auto_buf struct buf orders = BUF_INIT(100000);
	begin(&test, DRIVER_ACTIVATE);
	send_all(&test, &sums);
	assert_true(has(&sums, "  ./version\n") && has(&sums, "  ./deep/run\n.\n"));
	assert_false(talk_is_told(test.talk));
	(void)hear(&test, "same ./version");
	(void)hear(&test, "same ./deep/run");
	assert_int_equal(hear(&test, "ready"), TALK_READY);
	assert_false(talk_is_working(test.talk));
	talk_go_on(test.talk);
	send_all(&test, &orders);
	assert_true(
		has(&orders, "put\n./version\n./deep/run\n.\n0644 ./version\n0755 ./deep/run\n"));
	assert_true(has(&orders, "0755 ./deep\n0755 ./deep/er\n.\n.\n.\n.\ngo\n./deep/er/file"));
	assert_true(has(&orders, "secret"));
	assert_false(has(&orders, "#!/bin/sh"));
	assert_int_equal(talk_saved(test.talk), 11);
	assert_true(talk_is_told(test.talk) && talk_is_working(test.talk));
	talk_free(test.talk);
}

static void a_release_that_is_there_is_not_sent(void **state)
{
	(void)state;
	struct talk_case test;
	auto_buf struct buf sent = BUF_INIT(100000);
	begin(&test, DRIVER_ACTIVATE);
	send_all(&test, &sent);
	(void)hear(&test, "whole");
	assert_int_equal(hear(&test, "ready"), TALK_READY);
	talk_go_on(test.talk);
	send_all(&test, &sent);
	assert_false(has(&sent, "secret") || has(&sent, "ustar"));
	talk_free(test.talk);
}

static void ends_mean_what_the_driver_promises(void **state)
{
	static const struct {
		const char *line, *what;
		enum error_code code;
		enum driver_touched touched;
	} cases[] = {
		{"done 0", NULL, ERR_NONE, 0},
		{"done 3", "status 3", ERR_INVALID, DRIVER_TOUCHED_FAILED},
		{"done 137", "signal 9", ERR_INVALID, DRIVER_TOUCHED_FAILED},
		{"done late", "did not end within", ERR_TIMEOUT, DRIVER_TOUCHED_FAILED},
		{"done unstarted", "could not be started", ERR_SYSTEM, DRIVER_TOUCHED_FAILED},
		{"done unwritten", "cannot be written", ERR_SYSTEM, DRIVER_TOUCHED_UNKNOWN},
		{"unsure link", "cannot be switched", ERR_SYSTEM, DRIVER_TOUCHED_UNKNOWN},
		{"fail epoch 9", "newer leader (epoch 9, ours is 7)", ERR_REFUSED, 0},
		{"fail lacks  tar mv", "it lacks tar mv", ERR_INVALID, 0},
		{"fail missing x", "x", ERR_NOT_FOUND, 0},
		{"fail stage no room", "no room", ERR_SYSTEM, 0},
		{"fail digest other", "other", ERR_SYSTEM, 0},
		{"fail magic \033[31m", "nobody asked", ERR_INVALID, 0},
		{"fail", "nobody asked", ERR_INVALID, 0},
		{"magic", "nobody asked", ERR_INVALID, 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct talk_case test;
		auto_buf struct buf sent = BUF_INIT(100000);
		begin(&test, DRIVER_ACTIVATE);
		assert_int_equal(hear(&test, "ready"), TALK_READY);
		talk_go_on(test.talk);
		send_all(&test, &sent);
		assert_int_equal(hear(&test, "waiting"), TALK_GOES_ON);
		assert_int_equal(hear(&test, cases[i].line), TALK_ENDED);
		assert_int_equal(test.task.ok, !cases[i].what);
		if (cases[i].what) {
			assert_non_null(strstr(test.task.err.message, cases[i].what));
			assert_int_equal(test.task.err.code, cases[i].code);
			assert_int_equal(test.task.run.touched, cases[i].touched);
			assert_null(strchr(test.task.err.message, '\033'));
		}
		talk_free(test.talk);
	}
}

static void words_before_their_time_end_the_talk(void **state)
{
	static const char *const lines[] = {"done 0", "end", "unsure x", "magic", ""};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct talk_case test;
		begin(&test, DRIVER_ACTIVATE);
		assert_int_equal(hear(&test, lines[i]), TALK_ENDED);
		assert_false(test.task.ok);
		assert_int_equal(test.task.run.touched, DRIVER_TOUCHED_NOTHING);
		talk_free(test.talk);
	}
}

static void a_state_file_without_end_is_refused(void **state)
{
	(void)state;
	struct talk_case test;
	begin(&test, DRIVER_ASK);
	(void)hear(&test, "state");
	for (int i = 0; i < 1000; i++)
		(void)hear(&test, "line xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	assert_int_equal(hear(&test, "end"), TALK_ENDED);
	assert_false(test.task.ok);
	assert_non_null(strstr(test.task.err.message, "larger than any"));
	talk_free(test.talk);
}

static void endless_noise_ends_the_talk(void **state)
{
	(void)state;
	struct talk_case test;
	static char noise[65536];
	size_t heard = 0;
	memset(noise, 'x', sizeof(noise));
	noise[sizeof(noise) - 1] = '\n';
	begin(&test, DRIVER_ASK);
	while (talk_hear(test.talk, noise, sizeof(noise)) == TALK_GOES_ON)
		assert_in_range(heard += sizeof(noise), 0, 512 << 20);
	assert_false(test.task.ok);
	assert_non_null(strstr(test.task.err.message, "says too much"));
	talk_free(test.talk);
}

static void a_lost_connection_is_unsure_only_once_everything_was_sent(void **state)
{
	static const struct error lost = {.code = ERR_UNREACHABLE, .message = "lost"};
	(void)state;
	for (int sent_all = 0; sent_all <= 1; sent_all++) {
		struct talk_case test;
		auto_buf struct buf sent = BUF_INIT(100000);
		auto_buf struct buf errors = BUF_INIT(100);
		begin(&test, DRIVER_ACTIVATE);
		assert_int_equal(hear(&test, "ready"), TALK_READY);
		talk_go_on(test.talk);
		if (sent_all)
			send_all(&test, &sent);
		talk_break(test.talk, &lost, &errors);
		assert_false(test.task.ok);
		assert_int_equal(test.task.err.code, ERR_UNREACHABLE);
		assert_int_equal(test.task.run.touched,
			sent_all ? DRIVER_TOUCHED_UNKNOWN : DRIVER_TOUCHED_NOTHING);
		talk_free(test.talk);
	}
}

static void a_shell_that_ends_is_told_with_what_it_said(void **state)
{
	static const struct error none = {0};
	(void)state;
	struct talk_case test;
	auto_buf struct buf errors = BUF_INIT(100);
	buf_add_str(&errors, "\nThis account is \033[1mnot available.\nmore");
	begin(&test, DRIVER_ACTIVATE);
	talk_break(test.talk, &none, &errors);
	assert_int_equal(test.task.run.touched, DRIVER_TOUCHED_NOTHING);
	assert_non_null(strstr(test.task.err.message, "not available."));
	assert_null(strstr(test.task.err.message, "more"));
	assert_null(strchr(test.task.err.message, '\033'));
	talk_free(test.talk);
}

static void a_release_that_no_host_could_take_is_refused(void **state)
{
	(void)state;
	struct talk_case test;
	struct talk *talk = NULL;
	struct error err;
	begin(&test, DRIVER_ACTIVATE);
	talk_free(test.talk);
	test.release.files[0].path = "../x";
	assert_false(talk_new(&test.task, NONCE, &talk, &err));
	assert_int_equal(err.code, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_state_is_read_among_the_greetings_of_a_shell),
		cmocka_unit_test(only_files_that_the_host_lacks_are_sent),
		cmocka_unit_test(a_release_that_is_there_is_not_sent),
		cmocka_unit_test(ends_mean_what_the_driver_promises),
		cmocka_unit_test(words_before_their_time_end_the_talk),
		cmocka_unit_test(a_state_file_without_end_is_refused),
		cmocka_unit_test(endless_noise_ends_the_talk),
		cmocka_unit_test(a_lost_connection_is_unsure_only_once_everything_was_sent),
		cmocka_unit_test(a_shell_that_ends_is_told_with_what_it_said),
		cmocka_unit_test(a_release_that_no_host_could_take_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
