#include "reconcile/digest_key.h"
#include "reconcile/secrets/sops.h"
#include <sodium.h>

static const struct node *key_node(struct arena *arena, const struct digest_key *key)
{
	char hex[2 * DIGEST_KEY_BYTES + 1];
	sodium_bin2hex(hex, sizeof(hex), key->key, DIGEST_KEY_BYTES);
	struct node_entry entries[] = {
		{.key = "id",
			.key_len = 2,
			.value = node_new_string(arena, key->id, strlen(key->id))},
		{.key = "key", .key_len = 3, .value = node_new_string(arena, hex, strlen(hex))},
	};
	sodium_memzero(hex, sizeof(hex));
	for (size_t i = 0; i < ARRAY_LEN(entries); i++)
		entries[i].key_node = node_new_string(arena, entries[i].key, entries[i].key_len);
	return node_new_map(arena, entries, ARRAY_LEN(entries), NULL);
}

bool digest_keys_write(const struct digest_keys *keys, const struct strlist *recipients,
	struct buf *out, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	struct node *list = node_new(arena, NODE_LIST, NULL);

	list->items = arena_array(arena, keys->count, sizeof(*list->items));
	for (size_t i = 0; i < keys->count; i++)
		list->items[list->count++] = key_node(arena, &keys->items[i]);
	struct node_entry entry = {.key = "keys", .key_len = 4, .value = list};
	entry.key_node = node_new_string(arena, "keys", 4);
	return sops_encrypt_yaml(node_new_map(arena, &entry, 1, NULL), recipients, out, err) ||
	       error_wrap(err, "digest keys");
}
