/* tests/fuzz/store.h - what the targets of the five stores do: read, print, read again
 *
 * No key, no encryption: fuzz_sops_store.c has these. Each target names its store, so that the
 * mutations keep to one format.
 */
#pragma once
#include "base/buf.h"
#include "reconcile/secrets/sops_metadata.h"
#include "reconcile/secrets/sops_store.h"

#define STORE_OUT_MAX ((size_t)1 << 28)

static inline void store_fail(const char *what, const struct buf *a, const struct buf *b)
{
	fprintf(stderr, "%s\n---\n%s\n---\n%s\n", what, a->text, b ? b->text : "");
	abort();
}

/* Reads @p in as a plain file and prints it; false where it is refused, which has a message. */
static inline bool store_turn(
	struct arena *arena, struct sops_source in, struct sops_item **read_out, struct buf *out)
{
	const struct sops_printing printing = {.format = in.format};
	struct error err = {.message = ""};
	bool taken;
	if (sops_store_read_plain(&in, arena, read_out, &taken, &err) && !taken &&
		sops_store_write_plain(*read_out, &printing, out, &err))
		return true;
	if (!taken && !*err.message)
		abort();
	return false;
}

/* What is printed reads back as the same values, and from the second time on byte for byte:
 * comments may move once, to where they are written. Ini as sops prints it has no such promise:
 * quotes in names and values can be lost; writing an encrypted file finds that out. */
static inline void store_plain(const struct sops_source *source)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf first = BUF_INIT(STORE_OUT_MAX), second = BUF_INIT(STORE_OUT_MAX);
	auto_buf struct buf third = BUF_INIT(STORE_OUT_MAX);
	struct sops_item *before, *after, *last;
	struct sops_source in = *source;
	if (!store_turn(arena, in, &before, &first) || first.len > (size_t)16 << 20)
		return;
	in.bytes = first.text ? first.text : "";
	in.len = first.len;
	bool again = store_turn(arena, in, &after, &second);
	if (source->format == SOPS_INI)
		return;
	if (!again)
		store_fail("what was printed is refused", &first, NULL);
	/* JSON's -0.0 is printed as -0, which is the integer 0: as with sops; such a file cannot be
	 * encrypted */
	bool zero = source->format == SOPS_JSON && memmem(first.text, first.len, "-0", 2);
	if (!sops_item_same_values(before, after) && !zero)
		store_fail("other values", &first, &second);
	in.bytes = second.text ? second.text : "";
	in.len = second.len;
	if (!store_turn(arena, in, &last, &third) || third.len != second.len ||
		(second.len && memcmp(third.text, second.text, second.len) != 0))
		store_fail("other bytes", &second, &third);
}

static inline void store_encrypted(const struct sops_source *source)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_sops_metadata struct sops_metadata metadata = {0};
	struct sops_loaded loaded;
	struct error err = {.message = ""};
	if (!sops_store_read(source, arena, true, &loaded, &err)) {
		if (!*err.message)
			abort();
		return;
	}
	if (!loaded.metadata)
		return;
	if (!loaded.documents || !loaded.documents->count)
		abort();
	if (sops_metadata_read(arena, loaded.metadata, &metadata, &err) && !metadata.group_count)
		abort();
}

static inline int store_fuzz(
	enum sops_format format, const char *name, const uint8_t *data, size_t size)
{
	auto_free char *exact = mem_alloc(size); /* without a NUL: reading past it is seen */
	const struct sops_source source = {format, name, exact, size};
	if (size)
		memcpy(exact, data, size);
	store_plain(&source);
	store_encrypted(&source);
	return 0;
}
