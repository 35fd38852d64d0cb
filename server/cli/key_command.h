/* server/cli/key_command.h - age identities that a program of the user prints
 *
 * SOPS_AGE_KEY_CMD and SOPS_AGE_SSH_PRIVATE_KEY_CMD, for people whose keys lie in a password
 * manager. For the command only: the service runs no programs to get at keys.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"

/** Run the command in a variable, split as editor_split() does it, and take what it prints. It has
 *  our terminal and standard input, and may ask. Nothing happens where the variable is not set.
 *  @param out  should be BUF_INIT_SECRET; empty without the variable */
MUST_USE bool key_command_run(const char *variable, struct buf *out, struct error *err);
