/* base/error.h - one failure: a code to act on, a sentence to read, a place, a remedy
 *
 * A plain value of fixed size, so that failing cannot fail and a worker can send it by value.
 * Whatever can fail returns bool and takes `struct error *err` last; err is never NULL.
 * Messages: lower case, no full stop, the subject in single quotes.
 */
#pragma once
#include "base/mem.h"

enum error_code {
	ERR_NONE,
	ERR_INVALID,     /* the input is wrong: the person who wrote it must change it */
	ERR_REFUSED,     /* understood and not allowed (policy, declined by the remote's hook) */
	ERR_NOT_FOUND,   /* what was asked for does not exist */
	ERR_REJECTED,    /* somebody moved the branch: fetch, look again, decide again */
	ERR_AUTH,        /* credentials or the peer's identity were not accepted */
	ERR_UNREACHABLE, /* no connection: name lookup, connect, lost */
	ERR_TIMEOUT,     /* a deadline passed */
	ERR_STOPPED,     /* we are stopping, or the caller cancelled */
	ERR_SYSTEM,      /* the machine failed us: disk full, too many files, a library's failure */
	ERR_CODES
};

struct error {
	enum error_code code;
	char message[768];
	char where[320]; /* "file:line" of the input, or "" */
	char hint[320];  /* what to do, or "" */
};

/** Start an error. Long text is cut at the size of the field, on a UTF-8 boundary. @return false */
PRINTF(3, 4) bool error_set(struct error *err, enum error_code code, const char *format, ...);

/** Put outer context in front: "release of 'alpha': <message>". @return false */
PRINTF(2, 3) bool error_wrap(struct error *err, const char *format, ...);

/** Name the place in the input; line 0 leaves the line away. Keeps a place that is set. @return
 * false */
bool error_at(struct error *err, const char *file, unsigned line);

/** Say what to do. Replaces an earlier hint. @return false */
PRINTF(2, 3) bool error_hint(struct error *err, const char *format, ...);

/** Start an ERR_SYSTEM error from errno (or @p errnum): "<text>: No space left on device". @return
 * false */
PRINTF(3, 4) bool error_errno(struct error *err, int errnum, const char *format, ...);

/** "where: message: hint" in one line; @p text of @p size bytes. Returns @p text. */
const char *error_line(const struct error *err, char *text, size_t size);

/** Name of a code in lower case ("timeout"), for logs and JSON. */
const char *error_code_name(enum error_code code);

/** Exit status of the command for this code (design.md section 8): 1, or 3 if nothing could be
 * reached. */
int error_exit_status(enum error_code code);

/** HTTP status of the API for this code. */
int error_http_status(enum error_code code);

/** Is trying the same again later sensible, with nothing changed by a person? */
bool error_is_transient(enum error_code code);
