#include "base/clock.h"
#include "base/fs.h"
#include "reconcile/drivers/driver.h"
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Longer than any test may take. */
#define LONG_MS 120000

/* Says what it was started for, into a file of the host that outlives releases. */
#define NOTE "echo \"$AVIARY_RELEASE\" | cut -c 8-23 >> ../../notes; "

/* A host in a folder of its own; releases are named by one hex digit. */
struct fixture {
	char *root;
	struct driver_host host;
	const char *argv[4];
};

static int setup(void **state)
{
	struct error err;
	char *scratch = NULL;
	struct fixture *fixture = mem_zero(1, sizeof(*fixture));
	if (!fs_scratch(NULL, "test-driver", &scratch, &err))
		return -1;
	fixture->root = scratch;
	fixture->argv[0] = "/bin/sh";
	fixture->argv[1] = "-c";
	fixture->argv[2] = NOTE "cat version; cat deep/er/file > /dev/null";
	fixture->host = (struct driver_host){.client = "alpha",
		.root = scratch,
		.activate = fixture->argv,
		.activate_timeout_ms = LONG_MS,
		.keep = 1};
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct error err;
	struct fixture *fixture = *state;
	(void)unsetenv("AVIARY_FAULT"); /* a failed test may have left it */
	bool good = fs_remove_tree(fixture->root, &err);
	free(fixture->root);
	free(fixture);
	return good ? 0 : -1;
}

/* Every test releases three files; their content tells the release. */
struct release {
	struct driver_release release;
	struct driver_file files[3];
	char digest[DRIVER_DIGEST];
	char text[2];
};

static struct release *make_release(struct release *made, char digit)
{
	memcpy(made->digest, "sha256:", 8);
	memset(made->digest + 7, digit, 64);
	made->digest[71] = '\0';
	made->text[0] = digit;
	made->text[1] = '\0';
	made->files[0] = (struct driver_file){"version", 0644, made->text, 1};
	made->files[1] = (struct driver_file){"deep/er/file", 0600, "secret", 6};
	made->files[2] = (struct driver_file){"deep/run", 0755, "#!/bin/sh\n", 10};
	made->release = (struct driver_release){.digest = made->digest,
		.files = made->files,
		.count = 3,
		.commit = "9f2c41d9f2c41d9f2c41d9f2c41d9f2c41d9f2c41",
		.rollout = "20261124-101542-9f2c41d",
		.stage = "canary",
		.action = "upgrade",
		.epoch = 7};
	return made;
}

static bool activate(struct fixture *fixture, const struct release *release,
	enum driver_touched *touched, struct error *err)
{
	struct driver_run run = DRIVER_RUN_INIT;
	bool good = driver_local.activate(&fixture->host, &release->release, &run, err);
	if (touched)
		*touched = run.touched;
	return good;
}

static void activate_well(struct fixture *fixture, char digit)
{
	struct release release;
	struct error err;
	if (!activate(fixture, make_release(&release, digit), NULL, &err))
		fail_msg("%s", err.message);
}

static struct driver_state ask(struct fixture *fixture)
{
	struct driver_state state = {0};
	struct error err;
	if (!driver_local.ask(&fixture->host, &state, &err))
		fail_msg("%s", err.message);
	return state;
}

static char *in(struct fixture *fixture, const char *name)
{
	return mem_printf("%s/%s", fixture->root, name);
}

static void read_text(struct fixture *fixture, const char *name, struct buf *out)
{
	struct error err;
	auto_free char *path = in(fixture, name);
	if (!fs_read(path, 10000, out, &err))
		fail_msg("%s", err.message);
}

static void assert_text(struct fixture *fixture, const char *name, const char *text)
{
	auto_buf struct buf got = BUF_INIT(10000);
	read_text(fixture, name, &got);
	assert_string_equal(got.text, text);
}

static bool exists(struct fixture *fixture, const char *name)
{
	auto_free char *path = in(fixture, name);
	return access(path, F_OK) == 0;
}

static void put(struct fixture *fixture, const char *name)
{
	struct error err;
	auto_free char *path = in(fixture, name);
	assert_true(fs_write(path, "", 0, 0600, &err));
}

