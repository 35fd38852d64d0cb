/* templates/mustache.h - Mustache, complete (spec 1.4: comments, delimiters, interpolation,
 * inverted, partials, sections), over node trees
 *
 * Lenient mode with HTML escape is the specification. Strict mode is design.md section 4: a
 * missing name is an error with file, line and the nearest name; the caller's hooks decide about
 * sections, see every name that is read, and print values.
 * Sections are false for null, false, "", 0 and the empty list. Sections and partials nest to 64;
 * a template and its partials have at most 4 MiB.
 */
#pragma once
#include "base/buf.h"
#include "base/node.h"

enum mustache_escape { MUSTACHE_ESCAPE_NONE, MUSTACHE_ESCAPE_HTML };

struct mustache_hooks {
	void *data;
	/** Text of a partial. Returns false with ERR_NOT_FOUND (lenient: renders as empty) or
	 * another error. @p file_out: name for messages. Both outputs live until the rendering
	 * ends. */
	bool (*partial)(void *data, const char *name, const char *including_file,
		const char **file_out, const char **text_out, size_t *len_out, struct error *err);
	/** A name was looked up at the top level and found; @p value may be a sub-tree. NULL: not
	 * wanted. */
	void (*read)(void *data, const char *name, const struct node *value);
	/** Strict only: a section's or inverted section's name is missing. true = it is false
	 * there, false = error. NULL: always an error. */
	bool (*missing_section)(void *data, const char *name);
	/** Print a scalar (unescaped) to @p out; NULL: text as written, true/false, "" for null.
	 *  Return false with err to refuse (line break in an env file). */
	bool (*print)(void *data, const char *name, const struct node *value, struct buf *out,
		struct error *err);
};

struct mustache_options {
	bool strict;
	enum mustache_escape escape;
	size_t max_output; /* 0 = 4 MiB */
	struct mustache_hooks hooks;
};

/**
 * Render one template.
 * @param context  NODE_MAP of names; dotted names descend
 * @param out      appended to; on failure its content is undefined
 * @return false with ERR_INVALID at file:line
 */
MUST_USE bool mustache_render(const char *file, const char *text, size_t len,
	const struct node *context, const struct mustache_options *options, struct buf *out,
	struct error *err);

/** Shorthand for one-line texts of configuration such as "{{client_name}}": strict, no partials,
 *  no escape; errors are placed at @p place. Caller frees *out. */
MUST_USE bool mustache_text(const struct node *place, const char *text, const struct node *context,
	char **out, struct error *err);
