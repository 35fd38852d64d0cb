#include "server/cli/key_command.h"
#include "base/fs.h"
#include "server/cli/editor.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static bool spawn(const struct strlist *argv, int output, pid_t *pid_out, struct error *err)
{
	posix_spawn_file_actions_t actions;
	auto_free char **list = mem_zero(argv->count + 1, sizeof(*list));
	for (size_t i = 0; i < argv->count; i++)
		list[i] = argv->items[i];
	if (posix_spawn_file_actions_init(&actions))
		mem_abort(0);     /* fails only for want of memory */
	signal(SIGCHLD, SIG_DFL); /* inherited as ignored it would lose the command's status */
	int rc = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	rc = rc ? rc : posix_spawnp(pid_out, list[0], &actions, NULL, list, environ);
	posix_spawn_file_actions_destroy(&actions);
	return !rc || error_errno(err, rc, "cannot run '%s'", list[0]);
}

static bool read_all(int fd, struct buf *out, struct error *err)
{
	char part[4096];
	ssize_t got;
	while ((got = read(fd, part, sizeof(part))) != 0 && !buf_overflowed(out)) {
		if (got < 0 && errno != EINTR)
			break;
		buf_add(out, part, got > 0 ? (size_t)got : 0);
	}
	sodium_memzero(part, sizeof(part));
	if (got < 0)
		return error_errno(err, errno, "output cannot be read");
	return !buf_overflowed(out) ||
	       error_set(
		       err, ERR_INVALID, "it prints more than the limit of %zu bytes", out->limit);
}

static bool wait_for(pid_t pid, const char *program, struct error *err)
{
	int status;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return error_errno(err, errno, "end of the command is not known");
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	if (WIFEXITED(status))
		return error_set(err, ERR_REFUSED, "'%s' ended with status %d", program,
			WEXITSTATUS(status));
	return error_set(
		err, ERR_REFUSED, "'%s' was ended by signal %d", program, WTERMSIG(status));
}

static bool run(const char *command, struct buf *out, struct error *err)
{
	auto_strlist struct strlist argv = STRLIST_INIT;
	auto_fd int in = -1, output = -1;
	int ends[2];
	pid_t pid;
	if (!editor_split(command, &argv, err))
		return false;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return error_errno(err, errno, "no pipe for the command");
	in = ends[0];
	output = ends[1];
	if (!spawn(&argv, output, &pid, err))
		return false;
	fs_close_at(&output), output = -1; /* else its end is not seen */
	struct error ended;
	bool read = read_all(in, out, err);
	fs_close_at(&in), in = -1; /* one that prints too much ends here */
	bool fine = wait_for(pid, argv.items[0], &ended);
	if (read && !fine)
		*err = ended;
	return read && fine;
}

bool key_command_run(const char *variable, struct buf *out, struct error *err)
{
	const char *command = getenv(variable);
	return !command || !*command || run(command, out, err) || error_wrap(err, "%s", variable);
}
