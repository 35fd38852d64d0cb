/* `aviary secrets edit`: the plain text in an editor, encrypted again when it is closed */
#include "server/cli/editor.h"
#include "server/cli/secrets.h"
#include <unistd.h>

#define ROUNDS_MAX 100 /* of an editor that is a program: a person decides for himself */

/* A file in the editor: one that is there, or one that is new. */
struct session {
	const struct secrets_options *options;
	const char *path;
	struct sops_file *file; /* NULL: new */
	struct sops_creation creation;
	enum sops_format format;
	struct editor editor;
	struct buf before;  /* plain text as the editor got it */
	struct buf refused; /* the last that could not be saved */
	unsigned rounds;
};

static void session_clear(struct session *session)
{
	editor_close(&session->editor);
	sops_file_free(session->file);
	sops_creation_clear(&session->creation);
	buf_clear(&session->before);
	buf_clear(&session->refused);
}

static bool same_text(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && !memcmp(a->text, b->text, a->len);
}

static int open_existing(struct session *session)
{
	struct sops_printing printing;
	struct error err;
	int status = secrets_open(session->options, session->path, &session->file);
	if (status)
		return status;
	session->format = sops_file_format(session->file);
	if (!secrets_printing(session->options, session->format, &printing, &err))
		return secrets_fail(SOPS_OK, &err);
	printing.format = session->format; /* an edit is of the file's own format */
	return sops_file_print(session->file, &printing, &session->before, &err)
		       ? 0
		       : secrets_fail(SOPS_OK, &err);
}

static int open_new(struct session *session)
{
	auto_sops_config struct sops_config *config = NULL;
	const struct secrets_options *options = session->options;
	struct error err;
	session->format = sops_format_of(session->path);
	if (options->input_type && !sops_format_by_name(options->input_type, &session->format)) {
		secrets_note("there is no format '%s'", options->input_type);
		return 1;
	}
	bool good = secrets_config(options, &config, &err) &&
		    secrets_creation(options, config, session->path, &session->creation, &err);
	return good ? 0 : secrets_fail(SOPS_OK, &err);
}

/* Bring the text into the file. Status 0, SOPS_EXIT_UNCHANGED, or -1: it is not fit to be saved. */
static int save(struct session *session, const struct buf *text)
{
	auto_sops_file struct sops_file *new_file = NULL;
	const struct sops_text edited = {text->text, text->len};
	const struct sops_source source = {session->format, session->path, text->text, text->len};
	enum sops_failure failure = SOPS_OK;
	bool changed = true;
	struct error err;
	bool good = session->file
			    ? sops_file_edit(session->file, edited, &changed, &err)
			    : sops_file_new(&source, &session->creation, &new_file, &failure, &err);
	if (!good) {
		(void)secrets_fail(failure, &err); /* told; the way out is to edit again */
		return -1;
	}
	if (!changed)
		return SOPS_EXIT_UNCHANGED;
	struct sops_file *file = session->file ? session->file : new_file;
	return secrets_save(session->options, session->path, file) ? -1 : 0;
}

/* A program that leaves the same text again will do so for ever. */
static bool go_on(struct session *session, const struct buf *text)
{
	bool again = session->rounds > 1 && same_text(text, &session->refused);
	if (isatty(STDIN_FILENO))
		return editor_ask(
			&session->editor, "Nothing is saved yet. Enter: edit again; n: give up. ");
	buf_clear(&session->refused);
	session->refused = (struct buf)BUF_INIT_SECRET(SECRETS_FILE_MAX);
	buf_add(&session->refused, text->text, text->len);
	return !again && session->rounds < ROUNDS_MAX;
}

static int edit_until_saved(struct session *session)
{
	struct error err;
	for (;;) {
		auto_buf struct buf text = BUF_INIT_SECRET(SECRETS_FILE_MAX);
		session->rounds++;
		if (!editor_run(&session->editor, &err) ||
			!editor_read(&session->editor, &text, &err)) {
			error_hint(&err, "nothing is saved");
			return secrets_fail(SOPS_OK, &err);
		}
		int status = same_text(&text, &session->before) ? SOPS_EXIT_UNCHANGED
								: save(session, &text);
		if (status == SOPS_EXIT_UNCHANGED)
			secrets_note("'%s': nothing changed", session->path);
		if (status >= 0)
			return status;
		if (go_on(session, &text))
			continue;
		secrets_note("'%s' stays as it was", session->path);
		return 1;
	}
}

static int run_edit(const struct secrets_options *options)
{
	CLEANUP(session_clear)
	struct session session = {
		.options = options,
		.path = options->files[0],
		.editor = EDITOR_INIT,
		.before = BUF_INIT_SECRET(SECRETS_FILE_MAX),
		.refused = BUF_INIT_SECRET(SECRETS_FILE_MAX),
	};
	struct error err;
	bool there = !access(session.path, F_OK);
	int status = there ? open_existing(&session) : open_new(&session);
	if (status)
		return status;
	if (!editor_open(&session.editor, session.path, &session.before, &err))
		return secrets_fail(SOPS_OK, &err);
	return edit_until_saved(&session);
}

const struct secrets_command secrets_edit = {
	.name = "edit",
	.summary = "edit a file's plain text in $EDITOR",
	.arguments = "FILE",
	.options = "kanfTdc2m",
	.text = "Opens the plain text in SOPS_EDITOR or EDITOR and encrypts it when that\n"
		"ends. The text lies in memory only. What did not change keeps its\n"
		"encrypted text. A text that does not parse is not saved, and can be edited\n"
		"again. A FILE that does not exist is made by the rules of .sops.yaml, as\n"
		"`encrypt` does.\n",
	.least = 1,
	.most = 1,
	.run = run_edit,
};
