/* tests/lib/fixture.h - files that tests read: our own in tests/fixtures, others' beside us */
#pragma once
#include "base/buf.h"
#include <cjson/cJSON.h>

/** Numbers of a run over a folder of cases, for its last line. */
struct tally {
	unsigned passed, failed, skipped;
};

/** Contents of a file, or an abort that names it. Caller clears. */
struct buf fixture_read(const char *path);
/** `$AVIARY_SHARED/fixtures/<name>`, else `../shared/fixtures/<name>`; NULL where it is absent.
 *  Caller frees. */
char *fixture_shared(const char *name);
/** Parse a JSON file; U+0000 in it becomes U+E000. Caller deletes. */
cJSON *fixture_json(const char *path);
/** Text of a JSON object's member, "" if it has none. */
const char *fixture_text(const cJSON *object, const char *name);
/** Lower-case hex SHA-256 of bytes, in @p hex of 65 bytes. */
const char *fixture_sha256(const void *bytes, size_t len, char *hex);
/** Print "case: what happened" and count it. @return @p ok */
PRINTF(4, 5)
bool tally_add(struct tally *tally, const char *name, bool ok, const char *format, ...);
/** Print and count a case that is left out, with the reason. */
void tally_skip(struct tally *tally, const char *name, const char *why);
/** Print "N passed, N failed, N skipped". */
void tally_print(const struct tally *tally);
