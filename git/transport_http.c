#include "git/transport_http.h"
#include <curl/curl.h>

#define BODY_MAX    ((size_t)256 << 20) /* of a request: the pack of a push */
#define PAUSE_ABOVE ((size_t)512 << 10) /* received and not read yet: let the server wait */
#define SHOWN_MAX   ((size_t)80)        /* of the body of a refusal */
#define POLL_CAP_MS 1000
#define USER_AGENT  "git/2.0 (aviary " AVIARY_VERSION ")" /* some forges look at `git/` */
#define MAX_WAITING (PAUSE_ABOVE + (size_t)CURL_MAX_WRITE_SIZE)

struct http {
	git_smart_subtransport base;
	git_smart_subtransport_stream stream;
	struct transport *transport;
	CURLM *multi;
	CURL *easy;
	bool in_multi;
	struct curl_slist *headers;
	char error_text[CURL_ERROR_SIZE];
	const char *service; /* "git-upload-pack" */
	bool listing;        /* GET info/refs */
	bool started, done, paused, checked;
	CURLcode result;
	struct buf request;
	struct buf answer; /* received and not read by libgit2 yet */
	size_t answer_at;
	curl_off_t moved; /* bytes both ways, for signs of life */
	bool connected;
};

/* ---- what the answer means ----------------------------------------------------------------- */

static bool tls_failed(struct http *self, struct error *err)
{
	const struct transport *transport = self->transport;

	(void)error_set(err, ERR_AUTH, "%s: the server's certificate is not trusted: %s",
		transport->peer,
		self->error_text[0] ? self->error_text : curl_easy_strerror(self->result));
	return error_hint(err, transport->ca_file ? "is ca_file the CA that signed it?"
						  : "name your own CA with ca_file");
}

static bool curl_failed(struct http *self, struct error *err)
{
	const char *peer = self->transport->peer;
	const char *text =
		self->error_text[0] ? self->error_text : curl_easy_strerror(self->result);
	switch (self->result) {
	case CURLE_COULDNT_RESOLVE_HOST:
		(void)error_set(err, ERR_UNREACHABLE, "%s: no such host name", peer);
		return error_hint(err, "check the host in the URL and this machine's DNS");
	case CURLE_COULDNT_CONNECT:
		(void)error_set(err, ERR_UNREACHABLE, "%s: cannot connect: %s", peer, text);
		return error_hint(err, "check the port, the firewall and whether the server runs");
	case CURLE_PEER_FAILED_VERIFICATION:
		return tls_failed(self, err);
	case CURLE_SSL_CACERT_BADFILE:
		return error_set(err, ERR_INVALID, "ca_file '%s' cannot be used: %s",
			self->transport->ca_file, text);
	case CURLE_SSL_CONNECT_ERROR:
		return error_set(err, ERR_UNREACHABLE, "%s: TLS failed: %s", peer, text);
	default:
		return error_set(err, ERR_UNREACHABLE, "%s: connection lost while %s: %s", peer,
			transport_doing(self->transport), text);
	}
}

static bool credentials_refused(struct http *self, long status, struct error *err)
{
	const struct transport *transport = self->transport;

	if (status == 401 && !transport->password) {
		(void)error_set(err, ERR_AUTH, "%s: the server asks for credentials (401)",
			transport->peer);
		return error_hint(err, "put a token into a file and name it with token_file");
	}
	(void)error_set(err, ERR_AUTH,
		status == 401 ? "%s: credentials refused (401)" : "%s: access forbidden (403)",
		transport->peer);
	return error_hint(err, transport->push ? "may this token write to the repository?"
					       : "has the token expired, may it read?");
}