/* current is the release of this digit, with every file */
static void assert_current(struct fixture *fixture, char digit)
{
	struct release release;
	char text[2] = {digit, '\0'};
	struct driver_state state = ask(fixture);
	assert_true(driver_same_release(state.current, make_release(&release, digit)->digest));
	assert_text(fixture, "current/version", text);
	assert_text(fixture, "current/deep/er/file", "secret");
	assert_text(fixture, "current/deep/run", "#!/bin/sh\n");
}

static void assert_active(struct fixture *fixture, char digit)
{
	struct release release;
	struct driver_state state = ask(fixture);
	assert_current(fixture, digit);
	assert_string_equal(state.release, make_release(&release, digit)->digest);
	assert_string_equal(state.current, state.release);
	assert_true(state.found && !state.activating && !state.locked);
}

/* Files of a wait have come: no sleep decides, a hang is the failure. */
static void wait_for(struct fixture *fixture, const char *name)
{
	while (!exists(fixture, name))
		assert_int_equal(usleep(2000), 0);
}

/* ---- ordinary days -------------------------------------------------------------------------- */

static void a_host_without_a_root_has_no_state(void **state)
{
	struct fixture *fixture = *state;
	struct error err;
	bool has = true;
	struct release release;
	auto_free char *root = in(fixture, "not/yet");
	fixture->host.root = root;
	struct driver_state seen = ask(fixture);
	assert_false(seen.found || seen.locked);
	assert_string_equal(seen.current, "");
	make_release(&release, 'a');
	assert_true(driver_local.has_release(&fixture->host, release.digest, &has, &err));
	assert_false(has);
	assert_true(driver_local.prune(&fixture->host, NULL, 0, &err));
	assert_false(exists(fixture, "not"));
}

