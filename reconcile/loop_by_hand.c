/* `rollback CLIENT`: a rollout of its own, on the commit of the release that the client goes back
 * to. The git thread looks what that needs; then the hold and the rollout begin in one push.
 */
#include "base/clock.h"
#include "base/log.h"
#include "reconcile/loop_state.h"

/* The newest release that was known good and is not what runs. */
static const struct release_ref *way_back(const struct client_record *client)
{
	const char *runs = client->current.release;
	if (client->known_good.release[0] && strcmp(client->known_good.release, runs) != 0)
		return &client->known_good;
	for (size_t i = 0; i < client->good_count; i++)
		if (strcmp(client->good[i].release, runs) != 0)
			return &client->good[i];
	return NULL;
}

/* @return false: refused */
static bool may_go_back(
	const struct loop *loop, struct asked *asked, const struct client_record *client)
{
	const char *name = client->client;
	if (loop->rollout)
		asked_say(asked, "rollout %s runs: ask again when it has ended",
			loop->rollout->record.id);
	else if (loop->status->asked.pause.paused)
		asked_say(asked, "the fleet is paused: 'aviary resume' first");
	else if (client->pause.paused)
		asked_say(asked, "%s is paused: 'aviary resume %s' first", name, name);
	else if (!way_back(client))
		asked_say(asked, "%s has no earlier release that was known good", name);
	else
		return true;
	asked_refuse(asked);
	return false;
}

void loop_decide_rollback(
	struct loop *loop, struct asked *asked, const struct client_record *client)
{
	struct look_request request = {.instance = loop->instance,
		.leads = loop->leads,
		.state_is_new = loop->state_is_new,
		.epoch = loop->epoch,
		.only = asked->request.target};
	if (!may_go_back(loop, asked, client))
		return;
	/* The look must see all that was said so far; it is decided again then. */
	if (loop->look_running || loop_has_facts(loop) || loop->stopping)
		return;
	memcpy(request.only_commit.hex, way_back(client)->commit, sizeof(request.only_commit.hex));
	(void)snprintf(loop->by_hand_client, sizeof(loop->by_hand_client), "%s", client->client);
	request.only = loop->by_hand_client;
	asked->looking = true;
	loop->by_hand = asked->request.id;
	loop->look_running = true;
	git_thread_look(loop->git, request);
}

static struct asked *take_asked(struct loop *loop)
{
	uint64_t id = loop->by_hand;
	loop->by_hand = 0;
	for (size_t i = 0; i < loop->asked_count; i++)
		if (loop->asked[i].request.id == id) {
			loop->asked[i].looking = false;
			return &loop->asked[i];
		}
	return NULL;
}

void loop_by_hand_failed(struct loop *loop, const struct error *err)
{
	struct asked *asked = loop->by_hand ? take_asked(loop) : NULL;
	char text[REQUEST_ANSWER_TEXT];
	if (!asked)
		return;
	asked_say(asked, "%s", error_line(err, text, sizeof(text)));
	asked_refuse(asked);
}

/* Says why not. */
static const struct plan_entry *entry_of(
	const struct look_result *result, const struct client_record *client, struct asked *asked)
{
	const struct plan_entry *entry =
		result->plan ? plan_find(result->plan, client->client) : NULL;
	const struct release_ref *back = way_back(client);
	if (result->refusals.count)
		asked_say(asked, "%s", result->refusals.items[0]);
	else if (!entry)
		asked_say(asked, "commit %.7s does not describe %s, or wants what it runs",
			back ? back->commit : "", client->client);
	else if (!strcmp(entry->to.release, result->wanted.release))
		asked_say(asked, "the newest commit wants that release already");
	else
		return entry;
	return NULL;
}

static void begin(struct loop *loop, struct asked *asked, const struct client_record *client,
	struct look_result *result)
{
	const struct request *request = &asked->request;
	struct plan *plan = STEAL(result->plan);
	struct release_ref wanted = result->wanted;
	memcpy(wanted.commit, result->head.hex, sizeof(wanted.commit));
	loop_record(loop, fact_hold_by_hand(client, &wanted, request, clock_wall_s()), false);
	struct rollout *rollout = rollout_from_plan(plan, loop->status, clock_wall_s());
	rollout->record.by_hand = true;
	strlist_addf(&rollout->record.reasons, "rollback of %s, asked by %s: %s", request->target,
		request->by, request->reason);
	memcpy(loop->signed_by, result->signed_by, sizeof(loop->signed_by));
	loop_begin(loop, rollout, plan, result->resume_author);
	asked_decided(loop, asked);
	asked_say(asked,
		"%s goes back to commit %.7s in rollout %s; what commit %.7s wants of it is held "
		"until 'aviary retry %s'",
		request->target, rollout->record.commit, rollout->record.id, result->head.hex,
		request->target);
}

void loop_on_by_hand(struct loop *loop, struct look_result *result, bool may)
{
	struct asked *asked = take_asked(loop);
	const struct client_record *client =
		asked ? status_client(loop->status, asked->request.target) : NULL;
	/* This look has seen the head, and planned nothing else of it. */
	loop->look_wanted = loop->look_forced = true;
	if (!may || !client || loop->rollout || loop_has_facts(loop))
		return; /* decided again */
	if (entry_of(result, client, asked))
		begin(loop, asked, client, result);
	else
		asked_refuse(asked);
}
