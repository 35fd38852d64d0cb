/* Opening and looking at SOPS files: parse, metadata, data key, walk, MAC; nothing is handed out
 * before the MAC was checked (specs/sops-age.md 2.15). */
#include "reconcile/secrets/sops.h"
#include "reconcile/secrets/sops_open.h"
#include "reconcile/secrets/sops_walk.h"
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
		[SOPS_ENCRYPTED] = "encrypted-already",
	};
	return names[failure];
}

int sops_failure_exit(enum sops_failure failure)
{
	switch (failure) {
	case SOPS_OK:
		return 0;
	case SOPS_VALUE:
		return 25;
	case SOPS_MAC:
		return 51;
	case SOPS_NO_KEY:
	case SOPS_UNSUPPORTED:
		return 128;
	case SOPS_ENCRYPTED:
		return 203;
	default:
		return 1;
	}
}

static bool decrypt_file(struct sops_opened *opened, const struct keyring *keyring,
	enum sops_failure *failure_out, struct error *err)
{
	uint8_t key[SOPS_KEY_SIZE];
	if (!sops_opened_read(opened, false, failure_out, err) ||
		!sops_metadata_unlock(&opened->metadata, keyring, key, failure_out, err))
		return false;
	bool ok = sops_opened_decrypt(opened, key, true, failure_out, err);
	sodium_memzero(key, sizeof(key));
	return ok;
}

bool sops_decrypt_documents(const char *file, const char *bytes, size_t len,
	const struct keyring *keyring, struct arena *arena, const struct node **node_out,
	enum sops_failure *failure_out, struct error *err)
{
	auto_sops_opened struct sops_opened opened = {
		.source = {sops_format_of(file), file, bytes, len}, .arena = arena};
	enum sops_failure failure;
	bool ok = decrypt_file(&opened, keyring, &failure, err);
	if (ok)
		*node_out = sops_item_to_node(arena, opened.documents);
	if (failure_out)
		*failure_out = failure;
	return ok;
}

static bool check_one_document(
	const char *file, const struct sops_item *documents, struct error *err)
{
	if (documents->count == 1)
		return true;
	error_set(
		err, ERR_INVALID, "file has %zu documents where one is expected", documents->count);
	return error_at(err, file, documents->items[1]->value->line);
}

bool sops_decrypt_yaml(const char *file, const char *bytes, size_t len,
	const struct keyring *keyring, struct arena *arena, const struct node **node_out,
	enum sops_failure *failure_out, struct error *err)
{
	auto_sops_opened struct sops_opened opened = {
		.source = {SOPS_YAML, file, bytes, len}, .arena = arena};
	enum sops_failure failure;
	bool ok = decrypt_file(&opened, keyring, &failure, err);
	if (ok && !check_one_document(file, opened.documents, err)) {
		failure = SOPS_FORMAT;
		ok = false;
	}
	if (ok)
		*node_out = sops_item_to_node(arena, opened.documents->items[0]);
	if (failure_out)
		*failure_out = failure;
	return ok;
}

bool sops_peek_yaml(const char *file, const char *bytes, size_t len, struct arena *arena,
	const struct node **node_out, struct error *err)
{
	auto_sops_opened struct sops_opened opened = {
		.source = {SOPS_YAML, file, bytes, len}, .arena = arena};
	enum sops_failure failure;
	if (!sops_opened_read(&opened, false, &failure, err) ||
		!check_one_document(file, opened.documents, err))
		return false;
	*node_out = sops_item_to_node(arena, opened.documents->items[0]);
	return true;
}

/* A MAC that is missing is found without a key. */
static bool check_opened(const struct sops_opened *opened, struct error *err)
{
	struct sops_walked walked;
	const struct sops_walk walk = {
		.kind = SOPS_WALK_CHECK,
		.arena = opened->arena,
		.rules = &opened->metadata.rules,
	};
	const struct node *mac = opened->metadata.mac;
	if (!mac || !sops_value_is_encrypted(mac->text, mac->len))
		return node_error(
			err, opened->metadata.node, "'sops.mac' is missing or not encrypted");
	return sops_walk_documents(&walk, opened->documents, &walked, err);
}

bool sops_check_encrypted(const char *file, const char *bytes, size_t len, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_sops_opened struct sops_opened opened = {
		.source = {sops_format_of(file), file, bytes, len}, .arena = arena};
	enum sops_failure failure;
	return sops_opened_read(&opened, false, &failure, err) && check_opened(&opened, err);
}

bool sops_recipients(const char *file, const char *bytes, size_t len,
	struct strlist *recipients_out, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_sops_opened struct sops_opened opened = {
		.source = {sops_format_of(file), file, bytes, len}, .arena = arena};
	enum sops_failure failure;
	if (!sops_opened_read(&opened, false, &failure, err))
		return false;
	for (size_t i = 0; i < opened.metadata.group_count; i++) {
		const struct sops_group *group = &opened.metadata.groups[i];
		for (size_t k = 0; k < group->age_count; k++)
			strlist_add(recipients_out, group->age[k].recipient);
	}
	return true;
}
