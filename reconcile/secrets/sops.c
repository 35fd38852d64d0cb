/* Opening and looking at SOPS files: parse, metadata, data key, walk, MAC; nothing is handed out
 * before the MAC was checked (specs/sops-age.md 2.15). */
#include "reconcile/secrets/sops.h"
#include "reconcile/secrets/sops_store.h"
#include "reconcile/secrets/sops_tree.h"
#include <sodium.h>

const char *sops_failure_name(enum sops_failure failure)
{
	static const char *const names[] = {
		[SOPS_OK] = "ok",
		[SOPS_NOT_SOPS] = "not-encrypted",
		[SOPS_FORMAT] = "format-error",
		[SOPS_METADATA] = "metadata-error",
		[SOPS_NO_KEY] = "no-key",
		[SOPS_VALUE] = "value-error",
		[SOPS_MAC] = "mac-mismatch",
		[SOPS_UNSUPPORTED] = "unsupported",
	};
	return names[failure];
}

struct opened {
	const char *file;
	const struct node *documents;
	struct sops_metadata metadata;
};

static void opened_clear(struct opened *opened)
{
	sops_metadata_clear(&opened->metadata);
}

/* Documents and checked metadata, which stand in the first document. */
static bool open_documents(struct opened *opened, struct arena *arena,
	enum sops_failure *failure_out, struct error *err)
{
	const struct node *documents = opened->documents;
	const struct node *sops = documents->count ? node_get(documents->items[0], "sops") : NULL;
	if (!sops) {
		*failure_out = SOPS_NOT_SOPS;
		error_set(err, ERR_INVALID,
			"not a SOPS file: it has no 'sops' entry, so nothing in it is encrypted");
		return error_at(err, opened->file, 0);
	}
	if (sops_metadata_read(arena, sops, &opened->metadata, err))
		return true;
	*failure_out = SOPS_METADATA;
	return error_at(err, opened->file, 0);
}

static bool check_mac(const struct sops_metadata *metadata, struct sops_cipher *cipher,
	const char *computed, struct error *err)
{
	auto_buf struct buf mac = BUF_INIT_SECRET(1024);
	struct sops_aad aad = {metadata->last_modified, strlen(metadata->last_modified)};
	enum sops_type type;
	if (!metadata->mac)
		return node_error(err, metadata->node, "MAC mismatch: the file has no 'sops.mac'");
	if (!sops_value_decrypt(cipher, metadata->mac, aad, &mac, &type, err)) {
		error_wrap(err, "MAC mismatch: 'sops.mac'");
		return error_at(err, metadata->mac->file, metadata->mac->line);
	}
	if (mac.len == SOPS_MAC_TEXT_SIZE - 1 && sodium_memcmp(mac.text, computed, mac.len) == 0)
		return true;
	node_error(err, metadata->mac,
		"MAC mismatch: values were changed, moved, added or removed without sops");
	return error_hint(err, "edit the file with `sops`, not by hand");
}

static bool decrypt_opened(const struct opened *opened, const struct keyring *keyring,
	struct arena *arena, const struct node **node_out, enum sops_failure *failure_out,
	struct error *err)
{
	const struct sops_metadata *metadata = &opened->metadata;
	uint8_t key[SOPS_KEY_SIZE];
	struct sops_walked walked;
	if (!sops_metadata_unlock(metadata, keyring, key, failure_out, err))
		return false;
	auto_sops_cipher struct sops_cipher *cipher = sops_cipher_new(key);
	sodium_memzero(key, sizeof(key));
	const struct sops_tree tree = {
		.arena = arena,
		.rules = &metadata->rules,
		.mac_only_encrypted = metadata->mac_only_encrypted,
		.mask = true,
		.cipher = cipher,
	};
	if (!sops_tree_walk(&tree, SOPS_WALK_DECRYPT, opened->documents, &walked, err)) {
		*failure_out = walked.failure;
		return false;
	}
	if (!check_mac(metadata, cipher, walked.mac, err)) {
		*failure_out = SOPS_MAC;
		return false;
	}
	*node_out = walked.documents;
	*failure_out = SOPS_OK;
	return true;
}

