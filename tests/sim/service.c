/* The service: what reconcile/loop*.c and reconcile/look.c do around the machine, without I/O. */
#include "tests/sim/sim.h"

#define RETRY_MS 1000

/* ---- facts ------------------------------------------------------------------------------------
 */

static void facts_clear(struct facts *facts)
{
	for (size_t i = 0; i < facts->count; i++)
		fact_free(facts->items[i]);
	facts->count = facts->of_rollout = 0;
}

void service_record(struct world *world, struct fact *fact, bool of_rollout)
{
	struct service *service = &world->service;
	struct facts *queue = &service->queue;
	if (fact->client)
		status_put_client(service->known, fact->client);
	if (fact->rollout)
		status_put_rollout(service->known, fact->rollout);
	if (fact->asked)
		status_put_asked(service->known, fact->asked);
	mem_grow(queue->items, queue->count, queue->capacity);
	queue->items[queue->count++] = fact;
	queue->of_rollout += of_rollout;
	world->told_at = world->events;
	tell(world, "    -> record \"%s\"", fact->subject);
}

static void drop_rollout(struct service *service)
{
	rollout_free(service->rollout);
	plan_free(service->plan);
	service->rollout = NULL;
	service->plan = NULL;
	service->commit = NULL;
	service->serial++; /* answers that are still under way are out of date now */
}

/* ---- the machine ------------------------------------------------------------------------------
 */

static void carry_out(struct world *world, const struct rollout_action *action)
{
	struct service *service = &world->service;
	const struct fact_context context = {.rollout = service->rollout,
		.plan = service->plan,
		.status = service->known,
		.author = "Eva",
		.wall_s = world->wall_s + world->now_ms / 1000};
	tell_action(world, action);
	switch (action->kind) {
	case ACTION_RECORD:
		service_record(world, fact_from_action(&context, action), true);
		break;
	case ACTION_DEPLOY:
	case ACTION_BACK:
		promises_on_activate(world, action->client, action->kind);
		service->steps_running++;
		hosts_activate(world, action);
		break;
	case ACTION_ASK:
		service->steps_running++;
		hosts_ask(world, action);
		break;
	case ACTION_ROUND:
		hosts_ask(world, action);
		break;
	}
}

void service_feed(struct world *world, struct rollout_event event)
{
	struct service *service = &world->service;
	struct rollout_actions actions = {0};
	event.now_ms = world->now_ms;
	event.wall_s = world->wall_s + world->now_ms / 1000;
	world->events++;
	tell_event(world, &event);
	promises_before(world, &event);
	rollout_step(service->rollout, &event, &actions);
	for (size_t i = 0; i < actions.count && service->up; i++) {
		carry_out(world, &actions.items[i]);
		if (service->crash_in && !--service->crash_in)
			service_crash(world, "in the middle of its actions");
	}
	if (service->up)
		promises_after(world, &event, &actions);
	rollout_actions_clear(&actions);
}

void service_begin(struct world *world, struct rollout *rollout, struct plan *plan)
{
	struct service *service = &world->service;
	service->rollout = rollout;
	service->plan = plan;
	service->commit = world_commit(world, rollout->record.commit);
	service->serial++;
	for (size_t i = 0; i < rollout->client_count; i++)
		rollout->clients[i].no_checks = !rollout->clients[i].record->checks[0];
	/* Leadership and holds, said just before, come first. */
	service->queue.of_rollout = rollout->unrecorded = service->queue.count;
	for (size_t i = 0; i < rollout->stage_count; i++)
		rollout->stages[i].closed = world->closed[i];
	promises_begin_rollout(world);
	service_feed(world, (struct rollout_event){.kind = EVENT_START});
}

/* ---- pushes -----------------------------------------------------------------------------------
 */

static void land(struct world *world)
{
	struct facts *sent = &world->service.sent;
	for (size_t i = 0; i < sent->count; i++) {
		const struct fact *fact = sent->items[i];
		if (fact->client)
			status_put_client(world->branch, fact->client);
		if (fact->rollout)
			status_put_rollout(world->branch, fact->rollout);
		if (fact->asked)
			status_put_asked(world->branch, fact->asked);
		if (world->in_texts)
			texts_read(world, fact);
		promises_on_accepted(world, fact);
	}
}

