/* Facts: what each of them says in its subject, trailers, record and tag (design.md section 6). */
#include "reconcile/fact.h"
#include "reconcile/rollout_build.h"
#include "tests/lib/facts.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WALL_S 1764000000
#define OLD    "sha256:aaaaaaaaaaaaaaaa"
#define NEW    "sha256:bbbbbbbbbbbbbbbb"
#define ID     "20251124-160000-2222222"

struct scene {
	struct status *status;
	struct plan plan;
	struct plan_entry entry;
	struct plan_stage stage;
	struct client_app app;
	struct plan_reason reason;
	struct rollout *rollout;
};

static void put(char *field, size_t size, const char *text)
{
	(void)snprintf(field, size, "%s", text); /* fits */
}
#define PUT(field, text) put((field), sizeof(field), (text))
#define TEXT(text)       ((char *)(uintptr_t)(text))

static void put_record(struct scene *scene)
{
	struct client_app app = {TEXT("app"), TEXT("1")};
	struct client_record record = {.client = TEXT("alpha"),
		.host = TEXT("old-host"),
		.root = TEXT("/srv/old"),
		.stage = TEXT("canary"),
		.state = CLIENT_HEALTHY,
		.apps = &app,
		.app_count = 1};
	PUT(record.current.release, OLD);
	PUT(record.current.commit, "1111111111111111111111111111111111111111");
	PUT(record.current.rollout, "20250101-000000-1111111");
	record.known_good = record.current;
	status_put_client(scene->status, &record);
}

/* One client, alpha, that changes its release and moves to another root. */
static void begin(struct scene *scene, enum plan_action action)
{
	*scene = (struct scene){.status = status_new()};
	if (action != PLAN_ONBOARD)
		put_record(scene);
	scene->app = (struct client_app){TEXT("app"), TEXT("2")};
	scene->reason = (struct plan_reason){TEXT("app 1 -> 2"), TEXT("docker/apps.yml"), 7};
	scene->entry = (struct plan_entry){.client = TEXT("alpha"),
		.host = TEXT("new-host"),
		.root = TEXT("/srv/new"),
		.stage_name = TEXT("canary"),
		.action = action,
		.apps = &scene->app,
		.app_count = 1,
		.reasons = &scene->reason,
		.reason_count = 1,
		.summary = TEXT("app 1 -> 2")};
	PUT(scene->entry.to.release, NEW);
	PUT(scene->entry.checks, "sha256:cc");
	scene->stage = (struct plan_stage){.name = TEXT("canary")};
	scene->plan = (struct plan){.entries = &scene->entry,
		.entry_count = 1,
		.stages = &scene->stage,
		.stage_count = 1,
		.roll_back = true};
	PUT(scene->plan.target, "2222222222222222222222222222222222222222");
	PUT(scene->plan.digest, "p-5a30e7c1");
	scene->rollout = rollout_from_plan(&scene->plan, scene->status, WALL_S);
	scene->rollout->clients[0].record->started_s = WALL_S;
	scene->rollout->clients[0].record->finished_s = WALL_S + 90;
}

static void end(struct scene *scene)
{
	rollout_free(scene->rollout);
	status_free(scene->status);
}
#define auto_scene CLEANUP(end)

static struct fact *make(struct scene *scene, enum rollout_fact what)
{
	const struct fact_context context = {.rollout = scene->rollout,
		.plan = &scene->plan,
		.status = scene->status,
		.author = "Eva",
		.wall_s = WALL_S};
	const struct rollout_action action = {.kind = ACTION_RECORD, .fact = what};
	struct fact *fact = fact_from_action(&context, &action);
	if (fact->client)
		status_put_client(scene->status, fact->client);
	return fact;
}

/* The client's last word in a state, as the machine would have it. */
static struct fact *end_as(struct scene *scene, enum member_state state, enum stage_state stage)
{
	scene->rollout->clients[0].record->state = state;
	scene->rollout->stages[0].record->state = stage;
	return make(scene, FACT_CLIENT_ENDED);
}

static char *trailers(const struct fact *fact)
{
	struct buf out = BUF_INIT(1 << 16);
	for (size_t i = 0; i < fact->trailer_keys.count; i++)
		buf_addf(&out, "%s: %s\n", fact->trailer_keys.items[i],
			fact->trailer_values.items[i]);
	return buf_steal(&out);
}

static void assert_trailers(const struct fact *fact, const char *wanted)
{
	auto_free char *text = trailers(fact);
	assert_string_equal(text, wanted);
}

