#include "server/tofu_backend.h"
#include "base/log.h"
#include "reconcile/plan.h"
#include "reconcile/recipients.h"
#include "server/api_parts.h"

/* A change waits for a fetch and a push, each of at most 5 minutes. */
#define TIMEOUT_MS  (11 * 60 * (int64_t)1000)
#define CONNECTIONS 20

struct tofu_backend {
	struct tofu_backend_options options;
	struct tofu_state *state;
	struct http_server *server;
};

/* ---- who may read states --------------------------------------------------------------------- */

/* Of the last deployed commit, not of a newer one that nobody has judged yet. */
static bool find_recipients(
	void *data, const struct keyring *keyring, struct strlist *recipients, struct error *err)
{
	const struct tofu_backend *backend = data;
	auto_snapshot struct snapshot *snapshot = board_read(backend->options.board);
	auto_free char *mirror = mem_printf("%s/mirror.git", backend->options.config->state_dir);
	auto_repo struct repo *repo = NULL;
	struct oid commit;
	if (!snapshot->status || !snapshot->commit[0]) /* a loop that has just started */
		return error_set(err, ERR_STOPPED,
			"the status branch was not read yet: it says who may read states");
	if (!repo_discover(mirror, &repo, err) ||
		!plan_last_deployed(repo, snapshot->status, &commit, err))
		return false;
	if (commit.hex[0] && recipients_of_commit(repo, &commit, keyring, recipients, err))
		return true;
	/* Rather for the service alone than not at all: tofu has changed the world already. */
	if (commit.hex[0] && err->code != ERR_INVALID && err->code != ERR_REFUSED)
		return false;
	keyring_recipients(keyring, recipients);
	return true;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* tofu reads the holder's words out of the body and shows them. */
static void respond_failure(
	struct http_response *response, const struct error *err, struct buf *holder, int taken)
{
	if (holder && holder->len)
		return http_respond_buf(response, taken, "application/json", holder);
	if (err->code == ERR_REFUSED)
		return http_respond_error(response, 409, "%s", err->message);
	if (err->code == ERR_INVALID || err->code == ERR_NOT_FOUND)
		return http_respond_error(
			response, error_http_status(err->code), "%s", err->message);
	log_err("state of tofu could not be served", LOG_ERROR_FIELD(err));
	bool later = err->code == ERR_STOPPED || error_is_transient(err->code);
	http_respond_error(response, later ? 503 : 500, "%s", err->message);
}

/* What a call is about. */
struct call {
	struct tofu_backend *backend;
	struct tofu_state_ask ask;
	char by[REQUEST_BY_TEXT];
	char id[TOFU_LOCK_ID];
	struct buf body; /* borrowed text of the request */
};

static bool begin(struct call *call, void *data, const struct http_request *request,
	struct http_response *response)
{
	const char *name = http_request_param(request, "name");
	*call = (struct call){.backend = data};
	if (!api_check_password(call->backend->options.api, request, response, API_WRITE, call->by))
		return false;
	if (!tofu_state_name_is_good(name)) {
		http_respond_error(response, 404,
			"the name of a state is a to z, 0 to 9 and -, at most %d characters",
			TOFU_STATE_NAME - 1);
		return false;
	}
	/* Without a lock (-lock=false) there is none. */
	(void)http_request_query(request, "ID", call->id, sizeof(call->id));
	call->ask = (struct tofu_state_ask){.name = name, .by = call->by, .id = call->id};
	call->body.text = (char *)(uintptr_t)http_request_body(request, &call->body.len);
	return true;
}

static void say(const struct call *call, const char *what)
{
	log_info("state of tofu", LOG_STR("state", call->ask.name), LOG_STR("what", what),
		LOG_STR("by", call->by));
}

static void on_read(void *data, const struct http_request *request, struct http_response *response)
{
	auto_buf struct buf text = BUF_INIT_SECRET(TREE_FILE_MAX);
	struct call call;
	struct error err;
	if (!begin(&call, data, request, response))
		return;
	if (tofu_state_read(call.backend->state, call.ask.name, &text, &err))
		http_respond_buf(response, 200, "application/json", &text);
	else
		respond_failure(response, &err, NULL, 0);
}

static void on_write(void *data, const struct http_request *request, struct http_response *response)
{
	auto_buf struct buf holder = BUF_INIT(TREE_FILE_MAX);
	bool removes = !strcmp(http_request_method(request), "DELETE");
	struct call call;
	struct error err;
	if (!begin(&call, data, request, response))
		return;
	if (!tofu_state_write(
		    call.backend->state, &call.ask, removes ? NULL : &call.body, &holder, &err))
		return respond_failure(response, &err, &holder, 409);
	say(&call, removes ? "removed" : "written");
	http_respond(response, 200, NULL, NULL);
}

static void on_lock(void *data, const struct http_request *request, struct http_response *response)
{
	auto_buf struct buf holder = BUF_INIT(TREE_FILE_MAX);
	struct call call;
	struct error err;
	if (!begin(&call, data, request, response))
		return;
	if (!tofu_state_lock(call.backend->state, &call.ask, &call.body, &holder, &err))
		return respond_failure(response, &err, &holder, 423);
	say(&call, "locked");
	http_respond(response, 200, NULL, NULL);
}

static void on_unlock(
	void *data, const struct http_request *request, struct http_response *response)
{
	auto_buf struct buf holder = BUF_INIT(TREE_FILE_MAX);
	struct call call;
	struct error err;
	if (!begin(&call, data, request, response))
		return;
	/* `terraform force-unlock` says nothing, which is a person's word. */
	if (!call.body.len)
		call.ask.id = NULL;
	if ((call.body.len && !tofu_lock_id(&call.body, call.id, &err)) ||
		!tofu_state_unlock(call.backend->state, &call.ask, &holder, &err))
		return respond_failure(response, &err, &holder, 409);
	say(&call, "unlocked");
	http_respond(response, 200, NULL, NULL);
}

static const struct http_route routes[] = {
	{"GET", "/tofu/{name}", on_read, HTTP_GUARDED, 0},
	{"POST", "/tofu/{name}", on_write, HTTP_GUARDED, 0},
	{"DELETE", "/tofu/{name}", on_write, HTTP_GUARDED, 0},
	{"LOCK", "/tofu/{name}", on_lock, HTTP_GUARDED, 0},
	{"UNLOCK", "/tofu/{name}", on_unlock, HTTP_GUARDED, 0},
};

/* ---- life ------------------------------------------------------------------------------------ */

static bool open_state(struct tofu_backend *backend, struct error *err)
{
	const struct config *config = backend->options.config;
	auto_free char *folder = mem_printf("%s/tofu-state.git", config->state_dir);
	const struct tofu_state_options options = {
		.folder = folder,
		.remote = backend->options.remote,
		.author_name = config->status.author_name,
		.author_mail = config->status.author_mail,
		.signing_key_file = config->status.signing_key_file,
		.keyring = backend->options.keyring,
		.recipients = find_recipients,
		.data = backend,
	};
	return tofu_state_new(&options, &backend->state, err);
}

bool tofu_backend_new(const struct tofu_backend_options *options, struct tofu_backend **backend_out,
	struct error *err)
{
	auto_tofu_backend struct tofu_backend *backend = mem_zero(1, sizeof(*backend));
	const struct http_routes groups[] = {
		{.table = routes, .count = ARRAY_LEN(routes), .data = backend}};
	const struct http_options http = {
		.listen = options->config->tofu.listen,
		.body_max = TOFU_STATE_MAX,
		.connections = CONNECTIONS,
		.timeout_ms = TIMEOUT_MS,
	};
	backend->options = *options;
	if (!keyring_count(options->keyring)) {
		error_set(err, ERR_INVALID, "tofu.listen: no age key could open the states");
		return error_hint(err, "add 'age_key_file'");
	}
	if (!open_state(backend, err) ||
		!http_server_new(&http, groups, ARRAY_LEN(groups), &backend->server, err))
		return error_wrap(err, "tofu.listen");
	*backend_out = STEAL(backend);
	return true;
}

void tofu_backend_set_keyring(struct tofu_backend *backend, const struct keyring *keyring)
{
	tofu_state_set_keyring(backend->state, keyring);
}

void tofu_backend_free(struct tofu_backend *backend)
{
	if (!backend)
		return;
	if (backend->state)
		tofu_state_stop(backend->state);
	http_server_free(backend->server);
	tofu_state_free(backend->state);
	free(backend);
}
