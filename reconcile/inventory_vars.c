/* reconcile/inventory_vars.c - files of variables: group_vars/ and host_vars/
 *
 * Ansible: DataLoader.find_vars_files() and the host_group_vars plugin. For each name the first of
 * NAME, NAME.yml, NAME.yaml, NAME.json counts, as a file or as a folder of files; hidden files,
 * backups and other endings in folders are passed over. Only files of groups that have hosts are
 * read, as Ansible does.
 */
#include "reconcile/inventory_build.h"

#define VAULT_HEADER "$ANSIBLE_VAULT"
#define FOLDER_DEPTH 32 /* of folders inside group_vars/NAME/ */

static const char *const endings[] = {"", ".yml", ".yaml", ".json"};

struct vars_folder {
	const char *path; /* NULL: not there, or read as another one already */
	struct tree_entries entries;
	struct name_table names; /* of what lies directly in it */
};

struct vars_files {
	struct inventory_build *build;
	struct vars_folder folders[VARS_PLACES];
};

bool node_is_true(const struct node *node)
{
	switch (node->kind) {
	case NODE_NULL:
		return false;
	case NODE_BOOL:
		return node->boolean;
	case NODE_INT:
		return node->integer != 0;
	case NODE_FLOAT:
		return node->number != 0;
	case NODE_STRING:
	case NODE_TAGGED:
		return node->len > 0;
	case NODE_LIST:
	case NODE_MAP:
		return node->count > 0;
	case NODE_TIME:
		break;
	}
	return true;
}

/* ---- one file -----------------------------------------------------------------------------------
 */

static bool looks_like_json(const struct buf *text)
{
	const char *first = text->text + strspn(text->text, " \t\r\n");
	return *first == '{' || *first == '[';
}

static bool parse_file(struct inventory_build *build, const char *path, const struct buf *text,
	const struct node **node_out, struct error *err)
{
	static const struct node_options options = {
		.rules = NODE_ANSIBLE11, .allow_duplicate_keys = true, .max_nodes = NODE_MAX_LARGE};
	struct error not_json = {0};

	if (!strncmp(text->text, VAULT_HEADER, strlen(VAULT_HEADER))) {
		error_set(err, ERR_REFUSED, "the file is encrypted with ansible-vault");
		error_at(err, path, 1);
		return error_hint(err, "keep secrets in SOPS files below secrets/");
	}
	/* Ansible tries JSON first and does not say why it was none; the YAML reader will */
	if (looks_like_json(text) &&
		node_parse_json(build->arena, path, text->text, text->len, node_out, &not_json))
		return true;
	return node_parse_yaml(build->arena, path, text->text, text->len, &options, node_out, err);
}

bool build_read_file(struct inventory_build *build, const char *path, const struct node **node_out)
{
	auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
	struct error err = {0};

	if (tree_read(build->tree, path, &text, NULL, &err) &&
		parse_file(build, path, &text, node_out, &err)) {
		if (build->sources)
			strlist_add(build->sources, path);
		return true;
	}
	error_at(&err, path, 0);
	if (!*err.hint)
		error_hint(&err, "correct the file; Ansible refuses it too");
	problems_add_error(build->problems, &err);
	return false;
}

static void read_vars_file(struct vars_files *files, const char *path, struct map_list *out)
{
	struct inventory_build *build = files->build;
	const struct node *node;

	if (!build_read_file(build, path, &node) || !node_is_true(node))
		return;
	if (node->kind == NODE_MAP)
		map_list_add(out, build->arena, node);
	else
		problems_add(build->problems, path, node->line, "write `name: value` lines",
			"a file of variables holds %s, not a map", node_phrase(node));
}

/* ---- folders ------------------------------------------------------------------------------------
 */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* Python's os.path.splitext(): leading dots begin no ending. */
static const char *ending_of(const char *name)
{
	const char *dot = strrchr(name, '.');
	return dot && strspn(name, ".") <= (size_t)(dot - name) ? dot : "";
}

static bool has_vars_ending(const char *name)
{
	const char *ending = ending_of(name);

	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		if (!strcmp(ending, endings[i]))
			return true;
	}
	return false;
}

static bool is_file(const struct tree_entry *entry)
{
	return entry->type == TREE_FILE || entry->type == TREE_EXECUTABLE;
}

static void refuse_entry(struct vars_files *files, const struct tree_entry *entry)
{
	problems_add(files->build->problems, entry->path, 0, "put the file itself there",
		"%s is never followed", entry->type == TREE_SYMLINK ? "a symlink" : "a submodule");
}

