#include "git/commit.h"
#include "base/utf8.h"
#include "git/repo_priv.h"
#include "git/signing_key.h"

#define MESSAGE_MAX ((size_t)1 << 20) /* of a message that is read; people write less */

struct changes {
	const struct commit_change *items;
	size_t count;
};

/* One line of text: control characters and torn UTF-8 become blanks, the ends are trimmed. */
static void add_line(const char *text, size_t len, struct buf *out)
{
	size_t start = out->len;

	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)text[i];
		size_t width = utf8_width(text + i, len - i);
		bool c1 = width == 2 && c == 0xC2 && (unsigned char)text[i + 1] < 0xA0;
		bool blank = !width || c <= ' ' || c == 0x7F || c1;
		if (!blank)
			buf_add(out, text + i, width);
		else if (out->len > start)
			buf_add_char(out, ' ');
		i += width ? width : 1;
	}
	while (out->len > start && out->text[out->len - 1] == ' ')
		buf_truncate(out, out->len - 1);
}

static void add_body(const char *body, struct buf *out)
{
	for (const char *line = body; *line;) {
		size_t len = strcspn(line, "\n");
		/* git-interpret-trailers(1) takes a line `---` for the end of the message */
		if (!strncmp(line, "---", 3))
			buf_add_char(out, ' ');
		add_line(line, len, out);
		buf_add_char(out, '\n');
		line += len + (line[len] == '\n');
	}
}

void commit_message(const char *subject, const char *body, const struct trailer *trailers,
	size_t count, struct buf *out)
{
	bool first = true;
	size_t start = out->len;

	add_line(subject, strlen(subject), out);
	if (out->len == start)
		buf_add_str(out, "(no subject)");
	buf_add_char(out, '\n');
	if (body && body[strspn(body, " \t\r\n")]) {
		buf_add_char(out, '\n');
		add_body(body, out);
	}
	for (size_t i = 0; i < count; i++) {
		auto_buf struct buf value = BUF_INIT(MESSAGE_MAX);
		if (trailers[i].value)
			add_line(trailers[i].value, strlen(trailers[i].value), &value);
		if (!value.len)
			continue;
		buf_addf(out, "%s%s: %s\n", first ? "\n" : "", trailers[i].key, value.text);
		first = false;
	}
}

static bool load_tree(
	struct repo *repo, const struct oid *parent, git_tree **tree_out, struct error *err)
{
	auto_git(git_commit) *commit = NULL;
	auto_git(git_treebuilder) *builder = NULL;
	git_oid id;
	int rc;