static void push(struct world *world)
{
	struct service *service = &world->service;
	if (service->push_ms != NEVER || service->retry_ms != NEVER || service->decide_again)
		return;
	if (!service->sent.count) {
		struct facts empty = service->sent;
		if (!service->queue.count)
			return;
		service->sent = service->queue;
		service->queue = empty;
		service->queue.of_rollout = 0;
	}
	service->push_rejected = world->others_moved;
	service->push_fails = !world->others_moved && world->pushes_fail;
	world->others_moved = false;
	world->pushes_fail -= service->push_fails;
	service->push_ms = world->now_ms + 1 + choose(world, STREAM_TIMES, 200);
}

static void pushed(struct world *world)
{
	struct service *service = &world->service;
	service->push_ms = NEVER;
	if (service->push_rejected) {
		tell(world, "the push is rejected: somebody else moved the branch");
		service->decide_again = true;
		return;
	}
	if (service->push_fails) {
		tell(world, "the push fails: the remote cannot be reached");
		service->retry_ms = world->now_ms + RETRY_MS;
		return;
	}
	size_t recorded = service->sent.of_rollout;
	land(world);
	facts_clear(&service->sent);
	if (service->look_after_push && !service->queue.count) {
		service->look_after_push = false;
		service->look_wanted = true;
	}
	if (recorded && service->rollout)
		service_feed(
			world, (struct rollout_event){.kind = EVENT_RECORDED, .count = recorded});
}

/* ---- requests ---------------------------------------------------------------------------------
 */

static void apply_pauses(struct world *world)
{
	struct service *service = &world->service;
	struct rollout *rollout = service->rollout;
	bool all = service->known->asked.pause.paused;
	if (rollout && rollout->paused != all)
		service_feed(world, (struct rollout_event){.kind = all ? EVENT_PAUSE : EVENT_RESUME,
					    .client = ROLLOUT_ALL});
	for (size_t i = 0; rollout == service->rollout && rollout && i < rollout->client_count;
		i++) {
		const struct client_record *client =
			status_client(service->known, rollout->clients[i].record->client);
		bool paused = client && client->pause.paused;
		if (rollout->clients[i].paused != paused)
			service_feed(world,
				(struct rollout_event){
					.kind = paused ? EVENT_PAUSE : EVENT_RESUME, .client = i});
	}
}

void service_pause(struct world *world, size_t index, bool pause)
{
	struct service *service = &world->service;
	struct request request = {.by = "eva", .reason = "for the simulation"};
	const struct client_record *client = NULL;
	int64_t wall_s = world->wall_s + world->now_ms / 1000;
	if (!service->up || !service->leads || service->decide_again || service->stale)
		return;
	if (index != SIZE_MAX)
		client = status_client(service->known, world->clients[index].name);
	if (index != SIZE_MAX && !client)
		return;
	if ((client ? client->pause.paused : service->known->asked.pause.paused) == pause)
		return;
	service_record(world,
		pause ? fact_pause(service->known, client, &request, wall_s)
		      : fact_resume(service->known, client, &request, wall_s),
		false);
	apply_pauses(world);
	service->look_after_push |= !pause;
}

static bool takes_requests(const struct service *service)
{
	return service->up && service->leads && !service->decide_again && !service->stale &&
	       service->rollout && !service->rollout->ended;
}

bool service_may_approve(const struct world *world)
{
	const struct service *service = &world->service;
	return takes_requests(service) && rollout_wait_is_for_person(service->rollout->waits) &&
	       !service->rollout->superseded && !service->rollout->aborted;
}

void service_approve(struct world *world)
{
	struct service *service = &world->service;
	if (!service_may_approve(world))
		return;
	if (service->rollout->waits == WAIT_LIMIT)
		world->yes_to_limit = true;
	else
		world->yes_to_stage[service->rollout->current] = true;
	service_feed(world, (struct rollout_event){.kind = EVENT_APPROVE, .who = "eva"});
}

void service_abort(struct world *world)
{
	if (!takes_requests(&world->service))
		return;
	world->aborted = true;
	service_feed(world, (struct rollout_event){.kind = EVENT_ABORT, .who = "eva"});
}

void service_window(struct world *world, size_t stage, bool open)
{
	struct service *service = &world->service;
	bool changes = world->closed[stage] == open;
	world->closed[stage] = !open;
	if (changes && service->up && service->rollout)
		service_feed(world,
			(struct rollout_event){.kind = EVENT_WINDOW, .stage = stage, .ok = open});
}

