#include "base/keys.h"
#include "base/buf.h"
#include "base/clock.h"

struct reader {
	const struct key *keys;
	const char *what;
	const char *file; /* for what is missing */
	struct arena *arena;
	char *into;
	struct problems *problems;
};

static const char *file_of(const struct reader *reader, const struct node *node)
{
	return node && node->file ? node->file : reader->file;
}

/* Name of a key as messages say it: "branch", "repository.branch". */
static const char *full_name(const struct reader *reader, const char *key)
{
	if (!reader->what[0])
		return arena_str(reader->arena, key);
	return arena_printf(reader->arena, "%s.%s", reader->what, key);
}

PRINTF(4, 5)
static bool complain(const struct reader *reader, const struct node *node, const char *fix,
	const char *format, ...)
{
	auto_buf struct buf text = BUF_INIT(1024), clean = BUF_INIT(1024);
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	buf_add_clean(&clean, text.text, text.len); /* it quotes the file: line breaks, torn cuts */
	problems_add(reader->problems, file_of(reader, node), node ? node->line : 0, fix, "%s",
		clean.text);
	return false;
}

/* ---- values ---- */

static bool is_scalar(const struct node *node)
{
	return node->kind != NODE_LIST && node->kind != NODE_MAP && node->text;
}

/* "must be a text, not a number": the sentence that every wrong type gets. */
static bool wrong_kind(const struct reader *reader, const char *name, const struct node *node,
	const char *wanted, const char *fix)
{
	return complain(reader, node, fix, "'%s' must be %s, not %s%s", name, wanted,
		node->kind == NODE_BOOL || node->kind == NODE_NULL ? "" : "a ",
		node_kind_name(node->kind));
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7F)
			return true;
	return false;
}

static bool check_text(const struct reader *reader, const char *name, const struct node *node)
{
	if (node->kind != NODE_STRING && is_scalar(node)) {
		auto_free char *fix = mem_printf("write it in quotes: \"%.60s\"", node->text);
		return wrong_kind(reader, name, node, "a text", fix);
	}
	if (node->kind != NODE_STRING)
		return wrong_kind(reader, name, node, "a text", "write one text");
	if (!node->len)
		return complain(
			reader, node, "write a text or remove the key", "'%s' is empty", name);
	if (has_control(node->text))
		return complain(reader, node, "write it in one line of printable characters",
			"'%s' has a line break or another control character", name);
	return true;
}

static bool read_text(const struct reader *reader, const struct key *key, const char *name,
	const struct node *node)
{
	if (!check_text(reader, name, node))
		return false;
	*(char **)(void *)(reader->into + key->offset) =
		arena_dup(reader->arena, node->text, node->len);
	return true;
}

static bool read_texts(const struct reader *reader, const struct key *key, const char *name,
	const struct node *node)
{
	bool is_list = node->kind == NODE_LIST, good = true;
	struct key_texts *texts = (struct key_texts *)(void *)(reader->into + key->offset);
	size_t count = is_list ? node->count : 1;
	if (!count)
		return complain(reader, node, "write at least one text", "'%s' is empty", name);
	texts->items = arena_array(reader->arena, count, sizeof(*texts->items));
	texts->nodes = arena_array(reader->arena, count, sizeof(*texts->nodes));
	for (size_t i = 0; i < count; i++) {
		const struct node *item = is_list ? node->items[i] : node;
		const char *item_name =
			is_list ? arena_printf(reader->arena, "%s[%zu]", name, i) : name;
		if (!check_text(reader, item_name, item)) {
			good = false;
			continue;
		}
		texts->nodes[texts->count] = item;
		texts->items[texts->count++] = arena_dup(reader->arena, item->text, item->len);
	}
	return good;
}

static bool has_limits(const struct key *key)
{
	return key->min || key->max;
}

static bool read_int(const struct reader *reader, const struct key *key, const char *name,
	const struct node *node)
{
	if (node->kind != NODE_INT)
		return wrong_kind(reader, name, node, "a whole number",
			node->kind == NODE_STRING ? "write the digits alone, without quotes" : "");
	if (has_limits(key) && (node->integer < key->min || node->integer > key->max))
		return complain(reader, node, "", "'%s' is %lld, but must be %lld to %lld", name,
			(long long)node->integer, (long long)key->min, (long long)key->max);
	*(int64_t *)(void *)(reader->into + key->offset) = node->integer;
	return true;
}

