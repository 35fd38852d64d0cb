/* base/node.h - a tree of values that knows the file and line of each of them
 *
 * YAML (libyaml events) and JSON become nodes; variables, policy, SOPS values and the context of
 * templates are nodes. Nodes are immutable once built, live in an arena, and may be shared by any
 * number of parents (aliases, merged variables).
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"

enum node_kind {
	NODE_NULL,
	NODE_BOOL,
	NODE_INT,    /* fits int64_t */
	NODE_FLOAT,  /* also .inf, .nan, and integers beyond int64_t (text keeps every digit) */
	NODE_STRING, /* any bytes but NUL */
	NODE_TIME,   /* a YAML timestamp; text as written, canonical in iso */
	NODE_LIST,
	NODE_MAP,
	NODE_TAGGED /* scalar under !vault or !unsafe: opaque text, tag in `tag` */
};

struct node_entry {
	const char *key; /* as written; under NODE_ANSIBLE11 as json.dumps prints it: `yes` is
			  * "true", `012` is "10" */
	size_t key_len;
	const struct node
		*key_node; /* kind, text and place of the key; NULL in maps built by hand */
	const struct node *value;
};

#define NODE_COLUMN_MAX ((1u << 26) - 1)

/* Small: an inventory of 10,000 hosts has 100,000 of them. */
struct node {
	enum node_kind kind : 4;
	bool plain : 1;    /* a plain scalar without tag: what the resolver worked on */
	bool integral : 1; /* NODE_FLOAT: an integer beyond int64_t, its decimal digits in text */
	unsigned column : 26; /* 1-based, code points; files have at most 64 MiB */
	unsigned line;        /* 1-based; 0: not from a file */
	const char *file;     /* path as given to the parser, shared by all its nodes */
	const char *text;     /* scalars: value as written after unquoting, NUL-terminated */
	size_t len;           /* of text */
	const char *tag;      /* explicit tag, or NULL */
	union {
		bool boolean;
		int64_t integer;
		double number;
		const char *iso; /* NODE_TIME: ISO 8601, as Python's isoformat() prints it; RFC 3339
				  * under NODE_SOPS */
		const void *index; /* NODE_MAP: hash of a large map, see node_get() */
	};
	size_t count; /* items or entries */
	union {
		const struct node **items;    /* NODE_LIST */
		const struct node_entry *map; /* NODE_MAP, in file order */
	};
};

/** How plain scalars become values (specs/libraries.md 5.2, specs/sops-age.md 2.6). */
enum node_rules {
	NODE_CORE12,    /* YAML 1.2 core: Aviary's own files */
	NODE_ANSIBLE11, /* PyYAML's YAML 1.1, as Ansible reads inventory and variables */
	NODE_SOPS       /* go-yaml v3, for SOPS files */
};

struct node_options {
	enum node_rules rules;
	bool allow_duplicate_keys; /* last one wins (Ansible); else an error with both lines */
	bool many_documents; /* result is a list of documents; else a second one is an error */
	size_t max_bytes;    /* 0 = 16 MiB */
	size_t max_nodes;    /* 0 = NODE_MAX_NODES; counted after expansion of aliases and merges */
};

#define NODE_MAX_DEPTH 128     /* libyaml needs 37 s for 200 KB of '[' without it */
#define NODE_MAX_NODES 100000  /* of one file that a person writes */
#define NODE_MAX_LARGE 1000000 /* of an inventory: 10,000 hosts of 12 variables are 250,000 */

/**
 * Parse YAML.
 *
 * @param file      name for messages and nodes; copied
 * @param node_out  the document's root (an empty file gives NODE_NULL), or a NODE_LIST of
 *                  documents with options.many_documents; owned by @p arena
 * @return true, or false with ERR_INVALID naming file and line
 */
MUST_USE bool node_parse_yaml(struct arena *arena, const char *file, const char *bytes, size_t len,
	const struct node_options *options, const struct node **node_out, struct error *err);

/** Parse JSON (RFC 8259, strict, duplicate keys and NUL refused); numbers keep their text. At most
 *  64 MiB and NODE_MAX_LARGE nodes. Same contract. */
MUST_USE bool node_parse_json(struct arena *arena, const char *file, const char *bytes, size_t len,
	const struct node **node_out, struct error *err);

/** Value of a map's key, or NULL (also if @p map is no map). O(1) for large maps. */
const struct node *node_get(const struct node *map, const char *key);
/** Value at a path of keys parted by dots ("a.b.c"), or NULL. */
const struct node *node_path(const struct node *map, const char *dotted);
/** "text", "number", "list", ... for messages. */
const char *node_kind_name(enum node_kind kind);
/** Same value? Compares kinds and values, maps without regard to order; never place or style. */
bool node_equal(const struct node *a, const struct node *b);
/** Set err to ERR_INVALID at the node's place. @return false */
PRINTF(3, 4) bool node_error(struct error *err, const struct node *node, const char *format, ...);

/* Building nodes by hand (merged variables, template contexts); all owned by the arena. */
struct node *node_new(struct arena *arena, enum node_kind kind, const struct node *place);
const struct node *node_new_string(struct arena *arena, const char *text, size_t len);
const struct node *node_new_bool(struct arena *arena, bool value);
/** A map of @p count entries (array is copied); keys must differ. Builds the index where it pays.
 */
const struct node *node_new_map(struct arena *arena, const struct node_entry *entries, size_t count,
	const struct node *place);

/** JSON text of a node: compact without spaces (indent 0) or indented, keys in map order or sorted.
 *  As Python's json.dumps(ensure_ascii=False) prints it: floats by repr(), a map whose keys cannot
 *  be compared turns sorting off; dates as ISO text; !vault and !unsafe as ansible-inventory does.
 */
struct buf;
void node_to_json(const struct node *node, int indent, bool sort_keys, struct buf *out);
