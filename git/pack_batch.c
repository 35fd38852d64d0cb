/* A backend of libgit2's object database that keeps what is written, in order. */
#include "git/pack.h"
#include "git/pack_tree.h"
#include <git2/sys/odb_backend.h>

#define BATCH_MAX      ((size_t)16 << 20) /* forty trees of ten thousand clients */
#define BATCH_PRIORITY 1000               /* asked and written to before all others */

struct batch {
	git_odb_backend backend; /* first: libgit2 hands it back */
	struct pack_object *items;
	size_t count, capacity;
	uint32_t *slots; /* items by id, index + 1 */
	size_t slot_count;
	size_t bytes;
};

static size_t slot_of(const struct batch *batch, const git_oid *id)
{
	uint64_t hash; /* ids are as good as random */
	memcpy(&hash, id->id, sizeof(hash));
	size_t at = (size_t)hash & (batch->slot_count - 1);
	while (batch->slots[at] && !git_oid_equal(&batch->items[batch->slots[at] - 1].id, id))
		at = (at + 1) & (batch->slot_count - 1);
	return at;
}

static const struct pack_object *find(const git_odb_backend *backend, const git_oid *id)
{
	const struct batch *batch = (const struct batch *)(const void *)backend;
	uint32_t found = batch->slot_count ? batch->slots[slot_of(batch, id)] : 0;
	return found ? &batch->items[found - 1] : NULL;
}

static int on_read(void **out, size_t *len_out, git_object_t *type_out, git_odb_backend *self,
	const git_oid *id)
{
	const struct pack_object *found = find(self, id);
	if (!found)
		return GIT_ENOTFOUND;
	*out = git_odb_backend_data_alloc(self, found->len + 1); /* as libgit2's own: ends in NUL */
	if (!*out)
		return GIT_ERROR;
	memcpy(*out, found->bytes, found->len + 1);
	*len_out = found->len;
	*type_out = found->type;
	return 0;
}

static int on_header(
	size_t *len_out, git_object_t *type_out, git_odb_backend *self, const git_oid *id)
{
	const struct pack_object *found = find(self, id);
	if (!found)
		return GIT_ENOTFOUND;
	*len_out = found->len;
	*type_out = found->type;
	return 0;
}

static int on_exists(git_odb_backend *self, const git_oid *id)
{
	return find(self, id) != NULL;
}

static void grow_slots(struct batch *batch)
{
	free(batch->slots);
	batch->slot_count = batch->slot_count ? batch->slot_count * 2 : 256;
	batch->slots = mem_zero(batch->slot_count, sizeof(*batch->slots));
	for (size_t i = 0; i < batch->count; i++)
		batch->slots[slot_of(batch, &batch->items[i].id)] = (uint32_t)i + 1;
}

static int on_write(
	git_odb_backend *self, const git_oid *id, const void *bytes, size_t len, git_object_t type)
{
	struct batch *batch = (struct batch *)(void *)self;
	if (find(self, id))
		return 0;
	if (batch->count * 2 >= batch->slot_count)
		grow_slots(batch);
	mem_grow(batch->items, batch->count, batch->capacity);
	batch->slots[slot_of(batch, id)] = (uint32_t)batch->count + 1;
	batch->items[batch->count++] = (struct pack_object){
		.id = *id, .type = type, .bytes = mem_dup(bytes, len), .len = len};
	batch->bytes += len;
	return 0;
}

static void forget(struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		free((void *)batch->items[i].bytes);
	free(batch->items);
	free(batch->slots);
	batch->items = NULL;
	batch->slots = NULL;
	batch->count = batch->capacity = batch->slot_count = batch->bytes = 0;
}

static void on_free(git_odb_backend *self)
{
	forget((struct batch *)(void *)self);
	free(self);
}

bool pack_batch_open(const struct repo *repo, struct repo **batch_out, struct error *err)
{
	auto_repo struct repo *opened = NULL;
	auto_git(git_odb) *odb = NULL;
	if (!repo_reopen(repo, &opened, err))
		return false;
	struct batch *batch = mem_zero(1, sizeof(*batch));
	int rc = git_odb_init_backend(&batch->backend, GIT_ODB_BACKEND_VERSION);
	batch->backend.read = on_read;
	batch->backend.read_header = on_header;
	batch->backend.exists = on_exists;
	batch->backend.write = on_write;
	batch->backend.free = on_free;
	if (rc == 0)
		rc = git_repository_odb(&odb, opened->git);
	if (rc == 0)
		rc = git_odb_add_backend(odb, &batch->backend, BATCH_PRIORITY);
	if (rc < 0) {
		on_free(&batch->backend);
		return repo_fail(err, rc, "objects could not be kept in memory");
	}
	opened->batch = batch;
	*batch_out = STEAL(opened);
	return true;
}

bool pack_batch_is_full(const struct repo *repo)
{
	return repo->batch->bytes > BATCH_MAX;
}

static bool add_all(
	const struct batch *batch, git_odb *odb, struct pack_file *pack, struct error *err)
{
	auto_pack_trees struct pack_trees trees = {.odb = odb};
	for (size_t i = 0; i < batch->count; i++) {
		const struct pack_object *item = &batch->items[i];
		bool good = item->type == GIT_OBJECT_TREE ? pack_trees_add(&trees, pack, item, err)
							  : pack_file_add(pack, item, err);
		if (!good)
			return false;
	}
	return true;
}

bool pack_batch_write(struct repo *repo, struct error *err)
{
	struct batch *batch = repo->batch;
	auto_free char *folder = mem_printf("%sobjects/pack", git_repository_path(repo->git));
	auto_free char *name = NULL;
	auto_pack_file struct pack_file pack = {0};
	auto_git(git_odb) *odb = NULL;
	if (!batch->count)
		return true;
	int rc = git_repository_odb(&odb, repo->git);
	if (rc < 0)
		return repo_fail(err, rc, "objects could not be written");
	if (!pack_file_open(&pack, folder, false, err) || !add_all(batch, odb, &pack, err) ||
		!pack_file_finish(&pack, &name, err))
		return false;
	rc = git_odb_refresh(odb); /* before they are only there */
	if (rc < 0)
		return repo_fail(err, rc, "pack '%s' could not be opened", name);
	if (pack_batch_is_full(repo))
		forget(batch);
	return true;
}
