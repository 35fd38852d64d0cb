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

static void assert_action(const struct plan *plan, const char *client, enum plan_action action)
{
	const struct plan_entry *entry = infra_entry(plan, client);
	assert_string_equal(
		entry ? plan_action_name(entry->action) : "unchanged", plan_action_name(action));
}

static void the_first_plan_onboards_all(void **state)
{
	auto_status struct status *status = status_new();
	struct oid commit = infra_commit(*state);
	auto_plan struct plan *plan = infra_plan(*state, &commit, NULL, status);
	assert_int_equal(plan->verdict, PLAN_ALLOWED);
	assert_int_equal(plan->changed, 3);
	assert_action(plan, "alpha", PLAN_ONBOARD);
	assert_reasons(plan, "beta", "new client (" CLIENTS ":15)");
	assert_string_equal(
		infra_entry(plan, "alpha")->summary, "listmonk v5.0.0, nextcloud 28.0.1");
	assert_string_equal(infra_entry(plan, "gamma")->stage_name, "production");
	assert_string_equal(infra_entry(plan, "gamma")->to.commit, commit.hex);
	assert_string_equal(infra_entry(plan, "gamma")->to.release_key, "k1");
	assert_int_equal(plan->stage_count, 2);
	assert_int_equal(plan->stages[0].bake_ms, 600000);
	assert_true(plan->stages[1].batch.items[0].percent);
}

static void what_runs_and_is_proved_is_unchanged(void **state)
{
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(*state, status);
	auto_plan struct plan *plan = infra_plan(*state, &first, &first, status);
	assert_int_equal(plan->verdict, PLAN_NOTHING);
	assert_int_equal(plan->unchanged, 3);
	assert_int_equal(plan->entry_count, 0);
}

static void an_upgrade_says_from_which_version_to_which(void **state)
{
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(*state, status);
	infra_edit(*state, "docker/apps.yml", "28.0.1", "28.0.2");
	infra_edit(*state, CLIENTS, "v5.0.0", "v5.0.1");
	struct oid second = infra_commit(*state);
	auto_plan struct plan *plan = infra_plan(*state, &second, &first, status);
	assert_int_equal(plan->changed, 3);
	assert_reasons(plan, "alpha",
		"listmonk v5.0.0 -> v5.0.1 (" CLIENTS
		":3); nextcloud 28.0.1 -> 28.0.2 (docker/apps.yml:4)");
	assert_reasons(plan, "beta", "nextcloud 28.0.1 -> 28.0.2 (docker/apps.yml:4)");
	assert_string_equal(infra_entry(plan, "beta")->summary, "nextcloud 28.0.1 -> 28.0.2");
	assert_string_equal(infra_entry(plan, "beta")->from.commit, first.hex);
}

static void secrets_variables_and_files_are_named_never_valued(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	auto_buf struct buf text = BUF_INIT(1 << 20);
	struct oid first = deploy_first(infra, status);
	infra_secrets(infra, "secrets/clients/alpha.sops.yaml", "admin: alpha-secret-2\n");
	infra_edit(infra, CLIENTS, "domain: beta.example", "domain: beta.example.org");
	infra_edit(infra, CLIENTS, "[nextcloud, pretix]", "[nextcloud]");
	infra_edit(infra, "templates/env.mustache", "DOMAIN",
		"{{^apps.listmonk}}X=1\n{{/apps.listmonk}}DOMAIN");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &second, &first, status);
	assert_reasons(plan, "alpha", "secret admin changed (secrets/clients/alpha.sops.yaml)");
	assert_string_equal(infra_entry(plan, "alpha")->summary, "1 secret");
	assert_reasons(plan, "beta",
		"variable domain changed (" CLIENTS
		":16); templates/env.mustache changed (templates/env.mustache)");
	assert_string_equal(infra_entry(plan, "beta")->summary, "1 file");
	assert_reasons(plan, "gamma",
		"app pretix removed (" CLIENTS
		":21); templates/env.mustache changed (templates/env.mustache)");
	plan_to_text(plan, &text);
	plan_to_json(plan, &text);
	assert_null(strstr(text.text, "secret-"));
}

static void encrypting_again_is_in_the_plans_digest_and_changes_nobody(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	infra_secrets(infra, "secrets/clients/alpha.sops.yaml", "admin: alpha-secret-1\n");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *keyless = infra_plan(infra, &second, &first, NULL);
	auto_plan struct plan *plan = infra_plan(infra, &second, &first, status);
	assert_reasons(keyless, "alpha",
		"encrypted value admin differs (secrets/clients/alpha.sops.yaml)");
	assert_int_equal(keyless->changed, 1);
	assert_int_equal(plan->verdict, PLAN_NOTHING);
	assert_int_equal(plan->unchanged, 3);
	assert_string_equal(plan->digest, keyless->digest);
}

