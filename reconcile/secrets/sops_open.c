#include "reconcile/secrets/sops_open.h"
#include "reconcile/secrets/sops_walk.h"
#include <sodium.h>

void sops_opened_clear(struct sops_opened *opened)
{
	sops_metadata_clear(&opened->metadata);
}

/* A rule on comments needs those of a YAML file, which are not read otherwise. */
static bool read_again(struct sops_opened *opened, struct error *err)
{
	struct sops_loaded loaded;
	if (!sops_store_read(&opened->source, opened->arena, true, &loaded, err))
		return false;
	opened->documents = loaded.documents;
	return true;
}

bool sops_opened_read(struct sops_opened *opened, bool comments, enum sops_failure *failure_out,
	struct error *err)
{
	struct sops_loaded loaded;
	const struct sops_source *source = &opened->source;
	*failure_out = SOPS_FORMAT;
	if (!sops_store_read(source, opened->arena, comments, &loaded, err))
		return false;
	if (!loaded.metadata) {
		*failure_out = SOPS_NOT_SOPS;
		error_set(err, ERR_INVALID,
			"not a SOPS file: it has no 'sops' entry, so nothing in it is encrypted");
		return error_at(err, source->file, 0);
	}
	*failure_out = SOPS_METADATA;
	if (!sops_metadata_read(opened->arena, loaded.metadata, &opened->metadata, err))
		return error_at(err, source->file, 0);
	opened->documents = loaded.documents;
	if (source->format == SOPS_BINARY) /* all of it is encrypted, whatever a rule says */
		sops_rules_clear(&opened->metadata.rules);
	if (!comments && source->format == SOPS_YAML &&
		sops_rules_on_comments(&opened->metadata.rules) && !read_again(opened, err))
		return false;
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

bool sops_opened_decrypt(struct sops_opened *opened, const uint8_t key[SOPS_KEY_SIZE], bool mask,
	enum sops_failure *failure_out, struct error *err)
{
	const struct sops_metadata *metadata = &opened->metadata;
	auto_sops_cipher struct sops_cipher *cipher = sops_cipher_new(key);
	struct sops_walked walked;
	const struct sops_walk walk = {
		.kind = SOPS_WALK_DECRYPT,
		.arena = opened->arena,
		.rules = &metadata->rules,
		.mac_only_encrypted = metadata->mac_only_encrypted,
		.mask = mask,
		.cipher = cipher,
	};
	if (!sops_walk_documents(&walk, opened->documents, &walked, err)) {
		*failure_out = walked.failure;
		return false;
	}
	if (!check_mac(metadata, cipher, walked.mac, err)) {
		*failure_out = SOPS_MAC;
		return false;
	}
	*failure_out = SOPS_OK;
	return true;
}
