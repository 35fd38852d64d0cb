#include "git/tree.h"
#include "git/repo_priv.h"
#include "git/tree_priv.h"

/* https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: first line of each pointer */
#define LFS_START "version https://git-lfs.github.com/spec/"

void tree_entries_add(
	struct tree_entries *entries, char *path, enum tree_type type, const struct oid *id)
{
	mem_grow(entries->items, entries->count, entries->capacity);
	entries->items[entries->count++] =
		(struct tree_entry){.path = path, .type = type, .id = *id};
}

void tree_entries_clear(struct tree_entries *entries)
{
	for (size_t i = 0; i < entries->count; i++)
		free(entries->items[i].path);
	free(entries->items);
	memset(entries, 0, sizeof(*entries));
}

bool tree_not_found(const char *path, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "'%s' does not exist", path);
}

bool tree_check_type(const char *path, enum tree_type type, struct error *err)
{
	if (type == TREE_SYMLINK) {
		(void)error_set(err, ERR_REFUSED, "'%s' is a symbolic link", path);
		return error_hint(err, "put the file itself there; links are not followed");
	}
	if (type == TREE_SUBMODULE) {
		(void)error_set(err, ERR_REFUSED, "'%s' is a git submodule", path);
		return error_hint(err, "put the files themselves there; submodules are not read");
	}
	return true;
}

static bool check_path(const char *path, struct error *err)
{
	if (repo_path_is_safe(path))
		return true;
	auto_buf struct buf shown = BUF_INIT(200);
	buf_add_clean(&shown, path, strlen(path));
	return error_set(err, ERR_REFUSED,
		"path '%s' is not allowed: it must be relative, without '..', '.git', empty parts "
		"or control characters",
		shown.text);
}

void tree_free(struct tree *tree)
{
	if (tree)
		tree->kind->free(tree);
}

bool tree_id(struct tree *tree, struct oid *id_out, struct error *err)
{
	return tree->kind->id(tree, id_out, err);
}

bool tree_stat(struct tree *tree, const char *path, struct tree_entry *entry_out, struct error *err)
{
	return check_path(path, err) && tree->kind->stat(tree, path, entry_out, err);
}

bool tree_read(
	struct tree *tree, const char *path, struct buf *out, struct oid *id_out, struct error *err)
{
	struct tree_entry entry = {0};
	size_t start = out->len;

	if (!check_path(path, err) || !tree->kind->stat(tree, path, &entry, err) ||
		!tree_check_type(path, entry.type, err))
		return false;
	if (entry.type == TREE_FOLDER)
		return error_set(err, ERR_INVALID, "'%s' is a folder, not a file", path);
	if (!tree->kind->read(tree, path, &entry, out, err))
		return false;
	if (buf_overflowed(out))
		return error_set(
			err, ERR_INVALID, "'%s' is larger than %zu bytes", path, out->limit);
	if (!strncmp(out->text + start, LFS_START, strlen(LFS_START))) {
		buf_truncate(out, start);
		(void)error_set(
			err, ERR_REFUSED, "'%s' is a pointer of Git LFS, not the file", path);
		return error_hint(
			err, "commit the file itself: git lfs untrack, then add it again");
	}
	if (id_out)
		*id_out = entry.id;
	return true;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct tree_entry *)a)->path, ((const struct tree_entry *)b)->path);
}

/* Names that git would never write, but a hand-made tree object can hold. */
static bool check_names(const char *folder, const struct tree_entries *entries, struct error *err)
{
	size_t skip = folder[0] ? strlen(folder) + 1 : 0;

	for (size_t i = 0; i < entries->count; i++) {
		const char *path = entries->items[i].path;
		if (!repo_name_is_safe(path + skip))
			return check_path(path, err);
		if (i && !strcmp(entries->items[i - 1].path, path))
			return error_set(err, ERR_REFUSED, "'%s' is there twice", path);
	}
	return true;
}

bool tree_list(struct tree *tree, const char *folder, struct tree_entries *out, struct error *err)
{
	auto_tree_entries struct tree_entries entries = {0};

	if (folder[0] && !check_path(folder, err))
		return false;
	if (!tree->kind->list(tree, folder, &entries, err))
		return false;
	if (entries.count)
		qsort(entries.items, entries.count, sizeof(*entries.items), by_path);
	if (!check_names(folder, &entries, err))
		return false;
	for (size_t i = 0; i < entries.count; i++)
		tree_entries_add(out, STEAL(entries.items[i].path), entries.items[i].type,
			&entries.items[i].id);
	return true;
}

static bool list_below(
	struct tree *tree, const char *folder, struct tree_entries *out, struct error *err)
{
	auto_tree_entries struct tree_entries entries = {0};

	if (!tree_list(tree, folder, &entries, err))
		return false;
	for (size_t i = 0; i < entries.count; i++) {
		struct tree_entry *entry = &entries.items[i];
		if (!tree_check_type(entry->path, entry->type, err))
			return false;
		if (entry->type != TREE_FOLDER)
			tree_entries_add(out, STEAL(entry->path), entry->type, &entry->id);
		else if (!list_below(tree, entry->path, out, err)) /* ends: paths are bounded */
			return false;
	}
	return true;
}

bool tree_list_deep(
	struct tree *tree, const char *folder, struct tree_entries *out, struct error *err)
{
	auto_tree_entries struct tree_entries entries = {0};

	if (!list_below(tree, folder, &entries, err))
		return false;
	if (entries.count)
		qsort(entries.items, entries.count, sizeof(*entries.items), by_path);
	for (size_t i = 0; i < entries.count; i++)
		tree_entries_add(out, STEAL(entries.items[i].path), entries.items[i].type,
			&entries.items[i].id);
	return true;
}
