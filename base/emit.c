#include "base/emit.h"
#include "base/clock.h"
#include <assert.h>
#include <ctype.h>
#include <strings.h>

#define EMIT_MAX_DEPTH 60 /* bits of the flags below, and far more than any record has */

static uint64_t bit(const struct emitter *emitter)
{
	return UINT64_C(1) << emitter->depth;
}

/* Could some YAML reader take this plain text for a number, a date or a base-60 number? */
static bool reads_as_number(const char *text)
{
	char *end;
	size_t len = strlen(text);
	if (!isdigit((unsigned char)text[0]) && !strchr("+-.", text[0]))
		return false;
	(void)strtod(text, &end);
	const char *dot = strchr(text, '.');
	bool one_dot = !dot || !strchr(dot + 1, '.');
	return !*end || (one_dot && strspn(text, "0123456789_.") == len) ||
	       (strchr(text, ':') && strspn(text, "0123456789_:.") == len) ||
	       (len >= 3 && text[0] == '0' && strchr("xob", text[1])) ||
	       (len >= 8 && strspn(text, "0123456789-") == len) ||
	       (strspn(text, "0123456789") == 4 && text[4] == '-'); /* 2026-11-24T10:15:42Z */
}

static bool plain_is_safe(const char *text)
{
	static const char *const words[] = {
		"true", "false", "null", "yes", "no", "on", "off", "y", "n"};
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._/@+-:";
	size_t len = strlen(text);
	if (!len || strspn(text, allowed) != len || text[len - 1] == ':')
		return false;
	if (!isalnum((unsigned char)text[0]) && text[0] != '/')
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcasecmp(text, words[i]))
			return false;
	return !reads_as_number(text);
}

static void add_quoted(struct buf *out, const char *text)
{
	buf_add_char(out, '"');
	buf_add_json(out, text, strlen(text)); /* JSON's escapes are YAML's too */
	buf_add_char(out, '"');
}

static void add_yaml_text(struct buf *out, const char *text)
{
	if (plain_is_safe(text))
		buf_add_str(out, text);
	else
		add_quoted(out, text);
}

/* What stands before a value: separator, indentation, dash, key. */
static void lead_in(struct emitter *emitter, const char *key)
{
	struct buf *out = emitter->out;
	bool first = !(emitter->has_items & bit(emitter));
	bool list = emitter->is_list & bit(emitter);
	assert(list == !key);
	emitter->has_items |= bit(emitter);
	if (emitter->format == EMIT_JSON) {
		if (!first)
			buf_add_char(out, ',');
		if (key) {
			add_quoted(out, key);
			buf_add_char(out, ':');
		}
		return;
	}
	if (emitter->pending_dash)
		emitter->pending_dash = false;
	else
		for (unsigned i = 1; i < emitter->depth; i++)
			buf_add_str(out, "  ");
	if (key) {
		add_yaml_text(out, key);
		buf_add_char(out, ':');
	} else {
		buf_add_char(out, '-');
	}
}

static void open_level(struct emitter *emitter, const char *key, bool list)
{
	lead_in(emitter, key);
	assert(emitter->depth < EMIT_MAX_DEPTH);
	emitter->depth++;
	emitter->has_items &= ~bit(emitter);
	if (list)
		emitter->is_list |= bit(emitter);
	else
		emitter->is_list &= ~bit(emitter);
	if (emitter->format == EMIT_JSON)
		buf_add_char(emitter->out, list ? '[' : '{');
}

/* YAML: the line of a non-empty level ends once its first item is known to come. */
static void begin_item(struct emitter *emitter)
{
	bool first = !(emitter->has_items & bit(emitter));
	if (emitter->format != EMIT_YAML || !first || emitter->depth <= 1)
		return;
	emitter->depth--;
	bool inside_list = emitter->is_list & bit(emitter);
	emitter->depth++;
	bool list = emitter->is_list & bit(emitter);
	if (inside_list && !list) {
		buf_add_char(emitter->out, ' ');
		emitter->pending_dash = true;
	} else {
		buf_add_char(emitter->out, '\n');
	}
}

void emit_begin(struct emitter *emitter, enum emit_format format, struct buf *out)
{
	*emitter = (struct emitter){.out = out, .format = format, .depth = 1};
	if (format == EMIT_JSON)
		buf_add_char(out, '{');
}

void emit_end(struct emitter *emitter)
{
	assert(emitter->depth == 1);
	if (emitter->format == EMIT_JSON)
		buf_add_char(emitter->out, '}');
	else if (!(emitter->has_items & bit(emitter)))
		buf_add_str(emitter->out, "{}\n");
}

void emit_map(struct emitter *emitter, const char *key)
{
	begin_item(emitter);
	open_level(emitter, key, false);
}

void emit_list(struct emitter *emitter, const char *key)
{
	begin_item(emitter);
	open_level(emitter, key, true);
}

void emit_close(struct emitter *emitter)
{
	bool list = emitter->is_list & bit(emitter);
	bool empty = !(emitter->has_items & bit(emitter));
	if (emitter->format == EMIT_JSON)
		buf_add_char(emitter->out, list ? ']' : '}');
	else if (empty)
		buf_add_str(emitter->out, list ? " []\n" : " {}\n");
	emitter->depth--;
}

static void begin_scalar(struct emitter *emitter, const char *key)
{
	begin_item(emitter);
	lead_in(emitter, key);
	if (emitter->format == EMIT_YAML)
		buf_add_char(emitter->out, ' ');
}

static void end_scalar(struct emitter *emitter)
{
	if (emitter->format == EMIT_YAML)
		buf_add_char(emitter->out, '\n');
}

static void add_scalar(struct emitter *emitter, const char *key, const char *text, bool quote)
{
	begin_scalar(emitter, key);
	if (!quote)
		buf_add_str(emitter->out, text);
	else if (emitter->format == EMIT_JSON)
		add_quoted(emitter->out, text);
	else
		add_yaml_text(emitter->out, text);
	end_scalar(emitter);
}

void emit_str(struct emitter *emitter, const char *key, const char *text)
{
	add_scalar(emitter, key, text ? text : "null", text != NULL);
}

void emit_opt(struct emitter *emitter, const char *key, const char *text)
{
	if (text && *text)
		emit_str(emitter, key, text);
}

void emit_int(struct emitter *emitter, const char *key, int64_t number)
{
	begin_scalar(emitter, key);
	buf_add_int(emitter->out, number);
	end_scalar(emitter);
}

void emit_bool(struct emitter *emitter, const char *key, bool value)
{
	add_scalar(emitter, key, value ? "true" : "false", false);
}

void emit_time(struct emitter *emitter, const char *key, int64_t wall_s)
{
	char text[CLOCK_TEXT_SIZE];
	if (wall_s)
		add_scalar(emitter, key, clock_format(wall_s, text), emitter->format == EMIT_JSON);
}

void emit_raw_json(struct emitter *emitter, const char *key, const char *json)
{
	assert(emitter->format == EMIT_JSON);
	lead_in(emitter, key);
	buf_add_str(emitter->out, json);
}

void emit_strs(struct emitter *emitter, const char *key, const struct strlist *list)
{
	if (!list->count)
		return;
	emit_list(emitter, key);
	for (size_t i = 0; i < list->count; i++)
		emit_str(emitter, NULL, list->items[i]);
	emit_close(emitter);
}
