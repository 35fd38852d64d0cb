/* reconcile/secrets/sops_comments.h - comments of a YAML file, and what they stand at
 *
 * libyaml drops comments; here they are found between its tokens (specs/sops-age.md 2.10):
 *
 *   # before the item a, as it stands at or left of its column
 *   a: 1 # beside it
 *   b: # before b
 *       c: [1] # at the head of the list
 *       # after c: deeper than what follows
 *   # at the end of the document
 */
#pragma once
#include "reconcile/secrets/sops_item.h"

enum sops_comment_place {
	SOPS_COMMENT_BEFORE,
	SOPS_COMMENT_BESIDE,
	SOPS_COMMENT_AFTER, /* an item; or the items of a document */
	SOPS_COMMENT_HEAD   /* of a flow collection */
};

struct sops_comments;

/** Find all comments. The text must have been parsed before: this does not bound its depth. */
MUST_USE bool sops_comments_read(
	const char *bytes, size_t len, struct sops_comments **comments_out, struct error *err);
/** NULL is fine. */
void sops_comments_free(struct sops_comments *comments);
DEFINE_CLEANUP(struct sops_comments, sops_comments_free)
#define auto_sops_comments CLEANUP(sops_comments_free_at)

/** Build the items of a document with the comments between them. @p comments NULL: without.
 *  @param index  of the document in its file */
MUST_USE bool sops_comments_merge(struct arena *arena, const struct sops_comments *comments,
	const struct node *document, size_t index, struct sops_item **item_out, struct error *err);
