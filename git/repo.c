#include "git/repo.h"
#include "git/repo_priv.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_LIMIT 1024 /* of a path in a tree; ext4 takes 4096, tar and people less */
#define SWEEP_MAX_DEPTH                                                                            \
	16 /* a mirror is `refs/remotes/<into>/<branch with a few slashes>` deep                   \
	    */

bool oid_equal(const struct oid *a, const struct oid *b)
{
	return strcmp(a->hex, b->hex) == 0;
}

bool oid_valid(const char *text)
{
	return strlen(text) == OID_HEX && strspn(text, "0123456789abcdef") == OID_HEX;
}

void oid_to_git(const struct oid *id, git_oid *out)
{
	memset(out, 0, sizeof(*out));
	if (id->hex[0] && git_oid_fromstr(out, id->hex) < 0)
		memset(out, 0,
			sizeof(*out)); /* no object has the zero id: the caller's call fails */
}

void oid_from_git(const git_oid *id, struct oid *out)
{
	if (git_oid_is_zero(id))
		memset(out, 0, sizeof(*out));
	else
		(void)git_oid_tostr(out->hex, sizeof(out->hex), id); /* returns out->hex */
}

static enum error_code code_of(int rc)
{
	switch (rc) {
	case GIT_ENOTFOUND:
		return ERR_NOT_FOUND;
	case GIT_EMODIFIED:
	case GIT_ENONFASTFORWARD:
	case GIT_EEXISTS:
	case GIT_ELOCKED: /* somebody is moving it right now */
		return ERR_REJECTED;
	case GIT_EINVALIDSPEC:
	case GIT_EAMBIGUOUS:
	case GIT_EPEEL:
		return ERR_INVALID;
	case GIT_EAUTH:
	case GIT_ECERTIFICATE:
		return ERR_AUTH;
	case GIT_EUSER:
		return ERR_STOPPED;
	default:
		return ERR_SYSTEM;
	}
}

/* libgit2 1.5.1 without any git configuration answers an ownership mismatch with
 * GIT_ENOTFOUND "config value 'safe.directory' was not found". */
static bool is_owner_mismatch(int rc, const git_error *last)
{
	if (rc == GIT_EOWNER)
		return true;
	return last && last->klass == GIT_ERROR_CONFIG && strstr(last->message, "safe.directory");
}

bool repo_fail(struct error *err, int rc, const char *format, ...)
{
	const git_error *last = git_error_last();
	char what[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(what, sizeof(what), format, args); /* a cut context is good enough */
	va_end(args);
	if (is_owner_mismatch(rc, last)) {
		(void)error_set(
			err, ERR_REFUSED, "%s: the repository belongs to another user", what);
		return error_hint(err, "run the command as the owner of the folder");
	}
	auto_buf struct buf text = BUF_INIT(512);
	if (last && last->message)
		buf_add_clean(&text, last->message, strlen(last->message));
	(void)error_set(err, code_of(rc), "%s: %s", what,
		text.len ? text.text : "libgit2 failed without saying why");
	git_error_clear();
	return false;
}

bool repo_name_is_safe(const char *name)
{
	if (!name[0] || !strcmp(name, ".") || !strcmp(name, "..") || !strcasecmp(name, ".git"))
		return false;
	for (const char *c = name; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7F || *c == '/')
			return false;
	}
	return true;
}

bool repo_path_is_safe(const char *path)
{
	char name[PATH_LIMIT + 1];

	if (strlen(path) > PATH_LIMIT)
		return false;
	while (true) {
		size_t len = strcspn(path, "/");
		memcpy(name, path, len);
		name[len] = '\0';
		if (!repo_name_is_safe(name))
			return false;
		if (!path[len])
			return true;
		path += len + 1;
	}
}

/* Packs are mapped piece by piece and what was not used for longest goes first: by default they
 * stay mapped as a whole. */
#define PACK_WINDOW ((size_t)256 << 10)
#define PACK_MAPPED ((size_t)2 << 20)

