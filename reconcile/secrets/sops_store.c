#include "reconcile/secrets/sops_store.h"
#include "reconcile/secrets/sops_flat.h"

#define FILE_MAX ((size_t)16 << 20)

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);
	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

enum sops_format sops_format_of(const char *file)
{
	static const struct {
		const char *end;
		enum sops_format format;
	} formats[] = {
		{".yaml", SOPS_YAML},
		{".yml", SOPS_YAML},
		{".json", SOPS_JSON},
		{".env", SOPS_DOTENV},
		{".ini", SOPS_INI},
	};
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		if (ends_with(file, formats[i].end))
			return formats[i].format;
	}
	return SOPS_BINARY;
}

static const struct node *list_of_one(struct arena *arena, const struct node *document)
{
	struct node *list = node_new(arena, NODE_LIST, document);
	const struct node **items = arena_array(arena, 1, sizeof(struct node *));
	items[0] = document;
	list->items = items;
	list->count = 1;
	return list;
}

static bool read_one(const struct sops_source *source, struct arena *arena,
	const struct node **document_out, struct error *err)
{
	switch (source->format) {
	case SOPS_DOTENV:
		return sops_dotenv_read(source, arena, document_out, err);
	case SOPS_INI:
		return sops_ini_read(source, arena, document_out, err);
	default:
		return node_parse_json(
			arena, source->file, source->bytes, source->len, document_out, err);
	}
}

bool sops_store_read(const struct sops_source *source, struct arena *arena,
	const struct node **documents_out, struct error *err)
{
	const struct node_options options = {.rules = NODE_SOPS, .many_documents = true};
	const struct node *document;
	if (source->len > FILE_MAX) {
		error_set(err, ERR_INVALID, "file is larger than the limit of 16 MiB");
		return error_at(err, source->file, 0);
	}
	if (source->format == SOPS_YAML)
		return node_parse_yaml(arena, source->file, source->bytes, source->len, &options,
			documents_out, err);
	if (!read_one(source, arena, &document, err))
		return false;
	*documents_out = list_of_one(arena, document);
	return true;
}
