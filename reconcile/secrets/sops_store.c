#include "reconcile/secrets/sops_store.h"
#include "base/buf.h"
#include "reconcile/secrets/sops_comments.h"
#include "reconcile/secrets/sops_flat.h"
#include "reconcile/secrets/sops_formats.h"

#define FILE_MAX      ((size_t)16 << 20)
#define DOTENV_PREFIX "sops_"

static const struct {
	const char *name, *end;
	enum sops_format format;
} formats[] = {
	{"yaml", ".yaml", SOPS_YAML},
	{"yaml", ".yml", SOPS_YAML},
	{"json", ".json", SOPS_JSON},
	{"dotenv", ".env", SOPS_DOTENV},
	{"ini", ".ini", SOPS_INI},
};

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);
	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

enum sops_format sops_format_of(const char *file)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		if (ends_with(file, formats[i].end))
			return formats[i].format;
	}
	return SOPS_BINARY;
}

bool sops_format_by_name(const char *name, enum sops_format *format_out)
{
	bool binary = strcmp(name, "binary") == 0, found = binary;
	enum sops_format format = SOPS_BINARY;
	for (size_t i = 0; !found && i < ARRAY_LEN(formats); i++) {
		found = strcmp(name, formats[i].name) == 0;
		format = formats[i].format;
	}
	if (found)
		*format_out = format;
	return found;
}

static bool check_size(const struct sops_source *source, struct error *err)
{
	if (source->len <= FILE_MAX)
		return true;
	error_set(err, ERR_INVALID, "file is larger than the limit of 16 MiB");
	return error_at(err, source->file, 0);
}

static struct sops_item *list_of(struct arena *arena, struct sops_item *document)
{
	struct sops_item *list = sops_item_new(arena, SOPS_ITEM_LIST, document->value);
	sops_item_add(arena, list, document);
	return list;
}

static bool parse_yaml(const struct sops_source *source, struct arena *arena,
	const struct node **documents_out, struct error *err)
{
	const struct node_options options = {.rules = NODE_SOPS, .many_documents = true};
	return node_parse_yaml(
		arena, source->file, source->bytes, source->len, &options, documents_out, err);
}

static bool merge_documents(const struct sops_source *source, struct arena *arena,
	const struct node *nodes, bool with_comments, struct sops_item **documents_out,
	struct error *err)
{
	auto_sops_comments struct sops_comments *comments = NULL;
	struct sops_item *documents = sops_item_new(arena, SOPS_ITEM_LIST, nodes);
	if (with_comments && !sops_comments_read(source->bytes, source->len, &comments, err))
		return error_at(err, source->file, 0);
	for (size_t i = 0; i < nodes->count; i++) {
		struct sops_item *document;
		if (!sops_comments_merge(arena, comments, nodes->items[i], i, &document, err))
			return false;
		sops_item_add(arena, documents, document);
	}
	*documents_out = documents;
	return true;
}

/* Takes all `sops` entries of a map out; @p taken_out is the first, @p count_out their number. */
static void take_metadata(
	struct sops_item *document, struct sops_item **taken_out, size_t *count_out)
{
	size_t index;
	struct sops_item *item;
	*taken_out = NULL;
	*count_out = 0;
	while ((item = sops_item_get(document, "sops", 4, &index))) {
		*taken_out = *taken_out ? *taken_out : item;
		sops_item_remove(document, index);
		++*count_out;
	}
}

static bool read_yaml(const struct sops_source *source, struct arena *arena, bool comments,
	struct sops_loaded *loaded, struct error *err)
{
	const struct node *nodes, *metadata;
	if (!parse_yaml(source, arena, &nodes, err))
		return false;
	metadata = nodes->count ? node_get(nodes->items[0], "sops") : NULL;
	if (!metadata)
		return true;
	if (!merge_documents(source, arena, nodes, comments, &loaded->documents, err))
		return false;
	for (size_t i = 0; i < loaded->documents->count; i++) {
		struct sops_item *taken;
		size_t count;
		take_metadata(loaded->documents->items[i], &taken, &count);
	}
	loaded->metadata = metadata;
	return true;
}

static bool read_json(const struct sops_source *source, struct arena *arena,
	struct sops_loaded *loaded, struct error *err)
{
	struct sops_item *document, *taken;
	size_t count;
	if (!sops_json_read(source, arena, &document, err))
		return false;
	take_metadata(document, &taken, &count);
	if (!taken)
		return true;
	if (count > 1)
		return node_error(err, taken->value, "'sops' stands in the file twice");
	loaded->metadata = sops_item_to_node(arena, taken);
	loaded->documents = list_of(arena, document);
	return true;
}

