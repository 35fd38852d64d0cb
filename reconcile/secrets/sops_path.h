/* reconcile/secrets/sops_path.h - a place in a document: `["a"]["b"][0]`, as sops writes it */
#pragma once
#include "base/error.h"
#include "reconcile/secrets/sops_item.h"

#define SOPS_PATH_MAX 128 /* steps: as deep as documents are */

struct sops_step {
	const char *key; /* NULL: an index */
	size_t key_len;
	size_t index;
};

struct sops_path {
	struct sops_step steps[SOPS_PATH_MAX]; /* keys point into the text */
	size_t count;
};

/** Parse a path of one step at least. */
MUST_USE bool sops_path_parse(const char *text, struct sops_path *path_out, struct error *err);
/** The item at a path, or ERR_NOT_FOUND. Comments take no place in lists. */
MUST_USE bool sops_path_find(struct sops_item *document, const struct sops_path *path,
	struct sops_item **item_out, struct error *err);
/** Put an item at a path, making maps and lists on the way as sops does; @p changed_out: it was
 *  other, or nothing, before. False: a key is asked of a list, or an index of a map. */
MUST_USE bool sops_path_set(struct arena *arena, struct sops_item *document,
	const struct sops_path *path, struct sops_item *value, bool *changed_out);
/** Take the item at a path away, or ERR_NOT_FOUND. */
MUST_USE bool sops_path_unset(
	struct sops_item *document, const struct sops_path *path, struct error *err);
