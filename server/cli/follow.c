#include "server/cli/follow.h"
#include "base/clock.h"
#include "server/cli/online.h"
#include <cjson/cJSON.h>

struct follow {
	FILE *out;
	bool json;
	char *rollout;  /* id that is followed, NULL none yet */
	cJSON *seen;    /* client or "stage/<name>" -> state that was printed */
	char *expected; /* id that is ours even if it was never seen running */
};

struct follow *follow_new(FILE *out, bool json)
{
	struct follow *follow = mem_zero(1, sizeof(*follow));
	follow->out = out;
	follow->json = json;
	follow->seen = cJSON_CreateObject();
	return follow;
}

void follow_free(struct follow *follow)
{
	if (!follow)
		return;
	cJSON_Delete(follow->seen);
	free(follow->rollout);
	free(follow->expected);
	free(follow);
}

/* Was this state of that thing printed before? Notes it. */
static bool is_news(struct follow *follow, const char *thing, const char *state)
{
	if (!strcmp(online_text(follow->seen, thing), state))
		return false;
	cJSON_DeleteItemFromObjectCaseSensitive(follow->seen, thing);
	cJSON_AddStringToObject(follow->seen, thing, state);
	return true;
}

static void print_took(FILE *out, const cJSON *item)
{
	int64_t from, to;
	char text[CLOCK_TEXT_SIZE];
	if (clock_parse(online_text(item, "started"), &from) &&
		clock_parse(online_text(item, "finished"), &to) && to > from)
		fprintf(out, "  %s", duration_human((to - from) * 1000, text));
}

static void print_member(
	struct follow *follow, const cJSON *rollout, const char *stage, const cJSON *member)
{
	const char *client = member->string, *state = online_text(member, "state");
	const cJSON *progress = cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(rollout, "progress"), client);
	const cJSON *reason =
		cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(member, "reasons"), 0);
	const char *detail = online_text(progress, "detail");
	bool waits = !strcmp(state, "pending") || !strcmp(state, "skipped");
	/* On the way back the record says `deploying` and `verifying` once more. */
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(progress, "going_back")))
		state = !strcmp(state, "deploying") ? "going back" : "verifying it";
	if (*online_text(progress, "step"))
		state = online_text(progress, "step");
	if (waits || !is_news(follow, client, state))
		return;
	if (follow->json) {
		fprintf(follow->out,
			"{\"rollout\":\"%s\",\"stage\":\"%s\",\"client\":\"%s\","
			"\"state\":\"%s\"}\n",
			online_text(rollout, "id"), stage, client, state);
		return;
	}
	fprintf(follow->out, "  %-12s %-12s", client, state);
	if (!strcmp(state, "deploying") && cJSON_IsString(reason))
		fprintf(follow->out, " %s", reason->valuestring);
	if (!strcmp(state, "failed") || !strcmp(state, "rolled-back") ||
		!strcmp(state, "going back") || !strcmp(state, "waiting"))
		fprintf(follow->out, " %s", detail);
	print_took(follow->out, member);
	fputc('\n', follow->out);
}

static void print_stage(struct follow *follow, const cJSON *rollout, const cJSON *stage)
{
	const char *name = online_text(stage, "name"), *state = online_text(stage, "state");
	const cJSON *clients = cJSON_GetObjectItemCaseSensitive(stage, "clients"), *member;
	auto_free char *thing = mem_printf("stage/%s", name);
	bool quiet = !strcmp(state, "pending") || !cJSON_GetArraySize(clients);
	bool first = !cJSON_GetObjectItemCaseSensitive(follow->seen, thing);
	bool baking = !strcmp(state, "baking");
	if (quiet)
		return;
	if (first && !follow->json)
		fprintf(follow->out, "%s\n", name);
	if (first)
		cJSON_AddStringToObject(follow->seen, thing, "running");
	cJSON_ArrayForEach(member, clients) print_member(follow, rollout, name, member);
	if (!is_news(follow, thing, state))
		return;
	if (follow->json)
		fprintf(follow->out, "{\"rollout\":\"%s\",\"stage\":\"%s\",\"state\":\"%s\"}\n",
			online_text(rollout, "id"), name, state);
	else if (baking)
		fprintf(follow->out, "  baking %s\n", online_text(stage, "bake"));
	else if (strcmp(state, "running") != 0)
		fprintf(follow->out, "  %s\n", state);
}

