/* What the loop makes of a look at the repository. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "reconcile/loop_state.h"
#include <sodium.h>
#include <unistd.h>

#define LOOKS_FAILED_NOT_READY 3 /* polls in a row; design: /readyz says 503 then */
#define LOOK_RETRY_MS          1000
#define LOOK_SPACING_MS        250 /* a burst of webhooks is no reason to hammer the forge */

/* ---- this instance ------------------------------------------------------------------------------
 */

/* The folder is new until its instance has led: a kill before that must not make it a stranger. */
#define NEW_MARK "\nnew"

static bool write_instance(struct loop *loop, const char *mark, struct error *err)
{
	auto_free char *path = mem_printf("%s/instance", loop->options.state_dir);
	auto_free char *text = mem_printf("%s%s\n", loop->instance, mark);
	return fs_write(path, text, strlen(text), 0600, err);
}

bool loop_read_instance(struct loop *loop, struct error *err)
{
	auto_free char *path = mem_printf("%s/instance", loop->options.state_dir);
	auto_buf struct buf text = BUF_INIT(sizeof(loop->instance) + sizeof(NEW_MARK));
	char host[32] = "";
	if (fs_read(path, sizeof(loop->instance) + sizeof(NEW_MARK) - 1, &text, err)) {
		(void)snprintf(loop->instance, sizeof(loop->instance), "%.*s",
			(int)strcspn(text.text, "\n"), text.text);
		loop->state_is_new = strstr(text.text, NEW_MARK) != NULL;
		return true;
	}
	if (err->code != ERR_NOT_FOUND)
		return false;
	if (gethostname(host, sizeof(host) - 1))
		(void)snprintf(host, sizeof(host), "aviary");
	loop->state_is_new = true;
	(void)snprintf(
		loop->instance, sizeof(loop->instance), "%s-%08x", host, randombytes_random());
	return write_instance(loop, NEW_MARK, err);
}

void loop_keep_instance(struct loop *loop)
{
	struct error err;
	if (!loop->state_is_new)
		return;
	loop->state_is_new = false;
	if (!write_instance(loop, "", &err))
		log_warn("the state folder still counts as new", LOG_ERROR_FIELD(&err));
}

/* ---- outcomes for `apply`
 * ------------------------------------------------------------------------- */

static void set_outcome(struct loop *loop, int exit_status, const char *result, const char *text)
{
	loop->outcome.exit_status = exit_status;
	(void)snprintf(loop->outcome.result, sizeof(loop->outcome.result), "%s", result);
	(void)snprintf(loop->outcome.text, sizeof(loop->outcome.text), "%s", text);
}

/* What runs is dropped: the hosts and the branch are the other one's now. */
static void stop_leading(struct loop *loop, const struct status *status)
{
	loop->leads = false;
	loop->stands_by = true;
	loop->decide_again = loop->decide_again || loop->rollout || loop_has_facts(loop);
	(void)snprintf(loop->not_ready, sizeof(loop->not_ready),
		"instance '%s' leads since epoch %lld; this one, '%s', does nothing: 'aviary "
		"lead' changes that",
		status->leader, (long long)status->epoch, loop->instance);
	loop_set_problem(loop, loop->not_ready);
	set_outcome(loop, 1, "error", loop->not_ready);
}

/* A new state folder, or the one that led last, leads from now on (design.md section 6). */
static void lead(struct loop *loop, const struct look_result *result)
{
	loop->leads = true;
	loop->stands_by = false;
	loop->epoch = loop->status->epoch + 1;
	if (result->truth && result->truth->epoch >= loop->epoch)
		loop->epoch = result->truth->epoch + 1;
	loop->status->epoch = loop->epoch;
	(void)snprintf(loop->status->leader, sizeof(loop->status->leader), "%s", loop->instance);
	loop_record(loop,
		fact_leader(loop->instance, loop->epoch,
			loop->take_over ? &loop->take_over_by : NULL, clock_wall_s()),
		false);
	loop->take_over = false;
	log_info("leading", LOG_STR("instance", loop->instance), LOG_INT("epoch", loop->epoch));
}

