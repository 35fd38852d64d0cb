/* tests/lib/age_vectors.h - run age vectors and identity files against reconcile/secrets/age.h */
#pragma once
#include "tests/lib/fixture.h"

/** Every file of a folder of vectors. */
void age_vectors_run(const char *folder, struct tally *tally);
/** Every case of an identities.json. */
void age_identities_run(const char *path, struct tally *tally);
