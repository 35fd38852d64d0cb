/* Pins: who keeps what it runs, who waits for that, what is recorded, and when it is over. */
#include "reconcile/fact.h"
#include "reconcile/rollout_build.h"
#include "tests/lib/facts.h"
#include "tests/lib/gitrepo.h"
#include "tests/lib/infra.h"
#include <setjmp.h>

#include <cmocka.h>

#define CLIENTS "ansible/inventory/clients.yml"
#define BEFORE  1801439999 /* the last second of 2027-01-31 in UTC */
#define AFTER   1801440000

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

struct seen {
	struct oid first, second;
	struct status *status;
};

static void pin(struct infra *infra, const char *client)
{
	auto_free char *name = mem_printf("client_name: %s\n", client);
	auto_free char *pinned = mem_printf(
		"client_name: %s\n          aviary_pin: {until: 2027-01-31, reason: the fair}\n",
		client);
	infra_edit(infra, CLIENTS, name, pinned);
}

/* Everybody runs the first commit; the second one pins a client and changes all. */
static void begin(struct infra *infra, struct seen *seen, const char *client)
{
	seen->status = status_new();
	seen->first = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &seen->first, NULL, seen->status);
	infra_deploy(seen->status, plan);
	pin(infra, client);
	infra_edit(infra, "docker/apps.yml", "28.0.1", "28.0.2");
	seen->second = infra_commit(infra);
}

static void end(struct seen *seen)
{
	status_free(seen->status);
}

static struct plan *plan_at(struct infra *infra, const struct seen *seen, int64_t wall_s)
{
	return infra_plan_at(infra, &seen->second, &seen->first, seen->status, wall_s);
}

static void assert_action(const struct plan *plan, const char *client, enum plan_action action)
{
	const struct plan_entry *entry = infra_entry(plan, client);
	assert_string_equal(
		entry ? plan_action_name(entry->action) : "unchanged", plan_action_name(action));
}

static void a_pinned_canary_keeps_production_back(void **state)
{
	CLEANUP(end) struct seen seen;
	begin(*state, &seen, "alpha");
	auto_plan struct plan *plan = plan_at(*state, &seen, BEFORE);
	assert_action(plan, "alpha", PLAN_PINNED);
	assert_int_equal(plan->verdict, PLAN_REFUSED);
	assert_string_equal(plan->refusals.items[0], "no client may start: pinned alpha");
	const struct plan_reason *reason = &infra_entry(plan, "alpha")->reasons[0];
	assert_string_equal(reason->text, "pinned until 2027-01-31: the fair");
	assert_string_equal(reason->file, CLIENTS);
	assert_int_equal(reason->line, 10);
	assert_int_equal(plan->pins_end_s, AFTER);
	assert_int_equal(plan->changed, 2);
	assert_false(plan->over_limit);
}

static void a_pinned_client_beside_others_of_its_stage_keeps_nobody_back(void **state)
{
	CLEANUP(end) struct seen seen;
	begin(*state, &seen, "beta");
	auto_plan struct plan *plan = plan_at(*state, &seen, BEFORE);
	assert_action(plan, "alpha", PLAN_UPGRADE);
	assert_action(plan, "beta", PLAN_PINNED);
	assert_action(plan, "gamma", PLAN_UPGRADE);
	assert_int_equal(plan->verdict, PLAN_ALLOWED);
	auto_rollout struct rollout *rollout = rollout_from_plan(plan, seen.status, BEFORE);
	assert_int_equal(rollout->client_count, 2);
	assert_false(rollout->stages[1].blocked);
}

static void a_pin_is_over_with_the_end_of_its_day(void **state)
{
	CLEANUP(end) struct seen seen;
	begin(*state, &seen, "alpha");
	auto_plan struct plan *plan = plan_at(*state, &seen, AFTER);
	assert_action(plan, "alpha", PLAN_UPGRADE);
	assert_action(plan, "gamma", PLAN_UPGRADE);
	assert_int_equal(plan->verdict, PLAN_ALLOWED);
	assert_int_equal(plan->pins_end_s, 0);
	assert_int_equal(plan->pins.count, 0);
	assert_int_equal(plan->warnings.count, 1);
	assert_string_equal(plan->warnings.items[0].what,
		"the pin of 'alpha' is over since the end of 2027-01-31");
}

