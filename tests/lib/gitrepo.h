/* tests/lib/gitrepo.h - scratch folders and real repositories made with git(1), for unit tests */
#pragma once
#include "base/buf.h"

/** Group fixtures of cmocka: libgit2 is there while the tests of a program run. */
int gitrepo_begin(void **state);
int gitrepo_end(void **state);

/** New empty folder below $TMPDIR; the caller gives it to gitrepo_remove(). */
char *gitrepo_scratch(void);
/** rm -r, and frees the path. */
void gitrepo_remove(char *folder);

/**
 * Run `git <arguments>` in @p folder, free of the user's configuration; fails the test if git
 * fails.
 * @param arguments  ends with NULL
 * @return stdout without the final line break, freed by the caller
 */
char *gitrepo_git(const char *folder, const char *const *arguments);
/** gitrepo_git() with its output thrown away: `GIT(folder, "add", "-A");` */
#define GIT(folder, ...) free(gitrepo_git(folder, (const char *const[]){__VA_ARGS__, NULL}))
/** gitrepo_git() with its output kept: `char *id = GIT_TEXT(folder, "rev-parse", "HEAD");` */
#define GIT_TEXT(folder, ...) gitrepo_git(folder, (const char *const[]){__VA_ARGS__, NULL})
/** gitrepo_git() with standard input. */
char *gitrepo_git_input(const char *folder, const char *input, const char *const *arguments);

/** Write `<folder>/<path>`, making the folders between. */
void gitrepo_write(const char *folder, const char *path, const char *text);
/** `git init -b main`, write one file, commit. */
void gitrepo_make(const char *folder);