	if (parent->hex[0]) {
		oid_to_git(parent, &id);
		rc = git_commit_lookup(&commit, repo->git, &id);
		if (rc == 0)
			rc = git_commit_tree(tree_out, commit);
	} else {
		rc = git_treebuilder_new(&builder, repo->git, NULL);
		if (rc == 0)
			rc = git_treebuilder_write(&id, builder);
		if (rc == 0)
			rc = git_tree_lookup(tree_out, repo->git, &id);
	}
	return rc == 0 || repo_fail(err, rc, "tree of commit '%s' could not be read", parent->hex);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* libgit2 leaves two changes of one path undefined. */
static bool check_paths(const struct commit_change *changes, size_t count, struct error *err)
{
	auto_free const char **paths = mem_zero(count, sizeof(*paths));

	for (size_t i = 0; i < count; i++) {
		paths[i] = changes[i].path;
		if (!repo_path_is_safe(paths[i]))
			return error_set(err, ERR_REFUSED,
				"path '%.200s' may not stand in a commit", paths[i]);
	}
	qsort(paths, count, sizeof(*paths), by_path);
	for (size_t i = 1; i < count; i++) {
		if (!strcmp(paths[i - 1], paths[i]))
			return error_set(err, ERR_INVALID, "path '%s' is changed twice", paths[i]);
	}
	return true;
}

/* Adds the update of one change; a path that is to go and is not there gives none. */
static bool add_update(struct repo *repo, const git_tree *base, const struct commit_change *change,
	git_tree_update *update, struct error *err)
{
	auto_git(git_tree_entry) *entry = NULL;
	int rc;

	update->path = change->path;
	update->filemode = GIT_FILEMODE_BLOB;
	update->action = change->bytes ? GIT_TREE_UPDATE_UPSERT : GIT_TREE_UPDATE_REMOVE;
	if (change->bytes) {
		rc = git_blob_create_from_buffer(
			&update->id, repo->git, change->bytes, change->len);
	} else {
		rc = git_tree_entry_bypath(&entry, base, change->path);
		if (rc == GIT_ENOTFOUND) {
			update->path = NULL;
			return true;
		}
	}
	return rc == 0 || repo_fail(err, rc, "'%s' could not be written", change->path);
}

static bool build_tree(struct repo *repo, git_tree *base, const struct changes *changes,
	git_tree **tree_out, struct error *err)
{
	auto_free git_tree_update *updates = mem_zero(changes->count, sizeof(*updates));
	git_oid id;
	size_t used = 0;

	for (size_t i = 0; i < changes->count; i++) {
		if (!add_update(repo, base, &changes->items[i], &updates[used], err))
			return false;
		used += updates[used].path != NULL;
	}
	git_oid_cpy(&id, git_tree_id(base));
	int rc = used ? git_tree_create_updated(&id, repo->git, base, used, updates) : 0;
	if (rc == 0)
		rc = git_tree_lookup(tree_out, repo->git, &id);
	return rc == 0 || repo_fail(err, rc, "tree could not be written");
}

static bool make_signature(
	const struct commit_author *author, git_signature **signature_out, struct error *err)
{
	int rc = git_signature_new(signature_out, author->name, author->email, author->wall_s, 0);
	return rc == 0 ||
	       repo_fail(err, rc, "author '%s <%s>' is not usable", author->name, author->email);
}

struct commit_parts {
	const git_signature *who;
	const git_tree *tree;
	const git_commit *parent; /* or NULL */
	const char *message;
	const char *key_file; /* or NULL */
};

static bool write_signed(
	struct repo *repo, const struct commit_parts *parts, git_oid *id_out, struct error *err)
{
	git_buf text = {0};
	auto_buf struct buf armor = BUF_INIT(SSHSIG_MAX);
	const git_commit *parents[] = {parts->parent};
	int rc = git_commit_create_buffer(&text, repo->git, parts->who, parts->who, NULL,
		parts->message, parts->tree, parts->parent != NULL, (void *)parents);
	if (rc < 0)
		return repo_fail(err, rc, "commit could not be made");
	const struct span bytes = {(const unsigned char *)text.ptr, text.size};
	bool good = signing_key_sign(parts->key_file, &bytes, &armor, err);
	if (good) {
		rc = git_commit_create_with_signature(
			id_out, repo->git, text.ptr, armor.text, "gpgsig");
		good = rc >= 0 || repo_fail(err, rc, "commit could not be written");
	}
	git_buf_dispose(&text);
	return good;
}

static bool write_commit(
	struct repo *repo, const struct commit_parts *parts, git_oid *id_out, struct error *err)
{
	const git_commit *parents[] = {parts->parent};
	if (parts->key_file)
		return write_signed(repo, parts, id_out, err);
	int rc = git_commit_create(id_out, repo->git, NULL, parts->who, parts->who, NULL,
		parts->message, parts->tree, parts->parent != NULL, (void *)parents);
	return rc >= 0 || repo_fail(err, rc, "commit could not be written");
}

bool commit_create(struct repo *repo, const struct oid *parent, const struct commit_change *changes,
	size_t count, const char *message, const struct commit_author *author, struct oid *id_out,
	struct error *err)
{
	auto_git(git_tree) *base = NULL;
	auto_git(git_tree) *tree = NULL;
	auto_git(git_commit) *before = NULL;
	auto_git(git_signature) *who = NULL;
	git_oid id;

	if (!check_paths(changes, count, err) || !load_tree(repo, parent, &base, err) ||
		!build_tree(repo, base, &(struct changes){changes, count}, &tree, err) ||
		!make_signature(author, &who, err))
		return false;
	if (parent->hex[0]) {
		oid_to_git(parent, &id);
		int rc = git_commit_lookup(&before, repo->git, &id);
		if (rc < 0)
			return repo_fail(err, rc, "commit '%s' could not be read", parent->hex);
	}
	const struct commit_parts parts = {who, tree, before, message, author->signing_key_file};
	if (!write_commit(repo, &parts, &id, err))
		return false;
	oid_from_git(&id, id_out);
	return true;
}

/* After GIT_EEXISTS: the same commit under the same name is what was asked for. */
static bool tag_is_on(
	struct repo *repo, const char *name, const struct oid *commit, struct error *err)
{
	auto_free char *full = mem_printf("refs/tags/%s", name);
	struct oid there;

