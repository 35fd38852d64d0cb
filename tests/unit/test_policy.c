#include "base/buf.h"
#include "base/fs.h"
#include "reconcile/policy.h"
#include <setjmp.h>

#include <cmocka.h>

#define LEAST "version: 1\ndriver: {kind: local, root: \"/srv/{{client_name}}\"}\n"

struct fixture {
	struct arena *arena;
	struct problems problems;
	struct policy *policy;
};

static int setup(void **state)
{
	struct fixture *fixture = mem_zero(1, sizeof(*fixture));
	fixture->arena = arena_new(ARENA_PLAIN, 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	problems_clear(&fixture->problems);
	arena_free(fixture->arena);
	free(fixture);
	return 0;
}

static bool parse(struct fixture *fixture, const char *text)
{
	problems_clear(&fixture->problems);
	fixture->policy = NULL;
	return policy_parse(
		text, strlen(text), fixture->arena, &fixture->policy, &fixture->problems);
}

static const struct policy *good(struct fixture *fixture, const char *text)
{
	if (!parse(fixture, text))
		fail_msg(
			"%u: %s", fixture->problems.items[0].line, fixture->problems.items[0].what);
	return fixture->policy;
}

static void the_least_file_has_the_designs_defaults(void **state)
{
	const struct policy *policy = good(*state, LEAST);
	assert_string_equal(policy->inventory, "ansible/inventory/clients.yml");
	assert_string_equal(policy->secrets_client, "secrets/clients/{{client_name}}.sops.yaml");
	assert_int_equal(policy->stage_count, 2);
	assert_string_equal(policy->stages[0].name, "canary");
	assert_int_equal(policy->stages[0].bake_ms, 600000);
	assert_string_equal(policy->stages[1].group, "production");
	assert_int_equal(policy->stages[1].batch.items[0].size, 1);
	assert_int_equal(policy->on_failure, ON_FAILURE_ROLLBACK);
	assert_int_equal(policy->verify_interval_ms, 5000);
	assert_int_equal(policy->verify_healthy, 3);
	assert_int_equal(policy->verify_timeout_ms, 300000);
	assert_true(policy->pinned_images && policy->encrypted_secrets);
	assert_int_equal(policy->canary_coverage, COVERAGE_WARN);
	assert_int_equal(policy->max_changed, 100);
	assert_int_equal(policy->keep_rollback_tags, 20);
	assert_int_equal(policy->driver.retries, 2);
	assert_int_equal(policy->driver.keep, 3);
	assert_int_equal(policy->driver.activate.count, 0);
	assert_int_equal(policy->driver.activate_timeout_ms, 600000);
}

static void stages_files_and_driver_are_read(void **state)
{
	const struct policy *policy = good(*state,
		"version: 1\n"
		"stages: [{name: canary, bake: 0s}, {name: rest, group: production, batch: 25%,"
		" max_failures: 2}, {name: last, batch: 7}]\n"
		"release: {files: [{from: a.yml, to: sub/a.yaml},"
		" {from: e, to: .env, mode: \"0600\","
		" template: false}]}\n"
		"driver: {kind: local, root: /x, activate: [./run, '{{domain}}']}\n"
		"on_failure: hold\npolicy: {canary_coverage: off}\n");
	assert_int_equal(policy->stage_count, 3);
	assert_string_equal(policy->stages[0].group, "canary");
	assert_true(policy->stages[1].batch.items[0].percent);
	assert_int_equal(policy->stages[1].batch.items[0].size, 25);
	assert_int_equal(policy->stages[1].max_failures, 2);
	assert_false(policy->stages[2].batch.items[0].percent);
	assert_int_equal(policy->stages[2].batch.items[0].size, 7);
	assert_int_equal(policy->file_count, 2);
	assert_int_equal(policy->files[0].mode, 0644);
	assert_true(policy->files[0].template_);
	assert_int_equal(policy->files[1].mode, 0600);
	assert_false(policy->files[1].template_);
	assert_string_equal(policy->driver.activate.items[1], "{{domain}}");
	assert_false(policy->driver.compose);
	assert_int_equal(policy->on_failure, ON_FAILURE_HOLD);
	assert_int_equal(policy->canary_coverage, COVERAGE_OFF);
}

static void compose_needs_a_file_for_it(void **state)
{
	static const struct {
		const char *to;
		bool good;
	} cases[] = {
		{"compose.yaml", true},
		{"docker-compose.yml", true},
		{"compose.apps.yaml", true},
		{".env", true}, /* may have COMPOSE_FILE */
		{"docker-compose.base.yml", true},
		{"compose.txt", false},
		{"sub/compose.yaml", false},
		{"compose.d/web.yaml", false},
		{"my-compose.yaml", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *text =
			mem_printf("version: 1\nrelease: {files: [{from: a, to: '%s'}]}\n"
				   "driver: {kind: local, root: /x, activate: compose}\n",
				cases[i].to);
		if (!cases[i].good) {
			assert_false(parse(*state, text));
			continue;
		}
		const struct policy *policy = good(*state, text);
		assert_true(policy->driver.compose);
		assert_int_equal(policy->driver.activate.count, 0);
	}
}

static void what_a_stage_waits_for_is_read(void **state)
{
	const struct policy *policy = good(*state,
		LEAST "stages: [{name: canary}, {name: rest, batch: [1, 5, 25%], wave_pause: 2m,"
		      " bake: 1h, rollback_bake: 1m, approval: manual, approval_expires: 3d,"
		      " max_unreachable: 4, windows: [{days: mon-thu, from: \"09:00\","
		      " to: \"16:00\"}]}]\n");
	const struct policy_stage *first = &policy->stages[0], *second = &policy->stages[1];
	assert_false(first->manual);
	assert_int_equal(first->max_unreachable, 0);
	assert_int_equal(first->rollback_bake_ms, 0);
	assert_int_equal(second->batch.count, 3);
	assert_int_equal(second->batch.items[1].size, 5);
	assert_true(second->batch.items[2].percent);
	assert_int_equal(second->wave_pause_ms, 120000);
	assert_int_equal(second->rollback_bake_ms, 60000);
	assert_true(second->manual);
	assert_int_equal(second->approval_expires_ms, 3 * 86400000);
	assert_int_equal(second->max_unreachable, 4);
	assert_int_equal(first->windows.count, 0);
	assert_int_equal(second->windows.count, 1);
	assert_int_equal(second->windows.items[0].days, 15);
	assert_int_equal(second->windows.items[0].to_min, 16 * 60);
	assert_string_equal(second->windows.items[0].zone, "UTC");
}

static void checks_of_each_kind_are_read(void **state)
{
	const struct policy *policy = good(*state,
		LEAST "checks:\n"
		      "  web: {http: 'https://{{domain}}/', status: 204, json: {ok: true}, body: x,"
		      " headers: {Accept: text/html}, timeout: 2s}\n"
		      "  port: {app: all, tcp: 'localhost:80'}\n"
		      "  cert: {tls: '{{domain}}:443', min_days: 14}\n"
		      "  script: {command: [bin/check, -v]}\n");
	assert_int_equal(policy->check_count, 4);
	const struct policy_check *web = &policy->checks[0], *script = &policy->checks[3];
	assert_string_equal(web->name, "web");
	assert_null(web->app);
	assert_int_equal(web->kind, CHECK_HTTP);
	assert_int_equal(web->status, 204);
	assert_true(node_get(web->json, "ok")->boolean);
	assert_string_equal(node_get(web->headers, "Accept")->text, "text/html");
	assert_int_equal(web->timeout_ms, 2000);
	assert_int_equal(policy->checks[1].kind, CHECK_TCP);
	assert_string_equal(policy->checks[1].app, "all");
	assert_int_equal(policy->checks[2].min_days, 14);
	assert_int_equal(script->kind, CHECK_COMMAND);
	assert_int_equal(script->command.count, 2);
}

struct mistake {
	const char *text, *what, *fix;
};

/* Each text follows LEAST, so its mistake stands in line 3. */
static void check_mistakes(struct fixture *fixture, const struct mistake *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		auto_free char *text = mem_printf("%s%s\n", LEAST, cases[i].text);
		if (parse(fixture, text))
			fail_msg("accepted: %s", cases[i].text);
		const struct problem *problem = &fixture->problems.items[0];
		if (!strstr(problem->what, cases[i].what))
			assert_string_equal(problem->what, cases[i].what);
		if (!strstr(problem->fix, cases[i].fix))
			assert_string_equal(problem->fix, cases[i].fix);
		assert_int_equal(fixture->problems.errors, 1);
		assert_string_equal(problem->file, "fleet.yaml");
		assert_int_equal(problem->line, 3);
	}
}

static void each_mistake_is_named_with_its_line_and_remedy(void **state)
{
	static const struct mistake cases[] = {
		{"stages: []", "'stages' is empty", ""},
		{"stages: [{group: a}]", "'stages[0].name' is missing", "add it"},
		{"stages: [{group: a}, {name: b}]", "'stages[0].name' is missing", "add it"},
		{"stages: [{name: Canary}]", "'Canary' can not be the name of a stage",
			"lower case"},
		{"stages: [{name: a}, {name: a}]", "stage 'a' is there twice, first in line 3", ""},
		{"stages: [{name: a, batch: 0}]", "'batch' of stage 'a'", "5 or 25%"},
		{"stages: [{name: a, batch: 101%}]", "'batch' of stage 'a'", "5 or 25%"},
		{"stages: [{name: a, batch: many}]", "'batch' of stage 'a'", "5 or 25%"},
		{"stages: [{name: a, batch: []}]", "must have 1 to 16 sizes", "[1, 5, 25%]"},
		{"stages: [{name: a, batch: [1, 0%]}]", "'batch' of stage 'a'", "[1, 5, 25%]"},
		{"stages: [{name: a, batch: [1, [2]]}]", "'batch' of stage 'a'", "[1, 5, 25%]"},
		{"stages: [{name: a, approval_expires: 1h}]",
			"'approval_expires' of stage 'a' without 'approval: manual'", "manual"},
		{"stages: [{name: a, approval: sometimes}]", "'stages[0].approval'", ""},
		{"stages: [{name: a, max_unreachable: -1}]", "'stages[0].max_unreachable'", ""},
		{"stages: [{name: a, bake: 10}]", "must be a duration", "such as 10s"},
		{"stages: [{name: a, windows: []}]", "must have 1 to 16 entries", "remove"},
		{"stages: [{name: a, windows: [{from: \"9:00\", to: \"10:00\"}]}]",
			"'9:00' to '10:00' is no window", "00:00"},
		{"stages: [{name: a, windows: [{from: \"09:00\", to: \"09:00\"}]}]",
			"'09:00' to '09:00' is no window", "00:00"},
		{"stages: [{name: a, windows: [{days: weekend, from: \"09:00\", to: \"10:00\"}]}]",
			"'weekend' are no days", "mon-thu"},
		{"stages: [{name: a, windows: [{from: \"09:00\", to: \"10:00\", zone: No/Where}]}]",
			"time zone 'No/Where'", "Europe/Amsterdam"},
		{"stages: [{name: a, windows: [{to: \"10:00\"}]}]",
			"'stages[0].windows[0].from' is missing", "add it"},
		{"drift: mend", "'drift'", ""},
		{"drift_interval: 10ms", "'drift_interval'", ""},
		{"retention: {}", "'retention' is not supported yet", "remove"},
		{"verfy: {}", "unknown key 'verfy'", "did you mean 'verify'?"},
		{"inventory: ../x", "'inventory' leaves its folder", "without '..'"},
		{"secrets: {shared: /etc/x}", "'secrets.shared' leaves its folder", ""},
		{"secrets: {client: secrets/all.yaml}", "same file for every client",
			"{{client_name}}"},
		{"release: {files: [{from: a, to: ../b}]}", "'to' leaves its folder: '../b'", ""},
		{"release: {files: [{from: a, to: b}, {from: c, to: b}]}",
			"'b' is the target of another file, in line 3", "another path"},
		{"release: {files: [{from: a, to: b}, {from: c, to: b/d}]}", "target of another",
			""},
		{"release: {files: [{from: a, to: b, mode: 0644}]}", "must be a text, not a number",
			"\"0644\""},
		{"release: {files: [{from: a, to: b, mode: \"4755\"}]}", "the mode of a file",
			"octal"},
		{"release: {files: [{from: a, to: b, mode: rw}]}", "the mode of a file", "octal"},
		{"checks: [a]", "'checks' must be a map", ""},
		{"checks: {a: {}}", "'checks.a' has no probe", "exactly one"},
		{"checks: {a: {http: 'http://x', tcp: 'x:1'}}", "has several probes",
			"exactly one"},
		{"checks: {a: {http: x}}", "has the target 'x'", "http://"},
		{"checks: {a: {tcp: x}}", "has the target 'x'", "host:port"},
		{"checks: {a: {tcp: 'x:1', status: 200}}",
			"'checks.a.status' means something for http", "remove"},
		{"checks: {a: {http: 'http://x', min_days: 1}}", "for tls checks only", "remove"},
		{"checks: {a: {http: 'http://x', json: []}}", "map of expected members", ""},
		{"checks: {a: {http: 'http://x', headers: {'a b': c}}}", "name of a header", ""},
		{"checks: {a: {http: 'http://x', headers: {a: \"b\\r\\nc: d\"}}}",
			"header 'a' of 'checks.a' must be a text", "one line"},
		{"checks: {a: {command: run me}}", "must be a list of arguments", "[/usr/bin"},
		{"checks: {a: {command: [run, 1]}}", "argument 1 of 'checks.a.command'", "quotes"},
		{"checks: {'a b': {tcp: 'x:1'}}", "can not be the name of a check", "letters"},
		{"checks: {a: {htp: 'http://x', tcp: 'x:1'}}", "unknown key 'checks.a.htp'",
			"'http'"},
		{"verify: {interval: 1m, healthy: 10, timeout: 5m}", "before 10 rounds", "longer"},
		{"policy: {max_changed: 20}", "must be a percentage", "20%"},
		{"policy: {canary_coverage: wran}", "can not be 'wran'", "off, warn or refuse"},
		{"version: 1", "key 'version' is written twice, first in line 1", ""},
	};
	check_mistakes(*state, cases, ARRAY_LEN(cases));
}

static void steps_come_in_the_order_of_the_lifecycle(void **state)
{
	static const struct {
		const char *text, *onboard, *upgrade;
		enum restore_when restore;
	} cases[] = {
		{"steps: {}", "deploy verify", "deploy verify", RESTORE_NEVER},
		{"lifecycle: {}", "deploy verify", "deploy verify", RESTORE_NEVER},
		{"steps: {backup: {remote: [a]}}", "deploy verify backup", "backup deploy verify",
			RESTORE_NEVER},
		{"steps: {backup: {remote: [a]}, setup: {remote: [b]}, restore: {remote: [c]}}",
			"setup deploy verify backup", "backup setup deploy verify", RESTORE_ASK},
		{"steps: {backup: {remote: [a]}, restore: {remote: [c], when: always}}",
			"deploy verify backup", "backup deploy verify", RESTORE_ALWAYS},
		{"steps: {backup: {remote: [a]}, restore: {remote: [c], when: never}}",
			"deploy verify backup", "backup deploy verify", RESTORE_NEVER},
		{"steps: {drain: {remote: [a]}, fill: {remote: [a]}}\n"
		 "lifecycle: {upgrade: [drain, deploy, fill, verify], onboard: [deploy, verify]}",
			"deploy verify", "drain deploy fill verify", RESTORE_NEVER},
	};
	struct fixture *fixture = *state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *text = mem_printf("%s%s\n", LEAST, cases[i].text);
		if (!parse(fixture, text))
			fail_msg("%s: %s", cases[i].text, fixture->problems.items[0].what);
		assert_string_equal(fixture->policy->onboard, cases[i].onboard);
		assert_string_equal(fixture->policy->upgrade, cases[i].upgrade);
		assert_int_equal(fixture->policy->restore, cases[i].restore);
	}
}