static bool read_dotenv(const struct sops_source *source, struct arena *arena,
	struct sops_loaded *loaded, struct error *err)
{
	struct sops_item *document;
	size_t prefix = strlen(DOTENV_PREFIX);
	if (!sops_dotenv_read(source, arena, &document, err))
		return false;
	struct sops_item *values = sops_item_new(arena, SOPS_ITEM_MAP, document->value);
	struct sops_item *flat = sops_item_new(arena, SOPS_ITEM_MAP, document->value);
	for (size_t i = 0; i < document->count; i++) {
		struct sops_item *item = document->items[i];
		bool is_metadata = item->key && item->key_len > prefix &&
				   memcmp(item->key, DOTENV_PREFIX, prefix) == 0;
		if (is_metadata)
			sops_item_name(arena, item, item->key + prefix, item->key_len - prefix);
		sops_item_add(arena, is_metadata ? flat : values, item);
	}
	loaded->documents = list_of(arena, values);
	return !flat->count || sops_unflatten(arena, flat, &loaded->metadata, err);
}

static bool read_ini(const struct sops_source *source, struct arena *arena,
	struct sops_loaded *loaded, struct error *err)
{
	struct sops_item *document, *taken;
	size_t count;
	if (!sops_ini_read(source, arena, &document, err))
		return false;
	take_metadata(document, &taken, &count);
	loaded->documents = list_of(arena, document);
	if (count > 1)
		return node_error(err, taken->value, "section 'sops' stands in the file twice");
	return !taken || sops_unflatten(arena, taken, &loaded->metadata, err);
}

bool sops_store_read(const struct sops_source *source, struct arena *arena, bool comments,
	struct sops_loaded *loaded_out, struct error *err)
{
	*loaded_out = (struct sops_loaded){0};
	if (!check_size(source, err))
		return false;
	switch (source->format) {
	case SOPS_YAML:
		return read_yaml(source, arena, comments, loaded_out, err);
	case SOPS_DOTENV:
		return read_dotenv(source, arena, loaded_out, err);
	case SOPS_INI:
		return read_ini(source, arena, loaded_out, err);
	default:
		return read_json(source, arena, loaded_out, err);
	}
}

static bool read_plain_yaml(const struct sops_source *source, struct arena *arena,
	struct sops_item **documents_out, struct error *err)
{
	const struct node *nodes;
	if (!parse_yaml(source, arena, &nodes, err))
		return false;
	if (!nodes->count || (nodes->count == 1 && nodes->items[0]->kind == NODE_NULL)) {
		error_set(err, ERR_INVALID, "file holds no values");
		return error_at(err, source->file, 0);
	}
	return merge_documents(source, arena, nodes, true, documents_out, err);
}

static struct sops_item *read_plain_binary(const struct sops_source *source, struct arena *arena)
{
	struct sops_item *document = sops_item_new(arena, SOPS_ITEM_MAP, NULL);
	struct sops_item *data = sops_item_new(
		arena, SOPS_ITEM_SCALAR, node_new_string(arena, source->bytes, source->len));
	sops_item_name(arena, data, "data", 4);
	sops_item_add(arena, document, data);
	return document;
}

static bool read_plain_one(const struct sops_source *source, struct arena *arena,
	struct sops_item **document_out, struct error *err)
{
	switch (source->format) {
	case SOPS_DOTENV:
		return sops_dotenv_read(source, arena, document_out, err);
	case SOPS_INI:
		return sops_ini_read(source, arena, document_out, err);
	case SOPS_JSON:
		return sops_json_read(source, arena, document_out, err);
	default:
		*document_out = read_plain_binary(source, arena);
		return true;
	}
}

bool sops_store_is_taken(enum sops_format format, const struct sops_item *document)
{
	if (format != SOPS_DOTENV)
		return sops_item_get(document, "sops", 4, NULL) != NULL;
	for (size_t i = 0; i < document->count; i++) {
		const struct sops_item *item = document->items[i];
		if (item->key && strncmp(item->key, DOTENV_PREFIX, strlen(DOTENV_PREFIX)) == 0)
			return true;
	}
	return false;
}

bool sops_store_read_plain(const struct sops_source *source, struct arena *arena,
	struct sops_item **documents_out, bool *taken_out, struct error *err)
{
	struct sops_item *document, *documents;
	*taken_out = false;
	if (!check_size(source, err))
		return false;
	if (source->format == SOPS_YAML) {
		if (!read_plain_yaml(source, arena, &documents, err))
			return false;
	} else {
		if (!read_plain_one(source, arena, &document, err))
			return false;
		documents = list_of(arena, document);
	}
	for (size_t i = 0; i < documents->count; i++)
		*taken_out |= sops_store_is_taken(source->format, documents->items[i]);
	*documents_out = documents;
	return true;
}

