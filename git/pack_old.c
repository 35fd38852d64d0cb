#include "git/pack_old.h"
#include "base/fs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define INDEX_MAX  ((size_t)1 << 30)
#define INDEX_HEAD (8 + 256 * 4)
#define SUM_SIZE   20

static uint32_t get32(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

/* ---- listing --------------------------------------------------------------------------------- */

static void old_pack_clear(struct old_pack *pack)
{
	old_pack_unmap(pack);
	free(pack->name);
}

void old_packs_clear(struct old_packs *packs)
{
	for (size_t i = 0; i < packs->count; i++)
		old_pack_clear(&packs->items[i]);
	free(packs->items);
	free(packs->folder);
	memset(packs, 0, sizeof(*packs));
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), end = strlen(suffix);
	return len > end && !strcmp(name + len - end, suffix);
}

static bool add_pack(struct old_packs *packs, int folder, const char *file, struct error *err)
{
	auto_free char *name = mem_dup(file, strlen(file) - strlen(".pack"));
	auto_free char *index = mem_printf("%s.idx", name);
	struct stat info;
	if (faccessat(folder, index, F_OK, 0) < 0) { /* left by a process that was killed */
		fs_fault_point();
		return unlinkat(folder, file, 0) == 0 ||
		       error_errno(err, errno, "'%s' could not be removed", file);
	}
	if (fstatat(folder, file, &info, 0) < 0)
		return error_errno(err, errno, "'%s' could not be read", file);
	mem_grow(packs->items, packs->count, packs->capacity);
	packs->items[packs->count++] = (struct old_pack){.name = STEAL(name),
		.size = (uint64_t)info.st_size,
		.changed_ns = info.st_mtim.tv_sec * 1000000000LL + info.st_mtim.tv_nsec};
	return true;
}

static void close_folder(DIR **folder)
{
	if (*folder)
		(void)closedir(*folder); /* only read */
}

bool old_packs_list(struct old_packs *packs, const char *objects, struct error *err)
{
	packs->folder = mem_printf("%s/pack", objects);
	CLEANUP(close_folder) DIR *folder = opendir(packs->folder);
	if (!folder)
		return error_errno(err, errno, "'%s' could not be read", packs->folder);
	for (struct dirent *entry; (entry = readdir(folder));)
		if (!strncmp(entry->d_name, "pack-", 5) && has_suffix(entry->d_name, ".pack") &&
			!add_pack(packs, dirfd(folder), entry->d_name, err))
			return false;
	return true;
}

static int by_size(const void *a, const void *b)
{
	const struct old_pack *left = a, *right = b;
	return (left->size > right->size) - (left->size < right->size);
}

static int by_age(const void *a, const void *b)
{
	const struct old_pack *left = a, *right = b;
	int order = (left->changed_ns > right->changed_ns) - (left->changed_ns < right->changed_ns);
	return order ? order : strcmp(left->name, right->name);
}

void old_packs_choose(struct old_packs *packs, uint64_t max)
{
	uint64_t sum = 0;
	size_t take = 0;
	if (!packs->count)
		return;
	qsort(packs->items, packs->count, sizeof(*packs->items), by_size);
	for (size_t i = 0; i < packs->count && sum + packs->items[i].size <= max; i++) {
		if (packs->items[i].size <= 2 * sum)
			take = i + 1;
		sum += packs->items[i].size;
	}
	for (size_t i = take; i < packs->count; i++)
		old_pack_clear(&packs->items[i]);
	packs->count = take;
	if (take)
		qsort(packs->items, take, sizeof(*packs->items), by_age);
}

/* ---- reading --------------------------------------------------------------------------------- */

void old_pack_unmap(struct old_pack *pack)
{
	if (pack->bytes)
		(void)munmap(pack->bytes, pack->size); /* our own mapping: cannot fail */
	free(pack->entries);
	pack->bytes = NULL;
	pack->entries = NULL;
	pack->count = 0;
}

static int by_offset(const void *a, const void *b)
{
	const struct old_entry *left = a, *right = b;
	return (left->offset > right->offset) - (left->offset < right->offset);
}

