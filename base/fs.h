/* base/fs.h - files that are whole or absent, scratch folders, memory files
 *
 * Every descriptor is O_CLOEXEC. Replace = write a temporary beside, fsync, rename, fsync the
 * folder, so that a crash or a full disk leaves the old file or the new one. The environment
 * variable AVIARY_FAULT (tests only) is read here and nowhere else: `write:N` makes the N-th write
 * from here on fail with ENOSPC, `write:N+` that and all later ones, `kill:N` ends the process by
 * SIGKILL before its N-th change of the disk (file, folder, rename, symlink, or a place that calls
 * fs_fault_point()).
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"
#include <sys/types.h>

/** Read a regular file of at most @p max bytes. ERR_NOT_FOUND, ERR_INVALID (too large), ERR_SYSTEM.
 */
MUST_USE bool fs_read(const char *path, size_t max, struct buf *out, struct error *err);
/** As fs_read(), for secrets: refuses a file that group or others can read (ERR_REFUSED, names the
 *  chmod), or that belongs to another user than root or ours; @p out should be BUF_INIT_SECRET. One
 *  trailing line break is cut. An empty file is ERR_INVALID. */
MUST_USE bool fs_read_secret(const char *path, size_t max, struct buf *out, struct error *err);
/** Replace or create a file atomically and durably. */
MUST_USE bool fs_write(
	const char *path, const void *bytes, size_t len, mode_t mode, struct error *err);
/** What a file shall hold. */
struct fs_content {
	const void *bytes;
	size_t len;
	mode_t mode;
};
/** As fs_write(), relative to an open folder, which is fsynced too. */
MUST_USE bool fs_write_at(
	int folder, const char *name, const struct fs_content *content, struct error *err);
/** A new file, for folders that nobody looks into yet; durable only after fs_sync_tree().
 *  ERR_INVALID if it exists. */
MUST_USE bool fs_create_at(
	int folder, const char *name, const struct fs_content *content, struct error *err);
/** fsync an open folder and all that is below it. Writing is started for all files before the
 *  first is waited for: several times faster than file by file. */
MUST_USE bool fs_sync_tree(int folder, struct error *err);
/** rename() inside an open folder, which is fsynced. An existing @p to is replaced as by rename().
 */
MUST_USE bool fs_rename_at(int folder, const char *from, const char *to, struct error *err);
/** Make the symlink @p name in an open folder point to @p target, by rename: at no instant is it
 *  missing. Anything else than a symlink of that name is ERR_REFUSED. */
MUST_USE bool fs_switch_link(int folder, const char *name, const char *target, struct error *err);
/** A place where AVIARY_FAULT=kill:N may end the process, for changes that happen outside here. */
void fs_fault_point(void);
/** mkdir -p with @p mode for new folders. */
MUST_USE bool fs_make_folders(const char *path, mode_t mode, struct error *err);
/** rm -r below and including @p path, following no symlinks; a missing one is fine. */
MUST_USE bool fs_remove_tree(const char *path, struct error *err);
/** New private folder `<parent or $TMPDIR>/<prefix>-XXXXXX`; caller frees the path. */
MUST_USE bool fs_scratch(
	const char *parent, const char *prefix, char **path_out, struct error *err);
/** Exclusive lock of a file (created 0600), held while the descriptor is open. ERR_REFUSED if
 *  somebody else holds it. */
MUST_USE bool fs_lock(const char *path, int *fd_out, struct error *err);
/** "a/b/../c" tells false: relative, no empty part, no `.` or `..`, no control characters, at most
 * 1024 bytes. */
bool fs_path_is_inside(const char *path);

static inline void fs_close_at(int *fd)
{
	extern int close(int);
	if (*fd >= 0)
		(void)close(*fd); /* nothing was written through it that close could lose */
}
/** Declares an owned descriptor: `auto_fd int fd = -1;` */
#define auto_fd CLEANUP(fs_close_at)
