/* Ciphertext of values that did not change: found by path, type and value, so that an edited file
 * differs only where it was edited (specs/sops-age.md 3.2). A text is used again only for the very
 * same plaintext, so no IV meets another one. What is sorted and compared are hashes under a key
 * of this one call: how long that takes tells nothing of a value. */
#include "base/buf.h"
#include "reconcile/secrets/sops_file_parts.h"
#include <sodium.h>

struct known {
	unsigned char name[crypto_generichash_BYTES]; /* of additional data, type and value */
	const struct sops_item *item;
};

struct memory {
	unsigned char key[crypto_generichash_KEYBYTES];
	struct known *items;
	size_t count, capacity;
};

static void memory_clear(struct memory *memory)
{
	sodium_memzero(memory->key, sizeof(memory->key));
	free(memory->items);
}

static int compare(const void *a, const void *b)
{
	const struct known *left = a, *right = b;
	return memcmp(left->name, right->name, sizeof(left->name));
}

static struct known name_of(
	const struct memory *memory, const struct sops_item *item, struct sops_aad aad)
{
	auto_buf struct buf text = BUF_INIT_SECRET(SIZE_MAX / 2);
	struct error ignored; /* a time that has no form: it just gets another name */
	bool comment = item->kind == SOPS_ITEM_COMMENT;
	buf_add(&text, aad.text, aad.len);
	buf_add_char(&text, '\0');
	buf_add_char(&text, comment ? 'c' : (char)('0' + item->value->kind));
	if (!sops_value_mac_text(item->value, &text, &ignored))
		buf_add_char(&text, '?');
	struct known known = {.item = item};
	/* Cannot fail: the sizes are the library's own. */
	(void)crypto_generichash(known.name, sizeof(known.name), (const unsigned char *)text.text,
		text.len, memory->key, sizeof(memory->key));
	return known;
}

static void learn(void *data, struct sops_item *item, struct sops_aad aad)
{
	struct memory *memory = data;
	if (!item->enc)
		return;
	mem_grow(memory->items, memory->count, memory->capacity);
	memory->items[memory->count++] = name_of(memory, item, aad);
}

static void recall(void *data, struct sops_item *item, struct sops_aad aad)
{
	const struct memory *memory = data;
	struct known name = name_of(memory, item, aad);
	const struct known *found =
		memory->count ? bsearch(&name, memory->items, memory->count, sizeof(name), compare)
			      : NULL;
	if (found) {
		item->enc = found->item->enc;
		item->enc_len = found->item->enc_len;
	}
}

bool sops_file_remember(struct sops_file *file, struct sops_item *fresh, struct error *err)
{
	CLEANUP(memory_clear) struct memory memory = {0};
	crypto_generichash_keygen(memory.key);
	struct sops_walked walked;
	struct sops_walk walk = {
		.kind = SOPS_WALK_VISIT,
		.arena = file->arena,
		.rules = &file->metadata.rules,
		.visit = learn,
		.data = &memory,
	};
	if (!sops_walk_documents(&walk, file->documents, &walked, err))
		return false;
	if (memory.count)
		qsort(memory.items, memory.count, sizeof(*memory.items), compare);
	walk.visit = recall;
	return sops_walk_documents(&walk, fresh, &walked, err);
}
