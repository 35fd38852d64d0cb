#include "base/clock.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "tests/lib/loopback.h"
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"

static int setup(void **state)
{
	struct error err;
	char *folder = NULL;
	if (!fs_scratch(NULL, "test-http", &folder, &err))
		return -1;
	*state = folder;
	return 0;
}

static int teardown(void **state)
{
	struct error err;
	auto_free char *folder = *state;
	return fs_remove_tree(folder, &err) ? 0 : -1;
}

static struct http_request get(const char *url)
{
	/* far beyond what a test takes, so that only tests about time-outs meet one */
	return (struct http_request){.method = "GET", .url = url, .timeout_ms = 60000};
}

static char *url_of(const char *scheme, int port, const char *path)
{
	return mem_printf("%s://127.0.0.1:%d%s", scheme, port, path);
}

static void an_answer_brings_status_and_body(void **state)
{
	(void)state;
	static const struct {
		const char *answer;
		int status;
		const char *body;
	} cases[] = {
		{OK_ANSWER, 200, "hello"},
		{"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nwait", 503, "wait"},
		{"HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
		{"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
			302, ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_loopback struct loopback *server = loopback_start(cases[i].answer, NULL);
		auto_free char *url = url_of("http", loopback_port(server), "/status");
		struct http_request request = get(url);
		struct http_answer answer;
		struct error err;
		assert_true(http_client_do(&request, &answer, &err));
		assert_int_equal(answer.status, cases[i].status);
		assert_string_equal(answer.body.text, cases[i].body);
		assert_false(answer.body_cut);
		http_answer_clear(&answer);
	}
}

static void method_headers_and_body_are_sent(void **state)
{
	(void)state;
	auto_loopback struct loopback *server = loopback_start(OK_ANSWER, NULL);
	auto_free char *url = url_of("http", loopback_port(server), "/hook?x=1");
	auto_buf struct buf sent = BUF_INIT(10000);
	struct http_answer answer;
	struct error err;
	struct http_request request = get(url);
	request.method = "POST";
	request.headers = (const char *const[]){"X-Test: yes", "Content-Type: text/plain", NULL};
	request.body = "a\0b";
	request.body_len = 3;
	assert_true(http_client_do(&request, &answer, &err));
	http_answer_clear(&answer);
	loopback_request(server, &sent);
	assert_memory_equal(sent.text, "POST /hook?x=1 HTTP/1.1\r\n", 25);
	assert_non_null(strstr(sent.text, "\r\nX-Test: yes\r\n"));
	assert_non_null(strstr(sent.text, "\r\nContent-Type: text/plain\r\n"));
	assert_null(strstr(sent.text, "Expect:"));
	assert_memory_equal(sent.text + sent.len - 3, "a\0b", 3);
}

static void a_head_request_waits_for_no_body(void **state)
{
	(void)state;
	auto_loopback struct loopback *server =
		loopback_start("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", NULL);
	auto_free char *url = url_of("http", loopback_port(server), "/");
	struct http_request request = get(url);
	struct http_answer answer;
	struct error err;
	request.method = "HEAD";
	assert_true(http_client_do(&request, &answer, &err));
	assert_int_equal(answer.status, 200);
	http_answer_clear(&answer);
}

static void a_body_is_read_up_to_its_limit(void **state)
{
	(void)state;
	struct error err;
	struct http_answer answer;
	auto_free char *body = mem_zero(200001, 1);
	memset(body, 'x', 200000);
	auto_free char *text = mem_printf("HTTP/1.1 200 OK\r\n\r\n%s", body);
	auto_loopback struct loopback *server = loopback_start(text, NULL);
	auto_free char *url = url_of("http", loopback_port(server), "/");
	struct http_request request = get(url);
	assert_true(http_client_do(&request, &answer, &err));
	assert_true(answer.body_cut);
	assert_int_equal(answer.status, 200);
	assert_int_equal(answer.body.len, 65536);
	http_answer_clear(&answer);
	request.max_body = 200000;
	assert_true(http_client_do(&request, &answer, &err));
	assert_false(answer.body_cut);
	assert_int_equal(answer.body.len, 200000);
	http_answer_clear(&answer);
}

static void assert_fails(const struct http_request *request, enum error_code code, const char *part)
{
	struct http_answer answer;
	struct error err;
	assert_false(http_client_do(request, &answer, &err));
	assert_int_equal(err.code, code);
	if (!strstr(err.message, part))
		fail_msg("'%s' lacks '%s'", err.message, part);
	http_answer_clear(&answer);
}

static void a_silent_server_is_a_timeout(void **state)
{
	(void)state;
	auto_loopback struct loopback *server = loopback_start(NULL, NULL);
	auto_free char *url = url_of("http", loopback_port(server), "/token/hidden");
	auto_free char *host = mem_printf("'127.0.0.1:%d'", loopback_port(server));
	struct http_request request = get(url);
	request.timeout_ms = 100;
	assert_fails(&request, ERR_TIMEOUT, host);
}

static void a_refused_connection_is_unreachable(void **state)
{
	(void)state;
	auto_fd int fd = -1;
	auto_free char *url = url_of("http", loopback_refused_port(&fd), "/");
	struct http_request request = get(url);
	assert_fails(&request, ERR_UNREACHABLE, "127.0.0.1");
	request.connect_only = true;
	assert_fails(&request, ERR_UNREACHABLE, "127.0.0.1");
}

static void addresses_that_we_do_not_speak_are_invalid(void **state)
{
	(void)state;
	struct http_request file = get("file:///etc/passwd");
	struct http_request broken = get("http://[::1");
	assert_fails(&file, ERR_INVALID, "");
	assert_fails(&broken, ERR_INVALID, "");
}

static void a_server_that_hangs_up_is_unreachable(void **state)
{
	(void)state;
	auto_loopback struct loopback *server = loopback_start("", NULL);
	auto_free char *url = url_of("http", loopback_port(server), "/");
	struct http_request request = get(url);
	assert_fails(&request, ERR_UNREACHABLE, "");
}

static void proxies_of_the_environment_have_no_say(void **state)
{
	(void)state;
	auto_fd int fd = -1;
	auto_free char *proxy = url_of("http", loopback_refused_port(&fd), "");
	auto_loopback struct loopback *server = loopback_start(OK_ANSWER, NULL);
	auto_free char *url = url_of("http", loopback_port(server), "/");
	struct http_request request = get(url);
	struct http_answer answer;
	struct error err;
	assert_int_equal(setenv("http_proxy", proxy, 1), 0);
	bool good = http_client_do(&request, &answer, &err);
	assert_int_equal(unsetenv("http_proxy"), 0);
	assert_true(good);
	http_answer_clear(&answer);
}

static void a_unix_socket_is_as_good_as_a_port(void **state)
{
	auto_free char *path = mem_printf("%s/socket", (const char *)*state);
	auto_loopback struct loopback *server = loopback_start(OK_ANSWER, path);
	assert_non_null(server);
	struct http_request request = get("http://aviary/api");
	struct http_answer answer;
	struct error err;
	request.unix_socket = path;
	assert_true(http_client_do(&request, &answer, &err));
	assert_string_equal(answer.body.text, "hello");
	http_answer_clear(&answer);
}

static void a_certificate_is_verified_against_the_authority(void **state)
{
	loopback_certificate(*state, 30);
	auto_loopback struct loopback *server = loopback_start_tls(*state);
	auto_free char *url = url_of("https", loopback_port(server), "/");
	auto_free char *ca = mem_printf("%s/cert.pem", (const char *)*state);
	struct http_request request = get(url);
	struct http_answer answer;
	struct error err;
	assert_fails(&request, ERR_AUTH, "certificate");
	request.ca_file = ca;
	assert_true(http_client_do(&request, &answer, &err));
	assert_int_equal(answer.status, 200);
	assert_int_equal(answer.certificate_expires, 0); /* nobody asked */
	http_answer_clear(&answer);
}

static void a_connection_alone_tells_when_the_certificate_expires(void **state)
{
	loopback_certificate(*state, 30);
	auto_loopback struct loopback *server = loopback_start_tls(*state);
	auto_free char *url = url_of("https", loopback_port(server), "");
	auto_free char *ca = mem_printf("%s/cert.pem", (const char *)*state);
	struct http_request request = get(url);
	struct http_answer answer;
	struct error err;
	request.ca_file = ca;
	request.connect_only = true;
	request.want_certificate = true;
	assert_true(http_client_do(&request, &answer, &err));
	int64_t days = (answer.certificate_expires - clock_wall_s()) / 86400;
	assert_in_range(days, 29, 30);
	http_answer_clear(&answer);
}

struct tally {
	size_t good, bad;
};

static void count_answer(void *data, const struct http_answer *answer)
{
	struct tally *tally = data;
	if (answer->err.code == ERR_NONE && answer->status == 200)
		tally->good++;
	else
		tally->bad++;
}

static void many_requests_share_one_thread(void **state)
{
	(void)state;
	auto_loopback struct loopback *server = loopback_start(OK_ANSWER, NULL);
	auto_free char *url = url_of("http", loopback_port(server), "/");
	auto_http_client struct http_client *client = NULL;
	struct http_request request = get(url);
	struct http_request invalid = get("gopher://x");
	struct tally tally = {0};
	struct error err;
	assert_true(http_client_new(&client, &err));
	for (int i = 0; i < 250; i++)
		http_client_start(client, i % 50 ? &request : &invalid, count_answer, &tally);
	while (http_client_run(client, 1000))
		;
	assert_int_equal(tally.good, 245);
	assert_int_equal(tally.bad, 5);
}

static void freeing_ends_what_is_in_flight_without_a_call(void **state)
{
	(void)state;
	auto_loopback struct loopback *server = loopback_start(NULL, NULL);
	auto_free char *url = url_of("http", loopback_port(server), "/");
	struct http_client *client = NULL;
	struct http_request request = get(url);
	struct tally tally = {0};
	struct error err;
	assert_true(http_client_new(&client, &err));
	for (int i = 0; i < 120; i++)
		http_client_start(client, &request, count_answer, &tally);
	assert_int_equal(http_client_run(client, 0), 120);
	http_client_free(client);
	assert_int_equal(tally.good + tally.bad, 0);
}

static void waking_ends_a_wait(void **state)
{
	(void)state;
	auto_http_client struct http_client *client = NULL;
	struct error err;
	assert_true(http_client_new(&client, &err));
	http_client_wake(client);
	assert_int_equal(http_client_run(client, 3600000), 0); /* else the test hangs */
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_answer_brings_status_and_body),
		CASE(method_headers_and_body_are_sent),
		CASE(a_head_request_waits_for_no_body),
		CASE(a_body_is_read_up_to_its_limit),
		CASE(a_silent_server_is_a_timeout),
		CASE(a_refused_connection_is_unreachable),
		CASE(addresses_that_we_do_not_speak_are_invalid),
		CASE(a_server_that_hangs_up_is_unreachable),
		CASE(proxies_of_the_environment_have_no_say),
		CASE(a_unix_socket_is_as_good_as_a_port),
		CASE(a_certificate_is_verified_against_the_authority),
		CASE(a_connection_alone_tells_when_the_certificate_expires),
		CASE(many_requests_share_one_thread),
		CASE(freeing_ends_what_is_in_flight_without_a_call),
		CASE(waking_ends_a_wait),
	};
	(void)signal(SIGPIPE, SIG_IGN); /* as the service does: libcurl writes to lost peers */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
