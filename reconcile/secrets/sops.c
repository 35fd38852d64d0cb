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

/* A file while it is opened. */
struct opened {
	struct sops_source source;
	struct arena *arena;
	const struct node *documents;
	struct sops_metadata metadata;
	struct sops_comments *comments;
};

static void opened_clear(struct opened *opened)
{
	sops_comments_free(opened->comments);
	sops_metadata_clear(&opened->metadata);
}

/* For a rule on comments; other formats than YAML have theirs dropped on reading. */
static bool read_comments(struct opened *opened, struct error *err)
{
	const struct sops_rules *rules = &opened->metadata.rules;
	const struct sops_source *source = &opened->source;
	if (!sops_rules_on_comments(rules))
		return true;
	if (source->format != SOPS_YAML)
		return error_set(err, ERR_REFUSED, "'sops.%s' is supported in YAML files only",
			sops_rule_name(rules->rule));
	return sops_comments_read(source->bytes, source->len, rules, &opened->comments, err);
}

/* Documents and checked metadata, which stand in the first document. */
static bool read_file(struct opened *opened, enum sops_failure *failure_out, struct error *err)
{
	*failure_out = SOPS_FORMAT;
	if (!sops_store_read(&opened->source, opened->arena, &opened->documents, err))
		return false;
	const struct node *documents = opened->documents;
	const struct node *sops = documents->count ? node_get(documents->items[0], "sops") : NULL;
	if (!sops) {
		*failure_out = SOPS_NOT_SOPS;
		error_set(err, ERR_INVALID,
			"not a SOPS file: it has no 'sops' entry, so nothing in it is encrypted");
		return error_at(err, opened->source.file, 0);
	}
	if (!sops_metadata_read(opened->arena, sops, &opened->metadata, err) ||
		!read_comments(opened, err)) {
		*failure_out = SOPS_METADATA;
		return error_at(err, opened->source.file, 0);
	}
	if (opened->source.format == SOPS_BINARY) /* all of it is encrypted, whatever a rule says */
		sops_rules_clear(&opened->metadata.rules);
	*failure_out = SOPS_OK;
	return true;
}

static bool check_mac(const struct sops_metadata *metadata, struct sops_cipher *cipher,
	const char *computed, struct error *err)
{
	struct sops_plain mac = {.text = BUF_INIT_SECRET(1024)};
	struct sops_aad aad = {metadata->last_modified, strlen(metadata->last_modified)};
	if (!metadata->mac)
		return node_error(err, metadata->node, "MAC mismatch: the file has no 'sops.mac'");
	bool opened = sops_value_decrypt(cipher, metadata->mac, aad, &mac, err);
	bool same = opened && mac.text.len == SOPS_MAC_TEXT_SIZE - 1 &&
		    sodium_memcmp(mac.text.text, computed, mac.text.len) == 0;
	buf_clear(&mac.text);
	if (same)
		return true;
	if (!opened) {
		error_wrap(err, "MAC mismatch: 'sops.mac'");
		return error_at(err, metadata->mac->file, metadata->mac->line);
	}
	node_error(err, metadata->mac,
		"MAC mismatch: values were changed, moved, added or removed without sops");
	return error_hint(err, "edit the file with `sops`, not by hand");
}

