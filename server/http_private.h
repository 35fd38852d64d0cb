/* server/http_private.h - what the files of server/http* share
 *
 *	http.c          server and libmicrohttpd's callbacks     http_request.c  what handlers call
 *	http_listen.c   sockets                                  http_route.c    path -> route
 *	http_accept.c   connections to the threads that answer
 *	http_guard.c    deadlines of connections, failed authentications of addresses
 */
#pragma once
#include "server/http.h"
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#define HTTP_PARAMS_MAX  4
#define HTTP_REPLY_MAX   8 /* headers of an answer */
#define HTTP_ANSWER_MAX  (64u << 20)
#define HTTP_DRAIN_MAX   (1u << 20) /* read and dropped so that a refused client sees the answer */
#define HTTP_RETRY_AFTER "5"

/* ---- http_guard.c ---- */

/** A connection and since when it owes us something. */
struct http_watch {
	struct http_watch *next, **link;
	int fd;
	int64_t since_ms;
	bool answering;
};

/** All connections; a thread shuts down those that take too long. */
struct http_watches {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	struct http_watch *first;
	int64_t timeout_ms;
	bool running, stop;
};
/** The thread that ends connections which take too long; add one for each connection. */
MUST_USE bool http_watches_start(
	struct http_watches *watches, int64_t timeout_ms, struct error *err);
void http_watches_stop(struct http_watches *watches);
struct http_watch *http_watch_add(struct http_watches *watches, int fd);
/** Restart its time: waiting for a request, or (four times as long) for its answer to be read. */
void http_watch_turn(struct http_watches *watches, struct http_watch *watch, bool answering);
void http_watch_remove(struct http_watches *watches, struct http_watch *watch);

#define HTTP_FAILURE_SETS 256
#define HTTP_FAILURE_WAYS 4
struct http_failure {
	unsigned char address[16]; /* IPv4 mapped; IPv6 cut to its /64 network */
	unsigned count;            /* 0: free */
	int64_t since_ms;
};
/** Failed authentications of addresses in the last minute: a bounded table, oldest goes first. */
struct http_failures {
	pthread_mutex_t lock;
	unsigned limit;
	struct http_failure table[HTTP_FAILURE_SETS][HTTP_FAILURE_WAYS];
};
/** @return true if with this one the limit is reached */
bool http_failures_add(
	struct http_failures *failures, const struct in6_addr *address, int64_t now_ms);
/** Seconds until the address is heard again, 0 if it is not blocked. */
unsigned http_failures_blocked(
	struct http_failures *failures, const struct in6_addr *address, int64_t now_ms);

/* ---- http_listen.c ---- */
/** A bound, listening socket and its name for the log ("127.0.0.1:8750"). */
MUST_USE bool http_listen_tcp(const char *listen_text, int *fd_out, char **name_out,
	unsigned *port_out, struct error *err);
MUST_USE bool http_listen_unix(const char *path, int *fd_out, struct error *err);

/* ---- http_accept.c ---- */
/** The thread that accepts connections and deals them out to the threads of a daemon. */
struct http_acceptor {
	pthread_t thread;
	struct MHD_Daemon *daemon;
	unsigned connections; /* open at the same time; more wait in the kernel */
	int listen_fd, stop_fd;
	bool running;
};
/** Accept on @p listen_fd (non-blocking) for @p daemon, which outlives the acceptor.
 * @return true, and the socket is the acceptor's; or false with ERR_SYSTEM */
MUST_USE bool http_acceptor_start(struct http_acceptor *acceptor, int listen_fd,
	struct MHD_Daemon *daemon, unsigned connections, struct error *err);
/** Close the listening socket; nothing if it was not started. */
void http_acceptor_stop(struct http_acceptor *acceptor);

/* ---- requests ---- */
struct http_param {
	const char *name; /* inside the pattern, name_len bytes */
	size_t name_len;
	char *value;
};

struct http_reply_header {
	const char *name;
	char *value;
};

struct http_response {
	int status; /* 0: not answered yet */
	const char *content_type;
	struct buf body;
	struct http_reply_header headers[HTTP_REPLY_MAX];
	size_t header_count;
	bool close;
};

struct http_request {
	struct http_server *server;
	struct MHD_Connection *connection;
	const struct http_route *route;
	void *data; /* of the route's group */
	const char *method, *path, *version;
	struct http_header headers[HTTP_HEADERS_MAX];
	size_t header_count;
	bool bad_headers; /* too many, or a NUL inside */
	struct http_param params[HTTP_PARAMS_MAX];
	size_t param_count;
	struct buf body;
	size_t charged; /* of server->memory */
	size_t dropped;
	struct http_response response;
	bool has_address;
	struct in6_addr address; /* IPv4 mapped */
	char address_text[HTTP_ADDRESS_SIZE];
};

/* ---- http_route.c ---- */
/** Find the route. @return 200, or 404, or 405 with the methods in @p allow. */
int http_route_find(struct http_request *request, const struct http_routes *groups, size_t count,
	struct buf *allow);

/* ---- http.c ---- */
struct http_server {
	struct MHD_Daemon *tcp, *local;
	struct http_acceptor acceptor; /* of tcp */
	struct http_routes *groups;
	size_t group_count;
	struct http_options options; /* with defaults filled in; texts are not kept */
	char *socket_path;
	unsigned port;
	atomic_bool stopping;
	atomic_size_t memory; /* bodies of all requests */
	struct http_watches watches;
	struct http_failures failures;
};
/** Percent-decode into @p to of @p size bytes; false, and empty text, if badly encoded, too long,
 * or with a NUL. */
bool http_decode(const char *from, size_t len, char *to, size_t size);
void http_response_clear(struct http_response *response);
