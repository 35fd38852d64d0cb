/* Is ansible here, and new enough? */
#include "base/exec.h"
#include "reconcile/drivers/playbook.h"

#define VERSION_MS  60000
#define VERSION_MAX 65536
/* That of Debian 12; older ones were never tried. */
#define MAJOR_MIN 2
#define MINOR_MIN 14

static bool too_old(const char *said)
{
	unsigned major = 0, minor = 0;
	const char *at = strstr(said, "[core ");
	return !at || sscanf(at, "[core %9u.%9u", &major, &minor) != 2 || major < MAJOR_MIN ||
	       (major == MAJOR_MIN && minor < MINOR_MIN);
}

bool playbook_check_version(const char *const *environment, int cancel_fd, struct error *err)
{
	static const char *const argv[] = {"ansible-playbook", "--version", NULL};
	struct exec_request request = EXEC_REQUEST_INIT;
	struct exec_result result;
	request.argv = argv;
	request.environ_ = environment;
	request.timeout_ms = VERSION_MS;
	request.cancel_fd = cancel_fd;
	request.max_output = VERSION_MAX;
	if (!exec_run(&request, &result, err)) {
		if (err->code != ERR_NOT_FOUND)
			return false;
		(void)error_set(
			err, ERR_INVALID, "ansible-playbook is not there"); /* returns false */
		return error_hint(err, "install ansible-core %d.%d or newer", MAJOR_MIN, MINOR_MIN);
	}
	char line[120];
	(void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(result.output.text, "\r\n"),
		result.output.text); /* what does not fit is cut */
	bool cancelled = result.cancelled, good = result.exit_status == 0;
	bool old = good && too_old(result.output.text);
	exec_result_clear(&result);
	if (cancelled)
		return error_set(err, ERR_STOPPED, "stopped before it began");
	if (!good)
		return error_set(err, ERR_INVALID, "ansible-playbook does not run: %s", line);
	if (!old)
		return true;
	(void)error_set(err, ERR_INVALID, "'%s' is too old", line); /* returns false */
	return error_hint(err, "install ansible-core %d.%d or newer", MAJOR_MIN, MINOR_MIN);
}
