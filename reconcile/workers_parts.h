/* reconcile/workers_parts.h - what the files of module workers share; nobody else includes it */
#pragma once
#include "reconcile/workers.h"
#include <pthread.h>

struct entry;
struct round;

struct workers {
	struct workers_options options;
	char *log_dir;
	struct checks *checks;
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

/** Hand the answer to the loop; takes the work over. */
void workers_answer(struct workers *workers, struct work *work);
/** Deliver and activate, and answer: now, or when a driver that does not wait is done. */
void workers_activate(struct workers *workers, struct work *work);
/** Run the step, and answer, likewise. */
void workers_step(struct workers *workers, struct work *work);
/** Ask the host what it runs, and answer, likewise. */
void workers_ask(struct workers *workers, struct work *work);
