#include "base/dial.h"
#include <curl/curl.h>
#include <errno.h>

#define POLL_CAP_MS 1000

struct dialer {
	CURLM *multi;
	size_t pending;
	struct curl_waitfd *waits;
	size_t capacity;
};

struct dial {
	struct dialer *dialer;
	struct dialer *own; /* of this dial alone, or NULL */
	CURL *easy;
	int socket; /* once it is open */
	bool done;
	CURLcode rc; /* when done */
};

_Static_assert(CURL_WAIT_POLLIN == POLLIN && CURL_WAIT_POLLOUT == POLLOUT, "events of libcurl");

struct dialer *dialer_new(void)
{
	struct dialer *dialer = mem_zero(1, sizeof(*dialer));
	dialer->multi = curl_multi_init();
	if (!dialer->multi)
		mem_abort(0);
	return dialer;
}

void dialer_free(struct dialer *dialer)
{
	if (!dialer)
		return;
	(void)curl_multi_cleanup(dialer->multi); /* nothing is in it any more */
	free(dialer->waits);
	free(dialer);
}

static bool set_up(struct dial *dial, const char *host, unsigned port, struct error *err)
{
	bool brackets = strchr(host, ':');
	auto_free char *url = mem_printf(
		"http://%s%s%s:%u", brackets ? "[" : "", host, brackets ? "]" : "", port);

	CURLcode rc = curl_easy_setopt(dial->easy, CURLOPT_URL, url);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(dial->easy, CURLOPT_CONNECT_ONLY, 1L);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(dial->easy, CURLOPT_NOSIGNAL, 1L);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(dial->easy, CURLOPT_TCP_NODELAY, 1L);
	if (rc == CURLE_OK) /* the environment does not decide */
		rc = curl_easy_setopt(dial->easy, CURLOPT_PROXY, "");
	if (rc == CURLE_OK) /* do not wait for a resolver that hangs */
		rc = curl_easy_setopt(dial->easy, CURLOPT_QUICK_EXIT, 1L);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(dial->easy, CURLOPT_PRIVATE, dial);
	if (rc != CURLE_OK || curl_multi_add_handle(dial->dialer->multi, dial->easy) != CURLM_OK)
		return error_set(
			err, ERR_SYSTEM, "libcurl could not be set up: %s", curl_easy_strerror(rc));
	dial->dialer->pending++;
	return true;
}

bool dial_start(struct dialer *dialer, const char *host, unsigned port, struct dial **dial_out,
	struct error *err)
{
	auto_dial struct dial *dial = mem_zero(1, sizeof(*dial));
	dial->dialer = dialer;
	dial->done = true; /* until it is in */
	dial->easy = curl_easy_init();
	if (!dial->easy)
		mem_abort(0);
	if (!set_up(dial, host, port, err))
		return false;
	dial->done = false;
	*dial_out = STEAL(dial);
	return true;
}

static void take_ended(struct dialer *dialer)
{
	CURLMsg *message;
	int left;
	while ((message = curl_multi_info_read(dialer->multi, &left))) {
		char *data = NULL;
		if (message->msg != CURLMSG_DONE || curl_easy_getinfo(message->easy_handle,
							    CURLINFO_PRIVATE, &data) != CURLE_OK)
			continue;
		struct dial *dial = (struct dial *)(void *)data;
		dial->done = true;
		dial->rc = message->data.result;
		dialer->pending--;
	}
}

static bool work(struct dialer *dialer, struct error *err)
{
	int running = 0;
	if (curl_multi_perform(dialer->multi, &running) != CURLM_OK)
		return error_set(err, ERR_SYSTEM, "libcurl failed");
	take_ended(dialer);
	return true;
}

