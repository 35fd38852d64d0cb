/* tests/lib/local_host.h - a host of the `local` driver in a folder of its own, for tests
 *
 * Functions below take and give what a test needs in one line; they fail the test themselves.
 */
#pragma once
#include "base/fs.h"
#include "reconcile/drivers/driver.h"
#include <dirent.h>
#include <setjmp.h>
#include <unistd.h>

#include <cmocka.h>

/* Longer than any test may take. */
#define LONG_MS 120000

/* Says what it was started for, into a file of the host that outlives releases. */
#define NOTE "echo \"$AVIARY_RELEASE\" | cut -c 8-23 >> ../../notes; "

/* A host in a folder of its own; releases are named by one hex digit. */
struct local_host {
	char *root;
	struct driver_host host;
	const char *argv[4];
	int open_files; /* of this process before the test */
};

/** Files that this process has open. */
static inline int count_open_files(void)
{
	DIR *list = opendir("/proc/self/fd");
	int count = 0;
	while (list && readdir(list))
		count++;
	if (list)
		(void)closedir(list); /* read-only */
	return count;
}

/** cmocka setup: *state is a struct local_host. */
static inline int host_setup(void **state)
{
	struct error err;
	char *scratch = NULL;
	struct local_host *fixture = mem_zero(1, sizeof(*fixture));
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
	fixture->open_files = count_open_files();
	*state = fixture;
	return 0;
}

/** cmocka teardown: removes it. Whatever a test did, nothing of the host may stay open. */
static inline int host_teardown(void **state)
{
	struct error err;
	struct local_host *fixture = *state;
	(void)unsetenv("AVIARY_FAULT"); /* a failed test may have left it */
	bool good = fs_remove_tree(fixture->root, &err);
	if (count_open_files() != fixture->open_files) {
		print_error("%d files are open, %d were before\n", count_open_files(),
			fixture->open_files);
		good = false;
	}
	free(fixture->root);
	free(fixture);
	return good ? 0 : -1;
}

/* Every test releases three files; their content tells the release. */
struct host_release {
	struct driver_release release;
	struct driver_file files[3];
	char digest[DRIVER_DIGEST];
	char text[2];
};

/** The release of one digit: three files, one of them a secret. */
static inline struct host_release *host_release(struct host_release *made, char digit)
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

/** Activate; @p touched may be NULL. */
static inline bool host_activate(struct local_host *fixture, const struct host_release *release,
	enum driver_touched *touched, struct error *err)
{
	struct driver_run run = DRIVER_RUN_INIT;
	bool good = driver_local.activate(&fixture->host, &release->release, &run, err);
	if (touched)
		*touched = run.touched;
	return good;
}

/** Activate the release of a digit, which must work. */
static inline void host_activate_well(struct local_host *fixture, char digit)
{
	struct host_release release;
	struct error err;
	if (!host_activate(fixture, host_release(&release, digit), NULL, &err))
		fail_msg("%s", err.message);
}

/** What the host says of itself. */
static inline struct driver_state host_ask(struct local_host *fixture)
{
	struct driver_state state = {0};
	struct error err;
	if (!driver_local.ask(&fixture->host, &state, &err))
		fail_msg("%s", err.message);
	return state;
}

/** A path below the root; caller frees. */
static inline char *host_path(struct local_host *fixture, const char *name)
{
	return mem_printf("%s/%s", fixture->root, name);
}

/** Append the text of a file below the root. */
static inline void host_read(struct local_host *fixture, const char *name, struct buf *out)
{
	struct error err;
	auto_free char *path = host_path(fixture, name);
	if (!fs_read(path, 10000, out, &err))
		fail_msg("%s", err.message);
}

/** The file below the root has this text. */
static inline void host_assert_text(struct local_host *fixture, const char *name, const char *text)
{
	auto_buf struct buf got = BUF_INIT(10000);
	host_read(fixture, name, &got);
	assert_string_equal(got.text, text);
}

/** Is it there, below the root? */
static inline bool host_has(struct local_host *fixture, const char *name)
{
	auto_free char *path = host_path(fixture, name);
	return access(path, F_OK) == 0;
}

/** Make an empty file below the root. */
static inline void host_put(struct local_host *fixture, const char *name)
{
	struct error err;
	auto_free char *path = host_path(fixture, name);
	assert_true(fs_write(path, "", 0, 0600, &err));
}

/** current is the release of this digit, with every file. */
static inline void host_assert_current(struct local_host *fixture, char digit)
{
	struct host_release release;
	char text[2] = {digit, '\0'};
	struct driver_state state = host_ask(fixture);
	assert_true(driver_same_release(state.current, host_release(&release, digit)->digest));
	host_assert_text(fixture, "current/version", text);
	host_assert_text(fixture, "current/deep/er/file", "secret");
	host_assert_text(fixture, "current/deep/run", "#!/bin/sh\n");
}

/** As host_assert_current(), and nothing is under way. */
static inline void host_assert_active(struct local_host *fixture, char digit)
{
	struct host_release release;
	struct driver_state state = host_ask(fixture);
	host_assert_current(fixture, digit);
	assert_string_equal(state.release, host_release(&release, digit)->digest);
	assert_string_equal(state.current, state.release);
	assert_true(state.found && !state.activating && !state.locked);
}

/** Waits until a file is there: a hang is the failure. */
static inline void host_wait_for(struct local_host *fixture, const char *name)
{
	while (!host_has(fixture, name))
		assert_int_equal(usleep(2000), 0);
}
