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

static void assert_action(const struct plan *plan, const char *client, enum plan_action action)
{
	const struct plan_entry *entry = infra_entry(plan, client);
	assert_string_equal(
		entry ? plan_action_name(entry->action) : "unchanged", plan_action_name(action));
}

/* ---- holds ---------------------------------------------------------------------------------- */

struct hold {
	const struct plan_entry *entry;
	const char *commit;
	bool by_hand;
};

static void hold_record(struct client_record *record, const void *data)
{
	const struct hold *hold = data;
	record->hold.held = true;
	record->hold.by_hand = hold->by_hand;
	record->hold.reason = mem_dup_str("check 'nextcloud': 500");
	memcpy(record->hold.commit, hold->commit, OID_HEX);
	memcpy(record->hold.release, hold->entry->to.release, DIGEST_TEXT);
	memcpy(record->hold.release_key, hold->entry->to.release_key, KEY_ID_TEXT);
	memcpy(record->hold.checks, hold->entry->checks, DIGEST_TEXT);
}

/* nextcloud 28.0.2 failed on alpha, the rollout never reached the others. */
static struct oid fail_second(struct infra *infra, struct status *status, const struct oid *first)
{
	infra_edit(infra, "docker/apps.yml", "28.0.1", "28.0.2");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &second, first, status);
	struct hold hold = {infra_entry(plan, "alpha"), second.hex, false};
	infra_put(status, "alpha", hold_record, &hold);
	infra_put_rollout(status, plan, "20261124-101542-aaaaaaa", ROLLOUT_FAILED, MEMBER_SKIPPED);
	return second;
}

static void the_commit_of_a_failed_rollout_is_not_planned_again(void **state)
{
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(*state, status);
	struct oid second = fail_second(*state, status, &first);
	auto_plan struct plan *plan = infra_plan(*state, &second, &first, status);
	assert_int_equal(plan->verdict, PLAN_NOTHING);
	assert_int_equal(plan->changed, 0);
	assert_action(plan, "beta", PLAN_HELD);
	assert_int_equal(plan->ends_hold.count, 0);
}

static void a_newer_commit_that_wants_the_same_is_refused_by_name(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	(void)fail_second(infra, status, &first); /* its commit is older than the one planned */
	infra_write(infra, "README.md", "words\n");
	struct oid third = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &third, &first, status);
	assert_int_equal(plan->verdict, PLAN_REFUSED);
	assert_action(plan, "alpha", PLAN_HELD);
	assert_action(plan, "gamma", PLAN_HELD);
	assert_true(plan->stages[0].blocked);
	assert_string_equal(
		plan->refusals.items[0], "no client may start: held alpha, beta, gamma");
}

static void a_hold_ends_only_for_clients_that_want_something_else(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	(void)fail_second(infra, status, &first); /* its commit is older than the one planned */
	infra_edit(infra, CLIENTS, "domain: alpha.example", "domain: alpha.example.org");
	struct oid third = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &third, &first, status);
	assert_int_equal(plan->verdict, PLAN_ALLOWED);
	assert_action(plan, "alpha", PLAN_UPGRADE);
	assert_action(plan, "beta", PLAN_HELD);
	assert_int_equal(plan->changed, 1);
	assert_int_equal(plan->ends_hold.count, 1);
	assert_string_equal(plan->ends_hold.items[0], "alpha");
	assert_false(plan->stages[0].blocked);
	assert_true(plan->stages[1].blocked);
}

static void fail_record(struct client_record *record, const void *data)
{
	(void)data;
	record->state = CLIENT_FAILED;
	record->unsure = true;
}

static void a_client_whose_way_back_failed_is_activated_again(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	(void)fail_second(infra, status, &first); /* its commit is older than the one planned */
	infra_put(status, "alpha", fail_record, NULL);
	infra_edit(infra, "docker/apps.yml", "28.0.2", "28.0.1");
	struct oid third = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &third, &first, status);
	assert_action(plan, "alpha", PLAN_ROLLBACK);
	assert_false(infra_entry(plan, "alpha")->unproved);
	assert_string_equal(infra_entry(plan, "alpha")->reasons[0].text,
		"its last rollout failed: activated again");
	assert_action(plan, "beta", PLAN_UNCHANGED);
	assert_int_equal(plan->verdict, PLAN_ALLOWED);
}

