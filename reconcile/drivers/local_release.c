#include "reconcile/drivers/local_release.h"
#include "base/fs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAGING_PREFIX ".new-"
/* Others on the host may look into a release (containers as other users); files have modes of
 * their own. */
#define FOLDER_MODE 0755

/* ---- staging -------------------------------------------------------------------------------- */

/* Opens the folder of `path` below `top`, making what is missing; the last part is in *name_out. */
static bool open_folder(int top, const char *path, int *fd_out, const char **name_out)
{
	int fd = fcntl(top, F_DUPFD_CLOEXEC, 3);
	const char *part = path;
	for (const char *slash; fd >= 0 && (slash = strchr(part, '/')); part = slash + 1) {
		auto_fd int parent = fd;
		auto_free char *name = mem_dup(part, (size_t)(slash - part));
		fs_fault_point();
		if (mkdirat(parent, name, FOLDER_MODE) < 0 && errno != EEXIST)
			return false;
		fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0 && fchmod(fd, FOLDER_MODE) < 0) {
			fs_close_at(&fd);
			return false;
		}
	}
	*fd_out = fd;
	*name_out = part;
	return fd >= 0;
}

static bool stage_file(int staging, const struct driver_file *file, struct error *err)
{
	auto_fd int folder = -1;
	const char *name = NULL;
	if (!open_folder(staging, file->path, &folder, &name))
		return error_errno(err, errno, "cannot make the folder of '%s'", file->path);
	const struct fs_content content = {file->bytes, file->len, file->mode};
	if (!fs_create_at(folder, name, &content, err))
		return error_wrap(err, "file '%s'", file->path);
	return true;
}

static bool stage_files(int staging, const struct driver_release *release, struct error *err)
{
	for (size_t i = 0; i < release->count; i++) {
		if (!stage_file(staging, &release->files[i], err))
			return false;
	}
	if (fchmod(staging, FOLDER_MODE) < 0)
		return error_errno(err, errno, "cannot finish the new release");
	return fs_sync_tree(staging, err);
}

/* ---- verifying ------------------------------------------------------------------------------ */

static bool holds_bytes(int fd, const struct driver_file *file)
{
	char chunk[16384];
	size_t at = 0;
	bool same = true;
	while (same && at < file->len) {
		ssize_t got = read(fd, chunk, sizeof(chunk));
		if (got < 0 && errno == EINTR)
			continue;
		same = got > 0 && (size_t)got <= file->len - at &&
		       memcmp(chunk, (const char *)file->bytes + at, (size_t)got) == 0;
		at += same ? (size_t)got : 0;
	}
	explicit_bzero(chunk, sizeof(chunk));
	return same;
}

/* A symlink on the way is a difference: it could lead out of the release. */
static int open_inside(int top, const char *path)
{
	int fd = fcntl(top, F_DUPFD_CLOEXEC, 3);
	for (const char *part = path; part && fd >= 0;) {
		auto_fd int parent = fd;
		const char *slash = strchr(part, '/');
		auto_free char *name = mem_dup(part, slash ? (size_t)(slash - part) : strlen(part));
		int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
		fd = openat(parent, name, flags | (slash ? O_DIRECTORY : 0));
		part = slash ? slash + 1 : NULL;
	}
	return fd;
}

static bool holds_file(int folder, const struct driver_file *file)
{
	struct stat st;
	auto_fd int fd = open_inside(folder, file->path);
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       (st.st_mode & 07777) == file->mode && (uintmax_t)st.st_size == file->len &&
	       holds_bytes(fd, file);
}

