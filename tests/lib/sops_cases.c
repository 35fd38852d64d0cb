#include "tests/lib/sops_cases.h"
#include "reconcile/secrets/sops.h"
#include "reconcile/secrets/sops_config.h"
#include "reconcile/secrets/sops_file_parts.h"
#include <unistd.h>

struct run {
	const char *folder;
	const cJSON *item;
	const char *name;
	struct tally *tally;
};

/* U+E000 of fixture_json() never occurs here: values are compared as they are. */
static bool same(const struct node *want, const struct node *got)
{
	if (got->kind == NODE_TIME)
		return strcmp(want->text, got->iso) == 0;
	if (want->kind == NODE_STRING && got->kind == NODE_FLOAT)
		return strcmp(want->text, got->text) == 0;
	if (want->kind != got->kind)
		return false;
	if (want->kind != NODE_MAP && want->kind != NODE_LIST)
		return node_equal(want, got);
	bool equal = want->count == got->count;
	for (size_t i = 0; equal && i < want->count; i++) {
		if (want->kind == NODE_LIST) {
			equal = same(want->items[i], got->items[i]);
			continue;
		}
		const struct node *value = node_get(got, want->map[i].key);
		equal = value && same(want->map[i].value, value);
	}
	return equal;
}

static struct keyring *read_keys(const struct run *run)
{
	auto_buf struct buf text = BUF_INIT_SECRET(1 << 20);
	struct keyring *keyring = NULL;
	struct error err;
	const cJSON *key;
	cJSON_ArrayForEach(key, cJSON_GetObjectItemCaseSensitive(run->item, "keys"))
	{
		auto_free char *path = mem_printf("%s/keys/%s", run->folder, key->valuestring);
		auto_buf struct buf file = fixture_read(path);
		buf_add(&text, file.text, file.len);
		buf_add_char(&text, '\n');
	}
	if (!keyring_read("keys", text.text, text.len, &keyring, &err))
		tally_add(run->tally, run->name, false, "%s", err.message);
	return keyring;
}

static struct sops_source source_of(const struct run *run, const struct buf *file)
{
	const char *name = fixture_text(run->item, "file");
	return (struct sops_source){sops_format_of(name), name, file->text, file->len};
}

/* "" if the data key, and the hash that the file's MAC holds, are those that the case names. */
static const char *compare_keys(const struct run *run, const struct sops_file *file)
{
	const char *want_mac = fixture_text(run->item, "mac");
	const char *want_key = fixture_text(run->item, "data_key_sha256");
	const char *modified = file->metadata.last_modified;
	auto_sops_cipher struct sops_cipher *cipher = sops_cipher_new(file->key);
	struct sops_plain mac = {.text = BUF_INIT_SECRET(SOPS_MAC_TEXT_SIZE)};
	struct sops_aad aad = {modified, strlen(modified)};
	struct error err;
	char hash[65];
	bool same =
		!*want_mac || (sops_value_decrypt(cipher, file->metadata.mac, aad, &mac, &err) &&
				      strcmp(mac.text.text, want_mac) == 0);
	buf_clear(&mac.text);
	if (!same)
		return "another MAC";
	if (*want_key && strcmp(fixture_sha256(file->key, SOPS_KEY_SIZE, hash), want_key) != 0)
		return "another data key";
	return "";
}

/* The plain file is byte for byte what sops printed, and the file can be written back. */
static void check_printed(
	const struct run *run, const struct buf *file, const struct keyring *keyring)
{
	const struct sops_source source = source_of(run, file);
	const struct sops_printing printing = {.format = source.format};
	auto_free char *path = mem_printf("%s/%s", run->folder, fixture_text(run->item, "plain"));
	auto_sops_file struct sops_file *opened = NULL;
	auto_buf struct buf out = BUF_INIT_SECRET(1 << 24), again = BUF_INIT(1 << 24);
	enum sops_failure failure;
	struct error err = {.message = ""};
	bool ok = sops_file_open(&source, keyring, &opened, &failure, &err) &&
		  sops_file_print(opened, &printing, &out, &err);
	if (ok && *compare_keys(run, opened))
		ok = error_set(&err, ERR_INVALID, "%s", compare_keys(run, opened));
	if (!*fixture_text(run->item, "plain")) {
		tally_add(run->tally, run->name, ok, "is not printed (%s)", err.message);
		return;
	}
	auto_buf struct buf plain = fixture_read(path);
	if (ok && (out.len != plain.len || memcmp(out.text, plain.text, out.len) != 0)) {
		printf("%s: printed:\n%s\n", run->name, out.text);
		ok = error_set(&err, ERR_INVALID, "not printed as sops prints it");
	}
	tally_add(run->tally, run->name, ok && sops_file_write(opened, &printing, &again, &err),
		"%s", err.message);
}

/* "" if the values are those that the case names. */
static const char *compare_values(
	const struct run *run, struct arena *arena, const struct node *documents)
{
	const char *name = fixture_text(run->item, "values");
	auto_free char *path = mem_printf("%s/%s", run->folder, name);
	const struct node *want;
	struct error err;
	if (!*name)
		return "";
	auto_buf struct buf text = fixture_read(path);
	if (!node_parse_json(arena, name, text.text, text.len, &want, &err))
		return "values of the case do not parse";
	return same(want, documents) ? "" : "other values";
}

