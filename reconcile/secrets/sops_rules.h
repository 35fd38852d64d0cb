/* reconcile/secrets/sops_rules.h - which values of a SOPS file are to be encrypted
 *
 * Specs/sops-age.md 2.7. One rule for a file; it is tested on every key of a value's path, so a
 * walk carries `hit` down: sops_rules_hit() of the parent or of the key.
 */
#pragma once
#include "base/error.h"
#include "base/node.h"
#include <regex.h>

#define SOPS_REGEX_MAX       1000 /* bytes */
#define SOPS_STANDARD_SUFFIX "_unencrypted"

enum sops_rule {
	SOPS_RULE_NONE, /* everything is encrypted: binary files */
	SOPS_UNENCRYPTED_SUFFIX,
	SOPS_ENCRYPTED_SUFFIX,
	SOPS_UNENCRYPTED_REGEX,
	SOPS_ENCRYPTED_REGEX,
	SOPS_UNENCRYPTED_COMMENT_REGEX,
	SOPS_ENCRYPTED_COMMENT_REGEX,
	SOPS_RULES
};

struct sops_rules {
	enum sops_rule rule;
	const char *text; /* suffix or regex, borrowed */
	regex_t *regex;
};

/** Read the rule from a file's metadata, where at most one may be set; none gives the suffix
 *  `_unencrypted`. Clear @p rules_out also after a failure. */
MUST_USE bool sops_rules_read(
	const struct node *metadata, struct sops_rules *rules_out, struct error *err);
void sops_rules_clear(struct sops_rules *rules);
/** Name of the rule's field in the metadata. */
const char *sops_rule_name(enum sops_rule rule);
/** Is it one of the two rules on comments? */
bool sops_rules_on_comments(const struct sops_rules *rules);
/** Does a rule on comments match this comment's text? */
bool sops_rules_match_comment(const struct sops_rules *rules, const char *text, size_t len);
/** Does the rule name this key? Rules on comments name none. */
bool sops_rules_hit(const struct sops_rules *rules, const char *key, size_t len);
/** Is a value encrypted, when a key of its path was hit or none was? */
bool sops_rules_encrypt(const struct sops_rules *rules, bool hit);

/** Compile a regular expression of Go; regfree() it. */
MUST_USE bool sops_regex_compile(const char *text, regex_t *regex_out, struct error *err);
/** Does it match anywhere in a text, which may hold NUL? */
bool sops_regex_matches(const regex_t *regex, const char *text, size_t len);
/** Translate a regular expression of Go (RE2) into a POSIX extended one. Refuses what has no
 *  counterpart, never guesses. @param icase_out  it started with `(?i)` */
MUST_USE bool sops_regex_translate(
	const char *regex, struct buf *posix_out, bool *icase_out, struct error *err);