static bool limit_packs(struct error *err)
{
	int rc = git_libgit2_opts(GIT_OPT_SET_MWINDOW_SIZE, PACK_WINDOW);
	if (rc == 0)
		rc = git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, PACK_MAPPED);
	return rc == 0 || repo_fail(err, rc, "libgit2's memory could not be limited");
}

bool repo_library_init(struct error *err)
{
	static const git_config_level_t levels[] = {GIT_CONFIG_LEVEL_PROGRAMDATA,
		GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL};

	int rc = git_libgit2_init();
	if (rc < 0)
		return repo_fail(err, rc, "libgit2 could not start");
	if (!limit_packs(err))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		rc = git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "");
		if (rc < 0)
			return repo_fail(err, rc, "git configuration could not be shut out");
	}
	return true;
}

void repo_library_shutdown(void)
{
	(void)git_libgit2_shutdown(); /* the number of users that are left */
}

/* `*.lock` anywhere; `tmp_object_git2_*` and `pack_git2_*` among the objects only, as a branch may
 * have such a name. */
static bool is_leftover(const char *path, const char *name)
{
	size_t len = strlen(name);
	if (len > 5 && !strcmp(name + len - 5, ".lock"))
		return true;
	return !strncmp(path, "objects/", 8) &&
	       (!strncmp(name, "tmp_", 4) || !strncmp(name, "pack_git2_", 10));
}

static void close_folder(DIR **folder)
{
	if (*folder)
		(void)closedir(*folder); /* only read */
}

static bool sweep_folder(int fd, const char *path, int depth, struct error *err);

static bool sweep_entry(int fd, const char *path, const char *name, int depth, struct error *err)
{
	auto_free char *inner = mem_printf("%s%s", path, name);
	struct stat info;

	if (fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0)
		return error_errno(err, errno, "'%s' could not be read", inner);
	if (S_ISREG(info.st_mode) && is_leftover(inner, name) && unlinkat(fd, name, 0) < 0)
		return error_errno(err, errno, "'%s' could not be removed", inner);
	if (!S_ISDIR(info.st_mode) || depth == SWEEP_MAX_DEPTH)
		return true;
	int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (next < 0)
		return error_errno(err, errno, "'%s' could not be opened", inner);
	auto_free char *folder = mem_printf("%s/", inner);
	return sweep_folder(next, folder, depth + 1, err);
}

/* Takes over @p fd; @p path is relative to the mirror and "" or ends in a slash. */
static bool sweep_folder(int fd, const char *path, int depth, struct error *err)
{
	CLEANUP(close_folder) DIR *folder = fdopendir(fd);
	if (!folder) {
		(void)error_errno(err, errno, "'%s' could not be read", path);
		(void)close(fd); /* nothing was written */
		return false;
	}
	for (struct dirent *entry; (entry = readdir(folder));) {
		if (entry->d_name[0] != '.' && !sweep_entry(fd, path, entry->d_name, depth, err))
			return false;
	}
	return true;
}

/* A killed process leaves `refs/heads/x.lock` (each later update fails) and `objects/tmp_*`. */
static bool sweep(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno, "mirror '%s' could not be opened", path);
	return sweep_folder(fd, "", 0, err) || error_wrap(err, "mirror '%s'", path);
}

static bool make_private_folder(const char *path, struct error *err)
{
	struct stat info;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_errno(err, errno, "mirror '%s' could not be made", path);
	if (stat(path, &info) < 0)
		return error_errno(err, errno, "mirror '%s' could not be read", path);
	if (!S_ISDIR(info.st_mode))
		return error_set(err, ERR_REFUSED, "mirror '%s' is not a folder", path);
	if (info.st_uid != geteuid()) {
		(void)error_set(err, ERR_REFUSED,
			"mirror '%s' belongs to user %u and this is user %u", path,
			(unsigned)info.st_uid, (unsigned)geteuid());
		return error_hint(err, "run as the user who owns the state folder");
	}
	if ((info.st_mode & 077) && chmod(path, 0700) < 0)
		return error_errno(err, errno, "mirror '%s' could not be made private", path);
	return true;
}

