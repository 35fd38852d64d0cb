/* Events of a rollout as lines, and what a replay makes of them. Whole random rollouts are replayed
 * in tests/sim. */
#include "reconcile/replay.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct error err;

static struct rollout *make(void)
{
	struct rollout_record record = {.state = ROLLOUT_RUNNING};
	(void)snprintf(record.id, sizeof(record.id), "20251124-160000-2222222");
	memset(record.commit, '2', OID_HEX);
	record.stages = mem_zero(1, sizeof(*record.stages));
	record.stage_count = 1;
	record.stages[0].name = mem_dup_str("canary");
	record.stages[0].bake_ms = 60000;
	record.stages[0].members = mem_zero(1, sizeof(*record.stages[0].members));
	record.stages[0].member_count = 1;
	record.stages[0].members[0].client = mem_dup_str("alpha");
	strlist_add(&record.stages[0].members[0].reasons, "a reason that nobody replays");
	(void)snprintf(record.stages[0].members[0].to, DIGEST_TEXT, "sha256:abc");
	struct rollout *rollout = rollout_new(&record);
	rollout->roll_back = true;
	rollout->verify_interval_ms = 1000;
	rollout->verify_healthy = 1;
	rollout->verify_timeout_ms = 5000;
	rollout->clients[0].has_good = true;
	rollout->stages[0].batch.items[0] = (struct batch){.size = 2};
	rollout->stages[0].batch.items[1] = (struct batch){.percent = true, .size = 25};
	rollout->stages[0].batch.count = 2;
	return rollout;
}

static void step(struct event_log *log, struct rollout *rollout, struct rollout_event event)
{
	struct rollout_actions actions = {0};
	event.wall_s = 1764000000 + event.now_ms / 1000;
	event_log_step(log, rollout, &event, &actions);
	rollout_actions_clear(&actions);
}

static size_t count_lines(const char *text)
{
	size_t count = 0;
	for (; *text; text++)
		count += *text == '\n';
	return count;
}

static bool replay_text(const char *text, struct replay *replay)
{
	const struct replay_input input = {.file = "events", .text = text, .len = strlen(text)};
	err.code = ERR_NONE;
	return replay_run(&input, NULL, replay, &err);
}

/* Until alpha bakes. */
static void go_to_bake(struct event_log *log, struct rollout *rollout)
{
	step(log, rollout, (struct rollout_event){.kind = EVENT_START, .now_ms = 100});
	step(log, rollout,
		(struct rollout_event){.kind = EVENT_RECORDED, .count = 2, .now_ms = 300});
	step(log, rollout,
		(struct rollout_event){.kind = EVENT_DEPLOYED, .ok = true, .now_ms = 900});
	step(log, rollout, (struct rollout_event){.kind = EVENT_ROUND, .ok = true, .now_ms = 1000});
	step(log, rollout,
		(struct rollout_event){.kind = EVENT_RECORDED, .count = 1, .now_ms = 1100});
}

static void a_state_survives_its_line(void **state)
{
	(void)state;
	auto_rollout struct rollout *rollout = make();
	auto_rollout struct rollout *again = NULL;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf line = BUF_INIT(1 << 16);
	auto_buf struct buf second = BUF_INIT(1 << 16);
	const struct node *node;
	rollout->unrecorded = 3;
	rollout->waits = WAIT_APPROVAL;
	rollout->clients[0].phase = PHASE_RESUME;
	rollout->clients[0].going_back = true;
	(void)snprintf(rollout->clients[0].failure, 40, "not \"healthy\"\tat all");
	event_state_write(rollout, 1764000000, &line);
	assert_null(strstr(line.text, "sha256"));
	assert_null(strstr(line.text, "reason that"));
	assert_true(node_parse_json(arena, "line", line.text, line.len, &node, &err));
	assert_true(event_state_read(node, &again, &err));
	assert_int_equal(again->unrecorded, 3);
	assert_int_equal(again->waits, WAIT_APPROVAL);
	assert_int_equal(again->clients[0].phase, PHASE_RESUME);
	assert_true(again->clients[0].going_back);
	assert_string_equal(again->clients[0].failure, rollout->clients[0].failure);
	assert_int_equal(again->stages[0].batch.count, 2);
	assert_true(again->stages[0].batch.items[1].percent);
	assert_int_equal(again->stages[0].batch.items[1].size, 25);
	event_state_write(again, 1764000000, &second);
	assert_string_equal(line.text, second.text);
}

