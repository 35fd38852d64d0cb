#include "reconcile/secret_check.h"
#include "base/buf.h"
#include "base/strmap.h"
#include "reconcile/isolation.h"
#include "reconcile/secret_scan.h"
#include "reconcile/secrets/sops.h"
#include "reconcile/secrets/sops_config.h"
#include <sodium.h>

#define DEPTH_MAX   64
#define VALUE_LEAST 8 /* shorter ones are the same by chance: ports, flags */
#define HASH_BYTES  32
#define MARK        "ENC[AES256_GCM,"

struct work {
	const struct secret_check *check;
	struct secret_counts *counts;
	struct problems *problems;
	struct sops_config *config; /* NULL: none */
	bool rules_tell;            /* a rule that matches says that a file is secret */
	struct arena *arena;
	struct strmap values; /* hash -> struct origin */
	struct strmap told;   /* pairs of files with a value in common */
	uint8_t key[crypto_generichash_KEYBYTES];
};

/* Where a value was seen first. */
struct origin {
	const char *owner, *file, *name;
};

static void work_clear(struct work *work)
{
	sodium_memzero(work->key, sizeof(work->key));
	strmap_clear(&work->values);
	strmap_clear(&work->told);
	sops_config_free(work->config);
	arena_free(work->arena);
}

/* ---- which files ---------------------------------------------------------------------------- */

static bool rule_matches(const struct work *work, const char *path)
{
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	struct error err;
	return sops_config_rule(work->config, path, &creation, &err) || err.code != ERR_NOT_FOUND;
}

/* A rule for all files, or for all of a kind, says nothing about which are secret. */
static bool rules_are_narrow(const struct work *work)
{
	const struct fleet *fleet = work->check->fleet;
	if (rule_matches(work, POLICY_FILE) || rule_matches(work, "README.md") ||
		rule_matches(work, "docker-compose.yml") || rule_matches(work, "any.env"))
		return false;
	for (size_t i = 0; fleet && i < fleet->policy->file_count; i++)
		if (rule_matches(work, fleet->policy->files[i].from))
			return false;
	return !fleet || !rule_matches(work, fleet->policy->inventory);
}

static void read_config(struct work *work)
{
	auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
	struct error err;
	if (!tree_read(work->check->tree, SOPS_CONFIG_NAME, &text, NULL, &err)) {
		if (err.code != ERR_NOT_FOUND)
			problems_add_error(work->problems, &err);
		return;
	}
	if (sops_config_parse(SOPS_CONFIG_NAME, text.text, text.len, &work->config, &err)) {
		work->rules_tell = rules_are_narrow(work);
		return;
	}
	error_at(&err, SOPS_CONFIG_NAME, 0);
	problems_add_error(work->problems, &err);
}

static bool is_exempt(const char *path)
{
	static const char *const names[] = {
		"README.md", ".gitkeep", ".gitignore", ".gitattributes", SOPS_CONFIG_NAME};
	const char *slash = strrchr(path, '/');
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(slash ? slash + 1 : path, names[i]))
			return true;
	return false;
}

static bool is_named(const struct fleet *fleet, const char *path)
{
	const struct policy *policy = fleet->policy;
	if ((policy->secrets_shared && !strcmp(policy->secrets_shared, path)) ||
		(policy->secrets_service && !strcmp(policy->secrets_service, path)))
		return true;
	for (size_t i = 0; i < fleet->client_count; i++)
		if (!strcmp(fleet->clients[i].secrets_file, path))
			return true;
	return false;
}

static bool has_sops_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *at = strstr(slash ? slash : path, ".sops.");
	return at && !strchr(at + 6, '.');
}

static bool is_secret(const struct work *work, const char *path)
{
	const struct fleet *fleet = work->check->fleet;
	if (is_exempt(path))
		return false;
	return !strncmp(path, "secrets/", 8) || has_sops_name(path) ||
	       (fleet && is_named(fleet, path)) || (work->rules_tell && rule_matches(work, path));
}

