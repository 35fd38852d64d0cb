#include "reconcile/inbox.h"
#include <errno.h>
#include <pthread.h>
#include <time.h>

struct inbox {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct message *first, *last;
	bool look_waits; /* a MESSAGE_LOOK is in the queue already */
};

struct inbox *inbox_new(void)
{
	struct inbox *inbox = mem_zero(1, sizeof(*inbox));
	pthread_condattr_t attributes;
	pthread_mutex_init(&inbox->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&inbox->filled, &attributes);
	pthread_condattr_destroy(&attributes);
	return inbox;
}

void inbox_free(struct inbox *inbox)
{
	if (!inbox)
		return;
	for (struct message *message = inbox->first, *next; message; message = next) {
		next = message->next;
		message_free(message);
	}
	pthread_cond_destroy(&inbox->filled);
	pthread_mutex_destroy(&inbox->lock);
	free(inbox);
}

struct message *message_new(enum message_kind kind)
{
	struct message *message = mem_alloc(sizeof(*message));
	memset(message, 0, offsetof(struct message, err)); /* most of it is the error's text */
	message->err.code = ERR_NONE;
	message->err.message[0] = message->err.where[0] = message->err.hint[0] = '\0';
	message->kind = kind;
	return message;
}

void message_free(struct message *message)
{
	if (!message)
		return;
	if (message->data && message->free_data)
		message->free_data(message->data);
	free(message);
}

void inbox_post(struct inbox *inbox, struct message *message)
{
	pthread_mutex_lock(&inbox->lock);
	bool folds = message->kind == MESSAGE_LOOK && inbox->look_waits;
	if (!folds) {
		inbox->look_waits = inbox->look_waits || message->kind == MESSAGE_LOOK;
		message->next = NULL;
		if (inbox->last)
			inbox->last->next = message;
		else
			inbox->first = message;
		inbox->last = message;
		pthread_cond_signal(&inbox->filled);
	}
	pthread_mutex_unlock(&inbox->lock);
	if (folds)
		message_free(message);
}

static bool wait_until(struct inbox *inbox, int64_t until_ms)
{
	struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
	if (until_ms == INT64_MAX)
		return !pthread_cond_wait(&inbox->filled, &inbox->lock);
	return pthread_cond_timedwait(&inbox->filled, &inbox->lock, &until) != ETIMEDOUT;
}

struct message *inbox_take(struct inbox *inbox, int64_t until_ms)
{
	pthread_mutex_lock(&inbox->lock);
	while (!inbox->first && wait_until(inbox, until_ms))
		;
	struct message *message = inbox->first;
	if (message) {
		inbox->first = message->next;
		if (!inbox->first)
			inbox->last = NULL;
		if (message->kind == MESSAGE_LOOK)
			inbox->look_waits = false;
	}
	pthread_mutex_unlock(&inbox->lock);
	return message;
}

bool inbox_is_empty(struct inbox *inbox)
{
	pthread_mutex_lock(&inbox->lock);
	bool empty = !inbox->first;
	pthread_mutex_unlock(&inbox->lock);
	return empty;
}
