/* Changes of a decrypted file (specs/sops-age.md 3.2 to 3.4) */
#include "reconcile/secrets/sops_file_parts.h"
#include "reconcile/secrets/sops_formats.h"
#include "reconcile/secrets/sops_path.h"
#include <sodium.h>

#define TEXT_MAX ((size_t)64 << 20)

static bool check_names(const struct sops_file *file, struct error *err)
{
	for (size_t i = 0; i < file->documents->count; i++) {
		if (sops_store_is_taken(file->source.format, file->documents->items[i]))
			return error_set(
				err, ERR_INVALID, "the name 'sops' is taken by SOPS itself");
	}
	return true;
}

bool sops_file_set(struct sops_file *file, const char *path, struct sops_text json,
	bool *changed_out, struct error *err)
{
	const struct sops_source source = {SOPS_JSON, "value", json.bytes, json.len};
	struct sops_item *document = file->documents->items[0], *value;
	struct sops_path steps;
	if (!sops_path_parse(path, &steps, err) ||
		!sops_json_read_value(&source, file->arena, &value, err))
		return false;
	if (!sops_path_set(file->arena, document, &steps, value, changed_out))
		return error_set(err, ERR_INVALID,
			"the path asks for a key of a list, or for an index of a map");
	if (!check_names(file, err)) {
		steps.count = 1;
		return sops_path_unset(document, &steps, err) &&
		       error_set(err, ERR_INVALID, "the name 'sops' is taken by SOPS itself");
	}
	file->dirty |= *changed_out;
	return true;
}

bool sops_file_unset(struct sops_file *file, const char *path, struct error *err)
{
	struct sops_path steps;
	if (!sops_path_parse(path, &steps, err) ||
		!sops_path_unset(file->documents->items[0], &steps, err))
		return false;
	file->dirty = true;
	return true;
}

/* Is this version of sops older than the one whose form is written? Dots part numbers. */
static bool is_older(const char *version)
{
	const char *ours = SOPS_VERSION;
	for (int i = 0; i < 3; i++) {
		char *end, *our_end;
		unsigned long number = strtoul(version, &end, 10);
		unsigned long our_number = strtoul(ours, &our_end, 10);
		if (number != our_number)
			return number < our_number;
		version = end + (*end == '.');
		ours = our_end + (*our_end == '.');
	}
	return false;
}

/* `edit` alone raises the version of the file's form. */
static bool raise_version(struct sops_file *file, struct error *err)
{
	const struct node *version = node_get(file->metadata.node, "version");
	if (version && version->text && !is_older(version->text))
		return true;
	const struct sops_field field = {
		"version", node_new_string(file->arena, SOPS_VERSION, strlen(SOPS_VERSION))};
	return sops_file_take_metadata(
		file, sops_metadata_build(file->arena, file->metadata.node, &field, 1), err);
}

/* Do both print the same text? A comment can stand in another list or map than it is read from. */
static bool prints_same(const struct sops_file *file, const struct sops_item *documents,
	bool *same_out, struct error *err)
{
	const struct sops_printing printing = {.format = file->source.format};
	auto_buf struct buf before = BUF_INIT_SECRET(TEXT_MAX), after = BUF_INIT_SECRET(TEXT_MAX);
	if (!sops_store_write_plain(file->documents, &printing, &before, err) ||
		!sops_store_write_plain(documents, &printing, &after, err))
		return false;
	*same_out =
		before.len == after.len && sodium_memcmp(before.text, after.text, after.len) == 0;
	return true;
}

bool sops_file_edit(
	struct sops_file *file, struct sops_text text, bool *changed_out, struct error *err)
{
	const struct sops_source source = {
		file->source.format, file->source.file, text.bytes, text.len};
	struct sops_item *documents;
	bool taken, same;
	if (!sops_store_read_plain(&source, file->arena, &documents, &taken, err))
		return false;
	if (taken)
		return error_set(err, ERR_INVALID, "the name 'sops' is taken by SOPS itself");
	if (!prints_same(file, documents, &same, err))
		return false;
	*changed_out = !same;
	if (same)
		return true;
	if (!sops_file_remember(file, documents, err) || !raise_version(file, err))
		return false;
	file->documents = documents;
	file->dirty = true;
	return true;
}

