/* Facts on their way to the status branch: one push at a time, in order, repeated until accepted.
 */
#include "base/clock.h"
#include "base/log.h"
#include "reconcile/loop_state.h"

#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS   60000
#define ONCE_TRIES     5 /* `apply` gives up where the service goes on trying */

static void list_add(struct fact_list *list, struct fact *fact)
{
	mem_grow(list->items, list->count, list->capacity);
	list->items[list->count++] = fact;
}

static void list_clear(struct fact_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		fact_free(list->items[i]);
	free(list->items);
	*list = (struct fact_list){0};
}

bool loop_has_facts(const struct loop *loop)
{
	return loop->queue.count || loop->sent.count;
}

/* Leadership that was not accepted is none. */
static bool tells_leader(const struct fact_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (!strncmp(list->items[i]->subject, "leader(", strlen("leader(")))
			return true;
	return false;
}

void loop_drop_facts(struct loop *loop)
{
	if (tells_leader(&loop->queue) || tells_leader(&loop->sent))
		loop->leads = false;
	list_clear(&loop->queue);
	list_clear(&loop->sent);
	loop->sent_of_rollout = 0;
	loop->queued_of_rollout = 0;
	loop->accepted_ever = loop->queued_ever;
	loop->status_stale = true;
	loop->resume_waits = false;
	loop_reopen_requests(loop);
	loop->append_failed = 0;
	loop->append_retry_ms = 0;
}

void loop_record(struct loop *loop, struct fact *fact, bool of_rollout)
{
	if (fact->client)
		status_put_client(loop->status, fact->client);
	if (fact->rollout)
		status_put_rollout(loop->status, fact->rollout);
	if (fact->asked)
		status_put_asked(loop->status, fact->asked);
	fact->of_rollout = of_rollout;
	list_add(&loop->queue, fact);
	loop->queued_ever++;
	loop->queued_of_rollout += of_rollout;
	loop->changed = true;
}

/* The events ride in the last fact of the machine in a push, which has decided all of them: so the
 * branch never tells a decision without what it came from. */
static void add_events(struct loop *loop)
{
	for (size_t i = loop->queue.count; loop->events && i-- > 0;) {
		if (!loop->queue.items[i]->of_rollout)
			continue;
		fact_add_events(loop->queue.items[i], loop->rollout->record.id,
			event_log_text(loop->events));
		return;
	}
}

void loop_push(struct loop *loop)
{
	if (loop->append_running || loop->append_retry_ms || loop->decide_again)
		return;
	if (!loop->sent.count) {
		if (!loop->queue.count)
			return;
		add_events(loop);
		loop->batch++;
		loop->sent = loop->queue;
		loop->sent_of_rollout = loop->queued_of_rollout;
		loop->queue = (struct fact_list){0};
		loop->queued_of_rollout = 0;
	}
	loop->append_running = true;
	git_thread_append(
		loop->git, loop->batch, loop->sent.items, loop->sent.count, &loop->status->tip);
}

static void retry_later(struct loop *loop, const struct error *err)
{
	int64_t wait_ms = loop->options.poll_interval_ms;
	if (err->code != ERR_REFUSED) {
		wait_ms = RETRY_FIRST_MS << (loop->append_failed < 6 ? loop->append_failed : 6);
		wait_ms = wait_ms < RETRY_MAX_MS ? wait_ms : RETRY_MAX_MS;
	}
	loop->append_failed++;
	loop->append_retry_ms = clock_mono_ms() + wait_ms;
}

/* `apply` ends with an error where the service would try again at the poll. */
static void give_up_once(struct loop *loop, const struct error *err, const char *text)
{
	bool final = err->code == ERR_REFUSED || loop->append_failed >= ONCE_TRIES;
	if (!loop->options.once || !final)
		return;
	loop->outcome.exit_status = error_exit_status(err->code);
	(void)snprintf(loop->outcome.result, sizeof(loop->outcome.result), "error");
	(void)snprintf(loop->outcome.text, sizeof(loop->outcome.text), "%s", text);
	loop->stopping = true;
}

void loop_on_appended(struct loop *loop, const struct message *message)
{
	char text[1400];
	loop->append_running = false;
	loop->changed = true;
	if (message->ok) {
		bool leading = tells_leader(&loop->sent);
		if (leading)
			loop_keep_instance(loop);
		size_t recorded = loop->sent_of_rollout;
		loop->status->tip = *(const struct oid *)message->data;
		loop->accepted_ever += loop->sent.count;
		list_clear(&loop->sent);
		loop->sent_of_rollout = 0;
		loop->append_failed = 0;
		loop->decided_again = 0;
		loop_set_problem(loop, loop->halted);
		if (loop->look_after_push && !loop->queue.count) {
			loop->look_after_push = false;
			loop->look_wanted = loop->look_forced = true;
		}
		if (recorded && loop->rollout)
			loop_feed(loop,
				(struct rollout_event){.kind = EVENT_RECORDED, .count = recorded});
		if (leading)
			loop_on_leading(loop);
		return;
	}
	error_line(&message->err, text, sizeof(text));
	loop_set_problem(loop, text);
	if (message->err.code == ERR_REJECTED) {
		loop->decide_again = true;
		return;
	}
	retry_later(loop, &message->err);
	give_up_once(loop, &message->err, text);
}
