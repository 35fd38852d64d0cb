/* Deterministic simulation of rollouts: random outcomes, crashes, newer commits, all from a seed.
 *
 * The world here is what the loop, the remote and the hosts are in the service: facts are accepted
 * late and in batches, steps end in any order, and at any moment the service dies and goes on from
 * what the branch and the hosts say. After each event the promises of design.md section 2 are
 * checked. SIM_SEEDS=N runs more, SIM_SEED=S runs one and tells it.
 */
#include "base/clock.h"
#include "reconcile/fact.h"
#include "reconcile/replay.h"
#include "reconcile/rollout_build.h"
#include "tests/lib/facts.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CLIENTS_MAX 8
#define SEEDS       3000
#define NEWER       "3333333333333333333333333333333333333333"
#define STEPS_MAX   20000 /* a rollout that needs more never ends */

struct step_under_way {
	bool running;
	enum rollout_action_kind kind;
	int64_t done_ms;
	bool ok, away;
};

struct sim_host {
	char release[DIGEST_TEXT], rollout[ROLLOUT_TEXT];
	bool activating;
};

struct world {
	uint64_t seed, random;
	int64_t now_ms;
	size_t client_count, canaries;
	bool bad[CLIENTS_MAX];          /* the new release is bad for this client */
	bool bad_for_good[CLIENTS_MAX]; /* and going back fails too */
	bool broken_activate[CLIENTS_MAX];
	bool unreachable[CLIENTS_MAX];
	struct sim_host hosts[CLIENTS_MAX];
	struct step_under_way steps[CLIENTS_MAX];
	struct step_under_way rounds[CLIENTS_MAX];
	struct plan plan;
	struct status *accepted, *local;
	struct rollout *rollout;
	struct fact *queue[4096], *sent[4096];
	size_t queued, sending;
	int64_t accept_ms;
	size_t finals[CLIENTS_MAX]; /* accepted commits with a final Result */
	size_t started_commits;
	bool superseded, over;
	unsigned crashes;
	struct event_log *events;
	char *file, *sent_file; /* of events: as the branch has it, and in the push under way */
	struct strlist told;    /* facts of the rollout that were accepted, as replay words them */
};

static uint64_t roll(struct world *world)
{
	world->random ^= world->random << 13;
	world->random ^= world->random >> 7;
	world->random ^= world->random << 17;
	return world->random;
}

static bool chance(struct world *world, unsigned in_thousand)
{
	return roll(world) % 1000 < in_thousand;
}

static void demand(const struct world *world, bool holds, const char *promise)
{
	if (!holds)
		fail_msg("seed %llu, at %lld ms: %s", (unsigned long long)world->seed,
			(long long)world->now_ms, promise);
}

static void client_name(size_t index, char name[8])
{
	(void)snprintf(name, 8, "c%zu", index % 1000000);
}

static size_t client_index(const char *name)
{
	return (size_t)(name[1] - '0');
}

static void digest_of(char text[DIGEST_TEXT], char fill, size_t index)
{
	(void)snprintf(text, DIGEST_TEXT, "sha256:%064zu", index);
	memset(text + 7, fill, 16);
}

/* ---- the beginning
 * -------------------------------------------------------------------------------- */

static void add_record(struct world *world, size_t index)
{
	char name[8];
	struct client_record record = {.client = name, .state = CLIENT_HEALTHY};
	client_name(index, name);
	digest_of(record.current.release, 'a', index);
	memset(record.current.commit, '1', OID_HEX);
	memcpy(record.current.rollout, "20260101-000000-1111111", 24);
	record.known_good = record.current;
	if (chance(world, 60)) /* superseded before its bake was over: runs the new one, unproved */
		digest_of(record.current.release, 'b', index);
	status_put_client(world->accepted, &record);
	memcpy(world->hosts[index].release, record.current.release, DIGEST_TEXT);
	memcpy(world->hosts[index].rollout, record.current.rollout, 24);
}

