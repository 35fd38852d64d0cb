/* reconcile/drivers/hosts.h - SSH connections to many hosts, all waited for by one thread
 *
 *   begin() --> queue --connect, log in--> talk --answer--> drain --> done()
 *                 ^           |dropped by the server
 *                 +--back-off-+
 *
 * At most `concurrency` connections at once, few of them strangers to the same server. A host that
 * hangs costs its own deadlines and nobody else anything.
 */
#pragma once
#include "reconcile/drivers/driver.h"

struct hosts_options {
	const char *ssh_key_file; /* NULL: not configured, tasks end with an error that says so */
	const char *known_hosts_file; /* NULL: only hosts with a fingerprint of their own */
	bool openssh;               /* through the program ssh, if a host does not say otherwise */
	const char *program_config; /* file that hosts_new() writes for the program; NULL: none */
	size_t concurrency;         /* 0 = 32 */
	size_t pulls;               /* hosts that pull images at the same time; 0 = 10 */
	int64_t connect_ms;         /* to connect; for each of handshake and login; 0 = 15 s */
	int64_t idle_ms;            /* between two signs of life while delivering; 0 = 30 s */
};

struct hosts;
/** Starts the thread. Options are copied. ERR_SYSTEM. */
MUST_USE bool hosts_new(
	const struct hosts_options *options, struct hosts **hosts_out, struct error *err);
/** End all tasks, and every later one, with ERR_STOPPED. What runs on hosts goes on there. Returns
 *  when done() of all has been called. */
void hosts_stop(struct hosts *hosts);
/** Nobody may begin a task any more. */
void hosts_free(struct hosts *hosts);
DEFINE_CLEANUP(struct hosts, hosts_free)
#define auto_hosts CLEANUP(hosts_free_at)

/** Begin a task of one host. Any thread; done() may be called before it returns. */
void hosts_begin(struct hosts *hosts, struct driver_task *task);
/** As hosts_begin(), and wait for its end. Not in done(). @return task->ok, with err copied */
MUST_USE bool hosts_do(struct hosts *hosts, struct driver_task *task, struct error *err);
