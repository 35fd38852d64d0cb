#include "server/cli/source.h"
#include "base/clock.h"
#include <cjson/cJSON.h>

void source_clear(struct source *source)
{
	branch_clear(&source->branch);
	arena_free(source->arena);
	*source = (struct source){0};
}

static bool open_mirror(const char *config_path, struct branch *branch, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	struct config *config;
	if (!online_config(config_path, NULL, arena, &config))
		return error_set(err, ERR_INVALID, "'%s' cannot be used", config_path);
	if (!branch_open_mirror(config->state_dir, config->status.branch, branch, err))
		return false;
	branch->config = config;
	branch->arena = STEAL(arena);
	return true;
}

static bool open_origin(const char *name, struct branch *branch_out, struct error *err)
{
	auto_branch struct branch branch = {0};
	auto_free char *ref = mem_printf("refs/remotes/origin/%s", name ? name : BRANCH_DEFAULT);
	if (!repo_discover(".", &branch.repo, err) || !branch_open_ref(&branch, ref, err))
		return false;
	*branch_out = branch;
	branch = (struct branch){0};
	return true;
}

bool source_open_branch(
	const struct online_options *options, struct branch *branch_out, struct error *err)
{
	bool good = options->config ? open_mirror(options->config, branch_out, err)
				    : open_origin(options->branch, branch_out, err);
	if (!good && err->code == ERR_NOT_FOUND)
		error_hint(err, "fetch the status branch, or name the service's -c FILE");
	return good;
}

/* Does a service listen there? Without one its mirror tells the same. */
static bool answers(const struct online_service *service)
{
	auto_buf struct buf body = BUF_INIT(1 << 16);
	struct error err;
	return online_request(service, "/healthz", NULL, &body, &err);
}

bool source_open(const struct online_options *options, struct source *source_out, struct error *err)
{
	auto_source struct source source = {.arena = arena_new(ARENA_PLAIN, 0)};
	if (options->url || options->config) {
		if (!online_find(options, source.arena, &source.service))
			return error_set(err, ERR_INVALID, "'%s' cannot be used", options->config);
		source.online = options->url || answers(&source.service);
	}
	if (!source.online && !source_open_branch(options, &source.branch, err))
		return false;
	*source_out = source;
	source = (struct source){0};
	return true;
}

void source_escape(struct buf *out, const char *text)
{
	for (; *text; text++) {
		bool plain = strchr("abcdefghijklmnopqrstuvwxyz0123456789-_", *text) != NULL;
		buf_addf(out, plain ? "%c" : "%%%02X", (unsigned char)*text);
	}
}

bool source_read(struct source *source, const char *file, const char *path, struct buf *text,
	struct error *err)
{
	if (!source->online)
		return branch_read(&source->branch, file, text, err);
	auto_free char *whole = mem_printf("/api/v1/%s", path);
	return online_request(&source->service, whole, NULL, text, err);
}

/* ---- commits that a service tells ---------------------------------------------------------------
 */

static void read_commit(const cJSON *object, struct commit_info *info)
{
	const cJSON *trailer, *list = cJSON_GetObjectItemCaseSensitive(object, "trailers");
	*info = (struct commit_info){.subject = mem_dup_str(online_text(object, "subject"))};
	(void)snprintf(
		info->id.hex, sizeof(info->id.hex), "%s", online_text(object, "commit")); /* fits */
	if (!clock_parse(online_text(object, "time"), &info->wall_s))
		info->wall_s = 0; /* shown as it is: nothing depends on it */
	cJSON_ArrayForEach(trailer, list)
	{
		strlist_add(&info->trailer_keys, online_text(trailer, "key"));
		strlist_add(&info->trailer_values, online_text(trailer, "value"));
	}
}

bool source_walk(struct source *source, const char *path,
	bool (*visit)(void *data, const struct commit_info *info), void *data, struct error *err)
{
	if (!source->online)
		return commit_walk(source->branch.repo, &source->branch.tip, visit, data, err);
	auto_free char *whole = mem_printf("/api/v1/%s", path);
	cJSON *answer;
	if (!online_get(&source->service, whole, &answer, err))
		return false;
	bool more = true;
	const cJSON *commit;
	cJSON_ArrayForEach(commit, cJSON_GetObjectItemCaseSensitive(answer, "commits"))
	{
		auto_commit_info struct commit_info info = {0};
		read_commit(commit, &info);
		if (!(more = visit(data, &info)))
			break;
	}
	cJSON_Delete(answer);
	return true;
}