static void the_digest_needs_no_keys_and_names_this_plan_only(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	infra_edit(infra, "docker/apps.yml", "28.0.1", "28.0.2");
	struct oid second = infra_commit(infra);
	infra_edit(infra, "docker/apps.yml", "28.0.2", "28.0.3");
	struct oid third = infra_commit(infra);
	auto_plan struct plan *with = infra_plan(infra, &second, &first, status);
	auto_plan struct plan *without = infra_plan(infra, &second, &first, NULL);
	auto_plan struct plan *other = infra_plan(infra, &third, &first, NULL);
	assert_string_equal(with->digest, without->digest);
	assert_string_not_equal(with->digest, other->digest);
	assert_int_equal(strlen(with->digest), 10);
	assert_memory_equal(with->digest, "p-", 2);
}

static void a_release_that_was_good_is_a_rollback(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	infra_edit(infra, "docker/apps.yml", "28.0.1", "28.0.2");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *up = infra_plan(infra, &second, &first, status);
	infra_deploy(status, up);
	infra_edit(infra, "docker/apps.yml", "28.0.2", "28.0.1");
	struct oid third = infra_commit(infra);
	auto_plan struct plan *back = infra_plan(infra, &third, &second, status);
	assert_action(back, "alpha", PLAN_ROLLBACK);
	assert_action(back, "gamma", PLAN_ROLLBACK);
	assert_reasons(back, "beta", "nextcloud 28.0.2 -> 28.0.1 (docker/apps.yml:4)");
	assert_int_equal(back->changed, 3);
}

static void forget_good(struct client_record *record, const void *data)
{
	(void)data; /* nothing to tell */
	record->known_good = (struct release_ref){{0}};
}

static void what_runs_unproved_is_verified_again(void **state)
{
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(*state, status);
	infra_put(status, "beta", forget_good, NULL);
	auto_plan struct plan *plan = infra_plan(*state, &first, &first, status);
	assert_int_equal(plan->changed, 1);
	assert_action(plan, "beta", PLAN_UPGRADE);
	assert_true(infra_entry(plan, "beta")->unproved);
}

static void a_vanished_client_is_reported_and_not_changed(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	infra_edit(infra, CLIENTS,
		"        gamma-vps:\n          client_name: gamma\n          domain: "
		"gamma.example\n          apps: [nextcloud, pretix]\n",
		"");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &second, &first, status);
	auto_plan struct plan *keyless = infra_plan(infra, &second, &first, NULL);
	assert_action(plan, "gamma", PLAN_VANISHED);
	assert_int_equal(plan->changed, 0);
	assert_int_equal(plan->verdict, PLAN_NOTHING);
	assert_action(keyless, "gamma", PLAN_VANISHED);
	assert_string_equal(plan->digest, keyless->digest);
}

static void lose_key(struct client_record *record, const void *data)
{
	const char *key = data;
	memcpy(record->current.release_key, key, strlen(key) + 1);
	memcpy(record->known_good.release_key, key, strlen(key) + 1);
	record->good[0] = record->known_good;
}

static void a_lost_digest_key_is_an_upgrade_with_that_reason(void **state)
{
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(*state, status);
	infra_put(status, "alpha", lose_key, "k9");
	auto_plan struct plan *plan = infra_plan(*state, &first, &first, status);
	assert_int_equal(plan->changed, 1);
	assert_action(plan, "alpha", PLAN_UPGRADE);
	assert_reasons(plan, "alpha", "digest key lost");
}

static void releases_are_compared_under_the_key_of_their_record(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	struct error err;
	assert_true(digest_keys_add(&infra->keys, &err));
	auto_plan struct plan *plan = infra_plan(infra, &first, &first, status);
	assert_int_equal(plan->unchanged, 3);
	infra_edit(infra, "docker/pretix.yml", "2026.7.0", "2026.8.0");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *next = infra_plan(infra, &second, &first, status);
	assert_int_equal(next->changed, 1);
	assert_string_equal(infra_entry(next, "gamma")->to.release_key, "k2");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_plan_onboards_all),
		TEST(what_runs_and_is_proved_is_unchanged),
		TEST(an_upgrade_says_from_which_version_to_which),
		TEST(secrets_variables_and_files_are_named_never_valued),
		TEST(encrypting_again_is_in_the_plans_digest_and_changes_nobody),
		TEST(the_digest_needs_no_keys_and_names_this_plan_only),
		TEST(a_release_that_was_good_is_a_rollback),
		TEST(what_runs_unproved_is_verified_again),
		TEST(a_vanished_client_is_reported_and_not_changed),
		TEST(a_lost_digest_key_is_an_upgrade_with_that_reason),
		TEST(releases_are_compared_under_the_key_of_their_record),
	};
	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
