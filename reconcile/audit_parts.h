/* reconcile/audit_parts.h - what the files of the audit share */
#pragma once
#include "git/commit.h"
#include "reconcile/audit.h"

/* What the order of facts is judged by; texts live in the walk's arena, NULL where absent. */
struct told {
	char commit[OID_HEX + 1];
	const char *subject, *verb, *rollout, *client, *stage, *result;
	int64_t epoch; /* of a leader fact */
	size_t age;    /* commits from the tip */
	enum { SIGNATURE_UNASKED, SIGNATURE_GOOD, SIGNATURE_NONE, SIGNATURE_BAD } signature;
	const char *signature_why; /* of a bad one */
};

struct audit_walk {
	const struct audit_options *options;
	struct audit *audit;
	struct arena *arena;
	struct told *told; /* newest first */
	size_t told_count, told_capacity;
};

/** Put a break down. @param told  NULL: it concerns no commit */
PRINTF(4, 5)
void audit_add(struct audit_walk *walk, const struct told *told, const char *means,
	const char *format, ...);

/** Does the commit write what its fact may write, and does the record say the same?
 *  @param is_fact_out  false: a commit of people on the tracked branch, which is none of ours */
MUST_USE bool audit_check_files(struct audit_walk *walk, const struct commit_info *info,
	const struct told *told, bool *is_fact_out, struct error *err);

/** Is it how a client's work in a rollout begins or ends? */
bool audit_is_start_or_end(const char *result);

/** Is it how a rollout ends? */
bool audit_ends_rollout(const char *result);

/** Starts before ends, one end each, epochs that go up; and the tags. */
MUST_USE bool audit_check_order(struct audit_walk *walk, struct error *err);
