/* server/api_parts.h - what the files of server/api* share */
#pragma once
#include "server/api.h"

/**
 * Who asks, and may they? Answers 401 or 403 if not.
 *
 * @param rights  one of these is enough: bits of enum api_may
 * @param by      name of the token or of the socket's user; "" for an open read
 */
MUST_USE bool api_check(struct api *api, const struct http_request *request,
	struct http_response *response, unsigned rights, char by[REQUEST_BY_TEXT]);

/** Likewise by the token as the password of basic authentication, which is all that OpenTofu can.
 */
MUST_USE bool api_check_password(struct api *api, const struct http_request *request,
	struct http_response *response, unsigned rights, char by[REQUEST_BY_TEXT]);

/** What the API was made with. */
const struct api_options *api_options_of(const struct api *api);

/* ---- api_find.c ---- */
/** The record of that name; NULL with 404, and the nearest name if one is near. */
MUST_USE const struct client_record *api_find_client(
	const struct snapshot *snapshot, const char *name, struct http_response *response);
MUST_USE const struct rollout_record *api_find_rollout(
	const struct snapshot *snapshot, const char *id, struct http_response *response);

/* ---- api_log.c ---- */
/** GET rollouts/{name}/log/{client}: {rollout, client, state, running, from, end, text}; `from=`
 *  the `end` of an earlier answer gives only what came since. */
void api_on_log(void *data, const struct http_request *request, struct http_response *response);

/* ---- api_ask.c ---- */
/** The POST calls; their tag is the enum request_kind. */
void api_on_ask(void *data, const struct http_request *request, struct http_response *response);
/** GET requests/{id}: what became of it. */
void api_on_request(void *data, const struct http_request *request, struct http_response *response);

/* ---- api_history.c ---- */
/** GET clients/{name}/history: its newest commits of the status branch; `all=1`: all. */
void api_on_client_history(
	void *data, const struct http_request *request, struct http_response *response);
/** GET rollouts/{name}/history: all of its commits. */
void api_on_rollout_history(
	void *data, const struct http_request *request, struct http_response *response);
/** GET rollouts/{name}/events: events/<id>.jsonl as it stands. */
void api_on_rollout_events(
	void *data, const struct http_request *request, struct http_response *response);