static bool status_failed(struct http *self, long status, struct error *err)
{
	const char *peer = self->transport->peer, *to = NULL;
	auto_buf struct buf shown = BUF_INIT(SHOWN_MAX);

	if (status == 401 || status == 403)
		return credentials_refused(self, status, err);
	if (status == 404) {
		(void)error_set(
			err, ERR_NOT_FOUND, "%s: no such repository, or no access (404)", peer);
		return error_hint(err, "check '%s'; forges say 404 to a token without access too",
			self->transport->url);
	}
	if (status >= 300 && status < 400) {
		(void)curl_easy_getinfo(self->easy, CURLINFO_REDIRECT_URL, &to); /* else NULL */
		return error_set(err, ERR_INVALID, "%s: moved to '%s': put that URL there", peer,
			to ? to : "?");
	}
	buf_add_clean(&shown, self->answer.text,
		self->answer.len < SHOWN_MAX ? self->answer.len : SHOWN_MAX);
	return error_set(err, status >= 500 || status == 429 ? ERR_UNREACHABLE : ERR_INVALID,
		"%s: the server answered %ld: %s", peer, status, shown.text);
}

static bool check_answer(struct http *self, struct error *err)
{
	long status = 0;
	const char *type = NULL;
	auto_free char *wanted = mem_printf(
		"application/x-%s-%s", self->service, self->listing ? "advertisement" : "result");

	(void)curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &status); /* else 0 */
	if (status != 200)
		return status_failed(self, status, err);
	(void)curl_easy_getinfo(self->easy, CURLINFO_CONTENT_TYPE, &type); /* else NULL */
	if (!type || strncasecmp(type, wanted, strlen(wanted)) != 0) {
		auto_buf struct buf shown = BUF_INIT(SHOWN_MAX);
		buf_add_clean(&shown, type ? type : "nothing", type ? strlen(type) : 7);
		(void)error_set(err, ERR_INVALID, "%s: not a git server: it answered with '%s'",
			self->transport->peer, shown.text);
		return error_hint(err, "check the URL '%s'", self->transport->url);
	}
	self->checked = true;
	return true;
}

/* ---- driving libcurl ----------------------------------------------------------------------- */

static size_t take_bytes(char *bytes, size_t size, size_t count, void *data)
{
	struct http *self = data;
	size_t len = size * count;
	long status = 0;

	(void)curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &status); /* else 0 */
	if (status != 200 && self->answer.len >= SHOWN_MAX)
		return len; /* the rest of an error page is nobody's */
	if (self->answer.len - self->answer_at > PAUSE_ABOVE) {
		self->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	buf_add(&self->answer, bytes, len);
	return buf_overflowed(&self->answer) ? 0 : len;
}

