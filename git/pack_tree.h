/* git/pack_tree.h - trees in a pack as deltas on earlier trees of the same folder
 *
 *   0 <- 1    0 <- 2 <- 3    0 <- 4 <- 5    4 <- 6 <- 7 ...
 *
 * The i-th version is told by what differs from version i & (i - 1): no tree is more than log2(n)
 * deltas away from the first, and each delta tells a few changes, so that one change of a folder of
 * ten thousand files takes hardly more than in one of a hundred.
 */
#pragma once
#include "git/pack_file.h"

#define PACK_FOLDERS 8

struct pack_folder {
	char *first;     /* name of the first entry: what tells folders apart */
	size_t *entries; /* of the pack file, oldest first */
	size_t count, capacity;
};

struct pack_trees {
	git_odb *odb; /* has all objects that are added; borrowed */
	struct pack_folder folders[PACK_FOLDERS];
	size_t count;
};
void pack_trees_clear(struct pack_trees *trees);
#define auto_pack_trees CLEANUP(pack_trees_clear)

/** Append git's delta from one tree to another. */
void pack_tree_delta(const struct pack_object *from, const struct pack_object *to, struct buf *out);
/** Add a tree as a delta where that is much smaller, otherwise as it is. */
MUST_USE bool pack_trees_add(struct pack_trees *trees, struct pack_file *pack,
	const struct pack_object *tree, struct error *err);
/** A tree that is in the pack already becomes the next version of its folder. */
MUST_USE bool pack_trees_seed(
	struct pack_trees *trees, const struct pack_file *pack, size_t entry, struct error *err);
