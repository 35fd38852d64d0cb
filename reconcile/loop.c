#include "reconcile/loop.h"
#include "base/clock.h"
#include "base/log.h"
#include "reconcile/loop_state.h"

#define PUBLISH_EVERY_MS 100 /* while messages come faster than people read */
#define LOOK_AGAIN_MS    100 /* doubled each time that others changed our records in a row */

void loop_set_problem(struct loop *loop, const char *text)
{
	if (!strcmp(loop->problem, text))
		return;
	(void)snprintf(loop->problem, sizeof(loop->problem), "%s", text);
	loop->changed = true;
	if (text[0])
		log_warn("trouble", LOG_STR("problem", text));
	else
		log_info("trouble is over");
}

/* ---- snapshots ---------------------------------------------------------------------------------
 */

static void show_rollout(const struct rollout *rollout, struct snapshot *snapshot)
{
	snapshot->rollout = mem_zero(1, sizeof(*snapshot->rollout));
	rollout_record_copy(snapshot->rollout, &rollout->record);
	snapshot->members = mem_zero(rollout->client_count, sizeof(*snapshot->members));
	snapshot->member_count = rollout->client_count;
	size_t next = 0;
	for (size_t i = 0; i < snapshot->rollout->stage_count; i++)
		for (size_t j = 0; j < snapshot->rollout->stages[i].member_count; j++, next++) {
			struct snapshot_member *member = &snapshot->members[next];
			const struct rollout_client *client = &rollout->clients[next];
			member->client = snapshot->rollout->stages[i].members[j].client;
			member->good_rounds = client->good_rounds;
			member->going_back =
				client->phase == PHASE_BACK || client->phase == PHASE_BACK_VERIFY;
			member->wanted_rounds = (int)rollout->verify_healthy;
			if (client->phase == PHASE_STEP)
				(void)rollout_step_name(rollout, client, member->step); /* "" */
			memcpy(member->detail, client->failure, sizeof(member->detail));
		}
}

static bool is_idle(const struct loop *loop)
{
	return !loop->look_running && !loop->look_wanted && !loop->rollout &&
	       !loop_has_facts(loop) && !loop->decide_again;
}

static void publish(struct loop *loop)
{
	struct snapshot *snapshot = snapshot_new();
	const struct look_result *seen = loop->seen;
	memcpy(snapshot->leader, loop->status->leader, sizeof(snapshot->leader));
	snapshot->epoch = loop->status->epoch;
	snapshot->ready = loop->looked && !loop->not_ready[0];
	(void)snprintf(snapshot->not_ready, sizeof(snapshot->not_ready), "%s",
		loop->looked || loop->not_ready[0] ? loop->not_ready
						   : "the repository was not fetched yet");
	memcpy(snapshot->problem, loop->problem, sizeof(snapshot->problem));
	if (seen) {
		memcpy(snapshot->commit, seen->head.hex, sizeof(snapshot->commit));
		memcpy(snapshot->commit_subject, seen->subject, sizeof(seen->subject));
		memcpy(snapshot->commit_author, seen->author, sizeof(seen->author));
	}
	snapshot->status = status_copy(loop->status);
	strlist_copy(&snapshot->vanished, &loop->vanished);
	snapshot->published_s = clock_wall_s();
	snapshot->idle = is_idle(loop);
	snapshot->looks = loop->looks;
	loop_show_requests(loop, snapshot);
	if (loop->rollout)
		show_rollout(loop->rollout, snapshot);
	board_publish(loop->board, snapshot);
	loop->changed = false;
}

/* ---- the loop ----------------------------------------------------------------------------------
 */

static void on_stop(struct loop *loop)
{
	if (loop->stopping)
		return;
	log_info("stopping: what runs is finished or recorded");
	loop->stopping = true;
	loop->stop_until_ms = clock_mono_ms() + LOOP_STOP_MS;
	if (loop->rollout)
		loop_feed(loop, (struct rollout_event){.kind = EVENT_STOP});
}

static void handle(struct loop *loop, struct message *message)
{
	switch (message->kind) {
	case MESSAGE_LOOK:
		loop->look_wanted = true;
		break;
	case MESSAGE_LOOKED:
		loop_on_looked(loop, message);
		break;
	case MESSAGE_APPENDED:
		loop_on_appended(loop, message);
		break;
	case MESSAGE_WORKED:
		loop_on_worked(loop, message);
		break;
	case MESSAGE_ROUND:
		loop_on_round(loop, message);
		break;
	case MESSAGE_REQUEST:
		loop_on_request(loop, message);
		break;
	case MESSAGE_STOP:
		on_stop(loop);
		break;
	}
}

