/* The policy ratchet (design.md section 4): of the old and the new fleet.yaml the stricter holds,
 * for each single key that has a stricter side, whichever of both is the new one; all others are
 * the new ones.
 */
#include "base/clock.h"
#include "reconcile/plan.h"
#include "tests/lib/gitrepo.h"
#include "tests/lib/infra.h"
#include <setjmp.h>

#include <cmocka.h>

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

#define STAGE "group: production, batch: 25%"
#define LAST  "checks:"

struct pair {
	const char *what;
	const char *place;            /* text of fleet.yaml that is replaced */
	const char *strict, *relaxed; /* by one of these */
	const char *expected;         /* line that the effective policy must have, in both orders */
};

/* Everything of the effective policy that a key of it may change. */
static char *effective(const struct plan *plan)
{
	auto_buf struct buf text = BUF_INIT(4096);
	const struct plan_stage *stage = &plan->stages[plan->stage_count - 1];
	const struct batches batch = plan_stage_batch(stage, 100);
	for (size_t wave = 0; wave < 4; wave++)
		buf_addf(&text, "wave%zu=%zu\n", wave, batches_wave(&batch, 100, wave));
	buf_addf(&text, "wave_pause=%lld\nbake=%lld\nrollback_bake=%lld\n",
		(long long)stage->wave_pause_ms, (long long)stage->bake_ms,
		(long long)stage->rollback_bake_ms);
	buf_addf(&text, "manual=%d\nexpires=%lld\n", stage->manual,
		(long long)stage->approval_expires_ms);
	buf_addf(&text, "max_failures=%lld\nmax_unreachable=%lld\n", (long long)stage->max_failures,
		(long long)stage->max_unreachable);
	buf_addf(&text, "healthy=%lld\ninterval=%lld\nretries=%lld\nroll_back=%d\n",
		(long long)plan->verify_healthy, (long long)plan->verify_interval_ms,
		(long long)plan->retries, plan->roll_back);
	buf_addf(&text, "over_limit=%d\n", plan->over_limit != NULL);
	return buf_steal(&text);
}

static char *plan_of(struct infra *infra, const struct pair *pair, bool strict_first)
{
	auto_status struct status *status = status_new();
	const char *first = strict_first ? pair->strict : pair->relaxed;
	const char *second = strict_first ? pair->relaxed : pair->strict;
	infra_edit(infra, "fleet.yaml", pair->place, first);
	struct oid old = infra_commit(infra);
	auto_plan struct plan *begin = infra_plan(infra, &old, NULL, status);
	infra_deploy(status, begin);
	infra_edit(infra, "fleet.yaml", first, second);
	infra_edit(infra, "docker/apps.yml", "28.0.1", "28.0.2");
	struct oid new = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &new, &old, status);
	infra_edit(infra, "fleet.yaml", second, pair->place);
	infra_edit(infra, "docker/apps.yml", "28.0.2", "28.0.1");
	assert_true(plan->fleet_changed);
	return effective(plan);
}

static void check(struct infra *infra, const struct pair *pair, bool strict_first)
{
	auto_free char *text = plan_of(infra, pair, strict_first);
	auto_free char *line = mem_printf("%s\n", pair->expected);
	if (!strstr(text, line))
		fail_msg("%s, %s first: no '%s' in\n%s", pair->what,
			strict_first ? "strict" : "relaxed", pair->expected, text);
}

