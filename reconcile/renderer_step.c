/* Steps that run on this machine: what they need of their commit. */
#include "reconcile/renderer_parts.h"
#include "reconcile/service_secrets.h"

static const char *print_json(const struct node *node, struct arena *arena)
{
	auto_buf struct buf text = BUF_INIT_SECRET(TREE_FILE_MAX);
	node_to_json(node, 0, false, &text);
	return arena_dup(arena, text.text, text.len);
}

static bool load_secrets(const struct renderer *renderer, const struct rendered_commit *loaded,
	struct step_here *step, const struct node **secrets_out, struct error *err)
{
	const struct service_secrets source = {
		loaded->tree, loaded->fleet->policy, renderer->keyring};
	if (!service_secrets_load(&source, step->arena, secrets_out, err))
		return false;
	if (*secrets_out)
		step->secrets = print_json(*secrets_out, step->arena);
	return true;
}

static bool fill_playbook(const struct rendered_commit *loaded, const struct policy_step *policy,
	const struct client *client, struct step_here *step, struct error *err)
{
	const struct node *secrets = NULL;
	if (!release_secrets(loaded->builder, client, step->arena, &secrets, err))
		return false;
	const struct step_play play = {loaded->fleet->policy, policy, client, secrets};
	return step_playbook_fill(&play, loaded->tree, step->arena, &step->playbook, err);
}

static bool fill_step(const struct renderer *renderer, const struct rendered_commit *loaded,
	const struct step_wanted *wanted, struct step_here *step, struct error *err)
{
	const struct fleet *fleet = loaded->fleet;
	const struct client *client = fleet_client(fleet, wanted->client);
	const struct policy_step *policy = policy_step_find(fleet->policy, wanted->name);
	const struct node *secrets = NULL;
	if (!client)
		return error_set(err, ERR_NOT_FOUND, "commit %.7s does not describe client '%s'",
			loaded->commit, wanted->client);
	if (!policy)
		return error_set(err, ERR_NOT_FOUND, "commit %.7s defines no step '%s'",
			loaded->commit, wanted->name);
	step->kind = policy->kind;
	step->name = arena_str(step->arena, policy->name);
	step->timeout_ms = policy->timeout_ms;
	step->argv = renderer_copy_argv(step->arena, &policy->argv);
	if (!load_secrets(renderer, loaded, step, &secrets, err))
		return false;
	const struct step_view view = {client, secrets, false};
	if (policy->kind == RUN_HTTP)
		return step_request_render(policy, &view, step->arena, &step->request, err);
	return policy->kind != RUN_ANSIBLE || fill_playbook(loaded, policy, client, step, err);
}

static bool find_step(struct renderer *renderer, const struct step_wanted *wanted,
	struct step_here *step, struct error *err)
{
	struct rendered_commit *loaded = NULL;
	struct oid id = {0};
	(void)snprintf(id.hex, sizeof(id.hex), "%s", wanted->commit);
	return renderer_find_commit(renderer, wanted->commit, &loaded, err) &&
	       fill_step(renderer, loaded, wanted, step, err) &&
	       tree_open_commit(renderer->repo, &id, &step->tree, err);
}

bool renderer_step(struct renderer *renderer, const struct step_wanted *wanted,
	struct step_here **step_out, struct error *err)
{
	auto_step_here struct step_here *step = mem_zero(1, sizeof(*step));
	step->arena = arena_new(ARENA_SECRET, 0);
	pthread_mutex_lock(&renderer->lock);
	bool good = find_step(renderer, wanted, step, err);
	pthread_mutex_unlock(&renderer->lock);
	if (!good)
		return false;
	*step_out = STEAL(step);
	return true;
}

void step_here_free(struct step_here *step)
{
	if (!step)
		return;
	tree_free(step->tree);
	arena_free(step->arena);
	free(step);
}
