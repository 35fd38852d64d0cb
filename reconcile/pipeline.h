/* reconcile/pipeline.h - the order in which a client's steps come: "backup deploy verify"
 *
 * Names divided by single spaces; `deploy` and `verify` are built in and stand in each pipeline
 * once, in this order; every other name is a step of fleet.yaml. An empty text is the pipeline
 * without steps. A plain text, so that the rollout machine, which owns no memory, can carry it and
 * a replay has it.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#define STEP_NAME     32 /* of a step, with the NUL */
#define PIPELINE_MAX  10 /* entries, deploy and verify among them */
#define PIPELINE_TEXT (PIPELINE_MAX * STEP_NAME)

#define STEP_DEPLOY  "deploy"
#define STEP_VERIFY  "verify"
#define STEP_BACKUP  "backup"  /* what it makes is recorded, and belongs to the release that runs */
#define STEP_RESTORE "restore" /* stands in no pipeline: it is part of the way back */

/** When the way back of a client brings its data back too. */
enum restore_when { RESTORE_NEVER, RESTORE_ALWAYS, RESTORE_ASK };

/** Name of an entry. @return false past the end */
bool pipeline_entry(const char *pipeline, size_t index, char name_out[STEP_NAME]);
/** Index of an entry; SIZE_MAX: it has none of that name. */
size_t pipeline_find(const char *pipeline, const char *name);
/** Is there a backup before the release is touched? */
bool pipeline_backs_up_first(const char *pipeline);
