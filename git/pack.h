/* git/pack.h - what keeps the mirror small: many objects written as one pack, packs that become one
 *
 * Objects of facts would be loose files, each with a whole tree of all clients. A batch keeps them
 * in memory while they are made and writes them as one pack of deltas (git/pack_tree.h). Now and
 * then pack_mirror() makes one pack of the small ones.
 */
#pragma once
#include "git/repo.h"

/** A second handle whose new objects stay in memory until pack_batch_write(). */
MUST_USE bool pack_batch_open(const struct repo *repo, struct repo **batch_out, struct error *err);
/** Is so much in memory that it should be written before more comes? */
bool pack_batch_is_full(const struct repo *batch);
/** Write what is new as one pack; nothing new is fine. It can be read through @p batch as before.
 *  References to it may be set from here on. */
MUST_USE bool pack_batch_write(struct repo *batch, struct error *err);

/**
 * If many objects are loose or there are many packs: make one pack of the loose objects and of the
 * packs that are not much larger than all smaller ones together, so that each object is copied only
 * a few times in its life. Nothing is ever dropped. Killed at any instant, it leaves all objects
 * readable. Renews @p repo, so that no handle keeps a removed pack open.
 */
MUST_USE bool pack_mirror(struct repo *repo, struct error *err);
/** Make that pack whatever there is, if only of two. */
MUST_USE bool pack_mirror_now(struct repo *repo, struct error *err);
