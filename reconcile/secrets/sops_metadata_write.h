/* reconcile/secrets/sops_metadata_write.h - the `sops` entry of a file that is written
 *
 * Specs/sops-age.md 3.1: the form of sops 3.13, fields and all below them sorted by name.
 */
#pragma once
#include "reconcile/secrets/sops_config.h"
#include "reconcile/secrets/sops_metadata.h"

#define SOPS_VERSION "3.13.3" /* of the sops whose form is written */

/** A field that is to be other than before. */
struct sops_field {
	const char *name;
	const struct node *value; /* NULL: it goes */
};

/** The entry of @p before (may be NULL) with some fields changed; fields that are empty or unknown
 *  are left out. */
const struct node *sops_metadata_build(struct arena *arena, const struct node *before,
	const struct sops_field *fields, size_t count);

/** The fields that hold the keys: `age`, `key_groups` and `shamir_threshold`, the others' too. */
#define SOPS_KEY_FIELDS 9
/**
 * Wrap a data key for all recipients; of several groups each gets a share.
 * @return false with ERR_INVALID for no recipients, an empty group, a threshold that does not fit,
 *         or what is no recipient
 */
MUST_USE bool sops_metadata_wrap(struct arena *arena, const struct sops_creation *keys,
	const uint8_t key[SOPS_KEY_SIZE], struct sops_field fields_out[SOPS_KEY_FIELDS],
	struct error *err);
/** Groups, threshold and rule of a file's metadata. */
void sops_metadata_creation(
	const struct sops_metadata *metadata, struct sops_creation *creation_out);