/* ---- wanting and starting a look
 * ----------------------------------------------------------------- */

void loop_start_look(struct loop *loop)
{
	int64_t now_ms = clock_mono_ms();
	if (loop->look_running || !loop->look_wanted || loop->stopping)
		return;
	if (!loop->look_forced && now_ms < loop->look_not_before_ms)
		return;
	loop->look_not_before_ms = now_ms + LOOK_SPACING_MS;
	__atomic_store_n(
		&loop->poked, false, __ATOMIC_RELEASE); /* before the fetch: none is lost */
	loop->look_running = true;
	loop->look_wanted = false;
	/* After one that failed nothing is known to have been considered. */
	git_thread_look(
		loop->git, (struct look_request){.force = loop->look_forced || loop->looks_failed,
				   .resume = loop->look_resumes,
				   .instance = loop->instance,
				   .leads = loop->leads,
				   .take_over = loop->take_over,
				   .state_is_new = loop->state_is_new,
				   .epoch = loop->epoch});
	loop->look_forced = false;
}

static void plan_next_look(struct loop *loop)
{
	int64_t interval = loop->options.poll_interval_ms;
	if (loop->looks_failed) {
		unsigned shift = loop->looks_failed < 7 ? loop->looks_failed - 1 : 6;
		int64_t soon = (int64_t)LOOK_RETRY_MS << shift;
		interval = soon < interval ? soon : interval;
	}
	/* A tenth of jitter, so that many services do not ask one forge at the same moment. */
	interval += (int64_t)(interval / 10 ? randombytes_uniform((uint32_t)(interval / 10)) : 0);
	loop->next_look_ms = clock_mono_ms() + interval;
}

/* ---- what a look found
 * ----------------------------------------------------------------------------- */

static void on_look_failed(struct loop *loop, const struct error *err)
{
	char text[1400];
	error_line(err, text, sizeof(text));
	loop->looks_failed++;
	loop_set_problem(loop, text);
	if (!loop->looked || loop->looks_failed >= LOOKS_FAILED_NOT_READY ||
		err->code == ERR_REFUSED)
		(void)snprintf(loop->not_ready, sizeof(loop->not_ready), "%s", text);
	set_outcome(loop, error_exit_status(err->code), "error", text);
}

/* Is the refusal of this commit recorded, or on its way? That holds and pauses keep back what is
 * left of a commit is no news once its rollout ended well. */
static bool is_refused(const struct status *status, const char *commit, const char *reason)
{
	bool kept_back = !strncmp(reason, PLAN_NONE_STARTS, strlen(PLAN_NONE_STARTS));
	for (size_t i = 0; i < status->rollout_count; i++)
		if (!rollout_record_is_apart(status->rollouts[i]) &&
			!strcmp(status->rollouts[i]->commit, commit))
			return status->rollouts[i]->state == ROLLOUT_REFUSED ||
			       (kept_back && status->rollouts[i]->state == ROLLOUT_SUCCEEDED);
	return false;
}

static void record_refusal(struct loop *loop, struct look_result *result)
{
	set_outcome(loop, 1, "refused", result->refusals.items[0]);
	if (is_refused(loop->status, result->head.hex, result->refusals.items[0]))
		return;
	log_warn("commit refused", LOG_STR("commit", result->head.hex),
		LOG_STR("reason", result->refusals.items[0]),
		LOG_INT("reasons", result->refusals.count));
	const struct refusal refusal = {.commit = result->head.hex,
		.plan = result->refused_plan,
		.reasons = &result->refusals,
		.forced = result->forced};
	struct fact *fact = fact_refused(loop->status, &refusal, clock_wall_s());
	memcpy(loop->outcome.rollout, fact->rollout->id, sizeof(fact->rollout->id));
	loop_record(loop, fact, false);
}

