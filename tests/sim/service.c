/* A service: the loop of the product, turned by what happens around it. */
#include "tests/sim/sim.h"

#define FAR_MS  ((int64_t)1 << 50) /* until a poll: webhooks come late instead */
#define POLL_MS ((int64_t)1 << 51)

/* ---- turns ------------------------------------------------------------------------------------
 */

static void hold_active(struct world *world, struct service *service, void (*act)(struct loop *))
{
	struct service *before = world->active;
	world->active = service;
	act(service->loop);
	world->active = before;
}

/* One message at a time, as if each had come before the next one was sent. */
static void turn_all(struct loop *loop)
{
	struct service *service = (struct service *)loop->inbox;
	do {
		auto_message struct message *message = service->first;
		if (message)
			service->first = message->next;
		if (!service->first)
			service->last = NULL;
		loop_turn(loop, message);
	} while (service->first && !service->dead);
}

static void bury(struct world *world, struct service *service)
{
	if (service->dead)
		service_crash(world, service, "in the middle of its actions");
}

void service_turn(struct world *world, struct service *service)
{
	hold_active(world, service, turn_all);
	bury(world, service);
}

/* ---- requests ---------------------------------------------------------------------------------
 */

void service_look(struct world *world)
{
	for (size_t i = 0; i < world->service_count; i++) {
		struct service *service = &world->services[i];
		if (!service->loop)
			continue;
		loop_poke(service->loop);
		service_turn(world, service);
	}
}

static void ask(struct world *world, struct service *service, struct request request)
{
	struct error err;
	(void)snprintf(request.by, sizeof(request.by), "eva");
	(void)snprintf(request.reason, sizeof(request.reason), "for the simulation");
	if (service->loop && loop_ask(service->loop, &request, &err))
		service_turn(world, service);
}

void service_ask(struct world *world, enum request_kind kind, const char *target)
{
	struct request request = {.kind = kind};
	(void)snprintf(request.target, sizeof(request.target), "%s", target ? target : "");
	ask(world, world->service, request);
}

void service_lead(struct world *world, struct service *service)
{
	service->may_lead++;
	ask(world, service, (struct request){.kind = REQUEST_LEAD});
}

/* Does a rollout wait, and would an answer come to it? */
static bool hears_answers(const struct loop *loop)
{
	return loop && loop->leads && !loop->decide_again && !loop->asked_count && loop->rollout &&
	       !loop->rollout->ended && !loop->rollout->superseded && !loop->rollout->aborted;
}

bool service_may_approve(const struct world *world)
{
	const struct loop *loop = world->service->loop;
	return hears_answers(loop) && rollout_wait_is_for_person(loop->rollout->waits);
}

bool service_may_start_now(const struct world *world)
{
	const struct loop *loop = world->service->loop;
	return hears_answers(loop) &&
	       (loop->rollout->waits == WAIT_WINDOW || loop->rollout->waits == WAIT_APPROVAL);
}

void service_start_now(struct world *world)
{
	struct request request = {.kind = REQUEST_APPROVE, .now = true};
	memcpy(request.target, world_rollout(world)->record.id, ROLLOUT_TEXT);
	ask(world, world->service, request);
}

struct told {
	struct service *service;
	struct rollout_event event;
};

static void feed(struct world *world, struct service *service, struct rollout_event event)
{
	struct service *before = world->active;
	world->active = service;
	loop_feed(service->loop, event);
	world->active = before;
	if (!service->dead)
		service_turn(world, service);
	else
		bury(world, service);
}

void service_window(struct world *world, size_t stage, bool open)
{
	bool changes = world->closed[stage] == open;
	world->closed[stage] = !open;
	for (size_t i = 0; changes && i < world->service_count; i++) {
		struct service *service = &world->services[i];
		if (service->loop && service->loop->rollout)
			feed(world, service,
				(struct rollout_event){
					.kind = EVENT_WINDOW, .stage = stage, .ok = open});
	}
}

void service_hear_again(struct world *world)
{
	struct service *service = world->again_for;
	world->again_ms = NEVER;
	world->asked_ms = world->again_asked_ms;
	if (!service->loop || !service->loop->rollout ||
		world->again_serial != service->loop->serial)
		return;
	tell(world, "the same answer comes again");
	world->repeats = true;
	feed(world, service, world->again);
	world->repeats = false;
}

/* ---- life -------------------------------------------------------------------------------------
 */

static void name_folder(struct service *service)
{
	service->folder_is_new = true;
	service->may_lead++;
	(void)snprintf(service->instance, sizeof(service->instance), "s%u-%u", service->number + 1,
		++service->folders);
}

void service_boot(struct world *world, struct service *service)
{
	const struct loop_options options = {.state_dir = "", .poll_interval_ms = POLL_MS};
	struct board *board = NULL; /* nobody looks */
	struct error err;
	if (!service->folders)
		name_folder(service);
	tell(world, "service %s starts", service->instance);
	service->dead = service->looked = false;
	service->crash_in = 0;
	service->attempt = 0;
	service->attempt_landed = false;
	service->look_tip = 0;
	service->born_ms = world->now_ms;
	struct service *before = world->active;
	world->active = service;
	demand(world, loop_new(&options, board, &service->loop, &err), "the loop cannot be made");
	loop_begin_turns(service->loop);
	world->active = before;
	bury(world, service);
}

void service_crash(struct world *world, struct service *service, const char *why)
{
	struct service *before = world->active;
	tell(world, "service %s dies %s", service->instance, why);
	service->dead = true; /* whatever freeing it does is nobody's concern */
	if (world->again_for == service)
		world->again_ms = NEVER;
	remote_after_crash(world, service);
	hosts_after_crash(world, service);
	world->active = service;
	loop_free(STEAL(service->loop));
	world->active = before;
	if (world->chapter == CHAPTER_TROUBLE && chance(world, STREAM_OUTCOMES, 60)) {
		tell(world, "its state folder is lost");
		/* A new machine takes longer than a push. Were it overtaken by a leader that it
		 * does not know, it would stand by until a person says who leads. */
		if (world->ghost_count)
			remote_ghost_lands(world);
		name_folder(service);
	}
}

void services_clear(struct world *world)
{
	for (size_t i = 0; i < world->service_count; i++) {
		struct service *service = &world->services[i];
		world->active = service;
		service->dead = true;
		loop_free(STEAL(service->loop));
	}
	world->active = NULL;
}

/* ---- time -------------------------------------------------------------------------------------
 */

int64_t service_next_ms(const struct world *world, const struct service *service)
{
	if (!service->loop)
		return world->now_ms; /* it is started again at once */
	if (loop_is_done(service->loop))
		return world->now_ms;
	int64_t threads_ms = remote_next_ms(service);
	int64_t own_ms = loop_next_wake_ms(service->loop);
	int64_t next = own_ms < threads_ms ? own_ms : threads_ms;
	return next < FAR_MS ? next : NEVER;
}

void service_happen(struct world *world, struct service *service)
{
	if (!service->loop) {
		service_boot(world, service);
		return;
	}
	struct service *before = world->active;
	world->active = service;
	bool done = loop_is_done(service->loop);
	world->active = before;
	if (done) {
		service_crash(world, service, "as it was told to");
		return;
	}
	remote_happen(world, service);
	service_turn(world, service);
}

bool service_is_quiet(const struct world *world, const struct service *service)
{
	return service->loop && !service->loop->look_wanted &&
	       service_next_ms(world, service) == NEVER;
}
