/* tests/lib/talk.h - a client that sends just the bytes it is told to */
#pragma once
#include "base/buf.h"

/** Connect to a port of 127.0.0.1; ends the test program on failure. */
int talk_dial(unsigned port);
/** Connect to a unix socket. */
int talk_dial_unix(const char *path);
/** Send; a peer that closed early is no failure here, the answer shows it. */
void talk_put(int fd, const char *bytes, size_t len);
/** Everything until the peer closes, then close; the caller frees. */
char *talk_read(int fd);
/** One request, the whole answer; the caller frees. */
char *talk_ask(unsigned port, const char *request);
