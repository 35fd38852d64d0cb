#include "base/ssh_program.h"
#include "base/exec.h"
#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOLD_MAX   1000
#define OWN_STATUS 255 /* ssh(1): of its own failures */

struct ssh_program {
	pid_t pid;
	int pidfd, talk, errors; /* talk: stdin and stdout */
	bool talk_ended, errors_ended;
	bool over;           /* its end was told */
	bool blocked;        /* the last write did not go */
	char last[TOLD_MAX]; /* the end of stderr */
	size_t last_len;
};

/* ---- start and end -------------------------------------------------------------------------- */

static void add_own(struct strlist *environment, const char *name)
{
	const char *value = getenv(name);
	if (value && *value)
		strlist_addf(environment, "%s=%s", name, value);
}

/* What ssh_config(5) and the agent of the service's user need. */
static void make_environment(struct strlist *environment)
{
	static const char *const names[] = {
		"PATH", "HOME", "USER", "LOGNAME", "LANG", "SSH_AUTH_SOCK", "TMPDIR"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		add_own(environment, names[i]);
	strlist_take(environment, NULL);
}

static bool run(const char *const *argv, const char *command, const int fds[3], pid_t *pid_out,
	struct error *err)
{
	auto_strlist struct strlist environment = STRLIST_INIT;
	struct exec_request request = EXEC_REQUEST_INIT;
	size_t count = 0;
	while (argv[count])
		count++;
	auto_free const char **whole = mem_zero(count + 2, sizeof(*whole));
	memcpy(whole, argv, count * sizeof(*whole));
	whole[count] = command;
	make_environment(&environment);
	request.argv = whole;
	request.environ_ = (const char *const *)environment.items;
	return exec_start(&request, fds, pid_out, err);
}

static bool open_ways(int talk[2], int errors[2], struct error *err)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, talk) < 0 ||
		pipe2(errors, O_CLOEXEC) < 0)
		return error_errno(err, errno, "cannot make a pipe");
	if (fcntl(talk[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(errors[0], F_SETFL, O_NONBLOCK) < 0)
		return error_errno(err, errno, "cannot make a pipe");
	return true;
}

bool ssh_program_start(const char *const *argv, const char *command,
	struct ssh_program **program_out, struct error *err)
{
	int talk[2] = {-1, -1}, errors[2] = {-1, -1};
	struct ssh_program program = {.pidfd = -1};
	bool good = open_ways(talk, errors, err) &&
		    run(argv, command, (int[]){talk[1], talk[1], errors[1]}, &program.pid, err);
	fs_close_at(&talk[1]);
	fs_close_at(&errors[1]);
	program.talk = talk[0];
	program.errors = errors[0];
	if (good && (program.pidfd = pidfd_open(program.pid, 0)) < 0) {
		good = error_errno(err, errno, "cannot watch a child process");
		(void)kill(program.pid, SIGKILL);    /* ours and not reaped: it is it */
		(void)waitpid(program.pid, NULL, 0); /* likewise */
	}
	if (!good) {
		fs_close_at(&program.talk);
		fs_close_at(&program.errors);
		return false;
	}
	*program_out = mem_alloc(sizeof(program));
	**program_out = program;
	return true;
}

void ssh_program_free(struct ssh_program *program)
{
	if (!program)
		return;
	(void)kill(-program->pid, SIGKILL); /* with what it started, such as a ProxyCommand */
	while (waitpid(program->pid, NULL, 0) < 0 && errno == EINTR)
		;
	fs_close_at(&program->pidfd);
	fs_close_at(&program->talk);
	fs_close_at(&program->errors);
	free(program);
}

/* ---- its end -------------------------------------------------------------------------------- */

static void keep_end(struct ssh_program *program, const char *bytes, size_t len)
{
	size_t room = sizeof(program->last) - 1;
	if (len > room) {
		bytes += len - room;
		len = room;
	}
	size_t keep = program->last_len < room - len ? program->last_len : room - len;
	memmove(program->last, program->last + program->last_len - keep, keep);
	memcpy(program->last + keep, bytes, len);
	program->last_len = keep + len;
	program->last[program->last_len] = '\0';
}

/* The last line that says something: before it stand warnings. */
static const char *last_line(struct ssh_program *program)
{
	while (program->last_len && strchr("\r\n ", program->last[program->last_len - 1]))
		program->last[--program->last_len] = '\0';
	const char *line = strrchr(program->last, '\n');
	return line ? line + 1 : program->last;
}

static enum ssh_step own_failure(struct ssh_program *program, struct error *err)
{
	static const char *const identity[] = {"Host key verification failed", "Permission denied",
		"REMOTE HOST IDENTIFICATION HAS CHANGED"};
	auto_buf struct buf line = BUF_INIT(2 * TOLD_MAX);
	const char *said = last_line(program);
	enum error_code code = ERR_UNREACHABLE;
	buf_add_clean(&line, said, strlen(said));
	for (size_t i = 0; i < ARRAY_LEN(identity); i++) {
		if (strstr(program->last, identity[i]))
			code = ERR_AUTH;
	}
	(void)error_set(err, code, "ssh: %s", line.len ? line.text : "it ended"); /* false */
	if (code == ERR_AUTH)
		(void)error_hint(err, "try it as the service's user, with its ssh_config");
	return SSH_FAILED;
}

/* stdout has ended: was that the command's end, or has ssh itself failed? */
static enum ssh_step end_of_talk(
	struct ssh_program *program, struct ssh_chunk *chunk, struct error *err)
{
	siginfo_t info = {0};
	if (waitid(P_PIDFD, (id_t)program->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
		info.si_pid == 0)
		return SSH_WAIT;
	if (info.si_code == CLD_EXITED && info.si_status == OWN_STATUS)
		return own_failure(program, err);
	program->over = true;
	chunk->len = 0;
	return SSH_DONE;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static enum ssh_step read_some(int fd, struct ssh_chunk *chunk)
{
	ssize_t got = read(fd, chunk->bytes, sizeof(chunk->bytes));
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return SSH_WAIT;
	chunk->len = got < 0 ? 0 : (size_t)got; /* a reset is an end */
	return SSH_DONE;
}

enum ssh_step ssh_program_read(struct ssh_program *program, enum ssh_stream stream,
	struct ssh_chunk *chunk, struct error *err)
{
	enum ssh_step step;
	if (stream == SSH_STDERR) {
		step = read_some(program->errors, chunk);
		if (step == SSH_DONE)
			keep_end(program, chunk->bytes, chunk->len);
		program->errors_ended |= step == SSH_DONE && !chunk->len;
		return step;
	}
	step = program->talk_ended ? SSH_DONE : read_some(program->talk, chunk);
	if (step == SSH_DONE && !program->talk_ended)
		program->talk_ended = !chunk->len;
	if (step == SSH_DONE && program->talk_ended)
		return end_of_talk(program, chunk, err);
	return step;
}

enum ssh_step ssh_program_write(struct ssh_program *program, const void *bytes, size_t len,
	size_t *put_out, struct error *err)
{
	ssize_t put = send(program->talk, bytes, len, MSG_NOSIGNAL);
	program->blocked = put < 0;
	if (put >= 0) {
		*put_out = (size_t)put;
		return SSH_DONE;
	}
	/* it has gone: reading tells why */
	if (errno == EAGAIN || errno == EINTR || errno == EPIPE || errno == ECONNRESET)
		return SSH_WAIT;
	(void)error_errno(err, errno, "cannot write to ssh"); /* returns false */
	return SSH_FAILED;
}

enum ssh_step ssh_program_write_end(struct ssh_program *program, struct error *err)
{
	(void)err; /* an end that nobody hears is one */
	(void)shutdown(program->talk, SHUT_WR);
	program->blocked = false;
	return SSH_DONE;
}

size_t ssh_program_poll(const struct ssh_program *program, struct pollfd *fds)
{
	short talk = program->blocked ? POLLIN | POLLOUT : POLLIN;
	int fd = program->over ? -1 : program->talk_ended ? program->pidfd : program->talk;
	fds[0] = (struct pollfd){.fd = fd, .events = talk};
	fds[1] = (struct pollfd){
		.fd = program->errors_ended ? -1 : program->errors, .events = POLLIN};
	return 2;
}