static void a_step_has_its_command_and_its_time(void **state)
{
	struct fixture *fixture = *state;
	assert_true(parse(fixture, LEAST "steps: {backup: {remote: [/opt/backup, pre], "
					 "timeout: 20m}}\n"));
	const struct policy_step *step = policy_step_find(fixture->policy, "backup");
	assert_non_null(step);
	assert_int_equal(step->argv.count, 2);
	assert_string_equal(step->argv.items[1], "pre");
	assert_int_equal(step->timeout_ms, 20 * 60 * 1000);
	assert_null(policy_step_find(fixture->policy, "restore"));
}

static void each_mistake_of_steps_is_named_too(void **state)
{
	static const struct mistake cases[] = {
		{"steps: [a]", "'steps' must be a map of named steps", "backup"},
		{"steps: {Backup: {remote: [a]}}", "'Backup' can not be the name of a step",
			"a to z"},
		{"steps: {deploy: {remote: [a]}}", "step 'deploy' is built in", "another"},
		{"steps: {backup: {}}", "'steps.backup' has no 'remote'", "[/usr/bin"},
		{"steps: {backup: {remote: run}}", "must be a list of arguments", ""},
		{"steps: {backup: {command: run}}", "must be a list of arguments", ""},
		{"steps: {backup: {command: [a], remote: [b]}}", "has 'remote' and 'command'",
			"two"},
		{"steps: {backup: {command: ['{{x}}']}}",
			"argument 0 of 'steps.backup.command' is a template", "AVIARY_CLIENT"},
		{"steps: {backup: {remote: [a], status: 200}}", "for http steps only", "remove"},
		{"steps: {backup: {http: example.org}}", "'steps.backup.http' is", "https://"},
		{"steps: {backup: {http: 'http://h', headers: {A: [b]}}}",
			"header 'A' of 'steps.backup' must be a text", ""},
		{"steps: {backup: {http: 'http://h', body: {a: b}}}",
			"'steps.backup.body' must be a text", "quotes"},
		{"steps: {backup: {http: 'http://h', method: HEAD}}", "'steps.backup.method'", ""},
		{"steps: {backup: {remote: [a]}, restore: {command: [b]}}",
			"'steps.restore' runs on the client's host", "remote"},
		{"steps: {backup: {remote: [a, '{{client_name}}']}}",
			"argument 1 of 'steps.backup.remote' is a template", "AVIARY_CLIENT"},
		{"steps: {backup: {remote: [a], timeout: 0s}}", "'steps.backup.timeout'", ""},
		{"steps: {backup: {remote: [a], when: ask}}", "for the step 'restore' only", ""},
		{"steps: {backup: {remote: [a], when: changed}}", "not supported yet", "always"},
		{"steps: {backup: {remote: [a], scope: fleet}}",
			"'steps.backup.scope: fleet' is not supported yet", ""},
		{"steps: {backup: {remote: [a], guard: x}}",
			"'steps.backup.guard' is not supported yet", ""},
		{"steps: {backup: {remote: [a]}, provision: {remote: [a], tofu: tofu/}}",
			"'steps.provision.tofu' is not supported yet", ""},
		{"steps: {backup: {remote: [a]}, drain: {remote: [a]}}",
			"step 'drain' stands in no pipeline", "lifecycle.upgrade"},
		{"steps: {restore: {remote: [a]}}", "'steps.restore' has no backup to restore",
			"'backup'"},
		{"lifecycle: {offboard: []}", "'lifecycle.offboard' is not supported yet",
			"remove"},
		{"lifecycle: {upgrade: [deploy]}",
			"'lifecycle.upgrade' needs 'deploy' and after it 'verify'", ""},
		{"lifecycle: {upgrade: [verify, deploy]}", "needs 'deploy' and after it 'verify'",
			""},
		{"lifecycle: {upgrade: [backup, deploy, verify]}",
			"'lifecycle.upgrade' names 'backup', which 'steps' does not define",
			"define it"},
		{"lifecycle: {upgrade: [deploy, verfy, verify]}", "names 'verfy'",
			"did you mean 'verify'?"},
		{"lifecycle: {upgrade: [deploy, deploy, verify]}", "names 'deploy' twice", ""},
		{"lifecycle: {onboard: [deploy, verify, confirm]}", "not supported yet", ""},
		{"lifecycle: {onboard: deploy}", "must be a list of at most 10 names", ""},
	};
	check_mistakes(*state, cases, ARRAY_LEN(cases));
}

