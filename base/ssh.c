#include "base/ssh_private.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define KEEPALIVE_S  15    /* firewalls forget a silent connection after some minutes */
#define LOST_MS      60000 /* of bytes that nobody acknowledges: the host is gone */
#define GOODBYE_MS   200   /* for a polite end; then the socket is closed */
#define FREE_TRIES   100   /* on a socket that is shut down nothing can block */
#define DEFAULT_PORT 22

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

static short wanted_events(struct ssh *self)
{
	int directions = libssh2_session_block_directions(self->session);
	short events = (directions & LIBSSH2_SESSION_BLOCK_OUTBOUND) ? POLLOUT : 0;

	if (!events || (directions & LIBSSH2_SESSION_BLOCK_INBOUND))
		events |= POLLIN;
	return events;
}

bool ssh_wait(struct ssh *self, struct error *err)
{
	short events = wanted_events(self);
	int next = 0;

	acknowledge_at_once(self);
	(void)libssh2_keepalive_send(self->session, &next); /* a loss shows at the next read */
	if (deadline_poll(&self->deadline, dial_socket(self->dial), events, SSH_POLL_CAP_MS, err))
		return true;
	self->broken = true;
	return false;
}

static bool no_common_algorithm(struct ssh *self, struct error *err)
{
	(void)error_set(err, ERR_UNREACHABLE, "%s: no common algorithm with libssh2 %s", self->peer,
		libssh2_version(0));
	return error_hint(err,
		"let sshd offer one of each: KexAlgorithms curve25519-sha256, Ciphers aes256-ctr, "
		"MACs hmac-sha2-512, host key ed25519 or ecdsa; for a host of a client 'transport: "
		"openssh' helps too");
}