static struct repo *repo_wrap(git_repository *git)
{
	struct repo *repo = mem_zero(1, sizeof(*repo));
	repo->git = git;
	repo->bare = git_repository_is_bare(git);
	return repo;
}

bool repo_open_mirror(const char *path, struct repo **repo_out, struct error *err)
{
	auto_git(git_repository) *git = NULL;

	if (!make_private_folder(path, err) || !sweep(path, err))
		return false;
	/* open_bare skips the ownership check of 1.5.1; ours is above */
	int rc = git_repository_open_bare(&git, path);
	if (rc == GIT_ENOTFOUND) /* new, or killed while it was made: making it again is harmless */
		rc = git_repository_init(&git, path, 1);
	if (rc < 0) {
		(void)repo_fail(err, rc, "mirror '%s' could not be opened", path);
		return error_hint(err, "remove the folder; it is fetched again");
	}
	*repo_out = repo_wrap(STEAL(git));
	return true;
}

bool repo_discover(const char *folder, struct repo **repo_out, struct error *err)
{
	auto_git(git_repository) *git = NULL;

	int rc = git_repository_open_ext(&git, folder, 0, NULL);
	if (rc == GIT_ENOTFOUND && !is_owner_mismatch(rc, git_error_last()))
		return error_set(err, ERR_NOT_FOUND, "no git repository contains '%s'", folder);
	if (rc < 0)
		return repo_fail(err, rc, "repository of '%s' could not be opened", folder);
	*repo_out = repo_wrap(STEAL(git));
	return true;
}

bool repo_reopen(const struct repo *repo, struct repo **repo_out, struct error *err)
{
	auto_git(git_repository) *git = NULL;
	const char *path = git_repository_path(repo->git);

	int rc = repo->bare ? git_repository_open_bare(&git, path)
			    : git_repository_open_ext(&git, repo_folder(repo), 0, NULL);
	if (rc < 0)
		return repo_fail(err, rc, "repository '%s' could not be opened again", path);
	*repo_out = repo_wrap(STEAL(git));
	return true;
}

void repo_free(struct repo *repo)
{
	if (!repo)
		return;
	git_repository_free(repo->git);
	free(repo);
}

const char *repo_folder(const struct repo *repo)
{
	return git_repository_workdir(repo->git);
}

bool repo_ref(struct repo *repo, const char *name, struct oid *id_out, struct error *err)
{
	git_oid id;

	int rc = git_reference_name_to_id(&id, repo->git, name);
	if (rc == GIT_ENOTFOUND)
		return error_set(err, ERR_NOT_FOUND, "reference '%s' does not exist", name);
	if (rc < 0)
		return repo_fail(err, rc, "reference '%s' could not be read", name);
	oid_from_git(&id, id_out);
	return true;
}

bool repo_ref_or_none(struct repo *repo, const char *name, struct oid *id_out, struct error *err)
{
	*id_out = (struct oid){0};
	return repo_ref(repo, name, id_out, err) || err->code == ERR_NOT_FOUND;
}

bool repo_revision(struct repo *repo, const char *text, struct oid *id_out, struct error *err)
{
	auto_git(git_object) *found = NULL;
	auto_git(git_object) *commit = NULL;

	int rc = git_revparse_single(&found, repo->git, text);
	if (rc == GIT_ENOTFOUND)
		return error_set(err, ERR_NOT_FOUND, "revision '%s' does not exist", text);
	if (rc < 0)
		return repo_fail(err, rc, "revision '%s' could not be found", text);
	rc = git_object_peel(&commit, found, GIT_OBJECT_COMMIT);
	if (rc < 0)
		return error_set(err, ERR_INVALID, "revision '%s' is not a commit", text);
	oid_from_git(git_object_id(commit), id_out);
	return true;
}