static bool wait_with_dials(
	struct dialer *dialer, struct pollfd *fds, size_t count, int timeout_ms, struct error *err)
{
	if (dialer->capacity < count) {
		dialer->waits = mem_resize(dialer->waits, count, sizeof(*dialer->waits));
		dialer->capacity = count;
	}
	for (size_t i = 0; i < count; i++)
		dialer->waits[i] =
			(struct curl_waitfd){.fd = fds[i].fd, .events = (short)fds[i].events};
	if (curl_multi_poll(dialer->multi, dialer->waits, (unsigned)count, timeout_ms, NULL) !=
		CURLM_OK)
		return error_set(err, ERR_SYSTEM, "poll failed");
	for (size_t i = 0; i < count; i++)
		fds[i].revents = dialer->waits[i].revents;
	return work(dialer, err);
}

bool dialer_wait(
	struct dialer *dialer, struct pollfd *fds, size_t count, int timeout_ms, struct error *err)
{
	size_t pending = dialer->pending;
	for (size_t i = 0; i < count; i++)
		fds[i].revents = 0;
	if (!work(dialer, err))
		return false;
	if (dialer->pending)
		return dialer->pending < pending ||
		       wait_with_dials(dialer, fds, count, timeout_ms, err);
	if (pending) /* one has ended */
		return true;
	if (poll(fds, (nfds_t)count, timeout_ms) < 0 && errno != EINTR)
		return error_errno(err, errno, "poll failed");
	return true;
}

static bool is_name_known(const struct dial *dial)
{
	curl_off_t lookup_us = 0;
	return curl_easy_getinfo(dial->easy, CURLINFO_NAMELOOKUP_TIME_T, &lookup_us) == CURLE_OK &&
	       lookup_us > 0;
}

static bool connect_failed(
	const struct dial *dial, const struct deadline *deadline, struct error *err)
{
	long number = 0;

	if (dial->rc == CURLE_COULDNT_RESOLVE_HOST) {
		(void)error_set(err, ERR_UNREACHABLE, "%s: no such host name", deadline->peer);
		return error_hint(err, "check the host in the URL and this machine's DNS");
	}
	(void)curl_easy_getinfo(dial->easy, CURLINFO_OS_ERRNO, &number); /* else 0 */
	char reason[128];
	(void)error_set(err, ERR_UNREACHABLE, "%s: cannot connect: %s", deadline->peer,
		number ? strerror_r((int)number, reason, sizeof(reason))
		       : curl_easy_strerror(dial->rc));
	return error_hint(err, "check the port, the firewall and whether the server runs");
}

enum dial_state dial_look(struct dial *dial, struct deadline *deadline, struct error *err)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	deadline->doing = is_name_known(dial) ? "connecting" : "looking up the name";
	if (!dial->done)
		return DIAL_PENDING;
	if (dial->rc != CURLE_OK) {
		(void)connect_failed(dial, deadline, err); /* returns false */
		return DIAL_FAILED;
	}
	if (curl_easy_getinfo(dial->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
		fd == CURL_SOCKET_BAD) {
		(void)error_set(err, ERR_SYSTEM, "%s: libcurl gave no socket", deadline->peer);
		return DIAL_FAILED;
	}
	dial->socket = fd;
	return DIAL_OPEN;
}

void dial_give(struct dial *dial, struct dialer *dialer)
{
	dial->own = dialer;
}

bool dial_wait(struct dial *dial, const struct deadline *deadline, struct error *err)
{
	struct pollfd cancel = {.fd = deadline->cancel_fd, .events = POLLIN};
	return deadline_check(deadline, err) &&
	       dialer_wait(dial->dialer, &cancel, deadline->cancel_fd >= 0,
		       deadline_left(deadline, POLL_CAP_MS) + 1, err);
}

int dial_socket(const struct dial *dial)
{
	return dial->socket;
}

void dial_free(struct dial *dial)
{
	if (!dial)
		return;
	if (!dial->done)
		dial->dialer->pending--;
	(void)curl_multi_remove_handle(dial->dialer->multi, dial->easy); /* it may be in there */
	curl_easy_cleanup(dial->easy);
	dialer_free(dial->own);
	free(dial);
}
