#include "server/intake.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define REMEMBERED 1000 /* delivery ids per forge: GitHub redelivers for 3 days */

/* A delivery that was authentic; ids are kept as hashes, a collision only mislabels a log line. */
struct remembered {
	uint64_t id;
	int64_t at_s;
	int status;
};

struct door {
	bool open; /* the forge is configured */
	struct webhook_secret *secrets;
	size_t secret_count;
	char *secret_file; /* without its folder */
	pthread_mutex_t lock;
	struct remembered *seen;
	size_t seen_next;
	atomic_uint_fast64_t accepted, ignored, malformed, unauthentic, redelivered;
};

struct intake {
	char *path, *branch, *status_branch;
	struct webhook_tracked tracked;
	intake_dirty dirty;
	void *data;
	int64_t fixed_now_s; /* tests only; 0: the wall clock */
	pthread_rwlock_t secrets_lock;
	struct door doors[WEBHOOK_FORGES];
	struct http_route routes[WEBHOOK_FORGES];
	char *route_paths[WEBHOOK_FORGES];
	size_t route_count;
};

/* ---- deliveries that were seen ----------------------------------------------------------------
 */

static uint64_t hash_id(const char *id)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a */
	for (; *id; id++)
		hash = (hash ^ (unsigned char)*id) * 1099511628211u;
	return hash | 1; /* 0 marks a free line */
}

/* Note a delivery. @return true, and the earlier answer, if it was seen before. */
static bool remember(
	struct door *door, const struct webhook_verdict *verdict, struct remembered *before)
{
	struct remembered now = {hash_id(verdict->delivery), clock_wall_s(), verdict->status};
	bool known = false;
	if (!verdict->delivery[0])
		return false;
	pthread_mutex_lock(&door->lock);
	for (size_t i = 0; i < REMEMBERED && !known; i++) {
		if (door->seen[i].id != now.id)
			continue;
		*before = door->seen[i];
		known = true;
	}
	if (!known) {
		door->seen[door->seen_next] = now;
		door->seen_next = (door->seen_next + 1) % REMEMBERED;
	}
	pthread_mutex_unlock(&door->lock);
	return known;
}

/* ---- one delivery -----------------------------------------------------------------------------
 */

static void answer_refused(struct intake *intake, const struct http_request *request,
	const struct webhook_verdict *verdict, struct http_response *response)
{
	enum webhook_forge forge = (enum webhook_forge)http_request_tag(request);
	struct door *door = &intake->doors[forge];
	if (verdict->status != 401) {
		atomic_fetch_add(&door->malformed, 1);
		http_respond_error(response, verdict->status, "%s", verdict->error);
	} else {
		atomic_fetch_add(&door->unauthentic, 1);
		http_request_auth_failed(request);
		pthread_rwlock_rdlock(&intake->secrets_lock);
		http_respond_error(response, 401,
			"%s: the secret of the hook must be what stands in '%s'", verdict->error,
			door->secret_file);
		pthread_rwlock_unlock(&intake->secrets_lock);
	}
	log_warn("webhook refused", LOG_STR("forge", webhook_forge_name(forge)),
		LOG_STR("address", http_request_address(request)),
		LOG_INT("status", verdict->status),
		LOG_STR("reason", verdict->cause ? verdict->cause : verdict->error),
		LOG_STR("delivery", verdict->delivery));
}

static void log_redelivery(enum webhook_forge forge, const struct webhook_verdict *verdict,
	const struct remembered *before)
{
	char at[CLOCK_TEXT_SIZE];
	log_info("webhook redelivered", LOG_STR("forge", webhook_forge_name(forge)),
		LOG_STR("delivery", verdict->delivery),
		LOG_STR("first", clock_format(before->at_s, at)),
		LOG_INT("answered", before->status));
}