static void an_intent_has_its_reasons_and_a_rollback_tag(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	begin(&scene, PLAN_UPGRADE);
	auto_fact struct fact *fact = make(&scene, FACT_CLIENT_STARTED);
	assert_string_equal(fact->subject, "deploy(alpha): app 1 -> 2: started");
	assert_trailers(fact,
		"Rollout: " ID "\nClient: alpha\nStage: canary\nAction: upgrade\n"
		"Result: started\nSource-Commit: 2222222222222222222222222222222222222222\n"
		"Release: " NEW "\nPlan: p-5a30e7c1\nRollback-Tag: rollback/alpha/" ID "\n"
		"Author: Eva\nReason: app 1 -> 2 (docker/apps.yml:7)\n");
	assert_string_equal(fact->tag, "rollback/alpha/" ID);
	assert_string_equal(fact->tag_commit, "1111111111111111111111111111111111111111");
	assert_string_equal(fact->files[0].path, "clients/alpha.yaml");
	assert_int_equal(fact->client->state, CLIENT_DEPLOYING);
	assert_string_equal(fact->client->current.release, OLD);
	assert_string_equal(fact->client->current.rollout, ID);
}

static void a_first_onboarding_has_no_rollback_tag(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	begin(&scene, PLAN_ONBOARD);
	auto_fact struct fact *fact = make(&scene, FACT_CLIENT_STARTED);
	assert_string_equal(fact->subject, "onboard(alpha): app 1 -> 2: started");
	assert_null(fact->tag);
	assert_int_equal(fact->client->state, CLIENT_ONBOARDING);
	assert_string_equal(fact->client->root, "/srv/new"); /* taken from now on */
}

static void success_makes_known_good_what_runs(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	begin(&scene, PLAN_UPGRADE);
	fact_free(make(&scene, FACT_CLIENT_STARTED));
	auto_fact struct fact *fact = end_as(&scene, MEMBER_HEALTHY, STAGE_SUCCEEDED);
	assert_string_equal(fact->subject, "deploy(alpha): app 1 -> 2: succeeded");
	const struct client_record *record = fact->client;
	assert_int_equal(record->state, CLIENT_HEALTHY);
	assert_int_equal(record->ended, MEMBER_HEALTHY);
	assert_string_equal(record->current.release, NEW);
	assert_string_equal(record->known_good.release, NEW);
	assert_string_equal(record->previous.release, OLD);
	assert_string_equal(record->apps[0].version, "2");
	assert_string_equal(record->root, "/srv/new");
}

static void healthy_in_a_failed_stage_is_not_known_good(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	begin(&scene, PLAN_UPGRADE);
	fact_free(make(&scene, FACT_CLIENT_STARTED));
	auto_fact struct fact *fact = end_as(&scene, MEMBER_HEALTHY, STAGE_FAILED);
	assert_string_equal(fact->client->current.release, NEW);
	assert_string_equal(fact->client->known_good.release, OLD);
}

static void a_client_that_was_not_touched_stays_where_it_is(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	begin(&scene, PLAN_UPGRADE);
	fact_free(make(&scene, FACT_CLIENT_STARTED));
	scene.rollout->clients[0].unreachable = true;
	PUT(scene.rollout->clients[0].failure, "no route");
	auto_fact struct fact *fact = end_as(&scene, MEMBER_SKIPPED, STAGE_FAILED);
	assert_string_equal(fact->subject, "deploy(alpha): app 1 -> 2: skipped");
	assert_string_equal(fact->client->root, "/srv/old");
	assert_string_equal(fact->client->host, "old-host");
	assert_string_equal(fact->client->current.release, OLD);
	assert_int_equal(fact->client->state, CLIENT_HEALTHY);
	assert_int_equal(fact->client->ended, MEMBER_SKIPPED);
}

static void superseded_after_its_activation_runs_the_new_release_unproved(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	begin(&scene, PLAN_UPGRADE);
	fact_free(make(&scene, FACT_CLIENT_STARTED));
	scene.rollout->clients[0].activated = true;
	auto_fact struct fact *fact = end_as(&scene, MEMBER_SUPERSEDED, STAGE_SUPERSEDED);
	assert_string_equal(fact->client->current.release, NEW);
	assert_string_equal(fact->client->known_good.release, OLD);
	assert_int_equal(fact->client->state, CLIENT_WAITING);
	assert_string_equal(fact->client->root, "/srv/new");
}

