#include "git/pack_file.h"
#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define SUM_SIZE   20 /* SHA-1 */
#define INDEX_MAX  ((size_t)1 << 30)
#define OFFSET_MAX ((uint64_t)1 << 31) /* larger ones need a second table */
#define HEADER_MAX 64

static const char temporary_pack[] = "tmp_aviary_pack";
static const char temporary_index[] = "tmp_aviary_index";

static void put32(unsigned char *out, uint64_t value)
{
	for (int i = 0; i < 4; i++)
		out[i] = (unsigned char)(value >> (24 - 8 * i));
}

static bool failed(const struct pack_file *pack, const char *what, struct error *err)
{
	return error_errno(err, errno, "pack in '%s' could not be %s", pack->folder, what);
}

static bool write_bytes(
	struct pack_file *pack, const void *bytes, size_t len, uint32_t *crc, struct error *err)
{
	if (len && fwrite(bytes, 1, len, pack->file) != len)
		return failed(pack, "written", err);
	pack->at += len;
	*crc = (uint32_t)crc32(*crc, bytes, (unsigned)len);
	return true;
}

bool pack_file_open(struct pack_file *pack, const char *folder, bool durable, struct error *err)
{
	static const unsigned char head[12] = {'P', 'A', 'C', 'K', 0, 0, 0, 2};
	auto_free char *path = mem_printf("%s/%s", folder, temporary_pack);
	uint32_t ignored = 0;
	*pack = (struct pack_file){.folder = mem_dup_str(folder), .durable = durable};
	pack->file = fopen(path, "w+e");
	if (!pack->file)
		return failed(pack, "made", err);
	return write_bytes(pack, head, sizeof(head), &ignored, err);
}

static void remove_temporary(const struct pack_file *pack, const char *name)
{
	auto_free char *path = mem_printf("%s/%s", pack->folder, name);
	(void)unlink(path); /* the next start sweeps what stays */
}

void pack_file_clear(struct pack_file *pack)
{
	if (pack->file) {
		(void)fclose(pack->file); /* it is given up */
		remove_temporary(pack, temporary_pack);
		remove_temporary(pack, temporary_index);
	}
	free(pack->folder);
	free(pack->entries);
	free(pack->slots);
	memset(pack, 0, sizeof(*pack));
}

/* ---- entries --------------------------------------------------------------------------------- */

static size_t slot_of(const struct pack_file *pack, const git_oid *id)
{
	uint64_t hash; /* ids are as good as random */
	memcpy(&hash, id->id, sizeof(hash));
	size_t at = (size_t)hash & (pack->slot_count - 1);
	while (pack->slots[at] && !git_oid_equal(&pack->entries[pack->slots[at] - 1].id, id))
		at = (at + 1) & (pack->slot_count - 1);
	return at;
}

size_t pack_file_find(const struct pack_file *pack, const git_oid *id)
{
	uint32_t found = pack->slot_count ? pack->slots[slot_of(pack, id)] : 0;
	return found ? found - 1 : PACK_NONE;
}

static void grow_slots(struct pack_file *pack)
{
	free(pack->slots);
	pack->slot_count = pack->slot_count ? pack->slot_count * 2 : 256;
	pack->slots = mem_zero(pack->slot_count, sizeof(*pack->slots));
	for (size_t i = 0; i < pack->count; i++)
		pack->slots[slot_of(pack, &pack->entries[i].id)] = (uint32_t)i + 1;
}

static struct pack_entry *new_entry(struct pack_file *pack, const git_oid *id, git_object_t type)
{
	if (pack->count * 2 >= pack->slot_count)
		grow_slots(pack);
	mem_grow(pack->entries, pack->count, pack->capacity);
	pack->slots[slot_of(pack, id)] = (uint32_t)pack->count + 1;
	struct pack_entry *entry = &pack->entries[pack->count++];
	*entry = (struct pack_entry){.id = *id, .offset = pack->at, .type = type};
	return entry;
}

static size_t add_size(unsigned char *out, int type, uint64_t size)
{
	size_t len = 0;
	unsigned char byte = (unsigned char)(type << 4 | (int)(size & 15));
	for (size >>= 4; size; size >>= 7) {
		out[len++] = byte | 0x80;
		byte = size & 0x7F;
	}
	out[len++] = byte;
	return len;
}

