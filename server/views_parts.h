/* server/views_parts.h - what the files of server/views* share */
#pragma once
#include "reconcile/plan.h"
#include "server/views.h"

/** `[{what, next}]`: what waits, and the command that moves it on. */
void view_add_waits(const struct snapshot *snapshot, struct buf *out);