static void add_entry(struct world *world, size_t index)
{
	char name[8];
	struct plan_entry *entry = &world->plan.entries[index];
	client_name(index, name);
	entry->client = mem_dup_str(name);
	entry->host = mem_dup_str(name);
	entry->root = mem_dup_str("/srv");
	entry->stage = index < world->canaries ? 0 : 1;
	entry->stage_name = mem_dup_str(entry->stage ? "production" : "canary");
	entry->action = PLAN_UPGRADE;
	entry->summary = mem_dup_str("app 1 -> 2");
	digest_of(entry->from.release, 'a', index);
	digest_of(entry->to.release, 'b', index);
	digest_of(entry->checks, 'c', index);
	const struct client_record *record = status_client(world->accepted, name);
	entry->unproved = !strcmp(record->current.release, entry->to.release);
	if (entry->unproved)
		entry->from = record->current;
}

static void begin(struct world *world, uint64_t seed)
{
	*world = (struct world){
		.seed = seed, .random = seed * 0x9E3779B97F4A7C15u + 1, .now_ms = 1000};
	world->accepted = status_new();
	world->canaries = 1 + roll(world) % 2;
	world->client_count = world->canaries + 1 + roll(world) % (CLIENTS_MAX - 2);
	struct plan *plan = &world->plan;
	memset(plan->target, '2', OID_HEX);
	plan->entries = mem_zero(world->client_count, sizeof(*plan->entries));
	plan->entry_count = world->client_count;
	plan->stages = mem_zero(2, sizeof(*plan->stages));
	plan->stage_count = 2;
	plan->stages[0] = (struct plan_stage){.name = mem_dup_str("canary"),
		.max_failures = (int64_t)(roll(world) % 2),
		.max_unreachable = (int64_t)(roll(world) % 2),
		.batch = {.items = {{.size = 1 + (int64_t)(roll(world) % 2)}}, .count = 1},
		.bake_ms = (int64_t)(roll(world) % 4) * 500};
	plan->stages[1] = (struct plan_stage){.name = mem_dup_str("production"),
		.batch = {.items = {{.size = 1}, {true, 1 + (int64_t)(roll(world) % 100)}},
			.count = 1 + roll(world) % 2},
		.wave_pause_ms = (int64_t)(roll(world) % 2) * 300,
		.manual = roll(world) % 3 == 0,
		.approval_expires_ms = (int64_t)(roll(world) % 3) * 20000,
		.max_unreachable = (int64_t)(roll(world) % 3),
		.bake_ms = (int64_t)(roll(world) % 3) * 700,
		.max_failures = (int64_t)(roll(world) % 2)};
	plan->roll_back = !chance(world, 100);
	plan->verify_interval_ms = 100;
	plan->verify_healthy = 2;
	plan->verify_timeout_ms = 2000;
	for (size_t i = 0; i < world->client_count; i++) {
		world->bad[i] = chance(world, 150);
		world->broken_activate[i] = chance(world, 50);
		world->bad_for_good[i] = chance(world, 100);
		world->unreachable[i] = chance(world, 50);
		add_record(world, i);
		add_entry(world, i);
	}
	world->local = status_copy(world->accepted);
}

static void end(struct world *world)
{
	for (size_t i = 0; i < world->sending; i++)
		fact_free(world->sent[i]);
	for (size_t i = 0; i < world->queued; i++)
		fact_free(world->queue[i]);
	for (size_t i = 0; i < world->plan.entry_count; i++) {
		struct plan_entry *entry = &world->plan.entries[i];
		free(entry->client);
		free(entry->host);
		free(entry->root);
		free(entry->stage_name);
		free(entry->summary);
	}
	for (size_t i = 0; i < world->plan.stage_count; i++)
		free(world->plan.stages[i].name);
	free(world->plan.entries);
	free(world->plan.stages);
	rollout_free(world->rollout);
	event_log_free(world->events);
	free(world->file);
	free(world->sent_file);
	strlist_clear(&world->told);
	status_free(world->accepted);
	status_free(world->local);
}

/* ---- the remote
 * ------------------------------------------------------------------------------------ */

