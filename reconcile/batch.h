/* reconcile/batch.h - how many clients of a stage are worked on at the same time, wave by wave */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BATCHES_MAX 16

struct batch {
	bool percent; /* of the stage's changed clients, rounded down, at least 1 */
	int64_t size;
};

/** The sizes of the first waves; the last one repeats. None counts as 1. */
struct batches {
	struct batch items[BATCHES_MAX];
	size_t count;
};

/** Clients of wave number @p wave (from 0) in a stage of @p clients: at least 1. */
size_t batches_wave(const struct batches *batches, size_t clients, size_t wave);
/** Clients that the wave which is next may start, when @p started of @p clients were started. */
size_t batches_room(const struct batches *batches, size_t clients, size_t started);
/** Wave by wave the smaller one of both, as @p clients make them. */
void batches_make_stricter(struct batches *batches, const struct batches *old, size_t clients);
