/* server/cli/online.h - what the commands share that use a configuration or a running service */
#pragma once
#include "server/config.h"

/** Load aviary.yaml for a command; prints every mistake. @return false: exit status 1 */
MUST_USE bool online_config(const char *path, const struct config_flags *flags, struct arena *arena,
	struct config **config_out);
/** The file that is used without -c. */
#define ONLINE_CONFIG "/etc/aviary/aviary.yaml"

/** Where a service listens for us. */
struct online_service {
	const char *socket;     /* path; NULL with url */
	const char *url;        /* "http://127.0.0.1:8750" */
	const char *token_file; /* for url; may be NULL */
};

/**
 * One request to the service.
 * @param body_out  the answer's body
 * @return false: ERR_UNREACHABLE (exit status 3), or what the service answered
 */
MUST_USE bool online_request(const struct online_service *service, const char *method,
	const char *path, struct buf *body_out, struct error *err);

/** "aviary: <error>" on stderr. @return the exit status of the error */
int online_fail(const struct error *err);

struct cJSON;
/** Text of an object's member; "" if it is absent or no text. Borrowed from the object. */
const char *online_text(const struct cJSON *object, const char *key);
