/* Drives base/ssh from pytest: one session, one or more commands, stdin passed on. Prints one JSON
 * object per command.
 *
 * usage: ssh_tool KEY KNOWN_HOSTS IDLE_MS TOTAL_MS HOST PORT USER COMMAND...
 */
#include "base/fs.h"
#include "base/ssh.h"
#include <signal.h>
#include <unistd.h>

#define KEPT_MAX ((size_t)64 << 20)

static void add_text(struct buf *out, const char *key, const char *text, size_t len)
{
	buf_addf(out, "\"%s\": \"", key);
	buf_add_json(out, text, len);
	buf_add_str(out, "\", ");
}

static void print_error(const struct error *err)
{
	auto_buf struct buf out = BUF_INIT(10000);
	add_text(&out, "code", error_code_name(err->code), strlen(error_code_name(err->code)));
	add_text(&out, "message", err->message, strlen(err->message));
	add_text(&out, "hint", err->hint, strlen(err->hint));
	printf("{%s\"ok\": false}\n", out.text);
}

static bool run(struct ssh *ssh, const char *command, const struct buf *input, struct error *err)
{
	auto_buf struct buf output = BUF_INIT(KEPT_MAX);
	auto_buf struct buf json = BUF_INIT(KEPT_MAX);
	struct ssh_result result;
	char chunk[16384];
	size_t got = 1;

	ssh_doing(ssh, "running the command");
	if (!ssh_exec_start(ssh, command, err) || !ssh_write(ssh, input->text, input->len, err) ||
		!ssh_write_end(ssh, err))
		return false;
	while (got) {
		if (!ssh_read(ssh, chunk, sizeof(chunk), &got, err))
			return false;
		buf_add(&output, chunk, got);
	}
	if (!ssh_exec_finish(ssh, &result, err))
		return false;
	add_text(&json, "stdout", output.text, output.len);
	add_text(&json, "stderr", ssh_stderr(ssh)->text, ssh_stderr(ssh)->len);
	printf("{%s\"status\": %d, \"signal\": \"%s\", \"ok\": true}\n", json.text,
		result.exit_status, result.signal);
	return true;
}

static bool run_all(char **argv, struct error *err)
{
	auto_buf struct buf key = BUF_INIT_SECRET(65536);
	auto_buf struct buf known = BUF_INIT(65536);
	auto_buf struct buf input = BUF_INIT(KEPT_MAX);
	auto_known_hosts struct known_hosts *hosts = NULL;
	auto_ssh struct ssh *ssh = NULL;
	char chunk[16384];
	ssize_t got;

	while ((got = read(0, chunk, sizeof(chunk))) > 0)
		buf_add(&input, chunk, (size_t)got);
	if (!ssh_library_init(err) || !fs_read_secret(argv[1], 65535, &key, err) ||
		!fs_read(argv[2], 65536, &known, err) ||
		!known_hosts_parse(argv[2], known.text, known.len, &hosts, err))
		return false;
	buf_add_char(&key, '\n');
	const struct ssh_options options = {
		.host = argv[5],
		.port = (unsigned)strtoul(argv[6], NULL, 10),
		.user = argv[7],
		.known_hosts = hosts,
		.key = key.text,
		.key_len = key.len,
		.key_name = argv[1],
		.deadline = {.connect_ms = 60000,
			.idle_ms = strtoll(argv[3], NULL, 10),
			.total_ms = strtoll(argv[4], NULL, 10),
			.cancel_fd = -1},
	};
	if (!ssh_open(&options, &ssh, err))
		return false;
	for (int i = 8; argv[i]; i++) {
		if (!run(ssh, argv[i], &input, err))
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct error err;

	(void)signal(SIGPIPE, SIG_IGN); /* as the service does; cannot fail */
	if (argc < 9) {
		fprintf(stderr, "usage: ssh_tool KEY KNOWN_HOSTS IDLE_MS TOTAL_MS HOST PORT USER "
				"COMMAND...\n");
		return 2;
	}
	if (!run_all(argv, &err))
		print_error(&err);
	return 0;
}
