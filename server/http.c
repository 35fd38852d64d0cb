#include "server/http.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "server/http_private.h"
#include <arpa/inet.h>
#include <strings.h>
#include <unistd.h>

#define HEADER_MEMORY  (32u << 10)
#define POOL_THREADS   2u /* the loop and the workers need the other cores */
#define FIRST_CAPACITY 4096

/* ---- one request ------------------------------------------------------------------------------
 */

static enum MHD_Result add_header(void *data, enum MHD_ValueKind kind, const char *name,
	size_t name_len, const char *value, size_t value_len)
{
	struct http_request *request = data;
	(void)kind; /* only headers are asked for */
	if (request->header_count == HTTP_HEADERS_MAX || strlen(name) != name_len ||
		(value && strlen(value) != value_len)) {
		request->bad_headers = true;
		return MHD_NO;
	}
	request->headers[request->header_count++] = (struct http_header){name, value ? value : ""};
	return MHD_YES;
}

static void read_address(struct http_request *request)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *address = info ? info->client_addr : NULL;
	memcpy(request->address_text, "socket", 7);
	if (address && address->sa_family == AF_INET) {
		const struct sockaddr_in *four = (const void *)address;
		request->address.s6_addr[10] = request->address.s6_addr[11] = 0xFF;
		memcpy(&request->address.s6_addr[12], &four->sin_addr, 4);
		request->has_address = true;
	} else if (address && address->sa_family == AF_INET6) {
		request->address = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
		request->has_address = true;
	}
	if (!request->has_address)
		return;
	bool mapped = IN6_IS_ADDR_V4MAPPED(&request->address);
	const void *bytes =
		mapped ? &request->address.s6_addr[12] : (const void *)&request->address;
	/* The text has room for every address. */
	(void)inet_ntop(mapped ? AF_INET : AF_INET6, bytes, request->address_text,
		sizeof(request->address_text));
}

static unsigned count_header(const struct http_request *request, const char *name)
{
	unsigned count = 0;
	for (size_t i = 0; i < request->header_count; i++)
		count += !strcasecmp(request->headers[i].name, name);
	return count;
}

/* What reaches us in spite of the library and lets two readers see two different requests. */
static bool framing_is_sound(const struct http_request *request)
{
	unsigned lengths = count_header(request, "Content-Length");
	unsigned encodings = count_header(request, "Transfer-Encoding");
	unsigned hosts = count_header(request, "Host");
	bool old = !strcmp(request->version, "HTTP/1.0");
	return lengths <= 1 && encodings <= 1 && !(lengths && encodings) &&
	       (hosts == 1 || (old && !hosts));
}

static bool encoding_is(const struct http_request *request, const char *name, const char *plain)
{
	const char *value = http_request_header(request, name);
	return !value || !strcasecmp(value, plain);
}

static uint64_t declared_length(const struct http_request *request)
{
	const char *value = http_request_header(request, "Content-Length");
	return value ? strtoull(value, NULL, 10) : 0;
}

static void refuse_later(struct http_response *response, int status, const char *why)
{
	http_respond_error(response, status, "%s", why);
	http_respond_header(response, "Retry-After", "%s", HTTP_RETRY_AFTER);
}

static void check_route(struct http_request *request)
{
	const struct http_server *server = request->server;
	struct http_response *response = &request->response;
	auto_buf struct buf allow = BUF_INIT(256);
	int found = http_route_find(request, server->groups, server->group_count, &allow);
	if (found == 404)
		return http_respond_error(response, 404, "there is nothing at this path");
	if (found == 405) {
		http_respond_error(response, 405, "this path answers %s only", allow.text);
		return http_respond_header(response, "Allow", "%s", allow.text);
	}
	if (atomic_load(&server->stopping) && strcmp(request->route->method, "GET") != 0)
		refuse_later(response, 503, "the service is stopping");
}

