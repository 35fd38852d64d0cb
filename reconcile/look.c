#include "reconcile/look.h"
#include "base/clock.h"
#include "base/log.h"
#include "reconcile/look_parts.h"

void look_result_free(struct look_result *result)
{
	if (!result)
		return;
	status_free(result->status);
	plan_free(result->plan);
	plan_free(result->resume_plan);
	truth_free(result->truth);
	strlist_clear(&result->refusals);
	plan_pins_clear(&result->pins);
	if (result->resume)
		rollout_record_clear(result->resume);
	free(result->resume);
	free(result->resume_events);
	free(result);
}
DEFINE_CLEANUP(struct look_result, look_result_free)
#define auto_look_result CLEANUP(look_result_free_at)

bool look_is_our_own(
	struct looker *looker, const struct commit_info *info, bool *ours_out, struct error *err)
{
	auto_tree struct tree *after = NULL;
	auto_tree struct tree *before = NULL;
	auto_tree_entries struct tree_entries now = {0};
	auto_tree_entries struct tree_entries then = {0};
	*ours_out = false;
	if (info->parents != 1 || !strstr(info->message, "[skip ci]"))
		return true;
	if (!tree_open_commit(looker->repo, &info->id, &after, err) ||
		!tree_open_commit(looker->repo, &info->parent, &before, err) ||
		!tree_list(after, "", &now, err) || !tree_list(before, "", &then, err))
		return false;
	size_t i = 0, j = 0;
	while (i < now.count || j < then.count) {
		if (i < now.count && !strcmp(now.items[i].path, "status"))
			i++;
		else if (j < then.count && !strcmp(then.items[j].path, "status"))
			j++;
		else if (i < now.count && j < then.count &&
			 !strcmp(now.items[i].path, then.items[j].path) &&
			 oid_equal(&now.items[i].id, &then.items[j].id))
			i++, j++;
		else
			return true;
	}
	*ours_out = true;
	return true;
}

/* The newest commit that a person made. */
static bool skip_our_own(struct looker *looker, struct oid *head, struct error *err)
{
	for (;;) {
		auto_commit_info struct commit_info info = {0};
		bool ours;
		if (oid_equal(head, &looker->head))
			return true; /* found to be a person's by an earlier look */
		if (!commit_read(looker->repo, head, &info, err) ||
			!look_is_our_own(looker, &info, &ours, err))
			return false;
		if (!ours)
			return true;
		*head = info.parent;
	}
}

static bool fetch_head(struct looker *looker, struct oid *head_out, struct error *err)
{
	auto_free char *ref = mem_printf("refs/heads/%s", looker->options->branch);
	auto_free char *tracking = mem_printf("refs/remotes/origin/%s", looker->options->branch);
	const char *const refs[] = {ref};
	bool forward = true;
	if (!remote_fetch(looker->infra, looker->repo, "origin", refs, 1, NULL, err) ||
		!repo_ref(looker->repo, tracking, head_out, err))
		return error_wrap(err, "repository");
	if (looker->options->status_inside && !skip_our_own(looker, head_out, err))
		return false;
	if (looker->head.hex[0] &&
		!repo_is_ancestor(looker->repo, &looker->head, head_out, &forward, err))
		return false;
	if (!forward) {
		looker->rewritten = *head_out;
		log_warn("tracked branch was rewritten", LOG_STR("before", looker->head.hex),
			LOG_STR("commit", head_out->hex));
	}
	return true;
}

/* Also if nobody was there to see it: what was tried last is no part of the branch any more. */
static bool find_forced(struct looker *looker, struct look_result *result, struct error *err)
{
	const struct status *status = result->status;
	struct oid last = {0};
	bool forward = true;
	for (size_t i = 0; i < status->rollout_count && !last.hex[0]; i++)
		if (!rollout_record_is_apart(status->rollouts[i]))
			memcpy(last.hex, status->rollouts[i]->commit, sizeof(last.hex));
	if (oid_valid(last.hex) && repo_has_commit(looker->repo, &last)) {
		if (!repo_is_ancestor(looker->repo, &last, &result->head, &forward, err))
			return false;
	} else if (last.hex[0]) {
		forward = false; /* gone with the branch that it was on */
	}
	result->forced = !forward || oid_equal(&looker->rewritten, &result->head);
	return true;
}

