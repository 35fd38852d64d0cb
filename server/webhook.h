/* server/webhook.h - judge one delivery of a forge: is it authentic, and does it concern us?
 *
 * Pure: what arrived and what is configured go in, a verdict comes out; no I/O, no clock, nothing
 * is kept. The rules are specs of the forges; the order of the tests is that of the answers:
 * media type 415, signature 401, syntax 400, not ours 204, a push that matters 202.
 *
 * A verdict only ever says "look again" (design.md, promise 5): nothing of the payload is passed
 * on.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"
#include "server/http_request.h"

enum webhook_forge {
	WEBHOOK_GITHUB,
	WEBHOOK_GITLAB,
	WEBHOOK_GITEA,
	WEBHOOK_FORGEJO,
	WEBHOOK_BITBUCKET, /* Cloud and Data Center */
	WEBHOOK_FORGES
};

#define WEBHOOK_DELIVERY_SIZE 65 /* delivery ids are cut to 64 printable characters */

struct webhook_secret {
	const char *bytes;
	size_t len;
};

/** What we follow. */
struct webhook_tracked {
	const char *path;          /* of the repository, from webhook_tracked_path() */
	bool local;                /* the path may have folders in front of owner/name */
	const char *branch;        /* short name */
	const char *status_branch; /* short name; may equal branch */
};

struct webhook_input {
	enum webhook_forge forge;
	const struct http_header *headers; /* in order of arrival */
	size_t header_count;
	const char *body; /* as it arrived */
	size_t body_len;
	const struct webhook_secret *secrets; /* any of them is accepted; never empty */
	size_t secret_count;
	const struct webhook_tracked *tracked;
	int64_t now_s; /* for GitLab's signing tokens */
};

struct webhook_verdict {
	int status;           /* 202, 204, 400, 401, 415 */
	bool dirty;           /* 202: look again */
	bool tracked_deleted; /* the tracked branch is gone: tell somebody */
	const char *ignored;  /* 204: reason, one word; else NULL */
	char error[160];      /* 4xx: one sentence for the forge's administrator */
	const char *cause;    /* 401: which part failed, for the log only; else NULL */
	char delivery[WEBHOOK_DELIVERY_SIZE]; /* the forge's id of this delivery, or "" */
};

/** Judge a delivery. Threads: any. */
void webhook_judge(const struct webhook_input *input, struct webhook_verdict *verdict);

/** "github", ... */
const char *webhook_forge_name(enum webhook_forge forge);
/** The forge of that name; false if there is none. */
bool webhook_forge_parse(const char *name, enum webhook_forge *forge_out);

/** May this be a secret of that forge? Empty ones, and GitLab signing tokens that are none, are
 *  ERR_INVALID. */
MUST_USE bool webhook_secret_check(
	enum webhook_forge forge, const struct webhook_secret *secret, struct error *err);

/**
 * The path of a repository's URL (`https://host/o/n.git`, `git@host:o/n`, `/srv/o/n.git`) as
 * webhook_judge() compares it: "o/n".
 *
 * @param path_out   caller frees
 * @param local_out  true for paths and file: URLs
 */
void webhook_tracked_path(const char *url, char **path_out, bool *local_out);
