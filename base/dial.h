/* base/dial.h - TCP connections within a deadline: name lookup, race of addresses, no Nagle
 *
 * libcurl does the work (CONNECT_ONLY), because a getaddrinfo() that hangs cannot be ended. The
 * socket stays libcurl's: it is closed by dial_free().
 */
#pragma once
#include "base/deadline.h"

struct dial;
struct dialer;
/** What dials of one thread share. Never NULL; must outlive its dials. */
struct dialer *dialer_new(void);
void dialer_free(struct dialer *dialer);

/**
 * Begin to connect; dialer_wait() does the work.
 * @param host  name or address; IPv6 without brackets
 * @return false: ERR_SYSTEM
 */
MUST_USE bool dial_start(struct dialer *dialer, const char *host, unsigned port,
	struct dial **dial_out, struct error *err);
enum dial_state { DIAL_FAILED, DIAL_PENDING, DIAL_OPEN };
/** How far it is. Says in @p deadline what is being done; DIAL_FAILED with ERR_UNREACHABLE (tells
 *  whether the name or the connection failed), ERR_SYSTEM. */
enum dial_state dial_look(struct dial *dial, struct deadline *deadline, struct error *err);
/** As poll() on @p fds, while all dials go on. Returns early when one of them has ended, or for no
 *  reason. ERR_SYSTEM. */
MUST_USE bool dialer_wait(
	struct dialer *dialer, struct pollfd *fds, size_t count, int timeout_ms, struct error *err);
/** The dialer lives as long as this dial of it, its only one, and is freed with it. */
void dial_give(struct dial *dial, struct dialer *dialer);
/** Wait a moment for the only dial of a dialer. ERR_TIMEOUT, ERR_STOPPED, ERR_SYSTEM. */
MUST_USE bool dial_wait(struct dial *dial, const struct deadline *deadline, struct error *err);
/** The connected socket, non-blocking; borrowed. */
int dial_socket(const struct dial *dial);
void dial_free(struct dial *dial);
DEFINE_CLEANUP(struct dial, dial_free)
#define auto_dial CLEANUP(dial_free_at)
