#include "base/buf.h"
#include "base/clock.h"
#include "base/keys.h"

#define PROSE_COLUMNS 78 /* mandoc -Tlint wants less than 80 */

static void add_word(struct buf *out, const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (word[i] == '\\')
			buf_add_str(out, "\\e");
		else
			buf_add_char(out, word[i]);
	}
}

void keys_man_prose(const char *text, struct buf *out)
{
	size_t used = 0; /* columns of the current line; 0: at its start */
	for (;;) {
		text += strspn(text, " ");
		size_t len = strcspn(text, " ");
		if (!len)
			break;
		bool breaks = used && used + 1 + len > PROSE_COLUMNS;
		if (used)
			buf_add_char(out, breaks ? '\n' : ' ');
		used = breaks ? 0 : used + (used > 0);
		if (!used && (*text == '.' || *text == '\''))
			buf_add_str(out, "\\&"); /* would be a request of roff */
		add_word(out, text, len);
		used += len;
		text += len;
		if (strchr(".?!", text[-1]) && *text) { /* a sentence begins a line */
			buf_add_char(out, '\n');
			used = 0;
		}
	}
	buf_add_char(out, '\n');
}

static const char *type_text(const struct key *key)
{
	static const char *const names[] = {
		[KEY_TEXT] = "text",
		[KEY_INT] = "whole number",
		[KEY_BOOL] = "true or false",
		[KEY_DURATION] = "duration",
		[KEY_PERCENT] = "percentage",
		[KEY_ENUM] = "word",
		[KEY_NODE] = "see below",
		[KEY_TEXTS] = "text or list of texts",
		[KEY_MAP] = "map",
		[KEY_LIST] = "list of maps",
		[KEY_REFUSED] = "not supported yet",
	};
	return key->type == KEY_NODE ? NULL : names[key->type];
}

static void add_limits(const struct key *key, struct buf *out)
{
	char least[CLOCK_TEXT_SIZE], most[CLOCK_TEXT_SIZE];
	if (!key->min && !key->max)
		return;
	if (key->type == KEY_DURATION)
		buf_addf(out, ", %s to %s", duration_format(key->min, least),
			duration_format(key->max, most));
	else if (key->type == KEY_INT)
		buf_addf(out, ", %lld to %lld", (long long)key->min, (long long)key->max);
}

/* "Whole number, 1 to 100. Default 3. Environment AVIARY_X." */
static void add_facts(const struct key *key, struct buf *out)
{
	const char *type = type_text(key);
	auto_buf struct buf line = BUF_INIT(1024);
	if (type)
		buf_addf(&line, "Type: %s", type);
	add_limits(key, &line);
	for (size_t i = 0; key->type == KEY_ENUM && key->words[i]; i++)
		buf_addf(&line, "%s%s", i ? ", " : ": ", key->words[i]);
	if (line.len)
		buf_add_str(&line, ".");
	if (key->required)
		buf_add_str(&line, " Required.");
	if (key->standard)
		buf_addf(&line, " Default: %s.", key->standard);
	if (line.len) {
		buf_add_str(out, ".br\n");
		keys_man_prose(line.text, out);
	}
	if (key->env)
		buf_addf(out, ".br\nThe environment variable\n.Ev %s\noverrides it.\n", key->env);
}

/* A map of freely named maps is a KEY_NODE with a table. */
static const char *nested_mark(enum key_type type)
{
	return type == KEY_LIST ? "[]" : type == KEY_NODE ? ".NAME" : "";
}

void keys_to_man(const struct key *keys, const char *prefix, struct buf *out)
{
	for (const struct key *key = keys; key->name; key++) {
		if (key->type == KEY_REFUSED)
			continue;
		buf_addf(out, ".It Ic %s%s\n", prefix, key->name);
		if (key->doc)
			keys_man_prose(key->doc, out);
		add_facts(key, out);
		if (!key->keys)
			continue;
		auto_free char *inner =
			mem_printf("%s%s%s.", prefix, key->name, nested_mark(key->type));
		keys_to_man(key->keys, inner, out);
	}
}