static bool read_bool(const struct reader *reader, const struct key *key, const char *name,
	const struct node *node)
{
	if (node->kind != NODE_BOOL)
		return wrong_kind(reader, name, node, "true or false", "write true or false");
	*(bool *)(void *)(reader->into + key->offset) = node->boolean;
	return true;
}

static bool read_duration(const struct reader *reader, const struct key *key, const char *name,
	const struct node *node)
{
	static const char form[] = "write numbers with units d h m s ms, such as 1h30m or 10s";
	char least[CLOCK_TEXT_SIZE], most[CLOCK_TEXT_SIZE];
	int64_t ms;
	if (node->kind == NODE_INT) {
		auto_free char *fix = mem_printf("write the unit, such as %.20ss", node->text);
		return wrong_kind(reader, name, node, "a duration", fix);
	}
	if (node->kind != NODE_STRING)
		return wrong_kind(reader, name, node, "a duration", form);
	if (!duration_parse(node->text, &ms))
		return complain(reader, node, form, "'%s' is '%.60s', which is no duration", name,
			node->text);
	if (has_limits(key) && (ms < key->min || ms > key->max))
		return complain(reader, node, "", "'%s' is %.40s, but must be %s to %s", name,
			node->text, duration_format(key->min, least),
			duration_format(key->max, most));
	*(int64_t *)(void *)(reader->into + key->offset) = ms;
	return true;
}

static bool read_percent(const struct reader *reader, const struct key *key, const char *name,
	const struct node *node)
{
	if (node->kind == NODE_INT) {
		auto_free char *fix = mem_printf("write %.20s%%", node->text);
		return wrong_kind(reader, name, node, "a percentage", fix);
	}
	size_t digits = node->kind == NODE_STRING ? strspn(node->text, "0123456789") : 0;
	long value = digits && digits < 4 ? strtol(node->text, NULL, 10) : -1;
	if (value < 0 || value > 100 || strcmp(node->text + digits, "%"))
		return complain(reader, node, "write a whole number from 0% to 100%",
			"'%s' must be a percentage", name);
	*(int64_t *)(void *)(reader->into + key->offset) = value;
	return true;
}

static size_t word_count(const char *const *words)
{
	size_t count = 0;
	while (words[count])
		count++;
	return count;
}

static void list_words(const char *const *words, struct buf *out)
{
	for (size_t i = 0; words[i]; i++)
		buf_addf(out, "%s%s", !i ? "" : words[i + 1] ? ", " : " or ", words[i]);
}

static bool read_enum(const struct reader *reader, const struct key *key, const char *name,
	const struct node *node)
{
	auto_buf struct buf fix = BUF_INIT(512);
	const char *text = is_scalar(node) ? node->text : "";
	for (int i = 0; key->words[i]; i++) {
		if (strcmp(text, key->words[i]))
			continue;
		*(int *)(void *)(reader->into + key->offset) = i;
		return true;
	}
	const char *near = nearest_name(text, key->words, word_count(key->words));
	if (near)
		buf_addf(&fix, "did you mean '%s'? ", near);
	buf_add_str(&fix, "write ");
	list_words(key->words, &fix);
	if (!is_scalar(node))
		return wrong_kind(reader, name, node, "one word", fix.text);
	return complain(reader, node, fix.text, "'%s' can not be '%.60s'", name, text);
}

static bool read_map(const struct reader *reader, const struct key *key, const char *name,
	const struct node *node)
{
	return keys_read(key->keys, name, node, reader->file, reader->arena,
		reader->into + key->offset, reader->problems);
}

static bool read_list(const struct reader *reader, const struct key *key, const char *name,
	const struct node *node)
{
	struct key_list *list = (struct key_list *)(void *)(reader->into + key->offset);
	bool good = true;
	if (node->kind != NODE_LIST)
		return wrong_kind(
			reader, name, node, "a list", "begin each item of the list with '- '");
	list->count = node->count;
	list->items = arena_array(reader->arena, node->count, key->item_size);
	list->nodes = arena_array(reader->arena, node->count, sizeof(*list->nodes));
	for (size_t i = 0; i < node->count; i++) {
		const char *item = arena_printf(reader->arena, "%s[%zu]", name, i);
		list->nodes[i] = node->items[i];
		good = keys_read(key->keys, item, node->items[i], reader->file, reader->arena,
			       (char *)list->items + i * key->item_size, reader->problems) &&
		       good;
	}
	return good;
}