static void drivers_are_refused_by_name(void **state)
{
	static const struct {
		const char *driver, *what;
	} cases[] = {
		{"", "'driver.kind' is missing"},
		{"kind: ansible, root: /x", "the driver 'ansible' is not supported yet"},
		{"kind: magic, root: /x", "there is no driver 'magic'"},
		{"kind: local", "'driver.root' is missing"},
		{"kind: local, root: x", "'driver.root' must be an absolute path"},
		{"kind: local, root: /x, activate: compose", "the release has no compose file"},
		{"kind: local, root: /x, user: deploy", "'driver.user' has no meaning"},
		{"kind: ssh, user: deploy", "'driver.root' is missing"},
		{"kind: local, root: /x, activate: run", "must be a list of arguments"},
		{"kind: local, root: /x, activate: []", "must be a list of arguments"},
		{"kind: local, root: /x, activate: ['']", "names no command"},
		{"kind: local, root: /x, keep: 0", "'driver.keep' is 0"},
	};
	struct fixture *fixture = *state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *text = mem_printf("version: 1\ndriver: {%s}\n", cases[i].driver);
		assert_false(parse(fixture, text));
		if (!strstr(fixture->problems.items[0].what, cases[i].what))
			assert_string_equal(fixture->problems.items[0].what, cases[i].what);
	}
}

