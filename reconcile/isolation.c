#include "reconcile/isolation.h"
#include "base/buf.h"
#include "base/strmap.h"
#include "reconcile/release.h"
#include "reconcile/secrets/sops.h"

#define MARK_START "ENC[AES256_GCM,"
#define NONE       SIZE_MAX

struct work {
	const struct fleet *fleet;
	struct tree *tree;
	struct problems *problems;
	struct isolation *isolation;
	struct strmap by_mark, by_name; /* to 1 + index; the first with the mark */
	struct strmap files;            /* those that were read */
};

static void work_clear(struct work *work)
{
	strmap_clear(&work->by_mark);
	strmap_clear(&work->by_name);
	strmap_clear(&work->files);
}

void isolation_free(struct isolation *isolation)
{
	if (!isolation)
		return;
	arena_free(isolation->arena);
	free(isolation->secrets);
	free(isolation->clients);
	free(isolation->has);
	free(isolation->leaks);
	free(isolation);
}

bool isolation_has(const struct isolation *isolation, size_t client, size_t secret)
{
	return isolation->has[client * isolation->secret_count + secret];
}

static size_t find(const struct strmap *map, const char *key)
{
	return (size_t)(uintptr_t)strmap_get(map, key) - 1; /* NONE: not there */
}

/* ---- secrets -------------------------------------------------------------------------------- */

static void add_secret(struct work *work, const char *file, const char *name, const char *mark)
{
	struct isolation *isolation = work->isolation;
	struct arena *arena = isolation->arena;
	size_t index = isolation->secret_count, first = find(&work->by_mark, mark);
	mem_grow(isolation->secrets, isolation->secret_count, isolation->secret_capacity);
	isolation->secret_count++;
	isolation->secrets[index] = (struct isolation_secret){
		.file = file,
		.name = arena_str(arena, name),
		.owner = isolation_owner(work->fleet, file, name),
		.mark = arena_str(arena, mark),
		.same = NONE,
	};
	void *value = (void *)(uintptr_t)(index + 1);
	strmap_set(&work->by_name, arena_printf(arena, "%s\n%s", file, name), value);
	if (!*mark)
		return;
	if (first == NONE) {
		strmap_set(&work->by_mark, isolation->secrets[index].mark, value);
		return;
	}
	isolation->secrets[index].same = isolation->secrets[first].same;
	isolation->secrets[first].same = index;
}

/* The next marker of a text; @p mark_out gets it. Returns where it ends, or NULL. */
static const char *next_mark(const char *at, const char *end, struct buf *mark_out)
{
	const char *start = memmem(at, (size_t)(end - at), MARK_START, strlen(MARK_START));
	const char *close = start ? memchr(start, ']', (size_t)(end - start)) : NULL;
	if (!close)
		return NULL;
	buf_truncate(mark_out, 0);
	buf_add(mark_out, start, (size_t)(close + 1 - start));
	return close + 1;
}

static const char *mark_of(const struct node *leaf)
{
	bool encrypted = leaf->text && !strncmp(leaf->text, MARK_START, strlen(MARK_START));
	return encrypted ? leaf->text : "";
}

static void add_leaves(
	struct work *work, const char *file, const struct node *node, const char *name)
{
	bool map = node->kind == NODE_MAP;
	if (!map && node->kind != NODE_LIST) {
		add_secret(work, file, name, mark_of(node));
		return;
	}
	for (size_t i = 0; i < node->count; i++) {
		auto_free char *number = mem_printf("%zu", i);
		auto_free char *path = mem_printf(
			"%s%s%s", name, *name ? "." : "", map ? node->map[i].key : number);
		add_leaves(work, file, map ? node->map[i].value : node->items[i], path);
	}
}

/* Formats whose names only decrypting would tell, and files that such a text was pasted into. */
static void add_marks(struct work *work, const char *file, const struct buf *text, bool known)
{
	auto_buf struct buf mark = BUF_INIT(TREE_FILE_MAX);
	const char *at = text->text, *end = text->text + text->len;
	while ((at = next_mark(at, end, &mark)))
		if (!known || find(&work->by_mark, mark.text) == NONE)
			add_secret(work, file, "", mark.text);
}

static bool read_file(struct work *work, const char *path)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
	const char *file = arena_str(work->isolation->arena, path);
	const struct node *node = NULL;
	struct error err;
	if (strmap_get(&work->files, file))
		return true;
	strmap_set(&work->files, file, work);
	if (!tree_read(work->tree, path, &text, NULL, &err)) {
		if (err.code == ERR_NOT_FOUND)
			return true;
		problems_add_error(work->problems, &err);
		return false;
	}
	if (sops_peek_yaml(path, text.text, text.len, arena, &node, &err))
		add_leaves(work, file, node, "");
	else
		add_marks(
			work, file, &text, !sops_check_encrypted(path, text.text, text.len, &err));
	return true;
}

static bool read_secrets(struct work *work)
{
	const struct policy *policy = work->fleet->policy;
	const char *named[] = {policy->secrets_shared, policy->secrets_service};
	auto_tree_entries struct tree_entries entries = {0};
	struct error err;
	bool good = true;
	if (!tree_list_deep(work->tree, "secrets", &entries, &err) && err.code != ERR_NOT_FOUND)
		good = (problems_add_error(work->problems, &err), false);
	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		good &= !named[i] || read_file(work, named[i]);
	for (size_t i = 0; i < work->fleet->client_count; i++)
		good &= read_file(work, work->fleet->by_name[i]->secrets_file);
	for (size_t i = 0; i < entries.count; i++)
		good &= read_file(work, entries.items[i].path);
	for (size_t i = 0; i < policy->file_count; i++)
		good &= read_file(work, policy->files[i].from);
	return good;
}

