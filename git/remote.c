#include "git/remote.h"
#include "base/fs.h"
#include "base/known_hosts.h"
#include "base/ssh.h"
#include "git/remote_priv.h"
#include "git/repo_priv.h"

#define KEY_MAX         ((size_t)64 << 10)
#define TOKEN_MAX       ((size_t)4 << 10)
#define KNOWN_HOSTS_MAX ((size_t)16 << 20)
#define REFS_MAX        1000000           /* an advertisement is read whole */
#define PACK_MAX        ((size_t)2 << 30) /* received in one fetch */

#define CONNECT_MS 10000
#define IDLE_MS    30000
#define TOTAL_MS   300000

static int64_t or_standard(int64_t value, int64_t standard)
{
	return value > 0 ? value : standard;
}

/* ---- opening ------------------------------------------------------------------------------- */

static bool read_ssh_files(
	struct remote *remote, const struct remote_options *options, struct error *err)
{
	auto_buf struct buf text = BUF_INIT(KNOWN_HOSTS_MAX);
	struct transport *transport = &remote->transport;

	if (!options->ssh_key_file || !options->known_hosts_file) {
		(void)error_set(err, ERR_INVALID, "'%s' needs %s", remote->url.text,
			options->ssh_key_file ? "known_hosts_file" : "ssh_key_file");
		return error_hint(err, "keys of $HOME and agents are not used");
	}
	if (!fs_read_secret(options->ssh_key_file, KEY_MAX, &remote->key, err))
		return false;
	buf_add_char(&remote->key, '\n'); /* PEM wants its last line ended */
	if (!ssh_key_check(options->ssh_key_file, remote->key.text, remote->key.len, err))
		return false;
	if (!fs_read(options->known_hosts_file, KNOWN_HOSTS_MAX, &text, err) ||
		!known_hosts_parse(
			options->known_hosts_file, text.text, text.len, &remote->known_hosts, err))
		return false;
	remote->key_name = mem_dup_str(options->ssh_key_file);
	transport->host = remote->url.host;
	transport->port = remote->url.port;
	transport->user = remote->url.user ? remote->url.user : "git";
	transport->ssh_key = remote->key.text;
	transport->ssh_key_len = remote->key.len;
	transport->ssh_key_name = remote->key_name;
	transport->known_hosts = remote->known_hosts;
	return true;
}

/* Which user name goes with a bare token: see git/remote.h. */
static const char *token_user(const struct remote_url *url)
{
	if (url->user)
		return url->user;
	if (!strcasecmp(url->host, "github.com"))
		return "x-access-token";
	if (!strcasecmp(url->host, "bitbucket.org"))
		return "x-token-auth";
	return "oauth2";
}

static bool read_http_files(
	struct remote *remote, const struct remote_options *options, struct error *err)
{
	struct transport *transport = &remote->transport;

	remote->ca_file = mem_dup_str(options->ca_file);
	transport->ca_file = remote->ca_file;
	if (!options->token_file)
		return true;
	if (!fs_read_secret(options->token_file, TOKEN_MAX, &remote->token, err))
		return false;
	if (strpbrk(remote->token.text, "\r\n") || strlen(remote->token.text) != remote->token.len)
		return error_set(err, ERR_INVALID, "'%s' must hold one line", options->token_file);
	char *colon = strchr(remote->token.text, ':');
	transport->user = token_user(&remote->url);
	transport->password = remote->token.text;
	if (colon) {
		*colon = '\0';
		transport->user = remote->token.text;
		transport->password = colon + 1;
	}
	return true;
}

bool remote_new(const struct remote_options *options, struct remote **remote_out, struct error *err)
{
	auto_remote struct remote *remote = mem_zero(1, sizeof(*remote));
	struct transport *transport = &remote->transport;

	buf_init_secret(&remote->key, KEY_MAX + 1);
	buf_init_secret(&remote->token, TOKEN_MAX);
	if (!remote_url_parse(options->url, &remote->url, err))
		return false;
	transport->type = remote->url.type;
	transport->url = remote->url.text;
	transport->path = remote->url.path;
	transport->peer = remote->url.peer;
	transport->deadline = (struct deadline){
		.connect_ms = or_standard(options->connect_ms, CONNECT_MS),
		.idle_ms = or_standard(options->idle_ms, IDLE_MS),
		.total_ms = or_standard(options->total_ms, TOTAL_MS),
		.cancel_fd = options->cancel_fd,
		.peer = transport->peer,
		.doing = "connecting",
	};
	if (transport->type == TRANSPORT_SSH && !read_ssh_files(remote, options, err))
		return false;
	if (transport->type == TRANSPORT_HTTP && !read_http_files(remote, options, err))
		return false;
	*remote_out = STEAL(remote);
	return true;
}

