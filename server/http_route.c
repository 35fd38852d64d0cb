#include "server/http_private.h"
#include <ctype.h>

/* Decodes the byte at @p at of @p from and moves on; false if the escape is none. */
static bool decode_byte(const char *from, size_t len, size_t *at, char *byte_out)
{
	char hex[3] = {0};
	char *end = NULL;
	*byte_out = from[*at];
	if (from[(*at)++] != '%')
		return true;
	/* strtoul() would take a sign or blanks too. */
	if (len - *at < 2 || !isxdigit((unsigned char)from[*at]))
		return false;
	memcpy(hex, from + *at, 2);
	*byte_out = (char)strtoul(hex, &end, 16);
	*at += 2;
	return end == hex + 2;
}

bool http_decode(const char *from, size_t len, char *to, size_t size)
{
	size_t put = 0;
	to[0] = '\0';
	for (size_t at = 0; at < len;) {
		char byte = '\0';
		if (!decode_byte(from, len, &at, &byte) || !byte || put + 1 >= size) {
			to[0] = '\0';
			return false;
		}
		to[put++] = byte;
	}
	to[put] = '\0';
	return true;
}

static void clear_params(struct http_request *request)
{
	for (size_t i = 0; i < request->param_count; i++)
		free(request->params[i].value);
	request->param_count = 0;
}

/* One part of the path against one of the pattern; `{name}` takes any part that is not empty. */
static bool match_part(struct http_request *request, const char *pattern, size_t pattern_len,
	const char *part, size_t len)
{
	char value[256]; /* names of clients and rollouts are far shorter */
	if (pattern_len < 2 || pattern[0] != '{')
		return pattern_len == len && !memcmp(pattern, part, len);
	if (!len || request->param_count == HTTP_PARAMS_MAX ||
		!http_decode(part, len, value, sizeof(value)))
		return false;
	request->params[request->param_count++] = (struct http_param){
		.name = pattern + 1, .name_len = pattern_len - 2, .value = mem_dup_str(value)};
	return true;
}

static bool match_path(struct http_request *request, const char *pattern)
{
	const char *path = request->path;
	clear_params(request);
	while (*pattern == '/' && *path == '/') {
		size_t pattern_len = strcspn(++pattern, "/"), len = strcspn(++path, "/");
		if (!match_part(request, pattern, pattern_len, path, len))
			return false;
		pattern += pattern_len;
		path += len;
	}
	return !*pattern && !*path;
}

static bool method_is(const struct http_request *request, const char *method)
{
	if (!strcmp(request->method, "HEAD") && !strcmp(method, "GET"))
		return true;
	return !strcmp(request->method, method);
}

int http_route_find(struct http_request *request, const struct http_routes *groups, size_t count,
	struct buf *allow)
{
	for (size_t g = 0; g < count; g++) {
		for (size_t i = 0; i < groups[g].count; i++) {
			const struct http_route *route = &groups[g].table[i];
			if (!match_path(request, route->path))
				continue;
			if (method_is(request, route->method)) {
				request->route = route;
				request->data = groups[g].data;
				return 200;
			}
			buf_addf(allow, "%s%s", allow->len ? ", " : "", route->method);
			if (!strcmp(route->method, "GET"))
				buf_add_str(allow, ", HEAD");
		}
	}
	clear_params(request);
	return allow->len ? 405 : 404;
}
