/* Push by compare-and-swap.
 *
 *   advertisement -> every update at its expected id? -- no --> MOVED, nothing is sent
 *        | yes: libgit2 sends exactly that id as the old value
 *        v
 *   the server's lock of the reference compares it again -> a verdict for each reference
 *
 * So there is no window in which somebody else's push could be overwritten. libgit2 returns 0 even
 * if the server refused every reference: only the verdicts count.
 */
#include "git/remote_priv.h"
#include "git/repo_priv.h"
#include <sodium.h>
#include <time.h>

#define PAUSE_MS 100 /* a push to a near remote takes as long */

#define SIDEBAND_MAX 8192

struct push {
	struct transport *transport;
	struct remote_update *updates;
	size_t count;
	struct buf sideband; /* what hooks and the forge print */
};

static struct remote_update *find_update(const struct push *push, const char *name)
{
	for (size_t i = 0; i < push->count; i++) {
		if (!strcmp(push->updates[i].name, name))
			return &push->updates[i];
	}
	return NULL;
}

static bool is_expected(const struct remote_update *update, const git_push_update *offered)
{
	git_oid id, expected;

	oid_to_git(&update->id, &id);
	oid_to_git(&update->expected, &expected);
	return git_oid_equal(&offered->src, &expected) && git_oid_equal(&offered->dst, &id);
}

/* libgit2 has the advertisement and is about to send. */
static int on_negotiation(const git_push_update **offered, size_t count, void *payload)
{
	struct push *push = ((struct transport *)payload)->push_data;
	size_t moved = 0;

	for (size_t i = 0; i < count; i++) {
		struct remote_update *update = find_update(push, offered[i]->dst_refname);
		if (update && is_expected(update, offered[i]))
			continue;
		if (update)
			update->verdict = REMOTE_MOVED;
		moved++;
	}
	if (!moved)
		return 0;
	(void)git_error_set_str(GIT_ERROR_CALLBACK, "the remote branch has moved");
	return GIT_EMODIFIED;
}

static int on_sideband(const char *text, int len, void *payload)
{
	struct push *push = ((struct transport *)payload)->push_data;
	buf_add(&push->sideband, text, len > 0 ? (size_t)len : 0); /* the rest is dropped */
	return 0;
}

static bool has_phrase(const char *text, const char *const *phrases)
{
	for (; *phrases; phrases++) {
		if (strcasestr(text, *phrases))
			return true;
	}
	return false;
}

/* Words of git's receive-pack, of JGit (Gerrit, Bitbucket) and of Azure. */
static bool was_race(const char *status, const char *sideband)
{
	static const char *const moved[] = {"failed to update ref", "cannot lock ref",
		"failed to lock", "non-fast-forward", "fetch first", "stale info",
		"reference already exists", "incorrect old value", "lock error", "lock_failure",
		"already been updated", NULL};
	/* the same status for what no second try will change */
	static const char *const broken[] = {
		"permission denied", "no space left", "read-only file system", "quota", NULL};

	return has_phrase(status, moved) && !has_phrase(sideband, broken);
}

/* Non-empty lines, cleaned, parted by "; ". */
static void add_lines(const char *text, struct buf *out)
{
	while (*text) {
		size_t len = strcspn(text, "\r\n");
		size_t blank = strspn(text, " \t");
		if (len > blank) {
			buf_add_str(out, out->len ? "; " : "");
			buf_add_clean(out, text + blank, len - blank);
		}
		text += len + (text[len] != '\0');
	}
}

static int on_verdict(const char *name, const char *status, void *payload)
{
	struct push *push = ((struct transport *)payload)->push_data;
	struct remote_update *update = find_update(push, name);

	if (!update)
		return 0;
	update->verdict = status ? REMOTE_DECLINED : REMOTE_ACCEPTED;
	if (status)
		(void)snprintf(update->text, sizeof(update->text), "%s", status);
	return 0;
}

/* The sideband may end after the verdicts, so they are read once all is here. */
static void read_verdicts(struct push *push)
{
	for (size_t i = 0; i < push->count; i++) {
		struct remote_update *update = &push->updates[i];
		auto_buf struct buf text = BUF_INIT(sizeof(update->text) - 1);
		if (update->verdict != REMOTE_DECLINED)
			continue;
		if (was_race(update->text, push->sideband.text))
			update->verdict = REMOTE_MOVED;
		add_lines(update->text, &text);
		add_lines(push->sideband.text, &text);
		(void)snprintf(update->text, sizeof(update->text), "%s", text.text);
	}
}

