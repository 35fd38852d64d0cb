/* reconcile/step_playbook.h - what a step of kind ansible needs of its commit, for one client
 *
 * Ansible reads the repository's inventory itself, for groups and other hosts. The client's
 * variables are given beside it as Aviary resolved them, with those of group_vars/ in `ansible/`,
 * which a playbook in another folder would not see; `ansible_*` as those of an inventory, since as
 * extra variables they would also be those of hosts that tasks are delegated to.
 */
#pragma once
#include "reconcile/fleet.h"

struct step_playbook {
	const char *path, *inventory; /* in the repository */
	const char *config;           /* ansible.cfg in the repository, or NULL */
	const char *host;             /* name in the inventory */
	const char *variables;  /* YAML: variables, and secrets as `!unsafe` below `secrets` */
	const char *connection; /* YAML: an inventory with the host's `ansible_*` */
};

/** What is played, for whom. */
struct step_play {
	const struct policy *policy;
	const struct policy_step *step;
	const struct client *client;
	const struct node *secrets; /* the client's over the shared ones; or NULL */
};

/** @param arena  owns the texts; ARENA_SECRET where secrets are decrypted */
MUST_USE bool step_playbook_fill(const struct step_play *play, struct tree *tree,
	struct arena *arena, struct step_playbook *playbook_out, struct error *err);
