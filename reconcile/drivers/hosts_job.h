/* reconcile/drivers/hosts_job.h - one task on its way: connection and talk; of hosts*.c only */
#pragma once
#include "base/ssh.h"
#include "reconcile/drivers/hosts.h"
#include "reconcile/drivers/ssh_talk.h"

/** What we log in with, as the files were when it was read. */
struct hosts_access {
	size_t users; /* jobs that have not logged in yet, and the owner */
	struct buf key;
	struct known_hosts *known_hosts; /* NULL: none configured */
	int64_t stamps[2];               /* of the files */
};
/** Read the files; @p old, if it is still what they hold, gets one more user. */
MUST_USE bool hosts_access_read(const struct hosts_options *options, struct hosts_access *old,
	struct hosts_access **access_out, struct error *err);
/** One user less. NULL is fine. */
void hosts_access_drop(struct hosts_access *access);

/** Is this host reached through the program ssh? Always if other hosts are on the way. */
bool hosts_program_is_used(const struct driver_host *host, const struct hosts_options *options);
/** What the program ssh reads before the user's and the system's configuration. */
void hosts_program_config(const struct hosts_options *options, struct buf *out);
/** Its argv, without the command. ERR_INVALID. */
MUST_USE bool hosts_program_argv(const struct driver_host *host,
	const struct hosts_options *options, struct strlist *argv, struct error *err);

enum job_phase { JOB_OPENING, JOB_STARTING, JOB_TALKING, JOB_DRAINING, JOB_OVER };

struct hosts_job {
	struct hosts_job *next;
	struct driver_task *task;
	const struct hosts_options *options;
	struct hosts_access *access; /* until it has logged in */
	struct ssh_options ssh_options;
	struct strlist program; /* argv of ssh, if it is used */
	struct ssh *ssh;
	struct talk *talk;
	struct buf command, errors;
	enum job_phase phase;
	unsigned drops;     /* times that the server hung up on a stranger */
	int64_t not_before; /* CLOCK_MONOTONIC ms: back-off */
	int64_t drain_end;
	bool pulling;  /* until its activate says that it has its images */
	size_t pulled; /* so much of that was read */
	bool end_sent, out_ended, errors_ended;
	bool hot;                   /* more may be there without poll() saying so */
	size_t poll_at, poll_count; /* in the poll set; 0 of them: not in it */
};

/** A job that is not started yet. @param options  borrowed */
struct hosts_job *hosts_job_new(struct driver_task *task, const struct hosts_options *options);
void hosts_job_free(struct hosts_job *job);
/** Does it need one of hosts.pulls? */
bool hosts_job_pulls(const struct hosts_job *job);
/** Connect. Takes over the use of @p access, NULL for the program. @return false: err */
MUST_USE bool hosts_job_start(struct hosts_job *job, struct dialer *dialer,
	struct hosts_access *access, struct error *err);
/** Do what can be done without waiting. Phase JOB_OVER: the task has its answer.
 *  @return false: the server dropped us, to be tried again after not_before */
bool hosts_job_turn(struct hosts_job *job);
/** Milliseconds to its next deadline, at most @p cap. */
int hosts_job_left_ms(const struct hosts_job *job, int cap);
/** Ends what is late, keeps alive what is not. */
void hosts_job_check(struct hosts_job *job);
/** End it with this error, unless it has its answer. */
void hosts_job_fail(struct hosts_job *job, const struct error *err);
