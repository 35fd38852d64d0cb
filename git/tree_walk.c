/* The files of a folder as it lies: which there are. Their bytes and ids: tree_folder.c.
 *
 * A file that the index knows unchanged (as git-status(1) decides: size, time, inode, not racily
 * clean) gets its id here and is not read for it.
 */
#include "git/tree_folder.h"
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 64      /* folders in folders */
#define FILES_MAX 1000000 /* a home folder by mistake, not an infra repo */

static char *in_repo(const struct folder_tree *self, const char *path)
{
	return mem_printf("%s%s", self->prefix, path);
}

static const git_index_entry *index_entry(const struct folder_tree *self, const char *path)
{
	auto_free char *full = in_repo(self, path);
	return self->index ? git_index_get_bypath(self->index, full, 0) : NULL;
}

static bool index_has_below(const struct folder_tree *self, const char *path)
{
	auto_free char *full = mem_printf("%s%s/", self->prefix, path);
	size_t at;
	if (!self->index)
		return false;
	bool found = git_index_find_prefix(&at, self->index, full) == 0;
	git_error_clear();
	return found;
}

static bool is_ignored(
	const struct folder_tree *self, const char *path, bool folder, bool *out, struct error *err)
{
	auto_free char *full = mem_printf("%s%s%s", self->prefix, path, folder ? "/" : "");
	int ignored = 0;

	int rc = self->repo ? git_ignore_path_is_ignored(&ignored, self->repo->git, full) : 0;
	if (rc < 0)
		return repo_fail(err, rc, "'%s' could not be compared with .gitignore", path);
	*out = ignored;
	return true;
}

/* Commit that a nested repository stands at; what the index says if it cannot be opened. */
static void find_submodule_id(struct folder_tree *self, const char *path, struct oid *id_out)
{
	auto_git(git_repository) *nested = NULL;
	auto_free char *full = mem_printf("%s/%s", self->root, path);
	const git_index_entry *entry = index_entry(self, path);
	git_oid id;

	memset(id_out, 0, sizeof(*id_out));
	if (git_repository_open(&nested, full) == 0 &&
		git_reference_name_to_id(&id, nested, "HEAD") == 0)
		oid_from_git(&id, id_out);
	else if (entry)
		oid_from_git(&entry->id, id_out);
	git_error_clear();
}

static bool add_file(struct folder_tree *self, const char *path, enum tree_type type,
	const struct oid *id, struct error *err)
{
	if (self->count == FILES_MAX)
		return error_set(
			err, ERR_REFUSED, "'%s' has more than %d files", self->root, FILES_MAX);
	mem_grow(self->files, self->count, self->capacity);
	self->files[self->count++] =
		(struct folder_file){.path = mem_dup_str(path), .type = type, .id = *id};
	return true;
}

static enum tree_type type_of_file(
	const struct folder_tree *self, const git_index_entry *entry, const struct stat *info)
{
	if (S_ISLNK(info->st_mode))
		return TREE_SYMLINK;
	bool executable = info->st_mode & S_IXUSR;
	if (!self->file_mode)
		executable = entry && entry->mode == GIT_FILEMODE_BLOB_EXECUTABLE;
	return executable ? TREE_EXECUTABLE : TREE_FILE;
}

/* May the index's id be taken without reading the file? A file written in the second of the
 * index or later may have changed again within it ("racily clean"). */
static bool is_unchanged(
	const struct folder_tree *self, const git_index_entry *entry, const struct stat *info)
{
	struct stat index_info;

	if (!entry || entry->file_size != (uint32_t)info->st_size ||
		entry->mtime.seconds != (int32_t)info->st_mtim.tv_sec ||
		entry->mtime.nanoseconds != (uint32_t)info->st_mtim.tv_nsec ||
		entry->ctime.seconds != (int32_t)info->st_ctim.tv_sec ||
		entry->ino != (uint32_t)info->st_ino || GIT_INDEX_ENTRY_STAGE(entry))
		return false;
	return stat(git_index_path(self->index), &index_info) == 0 &&
	       info->st_mtim.tv_sec < index_info.st_mtim.tv_sec;
}

