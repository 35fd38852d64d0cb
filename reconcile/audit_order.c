/* The order of facts: what starts ends, once, and nothing ends that has not started. */
#include "base/arena.h"
#include "base/strmap.h"
#include "reconcile/audit_parts.h"
#include "reconcile/status.h"

static const char no_start[] = "a host was touched, or said to be, without an intent on the "
			       "branch: somebody took the intent out, or wrote this";
static const char twice[] = "one of the two was not written by Aviary, or two services acted: look "
			    "at the leader facts around it";
static const char no_end[] = "its outcome was taken out of the branch, or never written: ask the "
			     "host what it runs";
static const char epochs[] = "leadership went back: two services acted, or the branch was put "
			     "together from pieces";
static const char tagged[] = "the history that this tag belongs to is gone from the branch: it was "
			     "replaced";

/* A rollout, and the clients that it started, in one list. */
struct run {
	const char *id, *open_client; /* client of an intent; NULL for the rollout itself */
	const struct told *started, *ended;
	struct run *next; /* of the same rollout */
};

struct order {
	struct audit_walk *walk;
	struct strmap runs; /* by "<rollout>" and "<rollout> <client>" */
	struct run *open;   /* the rollout that is not over */
	int64_t epoch;
};

bool audit_is_start_or_end(const char *result)
{
	static const char *const words[] = {
		"started", "succeeded", "failed", "rolled-back", "skipped", "superseded"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcmp(result, words[i]))
			return true;
	return false;
}

bool audit_ends_rollout(const char *result)
{
	return !strcmp(result, "refused") || !strcmp(result, "aborted") ||
	       (audit_is_start_or_end(result) && strcmp(result, "started") != 0);
}

static struct run *run_of(struct order *order, const char *id, const char *client)
{
	struct arena *arena = order->walk->arena;
	char *key = client ? arena_printf(arena, "%s %s", id, client) : arena_str(arena, id);
	struct run *run = strmap_get(&order->runs, key);
	if (run)
		return run;
	run = arena_alloc(arena, sizeof(*run));
	*run = (struct run){.id = arena_str(arena, id), .open_client = client};
	strmap_set(&order->runs, key, run);
	if (client) {
		struct run *rollout = run_of(order, id, NULL);
		run->next = rollout->next;
		rollout->next = run;
	}
	return run;
}

static void on_client(struct order *order, const struct told *told)
{
	struct run *rollout = run_of(order, told->rollout, NULL);
	struct run *run = run_of(order, told->rollout, told->client);
	if (!strcmp(told->result, "started")) {
		if (!rollout->started || rollout->ended)
			audit_add(order->walk, told, no_start, "%s",
				rollout->ended ? "starts after its rollout has ended"
					       : "starts before its rollout has");
		run->started = told;
		return;
	}
	if (!run->started)
		audit_add(order->walk, told, no_start, "ends '%s' without a start", told->result);
	if (run->ended)
		audit_add(order->walk, told, twice, "ends '%s', and %.7s said '%s' already",
			told->result, run->ended->commit, run->ended->result);
	run->ended = told;
}

static void start_rollout(struct order *order, const struct told *told, struct run *run)
{
	if (run->started)
		audit_add(order->walk, told, twice, "starts, and %.7s said that already",
			run->started->commit);
	if (order->open)
		audit_add(order->walk, order->open->started, no_end, "has no end, and %s started",
			told->rollout);
	run->started = told;
	order->open = run;
}

static void end_rollout(struct order *order, const struct told *told, struct run *run)
{
	bool refused = !strcmp(told->result, "refused"); /* never begun */
	if (!run->started && !refused)
		audit_add(order->walk, told, no_start, "ends '%s' without a start", told->result);
	if (run->ended)
		audit_add(order->walk, told, twice, "ends '%s', and %.7s said '%s' already",
			told->result, run->ended->commit, run->ended->result);
	for (const struct run *client = run->next; client; client = client->next)
		if (client->started && !client->ended)
			audit_add(order->walk, client->started, no_end,
				"has no end, and its rollout ended '%s'", told->result);
	run->ended = told;
	if (order->open == run)
		order->open = NULL;
}

static void on_leader(struct order *order, const struct told *told)
{
	if (!order->epoch && told->epoch > 1)
		audit_add(order->walk, told, epochs,
			"is the first leader of the history: epochs before %lld are missing",
			(long long)told->epoch);
	else if (told->epoch <= order->epoch)
		audit_add(order->walk, told, epochs, "follows epoch %lld", (long long)order->epoch);
	order->epoch = told->epoch > order->epoch ? told->epoch : order->epoch;
}

static void on_fact(struct order *order, const struct told *told)
{
	bool of_rollout = told->verb && !strcmp(told->verb, "rollout");
	if (told->epoch)
		on_leader(order, told);
	if (!told->rollout || !told->result)
		return;
	if (told->client && audit_is_start_or_end(told->result))
		on_client(order, told);
	else if (of_rollout && !told->stage && !strcmp(told->result, "started"))
		start_rollout(order, told, run_of(order, told->rollout, NULL));
	else if (of_rollout && !told->stage && audit_ends_rollout(told->result))
		end_rollout(order, told, run_of(order, told->rollout, NULL));
}

/* Tags come after the branch has accepted what they tell of, so the branch knows their rollouts. */
static bool check_tags(struct order *order, const char *prefix, struct error *err)
{
	auto_strlist struct strlist names = STRLIST_INIT;
	auto_free char *full = mem_printf("refs/tags/%s", prefix);
	if (!repo_refs(order->walk->options->repo, full, &names, err))
		return false;
	for (size_t i = 0; i < names.count; i++) {
		const char *slash = strrchr(names.items[i], '/');
		const struct run *run = strmap_get(&order->runs, slash + 1);
		struct told told = {.subject = names.items[i] + strlen("refs/tags/")};
		if (!run || !run->started)
			audit_add(order->walk, &told, tagged,
				"names rollout %s, which the "
				"branch does not know",
				slash + 1);
	}
	return true;
}

bool audit_check_order(struct audit_walk *walk, struct error *err)
{
	struct order order = {.walk = walk};
	for (size_t i = walk->told_count; i-- > 0;)
		on_fact(&order, &walk->told[i]);
	bool good = check_tags(&order, "deploy/", err) && check_tags(&order, "rollback/", err);
	strmap_clear(&order.runs);
	return good;
}
