/* The story of a run, in a person's words. */
#include "tests/sim/sim.h"
#include <stdarg.h>

void tell(const struct world *world, const char *format, ...)
{
	va_list args;
	if (!world->tells)
		return;
	printf("%8.3f  ", (double)world->now_ms / 1000);
	va_start(args, format);
	(void)vprintf(format, args); /* a terminal that is gone is no concern of a test */
	va_end(args);
	(void)putchar('\n');
}

static const char *member_name(const struct world *world, size_t member)
{
	return world->active->loop->rollout->clients[member].record->client;
}

static const char *runs_words[] = {
	[RUNS_UNTOUCHED] = "this rollout has not touched it",
	[RUNS_TARGET] = "the wanted release",
	[RUNS_TARGET_UNSURE] = "the wanted release, and its activation did not end well",
	[RUNS_BACK] = "the known good release again",
	[RUNS_BACK_UNSURE] = "the known good release, and going back did not end well",
	[RUNS_UNKNOWN] = "something else",
};

static void tell_of_client(const struct world *world, const struct rollout_event *event)
{
	const char *name = member_name(world, event->client);
	switch (event->kind) {
	case EVENT_DEPLOYED:
		tell(world, "%s: activation %s%s", name, event->ok ? "ended well" : "failed",
			event->transient ? ", which may pass by itself" : "");
		break;
	case EVENT_STEP:
		tell(world, "%s: its step %s%s", name, event->ok ? "ended well" : "failed",
			event->transient ? ", which may pass by itself" : "");
		break;
	case EVENT_UNSURE:
		tell(world, "%s: the connection is lost, nobody knows how it ended", name);
		break;
	case EVENT_UNREACHABLE:
		tell(world, "%s: its host cannot be reached", name);
		break;
	case EVENT_ROUND:
		tell(world, "%s: a %s round of checks", name, event->ok ? "good" : "bad");
		break;
	default:
		tell(world, "%s: its host %s%s", name, event->ok ? "runs: " : "does not answer",
			event->ok ? runs_words[event->runs] : "");
		break;
	}
}

void tell_event(const struct world *world, const struct rollout_event *event)
{
	if (!world->tells)
		return;
	switch (event->kind) {
	case EVENT_START:
		tell(world, "rollout %s %s", world->active->loop->rollout->record.id,
			world->active->loop->rollout->resumed ? "goes on" : "begins");
		break;
	case EVENT_RECORDED:
		tell(world, "the remote accepted %zu facts", event->count);
		break;
	case EVENT_TICK:
		break; /* what it led to is told */
	case EVENT_DEPLOYED:
	case EVENT_STEP:
	case EVENT_UNREACHABLE:
	case EVENT_UNSURE:
	case EVENT_ROUND:
	case EVENT_RUNS:
		tell_of_client(world, event);
		break;
	case EVENT_SUPERSEDED:
		tell(world, "the rollout is superseded by %.7s", event->text);
		break;
	case EVENT_NOTE:
		tell(world, "%s", event->text);
		break;
	case EVENT_APPROVE:
		tell(world, "%s says yes%s", event->who, event->now ? ", now" : "");
		break;
	case EVENT_ABORT:
		tell(world, "%s aborts the rollout", event->who);
		break;
	case EVENT_WINDOW:
		tell(world, "the window of stage %zu %s", event->stage + 1,
			event->ok ? "opens" : "closes");
		break;
	case EVENT_PAUSE:
	case EVENT_RESUME:
		tell(world, "%s %s",
			event->client == ROLLOUT_ALL ? "the fleet"
						     : member_name(world, event->client),
			event->kind == EVENT_PAUSE ? "is paused" : "is not paused any more");
		break;
	case EVENT_STOP:
		tell(world, "the service is told to stop");
		break;
	}
}

void tell_action(const struct world *world, const struct rollout_action *action)
{
	if (!world->tells || action->kind == ACTION_RECORD)
		return; /* facts are told with their subjects */
	const char *name = member_name(world, action->client);
	const struct rollout *rollout = world->active->loop->rollout;
	const struct rollout_client *client = &rollout->clients[action->client];
	char step[STEP_NAME] = "";
	(void)rollout_step_name(rollout, client, step); /* past the end there is none */
	if (action->kind == ACTION_DEPLOY)
		tell(world, "    -> %s: activate the wanted release", name);
	else if (action->kind == ACTION_BACK)
		tell(world, "    -> %s: go back to the known good release%s", name,
			client->restore == RESTORE_YES ? ", with its data" : "");
	else if (action->kind == ACTION_STEP)
		tell(world, "    -> %s: run %s", name, step);
	else if (action->kind == ACTION_ROUND)
		tell(world, "    -> %s: a round of checks", name);
	else
		tell(world, "    -> %s: what does the host run?", name);
}
