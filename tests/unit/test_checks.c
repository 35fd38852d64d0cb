#include "base/fs.h"
#include "reconcile/checks/checks.h"
#include "tests/lib/loopback.h"
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

/* Longer than any test may take. */
#define LONG_MS 120000

#define OK(body) "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" body
#define SH(script)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		"/bin/sh", "-c", (script), NULL                                                    \
	}

/* What came back, and how often. */
struct result {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t count;
	struct check_outcome outcome;
};

static void result_init(struct result *result)
{
	*result = (struct result){.count = 0};
	assert_int_equal(pthread_mutex_init(&result->lock, NULL), 0);
	assert_int_equal(pthread_cond_init(&result->changed, NULL), 0);
}

static void take(void *data, const struct check_outcome *outcome)
{
	struct result *result = data;
	(void)pthread_mutex_lock(&result->lock); /* cannot fail */
	result->outcome = *outcome;
	result->count++;
	(void)pthread_cond_signal(&result->changed); /* cannot fail */
	(void)pthread_mutex_unlock(&result->lock);   /* cannot fail */
}

static void wait_for(struct result *result, size_t count)
{
	assert_int_equal(pthread_mutex_lock(&result->lock), 0);
	while (result->count < count)
		assert_int_equal(pthread_cond_wait(&result->changed, &result->lock), 0);
	assert_int_equal(pthread_mutex_unlock(&result->lock), 0);
}

static struct check_outcome run_round(const struct check_round *round)
{
	auto_checks struct checks *checks = NULL;
	struct result result;
	struct error err;
	result_init(&result);
	assert_true(checks_new(&checks, &err));
	checks_start(checks, round, take, &result);
	wait_for(&result, 1);
	return result.outcome;
}

static struct check_outcome run_one(struct check_spec spec)
{
	if (!spec.timeout_ms)
		spec.timeout_ms = LONG_MS;
	return run_round(&(struct check_round){.specs = &spec, .count = 1});
}

static void assert_good(struct check_spec spec)
{
	struct check_outcome outcome = run_one(spec);
	if (!outcome.good)
		fail_msg("%s", outcome.detail);
	assert_int_equal(outcome.failed, 0);
	assert_string_equal(outcome.detail, "");
}

static void assert_bad(struct check_spec spec, const char *detail)
{
	struct check_outcome outcome = run_one(spec);
	assert_false(outcome.good);
	assert_int_equal(outcome.failed, 1);
	assert_string_equal(outcome.detail, detail);
}

static void assert_bad_like(struct check_spec spec, const char *part)
{
	struct check_outcome outcome = run_one(spec);
	assert_false(outcome.good);
	if (!strstr(outcome.detail, part))
		fail_msg("'%s' lacks '%s'", outcome.detail, part);
}

static char *target_of(const char *prefix, int port)
{
	return mem_printf("%s127.0.0.1:%d", prefix, port);
}

/* ---- http ----------------------------------------------------------------------------------- */

static void a_status_is_compared_with_the_one_expected(void **state)
{
	(void)state;
	auto_loopback struct loopback *server = loopback_start(
		"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", NULL);
	auto_free char *url = target_of("http://", loopback_port(server));
	struct check_spec spec = {.name = "nextcloud", .kind = PROBE_HTTP, .target = url};
	assert_bad(spec, "nextcloud: status 503, expected 200");
	spec.status = 503;
	assert_good(spec);
}

