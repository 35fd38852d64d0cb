/* The count stands beside the record: a copy of the record must not read what others write. */
#include "reconcile/status_share.h"
#include <stddef.h>

struct shared_client {
	int refs;
	struct client_record record;
};

struct shared_rollout {
	int refs;
	struct rollout_record record;
};

static struct shared_client *shared_client_of(const struct client_record *record)
{
	return (struct shared_client *)(void *)((char *)record -
						offsetof(struct shared_client, record));
}

static struct shared_rollout *shared_rollout_of(const struct rollout_record *record)
{
	return (struct shared_rollout *)(void *)((char *)record -
						 offsetof(struct shared_rollout, record));
}

const struct client_record *client_share_copy(const struct client_record *record)
{
	struct shared_client *shared = mem_zero(1, sizeof(*shared));
	client_record_copy(&shared->record, record);
	shared->refs = 1;
	return &shared->record;
}

const struct client_record *client_share(const struct client_record *record)
{
	__atomic_add_fetch(&shared_client_of(record)->refs, 1, __ATOMIC_RELAXED);
	return record;
}

void client_unshare(const struct client_record *record)
{
	struct shared_client *shared = shared_client_of(record);
	if (__atomic_sub_fetch(&shared->refs, 1, __ATOMIC_ACQ_REL))
		return;
	client_record_clear(&shared->record);
	free(shared);
}

const struct rollout_record *rollout_share_copy(const struct rollout_record *record)
{
	struct shared_rollout *shared = mem_zero(1, sizeof(*shared));
	rollout_record_copy(&shared->record, record);
	shared->refs = 1;
	return &shared->record;
}

const struct rollout_record *rollout_share(const struct rollout_record *record)
{
	__atomic_add_fetch(&shared_rollout_of(record)->refs, 1, __ATOMIC_RELAXED);
	return record;
}

void rollout_unshare(const struct rollout_record *record)
{
	struct shared_rollout *shared = shared_rollout_of(record);
	if (__atomic_sub_fetch(&shared->refs, 1, __ATOMIC_ACQ_REL))
		return;
	rollout_record_clear(&shared->record);
	free(shared);
}
