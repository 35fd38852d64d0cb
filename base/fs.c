#include "base/fs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Deeper trees are no work of ours; each level costs a descriptor and some stack. */
#define TREE_DEPTH 200
#define INSIDE_MAX 1024
#define TEMP_SIZE  256

/* ---- faults of tests ------------------------------------------------------------------------ */

enum change { CHANGE_OTHER, CHANGE_WRITE };

/* Counts from the moment the variable got its present value; a test changes it between cases. */
static struct {
	pthread_mutex_t lock;
	char seen[32];
	long count;
} fault = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool fault_is_due(const char *value, enum change change)
{
	bool kill = strncmp(value, "kill:", 5) == 0;
	if (!kill && (strncmp(value, "write:", 6) != 0 || change != CHANGE_WRITE))
		return false;
	if (strcmp(fault.seen, value) != 0) {
		(void)snprintf(fault.seen, sizeof(fault.seen), "%s", value); /* tests: short */
		fault.count = 0;
	}
	char *end = NULL;
	long due = strtol(strchr(value, ':') + 1, &end, 10);
	fault.count++;
	return *end == '+' ? fault.count >= due : fault.count == due;
}

/* Tells whether this change must fail with ENOSPC. */
static bool fault_hits(enum change change)
{
	const char *value = getenv("AVIARY_FAULT");
	(void)pthread_mutex_lock(&fault.lock); /* a static default mutex cannot fail */
	if (!value)
		fault.seen[0] = '\0';
	bool due = value && fault_is_due(value, change);
	(void)pthread_mutex_unlock(&fault.lock); /* as above */
	if (due && value[0] == 'k')
		(void)raise(SIGKILL); /* does not return */
	return due;
}

void fs_fault_point(void)
{
	(void)fault_hits(CHANGE_OTHER); /* kills or does nothing */
}

/* ---- reading -------------------------------------------------------------------------------- */

static bool open_regular(const char *path, int *fd_out, struct stat *st, struct error *err)
{
	/* O_NONBLOCK: a FIFO without a writer must not hang us before it is refused */
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return error_set(err, ERR_NOT_FOUND, "'%s' does not exist", path);
	if (fd < 0 || fstat(fd, st) < 0)
		return error_errno(err, errno, "cannot read '%s'", path);
	if (!S_ISREG(st->st_mode))
		return error_set(err, ERR_INVALID, "'%s' is not a regular file", path);
	*fd_out = fd;
	fd = -1;
	return true;
}

static bool too_large(const char *path, size_t max, struct error *err)
{
	return error_set(err, ERR_INVALID, "'%s' is larger than %zu bytes", path, max);
}

static bool read_all(int fd, const char *path, size_t max, struct buf *out, struct error *err)
{
	char chunk[16384];
	size_t total = 0;
	bool good = false;
	for (;;) {
		ssize_t got = read(fd, chunk, sizeof(chunk));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			(void)error_errno(err, errno, "cannot read '%s'", path); /* false */
		else if (got > 0 && (total += (size_t)got) > max)
			(void)too_large(path, max, err); /* false */
		else if (got == 0)
			good = true;
		if (got <= 0 || total > max)
			break;
		buf_add(out, chunk, (size_t)got);
	}
	explicit_bzero(chunk, sizeof(chunk));
	if (good && buf_overflowed(out))
		return too_large(path, out->limit, err);
	return good;
}

bool fs_read(const char *path, size_t max, struct buf *out, struct error *err)
{
	auto_fd int fd = -1;
	struct stat st;
	if (!open_regular(path, &fd, &st, err))
		return false;
	if ((uintmax_t)st.st_size > max)
		return too_large(path, max, err);
	return read_all(fd, path, max, out, err);
}

/* systemd gives a service its credentials as 0440 root:root with an ACL entry for its user; the
 * folder around them is closed to everybody else. */
static bool is_credential(const char *path)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	size_t len = folder ? strlen(folder) : 0;
	return len > 1 && strncmp(path, folder, len) == 0 && path[len] == '/' &&
	       !strstr(path + len, "/../");
}

static bool secret_is_private(const char *path, const struct stat *st, struct error *err)
{
	if (st->st_uid != 0 && st->st_uid != geteuid()) {
		error_set(err, ERR_REFUSED, "secret file '%s' belongs to another user", path);
		return error_hint(err, "chown %u '%s'", (unsigned)geteuid(), path);
	}
	mode_t open_bits = is_credential(path) ? S_IRWXO : S_IRWXG | S_IRWXO;
	if (st->st_mode & open_bits) {
		error_set(err, ERR_REFUSED, "secret file '%s' is open to others (mode %04o)", path,
			(unsigned)st->st_mode & 07777);
		return error_hint(err, "chmod 0600 '%s'", path);
	}
	return true;
}

