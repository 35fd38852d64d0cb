/* The rollout machine, transition by transition, as rollout.h draws it.
 *
 * A case is a script of events and the actions that they must lead to, in order. Words of events:
 * `rec` everything is accepted, `+N` N ms pass, `okN` `badN` a step or round of client N ended,
 * `goneN` its host was not reached, `noneN` its activation failed before anything was touched,
 * `runsN:WORD` its host's answer, `dataN:WORD` the same, and data came back with it, `newer`,
 * `stop`, `pauseN` `resumeN` of client N, `pause*` `resume*` of all, `yes` `no` a person's answer,
 * `flakyN` a failure that may pass, `lostN` an outcome that nobody knows, `openN` `shutN` the
 * windows of stage N.
 */
#include "tests/unit/rollout_cases.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define INTERVAL_MS 100
#define TIMEOUT_MS  1000

struct machine {
	struct rollout *rollout;
	int64_t now_ms;
	struct buf trace;
	enum rollout_action_kind last[8]; /* that was asked of a client */
};

static struct rollout *build(const struct setting *setting)
{
	struct rollout_record record = {.state = ROLLOUT_RUNNING};
	size_t counts[] = {setting->canaries, setting->production}, next = 0;
	static const char *const names[] = {"canary", "production"};
	record.stages = mem_zero(2, sizeof(*record.stages));
	record.stage_count = 2;
	for (size_t i = 0; i < 2; i++) {
		record.stages[i].name = mem_dup_str(names[i]);
		record.stages[i].bake_ms = setting->bake_ms;
		record.stages[i].manual = i ? setting->manual : setting->manual_first;
		record.stages[i].expires_ms = setting->expires_ms;
		record.stages[i].members = mem_zero(counts[i], sizeof(*record.stages[i].members));
		record.stages[i].member_count = counts[i];
		for (size_t j = 0; j < counts[i]; j++)
			record.stages[i].members[j].client = mem_printf("c%zu", next++);
	}
	record.over_limit = setting->over_limit ? mem_dup_str("2 of 2") : NULL;
	struct rollout *rollout = rollout_new(&record);
	rollout->retries = setting->retries;
	rollout->restore = setting->restore;
	(void)snprintf(rollout->upgrade, sizeof(rollout->upgrade), "%s",
		setting->steps ? setting->steps : "");
	rollout->roll_back = !setting->hold;
	rollout->verify_interval_ms = INTERVAL_MS;
	rollout->verify_healthy = 1;
	rollout->verify_timeout_ms = TIMEOUT_MS;
	rollout->resumed = setting->resumed;
	rollout->stages[0].blocked = setting->blocked;
	for (size_t i = 0; i < 2; i++) {
		struct batches *batch = &rollout->stages[i].batch;
		batch->items[0].size = setting->batch ? setting->batch : 1;
		batch->items[1].size = setting->second_batch;
		batch->count = setting->second_batch ? 2 : 1;
		rollout->stages[i].max_failures = setting->max_failures;
		rollout->stages[i].max_unreachable = setting->max_unreachable;
		rollout->stages[i].wave_pause_ms = setting->wave_pause_ms;
	}
	for (size_t i = 0; i < rollout->client_count; i++) {
		struct rollout_client *client = &rollout->clients[i];
		client->paused = setting->paused && !i;
		client->has_good = !setting->no_good;
		client->unproved = setting->unproved;
		client->no_checks = setting->no_checks;
		client->runs_good = !setting->other_data;
		if (setting->resumed && client->stage == 0) {
			client->phase = setting->away    ? PHASE_AWAY
					: setting->asked ? PHASE_ASK
							 : PHASE_RESUME;
			client->begun = true;
			client->has_backup = setting->restore != RESTORE_NEVER;
			client->failed = setting->asked;
			client->restore = setting->asked ? RESTORE_ASKED : RESTORE_NO;
			client->going_back = setting->going_back;
			client->record->started_s = 1;
		}
	}
	return rollout;
}

static void trace_approved(struct buf *out, const struct rollout_record *record)
{
	const struct approval_record *newest = &record->approvals[record->approval_count - 1];
	auto_free char *what = approval_record_what(newest);
	buf_addf(out, " approved[%s by %s]", what, newest->by);
}

