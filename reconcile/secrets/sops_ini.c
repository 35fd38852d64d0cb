/* ini as sops' library reads it (specs/sops-age.md 2.14); comments are dropped */
#include "base/buf.h"
#include "reconcile/secrets/sops_flat.h"

#define VALUE_MAX ((size_t)16 << 20)
#define TRIPLE    "\"\"\""

struct reader {
	struct arena *arena;
	const char *at, *end;
	struct node place; /* file and line of the line at hand */
	struct sops_entries sections, keys;
	const char *section; /* whose keys are being read */
};

static void reader_clear(struct reader *reader)
{
	sops_entries_clear(&reader->sections);
	sops_entries_clear(&reader->keys);
}

struct text {
	const char *start;
	size_t len;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct text trim(struct text text)
{
	while (text.len && is_blank(text.start[0])) {
		text.start++;
		text.len--;
	}
	while (text.len && is_blank(text.start[text.len - 1]))
		text.len--;
	return text;
}

static struct text next_line(struct reader *reader)
{
	const char *start = reader->at;
	const char *stop = memchr(start, '\n', (size_t)(reader->end - start));
	reader->at = stop ? stop + 1 : reader->end;
	reader->place.line++;
	return (struct text){start, (size_t)((stop ? stop : reader->end) - start)};
}

static bool end_section(struct reader *reader, struct error *err)
{
	const struct node *map;
	struct node_entry entry = {.key = reader->section, .key_len = strlen(reader->section)};
	if (strcmp(reader->section, "sops") != 0)
		map = node_new_map(
			reader->arena, reader->keys.items, reader->keys.count, &reader->place);
	else if (!sops_unflatten(reader->arena, &reader->place, &reader->keys, &map, err))
		return false;
	entry.value = map;
	mem_grow(reader->sections.items, reader->sections.count, reader->sections.capacity);
	reader->sections.items[reader->sections.count++] = entry;
	sops_entries_clear(&reader->keys);
	return true;
}

static bool start_section(struct reader *reader, struct text line, struct error *err)
{
	const char *close = memrchr(line.start, ']', line.len);
	if (!close)
		return node_error(err, &reader->place, "section has no ']'");
	if (!end_section(reader, err))
		return false;
	struct text name = trim((struct text){line.start + 1, (size_t)(close - line.start - 1)});
	reader->section = arena_dup(reader->arena, name.start, name.len);
	return true;
}

/* """...""" over lines. @p rest stands behind the opening quotes. */
static bool read_triple(struct reader *reader, struct text rest, struct buf *out, struct error *err)
{
	for (;;) {
		const char *close = memmem(rest.start, rest.len, TRIPLE, strlen(TRIPLE));
		if (close) {
			buf_add(out, rest.start, (size_t)(close - rest.start));
			return true;
		}
		buf_add(out, rest.start, rest.len);
		buf_add_char(out, '\n');
		if (reader->at == reader->end)
			return node_error(err, &reader->place, "value's quotes are not closed");
		rest = next_line(reader);
	}
}

static struct text cut_comment(struct text value)
{
	for (size_t i = 1; i < value.len; i++) {
		if ((value.start[i] == ';' || value.start[i] == '#') &&
			is_blank(value.start[i - 1]))
			return trim((struct text){value.start, i});
	}
	return value;
}

static bool read_value(struct reader *reader, struct text value, struct buf *out, struct error *err)
{
	value = trim(value);
	if (value.len >= 3 && memcmp(value.start, TRIPLE, 3) == 0)
		return read_triple(reader, (struct text){value.start + 3, value.len - 3}, out, err);
	if (value.len && strchr("\"'`", value.start[0])) {
		const char *close = memchr(value.start + 1, value.start[0], value.len - 1);
		if (close) {
			buf_add(out, value.start + 1, (size_t)(close - value.start - 1));
			return true;
		}
	}
	while (value.len && value.start[value.len - 1] == '\\' && reader->at < reader->end) {
		buf_add(out, value.start, value.len - 1);
		value = trim(next_line(reader));
	}
	value = cut_comment(value);
	buf_add(out, value.start, value.len);
	return true;
}

static bool read_key(struct reader *reader, struct text line, struct error *err)
{
	size_t split = 0;
	auto_buf struct buf key = BUF_INIT(VALUE_MAX);
	auto_buf struct buf value = BUF_INIT_SECRET(VALUE_MAX);
	while (split < line.len && line.start[split] != '=' && line.start[split] != ':')
		split++;
	if (split == line.len || !split)
		return node_error(err, &reader->place, "line has no key and '='");
	struct text name = trim((struct text){line.start, split});
	if (name.len >= 2 && strchr("\"`", name.start[0]) &&
		name.start[name.len - 1] == name.start[0])
		name = (struct text){name.start + 1, name.len - 2};
	buf_add(&key, name.start, name.len);
	struct node place = reader->place;
	struct text rest = {line.start + split + 1, line.len - split - 1};
	if (!read_value(reader, rest, &value, err))
		return false;
	sops_entries_add(&reader->keys, reader->arena, place, &key, &value);
	return true;
}

static bool read_lines(struct reader *reader, struct error *err)
{
	while (reader->at < reader->end) {
		struct text line = trim(next_line(reader));
		bool ok = true;
		if (!line.len || line.start[0] == ';' || line.start[0] == '#')
			continue;
		if (line.start[0] == '[')
			ok = start_section(reader, line, err);
		else
			ok = read_key(reader, line, err);
		if (!ok)
			return false;
	}
	return end_section(reader, err);
}

bool sops_ini_read(const struct sops_source *source, struct arena *arena,
	const struct node **document_out, struct error *err)
{
	CLEANUP(reader_clear)
	struct reader reader = {
		.arena = arena,
		.at = source->bytes,
		.end = source->bytes + source->len,
		.place = {.file = arena_str(arena, source->file), .column = 1},
		.section = "DEFAULT",
	};
	if (!read_lines(&reader, err))
		return false;
	*document_out =
		node_new_map(arena, reader.sections.items, reader.sections.count, &reader.place);
	return true;
}
