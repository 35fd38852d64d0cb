/* reconcile/drivers/local_release.h - release folders on this machine: stage, verify, prune
 *
 * A release is written into `releases/.new-...`, fsynced and renamed, so a folder under its own
 * name is always whole. The caller holds the host's lock.
 */
#pragma once
#include "reconcile/drivers/driver.h"

/**
 * Put a release under @p name. An existing folder that holds every wanted file, with its mode, is
 * kept as it is; one that differs is exchanged for a new one in one step. Files that something on
 * the host added are no difference.
 * @param releases  open <root>/releases
 * @param path      the same, as a path
 */
MUST_USE bool local_release_put(int releases, const char *path, const char *name,
	const struct driver_release *release, struct error *err);

/** The first file of @p release that the folder @p name does not hold as it was delivered, or NULL.
 */
const char *local_release_compare(
	int releases, const char *name, const struct driver_release *release);

/** Mark a release as the one activated last; prune() goes by that. */
void local_release_touch(int releases, const char *name);

/** Remove what a killed staging left. */
MUST_USE bool local_release_tidy(int releases, const char *path, struct error *err);

/** Remove all but the @p keep newest releases and those of @p names. */
MUST_USE bool local_release_prune(int releases, const char *path, int64_t keep,
	const struct strlist *names, struct error *err);
