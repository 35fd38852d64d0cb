/* reconcile/secrets/sops_open.h - the steps of opening a SOPS file: for sops*.c
 *
 * Specs/sops-age.md 2.15: parse, metadata, data key, walk, MAC.
 */
#pragma once
#include "reconcile/secrets/sops.h"
#include "reconcile/secrets/sops_metadata.h"
#include "reconcile/secrets/sops_store.h"

/** A file while it is opened. */
struct sops_opened {
	struct sops_source source; /* borrowed */
	struct arena *arena;       /* owns what follows */
	struct sops_item *documents;
	struct sops_metadata metadata;
};

/** Parse the file and check its metadata; @p opened has its source and arena. Comments of a YAML
 *  file are kept where @p comments says so or a rule needs them. */
MUST_USE bool sops_opened_read(struct sops_opened *opened, bool comments,
	enum sops_failure *failure_out, struct error *err);
/** Decrypt all values in place with the data key, and check the MAC. */
MUST_USE bool sops_opened_decrypt(struct sops_opened *opened, const uint8_t key[SOPS_KEY_SIZE],
	bool mask, enum sops_failure *failure_out, struct error *err);
/** The arena is the caller's. */
void sops_opened_clear(struct sops_opened *opened);
#define auto_sops_opened CLEANUP(sops_opened_clear)