static bool read_node(const struct reader *reader, const struct key *key, const char *name,
	const struct node *node)
{
	(void)name; /* the caller checks the value, this only keeps it */
	*(const struct node **)(void *)(reader->into + key->offset) = node;
	return true;
}

static bool read_refused(const struct reader *reader, const struct key *key, const char *name,
	const struct node *node)
{
	(void)key; /* nothing is stored */
	return complain(reader, node, "remove the key", "'%s' is not supported yet", name);
}

typedef bool (*read_function)(const struct reader *reader, const struct key *key, const char *name,
	const struct node *node);

static const read_function readers[] = {
	[KEY_TEXT] = read_text,
	[KEY_INT] = read_int,
	[KEY_BOOL] = read_bool,
	[KEY_DURATION] = read_duration,
	[KEY_PERCENT] = read_percent,
	[KEY_ENUM] = read_enum,
	[KEY_NODE] = read_node,
	[KEY_TEXTS] = read_texts,
	[KEY_MAP] = read_map,
	[KEY_LIST] = read_list,
	[KEY_REFUSED] = read_refused,
};

/* ---- the walk ---- */

/* A default becomes what the file's text would be. */
static const struct node *standard_node(const struct reader *reader, const struct key *key)
{
	struct node *node = node_new(reader->arena, NODE_STRING, NULL);
	node->text = key->standard;
	node->len = strlen(key->standard);
	if (key->type == KEY_INT) {
		node->kind = NODE_INT;
		node->integer = strtoll(key->standard, NULL, 10);
	} else if (key->type == KEY_BOOL) {
		node->kind = NODE_BOOL;
		node->boolean = !strcmp(key->standard, "true");
	}
	return node;
}

static bool read_absent(const struct reader *reader, const struct key *key, const struct node *map,
	const struct node *value)
{
	if (key->required)
		return complain(reader, value && value->line ? value : map, "add it",
			"'%s' is missing", full_name(reader, key->name));
	if (key->type == KEY_MAP)
		return read_map(reader, key, full_name(reader, key->name), NULL);
	if (!key->standard)
		return true;
	return readers[key->type](
		reader, key, full_name(reader, key->name), standard_node(reader, key));
}

static bool read_key(const struct reader *reader, const struct key *key, const struct node *map)
{
	const struct node *value = node_get(map, key->name);
	if (key->type == KEY_REFUSED && value)
		return read_refused(reader, key, full_name(reader, key->name), value);
	if (key->type == KEY_REFUSED)
		return true;
	if (!value || value->kind == NODE_NULL)
		return read_absent(reader, key, map, value);
	return readers[key->type](reader, key, full_name(reader, key->name), value);
}

static const struct key *find_key(const struct key *keys, const char *name)
{
	for (const struct key *key = keys; key->name; key++)
		if (!strcmp(key->name, name))
			return key;
	return NULL;
}

static bool unknown_key(const struct reader *reader, const struct node_entry *entry)
{
	size_t count = 0;
	while (reader->keys[count].name)
		count++;
	auto_free const char **names = mem_zero(count, sizeof(*names));
	auto_buf struct buf fix = BUF_INIT(512);
	for (size_t i = 0; i < count; i++)
		names[i] = reader->keys[i].name;
	const char *near = nearest_name(entry->key, names, count);
	if (near)
		buf_addf(&fix, "did you mean '%s'?", near);
	else
		buf_add_str(&fix, "known are ");
	for (size_t i = 0; !near && i < count; i++)
		buf_addf(&fix, "%s%s", i ? ", " : "", names[i]);
	return complain(reader, entry->key_node ? entry->key_node : entry->value, fix.text,
		"unknown key '%.200s'", full_name(reader, entry->key));
}

bool keys_read(const struct key *keys, const char *what, const struct node *node, const char *place,
	struct arena *arena, void *into, struct problems *problems)
{
	struct reader reader = {.keys = keys,
		.what = what,
		.file = node && node->file ? node->file : place,
		.arena = arena,
		.into = into,
		.problems = problems};
	bool good = true;
	if (node && node->kind != NODE_NULL && node->kind != NODE_MAP)
		return wrong_kind(&reader, what[0] ? what : reader.file, node, "a map of keys",
			"write lines of 'key: value'");
	for (size_t i = 0; node && node->kind == NODE_MAP && i < node->count; i++)
		if (!find_key(keys, node->map[i].key))
			good = unknown_key(&reader, &node->map[i]) && good;
	for (const struct key *key = keys; key->name; key++)
		good = read_key(&reader, key, node) && good;
	return good;
}
