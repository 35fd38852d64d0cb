#include "server/webhook_forge.h"
#include <ctype.h>
#include <strings.h>

/* ---- which repository -------------------------------------------------------------------------
 */

/* Cut blanks, slashes and `.git` off the ends; returns what is left of @p path in place. */
static char *trim_path(char *path)
{
	path += strspn(path, "/");
	size_t len = strlen(path);
	while (len && path[len - 1] == '/')
		path[--len] = '\0';
	if (len > 4 && !strcasecmp(path + len - 4, ".git"))
		path[len - 4] = '\0';
	return path;
}

/* Where the path of a URL starts: behind scheme and host, or behind the colon of `host:path`. */
static const char *url_path(const char *url, bool *local_out)
{
	const char *scheme = strstr(url, "://");
	*local_out = false;
	if (scheme) {
		*local_out = !strncasecmp(url, "file:", 5);
		const char *path = strchr(scheme + 3, '/');
		return path ? path : "";
	}
	const char *colon = strchr(url, ':'), *slash = strchr(url, '/');
	if (colon && (!slash || colon < slash))
		return colon + 1;
	*local_out = true;
	return url;
}

void webhook_tracked_path(const char *url, char **path_out, bool *local_out)
{
	auto_free char *path = mem_dup_str(url_path(url, local_out));
	*path_out = mem_dup_str(trim_path(path));
}

/* Equal; or its last parts, for a local path, or behind the `scm/` below which Data Center serves
 * clones (whatever context path stands in front). */
static bool path_matches(const struct webhook_tracked *tracked, const char *path)
{
	size_t ours = strlen(tracked->path), theirs = strlen(path);
	if (!theirs || theirs > ours)
		return false;
	size_t before = ours - theirs;
	if (strcasecmp(tracked->path + before, path) != 0)
		return false;
	if (!before || (tracked->local && tracked->path[before - 1] == '/'))
		return true;
	bool whole_part = before == 4 || (before > 4 && tracked->path[before - 5] == '/');
	return whole_part && !strncasecmp(tracked->path + before - 4, "scm/", 4);
}

bool webhook_is_tracked(const struct webhook_tracked *tracked, const char *path, const char *url)
{
	char text[WEBHOOK_PATH_MAX];
	bool local = false;
	(void)snprintf(text, sizeof(text), "%s", path); /* callers' texts are no longer */
	if (path_matches(tracked, trim_path(text)))
		return true;
	/* A forge below a sub-path (https://host/git/owner/name) tells it only in its URLs. */
	(void)snprintf(text, sizeof(text), "%s", url_path(url, &local));
	return strstr(url, "://") && path_matches(tracked, trim_path(text));
}

/* ---- which ref --------------------------------------------------------------------------------
 */

/* One part between slashes, by git-check-ref-format(1). */
static bool ref_part_valid(const char *part, size_t len)
{
	if (!len || part[0] == '.' || (len >= 5 && !memcmp(part + len - 5, ".lock", 5)))
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)part[i];
		char next = i + 1 < len ? part[i + 1] : '\0';
		if (c < 0x20 || c == 0x7F || strchr(" ~^:?*[\\", c))
			return false;
		if ((c == '.' && next == '.') || (c == '@' && next == '{'))
			return false;
	}
	return true;
}

static bool ref_valid(const char *ref)
{
	size_t len = strlen(ref);
	if (strncmp(ref, "refs/", 5) != 0 || ref[len - 1] == '.')
		return false;
	for (const char *part = ref; part; part = strchr(part, '/')) {
		part += *part == '/';
		if (!ref_part_valid(part, strcspn(part, "/")))
			return false;
	}
	return strchr(ref + 5, '/') || !strcmp(ref, "refs/stash");
}

static bool id_valid(const char *id)
{
	size_t len = strlen(id);
	return (len == 40 || len == 64) && strspn(id, "0123456789abcdef") == len;
}

static bool id_is_zero(const char *id)
{
	return strspn(id, "0") == strlen(id);
}