static bool is_final(const char *state)
{
	return strcmp(state, "running") != 0 && strcmp(state, "waiting") != 0;
}

/* A rollout that begins: its head line, and nothing printed of it yet. */
static void take_rollout(struct follow *follow, const cJSON *status, const cJSON *rollout)
{
	free(follow->rollout);
	follow->rollout = mem_dup_str(online_text(rollout, "id"));
	cJSON_Delete(follow->seen);
	follow->seen = cJSON_CreateObject();
	if (follow->json)
		return;
	fprintf(follow->out, "%s  commit %.7s", follow->rollout, online_text(rollout, "commit"));
	if (!strcmp(online_text(rollout, "commit"), online_text(status, "commit")))
		fprintf(follow->out, " '%s' by %s", online_text(status, "subject"),
			online_text(status, "author"));
	fputc('\n', follow->out);
}

/* Runs while we look, or is expected. */
static bool is_ours(const struct follow *follow, const cJSON *rollout)
{
	const char *id = online_text(rollout, "id");
	if (!*id)
		return false;
	return !is_final(online_text(rollout, "state")) ||
	       (follow->rollout && !strcmp(follow->rollout, id)) ||
	       (follow->expected && !strcmp(follow->expected, id));
}

void follow_expect(struct follow *follow, const char *rollout)
{
	free(follow->expected);
	follow->expected = *rollout ? mem_dup_str(rollout) : NULL;
}

void follow_update(struct follow *follow, const char *status_json)
{
	cJSON *status = cJSON_Parse(status_json);
	const cJSON *rollout = cJSON_GetObjectItemCaseSensitive(status, "rollout"), *stage;
	const char *id = online_text(rollout, "id");
	if (is_ours(follow, rollout)) {
		if (!follow->rollout || strcmp(follow->rollout, id) != 0)
			take_rollout(follow, status, rollout);
		cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(rollout, "stages"))
			print_stage(follow, rollout, stage);
		fflush(follow->out);
	}
	cJSON_Delete(status);
}

/* ---- the last line ------------------------------------------------------------------------------
 */

static void count_states(const cJSON *rollout, const char *state, int *count)
{
	const cJSON *stage, *member;
	*count = 0;
	cJSON_ArrayForEach(stage, cJSON_GetObjectItemCaseSensitive(rollout, "stages"))
		cJSON_ArrayForEach(
			member, cJSON_GetObjectItemCaseSensitive(stage, "clients")) *count +=
		!strcmp(online_text(member, "state"), state);
}

static void print_counts(FILE *out, const cJSON *rollout)
{
	static const struct {
		const char *state, *words;
	} kinds[] = {{"healthy", "healthy"}, {"rolled-back", "rolled back"}, {"failed", "failed"},
		{"superseded", "superseded"}, {"skipped", "not touched"}};
	const char *separator = ": ";
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		int count;
		count_states(rollout, kinds[i].state, &count);
		if (!count)
			continue;
		fprintf(out, "%s%d %s", separator, count, kinds[i].words);
		separator = ", ";
	}
}

static void print_reasons(FILE *out, const cJSON *rollout)
{
	const cJSON *reason;
	cJSON_ArrayForEach(reason,
		cJSON_GetObjectItemCaseSensitive(rollout, "reasons")) if (cJSON_IsString(reason))
		fprintf(out, "  %s\n", reason->valuestring);
}

