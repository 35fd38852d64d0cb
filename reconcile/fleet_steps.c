/* Steps that run on the service machine: what can be told of them before any begins. */
#include "reconcile/drivers/playbook.h"
#include "reconcile/fleet_parts.h"
#include "reconcile/service_secrets.h"
#include "reconcile/step_request.h"

static bool has_kind(const struct policy *policy, enum policy_step_kind kind)
{
	for (size_t i = 0; i < policy->step_count; i++)
		if (policy->steps[i].kind == kind)
			return true;
	return false;
}

static bool needs_checkout(const struct policy *policy)
{
	return has_kind(policy, RUN_COMMAND) || has_kind(policy, RUN_ANSIBLE);
}

/* Their programs get all files: a link in any folder would keep every one of them from running. */
static void check_files(const struct fleet *fleet, struct tree *tree, struct problems *problems)
{
	auto_tree_entries struct tree_entries entries = {0};
	struct error err;
	if (!needs_checkout(fleet->policy) || tree_list_deep(tree, "", &entries, &err))
		return;
	(void)error_wrap(&err, "checkout for steps"); /* returns false */
	problems_add_error(problems, &err);
}

/* With values as they are encrypted: which there are is all that counts. */
static void check_request(const struct fleet *fleet, const struct policy_step *step,
	const struct node *secrets, struct problems *problems)
{
	for (size_t i = 0; i < fleet->client_count; i++) {
		auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
		const struct step_view view = {&fleet->clients[i], secrets, true};
		struct step_request request;
		struct error err;
		if (!step_request_render(step, &view, arena, &request, &err))
			problems_add_error(problems, &err);
	}
}

static void check_playbook(
	const struct policy_step *step, struct tree *tree, struct problems *problems)
{
	const struct node *place = node_get(step->node, "ansible");
	struct tree_entry entry;
	struct error err;
	bool found = tree_stat(tree, step->playbook, &entry, &err);
	if (found && (entry.type == TREE_FILE || entry.type == TREE_EXECUTABLE))
		return;
	problems_add(problems, POLICY_FILE, place->line, "name a playbook of the repository",
		"playbook '%s' %s", step->playbook, found ? "is not a file" : "does not exist");
}

/* `--limit` takes patterns: one host must be meant by each. */
static void check_hosts(const struct fleet *fleet, struct problems *problems)
{
	for (size_t i = 0; i < fleet->client_count; i++) {
		const struct host *host = fleet->clients[i].host;
		if (!playbook_can_limit(host->name))
			problems_add(problems, host->place->file, host->place->line,
				"use letters, digits, '.', '_' and '-'",
				"steps of ansible need another name for host '%s'", host->name);
	}
}

void fleet_check_steps(const struct fleet *fleet, struct tree *tree, struct problems *problems)
{
	const struct policy *policy = fleet->policy;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct service_secrets source = {tree, policy, NULL};
	const struct node *secrets = NULL;
	struct error err;
	if (!needs_checkout(policy) && !has_kind(policy, RUN_HTTP))
		return;
	check_files(fleet, tree, problems);
	if (!service_secrets_load(&source, arena, &secrets, &err)) {
		problems_add_error(problems, &err);
		return;
	}
	for (size_t i = 0; i < policy->step_count; i++) {
		if (policy->steps[i].kind == RUN_HTTP)
			check_request(fleet, &policy->steps[i], secrets, problems);
		if (policy->steps[i].kind == RUN_ANSIBLE)
			check_playbook(&policy->steps[i], tree, problems);
	}
	if (has_kind(policy, RUN_ANSIBLE))
		check_hosts(fleet, problems);
}
