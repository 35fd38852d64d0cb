#include "base/clock.h"
#include "base/log.h"
#include "server/http_private.h"
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <strings.h>
#include <sys/socket.h>

const char *http_request_method(const struct http_request *request)
{
	return request->method;
}

const char *http_request_path(const struct http_request *request)
{
	return request->path;
}

const char *http_request_param(const struct http_request *request, const char *name)
{
	for (size_t i = 0; i < request->param_count; i++) {
		const struct http_param *param = &request->params[i];
		if (param->name_len == strlen(name) && !memcmp(param->name, name, param->name_len))
			return param->value;
	}
	return NULL;
}

bool http_request_query(
	const struct http_request *request, const char *name, char *text, size_t size)
{
	const char *value =
		MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
	text[0] = '\0';
	return value && http_decode(value, strlen(value), text, size);
}

int http_request_tag(const struct http_request *request)
{
	return request->route->tag;
}

const struct http_header *http_request_headers(
	const struct http_request *request, size_t *count_out)
{
	*count_out = request->header_count;
	return request->headers;
}

const char *http_request_header(const struct http_request *request, const char *name)
{
	for (size_t i = 0; i < request->header_count; i++)
		if (!strcasecmp(request->headers[i].name, name))
			return request->headers[i].value;
	return NULL;
}

const char *http_request_body(const struct http_request *request, size_t *len_out)
{
	*len_out = request->body.len;
	return request->body.text;
}

const char *http_request_address(const struct http_request *request)
{
	return request->address_text;
}

bool http_request_peer_uid(const struct http_request *request, uid_t *uid_out)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	/* Over TCP the call succeeds too, with nobody in it. */
	if (request->has_address || !info ||
		getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return false;
	*uid_out = peer.uid;
	return true;
}

/* The text behind the scheme, or NULL; a doubled header counts as none. */
static const char *credentials(const struct http_request *request, const char *scheme)
{
	const char *found = NULL;
	size_t len = strlen(scheme);
	for (size_t i = 0; i < request->header_count; i++) {
		if (strcasecmp(request->headers[i].name, "Authorization") != 0)
			continue;
		if (found)
			return NULL;
		found = request->headers[i].value;
	}
	if (!found || strncasecmp(found, scheme, len) != 0)
		return NULL;
	return found + len + strspn(found + len, " ");
}

static const struct http_token *find_token(
	const char *text, const struct http_token *tokens, size_t count)
{
	unsigned char given[SHA256_DIGEST_LENGTH], expected[SHA256_DIGEST_LENGTH];
	const struct http_token *match = NULL;
	/* Hashes have one length and no common start; all are compared, for no token too. */
	SHA256((const unsigned char *)(text ? text : ""), text ? strlen(text) : 0, given);
	for (size_t i = 0; i < count; i++) {
		SHA256((const unsigned char *)tokens[i].bytes, tokens[i].len, expected);
		bool equal = CRYPTO_memcmp(given, expected, sizeof(given)) == 0;
		match = equal && tokens[i].len ? &tokens[i] : match;
	}
	OPENSSL_cleanse(expected, sizeof(expected));
	return text ? match : NULL;
}

const struct http_token *http_request_token(
	const struct http_request *request, const struct http_token *tokens, size_t count)
{
	return find_token(credentials(request, "Bearer "), tokens, count);
}

const struct http_token *http_request_password(
	const struct http_request *request, const struct http_token *tokens, size_t count)
{
	char plain[HTTP_PASSWORD_MAX + 1] = "";
	size_t len = 0;
	const char *text = credentials(request, "Basic ");
	const char *colon = NULL;
	/* The user's name is nobody's secret, and anybody's choice. */
	if (text && !sodium_base642bin((unsigned char *)plain, HTTP_PASSWORD_MAX, text,
			    strlen(text), NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL))
		colon = memchr(plain, ':', len);
	const struct http_token *token = find_token(colon ? colon + 1 : NULL, tokens, count);
	sodium_memzero(plain, sizeof(plain));
	return token;
}

void http_request_auth_failed(const struct http_request *request)
{
	if (!request->has_address)
		return;
	if (http_failures_add(&request->server->failures, &request->address, clock_mono_ms()))
		log_warn("too many failed authentications",
			LOG_STR("address", request->address_text));
}

/* ---- answers ----------------------------------------------------------------------------------
 */

void http_respond(
	struct http_response *response, int status, const char *content_type, const char *body)
{
	response->status = status;
	response->content_type = body ? content_type : NULL;
	buf_clear(&response->body);
	buf_init(&response->body, HTTP_ANSWER_MAX);
	if (body)
		buf_add_str(&response->body, body);
}

void http_respond_buf(
	struct http_response *response, int status, const char *content_type, struct buf *body)
{
	response->status = status;
	response->content_type = content_type;
	buf_clear(&response->body);
	response->body = *body;
	buf_init(body, body->limit);
}

void http_respond_error(struct http_response *response, int status, const char *format, ...)
{
	auto_buf struct buf text = BUF_INIT(4096);
	auto_buf struct buf json = BUF_INIT(8192 * 3); /* each byte may become an escape */
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	buf_add_str(&json, "{\"error\": \"");
	buf_add_json(&json, text.text, text.len);
	buf_add_str(&json, "\"}");
	http_respond_buf(response, status, "application/json", &json);
}

void http_respond_header(struct http_response *response, const char *name, const char *format, ...)
{
	auto_buf struct buf text = BUF_INIT(1024);
	auto_buf struct buf clean = BUF_INIT(1024);
	if (response->header_count == HTTP_REPLY_MAX)
		return;
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	buf_add_clean(&clean, text.text, text.len);
	response->headers[response->header_count++] =
		(struct http_reply_header){name, buf_steal(&clean)};
}

void http_response_clear(struct http_response *response)
{
	buf_clear(&response->body);
	for (size_t i = 0; i < response->header_count; i++)
		free(response->headers[i].value);
	response->header_count = 0;
}