static void trace_fact(struct machine *machine, const struct rollout_action *action)
{
	const struct rollout *rollout = machine->rollout;
	struct buf *out = &machine->trace;
	switch (action->fact) {
	case FACT_ROLLOUT_STARTED:
		buf_add_str(out, " started");
		break;
	case FACT_CLIENT_STARTED:
		buf_addf(out, " c%zu.started", action->client);
		break;
	case FACT_CLIENT_BACK:
		buf_addf(out, " c%zu.back", action->client);
		break;
	case FACT_CLIENT_BACKUP:
		buf_addf(out, " c%zu.backup", action->client);
		break;
	case FACT_CLIENT_ASKS:
		buf_addf(out, " c%zu.asks", action->client);
		break;
	case FACT_CLIENT_RETRY:
		buf_addf(out, " c%zu.retry%lld", action->client,
			(long long)rollout->clients[action->client].attempts);
		break;
	case FACT_CLIENT_WAITING:
		buf_addf(out, " c%zu.away", action->client);
		break;
	case FACT_WAITING:
		buf_addf(out, " waiting[%s]", rollout->record.waits_for);
		break;
	case FACT_APPROVED:
		trace_approved(out, &rollout->record);
		break;
	case FACT_ENDING:
		buf_addf(out, " ending[%s]",
			rollout->record.abort.asked ? rollout->record.abort.by
						    : rollout->record.superseded_by);
		break;
	case FACT_STAGE:
		buf_addf(out, " stage%zu.%s", action->stage,
			stage_state_name(rollout->stages[action->stage].record->state));
		break;
	case FACT_CLIENT_ENDED:
		buf_addf(out, " c%zu.%s", action->client,
			member_state_name(rollout->clients[action->client].record->state));
		break;
	case FACT_CLIENT_HELD:
		buf_addf(out, " c%zu.held", action->client);
		break;
	case FACT_ROLLOUT_ENDED:
		buf_addf(out, " %s", rollout_state_name(rollout->record.state));
		break;
	}
}

static void feed(struct machine *machine, struct rollout_event event)
{
	static const char *const words[] = {[ACTION_DEPLOY] = "deploy",
		[ACTION_BACK] = "back",
		[ACTION_ROUND] = "round",
		[ACTION_ASK] = "ask"};
	struct rollout_actions actions = {0};
	event.now_ms = machine->now_ms;
	event.wall_s = 1700000000 + machine->now_ms / 1000;
	rollout_step(machine->rollout, &event, &actions);
	for (size_t i = 0; i < actions.count; i++) {
		const struct rollout_action *action = &actions.items[i];
		if (action->kind == ACTION_RECORD) {
			trace_fact(machine, action);
			continue;
		}
		const struct rollout_client *client = &machine->rollout->clients[action->client];
		char name[STEP_NAME] = "";
		bool data = action->kind == ACTION_BACK && client->restore == RESTORE_YES;
		machine->last[action->client] = action->kind;
		if (action->kind == ACTION_STEP)
			assert_true(rollout_step_name(machine->rollout, client, name));
		buf_addf(&machine->trace, " %s%zu%s",
			action->kind == ACTION_STEP ? name : words[action->kind], action->client,
			data ? "+data" : "");
	}
	rollout_actions_clear(&actions);
}

/* The answer to whatever was asked of a client last. */
static void answer(struct machine *machine, size_t client, bool ok)
{
	static const enum rollout_event_kind kinds[] = {[ACTION_ROUND] = EVENT_ROUND,
		[ACTION_ASK] = EVENT_RUNS,
		[ACTION_STEP] = EVENT_STEP,
		[ACTION_DEPLOY] = EVENT_DEPLOYED,
		[ACTION_BACK] = EVENT_DEPLOYED};
	feed(machine, (struct rollout_event){.kind = kinds[machine->last[client]],
			      .client = client,
			      .ok = ok,
			      .text = "because"});
}

static enum rollout_runs runs_of(const char *word)
{
	static const char *const words[] = {
		"untouched", "target", "target-unsure", "back", "back-unsure", "unknown"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcmp(word, words[i]))
			return (enum rollout_runs)i;
	fail_msg("no such answer: '%s'", word);
	return RUNS_UNKNOWN;
}

