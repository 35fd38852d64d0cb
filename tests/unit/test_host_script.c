/* templates/host.sh as it is sent, under each shell of this machine, in a folder instead of a host
 */
#include "tests/lib/script_host.h"
#include <sys/stat.h>

/* ---- what works ---- */

static void a_release_is_delivered_and_activated(void **state)
{
	struct script_host *fixture = host_of(state);
	struct local_host *local = &fixture->local;
	struct stat st;
	put_well(fixture, 'a');
	host_assert_active(local, 'a');
	host_assert_text(local, "notes", "aaaaaaaaaaaaaaaa\n");
	auto_free char *secret = host_path(local, "current/deep/er/file");
	assert_int_equal(stat(secret, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	auto_free char *run = host_path(local, "current/deep/run");
	assert_int_equal(stat(run, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_false(host_has(local, ".aviary/lock"));
	assert_false(fixture->task.state.found);
	put_well(fixture, 'b');
	host_assert_active(local, 'b');
	assert_true(driver_same_release(fixture->task.state.current, "sha256:aaaaaaaaaaaaaaaa"));
}

static void a_host_says_what_it_runs(void **state)
{
	struct script_host *fixture = host_of(state);
	struct host_release release;
	fixture->task = (struct driver_task){
		.work = DRIVER_ASK, .host = &fixture->local.host, .digest = NULL};
	assert_true(converse(fixture));
	assert_false(fixture->task.state.found);
	put_well(fixture, 'a');
	fixture->task = (struct driver_task){.work = DRIVER_ASK,
		.host = &fixture->local.host,
		.digest = host_release(&release, 'a')->digest};
	assert_true(converse(fixture));
	assert_true(fixture->task.has);
	assert_string_equal(fixture->task.state.release, release.digest);
	assert_string_equal(fixture->task.state.current, release.digest);
	assert_int_equal(fixture->task.state.epoch, 7);
	assert_false(fixture->task.state.activating || fixture->task.state.locked);
}

static void a_release_without_files_must_be_there(void **state)
{
	struct script_host *fixture = host_of(state);
	struct host_release release;
	fixture->local.host.keep = 2;
	host_release(&release, 'a')->release.files = NULL;
	assert_false(put(fixture, &release));
	assert_refused(fixture, ERR_NOT_FOUND, "is not on the host");
	put_well(fixture, 'a');
	put_well(fixture, 'b');
	assert_true(put(fixture, &release));
	host_assert_active(&fixture->local, 'a');
}

static void texts_reach_activate_and_files_as_they_are(void **state)
{
	static const char odd[] = "-a 'b' \"c\" $(touch x) `touch y` ;\n\\ * !";
	static const char name[] = "- $(touch z) 'q' * \\ x";
	struct script_host *fixture = host_of(state);
	struct host_release release;
	host_release(&release, 'a')->files[0].path = name;
	fixture->local.argv[2] =
		"printf %s \"$3\" > ../../notes; printf %s \"$AVIARY_STAGE\" > ../../stage";
	const char *argv[] = {"/bin/sh", "-c", fixture->local.argv[2], "0", "1", "2", odd, NULL};
	fixture->local.host.activate = argv;
	release.release.stage = odd;
	assert_true(put(fixture, &release));
	host_assert_text(&fixture->local, "notes", odd);
	host_assert_text(&fixture->local, "stage", odd);
	auto_free char *path = mem_printf("current/%s", name);
	host_assert_text(&fixture->local, path, "a");
	assert_false(
		host_has(&fixture->local, "current/x") || host_has(&fixture->local, "current/z"));
}

static void old_releases_go_but_not_those_to_keep(void **state)
{
	struct script_host *fixture = host_of(state);
	struct host_release kept, release;
	fixture->local.host.keep = 9;
	put_well(fixture, 'a');
	put_well(fixture, 'b');
	fixture->local.host.keep = 1;
	host_release(&kept, 'a');
	const char *keep[] = {kept.digest};
	put_task(fixture, host_release(&release, 'c'));
	fixture->task.keep = keep;
	fixture->task.keep_count = 1;
	assert_true(converse(fixture));
	assert_true(host_has(&fixture->local, "releases/aaaaaaaaaaaaaaaa"));
	assert_false(host_has(&fixture->local, "releases/bbbbbbbbbbbbbbbb"));
	assert_true(host_has(&fixture->local, "releases/cccccccccccccccc"));
}

static void a_command_runs_in_current(void **state)
{
	static const char *const argv[] = {
		"/bin/sh", "-c", "test \"$(cat version)\" = a; exit 4", NULL};
	struct script_host *fixture = host_of(state);
	fixture->task = (struct driver_task){.work = DRIVER_COMMAND,
		.host = &fixture->local.host,
		.argv = argv,
		.timeout_ms = LONG_MS};
	assert_false(converse(fixture));
	assert_refused(fixture, ERR_INVALID, "there is no");
	put_well(fixture, 'a');
	fixture->task = (struct driver_task){.work = DRIVER_COMMAND,
		.host = &fixture->local.host,
		.argv = argv,
		.timeout_ms = LONG_MS};
	assert_true(converse(fixture));
	assert_int_equal(fixture->task.status, 4);
}

static void a_step_runs_in_the_root_and_then_in_current(void **state)
{
	static const char *const argv[] = {"/bin/sh", "-c",
		"echo $AVIARY_STEP $AVIARY_BACKUP $AVIARY_ACTION $PWD > \"$0\"; exit 5",
		"../../said", NULL};
	struct script_host *fixture = host_of(state);
	struct host_release release;
	struct driver_step step = {
		.name = "backup", .argv = argv, .timeout_ms = LONG_MS, .backup = "b 1"};
	put_task(fixture, host_release(&release, 'a'));
	fixture->task.work = DRIVER_STEP;
	fixture->task.step = &step;
	const char *first[] = {"/bin/sh", "-c", "pwd > said", NULL};
	step.argv = first;
	assert_true(converse(fixture));
	auto_free char *root = mem_printf("%s\n", fixture->local.root);
	host_assert_text(&fixture->local, "said", root);
	put_well(fixture, 'a');
	put_task(fixture, &release);
	fixture->task.work = DRIVER_STEP;
	fixture->task.step = &step;
	step.argv = argv;
	assert_false(converse(fixture));
	assert_int_equal(fixture->task.run.touched, DRIVER_TOUCHED_FAILED);
	assert_string_equal(fixture->task.err.message, "backup ended with status 5");
	auto_free char *said = mem_printf("backup b 1 upgrade %s/current\n", fixture->local.root);
	host_assert_text(&fixture->local, "said", said);
	host_assert_active(&fixture->local, 'a');
	fixture->release.epoch = 6;
	assert_false(converse(fixture));
	assert_refused(fixture, ERR_REFUSED, "newer leader");
}

static void data_are_restored_before_activate(void **state)
{
	static const char *const argv[] = {
		"/bin/sh", "-c", "echo \"$AVIARY_STEP $AVIARY_BACKUP\" >> ../../notes", NULL};
	static const char *const fails[] = {"/bin/sh", "-c", "exit 9", NULL};
	struct script_host *fixture = host_of(state);
	struct host_release release;
	struct driver_step step = {
		.name = "restore", .argv = argv, .timeout_ms = LONG_MS, .backup = "b1"};
	host_release(&release, 'a')->release.restore = &step;
	fixture->local.argv[2] = "echo \"activate$AVIARY_STEP\" >> ../../notes";
	assert_true(put(fixture, &release));
	host_assert_text(&fixture->local, "notes", "restore b1\nactivate\n");
	step.argv = fails;
	assert_false(put(fixture, &release));
	assert_string_equal(fixture->task.err.message, "restore ended with status 9");
	assert_int_equal(fixture->task.run.touched, DRIVER_TOUCHED_FAILED);
	host_assert_text(&fixture->local, "notes", "restore b1\nactivate\n");
}

/* ---- what goes wrong ---- */

static void a_failed_activate_is_told_with_its_end(void **state)
{
	static const struct {
		const char *script, *what;
		enum error_code code;
	} cases[] = {
		{"exit 3", "ended with status 3", ERR_INVALID},
		{"kill -9 $$", "by signal 9", ERR_INVALID},
		{"sleep 600 & sleep 600", "did not end within 1s", ERR_TIMEOUT},
	};
	struct script_host *fixture = host_of(state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct host_release release;
		fixture->local.argv[2] = cases[i].script;
		fixture->local.host.activate_timeout_ms =
			cases[i].code == ERR_TIMEOUT ? 1000 : LONG_MS;
		assert_false(put(fixture, host_release(&release, 'a')));
		assert_int_equal(fixture->task.err.code, cases[i].code);
		assert_non_null(strstr(fixture->task.err.message, cases[i].what));
		assert_int_equal(fixture->task.run.touched, DRIVER_TOUCHED_FAILED);
		assert_true(host_ask(&fixture->local).activating);
		assert_false(host_has(&fixture->local, ".aviary/lock"));
	}
}

static void what_this_rollout_has_activated_is_not_activated_again(void **state)
{
	struct script_host *fixture = host_of(state);
	struct host_release release;
	put_well(fixture, 'a');
	host_release(&release, 'a')->release.epoch = 8;
	assert_true(put(fixture, &release));
	host_assert_text(&fixture->local, "notes", "aaaaaaaaaaaaaaaa\n");
	assert_int_equal(host_ask(&fixture->local).epoch, 8);
	release.release.rollout = "20261125-101542-9f2c41d";
	assert_true(put(fixture, &release));
	host_assert_text(&fixture->local, "notes", "aaaaaaaaaaaaaaaa\naaaaaaaaaaaaaaaa\n");
}

/* @return task->ok */
static bool fence(struct script_host *fixture, int64_t epoch)
{
	fixture->task = (struct driver_task){
		.work = DRIVER_ASK, .host = &fixture->local.host, .epoch = epoch};
	return converse(fixture);
}

static void a_leader_that_only_asks_fences_the_host(void **state)
{
	struct script_host *fixture = host_of(state);
	struct host_release release;
	assert_true(fence(fixture, 9));
	assert_false(fixture->task.fenced || host_has(&fixture->local, ".aviary"));
	put_well(fixture, 'a');
	assert_true(fence(fixture, 7));
	assert_false(fixture->task.fenced);
	assert_true(fence(fixture, 9));
	assert_true(fixture->task.fenced);
	assert_int_equal(fixture->task.state.epoch, 9);
	assert_false(put(fixture, host_release(&release, 'b')));
	assert_refused(fixture, ERR_REFUSED, "newer leader (epoch 9, ours is 7)");
	assert_false(fence(fixture, 8));
	assert_refused(fixture, ERR_REFUSED, "newer leader (epoch 9, ours is 8)");
	assert_true(fence(fixture, 9));
	assert_false(fixture->task.fenced);
	host_assert_active(&fixture->local, 'a');
	host_release(&release, 'b')->release.epoch = 9;
	assert_true(put(fixture, &release));
	host_assert_active(&fixture->local, 'b');
}

static void a_fence_that_does_not_read_stops_the_host(void **state)
{
	struct script_host *fixture = host_of(state);
	struct host_release release;
	put_well(fixture, 'a');
	write_file(fixture, ".aviary/epoch", "x; exit\n");
	assert_false(put(fixture, host_release(&release, 'b')));
	assert_refused(fixture, ERR_INVALID, "has no number in it");
	assert_false(fence(fixture, 9));
	assert_refused(fixture, ERR_INVALID, "has no number in it");
	host_assert_active(&fixture->local, 'a');
}

static void a_lower_epoch_is_refused(void **state)
{
	struct script_host *fixture = host_of(state);
	struct host_release release;
	put_well(fixture, 'a');
	host_release(&release, 'b')->release.epoch = 6;
	assert_false(put(fixture, &release));
	assert_refused(fixture, ERR_REFUSED, "newer leader (epoch 7, ours is 6)");
	host_assert_active(&fixture->local, 'a');
	assert_false(host_has(&fixture->local, "releases/bbbbbbbbbbbbbbbb"));
}

static void a_file_that_was_changed_on_the_host_is_found(void **state)
{
	struct script_host *fixture = host_of(state);
	struct host_release release;
	put_well(fixture, 'a');
	fixture->task = (struct driver_task){.work = DRIVER_COMPARE,
		.host = &fixture->local.host,
		.release = &host_release(&release, 'a')->release};
	assert_true(converse(fixture));
	assert_null(fixture->task.differs);
	write_file(fixture, "current/deep/er/file", "damaged");
	assert_true(converse(fixture));
	assert_string_equal(fixture->task.differs, "deep/er/file");
	auto_free char *path = host_path(&fixture->local, "current/version");
	assert_int_equal(unlink(path), 0);
	assert_true(converse(fixture));
	assert_string_equal(fixture->task.differs, "version");
	host_release(&release, 'b');
	assert_false(converse(fixture));
	assert_refused(fixture, ERR_NOT_FOUND, "is not on the host");
}

static void a_damaged_release_is_replaced_even_if_it_is_current(void **state)
{
	struct script_host *fixture = host_of(state);
	fixture->local.host.keep = 9;
	put_well(fixture, 'a');
	write_file(fixture, "releases/aaaaaaaaaaaaaaaa/version", "damaged");
	put_well(fixture, 'a');
	host_assert_active(&fixture->local, 'a');
	put_well(fixture, 'b');
	write_file(fixture, "releases/aaaaaaaaaaaaaaaa/version", "damaged");
	put_well(fixture, 'a');
	host_assert_active(&fixture->local, 'a');
}

static void what_a_killed_one_left_is_swept(void **state)
{
	struct script_host *fixture = host_of(state);
	struct error err;
	put_well(fixture, 'a');
	auto_free char *staged = host_path(&fixture->local, "releases/.new-1.1");
	assert_true(fs_make_folders(staged, 0700, &err));
	link_file(fixture, ".aviary/lock", "1.1-2.2@never");
	link_file(fixture, "current.new", "releases/none");
	put_well(fixture, 'b');
	host_assert_active(&fixture->local, 'b');
	assert_false(host_has(&fixture->local, "releases/.new-1.1"));
}

static void state_and_link_that_are_not_ours_are_refused(void **state)
{
	static const struct {
		const char *text, *what;
	} cases[] = {
		{"", "its state file"},
		{"epoch: x\n", "its state file"},
		{"\001\002\377 epoch\n", "its state file"},
		{"release: sha256:aa\nepoch: 99999999999999999999\n", "its state file"},
	};
	struct script_host *fixture = host_of(state);
	struct host_release release;
	put_well(fixture, 'a');
	auto_buf struct buf before = BUF_INIT(1000);
	host_read(&fixture->local, ".aviary/state", &before);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		write_file(fixture, ".aviary/state", cases[i].text);
		assert_false(put(fixture, host_release(&release, 'b')));
		assert_refused(fixture, ERR_INVALID, cases[i].what);
	}
	write_file(fixture, ".aviary/state", before.text);
	auto_free char *link = host_path(&fixture->local, "current");
	assert_int_equal(unlink(link), 0);
	write_file(fixture, "current", "a file");
	assert_false(put(fixture, host_release(&release, 'b')));
	assert_refused(fixture, ERR_INVALID, "'current' is not a symlink");
	assert_false(host_has(&fixture->local, "releases/bbbbbbbbbbbbbbbb"));
}

static void a_stream_that_is_cut_leaves_everything_as_it_was(void **state)
{
	struct script_host *fixture = host_of(state);
	struct host_release release;
	put_well(fixture, 'a');
	put_task(fixture, host_release(&release, 'b'));
	auto_buf struct buf command = BUF_INIT(1 << 20);
	auto_buf struct buf input = BUF_INIT(1 << 20);
	script_input(&fixture->task, &command, &input);
	for (size_t len = 0; len < input.len; len += 1 + len / 8) {
		auto_buf struct buf part = BUF_INIT(1 << 20);
		auto_buf struct buf output = BUF_INIT(1 << 20);
		buf_add(&part, input.text, len);
		run_shell(fixture, &command, &part, &output);
		/* the end of an archive may be missing: its files are compared */
		if (host_has(&fixture->local, "releases/bbbbbbbbbbbbbbbb"))
			break;
		host_assert_active(&fixture->local, 'a');
	}
	put_well(fixture, 'b');
	host_assert_active(&fixture->local, 'b');
	auto_buf struct buf output = BUF_INIT(1 << 20);
	host_assert_text(&fixture->local, "current/version", "b");
}

#define SHELL_TESTS(shell)                                                                         \
	const struct CMUnitTest tests_of_##shell[] = {                                             \
		TEST(shell, a_release_is_delivered_and_activated),                                 \
		TEST(shell, a_host_says_what_it_runs),                                             \
		TEST(shell, a_release_without_files_must_be_there),                                \
		TEST(shell, texts_reach_activate_and_files_as_they_are),                           \
		TEST(shell, old_releases_go_but_not_those_to_keep),                                \
		TEST(shell, a_command_runs_in_current),                                            \
		TEST(shell, a_step_runs_in_the_root_and_then_in_current),                          \
		TEST(shell, data_are_restored_before_activate),                                    \
		TEST(shell, a_failed_activate_is_told_with_its_end),                               \
		TEST(shell, what_this_rollout_has_activated_is_not_activated_again),               \
		TEST(shell, a_leader_that_only_asks_fences_the_host),                              \
		TEST(shell, a_fence_that_does_not_read_stops_the_host),                            \
		TEST(shell, a_file_that_was_changed_on_the_host_is_found),                         \
		TEST(shell, a_lower_epoch_is_refused),                                             \
		TEST(shell, a_damaged_release_is_replaced_even_if_it_is_current),                  \
		TEST(shell, what_a_killed_one_left_is_swept),                                      \
		TEST(shell, state_and_link_that_are_not_ours_are_refused),                         \
		TEST(shell, a_stream_that_is_cut_leaves_everything_as_it_was),                     \
	}
#define TEST(shell, name)                                                                          \
	{                                                                                          \
#name "_under_" #shell, name, setup_##shell, script_teardown, NULL                 \
	}

int main(void)
{
	SHELL_TESTS(dash);
	SHELL_TESTS(bash);
	SHELL_TESTS(busybox);
	int failed = cmocka_run_group_tests(tests_of_dash, NULL, NULL);
	failed += cmocka_run_group_tests(tests_of_bash, NULL, NULL);
	return failed + cmocka_run_group_tests(tests_of_busybox, NULL, NULL);
}
