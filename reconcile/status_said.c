/* What was said to a rollout, in its record: who approved what, who ended it, what took over. */
#include "base/emit.h"
#include "reconcile/status_parts.h"

void rollout_record_approve(struct rollout_record *record, const struct approval_record *approval)
{
	record->approvals = mem_resize(
		record->approvals, record->approval_count + 1, sizeof(*record->approvals));
	record->approvals[record->approval_count++] =
		(struct approval_record){.what = mem_dup_str(approval->what),
			.by = mem_dup_str(approval->by),
			.reason = mem_dup_str(approval->reason),
			.tag = mem_dup_str(approval->tag),
			.now = approval->now,
			.at_s = approval->at_s};
}

bool rollout_record_starts_now(const struct rollout_record *record, const char *stage)
{
	for (size_t i = 0; i < record->approval_count; i++)
		if (record->approvals[i].now && !strcmp(record->approvals[i].what, stage))
			return true;
	return false;
}

char *approval_record_what(const struct approval_record *approval)
{
	return mem_printf("%s%s", approval->what, approval->now ? ", outside of its windows" : "");
}

bool rollout_record_knows_tag(const struct rollout_record *record, const char *tag)
{
	for (size_t i = 0; i < record->approval_count; i++)
		if (record->approvals[i].tag && !strcmp(record->approvals[i].tag, tag))
			return true;
	return false;
}

bool rollout_record_is_approved(const struct rollout_record *record, const char *what)
{
	for (size_t i = 0; i < record->approval_count; i++)
		if (!strcmp(record->approvals[i].what, what))
			return true;
	return false;
}

void rollout_record_abort(
	struct rollout_record *record, const char *by, const char *reason, int64_t at_s)
{
	free(record->abort.by);
	free(record->abort.reason);
	record->abort = (struct abort_record){
		.asked = true, .by = mem_dup_str(by), .reason = mem_dup_str(reason), .at_s = at_s};
}

char *rollout_record_ending(const struct rollout_record *record)
{
	const char *by = record->abort.by ? record->abort.by : "nobody";
	return record->abort.asked ? mem_printf("aborted by %s", by)
				   : mem_printf("superseded by %.7s", record->superseded_by);
}

void said_clear(struct rollout_record *record)
{
	for (size_t i = 0; i < record->approval_count; i++) {
		free(record->approvals[i].what);
		free(record->approvals[i].by);
		free(record->approvals[i].reason);
		free(record->approvals[i].tag);
	}
	free(record->approvals);
	free(record->abort.by);
	free(record->abort.reason);
}

void said_copy(struct rollout_record *to, const struct rollout_record *from)
{
	to->approvals = NULL;
	to->approval_count = 0;
	for (size_t i = 0; i < from->approval_count; i++)
		rollout_record_approve(to, &from->approvals[i]);
	to->abort.by = mem_dup_str(from->abort.by);
	to->abort.reason = mem_dup_str(from->abort.reason);
}

/* ---- files ------------------------------------------------------------------------------------
 */

static void emit_approvals(struct emitter *emitter, const struct rollout_record *record)
{
	if (!record->approval_count)
		return;
	emit_list(emitter, "approvals");
	for (size_t i = 0; i < record->approval_count; i++) {
		const struct approval_record *approval = &record->approvals[i];
		emit_map(emitter, NULL);
		emit_str(emitter, "what", approval->what);
		emit_str(emitter, "by", approval->by);
		emit_opt(emitter, "reason", approval->reason);
		emit_opt(emitter, "tag", approval->tag);
		if (approval->now)
			emit_bool(emitter, "now", true);
		emit_time(emitter, "at", approval->at_s);
		emit_close(emitter);
	}
	emit_close(emitter);
}

void said_emit(struct emitter *emitter, const struct rollout_record *record)
{
	emit_approvals(emitter, record);
	if (record->abort.asked) {
		emit_map(emitter, "abort");
		emit_opt(emitter, "by", record->abort.by);
		emit_opt(emitter, "reason", record->abort.reason);
		emit_time(emitter, "at", record->abort.at_s);
		emit_close(emitter);
	}
	emit_opt(emitter, "superseded_by", record->superseded_by);
}

static bool read_approvals(
	const struct node *list, struct rollout_record *record, struct error *err)
{
	for (size_t i = 0; list && list->kind == NODE_LIST && i < list->count; i++) {
		const struct node *item = list->items[i];
		struct approval_record approval = {.what = (char *)record_text(item, "what"),
			.by = (char *)record_text(item, "by"),
			.reason = (char *)record_text(item, "reason"),
			.tag = (char *)record_text(item, "tag"),
			.now = record_flag(item, "now")};
		if (!approval.what || !approval.by)
			return node_error(err, item, "an approval needs 'what' and 'by'");
		if (!record_time(item, "at", &approval.at_s, err))
			return false;
		rollout_record_approve(record, &approval);
	}
	return true;
}

bool said_read(const struct node *node, struct rollout_record *record, struct error *err)
{
	const struct node *abort = node_get(node, "abort");
	const char *newer = record_text(node, "superseded_by");
	int64_t at_s = 0;
	if (newer && !oid_valid(newer))
		return node_error(err, node_get(node, "superseded_by"), "'%s' is no commit", newer);
	if (newer)
		memcpy(record->superseded_by, newer, sizeof(record->superseded_by));
	if (abort && abort->kind == NODE_MAP) {
		if (!record_time(abort, "at", &at_s, err))
			return false;
		rollout_record_abort(
			record, record_text(abort, "by"), record_text(abort, "reason"), at_s);
	}
	return read_approvals(node_get(node, "approvals"), record, err);
}