static void play(struct machine *machine, const char *word)
{
	if (!strcmp(word, "rec"))
		feed(machine, (struct rollout_event){.kind = EVENT_RECORDED,
				      .count = machine->rollout->unrecorded});
	else if (word[0] == '+') {
		machine->now_ms += strtol(word + 1, NULL, 10);
		feed(machine, (struct rollout_event){.kind = EVENT_TICK});
	} else if (!strncmp(word, "ok", 2))
		answer(machine, (size_t)(word[2] - '0'), true);
	else if (!strncmp(word, "bad", 3))
		answer(machine, (size_t)(word[3] - '0'), false);
	else if (!strncmp(word, "gone", 4))
		feed(machine, (struct rollout_event){.kind = EVENT_UNREACHABLE,
				      .client = (size_t)(word[4] - '0'),
				      .text = "no route"});
	else if (!strncmp(word, "flaky", 5))
		feed(machine,
			(struct rollout_event){.kind = machine->last[word[5] - '0'] == ACTION_STEP
							       ? EVENT_STEP
							       : EVENT_DEPLOYED,
				.client = (size_t)(word[5] - '0'),
				.transient = true,
				.untouched = true,
				.text = "disk full"});
	else if (!strncmp(word, "lost", 4))
		feed(machine, (struct rollout_event){
				      .kind = EVENT_UNSURE, .client = (size_t)(word[4] - '0')});
	else if (!strcmp(word, "now"))
		feed(machine,
			(struct rollout_event){.kind = EVENT_APPROVE, .who = "eva", .now = true});
	else if (!strcmp(word, "yes") || !strcmp(word, "no"))
		feed(machine,
			(struct rollout_event){.kind = word[0] == 'y' ? EVENT_APPROVE : EVENT_ABORT,
				.who = "eva",
				.text = "because"});
	else if (!strncmp(word, "open", 4) || !strncmp(word, "shut", 4))
		feed(machine, (struct rollout_event){.kind = EVENT_WINDOW,
				      .stage = (size_t)(word[4] - '0'),
				      .ok = word[0] == 'o'});
	else if (!strncmp(word, "none", 4))
		feed(machine, (struct rollout_event){.kind = EVENT_DEPLOYED,
				      .client = (size_t)(word[4] - '0'),
				      .untouched = true,
				      .text = "does not render"});
	else if (!strncmp(word, "runs", 4) || !strncmp(word, "data", 4))
		feed(machine, (struct rollout_event){.kind = EVENT_RUNS,
				      .client = (size_t)(word[4] - '0'),
				      .ok = true,
				      .restores = word[0] == 'd',
				      .runs = runs_of(word + 6)});
	else if (!strcmp(word, "newer"))
		feed(machine, (struct rollout_event){.kind = EVENT_SUPERSEDED, .text = "3333333"});
	else if (!strncmp(word, "pause", 5) || !strncmp(word, "resume", 6)) {
		char last = word[strlen(word) - 1];
		feed(machine,
			(struct rollout_event){.kind = word[0] == 'p' ? EVENT_PAUSE : EVENT_RESUME,
				.client = last == '*' ? ROLLOUT_ALL : (size_t)(last - '0')});
	} else if (!strcmp(word, "stop"))
		feed(machine, (struct rollout_event){.kind = EVENT_STOP});
	else
		fail_msg("no such event: '%s'", word);
}

static void every_transition_leads_to_its_actions(void **state)
{
	(void)state;
	size_t wrong = 0;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct machine machine = {.trace = BUF_INIT(1 << 16), .now_ms = 1000};
		auto_free char *script = mem_dup_str(cases[i].script);
		char *rest = script;
		machine.rollout = build(&cases[i].setting);
		feed(&machine, (struct rollout_event){.kind = EVENT_START});
		for (char *word; (word = strsep(&rest, " "));)
			if (*word)
				play(&machine, word);
		if (strcmp(machine.trace.text, cases[i].actions) != 0)
			print_error("%s:\n%s\ninstead of\n%s\n", cases[i].name, machine.trace.text,
				cases[i].actions);
		wrong += strcmp(machine.trace.text, cases[i].actions) != 0;
		rollout_free(machine.rollout);
		buf_clear(&machine.trace);
	}
	assert_int_equal(wrong, 0);
}

/* ---- time --------------------------------------------------------------------------------------
 */

static struct machine start(const struct setting *setting, const char *script)
{
	struct machine machine = {.trace = BUF_INIT(1 << 16), .now_ms = 1000};
	auto_free char *words = mem_dup_str(script);
	char *rest = words;
	machine.rollout = build(setting);
	feed(&machine, (struct rollout_event){.kind = EVENT_START});
	for (char *word; (word = strsep(&rest, " "));)
		play(&machine, word);
	return machine;
}

