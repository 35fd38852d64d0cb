/* The signature of a commit, and the merges that a forge makes without one of ours. */
#include "git/commit.h"
#include "git/repo_priv.h"
#include "git/signers_list.h"

#define COMMIT_MAX      ((size_t)4 << 20)
#define MERGE_RECURSION 8 /* virtual merge bases; more is a history that nobody wants judged */

/* ---- the commit object -------------------------------------------------------------------------
 */

/* A header and the lines that go on with it; git(1) calls both gpgsig headers by these names. */
static size_t header_len(const char *at, const char *end)
{
	const char *stop = at;
	do {
		const char *line = memchr(stop, '\n', (size_t)(end - stop));
		if (!line)
			return (size_t)(end - at);
		stop = line + 1;
	} while (stop < end && *stop == ' ');
	return (size_t)(stop - at);
}

static void unfold(const char *at, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i++)
		if (at[i] != ' ' || !i || at[i - 1] != '\n')
			buf_add_char(out, at[i]);
}

bool commit_split(const void *bytes, size_t len, struct buf *signature, struct buf *covered,
	struct error *err)
{
	static const char name[] = "gpgsig ";
	const size_t width = sizeof(name) - 1;
	const char *at = bytes, *end = at + len;
	if (len > COMMIT_MAX || memchr(bytes, '\0', len))
		return error_set(err, ERR_AUTH, "it is too large, or holds a NUL byte");
	while (at < end && *at != '\n') {
		size_t whole = header_len(at, end);
		if (whole <= width || memcmp(at, name, width) != 0) {
			buf_add(covered, at, whole);
		} else if (signature->len) {
			return error_set(err, ERR_AUTH, "it has two signatures");
		} else {
			unfold(at + width, whole - width, signature);
		}
		at += whole;
	}
	buf_add(covered, at, (size_t)(end - at));
	if (signature->len)
		return true;
	(void)error_set(err, ERR_AUTH, "it is not signed");
	return error_hint(err, "sign it with: git commit --amend --no-edit -S");
}

static bool read_commit_object(struct repo *repo, const struct oid *commit, struct buf *signature,
	struct buf *covered, struct error *err)
{
	auto_git(git_odb) *odb = NULL;
	auto_git(git_odb_object) *object = NULL;
	git_oid id;
	oid_to_git(commit, &id);
	int rc = git_repository_odb(&odb, repo->git);
	if (!rc)
		rc = git_odb_read(&object, odb, &id);
	if (rc)
		return repo_fail(err, rc, "commit %s", commit->hex);
	if (git_odb_object_type(object) != GIT_OBJECT_COMMIT)
		return error_set(err, ERR_AUTH, "it is no commit");
	return commit_split(
		git_odb_object_data(object), git_odb_object_size(object), signature, covered, err);
}

bool commit_is_signed(
	struct repo *repo, const struct oid *commit, bool *signed_out, struct error *err)
{
	auto_buf struct buf signature = BUF_INIT(COMMIT_MAX);
	auto_buf struct buf covered = BUF_INIT(COMMIT_MAX);
	bool read = read_commit_object(repo, commit, &signature, &covered, err);
	if (!read && err->code != ERR_AUTH)
		return false;
	*signed_out = signature.len > 0;
	return true;
}

/* ---- its own signature -------------------------------------------------------------------------
 */

static bool is_openpgp(const struct buf *signature)
{
	static const char begin[] = "-----BEGIN PGP ";
	return !strncmp(signature->text, begin, sizeof(begin) - 1);
}

static bool check_openpgp(const struct signers *signers, const struct commit_info *info,
	const struct signed_text *text, char *signer, struct error *err)
{
	if (info->parents >= 2 && signers->keyring)
		return signers_check_forge(signers->keyring, text, signer, err);
	(void)error_set(err, ERR_AUTH, "it is signed with OpenPGP");
	if (signers->keyring)
		return error_hint(err, "the keys of forge_keyring_file count for merges only; sign "
				       "with an SSH key: git config gpg.format ssh");
	return error_hint(err,
		"sign with an SSH key: git config gpg.format ssh; for merges that the forge makes "
		"set forge_keyring_file");
}

