#include "base/clock.h"
#include "reconcile/ledger_parts.h"

#define DEPLOY_PREFIX "deploy/"

struct tag_wish {
	const char *name, *commit, *message;
};

static bool make_tag(struct ledger *ledger, const struct tag_wish *wish,
	struct remote_update *update, char **ref_out, struct error *err)
{
	const struct commit_author tagger = {
		ledger->author_name, ledger->author_mail, clock_wall_s(), ledger->signing_key_file};
	struct oid commit = {0};
	auto_free char *ref = mem_printf("refs/tags/%s", wish->name);
	(void)snprintf(commit.hex, sizeof(commit.hex), "%s", wish->commit);
	if (!commit_tag(ledger->repo, wish->name, &commit, wish->message, &tagger, err) ||
		!repo_ref(ledger->repo, ref, &update->id, err))
		return error_wrap(err, "tag '%s'", wish->name);
	update->name = ref;
	*ref_out = STEAL(ref);
	return true;
}

/* A tag that is on the remote already was pushed by an earlier try of ours: names are unique. */
static bool tags_arrived(const struct remote_update *updates, size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++)
		if (updates[i].verdict != REMOTE_ACCEPTED && updates[i].verdict != REMOTE_MOVED)
			return error_wrap(err, "tag '%s'", updates[i].name);
	return true;
}

static bool push_tags(struct ledger *ledger, const struct tag_wish *wishes, size_t count,
	struct tag_removals *removals, struct error *err)
{
	auto_strlist struct strlist refs = STRLIST_INIT;
	size_t all = count + removals->count;
	auto_free struct remote_update *updates = mem_zero(all, sizeof(*updates));
	if (!count)
		return true;
	for (size_t i = 0; i < count; i++) {
		char *ref = NULL;
		if (!make_tag(ledger, &wishes[i], &updates[i], &ref, err))
			return false;
		strlist_take(&refs, ref);
	}
	for (size_t i = 0; i < removals->count; i++)
		updates[count + i] = removals->items[i];
	if (remote_push(ledger->remote, ledger->repo, updates, all, err))
		return ledger_forget_tags(ledger, removals, err);
	/* A tag that cannot go must not keep a new one from coming: those that stay go later. */
	if (removals->count && remote_push(ledger->remote, ledger->repo, updates, count, err))
		return true;
	return tags_arrived(updates, count, err);
}

/* Nobody asks the mirror for a deploy/ tag again, and one comes with each rollout. Those of
 * rollbacks tell which are too many, and go by ledger_forget_tags(). */
static bool forget_deploys(
	struct ledger *ledger, const struct tag_wish *wishes, size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		auto_free char *ref = mem_printf("refs/tags/%s", wishes[i].name);
		if (!strncmp(wishes[i].name, DEPLOY_PREFIX, strlen(DEPLOY_PREFIX)) &&
			!repo_ref_delete(ledger->repo, ref, err))
			return false;
	}
	return true;
}

bool ledger_push_fact_tags(
	struct ledger *ledger, struct fact *const *facts, size_t count, struct error *err)
{
	auto_free struct tag_wish *wishes = mem_zero(count, sizeof(*wishes));
	CLEANUP(tag_removals_clear) struct tag_removals removals = {0};
	size_t used = 0;
	for (size_t i = 0; i < count; i++)
		if (facts[i]->tag)
			wishes[used++] = (struct tag_wish){
				facts[i]->tag, facts[i]->tag_commit, facts[i]->tag_message};
	return !used || (ledger_find_removals(ledger, facts, count, &removals, err) &&
				push_tags(ledger, wishes, used, &removals, err) &&
				forget_deploys(ledger, wishes, used, err));
}

static bool has_ref(const struct remote_refs *refs, const char *prefix, const char *name)
{
	size_t len = strlen(prefix);
	for (size_t i = 0; i < refs->count; i++)
		if (!strncmp(refs->items[i].name, prefix, len) &&
			!strcmp(refs->items[i].name + len, name))
			return true;
	return false;
}

bool ledger_repair_tags(struct ledger *ledger, struct error *err)
{
	auto_remote_refs struct remote_refs refs = {0};
	struct tag_removals none = {0};
	const struct status *status = ledger->status;
	const struct rollout_record *newest = status ? status_running(status) : NULL;
	if (!newest && status && status->rollout_count)
		newest = status->rollouts[0];
	if (!newest ||
		(newest->state != ROLLOUT_SUCCEEDED && rollout_state_is_final(newest->state)))
		return true;
	auto_free struct tag_wish *wishes = mem_zero(status->client_count + 1, sizeof(*wishes));
	auto_free char *deploy = mem_printf(DEPLOY_PREFIX "%s", newest->id);
	size_t used = 0;
	if (!remote_list(ledger->remote, ledger->repo, &refs, err))
		return false;
	if (newest->state == ROLLOUT_SUCCEEDED && !has_ref(&refs, "refs/tags/", deploy))
		wishes[used++] = (struct tag_wish){deploy, newest->commit, newest->id};
	for (size_t i = 0; i < status->client_count; i++) {
		const struct client_record *record = status->clients[i];
		if (record->state != CLIENT_DEPLOYING || !record->rollback_tag ||
			has_ref(&refs, "refs/tags/", record->rollback_tag))
			continue;
		wishes[used++] = (struct tag_wish){record->rollback_tag, record->known_good.commit,
			record->known_good.release};
	}
	return push_tags(ledger, wishes, used, &none, err) &&
	       forget_deploys(ledger, wishes, used, err);
}
