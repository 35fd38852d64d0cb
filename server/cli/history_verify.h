/* server/cli/history_verify.h - `aviary history --verify` */
#pragma once
#include "server/branch.h"

/** Check the branch and print what was found. @param signers_file  NULL: the configuration's key
 *  @return exit status: 0 unbroken, 1 broken or it could not be checked */
int history_verify(const struct branch *branch, const char *signers_file, bool json);
