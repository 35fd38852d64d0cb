/* git/remote.h - fetch and push with deadlines, each ref's verdict by itself, never forced
 *
 * Over our own sub-transports: git/transport_http, git/transport_ssh, and for a path git's own
 * server side (git/transport_pipe; needs git(1)), so that hooks and compare-and-swap hold there
 * too. ssh_library_init() and repo_library_init() come first. A remote that
 * hangs ends at its deadline; cancel ends it at once. Errors say which of name lookup, connect,
 * host key, certificate, authentication, not found, time-out it was: codes ERR_UNREACHABLE,
 * ERR_AUTH, ERR_NOT_FOUND, ERR_TIMEOUT, ERR_STOPPED, and the sentence. Threads: one call at a time
 * per struct remote.
 */
#pragma once
#include "git/repo.h"

struct remote_options {
	const char
		*url; /* ssh://, user@host:path, https://, http:// (loopback only), path, file:// */
	const char *ssh_key_file;
	const char *known_hosts_file;
	const char *token_file; /* https: "user:password", or a bare token, which goes as the
				 * password of the URL's user, else of x-access-token (github.com),
				 * x-token-auth (bitbucket.org) or oauth2 (all others: GitLab,
				 * Gitea, Forgejo take it with any user or this one) */
	const char *ca_file;    /* https: these CAs instead of the system's */
	int64_t connect_ms;     /* 0 = 10 s */
	int64_t idle_ms;        /* 0 = 30 s; libraries.md 1.10: at least 15 s in production */
	int64_t total_ms;       /* 0 = 300 s */
	int cancel_fd;          /* readable = stop; -1 none */
};

struct remote;
/** Checks the URL and reads key files; connects to nothing. Strings are copied. */
MUST_USE bool remote_new(
	const struct remote_options *options, struct remote **remote_out, struct error *err);
void remote_free(struct remote *remote);
DEFINE_CLEANUP(struct remote, remote_free)
#define auto_remote CLEANUP(remote_free_at)

/** owner/name of the URL's path, without `.git`, lower case ASCII; for comparing with webhooks. */
const char *remote_path(const struct remote *remote);

struct remote_ref {
	char *name; /* full */
	struct oid id;
};
struct remote_refs {
	struct remote_ref *items;
	size_t count, capacity;
};
void remote_refs_clear(struct remote_refs *refs);
#define auto_remote_refs CLEANUP(remote_refs_clear)

/** What the remote advertises now. Peeled entries (`^{}`) are left out. */
MUST_USE bool remote_list(
	struct remote *remote, struct repo *repo, struct remote_refs *out, struct error *err);

/**
 * Fetch exactly these refs into @p repo, each `refs/x/y` to `refs/remotes/<into>/x/y`
 * (heads: `refs/remotes/<into>/<branch>`). Nothing is pruned; a ref that the remote lacks is
 * reported in @p missing_out (may be NULL: then it is ERR_NOT_FOUND) and its local copy stays.
 * Fetches no pack when every id is here already.
 */
MUST_USE bool remote_fetch(struct remote *remote, struct repo *repo, const char *into,
	const char *const *refs, size_t count, struct strlist *missing_out, struct error *err);

enum remote_verdict {
	REMOTE_UNKNOWN, /* no answer for this ref: fetch and look */
	REMOTE_ACCEPTED,
	REMOTE_MOVED,   /* not at the expected id: somebody else pushed */
	REMOTE_DECLINED /* a hook or branch protection said no; text tells */
};

struct remote_update {
	const char *name;            /* full ref name on the remote */
	struct oid id;               /* new id, an object of @p repo; empty = delete */
	struct oid expected;         /* what the remote must have now; empty = must not exist */
	enum remote_verdict verdict; /* set by the push */
	char text[512];              /* the remote's words for REMOTE_DECLINED */
};

/**
 * Push by compare-and-swap, never forced. Sets each update's verdict.
 * @return true if every update was ACCEPTED. Else false: ERR_REJECTED if any MOVED, ERR_REFUSED if
 *         any DECLINED, or the network's error - then verdicts are UNKNOWN and the push may have
 *         happened.
 */
MUST_USE bool remote_push(struct remote *remote, struct repo *repo, struct remote_update *updates,
	size_t count, struct error *err);
#define REMOTE_TRIES 5 /* losing five races in a row means that somebody hammers the branch */
/** Wait a little after the @p tries-th push that lost a race: so that two writers who lost to each
 *  other do not meet again at once. */
void remote_pause(int tries);