bool repo_ref_set(struct repo *repo, const char *name, const struct oid *id, const struct oid *old,
	struct error *err)
{
	auto_git(git_reference) *ref = NULL;
	git_oid to, from;
	bool must_exist = old->hex[0];

	oid_to_git(id, &to);
	oid_to_git(old, &from);
	int rc = git_reference_create_matching(
		&ref, repo->git, name, &to, must_exist, &from, "aviary");
	if (rc == GIT_ENOTFOUND && must_exist) { /* it vanished: not at `old` either */
		git_error_clear();
		return error_set(err, ERR_REJECTED, "reference '%s' does not exist any more", name);
	}
	if (rc < 0)
		return repo_fail(err, rc, "reference '%s' could not be moved", name);
	return true;
}

bool repo_ref_delete(struct repo *repo, const char *name, struct error *err)
{
	int rc = git_reference_remove(repo->git, name);
	if (rc < 0 && rc != GIT_ENOTFOUND)
		return repo_fail(err, rc, "reference '%s' could not be deleted", name);
	git_error_clear();
	return true;
}

bool repo_ref_move(struct repo *repo, const char *name, const struct oid *id, struct error *err)
{
	struct oid old;
	if (!repo_ref_or_none(repo, name, &old, err))
		return false;
	if (!id->hex[0])
		return repo_ref_delete(repo, name, err);
	return oid_equal(&old, id) || repo_ref_set(repo, name, id, &old, err);
}

bool repo_is_ancestor(struct repo *repo, const struct oid *ancestor, const struct oid *id,
	bool *out, struct error *err)
{
	git_oid from, to;

	oid_to_git(id, &from);
	oid_to_git(ancestor, &to);
	if (git_oid_equal(&from, &to)) {
		*out = true;
		return true;
	}
	/* libgit2 1.5.1 leaks when it meets a commit that is not here */
	const struct oid *absent = !repo_has_commit(repo, id)         ? id
				   : !repo_has_commit(repo, ancestor) ? ancestor
								      : NULL;
	if (absent)
		return error_set(err, ERR_NOT_FOUND, "commit '%s' is not here", absent->hex);
	int rc = git_graph_descendant_of(repo->git, &from, &to);
	if (rc < 0)
		return repo_fail(err, rc, "history of '%s' could not be read", id->hex);
	*out = rc == 1;
	return true;
}

bool repo_look_back(struct repo *repo, const char *name, const struct oid *tip,
	struct repo_seen *seen_out, struct error *err)
{
	bool descends = true;
	seen_out->lost = NULL;
	if (!repo_ref_or_none(repo, name, &seen_out->tip, err))
		return false;
	if (!seen_out->tip.hex[0])
		return true;
	if (!tip->hex[0])
		seen_out->lost = "is missing on the remote, where it was before";
	else if (!repo_is_ancestor(repo, &seen_out->tip, tip, &descends, err))
		return false;
	if (!descends)
		seen_out->lost = "is shorter than it was, or was rewritten";
	return true;
}

bool repo_has_commit(struct repo *repo, const struct oid *id)
{
	auto_git(git_commit) *commit = NULL;
	git_oid wanted;

	oid_to_git(id, &wanted);
	bool found = git_commit_lookup(&commit, repo->git, &wanted) == 0;
	git_error_clear();
	return found;
}

bool repo_refs(struct repo *repo, const char *prefix, struct strlist *names_out, struct error *err)
{
	auto_git(git_reference_iterator) *iterator = NULL;
	auto_strlist struct strlist names = STRLIST_INIT;
	const char *name = NULL;

	int rc = git_reference_iterator_new(&iterator, repo->git);
	while (rc == 0 && (rc = git_reference_next_name(&name, iterator)) == 0) {
		if (!strncmp(name, prefix, strlen(prefix)))
			strlist_add(&names, name);
	}
	if (rc != GIT_ITEROVER)
		return repo_fail(err, rc, "references could not be listed");
	strlist_sort(&names);
	strlist_copy(names_out, &names);
	return true;
}
