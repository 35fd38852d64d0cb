#include "base/clock.h"
#include "server/http_private.h"
#include <arpa/inet.h>
#include <sys/socket.h>
#include <time.h>

#define FAILURE_WINDOW_MS 60000

/* libmicrohttpd's own time-out is for idle connections only: a byte a second keeps one open for
 * ever. So every connection stands in this list with the start of its turn. */

static void shut_late_ones(struct http_watches *watches)
{
	int64_t now = clock_mono_ms();
	for (struct http_watch *watch = watches->first; watch; watch = watch->next) {
		int64_t allowed = watches->timeout_ms * (watch->answering ? 4 : 1);
		/* The lock keeps the descriptor ours: it is closed after http_watch_remove().
		 * Whether it was connected still does not matter. */
		if (now - watch->since_ms >= allowed)
			(void)shutdown(watch->fd, SHUT_RDWR);
	}
}

static void *watch_connections(void *data)
{
	struct http_watches *watches = data;
	int64_t pause_ms = watches->timeout_ms / 4;
	pause_ms = pause_ms > 1000 ? 1000 : pause_ms < 10 ? 10 : pause_ms;
	pthread_mutex_lock(&watches->lock);
	while (!watches->stop) {
		int64_t until = clock_mono_ms() + pause_ms;
		struct timespec at = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
		(void)pthread_cond_timedwait(&watches->wake, &watches->lock, &at); /* either way */
		shut_late_ones(watches);
	}
	pthread_mutex_unlock(&watches->lock);
	return NULL;
}

bool http_watches_start(struct http_watches *watches, int64_t timeout_ms, struct error *err)
{
	pthread_condattr_t attributes;
	watches->timeout_ms = timeout_ms;
	pthread_mutex_init(&watches->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&watches->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	int failed = pthread_create(&watches->thread, NULL, watch_connections, watches);
	if (failed)
		return error_errno(err, failed, "cannot start a thread");
	watches->running = true;
	return true;
}

void http_watches_stop(struct http_watches *watches)
{
	if (watches->running) {
		pthread_mutex_lock(&watches->lock);
		watches->stop = true;
		pthread_cond_signal(&watches->wake);
		pthread_mutex_unlock(&watches->lock);
		pthread_join(watches->thread, NULL);
	}
	pthread_cond_destroy(&watches->wake);
	pthread_mutex_destroy(&watches->lock);
}

struct http_watch *http_watch_add(struct http_watches *watches, int fd)
{
	struct http_watch *watch = mem_zero(1, sizeof(*watch));
	watch->fd = fd;
	watch->since_ms = clock_mono_ms();
	pthread_mutex_lock(&watches->lock);
	watch->next = watches->first;
	watch->link = &watches->first;
	if (watch->next)
		watch->next->link = &watch->next;
	watches->first = watch;
	pthread_mutex_unlock(&watches->lock);
	return watch;
}

void http_watch_turn(struct http_watches *watches, struct http_watch *watch, bool answering)
{
	pthread_mutex_lock(&watches->lock);
	watch->since_ms = clock_mono_ms();
	watch->answering = answering;
	pthread_mutex_unlock(&watches->lock);
}

void http_watch_remove(struct http_watches *watches, struct http_watch *watch)
{
	pthread_mutex_lock(&watches->lock);
	*watch->link = watch->next;
	if (watch->next)
		watch->next->link = watch->link;
	pthread_mutex_unlock(&watches->lock);
	free(watch);
}

/* ---- failed authentications -------------------------------------------------------------------
 */

/* A whole /64 is one customer's: counting its addresses one by one would count nothing. */
static void cut_address(const struct in6_addr *address, unsigned char *cut)
{
	memcpy(cut, address, 16);
	if (!IN6_IS_ADDR_V4MAPPED(address))
		memset(cut + 8, 0, 8);
}

/* The line of an address, or the one of its set that is to be replaced. */
static struct http_failure *find_failure(
	struct http_failures *failures, const unsigned char *address, bool *found)
{
	uint32_t hash = 2166136261u; /* FNV-1a */
	for (int i = 0; i < 16; i++)
		hash = (hash ^ address[i]) * 16777619u;
	struct http_failure *set = failures->table[hash % HTTP_FAILURE_SETS], *oldest = set;
	*found = true;
	for (int i = 0; i < HTTP_FAILURE_WAYS; i++) {
		if (set[i].count && !memcmp(set[i].address, address, 16))
			return &set[i];
		if (!set[i].count || (oldest->count && set[i].since_ms < oldest->since_ms))
			oldest = &set[i];
	}
	*found = false;
	return oldest;
}

bool http_failures_add(
	struct http_failures *failures, const struct in6_addr *address, int64_t now_ms)
{
	unsigned char cut[16];
	bool found = false;
	cut_address(address, cut);
	pthread_mutex_lock(&failures->lock);
	struct http_failure *failure = find_failure(failures, cut, &found);
	if (!found || now_ms - failure->since_ms >= FAILURE_WINDOW_MS) {
		memcpy(failure->address, cut, sizeof(cut));
		failure->since_ms = now_ms;
		failure->count = 0;
	}
	bool reached = ++failure->count == failures->limit;
	pthread_mutex_unlock(&failures->lock);
	return reached;
}

unsigned http_failures_blocked(
	struct http_failures *failures, const struct in6_addr *address, int64_t now_ms)
{
	unsigned char cut[16];
	bool found = false;
	cut_address(address, cut);
	pthread_mutex_lock(&failures->lock);
	const struct http_failure *failure = find_failure(failures, cut, &found);
	int64_t left = failure->since_ms + FAILURE_WINDOW_MS - now_ms;
	bool blocked = found && failure->count >= failures->limit && left > 0;
	pthread_mutex_unlock(&failures->lock);
	return blocked ? (unsigned)((left + 999) / 1000) : 0;
}
