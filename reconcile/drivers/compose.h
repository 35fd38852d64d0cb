/* reconcile/drivers/compose.h - `activate: compose`, the same on every driver
 *
 * A shell script that the program carries (templates/compose.sh) is the command of the activation:
 * it stands in the argument list, so a driver runs it as it runs any other, and nothing has to be
 * installed on the host.
 */
#pragma once
#include "base/arena.h"

/**
 * The command for a host's root; ends with NULL, lives in @p arena.
 * @param timeout_ms  after which the driver ends it; the script gives up a little earlier, so that
 *                    it can tell which service is not well
 */
const char *const *compose_argv(struct arena *arena, const char *root, int64_t timeout_ms);

/** What the script says when it pulls no more: then the next host may. */
#define COMPOSE_PULLED "compose: the images are there"

/** May a release with a file of this path have something for Compose? */
bool compose_is_file(const char *path);
