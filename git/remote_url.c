#include "git/remote_url.h"
#include <ctype.h>

#define URL_MAX 2048 /* longer is no URL that a person wrote */

static bool bad_url(struct error *err, const char *what)
{
	(void)error_set(err, ERR_INVALID, "repository URL %s", what);
	return error_hint(err, "use ssh://git@host/owner/name.git, git@host:owner/name.git, "
			       "https://host/owner/name.git or a path");
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	int lower = tolower((unsigned char)c);
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* `%41` -> `A`, as git does for ssh:// and file://. @return NULL for a damaged or NUL escape */
static char *percent_decode(const char *text)
{
	auto_free char *out = mem_alloc(strlen(text) + 1);
	size_t len = 0;

	for (; *text; text++) {
		if (*text != '%') {
			out[len++] = *text;
			continue;
		}
		int high = hex_value(text[1]), low = high < 0 ? -1 : hex_value(text[2]);
		if (low < 0 || !(high * 16 + low))
			return NULL;
		out[len++] = (char)(high * 16 + low);
		text += 2;
	}
	out[len] = '\0';
	return STEAL(out);
}

static char *make_name(const char *path)
{
	while (*path == '/')
		path++;
	char *name = mem_dup_str(path);
	size_t len = strlen(name);

	while (len && name[len - 1] == '/')
		name[--len] = '\0';
	if (len > 4 && !strcmp(name + len - 4, ".git"))
		name[len - 4] = '\0';
	for (char *c = name; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
	return name;
}

static bool parse_port(const char *text, unsigned *port_out)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || !port || port > 65535)
		return false;
	*port_out = (unsigned)port;
	return true;
}

/* "user@host:port", "[::1]:port" */
static bool parse_authority(char *text, struct remote_url *url, struct error *err)
{
	char *at = strrchr(text, '@'), *host = at ? at + 1 : text, *port = NULL;

	if (at) {
		*at = '\0';
		if (strchr(text, ':')) {
			(void)error_set(err, ERR_INVALID, "repository URL holds a password");
			return error_hint(err, "put it into a file and name that with token_file");
		}
		url->user = percent_decode(text);
		if (!url->user)
			return bad_url(err, "has a damaged user");
	}
	if (host[0] == '[') {
		char *close = strchr(host, ']');
		if (!close || (close[1] && close[1] != ':'))
			return bad_url(err, "has a damaged address");
		*close = '\0';
		host++;
		port = close[1] ? close + 2 : NULL;
	} else if ((port = strchr(host, ':'))) {
		*port++ = '\0';
	}
	if (!host[0] || host[0] == '-' || (url->user && url->user[0] == '-'))
		return bad_url(err, "has no usable host");
	url->host = mem_dup_str(host);
	return !port || parse_port(port, &url->port) || bad_url(err, "has no usable port");
}

static bool is_loopback(const char *host)
{
	unsigned a, b, c;
	char rest;
	return !strcmp(host, "localhost") || !strcmp(host, "::1") ||
	       sscanf(host, "127.%3u.%3u.%3u%c", &a, &b, &c, &rest) == 3;
}

/* What stands behind "scheme://". */
static bool parse_remote(const char *text, const char *scheme, unsigned standard_port,
	struct remote_url *url, struct error *err)
{
	size_t len = strcspn(text, "/");
	auto_free char *authority = mem_dup(text, len);

	if (!text[len] || !text[len + strspn(text + len, "/")])
		return bad_url(err, "has no path");
	if (strpbrk(text, "?#"))
		return bad_url(err, "has a '?' or '#'");
	if (!parse_authority(authority, url, err))
		return false;
	url->path = percent_decode(text + len);
	if (!url->path)
		return bad_url(err, "has a damaged path");
	bool brackets = strchr(url->host, ':');
	unsigned port = url->port ? url->port : standard_port;
	url->text = mem_printf("%s://%s%s%s:%u%s", scheme, brackets ? "[" : "", url->host,
		brackets ? "]" : "", port, text + len);
	url->peer = mem_printf("%s %s:%u", scheme, url->host, port);
	return true;
}

static bool parse_ssh(const char *text, struct remote_url *url, struct error *err)
{
	url->type = TRANSPORT_SSH;
	if (!parse_remote(text, "ssh", 22, url, err))
		return false;
	if (url->path[1] == '~') /* "/~eva/x": the home of eva, as git reads it */
		memmove(url->path, url->path + 1, strlen(url->path));
	return true;
}

/* "git@host:owner/name.git" */
static bool parse_scp(const char *text, struct remote_url *url, struct error *err)
{
	size_t len = strcspn(text, ":");
	auto_free char *authority = mem_dup(text, len);

	url->type = TRANSPORT_SSH;
	if (!text[len + 1])
		return bad_url(err, "has no path");
	if (!parse_authority(authority, url, err))
		return false;
	url->path = mem_dup_str(text + len + 1);
	url->text = mem_dup_str(text);
	url->peer = mem_printf("ssh %s:22", url->host);
	return true;
}

static bool parse_http(const char *text, bool tls, struct remote_url *url, struct error *err)
{
	url->type = TRANSPORT_HTTP;
	if (!parse_remote(text, tls ? "https" : "http", tls ? 443 : 80, url, err))
		return false;
	if (tls || is_loopback(url->host))
		return true;
	(void)error_set(
		err, ERR_INVALID, "http:// to '%s' would send credentials in the clear", url->host);
	return error_hint(err, "use https://; http:// is for addresses of this machine only");
}

static bool parse_path(const char *text, bool decode, struct remote_url *url, struct error *err)
{
	url->type = TRANSPORT_PATH;
	url->path = decode ? percent_decode(text) : mem_dup_str(text);
	if (!url->path || !url->path[0] || url->path[0] == '-')
		return bad_url(err, "has no usable path");
	url->text = mem_dup_str(url->path);
	url->peer = mem_printf("repository %s", url->path);
	return true;
}

static bool parse_any(const char *text, struct remote_url *url, struct error *err)
{
	size_t colon = strcspn(text, ":/");

	if (!strncmp(text, "ssh://", 6))
		return parse_ssh(text + 6, url, err);
	if (!strncmp(text, "https://", 8))
		return parse_http(text + 8, true, url, err);
	if (!strncmp(text, "http://", 7))
		return parse_http(text + 7, false, url, err);
	if (!strncmp(text, "file://", 7))
		return parse_path(text + 7, true, url, err);
	if (strstr(text, "://"))
		return bad_url(err, "has a scheme that is not supported");
	if (text[colon] == ':')
		return parse_scp(text, url, err);
	return parse_path(text, false, url, err);
}

bool remote_url_parse(const char *text, struct remote_url *url_out, struct error *err)
{
	struct remote_url url = {0};

	if (!text || !text[0] || strlen(text) > URL_MAX)
		return bad_url(err, "is missing or too long");
	for (const char *c = text; *c; c++) {
		if ((unsigned char)*c <= ' ' || *c == 0x7F)
			return bad_url(err, "has a blank or control character");
	}
	if (!parse_any(text, &url, err)) {
		remote_url_clear(&url);
		return false;
	}
	url.name = make_name(url.path);
	*url_out = url;
	return true;
}

void remote_url_clear(struct remote_url *url)
{
	free(url->text);
	free(url->host);
	free(url->user);
	free(url->path);
	free(url->name);
	free(url->peer);
	memset(url, 0, sizeof(*url));
}