int64_t loop_next_wake_ms(const struct loop *loop)
{
	int64_t next = loop->next_look_ms;
	bool waits = loop->look_wanted && !loop->look_running && !loop->stopping;
	if (waits && loop->look_not_before_ms < next)
		next = loop->look_not_before_ms;
	if (loop->append_retry_ms && loop->append_retry_ms < next)
		next = loop->append_retry_ms;
	int64_t tick_ms = loop->rollout ? rollout_next_tick_ms(loop->rollout) : INT64_MAX;
	if (tick_ms < next)
		next = tick_ms;
	if (loop->rollout && loop->windows_ms && loop->windows_ms < next)
		next = loop->windows_ms;
	if (loop_drift_wake_ms(loop) < next)
		next = loop_drift_wake_ms(loop);
	if (loop->stopping && loop->stop_until_ms < next)
		next = loop->stop_until_ms;
	return next;
}

static void on_time(struct loop *loop)
{
	int64_t now_ms = clock_mono_ms();
	if (now_ms >= loop->next_look_ms) {
		loop->next_look_ms = now_ms + loop->options.poll_interval_ms;
		loop->look_wanted = true;
	}
	if (loop->append_retry_ms && now_ms >= loop->append_retry_ms)
		loop->append_retry_ms = 0;
	if (loop->rollout && loop->windows_ms && now_ms >= loop->windows_ms)
		loop_apply_windows(loop);
	if (loop->rollout && now_ms >= rollout_next_tick_ms(loop->rollout))
		loop_feed(loop, (struct rollout_event){.kind = EVENT_TICK});
}

static void finish_rollout(struct loop *loop)
{
	const struct rollout_record *record = &loop->rollout->record;
	bool failed = rollout_state_holds(record->state);
	log_info("rollout ended", LOG_STR("rollout", record->id),
		LOG_STR("state", rollout_state_name(record->state)));
	loop->outcome.exit_status = failed ? 1 : 0;
	(void)snprintf(loop->outcome.result, sizeof(loop->outcome.result), "%s",
		rollout_state_name(record->state));
	memcpy(loop->outcome.rollout, record->id, sizeof(record->id));
	(void)snprintf(loop->outcome.text, sizeof(loop->outcome.text), "%s",
		record->reasons.count ? record->reasons.items[0] : "");
	if (loop->plan)
		git_thread_prune_tags(loop->git, loop->plan->keep_rollback_tags);
	if (record->drift)
		loop_ask_drift_soon(loop); /* whether it is put right */
	bool again = record->state == ROLLOUT_SUPERSEDED || loop->rollout->superseded ||
		     strcmp(loop->seen->head.hex, record->commit) != 0;
	loop_drop_rollout(loop);
	loop->look_wanted = loop->look_wanted || again || !loop->options.once;
	loop->look_forced = loop->look_wanted;
}

/* Somebody else changed our records: once nothing runs, start from the branch and the hosts. */
static void decide_again(struct loop *loop)
{
	if (loop->steps_running || loop->append_running || loop->look_running)
		return;
	log_warn("deciding again from the status branch");
	loop_drop_facts(loop);
	/* Somebody who goes on changing our records must not make us hammer the remote. */
	if (loop->decided_again++ > 1)
		loop->look_not_before_ms =
			clock_mono_ms() +
			(LOOK_AGAIN_MS << (loop->decided_again < 8 ? loop->decided_again : 8));
	if (loop->rollout)
		loop_drop_rollout(loop);
	loop->decide_again = false;
	loop->look_wanted = loop->look_resumes = true;
	loop->look_forced = loop->decided_again <= 1;
}

/* A rollout that only a person, a host or another commit can move: `apply` ends where a service
 * waits. */
static bool waits_for_people(const struct loop *loop)
{
	return loop->rollout && !loop->rollout->ended && !loop->steps_running &&
	       !loop->append_running && !loop->look_running && !loop_has_facts(loop) &&
	       !loop->decide_again &&
	       (loop->rollout->waits || rollout_next_tick_ms(loop->rollout) == INT64_MAX);
}