static void the_first_release_makes_the_host(void **state)
{
	struct fixture *fixture = *state;
	struct stat st;
	auto_free char *root = in(fixture, "some/where");
	fixture->host.root = root;
	activate_well(fixture, 'a');
	struct driver_state seen = ask(fixture);
	assert_true(seen.found && !seen.activating && !seen.locked);
	assert_int_equal(seen.epoch, 7);
	assert_string_equal(seen.rollout, "20261124-101542-9f2c41d");
	assert_int_equal(strlen(seen.commit), 40);
	int64_t updated = 0;
	assert_true(clock_parse(seen.updated, &updated));
	assert_true(exists(fixture, "some/where/releases/aaaaaaaaaaaaaaaa/version"));
	auto_free char *own = in(fixture, "some/where/.aviary");
	assert_int_equal(stat(own, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void an_upgrade_and_the_way_back(void **state)
{
	struct fixture *fixture = *state;
	struct release back;
	struct error err;
	activate_well(fixture, 'a');
	assert_active(fixture, 'a');
	activate_well(fixture, 'b');
	assert_active(fixture, 'b');
	make_release(&back, 'a')->release.files = NULL; /* it is on the host */
	assert_true(activate(fixture, &back, NULL, &err));
	assert_active(fixture, 'a');
	assert_text(fixture, "notes", "aaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbb\naaaaaaaaaaaaaaaa\n");
}

static void the_same_again_is_harmless(void **state)
{
	struct fixture *fixture = *state;
	struct stat before, after;
	auto_free char *file = in(fixture, "current/version");
	activate_well(fixture, 'a');
	assert_int_equal(stat(file, &before), 0);
	put(fixture, "current/made-by-activate");
	activate_well(fixture, 'a');
	assert_active(fixture, 'a');
	assert_int_equal(stat(file, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_true(exists(fixture, "current/made-by-activate"));
}

static void modes_are_those_of_the_release(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		const char *name;
		unsigned mode;
	} cases[] = {{"current/version", 0644}, {"current/deep/er/file", 0600},
		{"current/deep/run", 0755}, {"current/", 0755}, {"current/deep/er", 0755}};
	mode_t old = umask(077);
	activate_well(fixture, 'a');
	(void)umask(old); /* returns the mask set above */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct stat st;
		auto_free char *path = in(fixture, cases[i].name);
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
	struct fixture *fixture = *state;
	static const char *const argv[] = {"env", NULL};
	static const char *const expected[] = {"AVIARY_CLIENT=alpha\n", "AVIARY_STAGE=canary\n",
		"AVIARY_ACTION=upgrade\n", "AVIARY_ROLLOUT=20261124-101542-9f2c41d\n",
		"AVIARY_COMMIT=9f2c41d9f2c41d9f2c41d9f2c41d9f2c41d9f2c41\n",
		"AVIARY_RELEASE=sha256:aaaa", "PATH=", "HOME=", "LANG="};
	struct heard heard = {0};
	struct driver_run run = {.cancel_fd = -1, .output = hear, .output_data = &heard};
	struct release release;
	struct error err;
	fixture->host.activate = argv;
	make_release(&release, 'a');
	assert_int_equal(setenv("SOPS_AGE_KEY", "hidden", 1), 0);
	assert_true(driver_local.activate(&fixture->host, &release.release, &run, &err));
	assert_int_equal(unsetenv("SOPS_AGE_KEY"), 0);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_non_null(strstr(heard.text, expected[i]));
	assert_null(strstr(heard.text, "hidden"));
}

static void a_host_without_activate_only_gets_the_files(void **state)
{
	struct fixture *fixture = *state;
	fixture->host.activate = NULL;
	activate_well(fixture, 'a');
	assert_active(fixture, 'a');
}

/* ---- failures ------------------------------------------------------------------------------- */

static void assert_failed_activation(struct fixture *fixture, enum error_code code)
{
	struct release release;
	struct error err;
	enum driver_touched touched = DRIVER_TOUCHED_NOTHING;
	assert_false(activate(fixture, make_release(&release, 'b'), &touched, &err));
	assert_int_equal(err.code, code);
	assert_int_equal(touched, DRIVER_TOUCHED_FAILED);
	struct driver_state seen = ask(fixture);
	assert_true(seen.activating);
	assert_false(seen.locked);
	assert_string_equal(seen.release, release.digest);
	assert_current(fixture, 'b');
}

static void a_failing_activate_stays_current_until_rolled_back(void **state)
{
	struct fixture *fixture = *state;
	const char *good = fixture->argv[2];
	activate_well(fixture, 'a');
	fixture->argv[2] = "exit 3";
	assert_failed_activation(fixture, ERR_INVALID);
	fixture->argv[2] = good;
	activate_well(fixture, 'a');
	assert_active(fixture, 'a');
}

static void a_missing_program_is_a_failed_activation(void **state)
{
	struct fixture *fixture = *state;
	activate_well(fixture, 'a');
	fixture->argv[0] = "./no-such-program";
	assert_failed_activation(fixture, ERR_INVALID);
}

static void a_late_activate_is_ended(void **state)
{
	struct fixture *fixture = *state;
	activate_well(fixture, 'a');
	fixture->argv[2] = "sleep 1000";
	fixture->host.activate_timeout_ms = 100;
	assert_failed_activation(fixture, ERR_TIMEOUT);
}

static void cancelling_before_the_switch_touches_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct release release;
	struct error err;
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct driver_run run = {.cancel_fd = ends[0]};
	make_release(&release, 'a');
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_false(driver_local.activate(&fixture->host, &release.release, &run, &err));
	assert_int_equal(err.code, ERR_STOPPED);
	assert_int_equal(run.touched, DRIVER_TOUCHED_NOTHING); /* it came before the switch */
	assert_false(ask(fixture).found);
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
	struct fixture *fixture = *state;
	struct release release;
	struct error err;
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct driver_run run = {
		.cancel_fd = ends[0], .output = ask_to_cancel, .output_data = &ends[1]};
	fixture->argv[2] = "echo running; sleep 1000";
	make_release(&release, 'a');
	assert_false(driver_local.activate(&fixture->host, &release.release, &run, &err));
	assert_int_equal(err.code, ERR_STOPPED);
	assert_int_equal(run.touched, DRIVER_TOUCHED_UNKNOWN);
	assert_true(ask(fixture).activating);
	assert_int_equal(close(ends[0]) | close(ends[1]), 0);
}

static void assert_refused(struct fixture *fixture, const struct release *release,
	enum error_code code, const char *part)
{
	struct error err;
	enum driver_touched touched = DRIVER_TOUCHED_UNKNOWN;
	assert_false(activate(fixture, release, &touched, &err));
	assert_int_equal(err.code, code);
	assert_int_equal(touched, DRIVER_TOUCHED_NOTHING);
	if (!strstr(err.message, part))
		fail_msg("'%s' lacks '%s'", err.message, part);
}

static void a_lower_epoch_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct release release;
	activate_well(fixture, 'a');
	make_release(&release, 'b')->release.epoch = 6;
	assert_refused(fixture, &release, ERR_REFUSED, "epoch 7");
	assert_active(fixture, 'a');
	release.release.epoch = 8;
	assert_true(activate(fixture, &release, NULL, &(struct error){0}));
	assert_int_equal(ask(fixture).epoch, 8);
}

static void files_that_leave_the_release_are_refused(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		const char *path;
		unsigned mode;
	} cases[] = {{"../x", 0600}, {"/etc/x", 0600}, {"a/../../x", 0600}, {"", 0600},
		{"a//b", 0600}, {"a\nb", 0600}, {"x", 04755}, {"x", 01644}, {"x", 0}, {"x", 0200},
		{"version", 0644}, {"version/x", 0644}, {"deep", 0644}};
	activate_well(fixture, 'a');
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct release release;
		make_release(&release, 'b');
		release.files[1].path = cases[i].path;
		release.files[1].mode = cases[i].mode;
		assert_refused(fixture, &release, ERR_INVALID, "file");
	}
	assert_active(fixture, 'a');
	assert_false(exists(fixture, "releases/bbbbbbbbbbbbbbbb"));
}

