/* reconcile/drivers/ssh_talk_plan.h - what is sent to a host: lists of files, and an archive of
 * those that it lacks */
#pragma once
#include "reconcile/drivers/driver.h"

/* Bytes to send: of the plan's own text, or of a file. */
struct talk_part {
	const char *bytes; /* NULL: at `at` of the text */
	size_t at, len;
};

struct talk_plan {
	struct buf text; /* wiped: hashes of secrets */
	struct talk_part *parts;
	size_t count, capacity;
};

/** Append the command for the login shell. Nothing in it is secret. */
void talk_plan_command(const struct driver_task *task, const char *nonce, struct buf *out);
/** How long what the task runs may take. */
int64_t talk_timeout_ms(const struct driver_task *task);
/** Append the digests that the host compares with what it has. ERR_SYSTEM. */
MUST_USE bool talk_plan_sums(
	struct talk_plan *plan, const struct driver_release *release, struct error *err);
/** Append orders and archive. @param same  by file: the host has it in current */
void talk_plan_put(
	struct talk_plan *plan, const struct driver_task *task, const bool *same, bool whole);
/** Append what lets a step begin. */
void talk_plan_go(struct talk_plan *plan);
/** Append a step as host.sh takes it: seconds, name, backup, arguments. */
void talk_plan_step(const struct driver_step *step, struct buf *out);
/** Empty it. */
void talk_plan_clear(struct talk_plan *plan);
