#include "base/buf.h"
#include "base/fs.h"
#include "base/ssh.h"
#include "git/signers.h"
#include "git/signing_key.h"
#include "reconcile/secrets/keyring.h"
#include "server/config_file.h"
#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_MIN     16                /* bytes below which a token can be guessed */
#define MEMLOCK_LEAST ((rlim_t)1 << 20) /* enough for the values of a few hundred SOPS files */

struct checker {
	const struct config *config;
	struct problems *problems;
};

/* An error of a file, at the key that names it. */
static bool report(struct checker *checker, const struct node *place, const struct error *err)
{
	return config_problem(checker->problems, place, err->hint, "%s", err->message);
}

static bool check_secret_file(struct checker *checker, const char *path, const char *dotted)
{
	auto_buf struct buf secret = BUF_INIT_SECRET(CONFIG_SECRET_MAX);
	struct error err;
	if (!path || fs_read_secret(path, CONFIG_SECRET_MAX, &secret, &err))
		return true;
	return report(checker, node_path(checker->config->node, dotted), &err);
}

static bool check_public_file(struct checker *checker, const char *path, const char *dotted)
{
	auto_buf struct buf text = BUF_INIT((size_t)16 << 20);
	struct error err;
	const struct node *place = node_path(checker->config->node, dotted);
	if (!path)
		return true;
	if (!fs_read(path, text.limit, &text, &err))
		return report(checker, place, &err);
	if (!text.len)
		return config_problem(checker->problems, place, "", "'%s' is empty", path);
	return true;
}

/* A key that libssh2 cannot use, or a line of known_hosts that does not read, would show at the
 * first host only. */
static bool check_hosts(struct checker *checker)
{
	const struct config_hosts *hosts = &checker->config->hosts;
	auto_buf struct buf key = BUF_INIT_SECRET(CONFIG_SECRET_MAX);
	auto_buf struct buf text = BUF_INIT((size_t)16 << 20);
	auto_known_hosts struct known_hosts *known = NULL;
	const struct node *root = checker->config->node;
	struct error err;
	bool good = true;
	if (hosts->ssh_key_file &&
		(!fs_read_secret(hosts->ssh_key_file, CONFIG_SECRET_MAX, &key, &err) ||
			!ssh_key_check(hosts->ssh_key_file, key.text, key.len, &err)))
		good = report(checker, node_path(root, "hosts.ssh_key_file"), &err);
	if (hosts->known_hosts_file &&
		(!fs_read(hosts->known_hosts_file, text.limit, &text, &err) ||
			!known_hosts_parse(
				hosts->known_hosts_file, text.text, text.len, &known, &err)))
		good = report(checker, node_path(root, "hosts.known_hosts_file"), &err);
	return good;
}

static bool check_signers(struct checker *checker)
{
	const struct config_repository *repository = &checker->config->repository;
	const struct signers_files files = {
		.allowed = repository->allowed_signers_file,
		.revoked = repository->revoked_signers_file,
		.keyring = repository->forge_keyring_file,
	};
	auto_signers struct signers *signers = NULL;
	struct error err;
	const struct node *place =
		node_path(checker->config->node, "repository.allowed_signers_file");
	if (!files.allowed)
		return true;
	if (!signers_load(&files, &signers, &err)) {
		/* a mistake inside of the file has its line there */
		if (err.where[0])
			error_wrap(&err, "%s", err.where);
		return report(checker, place, &err);
	}
	return check_public_file(checker, files.keyring, "repository.forge_keyring_file");
}

static bool check_signing_key(struct checker *checker)
{
	const char *path = checker->config->status.signing_key_file;
	struct error err;
	if (!path || signing_key_check(path, &err))
		return true;
	return report(checker, node_path(checker->config->node, "status.signing_key_file"), &err);
}

static bool check_webhook_secret(
	struct checker *checker, const struct config_webhook *webhook, const char *path)
{
	auto_buf struct buf bytes = BUF_INIT_SECRET(CONFIG_SECRET_MAX);
	struct error err;
	const struct node *place = node_get(webhook->node, "secret_file");
	if (!fs_read_secret(path, CONFIG_SECRET_MAX, &bytes, &err))
		return report(checker, place, &err);
	struct webhook_secret secret = {.bytes = bytes.text, .len = bytes.len};
	if (webhook_secret_check(webhook->forge, &secret, &err))
		return true;
	error_wrap(&err, "secret file '%s'", path);
	return report(checker, place, &err);
}