/* gitformat-pack(5): seven bits at a time, the highest first, and no number has two forms. */
static size_t add_distance(unsigned char *out, uint64_t distance)
{
	unsigned char bytes[16];
	size_t at = sizeof(bytes) - 1;
	bytes[at] = distance & 0x7F;
	while (distance >>= 7)
		bytes[--at] = 0x80 | (--distance & 0x7F);
	memcpy(out, bytes + at, sizeof(bytes) - at);
	return sizeof(bytes) - at;
}

static bool write_entry(
	struct pack_file *pack, const struct pack_raw *raw, size_t base, struct error *err)
{
	unsigned char head[HEADER_MAX];
	const struct pack_entry *below = base == PACK_NONE ? NULL : &pack->entries[base];
	uint64_t offset = below ? below->offset : 0;
	uint32_t depth = below ? below->depth + 1 : raw->base ? 1 : 0;
	int type = below ? PACK_OFS_DELTA : raw->base ? PACK_REF_DELTA : raw->type;
	git_object_t kind = below ? below->type : raw->base ? GIT_OBJECT_INVALID : raw->type;
	size_t len = add_size(head, type, raw->size);

	if (below)
		len += add_distance(head + len, pack->at - offset);
	else if (raw->base) {
		memcpy(head + len, raw->base->id, GIT_OID_RAWSZ);
		len += GIT_OID_RAWSZ;
	}
	struct pack_entry *entry = new_entry(pack, raw->id, kind);
	entry->depth = depth;
	return write_bytes(pack, head, len, &entry->crc, err) &&
	       write_bytes(pack, raw->bytes, raw->len, &entry->crc, err);
}

static bool write_compressed(
	struct pack_file *pack, const struct pack_object *object, size_t base, struct error *err)
{
	uLongf len = compressBound(object->len);
	auto_free unsigned char *bytes = mem_alloc(len);
	if (compress(bytes, &len, object->bytes, object->len) != Z_OK)
		return error_set(err, ERR_SYSTEM, "object could not be compressed");
	const struct pack_raw raw = {.id = &object->id,
		.type = object->type,
		.size = object->len,
		.bytes = bytes,
		.len = len};
	return write_entry(pack, &raw, base, err);
}

bool pack_file_add(struct pack_file *pack, const struct pack_object *object, struct error *err)
{
	return pack_file_find(pack, &object->id) != PACK_NONE ||
	       write_compressed(pack, object, PACK_NONE, err);
}

bool pack_file_add_delta(
	struct pack_file *pack, const struct pack_object *object, size_t base, struct error *err)
{
	return pack_file_find(pack, &object->id) != PACK_NONE ||
	       write_compressed(pack, object, base, err);
}

