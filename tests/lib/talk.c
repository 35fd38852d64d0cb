#include "tests/lib/talk.h"
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connected(int fd, const void *address, socklen_t len)
{
	if (fd < 0 || connect(fd, address, len) != 0) {
		perror("connect");
		exit(1);
	}
	return fd;
}

int talk_dial(unsigned port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	return connected(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), &address, sizeof(address));
}

int talk_dial_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return connected(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), &address, sizeof(address));
}

void talk_put(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t done = send(fd, bytes, len, MSG_NOSIGNAL);
		if (done <= 0)
			return;
		bytes += done;
		len -= (size_t)done;
	}
}

char *talk_read(int fd)
{
	struct buf text;
	char piece[4096];
	ssize_t got = 0;
	buf_init(&text, 1 << 20);
	while ((got = recv(fd, piece, sizeof(piece), 0)) > 0)
		buf_add(&text, piece, (size_t)got);
	(void)close(fd);
	return buf_steal(&text);
}

char *talk_ask(unsigned port, const char *request)
{
	int fd = talk_dial(port);
	talk_put(fd, request, strlen(request));
	return talk_read(fd);
}