static void all_mistakes_show_in_one_run(void **state)
{
	struct fixture *fixture = *state;
	assert_false(parse(fixture, "version: 2\n"
				    "stages: [{name: A}]\n"
				    "release: {files: [{from: /a, to: b}]}\n"
				    "driver: {kind: ansible, root: x}\n"
				    "checks: {a: {}}\n"
				    "retention: {}\n"
				    "on_failure: explode\n"));
	assert_int_equal(fixture->problems.errors, 8);
}

static void what_is_no_policy_is_an_error(void **state)
{
	static const char *const texts[] = {
		"", "[]", "text", "a: [", "\xFF", "version: 1\n---\na: b\n"};
	struct fixture *fixture = *state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_false(parse(fixture, texts[i]));
		assert_true(fixture->problems.errors > 0);
	}
}

static void a_tree_without_fleet_yaml_says_so(void **state)
{
	struct fixture *fixture = *state;
	struct error err;
	auto_free char *folder = NULL;
	assert_true(repo_library_init(&err));
	assert_true(fs_scratch(NULL, "policy", &folder, &err));
	auto_free char *path = mem_printf("%s/fleet.yaml", folder);
	auto_tree struct tree *empty = NULL;
	assert_true(tree_open_folder(folder, &empty, &err));
	assert_false(policy_load(empty, fixture->arena, &fixture->policy, &fixture->problems));
	assert_string_equal(fixture->problems.items[0].what, "'fleet.yaml' is missing");
	assert_string_equal(fixture->problems.items[0].file, "fleet.yaml");

	assert_true(fs_write(path, LEAST, strlen(LEAST), 0644, &err));
	auto_tree struct tree *full = NULL;
	assert_true(tree_open_folder(folder, &full, &err));
	assert_true(policy_load(full, fixture->arena, &fixture->policy, &fixture->problems));
	assert_true(fs_remove_tree(folder, &err));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_least_file_has_the_designs_defaults),
		TEST(stages_files_and_driver_are_read),
		TEST(compose_needs_a_file_for_it),
		TEST(what_a_stage_waits_for_is_read),
		TEST(checks_of_each_kind_are_read),
		TEST(each_mistake_is_named_with_its_line_and_remedy),
		TEST(steps_come_in_the_order_of_the_lifecycle),
		TEST(a_step_has_its_command_and_its_time),
		TEST(each_mistake_of_steps_is_named_too),
		TEST(drivers_are_refused_by_name),
		TEST(all_mistakes_show_in_one_run),
		TEST(what_is_no_policy_is_an_error),
		TEST(a_tree_without_fleet_yaml_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
