/* base/emit.h - write one tree as YAML (block style) or as compact JSON, with the same calls
 *
 * Keys inside maps are given with each value; inside lists the key is NULL. Strings are quoted in
 * YAML wherever any reader (YAML 1.1 or 1.2) would see something else than the string. Nothing can
 * fail but the buf's limit.
 */
#pragma once
#include "base/buf.h"

enum emit_format { EMIT_YAML, EMIT_JSON };

struct emitter {
	struct buf *out; /* borrowed */
	enum emit_format format;
	unsigned depth;   /* open maps and lists */
	uint64_t is_list; /* one bit per depth */
	uint64_t has_items;
	bool pending_dash; /* YAML: the next map entry stands behind "- " */
};

/** The root is a map that emit_end() closes. At most 60 levels. */
void emit_begin(struct emitter *emitter, enum emit_format format, struct buf *out);
void emit_end(struct emitter *emitter);
void emit_map(struct emitter *emitter, const char *key);
void emit_list(struct emitter *emitter, const char *key);
/** Close the innermost map or list. An empty one reads `{}` or `[]`. */
void emit_close(struct emitter *emitter);
/** NULL writes null. */
void emit_str(struct emitter *emitter, const char *key, const char *text);
/** As emit_str(), and nothing at all for NULL or "". */
void emit_opt(struct emitter *emitter, const char *key, const char *text);
void emit_int(struct emitter *emitter, const char *key, int64_t number);
void emit_bool(struct emitter *emitter, const char *key, bool value);
/** "2026-11-24T10:15:42Z", plain in YAML; nothing for 0. */
void emit_time(struct emitter *emitter, const char *key, int64_t wall_s);
/** JSON text that somebody else made; JSON only. */
void emit_raw_json(struct emitter *emitter, const char *key, const char *json);
/** A list of strings; an empty one is left out. */
void emit_strs(struct emitter *emitter, const char *key, const struct strlist *list);
