/* reconcile/secrets/sops_tree.h - the walk over a SOPS file's documents
 *
 * Depth first, in file order, carrying the path as additional data (specs/sops-age.md 2.7 to 2.9).
 */
#pragma once
#include "reconcile/secrets/sops_comments.h"
#include "reconcile/secrets/sops_metadata.h"

/** What the walk does with the values that are, or are to be, encrypted. */
enum sops_walk {
	SOPS_WALK_DECRYPT,
	SOPS_WALK_ENCRYPT,
	SOPS_WALK_CHECK /* ENC[...] texts where the rule wants them; decrypts nothing */
};

struct sops_tree {
	const char *file;
	struct arena *arena; /* of the new nodes */
	const struct sops_rules *rules;
	const struct sops_comments *comments; /* for a rule on comments, else NULL */
	bool mac_only_encrypted;
	bool mask;                  /* register what is decrypted for masking */
	struct sops_cipher *cipher; /* NULL for SOPS_WALK_CHECK */
};

/** Remove the `sops` entry of a document. */
const struct node *sops_tree_without_metadata(struct arena *arena, const struct node *document);

/** Where the results of a walk go. */
struct sops_walked {
	const struct node *documents;
	char mac[SOPS_MAC_TEXT_SIZE]; /* what the values hash to; "" for SOPS_WALK_CHECK */
	enum sops_failure failure;    /* SOPS_VALUE, or SOPS_FORMAT for a key that is no text */
};

/** Walk a list of documents. @p walked_out is set also on failure, its failure at least. */
MUST_USE bool sops_tree_walk(const struct sops_tree *tree, enum sops_walk walk,
	const struct node *documents, struct sops_walked *walked_out, struct error *err);
