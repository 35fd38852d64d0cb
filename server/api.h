/* server/api.h - the JSON API: reads snapshots, posts events; never reaches into a rollout
 *
 * Over the unix socket whoever may open it (mode 0600) may everything; over TCP reading is free
 * when no tokens are configured for reading, and every POST needs a token with `write`, or
 * `approve`: 401 without one, 403 if it lacks the right.
 * A POST is checked against the newest snapshot (404, 400), handed to the loop, and answered 202
 * with the number of the request; GET requests/{number} tells what became of it.
 * Shapes: design.md section 8.
 */
#pragma once
#include "reconcile/snapshot.h"
#include "server/http.h"

enum api_may { API_READ = 1, API_WRITE = 2, API_APPROVE = 4 };

struct api_options {
	struct board *board;           /* borrowed */
	const char *state_dir;         /* whose mirror has the history; borrowed; NULL: none */
	const char *status_branch;     /* borrowed */
	void (*reconcile)(void *data); /* look again now; any thread */
	/* Hand a request to the loop and give it its number; false: nobody takes it now. Any
	 * thread. */
	bool (*ask)(void *data, struct request *request, struct error *err);
	void *data;
};

struct api;
/** The API over the snapshots that the options give; owned by the caller. */
struct api *api_new(const struct api_options *options);
void api_free(struct api *api);
DEFINE_CLEANUP(struct api, api_free)
#define auto_api CLEANUP(api_free_at)

/** Tokens of the configuration; copied, wiped on free. Also on SIGHUP. Any thread. */
void api_set_tokens(struct api *api, const struct http_token *tokens, size_t count);

/** /healthz, /readyz, /api/v1/...; borrowed from the api. */
struct http_routes api_routes(struct api *api);