static void a_held_canary_blocks_production(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	(void)fail_second(infra, status, &first); /* its commit is older than the one planned */
	infra_edit(infra, "docker/pretix.yml", "2026.7.0", "2026.8.0");
	struct oid third = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &third, &first, status);
	assert_action(plan, "alpha", PLAN_HELD);
	assert_action(plan, "gamma", PLAN_UPGRADE);
	assert_int_equal(plan->verdict, PLAN_REFUSED);
}

static void other_checks_end_a_hold_but_not_one_set_by_hand(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	infra_edit(infra, "docker/apps.yml", "28.0.1", "28.0.2");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &second, &first, status);
	struct hold failed = {infra_entry(plan, "alpha"), second.hex, false};
	struct hold by_hand = {infra_entry(plan, "beta"), second.hex, true};
	infra_put(status, "alpha", hold_record, &failed);
	infra_put(status, "beta", hold_record, &by_hand);
	infra_edit(infra, "fleet.yaml", "status: 200", "status: 204");
	struct oid third = infra_commit(infra);
	auto_plan struct plan *next = infra_plan(infra, &third, &first, status);
	assert_action(next, "alpha", PLAN_UPGRADE);
	assert_action(next, "beta", PLAN_HELD);
	assert_true(next->fleet_changed);
}

static void pause_record(struct client_record *record, const void *data)
{
	(void)data;
	record->pause = (struct pause){
		.paused = true, .by = mem_dup_str("eva"), .reason = mem_dup_str("demo")};
}

static void a_paused_canary_blocks_production(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	infra_put(status, "alpha", pause_record, NULL);
	infra_edit(infra, "docker/apps.yml", "28.0.1", "28.0.2");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &second, &first, status);
	assert_action(plan, "alpha", PLAN_PAUSED);
	assert_action(plan, "beta", PLAN_UPGRADE);
	assert_int_equal(plan->verdict, PLAN_REFUSED);
	assert_string_equal(plan->refusals.items[0], PLAN_NONE_STARTS "paused alpha");
	assert_string_equal(infra_entry(plan, "alpha")->reasons[0].text, "paused by eva: demo");
}

static void a_paused_client_beside_others_of_its_stage_blocks_nobody(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	infra_put(status, "beta", pause_record, NULL);
	infra_edit(infra, "docker/apps.yml", "28.0.1", "28.0.2");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &second, &first, status);
	assert_action(plan, "beta", PLAN_PAUSED);
	assert_action(plan, "gamma", PLAN_UPGRADE);
	assert_int_equal(plan->verdict, PLAN_ALLOWED);
	assert_int_equal(plan->changed, 2);
	assert_false(plan->stages[1].blocked);
}

static void a_pause_of_a_client_that_does_not_change_means_nothing(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	infra_put(status, "alpha", pause_record, NULL);
	infra_edit(infra, "docker/pretix.yml", "2026.7.0", "2026.8.0");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &second, &first, status);
	assert_action(plan, "alpha", PLAN_UNCHANGED);
	assert_int_equal(plan->verdict, PLAN_ALLOWED);
}

/* What a person asked for: up to the failed rollout of fail_second(). */
static void ask_retry(struct status *status, const char *client)
{
	auto_free char *name = mem_dup_str(client);
	struct retry retry = {.client = name, .until = "20261124-101542-aaaaaaa"};
	asked_record_add_retry(&status->asked, &retry);
}

static void end_hold(struct client_record *record, const void *data)
{
	(void)data;
	free(record->hold.reason);
	record->hold = (struct client_hold){0};
}

static void a_retry_lets_the_same_commit_start_again(void **state)
{
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(*state, status);
	struct oid second = fail_second(*state, status, &first);
	infra_put(status, "alpha", end_hold, NULL);
	ask_retry(status, NULL);
	auto_plan struct plan *plan = infra_plan(*state, &second, &first, status);
	assert_int_equal(plan->verdict, PLAN_ALLOWED);
	assert_int_equal(plan->changed, 3);
}

static void a_retry_of_one_client_frees_it_and_the_canaries(void **state)
{
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(*state, status);
	struct oid second = fail_second(*state, status, &first);
	infra_put(status, "alpha", end_hold, NULL);
	ask_retry(status, "gamma");
	auto_plan struct plan *plan = infra_plan(*state, &second, &first, status);
	assert_int_equal(plan->verdict, PLAN_ALLOWED);
	assert_action(plan, "alpha", PLAN_UPGRADE);
	assert_action(plan, "beta", PLAN_HELD);
	assert_action(plan, "gamma", PLAN_UPGRADE);
}

