#include "reconcile/policy.h"
#include "base/buf.h"
#include "base/fs.h"
#include "reconcile/drivers/compose.h"
#include "reconcile/policy_file.h"

bool policy_problem(struct problems *problems, const struct node *node, const char *fix,
	const char *format, ...)
{
	va_list args;
	va_start(args, format);
	auto_free char *what = problems_quote(format, args);
	va_end(args);
	problems_add(problems, POLICY_FILE, node ? node->line : 0, fix, "%s", what);
	return false;
}

/* ---- files ---- */

static bool check_inside(
	struct converter *self, const char *path, const struct node *place, const char *name)
{
	if (!path || fs_path_is_inside(path))
		return true;
	return policy_problem(self->problems, place, "write a relative path without '..'",
		"'%s' leaves its folder: '%.200s'", name, path);
}

static bool read_mode(
	struct converter *self, const struct release_file *file, struct policy_file *out)
{
	size_t len = strspn(file->mode, "01234567");
	bool good = (len == 3 || len == 4) && !file->mode[len];
	out->mode = strtol(file->mode, NULL, 8);
	if (good && out->mode <= 0777 && (out->mode & 0400))
		return true;
	return policy_problem(self->problems, node_get(out->node, "mode"),
		"write three or four octal digits in quotes: \"0644\"",
		"'%.20s' can not be the mode of a file", file->mode);
}

/* Is one of the paths the other, or a folder that the other needs? */
static bool collide(const char *a, const char *b)
{
	size_t len = strlen(a) < strlen(b) ? strlen(a) : strlen(b);
	return !strncmp(a, b, len) && (!a[len] || a[len] == '/') && (!b[len] || b[len] == '/');
}

static bool check_unique(struct converter *self, size_t at)
{
	const struct policy_file *files = self->policy->files;
	for (size_t i = 0; i < at; i++)
		if (files[i].to && collide(files[i].to, files[at].to))
			return policy_problem(self->problems, node_get(files[at].node, "to"),
				"give one of them another path",
				"'%.200s' is the target of another file, in line %u", files[at].to,
				files[i].node->line);
	return true;
}

static bool convert_files(struct converter *self)
{
	const struct key_list *list = &self->raw->files;
	const struct release_file *files = list->items;
	struct policy *policy = self->policy;
	bool good = true;
	policy->files = arena_array(self->arena, list->count, sizeof(*policy->files));
	policy->file_count = list->count;
	for (size_t i = 0; i < list->count; i++) {
		struct policy_file *out = &policy->files[i];
		*out = (struct policy_file){.from = files[i].from,
			.to = files[i].to,
			.template_ = files[i].template_,
			.node = list->nodes[i]};
		if (!out->from || !out->to || !files[i].mode)
			continue; /* reported by the table */
		good = check_inside(self, out->from, node_get(out->node, "from"), "from") && good;
		good = check_inside(self, out->to, node_get(out->node, "to"), "to") && good;
		good = read_mode(self, &files[i], out) && good;
		good = check_unique(self, i) && good;
	}
	return good;
}

/* ---- driver ---- */

static bool check_kind(struct converter *self, const char *kind, const struct node *place)
{
	static const char fix[] = "write 'kind: local' or 'kind: ssh'";
	struct policy_driver *driver = &self->policy->driver;
	driver->remote = !strcmp(kind, "ssh");
	if (!strcmp(kind, "local") && driver->user)
		return policy_problem(self->problems, node_get(driver->node, "user"),
			"leave it out: the service itself is the user",
			"'driver.user' has no meaning for the driver 'local'");
	if (!strcmp(kind, "local") || driver->remote)
		return true;
	if (!strcmp(kind, "ansible"))
		return policy_problem(
			self->problems, place, fix, "the driver '%s' is not supported yet", kind);
	return policy_problem(self->problems, place, fix, "there is no driver '%.60s'", kind);
}

static bool check_compose(struct converter *self, const struct node *place)
{
	struct policy *policy = self->policy;
	policy->driver.compose = true;
	for (size_t i = 0; i < policy->file_count; i++)
		if (policy->files[i].to && compose_is_file(policy->files[i].to))
			return true;
	return policy_problem(self->problems, place,
		"give one of 'release.files' the name 'to: compose.yaml'",
		"'activate: compose', but the release has no compose file at its top");
}

static bool read_activate(struct converter *self, const struct node *activate)
{
	if (!activate)
		return true;
	if (activate->kind == NODE_STRING && !strcmp(activate->text, "compose"))
		return check_compose(self, activate);
	return policy_read_argv(activate, "driver.activate", self->arena,
		&self->policy->driver.activate, self->problems);
}

static bool convert_driver(struct converter *self)
{
	const struct driver_file *file = &self->raw->driver;
	const struct node *node = node_get(self->root, "driver");
	self->policy->driver = (struct policy_driver){.kind = file->kind,
		.user = file->user,
		.root = file->root,
		.activate_timeout_ms = file->activate_timeout_ms,
		.retries = file->retries,
		.keep = file->keep,
		.node = node};
	bool good = read_activate(self, file->activate);
	if (file->kind)
		good = check_kind(self, file->kind, node_get(node, "kind")) && good;
	if (file->root && file->root[0] != '/' && strncmp(file->root, "{{", 2))
		good = policy_problem(self->problems, node_get(node, "root"),
			"write a path such as \"/srv/fleet/{{client_name}}\"",
			"'driver.root' must be an absolute path");
	return good;
}

/* ---- the rest ---- */