bool pack_file_add_raw(struct pack_file *pack, const struct pack_raw *raw, struct error *err)
{
	size_t base = raw->base ? pack_file_find(pack, raw->base) : PACK_NONE;
	return pack_file_find(pack, raw->id) != PACK_NONE || write_entry(pack, raw, base, err);
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool sum_bytes(const void *bytes, size_t len, unsigned char *sum_out)
{
	return EVP_Digest(bytes, len, sum_out, NULL, EVP_sha1(), NULL) == 1;
}

/* The number of objects is known only now, so the sum is taken in a second pass. */
static bool sum_file(struct pack_file *pack, unsigned char *sum_out)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char bytes[16384];
	bool good = context && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
		    fseeko(pack->file, 0, SEEK_SET) == 0;
	for (size_t len; good && (len = fread(bytes, 1, sizeof(bytes), pack->file));)
		good = EVP_DigestUpdate(context, bytes, len) == 1;
	good = good && !ferror(pack->file) && EVP_DigestFinal_ex(context, sum_out, NULL) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

static bool end_pack(struct pack_file *pack, unsigned char *sum_out, struct error *err)
{
	unsigned char count[4];
	put32(count, pack->count);
	if (pack->at >= OFFSET_MAX)
		return error_set(err, ERR_SYSTEM, "pack in '%s' is too large", pack->folder);
	if (fseeko(pack->file, 8, SEEK_SET) < 0 || fwrite(count, 1, 4, pack->file) != 4 ||
		fflush(pack->file) != 0 || !sum_file(pack, sum_out) ||
		fseeko(pack->file, 0, SEEK_END) < 0 ||
		fwrite(sum_out, 1, SUM_SIZE, pack->file) != SUM_SIZE || fflush(pack->file) != 0 ||
		(pack->durable && fsync(fileno(pack->file)) < 0) ||
		fchmod(fileno(pack->file), 0400) < 0)
		return failed(pack, "finished", err);
	return true;
}

static int by_id(const void *a, const void *b)
{
	return git_oid_cmp(
		&((const struct pack_entry *)a)->id, &((const struct pack_entry *)b)->id);
}

/* gitformat-pack(5), version 2. Sorts the entries. */
static void make_index(struct pack_file *pack, const unsigned char *sum, struct buf *out)
{
	static const unsigned char head[8] = {0xFF, 't', 'O', 'c', 0, 0, 0, 2};
	unsigned char number[4], own[SUM_SIZE] = {0};
	size_t upto = 0;
	qsort(pack->entries, pack->count, sizeof(*pack->entries), by_id);
	buf_add(out, head, sizeof(head));
	for (int first = 0; first < 256; first++) {
		while (upto < pack->count && pack->entries[upto].id.id[0] <= first)
			upto++;
		put32(number, upto);
		buf_add(out, number, 4);
	}
	for (size_t i = 0; i < pack->count; i++)
		buf_add(out, pack->entries[i].id.id, GIT_OID_RAWSZ);
	for (size_t i = 0; i < pack->count; i++) {
		put32(number, pack->entries[i].crc);
		buf_add(out, number, 4);
	}
	for (size_t i = 0; i < pack->count; i++) {
		put32(number, pack->entries[i].offset);
		buf_add(out, number, 4);
	}
	buf_add(out, sum, SUM_SIZE);
	(void)sum_bytes(out->text, out->len, own); /* SHA-1 worked for the pack */
	buf_add(out, own, SUM_SIZE);
}

static bool sync_index(const struct pack_file *pack, int folder, struct error *err)
{
	auto_fd int fd = openat(folder, temporary_index, O_RDONLY | O_CLOEXEC);
	return (fd >= 0 && fsync(fd) == 0) || failed(pack, "finished", err);
}

/* The pack first: an index without one would be looked into. */
static bool publish(
	const struct pack_file *pack, const char *name, const struct buf *index, struct error *err)
{
	auto_fd int folder = open(pack->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_free char *final_pack = mem_printf("%s.pack", name);
	auto_free char *final_index = mem_printf("%s.idx", name);
	const struct fs_content content = {index->text, index->len, 0400};
	if (folder < 0 || (unlinkat(folder, temporary_index, 0) < 0 && errno != ENOENT))
		return failed(pack, "finished", err);
	if (!fs_create_at(folder, temporary_index, &content, err))
		return false;
	if (pack->durable)
		return sync_index(pack, folder, err) &&
		       fs_rename_at(folder, temporary_pack, final_pack, err) &&
		       fs_rename_at(folder, temporary_index, final_index, err);
	fs_fault_point();
	if (renameat(folder, temporary_pack, folder, final_pack) < 0)
		return failed(pack, "finished", err);
	fs_fault_point();
	return renameat(folder, temporary_index, folder, final_index) == 0 ||
	       failed(pack, "finished", err);
}

bool pack_file_finish(struct pack_file *pack, char **name_out, struct error *err)
{
	unsigned char sum[SUM_SIZE];
	auto_buf struct buf index = BUF_INIT(INDEX_MAX);
	git_oid id = {{0}};
	char hex[OID_HEX + 1];
	if (!end_pack(pack, sum, err))
		return false;
	memcpy(id.id, sum, SUM_SIZE);
	auto_free char *name = mem_printf("pack-%s", git_oid_tostr(hex, sizeof(hex), &id));
	make_index(pack, sum, &index);
	if (!publish(pack, name, &index, err))
		return false;
	(void)fclose(pack->file); /* synced above */
	pack->file = NULL;
	*name_out = STEAL(name);
	return true;
}
