/* dotenv: `key=value` a line, no quotes, no trimming (specs/sops-age.md 2.13) */
#include "base/buf.h"
#include "reconcile/secrets/sops_flat.h"

#define PREFIX    "sops_"
#define LINE_MAX_ ((size_t)16 << 20)

struct reader {
	struct arena *arena;
	struct sops_entries values, metadata;
	struct node place; /* file and line of the line at hand */
};

static void reader_clear(struct reader *reader)
{
	sops_entries_clear(&reader->values);
	sops_entries_clear(&reader->metadata);
}

/* The two characters \n stand for a line feed. */
static void add_unescaped(struct buf *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		bool escaped = text[i] == '\\' && i + 1 < len && text[i + 1] == 'n';
		buf_add_char(out, escaped ? '\n' : text[i]);
		i += escaped;
	}
}

static bool read_line(struct reader *reader, const char *line, size_t len, struct error *err)
{
	const char *equals = memchr(line, '=', len);
	auto_buf struct buf key = BUF_INIT(LINE_MAX_);
	auto_buf struct buf value = BUF_INIT_SECRET(LINE_MAX_);
	if (!equals)
		return node_error(err, &reader->place, "line has no '='");
	size_t key_len = (size_t)(equals - line), prefix = strlen(PREFIX);
	bool metadata = key_len > prefix && memcmp(line, PREFIX, prefix) == 0;
	size_t skip = metadata ? prefix : 0;
	buf_add(&key, line + skip, key_len - skip);
	add_unescaped(&value, equals + 1, len - key_len - 1);
	sops_entries_add(metadata ? &reader->metadata : &reader->values, reader->arena,
		reader->place, &key, &value);
	return true;
}

static bool read_lines(struct reader *reader, const char *bytes, size_t len, struct error *err)
{
	const char *end = bytes + len;
	while (bytes < end) {
		const char *stop = memchr(bytes, '\n', (size_t)(end - bytes));
		size_t size = (size_t)((stop ? stop : end) - bytes);
		reader->place.line++;
		if (size && bytes[0] != '#' && !read_line(reader, bytes, size, err))
			return false;
		bytes += size + (stop ? 1 : 0);
	}
	return true;
}

bool sops_dotenv_read(const struct sops_source *source, struct arena *arena,
	const struct node **document_out, struct error *err)
{
	CLEANUP(reader_clear)
	struct reader reader = {
		.arena = arena, .place = {.file = arena_str(arena, source->file), .column = 1}};
	struct node_entry sops = {.key = "sops", .key_len = 4};
	if (!read_lines(&reader, source->bytes, source->len, err))
		return false;
	reader.place.line = 1;
	if (reader.metadata.count) {
		struct sops_entries *values = &reader.values;
		if (!sops_unflatten(arena, &reader.place, &reader.metadata, &sops.value, err))
			return false;
		mem_grow(values->items, values->count, values->capacity);
		values->items[values->count++] = sops;
	}
	*document_out =
		node_new_map(arena, reader.values.items, reader.values.count, &reader.place);
	return true;
}
