#include "reconcile/drivers/local_command.h"
#include "base/clock.h"
#include "base/exec.h"
#include "base/fs.h"

static void name_child(void *data, pid_t pid)
{
	fs_fault_point();
	local_lock_child(data, pid);
}

static bool judge(const struct local_command *command, const struct exec_result *result,
	struct driver_run *run, struct error *err)
{
	char text[CLOCK_TEXT_SIZE];
	const char *name = command->name;
	if (result->cancelled) {
		run->touched = DRIVER_TOUCHED_UNKNOWN;
		return error_set(err, ERR_STOPPED, "%s was stopped", name);
	}
	if (result->timed_out)
		return error_set(err, ERR_TIMEOUT, "%s did not end within %s", name,
			duration_format(command->timeout_ms, text));
	if (result->signal)
		return error_set(
			err, ERR_INVALID, "%s was ended by signal %d", name, result->signal);
	if (command->status_out)
		*command->status_out = result->exit_status;
	else if (result->exit_status)
		return error_set(
			err, ERR_INVALID, "%s ended with status %d", name, result->exit_status);
	return true;
}

bool local_command_run(const struct local_command *command, struct local_lock *lock,
	struct driver_run *run, struct error *err)
{
	struct exec_request request = EXEC_REQUEST_INIT;
	struct exec_result result;
	request.argv = command->argv;
	request.environ_ = command->environment;
	request.folder = command->folder;
	request.timeout_ms = command->timeout_ms;
	request.grace_ms = command->grace_ms;
	request.end_signal = command->end_signal;
	request.cancel_fd = run->cancel_fd;
	request.keep_fd = lock->fd;
	request.output = run->output;
	request.output_data = run->output_data;
	request.started = name_child;
	request.started_data = lock;
	if (!exec_run(&request, &result, err)) {
		if (err->code == ERR_NOT_FOUND)
			err->code = ERR_INVALID; /* NOT_FOUND is for a release that is missing */
		return error_wrap(err, "%s", command->name);
	}
	bool good = judge(command, &result, run, err);
	exec_result_clear(&result);
	return good;
}