static bool check_own(const struct signers *signers, struct repo *repo,
	const struct commit_info *info, char *signer, struct error *err)
{
	auto_buf struct buf armor = BUF_INIT(COMMIT_MAX);
	auto_buf struct buf covered = BUF_INIT(COMMIT_MAX);
	if (!read_commit_object(repo, &info->id, &armor, &covered, err))
		return false;
	const struct signed_text text = {.armor = {(const unsigned char *)armor.text, armor.len},
		.bytes = {(const unsigned char *)covered.text, covered.len},
		.wall_s = info->wall_s};
	if (sshsig_is_one(armor.text, armor.len))
		return signers_check(signers, &text, signer, err);
	if (is_openpgp(&armor))
		return check_openpgp(signers, info, &text, signer, err);
	(void)error_set(err, ERR_AUTH, "its signature is of a kind that is not supported");
	return error_hint(err, "sign with an SSH key: git config gpg.format ssh");
}

/* ---- merges ------------------------------------------------------------------------------------
 */

static bool same_entries(git_index *a, git_index *b)
{
	size_t count = git_index_entrycount(a);
	if (count != git_index_entrycount(b))
		return false;
	for (size_t i = 0; i < count; i++) {
		const git_index_entry *x = git_index_get_byindex(a, i);
		const git_index_entry *y = git_index_get_byindex(b, i);
		if (x->mode != y->mode || !git_oid_equal(&x->id, &y->id) ||
			strcmp(x->path, y->path) != 0)
			return false;
	}
	return true;
}

/* Compared entry by entry, so that nothing is written into the mirror. */
static int compare_merge(git_repository *git, git_commit *commit, bool *same_out)
{
	git_merge_options options = GIT_MERGE_OPTIONS_INIT;
	auto_git(git_commit) *first = NULL;
	auto_git(git_commit) *second = NULL;
	auto_git(git_tree) *tree = NULL;
	auto_git(git_index) *merged = NULL;
	auto_git(git_index) *made = NULL;
	options.recursion_limit = MERGE_RECURSION;
	*same_out = false;
	int rc = git_commit_parent(&first, commit, 0);
	rc = rc ? rc : git_commit_parent(&second, commit, 1);
	rc = rc ? rc : git_commit_tree(&tree, commit);
	rc = rc ? rc : git_merge_commits(&merged, git, first, second, &options);
	rc = rc ? rc : git_index_new(&made);
	rc = rc ? rc : git_index_read_tree(made, tree);
	if (!rc)
		*same_out = !git_index_has_conflicts(merged) && same_entries(merged, made);
	return rc;
}

static bool second_parent(struct repo *repo, const struct oid *id, struct oid *second_out,
	bool *same_out, struct error *err)
{
	auto_git(git_commit) *commit = NULL;
	git_oid git_id;
	oid_to_git(id, &git_id);
	int rc = git_commit_lookup(&commit, repo->git, &git_id);
	if (!rc) {
		oid_from_git(git_commit_parent_id(commit, 1), second_out);
		rc = compare_merge(repo->git, commit, same_out);
	}
	return rc ? repo_fail(err, rc, "merge %s", id->hex) : true;
}

/* @param why  what was wrong with the merge's own signature; becomes the reason */
static bool check_merge(const struct signers *signers, struct repo *repo,
	const struct commit_info *info, char *signer, struct error *why)
{
	auto_commit_info struct commit_info second = {0};
	struct oid id;
	struct error err;
	bool same = false;
	if (!second_parent(repo, &info->id, &id, &same, &err) ||
		!commit_read(repo, &id, &second, &err)) {
		*why = err;
		return false;
	}
	if (!same)
		return error_wrap(why, "no plain merge of its parents");
	if (check_own(signers, repo, &second, signer, &err))
		return true;
	*why = err;
	return error_wrap(why, "its second parent %.12s", id.hex);
}

bool signers_check_commit(const struct signers *signers, struct repo *repo,
	const struct oid *commit, char *signer, struct error *err)
{
	auto_commit_info struct commit_info info = {0};
	if (!commit_read(repo, commit, &info, err))
		return false;
	if (check_own(signers, repo, &info, signer, err))
		return true;
	if (err->code == ERR_AUTH && info.parents == 2 &&
		check_merge(signers, repo, &info, signer, err))
		return true;
	return error_wrap(err, "commit %.12s", commit->hex);
}
