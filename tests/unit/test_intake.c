/* The routes /webhook/<forge> over a real socket: answers, what they say, what they set off. */
#include "base/log.h"
#include "server/intake.h"
#include "tests/lib/delivery.h"
#include "tests/lib/talk.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include <cmocka.h>

#define A    "1111111111111111111111111111111111111111"
#define B    "2222222222222222222222222222222222222222"
#define ZERO "0000000000000000000000000000000000000000"
#define PUSH(ref, to)                                                                              \
	"{\"ref\":\"" ref "\",\"before\":\"" A "\",\"after\":\"" to                                \
	"\",\"repository\":{\"full_name\":\"org/infra\"}}"
#define MAIN_PUSH PUSH("refs/heads/main", B)

struct fixture {
	struct intake *intake;
	struct http_server *server;
	atomic_uint dirty; /* calls */
	char last[WEBHOOK_DELIVERY_SIZE];
	int log_fd;
};

static void note_dirty(void *data, enum webhook_forge forge, const char *delivery)
{
	struct fixture *fixture = data;
	assert_int_equal(forge, WEBHOOK_GITHUB);
	snprintf(fixture->last, sizeof(fixture->last), "%s", delivery);
	fixture->dirty++;
}

static const struct webhook_secret secrets[] = {{"old-secret", 10}, {"key", 3}};
static const struct intake_forge forges[] = {
	{WEBHOOK_GITHUB, secrets, 2, "/etc/aviary/github.secret"},
	{WEBHOOK_GITLAB, secrets, 1, "/etc/aviary/gitlab.secret"},
};

static struct intake_options options_of(struct fixture *fixture)
{
	return (struct intake_options){.repository_url = "git@forge.example:org/infra.git",
		.branch = "main",
		.status_branch = "deployments",
		.forges = forges,
		.forge_count = ARRAY_LEN(forges),
		.dirty = note_dirty,
		.data = fixture};
}

static int set_up(void **state)
{
	struct fixture *fixture = mem_zero(1, sizeof(*fixture));
	struct intake_options options = options_of(fixture);
	struct http_options http = {.listen = "127.0.0.1:0", .failures = 3};
	struct error err = {0};
	char path[] = "/tmp/aviary-intake-XXXXXX";
	fixture->log_fd = mkostemp(path, O_CLOEXEC);
	assert_true(fixture->log_fd >= 0);
	assert_return_code(unlink(path), 0);
	log_setup(fixture->log_fd, LOG_INFO, LOG_TEXT);
	assert_true(intake_new(&options, &fixture->intake, &err));
	struct http_routes routes = intake_routes(fixture->intake);
	assert_true(http_server_new(&http, &routes, 1, &fixture->server, &err));
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	http_server_free(fixture->server);
	intake_free(fixture->intake);
	log_setup(-1, LOG_ERROR, LOG_TEXT);
	(void)close(fixture->log_fd);
	free(fixture);
	return 0;
}

static char *read_log(const struct fixture *fixture)
{
	struct buf text;
	char piece[4096];
	ssize_t got = 0;
	off_t at = 0;
	buf_init(&text, 1 << 20);
	while ((got = pread(fixture->log_fd, piece, sizeof(piece), at)) > 0) {
		buf_add(&text, piece, (size_t)got);
		at += got;
	}
	return buf_steal(&text);
}

/* Post a push to /webhook/github, signed with @p key; the whole answer, caller frees. */
static char *post(struct fixture *fixture, const char *key, const char *id, const char *body)
{
	char mac[65];
	delivery_mac(key, body, strlen(body), mac);
	auto_free char *request =
		mem_printf("POST /webhook/github HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
			   "Content-Type: application/json\r\nX-GitHub-Event: push\r\n"
			   "X-GitHub-Delivery: %s\r\nX-Hub-Signature-256: sha256=%s\r\n"
			   "Content-Length: %zu\r\n\r\n%s",
			id, mac, strlen(body), body);
	return talk_ask(http_server_port(fixture->server), request);
}

static void a_push_is_queued(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *answer = post(fixture, "key", "id-1", MAIN_PUSH);
	auto_free char *old = post(fixture, "old-secret", "id-2", MAIN_PUSH);
	assert_non_null(strstr(answer, "HTTP/1.1 202 "));
	assert_non_null(strstr(answer, "\r\n\r\n{\"status\":\"queued\"}"));
	assert_non_null(strstr(old, "HTTP/1.1 202 "));
	assert_int_equal(fixture->dirty, 2);
	assert_string_equal(fixture->last, "id-2");
}

