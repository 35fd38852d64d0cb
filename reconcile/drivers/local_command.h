/* reconcile/drivers/local_command.h - a command on this machine that holds its host's lock */
#pragma once
#include "reconcile/drivers/driver.h"
#include "reconcile/drivers/local_lock.h"

struct local_command {
	const char *name;               /* for messages: "activate", "backup" */
	const char *const *argv;        /* ends with NULL */
	const char *const *environment; /* ends with NULL */
	const char *folder;             /* to run in */
	int64_t timeout_ms;
	int64_t grace_ms; /* from being asked to end to SIGKILL; 0 = 5 s */
	int end_signal;   /* that asks it to end; 0 = SIGTERM */
	/* To be told its status, which then is no error, whatever it is; or NULL. */
	int *status_out;
};

/**
 * Run it to its end. It inherits the lock, so that the host stays locked if we die meanwhile.
 * @return true after exit 0 in time; else ERR_INVALID (its status), ERR_TIMEOUT, ERR_STOPPED with
 *         run->touched unknown, ERR_SYSTEM
 */
MUST_USE bool local_command_run(const struct local_command *command, struct local_lock *lock,
	struct driver_run *run, struct error *err);
