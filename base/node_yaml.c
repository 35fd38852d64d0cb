/* YAML as libyaml's events become nodes:
 *
 *   bytes -> yaml_parser (scanner, grammar) -> events -> frames (open collections) -> nodes
 *
 * What libyaml does not look at is checked here: depth, number of nodes after expansion, unknown
 * and recursive aliases, repeated keys, keys that are no scalars, tags, NUL.
 */
#include "base/node_anchor.h"
#include "base/node_build.h"
#include "base/node_yaml_error.h"
#include "base/yaml_wipe.h"

#define BYTES_MAX ((size_t)16 * 1024 * 1024)

struct frame {
	struct node *node;
	size_t first;        /* of its children among the pending ones */
	size_t nodes_before; /* counter when it began, for its anchor's size */
	unsigned height;     /* of the highest child */
	struct anchor *anchor;
	struct node_entry key; /* of the value that comes next; key.key NULL: a key comes next */
};

struct reader {
	const struct node_options *options;
	struct node_build build;
	yaml_parser_t parser;
	const char *bytes;
	size_t len;
	size_t nodes, max_nodes;
	struct frame frames[NODE_MAX_DEPTH];
	unsigned depth;
	struct anchors anchors;
	const struct node *root;
	size_t documents;
	bool ended;
};

struct value { /* a node that was just finished */
	const struct node *node;
	unsigned height;
	bool merge_key; /* it is a `<<` that means merging if it stands as a key */
};

static bool fail_at(struct reader *reader, size_t line, struct error *err, const char *text)
{
	error_set(err, ERR_INVALID, "%s", text);
	return error_at(err, reader->build.file, (unsigned)line);
}

/* ---- counting ---- */

static bool count_nodes(struct reader *reader, size_t more, size_t line, struct error *err)
{
	reader->nodes += more;
	if (reader->nodes <= reader->max_nodes)
		return true;
	error_set(err, ERR_INVALID, "more than %zu values, aliases expanded", reader->max_nodes);
	return error_at(err, reader->build.file, (unsigned)line);
}

static bool check_depth(struct reader *reader, unsigned more, size_t line, struct error *err)
{
	if (reader->depth + more <= NODE_MAX_DEPTH)
		return true;
	error_set(err, ERR_INVALID, "nested deeper than %d levels", NODE_MAX_DEPTH);
	return error_at(err, reader->build.file, (unsigned)line);
}

/* Anchors may be defined again, except for PyYAML. */
static bool add_anchor(struct reader *reader, const yaml_char_t *event_name, size_t line,
	struct anchor **anchor_out, struct error *err)
{
	const char *name = (const char *)event_name;
	if (!name)
		return true;
	if (reader->options->rules == NODE_ANSIBLE11 && anchor_find(&reader->anchors, name)) {
		error_set(err, ERR_INVALID, "the anchor '&%.60s' is defined twice", name);
		error_at(err, reader->build.file, (unsigned)line);
		return error_hint(err, "give one of them another name");
	}
	*anchor_out = anchor_add(&reader->anchors, name);
	return true;
}

/* ---- maps ---- */

static bool merge_one(struct reader *reader, const struct node *from, struct error *err)
{
	if (from->kind != NODE_MAP)
		return node_error(err, from, "'<<' merges maps, but this is a %s",
			node_kind_name(from->kind));
	for (size_t i = 0; i < from->count; i++)
		build_push(&reader->build, &from->map[i]);
	return true;
}

/* PyYAML puts merged entries before the map's own and lets the last of equal keys win. In a list
 * the first map wins, so it comes last. */
static bool merge_value(struct reader *reader, const struct node *value, struct error *err)
{
	if (value->kind != NODE_LIST)
		return merge_one(reader, value, err);
	for (size_t i = value->count; i > 0; i--)
		if (!merge_one(reader, value->items[i - 1], err))
			return false;
	return true;
}

static bool is_merge_entry(const struct node_entry *entry)
{
	return entry->key_node && entry->key_node->kind == NODE_TAGGED;
}

