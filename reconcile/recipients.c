#include "reconcile/recipients.h"
#include "reconcile/policy.h"
#include "reconcile/secrets/sops.h"

bool recipients_of_commit(struct repo *repo, const struct oid *commit,
	const struct keyring *keyring, struct strlist *recipients, struct error *err)
{
	auto_tree struct tree *tree = NULL;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_problems struct problems problems = {0};
	auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
	struct policy *policy;
	if (!tree_open_commit(repo, commit, &tree, err))
		return false;
	if (!policy_load(tree, arena, &policy, &problems))
		return problems_to_error(&problems, err);
	bool found =
		policy->secrets_shared && tree_read(tree, policy->secrets_shared, &text, NULL, err);
	if (policy->secrets_shared && !found && err->code != ERR_NOT_FOUND)
		return false;
	if (found && !sops_recipients(policy->secrets_shared, text.text, text.len, recipients, err))
		return error_at(err, policy->secrets_shared, 0);
	if (!recipients->count)
		keyring_recipients(keyring, recipients);
	return true;
}

bool recipients_keep_own(const struct keyring *keyring, struct strlist *recipients)
{
	auto_strlist struct strlist own = STRLIST_INIT;
	keyring_recipients(keyring, &own);
	for (size_t i = 0; i < own.count; i++)
		if (strlist_has(recipients, own.items[i]))
			return true;
	for (size_t i = 0; i < own.count; i++)
		strlist_add(recipients, own.items[i]);
	return own.count > 0;
}