static void digests_and_roots_that_are_none_are_refused(void **state)
{
	struct fixture *fixture = *state;
	static const char *const digests[] = {"", "sha256:", "md5:aaaa", "sha256:../../../etc"};
	struct release release;
	make_release(&release, 'a');
	for (size_t i = 0; i < ARRAY_LEN(digests); i++) {
		release.release.digest = digests[i];
		assert_refused(fixture, &release, ERR_INVALID, "digest");
	}
	make_release(&release, 'a');
	fixture->host.root = "relative";
	assert_refused(fixture, &release, ERR_INVALID, "absolute");
	fixture->host.root = "/";
	assert_refused(fixture, &release, ERR_INVALID, "absolute");
}

static void a_release_that_is_not_on_the_host_needs_its_files(void **state)
{
	struct fixture *fixture = *state;
	struct release release;
	make_release(&release, 'a')->release.files = NULL;
	assert_refused(fixture, &release, ERR_NOT_FOUND, "aaaaaaaaaaaaaaaa");
	assert_false(ask(fixture).found);
}

static void a_root_that_is_no_folder_is_unreachable(void **state)
{
	struct fixture *fixture = *state;
	struct release release;
	struct driver_state seen;
	struct error err;
	auto_free char *file = in(fixture, "file");
	auto_free char *below = in(fixture, "file/below");
	const char *const roots[] = {file, below};
	put(fixture, "file");
	make_release(&release, 'a');
	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		fixture->host.root = roots[i];
		assert_refused(fixture, &release, ERR_UNREACHABLE, "alpha");
		assert_false(driver_local.ask(&fixture->host, &seen, &err));
		assert_int_equal(err.code, ERR_UNREACHABLE);
	}
}

static void a_state_file_that_does_not_read_is_told_with_its_place(void **state)
{
	struct fixture *fixture = *state;
	static const char *const texts[] = {"", "release: x\n", "nonsense",
		"release: sha256:"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\ncommit: "
		"x\nrollout: x\nepoch: -1\nphase: active\nupdated: x\n"};
	auto_free char *path = in(fixture, ".aviary/state");
	activate_well(fixture, 'a');
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
	struct fixture *fixture = *state;
	struct release release;
	struct error err;
	auto_free char *path = in(fixture, "current");
	assert_true(fs_make_folders(path, 0755, &err));
	assert_refused(fixture, make_release(&release, 'a'), ERR_INVALID, "symlink");
	assert_true(exists(fixture, "current"));
}

