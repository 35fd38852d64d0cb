/* The server over real sockets. Nothing sleeps: a test waits for the answer, or for the end of the
 * connection. */
#include "base/log.h"
#include "server/http.h"
#include "tests/lib/talk.h"
#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static const struct http_token tokens[] = {{"eva", "tok-eva", 7, 1}, {"bob", "tok-bob", 7, 2}};

static void say(void *data, const struct http_request *request, struct http_response *response)
{
	const char *name = http_request_param(request, "name");
	char query[16] = "x-";
	(void)data;
	if (!http_request_query(request, "q", query, sizeof(query))) {
		assert(!query[0]);
		memcpy(query, "-", 2);
	}
	auto_buf struct buf text = BUF_INIT(1000);
	buf_addf(&text, "%s %s %s", http_request_method(request), name ? name : "-", query);
	http_respond_buf(response, 200, "text/plain", &text);
	http_respond_header(response, "X-Evil", "%s", "a\r\nX-Injected: b");
}

static void count_bytes(
	void *data, const struct http_request *request, struct http_response *response)
{
	size_t len = 0;
	(void)data;
	(void)http_request_body(request, &len);
	auto_buf struct buf text = BUF_INIT(100);
	buf_addf(&text, "%zu bytes from %s", len, http_request_address(request));
	http_respond_buf(response, 200, "text/plain", &text);
}

static void greet(void *data, const struct http_request *request, struct http_response *response)
{
	const struct http_token *token = http_request_token(request, tokens, ARRAY_LEN(tokens));
	token = token ? token : http_request_password(request, tokens, ARRAY_LEN(tokens));
	uid_t uid = 0;
	(void)data;
	if (http_request_peer_uid(request, &uid)) {
		http_respond(response, 200, "text/plain", uid == getuid() ? "me" : "somebody");
	} else if (token) {
		http_respond(response, 200, "text/plain", token->name);
	} else {
		http_request_auth_failed(request);
		http_respond_error(response, 401, "no \"token\"");
	}
}

static void forget(void *data, const struct http_request *request, struct http_response *response)
{
	(void)data;
	(void)request;
	(void)response;
}

static const struct http_route routes[] = {
	{"GET", "/say", say, 0, 0},
	{"GET", "/say/{name}", say, 0, 0},
	{"GET", "/say/{name}/twice", say, 0, 0},
	{"POST", "/count", count_bytes, 0, 0},
	{"GET", "/forget", forget, 0, 0},
};
static const struct http_route more_routes[] = {
	{"POST", "/say", say, 0, 0},
	{"POST", "/greet", greet, HTTP_GUARDED, 0},
};

static struct http_server *start(struct http_options options)
{
	const struct http_routes groups[] = {
		{routes, ARRAY_LEN(routes), NULL}, {more_routes, ARRAY_LEN(more_routes), NULL}};
	struct http_server *server = NULL;
	struct error err = {0};
	options.listen = options.listen ? options.listen : "127.0.0.1:0";
	if (!http_server_new(&options, groups, ARRAY_LEN(groups), &server, &err))
		fail_msg("%s", err.message);
	return server;
}

static void check_status(const char *answer, int status)
{
	char start[32];
	snprintf(start, sizeof(start), "HTTP/1.1 %d ", status);
	if (strncmp(answer, start, strlen(start)) != 0)
		fail_msg("wanted %d, got: %s", status, answer);
}

#define END      "Host: x\r\nConnection: close\r\n\r\n"
#define GET(uri) "GET " uri " HTTP/1.1\r\n" END

struct exchange {
	const char *request;
	int status;
	const char *has;
};

static void run(struct http_server *server, const struct exchange *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		auto_free char *answer = talk_ask(http_server_port(server), rows[i].request);
		check_status(answer, rows[i].status);
		if (!strstr(answer, rows[i].has))
			fail_msg("no '%s' in: %s", rows[i].has, answer);
		assert_null(strstr(answer, "\nX-Injected"));
	}
}

