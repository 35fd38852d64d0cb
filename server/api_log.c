/* GET rollouts/{name}/log/{client}: what the steps of a client printed in a rollout. */
#include "base/emit.h"
#include "reconcile/output.h"
#include "server/api_parts.h"

#define ANSWER_MAX (2 * OUTPUT_READ_MAX) /* quotes and line ends take two characters in JSON */

/* A client in a rollout. */
struct place {
	const struct rollout_record *rollout;
	const struct stage_record *stage;
	const struct member_record *member;
};

/* The newest picture: the running rollout's own, if it is this one. */
static const struct rollout_record *newest(
	const struct snapshot *snapshot, const struct rollout_record *record)
{
	const struct rollout_record *running = snapshot->rollout;
	return running && !strcmp(running->id, record->id) ? running : record;
}

/* @return false, with 404 */
static bool find_place(const struct snapshot *snapshot, const struct http_request *request,
	struct http_response *response, struct place *place_out)
{
	const char *client = http_request_param(request, "client");
	const struct rollout_record *record =
		api_find_rollout(snapshot, http_request_param(request, "name"), response);
	if (!record)
		return false;
	record = newest(snapshot, record);
	for (size_t i = 0; i < record->stage_count; i++) {
		const struct stage_record *stage = &record->stages[i];
		for (size_t k = 0; k < stage->member_count; k++) {
			if (strcmp(stage->members[k].client, client) != 0)
				continue;
			*place_out = (struct place){record, stage, &stage->members[k]};
			return true;
		}
	}
	if (api_find_client(snapshot, client, response))
		http_respond_error(response, 404, "rollout '%s' does not change client '%s'",
			record->id, client);
	return false;
}

/* May there be more? A healthy client can still go back until its stage has ended. */
static bool is_open(const struct place *place)
{
	switch (place->member->state) {
	case MEMBER_ROLLED_BACK:
	case MEMBER_FAILED:
	case MEMBER_SKIPPED:
	case MEMBER_SUPERSEDED:
		return false;
	default:
		return !rollout_state_is_final(place->rollout->state) &&
		       place->stage->state != STAGE_SUCCEEDED;
	}
}

static bool read_from(
	const struct http_request *request, int64_t *from_out, struct http_response *response)
{
	char text[20]; /* nine exabytes */
	char *end = NULL;
	*from_out = 0;
	if (!http_request_query(request, "from", text, sizeof(text)) && !text[0])
		return true;
	*from_out = strtoll(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && !*end)
		return true;
	http_respond_error(response, 400, "'from' is a number of bytes: the 'end' of an answer");
	return false;
}

static void respond(const struct place *place, const struct output_place *kept, int64_t from,
	struct http_response *response)
{
	auto_buf struct buf text = BUF_INIT(OUTPUT_READ_MAX + 1);
	auto_buf struct buf body = BUF_INIT(ANSWER_MAX);
	struct emitter emitter;
	struct error err;
	int64_t end;
	bool open = is_open(place); /* before it is read: what comes later comes with the next */
	if (!output_read(kept, from, &text, &end, &err)) {
		http_respond_error(response, 500, "%s", err.message);
		return;
	}
	emit_begin(&emitter, EMIT_JSON, &body);
	emit_str(&emitter, "rollout", place->rollout->id);
	emit_str(&emitter, "client", place->member->client);
	emit_str(&emitter, "state", member_state_name(place->member->state));
	emit_bool(&emitter, "running", open);
	emit_int(&emitter, "from", from);
	emit_int(&emitter, "end", end);
	emit_str(&emitter, "text", text.text);
	emit_end(&emitter);
	http_respond_buf(response, 200, "application/json", &body);
}

void api_on_log(void *data, const struct http_request *request, struct http_response *response)
{
	struct api *api = data;
	const struct api_options *options = api_options_of(api);
	struct place place;
	char by[REQUEST_BY_TEXT];
	int64_t from;
	if (!api_check(api, request, response, API_READ, by))
		return;
	auto_snapshot struct snapshot *snapshot = board_read(options->board);
	if (!read_from(request, &from, response) ||
		!find_place(snapshot, request, response, &place))
		return;
	auto_free char *log_dir = mem_printf("%s/logs", options->state_dir);
	const struct output_place kept = {log_dir, place.rollout->id, place.member->client};
	respond(&place, &kept, from, response);
}
