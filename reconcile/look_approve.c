/* A tag approve/<id> in the infra repository says yes to what the rollout waits for when the tag is
 * first seen. Whoever may push it may approve; with allowed_signers_file, whoever signed it.
 */
#include "base/log.h"
#include "git/tag.h"
#include "reconcile/look_parts.h"
#include <ctype.h>

#define INTO "approvals" /* refs/remotes/approvals/tags/approve/<id> in the mirror */

/* Who says yes: the signer where a list of signers rules, else whoever the tag names. */
static bool find_approver(
	struct looker *looker, const struct tag_info *tag, char *by, size_t size, struct error *err)
{
	auto_signers struct signers *signers = NULL;
	char signer[SIGNER_TEXT];
	const struct signed_text text = {
		.armor = {(const unsigned char *)tag->signature.text, tag->signature.len},
		.bytes = {(const unsigned char *)tag->covered.text, tag->covered.len},
		.wall_s = tag->wall_s};
	(void)snprintf(by, size, "%s", tag->tagger);
	if (!looker->options->signers.allowed)
		return true;
	if (!tag->signature.len)
		return error_set(err, ERR_AUTH, "it is not signed: make it with git tag -s");
	if (!signers_load(&looker->options->signers, &signers, err) ||
		!signers_check(signers, &text, signer, err))
		return false;
	(void)snprintf(by, size, "%s", signer);
	return true;
}

/* A message that names a plan means that plan and no other. */
static bool names_other_plan(const char *message, const char *plan)
{
	for (const char *at = message; (at = strstr(at, "p-")); at++) {
		size_t digits = strspn(at + 2, "0123456789abcdef");
		bool starts = at == message || !isalnum((unsigned char)at[-1]);
		if (starts && digits == 8 && !isalnum((unsigned char)at[10]))
			return strncmp(at, plan, 10) != 0;
	}
	return false;
}

static bool judge(struct looker *looker, const struct rollout_record *rollout, const struct oid *id,
	struct look_approval *out, struct error *err)
{
	auto_tag_info struct tag_info tag = {0};
	auto_free char *name = mem_printf("approve/%s", rollout->id);
	auto_buf struct buf reason = BUF_INIT(sizeof(out->reason) - 1);
	if (!tag_read(looker->repo, id, &tag, err))
		return false;
	if (strcmp(tag.name, name) != 0)
		return error_set(err, ERR_AUTH, "it was made as '%.100s'", tag.name);
	if (names_other_plan(tag.message, rollout->plan))
		return error_set(
			err, ERR_AUTH, "its message names another plan than %s", rollout->plan);
	if (!find_approver(looker, &tag, out->by, sizeof(out->by), err))
		return false;
	buf_add_clean(&reason, tag.message, strcspn(tag.message, "\n"));
	(void)snprintf(out->reason, sizeof(out->reason), "%s", reason.text);
	out->tag = *id;
	memcpy(out->rollout, rollout->id, sizeof(out->rollout));
	return true;
}

bool look_for_approval(struct looker *looker, struct look_result *result, struct error *err)
{
	const struct rollout_record *rollout = status_running(result->status);
	auto_strlist struct strlist missing = STRLIST_INIT;
	struct look_approval approval = {0};
	struct error why;
	struct oid tag;
	if (!rollout || rollout->state != ROLLOUT_WAITING)
		return true;
	auto_free char *ref = mem_printf("refs/tags/approve/%s", rollout->id);
	auto_free char *copy = mem_printf("refs/remotes/" INTO "/tags/approve/%s", rollout->id);
	const char *const refs[] = {ref};
	if (!remote_fetch(looker->infra, looker->repo, INTO, refs, 1, &missing, err))
		return error_wrap(err, "approvals");
	if (missing.count)
		return true;
	if (!repo_ref(looker->repo, copy, &tag, err))
		return error_wrap(err, "approvals");
	if (rollout_record_knows_tag(rollout, tag.hex) || oid_equal(&tag, &looker->bad_tag))
		return true;
	if (judge(looker, rollout, &tag, &approval, &why)) {
		result->approval = approval;
		return true;
	}
	looker->bad_tag = tag; /* told once */
	log_warn("approval does not count", LOG_STR("rollout", rollout->id), LOG_ERROR_FIELD(&why));
	return true;
}
