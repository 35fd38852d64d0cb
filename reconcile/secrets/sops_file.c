#include "reconcile/secrets/sops_file.h"
#include "base/clock.h"
#include "base/fs.h"
#include "reconcile/secrets/sops_file_parts.h"
#include "reconcile/secrets/sops_path.h"
#include <sodium.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)64 << 20) /* 16 MiB of plain text, encrypted */

static struct sops_file *file_new(const struct sops_source *source)
{
	struct sops_file *file = mem_zero(1, sizeof(*file));
	file->arena = arena_new(ARENA_SECRET, 0);
	file->source.format = source->format;
	file->source.file = arena_str(file->arena, source->file);
	file->key = sodium_malloc(SOPS_KEY_SIZE);
	if (!file->key)
		mem_abort(SOPS_KEY_SIZE);
	return file;
}

void sops_file_free(struct sops_file *file)
{
	if (!file)
		return;
	sops_metadata_clear(&file->metadata);
	sops_creation_clear(&file->keys);
	sodium_free(file->key);
	arena_free(file->arena);
	free(file);
}

static bool open_file(struct sops_file *file, const struct sops_source *source,
	const struct keyring *keyring, enum sops_failure *failure_out, struct error *err)
{
	struct sops_opened opened = {.source = *source, .arena = file->arena};
	bool ok = sops_opened_read(&opened, true, failure_out, err) &&
		  sops_metadata_unlock(&opened.metadata, keyring, file->key, failure_out, err) &&
		  sops_opened_decrypt(&opened, file->key, true, failure_out, err);
	file->documents = opened.documents;
	file->metadata = opened.metadata;
	return ok;
}

bool sops_file_open(const struct sops_source *source, const struct keyring *keyring,
	struct sops_file **file_out, enum sops_failure *failure_out, struct error *err)
{
	auto_sops_file struct sops_file *file = file_new(source);
	if (!open_file(file, source, keyring, failure_out, err))
		return false;
	sops_metadata_creation(&file->metadata, &file->keys);
	*file_out = STEAL(file);
	return true;
}

bool sops_file_take_metadata(struct sops_file *file, const struct node *metadata, struct error *err)
{
	sops_metadata_clear(&file->metadata);
	if (!sops_metadata_read(file->arena, metadata, &file->metadata, err))
		return false;
	if (file->source.format == SOPS_BINARY)
		sops_rules_clear(&file->metadata.rules);
	sops_creation_clear(&file->keys);
	sops_metadata_creation(&file->metadata, &file->keys);
	return true;
}

static const struct node *text_node(struct arena *arena, const char *text)
{
	return node_new_string(arena, text, strlen(text));
}

/* Metadata of a new file; the time is set again when it is written. */
static bool start_metadata(
	struct sops_file *file, const struct sops_creation *creation, struct error *err)
{
	struct arena *arena = file->arena;
	struct sops_field fields[SOPS_KEY_FIELDS + 4];
	enum sops_rule rule = creation->rule ? creation->rule : SOPS_UNENCRYPTED_SUFFIX;
	bool binary = file->source.format == SOPS_BINARY;
	char now[CLOCK_TEXT_SIZE];
	if (!sops_metadata_wrap(arena, creation, file->key, fields, err))
		return false;
	fields[SOPS_KEY_FIELDS] = (struct sops_field){sops_rule_name(rule),
		binary ? NULL
		       : text_node(arena,
				 creation->rule ? creation->rule_text : SOPS_STANDARD_SUFFIX)};
	fields[SOPS_KEY_FIELDS + 1] = (struct sops_field){
		"mac_only_encrypted", node_new_bool(arena, creation->mac_only_encrypted)};
	fields[SOPS_KEY_FIELDS + 2] =
		(struct sops_field){"version", text_node(arena, SOPS_VERSION)};
	fields[SOPS_KEY_FIELDS + 3] = (struct sops_field){
		"lastmodified", text_node(arena, clock_format(clock_wall_s(), now))};
	return sops_file_take_metadata(
		file, sops_metadata_build(arena, NULL, fields, ARRAY_LEN(fields)), err);
}

bool sops_file_new(const struct sops_source *plain, const struct sops_creation *creation,
	struct sops_file **file_out, enum sops_failure *failure_out, struct error *err)
{
	auto_sops_file struct sops_file *file = file_new(plain);
	bool taken;
	*failure_out = SOPS_FORMAT;
	if (!sops_store_read_plain(plain, file->arena, &file->documents, &taken, err))
		return false;
	if (taken) {
		*failure_out = SOPS_ENCRYPTED;
		error_set(err, ERR_REFUSED,
			"file has an entry 'sops' already: it is encrypted, or "
			"uses a name that SOPS itself needs");
		return error_at(err, plain->file, 0);
	}
	*failure_out = SOPS_METADATA;
	randombytes_buf(file->key, SOPS_KEY_SIZE);
	if (!start_metadata(file, creation, err))
		return false;
	file->dirty = true;
	*failure_out = SOPS_OK;
	*file_out = STEAL(file);
	return true;
}

bool sops_file_print(const struct sops_file *file, const struct sops_printing *printing,
	struct buf *out, struct error *err)
{
	return sops_store_write_plain(file->documents, printing, out, err);
}