static void every_word_is_read_as_it_is_written(void **state)
{
	(void)state;
	enum rollout_event_kind kind;
	enum rollout_phase phase;
	enum rollout_runs runs;
	enum rollout_wait wait;
	for (int i = 0; i <= EVENT_STOP; i++) {
		assert_true(event_from_word(event_word((enum rollout_event_kind)i), &kind));
		assert_int_equal(kind, i);
	}
	for (int i = 0; i <= PHASE_DONE; i++) {
		assert_true(event_phase_from_word(event_phase_word((enum rollout_phase)i), &phase));
		assert_int_equal(phase, i);
	}
	for (int i = 0; i <= RUNS_UNKNOWN; i++) {
		assert_true(event_runs_from_word(event_runs_word((enum rollout_runs)i), &runs));
		assert_int_equal(runs, i);
	}
	for (int i = 0; i <= WAIT_HOSTS; i++) {
		assert_true(event_wait_from_word(event_wait_word((enum rollout_wait)i), &wait));
		assert_int_equal(wait, i);
	}
	assert_false(event_from_word("stat", &kind));
}

static void what_decides_nothing_is_left_out(void **state)
{
	(void)state;
	auto_rollout struct rollout *rollout = make();
	auto_event_log struct event_log *log = event_log_new(rollout, 100, NULL);
	go_to_bake(log, rollout);
	size_t lines = count_lines(event_log_text(log)->text);
	for (int64_t ms = 2000; ms < 30000; ms += 1000) {
		step(log, rollout, (struct rollout_event){.kind = EVENT_TICK, .now_ms = ms});
		step(log, rollout,
			(struct rollout_event){.kind = EVENT_ROUND, .ok = true, .now_ms = ms + 10});
	}
	assert_int_equal(count_lines(event_log_text(log)->text), lines);
	step(log, rollout, (struct rollout_event){.kind = EVENT_TICK, .now_ms = 31000});
	step(log, rollout,
		(struct rollout_event){.kind = EVENT_ROUND, .now_ms = 31500, .text = "sick"});
	assert_non_null(
		strstr(event_log_text(log)->text, "\"text\":\"sick\",\"do\":[\"back alpha\""));
	auto_replay struct replay replay = {0};
	assert_true(replay_text(event_log_text(log)->text, &replay));
	assert_int_equal(replay.different, 0);
	assert_string_equal(replay.record.items[replay.record.count - 1], "alpha going back");
}

static void a_file_goes_on_after_a_restart(void **state)
{
	(void)state;
	auto_rollout struct rollout *rollout = make();
	auto_event_log struct event_log *log = event_log_new(rollout, 100, NULL);
	go_to_bake(log, rollout);
	auto_rollout struct rollout *later = make();
	later->resumed = true;
	later->clients[0].phase = PHASE_RESUME;
	auto_event_log struct event_log *second =
		event_log_new(later, 77, event_log_text(log)->text);
	step(second, later, (struct rollout_event){.kind = EVENT_START, .now_ms = 77});
	step(second, later, (struct rollout_event){.kind = EVENT_TICK, .now_ms = 80});
	step(second, later,
		(struct rollout_event){
			.kind = EVENT_RUNS, .ok = true, .runs = RUNS_TARGET, .now_ms = 90});
	auto_replay struct replay replay = {0};
	assert_true(replay_text(event_log_text(second)->text, &replay));
	assert_int_equal(replay.parts, 2);
	assert_int_equal(replay.different, 0);
	assert_false(replay.ended);
}