static void a_release_that_was_changed_on_the_host_is_replaced(void **state)
{
	struct fixture *fixture = *state;
	struct error err;
	auto_free char *file = in(fixture, "current/version");
	auto_free char *link = in(fixture, "releases/aaaaaaaaaaaaaaaa/deep/er/file");
	activate_well(fixture, 'a');
	assert_true(fs_write(file, "z", 1, 0644, &err));
	activate_well(fixture, 'a');
	assert_active(fixture, 'a');
	activate_well(fixture, 'b');
	assert_int_equal(unlink(link), 0);
	assert_int_equal(symlink("/etc/passwd", link), 0);
	activate_well(fixture, 'a');
	assert_active(fixture, 'a');
}

/* ---- interruptions -------------------------------------------------------------------------- */

static size_t count_staged(struct fixture *fixture)
{
	auto_free char *path = in(fixture, "releases");
	size_t count = 0;
	DIR *list = opendir(path);
	assert_non_null(list);
	for (struct dirent *entry; (entry = readdir(list));)
		count += strncmp(entry->d_name, ".new", 4) == 0;
	(void)closedir(list); /* read-only */
	return count;
}

static void prune_all(struct fixture *fixture)
{
	struct error err;
	fixture->host.keep = 0;
	assert_true(driver_local.prune(&fixture->host, NULL, 0, &err));
}

static void a_full_disk_at_any_write_leaves_a_whole_release(void **state)
{
	struct fixture *fixture = *state;
	int n = 1;
	activate_well(fixture, 'a');
	for (bool good = false; !good; n++) {
		auto_free char *value = mem_printf("write:%d", n);
		struct release release;
		struct error err;
		enum driver_touched touched;
		struct driver_state before = ask(fixture);
		assert_int_equal(setenv("AVIARY_FAULT", value, 1), 0);
		good = activate(fixture, make_release(&release, 'b'), &touched, &err);
		assert_int_equal(unsetenv("AVIARY_FAULT"), 0);
		if (good)
			break;
		assert_int_equal(err.code, ERR_SYSTEM);
		assert_non_null(strstr(err.message, "No space left"));
		if (touched == DRIVER_TOUCHED_NOTHING)
			assert_string_equal(ask(fixture).current, before.current);
		assert_current(fixture, touched == DRIVER_TOUCHED_NOTHING ? 'a' : 'b');
		assert_int_equal(count_staged(fixture), 0);
		activate_well(fixture, 'a');
		prune_all(fixture); /* so that each turn stages */
	}
	assert_true(n > 4); /* three files and the state */
	assert_active(fixture, 'b');
}

/* Runs an activation in a process of its own, as a service does. */
static pid_t start_service(struct fixture *fixture, char digit, const char *fault)
{
	pid_t service = fork();
	assert_true(service >= 0);
	if (service > 0)
		return service;
	struct release release;
	struct error err;
	if (fault)
		(void)setenv("AVIARY_FAULT", fault, 1); /* checked by what follows */
	bool good = activate(fixture, make_release(&release, digit), NULL, &err);
	_exit(good ? 0 : 1);
}

/* @return true if it was killed, false if it ended well */
static bool was_killed(pid_t service)
{
	int status = 0;
	assert_int_equal(waitpid(service, &status, 0), service);
	if (WIFSIGNALED(status))
		return true;
	assert_int_equal(WEXITSTATUS(status), 0);
	return false;
}

static void death_at_any_point_leaves_a_whole_release_and_the_next_start_ends_well(void **state)
{
	struct fixture *fixture = *state;
	int n = 1;
	activate_well(fixture, 'a');
	for (;; n++) {
		auto_free char *fault = mem_printf("kill:%d", n);
		if (!was_killed(start_service(fixture, 'b', fault)))
			break;
		struct driver_state seen = ask(fixture);
		bool switched = strncmp(seen.current, "sha256:b", 8) == 0;
		assert_current(fixture, switched ? 'b' : 'a');
		assert_false(switched && strncmp(seen.release, "sha256:a", 8) == 0);
		activate_well(fixture, 'b');
		assert_active(fixture, 'b');
		assert_int_equal(count_staged(fixture), 0);
		activate_well(fixture, 'a');
		prune_all(fixture); /* so that each turn stages */
	}
	assert_true(n > 15);
	assert_active(fixture, 'b');
}