static void by_the_trees_alone_a_pin_counts_as_well(void **state)
{
	CLEANUP(end) struct seen seen;
	begin(*state, &seen, "alpha");
	auto_plan struct plan *before =
		infra_plan_at(*state, &seen.second, &seen.first, NULL, BEFORE);
	auto_plan struct plan *after =
		infra_plan_at(*state, &seen.second, &seen.first, NULL, AFTER);
	assert_action(before, "alpha", PLAN_PINNED);
	assert_action(after, "alpha", PLAN_UPGRADE);
	assert_string_equal(before->digest, after->digest); /* whatever the day */
}

static void a_pin_of_a_client_that_runs_nothing_lets_it_be_onboarded(void **state)
{
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	pin(infra, "alpha");
	struct oid first = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan_at(infra, &first, NULL, status, BEFORE);
	assert_action(plan, "alpha", PLAN_ONBOARD);
	assert_int_equal(plan->pins.count, 0);
	infra_deploy(status, plan);
	auto_plan struct plan *again = infra_plan_at(infra, &first, &first, status, BEFORE);
	assert_int_equal(again->verdict, PLAN_NOTHING);
	assert_int_equal(again->pins.count, 1);
}

static void forget_good(struct client_record *record, const void *data)
{
	(void)data;
	record->known_good = (struct release_ref){0};
}

static void what_a_pinned_client_runs_unproved_is_verified_first(void **state)
{
	CLEANUP(end) struct seen seen;
	begin(*state, &seen, "alpha");
	infra_put(seen.status, "alpha", forget_good, NULL);
	auto_plan struct plan *plan = plan_at(*state, &seen, BEFORE);
	const struct client_record *record = status_client(seen.status, "alpha");
	const struct plan_entry *entry = infra_entry(plan, "alpha");
	assert_int_equal(entry->action, PLAN_UPGRADE);
	assert_true(entry->unproved && entry->pinned);
	assert_string_equal(entry->to.release, record->current.release);
	assert_int_equal(plan->verdict, PLAN_ALLOWED);
	/* its being well says nothing about the newest commit: production is not of this rollout */
	auto_rollout struct rollout *rollout = rollout_from_plan(plan, seen.status, BEFORE);
	assert_int_equal(rollout->client_count, 1);
	assert_string_equal(rollout->clients[0].record->commit, seen.first.hex);
	assert_true(rollout->clients[0].unproved);
	assert_false(rollout_is_changed_by(rollout, plan, seen.status));
	const struct fact_context context = {
		.rollout = rollout, .plan = plan, .status = seen.status, .author = "Eva"};
	rollout->clients[0].record->state = MEMBER_HEALTHY;
	rollout->clients[0].record->started_s = 1;
	rollout->stages[0].record->state = STAGE_SUCCEEDED;
	const struct rollout_action action = {.kind = ACTION_RECORD, .fact = FACT_CLIENT_ENDED};
	auto_fact struct fact *fact = fact_from_action(&context, &action);
	assert_string_equal(fact->client->known_good.release, record->current.release);
	assert_string_equal(fact->client->known_good.commit, seen.first.hex);
	assert_int_equal(fact->client->app_count, record->app_count); /* not the newest commit's */
}

static void one_that_failed_is_left_alone(void **state)
{
	CLEANUP(end) struct seen seen;
	begin(*state, &seen, "alpha");
	infra_put(seen.status, "alpha", forget_good, NULL);
	struct client_record failed;
	client_record_copy(&failed, status_client(seen.status, "alpha"));
	failed.state = CLIENT_FAILED;
	status_put_client(seen.status, &failed);
	client_record_clear(&failed);
	auto_plan struct plan *plan = plan_at(*state, &seen, BEFORE);
	assert_action(plan, "alpha", PLAN_PINNED);
}

/* ---- records ----------------------------------------------------------------------------------
 */

static void record_pin(struct seen *seen, const struct plan *plan, int64_t wall_s, char *subject)
{
	assert_int_equal(plan->pins.count, 1);
	const struct plan_pin *about = &plan->pins.items[0];
	auto_fact struct fact *fact = fact_pin(
		status_client(seen->status, about->client), about, seen->second.hex, wall_s);
	(void)snprintf(subject, 100, "%s", fact->subject);
	assert_string_equal(fact_trailer(fact, "Reason"), about->reason);
	status_put_client(seen->status, fact->client);
}

