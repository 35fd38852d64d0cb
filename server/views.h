/* server/views.h - a snapshot as JSON and as text for people */
#pragma once
#include "base/buf.h"
#include "reconcile/snapshot.h"

/** {leader, commit, rollout, held, clients: [record], ready, problem, ...} */
void view_status(const struct snapshot *snapshot, struct buf *out);
/** {clients: [record]} */
void view_clients(const struct snapshot *snapshot, struct buf *out);
/** {rollouts: [record]} newest first, the running one as it is now. */
void view_rollouts(const struct snapshot *snapshot, struct buf *out);
/** One record; false if there is none. */
bool view_rollout(const struct snapshot *snapshot, const char *id, struct buf *out);
bool view_client(const struct snapshot *snapshot, const char *name, struct buf *out);
