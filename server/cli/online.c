#include "server/cli/online.h"
#include "base/fs.h"
#include "base/http_client.h"
#include <cjson/cJSON.h>
#include <time.h>

#define ONLINE_TIMEOUT_MS 30000

int online_fail(const struct error *err)
{
	char line[1500];
	fprintf(stderr, "aviary: %s\n", error_line(err, line, sizeof(line)));
	return error_exit_status(err->code);
}

bool online_config(const char *path, const struct config_flags *flags, struct arena *arena,
	struct config **config_out)
{
	auto_problems struct problems problems = {0};
	if (config_load(path, flags, arena, config_out, &problems))
		return true;
	problems_sort(&problems);
	for (size_t i = 0; i < problems.count; i++) {
		auto_free char *text = problem_text(&problems.items[i]);
		fprintf(stderr, "%s\n", text);
	}
	return false;
}

/* The sentence of {"error": "..."}, else the bare status. */
static bool answer_error(const struct http_answer *answer, struct error *err)
{
	static const struct {
		int status;
		enum error_code code;
	} codes[] = {{401, ERR_AUTH}, {403, ERR_AUTH}, {404, ERR_NOT_FOUND}, {503, ERR_STOPPED}};
	enum error_code code = answer->status >= 500 ? ERR_SYSTEM : ERR_REFUSED;
	cJSON *body = cJSON_ParseWithLength(answer->body.text, answer->body.len);
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(body, "error"));
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i].status == answer->status)
			code = codes[i].code;
	if (text)
		error_set(err, code, "the service answers: %s", text);
	else
		error_set(err, code, "the service answers with status %d", answer->status);
	cJSON_Delete(body);
	return false;
}

static bool authorization(
	const struct online_service *service, char **header_out, struct error *err)
{
	auto_buf struct buf token = BUF_INIT_SECRET(CONFIG_SECRET_MAX);
	*header_out = NULL;
	if (!service->token_file)
		return true;
	if (!fs_read_secret(service->token_file, CONFIG_SECRET_MAX, &token, err))
		return false;
	*header_out = mem_printf("Authorization: Bearer %s", token.text);
	return true;
}

bool online_request(const struct online_service *service, const char *path, const char *json,
	struct buf *body_out, struct error *err)
{
	auto_free char *url =
		mem_printf("%s%s", service->url ? service->url : "http://localhost", path);
	char *header = NULL;
	if (!authorization(service, &header, err))
		return false;
	const char *const headers[] = {header, NULL};
	const struct http_request request = {.method = json ? "POST" : "GET",
		.url = url,
		.headers = headers,
		.body = json,
		.body_len = json ? strlen(json) : 0,
		.unix_socket = service->url ? NULL : service->socket,
		.timeout_ms = ONLINE_TIMEOUT_MS,
		.max_body = ONLINE_ANSWER_MAX};
	struct http_answer answer = {0};
	bool done = http_client_do(&request, &answer, err);
	auto_buf struct buf wiped = {.text = buf_empty, .secret = true};
	if (header)
		wiped = (struct buf){.text = header,
			.len = strlen(header),
			.capacity = strlen(header) + 1,
			.secret = true};
	if (!done) {
		/* libcurl would name a host and a port that nobody asked for. */
		if (!service->url && err->code == ERR_UNREACHABLE)
			error_set(err, err->code, "no service answers at '%s'", service->socket);
		else
			error_wrap(err, "no service answers at '%s'",
				service->url ? service->url : service->socket);
		return error_hint(err, "start it with 'aviary serve', or name the right -c FILE");
	}
	bool good = answer.status >= 200 && answer.status < 300;
	if (good)
		buf_add(body_out, answer.body.text, answer.body.len);
	else
		answer_error(&answer, err);
	http_answer_clear(&answer);
	return good;
}

const char *online_text(const struct cJSON *object, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
	return text ? text : "";
}

double online_number(const struct cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
	return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

bool online_get(const struct online_service *service, const char *path, struct cJSON **object_out,
	struct error *err)
{
	auto_buf struct buf body = BUF_INIT(ONLINE_ANSWER_MAX);
	if (!online_request(service, path, NULL, &body, err))
		return false;
	cJSON *object = cJSON_ParseWithLength(body.text, body.len);
	if (!cJSON_IsObject(object)) {
		cJSON_Delete(object);
		return error_set(err, ERR_UNREACHABLE, "what answers is no aviary service");
	}
	*object_out = object;
	return true;
}

void online_pause(void)
{
	const struct timespec pause = {.tv_nsec = ONLINE_POLL_MS * 1000000L};
	(void)nanosleep(&pause, NULL); /* woken early by a signal: asked a little sooner */
}