/* ---- values --------------------------------------------------------------------------------- */

static const char *owner_of(const struct work *work, const char *path)
{
	const struct fleet *fleet = work->check->fleet;
	if (!fleet)
		return strstr(path, "shared") ? "" : path;
	return isolation_owner(fleet, path, "");
}

static void tell_shared(
	struct work *work, const struct origin *first, const char *file, const char *name)
{
	const char *pair =
		arena_printf(work->arena, "%s\n%s\n%s\n%s", first->file, first->name, file, name);
	if (strmap_get(&work->told, pair))
		return;
	strmap_set(&work->told, pair, work);
	problems_warn(work->problems, file, 0,
		"give each client its own, or move it to the shared file",
		"'%s' has the same value as '%s' of %s", name, first->name, first->file);
}

static void look_at_value(struct work *work, const char *file, const char *owner,
	const struct node *value, const char *name)
{
	bool text = value->text && value->len >= VALUE_LEAST && value->kind != NODE_BOOL;
	bool mark = text && !strncmp(value->text, MARK, strlen(MARK));
	uint8_t hash[HASH_BYTES];
	char hex[2 * HASH_BYTES + 1];
	if (!text || !*owner || mark != !work->check->keyring)
		return; /* without a key only encrypted texts say something */
	if (crypto_generichash(hash, sizeof(hash), (const unsigned char *)value->text, value->len,
		    work->key, sizeof(work->key)))
		mem_abort(value->len); /* fails only for wrong sizes */
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	const struct origin *first = strmap_get(&work->values, hex);
	if (first && strcmp(first->owner, owner) != 0) {
		tell_shared(work, first, file, name);
		return;
	}
	if (first)
		return;
	struct origin *origin = arena_alloc(work->arena, sizeof(*origin));
	*origin = (struct origin){arena_str(work->arena, owner), arena_str(work->arena, file),
		arena_str(work->arena, name)};
	strmap_set(&work->values, arena_str(work->arena, hex), origin);
}

static void look_at_values(struct work *work, const char *file, const char *owner,
	const struct node *node, const char *name)
{
	bool map = node->kind == NODE_MAP;
	if (!map && node->kind != NODE_LIST) {
		look_at_value(work, file, owner, node, name);
		return;
	}
	for (size_t i = 0; i < node->count; i++) {
		auto_free char *number = mem_printf("%zu", i);
		auto_free char *path = mem_printf(
			"%s%s%s", name, *name ? "." : "", map ? node->map[i].key : number);
		look_at_values(work, file, owner, map ? node->map[i].value : node->items[i], path);
	}
}

/* ---- one file ------------------------------------------------------------------------------- */

static void open_file(struct work *work, const char *path, const struct buf *text)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	const char *owner = owner_of(work, path);
	const struct node *documents = NULL;
	struct error err;
	if (!work->check->keyring) {
		/* other formats tell nothing without a key */
		if (sops_peek_yaml(path, text->text, text->len, arena, &documents, &err))
			look_at_values(work, path, owner, documents, "");
		return;
	}
	if (!sops_decrypt_documents(path, text->text, text->len, work->check->keyring, arena,
		    &documents, NULL, &err)) {
		error_at(&err, path, 0);
		problems_add_error(work->problems, &err);
		return;
	}
	work->counts->opened++;
	for (size_t i = 0; i < documents->count; i++)
		look_at_values(work, path, owner, documents->items[i], "");
}

static void list_missing(
	const struct strlist *from, const struct strlist *in, const char *what, struct buf *out)
{
	for (size_t i = 0; i < from->count; i++)
		if (!strlist_has(in, from->items[i]))
			buf_addf(out, "%s%s %.80s", out->len ? ", " : "", what, from->items[i]);
}

