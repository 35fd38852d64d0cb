/* What the linker puts in place of the service's threads and clocks (--wrap): the loop runs as it
 * is, and whatever it wants of the rest of the world is done by remote.c and hosts.c. */
#include "tests/sim/sim.h"

/* Wrapped functions have no other way to find it. */
static struct world *the_world;

void stand_ins_use(struct world *world)
{
	the_world = world;
}

/* ---- clocks and chance ------------------------------------------------------------------------
 */

int64_t __wrap_clock_mono_ms(void);
int64_t __wrap_clock_wall_s(void);
uint32_t __wrap_randombytes_uniform(uint32_t below);

int64_t __wrap_clock_mono_ms(void)
{
	return the_world->now_ms;
}

int64_t __wrap_clock_wall_s(void)
{
	return world_wall_s(the_world);
}

uint32_t __wrap_randombytes_uniform(uint32_t below)
{
	(void)below;
	return 0; /* only jitter */
}

/* ---- the inbox, and threads: each is its service ----------------------------------------------
 */

struct inbox *__wrap_inbox_new(void);
void __wrap_inbox_free(struct inbox *inbox);
void __wrap_inbox_post(struct inbox *inbox, struct message *message);
bool __wrap_git_thread_new(const struct git_options *options, struct inbox *inbox,
	struct git_thread **thread_out, struct error *err);
void __wrap_git_thread_free(struct git_thread *thread);
bool __wrap_git_thread_repo(struct git_thread *thread, struct repo **repo_out, struct error *err);
void __wrap_git_thread_look(struct git_thread *thread, struct look_request request);
void __wrap_git_thread_append(struct git_thread *thread, uint64_t batch, struct fact *const *facts,
	size_t count, const struct oid *decided_on);
void __wrap_git_thread_prune_tags(struct git_thread *thread, size_t keep);
struct renderer *__wrap_renderer_new(struct repo *repo, const struct keyring *keyring);
void __wrap_renderer_free(struct renderer *renderer);
bool __wrap_workers_new(
	const struct workers_options *options, struct workers **workers_out, struct error *err);
void __wrap_workers_free(struct workers *workers);
void __wrap_workers_add(struct workers *workers, struct work *work);
bool __wrap_hosts_new(
	const struct hosts_options *options, struct hosts **hosts_out, struct error *err);
void __wrap_hosts_stop(struct hosts *hosts);
void __wrap_hosts_free(struct hosts *hosts);
bool __wrap_loop_read_instance(struct loop *loop, struct error *err);
void __wrap_loop_keep_instance(struct loop *loop);
void __real_loop_record(struct loop *loop, struct fact *fact, bool of_rollout);
void __wrap_loop_record(struct loop *loop, struct fact *fact, bool of_rollout);

static struct service *service_of(void *stand_in)
{
	return stand_in;
}

struct inbox *__wrap_inbox_new(void)
{
	return (struct inbox *)the_world->active;
}

void __wrap_inbox_free(struct inbox *inbox)
{
	struct service *service = service_of(inbox);
	for (struct message *message = service->first, *next; message; message = next) {
		next = message->next;
		message_free(message);
	}
	service->first = service->last = NULL;
}

void stand_ins_post(struct service *service, struct message *message)
{
	message->next = NULL;
	if (service->last)
		service->last->next = message;
	else
		service->first = message;
	service->last = message;
}

void __wrap_inbox_post(struct inbox *inbox, struct message *message)
{
	stand_ins_post(service_of(inbox), message);
}

bool __wrap_git_thread_new(const struct git_options *options, struct inbox *inbox,
	struct git_thread **thread_out, struct error *err)
{
	(void)options, (void)err;
	*thread_out = (struct git_thread *)inbox;
	return true;
}

void __wrap_git_thread_free(struct git_thread *thread)
{
	(void)thread;
}

bool __wrap_git_thread_repo(struct git_thread *thread, struct repo **repo_out, struct error *err)
{
	(void)thread, (void)err;
	*repo_out = NULL; /* only for the renderer */
	return true;
}

void __wrap_git_thread_look(struct git_thread *thread, struct look_request request)
{
	struct service *service = service_of(thread);
	if (!service->dead)
		remote_look(the_world, service, &request);
}

void __wrap_git_thread_append(struct git_thread *thread, uint64_t batch, struct fact *const *facts,
	size_t count, const struct oid *decided_on)
{
	struct service *service = service_of(thread);
	const struct push push = {.facts = facts,
		.count = count,
		.batch = batch,
		.decided_on = (unsigned)strtoul(decided_on->hex, NULL, 16)};
	if (!service->dead)
		remote_append(the_world, service, &push);
}

void __wrap_git_thread_prune_tags(struct git_thread *thread, size_t keep)
{
	(void)thread, (void)keep;
}

struct renderer *__wrap_renderer_new(struct repo *repo, const struct keyring *keyring)
{
	(void)repo, (void)keyring;
	return NULL;
}

void __wrap_renderer_free(struct renderer *renderer)
{
	(void)renderer;
}

bool __wrap_workers_new(
	const struct workers_options *options, struct workers **workers_out, struct error *err)
{
	(void)err;
	*workers_out = (struct workers *)options->inbox;
	return true;
}

void __wrap_workers_free(struct workers *workers)
{
	(void)workers;
}

bool __wrap_hosts_new(
	const struct hosts_options *options, struct hosts **hosts_out, struct error *err)
{
	(void)options, (void)hosts_out, (void)err;
	return true;
}

void __wrap_hosts_stop(struct hosts *hosts)
{
	(void)hosts;
}

void __wrap_hosts_free(struct hosts *hosts)
{
	(void)hosts;
}

