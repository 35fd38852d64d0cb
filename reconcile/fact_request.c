/* Facts of what people asked for: who, and why, stand in the trailers Author and Reason. */
#include "reconcile/fact_parts.h"

#define ASKED_LIMIT    ((size_t)1 << 20)
#define SUBJECT_REASON 60

/* So much of a reason as a subject holds, on a UTF-8 boundary. */
static int subject_len(const char *reason)
{
	size_t len = strlen(reason);
	if (len <= SUBJECT_REASON)
		return (int)len;
	for (len = SUBJECT_REASON; len && ((unsigned char)reason[len] & 0xC0) == 0x80;)
		len--;
	return (int)len;
}

/* verb(name): reason, and who asked. */
static struct fact *fact_said(const char *verb, const char *name, const struct request *request)
{
	struct fact *fact = mem_zero(1, sizeof(*fact));
	const char *reason = request->reason;
	fact->subject = mem_printf(
		"%s(%s)%s%.*s", verb, name, *reason ? ": " : "", subject_len(reason), reason);
	return fact;
}

static void add_who(struct fact *fact, const struct request *request)
{
	fact_add_trailer(fact, "Author", request->by);
	fact_add_trailer(fact, "Reason", request->reason);
}

/* A fact about one client, or about the fleet, whose records are then changed. */
static struct fact *fact_asked(const struct status *status, const struct client_record *client,
	const struct request *request, const char *verb)
{
	struct fact *fact = fact_said(verb, client ? client->client : "fleet", request);
	if (client) {
		fact_add_trailer(fact, "Client", client->client);
		fact_add_trailer(fact, "Stage", client->stage);
		fact->client = mem_zero(1, sizeof(*fact->client));
		client_record_copy(fact->client, client);
	} else {
		fact->asked = mem_zero(1, sizeof(*fact->asked));
		asked_record_copy(fact->asked, &status->asked);
	}
	add_who(fact, request);
	return fact;
}

/* The records are as they shall be. */
static struct fact *finish(struct fact *fact, int64_t wall_s)
{
	if (fact->client) {
		fact->client->updated_s = wall_s;
		fact_add_client_file(fact);
		return fact;
	}
	auto_buf struct buf text = BUF_INIT(ASKED_LIMIT);
	asked_record_to_yaml(fact->asked, &text);
	size_t len = text.len;
	fact_add_file(fact, mem_dup_str("requests.yaml"), buf_steal(&text), len);
	return fact;
}

struct fact *fact_pause(const struct status *status, const struct client_record *client,
	const struct request *request, int64_t wall_s)
{
	struct fact *fact = fact_asked(status, client, request, "pause");
	struct pause *pause = client ? &fact->client->pause : &fact->asked->pause;
	pause_clear(pause);
	*pause = (struct pause){.paused = true,
		.reason = mem_dup_str(request->reason),
		.by = mem_dup_str(request->by),
		.since_s = wall_s};
	return finish(fact, wall_s);
}

struct fact *fact_resume(const struct status *status, const struct client_record *client,
	const struct request *request, int64_t wall_s)
{
	struct fact *fact = fact_asked(status, client, request, "resume");
	pause_clear(client ? &fact->client->pause : &fact->asked->pause);
	return finish(fact, wall_s);
}

struct fact *fact_retry(const struct status *status, const struct client_record *client,
	const struct request *request, int64_t wall_s)
{
	const struct rollout_record *newest = status->rollout_count ? status->rollouts[0] : NULL;
	const char *name = client ? client->client : newest ? newest->id : "fleet";
	struct fact *fact = fact_said("retry", name, request);
	struct retry retry = {.client = client ? client->client : NULL,
		.reason = (char *)(uintptr_t)request->reason, /* copied below */
		.by = (char *)(uintptr_t)request->by,
		.at_s = wall_s};
	(void)snprintf(retry.until, sizeof(retry.until), "%s", newest ? newest->id : "");
	if (client) {
		fact_add_trailer(fact, "Client", client->client);
		fact_add_trailer(fact, "Stage", client->stage);
	}
	fact_add_trailer(fact, "Rollout", newest ? newest->id : NULL);
	add_who(fact, request);
	fact->asked = mem_zero(1, sizeof(*fact->asked));
	asked_record_copy(fact->asked, &status->asked);
	asked_record_add_retry(fact->asked, &retry);
	return finish(fact, wall_s);
}
