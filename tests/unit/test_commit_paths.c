/* Which files a commit changes. */
#include "git/commit_paths.h"
#include "tests/lib/gitrepo.h"
#include <setjmp.h>
#include <stdarg.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

static struct error err;

static char *paths_of(const char *folder, const char *revision)
{
	auto_repo struct repo *repo = NULL;
	auto_commit_paths struct commit_paths paths = {0};
	struct buf text = BUF_INIT(1000);
	struct oid id;
	assert_true(repo_discover(folder, &repo, &err));
	assert_true(repo_revision(repo, revision, &id, &err));
	assert_true(commit_paths_read(repo, &id, &paths, &err));
	for (size_t i = 0; i < paths.count; i++)
		buf_addf(&text, "%s%s ", paths.items[i].removed ? "-" : "", paths.items[i].path);
	return buf_steal(&text);
}

static void files_of_a_commit_against_its_first_parent(void **state)
{
	(void)state;
	char *folder = gitrepo_scratch();
	GIT(folder, "init", "-q", "-b", "main");
	gitrepo_write(folder, "b", "1");
	gitrepo_write(folder, "a/x", "1");
	GIT(folder, "add", "-A");
	GIT(folder, "commit", "-q", "-m", "first");
	gitrepo_write(folder, "b", "2");
	gitrepo_write(folder, "c", "2");
	GIT(folder, "rm", "-q", "a/x");
	GIT(folder, "add", "-A");
	GIT(folder, "commit", "-q", "-m", "second");
	GIT(folder, "commit", "-q", "--allow-empty", "-m", "third");
	static const struct {
		const char *revision, *paths;
	} cases[] = {{"HEAD~2", "a/x b "}, {"HEAD~1", "-a/x b c "}, {"HEAD", ""}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *found = paths_of(folder, cases[i].revision);
		assert_string_equal(found, cases[i].paths);
	}
	gitrepo_remove(folder);
}

static void a_commit_that_is_not_there_is_an_error(void **state)
{
	(void)state;
	char *folder = gitrepo_scratch();
	struct commit_paths paths = {0};
	struct oid id = {"1111111111111111111111111111111111111111"};
	gitrepo_make(folder);
	struct repo *repo = NULL;
	assert_true(repo_discover(folder, &repo, &err));
	assert_false(commit_paths_read(repo, &id, &paths, &err));
	assert_non_null(strstr(err.message, id.hex));
	assert_null(paths.items);
	repo_free(repo);
	gitrepo_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_of_a_commit_against_its_first_parent),
		cmocka_unit_test(a_commit_that_is_not_there_is_an_error),
	};
	return cmocka_run_group_tests_name("commit_paths", tests, gitrepo_begin, gitrepo_end);
}
