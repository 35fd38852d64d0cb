#include "git/pack_tree.h"

#define TREE_MIN   64 /* smaller ones are not worth a delta */
#define COPY_MAX   0xFFFFFF
#define INSERT_MAX 127
#define DELTA_MAX  ((size_t)1 << 30)

/* ---- deltas ---------------------------------------------------------------------------------- */

struct line {
	const char *start;
	size_t head; /* "mode name" and its NUL */
	size_t name; /* offset of the name */
};

/* The entry of a tree at @p at; false at the end, or where it is damaged. */
static bool line_at(const struct pack_object *tree, size_t at, struct line *line_out)
{
	const char *start = (const char *)tree->bytes + at;
	size_t left = tree->len - at;
	const char *nul = left ? memchr(start, '\0', left) : NULL;
	const char *blank = nul ? memchr(start, ' ', (size_t)(nul - start)) : NULL;
	if (!blank || left - (size_t)(nul + 1 - start) < GIT_OID_RAWSZ)
		return false;
	*line_out = (struct line){start, (size_t)(nul + 1 - start), (size_t)(blank + 1 - start)};
	return true;
}

struct delta {
	struct buf *out;
	size_t copy_from, copy_len; /* not written yet */
	const char *insert;
	size_t insert_len;
};

static void add_number(struct buf *out, size_t number)
{
	while (number >= 0x80) {
		buf_add_char(out, (char)(number | 0x80));
		number >>= 7;
	}
	buf_add_char(out, (char)number);
}

static void flush_copy(struct delta *delta)
{
	while (delta->copy_len) {
		size_t len = delta->copy_len < COPY_MAX ? delta->copy_len : COPY_MAX;
		unsigned char code[8] = {0x80};
		size_t used = 1;
		for (int i = 0; i < 4; i++)
			if (delta->copy_from >> 8 * i & 0xFF) {
				code[0] |= (unsigned char)(1 << i);
				code[used++] = (unsigned char)(delta->copy_from >> 8 * i);
			}
		for (int i = 0; i < 3; i++)
			if (len >> 8 * i & 0xFF) {
				code[0] |= (unsigned char)(0x10 << i);
				code[used++] = (unsigned char)(len >> 8 * i);
			}
		buf_add(delta->out, code, used);
		delta->copy_from += len;
		delta->copy_len -= len;
	}
}

static void flush_insert(struct delta *delta)
{
	while (delta->insert_len) {
		size_t len = delta->insert_len < INSERT_MAX ? delta->insert_len : INSERT_MAX;
		buf_add_char(delta->out, (char)len);
		buf_add(delta->out, delta->insert, len);
		delta->insert += len;
		delta->insert_len -= len;
	}
}

static void copy(struct delta *delta, size_t from, size_t len)
{
	flush_insert(delta);
	if (delta->copy_len && delta->copy_from + delta->copy_len != from)
		flush_copy(delta);
	if (!delta->copy_len)
		delta->copy_from = from;
	delta->copy_len += len;
}

/* What is inserted in a row stands in a row in the target, too. */
static void insert(struct delta *delta, const char *bytes, size_t len)
{
	flush_copy(delta);
	if (!delta->insert_len)
		delta->insert = bytes;
	delta->insert_len += len;
}

/* Both are in git's order. Any step gives a right delta; good ones give a short one. */
void pack_tree_delta(const struct pack_object *from, const struct pack_object *to, struct buf *out)
{
	struct delta delta = {.out = out};
	size_t a = 0, b = 0;
	struct line old = {0}, new = {0};
	add_number(out, from->len);
	add_number(out, to->len);
	while (line_at(to, b, &new)) {
		bool left = line_at(from, a, &old);
		bool same = left && old.head == new.head && !memcmp(old.start, new.start, new.head);
		if (left && !same && strcmp(old.start + old.name, new.start + new.name) < 0) {
			a += old.head + GIT_OID_RAWSZ;
			continue;
		}
		bool equal =
			same && !memcmp(old.start + old.head, new.start + new.head, GIT_OID_RAWSZ);
		size_t shared = equal ? new.head + GIT_OID_RAWSZ : same ? new.head : 0;
		if (shared)
			copy(&delta, a, shared);
		if (!equal)
			insert(&delta, new.start + shared, new.head + GIT_OID_RAWSZ - shared);
		b += new.head + GIT_OID_RAWSZ;
		a += same ? old.head + GIT_OID_RAWSZ : 0;
	}
	if (b < to->len) /* damaged: as it is */
		insert(&delta, (const char *)to->bytes + b, to->len - b);
	flush_copy(&delta);
	flush_insert(&delta);
}

