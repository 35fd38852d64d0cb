/* Records by the names that people give, and what to say of those that there are none of. */
#include "server/api_parts.h"

static void respond_unknown(struct http_response *response, const char *what, const char *name,
	const char *const *names, size_t count)
{
	const char *near = nearest_name(name, names, count);
	http_respond_error(response, 404, "no %s '%s' is recorded%s%s%s", what, name,
		near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

const struct client_record *api_find_client(
	const struct snapshot *snapshot, const char *name, struct http_response *response)
{
	const struct status *status = snapshot->status;
	const struct client_record *record = status_client(status, name);
	if (record)
		return record;
	auto_free const char **names = mem_zero(status->client_count + 1, sizeof(*names));
	for (size_t i = 0; i < status->client_count; i++)
		names[i] = status->clients[i]->client;
	respond_unknown(response, "client", name, names, status->client_count);
	return NULL;
}

const struct rollout_record *api_find_rollout(
	const struct snapshot *snapshot, const char *id, struct http_response *response)
{
	const struct status *status = snapshot->status;
	const struct rollout_record *record = status_rollout(status, id);
	if (record)
		return record;
	auto_free const char **ids = mem_zero(status->rollout_count + 1, sizeof(*ids));
	for (size_t i = 0; i < status->rollout_count; i++)
		ids[i] = status->rollouts[i]->id;
	respond_unknown(response, "rollout", id, ids, status->rollout_count);
	return NULL;
}
