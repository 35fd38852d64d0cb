#include "server/service.h"
#include "base/fs.h"
#include "base/log.h"
#include "reconcile/secrets/secret.h"
#include "server/api.h"
#include "server/footprint.h"
#include "server/intake.h"
#include "server/systemd.h"
#include "server/tofu_backend.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define SERVICE_WORKERS 16 /* local hosts share this machine; more would only queue on its disk */

struct service {
	const struct config *config;
	struct keyring *keyring;
	struct buf age_keys; /* what SOPS_AGE_KEY held, for reloads */
	struct board *board;
	struct api *api;
	struct intake *intake;
	struct http_server *server;
	struct tofu_backend *tofu; /* NULL without tofu.listen */
	pthread_mutex_t lock;      /* of loop, which SIGHUP may replace */
	struct loop *loop;
	pthread_t loop_thread;
	struct loop_outcome outcome;
};

/* ---- the process
 * --------------------------------------------------------------------------------- */

bool service_lock(const struct config *config, int *lock_fd_out, struct error *err)
{
	auto_free char *path = mem_printf("%s/lock", config->state_dir);
	if (!fs_make_folders(config->state_dir, 0700, err))
		return false;
	return fs_lock(path, lock_fd_out, err);
}

bool service_harden(struct error *err)
{
	const struct rlimit none = {0, 0};
	if (setrlimit(RLIMIT_CORE, &none))
		return error_errno(err, errno, "cannot set the core limit to 0");
	if (prctl(PR_SET_DUMPABLE, 0))
		return error_errno(err, errno, "cannot forbid core files");
	signal(SIGPIPE, SIG_IGN);
	return true;
}

/* The one place that reads AVIARY_TEST_REMOTE_MS: with AVIARY_TEST=1 the deadline of everything
 * that concerns the remote. 0: the usual ones. */
static int64_t test_remote_ms(void)
{
	const char *ms = getenv("AVIARY_TEST_REMOTE_MS"), *test = getenv("AVIARY_TEST");
	return ms && test && !strcmp(test, "1") ? strtoll(ms, NULL, 10) : 0;
}

struct loop_options service_loop_options(const struct config *config, const struct keyring *keyring)
{
	const struct config_repository *repository = &config->repository;
	bool own = config->status.url && strcmp(config->status.url, repository->url) != 0;
	return (struct loop_options){
		.state_dir = config->state_dir,
		.poll_interval_ms = repository->poll_interval_ms,
		.workers = SERVICE_WORKERS,
		.hosts = {.ssh_key_file = config->hosts.ssh_key_file,
			.known_hosts_file = config->hosts.known_hosts_file,
			.openssh = config->hosts.openssh,
			.program_config = config->hosts.program_config,
			.concurrency = (size_t)config->hosts.concurrency,
			.pulls = (size_t)config->hosts.pulls},
		.git =
			{
				.state_dir = config->state_dir,
				.infra =
					{
						.url = repository->url,
						.ssh_key_file = repository->ssh_key_file,
						.known_hosts_file = repository->known_hosts_file,
						.token_file = repository->token_file,
						.ca_file = repository->ca_file,
						.connect_ms = test_remote_ms(),
						.idle_ms = test_remote_ms(),
						.total_ms = test_remote_ms(),
						.cancel_fd = -1,
					},
				.branch = repository->branch,
				.status_url = own ? config->status.url : NULL,
				.status_branch = config->status.branch,
				.status_inside = config->status.inside,
				.author_name = config->status.author_name,
				.author_mail = config->status.author_mail,
				.signing_key_file = config->status.signing_key_file,
				.keyring = keyring,
				.signers = {.allowed = repository->allowed_signers_file,
					.revoked = repository->revoked_signers_file,
					.keyring = repository->forge_keyring_file},
			},
	};
}

/* ---- secrets from files
 * ---------------------------------------------------------------------------- */

struct secret_files {
	struct intake_forge *forges;
	size_t forge_count;
	struct http_token *tokens;
	size_t token_count;
};

static void wipe(const char *bytes, size_t len)
{
	struct buf whole = {
		.text = (char *)(uintptr_t)bytes, .len = len, .capacity = len + 1, .secret = true};
	buf_clear(&whole);
}

static void secret_files_clear(struct secret_files *files)
{
	for (size_t i = 0; i < files->forge_count; i++) {
		struct webhook_secret *secrets =
			(struct webhook_secret *)(uintptr_t)files->forges[i].secrets;
		for (size_t j = 0; j < files->forges[i].secret_count; j++)
			wipe(secrets[j].bytes, secrets[j].len);
		free(secrets);
	}
	for (size_t i = 0; i < files->token_count; i++)
		wipe(files->tokens[i].bytes, files->tokens[i].len);
	free(files->forges);
	free(files->tokens);
	*files = (struct secret_files){0};
}

static bool read_secret(const char *path, char **bytes_out, size_t *len_out, struct error *err)
{
	auto_buf struct buf text = BUF_INIT_SECRET(CONFIG_SECRET_MAX);
	if (!fs_read_secret(path, CONFIG_SECRET_MAX, &text, err))
		return false;
	secret_mask_add(text.text, text.len);
	*len_out = text.len;
	*bytes_out = mem_dup(text.text, text.len);
	return true;
}