/* Our words for a failure of libssh2. */
bool ssh_failed(struct ssh *self, long rc, struct error *err)
{
	char *text = NULL;

	self->broken = true;
	if (rc == LIBSSH2_ERROR_EAGAIN) /* ssh_wait() has said why */
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
static bool prefer_known_types(struct ssh *self, struct error *err)
{
	static const char *const all[] = {"ssh-ed25519", "ecdsa-sha2-nistp256",
		"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256",
		"ssh-rsa"};
	auto_strlist struct strlist known = STRLIST_INIT;
	auto_strlist struct strlist supported = STRLIST_INIT;
	auto_buf struct buf list = BUF_INIT(1024);
	const struct ssh_options *options = self->options;

	if (options->known_hosts)
		known_hosts_types(options->known_hosts, options->host,
			options->port ? options->port : DEFAULT_PORT, &known);
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

static bool check_fingerprint(struct ssh *self, const char *blob, size_t len, struct error *err)
{
	const char *wanted = self->options->fingerprint;
	auto_buf struct buf shown = BUF_INIT(200);

	known_hosts_fingerprint(blob, len, &shown);
	if (!strcmp(shown.text, wanted))
		return true;
	(void)error_set(err, ERR_AUTH,
		"%s: host key is not the one of the inventory: wanted is %s, shown was %s",
		self->peer, wanted, shown.text);
	return error_hint(err, "somebody may be in the middle; if the host was really reinstalled, "
			       "write its new host_key_fingerprint");
}

static bool check_host_key(struct ssh *self, struct error *err)
{
	const struct ssh_options *options = self->options;
	size_t len = 0;
	int type = 0;
	const char *blob = libssh2_session_hostkey(self->session, &len, &type);

	if (!blob)
		return error_set(err, ERR_AUTH, "%s: the server showed no host key", self->peer);
	if (options->fingerprint)
		return check_fingerprint(self, blob, len, err);
	const struct host_key shown = {
		options->host, options->port ? options->port : DEFAULT_PORT, blob, len};
	return known_hosts_check(options->known_hosts, &shown, err) ||
	       error_wrap(err, "%s", self->peer);
}

static enum ssh_step handshake_step(struct ssh *self, struct error *err)
{
	int rc = libssh2_session_handshake(self->session, dial_socket(self->dial));

	if (rc == LIBSSH2_ERROR_EAGAIN)
		return SSH_WAIT;
	if (rc < 0) {
		self->dropped = rc != LIBSSH2_ERROR_KEX_FAILURE && rc != LIBSSH2_ERROR_METHOD_NONE;
		(void)ssh_failed(self, rc, err); /* returns false */
		return SSH_FAILED;
	}
	return check_host_key(self, err) ? SSH_DONE : SSH_FAILED;
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

static enum ssh_step login_step(struct ssh *self, struct error *err)
{
	const struct ssh_options *options = self->options;
	int rc = libssh2_userauth_publickey_frommemory(self->session, options->user,
		strlen(options->user), NULL, 0, options->key, options->key_len, NULL);

	if (rc == LIBSSH2_ERROR_EAGAIN)
		return SSH_WAIT;
	if (rc == 0)
		return SSH_DONE;
	self->broken = true;
	(void)login_refused(self, options, rc, err); /* returns false */
	return SSH_FAILED;
}

static bool check_options(const struct ssh_options *options, struct error *err)
{
	if (!options->host[0] || options->host[0] == '-' || !options->user[0] ||
		options->user[0] == '-')
		return error_set(err, ERR_INVALID, "host '%s' or user '%s' is not usable",
			options->host, options->user);
	return ssh_key_check(options->key_name, options->key, options->key_len, err);
}

bool ssh_start(const struct ssh_options *options, struct dialer *dialer, struct ssh **ssh_out,
	struct error *err)
{
	auto_ssh struct ssh *self = NULL;
	unsigned port = options->port ? options->port : DEFAULT_PORT;

	if (!options->program && !check_options(options, err))
		return false;
	self = mem_zero(1, sizeof(*self));
	self->options = options;
	self->program_argv = options->program;
	self->peer = mem_printf("ssh %s:%u", options->host, port);
	buf_init(&self->errors, SSH_STDERR_MAX);
	self->deadline = options->deadline;
	self->deadline.peer = self->peer;
	self->deadline.doing = "connecting";
	self->broken = true;
	deadline_start(&self->deadline);
	if (options->program)
		self->phase = SSH_READY; /* it connects when it has its command */
	else if (!dial_start(dialer, options->host, port, &self->dial, err))
		return false;
	*ssh_out = STEAL(self);
	return true;
}

static bool begin_session(struct ssh *self, struct error *err)
{
	int lost_ms = LOST_MS;

	/* a hint: without it a host that vanished is given up by the deadline */
	(void)setsockopt(
		dial_socket(self->dial), IPPROTO_TCP, TCP_USER_TIMEOUT, &lost_ms, sizeof(lost_ms));
	self->session = libssh2_session_init();
	if (!self->session)
		mem_abort(0);
	self->deadline.doing = "agreeing on keys";
	deadline_progress(&self->deadline);
	libssh2_session_set_blocking(self->session, 0);
	return prefer_known_types(self, err);
}

/* Into the next phase. @return false: failed */
static bool next_phase(struct ssh *self, struct error *err)
{
	self->phase++;
	if (self->phase == SSH_HANDSHAKE)
		return begin_session(self, err);
	deadline_progress(&self->deadline);
	if (self->phase == SSH_LOGIN) {
		self->deadline.doing = "logging in";
		return true;
	}
	libssh2_keepalive_config(self->session, 1, KEEPALIVE_S);
	self->broken = false;
	self->options = NULL;
	return true;
}

static enum ssh_step dial_step(struct ssh *self, struct error *err)
{
	switch (dial_look(self->dial, &self->deadline, err)) {
	case DIAL_OPEN:
		return SSH_DONE;
	case DIAL_PENDING:
		return SSH_WAIT;
	case DIAL_FAILED:
		break;
	}
	return SSH_FAILED;
}

enum ssh_step ssh_open_step(struct ssh *self, struct error *err)
{
	enum ssh_step step = SSH_DONE;

	while (self->phase != SSH_READY && step == SSH_DONE) {
		step = self->phase == SSH_DIALLING    ? dial_step(self, err)
		       : self->phase == SSH_HANDSHAKE ? handshake_step(self, err)
						      : login_step(self, err);
		if (step == SSH_DONE && !next_phase(self, err))
			return SSH_FAILED;
	}
	return step;
}

bool ssh_was_dropped(const struct ssh *self)
{
	return self->dropped;
}

bool ssh_open(const struct ssh_options *options, struct ssh **ssh_out, struct error *err)
{
	struct dialer *dialer = dialer_new();
	auto_ssh struct ssh *self = NULL;
	enum ssh_step step;

	if (!ssh_start(options, dialer, &self, err)) {
		dialer_free(dialer);
		return false;
	}
	dial_give(self->dial, dialer);
	while ((step = ssh_open_step(self, err)) == SSH_WAIT) {
		bool fine = self->phase == SSH_DIALLING
				    ? dial_wait(self->dial, &self->deadline, err)
				    : ssh_wait(self, err);
		if (!fine)
			return false;
	}
	if (step == SSH_FAILED)
		return false;
	*ssh_out = STEAL(self);
	return true;
}

size_t ssh_poll(struct ssh *self, struct pollfd *fds)
{
	if (self->phase == SSH_DIALLING)
		return 0;
	if (self->program_argv)
		return self->program ? ssh_program_poll(self->program, fds) : 0;
	acknowledge_at_once(self);
	fds[0] = (struct pollfd){.fd = dial_socket(self->dial), .events = wanted_events(self)};
	return 1;
}

int ssh_left_ms(const struct ssh *self, int cap)
{
	return deadline_left(&self->deadline, cap < SSH_POLL_CAP_MS ? cap : SSH_POLL_CAP_MS);
}

bool ssh_check(struct ssh *self, struct error *err)
{
	int next = 0;

	if (self->phase == SSH_READY && self->session)
		(void)libssh2_keepalive_send(self->session, &next); /* a loss shows at a read */
	if (deadline_check(&self->deadline, err))
		return true;
	self->broken = true;
	return false;
}

void ssh_free_channel(struct ssh *self)
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
		ssh_free_channel(self);
		for (int i = 0; i < FREE_TRIES; i++) {
			if (libssh2_session_free(self->session) != LIBSSH2_ERROR_EAGAIN)
				break;
		}
	}
	ssh_program_free(self->program);
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