	git_error_clear();
	if (!repo_revision(repo, full, &there, err))
		return error_wrap(err, "tag '%s'", name);
	if (oid_equal(&there, commit))
		return true;
	return error_set(err, ERR_REJECTED, "tag '%s' is on commit %s already", name, there.hex);
}

/* git-mktag(1): the signature stands behind the message. @param text  ends with a line break */
static bool sign_tag(const char *key_file, struct buf *text, struct error *err)
{
	auto_buf struct buf armor = BUF_INIT(SSHSIG_MAX);
	const struct span bytes = {(const unsigned char *)text->text, text->len};
	if (!signing_key_sign(key_file, &bytes, &armor, err))
		return false;
	buf_addf(text, "%s\n", armor.text);
	return true;
}

/* git_tag_create_from_buffer() of libgit2 1.5 leaks where the tag exists. */
static int write_tag(struct repo *repo, const char *name, const struct buf *text)
{
	auto_git(git_odb) *odb = NULL;
	auto_git(git_reference) *reference = NULL;
	auto_free char *full = mem_printf("refs/tags/%s", name);
	git_oid id;
	int rc = git_repository_odb(&odb, repo->git);
	if (rc == 0)
		rc = git_odb_write(&id, odb, text->text, text->len, GIT_OBJECT_TAG);
	if (rc == 0)
		rc = git_reference_create(&reference, repo->git, full, &id, 0, NULL);
	return rc;
}

bool commit_tag(struct repo *repo, const char *name, const struct oid *commit, const char *message,
	const struct commit_author *tagger, struct error *err)
{
	auto_git(git_signature) *who = NULL;
	auto_git(git_object) *target = NULL;
	auto_buf struct buf text = BUF_INIT(MESSAGE_MAX);
	git_oid id;

	if (!make_signature(tagger, &who, err))
		return false;
	oid_to_git(commit, &id);
	buf_addf(&text, "object %s\ntype commit\ntag %s\ntagger %s <%s> %lld +0000\n\n%s\n",
		commit->hex, name, tagger->name, tagger->email, (long long)tagger->wall_s, message);
	if (tagger->signing_key_file && !sign_tag(tagger->signing_key_file, &text, err))
		return false;
	int rc = git_object_lookup(&target, repo->git, &id, GIT_OBJECT_COMMIT);
	if (rc == 0 && tagger->signing_key_file)
		rc = write_tag(repo, name, &text);
	else if (rc == 0)
		rc = git_tag_create(&id, repo->git, name, target, who, message, 0);
	if (rc == GIT_EEXISTS)
		return tag_is_on(repo, name, commit, err);
	return rc == 0 || repo_fail(err, rc, "tag '%s' could not be made", name);
}

static bool read_trailers(const char *message, struct commit_info *info, struct error *err)
{
	git_message_trailer_array trailers = {0};

	int rc = git_message_trailers(&trailers, message);
	if (rc < 0)
		return repo_fail(err, rc, "trailers of '%s' could not be read", info->id.hex);
	for (size_t i = 0; i < trailers.count; i++) {
		strlist_add(&info->trailer_keys, trailers.trailers[i].key);
		strlist_add(&info->trailer_values, trailers.trailers[i].value);
	}
	git_message_trailer_array_free(&trailers);
	return true;
}

bool commit_read(
	struct repo *repo, const struct oid *id, struct commit_info *info_out, struct error *err)
{
	auto_git(git_commit) *commit = NULL;
	auto_commit_info struct commit_info info = {.id = *id};
	git_oid wanted;

	oid_to_git(id, &wanted);
	int rc = git_commit_lookup(&commit, repo->git, &wanted);
	if (rc < 0)
		return repo_fail(err, rc, "commit '%s' could not be read", id->hex);
	const git_signature *author = git_commit_author(commit);
	const char *message = git_commit_message(commit);
	const char *subject = git_commit_summary(commit);

	oid_from_git(git_commit_tree_id(commit), &info.tree);
	info.parents = git_commit_parentcount(commit);
	if (info.parents)
		oid_from_git(git_commit_parent_id(commit, 0), &info.parent);
	info.subject = mem_dup_str(subject ? subject : "");
	info.message = mem_dup(message, strnlen(message, MESSAGE_MAX));
	info.author = mem_printf("%s <%s>", author->name, author->email);
	info.author_name = mem_dup_str(author->name);
	info.wall_s = git_commit_time(commit);
	if (!read_trailers(info.message, &info, err))
		return false;
	*info_out = info;
	memset(&info, 0, sizeof(info));
	return true;
}

void commit_info_clear(struct commit_info *info)
{
	free(info->subject);
	free(info->message);
	free(info->author);
	free(info->author_name);
	strlist_clear(&info->trailer_keys);
	strlist_clear(&info->trailer_values);
	memset(info, 0, sizeof(*info));
}

const char *commit_trailer(const struct commit_info *info, const char *key)
{
	for (size_t i = 0; i < info->trailer_keys.count; i++) {
		if (!strcasecmp(info->trailer_keys.items[i], key))
			return info->trailer_values.items[i];
	}
	return NULL;
}

bool commit_walk(struct repo *repo, const struct oid *from,
	bool (*visit)(void *data, const struct commit_info *info), void *data, struct error *err)
{
	struct oid at = *from;

	while (at.hex[0]) {
		auto_commit_info struct commit_info info = {0};
		if (!commit_read(repo, &at, &info, err))
			return false;
		if (!visit(data, &info))
			return true;
		at = info.parent;
	}
	return true;
}
