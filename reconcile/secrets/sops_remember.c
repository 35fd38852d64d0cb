/* Ciphertext of values that did not change: found by path, type and value, so that an edited file
 * differs only where it was edited (specs/sops-age.md 3.2). A text is used again only for the very
 * same plaintext, so no IV meets another one. */
#include "base/buf.h"
#include "reconcile/secrets/sops_file_parts.h"

struct known {
	char *name; /* additional data, type and value; NUL inside */
	size_t len;
	const struct sops_item *item;
};

struct memory {
	struct known *items;
	size_t count, capacity;
};

static void memory_clear(struct memory *memory)
{
	for (size_t i = 0; i < memory->count; i++) {
		explicit_bzero(memory->items[i].name, memory->items[i].len);
		free(memory->items[i].name);
	}
	free(memory->items);
}

static int compare(const void *a, const void *b)
{
	const struct known *left = a, *right = b;
	size_t len = left->len < right->len ? left->len : right->len;
	int order = memcmp(left->name, right->name, len);
	return order ? order : (left->len > right->len) - (left->len < right->len);
}

static struct known name_of(const struct sops_item *item, struct sops_aad aad)
{
	struct buf name = BUF_INIT_SECRET(SIZE_MAX / 2);
	struct error ignored; /* a time that has no form: it just gets another name */
	bool comment = item->kind == SOPS_ITEM_COMMENT;
	buf_add(&name, aad.text, aad.len);
	buf_add_char(&name, '\0');
	buf_add_char(&name, comment ? 'c' : (char)('0' + item->value->kind));
	if (!sops_value_mac_text(item->value, &name, &ignored))
		buf_add_char(&name, '?');
	struct known known = {.len = name.len, .item = item};
	known.name = mem_dup(name.text, name.len);
	buf_clear(&name);
	return known;
}

static void learn(void *data, struct sops_item *item, struct sops_aad aad)
{
	struct memory *memory = data;
	if (!item->enc)
		return;
	mem_grow(memory->items, memory->count, memory->capacity);
	memory->items[memory->count++] = name_of(item, aad);
}

static void recall(void *data, struct sops_item *item, struct sops_aad aad)
{
	const struct memory *memory = data;
	struct known name = name_of(item, aad);
	const struct known *found =
		memory->count ? bsearch(&name, memory->items, memory->count, sizeof(name), compare)
			      : NULL;
	if (found) {
		item->enc = found->item->enc;
		item->enc_len = found->item->enc_len;
	}
	explicit_bzero(name.name, name.len);
	free(name.name);
}

bool sops_file_remember(struct sops_file *file, struct sops_item *fresh, struct error *err)
{
	CLEANUP(memory_clear) struct memory memory = {0};
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
