#include "base/dial.h"
#include <curl/curl.h>

#define POLL_CAP_MS 1000

struct dial {
	CURLM *multi;
	CURL *easy;
	int socket;
};

static bool set_up(struct dial *dial, const char *host, unsigned port, struct error *err)
{
	bool brackets = strchr(host, ':');
	auto_free char *url = mem_printf(
		"http://%s%s%s:%u", brackets ? "[" : "", host, brackets ? "]" : "", port);

	dial->multi = curl_multi_init();
	dial->easy = curl_easy_init();
	if (!dial->multi || !dial->easy)
		mem_abort(0);
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
	if (rc != CURLE_OK || curl_multi_add_handle(dial->multi, dial->easy) != CURLM_OK)
		return error_set(
			err, ERR_SYSTEM, "libcurl could not be set up: %s", curl_easy_strerror(rc));
	return true;
}

static bool is_name_known(const struct dial *dial)
{
	curl_off_t lookup_us = 0;
	return curl_easy_getinfo(dial->easy, CURLINFO_NAMELOOKUP_TIME_T, &lookup_us) == CURLE_OK &&
	       lookup_us > 0;
}

/* Work until libcurl has a result. */
static bool run(struct dial *dial, struct deadline *deadline, CURLcode *rc_out, struct error *err)
{
	int running, left;
	CURLMsg *message;

	while (true) {
		deadline->doing = is_name_known(dial) ? "connecting" : "looking up the name";
		if (curl_multi_perform(dial->multi, &running) != CURLM_OK)
			return error_set(err, ERR_SYSTEM, "%s: libcurl failed", deadline->peer);
		while ((message = curl_multi_info_read(dial->multi, &left))) {
			if (message->msg != CURLMSG_DONE)
				continue;
			*rc_out = message->data.result;
			return true;
		}
		struct curl_waitfd cancel = {.fd = deadline->cancel_fd, .events = CURL_WAIT_POLLIN};
		if (!deadline_check(deadline, err))
			return false;
		if (curl_multi_poll(dial->multi, &cancel, deadline->cancel_fd >= 0,
			    deadline_left(deadline, POLL_CAP_MS) + 1, NULL) != CURLM_OK)
			return error_set(err, ERR_SYSTEM, "%s: poll failed", deadline->peer);
	}
}

static bool connect_failed(
	const struct dial *dial, const struct deadline *deadline, CURLcode rc, struct error *err)
{
	long number = 0;

	if (rc == CURLE_COULDNT_RESOLVE_HOST) {
		(void)error_set(err, ERR_UNREACHABLE, "%s: no such host name", deadline->peer);
		return error_hint(err, "check the host in the URL and this machine's DNS");
	}
	(void)curl_easy_getinfo(dial->easy, CURLINFO_OS_ERRNO, &number); /* else 0 */
	char reason[128];
	(void)error_set(err, ERR_UNREACHABLE, "%s: cannot connect: %s", deadline->peer,
		number ? strerror_r((int)number, reason, sizeof(reason)) : curl_easy_strerror(rc));
	return error_hint(err, "check the port, the firewall and whether the server runs");
}

bool dial_open(const char *host, unsigned port, struct deadline *deadline, struct dial **dial_out,
	struct error *err)
{
	auto_dial struct dial *dial = mem_zero(1, sizeof(*dial));
	curl_socket_t fd = CURL_SOCKET_BAD;
	CURLcode rc = CURLE_OK;

	if (!set_up(dial, host, port, err) || !run(dial, deadline, &rc, err))
		return false;
	if (rc != CURLE_OK)
		return connect_failed(dial, deadline, rc, err);
	rc = curl_easy_getinfo(dial->easy, CURLINFO_ACTIVESOCKET, &fd);
	if (rc != CURLE_OK || fd == CURL_SOCKET_BAD)
		return error_set(err, ERR_SYSTEM, "%s: libcurl gave no socket", deadline->peer);
	dial->socket = fd;
	*dial_out = STEAL(dial);
	return true;
}

int dial_socket(const struct dial *dial)
{
	return dial->socket;
}

void dial_free(struct dial *dial)
{
	if (!dial)
		return;
	if (dial->multi && dial->easy)
		(void)curl_multi_remove_handle(dial->multi, dial->easy); /* it is in there */
	curl_easy_cleanup(dial->easy);
	if (dial->multi)
		(void)curl_multi_cleanup(dial->multi); /* nothing else is in it */
	free(dial);
}