static void the_table_of_routes_decides(void **state)
{
	(void)state;
	static const struct exchange rows[] = {
		{GET("/say"), 200, "\r\n\r\nGET - -"},
		{GET("/say?q=a%20b"), 200, "GET - a b"},
		{GET("/say?q=%zz"), 200, "GET - -"},
		{GET("/say?q=0123456789abcdef"), 200, "GET - -"},
		{GET("/say/alpha"), 200, "GET alpha -"},
		{GET("/say/al%70ha/twice"), 200, "GET alpha -"},
		{GET("/say/a%2Fb"), 200, "GET a/b -"},
		{GET("/say/a%00b"), 404, "{\"error\": \""},
		{GET("/say/%4"), 404, ""},
		{GET("/say/"), 404, ""},
		{GET("/say//twice"), 404, ""},
		{GET("/say%00"), 404, ""},
		{GET("/"), 404, ""},
		{GET("/count"), 405, "Allow: POST\r\n"},
		{"DELETE /say HTTP/1.1\r\n" END, 405, "Allow: GET, HEAD, POST\r\n"},
		{"HEAD /say HTTP/1.1\r\n" END, 200, "Content-Length: 8\r\n"},
		{"POST /say HTTP/1.1\r\nContent-Length: 0\r\n" END, 200, "POST - -"},
		{GET("/forget"), 500, "error"},
	};
	auto_http_server struct http_server *server = start((struct http_options){0});
	run(server, rows, ARRAY_LEN(rows));
}

#define POST "POST /count HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"

static void framing_that_two_readers_could_read_differently_is_refused(void **state)
{
	(void)state;
	static const struct exchange rows[] = {
		{"GET /say HTTP/1.1\r\nConnection: close\r\n\r\n", 400, ""},
		{"GET /say HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", 400, ""},
		{POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, ""},
		{POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, ""},
		{POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
			400, ""},
		/* libmicrohttpd 1.0 refuses it by itself, before we see the request */
		{POST "Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
			MHD_VERSION < 0x01000000 ? 415 : 400, ""},
		{POST "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\na", 415, "encoding"},
		{POST "Content-Encoding: identity\r\nContent-Length: 1\r\n\r\na", 200, "1 bytes"},
		{POST "Content-Length: x\r\n\r\n", 400, ""},
	};
	auto_http_server struct http_server *server = start((struct http_options){0});
	run(server, rows, ARRAY_LEN(rows));
}

static void bodies_are_taken_up_to_the_limit(void **state)
{
	(void)state;
	static const struct exchange rows[] = {
		{POST "Content-Length: 8\r\n\r\n12345678", 200, "8 bytes from 127.0.0.1"},
		{POST "Content-Length: 9\r\n\r\n123456789", 413, "larger than 8 bytes"},
		{POST "Content-Length: 99999999999\r\n\r\n1", 413, "Connection: close"},
		{POST "Transfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n", 200,
			"8 bytes"},
		{POST "Transfer-Encoding: Chunked\r\n\r\n4\r\n1234\r\n5\r\n56789\r\n0\r\n\r\n", 413,
			"Connection: close"},
		{POST "Content-Length: 0\r\n\r\n", 200, "0 bytes"},
	};
	auto_http_server struct http_server *server = start((struct http_options){.body_max = 8});
	run(server, rows, ARRAY_LEN(rows));
}

static void an_endless_chunked_body_is_cut_off(void **state)
{
	(void)state;
	static char chunk[0x10000 + 16];
	auto_http_server struct http_server *server = start((struct http_options){.body_max = 8});
	int fd = talk_dial(http_server_port(server)), sent = 0;
	memcpy(chunk, "10000\r\n", 7);
	memset(chunk + 7, 'x', 0x10000);
	memcpy(chunk + 7 + 0x10000, "\r\n", 2);
	talk_put(fd, POST "Transfer-Encoding: chunked\r\n\r\n", strlen(POST) + 30);
	while (send(fd, chunk, 7 + 0x10000 + 2, MSG_NOSIGNAL) > 0)
		sent++;
	(void)close(fd);
	/* 1 MiB is read and dropped; what the kernels buffer comes on top. */
	assert_in_range(sent, 1, 1000);
}

static void bodies_of_all_requests_share_a_limit(void **state)
{
	(void)state;
	auto_http_server struct http_server *server =
		start((struct http_options){.body_max = 100, .memory_max = 12});
	auto_free char *one =
		talk_ask(http_server_port(server), POST "Content-Length: 8\r\n\r\n12345678");
	auto_free char *two =
		talk_ask(http_server_port(server), POST "Content-Length: 13\r\n\r\n1234567890123");
	auto_free char *three =
		talk_ask(http_server_port(server), POST "Content-Length: 8\r\n\r\n12345678");
	check_status(one, 200);
	check_status(two, 429);
	assert_non_null(strstr(two, "Retry-After: "));
	check_status(three, 200); /* what the others took was given back */
}

