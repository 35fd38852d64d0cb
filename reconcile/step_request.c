#include "reconcile/step_request.h"
#include "base/buf.h"
#include "templates/mustache.h"

struct request_reader {
	const struct policy_step *step;
	const struct node *context;
	struct arena *arena;
	bool encrypted;
};

static const struct node *make_context(const struct step_view *view, struct arena *arena)
{
	const struct node *vars = client_context(view->client, arena);
	struct node_entry *entries = arena_array(arena, vars->count + 1, sizeof(*entries));
	size_t count = vars->count;
	if (count)
		memcpy(entries, vars->map, count * sizeof(*entries));
	if (view->secrets)
		entries[count++] = (struct node_entry){
			.key = "secrets", .key_len = strlen("secrets"), .value = view->secrets};
	return node_new_map(arena, entries, count, vars);
}

static bool render(const struct request_reader *reader, const struct node *place, const char *text,
	const char **out, struct error *err)
{
	char *rendered = NULL;
	if (!text)
		return true;
	if (!mustache_text(place, text, reader->context, &rendered, err))
		return false;
	*out = arena_str(reader->arena, rendered);
	explicit_bzero(rendered, strlen(rendered)); /* may hold secrets */
	free(rendered);
	return true;
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7F)
			return true;
	return false;
}

/* The text itself is not quoted: it may hold a secret. */
static bool check_line(
	const struct node *place, const char *name, const char *text, struct error *err)
{
	if (!has_control(text))
		return true;
	(void)node_error(err, place, "'%s' has a line break or another control character",
		name); /* returns false */
	return error_hint(err, "a value that it names must be one line");
}

static bool render_url(
	const struct request_reader *reader, struct step_request *request, struct error *err)
{
	const struct node *place = node_get(reader->step->node, "http");
	if (!render(reader, place, reader->step->url, &request->url, err) ||
		!check_line(place, "http", request->url, err))
		return false;
	if (!strncmp(request->url, "http://", 7) || !strncmp(request->url, "https://", 8))
		return true;
	if (reader->encrypted && !strncmp(request->url, "ENC[", 4))
		return true; /* a secret: looked at when the request is made */
	(void)node_error(err, place, "'%s' becomes no URL", reader->step->url); /* returns false */
	return error_hint(err, "it must begin with http:// or https://");
}

static bool render_headers(
	const struct request_reader *reader, struct step_request *request, struct error *err)
{
	const struct node *headers = reader->step->headers;
	size_t count = headers ? headers->count : 0;
	request->headers = arena_array(reader->arena, count + 1, sizeof(*request->headers));
	for (size_t i = 0; i < count; i++) {
		const struct node_entry *entry = &headers->map[i];
		const char *value = NULL;
		if (!render(reader, entry->value, entry->value->text, &value, err) ||
			!check_line(entry->value, entry->key, value, err))
			return false;
		request->headers[i] = arena_printf(reader->arena, "%s: %s", entry->key, value);
	}
	return true;
}

bool step_request_render(const struct policy_step *step, const struct step_view *view,
	struct arena *arena, struct step_request *request_out, struct error *err)
{
	const struct request_reader reader = {
		step, make_context(view, arena), arena, view->encrypted};
	struct step_request request = {.method = step->method, .status = (int)step->status};
	const struct node *body = node_get(step->node, "body");
	if (!render_url(&reader, &request, err) ||
		!render(&reader, body, step->body, &request.body, err) ||
		!render_headers(&reader, &request, err))
		return false;
	request.method = arena_str(arena, step->method);
	*request_out = request;
	return true;
}
