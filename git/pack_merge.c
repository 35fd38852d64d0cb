/* Many packs and loose objects become one.
 *
 *   old packs, oldest first --copied as they are--> one new pack --visible--> old ones removed
 *        whole trees --deltas on those of older packs--^
 *   loose objects -------------------------------------^
 *
 * An old pack goes in the order index, pack: without its index a pack is nothing to any reader, and
 * is removed when the next one is made.
 */
#include "base/fs.h"
#include "git/pack.h"
#include "git/pack_old.h"
#include "git/pack_tree.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define LOOSE_MAX  256 /* more loose objects, or more packs, are packed */
#define PACKS_MAX  16
#define MERGED_MAX ((uint64_t)1 << 30) /* larger packs stay as they are */

struct merge {
	struct repo *repo;
	char *objects;
	git_odb *odb;
	struct old_packs packs;
	struct strlist loose; /* "12/3456..." */
	struct pack_file pack;
	struct pack_trees trees;
	char *name; /* of the new pack */
};

static void merge_clear(struct merge *merge)
{
	old_packs_clear(&merge->packs);
	strlist_clear(&merge->loose);
	pack_file_clear(&merge->pack);
	pack_trees_clear(&merge->trees);
	git_odb_free(merge->odb);
	free(merge->objects);
	free(merge->name);
}

/* ---- what there is --------------------------------------------------------------------------- */

static void close_folder(DIR **folder)
{
	if (*folder)
		(void)closedir(*folder); /* only read */
}

static void list_folder(struct merge *merge, const char *name)
{
	auto_free char *path = mem_printf("%s/%s", merge->objects, name);
	CLEANUP(close_folder) DIR *folder = opendir(path);
	for (struct dirent *entry; folder && (entry = readdir(folder));)
		if (strlen(entry->d_name) == OID_HEX - 2 &&
			strspn(entry->d_name, "0123456789abcdef") == OID_HEX - 2)
			strlist_addf(&merge->loose, "%s/%s", name, entry->d_name);
}

static void list_loose(struct merge *merge)
{
	for (int first = 0; first < 256; first++) {
		char name[3];
		(void)snprintf(name, sizeof(name), "%02x", first); /* fits */
		list_folder(merge, name);
	}
}

/* ---- copying --------------------------------------------------------------------------------- */

static bool add_object(struct merge *merge, const struct pack_object *object, struct error *err)
{
	return object->type == GIT_OBJECT_TREE
		       ? pack_trees_add(&merge->trees, &merge->pack, object, err)
		       : pack_file_add(&merge->pack, object, err);
}

static bool read_and_add(struct merge *merge, const git_oid *id, struct error *err)
{
	auto_git(git_odb_object) *read = NULL;
	char hex[OID_HEX + 1];
	int rc = git_odb_read(&read, merge->odb, id);
	if (rc < 0)
		return repo_fail(err, rc, "object '%s' could not be read",
			git_oid_tostr(hex, sizeof(hex), id));
	const struct pack_object object = {*id, git_odb_object_type(read),
		git_odb_object_data(read), git_odb_object_size(read)};
	return add_object(merge, &object, err);
}

/* The newest tree of each folder, on which those of later packs stand. */
static bool seed_trees(struct merge *merge, struct error *err)
{
	for (size_t i = merge->pack.count; i > 0 && merge->trees.count < PACK_FOLDERS; i--) {
		if (merge->pack.count - i > 4 * PACK_FOLDERS)
			return true; /* the last facts show all folders that matter */
		if (merge->pack.entries[i - 1].type == GIT_OBJECT_TREE &&
			!pack_trees_seed(&merge->trees, &merge->pack, i - 1, err))
			return false;
	}
	return true;
}

static bool copy_pack(
	struct merge *merge, const struct old_pack *old, bool first, struct error *err)
{
	for (size_t i = 0; i < old->count; i++) {
		struct pack_raw raw;
		if (!old_pack_entry(old, i, &raw, err))
			return error_wrap(err, "pack '%s'", old->name);
		bool whole_tree = raw.type == GIT_OBJECT_TREE && !first;
		if (!(whole_tree ? read_and_add(merge, raw.id, err)
				 : pack_file_add_raw(&merge->pack, &raw, err)))
			return false;
	}
	return true;
}

