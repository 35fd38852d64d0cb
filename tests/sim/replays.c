/* Replay equality: the events that stand on the branch lead to the decisions that stand there. */
#include "reconcile/replay.h"
#include "tests/lib/facts.h"
#include "tests/sim/promises.h"

static void check_told(struct world *world, const struct replay *replay)
{
	demand(world, replay->record.count == world->told.count,
		"replay: %zu facts were decided, %zu stand on the branch", replay->record.count,
		world->told.count);
	for (size_t i = 0; i < world->told.count && i < replay->record.count; i++)
		demand(world, !strcmp(world->told.items[i], replay->record.items[i]),
			"replay: '%s' was decided, '%s' stands on the branch",
			replay->record.items[i], world->told.items[i]);
}

/* For the story of a broken run. */
static void tell_step(void *data, const struct replay_step *step)
{
	const struct world *world = data;
	if (step->same)
		return;
	tell(world, "replay: line %zu decides %zu instead of %zu things:", step->line,
		step->decisions->count, step->recorded->count);
	for (size_t i = 0; i < step->decisions->count; i++)
		tell(world, "    now:  %s", step->decisions->items[i]);
	for (size_t i = 0; i < step->recorded->count; i++)
		tell(world, "    then: %s", step->recorded->items[i]);
}

/* The rollout has its last word. */
static void replay_all(struct world *world, const char *id)
{
	auto_replay struct replay replay = {0};
	struct error err = {0};
	bool has = world->events_text && !strcmp(world->events_of, id);
	const struct replay_input input = {.file = "events",
		.text = has ? world->events_text : "",
		.len = has ? strlen(world->events_text) : 0};
	const struct replay_listener listener = {tell_step, world};
	demand(world, has, "replay: rollout %s has no events on the branch", id);
	demand(world, replay_run(&input, &listener, &replay, &err), "replay: %s %s", err.where,
		err.message);
	demand(world, !replay.different, "replay: %zu steps decide something else",
		replay.different);
	demand(world, replay.ended && !replay.cut, "replay: the events have no end");
	check_told(world, &replay);
}

void replays_on_accepted(struct world *world, const struct fact *fact)
{
	const char *result = fact_trailer(fact, "Result");
	if (!fact->of_rollout)
		return;
	if (fact->rollout && !strcmp(result, "started"))
		strlist_clear(&world->told);
	strlist_take(&world->told,
		replay_fact_word(fact->subject, fact_trailer(fact, "Client"), result));
	if (fact->rollout && fact->rollout->finished_s && *result && strcmp(result, "started") != 0)
		replay_all(world, fact->rollout->id);
}

void replays_clear(struct world *world)
{
	strlist_clear(&world->told);
}