/* ---- keys ---- */

static bool refuse_others(const struct sops_file *file, struct error *err)
{
	for (size_t i = 0; i < file->metadata.group_count; i++) {
		const struct sops_group *group = &file->metadata.groups[i];
		if (group->other_count)
			return error_set(err, ERR_REFUSED,
				"the file has keys of the kind '%s', for which nothing can be "
				"encrypted here",
				group->other_kind);
	}
	return true;
}

static void copy_without(
	const struct strlist *from, const struct strlist *without, struct strlist *to)
{
	for (size_t i = 0; i < from->count; i++) {
		if (!without || !strlist_has(without, from->items[i]))
			strlist_add(to, from->items[i]);
	}
}

static void new_groups(const struct sops_file *file, const struct strlist *add,
	const struct strlist *without, struct sops_creation *out)
{
	static const struct strlist none = STRLIST_INIT;
	out->shamir_threshold = file->keys.shamir_threshold;
	for (size_t i = 0; i < file->keys.group_count; i++) {
		auto_strlist struct strlist all = STRLIST_INIT;
		strlist_copy(&all, &file->keys.groups[i]);
		for (size_t k = 0; add && !i && k < add->count; k++) {
			if (!strlist_has(&all, add->items[k]))
				strlist_add(&all, add->items[k]);
		}
		copy_without(&all, without ? without : &none, sops_creation_add_group(out));
	}
}

static bool wrap(struct sops_file *file, const struct sops_creation *keys, const uint8_t *key,
	struct error *err)
{
	struct sops_field fields[SOPS_KEY_FIELDS];
	if (!sops_metadata_wrap(file->arena, keys, key, fields, err))
		return false;
	return sops_file_take_metadata(file,
		sops_metadata_build(file->arena, file->metadata.node, fields, SOPS_KEY_FIELDS),
		err);
}

void sops_file_forget(struct sops_item *item)
{
	item->enc = NULL;
	for (size_t i = 0; i < item->count; i++)
		sops_file_forget(item->items[i]);
}

bool sops_file_rotate(struct sops_file *file, const struct strlist *add,
	const struct strlist *remove, struct error *err)
{
	auto_sops_creation struct sops_creation keys = SOPS_CREATION_INIT;
	uint8_t key[SOPS_KEY_SIZE];
	if (!refuse_others(file, err))
		return false;
	new_groups(file, add, remove, &keys);
	randombytes_buf(key, sizeof(key));
	bool ok = wrap(file, &keys, key, err);
	if (ok) {
		memcpy(file->key, key, sizeof(key));
		sops_file_forget(file->documents);
		file->dirty = true;
	}
	sodium_memzero(key, sizeof(key));
	return ok;
}

static bool is_subset(const struct strlist *a, const struct strlist *b)
{
	for (size_t i = 0; i < a->count; i++) {
		if (!strlist_has(b, a->items[i]))
			return false;
	}
	return true;
}

static bool same_groups(const struct sops_file *file, const struct sops_creation *creation)
{
	if (file->keys.group_count != creation->group_count)
		return false;
	for (size_t i = 0; i < creation->group_count; i++) {
		const struct strlist *a = &file->keys.groups[i], *b = &creation->groups[i];
		if (file->metadata.groups[i].other_count || !is_subset(a, b) || !is_subset(b, a))
			return false;
	}
	return true;
}

bool sops_file_update_keys(struct sops_file *file, const struct sops_creation *creation,
	unsigned threshold, bool *changed_out, struct error *err)
{
	struct sops_creation keys = *creation; /* its lists are borrowed */
	unsigned before = file->keys.shamir_threshold;
	keys.shamir_threshold = threshold ? threshold : before;
	if (keys.shamir_threshold > keys.group_count)
		keys.shamir_threshold = (unsigned)keys.group_count;
	*changed_out = !same_groups(file, creation) || keys.shamir_threshold != before;
	return !*changed_out || wrap(file, &keys, file->key, err);
}
