#include "server/api.h"
#include "server/views.h"
#include <pthread.h>
#include <sodium.h>

#define API_ANSWER_MAX ((size_t)256 << 20) /* 10,000 clients, or 80 rollouts of all of them */

struct api {
	struct api_options options;
	pthread_rwlock_t lock; /* of the tokens */
	struct http_token *tokens;
	size_t token_count;
};

/* ---- who may ------------------------------------------------------------------------------------
 */

static void wipe_tokens(struct api *api)
{
	for (size_t i = 0; i < api->token_count; i++) {
		char *bytes = (char *)(uintptr_t)api->tokens[i].bytes; /* our own copy */
		sodium_memzero(bytes, api->tokens[i].len);
		free(bytes);
		free((char *)(uintptr_t)api->tokens[i].name);
	}
	free(api->tokens);
	api->tokens = NULL;
	api->token_count = 0;
}

void api_set_tokens(struct api *api, const struct http_token *tokens, size_t count)
{
	pthread_rwlock_wrlock(&api->lock);
	wipe_tokens(api);
	api->tokens = mem_zero(count, sizeof(*api->tokens));
	for (size_t i = 0; i < count; i++) {
		api->tokens[i] = tokens[i];
		api->tokens[i].name = mem_dup_str(tokens[i].name);
		api->tokens[i].bytes = mem_dup(tokens[i].bytes, tokens[i].len);
	}
	api->token_count = count;
	pthread_rwlock_unlock(&api->lock);
}

static bool may(struct api *api, const struct http_request *request, unsigned right)
{
	uid_t uid;
	bool allowed = false, any_reader = false;
	if (http_request_peer_uid(request, &uid))
		return true; /* whoever may open the socket (0600) is trusted */
	pthread_rwlock_rdlock(&api->lock);
	const struct http_token *token = http_request_token(request, api->tokens, api->token_count);
	allowed = token && (token->may & right);
	for (size_t i = 0; i < api->token_count; i++)
		any_reader = any_reader || (api->tokens[i].may & API_READ);
	pthread_rwlock_unlock(&api->lock);
	/* Without a token for reading nobody asked to protect it: the listener is loopback. */
	return allowed || (right == API_READ && !any_reader);
}

static bool check(struct api *api, const struct http_request *request,
	struct http_response *response, unsigned right)
{
	if (may(api, request, right))
		return true;
	http_request_auth_failed(request);
	http_respond_header(response, "WWW-Authenticate", "Bearer");
	http_respond_error(response, 401,
		right == API_READ ? "a token that may read is needed (api.tokens)"
				  : "a token that may write is needed (api.tokens)");
	return false;
}

/* ---- handlers -----------------------------------------------------------------------------------
 */

static void on_health(
	void *data, const struct http_request *request, struct http_response *response)
{
	(void)data; /* alive is all that is asked */
	(void)request;
	http_respond(response, 200, "text/plain; charset=utf-8", "ok\n");
}

static void on_ready(void *data, const struct http_request *request, struct http_response *response)
{
	struct api *api = data;
	auto_snapshot struct snapshot *snapshot = board_read(api->options.board);
	(void)request; /* the same for everybody */
	if (snapshot->ready)
		http_respond(response, 200, "text/plain; charset=utf-8", "ready\n");
	else
		http_respond_error(response, 503, "%s", snapshot->not_ready);
}

typedef void (*view)(const struct snapshot *snapshot, struct buf *out);
typedef bool (*view_of_one)(const struct snapshot *snapshot, const char *name, struct buf *out);

static void respond_view(struct api *api, const struct http_request *request,
	struct http_response *response, view show)
{
	auto_buf struct buf body = BUF_INIT(API_ANSWER_MAX);
	if (!check(api, request, response, API_READ))
		return;
	auto_snapshot struct snapshot *snapshot = board_read(api->options.board);
	show(snapshot, &body);
	if (buf_overflowed(&body))
		http_respond_error(response, 500, "the answer is over %zu MiB: ask for one record",
			API_ANSWER_MAX >> 20);
	else
		http_respond_buf(response, 200, "application/json", &body);
}

static void respond_one(struct api *api, const struct http_request *request,
	struct http_response *response, view_of_one show)
{
	auto_buf struct buf body = BUF_INIT(API_ANSWER_MAX);
	const char *name = http_request_param(request, "name");
	if (!check(api, request, response, API_READ))
		return;
	auto_snapshot struct snapshot *snapshot = board_read(api->options.board);
	if (show(snapshot, name, &body))
		http_respond_buf(response, 200, "application/json", &body);
	else
		http_respond_error(response, 404, "there is no record of that name");
}

static void on_status(
	void *data, const struct http_request *request, struct http_response *response)
{
	respond_view(data, request, response, view_status);
}

static void on_clients(
	void *data, const struct http_request *request, struct http_response *response)
{
	respond_view(data, request, response, view_clients);
}

static void on_client(
	void *data, const struct http_request *request, struct http_response *response)
{
	respond_one(data, request, response, view_client);
}

static void on_rollouts(
	void *data, const struct http_request *request, struct http_response *response)
{
	respond_view(data, request, response, view_rollouts);
}

static void on_rollout(
	void *data, const struct http_request *request, struct http_response *response)
{
	respond_one(data, request, response, view_rollout);
}

static void on_reconcile(
	void *data, const struct http_request *request, struct http_response *response)
{
	struct api *api = data;
	if (!check(api, request, response, API_WRITE))
		return;
	auto_snapshot struct snapshot *snapshot = board_read(api->options.board);
	api->options.reconcile(api->options.data);
	/* Who follows waits for a snapshot with more looks than this. */
	auto_free char *body = mem_printf(
		"{\"status\":\"queued\",\"looks\":%llu}", (unsigned long long)snapshot->looks);
	http_respond(response, 202, "application/json", body);
}

static const struct http_route routes[] = {
	{"GET", "/healthz", on_health, 0, 0},
	{"GET", "/readyz", on_ready, 0, 0},
	{"GET", "/api/v1/status", on_status, HTTP_GUARDED, 0},
	{"GET", "/api/v1/clients", on_clients, HTTP_GUARDED, 0},
	{"GET", "/api/v1/clients/{name}", on_client, HTTP_GUARDED, 0},
	{"GET", "/api/v1/rollouts", on_rollouts, HTTP_GUARDED, 0},
	{"GET", "/api/v1/rollouts/{name}", on_rollout, HTTP_GUARDED, 0},
	{"POST", "/api/v1/reconcile", on_reconcile, HTTP_GUARDED, 0},
};

struct api *api_new(const struct api_options *options)
{
	struct api *api = mem_zero(1, sizeof(*api));
	api->options = *options;
	pthread_rwlock_init(&api->lock, NULL);
	return api;
}

void api_free(struct api *api)
{
	if (!api)
		return;
	wipe_tokens(api);
	pthread_rwlock_destroy(&api->lock);
	free(api);
}

struct http_routes api_routes(struct api *api)
{
	return (struct http_routes){routes, ARRAY_LEN(routes), api};
}