static void act_or_die(struct service *service)
{
	if (service->crash_in && !--service->crash_in)
		service->dead = true;
}

void __wrap_workers_add(struct workers *workers, struct work *work)
{
	struct service *service = service_of(workers);
	if (service->dead || work->kind == WORK_TIDY) {
		work_free(work);
		return;
	}
	hosts_work(the_world, service, work);
	act_or_die(service);
}

bool __wrap_loop_read_instance(struct loop *loop, struct error *err)
{
	const struct service *service = the_world->active;
	(void)err;
	(void)snprintf(loop->instance, sizeof(loop->instance), "%s", service->instance);
	loop->state_is_new = service->folder_is_new;
	return true;
}

void __wrap_loop_keep_instance(struct loop *loop)
{
	loop->state_is_new = false;
	the_world->active->folder_is_new = false;
}

void __wrap_loop_record(struct loop *loop, struct fact *fact, bool of_rollout)
{
	if (!the_world->active->dead)
		tell(the_world, "    -> record \"%s\"", fact->subject);
	demand(the_world, strncmp(fact->subject, "drift(", strlen("drift(")) != 0,
		"promise 6, crash-safe: nobody changed a host, and %s", fact->subject);
	the_world->told_at = the_world->events;
	__real_loop_record(loop, fact, of_rollout);
	act_or_die(the_world->active);
}

/* ---- around the machine -----------------------------------------------------------------------
 */

void __real_rollout_step(struct rollout *rollout, const struct rollout_event *event,
	struct rollout_actions *actions);
void __wrap_rollout_step(struct rollout *rollout, const struct rollout_event *event,
	struct rollout_actions *actions);
void __real_rollout_actions_clear(struct rollout_actions *actions);
void __wrap_rollout_actions_clear(struct rollout_actions *actions);
bool __real_rollout_is_changed_by(
	const struct rollout *rollout, const struct plan *newer, const struct status *status);
bool __wrap_rollout_is_changed_by(
	const struct rollout *rollout, const struct plan *newer, const struct status *status);
bool __real_rollout_is_left_behind_by(
	const struct rollout *rollout, const struct plan *newer, const struct status *status);
bool __wrap_rollout_is_left_behind_by(
	const struct rollout *rollout, const struct plan *newer, const struct status *status);
struct event_log *__real_event_log_new(
	const struct rollout *rollout, int64_t now_ms, const char *before);
struct event_log *__wrap_event_log_new(
	const struct rollout *rollout, int64_t now_ms, const char *before);

/* The answer will come for a second time. */
static void remember_answer(struct world *world, const struct rollout_event *event)
{
	bool answer = event->kind == EVENT_DEPLOYED || event->kind == EVENT_STEP ||
		      event->kind == EVENT_UNREACHABLE || event->kind == EVENT_UNSURE ||
		      event->kind == EVENT_ROUND || event->kind == EVENT_RUNS;
	if (!answer || !world->duplicates || world->repeats)
		return;
	world->duplicates--;
	world->again = *event;
	world->again.text = event->ok ? "" : "again";
	world->again_for = world->active;
	world->again_serial = world->active->loop->serial;
	world->again_asked_ms = world->asked_ms;
	world->again_ms = world->now_ms + choose(world, STREAM_TIMES, 400);
}

/* Not a machine that a replay makes for itself. */
static bool is_real(const struct rollout *rollout)
{
	const struct service *active = the_world ? the_world->active : NULL;
	return active && active->loop && active->loop->rollout == rollout && !active->dead;
}

static bool is_judged(const struct rollout *rollout)
{
	return is_real(rollout) && the_world->active == the_world->service;
}

void __wrap_rollout_step(
	struct rollout *rollout, const struct rollout_event *event, struct rollout_actions *actions)
{
	struct world *world = the_world;
	if (!is_real(rollout)) {
		__real_rollout_step(rollout, event, actions);
		return;
	}
	world->events++;
	world->stepped = *event; /* texts of it live as long as the call that feeds it */
	tell_event(world, event);
	remember_answer(world, event);
	world->stepping = is_judged(rollout);
	if (world->stepping)
		promises_before(world, event);
	__real_rollout_step(rollout, event, actions);
	for (size_t i = 0; i < actions->count; i++)
		tell_action(world, &actions->items[i]);
}

/* All that the step wanted was carried out. */
void __wrap_rollout_actions_clear(struct rollout_actions *actions)
{
	struct world *world = the_world;
	if (world && world->stepping && !world->active->dead)
		promises_after(world, &world->stepped, actions);
	if (world)
		world->stepping = false;
	__real_rollout_actions_clear(actions);
}

bool __wrap_rollout_is_changed_by(
	const struct rollout *rollout, const struct plan *newer, const struct status *status)
{
	bool ends = __real_rollout_is_changed_by(rollout, newer, status);
	if (is_judged(rollout))
		promises_on_supersede(the_world, newer, status, ends);
	return ends;
}

bool __wrap_rollout_is_left_behind_by(
	const struct rollout *rollout, const struct plan *newer, const struct status *status)
{
	bool ends = __real_rollout_is_left_behind_by(rollout, newer, status);
	if (is_judged(rollout))
		promises_on_supersede(the_world, newer, status, ends);
	return ends;
}

/* The loop looks at windows just before: here they are what trouble.c says. */
struct event_log *__wrap_event_log_new(
	const struct rollout *rollout, int64_t now_ms, const char *before)
{
	for (size_t i = 0; i < rollout->stage_count; i++)
		rollout->stages[i].closed = the_world->closed[i];
	return __real_event_log_new(rollout, now_ms, before);
}
