/* reconcile/service_secrets.h - the tokens of secrets.service, for steps on the service machine
 *
 * Templates of releases do not know them, and no host gets them.
 */
#pragma once
#include "git/tree.h"
#include "reconcile/policy.h"
#include "reconcile/secrets/keyring.h"

/** Where they are. */
struct service_secrets {
	struct tree *tree;
	const struct policy *policy;
	const struct keyring *keyring; /* NULL: values stay as they are encrypted */
};
/**
 * @param arena     ARENA_SECRET where values are decrypted
 * @param node_out  map; NULL if there is no such file
 */
MUST_USE bool service_secrets_load(const struct service_secrets *source, struct arena *arena,
	const struct node **node_out, struct error *err);
