#include "reconcile/plan.h"
#include "tests/lib/gitrepo.h"
#include "tests/lib/infra.h"
#include <setjmp.h>

#include <cmocka.h>

#define CLIENTS "ansible/inventory/clients.yml"

static int set_up(void **state)
{
	*state = infra_new();
	return 0;
}

static int tear_down(void **state)
{
	infra_free(*state);
	return 0;
}

/* Commit, plan against nothing, record it as deployed. */
static struct oid deploy_first(struct infra *infra, struct status *status)
{
	struct oid commit = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &commit, NULL, status);
	infra_deploy(status, plan);
	return commit;
}

static void assert_reasons(const struct plan *plan, const char *client, const char *expected)
{
	auto_free char *reasons = infra_reasons(infra_entry(plan, client));
	assert_string_equal(reasons, expected);
}

/* ---- policy --------------------------------------------------------------------------------- */

static void more_than_max_changed_asks_for_an_approval(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	infra_edit(infra, "fleet.yaml", "checks:", "policy: {max_changed: 50%}\nchecks:");
	struct oid first = deploy_first(infra, status);
	infra_edit(infra, "docker/apps.yml", "28.0.1", "28.0.2");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &second, &first, status);
	assert_int_equal(plan->verdict, PLAN_ALLOWED);
	assert_string_equal(plan->over_limit,
		"3 of 3 recorded clients would change or vanish: policy.max_changed is 50%");
}

static void the_stricter_policy_of_old_and_new_holds(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	infra_edit(infra, "fleet.yaml", "checks:", "policy: {max_changed: 50%}\nchecks:");
	struct oid first = deploy_first(infra, status);
	infra_edit(infra, "fleet.yaml", "max_changed: 50%", "max_changed: 100%");
	infra_edit(infra, "fleet.yaml", "bake: 10m", "bake: 1m, max_failures: 3");
	infra_edit(infra, "fleet.yaml", "batch: 25%", "batch: 5");
	infra_edit(infra, "docker/apps.yml", "28.0.1", "28.0.2");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &second, &first, status);
	assert_true(plan->fleet_changed);
	assert_non_null(plan->over_limit);
	assert_int_equal(plan->stages[0].bake_ms, 600000);
	assert_int_equal(plan->stages[0].max_failures, 0);
	/* 25% of four is less than 5, and of a hundred more */
	struct batches four = plan_stage_batch(&plan->stages[1], 4);
	struct batches hundred = plan_stage_batch(&plan->stages[1], 100);
	assert_int_equal(batches_wave(&four, 4, 0), 1);
	assert_int_equal(batches_wave(&hundred, 100, 0), 5);
}

static void a_removed_stage_keeps_its_place_once(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	infra_edit(infra, "fleet.yaml", "  - {name: canary, group: canary, bake: 10m}\n", "");
	infra_edit(infra, "fleet.yaml", "group: production", "group: all");
	infra_edit(infra, "docker/apps.yml", "28.0.1", "28.0.2");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &second, &first, status);
	assert_int_equal(plan->stage_count, 2);
	assert_string_equal(plan->stages[0].name, "canary");
	assert_string_equal(infra_entry(plan, "alpha")->stage_name, "canary");
	assert_string_equal(infra_entry(plan, "beta")->stage_name, "production");
}

static void a_client_that_was_canary_counts_as_canary_when_it_moves(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	infra_edit(infra, CLIENTS, "    canary:\n      hosts:\n",
		"    canary:\n      hosts:\n        delta-vps: {client_name: delta, "
		"domain: d.example, apps: [nextcloud]}\n");
	infra_secrets(infra, "secrets/clients/delta.sops.yaml", "admin: delta-secret\n");
	struct oid first = deploy_first(infra, status);
	infra_edit(infra, CLIENTS,
		"        delta-vps: {client_name: delta, domain: d.example, apps: [nextcloud]}\n",
		"");
	infra_edit(infra, CLIENTS, "    production:\n      hosts:\n",
		"    production:\n      hosts:\n        delta-vps: {client_name: delta, "
		"domain: d.example, apps: [nextcloud]}\n");
	infra_edit(infra, "docker/apps.yml", "28.0.1", "28.0.2");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &second, &first, status);
	assert_string_equal(infra_entry(plan, "delta")->stage_name, "canary");
}