static void note_progress(struct http *self)
{
	curl_off_t up = 0, down = 0, ready_us = 0;
	long headers = 0;

	(void)curl_easy_getinfo(self->easy, CURLINFO_SIZE_UPLOAD_T, &up); /* all: else 0 */
	(void)curl_easy_getinfo(self->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
	(void)curl_easy_getinfo(self->easy, CURLINFO_HEADER_SIZE, &headers);
	(void)curl_easy_getinfo(self->easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
	if (!self->connected && ready_us > 0) {
		self->connected = true;
		self->transport->deadline.doing = transport_doing(self->transport);
		deadline_progress(&self->transport->deadline);
	}
	if (up + down + headers != self->moved) {
		self->moved = up + down + headers;
		deadline_progress(&self->transport->deadline);
	}
}

static bool step(struct http *self, struct error *err)
{
	struct deadline *deadline = &self->transport->deadline;
	int running, left;
	CURLMsg *message;

	if (curl_multi_perform(self->multi, &running) != CURLM_OK)
		return error_set(err, ERR_SYSTEM, "%s: libcurl failed", deadline->peer);
	while ((message = curl_multi_info_read(self->multi, &left))) {
		if (message->msg != CURLMSG_DONE)
			continue;
		self->done = true;
		self->result = message->data.result;
	}
	note_progress(self);
	return true;
}

static bool wait_for_bytes(struct http *self, struct error *err)
{
	struct deadline *deadline = &self->transport->deadline;
	struct curl_waitfd cancel = {.fd = deadline->cancel_fd, .events = CURL_WAIT_POLLIN};

	if (!deadline_check(deadline, err))
		return false;
	if (curl_multi_poll(self->multi, &cancel, deadline->cancel_fd >= 0,
		    deadline_left(deadline, POLL_CAP_MS) + 1, NULL) != CURLM_OK)
		return error_set(err, ERR_SYSTEM, "%s: poll failed", deadline->peer);
	return true;
}

/* Until bytes are there for libgit2 or the answer has ended. */
static bool receive(struct http *self, struct error *err)
{
	while (true) {
		if (self->paused && self->answer.len - self->answer_at <= PAUSE_ABOVE) {
			self->paused = false;
			if (curl_easy_pause(self->easy, CURLPAUSE_CONT) != CURLE_OK)
				return error_set(err, ERR_SYSTEM, "%s: libcurl failed",
					self->transport->peer);
		}
		if (!step(self, err))
			return false;
		if (self->done && self->result != CURLE_OK)
			return curl_failed(self, err);
		long status = 0;
		(void)curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &status); /* else 0 */
		bool some = self->answer.len > self->answer_at;
		if (self->done || (some && status == 200))
			return self->checked || check_answer(self, err);
		if (!wait_for_bytes(self, err))
			return false;
	}
}

/* ---- a request ----------------------------------------------------------------------------- */

static void end_request(struct http *self)
{
	if (self->in_multi)
		(void)curl_multi_remove_handle(self->multi, self->easy); /* it is in there */
	self->in_multi = false;
	curl_slist_free_all(self->headers);
	self->headers = NULL;
	self->started = self->done = self->paused = self->checked = self->connected = false;
	self->result = CURLE_OK;
	self->moved = 0;
	self->answer_at = 0;
	buf_clear(&self->request);
	buf_clear(&self->answer);
	buf_init(&self->request, BODY_MAX);
	buf_init(&self->answer, MAX_WAITING);
}

#define SET(option, value) (rc = rc ? rc : curl_easy_setopt(self->easy, option, value))

static CURLcode set_identity(struct http *self)
{
	const struct transport *transport = self->transport;
	CURLcode rc = CURLE_OK;

	if (transport->ca_file) { /* and only this: else the system's folder counts too */
		SET(CURLOPT_CAINFO, transport->ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	if (transport->password) {
		SET(CURLOPT_HTTPAUTH, CURLAUTH_BASIC); /* with the first request */
		SET(CURLOPT_USERNAME, transport->user);
		SET(CURLOPT_PASSWORD, transport->password);
	}
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_PROXY, "");
	return rc;
}

static CURLcode set_request(struct http *self)
{
	const char *base = self->transport->url;
	int base_len = (int)strlen(base) - (base[strlen(base) - 1] == '/');
	auto_free char *url = self->listing ? mem_printf("%.*s/info/refs?service=%s", base_len,
						      base, self->service)
					    : mem_printf("%.*s/%s", base_len, base, self->service);
	CURLcode rc = CURLE_OK;

	SET(CURLOPT_URL, url);
	SET(CURLOPT_PROTOCOLS_STR, !strncmp(base, "https:", 6) ? "https" : "http");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L); /* do not wait for a resolver that hangs */
	SET(CURLOPT_USERAGENT, USER_AGENT);
	SET(CURLOPT_ERRORBUFFER, self->error_text);
	SET(CURLOPT_WRITEFUNCTION, take_bytes);
	SET(CURLOPT_WRITEDATA, self);
	SET(CURLOPT_HTTPHEADER, self->headers);
	if (!self->listing) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)self->request.len);
		SET(CURLOPT_POSTFIELDS, self->request.text);
	}
	return rc ? rc : set_identity(self);
}

static void add_header(struct http *self, const char *text)
{
	struct curl_slist *longer = curl_slist_append(self->headers, text);
	if (!longer)
		mem_abort(strlen(text));
	self->headers = longer;
}

