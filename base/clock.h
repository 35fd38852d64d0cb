/* base/clock.h - durations, monotonic time for waits, wall time for ids and records */
#pragma once
#include "base/error.h"

#define CLOCK_TEXT_SIZE 32

/** Milliseconds of CLOCK_MONOTONIC: for every wait and deadline. */
int64_t clock_mono_ms(void);
/** Unix seconds. AVIARY_TEST_NOW is not read here: tests that need a clock pass one. */
int64_t clock_wall_s(void);

/** "2026-11-24T10:15:42Z" into @p text of CLOCK_TEXT_SIZE bytes; returns @p text. */
const char *clock_format(int64_t wall_s, char *text);
/** Read what clock_format() writes. */
MUST_USE bool clock_parse(const char *text, int64_t *wall_s_out);
/** "20261124-101542" (UTC), the first part of a rollout id. */
const char *clock_format_id(int64_t wall_s, char *text);
/** Read it from the start of an id; what follows does not matter. */
MUST_USE bool clock_parse_id(const char *text, int64_t *wall_s_out);

/** A duration of configuration files: `0s`, `10m`, `1h30m`, `500ms`, `14d`: numbers with units
 *  d h m s ms in falling order, each once, whole numbers. At most 10 years. */
MUST_USE bool duration_parse(const char *text, int64_t *ms_out);
/** The shortest such text: 90 s -> "1m30s", 0 -> "0s". @p text of CLOCK_TEXT_SIZE bytes. */
const char *duration_format(int64_t ms, char *text);
/** For people: "14m12s", "2h04m", "0.4s", "3 days". @p text of CLOCK_TEXT_SIZE bytes. */
const char *duration_human(int64_t ms, char *text);