static void a_retry_of_a_canary_frees_no_production(void **state)
{
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(*state, status);
	struct oid second = fail_second(*state, status, &first);
	infra_put(status, "alpha", end_hold, NULL);
	ask_retry(status, "alpha");
	auto_plan struct plan *plan = infra_plan(*state, &second, &first, status);
	assert_int_equal(plan->verdict, PLAN_ALLOWED);
	assert_int_equal(plan->changed, 1);
	assert_action(plan, "gamma", PLAN_HELD);
}

static void a_revert_ends_the_hold_and_nobody_moves(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	struct oid first = deploy_first(infra, status);
	(void)fail_second(infra, status, &first); /* its commit is older than the one planned */
	infra_edit(infra, "docker/apps.yml", "28.0.2", "28.0.1");
	struct oid third = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &third, &first, status);
	assert_int_equal(plan->verdict, PLAN_NOTHING);
	assert_int_equal(plan->changed, 0);
	assert_int_equal(plan->unchanged, 3);
	assert_int_equal(plan->ends_hold.count, 1);
}

/* ---- drift ---------------------------------------------------------------------------------- */

static void drift_away(struct client_record *record, const void *data)
{
	record->drift.found = true;
	mem_replace_str(&record->drift.what, data);
}

static void a_repair_wants_what_is_recorded_of_those_it_names(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	auto_strlist struct strlist repair = STRLIST_INIT;
	struct oid first = deploy_first(infra, status);
	strlist_add(&repair, "beta");
	infra_put(status, "beta", drift_away, "no state");
	infra_put(status, "gamma", drift_away, "no state");
	/* without being asked the plan goes by the record */
	auto_plan struct plan *as_recorded = infra_plan(infra, &first, &first, status);
	assert_int_equal(as_recorded->unchanged, 3);
	auto_plan struct plan *plan = infra_plan_repair(infra, &first, status, &repair);
	assert_int_equal(plan->verdict, PLAN_ALLOWED);
	assert_int_equal(plan->entry_count, 1);
	const struct plan_entry *entry = infra_entry(plan, "beta");
	assert_int_equal(entry->action, PLAN_UPGRADE);
	assert_false(entry->unproved); /* activated, not only verified */
	assert_string_equal(entry->to.release, status_client(status, "beta")->current.release);
	assert_string_equal(entry->reasons[0].text, "drift: no state");
}

static void a_commit_that_renders_to_another_release_repairs_nobody(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	auto_strlist struct strlist repair = STRLIST_INIT;
	(void)deploy_first(infra, status); /* the records name it */
	strlist_add(&repair, "beta");
	infra_put(status, "beta", drift_away, "no state");
	infra_edit(infra, "docker/apps.yml", "28.0.1", "28.0.2");
	struct oid second = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan_repair(infra, &second, status, &repair);
	assert_int_equal(plan->verdict, PLAN_NOTHING);
	assert_int_equal(plan->entry_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_commit_of_a_failed_rollout_is_not_planned_again),
		TEST(a_newer_commit_that_wants_the_same_is_refused_by_name),
		TEST(a_hold_ends_only_for_clients_that_want_something_else),
		TEST(a_client_whose_way_back_failed_is_activated_again),
		TEST(a_held_canary_blocks_production),
		TEST(a_paused_canary_blocks_production),
		TEST(a_paused_client_beside_others_of_its_stage_blocks_nobody),
		TEST(a_pause_of_a_client_that_does_not_change_means_nothing),
		TEST(a_retry_lets_the_same_commit_start_again),
		TEST(a_retry_of_one_client_frees_it_and_the_canaries),
		TEST(a_retry_of_a_canary_frees_no_production),
		TEST(other_checks_end_a_hold_but_not_one_set_by_hand),
		TEST(a_revert_ends_the_hold_and_nobody_moves),
		TEST(a_repair_wants_what_is_recorded_of_those_it_names),
		TEST(a_commit_that_renders_to_another_release_repairs_nobody),
	};
	return cmocka_run_group_tests_name("plan holds", tests, NULL, NULL);
}