static void check_body_headers(struct http_request *request)
{
	struct http_response *response = &request->response;
	if (declared_length(request) > request->server->options.body_max)
		return http_respond_error(response, 413, "the body is larger than %zu bytes",
			request->server->options.body_max);
	if (!encoding_is(request, "Transfer-Encoding", "chunked"))
		return http_respond_error(
			response, 415, "no transfer encoding but 'chunked' is taken");
	if (!encoding_is(request, "Content-Encoding", "identity"))
		return http_respond_error(response, 415, "no content encoding is taken");
}

static void check_address(struct http_request *request)
{
	if (!(request->route->flags & HTTP_GUARDED) || !request->has_address)
		return;
	unsigned wait_s = http_failures_blocked(
		&request->server->failures, &request->address, clock_mono_ms());
	if (!wait_s)
		return;
	http_respond_error(&request->response, 429,
		"too many failed authentications from this address: check the secret");
	http_respond_header(&request->response, "Retry-After", "%u", wait_s);
}

/* What can be said from the headers alone, in the order of the answers; sets the response or not.
 */
static void check_headers(struct http_request *request)
{
	static void (*const checks[])(struct http_request *) = {
		check_route, check_body_headers, check_address};
	if (request->bad_headers)
		http_respond_error(
			&request->response, 431, "there are too many headers, or one has a NUL");
	else if (!framing_is_sound(request))
		http_respond_error(&request->response, 400,
			"'Host', 'Content-Length' and 'Transfer-Encoding' contradict each other");
	for (size_t i = 0; i < ARRAY_LEN(checks) && !request->response.status; i++)
		checks[i](request);
	request->response.close = request->response.status != 0;
}

static struct http_watch *watch_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info ? info->socket_context : NULL;
}

static void add_reply_headers(struct MHD_Response *reply, const struct http_response *response)
{
	/* A header that cannot be added (the name or value is bad) is our own mistake, and the
	 * answer is good without it. */
	if (response->content_type)
		(void)MHD_add_response_header(reply, "Content-Type", response->content_type);
	if (response->close)
		(void)MHD_add_response_header(reply, "Connection", "close");
	(void)MHD_add_response_header(reply, "Cache-Control", "no-store");
	(void)MHD_add_response_header(reply, "X-Content-Type-Options", "nosniff");
	for (size_t i = 0; i < response->header_count; i++)
		(void)MHD_add_response_header(
			reply, response->headers[i].name, response->headers[i].value);
}

static enum MHD_Result send_response(struct http_request *request)
{
	struct http_response *response = &request->response;
	if (!response->status || buf_overflowed(&response->body))
		http_respond_error(response, 500, "the answer is missing or too large");
	size_t len = response->body.len;
	struct MHD_Response *reply = MHD_create_response_from_buffer_with_free_callback(
		len, buf_steal(&response->body), free);
	if (!reply)
		return MHD_NO;
	add_reply_headers(reply, response);
	struct http_watch *watch = watch_of(request->connection);
	if (watch)
		http_watch_turn(&request->server->watches, watch, true);
	enum MHD_Result queued =
		MHD_queue_response(request->connection, (unsigned)response->status, reply);
	MHD_destroy_response(reply);
	return queued;
}

/* A small body is read before it is refused: closing on unread bytes resets the connection, and the
 * sender's log would show that instead of our answer. One in an encoding that nobody can take apart
 * has no end. */
static bool can_drain(const struct http_request *request)
{
	return declared_length(request) <= HTTP_DRAIN_MAX &&
	       encoding_is(request, "Transfer-Encoding", "chunked");
}

static enum MHD_Result begin(struct http_request *request)
{
	(void)MHD_get_connection_values_n(
		request->connection, MHD_HEADER_KIND, add_header, request); /* count is ours */
	read_address(request);
	check_headers(request);
	if (request->response.status && !can_drain(request))
		return send_response(request);
	return MHD_YES;
}

