#include "base/buf.h"
#include "reconcile/release_parts.h"

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);
	return len >= end_len && !strcmp(text + len - end_len, end);
}

/* Part of an image behind registry and path: where a tag may stand. */
static const char *image_base(const char *image)
{
	const char *slash = strrchr(image, '/');
	return slash ? slash + 1 : image;
}

const char *release_image_tag(struct arena *arena, const char *image, bool *digest_out)
{
	char *name = arena_str(arena, image);
	char *at = strchr(name, '@');
	*digest_out = at != NULL;
	if (at)
		*at = '\0';
	char *colon = strchr((char *)(uintptr_t)image_base(name), ':');
	return colon ? colon + 1 : "";
}

/* First line of a source whose text holds @p needle and @p also. 0: none. */
static unsigned find_line(const struct release_source *source, const char *needle, const char *also)
{
	unsigned line = 1;
	const char *end = source->text + source->len;
	for (const char *text = source->text; text < end; line++) {
		const char *next = memchr(text, '\n', (size_t)(end - text));
		size_t len = (size_t)((next ? next : end) - text);
		if (memmem(text, len, needle, strlen(needle)) &&
			memmem(text, len, also, strlen(also)))
			return line;
		if (!next)
			break;
		text = next + 1;
	}
	return 0;
}

/* Where the template or one of its partials writes the image. */
static struct release_place image_place(struct release_builder *builder,
	const struct release *release, const struct release_file *file, const char *image)
{
	struct release_place place = {.file = file->from};
	const char *base = image_base(image);
	auto_free char *name = mem_printf("%.*s", (int)strcspn(base, ":@"), base);

	for (size_t i = 0; i < release->input_count; i++) {
		const struct release_input *input = &release->inputs[i];
		if (input->kind != INPUT_FILE || !(input->used_by & file->bit))
			continue;
		const struct release_source *source = strmap_get(&builder->sources, input->name);
		unsigned line = source ? find_line(source, "image", name) : 0;
		if (!line)
			continue;
		place.file = source->path;
		place.line = line;
		/* the line with this very image wins over another of the same name */
		unsigned exact = find_line(source, "image", image);
		if (exact) {
			place.line = exact;
			break;
		}
	}
	return place;
}

struct compose_reader {
	struct release_builder *builder;
	const struct release *release;
	const struct release_file *file;
	struct compose_facts *facts;
};

static void check_pinned(struct compose_reader *reader, const char *service, const char *image)
{
	bool digest = false;
	const char *tag = release_image_tag(reader->builder->arena, image, &digest);
	bool unknown = strchr(image, '$') && !ends_with(image, "latest}");
	bool latest = !strcmp(tag, "latest") || ends_with(image, "latest}");
	if (digest || unknown || (*tag && !latest))
		return;
	struct release_place place =
		image_place(reader->builder, reader->release, reader->file, image);
	problems_add(&reader->facts->problems, place.file, place.line,
		"write the version as tag, or pin a digest (policy.pinned_images)",
		*tag ? "image '%s' of service '%s' is not pinned"
		     : "image '%s' of service '%s' has no tag",
		image, service);
}

static void check_source(struct compose_reader *reader, const char *service, const char *source)
{
	bool relative = !strcmp(source, ".") || !strcmp(source, "..") ||
			!strncmp(source, "./", 2) || !strncmp(source, "../", 3) || *source == '~';
	if (!relative)
		return;
	const struct release_source *text =
		strmap_get(&reader->builder->sources, reader->file->from);
	problems_add(&reader->facts->problems, reader->file->from,
		text ? find_line(text, source, source) : 0,
		"use a named volume or an absolute path",
		"service '%s' mounts '%s', which changes its place with each release", service,
		source);
}

static void read_volumes(
	struct compose_reader *reader, const char *service, const struct node *volumes)
{
	for (size_t i = 0; volumes && volumes->kind == NODE_LIST && i < volumes->count; i++) {
		const struct node *item = volumes->items[i];
		const struct node *source = node_get(item, "source");
		const struct node *kind = node_get(item, "type");
		if (item->kind == NODE_STRING) {
			auto_free char *host =
				mem_printf("%.*s", (int)strcspn(item->text, ":"), item->text);
			if (strchr(item->text, ':'))
				check_source(reader, service, host);
		} else if (source && source->kind == NODE_STRING && kind &&
			   kind->kind == NODE_STRING && !strcmp(kind->text, "bind")) {
			if (source->text[0] != '/')
				check_source(reader, service, source->text);
		}
	}
}

static void read_service(struct compose_reader *reader, const struct node_entry *entry)
{
	struct arena *arena = reader->builder->arena;
	const struct node *image = node_get(entry->value, "image");
	struct compose_service *service = &reader->facts->services[reader->facts->count++];
	bool digest = false;

	*service = (struct compose_service){
		.name = arena_str(arena, entry->key), .image = "", .tag = ""};
	read_volumes(reader, service->name, node_get(entry->value, "volumes"));
	if (!image || !image->text || image->kind == NODE_NULL)
		return;
	service->image = arena_str(arena, image->text);
	service->tag = release_image_tag(arena, service->image, &digest);
	if (strchr(service->tag, '$'))
		service->tag = "";
	if (reader->builder->pinned_images)
		check_pinned(reader, service->name, service->image);
}

