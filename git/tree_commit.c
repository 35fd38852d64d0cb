#include "git/repo_priv.h"
#include "git/tree.h"
#include "git/tree_priv.h"

#define CACHE_SIZE 16 /* folders that are read in turn: secrets, host_vars, templates, roles */

struct cached_folder {
	char *path;
	git_tree *tree;
};

struct commit_tree {
	struct tree tree;
	struct repo *repo;
	git_odb *odb;
	git_tree *root;
	struct cached_folder cache[CACHE_SIZE];
	size_t next; /* slot of the cache that goes next */
};

static enum tree_type type_of(git_filemode_t mode)
{
	switch (mode) {
	case GIT_FILEMODE_TREE:
		return TREE_FOLDER;
	case GIT_FILEMODE_BLOB_EXECUTABLE:
		return TREE_EXECUTABLE;
	case GIT_FILEMODE_LINK:
		return TREE_SYMLINK;
	case GIT_FILEMODE_COMMIT:
		return TREE_SUBMODULE;
	default:
		return TREE_FILE;
	}
}

static git_tree *cached(struct commit_tree *self, const char *path)
{
	for (size_t i = 0; i < CACHE_SIZE; i++) {
		if (self->cache[i].path && !strcmp(self->cache[i].path, path))
			return self->cache[i].tree;
	}
	return NULL;
}

static void remember(struct commit_tree *self, const char *path, git_tree *tree)
{
	struct cached_folder *slot = &self->cache[self->next];

	self->next = (self->next + 1) % CACHE_SIZE;
	free(slot->path);
	git_tree_free(slot->tree);
	*slot = (struct cached_folder){.path = mem_dup_str(path), .tree = tree};
}

static bool find_folder(
	struct commit_tree *self, const char *path, git_tree **tree_out, struct error *err);

/* Entry of a path, borrowed from the cache: good until the next look-up of a folder. */
static bool find_entry(struct commit_tree *self, const char *path, const git_tree_entry **entry_out,
	struct error *err)
{
	const char *slash = strrchr(path, '/');
	auto_free char *folder = mem_dup(path, slash ? (size_t)(slash - path) : 0);
	git_tree *parent;

	if (!find_folder(self, folder, &parent, err))
		return err->code == ERR_NOT_FOUND ? tree_not_found(path, err) : false;
	*entry_out = git_tree_entry_byname(parent, slash ? slash + 1 : path);
	return *entry_out || tree_not_found(path, err);
}

static bool find_folder(
	struct commit_tree *self, const char *path, git_tree **tree_out, struct error *err)
{
	const git_tree_entry *entry;
	git_tree *tree = path[0] ? cached(self, path) : self->root;

	if (!tree) {
		if (!find_entry(self, path, &entry, err)) /* ends: one part less each time */
			return false;
		enum tree_type type = type_of(git_tree_entry_filemode(entry));
		if (!tree_check_type(path, type, err))
			return false;
		if (type != TREE_FOLDER)
			return tree_not_found(path, err);
		int rc = git_tree_lookup(&tree, self->repo->git, git_tree_entry_id(entry));
		if (rc < 0) {
			(void)repo_fail(err, rc, "folder '%s' could not be read", path);
			err->code = ERR_SYSTEM; /* an object that is missing is damage */
			return false;
		}
		remember(self, path, tree);
	}
	*tree_out = tree;
	return true;
}

static bool commit_tree_id(struct tree *tree, struct oid *id_out, struct error *err)
{
	(void)err; /* known since the tree was opened */
	oid_from_git(git_tree_id(((struct commit_tree *)tree)->root), id_out);
	return true;
}

static bool commit_tree_stat(
	struct tree *tree, const char *path, struct tree_entry *entry_out, struct error *err)
{
	const git_tree_entry *entry;

	if (!find_entry((struct commit_tree *)tree, path, &entry, err))
		return false;
	*entry_out = (struct tree_entry){.type = type_of(git_tree_entry_filemode(entry))};
	oid_from_git(git_tree_entry_id(entry), &entry_out->id);
	return true;
}

static bool commit_tree_read(struct tree *tree, const char *path, struct tree_entry *entry,
	struct buf *out, struct error *err)
{
	struct commit_tree *self = (struct commit_tree *)tree;
	auto_git(git_blob) *blob = NULL;
	git_object_t type;
	git_oid id;
	size_t len;

	oid_to_git(&entry->id, &id);
	/* the size first: a blob is inflated as a whole */
	int rc = git_odb_read_header(&len, &type, self->odb, &id);
	if (rc == 0 && len > TREE_FILE_MAX)
		return error_set(err, ERR_INVALID, "'%s' has %zu bytes, more than %zu", path, len,
			TREE_FILE_MAX);
	if (rc == 0)
		rc = git_blob_lookup(&blob, self->repo->git, &id);
	if (rc < 0) {
		(void)repo_fail(err, rc, "'%s' could not be read", path);
		err->code = ERR_SYSTEM; /* an object that is missing is damage */
		return false;
	}
	buf_add(out, git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob));
	return true;
}

static bool commit_tree_list(
	struct tree *tree, const char *folder, struct tree_entries *out, struct error *err)
{
	git_tree *found;

	if (!find_folder((struct commit_tree *)tree, folder, &found, err))
		return false;
	for (size_t i = 0; i < git_tree_entrycount(found); i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(found, i);
		struct oid id;
		oid_from_git(git_tree_entry_id(entry), &id);
		tree_entries_add(out,
			mem_printf(
				"%s%s%s", folder, folder[0] ? "/" : "", git_tree_entry_name(entry)),
			type_of(git_tree_entry_filemode(entry)), &id);
	}
	return true;
}

static void commit_tree_free(struct tree *tree)
{
	struct commit_tree *self = (struct commit_tree *)tree;

	for (size_t i = 0; i < CACHE_SIZE; i++) {
		free(self->cache[i].path);
		git_tree_free(self->cache[i].tree);
	}
	git_tree_free(self->root);
	git_odb_free(self->odb);
	repo_free(self->repo);
	free(self);
}

static const struct tree_kind commit_kind = {
	.id = commit_tree_id,
	.stat = commit_tree_stat,
	.read = commit_tree_read,
	.list = commit_tree_list,
	.free = commit_tree_free,
};

bool tree_open_object(
	struct repo *own, const struct oid *object, struct tree **tree_out, struct error *err)
{
	struct commit_tree *self = mem_zero(1, sizeof(*self));
	auto_tree struct tree *tree = &self->tree;
	auto_git(git_object) *found = NULL;
	git_oid id;

	self->tree.kind = &commit_kind;
	self->repo = own;
	oid_to_git(object, &id);
	int rc = git_object_lookup(&found, own->git, &id, GIT_OBJECT_ANY);
	if (rc == 0)
		rc = git_object_peel((git_object **)&self->root, found, GIT_OBJECT_TREE);
	if (rc == 0)
		rc = git_repository_odb(&self->odb, own->git);
	if (rc < 0)
		return repo_fail(err, rc, "files of commit '%s' could not be read", object->hex);
	*tree_out = STEAL(tree);
	return true;
}

bool tree_open_commit(
	struct repo *repo, const struct oid *commit, struct tree **tree_out, struct error *err)
{
	struct repo *own = NULL;
	return repo_reopen(repo, &own, err) && tree_open_object(own, commit, tree_out, err);
}