static void going_back_is_told_from_its_beginning_to_its_end(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	begin(&scene, PLAN_UPGRADE);
	fact_free(make(&scene, FACT_CLIENT_STARTED));
	scene.rollout->clients[0].failed = true;
	PUT(scene.rollout->clients[0].failure, "status 500");
	auto_fact struct fact *back = make(&scene, FACT_CLIENT_BACK);
	assert_string_equal(back->subject, "rollback(alpha): app 2 -> 1: going back");
	auto_free char *told = trailers(back);
	assert_null(strstr(told, "Result:"));
	assert_string_equal(back->client->going_back, "status 500");
	auto_fact struct fact *ended = end_as(&scene, MEMBER_ROLLED_BACK, STAGE_FAILED);
	assert_string_equal(ended->subject, "rollback(alpha): app 2 -> 1");
	assert_trailers(ended,
		"Rollout: " ID "\nClient: alpha\nStage: canary\nAction: upgrade\n"
		"Result: rolled-back\nSource-Commit: 2222222222222222222222222222222222222222\n"
		"Release: " OLD "\nPlan: p-5a30e7c1\nRollback-Tag: rollback/alpha/" ID "\n"
		"Duration: 1m30s\nAuthor: Eva\nReason: status 500\n");
	assert_null(ended->client->going_back);
	assert_int_equal(ended->client->state, CLIENT_ROLLED_BACK);
	assert_string_equal(ended->client->root, "/srv/old");
	auto_fact struct fact *held = make(&scene, FACT_CLIENT_HELD);
	assert_string_equal(
		held->subject, "hold(alpha): release bbbbbbbb is not tried again by itself");
	assert_string_equal(held->client->hold.release, NEW);
	assert_string_equal(held->client->hold.reason, "status 500");
	assert_int_equal(held->client->state, CLIENT_ROLLED_BACK);
}

#define BACKUP "alpha-" ID

static void a_backup_belongs_to_the_release_whose_data_it_holds(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	begin(&scene, PLAN_UPGRADE);
	fact_free(make(&scene, FACT_CLIENT_STARTED));
	auto_fact struct fact *made = make(&scene, FACT_CLIENT_BACKUP);
	assert_string_equal(made->subject, "deploy(alpha): app 1 -> 2: backup " BACKUP);
	assert_trailers(made, "Rollout: " ID "\nClient: alpha\nStage: canary\nAction: upgrade\n"
			      "Source-Commit: 2222222222222222222222222222222222222222\n"
			      "Release: " OLD "\nBackup: " BACKUP "\n");
	assert_string_equal(made->client->backup.name, BACKUP);
	assert_string_equal(made->client->backup.release, OLD);
	scene.rollout->clients[0].activated = true; /* made behind deploy: of other data */
	auto_fact struct fact *behind = make(&scene, FACT_CLIENT_BACKUP);
	assert_string_equal(fact_trailer(behind, "Release"), NEW);
	/* the one that the way back needs stays */
	assert_string_equal(behind->client->backup.release, OLD);
}

static void a_backup_of_what_nobody_knows_belongs_to_no_release(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	begin(&scene, PLAN_UPGRADE);
	fact_free(make(&scene, FACT_CLIENT_STARTED));
	struct client_record record;
	client_record_copy(&record, status_client(scene.status, "alpha"));
	record.unsure = true;
	status_put_client(scene.status, &record);
	client_record_clear(&record);
	auto_fact struct fact *made = make(&scene, FACT_CLIENT_BACKUP);
	assert_string_equal(fact_trailer(made, "Release"), "");
	assert_string_equal(made->client->backup.name, BACKUP);
	assert_string_equal(made->client->backup.release, "");
}