static bool read_forge(
	const struct config_webhook *webhook, struct intake_forge *forge, struct error *err)
{
	struct webhook_secret *secrets = mem_zero(webhook->secret_count, sizeof(*secrets));
	const char *name = strrchr(webhook->secret_files[0], '/');
	forge->forge = webhook->forge;
	forge->secrets = secrets;
	forge->secret_file = name ? name + 1 : webhook->secret_files[0];
	for (size_t i = 0; i < webhook->secret_count; i++) {
		char *bytes;
		if (!read_secret(webhook->secret_files[i], &bytes, &secrets[i].len, err))
			return error_wrap(err, "webhooks");
		secrets[i].bytes = bytes;
		forge->secret_count++;
	}
	return true;
}

static bool read_secret_files(
	const struct config *config, struct secret_files *files, struct error *err)
{
	files->forges = mem_zero(config->webhook_count, sizeof(*files->forges));
	files->tokens = mem_zero(config->token_count, sizeof(*files->tokens));
	for (size_t i = 0; i < config->webhook_count; i++) {
		files->forge_count++;
		if (!read_forge(&config->webhooks[i], &files->forges[i], err))
			return false;
	}
	for (size_t i = 0; i < config->token_count; i++) {
		const struct config_token *token = &config->tokens[i];
		char *bytes;
		if (!read_secret(token->file, &bytes, &files->tokens[i].len, err))
			return error_wrap(err, "api.tokens: '%s'", token->name);
		files->tokens[i].name = token->name;
		files->tokens[i].bytes = bytes;
		files->tokens[i].may = token->may; /* config and api use the same bits */
		files->token_count++;
	}
	return true;
}

/* ---- the loop's thread
 * ----------------------------------------------------------------------------- */

static void *run_loop(void *data)
{
	struct service *service = data;
	loop_run(service->loop, &service->outcome);
	return NULL;
}

static bool start_loop(struct service *service, struct error *err)
{
	const struct loop_options options = service_loop_options(service->config, service->keyring);
	struct loop *loop = NULL;
	if (!loop_new(&options, service->board, &loop, err))
		return false;
	pthread_mutex_lock(&service->lock);
	service->loop = loop;
	pthread_mutex_unlock(&service->lock);
	int failed = pthread_create(&service->loop_thread, NULL, run_loop, service);
	if (!failed)
		return true;
	pthread_mutex_lock(&service->lock); /* a webhook may hold it in its hands */
	service->loop = NULL;
	pthread_mutex_unlock(&service->lock);
	loop_free(loop);
	return error_errno(err, failed, "cannot start the loop");
}

static void stop_loop(struct service *service)
{
	if (!service->loop)
		return;
	loop_stop(service->loop);
	pthread_join(service->loop_thread, NULL);
	pthread_mutex_lock(&service->lock);
	struct loop *loop = service->loop;
	service->loop = NULL;
	pthread_mutex_unlock(&service->lock);
	loop_free(loop);
}

static void poke(void *data)
{
	struct service *service = data;
	pthread_mutex_lock(&service->lock);
	if (service->loop)
		loop_poke(service->loop);
	pthread_mutex_unlock(&service->lock);
}

static bool ask(void *data, struct request *request, struct error *err)
{
	struct service *service = data;
	pthread_mutex_lock(&service->lock);
	bool taken = service->loop
			     ? loop_ask(service->loop, request, err)
			     : error_set(err, ERR_STOPPED, "the service is starting or stopping");
	pthread_mutex_unlock(&service->lock);
	return taken;
}

static void on_dirty(void *data, enum webhook_forge forge, const char *delivery)
{
	(void)forge; /* the intake logs both */
	(void)delivery;
	poke(data);
}

/* ---- start, reload, stop
 * ---------------------------------------------------------------------------- */

static bool start_http(struct service *service, struct error *err)
{
	const struct config *config = service->config;
	CLEANUP(secret_files_clear) struct secret_files files = {0};
	if (!read_secret_files(config, &files, err))
		return false;
	const struct intake_options intake = {
		.repository_url = config->repository.url,
		.branch = config->repository.branch,
		.status_branch = config->status.branch,
		.forges = files.forges,
		.forge_count = files.forge_count,
		.dirty = on_dirty,
		.data = service,
	};
	const struct api_options api = {.board = service->board,
		.state_dir = config->state_dir,
		.status_branch = config->status.branch,
		.reconcile = poke,
		.ask = ask,
		.data = service};
	if (!intake_new(&intake, &service->intake, err))
		return false;
	service->api = api_new(&api);
	api_set_tokens(service->api, files.tokens, files.token_count);
	const struct http_routes routes[] = {
		intake_routes(service->intake), api_routes(service->api)};
	const struct http_options http = {
		.listen = config->listen,
		.socket_path = config->socket,
		.body_max = (size_t)config->webhook_max_body,
	};
	return http_server_new(&http, routes, ARRAY_LEN(routes), &service->server, err);
}

