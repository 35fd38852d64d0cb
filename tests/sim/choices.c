#include "tests/sim/sim.h"

/* splitmix64: seeds that follow each other give streams that have nothing in common. */
static uint64_t draw(uint64_t *random)
{
	uint64_t mixed = *random += 0x9E3779B97F4A7C15u;
	mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
	mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
	return mixed ^ (mixed >> 31);
}

uint32_t choose(struct world *world, enum stream stream, uint32_t below)
{
	struct choices *choices = &world->choices[stream];
	if (choices->replays) {
		uint32_t again = choices->next < choices->count ? choices->items[choices->next] : 0;
		choices->next++;
		return again % below;
	}
	uint32_t drawn = (uint32_t)(draw(&choices->random) >> 32) % below;
	mem_grow(choices->items, choices->count, choices->capacity);
	choices->items[choices->count++] = drawn;
	return drawn;
}

bool chance(struct world *world, enum stream stream, unsigned in_thousand)
{
	return choose(world, stream, 1000) >= 1000 - in_thousand;
}

void choices_seed(struct choices choices[STREAMS], uint64_t seed)
{
	for (size_t i = 0; i < STREAMS; i++) {
		uint64_t random = seed * STREAMS + i;
		choices[i].random = draw(&random);
		choices[i].count = choices[i].next = 0;
		choices[i].replays = false;
	}
}

void choices_again(struct choices choices[STREAMS])
{
	for (size_t i = 0; i < STREAMS; i++) {
		choices[i].next = 0;
		choices[i].replays = true;
	}
}

void choices_copy(struct choices to[STREAMS], const struct choices from[STREAMS])
{
	for (size_t i = 0; i < STREAMS; i++) {
		to[i].items = mem_resize(to[i].items, from[i].count, sizeof(*to[i].items));
		to[i].count = to[i].capacity = from[i].count;
		if (from[i].count)
			memcpy(to[i].items, from[i].items, from[i].count * sizeof(*to[i].items));
	}
}

void choices_free(struct choices choices[STREAMS])
{
	for (size_t i = 0; i < STREAMS; i++) {
		free(choices[i].items);
		choices[i] = (struct choices){0};
	}
}