/* A tick that changes nothing must not ask for another one at once: the loop would spin. */
static void no_tick_is_wanted_that_does_nothing(void **state)
{
	(void)state;
	static const struct {
		struct setting setting;
		const char *script;
	} waits[] = {
		{{1, 0}, "rec"},
		{{2, 0, .batch = 2, .bake_ms = 150, .max_failures = 1},
			"rec ok0 ok1 ok0 ok1 +100 ok0 bad1 +100"},
		{{1, 0, .bake_ms = 100}, "rec ok0 ok0 +50 bad0"},
		{{1, 0, .bake_ms = 100}, "rec bad0 newer"},
		{{1, 0, .resumed = true}, "newer"},
		{{1, 1}, "rec ok0 stop"},
		{{1, 1}, "pause* rec ok0 ok0 rec +5000"},
		{{1, 1, .manual_first = true}, "rec +5000"},
		{{1, 1, .manual_first = true, .expires_ms = 1000}, "rec +500"},
		{{1, 1}, "shut1 rec ok0 ok0 rec +5000"},
		{{0, 2, .wave_pause_ms = 100}, "rec shut1 ok0 ok0 +500"},
		{{0, 2, .wave_pause_ms = 100}, "rec ok0 ok0 +50"},
		{{1, 0}, "rec gone0 +100 +5000"},
		{{1, 0, .retries = 2}, "rec flaky0 +5000"},
		{{1, 0, .retries = 2}, "rec flaky0 rec +500"},
		{{1, 1, .paused = true}, "rec +5000"},
		{{2, 1, .wave_pause_ms = 500}, "rec ok0 ok0 pause1 rec resume1 +1000"},
		{{1, 0, .steps = "backup deploy verify"}, "rec +5000"},
		{{1, 0, .steps = "backup deploy verify"}, "rec ok0 +5000"},
		{{1, 0, .steps = "backup deploy verify", .retries = 2}, "rec flaky0 +5000"},
		{{1, 0, .steps = "deploy verify greet", .no_checks = true}, "rec ok0 +5000"},
		{{1, 1, .steps = "backup deploy verify", .restore = RESTORE_ASK},
			"rec ok0 rec bad0 +5000"},
		{{1, 1, .steps = "backup deploy verify", .restore = RESTORE_ASK},
			"rec ok0 rec bad0 yes +5000"},
		{{2, 0, .paused = true, .bake_ms = 100}, "rec ok1 ok1 +50 pause* resume0 +100 ok1"},
	};
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		struct machine machine = start(&waits[i].setting, waits[i].script);
		feed(&machine, (struct rollout_event){.kind = EVENT_TICK});
		if (rollout_next_tick_ms(machine.rollout) <= machine.now_ms)
			fail_msg("case %zu spins after:%s", i, machine.trace.text);
		rollout_free(machine.rollout);
		buf_clear(&machine.trace);
	}
}

static void a_wave_is_a_number_or_a_share_and_at_least_one(void **state)
{
	(void)state;
	static const struct {
		size_t count;
		struct batches batch;
		size_t rooms[4]; /* of the first waves */
	} waves[] = {
		{10, {{{true, 25}}, 1}, {2, 2, 2, 2}},
		{3, {{{true, 25}}, 1}, {1, 1, 1, 1}},
		{10000, {{{true, 100}}, 1}, {10000, 10000, 10000, 10000}},
		{5, {{{false, 2}}, 1}, {2, 2, 2, 2}},
		{5, {.count = 0}, {1, 1, 1, 1}},
		{100, {{{false, 1}, {false, 5}, {true, 25}}, 3}, {1, 5, 25, 25}},
		{3, {{{false, 1}, {true, 10}}, 2}, {1, 1, 1, 1}},
	};
	for (size_t i = 0; i < ARRAY_LEN(waves); i++) {
		size_t started = 0;
		for (size_t wave = 0; wave < 4; wave++) {
			size_t room = batches_room(&waves[i].batch, waves[i].count, started);
			assert_int_equal(room, waves[i].rooms[wave]);
			assert_int_equal(batches_wave(&waves[i].batch, waves[i].count, wave), room);
			/* after a restart in the middle of a wave only the rest of it may start */
			if (room > 1)
				assert_int_equal(
					batches_room(&waves[i].batch, waves[i].count, started + 1),
					room - 1);
			started += room;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_transition_leads_to_its_actions),
		cmocka_unit_test(no_tick_is_wanted_that_does_nothing),
		cmocka_unit_test(a_wave_is_a_number_or_a_share_and_at_least_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
