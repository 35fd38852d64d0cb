/* reconcile/secrets/sops_config.h - `.sops.yaml`: for whom and how new files are encrypted
 *
 * Specs/sops-age.md 4.1.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"
#include "reconcile/secrets/sops_rules.h"
#include "reconcile/secrets/sops_store.h"

#define SOPS_CONFIG_NAME ".sops.yaml"
#define SOPS_MAX_GROUPS  255

/** How a file is encrypted. */
struct sops_creation {
	struct strlist *groups; /* recipients of each key group */
	size_t group_count;
	unsigned shamir_threshold; /* groups needed; 0: all */
	enum sops_rule rule;       /* SOPS_RULE_NONE: the standard one */
	char *rule_text;           /* suffix or regular expression; NULL for SOPS_RULE_NONE */
	bool mac_only_encrypted;
};
#define SOPS_CREATION_INIT                                                                         \
	{                                                                                          \
		0                                                                                  \
	}
void sops_creation_clear(struct sops_creation *creation);
#define auto_sops_creation CLEANUP(sops_creation_clear)
/** Add a group and return its list, to be filled with strlist_add(). */
struct strlist *sops_creation_add_group(struct sops_creation *creation);
/** Check and add recipients of a text with commas (`--age`, SOPS_AGE_RECIPIENTS) as one group. */
MUST_USE bool sops_creation_add_text(
	struct sops_creation *creation, const char *text, struct error *err);
/** Append recipients of a text with commas to a list; each is checked. */
MUST_USE bool sops_recipients_split(const char *text, struct strlist *out, struct error *err);

struct sops_config;
/** Parse a `.sops.yaml`. @p path is where it lies: rules see files relative to its folder. */
MUST_USE bool sops_config_parse(const char *path, const char *bytes, size_t len,
	struct sops_config **config_out, struct error *err);
/** Read and parse a `.sops.yaml` file. */
MUST_USE bool sops_config_load(
	const char *path, struct sops_config **config_out, struct error *err);
void sops_config_free(struct sops_config *config);
DEFINE_CLEANUP(struct sops_config, sops_config_free)
#define auto_sops_config CLEANUP(sops_config_free_at)

/** Search @p folder and the folders above it, at most 100, up to @p top (NULL: the root) for
 *  `.sops.yaml`. Caller frees the path; NULL if there is none. */
char *sops_config_find(const char *folder, const char *top);

/**
 * The first rule that matches a file.
 * @param path          absolute, or relative to the folder of `.sops.yaml`
 * @param creation_out  to be cleared by the caller
 * @return false if no rule matches (ERR_NOT_FOUND), it names two rules for values, a recipient is
 *         none, or it has no recipients (ERR_INVALID)
 */
MUST_USE bool sops_config_rule(const struct sops_config *config, const char *path,
	struct sops_creation *creation_out, struct error *err);
/** `stores` of the file: indents. */
struct sops_layout sops_config_layout(const struct sops_config *config);
