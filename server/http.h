/* server/http.h - libmicrohttpd: two listeners, one table of routes, limits, deadlines
 *
 * TCP (`listen`) and the unix socket (`socket_path`, mode 0600) answer the same routes; who may
 * do what is the handler's business (token, or user of the socket's peer).
 *
 *	http_server_new -> answers -> http_server_stop (POST and so on get 503) -> http_server_free
 *
 * Order of answers (specs/forges.md section 9): broken framing 400, no such path 404, other method
 * 405 with Allow, stopping 503, too large 413, encoded 415, too many failures 429, then the
 *handler. For each listener a line `listening address=<host:port or path>` is logged: tests with
 *port 0 read it.
 */
#pragma once
#include "base/error.h"
#include "server/http_request.h"

#define HTTP_BODY_MAX           (25u << 20) /* GitHub sends up to 25 MB */
#define HTTP_CONNECTIONS        1000
#define HTTP_REQUEST_TIMEOUT_MS 15000
#define HTTP_FAILURES_MAX       100 /* failed authentications of one address in one minute */

struct http_options {
	const char *listen;      /* "127.0.0.1:8750", "[::1]:0"; NULL or "" = none */
	const char *socket_path; /* NULL or "" = none; a stale one is replaced */
	size_t body_max;         /* 0 = HTTP_BODY_MAX */
	size_t memory_max;       /* bodies of all requests together; 0 = 4 * body_max */
	unsigned connections;    /* 0 = HTTP_CONNECTIONS */
	unsigned per_address;    /* connections of one address; 0 = no limit (reverse proxies) */
	int64_t timeout_ms;      /* from connect, or end of the last answer, to a whole request */
	unsigned failures;       /* 0 = HTTP_FAILURES_MAX */
};

/** The routes of one module and the context that its handlers get. */
struct http_routes {
	const struct http_route *table;
	size_t count;
	void *data;
};

struct http_server;

/**
 * Bind, listen, answer from now on.
 *
 * With systemd's socket activation (LISTEN_PID, LISTEN_FDS) the first passed socket is used in
 * place of options->listen.
 *
 * @param groups  tables are borrowed and must outlive the server; the array is copied
 * @return true, or false with ERR_INVALID (what `listen` says), ERR_SYSTEM (cannot bind),
 *         ERR_REFUSED (another process answers on the socket)
 */
MUST_USE bool http_server_new(const struct http_options *options, const struct http_routes *groups,
	size_t count, struct http_server **server_out, struct error *err);

/** The TCP port that is bound, 0 without TCP. */
unsigned http_server_port(const struct http_server *server);

/** From now on only GET and HEAD are answered, everything else gets 503 with Retry-After. */
void http_server_stop(struct http_server *server);

/** Close listeners and connections, wait for handlers that run, remove the unix socket. */
void http_server_free(struct http_server *server);
DEFINE_CLEANUP(struct http_server, http_server_free)
#define auto_http_server CLEANUP(http_server_free_at)