void remote_free(struct remote *remote)
{
	if (!remote)
		return;
	remote_url_clear(&remote->url);
	buf_clear(&remote->key);
	buf_clear(&remote->token);
	free(remote->key_name);
	free(remote->ca_file);
	known_hosts_free(remote->known_hosts);
	free(remote);
}

const char *remote_path(const struct remote *remote)
{
	return remote->url.name;
}

/* ---- a conversation ------------------------------------------------------------------------ */

void remote_begin(struct remote *remote, bool push)
{
	struct transport *transport = &remote->transport;

	memset(&transport->err, 0, sizeof(transport->err));
	transport->push = push;
	transport->deadline.doing = "connecting";
	deadline_start(&transport->deadline);
	git_error_clear();
}

bool remote_failed(const struct remote *remote, int rc, struct error *err)
{
	const struct transport *transport = &remote->transport;

	if (transport->err.code != ERR_NONE) {
		*err = transport->err;
		return false;
	}
	(void)repo_fail(err, rc, "%s: %s failed", transport->peer, transport_doing(transport));
	if (err->code == ERR_SYSTEM || err->code == ERR_INVALID)
		err->code =
			ERR_UNREACHABLE; /* an answer cut short, or no git: may be better later */
	return false;
}

bool remote_make(struct remote *remote, struct repo *repo, git_remote **out, struct error *err)
{
	git_remote_create_options options;

	/* fails for an unknown version only */
	(void)git_remote_create_options_init(&options, GIT_REMOTE_CREATE_OPTIONS_VERSION);
	options.repository = repo->git;
	/* without the first libgit2 1.5.1 leaks 160 KiB, and configuration could bend the URL */
	options.flags = GIT_REMOTE_CREATE_SKIP_INSTEADOF | GIT_REMOTE_CREATE_SKIP_DEFAULT_FETCHSPEC;
	int rc = git_remote_create_with_opts(out, remote->transport.url, &options);
	return rc == 0 || remote_failed(remote, rc, err);
}

/* While libgit2 indexes: the same limits, and one for the size. */
static int check_progress(const git_indexer_progress *stats, void *payload)
{
	struct transport *transport = payload;

	deadline_progress(&transport->deadline);
	if (!deadline_check(&transport->deadline, &transport->err))
		return transport_failed(transport);
	if (stats->received_bytes <= PACK_MAX)
		return 0;
	(void)error_set(&transport->err, ERR_REFUSED, "%s: sent more than %zu bytes",
		transport->peer, PACK_MAX);
	return transport_failed(transport);
}

static void set_callbacks(struct remote *remote, git_remote_callbacks *callbacks)
{
	callbacks->transport = transport_new;
	callbacks->transfer_progress = check_progress;
	callbacks->payload = &remote->transport;
}

static bool read_advertisement(
	const struct remote *remote, git_remote *git, struct remote_refs *out, struct error *err)
{
	const git_remote_head **heads = NULL;
	size_t count = 0;

	int rc = git_remote_ls(&heads, &count, git);
	if (rc < 0)
		return remote_failed(remote, rc, err);
	if (count > REFS_MAX)
		return error_set(err, ERR_REFUSED, "%s: more than %d references",
			remote->transport.peer, REFS_MAX);
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(heads[i]->name);
		if (len > 3 && !strcmp(heads[i]->name + len - 3, "^{}"))
			continue;
		mem_grow(out->items, out->count, out->capacity);
		struct remote_ref *ref = &out->items[out->count++];
		ref->name = mem_dup_str(heads[i]->name);
		oid_from_git(&heads[i]->oid, &ref->id);
	}
	return true;
}

void remote_refs_clear(struct remote_refs *refs)
{
	for (size_t i = 0; i < refs->count; i++)
		free(refs->items[i].name);
	free(refs->items);
	memset(refs, 0, sizeof(*refs));
}

static bool connect_and_list(
	struct remote *remote, git_remote *git, struct remote_refs *out, struct error *err)
{
	git_remote_connect_options options;

	/* fails for an unknown version only */
	(void)git_remote_connect_options_init(&options, GIT_REMOTE_CONNECT_OPTIONS_VERSION);
	set_callbacks(remote, &options.callbacks);
	options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	int rc = git_remote_connect_ext(git, GIT_DIRECTION_FETCH, &options);
	if (rc < 0)
		return remote_failed(remote, rc, err);
	return read_advertisement(remote, git, out, err);
}

bool remote_list(
	struct remote *remote, struct repo *repo, struct remote_refs *out, struct error *err)
{
	auto_git(git_remote) *git = NULL;

	remote_begin(remote, false);
	return remote_make(remote, repo, &git, err) && connect_and_list(remote, git, out, err);
}

/* ---- fetching ------------------------------------------------------------------------------ */

struct wanted {
	char *local; /* refs/remotes/<into>/... */
	const struct remote_ref *ref;
};