bool loop_is_done(const struct loop *loop)
{
	bool quiet = !loop->steps_running && !loop->append_running;
	if (loop->stopping)
		return clock_mono_ms() >= loop->stop_until_ms ||
		       (quiet && (!loop_has_facts(loop) || loop->append_failed));
	return loop->options.once && loop->looks && quiet &&
	       (is_idle(loop) || waits_for_people(loop));
}

static void settle(struct loop *loop)
{
	if (loop->decide_again)
		decide_again(loop);
	loop_settle_requests(loop);
	loop_go_on_with_drift(loop);
	loop_push(loop);
	if (loop->rollout && loop->rollout->ended && !loop->rollout->unrecorded)
		finish_rollout(loop);
	loop_start_look(loop);
}

void loop_begin_turns(struct loop *loop)
{
	loop->look_wanted = loop->look_resumes = true;
	loop->changed = true;
	loop->next_look_ms = clock_mono_ms() + loop->options.poll_interval_ms;
	settle(loop);
}

void loop_turn(struct loop *loop, struct message *message)
{
	if (message)
		handle(loop, message);
	on_time(loop);
	settle(loop);
}

void loop_run(struct loop *loop, struct loop_outcome *outcome_out)
{
	int64_t published_ms = 0;
	loop_begin_turns(loop);
	while (!loop_is_done(loop)) {
		int64_t now_ms = clock_mono_ms();
		if (loop->changed && (inbox_is_empty(loop->inbox) ||
					     now_ms - published_ms >= PUBLISH_EVERY_MS)) {
			publish(loop);
			published_ms = now_ms;
		}
		auto_message struct message *message =
			inbox_take(loop->inbox, loop_next_wake_ms(loop));
		loop_turn(loop, message);
	}
	publish(loop);
	if (loop->options.once && waits_for_people(loop)) {
		loop->outcome.exit_status = 4;
		(void)snprintf(loop->outcome.result, sizeof(loop->outcome.result), "waiting");
	}
	*outcome_out = loop->outcome;
}

void loop_poke(struct loop *loop)
{
	/* While a look is wanted already, another webhook changes nothing and wakes nobody. */
	if (!__atomic_exchange_n(&loop->poked, true, __ATOMIC_ACQ_REL))
		inbox_post(loop->inbox, message_new(MESSAGE_LOOK));
}

void loop_stop(struct loop *loop)
{
	inbox_post(loop->inbox, message_new(MESSAGE_STOP));
}

bool loop_new(const struct loop_options *options, struct board *board, struct loop **loop_out,
	struct error *err)
{
	auto_loop struct loop *loop = mem_zero(1, sizeof(*loop));
	auto_free char *log_dir = mem_printf("%s/logs", options->state_dir);
	auto_free char *steps_dir = mem_printf("%s/steps", options->state_dir);
	struct repo *repo = NULL;
	loop->options = *options;
	loop->board = board;
	loop->inbox = inbox_new();
	loop->status = status_new();
	loop_init_requests(loop);
	if (!hosts_new(&options->hosts, &loop->hosts, err))
		return false;
	loop->options.git.hosts = loop->hosts;
	if (!loop_read_instance(loop, err) ||
		!git_thread_new(&loop->options.git, loop->inbox, &loop->git, err) ||
		!git_thread_repo(loop->git, &repo, err))
		return false;
	loop->renderer = renderer_new(repo, options->git.keyring, loop->hosts);
	const struct workers_options workers = {.threads = options->workers,
		.log_dir = log_dir,
		.steps_dir = steps_dir,
		.ssh_key_file = options->hosts.ssh_key_file,
		.known_hosts_file = options->hosts.known_hosts_file,
		.renderer = loop->renderer,
		.inbox = loop->inbox};
	if (!workers_new(&workers, &loop->workers, err))
		return false;
	*loop_out = STEAL(loop);
	return true;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	hosts_stop(loop->hosts); /* what waits for a host has its answer then */
	workers_free(loop->workers);
	git_thread_free(loop->git);
	renderer_free(loop->renderer);
	hosts_free(loop->hosts);
	loop_drop_facts(loop);
	rollout_free(loop->rollout);
	event_log_free(loop->events);
	free(loop->events_before);
	plan_free(loop->plan);
	look_result_free(loop->seen);
	strlist_clear(&loop->vanished);
	strlist_clear(&loop->drift.clients);
	strlist_clear(&loop->drift.found);
	strlist_clear(&loop->drift.repairs);
	free(loop->asked);
	status_free(loop->status);
	inbox_free(loop->inbox);
	free(loop);
}
