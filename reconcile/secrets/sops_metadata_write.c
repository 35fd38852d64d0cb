#include "reconcile/secrets/sops_metadata_write.h"
#include "base/buf.h"
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/age_format.h"
#include "reconcile/secrets/shamir.h"
#include <sodium.h>

#define AGE_FILE_MAX 65536 /* a data key for one recipient has about 300 bytes, for RSA 3 KB */
#define SHARE_SIZE   (SOPS_KEY_SIZE + 1)

/* Sorted. */
static const struct {
	const char *name;
	enum node_kind kind;
} known[] = {
	{"age", NODE_LIST},
	{"azure_kv", NODE_LIST},
	{"encrypted_comment_regex", NODE_STRING},
	{"encrypted_regex", NODE_STRING},
	{"encrypted_suffix", NODE_STRING},
	{"gcp_kms", NODE_LIST},
	{"hc_vault", NODE_LIST},
	{"hckms", NODE_LIST},
	{"key_groups", NODE_LIST},
	{"kms", NODE_LIST},
	{"lastmodified", NODE_STRING},
	{"mac", NODE_STRING},
	{"mac_only_encrypted", NODE_BOOL},
	{"pgp", NODE_LIST},
	{"shamir_threshold", NODE_INT},
	{"unencrypted_comment_regex", NODE_STRING},
	{"unencrypted_regex", NODE_STRING},
	{"unencrypted_suffix", NODE_STRING},
	{"version", NODE_STRING},
};

static const char *const key_fields[SOPS_KEY_FIELDS] = {"age", "key_groups", "shamir_threshold",
	"azure_kv", "gcp_kms", "hc_vault", "hckms", "kms", "pgp"};

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct node_entry *)a)->key, ((const struct node_entry *)b)->key);
}

/* Entries of keys, sorted; nulls stay as they are. */
static const struct node *sorted(struct arena *arena, const struct node *node)
{
	if (node->kind == NODE_LIST) {
		struct node *list = node_new(arena, NODE_LIST, node);
		const struct node **items = arena_array(arena, node->count, sizeof(struct node *));
		for (size_t i = 0; i < node->count; i++)
			items[i] = sorted(arena, node->items[i]);
		list->items = items;
		list->count = node->count;
		return list;
	}
	if (node->kind != NODE_MAP)
		return node;
	auto_free struct node_entry *entries = mem_alloc(node->count * sizeof(*entries));
	for (size_t i = 0; i < node->count; i++) {
		entries[i] = node->map[i];
		entries[i].value = sorted(arena, node->map[i].value);
	}
	qsort(entries, node->count, sizeof(*entries), compare_entries);
	return node_new_map(arena, entries, node->count, node);
}

static const struct node *int_node(struct arena *arena, int64_t number)
{
	struct node *node = node_new(arena, NODE_INT, NULL);
	node->integer = number;
	node->text = arena_printf(arena, "%lld", (long long)number);
	node->len = strlen(node->text);
	return node;
}

/* Text as a string, whatever YAML made of it; numbers and booleans by their kind. NULL: empty. */
static const struct node *normal(struct arena *arena, const struct node *node, enum node_kind kind)
{
	if (!node || node->kind == NODE_NULL)
		return NULL;
	if (kind == NODE_LIST)
		return node->kind == NODE_LIST && node->count ? sorted(arena, node) : NULL;
	if (!node->text || !node->len)
		return NULL;
	if (kind == NODE_STRING)
		return node_new_string(arena, node->text, node->len);
	if (kind == NODE_BOOL)
		return strcasecmp(node->text, "true") == 0 || strcmp(node->text, "1") == 0
			       ? node_new_bool(arena, true)
			       : NULL;
	long long number = strtoll(node->text, NULL, 10);
	return number ? int_node(arena, number) : NULL;
}

/* Key lists at the top hide `key_groups`. */
static bool is_hidden(const struct node *before, const char *name)
{
	if (strcmp(name, "key_groups") != 0)
		return false;
	for (size_t i = 0; i < SOPS_KEY_FIELDS; i++) {
		const struct node *list = node_get(before, key_fields[i]);
		if (list && list->kind == NODE_LIST && list->count &&
			strcmp(key_fields[i], "key_groups") != 0)
			return true;
	}
	return false;
}

const struct node *sops_metadata_build(struct arena *arena, const struct node *before,
	const struct sops_field *fields, size_t count)
{
	struct node_entry entries[ARRAY_LEN(known)];
	size_t found = 0;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		const struct node *value =
			is_hidden(before, known[i].name) ? NULL : node_get(before, known[i].name);
		for (size_t k = 0; k < count; k++) {
			if (strcmp(fields[k].name, known[i].name) == 0)
				value = fields[k].value;
		}
		value = normal(arena, value, known[i].kind);
		if (value)
			entries[found++] = (struct node_entry){.key = known[i].name,
				.key_len = strlen(known[i].name),
				.value = value};
	}
	return node_new_map(arena, entries, found, before);
}

static struct node_entry entry_of(const char *key, const struct node *value)
{
	return (struct node_entry){.key = key, .key_len = strlen(key), .value = value};
}

/* The line as it was given, without blanks around it. */
static const struct node *recipient_node(struct arena *arena, const char *text)
{
	static const char blanks[] = " \t\r\n";
	text += strspn(text, blanks);
	size_t len = strlen(text);
	while (len && strchr(blanks, text[len - 1]))
		len--;
	return node_new_string(arena, text, len);
}

