/* What people ask for: decided by the loop as soon as it leads and has looked, done once the remote
 * has accepted the record. What was not accepted when others changed our records is decided again.
 */
#include "base/clock.h"
#include "base/log.h"
#include "reconcile/loop_state.h"

void loop_init_requests(struct loop *loop)
{
	loop->request_taken = (uint64_t)clock_wall_s() * 1000;
	loop->request_next = loop->request_taken;
}

bool loop_ask(struct loop *loop, struct request *request, struct error *err)
{
	struct message *message;
	size_t waiting = __atomic_fetch_add(&loop->requests_waiting, 1, __ATOMIC_ACQ_REL);
	if (waiting >= REQUESTS_MAX) {
		__atomic_sub_fetch(&loop->requests_waiting, 1, __ATOMIC_ACQ_REL);
		return error_set(err, ERR_STOPPED,
			"%d requests wait already: see what is in trouble with 'aviary status'",
			REQUESTS_MAX);
	}
	request->id = __atomic_add_fetch(&loop->request_next, 1, __ATOMIC_ACQ_REL);
	message = message_new(MESSAGE_REQUEST);
	message->data = mem_dup(request, sizeof(*request));
	message->free_data = free;
	inbox_post(loop->inbox, message);
	return true;
}

void loop_on_request(struct loop *loop, const struct message *message)
{
	const struct request *request = message->data;
	mem_grow(loop->asked, loop->asked_count, loop->asked_capacity);
	loop->asked[loop->asked_count++] = (struct asked){.request = *request};
	if (request->id > loop->request_taken)
		loop->request_taken = request->id;
	loop->changed = true;
}

/* ---- answers ------------------------------------------------------------------------------------
 */

void asked_say(struct asked *asked, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(asked->text, sizeof(asked->text), format, args); /* long text is cut */
	va_end(args);
}

void asked_decided(struct loop *loop, struct asked *asked)
{
	asked->decided = true;
	asked->facts = loop->queued_ever;
}

void asked_refuse(struct asked *asked)
{
	asked->decided = true;
	asked->refused = true;
	asked->facts = 0;
}

static void answer(struct loop *loop, const struct asked *asked)
{
	struct request_answer *place = &loop->answers[loop->answer_next];
	place->id = asked->request.id;
	place->state = asked->refused ? REQUEST_REFUSED : REQUEST_DONE;
	memcpy(place->text, asked->text, sizeof(place->text));
	loop->answer_next = (loop->answer_next + 1) % REQUEST_ANSWERS;
	if (loop->answer_count < REQUEST_ANSWERS)
		loop->answer_count++;
	__atomic_sub_fetch(&loop->requests_waiting, 1, __ATOMIC_ACQ_REL);
	loop->changed = true;
	log_info("request answered", LOG_STR("by", asked->request.by),
		LOG_STR("answer", asked->text));
}

void loop_show_requests(const struct loop *loop, struct snapshot *snapshot)
{
	size_t count = loop->answer_count;
	snapshot->newest_request = loop->request_taken;
	snapshot->answers = mem_zero(count + loop->asked_count, sizeof(*snapshot->answers));
	memcpy(snapshot->answers, loop->answers, count * sizeof(*snapshot->answers));
	for (size_t i = 0; i < loop->asked_count; i++) {
		const struct asked *asked = &loop->asked[i];
		struct request_answer *place = &snapshot->answers[count + i];
		place->id = asked->request.id;
		place->state = REQUEST_QUEUED;
		/* Decided, and not accepted yet: why not, if somebody knows. */
		const char *text = loop->problem[0] ? loop->problem
				   : asked->decided ? "is being recorded"
						    : asked->text;
		(void)snprintf(place->text, sizeof(place->text), "%.800s", text);
	}
	snapshot->answer_count = count + loop->asked_count;
}

/* ---- pause, resume ------------------------------------------------------------------------------
 */