static void a_question_for_data_and_its_answer_are_told(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	begin(&scene, PLAN_UPGRADE);
	fact_free(make(&scene, FACT_CLIENT_STARTED));
	fact_free(make(&scene, FACT_CLIENT_BACKUP));
	struct rollout_client *client = &scene.rollout->clients[0];
	client->failed = true;
	client->restore = RESTORE_ASKED;
	PUT(client->failure, "status 500");
	auto_fact struct fact *asks = make(&scene, FACT_CLIENT_ASKS);
	assert_string_equal(asks->subject,
		"rollback(alpha): waits for a person: restore the data of backup " BACKUP "?");
	assert_string_equal(fact_trailer(asks, "Result"), "waiting");
	assert_string_equal(fact_trailer(asks, "Backup"), BACKUP);
	assert_int_equal(asks->client->state, CLIENT_WAITING);
	assert_int_equal(asks->client->restore, RESTORE_ASKED);
	client->restore = RESTORE_YES;
	auto_fact struct fact *back = make(&scene, FACT_CLIENT_BACK);
	assert_string_equal(fact_trailer(back, "Backup"), BACKUP);
	assert_int_equal(back->client->restore, RESTORE_YES);
	auto_fact struct fact *ended = end_as(&scene, MEMBER_ROLLED_BACK, STAGE_FAILED);
	assert_string_equal(fact_trailer(ended, "Backup"), BACKUP);
	assert_int_equal(ended->client->restore, RESTORE_NO);
}

static void who_was_not_restored_runs_what_failed(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	begin(&scene, PLAN_UPGRADE);
	fact_free(make(&scene, FACT_CLIENT_STARTED));
	scene.rollout->clients[0].failed = true;
	scene.rollout->clients[0].restore = RESTORE_ASKED;
	auto_fact struct fact *ended = end_as(&scene, MEMBER_FAILED, STAGE_FAILED);
	assert_int_equal(ended->client->state, CLIENT_FAILED);
	assert_string_equal(ended->client->current.release, NEW);
	assert_string_equal(ended->client->known_good.release, OLD);
	assert_true(ended->client->unsure);
}

static void who_failed_before_anything_was_touched_runs_what_it_ran(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	begin(&scene, PLAN_UPGRADE);
	PUT(scene.rollout->upgrade, "backup deploy verify");
	fact_free(make(&scene, FACT_CLIENT_STARTED));
	scene.rollout->clients[0].failed = true;
	scene.rollout->clients[0].stepping = true;
	auto_fact struct fact *ended = end_as(&scene, MEMBER_FAILED, STAGE_FAILED);
	assert_int_equal(ended->client->state, CLIENT_FAILED);
	assert_string_equal(ended->client->current.release, OLD);
	assert_string_equal(ended->client->root, "/srv/old");
	assert_false(ended->client->unsure);
}

static void the_end_of_a_hold_heals_only_who_was_brought_back(void **state)
{
	(void)state;
	static const struct {
		enum client_state before, after;
		bool unsure;
	} cases[] = {{CLIENT_ROLLED_BACK, CLIENT_HEALTHY, false},
		{CLIENT_FAILED, CLIENT_FAILED, true},
		/* a step before deploy failed: it never ran anything else */
		{CLIENT_FAILED, CLIENT_HEALTHY, false}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct client_record record = {.client = TEXT("alpha"), .state = cases[i].before};
		record.hold.held = true;
		record.unsure = cases[i].unsure;
		PUT(record.current.release, OLD);
		record.known_good = record.current;
		auto_fact struct fact *fact = fact_hold_ended(&record, NULL, "another", WALL_S);
		assert_string_equal(fact->subject, "hold(alpha): ended");
		assert_int_equal(fact->client->state, cases[i].after);
		assert_false(fact->client->hold.held);
	}
}

static void a_rollout_that_succeeded_gets_a_tag_others_none(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	begin(&scene, PLAN_UPGRADE);
	scene.rollout->record.state = ROLLOUT_SUCCEEDED;
	scene.rollout->clients[0].record->state = MEMBER_HEALTHY;
	auto_fact struct fact *good = make(&scene, FACT_ROLLOUT_ENDED);
	assert_string_equal(good->subject, "rollout(" ID "): succeeded");
	assert_string_equal(good->tag, "deploy/" ID);
	assert_string_equal(good->files[0].path, "rollouts/" ID ".yaml");
	scene.rollout->clients[0].record->state = MEMBER_SKIPPED;
	auto_fact struct fact *part = make(&scene, FACT_ROLLOUT_ENDED);
	assert_null(part->tag);
	scene.rollout->record.state = ROLLOUT_FAILED;
	auto_fact struct fact *bad = make(&scene, FACT_ROLLOUT_ENDED);
	assert_null(bad->tag);
}

