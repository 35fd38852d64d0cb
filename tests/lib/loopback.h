/* tests/lib/loopback.h - small servers on 127.0.0.1 for tests, each in a thread of its own
 *
 * They take any free port and end with the test. All of them abort on what a test cannot fix.
 */
#pragma once
#include "base/buf.h"

struct loopback;

/** A server that gives @p answer (whole, as bytes of HTTP or not) to every request and closes.
 *  NULL: connections are taken by the kernel and never answered.
 *  @param unix_path  socket to listen on instead of a port; may be NULL */
struct loopback *loopback_start(const char *answer, const char *unix_path);
/** `openssl s_server -www` with certificate and key `cert.pem`, `key.pem` of @p folder. */
struct loopback *loopback_start_tls(const char *folder);
/** Ends the server and waits for its thread. */
void loopback_stop(struct loopback *server);
DEFINE_CLEANUP(struct loopback, loopback_stop)
#define auto_loopback CLEANUP(loopback_stop_at)

/** The port it listens on. */
int loopback_port(const struct loopback *server);
/** Appends the text of the last request to @p out. */
void loopback_request(struct loopback *server, struct buf *out);
/** Requests so far. */
size_t loopback_count(struct loopback *server);

/** A port that refuses connections as long as the descriptor is open. */
int loopback_refused_port(int *fd_out);
/** cert.pem and key.pem for localhost and 127.0.0.1, self-signed, for @p days from now. */
void loopback_certificate(const char *folder, int days);
