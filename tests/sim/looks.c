/* What the service makes of a look at the repository: reconcile/look.c and loop_look.c, without
 * I/O. */
#include "tests/sim/sim.h"

static void record_refusal(struct world *world, const char *commit, const struct strlist *reasons)
{
	const struct status *known = world->service.known;
	bool kept_back = !strncmp(reasons->items[0], PLAN_NONE_STARTS, strlen(PLAN_NONE_STARTS));
	for (size_t i = 0; i < known->rollout_count; i++) {
		const struct rollout_record *rollout = known->rollouts[i];
		if (strcmp(rollout->commit, commit) != 0)
			continue;
		if (rollout->state == ROLLOUT_REFUSED ||
			(kept_back && rollout->state == ROLLOUT_SUCCEEDED))
			return;
		break;
	}
	service_record(world,
		fact_refused(known, commit, "", reasons, world->wall_s + world->now_ms / 1000),
		false);
}

static void refuse_bad(struct world *world, const struct sim_commit *commit)
{
	auto_strlist struct strlist reasons = STRLIST_INIT;
	strlist_add(&reasons, "fleet.yaml:1: does not parse");
	record_refusal(world, commit->id, &reasons);
}

static void goes_on(struct world *world, const char *why)
{
	auto_free char *text =
		mem_printf("commit %.7s %s: the rollout goes on", world_head(world)->id, why);
	service_feed(world, (struct rollout_event){.kind = EVENT_NOTE, .text = text});
}

/* A look that came while a rollout runs. */
static void consider_newer(struct world *world)
{
	struct service *service = &world->service;
	const struct sim_commit *head = world_head(world);
	if (!service->rollout || !strcmp(head->id, service->rollout->record.commit) ||
		service->rollout->ended)
		return;
	if (head->bad) {
		refuse_bad(world, head);
		goes_on(world, "is refused");
		return;
	}
	auto_plan struct plan *plan = world_plan(world, head, world->branch);
	if (plan->verdict == PLAN_REFUSED) {
		record_refusal(world, head->id, &plan->refusals);
		goes_on(world, "is refused");
		return;
	}
	bool ends = service->rollout->record.state == ROLLOUT_WAITING
			    ? rollout_is_left_behind_by(service->rollout, plan, world->branch)
			    : rollout_is_changed_by(service->rollout, plan, world->branch);
	promises_on_supersede(world, plan, ends);
	if (ends)
		service_feed(
			world, (struct rollout_event){.kind = EVENT_SUPERSEDED, .text = head->id});
	else
		goes_on(world, "changes no client of this rollout");
}

static bool is_tried(const struct world *world, const char *commit)
{
	const struct status *status = world->service.known;
	for (size_t i = 0; i < status->rollout_count; i++) {
		const struct rollout_record *rollout = status->rollouts[i];
		if (strcmp(rollout->commit, commit) != 0)
			continue;
		if (rollout->state == ROLLOUT_REFUSED)
			return !rollout->reasons.count ||
			       strncmp(rollout->reasons.items[0], PLAN_NONE_STARTS,
				       strlen(PLAN_NONE_STARTS)) != 0;
		return !world->trusts_plan &&
		       (rollout->state == ROLLOUT_FAILED || rollout->state == ROLLOUT_ABORTED);
	}
	return false;
}

static void end_holds(struct world *world, const struct plan *plan)
{
	struct service *service = &world->service;
	for (size_t i = 0; i < plan->ends_hold.count; i++) {
		const struct client_record *client =
			status_client(service->known, plan->ends_hold.items[i]);
		service_record(world,
			fact_hold_ended(client, NULL, "another release",
				world->wall_s + world->now_ms / 1000),
			false);
	}
}

static void start_plan(struct world *world)
{
	struct service *service = &world->service;
	const struct sim_commit *head = world_head(world);
	if (is_tried(world, head->id))
		return;
	if (head->bad) {
		refuse_bad(world, head);
		return;
	}
	auto_plan struct plan *plan = world_plan(world, head, service->known);
	if (plan->verdict == PLAN_REFUSED) {
		record_refusal(world, head->id, &plan->refusals);
		return;
	}
	if (service->known->asked.pause.paused)
		return;
	end_holds(world, plan);
	if (plan->verdict != PLAN_ALLOWED)
		return;
	struct rollout *rollout =
		rollout_from_plan(plan, service->known, world->wall_s + world->now_ms / 1000);
	service_begin(world, rollout, STEAL(plan));
}

static void resume(struct world *world, const struct rollout_record *running)
{
	const struct sim_commit *commit = world_commit(world, running->commit);
	struct plan *plan = world_plan(world, commit, world->service.known);
	service_begin(world, rollout_from_record(running, plan, world->service.known), plan);
	if (world->service.up)
		consider_newer(world);
}

static void lead(struct world *world)
{
	struct service *service = &world->service;
	service->leads = true;
	service_record(world, fact_leader("sim", ++world->epoch, NULL, world->wall_s), false);
}

void look_now(struct world *world)
{
	struct service *service = &world->service;
	if (service->decide_again)
		return;
	if (service->rollout) {
		consider_newer(world);
		return;
	}
	if (service->queue.count || service->sent.count) {
		service->look_after_push = true;
		return;
	}
	status_free(service->known);
	service->known = status_copy(world->branch);
	service->stale = false;
	const struct rollout_record *running = status_running(service->known);
	if (!service->leads)
		lead(world);
	if (service->look_resumes && running)
		resume(world, running);
	else
		start_plan(world);
	service->look_resumes = !service->up;
}
