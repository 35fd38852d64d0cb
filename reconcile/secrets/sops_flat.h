/* reconcile/secrets/sops_flat.h - SOPS files without nesting: dotenv and ini
 *
 * Their metadata are flattened (`age__list_0__map_enc`); here they become a map again
 * (specs/sops-age.md 2.3, 2.13, 2.14). Comments are dropped.
 */
#pragma once
#include "reconcile/secrets/sops_store.h"

/** A dotenv file as a map; metadata are the keys that start with `sops_`. */
MUST_USE bool sops_dotenv_read(const struct sops_source *source, struct arena *arena,
	const struct node **document_out, struct error *err);

/** An ini file as a map of sections, `DEFAULT` with the keys before the first; metadata are the
 *  section `sops`. A section that comes twice is there twice. */
MUST_USE bool sops_ini_read(const struct sops_source *source, struct arena *arena,
	const struct node **document_out, struct error *err);

/** A growing map of a reader; entries point into the arena. */
struct sops_entries {
	struct node_entry *items;
	size_t count, capacity;
};
void sops_entries_clear(struct sops_entries *entries);
#define auto_sops_entries CLEANUP(sops_entries_clear)
/** Add a key and its text; copies both. */
void sops_entries_add(struct sops_entries *entries, struct arena *arena, struct node place,
	const struct buf *key, const struct buf *text);

/** The map that flattened metadata stand for; their values' `\n` become line feeds. */
MUST_USE bool sops_unflatten(struct arena *arena, const struct node *place,
	const struct sops_entries *flat, const struct node **map_out, struct error *err);
