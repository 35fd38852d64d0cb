/* git/transport.h - sub-transports for libgit2: they move bytes under deadlines, libgit2 talks git
 *
 * libgit2's own network code cannot be interrupted (specs of libgit2 1.5: no time-outs), so each
 * remote call brings a struct transport along: where to, with which keys, until when. A failure
 * leaves its own words in transport->err; what libgit2 then says about it is second-hand.
 */
#pragma once
#include "base/buf.h"
#include "base/deadline.h"
#include <git2.h>
#include <git2/sys/transport.h>

struct known_hosts;

enum transport_type { TRANSPORT_SSH, TRANSPORT_HTTP, TRANSPORT_PATH };

struct transport {
	enum transport_type type;
	const char *url;  /* http: what requests go below */
	const char *host; /* ssh */
	unsigned port;    /* ssh; 0 = 22 */
	const char *user;
	const char *path; /* ssh, path: as the server's git gets it */
	const char *peer; /* for messages: "https git.example:443" */
	const char *ssh_key;
	size_t ssh_key_len;
	const char *ssh_key_name;
	const struct known_hosts *known_hosts;
	const char *password; /* http, with user; NULL none */
	const char *ca_file;  /* http; NULL the system's */
	struct deadline deadline;
	bool push;        /* for "while pushing" */
	void *push_data;  /* of remote_push.c during a push: libgit2 has one payload for all */
	struct error err; /* why it failed; code ERR_NONE: not our failure */
};

/** Callback `transport` of libgit2's remote callbacks; their payload is a struct transport, which
 *  must outlive the git_remote. */
int transport_new(git_transport **out, git_remote *owner, void *payload);

/** After a failure with transport->err set: tell libgit2. @return a negative code */
int transport_failed(struct transport *transport);
/** "fetching" or "pushing" */
const char *transport_doing(const struct transport *transport);
/** ERR_NOT_FOUND, ERR_AUTH or ERR_UNREACHABLE for a server that closed without a word of git, by
 *  what it wrote to stderr. @return false */
bool transport_closed(
	const struct transport *transport, const struct buf *errors, struct error *err);

/** A way to a git process on the other side that stays up for the whole conversation. */
struct wire_kind {
	/** Start `git-upload-pack` or `git-receive-pack` (@p service). */
	bool (*open)(struct transport *transport, const char *service, void **wire_out,
		struct error *err);
	/** At least one byte; 0 = end. */
	bool (*read)(void *wire, void *bytes, size_t size, size_t *got_out, struct error *err);
	bool (*write)(void *wire, const void *bytes, size_t len, struct error *err);
	/** What the other side wrote to stderr. */
	const struct buf *(*errors)(const void *wire);
	void (*close)(void *wire);
};
