/* The files of a folder as it lies. In a git repository: the tree that `git add -A` would make of
 * it - tracked files and those that no .gitignore names, with the repository's line-end filters
 * applied - so that a plan from the folder and one from its commit agree. Elsewhere: all files.
 *
 * The folder is walked once, when it is opened; files are hashed when somebody asks. Sorted by path
 * bytewise, the files of a folder are neighbours in git's order.
 */
#include "git/tree_folder.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

static bool hash_bytes(
	const void *bytes, size_t len, git_object_t type, struct oid *id_out, struct error *err)
{
	git_oid id;
	int rc = git_odb_hash(&id, bytes, len, type);
	if (rc < 0)
		return repo_fail(err, rc, "hash could not be computed");
	oid_from_git(&id, id_out);
	return true;
}

/* ---- bytes and ids ------------------------------------------------------------------------ */

static bool read_link(const char *full, const char *path, struct buf *out, struct error *err)
{
	char target[PATH_MAX];
	ssize_t len = readlink(full, target, sizeof(target));
	if (len < 0)
		return error_errno(err, errno, "'%s' could not be read", path);
	buf_add(out, target, (size_t)len);
	return true;
}

static bool read_regular(const char *full, const char *path, struct buf *out, struct error *err)
{
	char chunk[16384];
	ssize_t got;

	int fd = open(full, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_errno(err, errno, "'%s' could not be read", path);
	while ((got = read(fd, chunk, sizeof(chunk))) > 0 && !buf_overflowed(out))
		buf_add(out, chunk, (size_t)got);
	int reason = errno;
	(void)close(fd); /* only read */
	return got >= 0 || error_errno(err, reason, "'%s' could not be read", path);
}

/* What git would store: line ends and identifiers as .gitattributes and core.autocrlf say. */
static bool apply_filters(
	struct folder_tree *self, const char *path, struct buf *bytes, struct error *err)
{
	auto_free char *full = mem_printf("%s%s", self->prefix, path);
	auto_git(git_filter_list) *filters = NULL;
	git_buf result = {0};

	int rc = git_filter_list_load(
		&filters, self->repo->git, NULL, full, GIT_FILTER_TO_ODB, GIT_FILTER_DEFAULT);
	if (rc == 0 && !filters)
		return true;
	if (rc == 0)
		rc = git_filter_list_apply_to_buffer(&result, filters, bytes->text, bytes->len);
	if (rc < 0)
		return repo_fail(err, rc, "'%s' could not be filtered", path);
	buf_truncate(bytes, 0);
	buf_add(bytes, result.ptr, result.size);
	git_buf_dispose(&result);
	return true;
}

static bool load_file(struct folder_tree *self, const struct folder_file *file, struct buf *out,
	struct error *err)
{
	auto_free char *full = mem_printf("%s/%s", self->root, file->path);

	if (file->type == TREE_SYMLINK)
		return read_link(full, file->path, out, err);
	if (!read_regular(full, file->path, out, err))
		return false;
	if (buf_overflowed(out))
		return error_set(
			err, ERR_INVALID, "'%s' has more than %zu bytes", file->path, out->limit);
	return !self->repo || apply_filters(self, file->path, out, err);
}

static bool file_id(struct folder_tree *self, struct folder_file *file, struct error *err)
{
	/* An id needs the bytes of any size, as tofu plugins and images lie around in folders. */
	auto_buf struct buf bytes = BUF_INIT((size_t)1 << 30);

	if (file->id.hex[0] || file->type == TREE_SUBMODULE)
		return true;
	return load_file(self, file, &bytes, err) &&
	       hash_bytes(bytes.text, bytes.len, GIT_OBJECT_BLOB, &file->id, err);
}

static const char *mode_of(enum tree_type type)
{
	static const char *const modes[] = {
		[TREE_FILE] = "100644",
		[TREE_EXECUTABLE] = "100755",
		[TREE_FOLDER] = "40000",
		[TREE_SYMLINK] = "120000",
		[TREE_SUBMODULE] = "160000",
	};
	return modes[type];
}

static void add_tree_line(
	struct buf *object, enum tree_type type, const char *name, size_t len, const struct oid *id)
{
	git_oid raw;
	oid_to_git(id, &raw);
	buf_addf(object, "%s %.*s", mode_of(type), (int)len, name);
	buf_add_char(object, '\0');
	buf_add(object, raw.id, GIT_OID_RAWSZ);
}

/* The files of one folder: [first, end), whose paths have the folder and its slash as their first
 * @p skip bytes. */
struct run {
	size_t first, end, skip;
};

/* The run of files, from @p first, that begin with the same @p skip bytes. */
static struct run run_from(const struct folder_tree *self, size_t first, size_t skip)
{
	size_t end = first + 1;
	while (end < self->count && !strncmp(self->files[end].path, self->files[first].path, skip))
		end++;
	return (struct run){first, end, skip};
}

static bool folder_id(
	struct folder_tree *self, struct run run, struct oid *id_out, struct error *err)
{
	auto_buf struct buf object = BUF_INIT(SIZE_MAX / 2);

	for (size_t i = run.first; i < run.end;) {
		struct folder_file *file = &self->files[i];
		const char *name = file->path + run.skip;
		size_t len = strcspn(name, "/");
		struct oid id;
		if (name[len]) {
			struct run inner = run_from(self, i, run.skip + len + 1);
			if (!folder_id(self, inner, &id, err)) /* ends: one part less each time */
				return false;
			add_tree_line(&object, TREE_FOLDER, name, len, &id);
			i = inner.end;
			continue;
		}
		if (!file_id(self, file, err))
			return false;
		add_tree_line(&object, file->type, name, len, &file->id);
		i++;
	}
	return hash_bytes(object.text, object.len, GIT_OBJECT_TREE, id_out, err);
}

/* First file whose path is not less than @p path. */
static size_t lower_bound(const struct folder_tree *self, const char *path)
{
	size_t low = 0, high = self->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(self->files[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The files below a folder ("" = root): false if there are none. */
static bool find_run(const struct folder_tree *self, const char *folder, struct run *run_out)
{
	auto_free char *prefix = folder[0] ? mem_printf("%s/", folder) : mem_dup_str("");
	size_t len = strlen(prefix), first = lower_bound(self, prefix);

	if (first == self->count || strncmp(self->files[first].path, prefix, len) != 0)
		return false;
	*run_out = run_from(self, first, len);
	return true;
}

static struct folder_file *find_file(const struct folder_tree *self, const char *path)
{
	size_t at = lower_bound(self, path);
	bool found = at < self->count && !strcmp(self->files[at].path, path);
	return found ? &self->files[at] : NULL;
}

/* A link or submodule in the middle of a path is refused by name, not "not there". */
static bool check_parents(const struct folder_tree *self, const char *path, struct error *err)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		auto_free char *parent = mem_dup(path, (size_t)(slash - path));
		const struct folder_file *file = find_file(self, parent);
		if (file && !tree_check_type(parent, file->type, err))
			return false;
	}
	return true;
}

/* ---- the kind ----------------------------------------------------------------------------- */

static bool folder_tree_id(struct tree *tree, struct oid *id_out, struct error *err)
{
	struct folder_tree *self = (struct folder_tree *)tree;
	return folder_id(self, (struct run){0, self->count, 0}, id_out, err);
}

static bool folder_tree_stat(
	struct tree *tree, const char *path, struct tree_entry *entry_out, struct error *err)
{
	struct folder_tree *self = (struct folder_tree *)tree;
	struct folder_file *file = find_file(self, path);
	struct tree_entry entry = {.type = TREE_FOLDER};
	struct run run;

	if (file) {
		if (!file_id(self, file, err))
			return false;
		entry.type = file->type;
		entry.id = file->id;
	} else if (find_run(self, path, &run)) {
		if (!folder_id(self, run, &entry.id, err))
			return false;
	} else {
		return check_parents(self, path, err) && tree_not_found(path, err);
	}
	*entry_out = entry;
	return true;
}

static bool folder_tree_read(struct tree *tree, const char *path, struct tree_entry *entry,
	struct buf *out, struct error *err)
{
	struct folder_tree *self = (struct folder_tree *)tree;
	auto_buf struct buf bytes = BUF_INIT(TREE_FILE_MAX);

	/* hashed again: the file may have changed since it was found */
	if (!load_file(self, find_file(self, path), &bytes, err) ||
		!hash_bytes(bytes.text, bytes.len, GIT_OBJECT_BLOB, &entry->id, err))
		return false;
	buf_add(out, bytes.text, bytes.len);
	return true;
}

/* Append the entry that begins at run->first, and take its files off the run. */
static bool list_one(
	struct folder_tree *self, struct run *run, struct tree_entries *out, struct error *err)
{
	struct folder_file *file = &self->files[run->first];
	size_t len = run->skip + strcspn(file->path + run->skip, "/");
	struct oid id;

	if (file->path[len]) {
		struct run inner = run_from(self, run->first, len + 1);
		if (!folder_id(self, inner, &id, err))
			return false;
		tree_entries_add(out, mem_dup(file->path, len), TREE_FOLDER, &id);
		run->first = inner.end;
		return true;
	}
	if (!file_id(self, file, err))
		return false;
	tree_entries_add(out, mem_dup_str(file->path), file->type, &file->id);
	run->first++;
	return true;
}

static bool folder_tree_list(
	struct tree *tree, const char *folder, struct tree_entries *out, struct error *err)
{
	struct folder_tree *self = (struct folder_tree *)tree;
	const struct folder_file *file = find_file(self, folder);
	struct run run = {0};

	if (file && !tree_check_type(folder, file->type, err))
		return false;
	if (!find_run(self, folder, &run) && folder[0])
		return check_parents(self, folder, err) && tree_not_found(folder, err);
	while (run.first < run.end) {
		if (!list_one(self, &run, out, err))
			return false;
	}
	return true;
}

static void folder_tree_free(struct tree *tree)
{
	struct folder_tree *self = (struct folder_tree *)tree;

	for (size_t i = 0; i < self->count; i++)
		free(self->files[i].path);
	free(self->files);
	git_index_free(self->index);
	repo_free(self->repo);
	free(self->root);
	free(self->prefix);
	free(self);
}

static const struct tree_kind folder_kind = {
	.id = folder_tree_id,
	.stat = folder_tree_stat,
	.read = folder_tree_read,
	.list = folder_tree_list,
	.free = folder_tree_free,
};

/* ---- opening ------------------------------------------------------------------------------ */

static bool read_file_mode(struct folder_tree *self, struct error *err)
{
	git_config *config = NULL;
	int value = 1;

	int rc = git_repository_config_snapshot(&config, self->repo->git);
	if (rc == 0)
		rc = git_config_get_bool(&value, config, "core.filemode");
	git_config_free(config);
	if (rc < 0 && rc != GIT_ENOTFOUND)
		return repo_fail(err, rc, "configuration of the repository could not be read");
	git_error_clear();
	self->file_mode = value;
	return true;
}

static bool open_repo(struct folder_tree *self, struct error *err)
{
	struct error none;
	auto_free char *work = NULL;

	if (!repo_discover(self->root, &self->repo, &none)) {
		if (none.code == ERR_NOT_FOUND)
			return true;
		*err = none;
		return false;
	}
	work = repo_folder(self->repo) ? realpath(repo_folder(self->repo), NULL) : NULL;
	size_t len = work ? strlen(work) : 0;
	bool below = len && !strncmp(self->root, work, len) &&
		     (self->root[len] == '/' || !self->root[len]);
	if (!below) { /* inside a bare repository or a .git folder: just files */
		repo_free(STEAL(self->repo));
		return true;
	}
	if (self->root[len]) {
		free(self->prefix);
		self->prefix = mem_printf("%s/", self->root + len + 1);
	}
	int rc = git_repository_index(&self->index, self->repo->git);
	if (rc < 0)
		return repo_fail(err, rc, "index of the repository could not be read");
	return read_file_mode(self, err);
}

bool tree_open_folder(const char *folder, struct tree **tree_out, struct error *err)
{
	struct folder_tree *self = mem_zero(1, sizeof(*self));
	auto_tree struct tree *tree = &self->tree;

	self->tree.kind = &folder_kind;
	self->file_mode = true;
	self->prefix = mem_dup_str("");
	self->root = realpath(folder, NULL);
	if (!self->root && errno == ENOENT)
		return error_set(err, ERR_NOT_FOUND, "folder '%s' does not exist", folder);
	if (!self->root)
		return error_errno(err, errno, "folder '%s' could not be opened", folder);
	if (!open_repo(self, err) || !tree_folder_walk(self, err))
		return false;
	*tree_out = STEAL(tree);
	return true;
}