#define WAIT_FOR_GO "while [ ! -e ../../go ]; do sleep 0.01; done; "

static void kill_service(pid_t service)
{
	assert_int_equal(kill(service, SIGKILL), 0);
	assert_true(was_killed(service));
}

static void the_activation_of_a_dead_service_is_waited_for(void **state)
{
	struct fixture *fixture = *state;
	fixture->argv[2] = "touch ../../up; " WAIT_FOR_GO NOTE;
	pid_t dead = start_service(fixture, 'a', NULL);
	wait_for(fixture, "up");
	kill_service(dead);
	assert_true(ask(fixture).locked);
	pid_t next = start_service(fixture, 'b', NULL);
	put(fixture, "go");
	assert_false(was_killed(next));
	assert_text(fixture, "notes", "aaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbb\n");
	assert_active(fixture, 'b');
}

static void the_activation_of_a_dead_service_is_ended_at_the_deadline(void **state)
{
	struct fixture *fixture = *state;
	const char *good = fixture->argv[2];
	fixture->argv[2] = "touch ../../up; sleep 1000; " NOTE;
	pid_t dead = start_service(fixture, 'a', NULL);
	wait_for(fixture, "up");
	kill_service(dead);
	fixture->host.activate_timeout_ms = 500;
	fixture->argv[2] = good;
	struct release release;
	struct error err;
	enum driver_touched touched;
	/* the deadline also holds for the new one, so a loaded machine may miss it */
	bool done = activate(fixture, make_release(&release, 'b'), &touched, &err);
	assert_true(done || err.code == ERR_TIMEOUT);
	assert_current(fixture, 'b');
	assert_text(fixture, "notes", "bbbbbbbbbbbbbbbb\n");
}

static void an_activation_that_nobody_named_is_found(void **state)
{
	struct fixture *fixture = *state;
	char *scratch = fixture->root;
	fixture->argv[2] = WAIT_FOR_GO NOTE;
	/* A new host each turn, so that each has the same points to die at. */
	for (int n = 1; n == 1 || !ask(fixture).locked; n++) {
		auto_free char *fault = mem_printf("kill:%d", n);
		if (n > 1)
			free(fixture->root);
		fixture->root = mem_printf("%s/%d", scratch, n);
		fixture->host.root = fixture->root;
		assert_true(was_killed(start_service(fixture, 'a', fault)));
	}
	pid_t next = start_service(fixture, 'b', NULL);
	put(fixture, "go");
	assert_false(was_killed(next));
	assert_text(fixture, "notes", "aaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbb\n");
	free(fixture->root);
	fixture->root = scratch;
}

static pid_t read_pid(struct fixture *fixture, const char *name)
{
	auto_buf struct buf text = BUF_INIT(100);
	read_text(fixture, name, &text);
	return (pid_t)strtol(text.text, NULL, 10);
}

static void what_activate_left_running_blocks_nobody_and_lives_on(void **state)
{
	struct fixture *fixture = *state;
	const char *good = fixture->argv[2];
	fixture->argv[2] = "sleep 1000 & echo $! > ../../left; touch ../../up; " WAIT_FOR_GO;
	pid_t dead = start_service(fixture, 'a', NULL);
	wait_for(fixture, "up");
	kill_service(dead);
	put(fixture, "go");
	fixture->argv[2] = good;
	activate_well(fixture, 'b');
	assert_active(fixture, 'b');
	fixture->argv[2] = "sleep 1000 & echo $! > ../../left2";
	activate_well(fixture, 'a');
	assert_false(ask(fixture).locked);
	fixture->argv[2] = good;
	activate_well(fixture, 'b');
	assert_int_equal(kill(read_pid(fixture, "left"), SIGKILL), 0);
	assert_int_equal(kill(read_pid(fixture, "left2"), SIGKILL), 0);
}