static void headers_are_bounded(void **state)
{
	(void)state;
	auto_http_server struct http_server *server = start((struct http_options){0});
	auto_buf struct buf many = BUF_INIT(1 << 20), large = BUF_INIT(1 << 20);
	buf_add_str(&many, "GET /say HTTP/1.1\r\n");
	for (int i = 0; i < HTTP_HEADERS_MAX; i++)
		buf_addf(&many, "X-%d: y\r\n", i);
	buf_add_str(&many, END);
	buf_add_str(&large, "GET /say HTTP/1.1\r\nX-Large: ");
	for (int i = 0; i < 60000; i++)
		buf_add_char(&large, 'y');
	buf_add_str(&large, "\r\n" END);
	auto_free char *first = talk_ask(http_server_port(server), many.text);
	auto_free char *second = talk_ask(http_server_port(server), large.text);
	check_status(first, 431);
	assert_true(!*second || strstr(second, " 431 ") != NULL);
}

/* The end of the connection is what is waited for; without the deadline this never returns. */
static void a_slow_request_is_cut_off(void **state)
{
	(void)state;
	static const char *const starts[] = {"", "GET /say HT", "GET /say HTTP/1.1\r\nHost: x\r\n",
		POST "Content-Length: 5\r\n\r\nab",
		POST "Transfer-Encoding: chunked\r\n\r\n5\r\na"};
	auto_http_server struct http_server *server =
		start((struct http_options){.timeout_ms = 100});
	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		auto_free char *answer = talk_ask(http_server_port(server), starts[i]);
		assert_null(strstr(answer, "HTTP/1.1 200"));
	}
}

static void a_byte_now_and_then_does_not_keep_a_connection(void **state)
{
	(void)state;
	auto_http_server struct http_server *server =
		start((struct http_options){.timeout_ms = 100});
	struct timeval pause = {.tv_usec = 10000};
	int fd = talk_dial(http_server_port(server));
	char byte = 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof(pause));
	talk_put(fd, "GET /say HTTP/1.1\r\nX-Slow: ", 28);
	while (recv(fd, &byte, 1, 0) < 0 && (errno == EAGAIN || errno == EINTR))
		talk_put(fd, "x", 1);
	(void)close(fd);
}

static void a_connection_serves_several_requests(void **state)
{
	(void)state;
	auto_http_server struct http_server *server = start((struct http_options){0});
	auto_free char *answer = talk_ask(
		http_server_port(server), "GET /say/a HTTP/1.1\r\nHost: x\r\n\r\n" GET("/say/b"));
	assert_non_null(strstr(answer, "GET a -"));
	assert_non_null(strstr(answer, "GET b -"));
}

static void a_stopping_server_answers_reads_only(void **state)
{
	(void)state;
	static const struct exchange rows[] = {
		{GET("/say"), 200, "GET"},
		{POST "Content-Length: 2\r\n\r\nab", 503, "Retry-After: "},
		{GET("/count"), 405, ""},
		{"POST /none HTTP/1.1\r\nContent-Length: 0\r\n" END, 404, ""},
	};
	auto_http_server struct http_server *server = start((struct http_options){0});
	http_server_stop(server);
	run(server, rows, ARRAY_LEN(rows));
}

static void a_server_ends_with_connections_open(void **state)
{
	(void)state;
	struct http_server *server = start((struct http_options){0});
	int idle = talk_dial(http_server_port(server)), half = talk_dial(http_server_port(server));
	auto_free char *answer = talk_ask(
		http_server_port(server), GET("/say")); /* so the others were accepted before */
	check_status(answer, 200);
	talk_put(half, POST "Content-Length: 9\r\n\r\nab", strlen(POST) + 24);
	http_server_free(server);
	auto_free char *first = talk_read(idle);
	auto_free char *second = talk_read(half);
	assert_string_equal(first, "");
	assert_string_equal(second, "");
}

