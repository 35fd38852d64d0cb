#include "tests/lib/sops_cases.h"
#include "reconcile/secrets/sops.h"
#include "reconcile/secrets/sops_metadata.h"
#include "reconcile/secrets/sops_store.h"

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

/* What our writer does not write: comments, and another indent that a configuration asked for. */
static bool cannot_be_written(const struct run *run, const char *plain)
{
	bool comment = plain[0] == '#';
	for (const char *at = plain; !comment && (at = strchr(at, '#')); at++)
		comment = strspn(at, "# ") && (at[-1] == ' ' || at[-1] == '\n') &&
			  !strchr("'b", at[1]);
	return comment || strstr(run->name, "indent-2");
}

static bool written_is_same(const struct run *run, const struct node *documents)
{
	const char *name = fixture_text(run->item, "plain");
	auto_free char *path = mem_printf("%s/%s", run->folder, name);
	auto_buf struct buf out = BUF_INIT(1 << 24);
	if (!*name || strcmp(fixture_text(run->item, "format"), "yaml") != 0)
		return true;
	auto_buf struct buf plain = fixture_read(path);
	if (cannot_be_written(run, plain.text))
		return true;
	for (size_t i = 0; i < documents->count; i++) {
		buf_add_str(&out, i ? "---\n" : "");
		sops_yaml_write(documents->items[i], &out);
	}
	if (strcmp(out.text, plain.text) == 0)
		return true;
	printf("%s: written:\n%s\n", run->name, out.text);
	return false;
}

static void check_binary(const struct run *run, const struct node *documents)
{
	auto_free char *path = mem_printf("%s/%s", run->folder, fixture_text(run->item, "plain"));
	auto_buf struct buf plain = fixture_read(path);
	const struct node *data = node_get(documents->items[0], "data");
	tally_add(run->tally, run->name,
		data && data->len == plain.len && memcmp(data->text, plain.text, plain.len) == 0,
		"other bytes");
}

static void check_values(const struct run *run, struct arena *arena, const struct node *documents)
{
	const char *name = fixture_text(run->item, "values");
	if (strcmp(fixture_text(run->item, "format"), "binary") == 0) {
		check_binary(run, documents);
		return;
	}
	auto_free char *path = mem_printf("%s/%s", run->folder, name);
	const struct node *want;
	struct error err;
	if (!*name) {
		tally_add(run->tally, run->name, true, "no values to compare");
		return;
	}
	auto_buf struct buf text = fixture_read(path);
	if (!node_parse_json(arena, name, text.text, text.len, &want, &err))
		tally_add(run->tally, run->name, false, "values: %s", err.message);
	else if (tally_add(run->tally, run->name, same(want, documents), "other values") &&
		 !written_is_same(run, documents))
		tally_add(run->tally, run->name, false, "not written as sops writes it");
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
	else if (ok)
		check_values(run, arena, documents);
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
