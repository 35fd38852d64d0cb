#include "base/clock.h"
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

/* Tree of HEAD, opened through a handle that is gone afterwards: the tree keeps its own. */
static struct tree *open_head(void)
{
	auto_repo struct repo *repo = NULL;
	struct tree *tree = NULL;
	struct oid id;

	assert_true(repo_discover(scratch, &repo, &err));
	assert_true(repo_revision(repo, "HEAD", &id, &err));
	assert_true(tree_open_commit(repo, &id, &tree, &err));
	return tree;
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

/* Each behaviour is asked of both kinds of tree. */
static struct tree *(*const kinds[])(void) = {open_head, open_as_it_lies};

static void assert_refused(bool done, const char *path)
{
	assert_false(done);
	assert_int_equal(err.code, ERR_REFUSED);
	if (!strstr(err.message, path))
		fail_msg("'%s' is not named: %s", path, err.message);
}

static void files_are_read_with_their_ids(void **state)
{
	(void)state;
	gitrepo_write(scratch, "docker/app/compose.yml", "services: {}\n");
	gitrepo_write(scratch, "empty", "");
	commit_all();
	auto_free char *wanted = GIT_TEXT(scratch, "rev-parse", "HEAD:docker/app/compose.yml");

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		auto_tree struct tree *tree = kinds[k]();
		auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
		struct oid id;
		assert_true(tree_read(tree, "docker/app/compose.yml", &text, &id, &err));
		assert_string_equal(text.text, "services: {}\n");
		assert_string_equal(id.hex, wanted);
		assert_true(tree_read(tree, "empty", &text, NULL, &err));
		assert_string_equal(text.text, "services: {}\n");
	}
}

static void types_and_ids_are_those_of_git(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		enum tree_type type;
	} cases[] = {
		{"README.md", TREE_FILE},
		{"run.sh", TREE_EXECUTABLE},
		{"docker", TREE_FOLDER},
		{"docker/app", TREE_FOLDER},
		{"link", TREE_SYMLINK},
	};
	gitrepo_write(scratch, "docker/app/compose.yml", "services: {}\n");
	gitrepo_write(scratch, "run.sh", "#!/bin/sh\n");
	auto_free char *script = mem_printf("%s/run.sh", scratch);
	auto_free char *link = mem_printf("%s/link", scratch);
	assert_int_equal(chmod(script, 0755), 0);
	assert_int_equal(symlink("docker", link), 0);
	commit_all();

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		auto_tree struct tree *tree = kinds[k]();
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			struct tree_entry entry;
			auto_free char *name = mem_printf("HEAD:%s", cases[i].path);
			auto_free char *wanted = GIT_TEXT(scratch, "rev-parse", name);
			assert_true(tree_stat(tree, cases[i].path, &entry, &err));
			assert_int_equal(entry.type, cases[i].type);
			assert_string_equal(entry.id.hex, wanted);
		}
	}
}

static void only_what_is_missing_is_not_found(void **state)
{
	(void)state;
	static const char *const paths[] = {
		"none", "none/none", "README.md/x", "docker/none", "read"};
	gitrepo_write(scratch, "docker/app/compose.yml", "");
	commit_all();

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		auto_tree struct tree *tree = kinds[k]();
		auto_tree_entries struct tree_entries entries = {0};
		auto_buf struct buf text = BUF_INIT(100);
		struct tree_entry entry;
		for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
			assert_false(tree_stat(tree, paths[i], &entry, &err));
			assert_int_equal(err.code, ERR_NOT_FOUND);
			assert_non_null(strstr(err.message, paths[i]));
			assert_false(tree_read(tree, paths[i], &text, NULL, &err));
			assert_int_equal(err.code, ERR_NOT_FOUND);
			assert_false(tree_list(tree, paths[i], &entries, &err));
			assert_int_equal(err.code, ERR_NOT_FOUND);
		}
		assert_false(tree_read(tree, "docker", &text, NULL, &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
}

static void paths_that_leave_the_tree_are_refused(void **state)
{
	(void)state;
	static const char *const paths[] = {"../x", "/etc/passwd", "a/../b", "", ".", "a//b",
		".git", ".git/config", "a\nb", "a/"};

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		auto_tree struct tree *tree = kinds[k]();
		struct tree_entry entry;
		for (size_t i = 0; i < ARRAY_LEN(paths); i++)
			assert_refused(tree_stat(tree, paths[i], &entry, &err), "not allowed");
	}
}

