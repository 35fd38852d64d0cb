/* tests/lib/facts.h - what tests ask of a fact; tests/sim links nothing of tests/lib */
#pragma once
#include "reconcile/fact.h"

/** Value of the first trailer of that name, "" if there is none. */
static inline const char *fact_trailer(const struct fact *fact, const char *key)
{
	for (size_t i = 0; i < fact->trailer_keys.count; i++)
		if (!strcmp(fact->trailer_keys.items[i], key))
			return fact->trailer_values.items[i];
	return "";
}

/** Is it a Result that ends a client's part in a rollout? */
static inline bool result_is_final(const char *result)
{
	static const char *const finals[] = {
		"succeeded", "failed", "rolled-back", "skipped", "superseded"};
	for (size_t i = 0; i < ARRAY_LEN(finals); i++)
		if (!strcmp(result, finals[i]))
			return true;
	return false;
}