static void end_holds(struct loop *loop, const struct plan *plan)
{
	for (size_t i = 0; i < plan->ends_hold.count; i++) {
		const struct client_record *record =
			status_client(loop->status, plan->ends_hold.items[i]);
		auto_free char *reason =
			mem_printf("commit %.7s wants another release", plan->target);
		if (record)
			loop_record(
				loop, fact_hold_ended(record, NULL, reason, clock_wall_s()), false);
	}
}

/* Who is kept on what it runs is shown, and known to a service on another machine. */
static void record_pins(struct loop *loop, const struct look_result *result)
{
	for (size_t i = 0; i < result->pins.count; i++) {
		const struct plan_pin *pin = &result->pins.items[i];
		const struct client_record *record = status_client(loop->status, pin->client);
		log_info(pin->over ? "pin is over" : "client is pinned",
			LOG_STR("client", pin->client), LOG_STR("until", pin->until));
		if (record)
			loop_record(loop, fact_pin(record, pin, result->head.hex, clock_wall_s()),
				false);
	}
}

/* The first rollout after a retry tells who asked for it. */
static void note_retry(const struct status *status, struct rollout *rollout)
{
	const struct retry *retry =
		status->rollout_count ? asked_record_retry(&status->asked, status->rollouts[0]->id)
				      : NULL;
	if (!retry)
		return;
	const char *reason = retry->reason ? retry->reason : "";
	strlist_addf(&rollout->record.reasons, "retry%s%s, asked by %s%s%s",
		retry->client ? " of " : "", retry->client ? retry->client : "",
		retry->by ? retry->by : "somebody", *reason ? ": " : "", reason);
}

static void start_plan(struct loop *loop, struct look_result *result)
{
	struct plan *plan = result->plan;
	bool only_policy = !plan->changed && plan->fleet_changed && plan->base[0];
	end_holds(loop, plan);
	if (plan->verdict != PLAN_ALLOWED && !only_policy) {
		set_outcome(loop, 0, "unchanged", "every client runs what the commit wants");
		return;
	}
	result->plan = NULL;
	memcpy(loop->signed_by, result->signed_by, sizeof(loop->signed_by));
	struct rollout *rollout = rollout_from_plan(plan, loop->status, clock_wall_s());
	rollout->record.forced = result->forced;
	note_retry(loop->status, rollout);
	loop_begin(loop, rollout, plan, result->author);
}

/* The commit planned well when the rollout began; if it does not any more (a key was lost, it is
 * gone), the policy that its events began with carries what is under way to its end. */
static void lost_plan(const struct look_result *result, struct plan *plan)
{
	struct error err;
	if (!events_policy(result->resume_events, plan, &err))
		log_warn("policy of a rollout was lost: defaults count",
			LOG_STR("rollout", result->resume->id), LOG_ERROR_FIELD(&err));
}

static void resume_rollout(struct loop *loop, struct look_result *result)
{
	struct plan *plan = STEAL(result->resume_plan), lost;
	if (!plan)
		lost_plan(result, &lost);
	struct rollout *rollout =
		rollout_from_record(result->resume, plan ? plan : &lost, loop->status);
	loop->stands_in = result->stands_in;
	memcpy(loop->signed_by, result->resume_signed_by, sizeof(loop->signed_by));
	free(loop->events_before);
	loop->events_before = STEAL(result->resume_events);
	loop_begin(loop, rollout, plan, result->resume_author);
}

/* Reported, never destroyed: said once, and shown until the client is back. */
static void note_vanished(struct loop *loop, const struct plan *plan)
{
	struct strlist now = STRLIST_INIT;
	for (size_t i = 0; i < plan->entry_count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		if (entry->action != PLAN_VANISHED)
			continue;
		strlist_add(&now, entry->client);
		if (!strlist_has(&loop->vanished, entry->client))
			log_warn("client vanished from the inventory: nothing is destroyed",
				LOG_STR("client", entry->client), LOG_STR("commit", plan->target));
	}
	strlist_clear(&loop->vanished);
	loop->vanished = now;
}

