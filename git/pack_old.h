/* git/pack_old.h - packs that are there, read as they lie; for git/pack_merge.c only */
#pragma once
#include "git/pack_file.h"

struct old_entry {
	uint64_t offset;
	git_oid id;
	uint32_t crc;
};

struct old_pack {
	char *name; /* "pack-<sum>" */
	uint64_t size;
	int64_t changed_ns;
	unsigned char *bytes;      /* mapped, or NULL */
	struct old_entry *entries; /* by offset */
	size_t count;
};

struct old_packs {
	char *folder;
	struct old_pack *items;
	size_t count, capacity;
};

/** The packs of the folder of objects @p objects. Removes packs whose index is gone. */
MUST_USE bool old_packs_list(struct old_packs *packs, const char *objects, struct error *err);
void old_packs_clear(struct old_packs *packs);
/** Keep the smallest ones, each of at most twice the size of all smaller ones together and all of
 *  at most @p max bytes; oldest first. */
void old_packs_choose(struct old_packs *packs, uint64_t max);

/** Map a pack and read its index. */
MUST_USE bool old_pack_map(struct old_pack *pack, const char *folder, struct error *err);
void old_pack_unmap(struct old_pack *pack);
/** The @p index-th object by place; borrowed. ERR_INVALID if it is damaged. */
MUST_USE bool old_pack_entry(
	const struct old_pack *pack, size_t index, struct pack_raw *raw_out, struct error *err);