static void answer_authentic(struct intake *intake, const struct http_request *request,
	const struct webhook_verdict *verdict, struct http_response *response)
{
	enum webhook_forge forge = (enum webhook_forge)http_request_tag(request);
	struct door *door = &intake->doors[forge];
	struct remembered before = {0};
	if (remember(door, verdict, &before)) {
		atomic_fetch_add(&door->redelivered, 1);
		log_redelivery(forge, verdict, &before);
	}
	if (verdict->dirty) {
		atomic_fetch_add(&door->accepted, 1);
		intake->dirty(intake->data, forge, verdict->delivery);
		http_respond(response, 202, "application/json", "{\"status\":\"queued\"}");
	} else {
		atomic_fetch_add(&door->ignored, 1);
		http_respond(response, 204, NULL, NULL);
		http_respond_header(response, "X-Aviary-Ignored", "%s", verdict->ignored);
		http_respond_header(response, "X-Aviary-Follows", "%s %s", intake->tracked.path,
			intake->branch);
	}
	log_info(verdict->dirty ? "webhook accepted" : "webhook ignored",
		LOG_STR("forge", webhook_forge_name(forge)),
		LOG_STR("address", http_request_address(request)),
		LOG_STR("reason", verdict->ignored ? verdict->ignored : "push"),
		LOG_STR("delivery", verdict->delivery));
	if (verdict->tracked_deleted)
		log_warn("tracked branch was deleted", LOG_STR("branch", intake->branch),
			LOG_STR("forge", webhook_forge_name(forge)));
}

static void take_delivery(
	void *data, const struct http_request *request, struct http_response *response)
{
	struct intake *intake = data;
	enum webhook_forge forge = (enum webhook_forge)http_request_tag(request);
	const struct door *door = &intake->doors[forge];
	struct webhook_input input = {.forge = forge, .tracked = &intake->tracked};
	struct webhook_verdict verdict;
	input.headers = http_request_headers(request, &input.header_count);
	input.body = http_request_body(request, &input.body_len);
	input.now_s = intake->fixed_now_s ? intake->fixed_now_s : clock_wall_s();
	pthread_rwlock_rdlock(&intake->secrets_lock);
	input.secrets = door->secrets;
	input.secret_count = door->secret_count;
	webhook_judge(&input, &verdict);
	pthread_rwlock_unlock(&intake->secrets_lock);
	if (verdict.status < 300)
		answer_authentic(intake, request, &verdict, response);
	else
		answer_refused(intake, request, &verdict, response);
}

/* ---- configuration ----------------------------------------------------------------------------
 */

static void clear_secrets(struct door *door)
{
	for (size_t i = 0; i < door->secret_count; i++) {
		char *bytes = (char *)door->secrets[i].bytes; /* our own copy */
		explicit_bzero(bytes, door->secrets[i].len);
		free(bytes);
	}
	free(door->secrets);
	free(door->secret_file);
	door->secrets = NULL;
	door->secret_count = 0;
	door->secret_file = NULL;
}

static const char *base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	return slash ? slash + 1 : path ? path : "the secret file";
}

static void set_secrets(struct door *door, const struct intake_forge *forge)
{
	clear_secrets(door);
	door->secrets = mem_zero(forge->secret_count, sizeof(*door->secrets));
	door->secret_count = forge->secret_count;
	door->secret_file = mem_dup_str(base_name(forge->secret_file));
	for (size_t i = 0; i < forge->secret_count; i++)
		door->secrets[i] = (struct webhook_secret){
			mem_dup(forge->secrets[i].bytes, forge->secrets[i].len),
			forge->secrets[i].len};
}

/* An empty list or secret must never come to mean "accept all". */
static bool check_forges(const struct intake_forge *forges, size_t count, struct error *err)
{
	bool named[WEBHOOK_FORGES] = {false};
	for (size_t i = 0; i < count; i++) {
		const char *name = webhook_forge_name(forges[i].forge);
		if (named[forges[i].forge])
			return error_set(err, ERR_INVALID,
				"forge '%s' stands in 'webhooks' twice; give it a list of secrets",
				name);
		named[forges[i].forge] = true;
		if (!forges[i].secret_count)
			return error_set(err, ERR_INVALID, "forge '%s' has no secret", name);
		for (size_t s = 0; s < forges[i].secret_count; s++)
			if (!webhook_secret_check(forges[i].forge, &forges[i].secrets[s], err))
				return false;
	}
	return true;
}

