#include "git/repo.h"
#include "tests/lib/gitrepo.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

static struct error err;

static char *scratch;

static int set_up(void **state)
{
	(void)state;
	memset(&err, 0, sizeof(err));
	scratch = gitrepo_scratch();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	gitrepo_remove(scratch);
	return 0;
}

static struct oid oid_of(char *hex)
{
	struct oid id = {0};
	assert_true(oid_valid(hex));
	memcpy(id.hex, hex, OID_HEX);
	free(hex);
	return id;
}

static bool exists(const char *folder, const char *path)
{
	auto_free char *full = mem_printf("%s/%s", folder, path);
	return access(full, F_OK) == 0;
}

static void an_id_is_40_lower_case_hex_digits(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{"0123456789abcdef0123456789abcdef01234567", true},
		{"0123456789ABCDEF0123456789abcdef01234567", false},
		{"0123456789abcdef0123456789abcdef0123456", false},
		{"0123456789abcdef0123456789abcdef012345678", false},
		{"0123456789abcdef0123456789abcdef0123456g", false},
		{"", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(oid_valid(cases[i].text), cases[i].valid);
}

static void a_mirror_is_made_private_and_opened_again(void **state)
{
	(void)state;
	auto_free char *path = mem_printf("%s/mirror.git", scratch);
	struct stat info;

	for (int i = 0; i < 2; i++) {
		auto_repo struct repo *repo = NULL;
		assert_true(repo_open_mirror(path, &repo, &err));
		assert_null(repo_folder(repo));
	}
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0700);
	GIT(path, "fsck", "--strict");
}

static void opening_a_mirror_removes_what_a_killed_process_left(void **state)
{
	(void)state;
	auto_free char *path = mem_printf("%s/mirror.git", scratch);
	auto_repo struct repo *repo = NULL;

	GIT(scratch, "init", "-q", "--bare", path);
	static const char *const litter[] = {"refs/heads/x.lock", "HEAD.lock",
		"objects/tmp_object_git2_a8d1", "objects/pack/pack_git2_77",
		"refs/remotes/origin/a/b.lock"};
	for (size_t i = 0; i < ARRAY_LEN(litter); i++)
		gitrepo_write(path, litter[i], "");
	gitrepo_write(path, "refs/heads/tmp_branch", "");

	assert_true(repo_open_mirror(path, &repo, &err));
	for (size_t i = 0; i < ARRAY_LEN(litter); i++)
		assert_false(exists(path, litter[i]));
	assert_true(exists(path, "refs/heads/tmp_branch"));
}

static void a_mirror_killed_while_it_was_made_is_made_again(void **state)
{
	(void)state;
	auto_free char *path = mem_printf("%s/mirror.git", scratch);
	auto_repo struct repo *repo = NULL;

	gitrepo_write(scratch, "mirror.git/objects/keep", "");
	assert_true(repo_open_mirror(path, &repo, &err));
}

