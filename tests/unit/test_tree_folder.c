#include "git/tree.h"
#include "tests/lib/gitrepo.h"
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
	gitrepo_make(scratch);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	gitrepo_remove(scratch);
	return 0;
}

static void commit_all(void)
{
	GIT(scratch, "add", "-A");
	GIT(scratch, "commit", "-q", "--allow-empty", "-m", "more");
}

static struct tree *open_folder(const char *folder)
{
	struct tree *tree = NULL;
	if (!tree_open_folder(folder, &tree, &err))
		fail_msg("%s", err.message);
	return tree;
}

static struct tree *open_as_it_lies(void)
{
	return open_folder(scratch);
}

/* The oracle: what `git add -A` and a commit make of the folder. */
static void assert_folder_equals_commit_of_it(void)
{
	auto_tree struct tree *tree = open_as_it_lies();
	struct oid id;
	assert_true(tree_id(tree, &id, &err));
	GIT(scratch, "add", "-A");
	auto_free char *wanted = GIT_TEXT(scratch, "write-tree");
	assert_string_equal(id.hex, wanted);
}

static void a_folder_as_it_lies_has_the_id_its_commit_would_have(void **state)
{
	(void)state;
	auto_free char *link = mem_printf("%s/link", scratch);
	auto_free char *gone = mem_printf("%s/gone", scratch);
	auto_free char *script = mem_printf("%s/a/run.sh", scratch);

	assert_folder_equals_commit_of_it(); /* nothing changed */
	gitrepo_write(scratch, ".gitignore", "*.log\nbuild/\n!keep.log\n/only-root\n");
	gitrepo_write(scratch, "kept/tracked.log", "tracked before it was ignored\n");
	gitrepo_write(scratch, "gone", "x");
	GIT(scratch, "add", "-A", "-f");
	GIT(scratch, "commit", "-q", "-m", "more");
	assert_folder_equals_commit_of_it();

	gitrepo_write(scratch, "README.md", "changed\n");
	assert_int_equal(unlink(gone), 0);
	gitrepo_write(scratch, "untracked", "new\n");
	gitrepo_write(scratch, "a/run.sh", "#!/bin/sh\n");
	assert_int_equal(chmod(script, 0755), 0);
	assert_int_equal(symlink("nowhere", link), 0);
	gitrepo_write(scratch, "a.b/x", "");
	gitrepo_write(scratch, "a-b/x", "");
	gitrepo_write(scratch, "debug.log", "ignored");
	gitrepo_write(scratch, "keep.log", "kept");
	gitrepo_write(scratch, "a/only-root", "kept here");
	gitrepo_write(scratch, "only-root", "ignored");
	gitrepo_write(scratch, "build/output", "ignored");
	gitrepo_write(scratch, "a/.gitignore", "*.tmp\n");
	gitrepo_write(scratch, "a/b/x.tmp", "ignored");
	gitrepo_write(scratch, "x.tmp", "kept");
	auto_free char *empty = mem_printf("%s/empty", scratch);
	assert_int_equal(mkdir(empty, 0755), 0);
	assert_folder_equals_commit_of_it();

	gitrepo_write(scratch, "README.md", "Changed\n"); /* same size, same second */
	assert_folder_equals_commit_of_it();
}

static void line_ends_are_those_that_git_would_store(void **state)
{
	(void)state;
	auto_buf struct buf text = BUF_INIT(1000);
	gitrepo_write(scratch, ".gitattributes", "*.txt text\n*.bin -text\n");
	gitrepo_write(scratch, "dos.txt", "a\r\nb\r\n");
	gitrepo_write(scratch, "dos.bin", "a\r\nb\r\n");
	auto_tree struct tree *tree = open_as_it_lies();
	assert_true(tree_read(tree, "dos.txt", &text, NULL, &err));
	assert_string_equal(text.text, "a\nb\n");
	assert_folder_equals_commit_of_it();
}

static void an_ignored_file_is_not_there(void **state)
{
	(void)state;
	gitrepo_write(scratch, ".gitignore", "secret\n");
	gitrepo_write(scratch, "secret", "x");
	auto_tree struct tree *tree = open_as_it_lies();
	struct tree_entry entry;
	assert_false(tree_stat(tree, "secret", &entry, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void a_subfolder_of_a_repository_is_a_tree_of_its_own(void **state)
{
	(void)state;
	gitrepo_write(scratch, "infra/docker/x", "x");
	gitrepo_write(scratch, "infra/debug.log", "x");
	gitrepo_write(scratch, ".gitignore", "*.log\n");
	commit_all();
	auto_free char *sub = mem_printf("%s/infra", scratch);
	auto_free char *wanted = GIT_TEXT(scratch, "rev-parse", "HEAD:infra");
	auto_tree struct tree *tree = open_folder(sub);
	struct oid id;
	assert_true(tree_id(tree, &id, &err));
	assert_string_equal(id.hex, wanted);
}

static void a_folder_outside_of_git_has_all_its_files(void **state)
{
	(void)state;
	auto_free char *plain = gitrepo_scratch();
	auto_tree_entries struct tree_entries entries = {0};
	struct oid id;

	gitrepo_write(plain, ".gitignore", "*.log\n");
	gitrepo_write(plain, "a/debug.log", "x");
	auto_tree struct tree *tree = open_folder(plain);
	assert_true(tree_list_deep(tree, "", &entries, &err));
	assert_int_equal(entries.count, 2);
	assert_true(tree_id(tree, &id, &err));
	assert_true(oid_valid(id.hex));
	gitrepo_remove(STEAL(plain));
}

static void a_folder_that_is_not_there_is_not_found(void **state)
{
	(void)state;
	auto_free char *none = mem_printf("%s/none", scratch);
	auto_tree struct tree *tree = NULL;
	assert_false(tree_open_folder(none, &tree, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void an_empty_folder_is_the_empty_tree(void **state)
{
	(void)state;
	auto_free char *plain = gitrepo_scratch();
	auto_tree_entries struct tree_entries entries = {0};
	struct oid id;
	auto_tree struct tree *tree = open_folder(plain);
	assert_true(tree_id(tree, &id, &err));
	assert_string_equal(id.hex, "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
	assert_true(tree_list(tree, "", &entries, &err));
	assert_int_equal(entries.count, 0);
	gitrepo_remove(STEAL(plain));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		CASE(a_folder_as_it_lies_has_the_id_its_commit_would_have),
		CASE(line_ends_are_those_that_git_would_store),
		CASE(an_ignored_file_is_not_there),
		CASE(a_subfolder_of_a_repository_is_a_tree_of_its_own),
		CASE(a_folder_outside_of_git_has_all_its_files),
		CASE(a_folder_that_is_not_there_is_not_found),
		CASE(an_empty_folder_is_the_empty_tree),
	};
	return cmocka_run_group_tests_name("tree_folder", tests, gitrepo_begin, gitrepo_end);
}
