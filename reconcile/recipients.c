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
	if (policy_load(tree, arena, &policy, &problems) && policy->secrets_shared &&
		tree_read(tree, policy->secrets_shared, &text, NULL, err) &&
		sops_recipients(policy->secrets_shared, text.text, text.len, recipients, err) &&
		recipients->count)
		return true;
	/* A commit that does not even read is refused by the plan, with a better sentence. */
	keyring_recipients(keyring, recipients);
	return true;
}