static void print_end(struct follow *follow, const cJSON *rollout)
{
	const char *state = online_text(rollout, "state");
	int64_t from, to;
	char took[CLOCK_TEXT_SIZE];
	fprintf(follow->out, "%s", state);
	if (clock_parse(online_text(rollout, "started"), &from) &&
		clock_parse(online_text(rollout, "finished"), &to) && to > from)
		fprintf(follow->out, " after %s", duration_human((to - from) * 1000, took));
	print_counts(follow->out, rollout);
	fputc('\n', follow->out);
	print_reasons(follow->out, rollout);
	if (!strcmp(state, "failed"))
		fprintf(follow->out,
			"Commit %.7s is held: push a fix, or go back with 'git revert %.7s'.\n",
			online_text(rollout, "commit"), online_text(rollout, "commit"));
}

static int exit_status_of(const char *state)
{
	if (!strcmp(state, "waiting"))
		return 4;
	return !*state || !strcmp(state, "succeeded") || !strcmp(state, "superseded") ? 0 : 1;
}

/* The fleet is paused, which is told with no client's name. */
static const cJSON *fleet_pause(const cJSON *status)
{
	const cJSON *first =
		cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(status, "paused"), 0);
	return first && !*online_text(first, "client") ? first : NULL;
}

/* Nothing ended: a person, or another commit, must move it on. */
static int end_waiting(struct follow *follow, const cJSON *status, const char *id)
{
	const cJSON *pause = fleet_pause(status);
	const char *waits_for =
		online_text(cJSON_GetObjectItemCaseSensitive(status, "rollout"), "waits_for");
	if (follow->json)
		fprintf(follow->out, "{\"result\":\"waiting\",\"rollout\":%s%s%s}\n",
			*id ? "\"" : "", *id ? id : "null", *id ? "\"" : "");
	else if (pause)
		fprintf(follow->out,
			"waiting: the fleet is paused by %s: %s. Again: aviary resume\n",
			online_text(pause, "by"), online_text(pause, "reason"));
	else if (*waits_for)
		fprintf(follow->out, "waiting for %s. Next: aviary status\n", waits_for);
	else
		fprintf(follow->out, "waiting: see 'aviary status'\n");
	return 4;
}

int follow_end(struct follow *follow, const char *status_json)
{
	cJSON *status = cJSON_Parse(status_json);
	const cJSON *rollout = cJSON_GetObjectItemCaseSensitive(status, "rollout");
	const char *id = online_text(rollout, "id"), *state = online_text(rollout, "state");
	bool ours = is_ours(follow, rollout);
	if ((ours && !is_final(state)) || (!ours && fleet_pause(status))) {
		int waits = end_waiting(follow, status, ours ? id : "");
		cJSON_Delete(status);
		return waits;
	}
	bool same_commit = !strcmp(online_text(rollout, "commit"), online_text(status, "commit"));
	int exit_status = ours || same_commit ? exit_status_of(state) : 0;
	const char *result = ours || exit_status ? state : "unchanged";
	/* The newest record may be of another commit: a client was brought back by hand. */
	const cJSON *waits =
		cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(status, "waits"), 0);
	bool held = !ours && !exit_status && waits;
	if (held) {
		exit_status = 1;
		result = "held";
	}
	if (follow->json)
		fprintf(follow->out, "{\"result\":\"%s\",\"rollout\":%s%s%s}\n", result,
			*id ? "\"" : "", *id ? id : "null", *id ? "\"" : "");
	else if (ours)
		print_end(follow, rollout);
	else if (held)
		fprintf(follow->out, "nothing was tried: %s\n", online_text(waits, "what"));
	else if (exit_status)
		fprintf(follow->out,
			"nothing was tried: commit %.7s ended %s in rollout %s and is "
			"not tried again by itself\n",
			online_text(rollout, "commit"), state, id);
	else
		fprintf(follow->out, "nothing to do: every client runs what commit %.7s wants\n",
			online_text(status, "commit"));
	cJSON_Delete(status);
	return exit_status;
}
