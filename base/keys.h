/* base/keys.h - tables of keys: one table drives parsing, defaults, validation, and the man page
 *
 * A table describes the keys of one map. keys_read() walks the map once: unknown keys (with the
 * nearest known one), missing required ones, wrong types and limits become problems with file and
 * line; good values are stored at their offset in the caller's plain struct.
 */
#pragma once
#include "base/node.h"
#include "base/problems.h"

enum key_type {
	KEY_TEXT,     /* char *, owned by the arena; not empty, no control characters */
	KEY_INT,      /* int64_t, min..max */
	KEY_BOOL,     /* bool */
	KEY_DURATION, /* int64_t milliseconds, min..max */
	KEY_PERCENT,  /* int64_t, 0..100, written "25%" */
	KEY_ENUM,     /* int, index in `words` */
	KEY_NODE,     /* const struct node *: any value, checked by the caller */
	KEY_TEXTS,    /* struct key_texts: a text or a list of texts, as KEY_TEXT */
	KEY_MAP,      /* nested table `keys`, stored in place at the offset */
	KEY_LIST,     /* list of maps, each `item_size` bytes: struct key_list */
	KEY_REFUSED   /* known, but its function is not built yet: "not supported yet" */
};

struct key_texts {
	const char **items;
	const struct node **nodes;
	size_t count;
};

struct key_list {
	void *items; /* count * item_size bytes, arena */
	const struct node **nodes;
	size_t count;
};

struct key {
	const char *name;
	enum key_type type;
	size_t offset; /* in the struct that keys_read() fills */
	bool required;
	const char *standard; /* default as text, NULL = zero value; parsed like the file's text */
	int64_t min, max;     /* both 0: no limit */
	const char *const *words; /* KEY_ENUM, ends with NULL */
	const struct key *keys;   /* KEY_MAP, KEY_LIST; ends with KEYS_END. KEY_NODE: of the maps in
				   * it, for   the man page only */
	size_t item_size;         /* KEY_LIST */
	const char *doc;          /* sentence(s) of the man page: meaning, unit, effect */
	const char *env;          /* AVIARY_* variable that overrides it, or NULL */
};
#define KEYS_END                                                                                   \
	{                                                                                          \
		.name = NULL                                                                       \
	}

/**
 * Fill @p into from @p map by @p keys.
 *
 * A key without a value counts as absent. Items of lists count from 0 in messages.
 *
 * @param what      for messages: "" for the file itself, else "stages[1]"
 * @param node      the map; NULL or NODE_NULL counts as an empty map
 * @param place     file for messages when node is NULL
 * @return true if no error was added to @p problems
 */
MUST_USE bool keys_read(const struct key *keys, const char *what, const struct node *node,
	const char *place, struct arena *arena, void *into, struct problems *problems);

/** Append text as roff takes it: a line for each sentence, at most 80 columns, nothing special. */
void keys_man_prose(const char *text, struct buf *out);
/** mdoc(7) items of the table for a man page, to stand in a `.Bl -tag` list; nested tables follow
 *  their key as `prefix.key`. Refused keys are left out. */
void keys_to_man(const struct key *keys, const char *prefix, struct buf *out);
