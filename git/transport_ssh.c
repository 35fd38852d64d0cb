#include "git/transport_ssh.h"
#include "base/ssh.h"

static bool open_wire(
	struct transport *transport, const char *service, void **wire_out, struct error *err)
{
	const struct ssh_options options = {
		.host = transport->host,
		.port = transport->port,
		.user = transport->user,
		.known_hosts = transport->known_hosts,
		.key = transport->ssh_key,
		.key_len = transport->ssh_key_len,
		.key_name = transport->ssh_key_name,
		.deadline = transport->deadline,
	};
	auto_ssh struct ssh *ssh = NULL;
	auto_buf struct buf command = BUF_INIT(8192);

	buf_addf(&command, "%s ", service);
	ssh_quote(transport->path, &command);
	if (!ssh_open(&options, &ssh, err))
		return false;
	ssh_doing(ssh, transport_doing(transport));
	if (!ssh_exec_start(ssh, command.text, err))
		return false;
	*wire_out = STEAL(ssh);
	return true;
}

static bool read_wire(void *wire, void *bytes, size_t size, size_t *got_out, struct error *err)
{
	return ssh_read(wire, bytes, size, got_out, err);
}

static bool write_wire(void *wire, const void *bytes, size_t len, struct error *err)
{
	return ssh_write(wire, bytes, len, err);
}

static const struct buf *wire_errors(const void *wire)
{
	return ssh_stderr(wire);
}

static void close_wire(void *wire)
{
	ssh_free(wire);
}

const struct wire_kind transport_ssh = {
	.open = open_wire,
	.read = read_wire,
	.write = write_wire,
	.errors = wire_errors,
	.close = close_wire,
};
