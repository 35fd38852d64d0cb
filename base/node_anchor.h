/* base/node_anchor.h - the anchors of a YAML document and what an alias to each would cost
 *
 * Internal to base/node_yaml.c.
 */
#pragma once
#include "base/node.h"

struct anchor {
	struct anchor *next; /* of the bucket, newest first: a redefinition hides the older one */
	char *name;
	const struct node *node;
	size_t expanded; /* nodes that an alias to it adds */
	unsigned height; /* levels that an alias to it adds */
	bool open;       /* still inside of it */
};

#define ANCHOR_BUCKETS 256 /* anchors are rare; a file full of them still parses in seconds */

struct anchors {
	struct anchor *buckets[ANCHOR_BUCKETS];
};

/** The newest anchor of that name, or NULL. */
struct anchor *anchor_find(const struct anchors *anchors, const char *name);
/** New anchor, open until anchor_close(). */
struct anchor *anchor_add(struct anchors *anchors, const char *name);
/** Its node is complete. @p anchor may be NULL. */
void anchor_close(struct anchor *anchor, const struct node *node, size_t expanded, unsigned height);
/** Forget all: anchors end with their document. */
void anchors_clear(struct anchors *anchors);
