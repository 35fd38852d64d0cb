#include "server/api_parts.h"
#include "server/views.h"
#include <pthread.h>
#include <pwd.h>
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

const struct api_options *api_options_of(const struct api *api)
{
	return &api->options;
}

/* Whoever may open the socket (0600) is trusted; the name is for the record. */
static void name_user(uid_t uid, char by[REQUEST_BY_TEXT])
{
	struct passwd entry, *found = NULL;
	char text[2048];
	if (!getpwuid_r(uid, &entry, text, sizeof(text), &found) && found)
		(void)snprintf(by, REQUEST_BY_TEXT, "%s", found->pw_name);
	else
		(void)snprintf(by, REQUEST_BY_TEXT, "user %u", (unsigned)uid);
}

enum verdict { VERDICT_YES, VERDICT_UNKNOWN, VERDICT_LACKS };

typedef const struct http_token *(*find_token)(
	const struct http_request *request, const struct http_token *tokens, size_t count);

static enum verdict judge(struct api *api, const struct http_request *request, find_token find,
	unsigned rights, char by[REQUEST_BY_TEXT])
{
	bool any_reader = false;
	pthread_rwlock_rdlock(&api->lock);
	const struct http_token *token = find(request, api->tokens, api->token_count);
	for (size_t i = 0; i < api->token_count; i++)
		any_reader = any_reader || (api->tokens[i].may & API_READ);
	bool allowed = token && (token->may & rights);
	bool known = token != NULL;
	(void)snprintf(by, REQUEST_BY_TEXT, "%s", token ? token->name : "");
	pthread_rwlock_unlock(&api->lock);
	/* Without a token for reading nobody asked to protect it: the listener is loopback. */
	if (allowed || ((rights & API_READ) && !any_reader))
		return VERDICT_YES;
	return known ? VERDICT_LACKS : VERDICT_UNKNOWN;
}

static const char *right_name(unsigned rights)
{
	return rights & API_READ ? "read" : rights & API_WRITE ? "write" : "approve";
}

static bool refuse(const struct http_request *request, struct http_response *response,
	enum verdict verdict, unsigned rights, const char *by)
{
	if (verdict == VERDICT_LACKS) {
		http_respond_error(response, 403,
			"token '%s' may not %s: 'may' of it lacks '%s' (api.tokens)", by,
			right_name(rights), right_name(rights));
		return false;
	}
	http_request_auth_failed(request);
	http_respond_error(
		response, 401, "a token that may %s is needed (api.tokens)", right_name(rights));
	return false;
}

bool api_check(struct api *api, const struct http_request *request, struct http_response *response,
	unsigned rights, char by[REQUEST_BY_TEXT])
{
	uid_t uid;
	if (http_request_peer_uid(request, &uid)) {
		name_user(uid, by);
		return true;
	}
	enum verdict verdict = judge(api, request, http_request_token, rights, by);
	if (verdict == VERDICT_UNKNOWN)
		http_respond_header(response, "WWW-Authenticate", "Bearer");
	return verdict == VERDICT_YES || refuse(request, response, verdict, rights, by);
}

bool api_check_password(struct api *api, const struct http_request *request,
	struct http_response *response, unsigned rights, char by[REQUEST_BY_TEXT])
{
	enum verdict verdict = judge(api, request, http_request_password, rights, by);
	if (verdict == VERDICT_UNKNOWN)
		http_respond_header(response, "WWW-Authenticate", "Basic realm=\"aviary\"");
	return verdict == VERDICT_YES || refuse(request, response, verdict, rights, by);
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
	char by[REQUEST_BY_TEXT];
	if (!api_check(api, request, response, API_READ, by))
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
	char by[REQUEST_BY_TEXT];
	if (!api_check(api, request, response, API_READ, by))
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

static const struct http_route routes[] = {
	{"GET", "/healthz", on_health, 0, 0},
	{"GET", "/readyz", on_ready, 0, 0},
	{"GET", "/api/v1/status", on_status, HTTP_GUARDED, 0},
	{"GET", "/api/v1/clients", on_clients, HTTP_GUARDED, 0},
	{"GET", "/api/v1/clients/{name}", on_client, HTTP_GUARDED, 0},
	{"GET", "/api/v1/clients/{name}/history", api_on_client_history, HTTP_GUARDED, 0},
	{"GET", "/api/v1/rollouts", on_rollouts, HTTP_GUARDED, 0},
	{"GET", "/api/v1/rollouts/{name}", on_rollout, HTTP_GUARDED, 0},
	{"GET", "/api/v1/rollouts/{name}/history", api_on_rollout_history, HTTP_GUARDED, 0},
	{"GET", "/api/v1/rollouts/{name}/events", api_on_rollout_events, HTTP_GUARDED, 0},
	{"GET", "/api/v1/rollouts/{name}/log/{client}", api_on_log, HTTP_GUARDED, 0},
	{"GET", "/api/v1/requests/{name}", api_on_request, HTTP_GUARDED, 0},
	{"POST", "/api/v1/reconcile", api_on_ask, HTTP_GUARDED, REQUEST_RECONCILE},
	{"POST", "/api/v1/pause", api_on_ask, HTTP_GUARDED, REQUEST_PAUSE},
	{"POST", "/api/v1/resume", api_on_ask, HTTP_GUARDED, REQUEST_RESUME},
	{"POST", "/api/v1/lead", api_on_ask, HTTP_GUARDED, REQUEST_LEAD},
	{"POST", "/api/v1/retry", api_on_ask, HTTP_GUARDED, REQUEST_RETRY},
	{"POST", "/api/v1/clients/{name}/retry", api_on_ask, HTTP_GUARDED, REQUEST_RETRY},
	{"POST", "/api/v1/rollouts/{name}/approve", api_on_ask, HTTP_GUARDED, REQUEST_APPROVE},
	{"POST", "/api/v1/rollouts/{name}/abort", api_on_ask, HTTP_GUARDED, REQUEST_ABORT},
	{"POST", "/api/v1/clients/{name}/rollback", api_on_ask, HTTP_GUARDED, REQUEST_ROLLBACK},
	{"POST", "/api/v1/clients/{name}/pause", api_on_ask, HTTP_GUARDED, REQUEST_PAUSE},
	{"POST", "/api/v1/clients/{name}/resume", api_on_ask, HTTP_GUARDED, REQUEST_RESUME},
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
