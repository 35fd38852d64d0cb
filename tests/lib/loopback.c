#include "tests/lib/loopback.h"
#include "base/exec.h"
#include "base/fs.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MAX 65536

struct loopback {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t ready; /* port is known */
	int stop[2];
	int listener;
	int port;
	char *answer;
	char *folder;
	struct buf request;
	size_t count;
};

static void need(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	abort();
}

static struct sockaddr_in loopback_address(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static int bind_port(int *port_out)
{
	struct sockaddr_in address = loopback_address();
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	need(fd >= 0, "socket");
	need(bind(fd, (struct sockaddr *)(void *)&address, sizeof(address)) == 0, "bind");
	need(getsockname(fd, (struct sockaddr *)(void *)&address, &size) == 0, "getsockname");
	*port_out = ntohs(address.sin_port);
	return fd;
}

static int bind_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	need(fd >= 0 && strlen(path) < sizeof(address.sun_path), "socket");
	memcpy(address.sun_path, path, strlen(path) + 1);
	need(bind(fd, (struct sockaddr *)(void *)&address, sizeof(address)) == 0, "bind");
	return fd;
}

/* Is the request whole: headers and as much body as they say? */
static bool is_whole(const struct buf *request)
{
	const char *end = strstr(request->text, "\r\n\r\n");
	const char *length = strcasestr(request->text, "\r\nContent-Length:");
	if (!end)
		return false;
	size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
	return request->len >= (size_t)(end - request->text) + 4 + body;
}

static bool wait_readable(const struct loopback *server, int fd)
{
	struct pollfd fds[2] = {
		{.fd = fd, .events = POLLIN}, {.fd = server->stop[0], .events = POLLIN}};
	return poll(fds, 2, -1) > 0 && !fds[1].revents;
}

static void send_all(int fd, const char *at)
{
	for (size_t left = strlen(at); left;) {
		ssize_t done = send(fd, at, left, MSG_NOSIGNAL);
		if (done <= 0)
			return;
		at += done;
		left -= (size_t)done;
	}
}

static void serve_one(struct loopback *server, int fd)
{
	char chunk[4096];
	auto_buf struct buf request = BUF_INIT(REQUEST_MAX);
	while (!is_whole(&request) && wait_readable(server, fd)) {
		ssize_t got = recv(fd, chunk, sizeof(chunk), 0);
		if (got <= 0)
			return;
		buf_add(&request, chunk, (size_t)got);
	}
	need(pthread_mutex_lock(&server->lock) == 0, "lock");
	buf_truncate(&server->request, 0);
	buf_add(&server->request, request.text, request.len);
	server->count++;
	need(pthread_mutex_unlock(&server->lock) == 0, "unlock");
	send_all(fd, server->answer);
	(void)shutdown(fd, SHUT_WR); /* the client may be gone */
	while (wait_readable(server, fd) && recv(fd, chunk, sizeof(chunk), 0) > 0)
		; /* closing with unread bytes would reset the connection */
}

static void *serve(void *data)
{
	struct loopback *server = data;
	while (wait_readable(server, server->answer ? server->listener : -1)) {
		auto_fd int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			serve_one(server, fd);
	}
	return NULL;
}

static struct loopback *server_new(void)
{
	struct loopback *server = mem_zero(1, sizeof(*server));
	server->listener = -1;
	buf_init(&server->request, REQUEST_MAX);
	need(pipe2(server->stop, O_CLOEXEC) == 0, "pipe");
	need(pthread_mutex_init(&server->lock, NULL) == 0, "lock");
	need(pthread_cond_init(&server->ready, NULL) == 0, "condition");
	return server;
}

struct loopback *loopback_start(const char *answer, const char *unix_path)
{
	struct loopback *server = server_new();
	server->answer = mem_dup_str(answer);
	server->listener = unix_path ? bind_unix(unix_path) : bind_port(&server->port);
	need(listen(server->listener, 64) == 0, "listen");
	need(pthread_create(&server->thread, NULL, serve, server) == 0, "thread");
	return server;
}