static bool copy_loose(struct merge *merge, struct error *err)
{
	for (size_t i = 0; i < merge->loose.count; i++) {
		const char *name = merge->loose.items[i];
		auto_free char *hex = mem_printf("%.2s%s", name, name + 3);
		git_oid id;
		if (git_oid_fromstr(&id, hex) < 0 || !read_and_add(merge, &id, err))
			return false;
	}
	return true;
}

static bool copy_all(struct merge *merge, struct error *err)
{
	for (size_t i = 0; i < merge->packs.count; i++) {
		struct old_pack *old = &merge->packs.items[i];
		if (!old_pack_map(old, merge->packs.folder, err) || !copy_pack(merge, old, !i, err))
			return false;
		old_pack_unmap(old);
		if (!i && !seed_trees(merge, err))
			return false;
	}
	return copy_loose(merge, err);
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool remove_file(const char *folder, const char *name, const char *suffix, struct error *err)
{
	auto_free char *path = mem_printf("%s/%s%s", folder, name, suffix);
	fs_fault_point();
	return unlink(path) == 0 || errno == ENOENT ||
	       error_errno(err, errno, "'%s' could not be removed", path);
}

static bool remove_old(struct merge *merge, struct error *err)
{
	for (size_t i = 0; i < merge->packs.count; i++) {
		const struct old_pack *old = &merge->packs.items[i];
		if (!strcmp(old->name, merge->name))
			continue; /* the same objects again */
		if (!remove_file(merge->packs.folder, old->name, ".idx", err) ||
			!remove_file(merge->packs.folder, old->name, ".rev", err) ||
			!remove_file(merge->packs.folder, old->name, ".pack", err))
			return false;
	}
	for (size_t i = 0; i < merge->loose.count; i++)
		if (!remove_file(merge->objects, merge->loose.items[i], "", err))
			return false;
	return true;
}

static bool make_pack(struct merge *merge, struct error *err)
{
	int rc = git_repository_odb(&merge->odb, merge->repo->git);
	if (rc < 0)
		return repo_fail(err, rc, "objects could not be read");
	merge->trees.odb = merge->odb;
	return pack_file_open(&merge->pack, merge->packs.folder, true, err) &&
	       copy_all(merge, err) && pack_file_finish(&merge->pack, &merge->name, err) &&
	       remove_old(merge, err);
}

/* A handle remembers the packs that it has seen, and keeps them open. */
static bool renew(struct repo *repo, struct error *err)
{
	struct repo *fresh = NULL;
	if (!repo_reopen(repo, &fresh, err))
		return false;
	git_repository *old = repo->git;
	repo->git = fresh->git;
	fresh->git = old;
	repo_free(fresh);
	return true;
}

/* @param loose, packs  so many may stay as they are */
static bool pack_above(struct repo *repo, size_t loose, size_t packs, struct error *err)
{
	CLEANUP(merge_clear) struct merge merge = {.repo = repo};
	merge.objects = mem_printf("%sobjects", git_repository_path(repo->git));
	list_loose(&merge);
	if (!old_packs_list(&merge.packs, merge.objects, err))
		return false;
	if (merge.loose.count <= loose && merge.packs.count <= packs)
		return true;
	old_packs_choose(&merge.packs, MERGED_MAX);
	if (merge.loose.count <= loose && merge.packs.count < 2)
		return true; /* many, and each much larger than the next */
	return (make_pack(&merge, err) && renew(repo, err)) || error_wrap(err, "mirror");
}

bool pack_mirror(struct repo *repo, struct error *err)
{
	return pack_above(repo, LOOSE_MAX, PACKS_MAX, err);
}

bool pack_mirror_now(struct repo *repo, struct error *err)
{
	return pack_above(repo, 0, 1, err);
}
