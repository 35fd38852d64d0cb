/* A failing run, made as short as it can be: choices are left out, or taken as the usual ones. */
#include "tests/sim/sim.h"

#define TRIES_MAX        20000
#define EVENTS_TRIED_MAX 2000000 /* of all tries: a run that never rests is long */

struct attempt {
	struct choices best[STREAMS];
	char broken[200];
	uint64_t seed;
	bool in_texts;
	unsigned tries;
	uint64_t events;
};

static bool has_time(const struct attempt *attempt)
{
	return attempt->tries < TRIES_MAX && attempt->events < EVENTS_TRIED_MAX;
}

/* The part of the sentence that names the promise. */
static bool same_promise(const char *a, const char *b)
{
	size_t len = strcspn(a, ":");
	return len == strcspn(b, ":") && !strncmp(a, b, len);
}

static bool still_fails(struct attempt *attempt, struct world *world)
{
	world_reset(world, attempt->seed, attempt->in_texts);
	choices_again(world->choices);
	attempt->tries++;
	bool failed = !run(world);
	attempt->events += world->events;
	bool fails = failed && same_promise(world->broken, attempt->broken);
	if (fails)
		choices_copy(attempt->best, world->choices);
	return fails;
}

static bool try_without(
	struct attempt *attempt, struct world *world, size_t stream, size_t at, size_t count)
{
	choices_copy(world->choices, attempt->best);
	struct choices *choices = &world->choices[stream];
	memmove(&choices->items[at], &choices->items[at + count],
		(choices->count - at - count) * sizeof(*choices->items));
	choices->count -= count;
	return still_fails(attempt, world);
}

static bool try_value(
	struct attempt *attempt, struct world *world, size_t stream, size_t at, uint32_t value)
{
	if (attempt->best[stream].items[at] <= value)
		return false;
	choices_copy(world->choices, attempt->best);
	world->choices[stream].items[at] = value;
	return still_fails(attempt, world);
}

static bool shorten(struct attempt *attempt, struct world *world, size_t stream)
{
	bool better = false;
	for (size_t size = attempt->best[stream].count; size; size /= 2)
		for (size_t at = attempt->best[stream].count; at >= size; at -= size)
			if (at <= attempt->best[stream].count && has_time(attempt))
				better |= try_without(attempt, world, stream, at - size, size);
	return better;
}

static bool lower(struct attempt *attempt, struct world *world, size_t stream)
{
	bool better = false;
	for (size_t at = 0; at < attempt->best[stream].count && has_time(attempt); at++) {
		uint32_t value = attempt->best[stream].items[at];
		if (try_value(attempt, world, stream, at, 0)) {
			better = true;
			continue;
		}
		better |= try_value(attempt, world, stream, at, value / 2);
		better |= value && try_value(attempt, world, stream, at, value - 1);
	}
	return better;
}

void shrink(struct world *world)
{
	struct attempt attempt = {.seed = world->seed, .in_texts = world->in_texts};
	bool better = true;
	memcpy(attempt.broken, world->broken, sizeof(attempt.broken));
	choices_copy(attempt.best, world->choices);
	while (better && has_time(&attempt)) {
		better = false;
		for (size_t stream = 0; stream < STREAMS; stream++) {
			better |= shorten(&attempt, world, stream);
			better |= lower(&attempt, world, stream);
		}
	}
	choices_copy(world->choices, attempt.best);
	choices_free(attempt.best);
}
