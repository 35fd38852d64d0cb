#include "base/tar.h"

#define NAME_MAX_USTAR 100
#define LONG_NAME      "././@LongLink" /* GNU: the next file's name is this one's content */

/* POSIX ustar; numbers are octal texts. */
struct header {
	char name[NAME_MAX_USTAR];
	char mode[8], uid[8], gid[8];
	char size[12], mtime[12], sum[8];
	char type;
	char link[100];
	char magic[6], version[2];
	char user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == TAR_BLOCK, "a header is one block");

static void octal(char *field, size_t width, size_t value)
{
	for (size_t i = width - 1; i-- > 0; value /= 8)
		field[i] = (char)('0' + value % 8);
}

static void add_block(const char *name, char type, unsigned mode, size_t size, struct buf *out)
{
	struct header header = {.type = type};
	size_t len = strlen(name);
	unsigned sum = 0;

	memcpy(header.name, name, len < sizeof(header.name) ? len : sizeof(header.name));
	octal(header.mode, sizeof(header.mode), mode);
	octal(header.uid, sizeof(header.uid), 0);
	octal(header.gid, sizeof(header.gid), 0);
	octal(header.size, sizeof(header.size), size);
	octal(header.mtime, sizeof(header.mtime), 0);
	memcpy(header.magic, "ustar", 6);
	memcpy(header.version, "00", 2);
	memset(header.sum, ' ', sizeof(header.sum));
	for (size_t i = 0; i < sizeof(header); i++)
		sum += ((const unsigned char *)&header)[i];
	octal(header.sum, 7, sum); /* six digits, NUL, space */
	buf_add(out, &header, sizeof(header));
}

static void add_zeros(size_t count, struct buf *out)
{
	static const char zeros[TAR_BLOCK];
	for (; count; count -= count < TAR_BLOCK ? count : TAR_BLOCK)
		buf_add(out, zeros, count < TAR_BLOCK ? count : TAR_BLOCK);
}

size_t tar_padding(size_t size)
{
	return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
}

void tar_add_header(const char *path, unsigned mode, size_t size, struct buf *out)
{
	size_t len = strlen(path);

	if (len > NAME_MAX_USTAR) {
		add_block(LONG_NAME, 'L', 0, len + 1, out);
		buf_add(out, path, len + 1);
		add_zeros(tar_padding(len + 1), out);
	}
	add_block(path, '0', mode, size, out);
}

void tar_add_end(struct buf *out)
{
	add_zeros(2 * (size_t)TAR_BLOCK, out);
}
