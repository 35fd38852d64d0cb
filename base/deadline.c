#include "base/deadline.h"
#include "base/clock.h"
#include <errno.h>

void deadline_connecting(struct deadline *deadline)
{
	deadline->phase_ms = deadline->connect_ms;
	deadline->phase_end_ms = clock_mono_ms() + deadline->connect_ms;
}

void deadline_start(struct deadline *deadline)
{
	deadline->end_ms = clock_mono_ms() + deadline->total_ms;
	deadline_connecting(deadline);
}

void deadline_progress(struct deadline *deadline)
{
	deadline->phase_ms = deadline->idle_ms;
	deadline->phase_end_ms = clock_mono_ms() + deadline->idle_ms;
}

int deadline_left(const struct deadline *deadline, int cap)
{
	int64_t end = deadline->end_ms < deadline->phase_end_ms ? deadline->end_ms
								: deadline->phase_end_ms;
	int64_t left = end - clock_mono_ms();
	if (left < 0)
		left = 0;
	return left < cap ? (int)left : cap;
}

static bool is_cancelled(const struct deadline *deadline)
{
	struct pollfd cancel = {.fd = deadline->cancel_fd, .events = POLLIN};
	return deadline->cancel_fd >= 0 && poll(&cancel, 1, 0) == 1;
}

bool deadline_check(const struct deadline *deadline, struct error *err)
{
	int64_t now = clock_mono_ms();

	if (is_cancelled(deadline))
		return error_set(
			err, ERR_STOPPED, "%s: stopped while %s", deadline->peer, deadline->doing);
	if (now >= deadline->end_ms)
		return error_set(err, ERR_TIMEOUT, "%s: not finished within %lld ms while %s",
			deadline->peer, (long long)deadline->total_ms, deadline->doing);
	if (now >= deadline->phase_end_ms)
		return error_set(err, ERR_TIMEOUT, "%s: no answer within %lld ms while %s",
			deadline->peer, (long long)deadline->phase_ms, deadline->doing);
	return true;
}

bool deadline_poll(
	const struct deadline *deadline, int fd, short events, int cap, struct error *err)
{
	struct pollfd wait[] = {
		{.fd = fd, .events = events}, {.fd = deadline->cancel_fd, .events = POLLIN}};

	if (!deadline_check(deadline, err))
		return false;
	/* one more, so that a wait until the limit does not end a fraction before it */
	int count = poll(wait, 2, deadline_left(deadline, cap) + 1);
	if (count < 0 && errno != EINTR)
		return error_errno(err, errno, "%s: poll failed", deadline->peer);
	return (count > 0 && wait[0].revents && !wait[1].revents) || deadline_check(deadline, err);
}
