/* reconcile/output.h - what steps print: masked, capped, kept per client and rollout
 *
 * <log_dir>/<rollout>/<client>.log, mode 0600: for each step a line that says when it began, its
 * output, a line that says how it ended. UTF-8 that a terminal shows harmlessly.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"

#define OUTPUT_MAX      ((size_t)1 << 20)  /* of one step; the rest is dropped with a note */
#define OUTPUT_FILE_MAX ((size_t)8 << 20)  /* of one file, about: nothing is added beyond */
#define OUTPUT_READ_MAX ((size_t)16 << 20) /* at once; more than a file has */
#define OUTPUT_TAIL_MAX 200                /* bytes of its end that an error message may repeat */

struct secret_stream;

/** Makes a stream of bytes fit for a terminal: lines and tabs stay, colours go, a bare carriage
 *  return ends its line, other control characters and what is no UTF-8 become `?`. */
struct output_cleaner {
	char torn[4]; /* start of a character whose rest has not come yet */
	size_t torn_len;
	bool after_return;
	enum { CLEANER_TEXT, CLEANER_ESCAPE, CLEANER_SEQUENCE } state;
};
/** Append what has come to @p out. */
void output_clean(struct output_cleaner *cleaner, const char *bytes, size_t len, struct buf *out);

struct output {
	const char *step;                  /* borrowed */
	struct secret_stream *raw, *shown; /* masks before it is cleaned, and after */
	struct output_cleaner cleaner;
	int fd; /* of the file; -1 if it could not be opened, which is logged */
	size_t written;
	bool in_line; /* the last byte was no line end */
	struct buf tail;
};

/** Whose output it is. */
struct output_place {
	const char *log_dir, *rollout, *client;
};

/** Start keeping the output of one step ("activate"); what the file held before stays. */
void output_begin(struct output *output, const struct output_place *place, const char *step);
/** More of it; @p data is the struct output. */
void output_add(void *data, const char *bytes, size_t len);
/** The step ended. If it failed, the last line of its output is added to @p err. */
void output_end(struct output *output, bool ok, struct error *err);
/**
 * What the file holds from byte @p from on, whole characters only; nothing if there is no file.
 * @param end_out  where the next one begins
 */
MUST_USE bool output_read(const struct output_place *place, int64_t from, struct buf *text,
	int64_t *end_out, struct error *err);
/** Remove the folders of all but the newest @p keep rollouts. Failures are logged. */
void output_prune(const char *log_dir, size_t keep);
