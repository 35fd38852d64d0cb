/* reconcile/secrets/sops_comments_parts.h - what the scanner of comments finds: for
 * sops_comments*.c only
 */
#pragma once
#include "reconcile/secrets/sops_comments.h"

#define SOPS_COMMENT_NONE SIZE_MAX

struct sops_comment {
	enum sops_comment_place place;
	const char *text; /* behind the #; borrowed from the file */
	size_t len;
	unsigned line;
	size_t next; /* comment at the same item, list or document; or NONE */
};

/** What comments hang on: the first and last of a chain. */
struct sops_hook {
	size_t first, last;
};

/** A key, or the place of a list item. */
struct sops_mark {
	size_t line, column; /* of the key; lists: of the `-`; as libyaml counts: from 0 */
	struct sops_hook hook;
};

/** A block list with its items, or a flow collection. */
struct sops_run {
	size_t line, column;
	bool list;
	size_t *marks; /* of a block list's items */
	size_t count, capacity;
	struct sops_hook hook;
};

struct sops_comments {
	struct sops_comment *comments;
	size_t count, capacity;
	struct sops_mark *marks; /* in order */
	size_t mark_count, mark_capacity;
	struct sops_run *runs; /* in order */
	size_t run_count, run_capacity;
	struct sops_hook *documents; /* comments at the end of each */
	size_t document_count, document_capacity;
};
