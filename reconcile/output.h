/* reconcile/output.h - what activations print: masked, capped, kept per client and rollout
 *
 * <log_dir>/<rollout>/<client>.log, mode 0600.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"

#define OUTPUT_MAX      ((size_t)1 << 20) /* of one activation; the rest is dropped with a note */
#define OUTPUT_TAIL_MAX 200               /* bytes of its end that an error message may repeat */

struct output {
	struct secret_stream *masked;
	int fd; /* of the file; -1 if it could not be opened, which is logged */
	size_t written;
	struct buf tail;
};

/** Start keeping the output of one activation; what the file held before stays. */
void output_begin(
	struct output *output, const char *log_dir, const char *rollout, const char *client);
/** More of it; @p data is the struct output. */
void output_add(void *data, const char *bytes, size_t len);
/** The activation ended. If it failed, its last line is added to @p err. */
void output_end(struct output *output, bool ok, struct error *err);
/** Remove the folders of all but the newest @p keep rollouts. Failures are logged. */
void output_prune(const char *log_dir, size_t keep);
