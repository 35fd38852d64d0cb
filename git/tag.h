/* git/tag.h - read an annotated tag, with its signature */
#pragma once
#include "git/repo.h"

struct tag_info {
	char *name; /* as the tag itself says, without refs/tags/ */
	char *tagger;
	int64_t wall_s;       /* of the tagger */
	char *message;        /* without the signature */
	struct buf covered;   /* what the signature covers */
	struct buf signature; /* armored; empty: none */
};

/** Read an annotated tag object. ERR_INVALID: it is no annotated tag, or a damaged one.
 *  @param info_out  the caller's to clear, also after a failure */
MUST_USE bool tag_read(
	struct repo *repo, const struct oid *id, struct tag_info *info_out, struct error *err);
void tag_info_clear(struct tag_info *info);
#define auto_tag_info CLEANUP(tag_info_clear)
