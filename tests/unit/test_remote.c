/* URLs, and repositories at a path. Servers: tests/e2e/test_git_transport.py. */
#include "git/commit.h"
#include "git/remote.h"
#include "git/remote_url.h"
#include "tests/lib/gitrepo.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

static const struct commit_author author = {"Aviary", "aviary@localhost", 1700000000};
static const struct oid none;

static struct error err;
static char *scratch; /* holds bare.git, the remote, and mirror.git, ours */
static char *bare;
static struct repo *repo;

static int set_up(void **state)
{
	(void)state;
	memset(&err, 0, sizeof(err));
	scratch = gitrepo_scratch();
	bare = mem_printf("%s/bare.git", scratch);
	auto_free char *work = mem_printf("%s/work", scratch);
	auto_free char *mirror = mem_printf("%s/mirror.git", scratch);
	gitrepo_write(scratch, "work/clients/alpha.yaml", "a\n");
	gitrepo_make(work);
	GIT(scratch, "clone", "-q", "--bare", work, bare);
	return repo_open_mirror(mirror, &repo, &err) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	repo_free(repo);
	repo = NULL;
	free(bare);
	gitrepo_remove(scratch);
	return 0;
}

static struct remote *open_remote(const char *url, int cancel_fd)
{
	const struct remote_options options = {.url = url, .cancel_fd = cancel_fd};
	struct remote *remote = NULL;
	if (!remote_new(&options, &remote, &err))
		fail_msg("%s: %s", url, err.message);
	return remote;
}

static struct oid tip_of(const char *ref)
{
	struct oid id = {0};
	auto_free char *hex = GIT_TEXT(bare, "rev-parse", ref);
	assert_true(oid_valid(hex));
	memcpy(id.hex, hex, OID_HEX);
	return id;
}

static void fetch_main(struct remote *remote, struct oid *tip_out)
{
	const char *refs[] = {"refs/heads/main"};
	if (!remote_fetch(remote, repo, "origin", refs, 1, NULL, &err))
		fail_msg("%s", err.message);
	assert_true(repo_ref(repo, "refs/remotes/origin/main", tip_out, &err));
}

static struct oid commit_on(const struct oid *parent, const char *path)
{
	const struct commit_change change = {path, "x", 1};
	struct oid id;
	assert_true(commit_create(repo, parent, &change, 1, path, &author, &id, &err));
	return id;
}

static void urls_are_taken_apart(void **state)
{
	(void)state;
	static const struct {
		const char *url;
		enum transport_type type;
		const char *host, *user;
		unsigned port;
		const char *path, *name;
	} cases[] = {
		{"ssh://git@forge.example/Owner/Infra.git", TRANSPORT_SSH, "forge.example", "git",
			0, "/Owner/Infra.git", "owner/infra"},
		{"ssh://forge.example:2222/a/b/c", TRANSPORT_SSH, "forge.example", NULL, 2222,
			"/a/b/c", "a/b/c"},
		{"ssh://git@[::1]:2222/~eva/x.git", TRANSPORT_SSH, "::1", "git", 2222, "~eva/x.git",
			"~eva/x"},
		{"ssh://git@h/it%27s%20a.git", TRANSPORT_SSH, "h", "git", 0, "/it's a.git",
			"it's a"},
		{"git@forge.example:owner/infra.git", TRANSPORT_SSH, "forge.example", "git", 0,
			"owner/infra.git", "owner/infra"},
		{"forge:infra", TRANSPORT_SSH, "forge", NULL, 0, "infra", "infra"},
		{"https://forge.example/owner/infra.git/", TRANSPORT_HTTP, "forge.example", NULL, 0,
			"/owner/infra.git/", "owner/infra"},
		{"https://eva@forge.example:8443/o/i", TRANSPORT_HTTP, "forge.example", "eva", 8443,
			"/o/i", "o/i"},
		{"http://127.0.0.1:3000/o/i.git", TRANSPORT_HTTP, "127.0.0.1", NULL, 3000,
			"/o/i.git", "o/i"},
		{"http://[::1]/o/i", TRANSPORT_HTTP, "::1", NULL, 0, "/o/i", "o/i"},
		{"file:///srv/infra%20x.git", TRANSPORT_PATH, NULL, NULL, 0, "/srv/infra x.git",
			"srv/infra x"},
		{"/srv/infra.git", TRANSPORT_PATH, NULL, NULL, 0, "/srv/infra.git", "srv/infra"},
		{"../a:b.git", TRANSPORT_PATH, NULL, NULL, 0, "../a:b.git", "../a:b"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct remote_url url = {0};
		if (!remote_url_parse(cases[i].url, &url, &err))
			fail_msg("%s: %s", cases[i].url, err.message);
		assert_int_equal(url.type, cases[i].type);
		assert_int_equal(url.port, cases[i].port);
		assert_string_equal(url.host ? url.host : "-", cases[i].host ? cases[i].host : "-");
		assert_string_equal(url.user ? url.user : "-", cases[i].user ? cases[i].user : "-");
		assert_string_equal(url.path, cases[i].path);
		assert_string_equal(url.name, cases[i].name);
		remote_url_clear(&url);
	}
}

static void urls_that_cannot_be_meant_are_refused(void **state)
{
	(void)state;
	static const char *const urls[] = {"", " ", "git://h/x", "ftp://h/x", "ssh://", "ssh:///x",
		"ssh://h", "ssh://h/", "ssh://-oProxyCommand=x/y", "ssh://-u@h/x", "-u@h:x",
		"ssh://h:0/x", "ssh://h:99999/x", "ssh://h:1x/x", "ssh://[::1/x", "ssh://h/%zz",
		"ssh://h/%00", "h:", "https://eva:secret@h/x", "https://h/x?a", "https://h/x#a",
		"http://forge.example/x", "http://127.0.0.1.evil.example/x", "a b", "a\nb",
		"-upload", "file://"};
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		const struct remote_options options = {.url = urls[i], .cancel_fd = -1};
		struct remote *remote = NULL;
		if (remote_new(&options, &remote, &err))
			fail_msg("accepted: %s", urls[i]);
		if (err.code != ERR_INVALID)
			fail_msg("%s: %s", urls[i], err.message);
		assert_null(strstr(err.message, "secret"));
	}
}

