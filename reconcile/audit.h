/* reconcile/audit.h - checks the whole status branch, offline: is it what Aviary wrote?
 *
 * Unbroken: every commit is there, is a fact and writes only what its kind of fact writes; what its
 * trailers say stands in the record that it wrote; every final record has its start before it, and
 * there is one; epochs go up; no tag tells of a rollout that the branch does not know. With a list
 * of signers every commit since the first signed one must be signed by a key of it: older ones are
 * covered by that signature, as commits name their parents.
 */
#pragma once
#include "git/signers.h"

struct audit_options {
	struct repo *repo; /* borrowed */
	struct oid tip;
	const char *folder;            /* of the records: "", or "status/" on the tracked branch */
	const struct signers *signers; /* NULL: signatures are not looked at */
	struct oid seen;               /* a commit that must be in the history; empty: none */
};

struct audit_break {
	char commit[OID_HEX + 1]; /* "" for what concerns no commit of the branch */
	char *subject;            /* of the commit, or name of the tag */
	char *what;               /* what is wrong with it */
	const char *means;        /* what that means, and what to look at */
	size_t age;               /* commits from the tip; what concerns none comes last */
};

struct audit {
	size_t commits, facts;
	size_t signed_count;        /* well signed */
	size_t unsigned_before;     /* made before signing began */
	struct strlist signers;     /* names, in the order of the branch, newest first */
	struct audit_break *breaks; /* oldest first */
	size_t break_count, break_capacity;
};
void audit_free(struct audit *audit);
DEFINE_CLEANUP(struct audit, audit_free)
#define auto_audit CLEANUP(audit_free_at)

/** @return false only where the check itself could not be made */
MUST_USE bool audit_run(
	const struct audit_options *options, struct audit **audit_out, struct error *err);
