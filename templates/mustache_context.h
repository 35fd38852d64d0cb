/* templates/mustache_context.h - the context stack: which value a name has at a place
 *
 * Internal to templates/mustache.c.
 */
#pragma once
#include "base/node.h"
#include "templates/mustache_parse.h"

/** What a section put on top of the context. The lowest one is the caller's context. */
struct mustache_frame {
	const struct node *value;
	const struct mustache_frame *below;
};

struct mustache_lookup {
	const struct node *value;           /* NULL: missing */
	const struct mustache_frame *frame; /* that knew the first part; NULL: none */
	const struct node *holder; /* the value that had no `part`; NULL: the first is missing */
	const char *part;          /* the last one looked for */
};

/** Look a token's name up. Spec: its first part is looked for from @p top down, the others only
 *  in what that gave. */
struct mustache_lookup mustache_find(
	const struct mustache_frame *top, const struct mustache_token *token);

/** Set err to ERR_INVALID for a name that mustache_find() did not find, with the nearest name as
 *  hint. The caller adds the place. @return false */
bool mustache_explain_missing(const struct mustache_frame *top, const struct mustache_token *token,
	const struct mustache_lookup *lookup, struct error *err);
