#include "server/cli/editor.h"
#include "base/fs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)64 << 20)
#define GRACE_S  2 /* for an editor to keep what it likes to keep */

extern char **environ;

/* ---- command -------------------------------------------------------------------------------- */

/* Take one character of a command. Returns how many bytes, 0 for a quote that does not end. */
static size_t take(const char *at, char quote, struct buf *word)
{
	if (!*at)
		return 0;
	bool escapes = quote != '"' || (at[1] && strchr("\"\\$`\n", at[1]));
	if (*at == '\\' && quote != '\'' && escapes && at[1]) {
		buf_add_char(word, at[1]);
		return 2;
	}
	buf_add_char(word, *at);
	return 1;
}

/* One word; returns where it ends, or NULL. */
static const char *take_word(const char *at, struct buf *word)
{
	char quote = '\0';
	while (quote || (*at && !strchr(" \t\n", *at))) {
		if (*at && (quote ? *at == quote : *at == '\'' || *at == '"')) {
			quote = quote ? '\0' : *at;
			at++;
			continue;
		}
		size_t taken = take(at, quote, word);
		if (!taken)
			return NULL;
		at += taken;
	}
	return at;
}

bool editor_split(const char *command, struct strlist *argv_out, struct error *err)
{
	size_t before = argv_out->count;
	for (const char *at = command + strspn(command, " \t\n"); *at; at += strspn(at, " \t\n")) {
		auto_buf struct buf word = BUF_INIT(4096);
		at = take_word(at, &word);
		if (!at || buf_overflowed(&word))
			return error_set(err, ERR_INVALID, "a quote in it does not end");
		strlist_add(argv_out, word.text);
	}
	return argv_out->count > before || error_set(err, ERR_INVALID, "it is empty");
}

static bool in_path(const char *name)
{
	const char *path = getenv("PATH");
	for (const char *at = path ? path : ""; *at;) {
		size_t len = strcspn(at, ":");
		auto_free char *full = mem_printf("%.*s/%s", (int)len, at, name);
		if (len && !access(full, X_OK))
			return true;
		at += len + (at[len] == ':');
	}
	return false;
}

static bool find_command(struct strlist *argv, struct error *err)
{
	static const char *const variables[] = {"SOPS_EDITOR", "EDITOR"};
	static const char *const usual[] = {"vim", "nano", "vi"};
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		const char *command = getenv(variables[i]);
		if (command && *command)
			return editor_split(command, argv, err) ||
			       error_wrap(err, "%s", variables[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
		if (!in_path(usual[i]))
			continue;
		strlist_add(argv, usual[i]);
		return true;
	}
	error_set(err, ERR_NOT_FOUND, "there is no editor");
	return error_hint(err, "set EDITOR");
}

/* ---- the text ------------------------------------------------------------------------------- */

static bool is_memory(const char *folder)
{
	struct statfs info;
	return folder && *folder && !statfs(folder, &info) &&
	       (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC);
}

static bool make_folder(struct editor *editor)
{
	const char *parents[] = {"/dev/shm", getenv("XDG_RUNTIME_DIR")};
	struct error err; /* the next place will do, and at last the memory file */
	for (size_t i = 0; i < ARRAY_LEN(parents); i++)
		if (is_memory(parents[i]) &&
			fs_scratch(parents[i], "aviary-edit", &editor->folder, &err))
			return true;
	return false;
}

static bool write_text(int fd, const struct buf *text, struct error *err)
{
	for (size_t done = 0; done < text->len;) {
		ssize_t wrote = write(fd, text->text + done, text->len - done);
		if (wrote < 0 && errno != EINTR)
			return error_errno(err, errno, "cannot write the text to edit");
		done += wrote > 0 ? (size_t)wrote : 0;
	}
	return true;
}

static bool make_file(
	struct editor *editor, const char *name, const struct buf *text, struct error *err)
{
	const char *slash = strrchr(name, '/');
	if (make_folder(editor)) {
		editor->path = mem_printf("%s/%s", editor->folder, slash ? slash + 1 : name);
		auto_fd int fd = open(editor->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		return fd >= 0 ? write_text(fd, text, err)
			       : error_errno(err, errno, "cannot make '%s'", editor->path);
	}
	editor->fd = memfd_create("aviary-edit", MFD_CLOEXEC);
	if (editor->fd < 0)
		return error_errno(err, errno, "cannot make a memory file");
	editor->path = mem_printf("/proc/self/fd/%d", editor->fd);
	return write_text(editor->fd, text, err);
}

static void hold_signals(struct editor *editor)
{
	static const int waiting[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGCHLD};
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(waiting); i++)
		sigaddset(&set, waiting[i]);
	signal(SIGXFSZ, SIG_IGN); /* a limit is an error like a full disk, not our end */
	signal(SIGCHLD, SIG_DFL); /* inherited as ignored it would lose the editor's status */
	editor->held = !sigprocmask(SIG_BLOCK, &set, &editor->before);
}

bool editor_open(struct editor *editor, const char *name, const struct buf *text, struct error *err)
{
	if (!find_command(&editor->argv, err))
		return false;
	hold_signals(editor);
	return make_file(editor, name, text, err);
}

bool editor_read(const struct editor *editor, struct buf *out, struct error *err)
{
	return fs_read(editor->path, TEXT_MAX, out, err);
}

/* ---- running -------------------------------------------------------------------------------- */

static int spawn(const struct editor *editor, pid_t *pid_out)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t defaults;
	auto_free char **argv = mem_zero(editor->argv.count + 2, sizeof(*argv));
	memcpy(argv, editor->argv.items, editor->argv.count * sizeof(*argv));
	argv[editor->argv.count] = editor->path;
	if (posix_spawn_file_actions_init(&actions) || posix_spawnattr_init(&attributes))
		mem_abort(0); /* fails only for want of memory */
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigaddset(&defaults, SIGXFSZ);
	int failed = posix_spawnattr_setsigmask(&attributes, &editor->before) |
		     posix_spawnattr_setsigdefault(&attributes, &defaults) |
		     posix_spawnattr_setflags(
			     &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (!failed && editor->fd >= 0) /* onto itself: the child inherits it */
		failed = posix_spawn_file_actions_adddup2(&actions, editor->fd, editor->fd);
	if (!failed)
		failed = posix_spawnp(pid_out, argv[0], &actions, &attributes, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return failed;
}

/* The terminal's ^C is for the editor; being told to end is for both, and one that does not listen
 * (as below nohup) keeps no text open. */
static int wait_for(struct editor *editor, pid_t pid)
{
	static const int waited[] = {SIGCHLD, SIGTERM, SIGHUP, SIGINT, SIGQUIT};
	const struct timespec grace = {.tv_sec = GRACE_S};
	sigset_t set;
	int status = 0;
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(waited); i++)
		sigaddset(&set, waited[i]);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		int number = sigtimedwait(&set, NULL, editor->ended ? &grace : NULL);
		bool late = number < 0 && errno == EAGAIN;
		if (number == SIGTERM || number == SIGHUP)
			editor->ended = true;
		if (number == SIGTERM || number == SIGHUP || late)
			(void)kill(pid, late ? SIGKILL : number); /* it may have just ended */
	}
	return status;
}