static bool describe(struct looker *looker, const struct oid *commit, char *subject,
	size_t subject_size, char *author, size_t author_size, struct error *err)
{
	auto_commit_info struct commit_info info = {0};
	auto_buf struct buf clean = BUF_INIT(4096);
	if (!commit_read(looker->repo, commit, &info, err))
		return false;
	buf_add_clean(&clean, info.subject, strlen(info.subject));
	(void)snprintf(subject, subject_size, "%s", clean.text);
	buf_clear(&clean);
	buf_add_clean(&clean, info.author_name, strlen(info.author_name));
	(void)snprintf(author, author_size, "%s", clean.text);
	return true;
}

bool look_author(struct looker *looker, const struct oid *commit, struct look_result *result,
	struct error *err)
{
	char subject[200];
	return describe(looker, commit, subject, sizeof(subject), result->resume_author,
		sizeof(result->resume_author), err);
}

/* ---- plans -------------------------------------------------------------------------------------
 */

static void problems_to_sentences(const struct problems *problems, struct strlist *out)
{
	for (size_t i = 0; i < problems->count; i++) {
		auto_free char *text = problem_text(&problems->items[i]);
		if (!problems->items[i].warning)
			strlist_add(out, text);
	}
}

bool look_plan_commit(struct looker *looker, const struct oid *commit, const struct status *status,
	struct plan **plan_out, struct strlist *refusals, struct error *err)
{
	auto_tree struct tree *tree = NULL;
	auto_fleet struct fleet *fleet = NULL;
	auto_problems struct problems problems = {0};
	auto_digest_keys struct digest_keys keys = {0};
	const struct keyring *keyring = looker->options->keyring;
	struct plan_request request = {.repo = looker->repo,
		.commit = *commit,
		.status = status,
		.keyring = keyring,
		.wall_s = clock_wall_s(),
		.only = looker->only,
		.repair = looker->repair,
		.cache = looker->cache};
	if (!tree_open_commit(looker->repo, commit, &tree, err) ||
		!plan_last_deployed(looker->repo, status, &request.base, err) ||
		!look_check_signed(looker, commit, &request.base, refusals, err))
		return false;
	if (refusals->count)
		return true;
	if (keyring_count(keyring)) {
		if (!look_digest_keys(looker, commit, status, &keys, err))
			return false;
		request.keys = &keys;
	}
	request.tree = tree;
	if (!plan_build(&request, plan_out, &fleet, &problems)) {
		problems_sort(&problems);
		problems_to_sentences(&problems, refusals);
	}
	return true;
}

static const struct rollout_record *last_rollout_of(const struct status *status, const char *commit)
{
	for (size_t i = 0; i < status->rollout_count; i++)
		if (!rollout_record_is_apart(status->rollouts[i]) &&
			!strcmp(status->rollouts[i]->commit, commit))
			return status->rollouts[i];
	return NULL;
}

const char *look_why_wait(const struct status *status, const char *commit)
{
	const struct rollout_record *record = last_rollout_of(status, commit);
	if (!record || asked_record_retry(&status->asked, record->id))
		return NULL;
	switch (record->state) {
	case ROLLOUT_FAILED:
	case ROLLOUT_ABORTED:
		return "held";
	case ROLLOUT_REFUSED:
		/* Holds and pauses may have ended since. */
		return record->reasons.count && !strncmp(record->reasons.items[0], PLAN_NONE_STARTS,
							strlen(PLAN_NONE_STARTS))
			       ? NULL
			       : "refused";
	default:
		return NULL;
	}
}

/* For a commit that is used whatever the plan of it says. */
static bool require_signed(struct looker *looker, const struct oid *commit,
	const struct status *status, struct error *err)
{
	auto_strlist struct strlist refusals = STRLIST_INIT;
	struct oid base;
	if (!plan_last_deployed(looker->repo, status, &base, err) ||
		!look_check_signed(looker, commit, &base, &refusals, err))
		return false;
	if (!refusals.count)
		return true;
	(void)error_set(err, ERR_REFUSED, "%s", refusals.items[0]);
	return error_hint(err, "nothing goes on from here until its key is listed");
}