/* A connection that has been answered, and stays. */
static int dial_and_stay(const struct http_server *server)
{
	int fd = talk_dial(http_server_port(server));
	char byte = 0;
	talk_put(fd, "GET /say HTTP/1.1\r\nHost: x\r\n\r\n", 30);
	assert_int_equal(recv(fd, &byte, 1, 0), 1);
	return fd;
}

static void a_connection_past_the_limit_waits_for_its_turn(void **state)
{
	(void)state;
	auto_http_server struct http_server *server =
		start((struct http_options){.connections = 2});
	int first = dial_and_stay(server), second = dial_and_stay(server);
	int third = talk_dial(http_server_port(server));
	talk_put(third, GET("/say/third"), strlen(GET("/say/third")));
	(void)close(first);
	auto_free char *answer = talk_read(third);
	check_status(answer, 200);
	(void)close(second);
}

static void an_address_has_as_many_connections_as_it_may(void **state)
{
	(void)state;
	auto_http_server struct http_server *server =
		start((struct http_options){.per_address = 2});
	int first = dial_and_stay(server), second = dial_and_stay(server);
	auto_free char *answer = talk_ask(http_server_port(server), GET("/say"));
	assert_string_equal(answer, "");
	(void)close(first);
	(void)close(second);
}

#define GREET(header)                                                                              \
	"POST /greet HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n" header     \
	"\r\n"

static void tokens_tell_who_asks(void **state)
{
	(void)state;
	static const struct exchange rows[] = {
		{GREET("Authorization: Bearer tok-eva\r\n"), 200, "eva"},
		{GREET("authorization: bearer  tok-bob\r\n"), 200, "bob"},
		{GREET("Authorization: Bearer tok-ev\r\n"), 401, "\"no \\\"token\\\"\""},
		{GREET("Authorization: Bearer tok-eva2\r\n"), 401, ""},
		{GREET("Authorization: Bearer \r\n"), 401, ""},
		{GREET("Authorization: Basic tok-eva\r\n"), 401, ""},
		{GREET("Authorization: Basic YW55Om5vYm9keQ==\r\n"), 401, ""},
		{GREET("Authorization: Basic dG9rLWV2YQ==\r\n"), 401, ""},
		{GREET("Authorization: Basic Og==\r\n"), 401, ""},
		{GREET("Authorization: Basic YW55OnRvay1ldmE\r\n"), 401, ""},
		{GREET("Authorization: Basic YW55OnRvay1ldmE=\r\n"), 200, "eva"},
		{GREET("Authorization: Bearer tok-eva\r\nAuthorization: Bearer tok-eva\r\n"), 401,
			""},
		{GREET(""), 401, ""},
	};
	auto_http_server struct http_server *server = start((struct http_options){0});
	run(server, rows, ARRAY_LEN(rows));
}

static void an_address_that_fails_too_often_has_to_wait(void **state)
{
	(void)state;
	static const struct exchange rows[] = {
		{GREET(""), 401, ""},
		{GREET("Authorization: Bearer tok-eva\r\n"), 200, "eva"},
		{GREET(""), 401, ""},
		{GREET("Authorization: Bearer tok-eva\r\n"), 429, "Retry-After: "},
		{GET("/say"), 200, "GET"},
	};
	auto_http_server struct http_server *server = start((struct http_options){.failures = 2});
	run(server, rows, ARRAY_LEN(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_of_routes_decides),
		cmocka_unit_test(framing_that_two_readers_could_read_differently_is_refused),
		cmocka_unit_test(bodies_are_taken_up_to_the_limit),
		cmocka_unit_test(an_endless_chunked_body_is_cut_off),
		cmocka_unit_test(bodies_of_all_requests_share_a_limit),
		cmocka_unit_test(headers_are_bounded),
		cmocka_unit_test(a_slow_request_is_cut_off),
		cmocka_unit_test(a_byte_now_and_then_does_not_keep_a_connection),
		cmocka_unit_test(a_connection_serves_several_requests),
		cmocka_unit_test(a_stopping_server_answers_reads_only),
		cmocka_unit_test(a_server_ends_with_connections_open),
		cmocka_unit_test(a_connection_past_the_limit_waits_for_its_turn),
		cmocka_unit_test(an_address_has_as_many_connections_as_it_may),
		cmocka_unit_test(tokens_tell_who_asks),
		cmocka_unit_test(an_address_that_fails_too_often_has_to_wait),
	};
	log_setup(-1, LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
