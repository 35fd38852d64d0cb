/* base/dial.h - a TCP connection within a deadline: name lookup, race of addresses, no Nagle
 *
 * libcurl does the work (CONNECT_ONLY), because a getaddrinfo() that hangs cannot be ended. The
 * socket stays libcurl's: it is closed by dial_free().
 */
#pragma once
#include "base/deadline.h"

struct dial;
/**
 * Connect.
 *
 * @param host      name or address; IPv6 without brackets
 * @param deadline  started by the caller
 * @return true, or false with ERR_UNREACHABLE (says whether the name or the connection failed),
 *         ERR_TIMEOUT, ERR_STOPPED
 */
MUST_USE bool dial_open(const char *host, unsigned port, struct deadline *deadline,
	struct dial **dial_out, struct error *err);
/** The connected socket, non-blocking; borrowed. */
int dial_socket(const struct dial *dial);
void dial_free(struct dial *dial);
DEFINE_CLEANUP(struct dial, dial_free)
#define auto_dial CLEANUP(dial_free_at)