static bool start_tofu(struct service *service, struct error *err)
{
	const struct loop_options loop = service_loop_options(service->config, service->keyring);
	struct tofu_backend_options options = {.config = service->config,
		.remote = loop.git.infra,
		.keyring = service->keyring,
		.board = service->board,
		.api = service->api};
	if (loop.git.status_url)
		options.remote.url = loop.git.status_url;
	return !service->config->tofu.listen || tofu_backend_new(&options, &service->tofu, err);
}

static bool load_keyring(
	const struct service *service, struct keyring **keyring_out, struct error *err)
{
	const struct keyring_sources sources = {
		.age_key_file = service->config->age_key_file, .age_keys = service->age_keys.text};
	return keyring_load_sources(&sources, keyring_out, NULL, err) ||
	       error_wrap(err, "age_key_file");
}

/* A key that was added or taken away; the order does not matter. */
static bool same_identities(const struct keyring *a, const struct keyring *b)
{
	auto_strlist struct strlist first = STRLIST_INIT;
	auto_strlist struct strlist second = STRLIST_INIT;
	keyring_recipients(a, &first);
	keyring_recipients(b, &second);
	bool same = first.count == second.count;
	for (size_t i = 0; i < first.count; i++)
		same = same && strlist_has(&second, first.items[i]);
	return same;
}

static bool reload_keyring(struct service *service, struct error *err)
{
	auto_keyring struct keyring *keyring = NULL;
	if (!load_keyring(service, &keyring, err))
		return false;
	if (same_identities(keyring, service->keyring))
		return true;
	systemd_notify("WATCHDOG=1"); /* the loop may take LOOP_STOP_MS to end */
	stop_loop(service);
	systemd_notify("WATCHDOG=1");
	if (service->tofu)
		tofu_backend_set_keyring(service->tofu, keyring);
	keyring_free(service->keyring);
	service->keyring = STEAL(keyring);
	return start_loop(service, err);
}

/* @return false: the loop could not be started again; without it the service is none */
static bool reload(struct service *service, struct error *err)
{
	CLEANUP(secret_files_clear) struct secret_files files = {0};
	if (!read_secret_files(service->config, &files, err) ||
		!intake_reload(service->intake, files.forges, files.forge_count, err)) {
		log_err("secrets were not reloaded, the old ones stay", LOG_ERROR_FIELD(err));
		return true;
	}
	api_set_tokens(service->api, files.tokens, files.token_count);
	if (reload_keyring(service, err))
		log_info("secrets, tokens and keys reloaded");
	else if (service->loop)
		log_err("age keys were not reloaded, the old ones stay", LOG_ERROR_FIELD(err));
	return service->loop != NULL;
}

/* Once after the work of a look is done: what it needed is not needed while waiting for the next.
 * @return false: work goes on, so there will be something to give back soon */
static bool trim_when_idle(struct service *service, uint64_t *looks)
{
	auto_snapshot struct snapshot *snapshot = board_read(service->board);
	if (snapshot->idle && snapshot->looks != *looks) {
		*looks = snapshot->looks;
		footprint_trim();
	}
	return snapshot->idle && snapshot->looks;
}

static bool wait_for_end(struct service *service, struct error *err)
{
	sigset_t signals;
	siginfo_t info;
	uint64_t looks = 0;
	/* Both well inside the unit's WatchdogSec. */
	static const struct timespec at_rest = {.tv_sec = 5}, at_work = {.tv_nsec = 500000000};
	bool rests = false;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	for (;;) {
		int number = sigtimedwait(&signals, &info, rests ? &at_rest : &at_work);
		if (number == SIGHUP && !reload(service, err))
			return false;
		if (number == SIGTERM || number == SIGINT)
			return true;
		systemd_notify("WATCHDOG=1");
		rests = trim_when_idle(service, &looks);
	}
}

static void block_signals(void)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* threads made from here on inherit it */
}

static void service_clear(struct service *service)
{
	stop_loop(service);
	tofu_backend_free(service->tofu);
	http_server_free(service->server);
	intake_free(service->intake);
	api_free(service->api);
	board_free(service->board);
	keyring_free(service->keyring);
	buf_clear(&service->age_keys);
	pthread_mutex_destroy(&service->lock);
}

bool service_run(const struct config *config, struct error *err)
{
	CLEANUP(service_clear)
	struct service service = {.config = config,
		.age_keys = BUF_INIT_SECRET(SERVICE_AGE_KEYS_MAX),
		.lock = PTHREAD_MUTEX_INITIALIZER};
	service.board = board_new();
	block_signals();
	keyring_take_environment(&service.age_keys);
	if (!load_keyring(&service, &service.keyring, err))
		return false;
	if (!start_http(&service, err) || !start_tofu(&service, err) || !start_loop(&service, err))
		return false;
	log_info("aviary started", LOG_STR("version", AVIARY_VERSION),
		LOG_STR("repository", config->repository.url),
		LOG_STR("branch", config->repository.branch));
	systemd_notify("READY=1");
	bool good = wait_for_end(&service, err);
	systemd_notify("STOPPING=1");
	http_server_stop(service.server);
	stop_loop(&service);
	log_info("aviary stopped");
	return good;
}
