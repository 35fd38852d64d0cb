#include "tests/lib/gitrepo.h"
#include "git/repo.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 40

static const char *const child_environment[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/nonexistent",
	"LC_ALL=C",
	"GIT_CONFIG_NOSYSTEM=1",
	"GIT_CONFIG_GLOBAL=/dev/null",
	"GIT_AUTHOR_NAME=Eva",
	"GIT_AUTHOR_EMAIL=eva@example.org",
	"GIT_COMMITTER_NAME=Eva",
	"GIT_COMMITTER_EMAIL=eva@example.org",
	NULL,
};

/* Not cmocka's asserts: tools that are no unit tests link this file too. */
static void must(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "gitrepo: %s: %s\n", what, strerror(errno));
	abort();
}

int gitrepo_begin(void **state)
{
	struct error err;
	(void)state;
	return repo_library_init(&err) ? 0 : -1;
}

int gitrepo_end(void **state)
{
	(void)state;
	repo_library_shutdown();
	return 0;
}

char *gitrepo_scratch(void)
{
	const char *parent = getenv("TMPDIR");
	char *path = mem_printf("%s/aviary-unit-XXXXXX", parent && *parent ? parent : "/tmp");
	must(mkdtemp(path), path);
	return path;
}

static int run(const char *const *argv, int in, int out)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status;

	must(posix_spawn_file_actions_init(&actions) == 0, "posix_spawn");
	must(posix_spawn_file_actions_adddup2(&actions, in, 0) == 0, "posix_spawn");
	must(posix_spawn_file_actions_adddup2(&actions, out, 1) == 0, "posix_spawn");
	must(posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv,
		     (char *const *)child_environment) == 0,
		argv[0]);
	(void)posix_spawn_file_actions_destroy(&actions); /* always 0 */
	while (waitpid(pid, &status, 0) < 0)
		must(errno == EINTR, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

void gitrepo_remove(char *folder)
{
	const char *argv[] = {"rm", "-rf", "--", folder, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	must(run(argv, null, null) == 0, folder);
	(void)close(null); /* nothing was written */
	free(folder);
}

/* An unnamed file with @p text, to be read from its start. */
static int unnamed_file(const char *text)
{
	int fd = memfd_create("gitrepo", MFD_CLOEXEC);
	must(fd >= 0, "memfd_create");
	must(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "write");
	must(lseek(fd, 0, SEEK_SET) == 0, "lseek");
	return fd;
}

char *gitrepo_git_input(const char *folder, const char *input, const char *const *arguments)
{
	/* Without gc: it goes on in the background and would race with the removal of the folder.
	 */
	const char *argv[ARGUMENTS_MAX] = {
		"git", "-C", folder, "-c", "protocol.file.allow=always", "-c", "gc.auto=0"};
	size_t count = 7;
	struct stat info;

	for (; *arguments; arguments++) {
		must(count < ARGUMENTS_MAX - 1, "too many arguments");
		argv[count++] = *arguments;
	}
	int in = unnamed_file(input), out = unnamed_file("");
	int status = run(argv, in, out);
	must(status == 0, argv[7]);
	must(fstat(out, &info) == 0, "fstat");
	auto_free char *text = mem_zero((size_t)info.st_size + 1, 1);
	must(pread(out, text, (size_t)info.st_size, 0) == info.st_size, "pread");
	if (info.st_size && text[info.st_size - 1] == '\n')
		text[info.st_size - 1] = '\0';
	(void)close(in);  /* not written to any more */
	(void)close(out); /* its text is read */
	return STEAL(text);
}

char *gitrepo_git(const char *folder, const char *const *arguments)
{
	return gitrepo_git_input(folder, "", arguments);
}

void gitrepo_write(const char *folder, const char *path, const char *text)
{
	auto_free char *full = mem_printf("%s/%s", folder, path);

	for (char *slash = full + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		must(mkdir(full, 0755) == 0 || errno == EEXIST, full);
		*slash = '/';
	}
	FILE *file = fopen(full, "w");
	must(file, full);
	must(fwrite(text, 1, strlen(text), file) == strlen(text), full);
	must(fclose(file) == 0, full);
}

void gitrepo_make(const char *folder)
{
	GIT(folder, "init", "-q", "-b", "main");
	gitrepo_write(folder, "README.md", "hello\n");
	GIT(folder, "add", "-A");
	GIT(folder, "commit", "-q", "-m", "first");
}