bool webhook_update_valid(const struct webhook_update *update, const char **problem_out)
{
	*problem_out = NULL;
	if (!ref_valid(update->ref))
		*problem_out = "the ref is no full, well-formed ref name";
	else if (!id_valid(update->before) || !id_valid(update->after))
		*problem_out = "an object id is not 40 or 64 lower-case hex digits";
	else if (strlen(update->before) != strlen(update->after))
		*problem_out = "the object ids of one update differ in length";
	return !*problem_out;
}

/* NULL: this one counts. Else why not. */
static const char *update_ignored(
	const struct webhook_tracked *tracked, const struct webhook_update *update, bool *deleted)
{
	static const char heads[] = "refs/heads/", approve[] = "refs/tags/approve/";
	bool gone = id_is_zero(update->after);
	if (!strncmp(update->ref, approve, strlen(approve)))
		return gone ? "tag-deleted" : NULL;
	if (!strncmp(update->ref, "refs/tags/", 10))
		return "tag";
	if (strncmp(update->ref, heads, strlen(heads)) != 0)
		return "other-ref";
	/* Exactly behind refs/heads/: feature/main is not main. */
	const char *branch = update->ref + strlen(heads);
	if (strcmp(branch, tracked->branch) != 0)
		return !strcmp(branch, tracked->status_branch) ? "status-branch" : "other-branch";
	if (!strcmp(update->before, update->after))
		return "nothing-moved";
	*deleted = gone;
	return gone ? "branch-deleted" : NULL;
}

void webhook_fold(const struct webhook_tracked *tracked, const struct webhook_update *update,
	struct webhook_verdict *verdict)
{
	const char *reason = update_ignored(tracked, update, &verdict->tracked_deleted);
	if (verdict->dirty)
		return;
	if (reason) {
		webhook_ignore(verdict, reason);
		return;
	}
	verdict->status = 202;
	verdict->dirty = true;
	verdict->ignored = NULL;
}

/* ---- a push of one ref ------------------------------------------------------------------------
 */

/* true if the repository is ours; else the verdict says why not. */
static bool read_repository(struct webhook_json repository, const struct webhook_push_names *names,
	const struct webhook_tracked *tracked, struct webhook_verdict *verdict)
{
	const char *const members[] = {names->path, names->url};
	struct webhook_json found[2];
	char path[WEBHOOK_PATH_MAX] = "", url[WEBHOOK_PATH_MAX] = "";
	if (!webhook_json_members(repository, members, 2, found) ||
		!webhook_json_text(found[0], path, sizeof(path))) {
		webhook_refuse(verdict, 400, "'%s.%s' is missing, doubled or no text",
			names->repository, names->path);
		return false;
	}
	if (!webhook_json_text(found[1], url, sizeof(url)))
		url[0] = '\0'; /* it only helps; owner/name is what counts */
	if (webhook_is_tracked(tracked, path, url))
		return true;
	webhook_ignore(verdict, "other-repository");
	return false;
}

void webhook_read_push(const struct webhook_delivery *delivery,
	const struct webhook_push_names *names, struct webhook_verdict *verdict)
{
	const char *const members[] = {"ref", "before", "after", names->repository};
	struct webhook_json found[4];
	struct webhook_update update;
	const char *problem = NULL;
	if (!webhook_json_members(delivery->body, members, 4, found))
		return webhook_refuse(verdict, 400, "a member of the push stands there twice");
	if (!webhook_json_text(found[0], update.ref, sizeof(update.ref)) ||
		!webhook_json_text(found[1], update.before, sizeof(update.before)) ||
		!webhook_json_text(found[2], update.after, sizeof(update.after)))
		return webhook_refuse(verdict, 400,
			"'ref', 'before' or 'after' is missing, no text, or too long");
	if (!read_repository(found[3], names, delivery->tracked, verdict))
		return;
	if (!webhook_update_valid(&update, &problem))
		return webhook_refuse(verdict, 400, "%s", problem);
	webhook_fold(delivery->tracked, &update, verdict);
}
