/* reconcile/secrets/sops_file_parts.h - inside of a SOPS file that is worked on: for sops_file*.c
 */
#pragma once
#include "reconcile/secrets/sops_file.h"
#include "reconcile/secrets/sops_metadata_write.h"
#include "reconcile/secrets/sops_open.h"
#include "reconcile/secrets/sops_walk.h"

struct sops_file {
	struct arena *arena; /* ARENA_SECRET; owns all but the key and the lists of `keys` */
	struct sops_source source;
	struct sops_item *documents; /* decrypted */
	struct sops_metadata metadata;
	uint8_t *key; /* sodium_malloc()ed */
	bool dirty;   /* values or their order differ from what the MAC was made of */
	struct sops_creation keys;
};

/** Read metadata that were built anew. */
MUST_USE bool sops_file_take_metadata(
	struct sops_file *file, const struct node *metadata, struct error *err);
/** Forget the ENC[...] texts of all values: they get new ones. */
void sops_file_forget(struct sops_item *item);
/** Give values of @p fresh that are as before, at the same path, their ENC[...] texts. */
MUST_USE bool sops_file_remember(
	struct sops_file *file, struct sops_item *fresh, struct error *err);
