/* `steps` and `lifecycle` of fleet.yaml: what there is to run on a client's host, and in which
 * order. */
#include "base/buf.h"
#include "reconcile/policy_file.h"

#define STEPS_MAX 100

/* ---- keys ------------------------------------------------------------------------------------ */

static const char *const when_words[] = {"always", "changed", "never", "ask", NULL};
static const char *const scope_words[] = {"client", "fleet", NULL};

const struct key policy_step_keys[] = {
	{.name = "remote",
		.type = KEY_NODE,
		AT(step_file, remote),
		.doc = "Command on the client's host: a list of arguments, started without a shell "
		       "in the current release, or in driver.root before there is one. It sees "
		       "what activate sees, and AVIARY_STEP and AVIARY_BACKUP."},
	{.name = "command",
		.type = KEY_NODE,
		AT(step_file, command),
		.doc = "Command on the service machine: a list of arguments, started without a "
		       "shell in a private checkout of exactly the commit. It sees what remote "
		       "sees, and in AVIARY_SECRETS the name of a file in memory: secrets.service "
		       "as JSON."},
	{.name = "http",
		.type = KEY_TEXT,
		AT(step_file, http),
		.doc = "URL (template) that the service machine sends a request to. In it, in body "
		       "and in headers secrets is what secrets.service holds."},
	{.name = "method",
		.type = KEY_ENUM,
		AT(step_file, method),
		.words = policy_methods,
		.standard = "POST",
		.doc = "Of an http step: method of the request."},
	{.name = "body",
		.type = KEY_NODE,
		AT(step_file, body),
		.doc = "Of an http step: body of the request (template)."},
	{.name = "headers",
		.type = KEY_NODE,
		AT(step_file, headers),
		.doc = "Of an http step: map of headers to send; their values are templates."},
	{.name = "status",
		.type = KEY_INT,
		AT(step_file, status),
		.standard = "200",
		.min = 100,
		.max = 599,
		.doc = "Of an http step: status of the answer that is success."},
	{.name = "ansible",
		.type = KEY_TEXT,
		AT(step_file, ansible),
		.doc = "Playbook of the repository that ansible-playbook runs on the service "
		       "machine, in a private checkout of exactly the commit, limited to the "
		       "client's host. It gets the client's variables, and its secrets as "
		       "secrets."},
	LATER("tofu"),
	LATER("guard"),
	{.name = "scope",
		.type = KEY_ENUM,
		AT(step_file, scope),
		.words = scope_words,
		.standard = "client",
		.doc = "client: it runs for each client."},
	{.name = "timeout",
		.type = KEY_DURATION,
		AT(step_file, timeout_ms),
		.standard = "1h",
		.min = SECOND,
		.max = 7 * DAY,
		.doc = "Time after which the running step is ended and has failed."},
	{.name = "when",
		.type = KEY_ENUM,
		AT(step_file, when),
		.words = when_words,
		.standard = "always",
		.doc = "Of the step restore: never, always, or ask, which is its default and "
		       "leaves the client waiting until a person approves. Of others: always."},
	KEYS_END,
};

const struct key policy_lifecycle_keys[] = {
	{.name = "onboard",
		.type = KEY_NODE,
		AT(lifecycle_file, onboard),
		.doc = "Pipeline of a client that is new: names of steps in their order, deploy "
		       "and verify among them. Default: [provision, setup, deploy, verify, "
		       "backup], without names that steps does not define."},
	{.name = "upgrade",
		.type = KEY_NODE,
		AT(lifecycle_file, upgrade),
		.doc = "Pipeline of a client that gets another release. Default: [backup, setup, "
		       "deploy, verify], without names that steps does not define."},
	LATER("offboard"),
	KEYS_END,
};

/* Order of the words is the order of the enums. */
_Static_assert(
	STEP_ALWAYS == 0 && STEP_CHANGED == 1 && STEP_NEVER == 2 && STEP_ASK == 3, "when_words");
_Static_assert(SCOPE_CLIENT == 0 && SCOPE_FLEET == 1, "scope_words");

/* ---- names ----------------------------------------------------------------------------------- */

static const char *const built_in[] = {STEP_DEPLOY, STEP_VERIFY};
/* Of the pipeline that removes a client, which nothing runs yet. */
static const char *const of_offboard[] = {"confirm", "destroy", "archive"};
/* Without the key: these, as far as `steps` defines them. */
static const char *const onboard_standard[] = {
	"provision", "setup", STEP_DEPLOY, STEP_VERIFY, STEP_BACKUP};
static const char *const upgrade_standard[] = {STEP_BACKUP, "setup", STEP_DEPLOY, STEP_VERIFY};

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

