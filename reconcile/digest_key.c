#include "reconcile/digest_key.h"
#include "reconcile/secrets/sops.h"
#include <sodium.h>

#define DIGEST_KEY_FILE "digest-key.sops.yaml"

static bool read_one(const struct node *item, struct digest_key *key_out, struct error *err)
{
	const struct node *id = node_get(item, "id");
	const struct node *key = node_get(item, "key");
	size_t len = 0;
	if (!id || id->kind != NODE_STRING || !id->len || id->len >= sizeof(key_out->id))
		return node_error(err, item, "a digest key without a proper 'id'");
	if (!key || key->kind != NODE_STRING || key->len != 2 * DIGEST_KEY_BYTES)
		return node_error(err, item, "digest key '%s' is not 64 hex digits", id->text);
	memcpy(key_out->id, id->text, id->len + 1);
	if (sodium_hex2bin(key_out->key, DIGEST_KEY_BYTES, key->text, key->len, NULL, &len, NULL) ||
		len != DIGEST_KEY_BYTES)
		return node_error(err, item, "digest key '%s' is not 64 hex digits", id->text);
	return true;
}

static bool read_list(const struct node *root, struct digest_keys *keys_out, struct error *err)
{
	const struct node *list = node_get(root, "keys");
	if (!list || list->kind != NODE_LIST || !list->count || list->count > DIGEST_KEYS_MAX) {
		error_set(err, ERR_INVALID, "digest keys: 'keys' must be a list of 1 to %d keys",
			DIGEST_KEYS_MAX);
		return error_at(err, DIGEST_KEY_FILE, 0);
	}
	for (size_t i = 0; i < list->count; i++) {
		if (!read_one(list->items[i], &keys_out->items[i], err))
			return false;
		keys_out->count = i + 1;
	}
	return true;
}

bool digest_keys_read(const char *text, size_t len, const struct keyring *keyring,
	struct digest_keys *keys_out, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_digest_keys struct digest_keys keys = {0};
	enum sops_failure failure = SOPS_OK;
	const struct node *root = NULL;

	if (!sops_decrypt_yaml(DIGEST_KEY_FILE, text, len, keyring, arena, &root, &failure, err)) {
		if (failure == SOPS_NO_KEY)
			err->code = ERR_AUTH;
		return error_wrap(err, "digest keys");
	}
	if (!read_list(root, &keys, err))
		return false;
	*keys_out = keys;
	return true;
}

bool digest_keys_add(struct digest_keys *keys, struct error *err)
{
	unsigned long last = 0;
	if (keys->count == DIGEST_KEYS_MAX)
		return error_set(
			err, ERR_REFUSED, "there are %d digest keys already", DIGEST_KEYS_MAX);
	for (size_t i = 0; i < keys->count; i++) {
		unsigned long number =
			keys->items[i].id[0] == 'k' ? strtoul(keys->items[i].id + 1, NULL, 10) : 0;
		if (number > last && number < 100000000)
			last = number;
	}
	struct digest_key *key = &keys->items[keys->count++];
	(void)snprintf(key->id, sizeof(key->id), "k%lu", last + 1); /* fits: below 10^8 */
	randombytes_buf(key->key, sizeof(key->key));
	return true;
}

const struct digest_key *digest_keys_find(const struct digest_keys *keys, const char *id)
{
	if (!keys || !keys->count)
		return NULL;
	if (!id)
		return &keys->items[keys->count - 1];
	for (size_t i = 0; i < keys->count; i++)
		if (!strcmp(keys->items[i].id, id))
			return &keys->items[i];
	return NULL;
}

void digest_keys_wipe(struct digest_keys *keys)
{
	sodium_memzero(keys, sizeof(*keys));
}