void loop_apply_pauses(struct loop *loop)
{
	const struct rollout *rollout = loop->rollout;
	bool all = loop->status->asked.pause.paused;
	if (!rollout)
		return;
	if (rollout->paused != all)
		loop_feed(loop, (struct rollout_event){.kind = all ? EVENT_PAUSE : EVENT_RESUME,
					.client = ROLLOUT_ALL});
	for (size_t i = 0; i < rollout->client_count; i++) {
		const struct client_record *record =
			status_client(loop->status, rollout->clients[i].record->client);
		bool paused = record && record->pause.paused;
		if (rollout->clients[i].paused != paused)
			loop_feed(loop,
				(struct rollout_event){
					.kind = paused ? EVENT_PAUSE : EVENT_RESUME, .client = i});
	}
}

static void decide_pause(struct loop *loop, struct asked *asked, const struct client_record *client)
{
	const struct request *request = &asked->request;
	const struct pause *pause = client ? &client->pause : &loop->status->asked.pause;
	const char *target = request->target, *who = *target ? target : "the fleet";
	char since[CLOCK_TEXT_SIZE];
	asked_decided(loop, asked);
	if (pause->paused) {
		asked_say(asked, "%s is paused already, since %s by %s: %s", who,
			clock_format(pause->since_s, since), pause->by ? pause->by : "somebody",
			pause->reason ? pause->reason : "");
		return;
	}
	loop_record(loop, fact_pause(loop->status, client, request, clock_wall_s()), false);
	loop_apply_pauses(loop);
	asked_decided(loop, asked);
	asked_say(asked, "%s is paused: nothing new starts%s until 'aviary resume%s%s'", who,
		*target ? " there" : "", *target ? " " : "", target);
}

static void decide_resume(
	struct loop *loop, struct asked *asked, const struct client_record *client)
{
	const struct request *request = &asked->request;
	const struct pause *pause = client ? &client->pause : &loop->status->asked.pause;
	const char *who = request->target[0] ? request->target : "the fleet";
	asked_decided(loop, asked);
	if (!pause->paused) {
		asked_say(asked, "%s is not paused: nothing to do", who);
		return;
	}
	loop_record(loop, fact_resume(loop->status, client, request, clock_wall_s()), false);
	loop_apply_pauses(loop);
	asked_decided(loop, asked);
	loop->look_after_push = true;
	asked_say(asked, "%s is not paused any more: the newest commit is looked at again", who);
}

/* ---- approve, abort -----------------------------------------------------------------------------
 */

static bool is_running(const struct loop *loop, const char *id)
{
	return loop->rollout && !strcmp(loop->rollout->record.id, id);
}

static void refuse_over(const struct loop *loop, struct asked *asked)
{
	const char *id = asked->request.target;
	const struct rollout_record *record = status_rollout(loop->status, id);
	asked_refuse(asked);
	if (record)
		asked_say(asked, "rollout %s is over: it ended %s", id,
			rollout_state_name(record->state));
	else
		asked_say(asked, "no rollout '%s' is recorded", id);
}

static void decide_approve(struct loop *loop, struct asked *asked)
{
	const struct request *request = &asked->request;
	if (!is_running(loop, request->target)) {
		refuse_over(loop, asked);
		return;
	}
	const struct rollout_record *record = &loop->rollout->record;
	enum rollout_wait waits = loop->rollout->waits;
	bool stage = waits == WAIT_WINDOW || waits == WAIT_APPROVAL;
	bool asks = request->now ? stage : rollout_wait_is_for_person(waits);
	auto_free char *what = mem_dup_str(record->waits_for ? record->waits_for : "nothing");
	if (!asks || loop->rollout->superseded || loop->rollout->aborted) {
		asked_refuse(asked);
		asked_say(asked, "rollout %s %s: it is %s, and waits for %s%s", request->target,
			request->now ? "waits for no stage" : "asks nobody",
			rollout_state_name(record->state), what,
			waits == WAIT_WINDOW ? "; --now does not wait for it" : "");
		return;
	}
	loop_feed(loop, (struct rollout_event){.kind = EVENT_APPROVE,
				.who = request->by,
				.text = request->reason,
				.now = request->now});
	asked_decided(loop, asked);
	asked_say(asked, "rollout %s goes on: %s", request->target, what);
}

