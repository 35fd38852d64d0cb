/* reconcile/status_parts.h - what the files of the records share; nobody else includes it */
#pragma once
#include "reconcile/status.h"

struct emitter;
/** What people said to a rollout, approvals and an abort, and which commit took over: of its record
 *  as below, in memory, to its file, and back. */
void said_clear(struct rollout_record *record);
/** @p to holds what @p from does, and owns nothing of it yet. */
void said_copy(struct rollout_record *to, const struct rollout_record *from);
void said_emit(struct emitter *emitter, const struct rollout_record *record);
MUST_USE bool said_read(const struct node *node, struct rollout_record *record, struct error *err);

/** Text of a scalar, or NULL if the key is missing or null. */
const char *record_text(const struct node *map, const char *key);
/** Is it there, and true? */
bool record_flag(const struct node *map, const char *key);
/** A time; left as it is if the key is missing. */
MUST_USE bool record_time(
	const struct node *map, const char *key, int64_t *wall_s, struct error *err);
