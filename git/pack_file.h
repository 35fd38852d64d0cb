/* git/pack_file.h - one pack with its index, written object by object; for git/pack*.c only
 *
 *   tmp_aviary_pack + tmp_aviary_index -- fsync --> pack-<sum>.pack, then pack-<sum>.idx
 *
 * Readers look for names that end in .idx, and a pack without an index is nothing to them, so a
 * process killed in between leaves a repository that works; repo_open_mirror() removes `tmp_*`.
 */
#pragma once
#include "git/repo_priv.h"

#define PACK_NONE      SIZE_MAX
#define PACK_OFS_DELTA 6
#define PACK_REF_DELTA 7
#define PACK_DEPTH_MAX 50 /* of deltas on deltas that we make */

struct pack_entry {
	git_oid id;
	uint64_t offset;
	uint32_t crc;
	uint32_t depth; /* of the chain of deltas below it */
	git_object_t type;
};

struct pack_file {
	char *folder;
	FILE *file;
	bool durable;
	uint64_t at; /* bytes written */
	struct pack_entry *entries;
	size_t count, capacity;
	uint32_t *slots; /* entries by id, index + 1 */
	size_t slot_count;
};

struct pack_object {
	git_oid id;
	git_object_t type;
	const void *bytes;
	size_t len;
};

/** What stands in a pack already: compressed bytes behind a header. */
struct pack_raw {
	const git_oid *id;
	int type; /* of the header: git_object_t or a kind of delta */
	uint64_t size;
	const git_oid *base; /* of a delta */
	const void *bytes;
	size_t len;
};

/** Begin a pack in the folder of packs @p folder. @param durable  survives a power loss */
MUST_USE bool pack_file_open(
	struct pack_file *pack, const char *folder, bool durable, struct error *err);
/** Give it up, or clean up after pack_file_finish(). */
void pack_file_clear(struct pack_file *pack);
#define auto_pack_file CLEANUP(pack_file_clear)

/** Entry of an object that was added, or PACK_NONE. */
size_t pack_file_find(const struct pack_file *pack, const git_oid *id);
/** Add an object as it is. One that is there already stays as it is; so for the next two. */
MUST_USE bool pack_file_add(
	struct pack_file *pack, const struct pack_object *object, struct error *err);
/** Add a tree as a delta on the entry @p base. @p object->bytes are those of the delta. */
MUST_USE bool pack_file_add_delta(
	struct pack_file *pack, const struct pack_object *object, size_t base, struct error *err);
/** Add what another pack has. */
MUST_USE bool pack_file_add_raw(
	struct pack_file *pack, const struct pack_raw *raw, struct error *err);
/** Make it visible. @p name_out gets "pack-<sum>"; the caller frees. */
MUST_USE bool pack_file_finish(struct pack_file *pack, char **name_out, struct error *err);
