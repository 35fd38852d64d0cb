/* Where steps work that run on the service machine. */
#include "base/fs.h"
#include "git/tree.h"
#include "reconcile/drivers/step_place.h"
#include "tests/lib/gitrepo.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_MS 60000

struct fixture {
	char *folder, *steps;
};

static int make(void **state)
{
	struct fixture *fixture = mem_zero(1, sizeof(*fixture));
	fixture->folder = gitrepo_scratch();
	fixture->steps = mem_printf("%s/steps", fixture->folder);
	*state = fixture;
	return 0;
}

static int drop(void **state)
{
	struct fixture *fixture = *state;
	gitrepo_remove(fixture->folder);
	free(fixture->steps);
	free(fixture);
	return 0;
}

static struct step_place *open_place(struct fixture *fixture)
{
	struct step_place *place = NULL;
	struct error err;
	const struct step_place_options options = {
		.steps_dir = fixture->steps, .name = "alpha", .wait_ms = LONG_MS, .cancel_fd = -1};
	if (!step_place_open(&options, &place, &err))
		fail_msg("%s", err.message);
	return place;
}

/* The files of HEAD of a repository. */
static struct tree *open_tree(const char *repository)
{
	auto_repo struct repo *repo = NULL;
	struct tree *tree = NULL;
	struct oid id;
	struct error err;
	if (!repo_discover(repository, &repo, &err) || !repo_revision(repo, "HEAD", &id, &err) ||
		!tree_open_commit(repo, &id, &tree, &err))
		fail_msg("%s", err.message);
	return tree;
}

static void make_repository(const char *folder)
{
	assert_int_equal(mkdir(folder, 0700), 0);
	gitrepo_make(folder);
}

static bool check_out(struct step_place *place, struct tree *tree, struct error *err)
{
	const char *folder = NULL;
	return step_place_make_checkout(place, &folder, err) && tree_check_out(tree, folder, err);
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void a_checkout_has_exactly_the_files_of_the_commit(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *repository = mem_printf("%s/repository", fixture->folder);
	struct stat st;
	struct error err;
	make_repository(repository);
	gitrepo_write(repository, "a/b/tool", "#!/bin/sh\n");
	gitrepo_write(repository, "a/b.txt", "text\n");
	GIT(repository, "add", "-A");
	GIT(repository, "update-index", "--chmod=+x", "a/b/tool");
	GIT(repository, "commit", "-q", "-m", "tool");
	gitrepo_write(repository, "a/later", "not committed\n");
	auto_tree struct tree *tree = open_tree(repository);
	struct step_place *place = open_place(fixture);
	if (!check_out(place, tree, &err))
		fail_msg("%s", err.message);
	auto_free char *checkout = mem_dup_str(step_place_checkout(place));
	auto_free char *tool = mem_printf("%s/a/b/tool", checkout);
	auto_free char *text = mem_printf("%s/a/b.txt", checkout);
	auto_free char *later = mem_printf("%s/a/later", checkout);
	assert_int_equal(stat(tool, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(text, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(checkout, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_false(exists(later));
	step_place_free(place);
	assert_false(exists(checkout));
}

static void a_checkout_follows_no_link(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *repository = mem_printf("%s/repository", fixture->folder);
	auto_free char *link = mem_printf("%s/link", repository);
	struct error err;
	make_repository(repository);
	assert_int_equal(symlink("/etc", link), 0);
	GIT(repository, "add", "-A");
	GIT(repository, "commit", "-q", "-m", "link");
	auto_tree struct tree *tree = open_tree(repository);
	auto_step_place struct step_place *place = open_place(fixture);
	assert_false(check_out(place, tree, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_non_null(strstr(err.message, "'link' is a symbolic link"));
}

static void what_a_killed_service_left_is_gone(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *old = mem_printf("%s/alpha/checkout/old", fixture->steps);
	auto_free char *folder = mem_printf("%s/alpha/checkout", fixture->steps);
	struct error err;
	assert_true(fs_make_folders(folder, 0700, &err));
	assert_true(fs_write(old, "x", 1, 0600, &err));
	auto_step_place struct step_place *place = open_place(fixture);
	assert_false(exists(old));
}

static void the_folder_in_memory_is_private_and_goes(void **state)
{
	struct fixture *fixture = *state;
	struct step_place *place = open_place(fixture);
	const char *folder = NULL;
	struct stat st;
	struct error err;
	if (!step_place_memory(place, &folder, &err)) {
		step_place_free(place);
		print_message("no folder in memory here: skipped\n");
		skip();
	}
	auto_free char *path = mem_dup_str(folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_true(step_place_memory(place, &folder, &err));
	assert_string_equal(folder, path);
	step_place_free(place);
	assert_false(exists(path));
}

static void a_program_is_asked_to_end_with_its_signal(void **state)
{
	struct fixture *fixture = *state;
	static const char *const argv[] = {
		"/bin/sh", "-c", "trap 'exit 99' INT; while :; do sleep 0.05; done", NULL};
	static const char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
	auto_step_place struct step_place *place = open_place(fixture);
	struct driver_run run = DRIVER_RUN_INIT;
	struct error err;
	int status = -1;
	const struct local_command late = {.name = "setup",
		.argv = argv,
		.environment = environment,
		.folder = fixture->folder,
		.timeout_ms = 300,
		.grace_ms = LONG_MS,
		.end_signal = SIGINT,
		.status_out = &status};
	assert_false(step_place_run(place, &late, &run, &err));
	assert_int_equal(err.code, ERR_TIMEOUT);
}

static void a_status_that_is_asked_for_is_no_error(void **state)
{
	struct fixture *fixture = *state;
	static const char *const argv[] = {"/bin/sh", "-c", "exit 2", NULL};
	static const char *const environment[] = {NULL};
	auto_step_place struct step_place *place = open_place(fixture);
	struct driver_run run = DRIVER_RUN_INIT;
	struct error err;
	int status = -1;
	const struct local_command command = {.name = "plan",
		.argv = argv,
		.environment = environment,
		.folder = fixture->folder,
		.timeout_ms = LONG_MS,
		.status_out = &status};
	assert_true(step_place_run(place, &command, &run, &err));
	assert_int_equal(status, 2);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_checkout_has_exactly_the_files_of_the_commit),
		TEST(a_checkout_follows_no_link),
		TEST(what_a_killed_service_left_is_gone),
		TEST(the_folder_in_memory_is_private_and_goes),
		TEST(a_program_is_asked_to_end_with_its_signal),
		TEST(a_status_that_is_asked_for_is_no_error),
	};
	return cmocka_run_group_tests(tests, gitrepo_begin, gitrepo_end);
}
