/* base/http_client.h - HTTP requests with limits (libcurl multi): many in flight in one thread
 *
 * A client owns one multi handle and is used by one thread; http_client_wake() may be called by
 * any. Redirects are not followed, no netrc, no proxy variables, http and https only, TLS always
 * verified. The process must ignore SIGPIPE, as libcurl is told to leave signals alone.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"

struct http_client;
/** A client with its own connections, for one thread; owned by the caller. */
MUST_USE bool http_client_new(struct http_client **client_out, struct error *err);
void http_client_free(struct http_client *client); /* ends what is in flight without calling back */
DEFINE_CLEANUP(struct http_client, http_client_free)
#define auto_http_client CLEANUP(http_client_free_at)

struct http_request {
	const char *method; /* "GET", "POST", "HEAD" */
	const char *url;
	const char *const *headers; /* "Name: value", ends with NULL; may be NULL */
	const void *body;
	size_t body_len;
	const char *unix_socket; /* path to connect to instead of the URL's host; may be NULL */
	const char *ca_file;     /* instead of the system's; may be NULL */
	int64_t connect_ms;      /* 0 = 5 s */
	int64_t timeout_ms;      /* total; 0 = 10 s */
	size_t max_body;         /* of the answer: read no further, body_cut is set; 0 = 64 KiB */
	bool connect_only; /* TCP (http://host:port) or TLS (https://host:port) connect and no more
			    */
	bool want_certificate; /* fill certificate_expires */
};

struct http_answer {
	struct error err; /* code ERR_NONE: an answer came */
	int status;
	struct buf body;
	bool body_cut;
	bool sent; /* some of the request went out: the server may have acted on it */
	int64_t certificate_expires; /* Unix seconds of the leaf, 0 unknown */
	int64_t took_ms;
};

/** Start a request; strings are copied. @p done runs in http_client_run()'s thread; the answer is
 *  borrowed for the call. */
void http_client_start(struct http_client *client, const struct http_request *request,
	void (*done)(void *data, const struct http_answer *answer), void *data);
/** Work until something happened or @p timeout_ms passed; returns the number still in flight. */
size_t http_client_run(struct http_client *client, int timeout_ms);
void http_client_wake(struct http_client *client);
/** One request, start to end. @p answer_out is http_answer_clear()ed by the caller. */
MUST_USE bool http_client_do(
	const struct http_request *request, struct http_answer *answer_out, struct error *err);
void http_answer_clear(struct http_answer *answer);
