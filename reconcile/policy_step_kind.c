/* What a step of fleet.yaml runs: one of its kinds, each with keys of its own. */
#include "base/fs.h"
#include "reconcile/policy_file.h"

const char *const policy_methods[] = {"POST", "PUT", "PATCH", "DELETE", "GET", NULL};

struct kind {
	const char *key;
	enum policy_step_kind kind;
};
static const struct kind kinds[] = {{"remote", RUN_REMOTE}, {"command", RUN_COMMAND},
	{"http", RUN_HTTP}, {"ansible", RUN_ANSIBLE}};

struct step_reader {
	const struct converter *self;
	const struct step_file *file;
	struct policy_step *step;
	const struct kind *kind;
	const char *what; /* "steps.backup" */
};

/* Exactly one must be there. */
static bool pick_kind(struct step_reader *reader)
{
	const struct policy_step *step = reader->step;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct node *node = node_get(step->node, kinds[i].key);
		if (!node || node->kind == NODE_NULL)
			continue;
		if (reader->kind)
			return policy_problem(reader->self->problems, node, "make two steps of it",
				"'%s' has '%s' and '%s'", reader->what, reader->kind->key,
				kinds[i].key);
		reader->kind = &kinds[i];
	}
	if (reader->kind)
		return true;
	return policy_problem(reader->self->problems, step->node,
		"write remote: [/usr/bin/command, --flag], or command, http or ansible",
		"'%s' has no 'remote'", reader->what);
}

/* Keys that would be accepted and ignored. */
static bool refuse_strangers(const struct step_reader *reader)
{
	static const struct kind owned[] = {{"method", RUN_HTTP}, {"body", RUN_HTTP},
		{"headers", RUN_HTTP}, {"status", RUN_HTTP}};
	bool good = true;
	for (size_t i = 0; i < ARRAY_LEN(owned); i++) {
		const struct node *value = node_get(reader->step->node, owned[i].key);
		if (value && owned[i].kind != reader->kind->kind)
			good = policy_problem(reader->self->problems, value, "remove the key",
				"'%s.%s' means something for http steps only", reader->what,
				owned[i].key);
	}
	return good;
}

/* The client's name and the like are in the environment: an argument is what is written. */
static bool check_no_templates(const struct step_reader *reader)
{
	const struct key_texts *argv = &reader->step->argv;
	for (size_t i = 0; i < argv->count; i++)
		if (strstr(argv->items[i], "{{"))
			return policy_problem(reader->self->problems, argv->nodes[i],
				"read AVIARY_CLIENT and its kind from the environment",
				"argument %zu of '%s.%s' is a template", i, reader->what,
				reader->kind->key);
	return true;
}

static bool read_argv(const struct step_reader *reader, const struct node *node)
{
	const struct converter *self = reader->self;
	const char *name = arena_printf(self->arena, "%s.%s", reader->what, reader->kind->key);
	return policy_read_argv(node, name, self->arena, &reader->step->argv, self->problems) &&
	       check_no_templates(reader);
}

static bool read_ansible(const struct step_reader *reader)
{
	const char *path = reader->file->ansible;
	reader->step->playbook = path;
	if (fs_path_is_inside(path))
		return true;
	return policy_problem(reader->self->problems, node_get(reader->step->node, "ansible"),
		"name a playbook of the repository", "'%s.ansible' is '%.80s'", reader->what, path);
}

static bool read_http(const struct step_reader *reader)
{
	const struct step_file *file = reader->file;
	struct policy_step *step = reader->step;
	step->url = file->http;
	step->method = policy_methods[file->method];
	if (file->body && file->body->kind != NODE_STRING)
		return policy_problem(reader->self->problems, file->body, "write it in quotes",
			"'%s.body' must be a text", reader->what);
	step->body = file->body ? file->body->text : NULL;
	step->headers = file->headers;
	step->status = file->status;
	if (!policy_may_be_url(step->url))
		return policy_problem(reader->self->problems, node_get(step->node, "http"),
			"begin it with http:// or https://", "'%s.http' is '%.80s'", reader->what,
			step->url);
	return policy_check_headers(step->headers, reader->what, reader->self->problems);
}

bool policy_read_step_kind(
	const struct converter *self, const struct step_file *file, struct policy_step *step)
{
	struct step_reader reader = {
		self, file, step, NULL, arena_printf(self->arena, "steps.%.80s", step->name)};
	if (!pick_kind(&reader) || !refuse_strangers(&reader))
		return false;
	step->kind = reader.kind->kind;
	if (!strcmp(step->name, STEP_RESTORE) && step->kind != RUN_REMOTE)
		return policy_problem(self->problems, step->node,
			"write remote: [/usr/bin/command, --flag]",
			"'%s' runs on the client's host: it must be 'remote'", reader.what);
	if (step->kind == RUN_HTTP)
		return read_http(&reader);
	if (step->kind == RUN_ANSIBLE)
		return read_ansible(&reader);
	return read_argv(&reader, step->kind == RUN_REMOTE ? file->remote : file->command);
}