static bool walk(
	struct folder_tree *self, const char *folder, bool ignored, int depth, struct error *err);

static bool walk_file(struct folder_tree *self, const char *path, const struct stat *info,
	bool ignored, struct error *err)
{
	const git_index_entry *entry = index_entry(self, path);
	struct oid id = {0};

	if (!entry && !ignored && !is_ignored(self, path, false, &ignored, err))
		return false;
	if (!entry && ignored)
		return true;
	if (is_unchanged(self, entry, info))
		oid_from_git(&entry->id, &id);
	return add_file(self, path, type_of_file(self, entry, info), &id, err);
}

static bool walk_folder(
	struct folder_tree *self, const char *path, bool ignored, int depth, struct error *err)
{
	auto_free char *git_folder = mem_printf("%s/%s/.git", self->root, path);
	const git_index_entry *entry = index_entry(self, path);

	if (!entry && !ignored && !is_ignored(self, path, true, &ignored, err))
		return false;
	bool submodule = entry && entry->mode == GIT_FILEMODE_COMMIT;
	if (submodule || (self->repo && !ignored && access(git_folder, F_OK) == 0)) {
		struct oid id;
		find_submodule_id(self, path, &id);
		return add_file(self, path, TREE_SUBMODULE, &id, err);
	}
	if (ignored && !index_has_below(self, path))
		return true;
	return walk(self, path, ignored, depth + 1, err);
}

static void close_folder(DIR **folder)
{
	if (*folder)
		(void)closedir(*folder); /* only read */
}

static bool walk_entry(
	struct folder_tree *self, const char *path, bool ignored, int depth, struct error *err)
{
	auto_free char *full = mem_printf("%s/%s", self->root, path);
	struct stat info;

	if (lstat(full, &info) < 0) {
		if (errno == ENOENT) /* went since the folder was read */
			return true;
		return error_errno(err, errno, "'%s' could not be read", path);
	}
	if (S_ISDIR(info.st_mode))
		return walk_folder(self, path, ignored, depth, err);
	if (S_ISREG(info.st_mode) || S_ISLNK(info.st_mode))
		return walk_file(self, path, &info, ignored, err);
	return true; /* git does not see sockets, pipes and devices either */
}

static bool walk(
	struct folder_tree *self, const char *folder, bool ignored, int depth, struct error *err)
{
	auto_free char *full = mem_printf("%s/%s", self->root, folder);
	CLEANUP(close_folder) DIR *stream = opendir(full);

	if (!stream)
		return error_errno(err, errno, "folder '%s' could not be read",
			folder[0] ? folder : self->root);
	if (depth > DEPTH_MAX)
		return error_set(err, ERR_REFUSED, "'%s' has more than %d folders in each other",
			self->root, DEPTH_MAX);
	errno = 0;
	for (struct dirent *entry; (entry = readdir(stream)); errno = 0) {
		const char *name = entry->d_name;
		if (!strcmp(name, ".") || !strcmp(name, "..") || !strcasecmp(name, ".git"))
			continue;
		auto_free char *path = mem_printf("%s%s%s", folder, folder[0] ? "/" : "", name);
		if (!walk_entry(self, path, ignored, depth, err))
			return false;
	}
	if (errno)
		return error_errno(err, errno, "folder '%s' could not be read",
			folder[0] ? folder : self->root);
	return true;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct folder_file *)a)->path, ((const struct folder_file *)b)->path);
}

bool tree_folder_walk(struct folder_tree *self, struct error *err)
{
	if (!walk(self, "", false, 0, err))
		return false;
	if (self->count)
		qsort(self->files, self->count, sizeof(*self->files), by_path);
	return true;
}
