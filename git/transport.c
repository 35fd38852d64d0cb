#include "git/transport.h"
#include "git/repo_priv.h"
#include "git/transport_http.h"
#include "git/transport_pipe.h"
#include "git/transport_ssh.h"

#define SHOWN_MAX 300 /* of what a server says on stderr */

/* The stateful sub-transport: one process on the other side, one stream, embedded because
 * libgit2 frees and re-asks for it as it likes. */
struct stateful {
	git_smart_subtransport base;
	git_smart_subtransport_stream stream;
	struct transport *transport;
	const struct wire_kind *kind;
	void *wire;
	bool heard; /* a byte came */
};

int transport_failed(struct transport *transport)
{
	static const int codes[ERR_CODES] = {
		[ERR_NOT_FOUND] = GIT_ENOTFOUND,
		[ERR_AUTH] = GIT_EAUTH,
		[ERR_STOPPED] = GIT_EUSER,
		[ERR_TIMEOUT] = GIT_EUSER,
	};
	int code = codes[transport->err.code];

	(void)git_error_set_str(GIT_ERROR_NET, transport->err.message);
	return code ? code : GIT_ERROR;
}

const char *transport_doing(const struct transport *transport)
{
	return transport->push ? "pushing" : "fetching";
}

static bool says(const struct buf *errors, const char *const *phrases)
{
	for (; *phrases; phrases++) {
		if (strcasestr(errors->text, *phrases))
			return true;
	}
	return false;
}

bool transport_closed(
	const struct transport *transport, const struct buf *errors, struct error *err)
{
	static const char *const missing[] = {"does not appear to be a git repository",
		"not a git repository", "does not exist", "could not be found", "not found", NULL};
	static const char *const denied[] = {
		"permission", "denied", "forbidden", "not allowed", "unauthorized", NULL};
	auto_buf struct buf shown = BUF_INIT(SHOWN_MAX);

	buf_add_clean(&shown, errors->text, errors->len);
	if (says(errors, missing)) {
		(void)error_set(err, ERR_NOT_FOUND, "%s: no such repository, or no access: %s",
			transport->peer, shown.text);
		return error_hint(err, "check the path '%s' of the URL", transport->path);
	}
	if (says(errors, denied)) {
		(void)error_set(
			err, ERR_AUTH, "%s: access refused: %s", transport->peer, shown.text);
		return error_hint(err, "give this key or user access to '%s'", transport->path);
	}
	return error_set(err, ERR_UNREACHABLE, "%s: closed without an answer%s%s", transport->peer,
		shown.len ? ": " : "", shown.text);
}

static struct stateful *of_stream(git_smart_subtransport_stream *stream)
{
	return (struct stateful *)stream->subtransport;
}

static int stateful_read(
	git_smart_subtransport_stream *stream, char *bytes, size_t size, size_t *got_out)
{
	struct stateful *self = of_stream(stream);
	struct transport *transport = self->transport;

	*got_out = 0;
	if (!self->kind->read(self->wire, bytes, size, got_out, &transport->err))
		return transport_failed(transport);
	if (!*got_out && !self->heard) {
		(void)transport_closed(transport, self->kind->errors(self->wire), &transport->err);
		return transport_failed(transport);
	}
	self->heard = true;
	return 0;
}

static int stateful_write(git_smart_subtransport_stream *stream, const char *bytes, size_t len)
{
	struct stateful *self = of_stream(stream);

	if (!self->wire) /* libgit2's good-bye after a failure */
		return GIT_ERROR;
	if (!self->kind->write(self->wire, bytes, len, &self->transport->err))
		return transport_failed(self->transport);
	return 0;
}

static void stateful_free_stream(git_smart_subtransport_stream *stream)
{
	(void)stream; /* a part of the sub-transport */
}

static int stateful_close(git_smart_subtransport *base)
{
	struct stateful *self = (struct stateful *)base;

	if (self->wire)
		self->kind->close(STEAL(self->wire));
	self->heard = false;
	return 0;
}

static int stateful_action(git_smart_subtransport_stream **out, git_smart_subtransport *base,
	const char *url, git_smart_service_t action)
{
	struct stateful *self = (struct stateful *)base;
	struct transport *transport = self->transport;
	bool push = action == GIT_SERVICE_RECEIVEPACK_LS;

	(void)url; /* transport has its parts */
	if (action == GIT_SERVICE_UPLOADPACK_LS || push) {
		(void)stateful_close(base);
		/* A fast remote answers without one wait, and only waits notice a stop. */
		if (!deadline_check(&transport->deadline, &transport->err))
			return transport_failed(transport);
		if (!self->kind->open(transport, push ? "git-receive-pack" : "git-upload-pack",
			    &self->wire, &transport->err))
			return transport_failed(transport);
	}
	if (!self->wire)
		return GIT_ERROR;
	*out = &self->stream;
	return 0;
}

static void stateful_free(git_smart_subtransport *base)
{
	(void)stateful_close(base);
	free(base);
}

static int stateful_new(git_smart_subtransport **out, git_transport *owner, void *param)
{
	struct stateful *self = mem_zero(1, sizeof(*self));

	(void)owner;
	self->transport = param;
	self->kind = self->transport->type == TRANSPORT_SSH ? &transport_ssh : &transport_pipe;
	self->base.action = stateful_action;
	self->base.close = stateful_close;
	self->base.free = stateful_free;
	self->stream.subtransport = &self->base;
	self->stream.read = stateful_read;
	self->stream.write = stateful_write;
	self->stream.free = stateful_free_stream;
	*out = &self->base;
	return 0;
}

int transport_new(git_transport **out, git_remote *owner, void *payload)
{
	struct transport *transport = payload;
	bool http = transport->type == TRANSPORT_HTTP;
	git_smart_subtransport_definition definition = {
		.callback = http ? transport_http_new : stateful_new,
		.rpc = http,
		.param = transport,
	};
	return git_transport_smart(out, owner, &definition);
}
