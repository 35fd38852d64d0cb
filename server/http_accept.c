#include "server/http_private.h"
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define REST_MS 100 /* while there is no room for another connection; they queue in the kernel */

/* A pool of libmicrohttpd whose threads wait on one listening socket leaves most connections to the
 * thread that wakes first: measured under 32 busy connections, a third of the throughput. So a
 * thread of its own accepts, and hands them out in turn (MHD_add_connection: by the descriptor's
 * number, and descriptors count up). */

static bool has_room(const struct http_acceptor *acceptor)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(acceptor->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
	return !info || info->num_connections < acceptor->connections;
}

/* false: not now, for want of room or descriptors. */
static bool accept_one(struct http_acceptor *acceptor)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof(address);
	if (!has_room(acceptor))
		return false;
	int fd = accept4(acceptor->listen_fd, (struct sockaddr *)&address, &len,
		SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) /* a sender that went away again is no reason to rest */
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
	/* One that is refused (the address has too many) is closed by the library, and logged. */
	(void)MHD_add_connection(acceptor->daemon, fd, (const struct sockaddr *)&address, len);
	return true;
}

static void *accept_connections(void *data)
{
	struct http_acceptor *acceptor = data;
	bool rest = false;
	for (;;) {
		struct pollfd wait[] = {{.fd = acceptor->stop_fd, .events = POLLIN},
			{.fd = rest ? -1 : acceptor->listen_fd, .events = POLLIN}};
		(void)poll(wait, 2, rest ? REST_MS : -1); /* if interrupted, nothing is there */
		if (wait[0].revents)
			return NULL;
		rest = wait[1].revents && !accept_one(acceptor);
	}
}

bool http_acceptor_start(struct http_acceptor *acceptor, int listen_fd, struct MHD_Daemon *daemon,
	unsigned connections, struct error *err)
{
	acceptor->daemon = daemon;
	acceptor->connections = connections;
	acceptor->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (acceptor->stop_fd < 0)
		return error_errno(err, errno, "cannot make an event descriptor");
	acceptor->listen_fd = listen_fd;
	int failed = pthread_create(&acceptor->thread, NULL, accept_connections, acceptor);
	if (failed) {
		(void)close(acceptor->stop_fd); /* nothing waits on it */
		return error_errno(err, failed, "cannot start a thread");
	}
	acceptor->running = true;
	return true;
}

void http_acceptor_stop(struct http_acceptor *acceptor)
{
	if (!acceptor->running)
		return;
	(void)eventfd_write(acceptor->stop_fd, 1); /* the only one: it cannot be full */
	pthread_join(acceptor->thread, NULL);
	(void)close(acceptor->stop_fd);   /* nothing waits on it */
	(void)close(acceptor->listen_fd); /* nothing was written to it */
	acceptor->running = false;
}