/* Rewrites the pending entries of a map with `<<`: merged ones first, own ones override them. */
static bool expand_merges(struct reader *reader, size_t first, struct error *err)
{
	struct node_build *build = &reader->build;
	size_t count = build->pending_count - first;
	auto_free struct node_entry *own = mem_zero(count, sizeof(*own));
	memcpy(own, build->pending + first, count * sizeof(*own));
	build->pending_count = first;
	for (size_t i = 0; i < count; i++)
		if (is_merge_entry(&own[i]) && !merge_value(reader, own[i].value, err))
			return false;
	for (size_t i = 0; i < count; i++)
		if (!is_merge_entry(&own[i]))
			build_push(build, &own[i]);
	return true;
}

static bool finish_map(struct reader *reader, struct frame *frame, struct error *err)
{
	struct node_build *build = &reader->build;
	bool merges = false;
	for (size_t i = frame->first; i < build->pending_count && !merges; i++)
		merges = is_merge_entry(&build->pending[i]);
	if (merges && !expand_merges(reader, frame->first, err))
		return false;
	return build_map(build, frame->node, frame->first,
		merges || reader->options->allow_duplicate_keys, err);
}

static const char *key_text(struct reader *reader, const struct node *node, size_t *len_out)
{
	char text[NODE_FLOAT_TEXT];
	const char *key = node->text;
	bool as_python = reader->options->rules == NODE_ANSIBLE11;
	if (as_python && node->kind == NODE_BOOL)
		key = node->boolean ? "true" : "false";
	else if (as_python && node->kind == NODE_NULL)
		key = "null";
	else if (as_python && node->kind == NODE_FLOAT && !node->integral)
		key = node_float_text(node->number, text);
	else if (as_python && node->kind == NODE_INT) {
		(void)snprintf(text, sizeof(text), "%lld", (long long)node->integer); /* fits */
		key = text;
	}
	*len_out = key == node->text ? node->len : strlen(key);
	return key == node->text ? key : build_key(&reader->build, key, *len_out);
}

static bool take_key(
	struct reader *reader, struct frame *frame, const struct value *value, struct error *err)
{
	const struct node *node = value->node;
	if (node->kind == NODE_LIST || node->kind == NODE_MAP)
		return node_error(
			err, node, "a key must be a text, not a %s", node_kind_name(node->kind));
	if (node->kind == NODE_TAGGED && !value->merge_key)
		return node_error(err, node, "a key can not have the tag '%s'", node->tag);
	if (node->kind == NODE_TIME && reader->options->rules == NODE_ANSIBLE11) {
		node_error(err, node, "the key '%.40s' is a date", node->text);
		return error_hint(err, "write it in quotes");
	}
	frame->key.key_node = node;
	frame->key.key = key_text(reader, node, &frame->key.key_len);
	return true;
}

/* ---- from events to nodes ---- */

static bool is_key_position(const struct reader *reader)
{
	if (!reader->depth)
		return false;
	const struct frame *frame = &reader->frames[reader->depth - 1];
	return frame->node->kind == NODE_MAP && !frame->key.key;
}

/* Hand a finished node to the collection around it. */
static bool deliver(struct reader *reader, const struct value *value, struct error *err)
{
	if (value->merge_key && !is_key_position(reader)) {
		node_error(err, value->node, "'<<' has no meaning as a value");
		return error_hint(err, "write it in quotes");
	}
	if (!reader->depth) {
		reader->root = value->node;
		return true;
	}
	struct frame *frame = &reader->frames[reader->depth - 1];
	if (value->height > frame->height)
		frame->height = value->height;
	if (frame->node->kind == NODE_MAP && !frame->key.key)
		return take_key(reader, frame, value, err);
	struct node_entry entry = frame->key;
	entry.value = value->node;
	build_push(&reader->build, &entry);
	frame->key = (struct node_entry){0};
	return true;
}

/* Ansible: a plain `<<`, or anything under !!merge. It is kept as NODE_TAGGED, which no ordinary
 * key can be. */
static bool is_merge(const struct reader *reader, const struct node *node)
{
	if (reader->options->rules != NODE_ANSIBLE11)
		return false;
	return node->plain ? !strcmp(node->text, "<<")
			   : node->tag && !strcmp(node->tag, "tag:yaml.org,2002:merge");
}

