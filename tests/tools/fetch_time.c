/* Times fetches with nothing new, each on a new connection; for tests/bench.
 *
 * usage: fetch_time ours|built-in [--OPTION FILE]... URL MIRROR COUNT   with OPTION of key,
 *        known-hosts, ca; prints the milliseconds of each, without the first, which brings all
 *
 * built-in: git_remote_fetch() with libgit2's own transports. They take the server's identity on
 * trust here, which only makes them faster.
 */
#include "base/clock.h"
#include "git/remote.h"
#include <curl/curl.h>
#include <git2.h>
#include <libssh2.h>
#include <time.h>

#define TRACKED "+refs/heads/main:refs/remotes/origin/main"

struct timer {
	struct remote_options options;
	const char *mirror;
	git_repository *repository; /* of built-in */
	struct repo *repo;          /* of ours */
	struct error err;
};

static double now_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
	return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static bool fetch_ours(struct timer *timer)
{
	static const char *const refs[] = {"refs/heads/main"};
	auto_remote struct remote *remote = NULL;
	return remote_new(&timer->options, &remote, &timer->err) &&
	       remote_fetch(remote, timer->repo, "origin", refs, 1, NULL, &timer->err);
}

static int give_key(
	git_credential **out, const char *url, const char *user, unsigned allowed, void *data)
{
	const struct timer *timer = data;
	(void)url;
	if (!(allowed & GIT_CREDENTIAL_SSH_KEY))
		return git_credential_username_new(out, user);
	auto_free char *public = mem_printf("%s.pub", timer->options.ssh_key_file);
	return git_credential_ssh_key_new(out, user, public, timer->options.ssh_key_file, NULL);
}

static int trust(git_cert *certificate, int valid, const char *host, void *data)
{
	(void)certificate;
	(void)valid;
	(void)host;
	(void)data;
	return 0;
}

static bool fetch_built_in(struct timer *timer)
{
	git_remote *remote = NULL;
	git_fetch_options options = GIT_FETCH_OPTIONS_INIT;
	char tracked[] = TRACKED, *items[] = {tracked};
	const git_strarray refs = {items, 1};
	options.callbacks.credentials = give_key;
	options.callbacks.certificate_check = trust;
	options.callbacks.payload = timer;
	options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
	int rc = git_remote_create_anonymous(&remote, timer->repository, timer->options.url);
	if (rc == 0)
		rc = git_remote_fetch(remote, &refs, &options, NULL);
	git_remote_free(remote);
	const git_error *last = git_error_last();
	return rc == 0 || error_set(&timer->err, ERR_SYSTEM, "%s", last ? last->message : "?");
}

static bool open_mirror(struct timer *timer, bool ours)
{
	if (ours)
		return repo_open_mirror(timer->mirror, &timer->repo, &timer->err);
	return git_repository_init(&timer->repository, timer->mirror, 1) == 0 ||
	       error_set(&timer->err, ERR_SYSTEM, "mirror could not be made");
}

static int run(struct timer *timer, bool ours, long count)
{
	char line[sizeof(timer->err)];
	bool fine = open_mirror(timer, ours);
	for (long i = 0; fine && i <= count; i++) {
		double before = now_ms();
		fine = ours ? fetch_ours(timer) : fetch_built_in(timer);
		if (fine && i)
			printf("%.2f\n", now_ms() - before);
	}
	if (!fine)
		fprintf(stderr, "fetch_time: %s\n", error_line(&timer->err, line, sizeof(line)));
	git_repository_free(timer->repository);
	repo_free(timer->repo);
	return fine ? 0 : 1;
}

static bool read_option(struct timer *timer, const char *name, const char *value)
{
	struct remote_options *options = &timer->options;
	const char **target = !strcmp(name, "--key")           ? &options->ssh_key_file
			      : !strcmp(name, "--known-hosts") ? &options->known_hosts_file
			      : !strcmp(name, "--ca")          ? &options->ca_file
							       : NULL;
	if (target)
		*target = value;
	return target != NULL;
}

int main(int argc, char **argv)
{
	struct timer timer = {.options = {.cancel_fd = -1}};
	bool ours = argc > 1 && !strcmp(argv[1], "ours");
	int at = 2;
	while (at + 1 < argc && read_option(&timer, argv[at], argv[at + 1]))
		at += 2;
	if (argc - at != 3 || (!ours && strcmp(argv[1], "built-in") != 0)) {
		fprintf(stderr,
			"usage: fetch_time ours|built-in [--OPTION FILE]... URL MIRROR COUNT\n");
		return 2;
	}
	timer.options.url = argv[at];
	timer.mirror = argv[at + 1];
	if (curl_global_init(CURL_GLOBAL_DEFAULT) || libssh2_init(0) ||
		!repo_library_init(&timer.err))
		return 1;
	int status = run(&timer, ours, strtol(argv[at + 2], NULL, 10));
	repo_library_shutdown();
	libssh2_exit();
	curl_global_cleanup();
	return status;
}