static void members_of_the_answer_are_compared_by_value_and_kind(void **state)
{
	(void)state;
	static const struct {
		const char *answer, *member, *expected;
		const char *why; /* NULL: good */
	} cases[] = {
		{OK("{\"installed\": true}"), "installed", "true", NULL},
		{OK("{\"installed\": true, \"x\": 1}"), "installed", "true", NULL},
		{OK("{\"v\": {\"a\": [1, \"b\"]}}"), "v", "{\"a\":[1,\"b\"]}", NULL},
		{OK("{\"v\": null}"), "v", "null", NULL},
		{OK("{\"installed\": false}"), "installed", "true",
			"'installed' is false, expected true"},
		{OK("{\"installed\": \"true\"}"), "installed", "true",
			"'installed' is \"true\", expected true"},
		{OK("{}"), "installed", "true", "'installed' is missing, expected true"},
		{OK("{\"v\": 27}"), "v", "28", "'v' is 27, expected 28"},
		{OK("[true]"), "installed", "true",
			"the answer is a JSON list, expected an object"},
		{OK("<html>"), "installed", "true", "the answer is not JSON: '<html>'"},
		{OK(""), "installed", "true", "the answer is not JSON: ''"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_loopback struct loopback *server = loopback_start(cases[i].answer, NULL);
		auto_free char *url = target_of("http://", loopback_port(server));
		const struct check_member member = {cases[i].member, cases[i].expected};
		struct check_spec spec = {.name = "app",
			.kind = PROBE_HTTP,
			.target = url,
			.json = &member,
			.json_count = 1};
		auto_free char *detail = mem_printf("app: %s", cases[i].why ? cases[i].why : "");
		if (cases[i].why)
			assert_bad(spec, detail);
		else
			assert_good(spec);
	}
}

static void a_long_value_is_cut_and_cleaned(void **state)
{
	(void)state;
	char answer[600];
	char filler[301];
	memset(filler, 'x', 300);
	filler[300] = '\0';
	(void)snprintf(answer, sizeof(answer), OK("\x1b[31m%s"), filler); /* fits */
	auto_loopback struct loopback *server = loopback_start(answer, NULL);
	auto_free char *url = target_of("http://", loopback_port(server));
	const struct check_member member = {"a", "1"};
	struct check_outcome outcome = run_one((struct check_spec){.name = "app",
		.kind = PROBE_HTTP,
		.target = url,
		.json = &member,
		.json_count = 1});
	assert_null(strchr(outcome.detail, '\x1b'));
	assert_true(strlen(outcome.detail) < 150);
	assert_non_null(strstr(outcome.detail, "..."));
}

static void a_body_must_contain_the_text(void **state)
{
	(void)state;
	auto_loopback struct loopback *server = loopback_start(OK("all is well"), NULL);
	auto_free char *url = target_of("http://", loopback_port(server));
	struct check_spec spec = {
		.name = "app", .kind = PROBE_HTTP, .target = url, .body = "is well"};
	assert_good(spec);
	spec.body = "is bad";
	assert_bad(spec, "app: the body of the answer does not contain 'is bad'");
}

static void a_body_beyond_the_limit_is_not_read(void **state)
{
	(void)state;
	auto_free char *filler = mem_zero(70001, 1);
	memset(filler, 'x', 70000);
	auto_free char *answer = mem_printf(OK("%s the end"), filler);
	auto_loopback struct loopback *server = loopback_start(answer, NULL);
	auto_free char *url = target_of("http://", loopback_port(server));
	const struct check_member member = {"a", "1"};
	struct check_spec spec = {
		.name = "app", .kind = PROBE_HTTP, .target = url, .body = "the end"};
	assert_bad(spec, "app: the beginning (64 KiB) of the answer does not contain 'the end'");
	spec.json = &member;
	spec.json_count = 1;
	assert_bad(spec, "app: the answer is longer than 65536 bytes, too long for JSON");
}

static void headers_are_sent(void **state)
{
	(void)state;
	auto_loopback struct loopback *server = loopback_start(OK(""), NULL);
	auto_free char *url = target_of("http://", loopback_port(server));
	auto_buf struct buf sent = BUF_INIT(10000);
	struct check_spec spec = {.name = "app", .kind = PROBE_HTTP, .target = url};
	spec.headers = (const char *const[]){"Host: cloud.example", "X-Probe: 1", NULL};
	assert_good(spec);
	loopback_request(server, &sent);
	assert_non_null(strstr(sent.text, "\r\nHost: cloud.example\r\n"));
	assert_non_null(strstr(sent.text, "\r\nX-Probe: 1\r\n"));
}

static void silence_is_told_with_the_time_that_was_given(void **state)
{
	(void)state;
	auto_loopback struct loopback *server = loopback_start(NULL, NULL);
	auto_free char *url = target_of("http://", loopback_port(server));
	assert_bad(
		(struct check_spec){
			.name = "app", .kind = PROBE_HTTP, .target = url, .timeout_ms = 100},
		"app: no answer within 100ms");
}

static void nobody_there_is_told_with_the_address(void **state)
{
	(void)state;
	auto_fd int fd = -1;
	auto_free char *url = target_of("http://", loopback_refused_port(&fd));
	assert_bad_like((struct check_spec){.name = "app", .kind = PROBE_HTTP, .target = url},
		"app: '127.0.0.1:");
	assert_bad_like(
		(struct check_spec){.name = "app", .kind = PROBE_HTTP, .target = "nonsense://x"},
		"app: 'x': ");
}

/* ---- tcp, tls ------------------------------------------------------------------------------- */

static void a_tcp_check_connects_and_no_more(void **state)
{
	(void)state;
	auto_fd int fd = -1;
	auto_loopback struct loopback *silent = loopback_start(NULL, NULL);
	auto_free char *open_port = target_of("", loopback_port(silent));
	auto_free char *refused = target_of("", loopback_refused_port(&fd));
	assert_good((struct check_spec){.name = "db", .kind = PROBE_TCP, .target = open_port});
	assert_bad_like((struct check_spec){.name = "db", .kind = PROBE_TCP, .target = refused},
		"db: '127.0.0.1:");
}

static int setup_folder(void **state)
{
	struct error err;
	char *folder = NULL;
	if (!fs_scratch(NULL, "test-checks", &folder, &err))
		return -1;
	*state = folder;
	return 0;
}

static int teardown_folder(void **state)
{
	struct error err;
	auto_free char *folder = *state;
	return fs_remove_tree(folder, &err) ? 0 : -1;
}

static void a_certificate_must_last_long_enough(void **state)
{
	loopback_certificate(*state, 30);
	auto_loopback struct loopback *server = loopback_start_tls(*state);
	auto_free char *target = target_of("", loopback_port(server));
	auto_free char *ca = mem_printf("%s/cert.pem", (const char *)*state);
	struct check_spec spec = {
		.name = "tls", .kind = PROBE_TLS, .target = target, .ca_file = ca};
	assert_good(spec);
	spec.min_days = 14;
	assert_good(spec);
	spec.min_days = 60;
	assert_bad_like(spec, "days, expected at least 60");
	spec.ca_file = NULL;
	assert_bad_like(spec, "certificate");
}

static void a_server_without_tls_fails_the_tls_check(void **state)
{
	(void)state;
	auto_loopback struct loopback *silent = loopback_start(NULL, NULL);
	auto_free char *target = target_of("", loopback_port(silent));
	assert_bad(
		(struct check_spec){
			.name = "tls", .kind = PROBE_TLS, .target = target, .timeout_ms = 200},
		"tls: no connection within 200ms");
}

/* ---- commands ------------------------------------------------------------------------------- */

static struct check_spec command(const char *const *argv)
{
	return (struct check_spec){.name = "queue", .kind = PROBE_COMMAND, .argv = argv};
}

static void a_command_is_good_with_status_0(void **state)
{
	(void)state;
	assert_good(command(SH("echo noise; exit 0")));
	assert_bad(command(SH("echo first; echo 12 jobs wait >&2; exit 2")),
		"queue: the command ended with status 2, expected 0, output '12 jobs wait'");
	assert_bad(command(SH("kill -9 $$")), "queue: the command was ended by signal 9");
	assert_bad_like(command((const char *const[]){"no-such-program", NULL}),
		"queue: cannot start 'no-such-program'");
}

static void what_a_command_says_is_cut_and_cleaned(void **state)
{
	(void)state;
	struct check_outcome outcome = run_one(
		command(SH("printf '\\033[31m'; head -c 5000 /dev/zero | tr '\\0' x; exit 1")));
	assert_true(strlen(outcome.detail) < 200);
	assert_null(strchr(outcome.detail, '\x1b'));
}

static void a_late_command_is_ended(void **state)
{
	(void)state;
	struct check_spec spec = command(SH("echo waiting; sleep 1000"));
	spec.timeout_ms = 300;
	assert_bad_like(spec, "queue: the command did not end within 300ms");
}

static void commands_run_in_the_folder_of_the_client(void **state)
{
	auto_free char *path = mem_printf("%s/made", (const char *)*state);
	struct check_spec spec = command(SH("touch made"));
	struct check_round round = {.specs = &spec, .count = 1, .folder = *state};
	assert_true(run_round(&round).good);
	assert_int_equal(access(path, F_OK), 0);
}

/* ---- rounds --------------------------------------------------------------------------------- */

static void a_round_without_checks_is_good(void **state)
{
	(void)state;
	struct check_outcome outcome = run_round(&(struct check_round){.count = 0});
	assert_true(outcome.good);
}

static void all_failures_of_a_round_are_told_in_the_order_of_its_checks(void **state)
{
	(void)state;
	auto_loopback struct loopback *server = loopback_start(OK("x"), NULL);
	auto_free char *url = target_of("http://", loopback_port(server));
	const struct check_spec specs[] = {
		{.name = "one", .kind = PROBE_COMMAND, .argv = SH("exit 3"), .timeout_ms = LONG_MS},
		{.name = "two", .kind = PROBE_HTTP, .target = url, .timeout_ms = LONG_MS},
		{.name = "three",
			.kind = PROBE_HTTP,
			.target = url,
			.status = 404,
			.timeout_ms = LONG_MS},
	};
	struct check_outcome outcome =
		run_round(&(struct check_round){.specs = specs, .count = ARRAY_LEN(specs)});
	assert_int_equal(outcome.failed, 2);
	assert_string_equal(outcome.detail, "one: the command ended with status 3, expected 0; "
					    "three: status 200, expected 404");
}

static void failures_that_do_not_fit_are_counted(void **state)
{
	(void)state;
	static const char *const argv[] = {
		"/bin/sh", "-c", "echo a line of some length that fills the detail; exit 1", NULL};
	struct check_spec specs[40];
	for (size_t i = 0; i < ARRAY_LEN(specs); i++)
		specs[i] = (struct check_spec){.name = "check",
			.kind = PROBE_COMMAND,
			.argv = argv,
			.timeout_ms = LONG_MS};
	struct check_outcome outcome =
		run_round(&(struct check_round){.specs = specs, .count = ARRAY_LEN(specs)});
	assert_int_equal(outcome.failed, 40);
	assert_true(strlen(outcome.detail) < sizeof(outcome.detail));
	assert_non_null(strstr(outcome.detail, " more failed"));
}

struct starter {
	struct checks *checks;
	struct result *result;
	const struct check_round *round;
};

static void *start_many(void *data)
{
	struct starter *starter = data;
	for (int i = 0; i < 25; i++)
		checks_start(starter->checks, starter->round, take, starter->result);
	return NULL;
}

static void many_rounds_of_many_threads_all_come_back(void **state)
{
	(void)state;
	auto_checks struct checks *checks = NULL;
	auto_loopback struct loopback *server = loopback_start(OK("x"), NULL);
	auto_free char *url = target_of("http://", loopback_port(server));
	struct check_spec specs[] = {{.name = "a", .kind = PROBE_HTTP, .target = url},
		{.name = "b", .kind = PROBE_COMMAND, .argv = SH("exit 0")}};
	struct check_round round = {.specs = specs, .count = 2};
	struct result result;
	struct error err;
	pthread_t threads[3];
	specs[0].timeout_ms = specs[1].timeout_ms = LONG_MS;
	result_init(&result);
	assert_true(checks_new(&checks, &err));
	struct starter starter = {checks, &result, &round};
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, start_many, &starter), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	wait_for(&result, 75);
	assert_true(result.outcome.good);
	assert_int_equal(loopback_count(server), 75);
}

