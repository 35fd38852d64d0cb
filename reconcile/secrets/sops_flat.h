/* reconcile/secrets/sops_flat.h - metadata of files without nesting: dotenv and ini
 *
 * A path is flattened to one key, as `age__list_0__map_enc` (specs/sops-age.md 2.3).
 */
#pragma once
#include "reconcile/secrets/sops_item.h"

/** The map that the flattened entries of a map stand for; their values' `\n` become line feeds. */
MUST_USE bool sops_unflatten(struct arena *arena, const struct sops_item *flat,
	const struct node **map_out, struct error *err);
/**
 * Add the entries of a map to another, flattened.
 * @param prefix   before each key
 * @param escaped  line feeds of values become `\n`: the ini store does not do it itself
 */
void sops_flatten(struct arena *arena, const struct node *map, const char *prefix, bool escaped,
	struct sops_item *to);