static void links_are_refused_by_name_and_never_followed(void **state)
{
	(void)state;
	auto_free char *link = mem_printf("%s/docker/link", scratch);
	gitrepo_write(scratch, "docker/app/compose.yml", "services: {}\n");
	assert_int_equal(symlink("/etc/passwd", link), 0);
	commit_all();

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		auto_tree struct tree *tree = kinds[k]();
		auto_tree_entries struct tree_entries entries = {0};
		auto_buf struct buf text = BUF_INIT(10000);
		struct tree_entry entry;
		assert_refused(tree_read(tree, "docker/link", &text, NULL, &err), "docker/link");
		assert_refused(tree_stat(tree, "docker/link/x", &entry, &err), "docker/link");
		assert_refused(tree_list(tree, "docker/link", &entries, &err), "docker/link");
		assert_refused(tree_list_deep(tree, "", &entries, &err), "docker/link");
		assert_true(tree_list(tree, "docker", &entries, &err));
		assert_int_equal(entries.count, 2);
	}
}

static void submodules_are_refused_by_name(void **state)
{
	(void)state;
	auto_free char *inner = mem_printf("%s/vendor/inner", scratch);
	gitrepo_write(scratch, "vendor/inner/x", "");
	gitrepo_make(inner);
	GIT(scratch, "-c", "advice.addEmbeddedRepo=false", "add", "vendor");
	GIT(scratch, "commit", "-q", "-m", "submodule");
	auto_free char *wanted = GIT_TEXT(scratch, "rev-parse", "HEAD:vendor/inner");

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		auto_tree struct tree *tree = kinds[k]();
		auto_tree_entries struct tree_entries entries = {0};
		auto_buf struct buf text = BUF_INIT(100);
		struct tree_entry entry;
		assert_true(tree_stat(tree, "vendor/inner", &entry, &err));
		assert_int_equal(entry.type, TREE_SUBMODULE);
		assert_string_equal(entry.id.hex, wanted);
		assert_refused(
			tree_read(tree, "vendor/inner/x", &text, NULL, &err), "vendor/inner");
		assert_refused(tree_list_deep(tree, "vendor", &entries, &err), "vendor/inner");
	}
}

static void a_pointer_of_lfs_is_refused_by_name(void **state)
{
	(void)state;
	gitrepo_write(scratch, "docker/big.tar",
		"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n");
	commit_all();
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		auto_tree struct tree *tree = kinds[k]();
		auto_buf struct buf text = BUF_INIT(1000);
		assert_refused(
			tree_read(tree, "docker/big.tar", &text, NULL, &err), "docker/big.tar");
		assert_int_equal(text.len, 0);
	}
}

static void a_name_with_a_line_break_is_refused(void **state)
{
	(void)state;
	gitrepo_write(scratch, "clients/al\npha.yaml", "");
	commit_all();
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		auto_tree struct tree *tree = kinds[k]();
		auto_tree_entries struct tree_entries entries = {0};
		assert_refused(tree_list(tree, "clients", &entries, &err), "al?pha");
		assert_refused(tree_list_deep(tree, "", &entries, &err), "al?pha");
	}
}

/* Tree objects that git would never write, made by hand. */
static void a_hand_made_tree_with_evil_names_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *name, *object, *other;
	} cases[] = {
		{"..", "100644 blob", NULL},
		{".git", "100644 blob", NULL},
		{"twice", "100644 blob", "100755 blob"},
	};
	auto_free char *blob = GIT_TEXT(scratch, "rev-parse", "HEAD:README.md");

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_repo struct repo *repo = NULL;
		auto_tree struct tree *tree = NULL;
		auto_tree_entries struct tree_entries entries = {0};
		struct oid id;
		auto_buf struct buf lines = BUF_INIT(1000);
		buf_addf(&lines, "%s %s\t%s\n", cases[i].object, blob, cases[i].name);
		if (cases[i].other)
			buf_addf(&lines, "%s %s\t%s\n", cases[i].other, blob, cases[i].name);
		static const char *const make[] = {"mktree", NULL};
		auto_free char *tree_hex = gitrepo_git_input(scratch, lines.text, make);
		auto_free char *commit = GIT_TEXT(scratch, "commit-tree", "-m", "evil", tree_hex);

		assert_true(repo_discover(scratch, &repo, &err));
		assert_true(repo_revision(repo, commit, &id, &err));
		assert_true(tree_open_commit(repo, &id, &tree, &err));
		assert_refused(tree_list(tree, "", &entries, &err), cases[i].name);
		assert_refused(tree_list_deep(tree, "", &entries, &err), cases[i].name);
		assert_int_equal(entries.count, 0);
	}
}