static void the_stricter_value_of_each_key_holds(void **state)
{
	static const struct pair pairs[] = {
		{"batch", STAGE, "group: production, batch: 2", "group: production, batch: 9",
			"wave0=2"},
		{"batch, number and percent", STAGE, "group: production, batch: 5",
			"group: production, batch: 10%", "wave0=5"},
		{"batch, list and number", STAGE, "group: production, batch: [1, 5, 25%]",
			"group: production, batch: 30", "wave2=25"},
		{"batch, list and list", STAGE, "group: production, batch: [1, 5, 9]",
			"group: production, batch: [2, 6]", "wave3=6"},
		{"wave_pause", STAGE, STAGE ", wave_pause: 2m", STAGE ", wave_pause: 1m",
			"wave_pause=120000"},
		{"bake", STAGE, STAGE ", bake: 2m", STAGE ", bake: 1m", "bake=120000"},
		{"rollback_bake", STAGE, STAGE ", rollback_bake: 2m", STAGE ", rollback_bake: 0s",
			"rollback_bake=120000"},
		{"approval", STAGE, STAGE ", approval: manual", STAGE ", approval: auto",
			"manual=1"},
		{"approval and its time", STAGE, STAGE ", approval: manual, approval_expires: 2h",
			STAGE ", bake: 0s", "expires=7200000"},
		{"max_failures", STAGE, STAGE ", max_failures: 1", STAGE ", max_failures: 4",
			"max_failures=1"},
		{"max_unreachable", STAGE, STAGE ", max_unreachable: 1",
			STAGE ", max_unreachable: 4", "max_unreachable=1"},
		{"verify.healthy", LAST, "verify: {healthy: 5}\nchecks:",
			"verify: {healthy: 2}\nchecks:", "healthy=5"},
		{"policy.max_changed", LAST, "policy: {max_changed: 10%}\nchecks:",
			"policy: {max_changed: 90%}\nchecks:", "over_limit=1"},
	};
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		check(*state, &pairs[i], true);
		check(*state, &pairs[i], false);
	}
}

static void of_all_other_keys_the_new_one_holds(void **state)
{
	static const struct pair pairs[] = {
		{"verify.interval", LAST, "verify: {interval: 7s}\nchecks:",
			"verify: {interval: 9s}\nchecks:", "interval=9000"},
		{"driver.retries", "activate: [./activate]", "retries: 1, activate: [./activate]",
			"retries: 4, activate: [./activate]", "retries=4"},
		{"on_failure", LAST, "on_failure: rollback\nchecks:", "on_failure: hold\nchecks:",
			"roll_back=0"},
		{"approval_expires", STAGE, STAGE ", approval: manual, approval_expires: 1h",
			STAGE ", approval: manual, approval_expires: 2h", "expires=7200000"},
	};
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		check(*state, &pairs[i], true);
}

/* Open while both are: old from nine to sixteen, new from twelve to twenty. */
static void windows_are_intersected(void **state)
{
	static const struct {
		const char *time;
		bool open;
	} times[] = {
		{"2026-11-24T10:00:00Z", false},
		{"2026-11-24T14:00:00Z", true},
		{"2026-11-24T18:00:00Z", false},
	};
	struct infra *infra = *state;
	auto_status struct status *status = status_new();
	infra_edit(
		infra, "fleet.yaml", STAGE, STAGE ", windows: [{from: \"09:00\", to: \"16:00\"}]");
	struct oid old = infra_commit(infra);
	auto_plan struct plan *begin = infra_plan(infra, &old, NULL, status);
	infra_deploy(status, begin);
	infra_edit(infra, "fleet.yaml", "from: \"09:00\", to: \"16:00\"",
		"from: \"12:00\", to: \"20:00\"");
	struct oid new = infra_commit(infra);
	auto_plan struct plan *plan = infra_plan(infra, &new, &old, status);
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		const struct windows *windows = plan->stages[1].windows;
		int64_t wall_s;
		assert_true(clock_parse(times[i].time, &wall_s));
		bool open = windows_are_open(&windows[0], wall_s, NULL) &&
			    windows_are_open(&windows[1], wall_s, NULL);
		assert_int_equal(open, times[i].open);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_stricter_value_of_each_key_holds),
		TEST(of_all_other_keys_the_new_one_holds),
		TEST(windows_are_intersected),
	};
	return cmocka_run_group_tests_name("ratchet", tests, NULL, NULL);
}
