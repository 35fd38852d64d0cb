#include "base/ssh.h"
#include "base/dial.h"
#include <libssh2.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define STDERR_MAX   8192
#define KEEPALIVE_S  15   /* firewalls forget a silent connection after some minutes */
#define POLL_CAP_MS  5000 /* so that keep-alives go out while we wait */
#define GOODBYE_MS   200  /* for a polite end; then the socket is closed */
#define FREE_TRIES   100  /* on a socket that is shut down nothing can block */
#define DEFAULT_PORT 22

struct ssh {
	struct dial *dial;
	struct deadline deadline;
	char *peer; /* "ssh host:port" */
	LIBSSH2_SESSION *session;
	LIBSSH2_CHANNEL *channel;
	struct buf errors; /* stderr of the command */
	bool broken;       /* no polite good-bye */
};

bool ssh_library_init(struct error *err)
{
	if (libssh2_init(0) != 0)
		return error_set(err, ERR_SYSTEM, "libssh2 could not start");
	return true;
}

/* sshd's own Nagle waits for our delayed ACK: 40 ms for each answer without this. */
static void acknowledge_at_once(const struct ssh *self)
{
	int one = 1;
	/* a hint: where it is refused everything works, later */
	(void)setsockopt(dial_socket(self->dial), IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
}

static bool wait_for_socket(struct ssh *self, struct error *err)
{
	int directions = libssh2_session_block_directions(self->session), next = 0;
	short events = (directions & LIBSSH2_SESSION_BLOCK_OUTBOUND) ? POLLOUT : 0;

	if (!events || (directions & LIBSSH2_SESSION_BLOCK_INBOUND))
		events |= POLLIN;
	acknowledge_at_once(self);
	(void)libssh2_keepalive_send(self->session, &next); /* a loss shows at the next read */
	if (deadline_poll(&self->deadline, dial_socket(self->dial), events, POLL_CAP_MS, err))
		return true;
	self->broken = true;
	return false;
}

/* Repeat a libssh2 call until it does not ask to wait; rc LIBSSH2_ERROR_EAGAIN: err is set. */
#define SSH_CALL(self, rc, call, err)                                                              \
	do                                                                                         \
		(rc) = (call);                                                                     \
	while ((rc) == LIBSSH2_ERROR_EAGAIN && wait_for_socket((self), (err)))

static bool no_common_algorithm(struct ssh *self, struct error *err)
{
	(void)error_set(err, ERR_UNREACHABLE, "%s: no common algorithm with libssh2 %s", self->peer,
		libssh2_version(0));
	return error_hint(err,
		"let sshd offer one of each: KexAlgorithms curve25519-sha256, Ciphers aes256-ctr, "
		"MACs hmac-sha2-512, host key ed25519 or ecdsa");
}

/* Our words for a failure of libssh2. */
static bool ssh_failed(struct ssh *self, long rc, struct error *err)
{
	char *text = NULL;

	self->broken = true;
	if (rc == LIBSSH2_ERROR_EAGAIN) /* wait_for_socket() has said why */
		return false;
	if (rc == LIBSSH2_ERROR_KEX_FAILURE || rc == LIBSSH2_ERROR_METHOD_NONE)
		return no_common_algorithm(self, err);
	(void)libssh2_session_last_error(self->session, &text, NULL, 0);
	auto_buf struct buf clean = BUF_INIT(200);
	if (text)
		buf_add_clean(&clean, text, strlen(text));
	return error_set(err, ERR_UNREACHABLE, "%s: connection lost while %s: %s (%ld)", self->peer,
		self->deadline.doing, clean.len ? clean.text : "closed by the server", rc);
}

/* ---- opening ------------------------------------------------------------------------------- */

/* Names of one kind that this libssh2 has. */
static bool supported_types(struct ssh *self, struct strlist *types_out, struct error *err)
{
	const char **names = NULL;

	int count = libssh2_session_supported_algs(self->session, LIBSSH2_METHOD_HOSTKEY, &names);
	if (count < 0)
		return error_set(err, ERR_SYSTEM, "%s: host key types could not be listed (%d)",
			self->peer, count);
	for (int i = 0; i < count; i++)
		strlist_add(types_out, names[i]);
	if (names)
		libssh2_free(self->session, names);
	return true;
}

/* Types that known_hosts has for the host come first, so that a pinned key is the one shown.
 * Only what libssh2 has: 1.10 strikes out others with a memcpy() that overlaps. */
static bool prefer_known_types(
	struct ssh *self, const struct ssh_options *options, struct error *err)
{
	static const char *const all[] = {"ssh-ed25519", "ecdsa-sha2-nistp256",
		"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256",
		"ssh-rsa"};
	auto_strlist struct strlist known = STRLIST_INIT;
	auto_strlist struct strlist supported = STRLIST_INIT;
	auto_buf struct buf list = BUF_INIT(1024);

	known_hosts_types(options->known_hosts, options->host, options->port, &known);
	if (!supported_types(self, &supported, err))
		return false;
	for (int wanted = 1; wanted >= 0; wanted--) {
		for (size_t i = 0; i < ARRAY_LEN(all); i++) {
			/* one RSA key serves three signature types */
			const char *type = strstr(all[i], "rsa") ? "ssh-rsa" : all[i];
			if (strlist_has(&known, type) == wanted && strlist_has(&supported, all[i]))
				buf_addf(&list, "%s%s", list.len ? "," : "", all[i]);
		}
	}
	int rc = libssh2_session_method_pref(self->session, LIBSSH2_METHOD_HOSTKEY, list.text);
	return rc == 0 || error_set(err, ERR_SYSTEM, "%s: host key types were not accepted (%d)",
				  self->peer, rc);
}

static bool handshake(struct ssh *self, const struct ssh_options *options, struct error *err)
{
	size_t len = 0;
	int rc, type = 0;

	self->deadline.doing = "agreeing on keys";
	deadline_progress(&self->deadline);
	libssh2_session_set_blocking(self->session, 0);
	if (!prefer_known_types(self, options, err))
		return false;
	SSH_CALL(self, rc, libssh2_session_handshake(self->session, dial_socket(self->dial)), err);
	if (rc < 0)
		return ssh_failed(self, rc, err);
	const char *blob = libssh2_session_hostkey(self->session, &len, &type);
	if (!blob)
		return error_set(err, ERR_AUTH, "%s: the server showed no host key", self->peer);
	const struct host_key shown = {options->host, options->port, blob, len};
	return known_hosts_check(options->known_hosts, &shown, err) ||
	       error_wrap(err, "%s", self->peer);
}

static bool login_refused(
	struct ssh *self, const struct ssh_options *options, int rc, struct error *err)
{
	switch (rc) {
	case LIBSSH2_ERROR_AUTHENTICATION_FAILED:
	case LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED:
	case LIBSSH2_ERROR_METHOD_NOT_SUPPORTED:
		(void)error_set(err, ERR_AUTH, "%s: key '%s' was refused for user '%s'", self->peer,
			options->key_name, options->user);
		return error_hint(err, "give the server the public key: ssh-keygen -yf %s",
			options->key_name);
	case LIBSSH2_ERROR_FILE:
	case LIBSSH2_ERROR_KEYFILE_AUTH_FAILED:
		(void)error_set(err, ERR_INVALID, "'%s' is not a private key that libssh2 %s reads",
			options->key_name, libssh2_version(0));
		return error_hint(err, "make one: ssh-keygen -t ed25519 -N ''");
	default:
		return ssh_failed(self, rc, err);
	}
}

static bool login(struct ssh *self, const struct ssh_options *options, struct error *err)
{
	int rc;

	self->deadline.doing = "logging in";
	deadline_progress(&self->deadline);
	SSH_CALL(self, rc,
		libssh2_userauth_publickey_frommemory(self->session, options->user,
			strlen(options->user), NULL, 0, options->key, options->key_len, NULL),
		err);
	if (rc == 0)
		return true;
	self->broken = true;
	return login_refused(self, options, rc, err);
}

static bool check_options(const struct ssh_options *options, struct error *err)
{
	if (!options->host[0] || options->host[0] == '-' || !options->user[0] ||
		options->user[0] == '-')
		return error_set(err, ERR_INVALID, "host '%s' or user '%s' is not usable",
			options->host, options->user);
	return ssh_key_check(options->key_name, options->key, options->key_len, err);
}

bool ssh_open(const struct ssh_options *given, struct ssh **ssh_out, struct error *err)
{
	struct ssh_options options = *given;
	auto_ssh struct ssh *self = NULL;

	options.port = options.port ? options.port : DEFAULT_PORT;
	if (!check_options(&options, err))
		return false;
	self = mem_zero(1, sizeof(*self));
	self->peer = mem_printf("ssh %s:%u", options.host, options.port);
	buf_init(&self->errors, STDERR_MAX);
	self->deadline = options.deadline;
	self->deadline.peer = self->peer;
	self->broken = true;
	deadline_start(&self->deadline);
	if (!dial_open(options.host, options.port, &self->deadline, &self->dial, err))
		return false;
	self->session = libssh2_session_init();
	if (!self->session)
		mem_abort(0);
	if (!handshake(self, &options, err) || !login(self, &options, err))
		return false;
	libssh2_keepalive_config(self->session, 1, KEEPALIVE_S);
	self->broken = false;
	*ssh_out = STEAL(self);
	return true;
}

static void free_channel(struct ssh *self)
{
	for (int i = 0; self->channel && i < FREE_TRIES; i++) {
		if (libssh2_channel_free(self->channel) != LIBSSH2_ERROR_EAGAIN)
			self->channel = NULL;
	}
	self->channel = NULL; /* libssh2_session_free() has what is left */
}

static void say_goodbye(struct ssh *self)
{
	struct deadline *deadline = &self->deadline;
	struct error ignored;
	int rc;

	deadline->cancel_fd = -1;
	deadline->connect_ms = deadline->total_ms = GOODBYE_MS;
	deadline_start(deadline);
	/* whether the server hears it or not: we are done */
	SSH_CALL(self, rc, libssh2_session_disconnect(self->session, "done"), &ignored);
}

void ssh_free(struct ssh *self)
{
	if (!self)
		return;
	if (self->session) {
		if (!self->broken)
			say_goodbye(self);
		/* from here on nothing waits for the network */
		(void)shutdown(dial_socket(self->dial), SHUT_RDWR);
		free_channel(self);
		for (int i = 0; i < FREE_TRIES; i++) {
			if (libssh2_session_free(self->session) != LIBSSH2_ERROR_EAGAIN)
				break;
		}
	}
	dial_free(self->dial);
	buf_clear(&self->errors);
	free(self->peer);
	free(self);
}

void ssh_doing(struct ssh *self, const char *doing)
{
	self->deadline.doing = doing;
}

void ssh_restart_clock(struct ssh *self, int64_t idle_ms, int64_t total_ms)
{
	self->deadline.idle_ms = idle_ms;
	self->deadline.total_ms = total_ms;
	deadline_start(&self->deadline);
	deadline_progress(&self->deadline);
}

/* ---- a command ----------------------------------------------------------------------------- */

bool ssh_exec_start(struct ssh *self, const char *command, struct error *err)
{
	int rc;

	free_channel(self);
	buf_truncate(&self->errors, 0);
	self->errors.overflow = false;
	deadline_progress(&self->deadline);
	while (!(self->channel = libssh2_channel_open_session(self->session))) {
		rc = libssh2_session_last_errno(self->session);
		if (rc != LIBSSH2_ERROR_EAGAIN || !wait_for_socket(self, err))
			return ssh_failed(self, rc, err);
	}
	SSH_CALL(self, rc, libssh2_channel_exec(self->channel, command), err);
	return rc == 0 || ssh_failed(self, rc, err);
}

/* What does not fit is dropped, but read: a full window would stop the command. */
static bool drain_stderr(struct ssh *self, struct error *err)
{
	char chunk[4096];
	ssize_t got;

	while ((got = libssh2_channel_read_stderr(self->channel, chunk, sizeof(chunk))) > 0) {
		buf_add(&self->errors, chunk, (size_t)got);
		deadline_progress(&self->deadline);
	}
	return got == 0 || got == LIBSSH2_ERROR_EAGAIN || ssh_failed(self, got, err);
}

bool ssh_read(struct ssh *self, void *bytes, size_t size, size_t *got_out, struct error *err)
{
	deadline_progress(&self->deadline); /* the caller may have been busy meanwhile */
	while (true) {
		if (!drain_stderr(self, err))
			return false;
		ssize_t got = libssh2_channel_read(self->channel, bytes, size);
		if (got > 0 || (got == 0 && libssh2_channel_eof(self->channel))) {
			deadline_progress(&self->deadline);
			*got_out = (size_t)got;
			return true;
		}
		if (got < 0 && got != LIBSSH2_ERROR_EAGAIN)
			return ssh_failed(self, got, err);
		if (!wait_for_socket(self, err))
			return false;
	}
}

bool ssh_write(struct ssh *self, const void *bytes, size_t len, struct error *err)
{
	const char *at = bytes;

	deadline_progress(&self->deadline);
	while (len) {
		ssize_t put = libssh2_channel_write(self->channel, at, len);
		if (put > 0) {
			at += put;
			len -= (size_t)put;
			deadline_progress(&self->deadline);
			continue;
		}
		if (put < 0 && put != LIBSSH2_ERROR_EAGAIN)
			return ssh_failed(self, put, err);
		if (!drain_stderr(self, err) || !wait_for_socket(self, err))
			return false;
	}
	return true;
}

bool ssh_write_end(struct ssh *self, struct error *err)
{
	int rc;
	SSH_CALL(self, rc, libssh2_channel_send_eof(self->channel), err);
	return rc == 0 || ssh_failed(self, rc, err);
}

bool ssh_exec_finish(struct ssh *self, struct ssh_result *result_out, struct error *err)
{
	struct ssh_result result = {0};
	char chunk[4096];
	char *name = NULL;
	size_t got = 1, name_len = 0;
	int rc;

	if (!ssh_write_end(self, err))
		return false;
	while (got > 0) {
		if (!ssh_read(self, chunk, sizeof(chunk), &got, err))
			return false;
	}
	SSH_CALL(self, rc, libssh2_channel_close(self->channel), err);
	if (rc == 0)
		SSH_CALL(self, rc, libssh2_channel_wait_closed(self->channel), err);
	if (rc < 0)
		return ssh_failed(self, rc, err);
	/* first: after a signal get_exit_status says 0 */
	rc = libssh2_channel_get_exit_signal(
		self->channel, &name, &name_len, NULL, NULL, NULL, NULL);
	if (rc == 0 && name) {
		(void)snprintf(result.signal, sizeof(result.signal), "%.*s", (int)name_len, name);
		libssh2_free(self->session, name);
	}
	result.exit_status = libssh2_channel_get_exit_status(self->channel);
	*result_out = result;
	return true;
}

const struct buf *ssh_stderr(const struct ssh *self)
{
	return &self->errors;
}
