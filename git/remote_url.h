/* git/remote_url.h - the parts of a remote's URL; only git/remote.c uses this */
#pragma once
#include "base/error.h"
#include "git/transport.h"

struct remote_url {
	enum transport_type type;
	char *text;    /* http: without user */
	char *host;    /* without brackets */
	char *user;    /* NULL none */
	unsigned port; /* 0: the scheme's */
	char *path;    /* for the server's git, or on this machine */
	char *name;    /* owner/name: without .git, lower-case ASCII */
	char *peer;    /* "https git.example:443" for messages */
};

/** ssh://, user@host:path, https://, http:// to a loopback address, file://, a path. */
MUST_USE bool remote_url_parse(const char *text, struct remote_url *url_out, struct error *err);
void remote_url_clear(struct remote_url *url);
