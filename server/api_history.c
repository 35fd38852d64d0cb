/* The history by GET: commits of the status branch about one client or one rollout, and the events
 * of a rollout. Read from the mirror with a handle of the request's own.
 */
#include "base/emit.h"
#include "server/api_parts.h"
#include "server/branch.h"

#define ANSWER_MAX   ((size_t)64 << 20)
#define EVENTS_LIMIT ((size_t)16 << 20) /* the file ends at 8 MiB by itself */
#define NEWEST       20                 /* commits of a client; `all=1` for the rest */
/* Commits that one request looks at: about a second. Beyond, the answer says `cut`. */
#define WALK_MAX 100000

struct walk {
	const char *key, *name; /* of the trailer that is looked for */
	size_t most;            /* commits wanted; 0: all */
	bool until_started;     /* of a rollout: its start is the last */
	size_t seen, found;
	bool cut;
	struct emitter emitter;
	struct buf *out;
};

static bool visit(void *data, const struct commit_info *info)
{
	struct walk *walk = data;
	const char *name = commit_trailer(info, walk->key);
	if (walk->seen++ == WALK_MAX)
		walk->cut = true;
	if (walk->cut || buf_overflowed(walk->out))
		return false;
	if (!name || strcmp(name, walk->name) != 0)
		return true;
	branch_emit_commit(&walk->emitter, info);
	walk->found++;
	const char *result = commit_trailer(info, "Result");
	bool started = walk->until_started && result && !strcmp(result, "started") &&
		       !commit_trailer(info, "Client");
	return !started && (!walk->most || walk->found < walk->most);
}

/* @return false, and it is answered */
static bool open_branch(struct api *api, const struct http_request *request,
	struct http_response *response, struct branch *branch)
{
	const struct api_options *options = api_options_of(api);
	char by[REQUEST_BY_TEXT];
	struct error err;
	if (!api_check(api, request, response, API_READ, by))
		return false;
	if (options->state_dir &&
		branch_open_mirror(options->state_dir, options->status_branch, branch, &err))
		return true;
	http_respond_error(response, 503, "the status branch was not fetched yet");
	return false;
}

static void respond_commits(
	const struct branch *branch, struct walk *walk, struct http_response *response)
{
	auto_buf struct buf body = BUF_INIT(ANSWER_MAX);
	char line[1400];
	struct error err;
	walk->out = &body;
	emit_begin(&walk->emitter, EMIT_JSON, &body);
	emit_list(&walk->emitter, "commits");
	bool good = commit_walk(branch->repo, &branch->tip, visit, walk, &err);
	emit_close(&walk->emitter);
	if (walk->cut)
		emit_bool(&walk->emitter, "cut", true);
	emit_end(&walk->emitter);
	if (!good)
		http_respond_error(response, 500, "%s", error_line(&err, line, sizeof(line)));
	else if (buf_overflowed(&body))
		http_respond_error(response, 500, "the answer is over %zu MiB: read the branch",
			ANSWER_MAX >> 20);
	else
		http_respond_buf(response, 200, "application/json", &body);
}

void api_on_client_history(
	void *data, const struct http_request *request, struct http_response *response)
{
	struct api *api = data;
	auto_branch struct branch branch = {0};
	char all[8];
	bool every = http_request_query(request, "all", all, sizeof(all));
	struct walk walk = {.key = "Client",
		.name = http_request_param(request, "name"),
		.most = every ? 0 : NEWEST};
	if (open_branch(api, request, response, &branch))
		respond_commits(&branch, &walk, response);
}

void api_on_rollout_history(
	void *data, const struct http_request *request, struct http_response *response)
{
	struct api *api = data;
	auto_branch struct branch branch = {0};
	struct walk walk = {.key = "Rollout",
		.name = http_request_param(request, "name"),
		.until_started = true};
	if (open_branch(api, request, response, &branch))
		respond_commits(&branch, &walk, response);
}

void api_on_rollout_events(
	void *data, const struct http_request *request, struct http_response *response)
{
	struct api *api = data;
	auto_branch struct branch branch = {0};
	auto_buf struct buf body = BUF_INIT(EVENTS_LIMIT);
	const char *id = http_request_param(request, "name");
	auto_free char *path = mem_printf("events/%s.jsonl", id);
	struct error err;
	if (!open_branch(api, request, response, &branch))
		return;
	if (!strchr(id, '/') && branch_read(&branch, path, &body, &err))
		http_respond_buf(response, 200, "application/x-ndjson", &body);
	else
		http_respond_error(response, 404, "the branch has no events of rollout '%s'", id);
}
