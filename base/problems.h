/* base/problems.h - every mistake of a commit in one run, each with place and remedy
 *
 * Readers of the infra repo report here and go on, so that a repository with five mistakes shows
 * five errors (issue: "in one run"). What cannot go on returns a struct error instead.
 */
#pragma once
#include "base/error.h"

struct problem {
	bool warning;
	char *file; /* "" if there is no file */
	unsigned line;
	char *what;
	char *fix; /* "" if the text says it already */
};

struct problems {
	struct problem *items;
	size_t count, capacity;
	size_t errors, warnings;
};
/** A person stops reading long before. `errors` and `warnings` count those left out, too; an error
 *  takes the place of a warning. */
#define PROBLEMS_LIMIT 200

/** An error, or a warning. @param fix  what to do, or NULL. The texts are copied. */
PRINTF(5, 6)
void problems_add(struct problems *problems, const char *file, unsigned line, const char *fix,
	const char *format, ...);
PRINTF(5, 6)
void problems_warn(struct problems *problems, const char *file, unsigned line, const char *fix,
	const char *format, ...);
/** The `what` of a problem that quotes its file: harmless for a terminal, at most 1 KiB. The caller
 *  frees. */
char *problems_quote(const char *format, va_list args);
/** Add an error (its where is split into file and line again). */
void problems_add_error(struct problems *problems, const struct error *err);
/** Sort by file, line, text, and drop what is said twice. */
void problems_sort(struct problems *problems);
/** The first error as a struct error; more of them: "... (and 4 more)". @return false */
bool problems_to_error(const struct problems *problems, struct error *err);
/** "file:line: what: what to do", or as much of it as there is, a warning's what as "warning:
 * what". The caller frees. */
char *problem_text(const struct problem *problem);
void problems_clear(struct problems *problems);
#define auto_problems CLEANUP(problems_clear)