/* ---- life -------------------------------------------------------------------------------------
 */

static void forget(struct service *service)
{
	facts_clear(&service->queue);
	facts_clear(&service->sent);
	drop_rollout(service);
	service->push_ms = service->retry_ms = service->look_ms = service->stop_ms = NEVER;
	service->look_after_push = service->decide_again = false;
	service->steps_running = 0;
	service->crash_in = 0;
}

void service_boot(struct world *world)
{
	struct service *service = &world->service;
	tell(world, "the service starts");
	forget(service);
	status_free(service->known);
	service->known = status_new();
	service->up = true;
	service->stopping = service->leads = false;
	service->stale = true;
	service->born_ms = world->now_ms;
	service->look_wanted = service->look_resumes = true;
	promises_on_restart(world);
}

void service_crash(struct world *world, const char *why)
{
	struct service *service = &world->service;
	bool landed = service->push_ms != NEVER && !service->push_fails &&
		      !service->push_rejected && chance(world, STREAM_OUTCOMES, 500);
	tell(world, "the service dies %s%s", why,
		landed ? "; what it was pushing is accepted" : "");
	service->up = false;
	if (landed)
		land(world);
	forget(service);
	hosts_after_crash(world);
}

void service_free(struct world *world)
{
	struct service *service = &world->service;
	forget(service);
	free(service->queue.items);
	free(service->sent.items);
	status_free(service->known);
	*service = (struct service){0};
}

/* Somebody else changed our records: once nothing runs, start from the branch and the hosts. */
static void decide_again(struct world *world)
{
	struct service *service = &world->service;
	if (service->steps_running || service->push_ms != NEVER || service->look_ms != NEVER)
		return;
	tell(world, "deciding again from the status branch");
	facts_clear(&service->queue);
	facts_clear(&service->sent);
	if (service->rollout)
		drop_rollout(service);
	for (size_t i = 0; i < world->client_count; i++)
		world->clients[i].rounds[0].running = world->clients[i].rounds[1].running = false;
	service->decide_again = false;
	service->leads = false; /* as if its fact had been among those that were dropped */
	service->stale = true;
	service->born_ms = world->now_ms;
	service->look_wanted = service->look_resumes = true;
	promises_on_restart(world);
}

void service_look(struct world *world)
{
	world->service.look_wanted = true;
}

void service_settle(struct world *world)
{
	struct service *service = &world->service;
	if (service->up && service->decide_again)
		decide_again(world);
	if (service->up)
		push(world);
	if (service->up && service->rollout && service->rollout->ended &&
		!service->rollout->unrecorded) {
		drop_rollout(service);
		service->look_wanted = true;
	}
	if (service->up && service->look_wanted && service->look_ms == NEVER &&
		!service->stopping) {
		service->look_wanted = false;
		service->look_ms = world->now_ms + 1 + choose(world, STREAM_TIMES, 60);
	}
}

static bool has_stopped(const struct service *service)
{
	return service->stopping && !service->steps_running && !service->queue.count &&
	       !service->sent.count;
}

int64_t service_next_ms(const struct world *world)
{
	const struct service *service = &world->service;
	const int64_t times[] = {service->push_ms, service->retry_ms, service->look_ms,
		service->rollout ? rollout_next_tick_ms(service->rollout) : NEVER,
		has_stopped(service) ? world->now_ms : service->stop_ms};
	int64_t next = NEVER;
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		next = times[i] < next ? times[i] : next;
	return service->up ? next : world->now_ms;
}

void service_happen(struct world *world)
{
	struct service *service = &world->service;
	if (!service->up) {
		service_boot(world);
	} else if (world->now_ms >= service->push_ms) {
		pushed(world);
	} else if (world->now_ms >= service->look_ms) {
		service->look_ms = NEVER;
		look_now(world);
	} else if (world->now_ms >= service->retry_ms) {
		service->retry_ms = NEVER;
	} else if (has_stopped(service) || world->now_ms >= service->stop_ms) {
		service_crash(world, "as it was told to");
	} else if (service->rollout && world->now_ms >= rollout_next_tick_ms(service->rollout)) {
		service_feed(world, (struct rollout_event){.kind = EVENT_TICK});
	}
}

bool service_is_quiet(const struct world *world)
{
	return world->service.up && service_next_ms(world) == NEVER && !world->service.look_wanted;
}
