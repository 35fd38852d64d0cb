/* server/cli/online.h - what the commands share that use a configuration or a running service */
#pragma once
#include "server/config.h"

struct cJSON;

/** Load aviary.yaml for a command; prints every mistake. @return false: exit status 1 */
MUST_USE bool online_config(const char *path, const struct config_flags *flags, struct arena *arena,
	struct config **config_out);
/** The file that is used without -c. */
#define ONLINE_CONFIG "/etc/aviary/aviary.yaml"

/** What a command takes beside -c, --json and --help. */
enum online_takes {
	ONLINE_URL = 1,       /* --url, --token-file */
	ONLINE_REASON = 2,    /* --reason TEXT */
	ONLINE_WATCH = 4,     /* --watch */
	ONLINE_ARGUMENT = 8,  /* one argument, */
	ONLINE_MUST = 16,     /* which must be there */
	ONLINE_WHY = 32,      /* the reason must be there */
	ONLINE_ACCEPT = 64,   /* --accept-history */
	ONLINE_BRANCH = 128,  /* --branch instead of -c; without both origin is read */
	ONLINE_ALL = 256,     /* --all */
	ONLINE_VERIFY = 512,  /* --verify instead of the argument; --signers with it */
	ONLINE_FOLLOW = 1024, /* --follow */
	ONLINE_NOW = 4096,    /* --now */
	ONLINE_SECOND = 2048  /* a second argument, which must be there */
};

struct online_options {
	const char *config; /* ONLINE_CONFIG (with ONLINE_BRANCH NULL) unless -c names another */
	const char *url, *token_file;
	const char *reason;           /* NULL: none */
	const char *argument;         /* NULL: none */
	const char *second;           /* NULL: none */
	const char *branch, *signers; /* NULL: none */
	bool json, help, watch, accept_history, all, now, verify, follow;
};

/**
 * Read the command line of a command that may talk to a service; prints @p usage where it should.
 *
 * @param takes  enum online_takes
 * @return -1: go on; else the exit status: 0 after --help, 2 for a mistake
 */
MUST_USE int online_options(int argc, char **argv, unsigned takes, const char *usage,
	struct online_options *options_out);

/** Where a service listens for us. */
struct online_service {
	const char *socket;     /* path; NULL with url */
	const char *url;        /* "http://127.0.0.1:8750" */
	const char *token_file; /* for url; may be NULL */
};

/** The service that the options name. @return false: exit status 1, told already */
MUST_USE bool online_find(const struct online_options *options, struct arena *arena,
	struct online_service *service_out);

/** The most that the service answers: 10,000 clients, or 80 rollouts of all of them. */
#define ONLINE_ANSWER_MAX ((size_t)256 << 20)

/**
 * One request to the service: a GET, or a POST of JSON.
 * @param json      body of a POST; NULL: GET
 * @param body_out  the answer's body
 * @return false: ERR_UNREACHABLE (exit status 3), or what the service answered
 */
MUST_USE bool online_request(const struct online_service *service, const char *path,
	const char *json, struct buf *body_out, struct error *err);

/** GET and parse an object. The caller deletes it with cJSON_Delete(). */
MUST_USE bool online_get(const struct online_service *service, const char *path,
	struct cJSON **object_out, struct error *err);

/** Milliseconds between two questions to a service that is followed. */
#define ONLINE_POLL_MS 300
/** Wait for the next one. */
void online_pause(void);

/** "aviary: <error>" on stderr. @return the exit status of the error */
int online_fail(const struct error *err);

/** Text of an object's member; "" if it is absent or no text. Borrowed from the object. */
const char *online_text(const struct cJSON *object, const char *key);
/** Likewise a number; 0 without it. */
double online_number(const struct cJSON *object, const char *key);