const struct policy_step *policy_step_find(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->step_count; i++)
		if (!strcmp(policy->steps[i].name, name))
			return &policy->steps[i];
	return NULL;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static bool is_step_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
	return len && len < STEP_NAME && !name[len] && name[0] >= 'a';
}

static bool check_step_name(const struct converter *self, const struct node_entry *entry)
{
	if (!is_step_name(entry->key))
		return policy_problem(self->problems, entry->key_node,
			"a to z, 0 to 9 and -, beginning with a letter, at most 31 characters",
			"'%.80s' can not be the name of a step", entry->key);
	if (is_one_of(entry->key, built_in, ARRAY_LEN(built_in)) ||
		is_one_of(entry->key, of_offboard, ARRAY_LEN(of_offboard)))
		return policy_problem(self->problems, entry->key_node, "give it another name",
			"step '%s' is built in", entry->key);
	return true;
}

/* `restore` runs when a client goes back; every other one when its pipeline comes to it. */
static bool check_when(const struct converter *self, const struct policy_step *step)
{
	bool restore = !strcmp(step->name, STEP_RESTORE);
	const struct node *place = node_get(step->node, "when");
	if (step->when == STEP_CHANGED)
		return policy_problem(self->problems, place, "write 'when: always'",
			"'steps.%s.when: changed' is not supported yet", step->name);
	if (!restore && step->when != STEP_ALWAYS)
		return policy_problem(self->problems, place, "remove it, or take the step away",
			"'steps.%s.when' can be never or ask for the step 'restore' only",
			step->name);
	return true;
}

static bool read_step(
	const struct converter *self, const struct node_entry *entry, struct policy_step *step)
{
	struct step_file file = {0};
	const char *what = arena_printf(self->arena, "steps.%.80s", entry->key);
	*step = (struct policy_step){.name = entry->key, .node = entry->value};
	bool good = check_step_name(self, entry);
	if (!keys_read(policy_step_keys, what, entry->value, POLICY_FILE, self->arena, &file,
		    self->problems))
		return false;
	step->timeout_ms = file.timeout_ms;
	step->when = (enum policy_when)file.when;
	if (!node_get(entry->value, "when") && !strcmp(step->name, STEP_RESTORE))
		step->when = STEP_ASK; /* nobody's data are replaced because of a default */
	if (file.scope != SCOPE_CLIENT)
		good = policy_problem(self->problems, node_get(entry->value, "scope"),
			"remove the key", "'%s.scope: fleet' is not supported yet", what);
	return policy_read_step_kind(self, &file, step) && check_when(self, step) && good;
}

static bool read_steps(const struct converter *self)
{
	const struct node *steps = self->raw->steps;
	bool good = true;
	if (!steps)
		return true;
	if (steps->kind != NODE_MAP)
		return policy_problem(self->problems, steps,
			"write it as 'steps: {backup: {remote: [...]}}'",
			"'steps' must be a map of named steps, not a %s",
			node_kind_name(steps->kind));
	if (steps->count > STEPS_MAX)
		return policy_problem(self->problems, steps, "",
			"%zu steps are more than the limit of %d", steps->count, STEPS_MAX);
	self->policy->steps = arena_array(self->arena, steps->count, sizeof(struct policy_step));
	for (size_t i = 0; i < steps->count; i++) {
		struct policy_step *step = &self->policy->steps[self->policy->step_count++];
		good = read_step(self, &steps->map[i], step) && good;
	}
	return good;
}

/* ---- lifecycle ------------------------------------------------------------------------------- */

struct list {
	const char *what; /* "lifecycle.upgrade" */
	const struct node *node;
	struct buf pipeline;
};

static bool unknown_name(
	const struct converter *self, const struct list *list, const struct node *item)
{
	const char *names[STEPS_MAX + ARRAY_LEN(built_in)];
	size_t count = 0;
	if (is_one_of(item->text, of_offboard, ARRAY_LEN(of_offboard)))
		return policy_problem(self->problems, item, "take it out",
			"'%s' of '%s' belongs to 'lifecycle.offboard', which is not supported yet",
			item->text, list->what);
	for (size_t i = 0; i < ARRAY_LEN(built_in); i++)
		names[count++] = built_in[i];
	for (size_t i = 0; i < self->policy->step_count; i++)
		names[count++] = self->policy->steps[i].name;
	const char *near = nearest_name(item->text, names, count);
	auto_free char *fix = near ? mem_printf("did you mean '%s'?", near)
				   : mem_printf("define it in 'steps', or take it out");
	return policy_problem(self->problems, item, fix,
		"'%s' names '%.80s', which 'steps' does not define", list->what, item->text);
}