static void read_folder(struct vars_files *files, const char *path, int depth, struct map_list *out)
{
	auto_tree_entries struct tree_entries entries = {0};
	struct error err = {0};

	if (depth > FOLDER_DEPTH) {
		problems_add(files->build->problems, path, 0, "lay the files side by side",
			"more than %d folders inside one another", FOLDER_DEPTH);
		return;
	}
	if (!tree_list(files->build->tree, path, &entries, &err)) {
		error_at(&err, path, 0);
		problems_add_error(files->build->problems, &err);
		return;
	}
	for (size_t i = 0; i < entries.count; i++) {
		const struct tree_entry *entry = &entries.items[i];
		const char *name = base_name(entry->path);
		if (name[0] == '.' || name[strlen(name) - 1] == '~')
			continue;
		if (entry->type == TREE_FOLDER && !*ending_of(name))
			read_folder(files, entry->path, depth + 1, out);
		else if (is_file(entry) && has_vars_ending(name))
			read_vars_file(files, entry->path, out);
		else if (entry->type != TREE_FOLDER && !is_file(entry))
			refuse_entry(files, entry);
	}
}

static void read_entry(
	struct vars_files *files, const struct tree_entry *entry, struct map_list *out)
{
	if (entry->type == TREE_FOLDER)
		read_folder(files, entry->path, 0, out);
	else if (is_file(entry))
		read_vars_file(files, entry->path, out);
	else
		refuse_entry(files, entry);
}

/* A name with a slash is looked for below the folder; rare, so without a table. */
static bool find_deep(struct vars_files *files, const char *path, struct map_list *out)
{
	struct tree_entry entry = {0};
	struct error err = {0};

	if (tree_stat(files->build->tree, path, &entry, &err)) {
		entry.path = (char *)path; /* read_entry() only reads it */
		read_entry(files, &entry, out);
		return true;
	}
	if (err.code == ERR_NOT_FOUND)
		return false;
	problems_add_error(files->build->problems, &err);
	return true;
}

void vars_files_read(
	struct vars_files *files, enum vars_place place, const char *name, struct map_list *out)
{
	const struct vars_folder *folder = &files->folders[place];
	auto_buf struct buf key = BUF_INIT(8192);
	size_t position;

	if (!folder->path || name[0] == '/')
		return;
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		buf_truncate(&key, 0);
		if (strchr(name, '/')) {
			buf_addf(&key, "%s/%s%s", folder->path, name, endings[i]);
			if (find_deep(files, key.text, out))
				return;
			continue;
		}
		buf_addf(&key, "%s%s", name, endings[i]);
		if (name_table_find(&folder->names, key.text, &position)) {
			read_entry(files, &folder->entries.items[position], out);
			return;
		}
	}
}

static void open_folder(struct vars_files *files, enum vars_place place, const char *path)
{
	struct inventory_build *build = files->build;
	struct vars_folder *folder = &files->folders[place];
	struct tree_entry entry = {0};
	struct error err = {0};

	if (!tree_stat(build->tree, path, &entry, &err)) {
		if (err.code != ERR_NOT_FOUND)
			problems_add_error(build->problems, &err);
		return;
	}
	if (entry.type != TREE_FOLDER) {
		problems_warn(build->problems, path, 0, "make it a folder",
			"it is ignored: only a folder holds files of variables");
		return;
	}
	if (!tree_list(build->tree, path, &folder->entries, &err)) {
		problems_add_error(build->problems, &err);
		return;
	}
	folder->path = path;
	for (size_t i = 0; i < folder->entries.count; i++)
		name_table_add(
			&folder->names, build->arena, base_name(folder->entries.items[i].path), i);
}

struct vars_files *vars_files_new(struct inventory_build *build)
{
	struct vars_files *files = mem_zero(1, sizeof(*files));
	const char *slash = strrchr(build->path, '/');
	const char *beside =
		slash ? arena_dup(build->arena, build->path, (size_t)(slash - build->path) + 1)
		      : "";

	files->build = build;
	open_folder(files, BESIDE_GROUPS, arena_printf(build->arena, "%sgroup_vars", beside));
	open_folder(files, BESIDE_HOSTS, arena_printf(build->arena, "%shost_vars", beside));
	if (strcmp(beside, "ansible/")) { /* else the same folders, which change nothing twice */
		open_folder(files, PLAYBOOK_GROUPS, "ansible/group_vars");
		open_folder(files, PLAYBOOK_HOSTS, "ansible/host_vars");
	}
	return files;
}

void vars_files_free(struct vars_files *files)
{
	for (size_t i = 0; files && i < VARS_PLACES; i++)
		tree_entries_clear(&files->folders[i].entries);
	free(files);
}
