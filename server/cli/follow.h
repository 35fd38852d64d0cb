/* server/cli/follow.h - progress for people: one line per client or stage that changes state
 *
 * Fed with the JSON of `status` (from a service or from the own loop); prints what is new. Plain
 * lines, so that it reads the same on a terminal and in a log.
 */
#pragma once
#include "base/mem.h"

struct follow;
/** @param json  one JSON object a line instead of text */
struct follow *follow_new(FILE *out, bool json);
void follow_free(struct follow *follow);
DEFINE_CLEANUP(struct follow, follow_free)
#define auto_follow CLEANUP(follow_free_at)

/** Print what changed since the last call. What was there at the first call counts as old, unless
 *  its rollout still runs. */
void follow_update(struct follow *follow, const char *status_json);

/** This rollout belongs to what is followed, though it may have ended before a status showed it
 *  running. "" is no rollout. */
void follow_expect(struct follow *follow, const char *rollout);

/** How the newest rollout of the status ended: exit status of design.md section 8, and the last
 * line: "failed after 17m20s: 1 upgraded, 1 rolled back, 1 not touched. ...". */
int follow_end(struct follow *follow, const char *status_json);
