/* Records of the status branch: what is written reads back, what somebody broke is told. */
#include "base/clock.h"
#include "reconcile/status.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WALL_S 1764000000 /* 2025-11-24T16:00:00Z */

static void put(char *field, size_t size, const char *text)
{
	(void)snprintf(field, size, "%s", text); /* fits */
}
#define PUT(field, text) put((field), sizeof(field), (text))

static struct release_ref ref_of(const char *release)
{
	struct release_ref ref = {0};
	PUT(ref.release, release);
	PUT(ref.release_key, "k1");
	PUT(ref.commit, "1111111111111111111111111111111111111111");
	PUT(ref.rollout, "20260101-000000-1111111");
	return ref;
}

static void fill_client(struct client_record *record)
{
	*record = (struct client_record){.client = mem_dup_str("alpha"),
		.host = mem_dup_str("alpha.example.org"),
		.root = mem_dup_str("/srv/fleet/alpha"),
		.state = CLIENT_FAILED,
		.stage = mem_dup_str("canary"),
		.rollback_tag = mem_dup_str("rollback/alpha/20260101-000000-1111111"),
		.going_back = mem_dup_str("check 'web': \"500\"\nand more: yes"),
		.ended = MEMBER_ROLLED_BACK,
		.updated_s = WALL_S};
	record->current = ref_of("sha256:aa");
	record->known_good = ref_of("sha256:bb");
	record->previous = ref_of("sha256:cc");
	record->good = mem_zero(2, sizeof(*record->good));
	record->good[0] = ref_of("sha256:bb");
	record->good[1] = ref_of("sha256:dd");
	record->good_count = 2;
	record->apps = mem_zero(2, sizeof(*record->apps));
	record->apps[0] =
		(struct client_app){.name = mem_dup_str("no"), .version = mem_dup_str("28.10")};
	record->apps[1] =
		(struct client_app){.name = mem_dup_str("pretix"), .version = mem_dup_str("")};
	record->app_count = 2;
	record->unsure = true;
	record->restore = RESTORE_ASKED;
	PUT(record->backup.name, "alpha-20260101-000000-1111111");
	PUT(record->backup.release, "sha256:bb");
	record->hold = (struct client_hold){
		.held = true, .by_hand = true, .reason = mem_dup_str("# not a comment")};
	record->pause = (struct pause){.paused = true,
		.reason = mem_dup_str("'demo': yes"),
		.by = mem_dup_str("eva"),
		.since_s = WALL_S};
	PUT(record->hold.release, "sha256:ee");
	PUT(record->hold.checks, "sha256:ff");
}

static bool parse(
	struct arena *arena, const char *text, const struct node **node, struct error *err)
{
	const struct node_options options = {.rules = NODE_CORE12};
	*err = (struct error){0};
	return node_parse_yaml(arena, "record.yaml", text, strlen(text), &options, node, err);
}

static void a_clients_record_reads_back_as_it_was(void **state)
{
	(void)state;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf first = BUF_INIT(1 << 16);
	auto_buf struct buf second = BUF_INIT(1 << 16);
	struct client_record record, again;
	const struct node *node;
	struct error err;
	fill_client(&record);
	client_record_to_yaml(&record, &first);
	assert_true(parse(arena, first.text, &node, &err));
	assert_true(client_record_from_node(node, &again, &err));
	client_record_to_yaml(&again, &second);
	assert_string_equal(first.text, second.text);
	assert_string_equal(again.going_back, record.going_back);
	assert_string_equal(again.apps[0].version, "28.10");
	assert_int_equal(again.ended, MEMBER_ROLLED_BACK);
	assert_true(again.hold.by_hand);
	assert_true(again.unsure);
	assert_int_equal(again.restore, RESTORE_ASKED);
	assert_string_equal(again.backup.name, record.backup.name);
	assert_string_equal(again.backup.release, "sha256:bb");
	assert_non_null(strstr(first.text, "state: paused\n"));
	assert_int_equal(again.state, CLIENT_FAILED); /* what it is beside the pause */
	assert_string_equal(again.pause.reason, "'demo': yes");
	client_record_clear(&record);
	client_record_clear(&again);
}

