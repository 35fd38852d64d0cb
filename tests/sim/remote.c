/* The forge: what a look finds there, and what becomes of a push. reconcile/look.c and
 * reconcile/ledger.c without git. */
#include "reconcile/look.h"
#include "tests/sim/sim.h"

/* ---- the status branch ------------------------------------------------------------------------
 */

static void take_file(struct world *world, struct fact_file *file)
{
	long long epoch;
	char instance[16];
	if (!file->text)
		return;
	if (!strncmp(file->path, "events/", strlen("events/"))) {
		free(world->events_text);
		world->events_text = STEAL(file->text); /* long, and nobody else asks for it */
		(void)snprintf(world->events_of, sizeof(world->events_of), "%.*s",
			(int)strcspn(file->path + strlen("events/"), "."),
			file->path + strlen("events/"));
	}
	if (file->text && !strcmp(file->path, "leader.yaml") &&
		sscanf(file->text, "instance: %15s epoch: %lld", instance, &epoch) == 2) {
		(void)snprintf(
			world->branch->leader, sizeof(world->branch->leader), "%s", instance);
		world->branch->epoch = epoch;
	}
}

static void set_tip(struct world *world, unsigned tip)
{
	world->tip = tip;
	(void)snprintf(world->branch->tip.hex, sizeof(world->branch->tip.hex), "%040x", tip);
}

static void land(struct world *world, struct fact *const *facts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct fact *fact = facts[i];
		world->tip++;
		if (fact->client)
			status_put_client(world->branch, fact->client);
		if (fact->rollout)
			status_put_rollout(world->branch, fact->rollout);
		if (fact->asked)
			status_put_asked(world->branch, fact->asked);
		for (size_t k = 0; k < fact->file_count; k++)
			take_file(world, &fact->files[k]);
		if (world->in_texts)
			texts_read(world, fact);
		promises_on_accepted(world, fact);
		replays_on_accepted(world, fact);
	}
	world->record_tip = world->tip;
	set_tip(world, world->tip);
}

/* As the ledger sees it: nobody else changed records of ours. */
static bool facts_hold(const struct world *world, const struct push *push)
{
	return world->record_tip <= push->decided_on;
}

/* ---- pushes -----------------------------------------------------------------------------------
 */

static int64_t begin_ms(const struct world *world, int64_t other_ms, bool other_runs)
{
	return other_runs && other_ms > world->now_ms ? other_ms : world->now_ms;
}

void remote_append(struct world *world, struct service *service, const struct push *push)
{
	service->push = *push;
	service->push.running = true;
	service->push.fails = world->pushes_fail;
	world->pushes_fail -= service->push.fails;
	service->push.lands = service->push.fails && chance(world, STREAM_OUTCOMES, 300);
	service->push.done_ms = begin_ms(world, service->look_ms, service->look_running) + 1 +
				choose(world, STREAM_TIMES, 200);
}

static bool push_lands(struct world *world, struct service *service)
{
	const struct push *push = &service->push;
	bool again = service->attempt == push->batch && service->attempt_landed;
	if (!again && world->others_moved) { /* a record was changed by hand, or something else */
		set_tip(world, world->tip + 1);
		if (world->others_moved == OTHERS_MOVED_RECORDS)
			world->record_tip = world->tip;
		world->others_moved = OTHERS_STILL;
	}
	if (again)
		return world->record_tip <= service->attempt_tip;
	if (!facts_hold(world, push))
		return false;
	service->attempt = push->batch;
	service->attempt_landed = true;
	land(world, push->facts, push->count);
	service->attempt_tip = world->tip;
	return true;
}

static void push_done(struct world *world, struct service *service)
{
	struct push *push = &service->push;
	struct message *answer = message_new(MESSAGE_APPENDED);
	push->running = false;
	if (push->fails && !(push->lands && push_lands(world, service))) {
		tell(world, "the push fails: the remote cannot be reached");
		(void)error_set(&answer->err, ERR_UNREACHABLE, "the remote cannot be reached");
	} else if (push->fails) {
		tell(world, "the push arrived, and its answer is lost");
		(void)error_set(&answer->err, ERR_UNREACHABLE, "the remote cannot be reached");
	} else if (push_lands(world, service)) {
		answer->ok = true;
		answer->data = mem_dup(&world->branch->tip, sizeof(world->branch->tip));
		answer->free_data = free;
	} else {
		tell(world, "the push is rejected: somebody else moved the branch");
		(void)error_set(&answer->err, ERR_REJECTED, "somebody else changed our records");
	}
	stand_ins_post(service, answer);
}

void remote_after_crash(struct world *world, struct service *service)
{
	struct push *push = &service->push;
	struct fact_list *sent = &service->loop->sent;
	uint32_t fate = push->running && !push->fails ? choose(world, STREAM_OUTCOMES, 8) : 0;
	service->look_running = push->running = false;
	service->attempt = 0;
	if (fate < 4)
		return;
	if (fate < 7 || world->ghost_count) {
		if (push_lands(world, service))
			tell(world, "what it was pushing is accepted");
		return;
	}
	tell(world, "what it was pushing is still on its way");
	world->ghosts = STEAL(sent->items);
	world->ghost_count = sent->count;
	*sent = (struct fact_list){0};
	world->ghost_tip = push->decided_on;
	world->ghost_ms = world->now_ms + 1 + choose(world, STREAM_TIMES, 400);
}