static bool resolve(struct reader *reader, struct node *node, struct error *err)
{
	enum node_rules rules = reader->options->rules;
	if (node->tag)
		return resolve_tagged(&reader->build, rules, node, err);
	/* PyYAML: `=` means something as a value only. */
	bool equals_key =
		rules == NODE_ANSIBLE11 && is_key_position(reader) && !strcmp(node->text, "=");
	if (node->plain && !equals_key)
		return resolve_plain(&reader->build, rules, node, err);
	node->kind = NODE_STRING;
	return true;
}

/* `! x` is a text, except that PyYAML resolves it as if it were plain. */
static void set_tag(struct reader *reader, struct node *node, const yaml_event_t *event)
{
	const char *tag = (const char *)event->data.scalar.tag;
	bool lone = tag && !strcmp(tag, "!");
	node->tag = lone ? NULL : arena_str(reader->build.arena, tag);
	node->plain = event->data.scalar.plain_implicit && !node->tag;
	if (lone && reader->options->rules != NODE_ANSIBLE11)
		node->plain = false;
}

static bool on_scalar(struct reader *reader, const yaml_event_t *event, struct error *err)
{
	size_t line = event->start_mark.line + 1, len = event->data.scalar.length;
	const char *text = (const char *)event->data.scalar.value;
	if (!count_nodes(reader, 1, line, err))
		return false;
	if (memchr(text, '\0', len))
		return fail_at(reader, line, err, "a NUL character is not allowed");
	struct node *node = build_node(&reader->build, NODE_STRING, (unsigned)line,
		(unsigned)event->start_mark.column + 1);
	node->text = is_key_position(reader) ? build_key(&reader->build, text, len)
					     : build_text(&reader->build, text, len);
	node->len = len;
	set_tag(reader, node, event);
	struct value value = {.node = node, .height = 1, .merge_key = is_merge(reader, node)};
	if (value.merge_key)
		node->kind = NODE_TAGGED;
	else if (!resolve(reader, node, err))
		return false;
	struct anchor *anchor = NULL;
	if (!add_anchor(reader, event->data.scalar.anchor, line, &anchor, err))
		return false;
	anchor_close(anchor, node, 1, 1);
	return deliver(reader, &value, err);
}

static bool on_alias(struct reader *reader, const yaml_event_t *event, struct error *err)
{
	const char *name = (const char *)event->data.alias.anchor;
	size_t line = event->start_mark.line + 1;
	const struct anchor *anchor = anchor_find(&reader->anchors, name);
	if (!anchor || anchor->open) {
		error_set(err, ERR_INVALID,
			anchor ? "alias '*%.60s' stands inside of what it refers to"
			       : "alias '*%.60s' has no anchor '&%.60s' before it",
			name, name);
		return error_at(err, reader->build.file, (unsigned)line);
	}
	if (!count_nodes(reader, anchor->expanded, line, err) ||
		!check_depth(reader, anchor->height, line, err))
		return false;
	struct value value = {.node = anchor->node,
		.height = anchor->height,
		.merge_key = is_merge(reader, anchor->node)};
	return deliver(reader, &value, err);
}

/* Collections may only say what they are anyway; go-yaml drops other tags. */
static bool check_collection_tag(
	struct reader *reader, const char *tag, const struct node *node, struct error *err)
{
	const char *own =
		node->kind == NODE_MAP ? "tag:yaml.org,2002:map" : "tag:yaml.org,2002:seq";
	if (!tag || !strcmp(tag, "!") || !strcmp(tag, own) || reader->options->rules == NODE_SOPS)
		return true;
	return node_error(err, node, "the tag '%.60s' is not supported on a %s", tag,
		node_kind_name(node->kind));
}

struct start {
	enum node_kind kind;
	const yaml_char_t *tag, *anchor;
};

static bool on_start(struct reader *reader, const yaml_event_t *event, const struct start *start,
	struct error *err)
{
	size_t line = event->start_mark.line + 1;
	if (!count_nodes(reader, 1, line, err) || !check_depth(reader, 1, line, err))
		return false;
	struct node *node = build_node(&reader->build, start->kind, (unsigned)line,
		(unsigned)event->start_mark.column + 1);
	if (!check_collection_tag(reader, (const char *)start->tag, node, err))
		return false;
	struct anchor *anchor = NULL;
	if (!add_anchor(reader, start->anchor, line, &anchor, err))
		return false;
	reader->frames[reader->depth++] = (struct frame){.node = node,
		.first = reader->build.pending_count,
		.nodes_before = reader->nodes - 1,
		.anchor = anchor};
	return true;
}

