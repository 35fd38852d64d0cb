#include "base/clock.h"
#include "tests/lib/local_host.h"
#include <fcntl.h>
#include <sys/stat.h>

/* ---- ordinary days -------------------------------------------------------------------------- */

static void a_host_without_a_root_has_no_state(void **state)
{
	struct local_host *fixture = *state;
	struct error err;
	bool has = true;
	struct host_release release;
	auto_free char *root = host_path(fixture, "not/yet");
	fixture->host.root = root;
	struct driver_state seen = host_ask(fixture);
	assert_false(seen.found || seen.locked);
	assert_string_equal(seen.current, "");
	host_release(&release, 'a');
	assert_true(driver_local.has_release(&fixture->host, release.digest, &has, &err));
	assert_false(has);
	assert_true(driver_local.prune(&fixture->host, NULL, 0, &err));
	assert_false(host_has(fixture, "not"));
}

static void the_first_release_makes_the_host(void **state)
{
	struct local_host *fixture = *state;
	struct stat st;
	auto_free char *root = host_path(fixture, "some/where");
	fixture->host.root = root;
	host_activate_well(fixture, 'a');
	struct driver_state seen = host_ask(fixture);
	assert_true(seen.found && !seen.activating && !seen.locked);
	assert_int_equal(seen.epoch, 7);
	assert_string_equal(seen.rollout, "20261124-101542-9f2c41d");
	assert_int_equal(strlen(seen.commit), 40);
	int64_t updated = 0;
	assert_true(clock_parse(seen.updated, &updated));
	assert_true(host_has(fixture, "some/where/releases/aaaaaaaaaaaaaaaa/version"));
	auto_free char *own = host_path(fixture, "some/where/.aviary");
	assert_int_equal(stat(own, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void an_upgrade_and_the_way_back(void **state)
{
	struct local_host *fixture = *state;
	struct host_release back;
	struct error err;
	host_activate_well(fixture, 'a');
	host_assert_active(fixture, 'a');
	host_activate_well(fixture, 'b');
	host_assert_active(fixture, 'b');
	host_release(&back, 'a')->release.files = NULL; /* it is on the host */
	assert_true(host_activate(fixture, &back, NULL, &err));
	host_assert_active(fixture, 'a');
	host_assert_text(
		fixture, "notes", "aaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbb\naaaaaaaaaaaaaaaa\n");
}

static void the_same_again_is_harmless(void **state)
{
	struct local_host *fixture = *state;
	struct stat before, after;
	auto_free char *file = host_path(fixture, "current/version");
	host_activate_well(fixture, 'a');
	assert_int_equal(stat(file, &before), 0);
	host_put(fixture, "current/made-by-activate");
	host_activate_well(fixture, 'a');
	host_assert_active(fixture, 'a');
	assert_int_equal(stat(file, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_true(host_has(fixture, "current/made-by-activate"));
}

static void modes_are_those_of_the_release(void **state)
{
	struct local_host *fixture = *state;
	static const struct {
		const char *name;
		unsigned mode;
	} cases[] = {{"current/version", 0644}, {"current/deep/er/file", 0600},
		{"current/deep/run", 0755}, {"current/", 0755}, {"current/deep/er", 0755}};
	mode_t old = umask(077);
	host_activate_well(fixture, 'a');
	(void)umask(old); /* returns the mask set above */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct stat st;
		auto_free char *path = host_path(fixture, cases[i].name);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, cases[i].mode);
	}
}

struct heard {
	char text[4096];
	size_t len;
};

static void hear(void *data, const char *bytes, size_t len)
{
	struct heard *heard = data;
	assert_true(heard->len + len < sizeof(heard->text));
	memcpy(heard->text + heard->len, bytes, len);
	heard->len += len;
}

static void activate_learns_what_it_is_for_and_nothing_else(void **state)
{
	struct local_host *fixture = *state;
	static const char *const argv[] = {"env", NULL};
	static const char *const expected[] = {"AVIARY_CLIENT=alpha\n", "AVIARY_STAGE=canary\n",
		"AVIARY_ACTION=upgrade\n", "AVIARY_ROLLOUT=20261124-101542-9f2c41d\n",
		"AVIARY_COMMIT=9f2c41d9f2c41d9f2c41d9f2c41d9f2c41d9f2c41\n",
		"AVIARY_RELEASE=sha256:aaaa", "PATH=", "HOME=", "LANG="};
	struct heard heard = {0};
	struct driver_run run = {.cancel_fd = -1, .output = hear, .output_data = &heard};
	struct host_release release;
	struct error err;
	fixture->host.activate = argv;
	host_release(&release, 'a');
	assert_int_equal(setenv("SOPS_AGE_KEY", "hidden", 1), 0);
	assert_true(driver_local.activate(&fixture->host, &release.release, &run, &err));
	assert_int_equal(unsetenv("SOPS_AGE_KEY"), 0);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_non_null(strstr(heard.text, expected[i]));
	assert_null(strstr(heard.text, "hidden"));
}

static void a_host_without_activate_only_gets_the_files(void **state)
{
	struct local_host *fixture = *state;
	fixture->host.activate = NULL;
	host_activate_well(fixture, 'a');
	host_assert_active(fixture, 'a');
}

/* ---- failures ------------------------------------------------------------------------------- */

static void assert_failed_activation(struct local_host *fixture, enum error_code code)
{
	struct host_release release;
	struct error err;
	enum driver_touched touched = DRIVER_TOUCHED_NOTHING;
	assert_false(host_activate(fixture, host_release(&release, 'b'), &touched, &err));
	assert_int_equal(err.code, code);
	assert_int_equal(touched, DRIVER_TOUCHED_FAILED);
	struct driver_state seen = host_ask(fixture);
	assert_true(seen.activating);
	assert_false(seen.locked);
	assert_string_equal(seen.release, release.digest);
	host_assert_current(fixture, 'b');
}

static void a_failing_activate_stays_current_until_rolled_back(void **state)
{
	struct local_host *fixture = *state;
	const char *good = fixture->argv[2];
	host_activate_well(fixture, 'a');
	fixture->argv[2] = "exit 3";
	assert_failed_activation(fixture, ERR_INVALID);
	fixture->argv[2] = good;
	host_activate_well(fixture, 'a');
	host_assert_active(fixture, 'a');
}

static void a_missing_program_is_a_failed_activation(void **state)
{
	struct local_host *fixture = *state;
	host_activate_well(fixture, 'a');
	fixture->argv[0] = "./no-such-program";
	assert_failed_activation(fixture, ERR_INVALID);
}

static void a_late_activate_is_ended(void **state)
{
	struct local_host *fixture = *state;
	host_activate_well(fixture, 'a');
	fixture->argv[2] = "sleep 1000";
	fixture->host.activate_timeout_ms = 100;
	assert_failed_activation(fixture, ERR_TIMEOUT);
}

static void cancelling_before_the_switch_touches_nothing(void **state)
{
	struct local_host *fixture = *state;
	struct host_release release;
	struct error err;
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct driver_run run = {.cancel_fd = ends[0]};
	host_release(&release, 'a');
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_false(driver_local.activate(&fixture->host, &release.release, &run, &err));
	assert_int_equal(err.code, ERR_STOPPED);
	assert_int_equal(run.touched, DRIVER_TOUCHED_NOTHING); /* it came before the switch */
	assert_false(host_ask(fixture).found);
	assert_int_equal(close(ends[0]) | close(ends[1]), 0);
}

static void ask_to_cancel(void *data, const char *bytes, size_t len)
{
	(void)bytes;
	(void)len;
	assert_int_equal(write(*(int *)data, "x", 1), 1);
}

static void cancelling_a_running_activate_leaves_the_outcome_open(void **state)
{
	struct local_host *fixture = *state;
	struct host_release release;
	struct error err;
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct driver_run run = {
		.cancel_fd = ends[0], .output = ask_to_cancel, .output_data = &ends[1]};
	fixture->argv[2] = "echo running; sleep 1000";
	host_release(&release, 'a');
	assert_false(driver_local.activate(&fixture->host, &release.release, &run, &err));
	assert_int_equal(err.code, ERR_STOPPED);
	assert_int_equal(run.touched, DRIVER_TOUCHED_UNKNOWN);
	assert_true(host_ask(fixture).activating);
	assert_int_equal(close(ends[0]) | close(ends[1]), 0);
}

static void assert_refused(struct local_host *fixture, const struct host_release *release,
	enum error_code code, const char *part)
{
	struct error err;
	enum driver_touched touched = DRIVER_TOUCHED_UNKNOWN;
	assert_false(host_activate(fixture, release, &touched, &err));
	assert_int_equal(err.code, code);
	assert_int_equal(touched, DRIVER_TOUCHED_NOTHING);
	if (!strstr(err.message, part))
		fail_msg("'%s' lacks '%s'", err.message, part);
}

static void a_lower_epoch_is_refused(void **state)
{
	struct local_host *fixture = *state;
	struct host_release release;
	host_activate_well(fixture, 'a');
	host_release(&release, 'b')->release.epoch = 6;
	assert_refused(fixture, &release, ERR_REFUSED, "epoch 7");
	host_assert_active(fixture, 'a');
	release.release.epoch = 8;
	assert_true(host_activate(fixture, &release, NULL, &(struct error){0}));
	assert_int_equal(host_ask(fixture).epoch, 8);
}

/* A new leader that only asks what runs keeps the old one out all the same. */
static void a_fence_keeps_lower_epochs_out(void **state)
{
	struct local_host *fixture = *state;
	struct host_release release;
	struct error err = {0};
	bool fenced = false;
	assert_true(driver_local.fence(&fixture->host, 9, &fenced, &err) && fenced);
	host_activate_well(fixture, 'a'); /* a host without folders refused nobody */
	assert_true(driver_local.fence(&fixture->host, 7, &fenced, &err) && fenced);
	assert_true(driver_local.fence(&fixture->host, 9, &fenced, &err) && fenced);
	assert_int_equal(host_ask(fixture).epoch, 9);
	host_assert_active(fixture, 'a');
	host_release(&release, 'b')->release.epoch = 8;
	assert_refused(fixture, &release, ERR_REFUSED, "epoch 9");
	assert_false(driver_local.fence(&fixture->host, 8, &fenced, &err));
	assert_int_equal(err.code, ERR_REFUSED);
}

static void files_that_leave_the_release_are_refused(void **state)
{
	struct local_host *fixture = *state;
	static const struct {
		const char *path;
		unsigned mode;
	} cases[] = {{"../x", 0600}, {"/etc/x", 0600}, {"a/../../x", 0600}, {"", 0600},
		{"a//b", 0600}, {"a\nb", 0600}, {"x", 04755}, {"x", 01644}, {"x", 0}, {"x", 0200},
		{"version", 0644}, {"version/x", 0644}, {"deep", 0644}};
	host_activate_well(fixture, 'a');
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct host_release release;
		host_release(&release, 'b');
		release.files[1].path = cases[i].path;
		release.files[1].mode = cases[i].mode;
		assert_refused(fixture, &release, ERR_INVALID, "file");
	}
	host_assert_active(fixture, 'a');
	assert_false(host_has(fixture, "releases/bbbbbbbbbbbbbbbb"));
}

static void digests_and_roots_that_are_none_are_refused(void **state)
{
	struct local_host *fixture = *state;
	static const char *const digests[] = {"", "sha256:", "md5:aaaa", "sha256:../../../etc"};
	struct host_release release;
	host_release(&release, 'a');
	for (size_t i = 0; i < ARRAY_LEN(digests); i++) {
		release.release.digest = digests[i];
		assert_refused(fixture, &release, ERR_INVALID, "digest");
	}
	host_release(&release, 'a');
	fixture->host.root = "relative";
	assert_refused(fixture, &release, ERR_INVALID, "absolute");
	fixture->host.root = "/";
	assert_refused(fixture, &release, ERR_INVALID, "absolute");
}

static void a_release_that_is_not_on_the_host_needs_its_files(void **state)
{
	struct local_host *fixture = *state;
	struct host_release release;
	host_release(&release, 'a')->release.files = NULL;
	assert_refused(fixture, &release, ERR_NOT_FOUND, "aaaaaaaaaaaaaaaa");
	assert_false(host_ask(fixture).found);
}

static void a_root_that_is_no_folder_is_unreachable(void **state)
{
	struct local_host *fixture = *state;
	struct host_release release;
	struct driver_state seen;
	struct error err;
	auto_free char *file = host_path(fixture, "file");
	auto_free char *below = host_path(fixture, "file/below");
	const char *const roots[] = {file, below};
	host_put(fixture, "file");
	host_release(&release, 'a');
	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		fixture->host.root = roots[i];
		assert_refused(fixture, &release, ERR_UNREACHABLE, "alpha");
		assert_false(driver_local.ask(&fixture->host, &seen, &err));
		assert_int_equal(err.code, ERR_UNREACHABLE);
	}
}

static void a_state_file_that_does_not_read_is_told_with_its_place(void **state)
{
	struct local_host *fixture = *state;
	static const char *const texts[] = {"", "release: x\n", "nonsense",
		"release: sha256:"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\ncommit: "
		"x\nrollout: x\nepoch: -1\nphase: active\nupdated: x\n"};
	auto_free char *path = host_path(fixture, ".aviary/state");
	host_activate_well(fixture, 'a');
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct driver_state seen;
		struct error err;
		assert_true(fs_write(path, texts[i], strlen(texts[i]), 0600, &err));
		assert_false(driver_local.ask(&fixture->host, &seen, &err));
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.where, path);
	}
}