static bool check_webhooks(struct checker *checker)
{
	const struct config *config = checker->config;
	bool good = true;
	for (size_t i = 0; i < config->webhook_count; i++)
		for (size_t k = 0; k < config->webhooks[i].secret_count; k++)
			good = check_webhook_secret(checker, &config->webhooks[i],
				       config->webhooks[i].secret_files[k]) &&
			       good;
	return good;
}

static bool check_token(struct checker *checker, const struct config_token *token)
{
	auto_buf struct buf bytes = BUF_INIT_SECRET(CONFIG_SECRET_MAX);
	struct error err;
	const struct node *place = node_get(token->node, "file");
	if (!fs_read_secret(token->file, CONFIG_SECRET_MAX, &bytes, &err))
		return report(checker, place, &err);
	if (bytes.len < TOKEN_MIN)
		problems_warn(checker->problems, place ? place->file : "", place ? place->line : 0,
			"make one with: openssl rand -hex 32",
			"the token of '%s' is shorter than %d bytes", token->name, TOKEN_MIN);
	return true;
}

static bool check_age_keys(struct checker *checker)
{
	auto_keyring struct keyring *keyring = NULL;
	struct error err;
	const struct node *place = node_get(checker->config->node, "age_key_file");
	if (!keyring_load(checker->config->age_key_file, &keyring, &err))
		return report(checker, place, &err);
	if (checker->config->age_key_file && !keyring_count(keyring))
		return config_problem(checker->problems, place, "", "'%s' holds no age identity",
			checker->config->age_key_file);
	return true;
}

/* The folder, or the nearest one above it in which it can be made. */
static bool check_state_dir(struct checker *checker)
{
	auto_free char *path = mem_dup_str(checker->config->state_dir);
	const struct node *place = node_get(checker->config->node, "state_dir");
	struct stat st;
	char *slash;
	while (stat(path, &st) && errno == ENOENT && (slash = strrchr(path, '/')) && slash > path)
		*slash = '\0';
	if (stat(path, &st))
		return config_problem(checker->problems, place, "",
			"the folder '%s' can not be made here", checker->config->state_dir);
	if (!S_ISDIR(st.st_mode))
		return config_problem(checker->problems, place, "", "'%s' is not a folder", path);
	if (access(path, W_OK | X_OK))
		return config_problem(checker->problems, place,
			"let the service's user write into it",
			"the folder '%s' can not be written", path);
	return true;
}

/* Decrypted values are locked in memory as far as the limit goes. */
static void check_memlock(struct checker *checker)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY ||
		limit.rlim_cur >= MEMLOCK_LEAST)
		return;
	problems_warn(checker->problems, "", 0, "raise it, in a unit with LimitMEMLOCK=64M",
		"only %llu bytes of memory may be locked: secrets can reach the swap",
		(unsigned long long)limit.rlim_cur);
}

bool config_check(const struct config *config, struct problems *problems)
{
	struct checker checker = {.config = config, .problems = problems};
	const struct config_repository *repository = &config->repository;
	bool good =
		check_secret_file(&checker, repository->ssh_key_file, "repository.ssh_key_file");
	good = check_secret_file(&checker, repository->token_file, "repository.token_file") && good;
	good = check_public_file(
		       &checker, repository->known_hosts_file, "repository.known_hosts_file") &&
	       good;
	good = check_public_file(&checker, repository->ca_file, "repository.ca_file") && good;
	good = check_hosts(&checker) && good;
	good = check_signers(&checker) && good;
	good = check_signing_key(&checker) && good;
	good = check_webhooks(&checker) && good;
	for (size_t i = 0; i < config->token_count; i++)
		good = check_token(&checker, &config->tokens[i]) && good;
	good = check_age_keys(&checker) && good;
	check_memlock(&checker);
	return check_state_dir(&checker) && good;
}