/* gitformat-pack(5), version 2; packs are below 2 GiB, so offsets have 31 bits. */
static bool read_index(struct old_pack *pack, const struct buf *text, struct error *err)
{
	const unsigned char *bytes = (const unsigned char *)text->text;
	static const unsigned char head[8] = {0xFF, 't', 'O', 'c', 0, 0, 0, 2};
	size_t count = text->len < INDEX_HEAD ? 0 : get32(bytes + INDEX_HEAD - 4);
	if (text->len < INDEX_HEAD || memcmp(bytes, head, sizeof(head)) != 0 ||
		text->len < INDEX_HEAD + count * (GIT_OID_RAWSZ + 8) + 2 * SUM_SIZE)
		return error_set(err, ERR_INVALID, "index of '%s' is damaged", pack->name);
	const unsigned char *ids = bytes + INDEX_HEAD, *crcs = ids + count * GIT_OID_RAWSZ;
	const unsigned char *offsets = crcs + count * 4;
	pack->entries = mem_zero(count, sizeof(*pack->entries));
	pack->count = count;
	for (size_t i = 0; i < count; i++) {
		struct old_entry *entry = &pack->entries[i];
		memcpy(entry->id.id, ids + i * GIT_OID_RAWSZ, GIT_OID_RAWSZ);
		entry->crc = get32(crcs + i * 4);
		entry->offset = get32(offsets + i * 4);
		if (entry->offset >= pack->size - SUM_SIZE)
			return error_set(err, ERR_INVALID, "index of '%s' is damaged", pack->name);
	}
	if (count)
		qsort(pack->entries, count, sizeof(*pack->entries), by_offset);
	return true;
}

bool old_pack_map(struct old_pack *pack, const char *folder, struct error *err)
{
	auto_free char *path = mem_printf("%s/%s.pack", folder, pack->name);
	auto_free char *index = mem_printf("%s/%s.idx", folder, pack->name);
	auto_buf struct buf text = BUF_INIT(INDEX_MAX);
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno, "'%s' could not be opened", path);
	if (pack->size < 12 + SUM_SIZE)
		return error_set(err, ERR_INVALID, "'%s' is damaged", path);
	void *bytes = mmap(NULL, pack->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return error_errno(err, errno, "'%s' could not be mapped", path);
	pack->bytes = bytes;
	return fs_read(index, INDEX_MAX, &text, err) && read_index(pack, &text, err);
}

struct reader {
	const unsigned char *at, *end;
};

static unsigned char next_byte(struct reader *reader)
{
	return reader->at < reader->end ? *reader->at++ : 0; /* zlib's bytes are missed later */
}

static const git_oid *find_base(const struct old_pack *pack, uint64_t offset)
{
	const struct old_entry key = {.offset = offset};
	const struct old_entry *found =
		bsearch(&key, pack->entries, pack->count, sizeof(key), by_offset);
	return found ? &found->id : NULL;
}

static const git_oid *read_base(
	const struct old_pack *pack, struct reader *reader, int type, uint64_t offset)
{
	if (type == PACK_REF_DELTA) {
		if (reader->end - reader->at < GIT_OID_RAWSZ)
			return NULL;
		reader->at += GIT_OID_RAWSZ;
		return (const git_oid *)(const void *)(reader->at - GIT_OID_RAWSZ);
	}
	unsigned char byte = next_byte(reader);
	uint64_t distance = byte & 0x7F;
	while (byte & 0x80 && distance < offset) {
		byte = next_byte(reader);
		distance = (distance + 1) << 7 | (byte & 0x7F);
	}
	return distance && distance < offset ? find_base(pack, offset - distance) : NULL;
}

bool old_pack_entry(
	const struct old_pack *pack, size_t index, struct pack_raw *raw_out, struct error *err)
{
	const struct old_entry *entry = &pack->entries[index];
	uint64_t next = index + 1 < pack->count ? entry[1].offset : pack->size - SUM_SIZE;
	struct reader reader = {pack->bytes + entry->offset, pack->bytes + next};
	if (crc32(0, reader.at, (unsigned)(next - entry->offset)) != entry->crc)
		return error_set(err, ERR_INVALID, "an object is damaged");
	unsigned char byte = next_byte(&reader);
	struct pack_raw raw = {.id = &entry->id, .type = byte >> 4 & 7, .size = byte & 15};
	for (unsigned shift = 4; byte & 0x80 && shift < 60; shift += 7) {
		byte = next_byte(&reader);
		raw.size |= (uint64_t)(byte & 0x7F) << shift;
	}
	if (raw.type == PACK_OFS_DELTA || raw.type == PACK_REF_DELTA) {
		raw.base = read_base(pack, &reader, raw.type, entry->offset);
		if (!raw.base)
			return error_set(err, ERR_INVALID, "a delta stands on nothing");
	}
	raw.bytes = reader.at;
	raw.len = (size_t)(reader.end - reader.at);
	*raw_out = raw;
	return true;
}