static void an_app_that_changes_on_no_canary_warns_or_is_refused(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	infra_edit(infra, "docker/pretix.yml", "2026.7.0", "2026.8.0");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &second, &first, status);
	assert_int_equal(plan->verdict, PLAN_ALLOWED);
	assert_string_equal(plan->warnings.items[0].what,
		"pretix changes on no canary (only gamma runs it): canary_coverage");
	infra_edit(infra, "fleet.yaml", "checks:", "policy: {canary_coverage: refuse}\nchecks:");
	struct oid third = infra_commit(infra);
	auto_plan struct plan *refused = infra_plan(infra, &third, &first, status);
	assert_int_equal(refused->verdict, PLAN_REFUSED);
}

static void a_renamed_client_is_refused(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	auto_tree struct tree *tree = NULL;
	auto_problems struct problems problems = {0};
	struct plan *plan = NULL;
	struct error err;
	struct oid first = deploy_first(infra, status);
	infra_edit(infra, CLIENTS, "client_name: beta", "client_name: betty");
	infra_secrets(infra, "secrets/clients/betty.sops.yaml", "admin: x\n");
	struct oid second = infra_commit(infra);
	assert_true(tree_open_commit(infra->repo, &second, &tree, &err));
	struct plan_request request = {.repo = infra->repo,
		.tree = tree,
		.commit = second,
		.base = first,
		.status = status,
		.keyring = infra->keyring,
		.keys = &infra->keys};
	assert_false(plan_build(&request, &plan, NULL, &problems));
	assert_string_equal(problems.items[0].what,
		"new client 'betty' takes its inventory name from client 'beta': renamed?");
	assert_int_equal(problems.items[0].line, 15);
}

static void a_moved_driver_root_is_an_upgrade(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	infra_edit(infra, "fleet.yaml", "/srv/fleet/", "/srv/clients/");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &second, &first, status);
	assert_int_equal(plan->changed, 3);
	assert_reasons(
		plan, "beta", "driver.root /srv/fleet/beta -> /srv/clients/beta (fleet.yaml)");
}

static void only_fleet_yaml_changed_is_nothing_with_a_mark(void **state)
{
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(*state, status);
	infra_edit(*state, "fleet.yaml", "bake: 10m", "bake: 20m");
	struct oid second = infra_commit(*state);
	auto_plan struct plan *plan = infra_plan(*state, &second, &first, status);
	assert_int_equal(plan->verdict, PLAN_NOTHING);
	assert_true(plan->fleet_changed);
	assert_int_equal(plan->stages[0].bake_ms, 1200000);
}

static void the_last_deployed_commit_goes_by_git_order(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid base = {{0}};
	struct error err;
	struct oid first = infra_commit(infra);
	auto_plan struct plan *one = infra_plan(infra, &first, NULL, status);
	infra_write(infra, "README.md", "words\n");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *two = infra_plan(infra, &second, NULL, status);
	assert_true(plan_last_deployed(infra->repo, status, &base, &err));
	assert_string_equal(base.hex, "");
	infra_put_rollout(
		status, two, "20261124-101500-bbbbbbb", ROLLOUT_SUCCEEDED, MEMBER_HEALTHY);
	infra_put_rollout(
		status, one, "20261124-101600-aaaaaaa", ROLLOUT_SUCCEEDED, MEMBER_HEALTHY);
	infra_put_rollout(status, one, "20261124-101700-aaaaaaa", ROLLOUT_FAILED, MEMBER_FAILED);
	assert_true(plan_last_deployed(infra->repo, status, &base, &err));
	assert_string_equal(base.hex, second.hex);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(more_than_max_changed_asks_for_an_approval),
		TEST(the_stricter_policy_of_old_and_new_holds),
		TEST(a_removed_stage_keeps_its_place_once),
		TEST(a_client_that_was_canary_counts_as_canary_when_it_moves),
		TEST(an_app_that_changes_on_no_canary_warns_or_is_refused),
		TEST(a_renamed_client_is_refused),
		TEST(a_moved_driver_root_is_an_upgrade),
		TEST(only_fleet_yaml_changed_is_nothing_with_a_mark),
		TEST(the_last_deployed_commit_goes_by_git_order),
	};
	return cmocka_run_group_tests_name("plan policy", tests, NULL, NULL);
}