bool fs_read_secret(const char *path, size_t max, struct buf *out, struct error *err)
{
	auto_fd int fd = -1;
	struct stat st;
	if (!open_regular(path, &fd, &st, err) || !secret_is_private(path, &st, err) ||
		!read_all(fd, path, max, out, err))
		return false;
	size_t len = out->len;
	if (len && out->text[len - 1] == '\n')
		len--;
	if (len && len < out->len && out->text[len - 1] == '\r')
		len--;
	buf_truncate(out, len);
	if (!len)
		return error_set(err, ERR_INVALID, "secret file '%s' is empty", path);
	return true;
}

/* ---- writing -------------------------------------------------------------------------------- */

static bool write_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;
	do {
		if (fault_hits(CHANGE_WRITE)) {
			errno = ENOSPC;
			return false;
		}
		ssize_t done = len ? write(fd, at, len) : 0;
		if (done < 0 && errno != EINTR)
			return false;
		if (done > 0) {
			at += done;
			len -= (size_t)done;
		}
	} while (len);
	return true;
}

/* `.name.<random>.new`: two writers of one file never share a temporary. */
static void temp_name(const char *name, char *temp)
{
	uint64_t salt = 0;
	if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
		salt ^= (uint64_t)getpid(); /* O_EXCL catches what is left of the danger */
	(void)snprintf(temp, TEMP_SIZE, ".%.200s.%016llx.new", name, (unsigned long long)salt);
}

static bool create_file(
	int folder, const char *name, const struct fs_content *content, bool durable)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	bool good = write_all(fd, content->bytes, content->len) && fchmod(fd, content->mode) == 0 &&
		    (!durable || fsync(fd) == 0);
	int saved = errno;
	if (close(fd) < 0 && good)
		return false;
	errno = saved;
	return good;
}

bool fs_create_at(int folder, const char *name, const struct fs_content *content, struct error *err)
{
	if (create_file(folder, name, content, false))
		return true;
	if (errno == EEXIST)
		return error_set(err, ERR_INVALID, "'%s' exists already", name);
	return error_errno(err, errno, "cannot write '%s'", name);
}

static bool rename_durably(int folder, const char *from, const char *to)
{
	fs_fault_point();
	return renameat(folder, from, folder, to) == 0 && fsync(folder) == 0;
}

bool fs_write_at(int folder, const char *name, const struct fs_content *content, struct error *err)
{
	char temp[TEMP_SIZE];
	temp_name(name, temp);
	if (create_file(folder, temp, content, true) && rename_durably(folder, temp, name))
		return true;
	int saved = errno;
	(void)unlinkat(folder, temp, 0); /* the first failure is the one to tell */
	return error_errno(err, saved, "cannot write '%s'", name);
}

static bool open_folder_of(const char *path, int *fd_out, const char **name_out, struct error *err)
{
	const char *slash = strrchr(path, '/');
	auto_free char *parent =
		slash ? mem_dup(path, slash == path ? 1 : (size_t)(slash - path)) : NULL;
	int fd = open(parent ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno, "cannot open the folder of '%s'", path);
	*fd_out = fd;
	*name_out = slash ? slash + 1 : path;
	return true;
}

bool fs_write(const char *path, const void *bytes, size_t len, mode_t mode, struct error *err)
{
	auto_fd int folder = -1;
	const char *name = NULL;
	if (!open_folder_of(path, &folder, &name, err))
		return false;
	const struct fs_content content = {bytes, len, mode};
	if (!fs_write_at(folder, name, &content, err))
		return name == path ? false : error_wrap(err, "'%s'", path);
	return true;
}

bool fs_rename_at(int folder, const char *from, const char *to, struct error *err)
{
	if (!rename_durably(folder, from, to))
		return error_errno(err, errno, "cannot rename '%s' to '%s'", from, to);
	return true;
}

bool fs_switch_link(int folder, const char *name, const char *target, struct error *err)
{
	struct stat st;
	char temp[TEMP_SIZE];
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISLNK(st.st_mode)) {
		error_set(err, ERR_REFUSED, "'%s' is not a symlink", name);
		return error_hint(err, "move it away; Aviary switches it by renaming a symlink");
	}
	temp_name(name, temp);
	fs_fault_point();
	if (symlinkat(target, folder, temp) < 0)
		return error_errno(err, errno, "cannot make the symlink '%s'", name);
	if (rename_durably(folder, temp, name))
		return true;
	int saved = errno;
	(void)unlinkat(folder, temp, 0); /* the first failure is the one to tell */
	return error_errno(err, saved, "cannot switch the symlink '%s'", name);
}

/* ---- folders -------------------------------------------------------------------------------- */

static bool make_folder(const char *path, mode_t mode)
{
	struct stat st;
	fs_fault_point();
	if (mkdir(path, mode) == 0)
		return chmod(path, mode) == 0; /* whatever the umask says */
	if (errno != EEXIST && errno != EROFS)
		return false;
	if (stat(path, &st) < 0)
		return false;
	errno = ENOTDIR;
	return S_ISDIR(st.st_mode);
}