static void hear_port(void *data, const char *bytes, size_t len)
{
	struct loopback *server = data;
	need(pthread_mutex_lock(&server->lock) == 0, "lock");
	buf_add(&server->request, bytes, len);
	const char *line = strstr(server->request.text, "ACCEPT 127.0.0.1:");
	if (line && strchr(line, '\n') && !server->port) {
		server->port = (int)strtol(line + 17, NULL, 10);
		need(pthread_cond_signal(&server->ready) == 0, "signal");
	}
	need(pthread_mutex_unlock(&server->lock) == 0, "unlock");
}

static const char *const tool_environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", NULL};

static void *serve_tls(void *data)
{
	struct loopback *server = data;
	struct exec_result result;
	struct error err;
	const char *const argv[] = {"openssl", "s_server", "-accept", "127.0.0.1:0", "-cert",
		"cert.pem", "-key", "key.pem", "-www", NULL};
	struct exec_request request = EXEC_REQUEST_INIT;
	request.argv = argv;
	request.environ_ = tool_environment;
	request.folder = server->folder;
	request.cancel_fd = server->stop[0];
	request.output = hear_port;
	request.output_data = server;
	need(exec_run(&request, &result, &err) && result.cancelled, "openssl s_server");
	exec_result_clear(&result);
	return NULL;
}

struct loopback *loopback_start_tls(const char *folder)
{
	struct loopback *server = server_new();
	server->folder = mem_dup_str(folder);
	need(pthread_create(&server->thread, NULL, serve_tls, server) == 0, "thread");
	need(pthread_mutex_lock(&server->lock) == 0, "lock");
	while (!server->port)
		need(pthread_cond_wait(&server->ready, &server->lock) == 0, "wait");
	need(pthread_mutex_unlock(&server->lock) == 0, "unlock");
	return server;
}

void loopback_stop(struct loopback *server)
{
	if (!server)
		return;
	need(write(server->stop[1], "x", 1) == 1, "stop");
	need(pthread_join(server->thread, NULL) == 0, "join");
	fs_close_at(&server->listener);
	fs_close_at(&server->stop[0]);
	fs_close_at(&server->stop[1]);
	buf_clear(&server->request);
	(void)pthread_mutex_destroy(&server->lock); /* nobody holds it */
	(void)pthread_cond_destroy(&server->ready); /* nobody waits */
	free(server->answer);
	free(server->folder);
	free(server);
}

int loopback_port(const struct loopback *server)
{
	return server->port;
}

void loopback_request(struct loopback *server, struct buf *out)
{
	need(pthread_mutex_lock(&server->lock) == 0, "lock");
	buf_add(out, server->request.text, server->request.len);
	need(pthread_mutex_unlock(&server->lock) == 0, "unlock");
}

size_t loopback_count(struct loopback *server)
{
	need(pthread_mutex_lock(&server->lock) == 0, "lock");
	size_t count = server->count;
	need(pthread_mutex_unlock(&server->lock) == 0, "unlock");
	return count;
}

int loopback_refused_port(int *fd_out)
{
	int port = 0;
	*fd_out = bind_port(&port); /* bound and not listening */
	return port;
}

void loopback_certificate(const char *folder, int days)
{
	struct exec_result result;
	struct error err;
	auto_free char *days_text = mem_printf("%d", days);
	const char *const argv[] = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
		"ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
		"-days", days_text, "-subj", "/CN=localhost", "-addext",
		"subjectAltName=DNS:localhost,IP:127.0.0.1", NULL};
	struct exec_request request = EXEC_REQUEST_INIT;
	request.argv = argv;
	request.environ_ = tool_environment;
	request.folder = folder;
	need(exec_run(&request, &result, &err) && result.exit_status == 0, "openssl req");
	exec_result_clear(&result);
}