static void a_folder_in_place_of_current_is_left_alone(void **state)
{
	struct local_host *fixture = *state;
	struct host_release release;
	struct error err;
	auto_free char *path = host_path(fixture, "current");
	assert_true(fs_make_folders(path, 0755, &err));
	assert_refused(fixture, host_release(&release, 'a'), ERR_INVALID, "symlink");
	assert_true(host_has(fixture, "current"));
}

static void a_release_that_was_changed_on_the_host_is_replaced(void **state)
{
	struct local_host *fixture = *state;
	struct error err;
	auto_free char *file = host_path(fixture, "current/version");
	auto_free char *link = host_path(fixture, "releases/aaaaaaaaaaaaaaaa/deep/er/file");
	host_activate_well(fixture, 'a');
	assert_true(fs_write(file, "z", 1, 0644, &err));
	host_activate_well(fixture, 'a');
	host_assert_active(fixture, 'a');
	host_activate_well(fixture, 'b');
	assert_int_equal(unlink(link), 0);
	assert_int_equal(symlink("/etc/passwd", link), 0);
	host_activate_well(fixture, 'a');
	host_assert_active(fixture, 'a');
}

/* ---- pruning -------------------------------------------------------------------------------- */

static void pruning_keeps_the_newest_the_current_and_the_listed(void **state)
{
	struct local_host *fixture = *state;
	struct host_release known_good;
	struct error err;
	for (const char *digit = "abcdeb"; *digit; digit++)
		host_activate_well(fixture, *digit);
	host_put(fixture, "releases/of-somebody-else");
	host_release(&known_good, 'a');
	const char *const list[] = {known_good.digest};
	fixture->host.keep = 2; /* b, which is current, and e */
	assert_true(driver_local.prune(&fixture->host, list, 1, &err));
	assert_true(host_has(fixture, "releases/aaaaaaaaaaaaaaaa/version"));
	assert_true(host_has(fixture, "releases/bbbbbbbbbbbbbbbb/version"));
	assert_false(host_has(fixture, "releases/cccccccccccccccc"));
	assert_false(host_has(fixture, "releases/dddddddddddddddd"));
	assert_true(host_has(fixture, "releases/eeeeeeeeeeeeeeee/version"));
	assert_true(host_has(fixture, "releases/of-somebody-else"));
	fixture->host.keep = 0;
	assert_true(driver_local.prune(&fixture->host, NULL, 0, &err));
	assert_false(host_has(fixture, "releases/eeeeeeeeeeeeeeee"));
	host_assert_active(fixture, 'b');
}