/* ---- versions of folders --------------------------------------------------------------------- */

void pack_trees_clear(struct pack_trees *trees)
{
	for (size_t i = 0; i < trees->count; i++) {
		free(trees->folders[i].first);
		free(trees->folders[i].entries);
	}
	memset(trees, 0, sizeof(*trees));
}

/* The folder that a tree is a version of, or NULL if no more are told apart. */
static struct pack_folder *folder_of(struct pack_trees *trees, const struct pack_object *tree)
{
	struct line line;
	if (!line_at(tree, 0, &line))
		return NULL;
	for (size_t i = 0; i < trees->count; i++)
		if (!strcmp(trees->folders[i].first, line.start + line.name))
			return &trees->folders[i];
	if (trees->count == PACK_FOLDERS)
		return NULL;
	struct pack_folder *folder = &trees->folders[trees->count++];
	folder->first = mem_dup_str(line.start + line.name);
	return folder;
}

static void add_version(struct pack_folder *folder, size_t entry)
{
	mem_grow(folder->entries, folder->count, folder->capacity);
	folder->entries[folder->count++] = entry;
}

static bool add_delta(struct pack_trees *trees, struct pack_file *pack, size_t base,
	const struct pack_object *tree, struct error *err)
{
	auto_git(git_odb_object) *object = NULL;
	auto_buf struct buf delta = BUF_INIT(DELTA_MAX);
	int rc = git_odb_read(&object, trees->odb, &pack->entries[base].id);
	if (rc < 0)
		return repo_fail(err, rc, "tree could not be read");
	const struct pack_object from = {
		.bytes = git_odb_object_data(object), .len = git_odb_object_size(object)};
	pack_tree_delta(&from, tree, &delta);
	const struct pack_object told = {tree->id, GIT_OBJECT_TREE, delta.text, delta.len};
	if (delta.len > tree->len / 2 || pack->entries[base].depth >= PACK_DEPTH_MAX)
		return pack_file_add(pack, tree, err);
	return pack_file_add_delta(pack, &told, base, err);
}

bool pack_trees_add(struct pack_trees *trees, struct pack_file *pack,
	const struct pack_object *tree, struct error *err)
{
	struct pack_folder *folder = tree->len < TREE_MIN ? NULL : folder_of(trees, tree);
	if (!folder || pack_file_find(pack, &tree->id) != PACK_NONE)
		return pack_file_add(pack, tree, err);
	size_t next = folder->count;
	bool good = next ? add_delta(trees, pack, folder->entries[next & (next - 1)], tree, err)
			 : pack_file_add(pack, tree, err);
	if (good)
		add_version(folder, pack->count - 1);
	return good;
}

bool pack_trees_seed(
	struct pack_trees *trees, const struct pack_file *pack, size_t entry, struct error *err)
{
	auto_git(git_odb_object) *object = NULL;
	int rc = git_odb_read(&object, trees->odb, &pack->entries[entry].id);
	if (rc < 0)
		return repo_fail(err, rc, "tree could not be read");
	const struct pack_object tree = {
		.bytes = git_odb_object_data(object), .len = git_odb_object_size(object)};
	struct pack_folder *folder = tree.len < TREE_MIN ? NULL : folder_of(trees, &tree);
	if (folder && !folder->count)
		add_version(folder, entry);
	return true;
}