bool intake_reload(
	struct intake *intake, const struct intake_forge *forges, size_t count, struct error *err)
{
	if (!check_forges(forges, count, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!intake->doors[forges[i].forge].open)
			return error_set(err, ERR_REFUSED, "forge '%s' is new: restart the service",
				webhook_forge_name(forges[i].forge));
	pthread_rwlock_wrlock(&intake->secrets_lock);
	for (size_t i = 0; i < count; i++)
		set_secrets(&intake->doors[forges[i].forge], &forges[i]);
	pthread_rwlock_unlock(&intake->secrets_lock);
	return true;
}

static void open_door(struct intake *intake, const struct intake_forge *forge)
{
	struct door *door = &intake->doors[forge->forge];
	door->open = true;
	door->seen = mem_zero(REMEMBERED, sizeof(*door->seen));
	set_secrets(door, forge);
	char *path = mem_printf("/webhook/%s", webhook_forge_name(forge->forge));
	intake->route_paths[intake->route_count] = path;
	intake->routes[intake->route_count++] = (struct http_route){.method = "POST",
		.path = path,
		.handler = take_delivery,
		.flags = HTTP_GUARDED,
		.tag = forge->forge};
}

/* The one place that reads AVIARY_TEST_NOW. */
static bool read_test_clock(int64_t *now_out, struct error *err)
{
	const char *now = getenv("AVIARY_TEST_NOW"), *test = getenv("AVIARY_TEST");
	char *end = NULL;
	if (!now)
		return true;
	if (!test || strcmp(test, "1") != 0)
		return error_set(err, ERR_REFUSED,
			"AVIARY_TEST_NOW is for tests only and needs AVIARY_TEST=1");
	errno = 0;
	long long value = strtoll(now, &end, 10);
	if (errno || end == now || *end || value <= 0)
		return error_set(
			err, ERR_INVALID, "AVIARY_TEST_NOW '%s' is no number of seconds", now);
	*now_out = value;
	return true;
}

bool intake_new(const struct intake_options *options, struct intake **intake_out, struct error *err)
{
	int64_t fixed_now_s = 0;
	if (!check_forges(options->forges, options->forge_count, err) ||
		!read_test_clock(&fixed_now_s, err))
		return false;
	struct intake *intake = mem_zero(1, sizeof(*intake));
	intake->fixed_now_s = fixed_now_s;
	webhook_tracked_path(options->repository_url, &intake->path, &intake->tracked.local);
	intake->branch = mem_dup_str(options->branch);
	intake->status_branch = mem_dup_str(options->status_branch);
	intake->tracked.path = intake->path;
	intake->tracked.branch = intake->branch;
	intake->tracked.status_branch = intake->status_branch;
	intake->dirty = options->dirty;
	intake->data = options->data;
	pthread_rwlock_init(&intake->secrets_lock, NULL);
	for (int i = 0; i < WEBHOOK_FORGES; i++)
		pthread_mutex_init(&intake->doors[i].lock, NULL);
	for (size_t i = 0; i < options->forge_count; i++)
		open_door(intake, &options->forges[i]);
	*intake_out = intake;
	return true;
}

void intake_free(struct intake *intake)
{
	if (!intake)
		return;
	for (int i = 0; i < WEBHOOK_FORGES; i++) {
		clear_secrets(&intake->doors[i]);
		free(intake->doors[i].seen);
		free(intake->route_paths[i]);
		pthread_mutex_destroy(&intake->doors[i].lock);
	}
	pthread_rwlock_destroy(&intake->secrets_lock);
	free(intake->path);
	free(intake->branch);
	free(intake->status_branch);
	free(intake);
}

struct http_routes intake_routes(struct intake *intake)
{
	return (struct http_routes){intake->routes, intake->route_count, intake};
}

void intake_count(
	const struct intake *intake, enum webhook_forge forge, struct intake_counts *counts_out)
{
	const struct door *door = &intake->doors[forge];
	*counts_out = (struct intake_counts){.accepted = atomic_load(&door->accepted),
		.ignored = atomic_load(&door->ignored),
		.malformed = atomic_load(&door->malformed),
		.unauthentic = atomic_load(&door->unauthentic),
		.redelivered = atomic_load(&door->redelivered)};
}
