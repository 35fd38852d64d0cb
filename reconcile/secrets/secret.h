/* reconcile/secrets/secret.h - the masking registry: values that must never be printed
 *
 * Values of 6 bytes and more are registered when they are decrypted, and replaced by `********` in
 * logs and child output, also in their base64, URL-encoded and JSON-escaped spelling. Of a value of
 * several lines each line of 16 bytes and more is masked by itself too. The registry keeps copies
 * in locked memory, which is wiped, never in plain heap memory. Threads: any; one stream belongs to
 * one thread.
 */
#pragma once
#include "base/buf.h"

/** Register a value; shorter than 6 bytes is ignored. Registering twice costs nothing. */
void secret_mask_add(const char *value, size_t len);
/** Replace registered values in @p text; cheap when nothing is registered. */
void secret_mask(struct buf *text);

/** Masks a stream: holds back what could be the start of a value until more comes. */
struct secret_stream;
/** @param write  called with what may be shown, in order */
struct secret_stream *secret_stream_new(
	void (*write)(void *data, const char *bytes, size_t len), void *data);
/** Take bytes that came; calls write() for those that are safe to show. */
void secret_stream_add(struct secret_stream *stream, const char *bytes, size_t len);
/** Write what is held back and free the stream; NULL is fine. */
void secret_stream_end(struct secret_stream *stream);
/** Forget and wipe all; at exit. */
void secret_mask_clear(void);
