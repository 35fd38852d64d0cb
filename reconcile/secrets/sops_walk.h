/* reconcile/secrets/sops_walk.h - the walk over a SOPS file's documents
 *
 * Depth first, in file order, carrying the path as additional data and the comments that stand
 * before an item (specs/sops-age.md 2.7 to 2.10). It changes the items in place.
 */
#pragma once
#include "reconcile/secrets/sops_item.h"
#include "reconcile/secrets/sops_metadata.h"

/** What the walk does with the values that are, or are to be, encrypted. */
enum sops_walk_kind {
	SOPS_WALK_DECRYPT,
	SOPS_WALK_ENCRYPT,
	SOPS_WALK_CHECK, /* ENC[...] texts where the rule wants them; decrypts nothing */
	SOPS_WALK_VISIT  /* nothing, see sops_walk.visit */
};

struct sops_walk {
	enum sops_walk_kind kind;
	struct arena *arena; /* of the new values */
	const struct sops_rules *rules;
	bool mac_only_encrypted;
	bool mask;                  /* register what is decrypted for masking */
	struct sops_cipher *cipher; /* NULL for SOPS_WALK_CHECK and SOPS_WALK_VISIT */
	/* SOPS_WALK_VISIT: called for each scalar and comment that is to be encrypted, with its
	 * additional data */
	void (*visit)(void *data, struct sops_item *item, struct sops_aad aad);
	void *data;
};

/** What a walk gives beside the changed items. */
struct sops_walked {
	char mac[SOPS_MAC_TEXT_SIZE]; /* what the values hash to; "" if nothing was hashed */
	enum sops_failure failure;    /* SOPS_VALUE */
};

/**
 * Walk a list of documents. After a failure the items are half changed.
 * @param walked_out  set also on failure, its failure at least
 * Encrypting keeps the ENC[...] text that an item has (item->enc), which must be its own.
 */
MUST_USE bool sops_walk_documents(const struct sops_walk *walk, struct sops_item *documents,
	struct sops_walked *walked_out, struct error *err);
