/* A new SOPS YAML file (specs/sops-age.md 3.1) */
#include "base/clock.h"
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/age_format.h"
#include "reconcile/secrets/sops_store.h"
#include "reconcile/secrets/sops_tree.h"
#include <sodium.h>

#define VERSION      "3.13.3" /* of the sops whose form this is */
#define AGE_FILE_MAX 4096     /* a data key for one recipient has about 300 bytes */

static struct node_entry entry_of(struct arena *arena, const char *key, const char *text)
{
	return (struct node_entry){
		.key = key,
		.key_len = strlen(key),
		.value = node_new_string(arena, text, strlen(text)),
	};
}

/* One age file for one recipient, as sops does it. */
static bool wrap_key(struct arena *arena, const char *recipient, const uint8_t *key,
	const struct node **node_out, struct error *err)
{
	uint8_t recipients[1][AGE_KEY_SIZE];
	const struct age_recipients to = {recipients, 1};
	char name[AGE_RECIPIENT_SIZE];
	auto_buf struct buf file = BUF_INIT(AGE_FILE_MAX), armored = BUF_INIT(AGE_FILE_MAX);
	if (!age_recipient_parse(recipient, recipients[0], err) ||
		!age_encrypt(&to, key, SOPS_KEY_SIZE, &file, err))
		return false;
	age_armor_encode((const uint8_t *)file.text, file.len, &armored);
	const struct node_entry entries[] = {
		entry_of(arena, "enc", armored.text),
		entry_of(arena, "recipient", age_recipient_format(recipients[0], name)),
	};
	*node_out = node_new_map(arena, entries, ARRAY_LEN(entries), NULL);
	return true;
}

static bool wrap_for_all(struct arena *arena, const struct strlist *recipients, const uint8_t *key,
	const struct node **list_out, struct error *err)
{
	struct node *list = node_new(arena, NODE_LIST, NULL);
	const struct node **items = arena_array(arena, recipients->count, sizeof(struct node *));
	for (size_t i = 0; i < recipients->count; i++) {
		if (!wrap_key(arena, recipients->items[i], key, &items[i], err))
			return false;
	}
	list->items = items;
	list->count = recipients->count;
	*list_out = list;
	return true;
}

struct job {
	struct arena *arena;
	struct sops_cipher *cipher;
	struct sops_rules rules;
	const struct node *age;
};

static void job_clear(struct job *job)
{
	sops_cipher_free(job->cipher);
	sops_rules_clear(&job->rules);
	arena_free(job->arena);
}

/* Encrypted: the hash of the values, bound to the time of the change. */
static const struct node *make_mac(struct job *job, const char *hash, const char *last_modified)
{
	struct sops_plain mac = {.text = BUF_INIT_SECRET(SOPS_MAC_TEXT_SIZE), .type = SOPS_STR};
	auto_buf struct buf enc = BUF_INIT(1024);
	struct sops_aad aad = {last_modified, strlen(last_modified)};
	buf_add_str(&mac.text, hash);
	sops_value_encrypt(job->cipher, &mac, aad, &enc);
	buf_clear(&mac.text);
	return node_new_string(job->arena, enc.text, enc.len);
}

/* The values with the `sops` entry behind them. */
static const struct node *add_metadata(struct job *job, const struct sops_walked *walked)
{
	struct arena *arena = job->arena;
	const struct node *values = walked->documents->items[0];
	char last_modified[CLOCK_TEXT_SIZE];
	clock_format(clock_wall_s(), last_modified);
	const struct node_entry fields[] = {
		{.key = "age", .key_len = 3, .value = job->age},
		entry_of(arena, "lastmodified", last_modified),
		{.key = "mac", .key_len = 3, .value = make_mac(job, walked->mac, last_modified)},
		entry_of(arena, sops_rule_name(job->rules.rule), job->rules.text),
		entry_of(arena, "version", VERSION),
	};
	auto_free struct node_entry *entries = mem_alloc((values->count + 1) * sizeof(*entries));
	if (values->count)
		memcpy(entries, values->map, values->count * sizeof(*entries));
	entries[values->count] = (struct node_entry){
		.key = "sops",
		.key_len = 4,
		.value = node_new_map(arena, fields, ARRAY_LEN(fields), NULL),
	};
	return node_new_map(arena, entries, values->count + 1, NULL);
}

static bool write_encrypted(
	struct job *job, const struct node *documents, struct buf *out, struct error *err)
{
	const struct sops_tree tree = {
		.arena = job->arena, .rules = &job->rules, .cipher = job->cipher};
	struct sops_walked walked;
	if (!sops_tree_walk(&tree, SOPS_WALK_ENCRYPT, documents, &walked, err))
		return false;
	sops_yaml_write(add_metadata(job, &walked), out);
	return !buf_overflowed(out) ||
	       error_set(err, ERR_INVALID, "encrypted file is larger than expected");
}

static bool encrypt_documents(struct job *job, const struct node *documents,
	const struct strlist *recipients, struct buf *out, struct error *err)
{
	uint8_t key[SOPS_KEY_SIZE];
	randombytes_buf(key, sizeof(key));
	bool ok = wrap_for_all(job->arena, recipients, key, &job->age, err);
	job->cipher = sops_cipher_new(key);
	sodium_memzero(key, sizeof(key));
	return ok && sops_rules_read(NULL, &job->rules, err) &&
	       write_encrypted(job, documents, out, err);
}

bool sops_encrypt_yaml(const struct node *plain, const struct strlist *recipients, struct buf *out,
	struct error *err)
{
	CLEANUP(job_clear) struct job job = {.arena = arena_new(ARENA_SECRET, 0)};
	const struct node *items[1] = {plain};
	if (plain->kind != NODE_MAP)
		return node_error(err, plain, "only a map can be encrypted, this is a %s",
			node_kind_name(plain->kind));
	if (node_get(plain, "sops"))
		return node_error(err, plain, "the key 'sops' is taken by SOPS itself");
	if (!recipients->count)
		return error_set(err, ERR_INVALID, "no recipient to encrypt for");
	struct node *documents = node_new(job.arena, NODE_LIST, plain);
	documents->items = items;
	documents->count = 1;
	return encrypt_documents(&job, documents, recipients, out, err);
}