static void ssh_without_its_files_is_refused(void **state)
{
	(void)state;
	struct remote *remote = NULL;
	struct remote_options options = {.url = "ssh://git@h/x.git", .cancel_fd = -1};

	assert_false(remote_new(&options, &remote, &err));
	assert_non_null(strstr(err.message, "ssh_key_file"));
	options.ssh_key_file = "/nonexistent/key";
	assert_false(remote_new(&options, &remote, &err));
	assert_non_null(strstr(err.message, "known_hosts_file"));
	options.known_hosts_file = "/nonexistent/known_hosts";
	assert_false(remote_new(&options, &remote, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void the_path_is_compared_without_case_and_suffix(void **state)
{
	(void)state;
	auto_remote struct remote *remote = open_remote("https://h/Owner/Infra.git", -1);
	assert_string_equal(remote_path(remote), "owner/infra");
}

static void a_reference_that_is_missing_is_not_found_unless_asked_for(void **state)
{
	(void)state;
	auto_remote struct remote *remote = open_remote(bare, -1);
	auto_strlist struct strlist missing = STRLIST_INIT;
	const char *refs[] = {"refs/heads/none", "refs/heads/main"};
	struct oid id;

	assert_false(remote_fetch(remote, repo, "origin", refs, 2, NULL, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.message, "refs/heads/none"));
	assert_false(repo_ref(repo, "refs/remotes/origin/main", &id, &err));
	assert_true(remote_fetch(remote, repo, "origin", refs, 2, &missing, &err));
	assert_int_equal(missing.count, 1);
	assert_true(repo_ref(repo, "refs/remotes/origin/main", &id, &err));
}

static void a_fetch_with_nothing_new_takes_no_pack(void **state)
{
	(void)state;
	auto_remote struct remote *remote = open_remote(bare, -1);
	auto_free char *objects = mem_printf("%s/mirror.git", scratch);
	struct oid tip;

	fetch_main(remote, &tip);
	auto_free char *before = GIT_TEXT(objects, "count-objects", "-v");
	fetch_main(remote, &tip);
	auto_free char *after = GIT_TEXT(objects, "count-objects", "-v");
	assert_string_equal(before, after);
}

static void one_remote_serves_many_calls(void **state)
{
	(void)state;
	auto_remote struct remote *remote = open_remote(bare, -1);
	struct oid tip;

	fetch_main(remote, &tip);
	for (int i = 0; i < 5; i++) {
		auto_free char *path = mem_printf("clients/%d.yaml", i);
		struct remote_update update = {.name = "refs/heads/main", .expected = tip};
		update.id = commit_on(&tip, path);
		assert_true(remote_push(remote, repo, &update, 1, &err));
		assert_int_equal(update.verdict, REMOTE_ACCEPTED);
		fetch_main(remote, &tip);
		assert_string_equal(tip.hex, update.id.hex);
	}
	auto_free char *count = GIT_TEXT(bare, "rev-list", "--count", "main");
	assert_string_equal(count, "6");
}

static void a_push_leaves_no_reference_of_its_own(void **state)
{
	(void)state;
	auto_remote struct remote *remote = open_remote(bare, -1);
	auto_strlist struct strlist names = STRLIST_INIT;
	struct oid tip;

	fetch_main(remote, &tip);
	struct remote_update update = {.name = "refs/heads/x", .id = tip};
	assert_true(remote_push(remote, repo, &update, 1, &err));
	assert_true(repo_refs(repo, "refs/", &names, &err));
	assert_int_equal(names.count, 1);
}

static void if_one_of_several_has_moved_nothing_is_sent(void **state)
{
	(void)state;
	auto_remote struct remote *remote = open_remote(bare, -1);
	struct oid tip;

	fetch_main(remote, &tip);
	struct oid ours = commit_on(&tip, "x");
	struct remote_update updates[] = {
		{.name = "refs/heads/fresh", .id = ours},
		{.name = "refs/heads/main", .id = ours, .expected = ours},
	};
	assert_false(remote_push(remote, repo, updates, 2, &err));
	assert_int_equal(err.code, ERR_REJECTED);
	assert_int_equal(updates[1].verdict, REMOTE_MOVED);
	assert_int_not_equal(updates[0].verdict, REMOTE_ACCEPTED);
	auto_free char *refs = GIT_TEXT(bare, "for-each-ref", "--format=%(refname)");
	assert_string_equal(refs, "refs/heads/main");
}

static void a_push_of_an_object_that_is_not_here_is_an_error(void **state)
{
	(void)state;
	auto_remote struct remote *remote = open_remote(bare, -1);
	struct remote_update update = {
		.name = "refs/heads/x", .id = {.hex = "0123456789abcdef0123456789abcdef01234567"}};

	assert_false(remote_push(remote, repo, &update, 1, &err));
	assert_int_equal(update.verdict, REMOTE_UNKNOWN);
}

static void an_orphan_starts_a_status_branch(void **state)
{
	(void)state;
	auto_remote struct remote *remote = open_remote(bare, -1);
	struct remote_update update = {
		.name = "refs/heads/deployments", .id = commit_on(&none, "README.md")};

	assert_true(remote_push(remote, repo, &update, 1, &err));
	assert_string_equal(tip_of("deployments").hex, update.id.hex);
	GIT(bare, "fsck", "--strict");
}

static void a_work_folder_and_a_file_url_are_remotes_too(void **state)
{
	(void)state;
	auto_free char *work = mem_printf("%s/work", scratch);
	auto_free char *url = mem_printf("file://%s", bare);
	const char *urls[] = {work, url};

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		auto_remote struct remote *remote = open_remote(urls[i], -1);
		auto_remote_refs struct remote_refs refs = {0};
		assert_true(remote_list(remote, repo, &refs, &err));
		assert_true(refs.count >= 2);
	}
}

static void a_path_without_a_repository_is_not_found(void **state)
{
	(void)state;
	auto_free char *path = mem_printf("%s/none.git", scratch);
	auto_remote struct remote *remote = open_remote(path, -1);
	auto_remote_refs struct remote_refs refs = {0};

	assert_false(remote_list(remote, repo, &refs, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.message, path));
}

static void a_cancelled_call_does_nothing(void **state)
{
	(void)state;
	int cancel = eventfd(1, EFD_CLOEXEC);
	auto_remote struct remote *remote = open_remote(bare, cancel);
	auto_remote_refs struct remote_refs refs = {0};

	assert_false(remote_list(remote, repo, &refs, &err));
	assert_int_equal(err.code, ERR_STOPPED);
	assert_int_equal(close(cancel), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		cmocka_unit_test(urls_are_taken_apart),
		cmocka_unit_test(urls_that_cannot_be_meant_are_refused),
		CASE(ssh_without_its_files_is_refused),
		CASE(the_path_is_compared_without_case_and_suffix),
		CASE(a_reference_that_is_missing_is_not_found_unless_asked_for),
		CASE(a_fetch_with_nothing_new_takes_no_pack),
		CASE(one_remote_serves_many_calls),
		CASE(a_push_leaves_no_reference_of_its_own),
		CASE(if_one_of_several_has_moved_nothing_is_sent),
		CASE(a_push_of_an_object_that_is_not_here_is_an_error),
		CASE(an_orphan_starts_a_status_branch),
		CASE(a_work_folder_and_a_file_url_are_remotes_too),
		CASE(a_path_without_a_repository_is_not_found),
		CASE(a_cancelled_call_does_nothing),
	};
	return cmocka_run_group_tests_name("remote", tests, gitrepo_begin, gitrepo_end);
}