/* What was decided before; a rollout of an older version has none. */
static bool read_events(struct looker *looker, struct look_result *result, struct error *err)
{
	auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
	auto_tree struct tree *tree = NULL;
	auto_free char *path = mem_printf("%sevents/%s.jsonl",
		looker->options->status_inside ? "status/" : "", result->resume->id);
	if (!tree_open_commit(looker->repo, &result->status->tip, &tree, err))
		return false;
	if (!tree_read(tree, path, &text, NULL, err))
		return err->code == ERR_NOT_FOUND;
	result->resume_events = buf_steal(&text);
	return true;
}

static bool look_at_running(struct looker *looker, struct look_result *result, struct error *err)
{
	const struct rollout_record *running = status_running(result->status);
	auto_strlist struct strlist refusals = STRLIST_INIT;
	struct oid commit = {0};
	char subject[200];
	memcpy(commit.hex, running->commit, sizeof(commit.hex));
	result->resume = mem_zero(1, sizeof(*result->resume));
	rollout_record_copy(result->resume, running);
	if (!read_events(looker, result, err))
		return false;
	/* The branch was rewritten meanwhile: what was begun is ended, nothing of it starts. */
	result->resume_gone = !repo_has_commit(looker->repo, &commit);
	if (result->resume_gone) {
		log_warn("commit of the running rollout is not in the repository any more",
			LOG_STR("rollout", running->id), LOG_STR("commit", running->commit));
		return plan_last_deployed(looker->repo, result->status, &result->stands_in, err);
	}
	if (!describe(looker, &commit, subject, sizeof(subject), result->resume_author,
		    sizeof(result->resume_author), err) ||
		!require_signed(looker, &commit, result->status, err) ||
		!look_plan_commit(
			looker, &commit, result->status, &result->resume_plan, &refusals, err))
		return false;
	memcpy(result->resume_signed_by, looker->signed_by, sizeof(looker->signed_by));
	return true;
}

/* The branch lost its history: what the hosts say counts from now on. */
static bool ask_hosts(struct looker *looker, struct look_result *result, struct error *err)
{
	auto_tree struct tree *tree = NULL;
	auto_fleet struct fleet *fleet = NULL;
	auto_problems struct problems problems = {0};
	if (!require_signed(looker, &result->head, result->status, err) ||
		!tree_open_commit(looker->repo, &result->head, &tree, err))
		return false;
	if (!fleet_load(tree, &result->head, &fleet, &problems))
		return problems_to_error(&problems, err);
	if (!truth_ask(fleet, looker->options->hosts, result->status, &result->truth, err))
		return false;
	for (size_t i = 0; i < result->truth->count; i++)
		status_put_client(result->status, &result->truth->records[i]);
	return true;
}

/* A branch that lost commits before this state folder knew it. */
static bool check_hosts(struct looker *looker, const struct look_result *result, struct error *err)
{
	auto_tree struct tree *tree = NULL;
	auto_fleet struct fleet *fleet = NULL;
	auto_problems struct problems problems = {0};
	auto_strlist struct strlist refusals = STRLIST_INIT;
	struct oid commit = result->head, base;
	if (!plan_last_deployed(looker->repo, result->status, &base, err) ||
		!look_check_signed(looker, &commit, &base, &refusals, err))
		return false;
	/* nobody is asked whom an unsigned commit names */
	if (refusals.count)
		commit = base;
	if (!commit.hex[0])
		return true;
	if (!tree_open_commit(looker->repo, &commit, &tree, err))
		return false;
	/* a commit with mistakes names no hosts, and touches none */
	return !fleet_load(tree, &commit, &fleet, &problems) ||
	       truth_check(fleet, looker->options->hosts, result->status, err);
}

static bool look_at_head(struct looker *looker, struct look_result *result, struct error *err)
{
	result->waits = look_why_wait(result->status, result->head.hex);
	looker->pins_end_s = 0;
	if (result->waits)
		return true;
	if (!look_plan_commit(
		    looker, &result->head, result->status, &result->plan, &result->refusals, err))
		return false;
	memcpy(result->signed_by, looker->signed_by, sizeof(looker->signed_by));
	if (!result->plan)
		return true;
	looker->pins_end_s = result->plan->pins_end_s;
	result->pins = result->plan->pins;
	result->plan->pins = (struct plan_pins){0};
	if (result->plan->verdict == PLAN_REFUSED) {
		strlist_copy(&result->refusals, &result->plan->refusals);
		memcpy(result->refused_plan, result->plan->digest, sizeof(result->refused_plan));
		plan_free(STEAL(result->plan));
	}
	return true;
}