static void what_is_ignored_says_why_in_a_header(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *answer = post(fixture, "key", "id", PUSH("refs/heads/x\\\"$(id)", B));
	assert_non_null(strstr(answer, "HTTP/1.1 204 "));
	assert_non_null(strstr(answer, "\r\nX-Aviary-Ignored: other-branch\r\n"));
	assert_non_null(strstr(answer, "\r\nX-Aviary-Follows: org/infra main\r\n"));
	assert_null(strstr(answer, "$(id)"));
	assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
	assert_int_equal(fixture->dirty, 0);
}

static void a_deleted_tracked_branch_is_logged(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *answer = post(fixture, "key", "id", PUSH("refs/heads/main", ZERO));
	auto_free char *log = read_log(fixture);
	assert_non_null(strstr(answer, "branch-deleted"));
	assert_non_null(strstr(log, "warn  tracked branch was deleted branch=main"));
	assert_int_equal(fixture->dirty, 0);
}

static void a_forged_delivery_leaves_a_line_and_nothing_else(void **state)
{
	struct fixture *fixture = *state;
	struct intake_counts counts;
	auto_free char *answer = post(fixture, "guess", "id-7", MAIN_PUSH);
	auto_free char *log = read_log(fixture);
	assert_non_null(strstr(answer, "HTTP/1.1 401 "));
	assert_non_null(strstr(answer, "'github.secret'"));
	assert_null(strstr(answer, "/etc/aviary"));
	assert_non_null(strstr(log,
		"webhook refused forge=github address=127.0.0.1 status=401 reason=\"signature "
		"wrong\" delivery=id-7"));
	assert_null(strstr(log, "sha256"));
	assert_int_equal(fixture->dirty, 0);
	intake_count(fixture->intake, WEBHOOK_GITHUB, &counts);
	assert_int_equal(counts.unauthentic, 1);
	assert_int_equal(counts.accepted + counts.ignored + counts.malformed, 0);
}

static void an_address_that_forges_too_often_gets_429(void **state)
{
	struct fixture *fixture = *state;
	for (int i = 0; i < 3; i++) {
		auto_free char *answer = post(fixture, "guess", "id", MAIN_PUSH);
		assert_non_null(strstr(answer, "HTTP/1.1 401 "));
	}
	auto_free char *answer = post(fixture, "key", "id", MAIN_PUSH);
	assert_non_null(strstr(answer, "HTTP/1.1 429 "));
	assert_non_null(strstr(answer, "Retry-After: "));
	assert_int_equal(fixture->dirty, 0);
}

static void a_redelivery_is_told_and_counts_again(void **state)
{
	struct fixture *fixture = *state;
	struct intake_counts counts;
	/* A forged one with the same id must not make the real one a redelivery. */
	auto_free char *forged = post(fixture, "guess", "id-1", MAIN_PUSH);
	auto_free char *first = post(fixture, "key", "id-1", MAIN_PUSH);
	auto_free char *other = post(fixture, "key", "id-2", MAIN_PUSH);
	assert_non_null(strstr(forged, "HTTP/1.1 401 "));
	assert_non_null(strstr(first, "HTTP/1.1 202 "));
	assert_non_null(strstr(other, "HTTP/1.1 202 "));
	intake_count(fixture->intake, WEBHOOK_GITHUB, &counts);
	assert_int_equal(counts.redelivered, 0);
	auto_free char *again = post(fixture, "key", "id-1", MAIN_PUSH);
	auto_free char *log = read_log(fixture);
	assert_non_null(strstr(again, "HTTP/1.1 202 "));
	assert_non_null(strstr(log, "webhook redelivered forge=github delivery=id-1"));
	intake_count(fixture->intake, WEBHOOK_GITHUB, &counts);
	assert_int_equal(counts.redelivered, 1);
	assert_int_equal(counts.accepted, 3);
	assert_int_equal(fixture->dirty, 3);
}

static void malformed_deliveries_get_the_reason(void **state)
{
	struct fixture *fixture = *state;
	struct intake_counts counts;
	auto_free char *answer = post(fixture, "key", "id", "{\"ref\":");
	assert_non_null(strstr(answer, "HTTP/1.1 400 "));
	assert_non_null(strstr(answer, "{\"error\": \"the JSON ends too early\"}"));
	intake_count(fixture->intake, WEBHOOK_GITHUB, &counts);
	assert_int_equal(counts.malformed, 1);
}

