/* templates/mustache_parse.h - the text of a template as a flat array of tokens
 *
 * Standalone tags have lost their line already; a literal holds as many lines as lie between two
 * tags. Internal to templates/mustache.c.
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"

#define MUSTACHE_MAX_DEPTH 64  /* sections in sections, and partials in partials */
#define MUSTACHE_MAX_NAME  256 /* bytes; names go into messages */

enum mustache_tag {
	MUSTACHE_LITERAL,
	MUSTACHE_VALUE,
	MUSTACHE_RAW_VALUE, /* {{{x}}} and {{&x}}: never escaped */
	MUSTACHE_SECTION,
	MUSTACHE_INVERTED,
	MUSTACHE_CLOSE,
	MUSTACHE_PARTIAL,
	MUSTACHE_COMMENT,  /* never a token */
	MUSTACHE_DELIMITER /* never a token */
};

struct mustache_template;

/* Of an error_hint(): what to do about braces that are no tag. */
#define MUSTACHE_OTHER_BRACES                                                                      \
	"braces that belong to the file itself need other delimiters for Mustache: "               \
	"'{{=<%% %%>=}}' above them"

struct mustache_token {
	enum mustache_tag tag;
	bool line_start;   /* first of its line: an indented partial puts its indentation here */
	bool standalone;   /* had the whole line to itself */
	unsigned line;     /* 1-based, where it begins */
	const char *text;  /* literal: its bytes; standalone partial: its indentation */
	size_t len;        /* of text */
	const char *name;  /* as written, without the blanks around it; "." is the iterator */
	char *parts;       /* the name with NULs for its dots */
	size_t part_count; /* 0 for "." */
	size_t end;        /* sections: index of the closing token */
	const struct mustache_template *partial; /* filled by the renderer when first needed */
};

struct mustache_template {
	const char *file; /* for messages */
	const char *text; /* borrowed; the tokens point into it */
	size_t len;
	struct mustache_token *tokens; /* owned by the arena */
	size_t count;
	struct mustache_template *next; /* for the renderer's list */
};

/**
 * Fill in the tokens of a template whose file, text and len are set.
 * @param arena  owns the tokens and names
 * @return false with ERR_INVALID at file:line: tag not closed, sections that cross, nesting past
 *         MUSTACHE_MAX_DEPTH, an empty or overlong name, a tag of the optional modules
 */
MUST_USE bool mustache_parse(
	struct arena *arena, struct mustache_template *template, struct error *err);
