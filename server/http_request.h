/* server/http_request.h - what a handler sees of a request, and how it answers
 *
 * A handler runs once the whole body has arrived (bounded, see http.h) and must not block: it
 * verifies, notes, answers. Everything a request hands out lives until the handler returns.
 */
#pragma once
#include "base/buf.h"
#include <sys/types.h>

#define HTTP_HEADERS_MAX  100 /* more in one request is nobody's forge or browser: 431 */
#define HTTP_ADDRESS_SIZE 64

struct http_header {
	const char *name;
	const char *value;
};

struct http_request;
struct http_response;

/** One of API's bearer tokens; `may` is the owner's bit set. */
struct http_token {
	const char *name;
	const char *bytes;
	size_t len;
	unsigned may;
};

typedef void (*http_handler)(
	void *data, const struct http_request *request, struct http_response *response);

enum http_route_flags {
	/* The handler authenticates by a secret: addresses that fail too often get 429 before it.
	 */
	HTTP_GUARDED = 1,
};

/** A line of a route table. */
struct http_route {
	const char *method;   /* "GET" also answers HEAD */
	const char *path;     /* "/api/v1/clients/{name}": braces match one segment */
	http_handler handler; /* gets the `data` of its struct http_routes */
	unsigned flags;       /* enum http_route_flags */
	int tag;              /* the handler's own: http_request_tag() */
};

/** "GET", "POST", ... */
const char *http_request_method(const struct http_request *request);
/** The path as sent, without the query. */
const char *http_request_path(const struct http_request *request);
/** What `{name}` of the route matched, percent-decoded; NULL if the route has no such part. */
const char *http_request_param(const struct http_request *request, const char *name);
/** A query argument, percent-decoded into @p text of @p size bytes; false if absent, badly encoded
 *  or longer (@p text is then empty). */
bool http_request_query(
	const struct http_request *request, const char *name, char *text, size_t size);
/** The `tag` of the matched route. */
int http_request_tag(const struct http_request *request);
/** All headers in order of arrival. */
const struct http_header *http_request_headers(
	const struct http_request *request, size_t *count_out);
/** The first header of that name (any case), or NULL. */
const char *http_request_header(const struct http_request *request, const char *name);
/** The body's bytes, NUL-terminated. */
const char *http_request_body(const struct http_request *request, size_t *len_out);
/** "192.0.2.1", "2001:db8::1", or "socket" for the unix socket. */
const char *http_request_address(const struct http_request *request);
/** Who is at the other end of the unix socket (SO_PEERCRED); false over TCP. */
bool http_request_peer_uid(const struct http_request *request, uid_t *uid_out);

/**
 * The token of @p tokens that `Authorization: Bearer` carries, or NULL.
 *
 * Takes the same time for every token and for none; header missing, doubled, or of another scheme
 * is NULL. Does not count failures: see http_request_auth_failed().
 */
const struct http_token *http_request_token(
	const struct http_request *request, const struct http_token *tokens, size_t count);

/** Likewise the token that is the password of `Authorization: Basic`, with any user. */
#define HTTP_PASSWORD_MAX 1024 /* bytes of user:password */
const struct http_token *http_request_password(
	const struct http_request *request, const struct http_token *tokens, size_t count);

/** Note that this peer did not authenticate; too many in a minute make HTTP_GUARDED routes answer
 *  429 to its address. */
void http_request_auth_failed(const struct http_request *request);

/** Set the status and, if @p body is not NULL, a body of that media type. */
void http_respond(
	struct http_response *response, int status, const char *content_type, const char *body);
/** As http_respond(); takes over the text of @p body and leaves it empty. */
void http_respond_buf(
	struct http_response *response, int status, const char *content_type, struct buf *body);
/** `{"error": "<sentence>"}`. */
PRINTF(3, 4)
void http_respond_error(struct http_response *response, int status, const char *format, ...);
/** Add a header. Control characters of the value become `?`; at most 8 headers. */
PRINTF(3, 4)
void http_respond_header(struct http_response *response, const char *name, const char *format, ...);