static bool verdict_of_all(const struct push *push, struct error *err)
{
	const struct remote_update *moved = NULL, *declined = NULL, *silent = NULL;
	const char *peer = push->transport->peer;

	for (size_t i = 0; i < push->count; i++) {
		const struct remote_update *update = &push->updates[i];
		moved = update->verdict == REMOTE_MOVED ? update : moved;
		declined = update->verdict == REMOTE_DECLINED ? update : declined;
		silent = update->verdict == REMOTE_UNKNOWN ? update : silent;
	}
	if (moved)
		return error_set(err, ERR_REJECTED, "%s: '%s' has moved: somebody else pushed",
			peer, moved->name);
	if (declined) {
		(void)error_set(err, ERR_REFUSED, "%s: '%s' was declined: %s", peer, declined->name,
			declined->text);
		return error_hint(
			err, "may this user push there? look at hooks and branch protection");
	}
	return !silent ||
	       error_set(err, ERR_UNREACHABLE, "%s: no verdict about '%s'", peer, silent->name);
}

/* libgit2 gave up before it sent anything. */
static bool refused_here(struct push *push, int rc, struct error *err)
{
	for (size_t i = 0; rc == GIT_ENONFASTFORWARD && i < push->count; i++)
		push->updates[i].verdict = REMOTE_MOVED;
	git_error_clear();
	return verdict_of_all(push, err);
}

/* libgit2 pushes references only, no bare ids: one of our own for each id while the push lasts. */
static char *source_name(const struct remote_update *update)
{
	return update->id.hex[0] ? mem_printf("refs/aviary/push/%s", update->id.hex)
				 : mem_dup_str("");
}

static bool make_sources(struct repo *repo, const struct push *push, struct error *err)
{
	for (size_t i = 0; i < push->count; i++) {
		auto_git(git_reference) *ref = NULL;
		auto_free char *name = source_name(&push->updates[i]);
		git_oid id;

		if (!name[0])
			continue;
		oid_to_git(&push->updates[i].id, &id);
		int rc = git_reference_create(&ref, repo->git, name, &id, 1, "push");
		if (rc < 0)
			return repo_fail(err, rc, "'%s' cannot be pushed", push->updates[i].name);
	}
	return true;
}

static void remove_sources(struct repo *repo, const struct push *push)
{
	for (size_t i = 0; i < push->count; i++) {
		auto_free char *name = source_name(&push->updates[i]);
		if (name[0]) /* one that stays is overwritten by the next push of the same id */
			(void)git_reference_remove(repo->git, name);
	}
	git_error_clear();
}

static bool upload(struct remote *remote, struct repo *repo, struct push *push, struct error *err)
{
	auto_git(git_remote) *git = NULL;
	auto_strlist struct strlist specs = STRLIST_INIT;
	git_push_options options;

	/* fails for an unknown version only */
	(void)git_push_options_init(&options, GIT_PUSH_OPTIONS_VERSION);
	if (!remote_make(remote, repo, &git, err))
		return false;
	for (size_t i = 0; i < push->count; i++) {
		auto_free char *source = source_name(&push->updates[i]);
		strlist_addf(&specs, "%s:%s", source, push->updates[i].name);
	}
	const git_strarray array = {specs.items, specs.count};
	options.callbacks.transport = transport_new;
	options.callbacks.push_negotiation = on_negotiation;
	options.callbacks.push_update_reference = on_verdict;
	options.callbacks.sideband_progress = on_sideband;
	options.callbacks.payload = &remote->transport;
	options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	options.pb_parallelism = 1;
	int rc = git_remote_upload(git, &array, &options);
	if (rc == GIT_EMODIFIED || rc == GIT_ENONFASTFORWARD)
		return refused_here(push, rc, err);
	if (rc < 0 && remote->transport.err.code == ERR_NONE && push->sideband.len) {
		auto_buf struct buf text = BUF_INIT(300);
		add_lines(push->sideband.text, &text);
		(void)remote_failed(remote, rc, err);
		return error_hint(err, "the remote says: %s", text.text);
	}
	if (rc < 0)
		return remote_failed(remote, rc, err);
	read_verdicts(push);
	return verdict_of_all(push, err);
}

bool remote_push(struct remote *remote, struct repo *repo, struct remote_update *updates,
	size_t count, struct error *err)
{
	struct push push = {.transport = &remote->transport, .updates = updates, .count = count};

	for (size_t i = 0; i < count; i++) {
		updates[i].verdict = REMOTE_UNKNOWN;
		updates[i].text[0] = '\0';
	}
	buf_init(&push.sideband, SIDEBAND_MAX);
	remote_begin(remote, true);
	remote->transport.push_data = &push;
	bool fine = make_sources(repo, &push, err) && upload(remote, repo, &push, err);
	remove_sources(repo, &push);
	remote->transport.push_data = NULL;
	buf_clear(&push.sideband);
	return fine;
}

void remote_pause(int tries)
{
	const struct timespec pause = {
		.tv_nsec = 1000000L * (long)randombytes_uniform(PAUSE_MS * (uint32_t)tries)};
	(void)nanosleep(&pause, NULL); /* woken early by a signal: only the jitter is lost */
}