bool fs_make_folders(const char *path, mode_t mode, struct error *err)
{
	auto_free char *part = mem_dup_str(path);
	for (char *at = part + (*part == '/');; at++) {
		char c = *at;
		if (c && c != '/')
			continue;
		*at = '\0';
		if (*part && !make_folder(part, mode))
			return error_errno(err, errno, "cannot make the folder '%s'", part);
		*at = c;
		if (!c)
			return true;
	}
}

typedef bool (*visit_func)(int folder, const char *name, unsigned depth);

/* Calls `visit` for each entry until one fails. Takes the descriptor over. */
static bool visit_entries(int fd, visit_func visit, unsigned depth)
{
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	if (!list) {
		fs_close_at(&fd);
		return false;
	}
	bool good = true;
	struct dirent *entry;
	while (good && (errno = 0, entry = readdir(list))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			good = visit(fd, entry->d_name, depth + 1);
	}
	int saved = errno;
	(void)closedir(list); /* read-only */
	errno = saved;
	return good && !saved;
}

static int open_below(int folder, const char *name, unsigned depth)
{
	if (depth <= TREE_DEPTH)
		return openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	errno = ELOOP;
	return -1;
}

/* readdir() while entries go: POSIX leaves it open whether new entries show, not removed ones. */
static bool remove_at(int folder, const char *name, unsigned depth)
{
	if (unlinkat(folder, name, 0) == 0 || errno == ENOENT || errno == ENOTDIR)
		return true;
	if (errno != EISDIR && errno != EPERM)
		return false;
	return visit_entries(open_below(folder, name, depth), remove_at, depth) &&
	       (unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT);
}

static int open_entry(int folder, const char *name)
{
	return openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

/* Only a start: whether it worked is told by the fsync() that follows. */
static bool start_writing(int folder, const char *name, unsigned depth)
{
	struct stat st;
	auto_fd int fd = open_entry(folder, name);
	if (fd < 0 || fstat(fd, &st) < 0)
		return true;
	if (S_ISDIR(st.st_mode))
		return visit_entries(open_below(folder, name, depth), start_writing, depth);
	(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* as above */
	return true;
}

static bool finish_writing(int folder, const char *name, unsigned depth)
{
	struct stat st;
	auto_fd int fd = open_entry(folder, name);
	if (fd < 0)
		return errno == ELOOP; /* a symlink is part of its folder */
	if (fstat(fd, &st) < 0)
		return false;
	if (S_ISDIR(st.st_mode) &&
		!visit_entries(open_below(folder, name, depth), finish_writing, depth))
		return false;
	return fsync(fd) == 0;
}

bool fs_sync_tree(int folder, struct error *err)
{
	if (!visit_entries(open_below(folder, ".", 0), start_writing, 0) ||
		!visit_entries(open_below(folder, ".", 0), finish_writing, 0) || fsync(folder) < 0)
		return error_errno(err, errno, "cannot write a folder to the disk");
	return true;
}

bool fs_remove_tree(const char *path, struct error *err)
{
	if (!remove_at(AT_FDCWD, path, 0))
		return error_errno(err, errno, "cannot remove '%s'", path);
	return true;
}

bool fs_scratch(const char *parent, const char *prefix, char **path_out, struct error *err)
{
	const char *env = getenv("TMPDIR");
	const char *folder = parent ? parent : env && *env ? env : "/tmp";
	auto_free char *path = mem_printf("%s/%s-XXXXXX", folder, prefix);
	if (!mkdtemp(path))
		return error_errno(err, errno, "cannot make a scratch folder in '%s'", folder);
	*path_out = STEAL(path);
	return true;
}

bool fs_lock(const char *path, int *fd_out, struct error *err)
{
	auto_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_errno(err, errno, "cannot open the lock '%s'", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return error_set(
				err, ERR_REFUSED, "'%s' is locked by another process", path);
		return error_errno(err, errno, "cannot lock '%s'", path);
	}
	*fd_out = fd;
	fd = -1;
	return true;
}

bool fs_path_is_inside(const char *path)
{
	size_t len = strlen(path);
	if (!len || len > INSIDE_MAX || path[0] == '/')
		return false;
	for (const char *at = path; *at; at++) {
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return false;
	}
	for (const char *part = path; part;) {
		const char *slash = strchr(part, '/');
		size_t part_len = slash ? (size_t)(slash - part) : strlen(part);
		bool dots = part_len == 0 ||
			    (part_len <= 2 && part[0] == '.' && (part_len == 1 || part[1] == '.'));
		if (dots)
			return false;
		part = slash ? slash + 1 : NULL;
	}
	return true;
}