static bool convert_paths(struct converter *self)
{
	const struct policy_raw *raw = self->raw;
	struct policy *policy = self->policy;
	const struct node *secrets = node_get(self->root, "secrets");
	policy->inventory = raw->inventory;
	policy->secrets_shared = raw->secrets_shared;
	policy->secrets_client = raw->secrets_client;
	policy->secrets_service = raw->secrets_service;
	bool good =
		check_inside(self, raw->inventory, node_get(self->root, "inventory"), "inventory");
	good = check_inside(
		       self, raw->secrets_shared, node_get(secrets, "shared"), "secrets.shared") &&
	       good;
	good = check_inside(
		       self, raw->secrets_client, node_get(secrets, "client"), "secrets.client") &&
	       good;
	good = check_inside(self, raw->secrets_service, node_get(secrets, "service"),
		       "secrets.service") &&
	       good;
	if (raw->secrets_client && !strstr(raw->secrets_client, "{{"))
		good = policy_problem(self->problems, node_get(secrets, "client"),
			"write {{client_name}} where the name goes",
			"'secrets.client' is the same file for every client");
	return good;
}

static bool convert_verify(struct converter *self)
{
	const struct policy_raw *raw = self->raw;
	struct policy *policy = self->policy;
	policy->verify_interval_ms = raw->verify_interval_ms;
	policy->verify_healthy = raw->verify_healthy;
	policy->verify_timeout_ms = raw->verify_timeout_ms;
	if (raw->verify_interval_ms * (raw->verify_healthy - 1) <= raw->verify_timeout_ms)
		return true;
	const struct node *verify = node_get(self->root, "verify");
	const struct node *timeout = node_get(verify, "timeout");
	return policy_problem(self->problems, timeout ? timeout : verify,
		"make it longer, or 'interval' or 'healthy' smaller",
		"'verify.timeout' ends before %lld rounds can be good",
		(long long)raw->verify_healthy);
}

static bool convert(struct converter *self)
{
	const struct policy_raw *raw = self->raw;
	struct policy *policy = self->policy;
	policy->node = self->root;
	policy->on_failure = (enum policy_on_failure)raw->on_failure;
	policy->pinned_images = raw->pinned_images;
	policy->encrypted_secrets = raw->encrypted_secrets;
	policy->canary_coverage = (enum policy_coverage)raw->canary_coverage;
	policy->max_changed = raw->max_changed;
	policy->keep_rollback_tags = raw->keep_rollback_tags;
	policy->drift = (enum policy_drift)raw->drift;
	policy->drift_interval_ms = raw->drift_interval_ms;
	bool good = convert_paths(self);
	good = policy_read_stages(self) && good;
	good = convert_files(self) && good;
	good = convert_driver(self) && good;
	good = convert_verify(self) && good;
	good = policy_read_checks(raw, self->arena, policy, self->problems) && good;
	good = policy_read_steps(self) && good;
	if (raw->version && raw->version != 1)
		good = policy_problem(self->problems, node_get(self->root, "version"),
			"write 'version: 1'", "'version' is %lld: only 1 is known",
			(long long)raw->version);
	return good;
}

/* After mistakes: leave only what a reader of the rest may rely on. @return false if that is not
 * enough to look at anything */
static bool make_usable(struct policy *policy)
{
	size_t kept = 0;
	policy->check_count = 0;
	for (size_t i = 0; i < policy->file_count; i++)
		if (policy->files[i].from && policy->files[i].to)
			policy->files[kept++] = policy->files[i];
	policy->file_count = kept;
	for (size_t i = 0; i < policy->stage_count; i++)
		if (!policy->stages[i].name || !policy->stages[i].group)
			return false;
	return policy->stage_count && policy->driver.root && policy->inventory &&
	       policy->secrets_shared && policy->secrets_client;
}

bool policy_parse(const char *bytes, size_t len, struct arena *arena, struct policy **policy_out,
	struct problems *problems)
{
	struct error err;
	struct policy_raw raw = {0};
	struct node_options options = {.rules = NODE_CORE12};
	struct converter self = {.raw = &raw,
		.policy = arena_alloc(arena, sizeof(struct policy)),
		.arena = arena,
		.problems = problems};
	if (!node_parse_yaml(arena, POLICY_FILE, bytes, len, &options, &self.root, &err)) {
		error_hint(&err, "correct the file");
		problems_add_error(problems, &err);
		return false;
	}
	/* What the table refuses stays at its zero value, so the rest can be checked as well. */
	bool good = keys_read(policy_keys, "", self.root, POLICY_FILE, arena, &raw, problems);
	if (self.root->kind != NODE_MAP && self.root->kind != NODE_NULL)
		return false;
	good = convert(&self) && good;
	if (good || make_usable(self.policy))
		*policy_out = self.policy;
	return good;
}

bool policy_load(struct tree *tree, struct arena *arena, struct policy **policy_out,
	struct problems *problems)
{
	auto_buf struct buf bytes = BUF_INIT(TREE_FILE_MAX);
	struct error err;
	if (tree_read(tree, POLICY_FILE, &bytes, NULL, &err))
		return policy_parse(bytes.text, bytes.len, arena, policy_out, problems);
	if (err.code == ERR_NOT_FOUND) {
		error_set(&err, ERR_NOT_FOUND, "'%s' is missing", POLICY_FILE);
		error_hint(&err,
			"write it at the root of the repository, beginning with 'version: 1'");
	}
	error_at(&err, POLICY_FILE, 0);
	problems_add_error(problems, &err);
	return false;
}