static void supersede(struct loop *loop, const struct look_result *result)
{
	log_info("rollout is superseded", LOG_STR("rollout", loop->rollout->record.id),
		LOG_STR("commit", result->head.hex));
	loop_feed(loop, (struct rollout_event){.kind = EVENT_SUPERSEDED, .text = result->head.hex});
}

static void goes_on(struct loop *loop, const struct look_result *result, const char *why)
{
	if (loop->rollout->record.drift)
		return; /* the newest commit was there before it */
	auto_free char *text =
		mem_printf("commit %.7s %s: the rollout goes on", result->head.hex, why);
	loop_feed(loop, (struct rollout_event){.kind = EVENT_NOTE, .text = text});
}

/* One that waits is ended by whatever changes a client; one that works only by a commit that wants
 * something else of its own clients. */
static bool ends_rollout(const struct loop *loop, const struct look_result *result)
{
	const struct rollout *rollout = loop->rollout;
	/* Whoever has no entry runs what the records say that the plan was made with: those of the
	 * look, since facts of this rollout may have gone out meanwhile. */
	const struct status *seen = result->status ? result->status : loop->status;
	return rollout->record.state == ROLLOUT_WAITING
		       ? rollout_is_left_behind_by(rollout, result->plan, seen)
		       : rollout_is_changed_by(rollout, result->plan, seen);
}

/* Is it the commit from which a person sends the client back? That one is not newer. */
static bool is_left_by_hand(const struct loop *loop, const char *commit)
{
	const struct rollout *rollout = loop->rollout;
	for (size_t i = 0; rollout->record.by_hand && i < rollout->client_count; i++) {
		const struct client_record *client =
			status_client(loop->status, rollout->clients[i].record->client);
		if (client && client->hold.by_hand && !strcmp(client->hold.commit, commit))
			return true;
	}
	return false;
}

/* A look that came while a rollout runs. */
static void consider_newer(struct loop *loop, struct look_result *result)
{
	if (!strcmp(result->head.hex, loop->rollout->record.commit) || loop->rollout->ended ||
		is_left_by_hand(loop, result->head.hex))
		return;
	if (result->refusals.count) {
		record_refusal(loop, result);
		goes_on(loop, result, "is refused");
	} else if (result->plan && ends_rollout(loop, result)) {
		supersede(loop, result);
	} else if (result->plan) {
		goes_on(loop, result, "changes no client of this rollout");
	}
}

/* A tag that the machine does not know yet: after a push under way the look's status is old. */
static void take_approval(struct loop *loop, const struct look_result *result)
{
	const struct look_approval *approval = &result->approval;
	if (!loop->rollout || strcmp(approval->rollout, loop->rollout->record.id) != 0 ||
		rollout_record_knows_tag(&loop->rollout->record, approval->tag.hex))
		return;
	loop_feed(loop, (struct rollout_event){.kind = EVENT_APPROVE,
				.who = approval->by,
				.text = approval->reason,
				.tag = approval->tag.hex});
}

/* `apply` with nothing to do leaves the branch as it is; a service says that it is here. */
static bool has_work(const struct look_result *result)
{
	const struct plan *plan = result->plan;
	return result->resume || result->truth || result->refusals.count || result->pins.count ||
	       (plan && (plan->verdict == PLAN_ALLOWED || plan->fleet_changed ||
				plan->ends_hold.count));
}

