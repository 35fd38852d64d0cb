/* tests/lib/sops_cases.h - run the cases of a folder of SOPS files */
#pragma once
#include "tests/lib/fixture.h"

/** Every case of <folder>/cases.json that can be run: outcome, class of the error, values. */
void sops_cases_run(const char *folder, struct tally *tally);
