/* tests/lib/sops_cases.h - run the cases of a folder of SOPS files */
#pragma once
#include "tests/lib/fixture.h"

/** Every case of <folder>/cases.json: outcome, class of the error, values, bytes printed. */
void sops_cases_run(const char *folder, struct tally *tally);
/** Every file of <folder>/creation-rules.json, if it is there: groups and fields written. */
void sops_rules_run(const char *folder, struct tally *tally);
