#include "reconcile/checks/checks_judge.h"
#include "base/clock.h"
#include "base/node.h"

#define STANDARD_TIMEOUT_MS 10000
#define STANDARD_STATUS     200
/* Of each value that is quoted: enough to recognise it, short enough for a line. */
#define QUOTE_MAX 80
#define DAY_S     86400
/* A body is at most 64 KiB; its tree takes more, but not without end. */
#define TREE_MAX ((size_t)64 << 20)

int64_t judge_timeout_ms(const struct check_spec *spec)
{
	return spec->timeout_ms ? spec->timeout_ms : STANDARD_TIMEOUT_MS;
}

static void add_quote(struct buf *why, const char *text, size_t len)
{
	buf_add_clean(why, text, len < QUOTE_MAX ? len : QUOTE_MAX);
	if (len > QUOTE_MAX)
		buf_add_str(why, "...");
}

static void tell_late(const struct check_spec *spec, const char *what, struct buf *why)
{
	char text[CLOCK_TEXT_SIZE];
	buf_addf(why, "%s within %s", what, duration_format(judge_timeout_ms(spec), text));
}

/* ---- http ----------------------------------------------------------------------------------- */

static void add_value(struct buf *why, const struct node *value)
{
	auto_buf struct buf text = BUF_INIT(65536);
	node_to_json(value, 0, false, &text);
	add_quote(why, text.text, text.len);
}

static bool judge_member(struct arena *arena, const struct node *object,
	const struct check_member *member, struct buf *why)
{
	struct error err;
	const struct node *expected = NULL;
	const struct node *seen = node_get(object, member->name);
	if (!node_parse_json(
		    arena, "expected value", member->json, strlen(member->json), &expected, &err)) {
		buf_addf(why, "the expected value of '%s' is not JSON", member->name);
		return false;
	}
	if (seen && node_equal(seen, expected))
		return true;
	buf_addf(why, "'%s' is ", member->name);
	if (seen)
		add_value(why, seen);
	else
		buf_add_str(why, "missing");
	buf_add_str(why, ", expected ");
	add_value(why, expected);
	return false;
}

static void judge_json(
	const struct check_spec *spec, const struct http_answer *answer, struct buf *why)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, TREE_MAX);
	const struct node *object = NULL;
	struct error err;
	const struct buf *body = &answer->body;
	if (answer->body_cut) {
		buf_addf(why, "the answer is longer than %zu bytes, too long for JSON", body->len);
		return;
	}
	if (!node_parse_json(arena, "answer", body->text, body->len, &object, &err)) {
		buf_add_str(why, "the answer is not JSON: '");
		add_quote(why, body->text, body->len);
		buf_add_str(why, "'");
		return;
	}
	if (object->kind != NODE_MAP) {
		buf_addf(why, "the answer is a JSON %s, expected an object",
			node_kind_name(object->kind));
		return;
	}
	for (size_t i = 0; i < spec->json_count; i++) {
		if (!judge_member(arena, object, &spec->json[i], why))
			return;
	}
}

static void judge_http(
	const struct check_spec *spec, const struct http_answer *answer, struct buf *why)
{
	int status = spec->status ? spec->status : STANDARD_STATUS;
	if (answer->status != status) {
		buf_addf(why, "status %d, expected %d", answer->status, status);
		return;
	}
	if (spec->json_count)
		judge_json(spec, answer, why);
	if (why->len || !spec->body ||
		memmem(answer->body.text, answer->body.len, spec->body, strlen(spec->body)))
		return;
	buf_addf(why, "the %s of the answer %s '", answer->body_cut ? "beginning (64 KiB)" : "body",
		answer->body.len ? "does not contain" : "is empty, expected");
	add_quote(why, spec->body, strlen(spec->body));
	buf_add_str(why, "'");
}

/* ---- tls, command --------------------------------------------------------------------------- */

static void judge_tls(const struct check_spec *spec, const struct http_answer *answer,
	int64_t now_s, struct buf *why)
{
	if (!spec->min_days)
		return;
	if (!answer->certificate_expires) {
		buf_add_str(why, "the certificate does not tell when it expires");
		return;
	}
	int64_t days = (answer->certificate_expires - now_s) / DAY_S;
	if (days < spec->min_days)
		buf_addf(why, "the certificate expires in %lld days, expected at least %lld",
			(long long)days, (long long)spec->min_days);
}

void judge_answer(const struct check_spec *spec, const struct http_answer *answer, int64_t now_s,
	struct buf *why)
{
	if (answer->err.code == ERR_TIMEOUT) {
		tell_late(spec, spec->kind == PROBE_HTTP ? "no answer" : "no connection", why);
		return;
	}
	if (answer->err.code != ERR_NONE) {
		buf_add_clean(why, answer->err.message, strlen(answer->err.message));
		return;
	}
	if (spec->kind == PROBE_HTTP)
		judge_http(spec, answer, why);
	else if (spec->kind == PROBE_TLS)
		judge_tls(spec, answer, now_s, why);
}

/* What a command says last is most often the reason. */
static void add_last_line(struct buf *why, const struct buf *output)
{
	size_t end = output->len;
	while (end && strchr(" \t\r\n", output->text[end - 1]))
		end--;
	size_t start = end;
	while (start && output->text[start - 1] != '\n')
		start--;
	if (start == end)
		return;
	buf_add_str(why, ", output '");
	add_quote(why, output->text + start, end - start);
	buf_add_str(why, "'");
}

void judge_command(const struct check_spec *spec, const struct exec_result *result, struct buf *why)
{
	if (result->timed_out)
		tell_late(spec, "the command did not end", why);
	else if (result->signal)
		buf_addf(why, "the command was ended by signal %d", result->signal);
	else if (result->exit_status)
		buf_addf(why, "the command ended with status %d, expected 0", result->exit_status);
	if (why->len)
		add_last_line(why, &result->output);
}