static void two_services_take_turns(void **state)
{
	struct fixture *fixture = *state;
	pid_t services[6];
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		services[i] = start_service(fixture, i % 2 ? 'a' : 'b', NULL);
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		assert_false(was_killed(services[i]));
	auto_buf struct buf notes = BUF_INIT(1000);
	read_text(fixture, "notes", &notes);
	assert_int_equal(notes.len, 6 * 17);
}

static void a_living_service_is_not_ended(void **state)
{
	struct fixture *fixture = *state;
	struct release release;
	fixture->argv[2] = "touch ../../up; " WAIT_FOR_GO NOTE;
	pid_t first = start_service(fixture, 'a', NULL);
	wait_for(fixture, "up");
	struct error err;
	assert_true(driver_local.prune(&fixture->host, NULL, 0, &err)); /* does nothing, at once */
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	struct driver_run run = {.cancel_fd = ends[0]};
	make_release(&release, 'b');
	assert_false(driver_local.activate(&fixture->host, &release.release, &run, &err));
	assert_int_equal(err.code, ERR_STOPPED);
	assert_int_equal(run.touched, DRIVER_TOUCHED_NOTHING);
	put(fixture, "go");
	assert_false(was_killed(first));
	assert_active(fixture, 'a');
	assert_int_equal(close(ends[0]) | close(ends[1]), 0);
}

/* ---- pruning -------------------------------------------------------------------------------- */

static void pruning_keeps_the_newest_the_current_and_the_listed(void **state)
{
	struct fixture *fixture = *state;
	struct release known_good;
	struct error err;
	for (const char *digit = "abcdeb"; *digit; digit++)
		activate_well(fixture, *digit);
	put(fixture, "releases/of-somebody-else");
	make_release(&known_good, 'a');
	const char *const list[] = {known_good.digest};
	fixture->host.keep = 2; /* b, which is current, and e */
	assert_true(driver_local.prune(&fixture->host, list, 1, &err));
	assert_true(exists(fixture, "releases/aaaaaaaaaaaaaaaa/version"));
	assert_true(exists(fixture, "releases/bbbbbbbbbbbbbbbb/version"));
	assert_false(exists(fixture, "releases/cccccccccccccccc"));
	assert_false(exists(fixture, "releases/dddddddddddddddd"));
	assert_true(exists(fixture, "releases/eeeeeeeeeeeeeeee/version"));
	assert_true(exists(fixture, "releases/of-somebody-else"));
	fixture->host.keep = 0;
	assert_true(driver_local.prune(&fixture->host, NULL, 0, &err));
	assert_false(exists(fixture, "releases/eeeeeeeeeeeeeeee"));
	assert_active(fixture, 'b');
}

static void drivers_are_found_by_name(void **state)
{
	(void)state;
	assert_ptr_equal(driver_find("local"), &driver_local);
	assert_null(driver_find("ssh"));
	assert_string_equal(driver_names()[0], "local");
	assert_null(driver_names()[1]);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

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
		CASE(files_that_leave_the_release_are_refused),
		CASE(digests_and_roots_that_are_none_are_refused),
		CASE(a_release_that_is_not_on_the_host_needs_its_files),
		CASE(a_root_that_is_no_folder_is_unreachable),
		CASE(a_state_file_that_does_not_read_is_told_with_its_place),
		CASE(a_folder_in_place_of_current_is_left_alone),
		CASE(a_release_that_was_changed_on_the_host_is_replaced),
		CASE(a_full_disk_at_any_write_leaves_a_whole_release),
		CASE(death_at_any_point_leaves_a_whole_release_and_the_next_start_ends_well),
		CASE(the_activation_of_a_dead_service_is_waited_for),
		CASE(the_activation_of_a_dead_service_is_ended_at_the_deadline),
		CASE(an_activation_that_nobody_named_is_found),
		CASE(what_activate_left_running_blocks_nobody_and_lives_on),
		CASE(two_services_take_turns),
		CASE(a_living_service_is_not_ended),
		CASE(pruning_keeps_the_newest_the_current_and_the_listed),
		CASE(drivers_are_found_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
