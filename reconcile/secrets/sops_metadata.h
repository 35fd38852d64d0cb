/* reconcile/secrets/sops_metadata.h - the `sops` entry of a file, checked; and its data key
 *
 * Specs/sops-age.md 2.2 (fields), 2.4 (data key and key groups).
 */
#pragma once
#include "reconcile/secrets/keyring.h"
#include "reconcile/secrets/sops.h"
#include "reconcile/secrets/sops_rules.h"
#include "reconcile/secrets/sops_time.h"
#include "reconcile/secrets/sops_value.h"

#define SOPS_MAX_ENTRIES 1000 /* of one key list */

struct sops_age_entry {
	const char *recipient; /* informative; "" if the file has none */
	const char *enc;
	size_t enc_len;
};

struct sops_group {
	struct sops_age_entry *age;
	size_t age_count;
	size_t other_count;     /* pgp, cloud keys: nothing here opens them */
	const char *other_kind; /* of the first of these */
};

struct sops_metadata {
	const struct node *node;
	struct sops_group *groups;
	size_t group_count;
	int64_t shamir_threshold;
	char last_modified[SOPS_TIME_SIZE]; /* as the MAC's additional data has it */
	const struct node *mac;             /* NULL: missing */
	bool mac_only_encrypted;
	struct sops_rules rules;
};

/** Check the `sops` entry. Memory is the arena's, but clear @p metadata_out, also after a failure.
 */
MUST_USE bool sops_metadata_read(struct arena *arena, const struct node *sops,
	struct sops_metadata *metadata_out, struct error *err);
void sops_metadata_clear(struct sops_metadata *metadata);
#define auto_sops_metadata CLEANUP(sops_metadata_clear)

/** Recover the data key with the identities: each group gives it or a share of it. @p failure_out
 *  is set on failure: SOPS_NO_KEY or SOPS_UNSUPPORTED. err tells every recipient and reason. */
MUST_USE bool sops_metadata_unlock(const struct sops_metadata *metadata,
	const struct keyring *keyring, uint8_t key_out[SOPS_KEY_SIZE],
	enum sops_failure *failure_out, struct error *err);
