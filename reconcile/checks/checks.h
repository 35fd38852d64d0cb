/* reconcile/checks/checks.h - one round of a client's checks, many clients at the same time
 *
 * One thread probes http, tcp and tls (libcurl multi); a few more run commands. A round is good if
 * each of its checks is. Intervals, rounds in a row and time-outs of a verification are the
 * caller's.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"
#include "base/exec.h"

enum probe_kind { PROBE_HTTP, PROBE_TCP, PROBE_TLS, PROBE_COMMAND };

/** A member that the JSON object of an answer must have. */
struct check_member {
	const char *name;
	const char *json; /* expected value as JSON text; whole values are compared */
};

/** One check, all templates rendered. */
struct check_spec {
	const char *name;
	enum probe_kind kind;
	const char *target;              /* http: URL; tcp, tls: host:port */
	const char *const *argv;         /* command: ends with NULL */
	int status;                      /* http: 0 = 200 */
	const struct check_member *json; /* http */
	size_t json_count;
	const char *body;           /* http: the answer contains it; NULL: any */
	const char *const *headers; /* http: "Name: value", ends with NULL; may be NULL */
	int64_t timeout_ms;         /* 0 = 10 s */
	int64_t min_days;           /* tls: the certificate is valid for so many more */
	const char *ca_file;        /* instead of the system's authorities; may be NULL */
};

struct probe; /* one check of a round under way */

struct check_round {
	const struct check_spec *specs;
	size_t count;
	const char *folder; /* commands run there: `current` of the client; NULL = ours */
	/** Begins a command elsewhere, on the client's host: must not block, and somebody calls
	 *  checks_command_done() for it once. NULL: commands run here. */
	void (*command)(void *data, const struct check_spec *spec, struct probe *probe);
	void *command_data;
};

struct check_outcome {
	bool good;
	size_t failed; /* checks */
	/* "nextcloud: status 500, expected 200; tls: ..."; "" if good. May quote what a server or
	 * a command said: mask it before it leaves the process. */
	char detail[512];
};

struct checks;
/** Starts the thread. ERR_SYSTEM. */
MUST_USE bool checks_new(struct checks **checks_out, struct error *err);
/** Ends what is in flight, commands too, without calling back. */
void checks_free(struct checks *checks);
DEFINE_CLEANUP(struct checks, checks_free)
#define auto_checks CLEANUP(checks_free_at)

#define CHECKS_OUTPUT_MAX 4096 /* bytes of a command that are kept */
/** The time-out of a check in effect. */
int64_t checks_timeout_ms(const struct check_spec *spec);
/** A command that check_round.command() has begun is over. Any thread; not after checks_free().
 *  @param result  borrowed; NULL: it could not be run, for the reason @p why */
void checks_command_done(struct probe *probe, const struct exec_result *result, const char *why);

/**
 * Start a round.
 * @param round  copied
 * @param done   called once, in the engine's thread: must not block, and not call checks_free();
 *               the outcome is borrowed for the call
 * Threads: any.
 */
void checks_start(struct checks *checks, const struct check_round *round,
	void (*done)(void *data, const struct check_outcome *outcome), void *data);
