/* reconcile/status_share.h - records of a status, counted: snapshots in other threads hold them too
 *
 * Only reconcile/status.c makes and drops them; everybody else reads them through a status.
 */
#pragma once
#include "reconcile/status.h"

/** A shared copy of a record, held once. */
const struct client_record *client_share_copy(const struct client_record *record);
/** Hold a shared record once more. @return it. */
const struct client_record *client_share(const struct client_record *record);
/** Let go of a shared record; the last one frees it. */
void client_unshare(const struct client_record *record);

/** A shared copy of a record, held once. */
const struct rollout_record *rollout_share_copy(const struct rollout_record *record);
/** Hold a shared record once more. @return it. */
const struct rollout_record *rollout_share(const struct rollout_record *record);
/** Let go of a shared record; the last one frees it. */
void rollout_unshare(const struct rollout_record *record);