/* One age file for one recipient, as sops does it. */
static bool wrap_one(struct arena *arena, const char *recipient, struct age_bytes key,
	const struct node **node_out, struct error *err)
{
	auto_buf struct buf file = BUF_INIT(AGE_FILE_MAX), armored = BUF_INIT(2 * AGE_FILE_MAX);
	if (!age_encrypt_to(recipient, key.bytes, key.len, &file, err))
		return false;
	age_armor_encode((const uint8_t *)file.text, file.len, &armored);
	const struct node_entry entries[] = {
		entry_of("enc", node_new_string(arena, armored.text, armored.len)),
		entry_of("recipient", recipient_node(arena, recipient)),
	};
	*node_out = node_new_map(arena, entries, ARRAY_LEN(entries), NULL);
	return true;
}

static bool wrap_group(struct arena *arena, const struct strlist *recipients, struct age_bytes key,
	const struct node **list_out, struct error *err)
{
	struct node *list = node_new(arena, NODE_LIST, NULL);
	const struct node **items = arena_array(arena, recipients->count, sizeof(struct node *));
	if (!recipients->count)
		return error_set(err, ERR_INVALID, "key group has no recipient");
	if (recipients->count > SOPS_MAX_ENTRIES)
		return error_set(err, ERR_INVALID,
			"key group has more than the limit of %d recipients", SOPS_MAX_ENTRIES);
	for (size_t i = 0; i < recipients->count; i++) {
		if (!wrap_one(arena, recipients->items[i], key, &items[i], err))
			return false;
	}
	list->items = items;
	list->count = recipients->count;
	*list_out = list;
	return true;
}

static bool wrap_shares(struct arena *arena, const struct sops_creation *keys,
	const uint8_t *shares, const struct node **list_out, struct error *err)
{
	struct node *list = node_new(arena, NODE_LIST, NULL);
	const struct node **items = arena_array(arena, keys->group_count, sizeof(struct node *));
	for (size_t i = 0; i < keys->group_count; i++) {
		const struct node *age;
		struct age_bytes share = {shares + i * SHARE_SIZE, SHARE_SIZE};
		if (!wrap_group(arena, &keys->groups[i], share, &age, err))
			return false;
		const struct node_entry entries[] = {
			entry_of("age", age),
			entry_of("hc_vault", node_new(arena, NODE_LIST, NULL)),
		};
		items[i] = node_new_map(arena, entries, ARRAY_LEN(entries), NULL);
	}
	list->items = items;
	list->count = keys->group_count;
	*list_out = list;
	return true;
}

static bool wrap_groups(struct arena *arena, const struct sops_creation *keys, unsigned threshold,
	const uint8_t *key, const struct node **list_out, struct error *err)
{
	uint8_t shares[SOPS_MAX_GROUPS * SHARE_SIZE];
	if (threshold < 2 || threshold > keys->group_count)
		return error_set(err, ERR_INVALID,
			"shamir_threshold is %u, but has to be from 2 to the number of "
			"key groups, %zu",
			threshold, keys->group_count);
	const struct shamir_split split = {threshold, (unsigned)keys->group_count, SOPS_KEY_SIZE};
	shamir_split(&split, key, shares);
	bool ok = wrap_shares(arena, keys, shares, list_out, err);
	sodium_memzero(shares, sizeof(shares));
	return ok;
}

bool sops_metadata_wrap(struct arena *arena, const struct sops_creation *keys,
	const uint8_t key[SOPS_KEY_SIZE], struct sops_field fields_out[SOPS_KEY_FIELDS],
	struct error *err)
{
	unsigned threshold = keys->shamir_threshold;
	const struct node *age = NULL, *groups = NULL;
	bool ok;
	if (!keys->group_count || keys->group_count > SOPS_MAX_GROUPS)
		return error_set(err, ERR_INVALID, "no recipient to encrypt for");
	if (keys->group_count > 1 && !threshold)
		threshold = (unsigned)keys->group_count;
	if (keys->group_count == 1)
		ok = wrap_group(
			arena, &keys->groups[0], (struct age_bytes){key, SOPS_KEY_SIZE}, &age, err);
	else
		ok = wrap_groups(arena, keys, threshold, key, &groups, err);
	if (!ok)
		return false;
	for (size_t i = 0; i < SOPS_KEY_FIELDS; i++)
		fields_out[i] = (struct sops_field){key_fields[i], NULL};
	fields_out[0].value = age;
	fields_out[1].value = groups;
	fields_out[2].value = threshold ? int_node(arena, threshold) : NULL;
	return true;
}

void sops_metadata_creation(
	const struct sops_metadata *metadata, struct sops_creation *creation_out)
{
	*creation_out = (struct sops_creation){
		.shamir_threshold = (unsigned)metadata->shamir_threshold,
		.rule = metadata->rules.rule,
		.rule_text = mem_dup_str(metadata->rules.text),
		.mac_only_encrypted = metadata->mac_only_encrypted,
	};
	for (size_t i = 0; i < metadata->group_count; i++) {
		struct strlist *group = sops_creation_add_group(creation_out);
		for (size_t k = 0; k < metadata->groups[i].age_count; k++)
			strlist_add(group, metadata->groups[i].age[k].recipient);
	}
}