struct fetch {
	struct remote *remote;
	struct repo *repo;
	struct remote_refs there; /* what the remote advertises */
	struct wanted *items;
	size_t count;
	struct strlist missing;
};

static void fetch_clear(struct fetch *fetch)
{
	for (size_t i = 0; i < fetch->count; i++)
		free(fetch->items[i].local);
	free(fetch->items);
	remote_refs_clear(&fetch->there);
	strlist_clear(&fetch->missing);
}

static const struct remote_ref *find_ref(const struct remote_refs *refs, const char *name)
{
	for (size_t i = 0; i < refs->count; i++) {
		if (!strcmp(refs->items[i].name, name))
			return &refs->items[i];
	}
	return NULL;
}

/* refs/heads/main -> refs/remotes/<into>/main, refs/tags/v1 -> refs/remotes/<into>/tags/v1 */
static char *local_name(const char *into, const char *name)
{
	if (!strncmp(name, "refs/heads/", 11))
		return mem_printf("refs/remotes/%s/%s", into, name + 11);
	return mem_printf("refs/remotes/%s/%s", into, name + strlen("refs/"));
}

static void pick(struct fetch *fetch, const char *into, const char *const *names, size_t count)
{
	fetch->items = mem_zero(count, sizeof(*fetch->items));
	for (size_t i = 0; i < count; i++) {
		const struct remote_ref *ref = find_ref(&fetch->there, names[i]);
		if (ref)
			fetch->items[fetch->count++] =
				(struct wanted){local_name(into, names[i]), ref};
		else
			strlist_add(&fetch->missing, names[i]);
	}
}

static bool has_object(struct repo *repo, const struct oid *id)
{
	auto_git(git_object) *object = NULL;
	git_oid wanted;

	oid_to_git(id, &wanted);
	bool found = git_object_lookup(&object, repo->git, &wanted, GIT_OBJECT_ANY) == 0;
	git_error_clear();
	return found;
}

static bool has_all(const struct fetch *fetch)
{
	for (size_t i = 0; i < fetch->count; i++) {
		if (!has_object(fetch->repo, &fetch->items[i].ref->id))
			return false;
	}
	return true;
}

static bool download(struct fetch *fetch, git_remote *git, struct error *err)
{
	auto_strlist struct strlist specs = STRLIST_INIT;
	git_fetch_options options;

	/* fails for an unknown version only */
	(void)git_fetch_options_init(&options, GIT_FETCH_OPTIONS_VERSION);
	for (size_t i = 0; i < fetch->count; i++)
		strlist_addf(&specs, "+%s:%s", fetch->items[i].ref->name, fetch->items[i].local);
	const git_strarray array = {specs.items, specs.count};
	set_callbacks(fetch->remote, &options.callbacks);
	options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
	options.prune = GIT_FETCH_NO_PRUNE; /* a garbage answer must not delete what we know */
	options.update_fetchhead = 0;
	options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	int rc = git_remote_download(git, &array, &options);
	return rc == 0 || remote_failed(fetch->remote, rc, err);
}

/* Move the local copies, forwards or not: a rewritten branch is for the caller to judge. */
static bool move_copies(const struct fetch *fetch, struct error *err)
{
	for (size_t i = 0; i < fetch->count; i++) {
		auto_git(git_reference) *ref = NULL;
		const struct wanted *item = &fetch->items[i];
		git_oid id;

		if (!has_object(fetch->repo, &item->ref->id))
			return error_set(err, ERR_UNREACHABLE, "%s: did not send '%s' (%s)",
				fetch->remote->transport.peer, item->ref->name, item->ref->id.hex);
		oid_to_git(&item->ref->id, &id);
		int rc = git_reference_create(&ref, fetch->repo->git, item->local, &id, 1, "fetch");
		if (rc < 0)
			return repo_fail(err, rc, "'%s' could not be moved", item->local);
	}
	return true;
}

bool remote_fetch(struct remote *remote, struct repo *repo, const char *into,
	const char *const *refs, size_t count, struct strlist *missing_out, struct error *err)
{
	auto_git(git_remote) *git = NULL;
	CLEANUP(fetch_clear) struct fetch fetch = {.remote = remote, .repo = repo};

	remote_begin(remote, false);
	if (!remote_make(remote, repo, &git, err) ||
		!connect_and_list(remote, git, &fetch.there, err))
		return false;
	pick(&fetch, into, refs, count);
	if (fetch.missing.count && !missing_out)
		return error_set(err, ERR_NOT_FOUND, "'%s' is not on the remote (%s)",
			fetch.missing.items[0], remote->transport.peer);
	if (!has_all(&fetch) && !download(&fetch, git, err))
		return false;
	if (!move_copies(&fetch, err))
		return false;
	if (missing_out)
		strlist_copy(missing_out, &fetch.missing);
	return true;
}