static void parse_compose(struct compose_reader *reader)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct release_file *file = reader->file;
	struct node_options options = {.rules = NODE_CORE12};
	const struct node *root = NULL;
	struct error err;

	if (!node_parse_yaml(
		    arena, file->from, file->shape, file->shape_len, &options, &root, &err)) {
		/* the line is one of the rendered text, not of the template */
		problems_add(&reader->facts->problems, file->from, 0,
			"look at it with: aviary render CLIENT --out DIR",
			"'%s' does not parse once rendered: %s, in line %s", file->path,
			err.message, strrchr(err.where, ':') ? strrchr(err.where, ':') + 1 : "?");
		return;
	}
	const struct node *services = node_get(root, "services");
	if (!services || services->kind != NODE_MAP)
		return;
	reader->facts->services = arena_array(
		reader->builder->arena, services->count + 1, sizeof(*reader->facts->services));
	for (size_t i = 0; i < services->count; i++)
		read_service(reader, &services->map[i]);
}

/* The same text says the same: most clients share theirs. */
static const struct compose_facts *get_facts(struct release_builder *builder,
	const struct release *release, const struct release_file *file)
{
	char key[DIGEST_TEXT];
	auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX + 4096);
	buf_addf(&text, "%s\n%s\n", file->from, file->path);
	buf_add(&text, file->shape, file->shape_len);
	release_digest_text(&text, key);

	struct compose_facts *facts = strmap_get(&builder->compose, key);
	if (facts)
		return facts;
	facts = mem_zero(1, sizeof(*facts));
	mem_grow(builder->facts, builder->fact_count, builder->fact_capacity);
	builder->facts[builder->fact_count++] = facts;
	strmap_set(&builder->compose, arena_str(builder->arena, key), facts);
	struct compose_reader reader = {builder, release, file, facts};
	parse_compose(&reader);
	return facts;
}

static void set_version(
	struct release *release, size_t app, const char *version, struct release_place place)
{
	release->apps[app].version = arena_str(release->arena, version);
	release->app_places[app].file = arena_str(release->arena, place.file);
	release->app_places[app].line = place.line;
}

static bool version_from_variable(const struct client *client, struct release *release, size_t app)
{
	auto_free char *name = mem_printf("%s_version", release->apps[app].name);
	for (char *c = name; *c; c++)
		if (*c == '-')
			*c = '_'; /* Ansible's variables have no hyphens */
	const struct node *value = node_get(client->host->vars, name);
	if (!value || !value->text || value->kind == NODE_NULL)
		return false;
	set_version(release, app, value->text,
		(struct release_place){value->file ? value->file : "", value->line});
	return true;
}

static void take_versions(struct release_builder *builder, struct release *release,
	const struct release_file *file, const struct compose_facts *facts)
{
	for (size_t i = 0; i < facts->count; i++)
		for (size_t app = 0; app < release->app_count; app++) {
			const struct compose_service *service = &facts->services[i];
			if (release->apps[app].version[0] || !*service->tag ||
				strcmp(release->apps[app].name, service->name) != 0)
				continue;
			set_version(release, app, service->tag,
				image_place(builder, release, file, service->image));
		}
}

static int by_app(const void *a, const void *b)
{
	const struct client_app *left = a, *right = b;
	return strcmp(left->name, right->name);
}

static void list_apps(const struct client *client, struct release *release)
{
	struct arena *arena = release->arena;
	release->apps = arena_array(arena, client->app_count + 1, sizeof(*release->apps));
	release->app_places =
		arena_array(arena, client->app_count + 1, sizeof(*release->app_places));
	for (size_t i = 0; i < client->app_count; i++) {
		release->apps[i].name = arena_str(arena, client->apps[i]);
		release->apps[i].version = arena_str(arena, "");
		release->app_places[i].file = "";
	}
	release->app_count = client->app_count;
	if (release->app_count > 1)
		qsort(release->apps, release->app_count, sizeof(*release->apps), by_app);
	for (size_t i = 0; i < release->app_count; i++)
		(void)version_from_variable(client, release, i); /* else its image tells */
}

bool release_read_compose(struct release_builder *builder, const struct client *client,
	struct release *release, struct problems *problems)
{
	size_t errors = problems->errors;
	list_apps(client, release);
	for (size_t i = 0; i < release->file_count; i++) {
		const struct release_file *file = &release->files[i];
		if (!ends_with(file->path, ".yml") && !ends_with(file->path, ".yaml"))
			continue;
		const struct compose_facts *facts = get_facts(builder, release, file);
		for (size_t k = 0; k < facts->problems.count; k++) {
			const struct problem *item = &facts->problems.items[k];
			problems_add(problems, item->file, item->line, item->fix, "%s", item->what);
		}
		take_versions(builder, release, file, facts);
	}
	return problems->errors == errors;
}
