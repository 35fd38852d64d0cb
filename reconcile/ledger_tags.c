#include "base/clock.h"
#include "reconcile/ledger_parts.h"

#define LEDGER_TAGS_MAX 2000 /* design.md: keep_rollback_tags, in all */

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

static bool push_tags(
	struct ledger *ledger, const struct tag_wish *wishes, size_t count, struct error *err)
{
	auto_strlist struct strlist refs = STRLIST_INIT;
	auto_free struct remote_update *updates = mem_zero(count, sizeof(*updates));
	if (!count)
		return true;
	for (size_t i = 0; i < count; i++) {
		char *ref = NULL;
		if (!make_tag(ledger, &wishes[i], &updates[i], &ref, err))
			return false;
		strlist_take(&refs, ref);
	}
	return remote_push(ledger->remote, ledger->repo, updates, count, err) ||
	       tags_arrived(updates, count, err);
}

bool ledger_push_fact_tags(
	struct ledger *ledger, struct fact *const *facts, size_t count, struct error *err)
{
	auto_free struct tag_wish *wishes = mem_zero(count, sizeof(*wishes));
	size_t used = 0;
	for (size_t i = 0; i < count; i++)
		if (facts[i]->tag)
			wishes[used++] = (struct tag_wish){
				facts[i]->tag, facts[i]->tag_commit, facts[i]->tag_message};
	return push_tags(ledger, wishes, used, err);
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
	const struct status *status = ledger->status;
	const struct rollout_record *newest = status ? status_running(status) : NULL;
	if (!newest && status && status->rollout_count)
		newest = status->rollouts[0];
	if (!newest ||
		(newest->state != ROLLOUT_SUCCEEDED && rollout_state_is_final(newest->state)))
		return true;
	auto_free struct tag_wish *wishes = mem_zero(status->client_count + 1, sizeof(*wishes));
	auto_free char *deploy = mem_printf("deploy/%s", newest->id);
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
	return push_tags(ledger, wishes, used, err);
}

/* ---- pruning of tags
 * ----------------------------------------------------------------------------- */

#define ROLLBACK_PREFIX "refs/tags/rollback/"

/* Refs come sorted by name: client by client, oldest id first. Counts those of one client. */
static size_t count_client_tags(const struct remote_refs *refs, size_t first)
{
	const char *name = refs->items[first].name + strlen(ROLLBACK_PREFIX);
	size_t len = strcspn(name, "/") + 1, count = 0;
	while (first + count < refs->count &&
		!strncmp(refs->items[first + count].name, ROLLBACK_PREFIX,
			strlen(ROLLBACK_PREFIX)) &&
		!strncmp(refs->items[first + count].name + strlen(ROLLBACK_PREFIX), name, len))
		count++;
	return count;
}

static bool tag_is_needed(const struct ledger *ledger, const char *ref)
{
	const char *tag = ref + strlen("refs/tags/");
	auto_free char *client =
		mem_dup(ref + strlen(ROLLBACK_PREFIX), strcspn(ref + strlen(ROLLBACK_PREFIX), "/"));
	const struct client_record *record = status_client(ledger->status, client);
	return record && record->rollback_tag && !strcmp(record->rollback_tag, tag);
}

static int compare_refs(const void *a, const void *b)
{
	return strcmp(((const struct remote_ref *)a)->name, ((const struct remote_ref *)b)->name);
}

/* Does the tag stand on the known good commit of its client? */
static bool tag_is_known_good(struct ledger *ledger, const char *ref)
{
	struct error ignored;
	struct oid commit;
	auto_free char *client =
		mem_dup(ref + strlen(ROLLBACK_PREFIX), strcspn(ref + strlen(ROLLBACK_PREFIX), "/"));
	const struct client_record *record = status_client(ledger->status, client);
	/* A tag that the mirror does not know was made by an older state folder: it is only
	 * counted. */
	return record && repo_revision(ledger->repo, ref, &commit, &ignored) &&
	       !strcmp(commit.hex, record->known_good.commit);
}

bool ledger_prune_tags(struct ledger *ledger, size_t keep, struct error *err)
{
	auto_remote_refs struct remote_refs refs = {0};
	if (!ledger->status || !remote_list(ledger->remote, ledger->repo, &refs, err))
		return ledger->status == NULL;
	auto_free struct remote_update *updates = mem_zero(refs.count, sizeof(*updates));
	size_t used = 0, total = 0;
	qsort(refs.items, refs.count, sizeof(*refs.items), compare_refs);
	for (size_t i = 0; i < refs.count; i++)
		total += !strncmp(refs.items[i].name, ROLLBACK_PREFIX, strlen(ROLLBACK_PREFIX));
	for (size_t i = 0; i < refs.count;) {
		if (strncmp(refs.items[i].name, ROLLBACK_PREFIX, strlen(ROLLBACK_PREFIX)) != 0) {
			i++;
			continue;
		}
		size_t count = count_client_tags(&refs, i);
		for (size_t j = 0; j < count; j++, i++) {
			const struct remote_ref *ref = &refs.items[i];
			bool spare = j + keep < count || total - used > LEDGER_TAGS_MAX;
			if (spare && !tag_is_needed(ledger, ref->name) &&
				!tag_is_known_good(ledger, ref->name))
				updates[used++] = (struct remote_update){
					.name = ref->name, .expected = ref->id};
		}
	}
	return !used || remote_push(ledger->remote, ledger->repo, updates, used, err);
}