static void freeing_ends_everything_without_a_call(void **state)
{
	auto_free char *up = mem_printf("%s/up", (const char *)*state);
	auto_loopback struct loopback *silent = loopback_start(NULL, NULL);
	auto_free char *url = target_of("http://", loopback_port(silent));
	const struct check_spec specs[] = {
		{.name = "a", .kind = PROBE_HTTP, .target = url, .timeout_ms = LONG_MS},
		{.name = "b",
			.kind = PROBE_COMMAND,
			.argv = SH("touch up; sleep 1000"),
			.timeout_ms = LONG_MS}};
	struct check_round round = {.specs = specs, .count = 2, .folder = *state};
	struct checks *checks = NULL;
	struct result result;
	struct error err;
	result_init(&result);
	assert_true(checks_new(&checks, &err));
	for (int i = 0; i < 20; i++)
		checks_start(checks, &round, take, &result);
	while (access(up, F_OK) < 0)
		assert_int_equal(usleep(2000), 0); /* until the commands run */
	checks_free(checks);
	assert_int_equal(result.count, 0);
}

#define IN_FOLDER(function) cmocka_unit_test_setup_teardown(function, setup_folder, teardown_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_status_is_compared_with_the_one_expected),
		cmocka_unit_test(members_of_the_answer_are_compared_by_value_and_kind),
		cmocka_unit_test(a_long_value_is_cut_and_cleaned),
		cmocka_unit_test(a_body_must_contain_the_text),
		cmocka_unit_test(a_body_beyond_the_limit_is_not_read),
		cmocka_unit_test(headers_are_sent),
		cmocka_unit_test(silence_is_told_with_the_time_that_was_given),
		cmocka_unit_test(nobody_there_is_told_with_the_address),
		cmocka_unit_test(a_tcp_check_connects_and_no_more),
		IN_FOLDER(a_certificate_must_last_long_enough),
		cmocka_unit_test(a_server_without_tls_fails_the_tls_check),
		cmocka_unit_test(a_command_is_good_with_status_0),
		cmocka_unit_test(what_a_command_says_is_cut_and_cleaned),
		cmocka_unit_test(a_late_command_is_ended),
		IN_FOLDER(commands_run_in_the_folder_of_the_client),
		cmocka_unit_test(a_round_without_checks_is_good),
		cmocka_unit_test(all_failures_of_a_round_are_told_in_the_order_of_its_checks),
		cmocka_unit_test(failures_that_do_not_fit_are_counted),
		cmocka_unit_test(many_rounds_of_many_threads_all_come_back),
		IN_FOLDER(freeing_ends_everything_without_a_call),
	};
	(void)signal(SIGPIPE, SIG_IGN); /* as the service does: libcurl writes to lost peers */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