static enum MHD_Result drop(struct http_request *request, size_t len)
{
	request->dropped += len;
	return request->dropped > HTTP_DRAIN_MAX ? MHD_NO : MHD_YES;
}

static enum MHD_Result receive(struct http_request *request, const char *bytes, size_t len)
{
	struct http_server *server = request->server;
	struct http_response *response = &request->response;
	if (response->status)
		return drop(request, len);
	if (request->body.len + len > server->options.body_max) {
		http_respond_error(response, 413, "the body is larger than %zu bytes",
			server->options.body_max);
	} else if (atomic_fetch_add(&server->memory, len) + len > server->options.memory_max) {
		atomic_fetch_sub(&server->memory, len);
		refuse_later(response, 429, "too many bodies arrive at the same time");
	} else {
		request->charged += len;
		buf_add(&request->body, bytes, len);
		return MHD_YES;
	}
	response->close = true;
	return drop(request, len);
}

static struct http_request *request_new(struct http_server *server,
	struct MHD_Connection *connection, const char *url, const char *method)
{
	struct http_request *request = mem_zero(1, sizeof(*request));
	request->server = server;
	request->connection = connection;
	request->path = url;
	request->method = method;
	/* Secrets of old Gitea versions and tokens of forms stand in bodies. */
	buf_init_secret(&request->body, server->options.body_max);
	buf_init(&request->response.body, HTTP_ANSWER_MAX);
	return request;
}

static enum MHD_Result answer(void *data, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_len,
	void **context)
{
	struct http_request *request = *context;
	if (!request) {
		request = *context = request_new(data, connection, url, method);
		request->version = version;
		return begin(request);
	}
	if (*upload_len) {
		size_t len = *upload_len;
		*upload_len = 0;
		return receive(request, upload, len);
	}
	if (!request->response.status)
		request->route->handler(request->data, request, &request->response);
	return send_response(request);
}

static void completed(void *data, struct MHD_Connection *connection, void **context,
	enum MHD_RequestTerminationCode how)
{
	struct http_server *server = data;
	struct http_request *request = *context;
	struct http_watch *watch = watch_of(connection);
	(void)how; /* sent or lost: the request is over */
	if (watch)
		http_watch_turn(&server->watches, watch, false);
	if (!request)
		return;
	atomic_fetch_sub(&server->memory, request->charged);
	buf_clear(&request->body);
	http_response_clear(&request->response);
	for (size_t i = 0; i < request->param_count; i++)
		free(request->params[i].value);
	free(request);
	*context = NULL;
}

/* ---- the server -------------------------------------------------------------------------------
 */

static void connection_changed(void *data, struct MHD_Connection *connection, void **context,
	enum MHD_ConnectionNotificationCode what)
{
	struct http_server *server = data;
	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (*context)
			http_watch_remove(&server->watches, *context);
		*context = NULL;
		return;
	}
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	*context = info ? http_watch_add(&server->watches, info->connect_fd) : NULL;
}

/* Percent escapes stay: %00 and %2F must not change what a path says before it is split. */
static size_t keep_escapes(void *data, struct MHD_Connection *connection, char *text)
{
	(void)data;
	(void)connection;
	return strlen(text);
}

PRINTF(2, 0) static void log_library(void *data, const char *format, va_list args)
{
	auto_buf struct buf text = BUF_INIT(512);
	(void)data;
	buf_addv(&text, format, args);
	log_debug("libmicrohttpd", LOG_STR("text", text.text));
}