static bool add_name(const struct converter *self, struct list *list, const struct node *item)
{
	if (item->kind != NODE_STRING)
		return policy_problem(self->problems, item, "write the name of a step",
			"'%s' must be a list of names", list->what);
	bool known = is_one_of(item->text, built_in, ARRAY_LEN(built_in)) ||
		     policy_step_find(self->policy, item->text);
	if (!known)
		return unknown_name(self, list, item);
	if (!strcmp(item->text, STEP_RESTORE))
		return policy_problem(self->problems, item, "take it out",
			"'%s' names 'restore', which runs when a client goes back", list->what);
	if (list->pipeline.len && pipeline_find(list->pipeline.text, item->text) != SIZE_MAX)
		return policy_problem(self->problems, item, "list it once", "'%s' names '%s' twice",
			list->what, item->text);
	buf_addf(&list->pipeline, "%s%s", list->pipeline.len ? " " : "", item->text);
	return true;
}

static bool check_list(const struct converter *self, const struct list *list)
{
	const char *text = list->pipeline.text;
	size_t deploy = list->pipeline.len ? pipeline_find(text, STEP_DEPLOY) : SIZE_MAX;
	size_t verify = list->pipeline.len ? pipeline_find(text, STEP_VERIFY) : SIZE_MAX;
	if (deploy == SIZE_MAX || verify == SIZE_MAX || verify < deploy)
		return policy_problem(self->problems, list->node, "write [..., deploy, verify]",
			"'%s' needs 'deploy' and after it 'verify'", list->what);
	return true;
}

static bool read_list(const struct converter *self, struct list *list)
{
	bool good = true;
	if (list->node->kind != NODE_LIST || list->node->count > PIPELINE_MAX)
		return policy_problem(self->problems, list->node,
			"write it as [backup, deploy, verify]",
			"'%s' must be a list of at most %d names", list->what, PIPELINE_MAX);
	for (size_t i = 0; i < list->node->count; i++)
		good = add_name(self, list, list->node->items[i]) && good;
	return good && check_list(self, list);
}

/* Without the key: the design's order, as far as the steps are there. */
static void take_standard(
	const struct converter *self, struct list *list, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_one_of(names[i], built_in, ARRAY_LEN(built_in)) ||
			policy_step_find(self->policy, names[i]))
			buf_addf(&list->pipeline, "%s%s", list->pipeline.len ? " " : "", names[i]);
}

static bool read_pipeline(const struct converter *self, const char *key, const struct node *node,
	const char **pipeline_out)
{
	struct list list = {.what = arena_printf(self->arena, "lifecycle.%s", key),
		.node = node,
		.pipeline = BUF_INIT(PIPELINE_TEXT)};
	bool good = true, onboard = !strcmp(key, "onboard");
	if (node)
		good = read_list(self, &list);
	else if (onboard)
		take_standard(self, &list, onboard_standard, ARRAY_LEN(onboard_standard));
	else
		take_standard(self, &list, upgrade_standard, ARRAY_LEN(upgrade_standard));
	*pipeline_out = arena_str(self->arena, list.pipeline.text);
	buf_clear(&list.pipeline);
	return good;
}

/* A step that nothing comes to would be accepted and ignored. */
static bool check_used(const struct converter *self, const struct policy_step *step)
{
	const struct policy *policy = self->policy;
	if (!strcmp(step->name, STEP_RESTORE)) {
		if (pipeline_backs_up_first(policy->upgrade))
			return true;
		return policy_problem(self->problems, step->node,
			"define 'backup', and put it before 'deploy' in 'lifecycle.upgrade'",
			"'steps.restore' has no backup to restore");
	}
	if (pipeline_find(policy->onboard, step->name) != SIZE_MAX ||
		pipeline_find(policy->upgrade, step->name) != SIZE_MAX)
		return true;
	return policy_problem(self->problems, step->node,
		"name it in 'lifecycle.onboard' or 'lifecycle.upgrade', or take it out",
		"step '%s' stands in no pipeline", step->name);
}

bool policy_read_steps(struct converter *self)
{
	struct policy *policy = self->policy;
	const struct lifecycle_file *lifecycle = &self->raw->lifecycle;
	policy->onboard = policy->upgrade = "";
	if (!read_steps(self))
		return false;
	bool good = read_pipeline(self, "onboard", lifecycle->onboard, &policy->onboard);
	good = read_pipeline(self, "upgrade", lifecycle->upgrade, &policy->upgrade) && good;
	for (size_t i = 0; good && i < policy->step_count; i++)
		good = check_used(self, &policy->steps[i]);
	const struct policy_step *restore = policy_step_find(policy, STEP_RESTORE);
	policy->restore = !restore || restore->when == STEP_NEVER ? RESTORE_NEVER
			  : restore->when == STEP_ASK             ? RESTORE_ASK
								  : RESTORE_ALWAYS;
	return good;
}