static void a_pin_is_recorded_when_it_is_first_seen_changed_and_over(void **state)
{
	struct infra *infra = *state;
	CLEANUP(end) struct seen seen;
	char subject[100];
	begin(infra, &seen, "beta");
	auto_plan struct plan *plan = plan_at(infra, &seen, BEFORE);
	record_pin(&seen, plan, 1800000000, subject);
	assert_string_equal(subject, "hold(beta): pinned until 2027-01-31");
	const struct pin *known = &status_client(seen.status, "beta")->pin;
	assert_string_equal(known->commit, seen.second.hex);
	assert_int_equal(known->since_s, 1800000000);
	auto_plan struct plan *same = plan_at(infra, &seen, BEFORE);
	assert_int_equal(same->pins.count, 0);

	struct oid before = seen.second;
	infra_edit(infra, CLIENTS, "until: 2027-01-31", "until: 2027-02-14");
	seen.second = infra_commit(infra);
	auto_plan struct plan *longer = plan_at(infra, &seen, AFTER);
	assert_action(longer, "beta", PLAN_PINNED);
	record_pin(&seen, longer, 1800000001, subject);
	assert_string_equal(subject, "hold(beta): pinned until 2027-02-14");
	known = &status_client(seen.status, "beta")->pin;
	assert_string_equal(known->commit, before.hex); /* it is the same pin */
	assert_int_equal(known->since_s, 1800000000);

	auto_plan struct plan *over = plan_at(infra, &seen, AFTER + 14 * 86400);
	assert_action(over, "beta", PLAN_UPGRADE);
	record_pin(&seen, over, 1800000002, subject);
	assert_string_equal(subject, "hold(beta): no longer pinned until 2027-02-14");
	assert_false(status_client(seen.status, "beta")->pin.pinned);
}

static void a_pin_that_is_taken_out_is_over(void **state)
{
	struct infra *infra = *state;
	CLEANUP(end) struct seen seen;
	char subject[100];
	begin(infra, &seen, "beta");
	auto_plan struct plan *plan = plan_at(infra, &seen, BEFORE);
	record_pin(&seen, plan, 1800000000, subject);
	infra_edit(infra, CLIENTS, "          aviary_pin: {until: 2027-01-31, reason: the fair}\n",
		"");
	seen.second = infra_commit(infra);
	auto_plan struct plan *without = plan_at(infra, &seen, BEFORE);
	assert_string_equal(without->pins.items[0].reason, "not in the inventory any more");
	assert_action(without, "beta", PLAN_UPGRADE);
}

static void a_newer_commit_that_pins_a_client_ends_its_rollout(void **state)
{
	struct infra *infra = *state;
	CLEANUP(end) struct seen seen;
	seen.status = status_new();
	seen.first = infra_commit(infra);
	auto_plan struct plan *first = infra_plan(infra, &seen.first, NULL, seen.status);
	infra_deploy(seen.status, first);
	infra_edit(infra, "docker/apps.yml", "28.0.1", "28.0.2");
	seen.second = infra_commit(infra);
	auto_plan struct plan *plan = plan_at(infra, &seen, BEFORE);
	auto_rollout struct rollout *rollout = rollout_from_plan(plan, seen.status, BEFORE);
	pin(infra, "gamma");
	seen.second = infra_commit(infra);
	auto_plan struct plan *newer = plan_at(infra, &seen, BEFORE);
	assert_true(rollout_is_changed_by(rollout, newer, seen.status));
	auto_plan struct plan *later = plan_at(infra, &seen, AFTER);
	assert_false(rollout_is_changed_by(rollout, later, seen.status));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pinned_canary_keeps_production_back),
		TEST(a_pinned_client_beside_others_of_its_stage_keeps_nobody_back),
		TEST(a_pin_is_over_with_the_end_of_its_day),
		TEST(by_the_trees_alone_a_pin_counts_as_well),
		TEST(a_pin_of_a_client_that_runs_nothing_lets_it_be_onboarded),
		TEST(what_a_pinned_client_runs_unproved_is_verified_first),
		TEST(one_that_failed_is_left_alone),
		TEST(a_pin_is_recorded_when_it_is_first_seen_changed_and_over),
		TEST(a_pin_that_is_taken_out_is_over),
		TEST(a_newer_commit_that_pins_a_client_ends_its_rollout),
	};
	return cmocka_run_group_tests_name("pins in plans", tests, NULL, NULL);
}
