/* server/cli/editor.h - a plain text in a person's editor, never on a disk
 *
 * The text lies in a private folder of a file system in memory (/dev/shm, else XDG_RUNTIME_DIR), so
 * that the editor sees a name with the right end; without any, in a memory file under
 * /proc/self/fd. All that the editor left in that folder is wiped at the end. From editor_open() to
 * editor_close() signals that would end the process wait, so that nothing stays behind.
 */
#pragma once
#include "base/buf.h"
#include "base/error.h"
#include <signal.h>

struct editor {
	struct strlist argv; /* SOPS_EDITOR, EDITOR, else the first of vim, nano, vi in PATH */
	char *folder;        /* NULL: memory file */
	char *path;
	int fd; /* memory file, or -1 */
	sigset_t before;
	bool held;  /* signals wait */
	bool ended; /* by a signal: give up */
};
#define EDITOR_INIT                                                                                \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/** Split a command at blanks, without a shell: quotes and backslashes as sh has them, nothing is
 *  expanded. ERR_INVALID for a quote that does not end, or nothing at all. */
MUST_USE bool editor_split(const char *command, struct strlist *argv_out, struct error *err);
/** @param name  last part of the path, for the end that editors go by */
MUST_USE bool editor_open(
	struct editor *editor, const char *name, const struct buf *text, struct error *err);
/** Run it on the text and wait. ERR_REFUSED if it ends with a status that is not 0, ERR_STOPPED if
 *  we were asked to end. */
MUST_USE bool editor_run(struct editor *editor, struct error *err);
/** The text as the editor left it. */
MUST_USE bool editor_read(const struct editor *editor, struct buf *out, struct error *err);
/** Ask at the terminal whether to go on; n, end of input and ^C say no. */
bool editor_ask(const struct editor *editor, const char *question);
/** Wipe and remove all; signals that waited act now. */
void editor_close(struct editor *editor);
#define auto_editor CLEANUP(editor_close)