static void accept_sent(struct world *world)
{
	for (size_t i = 0; i < world->sending; i++) {
		struct fact *fact = world->sent[i];
		const char *client = fact_trailer(fact, "Client");
		if (fact->of_rollout)
			strlist_take(&world->told, replay_fact_word(fact->subject, client,
							   fact_trailer(fact, "Result")));
		if (fact->client)
			status_put_client(world->accepted, fact->client);
		if (fact->rollout)
			status_put_rollout(world->accepted, fact->rollout);
		if (client[0] && result_is_final(fact_trailer(fact, "Result")))
			world->finals[client_index(client)]++;
		fact_free(fact);
	}
	world->sending = 0;
	free(world->file);
	world->file = STEAL(world->sent_file);
}

static void send_queued(struct world *world)
{
	if (world->sending || !world->queued)
		return;
	memcpy(world->sent, world->queue, world->queued * sizeof(*world->queue));
	world->sending = world->queued;
	world->queued = 0;
	const struct buf *text = event_log_text(world->events);
	free(world->sent_file);
	world->sent_file = mem_dup(text->text, text->len);
	world->accept_ms = world->now_ms + 1 + (int64_t)(roll(world) % 200);
}

/* ---- promises, checked where an activation starts
 * --------------------------------------------------- */

static void check_canary_first(struct world *world, const struct rollout_client *client)
{
	size_t healthy = 0, failed = 0, skipped = 0;
	const struct rollout_stage *canary = &world->rollout->stages[0];
	if (client->stage == 0)
		return;
	for (size_t i = 0; i < world->canaries; i++) {
		const struct client_record *record =
			status_client(world->accepted, world->rollout->clients[i].record->client);
		healthy += record->state == CLIENT_HEALTHY &&
			   !strcmp(record->current.release, world->plan.entries[i].to.release);
		failed += world->rollout->clients[i].failed;
		skipped += world->rollout->clients[i].record->state == MEMBER_SKIPPED;
		demand(world, !world->steps[i].running, "promise 1: a canary is worked on");
	}
	demand(world, failed <= (size_t)canary->max_failures,
		"promise 1: too many canaries failed");
	demand(world, skipped <= (size_t)canary->max_unreachable,
		"promise 1: too many canaries are out of reach");
	demand(world, healthy && healthy + failed + skipped == world->canaries,
		"promise 1: canaries are not recorded healthy");
}

static void check_approved(struct world *world, const struct rollout_client *client)
{
	const struct stage_record *stage = world->rollout->stages[client->stage].record;
	const struct rollout_record *record =
		status_rollout(world->accepted, world->rollout->record.id);
	demand(world, !stage->manual || rollout_record_is_approved(record, stage->name),
		"promise 1: started without the approval that its stage asks for");
}

static size_t largest_wave(const struct rollout_stage *stage)
{
	size_t first = batches_wave(&stage->batch, stage->count, 0);
	size_t second = batches_wave(&stage->batch, stage->count, 1);
	return first > second ? first : second;
}

static void check_wave(struct world *world, size_t index)
{
	const struct rollout_client *client = &world->rollout->clients[index];
	const struct rollout_stage *stage = &world->rollout->stages[client->stage];
	size_t in_flight = 0, failed = 0;
	for (size_t i = 0; i < world->rollout->client_count; i++) {
		const struct rollout_client *other = &world->rollout->clients[i];
		bool busy = other->phase != PHASE_PENDING && other->phase != PHASE_HEALTHY &&
			    other->phase != PHASE_DONE;
		/* After a restart healthy clients of earlier waves are verified again: no
		 * activation. */
		in_flight += world->steps[i].running;
		failed += other->stage == client->stage && other->failed;
		demand(world, !busy || other->stage == client->stage,
			"promise 2: two stages are in flight");
	}
	demand(world, in_flight < largest_wave(stage), "promise 2: more than a wave");
	/* An activation that a crash interrupted is ended, whatever became of the others. */
	bool fresh = strcmp(world->hosts[index].rollout, world->rollout->record.id) != 0;
	demand(world, !fresh || failed <= (size_t)stage->max_failures,
		"promise 2: past max_failures");
}

static void check_recorded_first(struct world *world, size_t index)
{
	const struct client_record *record =
		status_client(world->accepted, world->rollout->clients[index].record->client);
	demand(world, record && !strcmp(record->current.rollout, world->rollout->record.id),
		"promise 4: touched before the intent was accepted");
	demand(world, record->rollback_tag != NULL, "promise 4: touched without a rollback tag");
}

