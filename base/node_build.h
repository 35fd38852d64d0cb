/* base/node_build.h - what the parsers of base/node.h share: nodes, texts and maps in an arena
 *
 * Internal to base/node*.c. A 10,000 host inventory has a quarter of a million nodes, so nodes and
 * texts are cut from larger pieces and repeated keys share one text.
 */
#pragma once
#include "base/buf.h"
#include "base/node.h"

#define BUILD_KEY_CACHE 256 /* texts of keys seen lately; most files use fewer */

struct node_build {
	struct arena *arena;
	const char *file;
	struct node *nodes; /* rest of the current piece */
	size_t nodes_left, nodes_piece;
	char *chars;
	size_t chars_left, chars_piece;
	struct node_entry *pending; /* children of the open collections; items have no key */
	size_t pending_count, pending_capacity;
	bool python_keys; /* equal as in a dict: 1, 1.0 and true are one key */
	uint64_t keys_known[BUILD_KEY_CACHE / 64]; /* bits of those that are set */
	struct {
		const char *text;
		size_t len;
	} keys[BUILD_KEY_CACHE];
};

/** Start building; build_clear() gives back what is not in the arena. */
void build_init(struct node_build *build, struct arena *arena, const char *file);
void build_clear(struct node_build *build);
/** New node with its place. */
struct node *build_node(
	struct node_build *build, enum node_kind kind, unsigned line, unsigned column);
/** Copy of a text with a NUL behind it. */
const char *build_text(struct node_build *build, const char *text, size_t len);
/** As build_text(), shared with equal keys before. */
const char *build_key(struct node_build *build, const char *text, size_t len);
/** Remember a child of the innermost open collection. */
void build_push(struct node_build *build, const struct node_entry *entry);
/** Turn the pending children from @p first on into the items of a list. */
void build_list(struct node_build *build, struct node *list, size_t first);
/**
 * Turn the pending children from @p first on into the entries of a map.
 *
 * @param last_wins  a repeated key keeps its first position and takes the last value; else it is
 *                   an error that names both lines
 */
MUST_USE bool build_map(struct node_build *build, struct node *map, size_t first, bool last_wins,
	struct error *err);
/** Give a finished map of many entries its hash; a map that has duplicates must not come here. */
void build_index(struct arena *arena, struct node *map);

/**
 * Find out what a plain scalar means: fills kind and value of @p node from its text.
 *
 * @return false with ERR_INVALID where the model fails too (2020-13-45 as an Ansible date)
 */
MUST_USE bool resolve_plain(
	struct node_build *build, enum node_rules rules, struct node *node, struct error *err);
/** The same for a scalar with an explicit tag in node->tag. */
MUST_USE bool resolve_tagged(
	struct node_build *build, enum node_rules rules, struct node *node, struct error *err);
/** PyYAML's rules, specs of YAML 1.1: see base/node_ansible.c. */
MUST_USE bool resolve_ansible(struct node_build *build, struct node *node, struct error *err);
/** Set NODE_INT, or an integral NODE_FLOAT past int64_t, from digits of a base (2 to 16). */
MUST_USE bool resolve_digits(struct node_build *build, struct node *node, const char *digits,
	unsigned base, bool negative, struct error *err);

struct resolve_time {
	int year, month, day;
	bool has_time;
	int hour, minute, second;
	const char *fraction; /* digits, fraction_len of them */
	int fraction_len;
	bool has_zone;
	int offset; /* minutes east of UTC */
};
/** Does such a moment exist? */
bool resolve_time_exists(const struct resolve_time *time);

#define NODE_FLOAT_TEXT 40 /* sign, 17 digits, point, exponent or up to 16 zeros */
/** repr() of a Python float: shortest digits that read back the same. @p text of that size. */
const char *node_float_text(double number, char *text);