static bool start_request(struct http *self, struct error *err)
{
	struct deadline *deadline = &self->transport->deadline;

	if (buf_overflowed(&self->request))
		return error_set(err, ERR_INVALID, "%s: a push of more than %zu bytes",
			self->transport->peer, BODY_MAX);
	curl_easy_reset(self->easy);
	self->error_text[0] = '\0';
	if (!self->listing) { /* git-http-backend answers 415 without the first */
		auto_free char *type =
			mem_printf("Content-Type: application/x-%s-request", self->service);
		auto_free char *accept =
			mem_printf("Accept: application/x-%s-result", self->service);
		add_header(self, type);
		add_header(self, accept);
		add_header(self, "Expect:");
	}
	CURLcode rc = set_request(self);
	if (rc != CURLE_OK)
		return error_set(
			err, ERR_SYSTEM, "libcurl could not be set up: %s", curl_easy_strerror(rc));
	if (curl_multi_add_handle(self->multi, self->easy) != CURLM_OK)
		return error_set(err, ERR_SYSTEM, "libcurl could not be set up");
	self->in_multi = self->started = true;
	deadline->doing = "connecting";
	deadline_connecting(deadline);
	return true;
}

/* ---- libgit2's side ------------------------------------------------------------------------ */

static struct http *of_stream(git_smart_subtransport_stream *stream)
{
	return (struct http *)stream->subtransport;
}

static int http_read(
	git_smart_subtransport_stream *stream, char *bytes, size_t size, size_t *got_out)
{
	struct http *self = of_stream(stream);
	struct transport *transport = self->transport;

	*got_out = 0;
	if (self->connected) /* libgit2 may have been busy meanwhile */
		deadline_progress(&transport->deadline);
	if (!self->started && !start_request(self, &transport->err))
		return transport_failed(transport);
	if (self->answer_at == self->answer.len) {
		buf_truncate(&self->answer, 0);
		self->answer_at = 0;
		if (!(self->done && self->checked) && !receive(self, &transport->err))
			return transport_failed(transport);
	}
	size_t left = self->answer.len - self->answer_at;
	*got_out = left < size ? left : size;
	memcpy(bytes, self->answer.text + self->answer_at, *got_out);
	self->answer_at += *got_out;
	return 0;
}

static int http_write(git_smart_subtransport_stream *stream, const char *bytes, size_t len)
{
	struct http *self = of_stream(stream);
	struct transport *transport = self->transport;

	buf_add(&self->request, bytes, len);
	deadline_progress(&transport->deadline);
	if (deadline_check(&transport->deadline, &transport->err))
		return 0;
	return transport_failed(transport);
}

static void http_free_stream(git_smart_subtransport_stream *stream)
{
	end_request(of_stream(stream));
}

static int http_action(git_smart_subtransport_stream **out, git_smart_subtransport *base,
	const char *url, git_smart_service_t action)
{
	struct http *self = (struct http *)base;

	(void)url; /* transport has it */
	end_request(self);
	self->listing = action == GIT_SERVICE_UPLOADPACK_LS || action == GIT_SERVICE_RECEIVEPACK_LS;
	self->service = action == GIT_SERVICE_UPLOADPACK_LS || action == GIT_SERVICE_UPLOADPACK
				? "git-upload-pack"
				: "git-receive-pack";
	*out = &self->stream;
	return 0;
}

static int http_close(git_smart_subtransport *base)
{
	end_request((struct http *)base);
	return 0;
}

static void http_free(git_smart_subtransport *base)
{
	struct http *self = (struct http *)base;

	end_request(self);
	curl_easy_cleanup(self->easy);
	(void)curl_multi_cleanup(self->multi); /* nothing is in it */
	buf_clear(&self->request);
	buf_clear(&self->answer);
	free(self);
}

int transport_http_new(git_smart_subtransport **out, git_transport *owner, void *param)
{
	struct http *self = mem_zero(1, sizeof(*self));

	(void)owner;
	self->transport = param;
	self->multi = curl_multi_init();
	self->easy = curl_easy_init();
	if (!self->multi || !self->easy)
		mem_abort(0);
	buf_init(&self->request, BODY_MAX);
	buf_init(&self->answer, MAX_WAITING);
	self->base.action = http_action;
	self->base.close = http_close;
	self->base.free = http_free;
	self->stream.subtransport = &self->base;
	self->stream.read = http_read;
	self->stream.write = http_write;
	self->stream.free = http_free_stream;
	*out = &self->base;
	return 0;
}