static bool write_binary(const struct sops_item *document, struct buf *out, struct error *err)
{
	const struct sops_item *data = sops_item_get(document, "data", 4, NULL);
	if (!data || data->kind != SOPS_ITEM_SCALAR || data->value->kind != NODE_STRING)
		return error_set(err, ERR_INVALID,
			"a binary file is the text of the key 'data', "
			"which this file does not have");
	buf_add(out, data->value->text, data->value->len);
	return true;
}

static bool write_json(
	const struct sops_item *document, unsigned indent, struct buf *out, struct error *err)
{
	if (!sops_json_write(document, indent, out, err))
		return false;
	buf_add_char(out, '\n');
	return true;
}

static bool finish(const struct buf *out, struct error *err)
{
	return !buf_overflowed(out) ||
	       error_set(err, ERR_INVALID, "what is to be written is larger than expected");
}

bool sops_store_write_plain(const struct sops_item *documents, const struct sops_printing *printing,
	struct buf *out, struct error *err)
{
	const struct sops_item *first = documents->items[0];
	bool ok = true;
	switch (printing->format) {
	case SOPS_YAML:
		for (size_t i = 0; i < documents->count; i++) {
			buf_add_str(out, i ? "---\n" : "");
			sops_yaml_write(documents->items[i], printing->layout.yaml_indent, out);
		}
		break;
	case SOPS_JSON:
		ok = write_json(first, printing->layout.json_indent, out, err);
		break;
	case SOPS_DOTENV:
		ok = sops_dotenv_write(first, out, err);
		break;
	case SOPS_INI:
		ok = sops_ini_write(first, out, err);
		break;
	case SOPS_BINARY:
		ok = write_binary(first, out, err);
		break;
	}
	return ok && finish(out, err);
}

static struct sops_item *metadata_item(
	struct arena *arena, const struct node *metadata, enum sops_format format)
{
	struct sops_item *item = NULL;
	if (format == SOPS_INI) {
		item = sops_item_new(arena, SOPS_ITEM_MAP, NULL);
		sops_flatten(arena, metadata, "", true, item);
	} else {
		item = sops_item_of_node(arena, metadata);
	}
	sops_item_name(arena, item, "sops", 4);
	return item;
}

/* A copy of a document's list of items, so that more can be added. */
static struct sops_item *with_metadata(struct arena *arena, const struct sops_item *document,
	const struct node *metadata, enum sops_format format)
{
	struct sops_item *copy = sops_item_new(arena, SOPS_ITEM_MAP, document->value);
	for (size_t i = 0; i < document->count; i++)
		sops_item_add(arena, copy, document->items[i]);
	if (format == SOPS_DOTENV)
		sops_flatten(arena, metadata, DOTENV_PREFIX, false, copy);
	else
		sops_item_add(arena, copy, metadata_item(arena, metadata, format));
	return copy;
}

bool sops_store_write(const struct sops_item *documents, const struct node *metadata,
	const struct sops_printing *printing, struct buf *out, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	struct sops_item *all = sops_item_new(arena, SOPS_ITEM_LIST, NULL);
	for (size_t i = 0; i < documents->count; i++)
		sops_item_add(arena, all,
			with_metadata(arena, documents->items[i], metadata, printing->format));
	if (printing->format != SOPS_BINARY)
		return sops_store_write_plain(all, printing, out, err);
	return write_json(all->items[0], printing->layout.binary_indent, out, err) &&
	       finish(out, err);
}

/* A scalar, or a list, as a file of its own. */
static bool write_value_as(const struct sops_item *value, const struct sops_printing *printing,
	struct buf *out, struct error *err)
{
	switch (printing->format) {
	case SOPS_YAML:
		sops_yaml_write(value, 0, out);
		return true;
	case SOPS_JSON:
		return sops_json_write(value, printing->layout.json_indent, out, err);
	case SOPS_INI:
		return sops_json_write(value, SOPS_INDENT_NONE, out, err);
	default:
		return error_set(err, ERR_INVALID, "this format can show only texts by themselves");
	}
}

bool sops_store_write_value(const struct sops_item *value, const struct sops_printing *printing,
	struct buf *out, struct error *err)
{
	if (value->kind != SOPS_ITEM_SCALAR || value->value->kind != NODE_STRING)
		return write_value_as(value, printing, out, err) && finish(out, err);
	buf_add(out, value->value->text, value->value->len);
	return finish(out, err);
}
