#include "base/fs.h"
#include "server/http_private.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SYSTEMD_FIRST_FD 3 /* sd_listen_fds(3) */

/* "host:port" or "[v6]:port" -> two texts. */
static bool split_listen(const char *text, char *host, size_t host_size, const char **port_out)
{
	const char *colon = strrchr(text, ':');
	if (!colon || colon == text)
		return false;
	size_t len = (size_t)(colon - text);
	if (text[0] == '[') {
		if (len < 3 || text[len - 1] != ']')
			return false;
		text++;
		len -= 2;
	} else if (memchr(text, ':', len)) {
		return false; /* an IPv6 address needs its brackets */
	}
	if (len >= host_size || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	*port_out = colon + 1;
	return strlen(colon + 1) <= 5 && strtoul(colon + 1, NULL, 10) <= 65535;
}

static bool describe(int fd, char **name_out, unsigned *port_out, struct error *err)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof(address);
	char host[INET6_ADDRSTRLEN] = "", port[8] = "";
	if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		return error_errno(err, errno, "cannot read the address of a socket");
	int failed = getnameinfo((struct sockaddr *)&address, len, host, sizeof(host), port,
		sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	if (failed)
		return error_set(err, ERR_SYSTEM, "cannot read the address of a socket: %s",
			gai_strerror(failed));
	const char *format = address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s";
	*name_out = mem_printf(format, host, port);
	*port_out = (unsigned)strtoul(port, NULL, 10);
	return true;
}

static bool bind_address(
	const struct addrinfo *address, const char *text, int *fd_out, struct error *err)
{
	int yes = 1;
	auto_fd int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(err, errno, "cannot listen on '%s'", text);
	/* A restart must not wait for old connections to fade; without it, it only waits. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
		int failed = errno;
		error_errno(err, failed, "cannot listen on '%s'", text);
		if (failed == EADDRINUSE)
			return error_hint(err, "another program uses it: see `ss -ltnp`");
		return false;
	}
	*fd_out = fd;
	fd = -1;
	return true;
}

/* The socket that systemd made for this very process, or -1. */
static int systemd_socket(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	if (!pid || !count || strtol(pid, NULL, 10) != getpid() || strtol(count, NULL, 10) < 1)
		return -1;
	int flags = fcntl(SYSTEMD_FIRST_FD, F_GETFL);
	if (flags < 0 || fcntl(SYSTEMD_FIRST_FD, F_SETFL, flags | O_NONBLOCK) != 0 ||
		fcntl(SYSTEMD_FIRST_FD, F_SETFD, FD_CLOEXEC) != 0)
		return -1;
	return SYSTEMD_FIRST_FD;
}

bool http_listen_tcp(const char *listen_text, int *fd_out, char **name_out, unsigned *port_out,
	struct error *err)
{
	char host[256];
	const char *port = NULL;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *found = NULL;
	auto_fd int fd = systemd_socket();
	if (fd < 0) {
		if (!split_listen(listen_text, host, sizeof(host), &port)) {
			error_set(err, ERR_INVALID, "'%s' is no address to listen on", listen_text);
			return error_hint(err, "write host:port, as 127.0.0.1:8750 or [::1]:8750");
		}
		int failed = getaddrinfo(host, port, &hints, &found);
		if (failed)
			return error_set(err, ERR_INVALID, "cannot listen on '%s': %s", listen_text,
				gai_strerror(failed));
		bool bound = bind_address(found, listen_text, &fd, err);
		freeaddrinfo(found);
		if (!bound)
			return false;
	}
	if (!describe(fd, name_out, port_out, err))
		return false;
	*fd_out = fd;
	fd = -1;
	return true;
}

/* A socket file whose process is gone answers nothing: take its place. */
static bool remove_stale(const struct sockaddr_un *address, struct error *err)
{
	struct stat info;
	if (lstat(address->sun_path, &info) != 0)
		return errno == ENOENT ||
		       error_errno(err, errno, "cannot look at '%s'", address->sun_path);
	if (!S_ISSOCK(info.st_mode))
		return error_set(
			err, ERR_REFUSED, "'%s' is there and no socket", address->sun_path);
	auto_fd int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!connect(probe, (const struct sockaddr *)address, sizeof(*address)))
		return error_set(
			err, ERR_REFUSED, "another process answers on '%s'", address->sun_path);
	if (unlink(address->sun_path) != 0 && errno != ENOENT)
		return error_errno(err, errno, "cannot replace '%s'", address->sun_path);
	return true;
}

bool http_listen_unix(const char *path, int *fd_out, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path)) {
		error_set(err, ERR_INVALID, "path of the socket '%s' is too long", path);
		return error_hint(err, "at most %zu bytes: set 'socket' to a shorter path",
			sizeof(address.sun_path) - 1);
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (!remove_stale(&address, err))
		return false;
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The mode of the descriptor becomes that of the file, so it is never wider than 0600. */
	if (fd < 0 || fchmod(fd, 0600) != 0 ||
		bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
		listen(fd, SOMAXCONN) != 0)
		return error_errno(err, errno, "cannot listen on '%s'", path);
	*fd_out = fd;
	fd = -1;
	return true;
}