/* Done when the rollout is over: what runs of it ends first. */
static void decide_abort(struct loop *loop, struct asked *asked)
{
	const struct request *request = &asked->request;
	if (!is_running(loop, request->target)) {
		if (!asked->told)
			refuse_over(loop, asked);
		else
			asked_decided(loop, asked);
		return;
	}
	if (!loop->rollout->aborted)
		loop_feed(loop,
			(struct rollout_event){
				.kind = EVENT_ABORT, .who = request->by, .text = request->reason});
	asked->told = true;
	const struct rollout_record *record = &loop->rollout->record;
	asked_say(asked, "rollout %s %s; commit %.7s is held until 'aviary retry'", record->id,
		loop->rollout->ended ? rollout_state_name(record->state)
				     : "ends: what runs of it comes first",
		record->commit);
	if (loop->rollout->ended)
		asked_decided(loop, asked);
}

/* ---- lead ---------------------------------------------------------------------------------------
 */

/* The next look takes a new epoch; done when the remote has accepted that. */
static void decide_lead(struct loop *loop, struct asked *asked)
{
	if (loop->leads) {
		asked_decided(loop, asked);
		asked_say(asked, "this service, '%s', leads%s, in epoch %lld", loop->instance,
			asked->told ? " now" : " already", (long long)loop->epoch);
		return;
	}
	if (asked->told && loop->take_over)
		return;
	asked->told = true;
	loop->take_over = true;
	loop->take_over_by = asked->request;
	loop->look_wanted = loop->look_forced = loop->look_resumes = true;
}

/* ---- deciding -----------------------------------------------------------------------------------
 */

/* @return false: not now, or it is refused for good */
static bool may_decide(const struct loop *loop, struct asked *asked)
{
	bool lead = asked->request.kind == REQUEST_LEAD;
	if (loop->halted[0]) {
		asked_say(asked, "%.800s", loop->halted);
		asked_refuse(asked);
	} else if (loop->stands_by && !lead) {
		asked_say(asked, "%.800s", loop->not_ready);
		asked_refuse(asked);
	}
	return !asked->decided && !asked->looking && loop->looked && (loop->leads || lead) &&
	       !loop->decide_again && !loop->status_stale && !loop->resume_waits;
}

static void decide(struct loop *loop, struct asked *asked)
{
	const struct request *request = &asked->request;
	const struct client_record *client = NULL;
	if (request->target[0] && !request_is_about_rollout(request)) {
		client = status_client(loop->status, request->target);
		if (!client) {
			asked_say(asked, "no client '%s' is recorded", request->target);
			asked_refuse(asked);
			return;
		}
	}
	switch (request->kind) {
	case REQUEST_PAUSE:
		decide_pause(loop, asked, client);
		break;
	case REQUEST_RESUME:
		decide_resume(loop, asked, client);
		break;
	case REQUEST_RETRY:
		loop_decide_retry(loop, asked, client);
		break;
	case REQUEST_ROLLBACK:
		loop_decide_rollback(loop, asked, client);
		break;
	case REQUEST_LEAD:
		decide_lead(loop, asked);
		break;
	case REQUEST_APPROVE:
		decide_approve(loop, asked);
		break;
	case REQUEST_ABORT:
		decide_abort(loop, asked);
		break;
	case REQUEST_RECONCILE:
	case REQUEST_KINDS:
		abort(); /* is never sent to the loop */
	}
}

void loop_settle_requests(struct loop *loop)
{
	size_t kept = 0;
	for (size_t i = 0; i < loop->asked_count; i++) {
		struct asked *asked = &loop->asked[i];
		if (!asked->decided && may_decide(loop, asked))
			decide(loop, asked);
		if (asked->decided && loop->accepted_ever >= asked->facts)
			answer(loop, asked);
		else
			loop->asked[kept++] = *asked;
	}
	loop->asked_count = kept;
}

void loop_reopen_requests(struct loop *loop)
{
	for (size_t i = 0; i < loop->asked_count; i++)
		loop->asked[i].decided = false;
}
