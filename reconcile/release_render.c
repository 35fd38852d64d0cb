#include "base/fs.h"
#include "reconcile/release_parts.h"
#include "templates/mustache.h"

static struct release_input *find_input(
	struct release_trace *trace, enum input_kind kind, const char *name)
{
	struct release *release = trace->release;
	for (size_t i = 0; i < release->input_count; i++)
		if (release->inputs[i].kind == kind && !strcmp(release->inputs[i].name, name))
			return &release->inputs[i];
	if (release->input_count == trace->input_capacity) {
		size_t capacity = trace->input_capacity ? trace->input_capacity * 2 : 32;
		struct release_input *bigger =
			arena_array(release->arena, capacity, sizeof(*bigger));
		if (release->input_count)
			memcpy(bigger, release->inputs, release->input_count * sizeof(*bigger));
		release->inputs = bigger;
		trace->input_capacity = capacity;
	}
	struct release_input *input = &release->inputs[release->input_count++];
	*input = (struct release_input){
		.kind = kind, .name = arena_str(release->arena, name), .file = ""};
	return input;
}

static void place_input(
	struct release_trace *trace, struct release_input *input, const struct node *node)
{
	if (!node->file)
		return;
	input->file = arena_str(trace->release->arena, node->file);
	input->line = node->line;
}

static void trace_file(struct release_trace *trace, const struct release_source *source)
{
	struct release_input *input = find_input(trace, INPUT_FILE, source->path);
	input->used_by |= trace->bit;
	if (input->value)
		return;
	input->value = arena_str(trace->release->arena, source->id.hex);
	input->file = input->name;
}

static void trace_secret(struct release_trace *trace, const struct node *leaf)
{
	struct release_input *input = find_input(trace, INPUT_SECRET, release_secret_name(leaf));
	input->used_by |= trace->bit;
	if (input->value)
		return;
	input->value = release_secret_mark(trace->release->arena, trace->key, leaf);
	place_input(trace, input, leaf);
}

/* All leaves below: whether a section shows anything may depend on each of them. */
static void trace_secrets(struct release_trace *trace, const struct node *node)
{
	if (release_secret_name(node))
		trace_secret(trace, node);
	for (size_t i = 0; i < node->count && node->kind == NODE_MAP; i++)
		trace_secrets(trace, node->map[i].value);
	for (size_t i = 0; i < node->count && node->kind == NODE_LIST; i++)
		trace_secrets(trace, node->items[i]);
}

static bool refuse_value(const struct node *value, const char *name, struct error *err)
{
	if (value->kind == NODE_TAGGED) {
		node_error(err, value, "'%s' is marked %s: only Ansible can read it", name,
			value->tag ? value->tag : "!");
		return error_hint(err, "put the value into a SOPS file below secrets/");
	}
	if (value->kind == NODE_STRING && fleet_text_is_jinja(value->text)) {
		node_error(err, value, "'%s' is a Jinja expression", name);
		return error_hint(err, "write the value itself: only Ansible reads Jinja");
	}
	return true;
}

static void on_read(void *data, const char *name, const struct node *value)
{
	struct release_trace *trace = data;
	auto_buf struct buf json = BUF_INIT(TREE_FILE_MAX);

	if (!strcmp(name, "secrets") || !strncmp(name, "secrets.", 8)) {
		trace_secrets(trace, value);
		trace->secrets_read++;
		if (!release_secret_name(value))
			trace->release->steered = true;
		return;
	}
	if (!trace->bad.code)
		(void)refuse_value(value, name, &trace->bad); /* reported after the rendering */
	struct release_input *input = find_input(trace, INPUT_VARIABLE, name);
	input->used_by |= trace->bit;
	if (input->value)
		return;
	node_to_json(value, 0, true, &json);
	input->value = arena_dup(trace->release->arena, json.text, json.len);
	place_input(trace, input, value);
}

static bool on_missing_section(void *data, const char *name)
{
	struct release_trace *trace = data;
	return !strncmp(name, "apps.", 5) || release_is_defined(trace->builder, name);
}

static bool on_print(
	void *data, const char *name, const struct node *value, struct buf *out, struct error *err)
{
	struct release_trace *trace = data;
	const char *secret = release_secret_name(value);
	const char *text = value->text ? value->text : "";
	size_t len = value->text ? value->len : 0;

	if (value->kind == NODE_BOOL) {
		text = value->boolean ? "true" : "false";
		len = strlen(text);
	} else if (value->kind == NODE_NULL) {
		len = 0;
	}
	trace->secrets_printed += secret != NULL;
	if (!secret && !refuse_value(value, name, err))
		return false;
	if (trace->one_line && len && (memchr(text, '\n', len) || memchr(text, '\r', len))) {
		error_set(err, ERR_INVALID, "the value of '%s' has a line break", name);
		return error_hint(err, "a file of its own can hold it; an env or YAML file cannot");
	}
	if (!secret || trace->want_content)
		buf_add(out, text, len);
	else
		buf_addf(out, "<secret:%s>", secret);
	return true;
}

static bool try_partial(struct release_builder *builder, const char *folder, const char *name,
	const struct release_source **source_out, struct error *err)
{
	static const char *const endings[] = {"", ".mustache"};
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		auto_free char *path = mem_printf("%s%s%s", folder, name, endings[i]);
		const struct release_source *source = NULL;
		if (!fs_path_is_inside(path))
			continue;
		if (!release_source_read(builder, path, &source, err))
			return false;
		if (source->missing)
			continue;
		*source_out = source;
		return true;
	}
	return true;
}