bool editor_run(struct editor *editor, struct error *err)
{
	pid_t pid;
	int failed = spawn(editor, &pid);
	if (failed) {
		error_errno(err, failed, "cannot run the editor '%s'", editor->argv.items[0]);
		return error_hint(err, "set EDITOR");
	}
	int status = wait_for(editor, pid);
	if (editor->ended)
		return error_set(err, ERR_STOPPED, "asked to end while editing");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	return error_set(err, ERR_REFUSED, "the editor ended with status %d",
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

bool editor_ask(const struct editor *editor, const char *question)
{
	char answer[64] = "";
	sigset_t set;
	(void)editor; /* says that signals wait */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	auto_fd int signals = signalfd(-1, &set, SFD_CLOEXEC);
	struct pollfd ready[] = {
		{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	fprintf(stderr, "%s", question);
	while (poll(ready, ARRAY_LEN(ready), -1) < 0)
		if (errno != EINTR)
			return false;
	if (ready[1].revents || read(STDIN_FILENO, answer, sizeof(answer) - 1) <= 0)
		return false;
	return *answer != 'n' && *answer != 'N';
}

/* ---- end ------------------------------------------------------------------------------------ */

static void wipe_file(int folder, const char *name)
{
	static const char zeros[65536];
	struct stat info;
	auto_fd int fd = openat(folder, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &info) || !S_ISREG(info.st_mode))
		return; /* nothing of ours, or gone */
	for (off_t left = info.st_size; left > 0;) {
		size_t part = left > (off_t)sizeof(zeros) ? sizeof(zeros) : (size_t)left;
		ssize_t wrote = write(fd, zeros, part);
		if (wrote <= 0)
			return; /* it is removed all the same */
		left -= wrote;
	}
}

static void remove_folder(const char *path)
{
	struct error err;
	DIR *folder = opendir(path);
	struct dirent *entry;
	while (folder && (entry = readdir(folder)))
		wipe_file(dirfd(folder), entry->d_name);
	if (folder)
		(void)closedir(folder); /* it was only read */
	if (!fs_remove_tree(path, &err))
		fprintf(stderr, "aviary: %s\n", err.message);
}

void editor_close(struct editor *editor)
{
	if (editor->folder)
		remove_folder(editor->folder);
	if (editor->fd >= 0)
		(void)close(editor->fd); /* memory that goes with it */
	strlist_clear(&editor->argv);
	free(editor->folder);
	free(editor->path);
	if (editor->held)
		(void)sigprocmask(SIG_SETMASK, &editor->before, NULL); /* a valid set */
	*editor = (struct editor)EDITOR_INIT;
}