static void run_decrypt(const struct run *run, const struct buf *file)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_keyring struct keyring *keyring = read_keys(run);
	const char *expect = fixture_text(run->item, "expect");
	const struct node *documents;
	enum sops_failure failure;
	struct error err = {.message = ""};
	if (!keyring)
		return;
	bool ok = sops_decrypt_documents(fixture_text(run->item, "file"), file->text, file->len,
		keyring, arena, &documents, &failure, &err);
	const char *got = sops_failure_name(failure);
	if (strcmp(got, expect) != 0 || ok != (failure == SOPS_OK))
		tally_add(run->tally, run->name, false, "want %s, got %s (%s)", expect, got,
			err.message);
	else if (ok && !*compare_values(run, arena, documents))
		check_printed(run, file, keyring);
	else if (ok)
		tally_add(
			run->tally, run->name, false, "%s", compare_values(run, arena, documents));
	else
		tally_add(run->tally, run->name, *err.message && *err.where,
			"no message or no place");
}

static void run_case(const struct run *run)
{
	auto_free char *path = mem_printf("%s/%s", run->folder, fixture_text(run->item, "file"));
	auto_buf struct buf file = fixture_read(path);
	run_decrypt(run, &file);
}

/* ---- creation rules ---- */

static bool same_groups(const cJSON *groups, const struct sops_creation *creation)
{
	const cJSON *group, *recipient;
	size_t i = 0;
	cJSON_ArrayForEach(group, groups)
	{
		size_t k = 0;
		if (i == creation->group_count)
			return false;
		cJSON_ArrayForEach(recipient, group)
		{
			if (k == creation->groups[i].count ||
				strcmp(creation->groups[i].items[k], recipient->valuestring) != 0)
				return false;
			k++;
		}
		if (k != creation->groups[i++].count)
			return false;
	}
	return i == creation->group_count;
}

/* What sops would write for a file is what is written here: the fields beside the keys. */
static bool same_fields(const cJSON *file, const struct node *metadata)
{
	static const char *const names[] = {"unencrypted_suffix", "encrypted_suffix",
		"unencrypted_regex", "encrypted_regex", "unencrypted_comment_regex",
		"encrypted_comment_regex"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct node *value = node_get(metadata, names[i]);
		if (strcmp(fixture_text(file, names[i]), value ? value->text : "") != 0)
			return false;
	}
	const cJSON *threshold = cJSON_GetObjectItemCaseSensitive(file, "shamir_threshold");
	const struct node *number = node_get(metadata, "shamir_threshold");
	if ((threshold ? threshold->valueint : 0) != (number ? number->integer : 0))
		return false;
	return cJSON_HasObjectItem(file, "mac_only_encrypted") ==
	       (node_get(metadata, "mac_only_encrypted") != NULL);
}

static const char *plain_for(const char *path)
{
	static const char *const texts[] = {[SOPS_YAML] = "a: 1\n",
		[SOPS_JSON] = "{\"a\": 1}",
		[SOPS_DOTENV] = "a=1\n",
		[SOPS_INI] = "[a]\nb = 1\n",
		[SOPS_BINARY] = "a"};
	return texts[sops_format_of(path)];
}

/* The `sops` entry of a new file, as JSON holds it. */
static bool encrypt_for(const char *path, const struct sops_creation *creation, struct arena *arena,
	const struct node **metadata_out, struct error *err)
{
	const char *text = plain_for(path);
	const struct sops_source source = {sops_format_of(path), path, text, strlen(text)};
	struct sops_printing printing = {.format = source.format};
	auto_sops_file struct sops_file *file = NULL;
	auto_buf struct buf out = BUF_INIT(1 << 20);
	enum sops_failure failure;
	struct sops_loaded loaded;
	if (!sops_file_new(&source, creation, &file, &failure, err) ||
		!sops_file_write(file, &printing, &out, err))
		return false;
	const struct sops_source written = {
		source.format, path, arena_dup(arena, out.text, out.len), out.len};
	if (!sops_store_read(&written, arena, false, &loaded, err))
		return false;
	*metadata_out = loaded.metadata;
	return true;
}

static void run_rule(struct tally *tally, const cJSON *item, const cJSON *file)
{
	const char *path = fixture_text(file, "path"), *config_text = fixture_text(item, "config");
	auto_free char *name = mem_printf("%s: %s", fixture_text(item, "name"), path);
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_sops_config struct sops_config *config = NULL;
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	const struct node *metadata = NULL;
	struct error err = {.message = ""};
	bool want = strcmp(fixture_text(file, "expect"), "ok") == 0;
	bool ok =
		sops_config_parse(".sops.yaml", config_text, strlen(config_text), &config, &err) &&
		sops_config_rule(config, path, &creation, &err) &&
		encrypt_for(path, &creation, arena, &metadata, &err);
	if (ok != want) {
		tally_add(tally, name, false, "want %s (%s)", want ? "ok" : "error", err.message);
		return;
	}
	tally_add(tally, name,
		!ok || (same_groups(cJSON_GetObjectItemCaseSensitive(file, "groups"), &creation) &&
			       same_fields(file, metadata)),
		"other groups or fields");
}

void sops_rules_run(const char *folder, struct tally *tally)
{
	auto_free char *path = mem_printf("%s/creation-rules.json", folder);
	if (access(path, R_OK) != 0)
		return;
	cJSON *json = fixture_json(path);
	const cJSON *item, *file;
	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, "cases"))
	{
		cJSON_ArrayForEach(file, cJSON_GetObjectItemCaseSensitive(item, "files"))
		{
			run_rule(tally, item, file);
		}
	}
	cJSON_Delete(json);
}

void sops_cases_run(const char *folder, struct tally *tally)
{
	auto_free char *path = mem_printf("%s/cases.json", folder);
	cJSON *json = fixture_json(path);
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "cases");
	struct run run = {.folder = folder, .tally = tally};
	cJSON_ArrayForEach(run.item, list)
	{
		run.name = fixture_text(run.item, "name");
		run_case(&run);
	}
	cJSON_Delete(json);
}
