/* reconcile/workers_parts.h - what the files of module workers share; nobody else includes it */
#pragma once
#include "reconcile/output.h"
#include "reconcile/workers.h"
#include <pthread.h>

struct entry;
struct round;

struct workers {
	struct workers_options options;
	char *log_dir, *steps_dir;
	struct checks *checks;
	bool ansible_checked; /* its version; atomic */
	int cancel_fd;
	pthread_t *threads;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t filled;
	size_t started, idle; /* threads; they start when there is work for them */
	size_t waiting;       /* entries in the list */
	struct entry *first, *last;
	struct round *rounds; /* under way */
	bool stopping;
};

/** A step, and what owns all that it points to. */
struct found_step {
	struct target *holder;
	struct driver_step *step;
};

/** Something that is done for a client, from its beginning to its answer. */
struct activation {
	struct workers *workers;
	struct work *work;
	struct target *target;
	struct found_step restore; /* or none */
	struct driver_release release;
	struct output output;
	bool away;     /* a step on this machine could not reach the host */
	char step[64]; /* of the output; what does not fit is cut */
	struct driver_task task;
};

/** Hand the answer to the loop; takes the work over. */
void workers_answer(struct workers *workers, struct work *work);
/** Deliver and activate, and answer: now, or when a driver that does not wait is done. */
void workers_activate(struct workers *workers, struct work *work);
/** Run the step, and answer, likewise. */
void workers_step(struct workers *workers, struct work *work);
/** Ask the host what it runs, and answer, likewise. */
void workers_ask(struct workers *workers, struct work *work);
/** Run it on this machine, and answer. */
void workers_step_here(struct activation *activation);
/** What became of the task, for the loop; frees the activation. */
void workers_conclude(struct activation *activation);
