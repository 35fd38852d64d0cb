/* reconcile/zone.h - offsets of a time zone, from the system's tz database
 *
 * Read from $TZDIR, else /usr/share/zoneinfo, without the C library's one zone for the process.
 */
#pragma once
#include "base/error.h"

/** Can the name of a zone be one: letters, digits, "_+-/", inside of the database. */
bool zone_is_name(const char *name);
/**
 * Seconds east of UTC that hold in the zone at a time.
 * @return false: ERR_NOT_FOUND (no such zone), ERR_INVALID (its file does not read)
 */
MUST_USE bool zone_offset(const char *name, int64_t wall_s, int64_t *offset_out, struct error *err);
