/* reconcile/secrets/sops_comments.h - comments of a YAML file that decide what is encrypted
 *
 * libyaml drops comments; here they are found between its tokens. For the rules
 * `encrypted_comment_regex` and `unencrypted_comment_regex` (specs/sops-age.md 2.7, 2.10).
 */
#pragma once
#include "reconcile/secrets/sops_rules.h"

struct sops_comments;

/** Find the items, keys and list items, that a comment matching the rule's regex stands before or
 *  beside. The text must have been parsed before: this does not bound its depth. */
MUST_USE bool sops_comments_read(const char *bytes, size_t len, const struct sops_rules *rules,
	struct sops_comments **comments_out, struct error *err);
/** NULL is fine. */
void sops_comments_free(struct sops_comments *comments);

/** Has the key of a mapping (its key_node), or the item of a list, such a comment? NULL has none.
 */
bool sops_comments_hit(const struct sops_comments *comments, const struct node *item, bool in_list);
