/* reconcile/ledger_parts.h - what ledger.c (the branch) and ledger_tags.c (tags) share */
#pragma once
#include "reconcile/ledger.h"

/* A batch whose outcome is not known to its caller yet. */
struct attempt {
	uint64_t batch; /* its number; an address may come again */
	struct oid tip; /* last commit of the batch */
	bool accepted;  /* the branch has it; tags are missing */
};

struct ledger {
	struct repo *repo;
	struct remote *remote;
	char *ref;      /* refs/heads/<branch>, on the remote */
	char *tracking; /* refs/remotes/status/<branch>, in the mirror */
	char *seen; /* refs/aviary/seen/<branch>: newest commit that the remote is known to have had
		     */
	char *folder; /* of the records in the tree */
	char *author_name, *author_mail;
	char *signing_key_file; /* or NULL */
	struct status *status;  /* as of the remote's last known tip */
	struct attempt attempt;
};

/** Push the tags of facts that the branch has accepted; those that are there already are fine. */
MUST_USE bool ledger_push_fact_tags(
	struct ledger *ledger, struct fact *const *facts, size_t count, struct error *err);

/* Rollback tags that go: updates of the remote that delete. */
struct tag_removals {
	struct remote_refs refs; /* owns the names */
	struct remote_update *items;
	size_t count;
};
/** Frees what it owns. */
void tag_removals_clear(struct tag_removals *removals);
/** What goes when the tags of these facts come: what the clients of the facts have too many. Asks
 *  the remote only if the mirror knows of too many. */
MUST_USE bool ledger_find_removals(struct ledger *ledger, struct fact *const *facts, size_t count,
	struct tag_removals *removals_out, struct error *err);
/** Delete the mirror's copies of tags that the remote has deleted. */
MUST_USE bool ledger_forget_tags(
	struct ledger *ledger, const struct tag_removals *removals, struct error *err);