void remote_ghost_lands(struct world *world)
{
	world->ghost_ms = NEVER;
	tell(world, "a push of a service that died arrives%s",
		world->ghost_tip == world->tip ? "" : ", too late");
	if (world->ghost_tip == world->tip)
		land(world, world->ghosts, world->ghost_count);
	for (size_t i = 0; i < world->ghost_count; i++)
		fact_free(world->ghosts[i]);
	free(STEAL(world->ghosts));
	world->ghost_count = 0;
}

/* ---- looks ------------------------------------------------------------------------------------
 */

void remote_look(struct world *world, struct service *service, const struct look_request *request)
{
	service->look = *request;
	service->look_running = true;
	service->look_ms = begin_ms(world, service->push.done_ms, service->push.running) + 1 +
			   choose(world, STREAM_TIMES, 60);
}

static void refuse_bad(struct look_result *result)
{
	strlist_add(&result->refusals, "fleet.yaml:1: does not parse");
}

static void look_at_head(struct world *world, struct look_result *result)
{
	const struct sim_commit *head = world_head(world);
	result->waits = look_why_wait(result->status, head->id);
	if (result->waits && world->trusts_plan && strcmp(result->waits, "held") == 0)
		result->waits = NULL;
	if (result->waits)
		return;
	if (head->bad) {
		refuse_bad(result);
		return;
	}
	result->plan = world_plan(world, head, result->status, NULL);
	result->pins = result->plan->pins;
	result->plan->pins = (struct plan_pins){0};
	if (result->plan->verdict != PLAN_REFUSED)
		return;
	strlist_copy(&result->refusals, &result->plan->refusals);
	memcpy(result->refused_plan, result->plan->digest, sizeof(result->refused_plan));
	plan_free(STEAL(result->plan));
}

static void look_by_hand(
	struct world *world, const struct look_request *request, struct look_result *result)
{
	const struct sim_commit *head = world_head(world);
	const struct sim_commit *back = world_commit(world, request->only_commit.hex);
	const struct client_record *record = status_client(result->status, request->only);
	result->by_hand = true;
	if (!back || back->gone) {
		strlist_add(&result->refusals, "the commit is not in the repository any more");
		return;
	}
	auto_plan struct plan *plan =
		head->bad ? NULL : world_plan(world, head, result->status, request->only);
	const struct plan_entry *entry = plan ? plan_find(plan, request->only) : NULL;
	if (entry)
		result->wanted = entry->to;
	else if (record)
		result->wanted = record->current;
	result->plan = world_plan(world, back, result->status, request->only);
}

static void look_at_running(
	struct world *world, const struct rollout_record *running, struct look_result *result)
{
	const struct sim_commit *commit = world_commit(world, running->commit);
	result->resume = mem_zero(1, sizeof(*result->resume));
	rollout_record_copy(result->resume, running);
	if (world->events_text && !strcmp(world->events_of, running->id))
		result->resume_events = mem_dup_str(world->events_text);
	result->resume_gone = commit->gone;
	if (!commit->gone)
		result->resume_plan = world_plan(world, commit, result->status, NULL);
}

static void look_for_work(
	struct world *world, const struct look_request *request, struct look_result *result)
{
	const struct rollout_record *running = status_running(result->status);
	if (request->only) {
		look_by_hand(world, request, result);
		return;
	}
	if (!request->resume || !running) {
		if (!result->nothing_new)
			look_at_head(world, result);
		return;
	}
	look_at_running(world, running, result);
	if (strcmp(result->head.hex, running->commit) != 0)
		look_at_head(world, result);
}

static struct look_result *look_at_all(struct world *world, struct service *service)
{
	const struct look_request *request = &service->look;
	struct look_result *result = mem_zero(1, sizeof(*result));
	const char *head = world_head(world)->id;
	memcpy(result->head.hex, head, sizeof(result->head.hex));
	(void)snprintf(result->author, sizeof(result->author), "Eva");
	(void)snprintf(result->resume_author, sizeof(result->resume_author), "Eva");
	result->status = status_copy(world->branch);
	result->stands_by = !look_may_lead(request, result->status);
	result->nothing_new = service->looked && !request->force && !request->resume &&
			      !strcmp(service->head, head) && service->look_tip == world->tip;
	if (!result->stands_by)
		look_for_work(world, request, result);
	service->looked = true;
	service->look_tip = world->tip;
	memcpy(service->head, head, sizeof(service->head));
	return result;
}

static void free_looked(void *data)
{
	look_result_free(data);
}

static void look_done(struct world *world, struct service *service)
{
	struct message *answer = message_new(MESSAGE_LOOKED);
	service->look_running = false;
	if (world->looks_fail) {
		world->looks_fail--;
		tell(world, "the look fails: the remote cannot be reached");
		(void)error_set(&answer->err, ERR_UNREACHABLE, "the remote cannot be reached");
	} else {
		answer->ok = true;
		answer->data = look_at_all(world, service);
		answer->free_data = free_looked;
	}
	stand_ins_post(service, answer);
}

/* ---- time -------------------------------------------------------------------------------------
 */

int64_t remote_next_ms(const struct service *service)
{
	int64_t next = service->push.running ? service->push.done_ms : NEVER;
	return service->look_running && service->look_ms < next ? service->look_ms : next;
}

void remote_happen(struct world *world, struct service *service)
{
	if (service->push.running && world->now_ms >= service->push.done_ms)
		push_done(world, service);
	else if (service->look_running && world->now_ms >= service->look_ms)
		look_done(world, service);
}

void remote_clear(struct world *world)
{
	for (size_t i = 0; i < world->ghost_count; i++)
		fact_free(world->ghosts[i]);
	free(STEAL(world->ghosts));
	world->ghost_count = 0;
	free(STEAL(world->events_text));
	status_free(STEAL(world->branch));
}
