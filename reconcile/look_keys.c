/* The digest keys of the status branch: who may read them, new ones, old ones that go. */
#include "base/log.h"
#include "reconcile/look_parts.h"
#include "reconcile/recipients.h"
#include "reconcile/secrets/sops.h"

#define KEYS_FILE "digest-key.sops.yaml"

/* Ids are never used twice, also when the list itself is lost. */
static void next_key_id(const struct status *status, char id[KEY_ID_TEXT])
{
	unsigned long newest = 0;
	for (size_t i = 0; i < status->client_count; i++) {
		const char *key = status->clients[i]->current.release_key;
		unsigned long number = key[0] == 'k' ? strtoul(key + 1, NULL, 10) : 0;
		newest = number > newest ? number : newest;
	}
	(void)snprintf(id, KEY_ID_TEXT, "k%lu", newest + 1);
}

static bool key_recipients(struct looker *looker, const struct oid *head,
	struct strlist *recipients, struct error *err)
{
	if (!recipients_of_commit(looker->repo, head, looker->options->keyring, recipients, err))
		return false;
	(void)recipients_keep_own(looker->options->keyring, recipients); /* keyring_count() > 0 */
	return true;
}

/* Of the commit, not of our machine. */
static bool is_mistake(const struct error *err)
{
	return err->code == ERR_INVALID || err->code == ERR_REFUSED;
}

static bool push_keys(struct looker *looker, const struct digest_keys *keys,
	const struct strlist *recipients, const char *what, struct error *err)
{
	auto_buf struct buf text = BUF_INIT(1 << 20);
	const char *id = digest_keys_find(keys, NULL)->id;
	if (!digest_keys_write(keys, recipients, &text, err))
		return error_wrap(err, "digest key");
	auto_fact struct fact *fact = fact_digest_keys(id, what, text.text, text.len);
	struct fact *const facts[] = {fact};
	log_info(what, LOG_STR("key", id));
	return ledger_append(looker->ledger, 0, facts, 1, err);
}

static bool make_keys(struct looker *looker, const struct oid *head, const struct status *status,
	struct digest_keys *keys, struct error *err)
{
	auto_strlist struct strlist recipients = STRLIST_INIT;
	char id[KEY_ID_TEXT];
	/* A commit with a mistake is refused by the plan, with a better sentence; a good one tells.
	 */
	if (!key_recipients(looker, head, &recipients, err)) {
		if (!is_mistake(err))
			return false;
		keyring_recipients(looker->options->keyring, &recipients);
	}
	if (!digest_keys_add(keys, err))
		return false;
	next_key_id(status, id);
	memcpy(keys->items[keys->count - 1].id, id, sizeof(id));
	return push_keys(looker, keys, &recipients, "digest key made", err);
}

/* ---- other recipients --------------------------------------------------------------------------
 */

static bool all_in(const struct strlist *list, const struct strlist *others)
{
	for (size_t i = 0; i < list->count; i++)
		if (!strlist_has(others, list->items[i]))
			return false;
	return true;
}

static bool client_uses(const struct client_record *record, const char *id)
{
	for (size_t i = 0; i < record->good_count; i++)
		if (!strcmp(record->good[i].release_key, id))
			return true;
	return !strcmp(record->current.release_key, id) ||
	       !strcmp(record->known_good.release_key, id) ||
	       !strcmp(record->previous.release_key, id) || !strcmp(record->hold.release_key, id);
}

/* What a failed or aborted rollout wanted holds its clients, also those that it did not reach. */
static bool rollout_uses(const struct rollout_record *rollout, const char *id)
{
	if (!rollout_state_holds(rollout->state))
		return false;
	for (size_t s = 0; s < rollout->stage_count; s++)
		for (size_t m = 0; m < rollout->stages[s].member_count; m++)
			if (!strcmp(rollout->stages[s].members[m].to_key, id))
				return true;
	return false;
}

static bool is_used(const struct status *status, const char *id)
{
	for (size_t i = 0; i < status->client_count; i++)
		if (client_uses(status->clients[i], id))
			return true;
	for (size_t i = 0; i < status->rollout_count; i++)
		if (rollout_uses(status->rollouts[i], id))
			return true;
	return status_running(status) != NULL; /* what it wants is compared later */
}

/* Keys that no record names any more. The newest one stays: ids are never used twice. */
static bool drop_unused(const struct status *status, struct digest_keys *keys)
{
	size_t kept = 0, before = keys->count;
	for (size_t i = 0; i < before; i++)
		if (i + 1 == before || is_used(status, keys->items[i].id))
			keys->items[kept++] = keys->items[i];
	keys->count = kept;
	return kept != before;
}

/* Whoever may read no longer knows the keys that there are: what comes is told under a new one.
 * Nobody is deployed for that: each record is compared under its own key. */
static bool renew_keys(struct looker *looker, const struct oid *head, const struct status *status,
	struct digest_keys *keys, struct error *err)
{
	auto_strlist struct strlist wanted = STRLIST_INIT;
	auto_strlist struct strlist have = STRLIST_INIT;
	const char *what = NULL;
	if (!key_recipients(looker, head, &wanted, err))
		return is_mistake(err); /* it removes nobody: the keys stay as they are */
	if (!sops_recipients(KEYS_FILE, status->digest_keys, status->digest_keys_len, &have, err))
		return false;
	bool dropped = drop_unused(status, keys);
	if (!all_in(&have, &wanted) && keys->count < DIGEST_KEYS_MAX) {
		if (!digest_keys_add(keys, err))
			return false;
		(void)drop_unused(status, keys); /* they are written anyway */
		what = "digest key made: a recipient was removed";
	} else if (!all_in(&have, &wanted) || !all_in(&wanted, &have)) {
		what = "digest keys encrypted for other recipients";
	} else if (dropped) {
		what = "digest keys that no record uses dropped";
	}
	return !what || push_keys(looker, keys, &wanted, what, err);
}

bool look_digest_keys(struct looker *looker, const struct oid *commit, const struct status *status,
	struct digest_keys *keys, struct error *err)
{
	*keys = (struct digest_keys){0};
	if (!status->digest_keys)
		return make_keys(looker, commit, status, keys, err);
	if (digest_keys_read(status->digest_keys, status->digest_keys_len, looker->options->keyring,
		    keys, err))
		return !oid_equal(commit, &looker->newest) ||
		       renew_keys(looker, commit, status, keys, err);
	if (err->code != ERR_AUTH)
		return error_wrap(err, KEYS_FILE);
	log_warn("digest keys are lost: no identity opens them", LOG_ERROR_FIELD(err));
	return make_keys(looker, commit, status, keys, err);
}