static void a_wait_and_its_answer_say_who_and_why(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	begin(&scene, PLAN_UPGRADE);
	struct rollout_record *record = &scene.rollout->record;
	record->state = ROLLOUT_WAITING;
	record->waits_for = mem_dup_str("approval of canary");
	record->waits_since_s = WALL_S;
	record->stages[0].manual = true;
	record->stages[0].expires_ms = 3600000;
	strlist_add(&record->notes, "commit 3333333 is refused: the rollout goes on");
	auto_fact struct fact *wait = make(&scene, FACT_WAITING);
	assert_string_equal(wait->subject, "rollout(" ID "): waiting for approval of canary");
	assert_string_equal(wait->trailer_values.items[1], "waiting");
	const struct approval_record approval = {.what = (char *)"canary",
		.by = (char *)"eva",
		.reason = (char *)"looks good: really",
		.at_s = WALL_S};
	rollout_record_approve(record, &approval);
	auto_fact struct fact *yes = make(&scene, FACT_APPROVED);
	assert_string_equal(yes->subject, "approve(" ID "): canary");
	assert_trailers(yes, "Rollout: " ID "\nStage: canary\n"
			     "Source-Commit: 2222222222222222222222222222222222222222\n"
			     "Plan: p-5a30e7c1\nApproved-By: eva\nReason: looks good: really\n");

	/* and the file tells a restart all of it */
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct node_options options = {.rules = NODE_CORE12};
	const struct node *node;
	struct rollout_record again;
	struct error err;
	assert_true(node_parse_yaml(
		arena, "r.yaml", yes->files[0].text, yes->files[0].len, &options, &node, &err));
	assert_true(rollout_record_from_node(node, &again, &err));
	assert_int_equal(again.state, ROLLOUT_WAITING);
	assert_string_equal(again.waits_for, "approval of canary");
	assert_int_equal(again.waits_since_s, WALL_S);
	assert_true(again.stages[0].manual);
	assert_int_equal(again.stages[0].expires_ms, 3600000);
	assert_true(rollout_record_is_approved(&again, "canary"));
	assert_false(rollout_record_is_approved(&again, APPROVES_LIMIT));
	assert_string_equal(again.approvals[0].reason, "looks good: really");
	assert_int_equal(again.notes.count, 1);
	rollout_record_clear(&again);
}

static void a_refusal_names_all_reasons_and_takes_a_later_id(void **state)
{
	(void)state;
	auto_scene struct scene scene;
	auto_strlist struct strlist reasons = STRLIST_INIT;
	begin(&scene, PLAN_UPGRADE);
	strlist_add(&reasons, "fleet.yaml:3: unknown key");
	strlist_add(&reasons, "fleet.yaml:4: another");
	status_put_rollout(scene.status, &scene.rollout->record);
	const struct refusal refusal = {.commit = "3333333333333333333333333333333333333333",
		.plan = "",
		.reasons = &reasons,
		.forced = true};
	auto_fact struct fact *fact = fact_refused(scene.status, &refusal, WALL_S);
	assert_string_equal(fact->subject, "rollout(20251124-160001-3333333): refused");
	assert_trailers(fact, "Rollout: 20251124-160001-3333333\nResult: refused\n"
			      "Source-Commit: 3333333333333333333333333333333333333333\n"
			      "Reason: forced: the tracked branch was rewritten\n"
			      "Reason: fleet.yaml:3: unknown key\nReason: fleet.yaml:4: another\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_intent_has_its_reasons_and_a_rollback_tag),
		cmocka_unit_test(a_first_onboarding_has_no_rollback_tag),
		cmocka_unit_test(success_makes_known_good_what_runs),
		cmocka_unit_test(healthy_in_a_failed_stage_is_not_known_good),
		cmocka_unit_test(a_client_that_was_not_touched_stays_where_it_is),
		cmocka_unit_test(superseded_after_its_activation_runs_the_new_release_unproved),
		cmocka_unit_test(going_back_is_told_from_its_beginning_to_its_end),
		cmocka_unit_test(a_backup_belongs_to_the_release_whose_data_it_holds),
		cmocka_unit_test(a_backup_of_what_nobody_knows_belongs_to_no_release),
		cmocka_unit_test(a_question_for_data_and_its_answer_are_told),
		cmocka_unit_test(who_was_not_restored_runs_what_failed),
		cmocka_unit_test(who_failed_before_anything_was_touched_runs_what_it_ran),
		cmocka_unit_test(the_end_of_a_hold_heals_only_who_was_brought_back),
		cmocka_unit_test(a_rollout_that_succeeded_gets_a_tag_others_none),
		cmocka_unit_test(a_wait_and_its_answer_say_who_and_why),
		cmocka_unit_test(a_refusal_names_all_reasons_and_takes_a_later_id),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
