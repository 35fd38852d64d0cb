/*
 *  http_client_start() --> waiting --(fewer than WINDOW in flight)--> active --> done() and freed
 *
 * libcurl keeps buffers per active transfer; 1,000 active at once take some 30 MB, a window of 100
 * is as fast.
 */
#include "base/http_client.h"
#include "base/clock.h"
#include <curl/curl.h>
#include <unistd.h>

#define STANDARD_CONNECT_MS 5000
#define STANDARD_TIMEOUT_MS 10000
#define STANDARD_BODY       ((size_t)64 * 1024)
#define WINDOW              100
/* Per host: polite to a small server, and a few that hang do not keep the others out. */
#define HOST_CONNECTIONS 8L
#define IDLE_CONNECTIONS 100L
#define CA_CACHE_S       60L /* an authority that is added or taken away counts so soon */

struct transfer {
	struct transfer *next;
	CURL *easy;
	CURLcode failed; /* could not be set up: told at the next run */
	struct curl_slist *headers;
	char curl_text[CURL_ERROR_SIZE];
	char *host; /* for messages: an URL may carry a token in its path */
	struct http_answer answer;
	size_t max_body;
	int64_t started;
	void (*done)(void *data, const struct http_answer *answer);
	void *data;
};

struct http_client {
	CURLM *multi;
	struct transfer *waiting; /* first in, first out */
	struct transfer **waiting_end;
	struct transfer *active;
	size_t active_count, waiting_count;
};

/* ---- one transfer --------------------------------------------------------------------------- */

static size_t take_body(char *bytes, size_t one, size_t len, void *data)
{
	struct transfer *transfer = data;
	struct http_answer *answer = &transfer->answer;
	size_t room = transfer->max_body - answer->body.len;
	len *= one;
	buf_add(&answer->body, bytes, len < room ? len : room);
	answer->body_cut = len > room;
	return answer->body_cut ? CURL_WRITEFUNC_ERROR : len;
}

static char *host_of(const char *url)
{
	const char *start = strstr(url, "://");
	start = start ? start + 3 : url;
	size_t len = strcspn(start, "/?#");
	const char *user = memrchr(start, '@', len);
	if (user) {
		len -= (size_t)(user + 1 - start);
		start = user + 1;
	}
	return mem_dup(start, len);
}

static void add_header(struct transfer *transfer, const char *line)
{
	struct curl_slist *longer = curl_slist_append(transfer->headers, line);
	if (!longer)
		mem_abort(strlen(line));
	transfer->headers = longer;
}

#define SET(option, value) (rc = rc ? rc : curl_easy_setopt(easy, option, value))

/* What holds for all: nothing of the environment or of a user's files has a say. */
static CURLcode set_rules(CURL *easy)
{
	CURLcode rc = CURLE_OK;
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_USERAGENT, "aviary/" AVIARY_VERSION);
	return rc;
}

static CURLcode set_method(CURL *easy, const struct http_request *request)
{
	CURLcode rc = CURLE_OK;
	if (strcmp(request->method, "GET") == 0 && !request->body)
		return SET(CURLOPT_HTTPGET, 1L);
	if (strcmp(request->method, "HEAD") == 0)
		return SET(CURLOPT_NOBODY, 1L);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
	SET(CURLOPT_COPYPOSTFIELDS, request->body ? (const char *)request->body : "");
	SET(CURLOPT_CUSTOMREQUEST, request->method);
	return rc;
}

static CURLcode set_limits(CURL *easy, const struct http_request *request)
{
	CURLcode rc = CURLE_OK;
	int64_t connect = request->connect_ms ? request->connect_ms : STANDARD_CONNECT_MS;
	int64_t total = request->timeout_ms ? request->timeout_ms : STANDARD_TIMEOUT_MS;
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
	SET(CURLOPT_TIMEOUT_MS, (long)total);
	return rc;
}

/* libcurl keeps authorities that it has read only if none come from a folder; to read those of the
 * system anew costs 20 ms of each connection. Distributions have the same ones in file and folder.
 */
static CURLcode set_authorities(CURL *easy, const char *ca_file)
{
	CURLcode rc = CURLE_OK;
	const char *standard = curl_version_info(CURLVERSION_NOW)->cainfo;
	if (ca_file)
		SET(CURLOPT_CAINFO, ca_file);
	if (ca_file || (standard && access(standard, R_OK) == 0))
		SET(CURLOPT_CAPATH, NULL); /* a file of our own: instead of the system's */
#if LIBCURL_VERSION_NUM >= 0x075700
	SET(CURLOPT_CA_CACHE_TIMEOUT, CA_CACHE_S);
#endif
	return rc;
}

