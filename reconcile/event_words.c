#include "reconcile/events.h"

#define WORD_CASE(value, word, client)                                                             \
	case value:                                                                                \
		return word;
#define CLIENT_CASE(value, word, client)                                                           \
	case value:                                                                                \
		return client;
#define WORD_PAIR(value, word, client) {value, word},

/* No default: a value that its list lacks does not compile. */
const char *event_word(enum rollout_event_kind kind)
{
	switch (kind) {
		EVENT_WORDS(WORD_CASE)
	}
	abort(); /* no event at all */
}

bool event_is_of_client(enum rollout_event_kind kind)
{
	switch (kind) {
		EVENT_WORDS(CLIENT_CASE)
	}
	abort(); /* no event at all */
}

const char *event_runs_word(enum rollout_runs runs)
{
	switch (runs) {
		RUNS_WORDS(WORD_CASE)
	}
	abort(); /* no answer at all */
}

const char *event_phase_word(enum rollout_phase phase)
{
	switch (phase) {
		PHASE_WORDS(WORD_CASE)
	}
	abort(); /* no phase at all */
}

const char *event_wait_word(enum rollout_wait wait)
{
	switch (wait) {
		WAIT_WORDS(WORD_CASE)
	}
	abort(); /* no wait at all */
}

struct word {
	int value;
	const char *word;
};

static bool find(const struct word *words, size_t count, const char *word, int *value_out)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(words[i].word, word) != 0)
			continue;
		*value_out = words[i].value;
		return true;
	}
	return false;
}

bool event_from_word(const char *word, enum rollout_event_kind *kind_out)
{
	static const struct word words[] = {EVENT_WORDS(WORD_PAIR)};
	int value;
	if (!find(words, ARRAY_LEN(words), word, &value))
		return false;
	*kind_out = (enum rollout_event_kind)value;
	return true;
}

bool event_runs_from_word(const char *word, enum rollout_runs *runs_out)
{
	static const struct word words[] = {RUNS_WORDS(WORD_PAIR)};
	int value;
	if (!find(words, ARRAY_LEN(words), word, &value))
		return false;
	*runs_out = (enum rollout_runs)value;
	return true;
}

bool event_phase_from_word(const char *word, enum rollout_phase *phase_out)
{
	static const struct word words[] = {PHASE_WORDS(WORD_PAIR)};
	int value;
	if (!find(words, ARRAY_LEN(words), word, &value))
		return false;
	*phase_out = (enum rollout_phase)value;
	return true;
}

bool event_wait_from_word(const char *word, enum rollout_wait *wait_out)
{
	static const struct word words[] = {WAIT_WORDS(WORD_PAIR)};
	int value;
	if (!find(words, ARRAY_LEN(words), word, &value))
		return false;
	*wait_out = (enum rollout_wait)value;
	return true;
}

/* ---- decisions: what is recorded is named as the commit's trailers name it ---------------------
 */

static char *approved(const struct rollout_record *record)
{
	auto_free char *what = approval_record_what(&record->approvals[record->approval_count - 1]);
	return mem_printf("record approved %s", what);
}

static char *ending(const struct rollout_record *record)
{
	auto_free char *text = rollout_record_ending(record);
	return mem_printf("record ending, %s", text);
}

/* Most steps decide something, in each rollout and in each replay: no format is read for it. */
static char *join(const char *before, const char *name, const char *after)
{
	size_t first = strlen(before), second = strlen(name), third = strlen(after);
	char *text = mem_alloc(first + second + third + 1);
	memcpy(text, before, first);
	memcpy(text + first, name, second);
	memcpy(text + first + second, after, third + 1);
	return text;
}

static char *recorded(const struct rollout *rollout, const struct rollout_action *action)
{
	const struct rollout_client *client =
		action->client < rollout->client_count ? &rollout->clients[action->client] : NULL;
	const char *name = client ? client->record->client : "";
	switch (action->fact) {
	case FACT_ROLLOUT_STARTED:
		return mem_dup_str("record rollout started");
	case FACT_CLIENT_STARTED:
		return join("record ", name, " started");
	case FACT_CLIENT_BACKUP:
		return join("record ", name, " backed up");
	case FACT_CLIENT_ASKS:
		return join("record ", name, " waiting");
	case FACT_CLIENT_BACK:
		return join("record ", name, " going back");
	case FACT_CLIENT_RETRY:
		return join("record ", name, " attempt failed");
	case FACT_CLIENT_WAITING:
		return join("record ", name, " waiting");
	case FACT_WAITING:
		return mem_dup_str("record rollout waiting");
	case FACT_APPROVED:
		return approved(&rollout->record);
	case FACT_ENDING:
		return ending(&rollout->record);
	case FACT_STAGE:
		return mem_printf("record stage %s %s", rollout->stages[action->stage].record->name,
			stage_state_name(rollout->stages[action->stage].record->state));
	case FACT_CLIENT_ENDED:
		return mem_printf("record %s %s", name,
			client->record->state == MEMBER_HEALTHY
				? "succeeded"
				: member_state_name(client->record->state));
	case FACT_CLIENT_HELD:
		return join("record ", name, " held");
	case FACT_ROLLOUT_ENDED:
		return mem_printf("record rollout %s", rollout_state_name(rollout->record.state));
	}
	abort(); /* every fact is named above; the compiler says if one is not */
}

char *event_decision(const struct rollout *rollout, const struct rollout_action *action)
{
	char name[STEP_NAME] = "";
	switch (action->kind) {
	case ACTION_RECORD:
		return recorded(rollout, action);
	case ACTION_STEP:
		(void)rollout_step_name(rollout, &rollout->clients[action->client], name);
		return mem_printf(
			"run %s on %s", name, rollout->clients[action->client].record->client);
	case ACTION_DEPLOY:
		return join("deploy ", rollout->clients[action->client].record->client, "");
	case ACTION_BACK:
		return mem_printf("back %s%s", rollout->clients[action->client].record->client,
			rollout->clients[action->client].restore == RESTORE_YES ? " with its data"
										: "");
	case ACTION_ASK:
		return join("ask ", rollout->clients[action->client].record->client, "");
	case ACTION_ROUND:
		return NULL;
	}
	abort(); /* every action is named above */
}
