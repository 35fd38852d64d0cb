/* tests/lib/script_host.h - templates/host.sh as it is sent, with a folder instead of a host, under
 * a shell of this machine
 *
 * Functions fail the test themselves.
 */
#pragma once
#include "base/exec.h"
#include "reconcile/drivers/ssh_talk.h"
#include "tests/lib/local_host.h"

#define NONCE "0123456789abcdef"

/* `sh` of the command, and where its tools are looked for. */
static const struct shell {
	const char *name, *argv[3];
} shells[] = {
	{"dash", {"/bin/dash", NULL}},
	{"bash", {"/bin/bash", NULL}},
	{"busybox", {"/bin/busybox", "sh", NULL}},
};

struct script_host {
	struct local_host local;
	const struct shell *shell;
	struct driver_task task;
	struct driver_release release;
};

/** cmocka setup for a shell: *state is a struct script_host, or NULL without that shell. */
static inline int script_setup(void **state, const struct shell *shell)
{
	struct local_host *made = NULL;
	if (access(shell->argv[0], X_OK) != 0) {
		print_message("skipped: %s is not installed\n", shell->argv[0]);
		*state = NULL;
		return 0;
	}
	if (host_setup((void **)&made) != 0)
		return -1;
	struct script_host *fixture = mem_zero(1, sizeof(*fixture));
	fixture->local = *made;
	fixture->local.host.activate = fixture->local.argv;
	fixture->shell = shell;
	free(made);
	*state = fixture;
	return 0;
}

/** cmocka teardown. */
static inline int script_teardown(void **state)
{
	struct script_host *fixture = *state;
	struct error err;
	if (!fixture)
		return 0;
	bool good = fs_remove_tree(fixture->local.root, &err);
	free(fixture->local.root);
	free(fixture);
	return good ? 0 : -1;
}

/** Setup for one shell. */
static inline int setup_dash(void **state)
{
	return script_setup(state, &shells[0]);
}

/** Setup for one shell. */
static inline int setup_bash(void **state)
{
	return script_setup(state, &shells[1]);
}

/** Setup for one shell. */
static inline int setup_busybox(void **state)
{
	return script_setup(state, &shells[2]);
}

/** The fixture; skips without the shell. */
static inline struct script_host *host_of(void **state)
{
	if (!*state)
		skip();
	return *state;
}

/** All that we say in a talk, as if the host had nothing. */
static inline void script_input(struct driver_task *task, struct buf *command, struct buf *input)
{
	auto_talk struct talk *talk = NULL;
	struct error err;
	const char *bytes = NULL;
	size_t len;
	if (!talk_new(task, NONCE, &talk, &err))
		fail_msg("%s", err.message);
	talk_command(talk, command);
	for (int round = 0; round < 2; round++) {
		while ((len = talk_next(talk, &bytes))) {
			buf_add(input, bytes, len);
			talk_sent(talk, len);
		}
		if (round || task->work == DRIVER_ASK || task->work == DRIVER_COMPARE ||
			task->work == DRIVER_COMMAND)
			break;
		assert_int_equal(talk_hear(talk, NONCE " ready\n", 23), TALK_READY);
		talk_go_on(talk);
	}
	assert_true(talk_is_told(talk));
}

/** Run the command under the shell. Its stderr is dropped. */
static inline void run_shell(struct script_host *fixture, const struct buf *command,
	const struct buf *input, struct buf *output)
{
	static const char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
	const char *argv[5] = {fixture->shell->argv[0], fixture->shell->argv[1]};
	size_t count = fixture->shell->argv[1] ? 2 : 1;
	struct exec_request request = EXEC_REQUEST_INIT;
	struct exec_result result;
	struct error err;
	/* the login shell is this one too */
	auto_buf struct buf whole = BUF_INIT(1 << 20);
	assert_memory_equal(command->text, "exec sh ", 8);
	buf_addf(&whole, "exec 2>/dev/null; exec %s %s %s", fixture->shell->argv[0],
		count == 2 ? fixture->shell->argv[1] : "", command->text + 8);
	argv[count++] = "-c";
	argv[count] = whole.text;
	request.argv = argv;
	request.environ_ = environment;
	request.input = input->text;
	request.input_len = input->len;
	request.timeout_ms = LONG_MS;
	if (!exec_run(&request, &result, &err))
		fail_msg("%s", err.message);
	buf_add(output, result.output.text, result.output.len);
	exec_result_clear(&result);
}

/** The whole talk. @return task->ok */
static inline bool converse(struct script_host *fixture)
{
	struct driver_task *task = &fixture->task;
	auto_talk struct talk *talk = NULL;
	auto_buf struct buf command = BUF_INIT(1 << 20);
	auto_buf struct buf input = BUF_INIT(1 << 20);
	auto_buf struct buf output = BUF_INIT(1 << 20);
	struct error err = {0};
	script_input(task, &command, &input);
	run_shell(fixture, &command, &input, &output);
	if (!talk_new(task, NONCE, &talk, &err))
		fail_msg("%s", err.message);
	task->state = (struct driver_state){0};
	task->err = (struct error){0};
	task->has = task->ok = false;
	for (size_t i = 0; i < output.len; i++) {
		if (talk_hear(talk, output.text + i, 1) == TALK_READY)
			talk_go_on(talk);
	}
	if (talk_hear(talk, "", 0) != TALK_ENDED)
		fail_msg("no answer in: %s", output.text);
	return task->ok;
}

/** The task to put a release. */
static inline void put_task(struct script_host *fixture, const struct host_release *release)
{
	fixture->release = release->release;
	fixture->release.commit = "9f2c41d9f2c41d9f2c41d9f2c41d9f2c41d9f2c4";
	fixture->task = (struct driver_task){.work = DRIVER_ACTIVATE,
		.host = &fixture->local.host,
		.release = &fixture->release};
}

/** Put a release. @return task->ok */
static inline bool put(struct script_host *fixture, const struct host_release *release)
{
	put_task(fixture, release);
	return converse(fixture);
}

/** Put the release of a digit, which must work. */
static inline void put_well(struct script_host *fixture, char digit)
{
	struct host_release release;
	if (!put(fixture, host_release(&release, digit)))
		fail_msg("%s", fixture->task.err.message);
}

/** The task ended with this, and nothing was touched. */
static inline void assert_refused(
	struct script_host *fixture, enum error_code code, const char *what)
{
	const struct driver_task *task = &fixture->task;
	if (task->err.code != code || !strstr(task->err.message, what))
		fail_msg("%s: %s", error_code_name(task->err.code), task->err.message);
	assert_int_equal(task->run.touched, DRIVER_TOUCHED_NOTHING);
}

/** Write a file below the root. */
static inline void write_file(struct script_host *fixture, const char *name, const char *text)
{
	struct error err;
	auto_free char *path = host_path(&fixture->local, name);
	assert_true(fs_write(path, text, strlen(text), 0600, &err));
}

/** Make a symlink below the root, in place of what is there. */
static inline void link_file(struct script_host *fixture, const char *name, const char *text)
{
	auto_free char *path = host_path(&fixture->local, name);
	(void)unlink(path); /* it may not be there */
	assert_int_equal(symlink(text, path), 0);
}
