/* reconcile/drivers/ansible_events.h - what ansible-playbook says: a JSON object a line, and noise
 *
 * The objects are those of templates/ansible_callback.py. Whatever else comes is shown as it is. A
 * run that began ends with its counts, unless a mistake in a later play ended it; without them and
 * without a task it never ran, whatever its status says (ansible-playbook uses 2 and 4 for mistakes
 * of its command line and its files too).
 */
#pragma once
#include "base/buf.h"

#define ANSIBLE_LINE_MAX ((size_t)256 << 10) /* longer ones are dropped */
#define ANSIBLE_TEXT_MAX 400

struct ansible_events {
	void (*show)(void *data, const char *bytes, size_t len); /* lines for a person */
	void *data;
	void (*mask)(struct buf *text); /* of secrets in what and why; may be NULL */
	struct buf line;
	char task[ANSIBLE_TEXT_MAX]; /* that runs */
	/* what was found */
	bool ended;                  /* the counts came */
	int64_t done;                /* tasks that were ok */
	int64_t failed, unreachable; /* counts of all hosts */
	char what[ANSIBLE_TEXT_MAX]; /* task that failed last, "" none */
	char why[ANSIBLE_TEXT_MAX];
};

/** @param show  called with lines for a person, as they become known: it masks them itself */
void ansible_events_init(struct ansible_events *events,
	void (*show)(void *data, const char *bytes, size_t len), void *data);
/** More output; @p data is the struct ansible_events. */
void ansible_events_add(void *data, const char *bytes, size_t len);
/** No more comes: what is left is a line. */
void ansible_events_end(struct ansible_events *events);