static void what_is_asked_of_the_fleet_reads_back_as_it_was(void **state)
{
	(void)state;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf text = BUF_INIT(1 << 16);
	struct asked_record record = {.pause = {.paused = true, .since_s = WALL_S}}, again;
	const struct node *node;
	struct error err;
	record.pause.reason = mem_dup_str("# no comment");
	record.pause.by = mem_dup_str("no");
	struct retry one = {.client = record.pause.reason, .at_s = WALL_S}; /* copied */
	PUT(one.until, "20260101-000000-1111111");
	asked_record_add_retry(&record, &one);
	asked_record_to_yaml(&record, &text);
	assert_true(parse(arena, text.text, &node, &err));
	assert_true(asked_record_from_node(node, &again, &err));
	assert_true(again.pause.paused);
	assert_string_equal(again.pause.reason, "# no comment");
	assert_string_equal(again.pause.by, "no");
	assert_int_equal(again.pause.since_s, WALL_S);
	assert_int_equal(again.retry_count, 1);
	assert_string_equal(again.retries[0].client, "# no comment");
	asked_record_clear(&record);
	asked_record_clear(&again);
	assert_true(parse(arena, "{}\n", &node, &err));
	assert_true(asked_record_from_node(node, &again, &err));
	assert_false(again.pause.paused);
	assert_true(parse(arena, "paused: {since: soon}\n", &node, &err));
	assert_false(asked_record_from_node(node, &again, &err));
	assert_true(parse(arena, "retried: [{client: alpha}]\n", &node, &err));
	assert_false(asked_record_from_node(node, &again, &err));
}

static void a_retry_of_all_takes_the_place_of_those_before_it(void **state)
{
	(void)state;
	struct asked_record record = {0};
	char alpha[] = "alpha";
	struct retry retry = {.client = alpha};
	PUT(retry.until, "20260101-000000-1111111");
	for (int i = 0; i < STATUS_RETRIES_MAX + 3; i++)
		asked_record_add_retry(&record, &retry);
	assert_int_equal(record.retry_count, STATUS_RETRIES_MAX);
	retry.client = NULL;
	PUT(retry.until, "20260102-000000-1111111");
	asked_record_add_retry(&record, &retry);
	assert_int_equal(record.retry_count, 1);
	assert_non_null(asked_record_retry(&record, "20260102-000000-1111111"));
	assert_non_null(asked_record_retry(&record, "20251231-235959-2222222"));
	assert_null(asked_record_retry(&record, "20260102-000001-1111111"));
	asked_record_clear(&record);
}

static const char rollout_text[] = "id: 20260101-000000-1111111\n"
				   "commit: \"2222222222222222222222222222222222222222\"\n"
				   "plan: p-5a30e7c1\n"
				   "state: running\n"
				   "reasons:\n"
				   "  - \"yes\"\n"
				   "approvals:\n"
				   "  - what: canary\n"
				   "    by: eva\n"
				   "    at: 2025-11-24T16:00:00Z\n"
				   "abort: {by: eva, reason: not today, at: 2025-11-24T16:00:00Z}\n"
				   "superseded_by: \"3333333333333333333333333333333333333333\"\n"
				   "started: 2025-11-24T16:00:00Z\n"
				   "stages:\n"
				   "  - name: canary\n"
				   "    state: baking\n"
				   "    bake: 10m\n"
				   "    bake_started: 2025-11-24T16:00:00Z\n"
				   "    clients:\n"
				   "      alpha:\n"
				   "        action: upgrade\n"
				   "        from: sha256:aa\n"
				   "        to: sha256:bb\n"
				   "        to_key: k1\n"
				   "        checks: sha256:cc\n"
				   "        state: verifying\n"
				   "        reasons:\n"
				   "          - nextcloud 1 -> 2\n"
				   "        started: 2025-11-24T16:00:00Z\n"
				   "  - name: production\n"
				   "    state: pending\n"
				   "    bake: 0s\n"
				   "    clients: {}\n";