static bool find_partial(struct release_builder *builder, const char *name, const char *including,
	const struct release_source **source_out, struct error *err)
{
	const char *slash = strrchr(including, '/');
	int folder_len = slash ? (int)(slash - including + 1) : 0;
	auto_free char *folder = mem_printf("%.*s", folder_len, including);
	auto_free char *key = mem_printf("%s\n%s", folder, name);
	const struct release_source *source = strmap_get(&builder->partials, key);

	if (!source && !try_partial(builder, folder, name, &source, err))
		return false;
	if (!source && !try_partial(builder, "templates/", name, &source, err))
		return false;
	if (!source && !try_partial(builder, "", name, &source, err))
		return false;
	if (!source) {
		error_set(err, ERR_INVALID, "there is no partial '%s'", name);
		return error_hint(err,
			"it is looked for beside this file, in templates/ and at the root "
			"of the repository, also with .mustache");
	}
	strmap_set(&builder->partials, arena_str(builder->arena, key), (void *)(uintptr_t)source);
	*source_out = source;
	return true;
}

static bool on_partial(void *data, const char *name, const char *including_file,
	const char **file_out, const char **text_out, size_t *len_out, struct error *err)
{
	struct release_trace *trace = data;
	const struct release_source *source = NULL;
	if (!find_partial(trace->builder, name, including_file, &source, err))
		return false;
	trace_file(trace, source);
	*file_out = source->path;
	*text_out = source->text;
	*len_out = source->len;
	return true;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);
	return len >= end_len && !strcmp(text + len - end_len, end);
}

static bool is_one_line_file(const struct policy_file *file)
{
	return ends_with(file->to, ".env") || ends_with(file->from, "env.mustache") ||
	       ends_with(file->to, ".yml") || ends_with(file->to, ".yaml");
}

static bool render(struct release_trace *trace, const struct policy_file *file,
	const struct release_source *source, struct buf *out, struct error *err)
{
	struct mustache_options options = {
		.strict = true,
		.escape =
			ends_with(file->to, ".html") ? MUSTACHE_ESCAPE_HTML : MUSTACHE_ESCAPE_NONE,
		.hooks = {.data = trace,
			.partial = on_partial,
			.read = on_read,
			.missing_section = on_missing_section,
			.print = on_print},
	};
	if (!file->template_) {
		buf_add(out, source->text, source->len);
		return true;
	}
	if (!mustache_render(
		    source->path, source->text, source->len, trace->context, &options, out, err))
		return false;
	if (!trace->bad.code)
		return true;
	*err = trace->bad;
	trace->bad.code = ERR_NONE;
	return false;
}

static bool render_file(struct release_trace *trace, const struct policy_file *file, bool content,
	struct release_file *out, struct error *err)
{
	struct arena *arena = trace->release->arena;
	const struct release_source *source = NULL;
	auto_buf struct buf text = BUF_INIT_SECRET(TREE_FILE_MAX);

	if (!release_source_read(trace->builder, file->from, &source, err))
		return false;
	if (source->missing) {
		error_set(err, ERR_INVALID, "release file '%s' does not exist", file->from);
		error_hint(err, "name a file of the repository");
		return error_at(err, POLICY_FILE, file->node ? file->node->line : 0);
	}
	trace_file(trace, source);
	trace->want_content = content;
	trace->one_line = is_one_line_file(file);
	if (!render(trace, file, source, &text, err))
		return error_at(err, file->from, 0);
	if (content) {
		out->bytes = arena_dup(arena, text.text, text.len);
		out->len = text.len;
	} else {
		out->shape = arena_dup(arena, text.text, text.len);
		out->shape_len = text.len;
	}
	return true;
}

static int by_path(const void *a, const void *b)
{
	const struct release_file *left = a, *right = b;
	return strcmp(left->path, right->path);
}

static bool render_one(struct release_trace *trace, size_t index, struct problems *problems)
{
	const struct policy_file *file = &trace->builder->fleet->policy->files[index];
	struct release *release = trace->release;
	struct release_file *out = &release->files[release->file_count];
	bool content = trace->want_content;
	struct error err = {0};

	trace->bit = (uint64_t)1 << (index < 63 ? index : 63);
	*out = (struct release_file){.path = arena_str(release->arena, file->to),
		.from = arena_str(release->arena, file->from),
		.mode = (unsigned)file->mode,
		.bit = trace->bit};
	bool good = render_file(trace, file, false, out, &err) &&
		    (!content || render_file(trace, file, true, out, &err));
	trace->want_content = content;
	if (!good) {
		problems_add_error(problems, &err);
		return false;
	}
	release->file_count++;
	return true;
}

bool release_render(struct release_trace *trace, struct problems *problems)
{
	const struct policy *policy = trace->builder->fleet->policy;
	struct release *release = trace->release;
	bool good = true;

	release->files =
		arena_array(release->arena, policy->file_count + 1, sizeof(*release->files));
	for (size_t i = 0; i < policy->file_count; i++)
		good &= render_one(trace, i, problems);
	if (trace->secrets_read != trace->secrets_printed)
		release->steered = true; /* some were read and not printed: by a section */
	if (release->file_count > 1)
		qsort(release->files, release->file_count, sizeof(*release->files), by_path);
	return good;
}
