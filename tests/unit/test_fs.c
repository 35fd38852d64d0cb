#include "base/fs.h"
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Each test works in a folder of its own and can be run in any order. */
static int setup(void **state)
{
	struct error err;
	char *folder = NULL;
	if (!fs_scratch(NULL, "test-fs", &folder, &err))
		return -1;
	*state = folder;
	return 0;
}

static int teardown(void **state)
{
	struct error err;
	auto_free char *folder = *state;
	(void)unsetenv("AVIARY_FAULT"); /* a failed test may have left it */
	return fs_remove_tree(folder, &err) ? 0 : -1;
}

static char *in(void **state, const char *name)
{
	return mem_printf("%s/%s", (const char *)*state, name);
}

static void put(const char *path, const char *text, mode_t mode)
{
	struct error err;
	assert_true(fs_write(path, text, strlen(text), mode, &err));
}

static void assert_holds(const char *path, const char *text)
{
	struct error err;
	auto_buf struct buf got = BUF_INIT(1000);
	assert_true(fs_read(path, 1000, &got, &err));
	assert_string_equal(got.text, text);
}

static size_t count_entries(const char *folder)
{
	size_t count = 0;
	DIR *list = opendir(folder);
	assert_non_null(list);
	for (struct dirent *entry; (entry = readdir(list));)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	(void)closedir(list); /* read-only */
	return count;
}

