/* base/known_hosts.h - host keys that are trusted, in the format of sshd(8) SSH_KNOWN_HOSTS
 *
 * Our own reader and not libssh2's: that one refuses a whole file for one line it does not know,
 * and cannot say which line a changed key contradicts. Names, `[host]:port`, wildcards, negation,
 * hashed names and `@revoked` are understood; `@cert-authority` lines are passed over, as host
 * certificates are not supported.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"

struct known_hosts;
/** Parse the text of a file. ERR_INVALID names file and line. @param file  for messages; copied */
MUST_USE bool known_hosts_parse(const char *file, const char *text, size_t len,
	struct known_hosts **hosts_out, struct error *err);
void known_hosts_free(struct known_hosts *hosts);
DEFINE_CLEANUP(struct known_hosts, known_hosts_free)
#define auto_known_hosts CLEANUP(known_hosts_free_at)

/** Key types ("ssh-ed25519") that the file has for a host, for asking the host for one of these. */
void known_hosts_types(const struct known_hosts *hosts, const char *host, unsigned port,
	struct strlist *types_out);
/** A key that a host has shown. */
struct host_key {
	const char *host;
	unsigned port;
	const void *blob; /* public key as in SSH's wire format */
	size_t len;
};

/**
 * Is this the host's key?
 * @return false with ERR_AUTH: unknown (the message has the line to add), changed (the message has
 *         both fingerprints and the line that it contradicts), or revoked
 */
MUST_USE bool known_hosts_check(
	const struct known_hosts *hosts, const struct host_key *shown, struct error *err);

/** "SHA256:<base64 without padding>", as ssh-keygen -l prints it. */
void known_hosts_fingerprint(const void *blob, size_t len, struct buf *out);