/* ---- releases ------------------------------------------------------------------------------- */

static const char *fix_for(const struct isolation_secret *secret)
{
	if (!strcmp(secret->owner, ISOLATION_NOBODY))
		return "name only secrets.shared and the client's own file";
	return *secret->name
		       ? "use a secret of the client's own file, or move it to secrets.shared "
			 "if it is for every client"
		       : "take the file out of the release";
}

static void add_leak(struct work *work, size_t client, size_t secret, const char *path)
{
	struct isolation *isolation = work->isolation;
	const struct isolation_secret *item = &isolation->secrets[secret];
	auto_free char *whose = strcmp(item->owner, ISOLATION_NOBODY) != 0
					? mem_printf("client '%s'", item->owner)
					: mem_dup_str("no client");
	mem_grow(isolation->leaks, isolation->leak_count, isolation->leak_capacity);
	isolation->leaks[isolation->leak_count++] = (struct isolation_leak){
		isolation->clients[client], item, arena_str(isolation->arena, path)};
	problems_add(work->problems, path, 0, fix_for(item),
		"the release of '%s' holds %s%s%s of '%s', which belongs to %s",
		isolation->clients[client], *item->name ? "the secret '" : "an encrypted value",
		item->name, *item->name ? "'" : "", item->file, whose);
}

static void mark_one(struct work *work, size_t client, size_t secret, const char *path)
{
	struct isolation *isolation = work->isolation;
	struct isolation_secret *item = &isolation->secrets[secret];
	bool *has = &isolation->has[client * isolation->secret_count + secret];
	if (*has)
		return;
	*has = true;
	item->readers++;
	if (*item->owner && strcmp(item->owner, isolation->clients[client]) != 0)
		add_leak(work, client, secret, path);
}

/* Whoever has a copy has it: all secrets of one encrypted text. */
static void mark_all(struct work *work, size_t client, const char *mark, const char *path)
{
	for (size_t i = find(&work->by_mark, mark); i != NONE; i = work->isolation->secrets[i].same)
		mark_one(work, client, i, path);
}

static const char *path_of(const struct release *release, const struct release_input *input)
{
	for (size_t i = 0; i < release->file_count; i++)
		if (release->files[i].bit & input->used_by)
			return release->files[i].from;
	return POLICY_FILE;
}

static void look_at_release(struct work *work, size_t client, const struct release *release)
{
	auto_buf struct buf mark = BUF_INIT(TREE_FILE_MAX);
	for (size_t i = 0; i < release->input_count; i++) {
		const struct release_input *input = &release->inputs[i];
		auto_free char *key = mem_printf("%s\n%s", input->file, input->name);
		size_t secret = input->kind == INPUT_SECRET ? find(&work->by_name, key) : NONE;
		if (secret == NONE)
			continue;
		mark_one(work, client, secret, path_of(release, input));
		mark_all(work, client, work->isolation->secrets[secret].mark,
			path_of(release, input));
	}
	for (size_t i = 0; i < release->file_count; i++) {
		const struct release_file *file = &release->files[i];
		const char *at = file->bytes, *end = at + file->len;
		while (at && (at = next_mark(at, end, &mark)))
			mark_all(work, client, mark.text, file->from);
	}
}

static void look_at_clients(struct work *work, struct release_builder *builder)
{
	struct isolation *isolation = work->isolation;
	const struct fleet *fleet = work->fleet;
	isolation->clients = mem_zero(fleet->client_count, sizeof(*isolation->clients));
	isolation->has = mem_zero(
		fleet->client_count * (isolation->secret_count + 1), sizeof(*isolation->has));
	for (size_t i = 0; i < fleet->client_count; i++) {
		auto_release struct release *release = NULL;
		auto_problems struct problems ignored = {0};
		if (!release_build(builder, fleet->by_name[i], NULL, true, &release, &ignored))
			continue;
		size_t client = isolation->client_count++;
		isolation->clients[client] = arena_str(isolation->arena, fleet->by_name[i]->name);
		look_at_release(work, client, release);
	}
}

bool isolation_build(const struct fleet *fleet, struct tree *tree, struct isolation **isolation_out,
	struct problems *problems)
{
	auto_isolation struct isolation *isolation = mem_zero(1, sizeof(*isolation));
	auto_release_builder struct release_builder *builder = NULL;
	CLEANUP(work_clear)
	struct work work = {
		.fleet = fleet, .tree = tree, .problems = problems, .isolation = isolation};
	struct error err;
	isolation->arena = arena_new(ARENA_PLAIN, 0);
	if (!fleet->policy->secrets_shared || !fleet->policy->secrets_client) {
		problems_add(problems, POLICY_FILE, 0, "", "'secrets' cannot be read");
		return false;
	}
	if (!read_secrets(&work))
		return false;
	if (!release_builder_new(fleet, tree, NULL, &builder, &err)) {
		problems_add_error(problems, &err);
		return false;
	}
	look_at_clients(&work, builder);
	*isolation_out = STEAL(isolation);
	return true;
}
