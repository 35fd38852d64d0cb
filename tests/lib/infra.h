/* tests/lib/infra.h - a small infra repo of three clients, to change and to plan
 *
 * alpha (canary) runs nextcloud and listmonk, beta (production) nextcloud, gamma (production)
 * nextcloud and pretix. nextcloud's version is its image's tag, listmonk's a variable of the
 * group; pretix comes from a partial. Secrets: shared smtp_password, and admin of each client.
 */
#pragma once
#include "git/repo.h"
#include "reconcile/plan.h"

struct infra {
	char *folder;
	struct repo *repo;
	struct keyring *keyring;
	struct digest_keys keys;
};

/** Make it, with everything written and nothing committed. */
struct infra *infra_new(void);
void infra_free(struct infra *infra);
DEFINE_CLEANUP(struct infra, infra_free)
#define auto_infra CLEANUP(infra_free_at)

/** Write a file of the repository, with its folders. */
void infra_write(struct infra *infra, const char *path, const char *text);
/** Replace the first @p old in a file by @p new; fails the test if it is not there. */
void infra_edit(struct infra *infra, const char *path, const char *old, const char *new);
void infra_remove(struct infra *infra, const char *path);
/** Encrypt a plain YAML map for the keyring and write it; encrypting again gives another text. */
void infra_secrets(struct infra *infra, const char *path, const char *plain);
/** Commit all as it lies. */
struct oid infra_commit(struct infra *infra);

/** Plan of a commit; fails the test if the commit is invalid.
 *  @param base    NULL: nothing
 *  @param status  NULL: the trees alone are compared, without keys */
struct plan *infra_plan(struct infra *infra, const struct oid *commit, const struct oid *base,
	const struct status *status);
/** As infra_plan(), on a certain day. */
struct plan *infra_plan_at(struct infra *infra, const struct oid *commit, const struct oid *base,
	const struct status *status, int64_t wall_s);
/** Plan of a commit that puts drift of these clients right. */
struct plan *infra_plan_repair(struct infra *infra, const struct oid *commit,
	const struct status *status, const struct strlist *repair);
/** Mistakes of the folder as it lies; the caller clears them. */
bool infra_validate(struct infra *infra, struct problems *problems);
/** Record everything that the plan starts as healthy and known good, with its commit. */
void infra_deploy(struct status *status, const struct plan *plan);
/** Change a client's record by hand. */
void infra_put(struct status *status, const char *client,
	void (*change)(struct client_record *record, const void *data), const void *data);
/** Record a rollout of a plan: one stage, with every member in the state given. */
void infra_put_rollout(struct status *status, const struct plan *plan, const char *id,
	enum rollout_state state, enum member_state member_state);
/** Entry of a client, or NULL. */
const struct plan_entry *infra_entry(const struct plan *plan, const char *client);
/** All reasons of an entry, joined by "; ". Caller frees. */
char *infra_reasons(const struct plan_entry *entry);