/* ---- the service
 * ------------------------------------------------------------------------------------ */

static void begin_step(struct world *world, size_t index, enum rollout_action_kind kind)
{
	struct rollout_client *client = &world->rollout->clients[index];
	struct sim_host *host = &world->hosts[index];
	struct step_under_way *step = &world->steps[index];
	bool back = kind == ACTION_BACK;
	demand(world, !step->running, "a client is activated twice at the same time");
	check_recorded_first(world, index);
	if (!back) {
		demand(world, !world->queued && !world->sending,
			"promise 4: started while facts are not accepted");
		demand(world, !world->plan.entries[index].unproved,
			"promise 6: activated, though the host runs the release already");
		check_canary_first(world, client);
		check_approved(world, client);
		check_wave(world, index);
	}
	*step = (struct step_under_way){.running = true,
		.kind = kind,
		.away = !back && world->unreachable[index],
		.done_ms = world->now_ms + 1 + (int64_t)(roll(world) % 300),
		.ok = back ? !world->bad_for_good[index] : !world->broken_activate[index]};
	if (step->away)
		return;
	memcpy(host->rollout, world->rollout->record.id, sizeof(host->rollout));
	host->activating = true;
	if (back)
		digest_of(host->release, 'a', index);
	else
		memcpy(host->release, client->record->to, sizeof(host->release));
}

static void feed(struct world *world, struct rollout_event event);

static void carry_out(struct world *world, const struct rollout_action *action)
{
	const struct fact_context context = {.rollout = world->rollout,
		.plan = &world->plan,
		.status = world->local,
		.author = "Eva",
		.wall_s = 1700000000 + world->now_ms / 1000};
	struct fact *fact;
	switch (action->kind) {
	case ACTION_RECORD:
		fact = fact_from_action(&context, action);
		if (fact->client)
			status_put_client(world->local, fact->client);
		if (fact->rollout)
			status_put_rollout(world->local, fact->rollout);
		fact->of_rollout = true;
		assert_true(world->queued < ARRAY_LEN(world->queue));
		world->queue[world->queued++] = fact;
		break;
	case ACTION_DEPLOY:
	case ACTION_BACK:
		begin_step(world, action->client, action->kind);
		break;
	case ACTION_ROUND:
	case ACTION_ASK:
		world->rounds[action->client] = (struct step_under_way){.running = true,
			.kind = action->kind,
			.done_ms = world->now_ms + 1 + (int64_t)(roll(world) % 50)};
		break;
	}
}

static void feed(struct world *world, struct rollout_event event)
{
	struct rollout_actions actions = {0};
	event.now_ms = world->now_ms;
	event.wall_s = 1700000000 + world->now_ms / 1000;
	event_log_step(world->events, world->rollout, &event, &actions);
	for (size_t i = 0; i < actions.count; i++)
		carry_out(world, &actions.items[i]);
	rollout_actions_clear(&actions);
}

static bool round_is_good(struct world *world, size_t index)
{
	bool runs_new = strstr(world->hosts[index].release, "bbbb") != NULL;
	bool bad = runs_new ? world->bad[index] : world->bad_for_good[index];
	return bad ? chance(world, 50) : !chance(world, 30);
}

static void answer_ask(struct world *world, size_t index)
{
	const struct sim_host *host = &world->hosts[index];
	bool ours = !strcmp(host->rollout, world->rollout->record.id);
	bool runs_new = !strcmp(host->release, world->rollout->clients[index].record->to);
	enum rollout_runs runs = !ours      ? RUNS_UNTOUCHED
				 : runs_new ? host->activating ? RUNS_TARGET_UNSURE : RUNS_TARGET
				 : host->activating ? RUNS_BACK_UNSURE
						    : RUNS_BACK;
	feed(world, (struct rollout_event){.kind = EVENT_RUNS,
			    .client = index,
			    .ok = !world->unreachable[index] && !chance(world, 100),
			    .runs = runs,
			    .text = "no answer"});
}