/* The machine asks for nothing while it stops; what was asked for before still counts. */
static void a_round_that_ends_while_the_service_stops_is_replayed(void **state)
{
	(void)state;
	auto_rollout struct rollout *rollout = make();
	auto_event_log struct event_log *log = event_log_new(rollout, 100, NULL);
	go_to_bake(log, rollout);
	step(log, rollout, (struct rollout_event){.kind = EVENT_TICK, .now_ms = 2000});
	step(log, rollout, (struct rollout_event){.kind = EVENT_STOP, .now_ms = 2005});
	step(log, rollout,
		(struct rollout_event){.kind = EVENT_ROUND, .now_ms = 2010, .text = "sick"});
	auto_replay struct replay replay = {0};
	assert_true(replay_text(event_log_text(log)->text, &replay));
	assert_int_equal(replay.different, 0);
	assert_string_equal(replay.record.items[replay.record.count - 1], "alpha going back");
}

static void a_full_file_says_so_and_ends(void **state)
{
	(void)state;
	auto_rollout struct rollout *rollout = make();
	auto_event_log struct event_log *log = event_log_new(rollout, 100, NULL);
	auto_free char *text = mem_zero(500, 1);
	memset(text, 'x', 499);
	go_to_bake(log, rollout);
	for (int i = 0; i < 20000; i++) /* each is kept: it may be the first of a new kind */
		step(log, rollout,
			(struct rollout_event){.kind = EVENT_RUNS, .now_ms = 2000, .text = text});
	assert_true(event_log_text(log)->len < EVENTS_MAX);
	auto_replay struct replay replay = {0};
	assert_true(replay_text(event_log_text(log)->text, &replay));
	assert_true(replay.cut);
	assert_int_equal(replay.different, 0);
	auto_event_log struct event_log *later =
		event_log_new(rollout, 5000, event_log_text(log)->text);
	assert_string_equal(event_log_text(later)->text, event_log_text(log)->text);
}

static void other_decisions_are_found_and_nonsense_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *what;
	} bad[] = {
		{"nonsense\n", "events:1"},
		{"{\"e\":\"tick\"}\n", "before any state"},
		{"{\"e\":\"state\"}\n", "needs 'record'"},
		{"[]\n", "before any state"},
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char line[1500];
		struct replay none = {0};
		assert_false(replay_text(bad[i].text, &none));
		assert_non_null(strstr(error_line(&err, line, sizeof(line)), bad[i].what));
	}
	auto_rollout struct rollout *rollout = make();
	auto_event_log struct event_log *log = event_log_new(rollout, 100, NULL);
	go_to_bake(log, rollout);
	auto_free char *text = mem_dup_str(event_log_text(log)->text);
	char *ok = strstr(text, "deploy alpha");
	memcpy(ok, "deploy omega", strlen("deploy omega"));
	auto_replay struct replay replay = {0};
	assert_true(replay_text(text, &replay));
	assert_int_equal(replay.different, 1);
}

static void facts_are_worded_as_decisions(void **state)
{
	(void)state;
	static const struct {
		const char *subject, *client, *result, *word;
	} cases[] = {
		{"rollout(x): started", NULL, "started", "rollout started"},
		{"rollout(x): stage canary baking", NULL, NULL, "stage canary baking"},
		{"rollout(x): waiting for approval of production", NULL, "waiting",
			"rollout waiting"},
		{"deploy(alpha): app 1 -> 2: started", "alpha", "started", "alpha started"},
		{"rollback(alpha): app 2 -> 1: going back", "alpha", "", "alpha going back"},
		{"deploy(alpha): attempt 1 failed, is repeated", "alpha", NULL,
			"alpha attempt failed"},
		{"approve(x): production", NULL, NULL, "approved production"},
		{"odd", NULL, NULL, ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *word =
			replay_fact_word(cases[i].subject, cases[i].client, cases[i].result);
		assert_string_equal(word, cases[i].word);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_state_survives_its_line),
		cmocka_unit_test(every_word_is_read_as_it_is_written),
		cmocka_unit_test(what_decides_nothing_is_left_out),
		cmocka_unit_test(a_file_goes_on_after_a_restart),
		cmocka_unit_test(a_round_that_ends_while_the_service_stops_is_replayed),
		cmocka_unit_test(a_full_file_says_so_and_ends),
		cmocka_unit_test(other_decisions_are_found_and_nonsense_is_refused),
		cmocka_unit_test(facts_are_worded_as_decisions),
	};
	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