static void drivers_are_found_by_name(void **state)
{
	(void)state;
	assert_ptr_equal(driver_find("local"), &driver_local);
	assert_ptr_equal(driver_find("ssh"), &driver_ssh);
	assert_string_equal(driver_names()[0], "local");
	assert_string_equal(driver_names()[1], "ssh");
	assert_null(driver_names()[2]);
	assert_null(driver_find("magic"));
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, host_setup, host_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_host_without_a_root_has_no_state),
		CASE(the_first_release_makes_the_host),
		CASE(an_upgrade_and_the_way_back),
		CASE(the_same_again_is_harmless),
		CASE(modes_are_those_of_the_release),
		CASE(activate_learns_what_it_is_for_and_nothing_else),
		CASE(a_host_without_activate_only_gets_the_files),
		CASE(a_failing_activate_stays_current_until_rolled_back),
		CASE(a_missing_program_is_a_failed_activation),
		CASE(a_late_activate_is_ended),
		CASE(cancelling_before_the_switch_touches_nothing),
		CASE(cancelling_a_running_activate_leaves_the_outcome_open),
		CASE(a_lower_epoch_is_refused),
		CASE(a_fence_keeps_lower_epochs_out),
		CASE(files_that_leave_the_release_are_refused),
		CASE(digests_and_roots_that_are_none_are_refused),
		CASE(a_release_that_is_not_on_the_host_needs_its_files),
		CASE(a_root_that_is_no_folder_is_unreachable),
		CASE(a_state_file_that_does_not_read_is_told_with_its_place),
		CASE(a_folder_in_place_of_current_is_left_alone),
		CASE(a_release_that_was_changed_on_the_host_is_replaced),
		CASE(pruning_keeps_the_newest_the_current_and_the_listed),
		CASE(drivers_are_found_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