bool sops_decrypt_documents(const char *file, const char *bytes, size_t len,
	const struct keyring *keyring, struct arena *arena, const struct node **node_out,
	enum sops_failure *failure_out, struct error *err)
{
	CLEANUP(opened_clear) struct opened opened = {.file = file};
	enum sops_failure ignored;
	enum sops_failure *failure = failure_out ? failure_out : &ignored;
	*failure = SOPS_FORMAT;
	return sops_store_read(SOPS_YAML, file, bytes, len, arena, &opened.documents, err) &&
	       open_documents(&opened, arena, failure, err) &&
	       decrypt_opened(&opened, keyring, arena, node_out, failure, err);
}

static bool only_document(const char *file, const struct node *documents,
	const struct node **node_out, struct error *err)
{
	if (documents->count == 1) {
		*node_out = documents->items[0];
		return true;
	}
	error_set(
		err, ERR_INVALID, "file has %zu documents where one is expected", documents->count);
	return error_at(err, file, documents->count > 1 ? documents->items[1]->line : 0);
}

bool sops_decrypt_yaml(const char *file, const char *bytes, size_t len,
	const struct keyring *keyring, struct arena *arena, const struct node **node_out,
	enum sops_failure *failure_out, struct error *err)
{
	const struct node *documents;
	if (!sops_decrypt_documents(file, bytes, len, keyring, arena, &documents, failure_out, err))
		return false;
	if (only_document(file, documents, node_out, err))
		return true;
	if (failure_out)
		*failure_out = SOPS_FORMAT;
	return false;
}

bool sops_peek_yaml(const char *file, const char *bytes, size_t len, struct arena *arena,
	const struct node **node_out, struct error *err)
{
	CLEANUP(opened_clear) struct opened opened = {.file = file};
	enum sops_failure failure;
	const struct node *document = NULL;
	if (!sops_store_read(SOPS_YAML, file, bytes, len, arena, &opened.documents, err) ||
		!open_documents(&opened, arena, &failure, err) ||
		!only_document(file, opened.documents, &document, err))
		return false;
	*node_out = sops_tree_without_metadata(arena, document);
	return true;
}

/* A MAC that is missing is found without a key. */
static bool check_opened(const struct opened *opened, struct arena *arena, struct error *err)
{
	struct sops_walked walked;
	const struct sops_tree tree = {.arena = arena, .rules = &opened->metadata.rules};
	const struct node *mac = opened->metadata.mac;
	if (!mac || !sops_value_is_encrypted(mac->text, mac->len))
		return node_error(
			err, opened->metadata.node, "'sops.mac' is missing or not encrypted");
	return sops_tree_walk(&tree, SOPS_WALK_CHECK, opened->documents, &walked, err);
}

bool sops_check_encrypted(const char *file, const char *bytes, size_t len, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	CLEANUP(opened_clear) struct opened opened = {.file = file};
	enum sops_failure failure;
	enum sops_format format = sops_format_of(file);
	if (!sops_store_read(format, file, bytes, len, arena, &opened.documents, err) ||
		!open_documents(&opened, arena, &failure, err))
		return false;
	if (format == SOPS_BINARY)
		opened.metadata.rules.rule = SOPS_RULE_NONE; /* ignored for binary files */
	return check_opened(&opened, arena, err);
}

bool sops_recipients(const char *file, const char *bytes, size_t len,
	struct strlist *recipients_out, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	CLEANUP(opened_clear) struct opened opened = {.file = file};
	enum sops_failure failure;
	if (!sops_store_read(
		    sops_format_of(file), file, bytes, len, arena, &opened.documents, err) ||
		!open_documents(&opened, arena, &failure, err))
		return false;
	for (size_t i = 0; i < opened.metadata.group_count; i++) {
		const struct sops_group *group = &opened.metadata.groups[i];
		for (size_t k = 0; k < group->age_count; k++)
			strlist_add(recipients_out, group->age[k].recipient);
	}
	return true;
}