static void end_step(struct world *world, size_t index)
{
	struct step_under_way *step = &world->steps[index];
	step->running = false;
	if (step->away) {
		feed(world,
			(struct rollout_event){
				.kind = EVENT_UNREACHABLE, .client = index, .text = "no route"});
		return;
	}
	if (step->ok)
		world->hosts[index].activating = false;
	if (world->rollout)
		feed(world, (struct rollout_event){.kind = EVENT_DEPLOYED,
				    .client = index,
				    .ok = step->ok,
				    .text = "activate failed"});
}

static void end_round(struct world *world, size_t index)
{
	struct step_under_way *round = &world->rounds[index];
	round->running = false;
	if (round->kind == ACTION_ASK)
		answer_ask(world, index);
	else
		feed(world, (struct rollout_event){.kind = EVENT_ROUND,
				    .client = index,
				    .ok = round_is_good(world, index),
				    .text = "status 500"});
}

/* Kill -9: what was not accepted is lost, or was accepted just before; children end on their own.
 */
static void crash(struct world *world)
{
	world->crashes++;
	if (world->sending && chance(world, 500))
		accept_sent(world);
	for (size_t i = 0; i < world->sending; i++)
		fact_free(world->sent[i]);
	for (size_t i = 0; i < world->queued; i++)
		fact_free(world->queue[i]);
	world->sending = world->queued = 0;
	for (size_t i = 0; i < world->client_count; i++) {
		bool reached = !world->steps[i].away;
		if (world->steps[i].running && world->steps[i].ok && reached && chance(world, 300))
			world->hosts[i].activating = false;
		world->steps[i].running = world->rounds[i].running = false;
	}
	rollout_free(world->rollout);
	event_log_free(STEAL(world->events));
	free(STEAL(world->sent_file));
	world->rollout = NULL;
	status_free(world->local);
	world->local = status_copy(world->accepted);
}

static void check_untouched(struct world *world)
{
	for (size_t i = 0; i < world->client_count; i++)
		demand(world, !strcmp(world->hosts[i].release, world->plan.entries[i].from.release),
			"a host was touched by a rollout that nobody recorded");
}

/* As a plan of the same commit sees it after a restart: who failed meanwhile is held. */
static void plan_again(struct world *world)
{
	for (size_t i = 0; i < world->client_count; i++) {
		struct plan_entry *entry = &world->plan.entries[i];
		const struct client_record *record = status_client(world->accepted, entry->client);
		entry->action = record->hold.held ? PLAN_HELD : PLAN_UPGRADE;
	}
}

/* A newer commit that is refused gets a record of its own and lets the rollout go on. */
static void refuse(struct world *world)
{
	auto_strlist struct strlist reasons = STRLIST_INIT;
	strlist_add(&reasons, "does not parse");
	struct fact *fact = fact_refused(world->local, "4444444444444444444444444444444444444444",
		"", &reasons, 1700000000 + world->now_ms / 1000);
	status_put_rollout(world->local, fact->rollout);
	status_put_rollout(world->accepted, fact->rollout);
	fact_free(fact);
}

static void start(struct world *world)
{
	const struct rollout_record *running = status_running(world->accepted);
	if (!running && world->accepted->rollout_count) {
		world->over = true;
		return;
	}
	if (running) {
		plan_again(world);
		world->rollout = rollout_from_record(running, &world->plan, world->local);
	} else {
		check_untouched(world);
		world->rollout = rollout_from_plan(&world->plan, world->local, 1700000000);
	}
	world->events = event_log_new(world->rollout, world->now_ms, running ? world->file : NULL);
	feed(world, (struct rollout_event){.kind = EVENT_START});
	if (world->superseded)
		feed(world, (struct rollout_event){.kind = EVENT_SUPERSEDED, .text = NEWER});
}

static void happen(struct world *world)
{
	for (size_t i = 0; i < world->client_count; i++) {
		if (world->steps[i].running && world->now_ms >= world->steps[i].done_ms)
			end_step(world, i);
		if (world->rounds[i].running && world->now_ms >= world->rounds[i].done_ms)
			end_round(world, i);
	}
	if (world->sending && world->now_ms >= world->accept_ms) {
		size_t count = world->sending;
		accept_sent(world);
		feed(world, (struct rollout_event){.kind = EVENT_RECORDED, .count = count});
	}
	if (world->now_ms >= rollout_next_tick_ms(world->rollout))
		feed(world, (struct rollout_event){.kind = EVENT_TICK});
	for (size_t i = 0; i < world->client_count; i++)
		if (world->unreachable[i] && chance(world, 3))
			world->unreachable[i] = false;
	send_queued(world);
}