static CURLcode set_peer(CURL *easy, const struct http_request *request)
{
	CURLcode rc = CURLE_OK;
	SET(CURLOPT_URL, request->url);
	if (request->unix_socket)
		SET(CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
	rc = rc ? rc : set_authorities(easy, request->ca_file);
	if (request->connect_only)
		SET(CURLOPT_CONNECT_ONLY, 1L);
	if (request->want_certificate) {
		SET(CURLOPT_CERTINFO, 1L);
		SET(CURLOPT_FRESH_CONNECT, 1L); /* a reused connection tells no certificate */
	}
	return rc;
}

static CURLcode set_transfer(struct transfer *transfer)
{
	CURL *easy = transfer->easy;
	CURLcode rc = CURLE_OK;
	SET(CURLOPT_PRIVATE, (void *)transfer);
	SET(CURLOPT_ERRORBUFFER, transfer->curl_text);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, (void *)transfer);
	SET(CURLOPT_HTTPHEADER, transfer->headers);
	return rc;
}

static struct transfer *transfer_new(const struct http_request *request)
{
	struct transfer *transfer = mem_zero(1, sizeof(*transfer));
	transfer->easy = curl_easy_init();
	if (!transfer->easy)
		mem_abort(0);
	transfer->host = host_of(request->url);
	transfer->max_body = request->max_body ? request->max_body : STANDARD_BODY;
	buf_init(&transfer->answer.body, transfer->max_body);
	add_header(transfer, "Expect:"); /* no second round trip before a body is sent */
	for (const char *const *line = request->headers; line && *line; line++)
		add_header(transfer, *line);
	CURLcode rc = set_rules(transfer->easy);
	rc = rc ? rc : set_method(transfer->easy, request);
	rc = rc ? rc : set_limits(transfer->easy, request);
	rc = rc ? rc : set_peer(transfer->easy, request);
	transfer->failed = rc ? rc : set_transfer(transfer);
	return transfer;
}

static void transfer_free(struct transfer *transfer)
{
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->headers);
	buf_clear(&transfer->answer.body);
	free(transfer->host);
	free(transfer);
}

/* ---- the answer ----------------------------------------------------------------------------- */

static enum error_code code_of(CURLcode rc)
{
	switch (rc) {
	case CURLE_OPERATION_TIMEDOUT:
		return ERR_TIMEOUT;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_LOGIN_DENIED:
		return ERR_AUTH;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_BAD_FUNCTION_ARGUMENT:
		return ERR_INVALID;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_PARTIAL_FILE:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return ERR_UNREACHABLE;
	default:
		return ERR_SYSTEM;
	}
}

static void tell_failure(struct transfer *transfer, CURLcode rc)
{
	struct error *err = &transfer->answer.err;
	const char *text = transfer->curl_text;
	if (rc == CURLE_OUT_OF_MEMORY)
		mem_abort(0);
	if (!*text)
		text = curl_easy_strerror(rc);
	(void)error_set(err, code_of(rc), "'%s': %s", transfer->host, text); /* returns false */
	if (err->code == ERR_AUTH)
		(void)error_hint(err, /* returns false */
			"the certificate must be valid, for this name, by a trusted authority");
}

/* The leaf comes first. "Expire date:Dec 14 01:55:03 2026 GMT" */
static int64_t certificate_expires(CURL *easy)
{
	static const char key[] = "Expire date:";
	struct curl_certinfo *chain = NULL;
	if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &chain) || !chain || chain->num_of_certs < 1)
		return 0;
	for (const struct curl_slist *line = chain->certinfo[0]; line; line = line->next) {
		if (strncmp(line->data, key, sizeof(key) - 1) != 0)
			continue;
		time_t when = curl_getdate(line->data + sizeof(key) - 1, NULL);
		return when > 0 ? when : 0;
	}
	return 0;
}

static void complete(struct transfer *transfer, CURLcode rc)
{
	struct http_answer *answer = &transfer->answer;
	long status = 0, sent = 0;
	if (rc == CURLE_WRITE_ERROR && answer->body_cut)
		rc = CURLE_OK; /* it was us who had read enough */
	if (rc)
		tell_failure(transfer, rc);
	if (!curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status))
		answer->status = (int)status;
	if (!curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &sent))
		answer->sent = sent > 0;
	answer->certificate_expires = certificate_expires(transfer->easy);
	answer->took_ms = clock_mono_ms() - transfer->started;
	transfer->done(transfer->data, answer);
}

/* ---- the client ----------------------------------------------------------------------------- */

