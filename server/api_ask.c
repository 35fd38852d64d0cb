/* What people ask for by POST: checked here against the newest snapshot, decided by the loop. */
#include "base/emit.h"
#include "base/log.h"
#include "server/api_parts.h"

/* What a kind of request needs. */
static const struct rule {
	const char *verb; /* for the log */
	unsigned right;
	bool why; /* a reason must be given */
} rules[REQUEST_KINDS] = {
	[REQUEST_RECONCILE] = {"reconcile", API_WRITE, false},
	[REQUEST_PAUSE] = {"pause", API_WRITE, true},
	[REQUEST_RESUME] = {"resume", API_WRITE, false},
	[REQUEST_RETRY] = {"retry", API_WRITE, false},
	[REQUEST_LEAD] = {"lead", API_WRITE, false},
	[REQUEST_APPROVE] = {"approve", API_APPROVE, true},
	[REQUEST_ABORT] = {"abort", API_APPROVE, true},
	[REQUEST_ROLLBACK] = {"rollback", API_WRITE, true},
};

/* @return false, with 404 */
static bool check_target(const struct snapshot *snapshot, const struct request *asked,
	struct http_response *response)
{
	if (!asked->target[0])
		return true;
	if (request_is_about_rollout(asked))
		return api_find_rollout(snapshot, asked->target, response) != NULL;
	return api_find_client(snapshot, asked->target, response) != NULL;
}

static bool read_target(
	const struct http_request *request, struct request *asked, struct http_response *response)
{
	const char *name = http_request_param(request, "name");
	if (name && strlen(name) >= sizeof(asked->target)) {
		http_respond_error(response, 404, "nothing has so long a name");
		return false;
	}
	(void)snprintf(asked->target, sizeof(asked->target), "%s", name ? name : "");
	return true;
}

static bool read_body(const struct http_request *request, const struct rule *rule,
	struct request *asked, struct http_response *response)
{
	struct error err;
	size_t len;
	const char *body = http_request_body(request, &len);
	if (!request_read_body(body, len, asked->reason, &asked->now, &err)) {
		http_respond_error(response, 400, "%s", err.message);
		return false;
	}
	if (asked->now && asked->kind != REQUEST_APPROVE) {
		http_respond_error(response, 400, "'now' is for approve");
		return false;
	}
	if (rule->why && !asked->reason[0]) {
		http_respond_error(response, 400,
			"a reason is needed: {\"reason\": \"...\"} stands in the record");
		return false;
	}
	return true;
}

static void respond_queued(struct http_response *response, uint64_t id)
{
	auto_buf struct buf body = BUF_INIT(4096);
	auto_free char *path = mem_printf("/api/v1/requests/%llu", (unsigned long long)id);
	struct emitter emitter;
	emit_begin(&emitter, EMIT_JSON, &body);
	emit_int(&emitter, "request", (int64_t)id);
	emit_str(&emitter, "state", request_state_name(REQUEST_QUEUED));
	emit_str(&emitter, "see", path);
	emit_end(&emitter);
	http_respond_header(response, "Location", "%s", path);
	http_respond_buf(response, 202, "application/json", &body);
}

/* The oldest of the calls has an answer of its own: who follows it waits for more looks. */
static void reconcile(struct api *api, const struct snapshot *snapshot, const struct request *asked,
	struct http_response *response)
{
	const struct api_options *options = api_options_of(api);
	options->reconcile(options->data);
	log_info("asked to reconcile", LOG_STR("by", asked->by), LOG_STR("reason", asked->reason));
	auto_free char *body = mem_printf(
		"{\"status\":\"queued\",\"looks\":%llu}", (unsigned long long)snapshot->looks);
	http_respond(response, 202, "application/json", body);
}

void api_on_ask(void *data, const struct http_request *request, struct http_response *response)
{
	struct api *api = data;
	struct request asked = {.kind = (enum request_kind)http_request_tag(request)};
	const struct rule *rule = &rules[asked.kind];
	const struct api_options *options = api_options_of(api);
	auto_snapshot struct snapshot *snapshot = board_read(options->board);
	struct error err;
	if (!api_check(api, request, response, rule->right, asked.by) ||
		!read_target(request, &asked, response) ||
		!read_body(request, rule, &asked, response) ||
		!check_target(snapshot, &asked, response))
		return;
	if (asked.kind == REQUEST_RECONCILE) {
		reconcile(api, snapshot, &asked, response);
	} else if (options->ask(options->data, &asked, &err)) {
		log_info("asked", LOG_STR("request", rule->verb), LOG_STR("target", asked.target),
			LOG_STR("by", asked.by), LOG_STR("reason", asked.reason));
		respond_queued(response, asked.id);
	} else {
		http_respond_error(response, 503, "%s", err.message);
		http_respond_header(response, "Retry-After", "5");
	}
}

void api_on_request(void *data, const struct http_request *request, struct http_response *response)
{
	struct api *api = data;
	char by[REQUEST_BY_TEXT];
	const char *text = http_request_param(request, "name");
	uint64_t id = strtoull(text, NULL, 10);
	struct request_answer answer;
	if (!api_check(api, request, response, API_READ | API_WRITE | API_APPROVE, by))
		return;
	auto_snapshot struct snapshot *snapshot = board_read(api_options_of(api)->board);
	if (!snapshot_answer(snapshot, id, &answer)) {
		http_respond_error(
			response, 404, "request %s is not known any more: see the history", text);
		return;
	}
	auto_buf struct buf body = BUF_INIT(HTTP_BODY_MAX);
	struct emitter emitter;
	emit_begin(&emitter, EMIT_JSON, &body);
	emit_int(&emitter, "request", (int64_t)id);
	emit_str(&emitter, "state", request_state_name(answer.state));
	emit_opt(&emitter, "text", answer.text);
	emit_end(&emitter);
	http_respond_buf(response, 200, "application/json", &body);
}