static bool holds_release(int releases, const char *name, const struct driver_release *release)
{
	auto_fd int folder =
		openat(releases, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool same = folder >= 0;
	for (size_t i = 0; same && release->files && i < release->count; i++)
		same = holds_file(folder, &release->files[i]);
	return same;
}

const char *local_release_compare(
	int releases, const char *name, const struct driver_release *release)
{
	auto_fd int folder =
		openat(releases, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	for (size_t i = 0; release->files && i < release->count; i++)
		if (folder < 0 || !holds_file(folder, &release->files[i]))
			return release->files[i].path;
	return NULL;
}

/* ---- putting -------------------------------------------------------------------------------- */

static bool remove_below(const char *path, const char *name, struct error *err)
{
	auto_free char *whole = mem_printf("%s/%s", path, name);
	return fs_remove_tree(whole, err);
}

/* What is at `name` differs. Exchanging leaves a whole release under the name at every instant,
 * even if it is current. */
static bool exchange(
	int releases, const char *path, const char *staging, const char *name, struct error *err)
{
	fs_fault_point();
	if (renameat2(releases, staging, releases, name, RENAME_EXCHANGE) < 0) {
		(void)error_errno(err, errno, "cannot replace the release '%s'", name); /* false */
		return error_hint(err, "it was changed on the host; remove it by hand");
	}
	if (fsync(releases) < 0)
		return error_errno(err, errno, "cannot sync the releases");
	return remove_below(path, staging, err);
}

static bool stage_and_rename(int releases, const char *path, const char *name,
	const struct driver_release *release, struct error *err)
{
	struct stat st;
	auto_free char *staging_path = NULL;
	auto_fd int staging = -1;
	if (!fs_scratch(path, STAGING_PREFIX "release", &staging_path, err))
		return false;
	const char *staging_name = strrchr(staging_path, '/') + 1;
	staging = openat(releases, staging_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (staging < 0)
		return error_errno(err, errno, "cannot open the new release");
	bool good = stage_files(staging, release, err);
	if (good && fstatat(releases, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		good = exchange(releases, path, staging_name, name, err);
	else if (good)
		good = fs_rename_at(releases, staging_name, name, err);
	struct error
		more; /* the first failure is the one to tell; local_release_tidy() tries again */
	if (!good && !fs_remove_tree(staging_path, &more))
		return error_hint(err, "and '%s' could not be removed", staging_path);
	return good;
}

bool local_release_put(int releases, const char *path, const char *name,
	const struct driver_release *release, struct error *err)
{
	if (holds_release(releases, name, release))
		return true;
	if (!release->files)
		return error_set(err, ERR_NOT_FOUND, "the release '%s' is not on the host", name);
	return stage_and_rename(releases, path, name, release, err);
}

/* ---- pruning -------------------------------------------------------------------------------- */

void local_release_touch(int releases, const char *name)
{
	/* The time only orders releases for pruning; current ones are kept in any case. */
	(void)utimensat(releases, name, NULL, AT_SYMLINK_NOFOLLOW);
}

struct entry {
	char name[NAME_MAX + 1];
	struct timespec activated;
};

struct entries {
	struct entry *items;
	size_t count, capacity;
};

static void entries_clear(struct entries *entries)
{
	free(entries->items);
}

/* Newest first; the name decides between equal times, so that the order is always the same. */
static int compare_entries(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;
	if (a->activated.tv_sec != b->activated.tv_sec)
		return a->activated.tv_sec < b->activated.tv_sec ? 1 : -1;
	if (a->activated.tv_nsec != b->activated.tv_nsec)
		return a->activated.tv_nsec < b->activated.tv_nsec ? 1 : -1;
	return strcmp(a->name, b->name);
}

static void add_entry(int releases, const char *name, struct entries *entries)
{
	struct stat st;
	if (fstatat(releases, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	mem_grow(entries->items, entries->count, entries->capacity);
	struct entry *entry = &entries->items[entries->count++];
	*entry = (struct entry){.activated = st.st_mtim};
	(void)snprintf(entry->name, sizeof(entry->name), "%s", name); /* NAME_MAX fits */
}

/* Entries that are releases (16 hex digits), or those that a killed staging left. */
static bool list_entries(int releases, bool staged, struct entries *entries, struct error *err)
{
	int fd = openat(releases, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	if (!list) {
		(void)error_errno(err, errno, "cannot list the releases"); /* returns false */
		fs_close_at(&fd);
		return false;
	}
	for (struct dirent *entry; (entry = readdir(list));) {
		const char *name = entry->d_name;
		bool is_staged = strncmp(name, STAGING_PREFIX, strlen(STAGING_PREFIX)) == 0;
		bool is_release = strlen(name) == DRIVER_SHORT &&
				  strspn(name, "0123456789abcdef") == DRIVER_SHORT;
		if (staged ? is_staged : is_release)
			add_entry(releases, name, entries);
	}
	(void)closedir(list); /* read-only */
	return true;
}

bool local_release_tidy(int releases, const char *path, struct error *err)
{
	CLEANUP(entries_clear) struct entries entries = {0};
	if (!list_entries(releases, true, &entries, err))
		return false;
	for (size_t i = 0; i < entries.count; i++) {
		if (!remove_below(path, entries.items[i].name, err))
			return false;
	}
	return true;
}

/* Under its own name a release is whole or absent, so it is renamed before it is taken apart. */
static bool remove_release(int releases, const char *path, const char *name, struct error *err)
{
	auto_free char *doomed = mem_printf(STAGING_PREFIX "old-%s", name);
	return remove_below(path, doomed, err) && fs_rename_at(releases, name, doomed, err) &&
	       remove_below(path, doomed, err);
}

bool local_release_prune(int releases, const char *path, int64_t keep, const struct strlist *names,
	struct error *err)
{
	CLEANUP(entries_clear) struct entries entries = {0};
	if (!list_entries(releases, false, &entries, err))
		return false;
	qsort(entries.items, entries.count, sizeof(*entries.items), compare_entries);
	for (size_t i = 0; i < entries.count; i++) {
		const char *name = entries.items[i].name;
		if ((int64_t)i < keep || strlist_has(names, name))
			continue;
		if (!remove_release(releases, path, name, err))
			return false;
	}
	return true;
}