static void tell_recipients(struct work *work, const char *path, const char *what)
{
	static const char fix[] = "run `aviary secrets updatekeys` on it; when somebody was taken "
				  "out, `rotate` too";
	if (work->check->lenient)
		problems_warn(work->problems, path, 0, fix, "%s", what);
	else
		problems_add(work->problems, path, 0, fix, "%s", what);
}

static void check_recipients(struct work *work, const char *path, const struct buf *text)
{
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	auto_strlist struct strlist has = STRLIST_INIT, wanted = STRLIST_INIT;
	auto_buf struct buf differs = BUF_INIT(2000);
	struct error err;
	if (!work->config || !sops_recipients(path, text->text, text->len, &has, &err))
		return; /* what does not parse is told by the check of its encryption */
	if (!sops_config_rule(work->config, path, &creation, &err)) {
		tell_recipients(work, path,
			err.code == ERR_NOT_FOUND ? "no rule of .sops.yaml is for this file"
						  : err.message);
		return;
	}
	for (size_t i = 0; i < creation.group_count; i++)
		strlist_copy(&wanted, &creation.groups[i]);
	list_missing(&wanted, &has, "it lacks", &differs);
	list_missing(&has, &wanted, "it has", &differs);
	if (!differs.len)
		return;
	auto_free char *what = mem_printf("recipients differ from .sops.yaml: %s", differs.text);
	tell_recipients(work, path, what);
}

static void check_secret(struct work *work, const char *path, const struct buf *text)
{
	struct error err;
	bool good = sops_check_encrypted(path, text->text, text->len, &err);
	if (good) {
		work->counts->encrypted++;
		check_recipients(work, path, text);
		open_file(work, path, text);
		return;
	}
	if (work->check->encrypted_known && !strncmp(path, "secrets/", 8))
		return;
	error_at(&err, path, 0);
	if (!err.hint[0])
		error_hint(&err, "encrypt it with `aviary secrets encrypt -i`, and replace the "
				 "values that were committed");
	problems_add_error(work->problems, &err);
}

/* Encrypted files that nobody would look for. */
static bool is_encrypted(const char *path, const struct buf *text)
{
	struct error err;
	return memmem(text->text, text->len, MARK, strlen(MARK)) &&
	       memmem(text->text, text->len, "sops", 4) &&
	       sops_check_encrypted(path, text->text, text->len, &err);
}

static void check_file(struct work *work, const char *path)
{
	auto_buf struct buf text = BUF_INIT_SECRET(TREE_FILE_MAX);
	struct error err;
	bool secret = is_secret(work, path);
	if (!tree_read(work->check->tree, path, &text, NULL, &err)) {
		if (secret)
			problems_add_error(work->problems, &err);
		return; /* too large for a file of secrets, or of settings */
	}
	if (secret || is_encrypted(path, &text)) {
		check_secret(work, path, &text);
		return;
	}
	work->counts->plain++;
	secret_scan(path, text.text, text.len, work->problems);
}

static void check_folder(struct work *work, const char *folder, int depth)
{
	auto_tree_entries struct tree_entries entries = {0};
	struct error err;
	if (!tree_list(work->check->tree, folder, &entries, &err)) {
		problems_warn(work->problems, folder, 0, "", "not looked at: %s", err.message);
		return;
	}
	for (size_t i = 0; i < entries.count; i++) {
		const struct tree_entry *entry = &entries.items[i];
		if (entry->type == TREE_FOLDER && depth < DEPTH_MAX)
			check_folder(work, entry->path, depth + 1);
		else if (entry->type == TREE_FILE || entry->type == TREE_EXECUTABLE)
			check_file(work, entry->path);
	}
}

void secret_check_run(const struct secret_check *check, struct secret_counts *counts_out,
	struct problems *problems)
{
	CLEANUP(work_clear)
	struct work work = {.check = check, .counts = counts_out, .problems = problems};
	*counts_out = (struct secret_counts){0};
	work.arena = arena_new(ARENA_PLAIN, 0);
	randombytes_buf(work.key, sizeof(work.key));
	read_config(&work);
	check_folder(&work, "", 0);
}