static void a_rollouts_record_reads_back_as_it_was(void **state)
{
	(void)state;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf first = BUF_INIT(1 << 16);
	auto_buf struct buf second = BUF_INIT(1 << 16);
	struct rollout_record record, again;
	const struct node *node;
	struct error err;
	assert_true(parse(arena, rollout_text, &node, &err));
	assert_true(rollout_record_from_node(node, &record, &err));
	assert_int_equal(record.stages[0].bake_ms, 600000);
	rollout_record_to_yaml(&record, &first);
	assert_true(parse(arena, first.text, &node, &err));
	assert_true(rollout_record_from_node(node, &again, &err));
	rollout_record_to_yaml(&again, &second);
	assert_string_equal(first.text, second.text);
	assert_string_equal(again.stages[0].members[0].reasons.items[0], "nextcloud 1 -> 2");
	assert_string_equal(again.abort.by, "eva");
	assert_string_equal(again.abort.reason, "not today");
	assert_memory_equal(again.superseded_by, "33333333", 8);
	rollout_record_clear(&record);
	rollout_record_clear(&again);
}

static void records_that_somebody_broke_are_refused_with_the_reason(void **state)
{
	(void)state;
	static const struct {
		bool rollout;
		const char *text, *said;
	} cases[] = {
		{false, "[]", "needs 'client'"},
		{false, "client: [alpha]\nstate: healthy\n", "needs 'client'"},
		{false, "client: alpha\n", "'state' is not a known word"},
		{false, "client: alpha\nstate: sick\n", "'state' is not a known word: 'sick'"},
		{false, "client: alpha\nstate: healthy\nended: badly\n",
			"'ended' is not a known word"},
		{false, "client: alpha\nstate: healthy\nupdated: yesterday\n", "is no time"},
		{false,
			"client: alpha\nstate: healthy\nrelease: "
			"sha256:00000000000000000000000000000000000000"
			"000000000000000000000000000000\n",
			"is longer than"},
		{true, "state: running\n", "needs 'id'"},
		{true, "id: ../../etc\nstate: running\n", "is no rollout's id"},
		{true, "id: 20261324-101542-aaaaaaa\nstate: running\n", "is no rollout's id"},
		{true, "id: 20260101-000000-1111111\nstate: running\nstages: [{}]\n",
			"needs 'name'"},
		{true, "id: 20260101-000000-1111111\nstate: running\nsuperseded_by: HEAD\n",
			"'HEAD' is no commit"},
		{true, "id: 20260101-000000-1111111\nstate: running\nabort: {by: a, at: now}\n",
			"'at' is no time"},
		{true,
			"id: 20260101-000000-1111111\nstate: running\n"
			"stages: [{name: a, state: pending, bake: long}]\n",
			"is no duration"},
		{true,
			"id: 20260101-000000-1111111\nstate: running\n"
			"stages: [{name: a, state: pending, clients: {b: 3}}]\n",
			"'action' is not a known word"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
		struct client_record client = {0};
		struct rollout_record rollout = {0};
		const struct node *node;
		struct error err;
		assert_true(parse(arena, cases[i].text, &node, &err));
		bool read = cases[i].rollout ? rollout_record_from_node(node, &rollout, &err)
					     : client_record_from_node(node, &client, &err);
		if (read || !strstr(err.message, cases[i].said))
			fail_msg("%s: %s", cases[i].text, read ? "was read" : err.message);
		assert_int_equal(err.code, ERR_INVALID);
	}
}

/* ---- ids, and records that are shared ----------------------------------------------------------
 */

static void put_rollout(struct status *status, int64_t wall_s, enum rollout_state state)
{
	struct rollout_record record = {.state = state};
	char text[CLOCK_TEXT_SIZE];
	(void)snprintf(record.id, sizeof(record.id), "%s-abcdef0", clock_format_id(wall_s, text));
	status_put_rollout(status, &record);
}

static void an_id_is_later_than_all_others_whatever_the_clock_says(void **state)
{
	(void)state;
	auto_status struct status *status = status_new();
	char id[ROLLOUT_TEXT];
	rollout_id_make(status, WALL_S, "123456789", id);
	assert_string_equal(id, "20251124-160000-1234567");
	put_rollout(status, WALL_S, ROLLOUT_SUCCEEDED);
	rollout_id_make(status, WALL_S, "123456789", id);
	assert_string_equal(id, "20251124-160001-1234567");
	/* Five years back: no search second by second. */
	rollout_id_make(status, WALL_S - 5LL * 365 * 86400, "123456789", id);
	assert_string_equal(id, "20251124-160001-1234567");
	/* A host told a later one than the tree has a record of. */
	struct client_record client = {.client = (char[]){"alpha"}};
	PUT(client.current.rollout, "20251124-235959-abcdef0");
	status_put_client(status, &client);
	rollout_id_make(status, WALL_S, "123456789", id);
	assert_string_equal(id, "20251125-000000-1234567");
	PUT(client.current.rollout, "never");
	status_put_client(status, &client);
	rollout_id_make(status, WALL_S, "123456789", id);
	assert_string_equal(id, "20251124-160001-1234567");
}

static void the_running_rollout_is_found_behind_a_refusal(void **state)
{
	(void)state;
	auto_status struct status *status = status_new();
	assert_null(status_running(status));
	put_rollout(status, WALL_S, ROLLOUT_SUCCEEDED);
	put_rollout(status, WALL_S + 1, ROLLOUT_RUNNING);
	put_rollout(status, WALL_S + 2, ROLLOUT_REFUSED);
	assert_string_equal(status_running(status)->id, "20251124-160001-abcdef0");
	put_rollout(status, WALL_S + 1, ROLLOUT_FAILED);
	assert_null(status_running(status));
}

static void only_the_newest_records_are_kept_and_one_that_runs(void **state)
{
	(void)state;
	auto_status struct status *status = status_new();
	put_rollout(status, WALL_S, ROLLOUT_RUNNING);
	for (int i = 1; i < STATUS_ROLLOUTS_MAX + 20; i++)
		put_rollout(status, WALL_S + i, ROLLOUT_REFUSED);
	assert_int_equal(status->rollout_count, STATUS_ROLLOUTS_MAX + 1);
	assert_non_null(status_running(status));
	assert_null(status_rollout(status, "20251124-160001-abcdef0"));
}

static void a_copy_keeps_what_the_original_changes(void **state)
{
	(void)state;
	struct status *status = status_new();
	struct client_record record = {.client = (char[]){"alpha"}, .state = CLIENT_HEALTHY};
	status_put_client(status, &record);
	auto_status struct status *copy = status_copy(status);
	record.state = CLIENT_FAILED;
	status_put_client(status, &record);
	assert_int_equal(status_client(status, "alpha")->state, CLIENT_FAILED);
	status_free(status);
	assert_int_equal(status_client(copy, "alpha")->state, CLIENT_HEALTHY);
	assert_null(status_client(copy, "alph"));
	assert_null(status_client(copy, "beta"));
}

static void *copy_and_let_go(void *data)
{
	for (int i = 0; i < 1000; i++)
		status_free(status_copy(data));
	return NULL;
}

/* A data race here is seen by `make tsan` alone. */
static void a_record_can_be_copied_while_another_thread_lets_go_of_it(void **state)
{
	(void)state;
	auto_status struct status *status = status_new();
	const struct client_record record = {.client = (char[]){"alpha"}, .state = CLIENT_HEALTHY};
	pthread_t other;
	status_put_client(status, &record);
	put_rollout(status, WALL_S, ROLLOUT_RUNNING);
	assert_int_equal(pthread_create(&other, NULL, copy_and_let_go, status), 0);
	for (int i = 0; i < 1000; i++) {
		struct client_record client;
		struct rollout_record rollout;
		client_record_copy(&client, status->clients[0]);
		rollout_record_copy(&rollout, status->rollouts[0]);
		assert_string_equal(client.client, "alpha");
		client_record_clear(&client);
		rollout_record_clear(&rollout);
	}
	assert_int_equal(pthread_join(other, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_clients_record_reads_back_as_it_was),
		cmocka_unit_test(what_is_asked_of_the_fleet_reads_back_as_it_was),
		cmocka_unit_test(a_retry_of_all_takes_the_place_of_those_before_it),
		cmocka_unit_test(a_rollouts_record_reads_back_as_it_was),
		cmocka_unit_test(records_that_somebody_broke_are_refused_with_the_reason),
		cmocka_unit_test(an_id_is_later_than_all_others_whatever_the_clock_says),
		cmocka_unit_test(the_running_rollout_is_found_behind_a_refusal),
		cmocka_unit_test(only_the_newest_records_are_kept_and_one_that_runs),
		cmocka_unit_test(a_copy_keeps_what_the_original_changes),
		cmocka_unit_test(a_record_can_be_copied_while_another_thread_lets_go_of_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
