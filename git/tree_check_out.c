/* The files of a tree in a folder, for programs that read files. */
#include "base/fs.h"
#include "git/tree.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define FILES_MAX 100000
#define BYTES_MAX ((size_t)1 << 30)

struct check_out {
	struct tree *tree;
	int root;
	size_t bytes;
	struct buf content; /* of one file */
};

/* The folders of a path, of which the first may be there already: files come sorted. */
static bool make_parents(int root, const char *path, struct error *err)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		auto_free char *folder = mem_dup(path, (size_t)(slash - path));
		if (mkdirat(root, folder, 0700) < 0 && errno != EEXIST)
			return error_errno(err, errno, "folder '%s'", folder);
	}
	return true;
}

static bool check_out_file(
	struct check_out *self, const struct tree_entry *entry, struct error *err)
{
	buf_truncate(&self->content, 0);
	if (!tree_read(self->tree, entry->path, &self->content, NULL, err))
		return false;
	self->bytes += self->content.len;
	if (self->bytes > BYTES_MAX)
		return error_set(err, ERR_INVALID,
			"the files of the commit are larger than %zu bytes", BYTES_MAX);
	const struct fs_content content = {self->content.text, self->content.len,
		entry->type == TREE_EXECUTABLE ? 0700 : 0600};
	return make_parents(self->root, entry->path, err) &&
	       fs_create_at(self->root, entry->path, &content, err);
}

static bool check_out_all(
	struct check_out *self, const struct tree_entries *entries, struct error *err)
{
	for (size_t i = 0; i < entries->count; i++)
		if (!check_out_file(self, &entries->items[i], err))
			return false;
	return true;
}

bool tree_check_out(struct tree *tree, const char *folder, struct error *err)
{
	auto_tree_entries struct tree_entries entries = {0};
	auto_fd int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct check_out self = {.tree = tree, .root = root, .content = BUF_INIT(TREE_FILE_MAX)};
	if (root < 0)
		return error_errno(err, errno, "folder '%s'", folder);
	if (!tree_list_deep(tree, "", &entries, err))
		return false;
	if (entries.count > FILES_MAX)
		return error_set(err, ERR_INVALID, "the commit has %zu files, more than %d",
			entries.count, FILES_MAX);
	bool good = check_out_all(&self, &entries, err);
	buf_clear(&self.content);
	return good;
}
