#include "reconcile/target_checks.h"

static struct check_member *members_of(const struct node *json, struct arena *arena)
{
	struct check_member *members = arena_array(arena, json->count, sizeof(*members));
	for (size_t i = 0; i < json->count; i++) {
		auto_buf struct buf text = BUF_INIT(1 << 20);
		node_to_json(json->map[i].value, 0, false, &text);
		members[i].name = arena_str(arena, json->map[i].key);
		members[i].json = arena_str(arena, text.text);
	}
	return members;
}

static enum probe_kind probe_of(enum check_kind kind)
{
	switch (kind) {
	case CHECK_HTTP:
		return PROBE_HTTP;
	case CHECK_TCP:
		return PROBE_TCP;
	case CHECK_TLS:
		return PROBE_TLS;
	case CHECK_COMMAND:
		break;
	}
	return PROBE_COMMAND;
}

static struct check_spec spec_of(const struct client_check *check, struct arena *arena)
{
	const struct policy_check *policy = check->policy;
	struct check_spec spec = {
		.name = arena_str(arena, policy->name),
		.kind = probe_of(policy->kind),
		.target = check->target,
		.argv = check->argv,
		.status = (int)policy->status,
		.body = check->body,
		.headers = check->headers,
		.timeout_ms = policy->timeout_ms,
		.min_days = policy->min_days,
	};
	if (policy->json) {
		spec.json = members_of(policy->json, arena);
		spec.json_count = policy->json->count;
	}
	return spec;
}

bool target_checks(const struct fleet *fleet, const struct client *client, struct arena *arena,
	struct check_spec **specs_out, size_t *count_out, struct error *err)
{
	auto_problems struct problems problems = {0};
	struct client_check *checks = NULL;
	size_t count = 0;
	if (!release_checks(fleet, client, arena, &checks, &count, &problems))
		return problems_to_error(&problems, err);
	struct check_spec *specs = arena_array(arena, count, sizeof(*specs));
	for (size_t i = 0; i < count; i++)
		specs[i] = spec_of(&checks[i], arena);
	*specs_out = specs;
	*count_out = count;
	return true;
}