bool http_client_new(struct http_client **client_out, struct error *err)
{
	CURLM *multi = curl_multi_init();
	if (!multi)
		return error_set(err, ERR_SYSTEM, "cannot start libcurl");
	/* Neither can fail for a valid handle; without them it is only less polite. */
	(void)curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, HOST_CONNECTIONS);
	(void)curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS);
	struct http_client *client = mem_zero(1, sizeof(*client));
	client->multi = multi;
	client->waiting_end = &client->waiting;
	*client_out = client;
	return true;
}

static void free_all(struct transfer *list, CURLM *multi)
{
	while (list) {
		struct transfer *next = list->next;
		(void)curl_multi_remove_handle(multi, list->easy); /* one that is not in it: fine */
		transfer_free(list);
		list = next;
	}
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	free_all(client->active, client->multi);
	free_all(client->waiting, client->multi);
	(void)curl_multi_cleanup(client->multi); /* all handles are out: cannot fail */
	free(client);
}

void http_client_start(struct http_client *client, const struct http_request *request,
	void (*done)(void *data, const struct http_answer *answer), void *data)
{
	struct transfer *transfer = transfer_new(request);
	transfer->done = done;
	transfer->data = data;
	transfer->started = clock_mono_ms();
	*client->waiting_end = transfer;
	client->waiting_end = &transfer->next;
	client->waiting_count++;
}

static struct transfer *take_waiting(struct http_client *client)
{
	struct transfer *transfer = client->waiting;
	client->waiting = transfer->next;
	if (!client->waiting)
		client->waiting_end = &client->waiting;
	client->waiting_count--;
	transfer->next = NULL;
	return transfer;
}

/* @return transfers that ended at once because they could not be set up */
static size_t fill_window(struct http_client *client)
{
	size_t ended = 0;
	while (client->waiting && client->active_count < WINDOW) {
		struct transfer *transfer = take_waiting(client);
		CURLcode rc = transfer->failed;
		transfer->started = clock_mono_ms();
		if (!rc && curl_multi_add_handle(client->multi, transfer->easy) != CURLM_OK)
			rc = CURLE_FAILED_INIT;
		if (rc) {
			complete(transfer, rc);
			transfer_free(transfer);
			ended++;
			continue;
		}
		transfer->next = client->active;
		client->active = transfer;
		client->active_count++;
	}
	return ended;
}

static void unlink_active(struct http_client *client, struct transfer *transfer)
{
	struct transfer **at = &client->active;
	while (*at != transfer)
		at = &(*at)->next;
	*at = transfer->next;
	client->active_count--;
}

static size_t finish_done(struct http_client *client)
{
	size_t ended = 0;
	int left = 0;
	for (CURLMsg *msg; (msg = curl_multi_info_read(client->multi, &left));) {
		char *private = NULL;
		CURLcode rc = msg->data.result; /* msg dies with the handle's removal */
		if (msg->msg != CURLMSG_DONE ||
			curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private))
			continue;
		struct transfer *transfer = (struct transfer *)(void *)private;
		unlink_active(client, transfer);
		complete(transfer, rc);
		/* Removed after its answer was read: removal closes a connect_only connection. */
		(void)curl_multi_remove_handle(client->multi, transfer->easy); /* it is in it */
		transfer_free(transfer);
		ended++;
	}
	return ended;
}

static size_t perform(struct http_client *client)
{
	int running = 0;
	size_t ended = fill_window(client);
	(void)curl_multi_perform(client->multi, &running); /* failures are told per transfer */
	return ended + finish_done(client);
}

size_t http_client_run(struct http_client *client, int timeout_ms)
{
	if (!perform(client)) {
		/* A failing poll returns at once; the transfers' own time-outs still end them. */
		(void)curl_multi_poll(client->multi, NULL, 0, timeout_ms, NULL);
		(void)perform(client); /* how many ended shows in the counts */
	}
	return client->active_count + client->waiting_count;
}

void http_client_wake(struct http_client *client)
{
	(void)curl_multi_wakeup(client->multi); /* a full wakeup pipe means it wakes anyway */
}

static void copy_answer(void *data, const struct http_answer *answer)
{
	struct http_answer *copy = data;
	*copy = *answer;
	buf_init(&copy->body, answer->body.len);
	buf_add(&copy->body, answer->body.text, answer->body.len);
}

bool http_client_do(
	const struct http_request *request, struct http_answer *answer_out, struct error *err)
{
	auto_http_client struct http_client *client = NULL;
	*answer_out = (struct http_answer){0};
	buf_init(&answer_out->body, 0);
	if (!http_client_new(&client, err))
		return false;
	http_client_start(client, request, copy_answer, answer_out);
	while (http_client_run(client, 1000))
		;
	if (answer_out->err.code == ERR_NONE)
		return true;
	*err = answer_out->err;
	return false;
}

void http_answer_clear(struct http_answer *answer)
{
	buf_clear(&answer->body);
}
