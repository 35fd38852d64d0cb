#include "base/feed.h"
#include "base/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* Between two looks for a reader: opening without waiting is the only way that can be ended. */
#define LOOK_MS 20

struct feed {
	char *path;
	const char *text;
	size_t len;
	int stop; /* readable = end */
	pthread_t thread;
	bool started;
};

static bool is_stopped(const struct feed *feed, int timeout_ms)
{
	struct pollfd fd = {.fd = feed->stop, .events = POLLIN};
	return poll(&fd, 1, timeout_ms) > 0;
}

static int wait_for_reader(const struct feed *feed)
{
	for (;;) {
		int fd = open(feed->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0 || (errno != ENXIO && errno != EINTR) || is_stopped(feed, LOOK_MS))
			return fd;
	}
}

static void *run(void *data)
{
	const struct feed *feed = data;
	auto_fd int fd = wait_for_reader(feed);
	size_t done = 0;
	while (fd >= 0 && done < feed->len) {
		struct pollfd fds[] = {
			{.fd = fd, .events = POLLOUT}, {.fd = feed->stop, .events = POLLIN}};
		if (poll(fds, ARRAY_LEN(fds), -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			break;
		ssize_t got = write(fd, feed->text + done, feed->len - done);
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			break; /* the reader went away: it says why itself */
		done += got > 0 ? (size_t)got : 0;
	}
	return NULL;
}

bool feed_new(
	const char *path, const char *text, size_t len, struct feed **feed_out, struct error *err)
{
	auto_feed struct feed *feed = mem_zero(1, sizeof(*feed));
	feed->stop = -1;
	if (mkfifo(path, 0600) < 0)
		return error_errno(err, errno, "pipe '%s'", path);
	feed->path = mem_dup_str(path);
	feed->text = text;
	feed->len = len;
	feed->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (feed->stop < 0)
		return error_errno(err, errno, "eventfd");
	int failed = pthread_create(&feed->thread, NULL, run, feed);
	if (failed)
		return error_errno(err, failed, "cannot start a thread");
	feed->started = true;
	*feed_out = STEAL(feed);
	return true;
}

void feed_free(struct feed *feed)
{
	const uint64_t one = 1;
	if (!feed)
		return;
	if (feed->started) {
		while (write(feed->stop, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		(void)pthread_join(feed->thread, NULL); /* ours, joined once */
	}
	if (feed->path)
		(void)unlink(feed->path); /* its folder is removed too */
	fs_close_at(&feed->stop);
	free(feed->path);
	free(feed);
}