static void answer_person(struct world *world)
{
	bool yes = !chance(world, 100);
	feed(world, (struct rollout_event){.kind = yes ? EVENT_APPROVE : EVENT_ABORT,
			    .who = "eva",
			    .text = "because"});
}

static void check_end(struct world *world)
{
	const struct rollout_record *record =
		world->accepted->rollouts[world->accepted->rollout_count - 1];
	demand(world, rollout_state_is_final(record->state), "the rollout has no final record");
	for (size_t i = 0; i < world->client_count; i++) {
		char name[8];
		client_name(i, name);
		const struct client_record *client = status_client(world->accepted, name);
		bool touched = !strcmp(client->current.rollout, record->id);
		demand(world, world->finals[i] == (touched ? 1 : 0),
			"promise 6: not exactly one final record per touched client");
		demand(world, client->state != CLIENT_DEPLOYING,
			"promise 6: a client stays deploying");
		for (size_t s = 0; touched && s < record->stage_count; s++)
			for (size_t m = 0; m < record->stages[s].member_count; m++)
				demand(world,
					strcmp(record->stages[s].members[m].client, name) != 0 ||
						(int)record->stages[s].members[m].state ==
							client->ended,
					"promise 6: its record and the rollout's tell two endings");
		if (client->state == CLIENT_ROLLED_BACK)
			demand(world,
				strstr(world->hosts[i].release, "aaaa") &&
					!world->hosts[i].activating,
				"promise 3: rolled back, but the host does not run the known good");
		if (touched && client->ended == MEMBER_HEALTHY &&
			record->state == ROLLOUT_SUCCEEDED)
			demand(world,
				strstr(world->hosts[i].release, "bbbb") &&
					!strcmp(client->known_good.release,
						client->current.release),
				"succeeded without being known good");
	}
}

/* The branch tells the same decisions as the machine takes when the events run through it again. */
static void check_replay(struct world *world)
{
	auto_replay struct replay replay = {0};
	struct error err;
	const struct replay_input input = {
		.file = "events", .text = world->file, .len = strlen(world->file)};
	if (!replay_run(&input, NULL, &replay, &err))
		demand(world, false, err.message);
	demand(world, !replay.different, "replay: another decision");
	demand(world, replay.ended && !replay.cut, "replay: no end");
	demand(world, replay.record.count == world->told.count, "replay: more facts, or less");
	for (size_t i = 0; i < world->told.count; i++)
		demand(world, !strcmp(replay.record.items[i], world->told.items[i]),
			world->told.items[i]);
}

static void simulate(uint64_t seed)
{
	struct world *world = mem_zero(1, sizeof(*world));
	begin(world, seed);
	start(world);
	for (unsigned steps = 0; !world->over; steps++) {
		demand(world, steps < STEPS_MAX, "the rollout never ends");
		world->now_ms += 10;
		happen(world);
		if (world->rollout->ended && !world->rollout->unrecorded) {
			world->over = true;
		} else if (world->crashes < 6 && chance(world, 4)) {
			crash(world);
			start(world);
		} else if (world->accepted->rollout_count == 1 && chance(world, 1)) {
			refuse(world);
		} else if (rollout_wait_is_for_person(world->rollout->waits) && chance(world, 5)) {
			answer_person(world);
		} else if (!world->superseded && chance(world, 1)) {
			world->superseded = true;
			feed(world,
				(struct rollout_event){.kind = EVENT_SUPERSEDED, .text = NEWER});
		}
	}
	check_end(world);
	check_replay(world);
	end(world);
	free(world);
}

static void promises_hold_under_random_events(void **state)
{
	(void)state;
	const char *one = getenv("SIM_SEED"), *many = getenv("SIM_SEEDS");
	uint64_t first = one ? strtoull(one, NULL, 10) : 1;
	uint64_t count = one ? 1 : many ? strtoull(many, NULL, 10) : SEEDS;
	for (uint64_t seed = first; seed < first + count; seed++)
		simulate(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(promises_hold_under_random_events)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