static void go_on(struct loop *loop, struct look_result *result)
{
	if (!result->resume)
		record_pins(loop, result);
	if (result->resume) {
		resume_rollout(loop, result);
		if (result->resume_gone)
			supersede(loop, result);
		else
			consider_newer(loop, result);
	} else if (result->refusals.count)
		record_refusal(loop, result);
	else if (result->plan && loop->status->asked.pause.paused)
		set_outcome(loop, 4, "waiting", "the fleet is paused: nothing new starts");
	else if (result->plan)
		start_plan(loop, result);
	else if (result->waits)
		set_outcome(loop, 1, result->waits,
			"the newest commit was tried before; push another one");
	take_approval(loop, result);
	loop->look_resumes = false;
}

static void consider(struct loop *loop, struct look_result *result)
{
	bool led = loop->leads;
	status_free(loop->status);
	loop->status = STEAL(result->status);
	loop->status_stale = false;
	if (!led && (!loop->options.once || has_work(result)))
		lead(loop, result);
	for (size_t i = 0; result->truth && !result->resume && i < result->truth->count; i++)
		loop_record(loop, fact_drift(&result->truth->records[i]), false);
	/* What was begun may go back to a known good release at once, without another push: not
	 * before it is certain that nobody else leads. */
	loop->resume_waits = !led && loop->leads && result->resume;
	if (!loop->resume_waits)
		go_on(loop, result);
}

void loop_on_leading(struct loop *loop)
{
	if (!loop->resume_waits || loop->stopping)
		return;
	loop->resume_waits = false;
	go_on(loop, loop->seen);
}

/* Until somebody else moves the branch, or a restart. */
static bool stays_halted(struct loop *loop, const struct look_result *result)
{
	const struct oid *tip = &result->status->tip;
	if (!loop->halted[0])
		return false;
	if (loop->halted_tip.hex[0] && !oid_equal(&loop->halted_tip, tip)) {
		loop->halted[0] = '\0';
		loop->not_ready[0] = '\0';
		return false;
	}
	loop->halted_tip = *tip;
	memcpy(loop->not_ready, loop->halted, sizeof(loop->not_ready));
	loop_set_problem(loop, loop->halted);
	set_outcome(loop, 1, "error", loop->halted);
	return true;
}

static void remember_seen(struct loop *loop, struct look_result *result)
{
	look_result_free(loop->seen);
	loop->seen = result;
	loop->resume_waits = false;
	loop->looked = true;
	loop->looks_failed = 0;
	if (result->stands_by || loop->halted[0])
		return; /* said below, and nothing is over */
	loop->not_ready[0] = '\0';
	if (!loop->append_failed)
		loop_set_problem(loop, "");
}

void loop_on_looked(struct loop *loop, struct message *message)
{
	loop->look_running = false;
	loop->looks++;
	loop->changed = true;
	if (!message->ok) {
		loop_by_hand_failed(loop, &message->err);
		loop_repair_failed(loop);
		on_look_failed(loop, &message->err);
		plan_next_look(loop);
		return;
	}
	struct look_result *result = message->data;
	message->data = NULL;
	remember_seen(loop, result);
	loop_set_drift_policy(loop, result);
	plan_next_look(loop);
	if (result->plan && !result->by_hand)
		note_vanished(loop, result->plan);
	if (result->stands_by)
		stop_leading(loop, result->status);
	bool still = loop->decide_again || loop->stopping || result->stands_by ||
		     stays_halted(loop, result);
	if (loop->by_hand) {
		loop_on_by_hand(loop, result, !still);
		return;
	}
	if (loop->drift.looking) {
		loop_on_repair(loop, result, !still);
		return;
	}
	if (still)
		return;
	if (loop->rollout) {
		if (!result->nothing_new)
			consider_newer(loop, result);
		take_approval(loop, result);
		return;
	}
	/* Facts under way change the status that this look saw: it is looked again after them. */
	if (loop_has_facts(loop)) {
		loop->look_after_push = true;
		return;
	}
	if (result->nothing_new && loop->leads)
		return;
	consider(loop, result);
}
