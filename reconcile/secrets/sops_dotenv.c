/* dotenv: `key=value` a line, no quotes, no trimming (specs/sops-age.md 2.13) */
#include "reconcile/secrets/sops_formats.h"

#define VALUE_MAX ((size_t)32 << 20)

struct reader {
	struct arena *arena;
	struct sops_item *document;
	struct node place; /* file and line of the line at hand */
};

/* The two characters \n stand for a line feed. */
static const struct node *unescaped(struct reader *reader, const char *text, size_t len)
{
	struct node *node = node_new(reader->arena, NODE_STRING, &reader->place);
	char *out = arena_dup(reader->arena, text, len);
	for (size_t i = 0; i < len; i++) {
		bool escaped = text[i] == '\\' && i + 1 < len && text[i + 1] == 'n';
		out[node->len++] = escaped ? '\n' : text[i];
		i += escaped;
	}
	out[node->len] = '\0';
	node->text = out;
	return node;
}

static bool read_line(struct reader *reader, const char *line, size_t len, struct error *err)
{
	const char *equals = memchr(line, '=', len);
	struct sops_item *item;
	if (line[0] == '#') {
		item = sops_item_comment(reader->arena, &reader->place, line + 1, len - 1);
		sops_item_add(reader->arena, reader->document, item);
		return true;
	}
	if (!equals)
		return node_error(err, &reader->place, "line has no '='");
	size_t key_len = (size_t)(equals - line);
	item = sops_item_new(
		reader->arena, SOPS_ITEM_SCALAR, unescaped(reader, equals + 1, len - key_len - 1));
	sops_item_name(reader->arena, item, line, key_len);
	sops_item_add(reader->arena, reader->document, item);
	return true;
}

bool sops_dotenv_read(const struct sops_source *source, struct arena *arena,
	struct sops_item **document_out, struct error *err)
{
	const char *at = source->bytes, *end = source->bytes + source->len;
	struct reader reader = {
		.arena = arena, .place = {.file = arena_str(arena, source->file), .column = 1}};
	struct node *place = node_new(arena, NODE_MAP, &reader.place);
	place->line = 1;
	reader.document = sops_item_new(arena, SOPS_ITEM_MAP, place);
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t size = (size_t)((stop ? stop : end) - at);
		reader.place.line++;
		if (reader.document->count >= NODE_MAX_NODES)
			return node_error(
				err, &reader.place, "more than %d values", NODE_MAX_NODES);
		if (size && !read_line(&reader, at, size, err))
			return false;
		at += size + (stop ? 1 : 0);
	}
	*document_out = reader.document;
	return true;
}

static bool write_item(const struct sops_item *item, struct buf *out, struct error *err)
{
	auto_buf struct buf text = BUF_INIT_SECRET(VALUE_MAX);
	if (item->kind == SOPS_ITEM_COMMENT) {
		buf_add_char(out, '#');
		buf_add(out, item->value->text, item->value->len);
		buf_add_char(out, '\n');
		return true;
	}
	if (!sops_flat_scalar(item, &text, err))
		return false;
	if (memchr(item->key, '\n', item->key_len) || memchr(item->key, '=', item->key_len) ||
		(item->key_len && item->key[0] == '#'))
		return error_set(err, ERR_INVALID,
			"dotenv has no form for a key with '=', a line break or '#' at its start");
	buf_add(out, item->key, item->key_len);
	buf_add_char(out, '=');
	for (size_t i = 0; i < text.len; i++) {
		if (text.text[i] == '\n')
			buf_add_str(out, "\\n");
		else
			buf_add_char(out, text.text[i]);
	}
	buf_add_char(out, '\n');
	return true;
}

bool sops_dotenv_write(const struct sops_item *document, struct buf *out, struct error *err)
{
	for (size_t i = 0; i < document->count; i++) {
		if (!write_item(document->items[i], out, err))
			return false;
	}
	return true;
}
