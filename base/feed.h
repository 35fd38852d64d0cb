/* base/feed.h - a named pipe that gives a text once, to whoever opens it first
 *
 * For programs that read a file by its name and must find no file on a disk. A thread waits for the
 * reader, writes, and closes.
 */
#pragma once
#include "base/error.h"

struct feed;

/** Make the pipe @p path, mode 0600, and begin to wait. @param text  borrowed until feed_free() */
MUST_USE bool feed_new(
	const char *path, const char *text, size_t len, struct feed **feed_out, struct error *err);
/** Stop, whether or not anybody came, and remove the pipe. */
void feed_free(struct feed *feed);
DEFINE_CLEANUP(struct feed, feed_free)
#define auto_feed CLEANUP(feed_free_at)