static void a_file_over_the_limit_is_an_error_and_not_cut(void **state)
{
	(void)state;
	auto_free char *path = mem_printf("%s/large", scratch);
	gitrepo_write(scratch, "large", "");
	assert_int_equal(truncate(path, (off_t)TREE_FILE_MAX + 1), 0);
	commit_all();
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		auto_tree struct tree *tree = kinds[k]();
		auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
		assert_false(tree_read(tree, "large", &text, NULL, &err));
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.message, "large"));
	}
}

static void an_object_that_is_missing_is_an_error_and_not_a_missing_file(void **state)
{
	(void)state;
	auto_buf struct buf text = BUF_INIT(1000);
	auto_tree struct tree *tree = open_head();
	auto_free char *id = GIT_TEXT(scratch, "rev-parse", "HEAD:README.md");
	auto_free char *object = mem_printf("%s/.git/objects/%.2s/%s", scratch, id, id + 2);

	assert_int_equal(unlink(object), 0);
	assert_false(tree_read(tree, "README.md", &text, NULL, &err));
	assert_int_equal(err.code, ERR_SYSTEM);
}

static void lists_are_sorted_and_complete(void **state)
{
	(void)state;
	static const char *const files[] = {
		"a/b/c", "a/b-c", "a/b.c", "a/b/a", "a/z", "a/.hidden", "a-b", "a.b"};
	static const char *const below[] = {"a/.hidden", "a/b", "a/b-c", "a/b.c", "a/z"};
	static const char *const deep[] = {"a/.hidden", "a/b-c", "a/b.c", "a/b/a", "a/b/c", "a/z"};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		gitrepo_write(scratch, files[i], files[i]);
	commit_all();
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		auto_tree struct tree *tree = kinds[k]();
		auto_tree_entries struct tree_entries list = {0};
		auto_tree_entries struct tree_entries all = {0};
		assert_true(tree_list(tree, "a", &list, &err));
		assert_int_equal(list.count, ARRAY_LEN(below));
		for (size_t i = 0; i < list.count; i++)
			assert_string_equal(list.items[i].path, below[i]);
		assert_int_equal(list.items[1].type, TREE_FOLDER);
		assert_true(tree_list_deep(tree, "a", &all, &err));
		assert_int_equal(all.count, ARRAY_LEN(deep));
		for (size_t i = 0; i < all.count; i++)
			assert_string_equal(all.items[i].path, deep[i]);
		assert_true(tree_list_deep(tree, "", &all, &err)); /* appends */
		assert_int_equal(all.count, ARRAY_LEN(deep) + ARRAY_LEN(files) + 1);
	}
}

static void ten_thousand_files_of_one_folder_are_all_read(void **state)
{
	(void)state;
	for (int i = 0; i < 10000; i++) {
		auto_free char *path = mem_printf("secrets/clients/c%05d.yaml", i);
		gitrepo_write(scratch, path, path);
	}
	commit_all();
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		int64_t start = clock_mono_ms();
		auto_tree struct tree *tree = kinds[k]();
		auto_tree_entries struct tree_entries entries = {0};
		assert_true(tree_list_deep(tree, "secrets", &entries, &err));
		assert_int_equal(entries.count, 10000);
		for (size_t i = 0; i < entries.count; i++) {
			auto_buf struct buf text = BUF_INIT(1000);
			struct oid id;
			assert_true(tree_read(tree, entries.items[i].path, &text, &id, &err));
			assert_string_equal(text.text, entries.items[i].path);
			assert_string_equal(id.hex, entries.items[i].id.hex);
		}
		print_message("10,000 files: %lld ms\n", (long long)(clock_mono_ms() - start));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		CASE(files_are_read_with_their_ids),
		CASE(types_and_ids_are_those_of_git),
		CASE(only_what_is_missing_is_not_found),
		CASE(paths_that_leave_the_tree_are_refused),
		CASE(links_are_refused_by_name_and_never_followed),
		CASE(submodules_are_refused_by_name),
		CASE(a_pointer_of_lfs_is_refused_by_name),
		CASE(a_name_with_a_line_break_is_refused),
		CASE(a_hand_made_tree_with_evil_names_is_refused),
		CASE(a_file_over_the_limit_is_an_error_and_not_cut),
		CASE(an_object_that_is_missing_is_an_error_and_not_a_missing_file),
		CASE(lists_are_sorted_and_complete),
		CASE(ten_thousand_files_of_one_folder_are_all_read),
	};
	return cmocka_run_group_tests_name("tree", tests, gitrepo_begin, gitrepo_end);
}