static bool decrypt_opened(const struct opened *opened, const struct keyring *keyring,
	const struct node **node_out, enum sops_failure *failure_out, struct error *err)
{
	const struct sops_metadata *metadata = &opened->metadata;
	uint8_t key[SOPS_KEY_SIZE];
	struct sops_walked walked;
	if (!sops_metadata_unlock(metadata, keyring, key, failure_out, err))
		return false;
	auto_sops_cipher struct sops_cipher *cipher = sops_cipher_new(key);
	sodium_memzero(key, sizeof(key));
	const struct sops_tree tree = {
		.arena = opened->arena,
		.rules = &metadata->rules,
		.comments = opened->comments,
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

static bool decrypt_file(struct opened *opened, const struct keyring *keyring,
	const struct node **node_out, enum sops_failure *failure_out, struct error *err)
{
	return read_file(opened, failure_out, err) &&
	       decrypt_opened(opened, keyring, node_out, failure_out, err);
}

bool sops_decrypt_documents(const char *file, const char *bytes, size_t len,
	const struct keyring *keyring, struct arena *arena, const struct node **node_out,
	enum sops_failure *failure_out, struct error *err)
{
	CLEANUP(opened_clear)
	struct opened opened = {.source = {sops_format_of(file), file, bytes, len}, .arena = arena};
	enum sops_failure failure;
	bool ok = decrypt_file(&opened, keyring, node_out, &failure, err);
	if (failure_out)
		*failure_out = failure;
	return ok;
}

static bool only_document(
	const struct opened *opened, const struct node **node_out, struct error *err)
{
	const struct node *documents = opened->documents;
	if (documents->count == 1) {
		*node_out = documents->items[0];
		return true;
	}
	error_set(
		err, ERR_INVALID, "file has %zu documents where one is expected", documents->count);
	return error_at(err, opened->source.file, documents->items[1]->line);
}

bool sops_decrypt_yaml(const char *file, const char *bytes, size_t len,
	const struct keyring *keyring, struct arena *arena, const struct node **node_out,
	enum sops_failure *failure_out, struct error *err)
{
	CLEANUP(opened_clear)
	struct opened opened = {.source = {SOPS_YAML, file, bytes, len}, .arena = arena};
	const struct node *documents = NULL, *ignored;
	enum sops_failure failure;
	bool ok = decrypt_file(&opened, keyring, &documents, &failure, err);
	if (ok && !only_document(&opened, &ignored, err)) {
		failure = SOPS_FORMAT;
		ok = false;
	}
	if (ok)
		*node_out = documents->items[0];
	if (failure_out)
		*failure_out = failure;
	return ok;
}

bool sops_peek_yaml(const char *file, const char *bytes, size_t len, struct arena *arena,
	const struct node **node_out, struct error *err)
{
	CLEANUP(opened_clear)
	struct opened opened = {.source = {SOPS_YAML, file, bytes, len}, .arena = arena};
	enum sops_failure failure;
	const struct node *document = NULL;
	if (!read_file(&opened, &failure, err) || !only_document(&opened, &document, err))
		return false;
	*node_out = sops_tree_without_metadata(arena, document);
	return true;
}

/* A MAC that is missing is found without a key. */
static bool check_opened(const struct opened *opened, struct error *err)
{
	struct sops_walked walked;
	const struct sops_tree tree = {
		.arena = opened->arena,
		.rules = &opened->metadata.rules,
		.comments = opened->comments,
	};
	const struct node *mac = opened->metadata.mac;
	if (!mac || !sops_value_is_encrypted(mac->text, mac->len))
		return node_error(
			err, opened->metadata.node, "'sops.mac' is missing or not encrypted");
	return sops_tree_walk(&tree, SOPS_WALK_CHECK, opened->documents, &walked, err);
}

bool sops_check_encrypted(const char *file, const char *bytes, size_t len, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	CLEANUP(opened_clear)
	struct opened opened = {.source = {sops_format_of(file), file, bytes, len}, .arena = arena};
	enum sops_failure failure;
	return read_file(&opened, &failure, err) && check_opened(&opened, err);
}

bool sops_recipients(const char *file, const char *bytes, size_t len,
	struct strlist *recipients_out, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	CLEANUP(opened_clear)
	struct opened opened = {.source = {sops_format_of(file), file, bytes, len}, .arena = arena};
	enum sops_failure failure;
	if (!read_file(&opened, &failure, err))
		return false;
	for (size_t i = 0; i < opened.metadata.group_count; i++) {
		const struct sops_group *group = &opened.metadata.groups[i];
		for (size_t k = 0; k < group->age_count; k++)
			strlist_add(recipients_out, group->age[k].recipient);
	}
	return true;
}
