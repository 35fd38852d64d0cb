/* Where the server listens, and who it sees at the other end. */
#include "base/log.h"
#include "server/http.h"
#include "tests/lib/talk.h"
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define REQUEST "GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void tell_peer(
	void *data, const struct http_request *request, struct http_response *response)
{
	uid_t uid = 0;
	(void)data;
	bool known = http_request_peer_uid(request, &uid);
	auto_buf struct buf text = BUF_INIT(100);
	buf_addf(&text, "%s %s", http_request_address(request),
		!known            ? "-"
		: uid == getuid() ? "me"
				  : "somebody");
	http_respond_buf(response, 200, "text/plain", &text);
}

static const struct http_route route = {"GET", "/peer", tell_peer, 0, 0};

static struct http_server *start(const char *listen_text, const char *path)
{
	const struct http_routes group = {&route, 1, NULL};
	struct http_options options = {.listen = listen_text, .socket_path = path};
	struct http_server *server = NULL;
	struct error err = {0};
	if (!http_server_new(&options, &group, 1, &server, &err))
		fail_msg("%s", err.message);
	return server;
}

static void the_unix_socket_is_private_and_knows_its_peer(void **state)
{
	(void)state;
	char folder[] = "/tmp/aviary-http-XXXXXX";
	struct stat info;
	assert_non_null(mkdtemp(folder));
	auto_free char *path = mem_printf("%s/s", folder);
	for (int round = 0; round < 2; round++) {
		struct http_server *server = start("127.0.0.1:0", path);
		assert_return_code(stat(path, &info), errno);
		assert_int_equal(info.st_mode & 0777, 0600);
		int fd = talk_dial_unix(path);
		talk_put(fd, REQUEST, strlen(REQUEST));
		auto_free char *answer = talk_read(fd);
		assert_non_null(strstr(answer, "socket me"));
		http_server_free(server);
		assert_int_equal(access(path, F_OK), -1);
	}
	assert_return_code(rmdir(folder), errno);
}

static bool try_start(const char *listen, const char *path, struct error *err)
{
	struct http_options options = {.listen = listen, .socket_path = path};
	struct http_server *server = NULL;
	memset(err, 0, sizeof(*err));
	bool good = http_server_new(&options, NULL, 0, &server, err);
	http_server_free(server);
	return good;
}

static void a_stale_socket_is_replaced_and_a_live_one_is_not(void **state)
{
	(void)state;
	char folder[] = "/tmp/aviary-http-XXXXXX";
	struct error err;
	assert_non_null(mkdtemp(folder));
	auto_free char *path = mem_printf("%s/s", folder);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_return_code(bind(fd, (const struct sockaddr *)&address, sizeof(address)), errno);
	assert_return_code(listen(fd, 1), errno);
	assert_false(try_start(NULL, path, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	(void)close(fd);
	assert_true(try_start(NULL, path, &err));
	assert_int_equal(access(path, F_OK), -1);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
	assert_false(try_start(NULL, path, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_return_code(unlink(path), errno);
	assert_return_code(rmdir(folder), errno);
}

static void addresses_that_are_none_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"127.0.0.1", ":80", "127.0.0.1:", "127.0.0.1:x",
		"127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "[::1]80", "[]:80",
		"127.0.0.1:080000"};
	struct error err;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (try_start(bad[i], NULL, &err))
			fail_msg("'%s' passed", bad[i]);
		assert_int_equal(err.code, ERR_INVALID);
	}
	char long_path[300];
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_false(try_start(NULL, long_path, &err));
	assert_int_equal(err.code, ERR_INVALID);
}

static void a_port_in_use_is_told(void **state)
{
	(void)state;
	auto_http_server struct http_server *server = start("127.0.0.1:0", NULL);
	auto_free char *listen = mem_printf("127.0.0.1:%u", http_server_port(server));
	struct error err;
	assert_false(try_start(listen, NULL, &err));
	assert_int_equal(err.code, ERR_SYSTEM);
	assert_non_null(strstr(err.message, listen));
	assert_non_null(strstr(err.hint, "another program"));
}

static void it_listens_on_ipv6_too(void **state)
{
	(void)state;
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	auto_http_server struct http_server *server = NULL;
	const struct http_routes group = {&route, 1, NULL};
	struct error err = {0};
	struct http_options options = {.listen = "[::1]:0"};
	if (!http_server_new(&options, &group, 1, &server, &err)) {
		print_message("skipped: no IPv6 here: %s\n", err.message);
		skip();
	}
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	address.sin6_port = htons((uint16_t)http_server_port(server));
	assert_return_code(connect(fd, (const struct sockaddr *)&address, sizeof(address)), errno);
	talk_put(fd, REQUEST, strlen(REQUEST));
	auto_free char *answer = talk_read(fd);
	assert_non_null(strstr(answer, "::1 -"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_unix_socket_is_private_and_knows_its_peer),
		cmocka_unit_test(a_stale_socket_is_replaced_and_a_live_one_is_not),
		cmocka_unit_test(addresses_that_are_none_are_refused),
		cmocka_unit_test(a_port_in_use_is_told),
		cmocka_unit_test(it_listens_on_ipv6_too),
	};
	log_setup(-1, LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