/* On a listening socket, one thread; or, with fd -1, for connections of an acceptor. */
static struct MHD_Daemon *start_daemon(struct http_server *server, int fd)
{
	const struct http_options *options = &server->options;
	struct MHD_OptionItem listener[] = {
		{fd < 0 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_LISTEN_SOCKET,
			fd < 0 ? (intptr_t)POOL_THREADS : fd, NULL},
		{MHD_OPTION_END, 0, NULL}};
	return MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG |
					(fd < 0 ? MHD_USE_NO_LISTEN_SOCKET : 0),
		0, NULL, NULL, answer, server, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, connection_changed, server,
		MHD_OPTION_NOTIFY_COMPLETED, completed, server, MHD_OPTION_UNESCAPE_CALLBACK,
		keep_escapes, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_MEMORY,
		MHD_OPTION_CONNECTION_LIMIT, options->connections,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, options->per_address, MHD_OPTION_ARRAY,
		listener, MHD_OPTION_END);
}

static bool open_tcp(struct http_server *server, const char *listen_text, struct error *err)
{
	auto_free char *name = NULL;
	auto_fd int fd = -1;
	if (!http_listen_tcp(listen_text, &fd, &name, &server->port, err))
		return false;
	server->tcp = start_daemon(server, -1);
	if (!server->tcp)
		return error_set(err, ERR_SYSTEM, "cannot start answering on '%s'", name);
	if (!http_acceptor_start(
		    &server->acceptor, fd, server->tcp, server->options.connections, err))
		return false;
	fd = -1;
	log_info("listening", LOG_STR("address", name));
	return true;
}

static bool open_local(struct http_server *server, const char *path, struct error *err)
{
	int fd = -1;
	if (!http_listen_unix(path, &fd, err))
		return false;
	server->socket_path = mem_dup_str(path);
	server->local = start_daemon(server, fd);
	if (!server->local) {
		(void)close(fd); /* nothing was accepted yet */
		return error_set(err, ERR_SYSTEM, "cannot start answering on '%s'", path);
	}
	log_info("listening", LOG_STR("address", path));
	return true;
}

static void fill_defaults(struct http_options *options)
{
	options->body_max = options->body_max ? options->body_max : HTTP_BODY_MAX;
	options->memory_max = options->memory_max ? options->memory_max : 4 * options->body_max;
	options->connections = options->connections ? options->connections : HTTP_CONNECTIONS;
	options->timeout_ms = options->timeout_ms ? options->timeout_ms : HTTP_REQUEST_TIMEOUT_MS;
	options->failures = options->failures ? options->failures : HTTP_FAILURES_MAX;
}

bool http_server_new(const struct http_options *options, const struct http_routes *groups,
	size_t count, struct http_server **server_out, struct error *err)
{
	auto_http_server struct http_server *server = mem_zero(1, sizeof(*server));
	server->options = *options;
	fill_defaults(&server->options);
	server->groups = mem_zero(count, sizeof(*groups));
	for (size_t i = 0; i < count; i++)
		server->groups[i] = groups[i];
	server->group_count = count;
	server->failures.limit = server->options.failures;
	pthread_mutex_init(&server->failures.lock, NULL);
	if (!http_watches_start(&server->watches, server->options.timeout_ms, err))
		return false;
	if (options->listen && *options->listen && !open_tcp(server, options->listen, err))
		return false;
	if (options->socket_path && *options->socket_path &&
		!open_local(server, options->socket_path, err))
		return false;
	server->options.listen = server->options.socket_path = NULL;
	*server_out = STEAL(server);
	return true;
}

unsigned http_server_port(const struct http_server *server)
{
	return server->port;
}

void http_server_stop(struct http_server *server)
{
	atomic_store(&server->stopping, true);
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	http_acceptor_stop(&server->acceptor);
	/* Nothing is ever suspended, so stopping cannot abort; handlers that run are waited for. */
	if (server->tcp)
		MHD_stop_daemon(server->tcp);
	if (server->local)
		MHD_stop_daemon(server->local);
	http_watches_stop(&server->watches);
	if (server->socket_path)
		(void)unlink(server->socket_path); /* a stale one is replaced at the next start */
	pthread_mutex_destroy(&server->failures.lock);
	free(server->socket_path);
	free(server->groups);
	free(server);
}