bool sops_file_extract(const struct sops_file *file, const char *path,
	const struct sops_printing *printing, struct buf *out, struct error *err)
{
	struct sops_path steps;
	struct sops_item *item;
	if (!sops_path_parse(path, &steps, err) ||
		!sops_path_find(file->documents->items[0], &steps, &item, err))
		return false;
	if (item->kind != SOPS_ITEM_MAP)
		return sops_store_write_value(item, printing, out, err);
	/* a map takes the place of the first document, as in sops */
	struct sops_item *documents = sops_item_new(file->arena, SOPS_ITEM_LIST, NULL);
	sops_item_add(file->arena, documents, item);
	for (size_t i = 1; i < file->documents->count; i++)
		sops_item_add(file->arena, documents, file->documents->items[i]);
	return sops_store_write_plain(documents, printing, out, err);
}

const struct sops_creation *sops_file_keys(const struct sops_file *file)
{
	return &file->keys;
}

const struct node *sops_file_values(const struct sops_file *file, struct arena *arena)
{
	return sops_item_to_node(arena, file->documents);
}

enum sops_format sops_file_format(const struct sops_file *file)
{
	return file->source.format;
}

/* ---- writing ---- */

static struct sops_item *copy_of(struct arena *arena, const struct sops_item *item)
{
	struct sops_item *copy = arena_alloc(arena, sizeof(*copy));
	*copy = *item;
	copy->items = arena_array(arena, item->count, sizeof(struct sops_item *));
	copy->capacity = item->count;
	for (size_t i = 0; i < item->count; i++)
		copy->items[i] = copy_of(arena, item->items[i]);
	return copy;
}

/* The hash of the values, encrypted and bound to the time of the change. */
static const struct node *make_mac(struct arena *arena, struct sops_cipher *cipher,
	const char *hash, const char *last_modified)
{
	struct sops_plain mac = {.text = BUF_INIT_SECRET(SOPS_MAC_TEXT_SIZE), .type = SOPS_STR};
	auto_buf struct buf enc = BUF_INIT(1024);
	struct sops_aad aad = {last_modified, strlen(last_modified)};
	buf_add_str(&mac.text, hash);
	sops_value_encrypt(cipher, &mac, aad, &enc);
	buf_clear(&mac.text);
	return node_new_string(arena, enc.text, enc.len);
}

static bool encrypt(struct sops_file *file, struct arena *arena, struct sops_item *documents,
	const struct node **metadata_out, struct error *err)
{
	const struct sops_metadata *metadata = &file->metadata;
	auto_sops_cipher struct sops_cipher *cipher = sops_cipher_new(file->key);
	char now[CLOCK_TEXT_SIZE];
	struct sops_walked walked;
	const struct sops_walk walk = {
		.kind = SOPS_WALK_ENCRYPT,
		.arena = arena,
		.rules = &metadata->rules,
		.mac_only_encrypted = metadata->mac_only_encrypted,
		.cipher = cipher,
	};
	if (!sops_walk_documents(&walk, documents, &walked, err))
		return false;
	clock_format(clock_wall_s(), now);
	const struct sops_field fields[] = {
		{"lastmodified", text_node(arena, now)},
		{"mac", make_mac(arena, cipher, walked.mac, now)},
	};
	*metadata_out = sops_metadata_build(
		arena, metadata->node, fields, file->dirty ? ARRAY_LEN(fields) : 0);
	return true;
}

/* What was written opens with the data key and holds what it was written from. */
static bool read_back(const struct sops_file *file, enum sops_format format, struct arena *arena,
	const struct buf *bytes, struct error *err)
{
	auto_sops_opened struct sops_opened opened = {
		.source = {format, file->source.file, bytes->text, bytes->len}, .arena = arena};
	enum sops_failure failure;
	if (!sops_opened_read(&opened, false, &failure, err) ||
		!sops_opened_decrypt(&opened, file->key, false, &failure, err))
		return error_wrap(err, "what would be written does not open again");
	if (format != file->source.format ||
		sops_item_same_values(file->documents, opened.documents))
		return true;
	return error_set(err, ERR_INVALID,
		"what would be written does not hold the same values: the format has no form for "
		"one of them");
}

bool sops_file_write(struct sops_file *file, const struct sops_printing *printing, struct buf *out,
	struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_buf struct buf bytes = BUF_INIT(FILE_MAX);
	struct sops_item *documents = copy_of(arena, file->documents);
	const struct node *metadata;
	if (!encrypt(file, arena, documents, &metadata, err) ||
		!sops_store_write(documents, metadata, printing, &bytes, err) ||
		!read_back(file, printing->format, arena, &bytes, err))
		return error_at(err, file->source.file, 0);
	buf_add(out, bytes.text, bytes.len);
	return !buf_overflowed(out) ||
	       error_set(err, ERR_INVALID, "encrypted file is larger than expected");
}

bool sops_file_save(struct sops_file *file, const char *path, const struct sops_printing *printing,
	struct error *err)
{
	auto_buf struct buf bytes = BUF_INIT(FILE_MAX);
	struct stat status;
	mode_t mode = stat(path, &status) == 0 ? status.st_mode & 07777 : 0644;
	return sops_file_write(file, printing, &bytes, err) &&
	       fs_write(path, bytes.text, bytes.len, mode, err);
}