static bool on_end(struct reader *reader, struct error *err)
{
	struct frame *frame = &reader->frames[reader->depth - 1];
	if (frame->node->kind == NODE_LIST)
		build_list(&reader->build, frame->node, frame->first);
	else if (!finish_map(reader, frame, err))
		return false;
	struct value value = {.node = frame->node, .height = frame->height + 1};
	anchor_close(frame->anchor, frame->node, reader->nodes - frame->nodes_before, value.height);
	reader->depth--;
	return deliver(reader, &value, err);
}

static bool on_document_start(struct reader *reader, const yaml_event_t *event, struct error *err)
{
	anchors_clear(&reader->anchors);
	reader->documents++;
	reader->root = NULL;
	if (reader->documents == 1 || reader->options->many_documents)
		return true;
	fail_at(reader, event->start_mark.line + 1, err, "a second document begins here");
	return error_hint(err, "keep one document in this file, without '---' in the middle");
}

static void on_document_end(struct reader *reader)
{
	struct node_entry entry = {.value = reader->root};
	if (reader->options->many_documents)
		build_push(&reader->build, &entry);
}

static bool on_event(struct reader *reader, const yaml_event_t *event, struct error *err)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(reader, event, err);
	case YAML_ALIAS_EVENT:
		return on_alias(reader, event, err);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(reader, event,
			&(struct start){NODE_LIST, event->data.sequence_start.tag,
				event->data.sequence_start.anchor},
			err);
	case YAML_MAPPING_START_EVENT:
		return on_start(reader, event,
			&(struct start){NODE_MAP, event->data.mapping_start.tag,
				event->data.mapping_start.anchor},
			err);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_end(reader, err);
	case YAML_DOCUMENT_START_EVENT:
		return on_document_start(reader, event, err);
	case YAML_DOCUMENT_END_EVENT:
		on_document_end(reader);
		return true;
	case YAML_STREAM_END_EVENT:
		reader->ended = true;
		return true;
	default:
		return true;
	}
}

static bool read_events(struct reader *reader, struct error *err)
{
	while (!reader->ended) {
		yaml_event_t event;
		if (!yaml_parser_parse(&reader->parser, &event))
			return node_yaml_error(&reader->parser,
				&(struct node_input){
					reader->build.file, reader->bytes, reader->len},
				err);
		bool good = on_event(reader, &event, err);
		if (reader->options->rules == NODE_SOPS)
			wipe_event(&event);
		yaml_event_delete(&event);
		if (!good)
			return false;
	}
	return true;
}

static const struct node *result(struct reader *reader)
{
	struct node_build *build = &reader->build;
	if (reader->options->many_documents) {
		struct node *list = build_node(build, NODE_LIST, 1, 1);
		build_list(build, list, 0);
		return list;
	}
	if (reader->root)
		return reader->root;
	struct node *nothing = build_node(build, NODE_NULL, 1, 1);
	nothing->text = "";
	return nothing;
}

bool node_parse_yaml(struct arena *arena, const char *file, const char *bytes, size_t len,
	const struct node_options *options, const struct node **node_out, struct error *err)
{
	size_t max_bytes = options->max_bytes ? options->max_bytes : BYTES_MAX;
	if (len > max_bytes) {
		error_set(err, ERR_INVALID, "%zu bytes are more than the limit of %zu", len,
			max_bytes);
		return error_at(err, file, 0);
	}
	struct reader *reader = mem_zero(1, sizeof(*reader));
	reader->options = options;
	reader->bytes = bytes;
	reader->len = len;
	reader->max_nodes = options->max_nodes ? options->max_nodes : NODE_MAX_NODES;
	build_init(&reader->build, arena, file);
	reader->build.python_keys = options->rules == NODE_ANSIBLE11;
	if (!yaml_parser_initialize(&reader->parser))
		mem_abort(sizeof(reader->parser));
	yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader->parser, (const unsigned char *)bytes, len);
	bool good = read_events(reader, err);
	if (good)
		*node_out = result(reader);
	if (options->rules == NODE_SOPS)
		wipe_parser(&reader->parser);
	yaml_parser_delete(&reader->parser);
	anchors_clear(&reader->anchors);
	build_clear(&reader->build);
	free(reader);
	return good;
}