static void a_mirror_that_is_a_file_is_refused_by_name(void **state)
{
	(void)state;
	auto_free char *path = mem_printf("%s/mirror.git", scratch);
	auto_repo struct repo *repo = NULL;

	gitrepo_write(scratch, "mirror.git", "text");
	assert_false(repo_open_mirror(path, &repo, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_non_null(strstr(err.message, "mirror.git"));
}

static void skip_unless_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("skipped: only root can give a folder away\n");
	skip();
}

static void a_mirror_of_another_user_is_refused(void **state)
{
	(void)state;
	skip_unless_root();
	auto_free char *path = mem_printf("%s/mirror.git", scratch);
	auto_repo struct repo *repo = NULL;

	GIT(scratch, "init", "-q", "--bare", path);
	assert_int_equal(chown(path, 65534, 65534), 0);
	assert_false(repo_open_mirror(path, &repo, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_non_null(strstr(err.message, "65534"));
}

static void the_repository_is_found_from_a_subfolder(void **state)
{
	(void)state;
	auto_repo struct repo *repo = NULL;
	auto_free char *sub = mem_printf("%s/a/b", scratch);

	gitrepo_make(scratch);
	gitrepo_write(scratch, "a/b/file", "");
	assert_true(repo_discover(sub, &repo, &err));
	assert_non_null(repo_folder(repo));
	assert_int_equal(repo_folder(repo)[strlen(repo_folder(repo)) - 1], '/');
}

static void no_repository_is_not_found(void **state)
{
	(void)state;
	auto_repo struct repo *repo = NULL;

	assert_false(repo_discover(scratch, &repo, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void a_repository_of_another_user_says_so(void **state)
{
	(void)state;
	auto_repo struct repo *repo = NULL;

	skip_unless_root();
	gitrepo_make(scratch);
	assert_int_equal(chown(scratch, 65534, 65534), 0);
	assert_false(repo_discover(scratch, &repo, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_non_null(strstr(err.message, "another user"));
	assert_non_null(strstr(err.hint, "owner"));
}

static void revisions_are_found_as_git_finds_them(void **state)
{
	(void)state;
	auto_repo struct repo *repo = NULL;
	static const char *const texts[] = {"HEAD", "main", "HEAD~1", "v1", "main^{commit}"};

	gitrepo_make(scratch);
	GIT(scratch, "commit", "-q", "--allow-empty", "-m", "second");
	GIT(scratch, "tag", "-a", "-m", "annotated", "v1");
	assert_true(repo_discover(scratch, &repo, &err));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		auto_free char *revision = mem_printf("%s^{commit}", texts[i]);
		struct oid wanted = oid_of(GIT_TEXT(scratch, "rev-parse", revision)), id;
		assert_true(repo_revision(repo, texts[i], &id, &err));
		assert_string_equal(id.hex, wanted.hex);
	}
}

static void a_revision_that_is_missing_or_no_commit_is_told_apart(void **state)
{
	(void)state;
	auto_repo struct repo *repo = NULL;
	struct oid id;

	gitrepo_make(scratch);
	assert_true(repo_discover(scratch, &repo, &err));
	assert_false(repo_revision(repo, "nowhere", &id, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_false(repo_revision(repo, "HEAD:README.md", &id, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_false(repo_ref(repo, "refs/heads/nowhere", &id, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_false(repo_ref(repo, "refs/heads/no good name", &id, &err));
	assert_int_equal(err.code, ERR_INVALID);
}

static void a_reference_moves_only_from_where_it_was(void **state)
{
	(void)state;
	auto_repo struct repo *repo = NULL;
	const char *name = "refs/heads/status";
	struct oid none = {0}, now;

	gitrepo_make(scratch);
	struct oid first = oid_of(GIT_TEXT(scratch, "rev-parse", "HEAD"));
	GIT(scratch, "commit", "-q", "--allow-empty", "-m", "second");
	struct oid second = oid_of(GIT_TEXT(scratch, "rev-parse", "HEAD"));
	assert_true(repo_discover(scratch, &repo, &err));

	assert_false(repo_ref_set(repo, name, &second, &first, &err)); /* not there */
	assert_int_equal(err.code, ERR_REJECTED);
	assert_true(repo_ref_set(repo, name, &first, &none, &err));
	assert_false(repo_ref_set(repo, name, &second, &none, &err)); /* there already */
	assert_int_equal(err.code, ERR_REJECTED);
	assert_false(repo_ref_set(repo, name, &first, &second, &err)); /* elsewhere */
	assert_int_equal(err.code, ERR_REJECTED);
	assert_true(repo_ref(repo, name, &now, &err));
	assert_string_equal(now.hex, first.hex);
	assert_true(repo_ref_set(repo, name, &second, &first, &err));
	assert_true(repo_ref(repo, name, &now, &err));
	assert_string_equal(now.hex, second.hex);
}

static void a_locked_reference_is_rejected_and_not_moved(void **state)
{
	(void)state;
	auto_repo struct repo *repo = NULL;
	struct oid none = {0};

	gitrepo_make(scratch);
	struct oid first = oid_of(GIT_TEXT(scratch, "rev-parse", "HEAD"));
	gitrepo_write(scratch, ".git/refs/heads/status.lock", "");
	assert_true(repo_discover(scratch, &repo, &err));
	assert_false(repo_ref_set(repo, "refs/heads/status", &first, &none, &err));
	assert_int_equal(err.code, ERR_REJECTED);
}

static void ancestors_are_told_from_strangers(void **state)
{
	(void)state;
	auto_repo struct repo *repo = NULL;
	auto_repo struct repo *second_handle = NULL;
	bool is = false;

	gitrepo_make(scratch);
	struct oid first = oid_of(GIT_TEXT(scratch, "rev-parse", "HEAD"));
	GIT(scratch, "commit", "-q", "--allow-empty", "-m", "second");
	struct oid second = oid_of(GIT_TEXT(scratch, "rev-parse", "HEAD"));
	GIT(scratch, "checkout", "-q", "--orphan", "other");
	GIT(scratch, "commit", "-q", "-m", "other root");
	struct oid other = oid_of(GIT_TEXT(scratch, "rev-parse", "HEAD"));
	struct oid absent = {.hex = "0123456789abcdef0123456789abcdef01234567"};

	assert_true(repo_discover(scratch, &repo, &err));
	assert_true(repo_is_ancestor(repo, &first, &second, &is, &err) && is);
	assert_true(repo_is_ancestor(repo, &first, &first, &is, &err) && is);
	assert_true(repo_is_ancestor(repo, &second, &first, &is, &err) && !is);
	assert_true(repo_is_ancestor(repo, &first, &other, &is, &err) && !is);
	assert_false(repo_is_ancestor(repo, &first, &absent, &is, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);

	assert_true(repo_reopen(repo, &second_handle, &err));
	assert_true(repo_has_commit(second_handle, &other));
	assert_false(repo_has_commit(second_handle, &absent));
}

static void references_are_listed_by_prefix_and_sorted(void **state)
{
	(void)state;
	auto_repo struct repo *repo = NULL;
	auto_strlist struct strlist names = STRLIST_INIT;

	gitrepo_make(scratch);
	GIT(scratch, "branch", "zeta");
	GIT(scratch, "branch", "alpha/one");
	GIT(scratch, "tag", "v1");
	GIT(scratch, "pack-refs", "--all");
	GIT(scratch, "branch", "beta");
	assert_true(repo_discover(scratch, &repo, &err));
	assert_true(repo_refs(repo, "refs/heads/", &names, &err));
	assert_int_equal(names.count, 4);
	assert_string_equal(names.items[0], "refs/heads/alpha/one");
	assert_string_equal(names.items[1], "refs/heads/beta");
	assert_string_equal(names.items[2], "refs/heads/main");
	assert_string_equal(names.items[3], "refs/heads/zeta");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		CASE(an_id_is_40_lower_case_hex_digits),
		CASE(a_mirror_is_made_private_and_opened_again),
		CASE(opening_a_mirror_removes_what_a_killed_process_left),
		CASE(a_mirror_killed_while_it_was_made_is_made_again),
		CASE(a_mirror_that_is_a_file_is_refused_by_name),
		CASE(a_mirror_of_another_user_is_refused),
		CASE(the_repository_is_found_from_a_subfolder),
		CASE(no_repository_is_not_found),
		CASE(a_repository_of_another_user_says_so),
		CASE(revisions_are_found_as_git_finds_them),
		CASE(a_revision_that_is_missing_or_no_commit_is_told_apart),
		CASE(a_reference_moves_only_from_where_it_was),
		CASE(a_locked_reference_is_rejected_and_not_moved),
		CASE(ancestors_are_told_from_strangers),
		CASE(references_are_listed_by_prefix_and_sorted),
	};
	return cmocka_run_group_tests_name("repo", tests, gitrepo_begin, gitrepo_end);
}