/* A person sends one client back: the plan of that commit for it alone, and what the head wants. */
static bool look_by_hand(struct looker *looker, const struct look_request *request,
	struct look_result *result, struct error *err)
{
	auto_strlist struct strlist ignored = STRLIST_INIT;
	auto_plan struct plan *head = NULL;
	const struct client_record *record = status_client(result->status, request->only);
	char subject[200];
	result->by_hand = true;
	if (!repo_has_commit(looker->repo, &request->only_commit)) {
		strlist_addf(&result->refusals, "commit %.7s is not in the repository any more",
			request->only_commit.hex);
		return true;
	}
	/* A head with mistakes wants nothing: what runs is held then. */
	if (!look_plan_commit(looker, &result->head, result->status, &head, &ignored, err) ||
		!describe(looker, &request->only_commit, subject, sizeof(subject),
			result->resume_author, sizeof(result->resume_author), err))
		return false;
	const struct plan_entry *entry = head ? plan_find(head, request->only) : NULL;
	if (entry)
		result->wanted = entry->to;
	else if (record)
		result->wanted = record->current;
	if (!look_plan_commit(looker, &request->only_commit, result->status, &result->plan,
		    &result->refusals, err))
		return false;
	memcpy(result->signed_by, looker->signed_by, sizeof(looker->signed_by));
	return true;
}

bool look_may_lead(const struct look_request *request, const struct status *status)
{
	if (request->take_over || !status->leader[0] || !strcmp(status->leader, request->instance))
		return true;
	if (request->leads)
		return status->epoch <= request->epoch;
	return request->state_is_new && (!request->epoch || status->epoch < request->epoch);
}

/* The rollout to go on with, or else the newest commit. */
static bool look_for_work(struct looker *looker, const struct look_request *request,
	struct look_result *result, struct error *err)
{
	const struct rollout_record *running = status_running(result->status);
	if (request->only)
		return look_by_hand(looker, request, result, err);
	if (request->repair)
		return look_to_repair(looker, request, result, err);
	if (request->resume && !ledger_repair_tags(looker->ledger, err))
		return false;
	if (!request->resume || !running)
		return result->nothing_new || look_at_head(looker, result, err);
	/* A newer commit may have come while nothing ran: it supersedes at once. */
	bool newer = strcmp(result->head.hex, running->commit) != 0;
	return look_at_running(looker, result, err) &&
	       (!newer || look_at_head(looker, result, err));
}

bool look(struct looker *looker, const struct look_request *request,
	struct look_result **result_out, struct error *err)
{
	auto_look_result struct look_result *result = mem_zero(1, sizeof(*result));
	bool accept = looker->options->accept_history && !looker->looked;
	looker->only = request->only;
	looker->repair = request->repair;
	if (!fetch_head(looker, &result->head, err) ||
		!ledger_load(looker->ledger, accept, &result->status, err) ||
		!find_forced(looker, result, err) ||
		!describe(looker, &result->head, result->subject, sizeof(result->subject),
			result->author, sizeof(result->author), err))
		return false;
	looker->newest = result->head;
	/* With --accept-history whoever asks leads from now on. */
	result->stands_by = !accept && !look_may_lead(request, result->status);
	if (accept && !ask_hosts(looker, result, err))
		return false;
	if (!accept && !looker->looked && !result->stands_by && !check_hosts(looker, result, err))
		return false;
	bool pin_is_over = looker->pins_end_s && clock_wall_s() >= looker->pins_end_s;
	result->nothing_new = !pin_is_over && looker->looked && !request->force &&
			      !request->resume && oid_equal(&looker->head, &result->head) &&
			      oid_equal(&looker->tip, &result->status->tip);
	if (!result->stands_by && (!look_for_work(looker, request, result, err) ||
					  !look_for_approval(looker, result, err) ||
					  (!result->nothing_new && !result->by_hand &&
						  !look_read_drift(looker, result, err))))
		return false;
	/* Digest keys may have been made meanwhile. */
	status_free(result->status);
	result->status = ledger_status(looker->ledger);
	looker->looked = true;
	looker->head = result->head;
	looker->tip = result->status->tip;
	*result_out = STEAL(result);
	return true;
}
