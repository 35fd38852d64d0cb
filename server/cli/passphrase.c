#include "server/cli/passphrase.h"
#include "base/fs.h"
#include "reconcile/secrets/age.h"
#include <errno.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#define TERMINAL "/dev/tty"

bool passphrase_possible(void)
{
	auto_fd int fd = open(TERMINAL, O_RDWR | O_CLOEXEC | O_NOCTTY);
	return fd >= 0;
}

/* A line without its end. ^C is a character here, so that the echo comes back before we end. */
static bool read_line(int fd, struct buf *out)
{
	char c;
	for (;;) {
		ssize_t got = read(fd, &c, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 || c == '\003' || c == '\004')
			return false;
		if (c == '\n' || c == '\r')
			return true;
		if (c == '\177' || c == '\b')
			buf_truncate(out, out->len ? out->len - 1 : 0);
		else
			buf_add_char(out, c);
	}
}

bool passphrase_ask(void *data, const char *source, struct buf *passphrase_out, struct error *err)
{
	auto_fd int fd = open(TERMINAL, O_RDWR | O_CLOEXEC | O_NOCTTY);
	struct termios before, quiet;
	(void)data; /* struct age_ask hands it over; there is nothing to know */
	if (fd < 0 || tcgetattr(fd, &before))
		return error_set(err, ERR_REFUSED, "there is no terminal to ask for a passphrase");
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
	bool asked = !tcsetattr(fd, TCSAFLUSH, &quiet);
	if (asked) { /* now, so that nothing that is typed at the prompt is flushed */
		dprintf(fd, "Passphrase of '%s': ", source);
		asked = read_line(fd, passphrase_out);
	}
	if (tcsetattr(fd, TCSAFLUSH, &before))
		return error_errno(err, errno, "cannot set the terminal back");
	dprintf(fd, "\n");
	return asked || error_set(err, ERR_STOPPED, "no passphrase was given");
}
