/* Promise 10: with repository.allowed_signers_file nothing of a commit is used before its signature
 * and those of all commits since the last deployed one, on the first-parent line, are found good.
 */
#include "reconcile/look_parts.h"

#define WALK_MAX     10000 /* commits; verifying them takes seconds at most */
#define REFUSALS_MAX 20

struct walk {
	struct looker *looker;
	const struct signers *signers;
	struct strlist names; /* of signers, the tip's first */
	struct strlist *refusals;
	size_t refused;
};

static void clear_walk(struct walk *walk)
{
	strlist_clear(&walk->names);
}

static void refuse(struct walk *walk, const struct error *err)
{
	const char *colon = err->hint[0] ? ": " : "";
	if (++walk->refused <= REFUSALS_MAX)
		strlist_addf(walk->refusals, "%s%s%s", err->message, colon, err->hint);
}

static bool check_one(struct walk *walk, const struct oid *commit, struct error *err)
{
	char signer[SIGNER_TEXT];
	if (signers_check_commit(walk->signers, walk->looker->repo, commit, signer, err)) {
		if (!strlist_has(&walk->names, signer))
			strlist_add(&walk->names, signer);
		return true;
	}
	if (err->code != ERR_AUTH)
		return error_wrap(err, "signatures");
	refuse(walk, err);
	return true;
}

/* One step down the first-parent line. @p at_out becomes empty at its end. */
static bool step(struct walk *walk, const struct oid *base, struct oid *at, struct error *err)
{
	auto_commit_info struct commit_info info = {0};
	bool deployed = true;
	if (!base->hex[0] || !commit_read(walk->looker->repo, at, &info, err)) {
		if (base->hex[0])
			return false;
		*at = (struct oid){0}; /* nothing was deployed yet: the tip speaks for itself */
		return true;
	}
	*at = info.parent;
	if (at->hex[0] && !repo_is_ancestor(walk->looker->repo, at, base, &deployed, err))
		return false;
	if (deployed)
		*at = (struct oid){0};
	return true;
}

/* Our own records, when they stand on the tracked branch, change nothing that is deployed. */
static bool is_passed_over(
	struct walk *walk, const struct oid *commit, bool *out, struct error *err)
{
	auto_commit_info struct commit_info info = {0};
	*out = false;
	if (!walk->looker->options->status_inside)
		return true;
	return commit_read(walk->looker->repo, commit, &info, err) &&
	       look_is_our_own(walk->looker, &info, out, err);
}

static bool check_line(
	struct walk *walk, const struct oid *commit, const struct oid *base, struct error *err)
{
	struct oid at = *commit;
	for (size_t i = 0; at.hex[0]; i++) {
		bool passed = false;
		if (i && !is_passed_over(walk, &at, &passed, err))
			return false;
		if (!passed && !check_one(walk, &at, err))
			return false;
		if (i >= WALK_MAX) {
			(void)error_set(err, ERR_AUTH,
				"more than %d commits since the last deployed one", WALK_MAX);
			refuse(walk, err);
			return true;
		}
		if (!step(walk, base, &at, err))
			return false;
	}
	return true;
}

static void keep_names(struct looker *looker, const struct strlist *names)
{
	auto_buf struct buf text = BUF_INIT(sizeof(looker->signed_by) - 1);
	for (size_t i = 0; i < names->count; i++)
		buf_addf(&text, "%s%s", i ? ", " : "", names->items[i]);
	(void)snprintf(looker->signed_by, sizeof(looker->signed_by), "%s", text.text);
}

bool look_check_signed(struct looker *looker, const struct oid *commit, const struct oid *base,
	struct strlist *refusals, struct error *err)
{
	auto_signers struct signers *signers = NULL;
	CLEANUP(clear_walk) struct walk walk = {.looker = looker, .refusals = refusals};
	looker->signed_by[0] = '\0';
	if (!looker->options->signers.allowed)
		return true;
	/* read at each look, so that a change counts for the next commit */
	if (!signers_load(&looker->options->signers, &signers, err))
		return error_wrap(err, "signatures");
	walk.signers = signers;
	if (!check_line(&walk, commit, base, err))
		return false;
	if (walk.refused > REFUSALS_MAX)
		strlist_addf(refusals, "%zu more commits are not well signed",
			walk.refused - REFUSALS_MAX);
	keep_names(looker, &walk.names);
	return true;
}
