/* server/man_parts.h - what the files of module man share; nobody else includes it */
#pragma once
#include "base/buf.h"

struct man_item {
	const char *name, *text;
};

/** Start of a page up to its NAME section. */
void man_add_title(struct buf *out, const char *name, int section, const char *what);
/** Text as it stands. */
void man_add_literal(struct buf *out, const char *text);
/** A list of names with a text each; @p macro prints the name: "Ev", "Pa", "". */
void man_add_items(struct buf *out, const char *macro, const struct man_item *items, size_t count);
/** aviary-secrets(1). */
void man_write_secrets(struct buf *out);