static void reading_gives_what_was_written_with_its_mode(void **state)
{
	auto_free char *path = in(state, "file");
	struct stat st;
	mode_t old = umask(077);
	put(path, "one", 0644);
	put(path, "two\n", 0640);
	(void)umask(old); /* returns the mask set above */
	assert_holds(path, "two\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

static void reading_tells_missing_large_and_odd_files_apart(void **state)
{
	struct error err;
	auto_buf struct buf got = BUF_INIT(1000);
	auto_free char *missing = in(state, "missing");
	auto_free char *large = in(state, "large");
	auto_free char *fifo = in(state, "fifo");
	put(large, "12345", 0600);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_false(fs_read(missing, 4, &got, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.message, missing));
	assert_false(fs_read(large, 4, &got, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_false(fs_read(fifo, 4, &got, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_false(fs_read(*state, 4, &got, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_true(fs_read(large, 5, &got, &err));
}

static void a_file_without_a_size_is_still_limited(void **state)
{
	(void)state;
	struct error err;
	auto_buf struct buf got = BUF_INIT(100000);
	assert_false(fs_read("/proc/self/status", 10, &got, &err));
	assert_int_equal(err.code, ERR_INVALID);
	buf_truncate(&got, 0);
	assert_true(fs_read("/proc/self/status", 100000, &got, &err));
	assert_true(got.len > 10);
}

static void a_secret_loses_one_line_break_and_no_more(void **state)
{
	static const struct {
		const char *file, *secret;
	} cases[] = {{"x\n", "x"}, {"x\r\n", "x"}, {"x\n\n", "x\n"}, {"x", "x"}, {" x ", " x "}};
	struct error err;
	auto_free char *path = in(state, "secret");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf struct buf got = BUF_INIT_SECRET(100);
		put(path, cases[i].file, 0600);
		assert_true(fs_read_secret(path, 100, &got, &err));
		assert_string_equal(got.text, cases[i].secret);
	}
}

static void a_secret_open_to_others_is_refused_with_the_remedy(void **state)
{
	static const mode_t modes[] = {0640, 0604, 0620, 0666};
	struct error err;
	auto_free char *path = in(state, "secret");
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		auto_buf struct buf got = BUF_INIT_SECRET(100);
		put(path, "x", modes[i]);
		assert_false(fs_read_secret(path, 100, &got, &err));
		assert_int_equal(err.code, ERR_REFUSED);
		assert_non_null(strstr(err.hint, "chmod 0600"));
		assert_int_equal(got.len, 0);
	}
}

static void a_systemd_credential_may_be_readable_by_its_group(void **state)
{
	struct error err;
	auto_free char *path = in(state, "secret");
	auto_buf struct buf got = BUF_INIT_SECRET(100);
	put(path, "x", 0440);
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", *state, 1), 0);
	bool good = fs_read_secret(path, 100, &got, &err);
	put(path, "x", 0444);
	bool open = fs_read_secret(path, 100, &got, &err);
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	assert_true(good);
	assert_false(open);
}

static void an_empty_secret_is_invalid(void **state)
{
	struct error err;
	auto_free char *path = in(state, "secret");
	auto_buf struct buf got = BUF_INIT_SECRET(100);
	put(path, "\n", 0600);
	assert_false(fs_read_secret(path, 100, &got, &err));
	assert_int_equal(err.code, ERR_INVALID);
}

static void a_full_disk_leaves_the_old_file_and_no_leftovers(void **state)
{
	struct error err;
	auto_free char *path = in(state, "1");
	put(path, "old", 0600);
	assert_int_equal(setenv("AVIARY_FAULT", "write:1", 1), 0);
	assert_false(fs_write(path, "new", 3, 0600, &err));
	assert_int_equal(err.code, ERR_SYSTEM);
	assert_non_null(strstr(err.message, "No space left"));
	assert_true(fs_write(path, "later", 5, 0600, &err)); /* only the first write failed */
	assert_int_equal(unsetenv("AVIARY_FAULT"), 0);
	assert_holds(path, "later");
	assert_int_equal(count_entries(*state), 1);
}

static void a_disk_that_stays_full_fails_every_write(void **state)
{
	struct error err;
	auto_free char *path = in(state, "1");
	assert_int_equal(setenv("AVIARY_FAULT", "write:2+", 1), 0);
	assert_true(fs_write(path, "one", 3, 0600, &err));
	assert_false(fs_write(path, "two", 3, 0600, &err));
	assert_false(fs_write(path, "three", 5, 0600, &err));
	assert_int_equal(unsetenv("AVIARY_FAULT"), 0);
	assert_holds(path, "one");
}

static void death_at_any_point_leaves_the_old_file_or_the_new(void **state)
{
	auto_free char *path = in(state, "file");
	put(path, "old", 0600);
	for (int n = 1;; n++) {
		auto_free char *value = mem_printf("kill:%d", n);
		struct error err;
		int status = 0;
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			(void)setenv("AVIARY_FAULT", value, 1); /* checked by the outcome */
			_exit(fs_write(path, "new", 3, 0600, &err) ? 0 : 1);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		assert_holds(path, killed ? "old" : "new");
		if (!killed)
			break;
		assert_true(n < 10);
	}
}

static void writing_into_a_missing_folder_names_the_path(void **state)
{
	struct error err;
	auto_free char *path = in(state, "no/such");
	assert_false(fs_write(path, "x", 1, 0600, &err));
	assert_int_equal(err.code, ERR_SYSTEM);
	assert_non_null(strstr(err.message, path));
}

static void a_link_is_switched_and_nothing_else_is_replaced_by_one(void **state)
{
	struct error err;
	char target[64] = "";
	auto_free char *file = in(state, "file");
	auto_fd int folder = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fs_switch_link(folder, "current", "releases/a", &err));
	assert_true(fs_switch_link(folder, "current", "releases/b", &err));
	assert_int_equal(readlinkat(folder, "current", target, sizeof(target) - 1), 10);
	assert_string_equal(target, "releases/b");
	put(file, "x", 0600);
	assert_false(fs_switch_link(folder, "file", "releases/a", &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_holds(file, "x");
}

static void folders_are_made_with_their_parents_and_their_mode(void **state)
{
	struct error err;
	struct stat st;
	auto_free char *path = in(state, "a//b/c/");
	auto_free char *file = in(state, "file");
	auto_free char *below_file = in(state, "file/x");
	assert_true(fs_make_folders(path, 0750, &err));
	assert_true(fs_make_folders(path, 0700, &err));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	put(file, "x", 0600);
	assert_false(fs_make_folders(file, 0700, &err));
	assert_false(fs_make_folders(below_file, 0700, &err));
}

static void removing_a_tree_follows_no_symlink(void **state)
{
	struct error err;
	auto_free char *tree = in(state, "tree/a/b");
	auto_free char *top = in(state, "tree");
	auto_free char *link = in(state, "tree/a/link");
	auto_free char *outside = in(state, "outside");
	auto_free char *kept = in(state, "outside/kept");
	assert_true(fs_make_folders(tree, 0700, &err));
	assert_true(fs_make_folders(outside, 0700, &err));
	put(kept, "x", 0600);
	assert_int_equal(symlink(outside, link), 0);
	assert_true(fs_remove_tree(top, &err));
	assert_int_equal(access(top, F_OK), -1);
	assert_holds(kept, "x");
	assert_true(fs_remove_tree(top, &err)); /* a missing one is fine */
}

static void a_tree_of_any_kind_of_entry_can_be_synced(void **state)
{
	struct error err;
	const struct fs_content content = {"x", 1, 0640};
	auto_free char *deep = in(state, "a/b");
	auto_free char *fifo = in(state, "a/fifo");
	auto_free char *link = in(state, "a/link");
	auto_fd int folder = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_fd int below = -1;
	assert_true(fs_make_folders(deep, 0700, &err));
	below = open(deep, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fs_create_at(below, "file", &content, &err));
	assert_false(fs_create_at(below, "file", &content, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(symlink("nowhere", link), 0);
	assert_true(fs_sync_tree(folder, &err));
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_false(fs_sync_tree(folder, &err)); /* cannot be durable, so it is told */
	assert_int_equal(err.code, ERR_SYSTEM);
}

static void a_lock_keeps_others_out_until_it_is_closed(void **state)
{
	struct error err;
	auto_free char *path = in(state, "lock");
	auto_fd int second = -1;
	int first = -1;
	assert_true(fs_lock(path, &first, &err));
	assert_false(fs_lock(path, &second, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_int_equal(close(first), 0);
	assert_true(fs_lock(path, &second, &err));
}

static void only_paths_that_stay_inside_are_inside(void **state)
{
	(void)state;
	static const char *const good[] = {"a", "a/b", ".env", "..a/b", "a/...", "a b"};
	static const char *const bad[] = {"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "a/../b",
		"./a", "a/.", "a\nb", "a\x7f"};
	char longest[1026];
	memset(longest, 'a', sizeof(longest));
	longest[1025] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(fs_path_is_inside(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(fs_path_is_inside(bad[i]));
	assert_false(fs_path_is_inside(longest));
	assert_true(fs_path_is_inside(longest + 1));
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(reading_gives_what_was_written_with_its_mode),
		CASE(reading_tells_missing_large_and_odd_files_apart),
		CASE(a_file_without_a_size_is_still_limited),
		CASE(a_secret_loses_one_line_break_and_no_more),
		CASE(a_secret_open_to_others_is_refused_with_the_remedy),
		CASE(a_systemd_credential_may_be_readable_by_its_group),
		CASE(an_empty_secret_is_invalid),
		CASE(a_full_disk_leaves_the_old_file_and_no_leftovers),
		CASE(a_disk_that_stays_full_fails_every_write),
		CASE(death_at_any_point_leaves_the_old_file_or_the_new),
		CASE(writing_into_a_missing_folder_names_the_path),
		CASE(a_link_is_switched_and_nothing_else_is_replaced_by_one),
		CASE(folders_are_made_with_their_parents_and_their_mode),
		CASE(removing_a_tree_follows_no_symlink),
		CASE(a_tree_of_any_kind_of_entry_can_be_synced),
		CASE(a_lock_keeps_others_out_until_it_is_closed),
		CASE(only_paths_that_stay_inside_are_inside),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
