/* tests/lib/sops_random.h - random documents for SOPS, from a seed */
#pragma once
#include "reconcile/secrets/sops_store.h"

struct sops_random {
	uint64_t state;
	enum sops_format format; /* what it may hold: no maps in dotenv, texts only in ini, ... */
	bool comments;
	bool as_sops; /* no texts that are written otherwise than by sops: deviations.md names them
		       */
	bool tame;    /* only texts that every program writes alike */
};

/** A number below @p limit. */
unsigned sops_random_below(struct sops_random *random, unsigned limit);
/** A list of one to three documents (one but in YAML). */
struct sops_item *sops_random_documents(struct sops_random *random, struct arena *arena);
/** A scalar that the format can hold. */
struct sops_item *sops_random_scalar(struct sops_random *random, struct arena *arena);
/** $AVIARY_SEED, or a new seed; printed, so that a failure can be run again. */
uint64_t sops_random_seed(void);
