/* server/webhook_json.h - strict JSON of a delivery, read in place
 *
 * No tree is built: 25 MiB of `[0,0,...` would become a gigabyte of nodes. One pass without
 * recursion proves the whole body well-formed (RFC 8259, and stricter where a C string or another
 * parser could read something else: UTF-8, NUL, `\u0000`, lone surrogates, depth, text behind the
 * object). After it, members are looked up in the proven text.
 */
#pragma once
#include "base/mem.h"

#define WEBHOOK_JSON_DEPTH 128 /* real payloads reach 8 */

/** A value inside the body; absent if text is NULL. */
struct webhook_json {
	const char *text;
	size_t len;
};

/**
 * Prove that @p bytes are one JSON object.
 *
 * A UTF-8 byte order mark is skipped.
 * @param object_out   the object, pointing into @p bytes
 * @param problem_out  on failure: what is wrong, in a few constant words
 */
MUST_USE bool webhook_json_check(
	const char *bytes, size_t len, struct webhook_json *object_out, const char **problem_out);

/**
 * Look up members of a proven object in one pass.
 *
 * @param names  @p count names
 * @param out    @p count values; absent ones have text NULL
 * @return false if @p object is absent or no object, or if one of @p names stands in it twice
 */
MUST_USE bool webhook_json_members(struct webhook_json object, const char *const *names,
	size_t count, struct webhook_json *out);

/** One member; absent also if @p object is no object or has it twice. */
struct webhook_json webhook_json_member(struct webhook_json object, const char *name);

/** Step through a proven array. @param at  0 at the start. @return false at the end, or if
 *  @p array is no array */
bool webhook_json_next(struct webhook_json array, size_t *at, struct webhook_json *item_out);

/** Decode a string into @p text of @p size bytes; false if absent, no string, or too long. */
MUST_USE bool webhook_json_text(struct webhook_json value, char *text, size_t size);

/** What a value is; an absent one counts as null. */
bool webhook_json_is_null(struct webhook_json value);
bool webhook_json_is_object(struct webhook_json value);
bool webhook_json_is_array(struct webhook_json value);