static void only_configured_forges_have_a_path(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		const char *request;
		int status;
	} rows[] = {
		{"POST /webhook/gitea HTTP/1.1", 404},
		{"POST /webhook/nobody HTTP/1.1", 404},
		{"POST /webhook HTTP/1.1", 404},
		{"POST /webhook/github/ HTTP/1.1", 404},
		{"GET /webhook/gitea HTTP/1.1", 404},
		{"GET /webhook/github?payload=%7B%7D HTTP/1.1", 405},
		{"PUT /webhook/gitlab HTTP/1.1", 405},
		{"POST /webhook/gitlab HTTP/1.1", 415},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char wanted[32];
		auto_free char *request = mem_printf(
			"%s\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
			rows[i].request);
		auto_free char *answer = talk_ask(http_server_port(fixture->server), request);
		snprintf(wanted, sizeof(wanted), "HTTP/1.1 %d ", rows[i].status);
		if (strncmp(answer, wanted, strlen(wanted)) != 0)
			fail_msg("%s: %s", rows[i].request, answer);
		if (rows[i].status == 405)
			assert_non_null(strstr(answer, "Allow: POST\r\n"));
	}
}

static void new_secrets_replace_the_old_ones(void **state)
{
	struct fixture *fixture = *state;
	static const struct webhook_secret fresh = {"fresh", 5}, empty = {"", 0};
	struct intake_forge change = {WEBHOOK_GITHUB, &fresh, 1, "new.secret"};
	struct error err = {0};
	assert_true(intake_reload(fixture->intake, &change, 1, &err));
	auto_free char *old = post(fixture, "key", "id", MAIN_PUSH);
	auto_free char *good = post(fixture, "fresh", "id", MAIN_PUSH);
	assert_non_null(strstr(old, "HTTP/1.1 401 "));
	assert_non_null(strstr(good, "HTTP/1.1 202 "));
	change.secrets = &empty;
	assert_false(intake_reload(fixture->intake, &change, 1, &err));
	assert_int_equal(err.code, ERR_INVALID);
	change = (struct intake_forge){WEBHOOK_GITEA, &fresh, 1, NULL};
	assert_false(intake_reload(fixture->intake, &change, 1, &err));
	auto_free char *still = post(fixture, "fresh", "id", MAIN_PUSH);
	assert_non_null(strstr(still, "HTTP/1.1 202 "));
}

static void what_would_accept_everybody_is_refused_at_the_start(void **state)
{
	(void)state;
	static const struct webhook_secret empty = {"", 0}, good = {"x", 1};
	const struct intake_forge bad[][2] = {{{WEBHOOK_GITHUB, &empty, 1, NULL}},
		{{WEBHOOK_GITHUB, &good, 0, NULL}},
		{{WEBHOOK_GITHUB, &good, 1, NULL}, {WEBHOOK_GITHUB, &good, 1, NULL}}};
	struct fixture fixture = {0};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct intake_options options = options_of(&fixture);
		struct intake *intake = NULL;
		struct error err = {0};
		options.forges = bad[i];
		options.forge_count = bad[i][1].secret_count ? 2 : 1;
		assert_false(intake_new(&options, &intake, &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
}

static void a_fixed_clock_needs_the_word_test(void **state)
{
	(void)state;
	static const struct {
		const char *now, *test;
		enum error_code code;
	} rows[] = {{"1798761600", NULL, ERR_REFUSED}, {"1798761600", "0", ERR_REFUSED},
		{"x", "1", ERR_INVALID}, {"-5", "1", ERR_INVALID}, {"1798761600", "1", ERR_NONE}};
	struct fixture fixture = {0};
	struct intake_options options = options_of(&fixture);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct intake *intake = NULL;
		struct error err = {0};
		setenv("AVIARY_TEST_NOW", rows[i].now, 1);
		if (rows[i].test)
			setenv("AVIARY_TEST", rows[i].test, 1);
		else
			unsetenv("AVIARY_TEST");
		bool good = intake_new(&options, &intake, &err);
		assert_int_equal(good, rows[i].code == ERR_NONE);
		assert_int_equal(err.code, rows[i].code);
		intake_free(intake);
	}
	unsetenv("AVIARY_TEST_NOW");
	unsetenv("AVIARY_TEST");
}

int main(void)
{
#define SERVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		SERVED(a_push_is_queued),
		SERVED(what_is_ignored_says_why_in_a_header),
		SERVED(a_deleted_tracked_branch_is_logged),
		SERVED(a_forged_delivery_leaves_a_line_and_nothing_else),
		SERVED(an_address_that_forges_too_often_gets_429),
		SERVED(a_redelivery_is_told_and_counts_again),
		SERVED(malformed_deliveries_get_the_reason),
		SERVED(only_configured_forges_have_a_path),
		SERVED(new_secrets_replace_the_old_ones),
		cmocka_unit_test(what_would_accept_everybody_is_refused_at_the_start),
		cmocka_unit_test(a_fixed_clock_needs_the_word_test),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
