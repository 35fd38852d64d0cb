#include "server/cli/history_verify.h"
#include "base/emit.h"
#include "git/signing_key.h"
#include "reconcile/audit.h"
#include "server/cli/online.h"

#define REPORT_MAX ((size_t)256 << 20)

/* Who may have signed: a list, or the public half of the service's own key. Neither: NULL. */
static bool find_signers(const struct branch *branch, const char *signers_file,
	struct signers **signers_out, struct error *err)
{
	const char *key_file = branch->config ? branch->config->status.signing_key_file : NULL;
	auto_buf struct buf line = BUF_INIT(SIGNING_KEY_MAX);
	*signers_out = NULL;
	if (signers_file)
		return signers_load(
			&(struct signers_files){.allowed = signers_file}, signers_out, err);
	if (!key_file)
		return true;
	buf_add_str(&line, "aviary namespaces=\"git\" ");
	return signing_key_public(key_file, &line, err) &&
	       signers_parse(key_file, line.text, line.len, signers_out, err);
}

static void add_text(const struct audit *audit, bool judged, struct buf *out)
{
	for (size_t i = 0; i < audit->break_count; i++) {
		const struct audit_break *item = &audit->breaks[i];
		buf_addf(out, "%-7.7s  ", item->commit[0] ? item->commit : "tag");
		buf_add_clean(out, item->subject, strlen(item->subject));
		buf_add_str(out, "\n         ");
		buf_add_clean(out, item->what, strlen(item->what));
		buf_addf(out, "\n         %s\n", item->means);
	}
	if (!judged)
		buf_add_str(out, "Signatures were not looked at: name --signers FILE, or a -c FILE "
				 "with status.signing_key_file.\n");
	else if (audit->unsigned_before)
		buf_addf(out,
			"%zu commits are from before signing began; the first signature after them "
			"covers them.\n",
			audit->unsigned_before);
	for (size_t i = 0; i < audit->signers.count; i++)
		buf_addf(out, "%s%s%s", i ? ", " : "Signed by ", audit->signers.items[i],
			i + 1 < audit->signers.count ? "" : ".\n");
}

static void add_json(const struct audit *audit, bool judged, struct buf *out)
{
	struct emitter emitter;
	emit_begin(&emitter, EMIT_JSON, out);
	emit_int(&emitter, "commits", (int64_t)audit->commits);
	emit_int(&emitter, "facts", (int64_t)audit->facts);
	emit_bool(&emitter, "unbroken", !audit->break_count);
	emit_bool(&emitter, "signatures_checked", judged);
	emit_int(&emitter, "signed", (int64_t)audit->signed_count);
	emit_int(&emitter, "unsigned_before", (int64_t)audit->unsigned_before);
	emit_strs(&emitter, "signers", &audit->signers);
	emit_list(&emitter, "breaks");
	for (size_t i = 0; i < audit->break_count; i++) {
		const struct audit_break *item = &audit->breaks[i];
		emit_map(&emitter, NULL);
		emit_str(&emitter, "commit", item->commit[0] ? item->commit : NULL);
		emit_str(&emitter, "subject", item->subject);
		emit_str(&emitter, "what", item->what);
		emit_str(&emitter, "means", item->means);
		emit_close(&emitter);
	}
	emit_close(&emitter);
	emit_end(&emitter);
	buf_add_char(out, '\n');
}

static void add_answer(const struct audit *audit, struct buf *out)
{
	if (audit->break_count)
		buf_addf(out, "Broken in %zu place%s of %zu commits.\n", audit->break_count,
			audit->break_count == 1 ? "" : "s", audit->commits);
	else
		buf_addf(out, "Unbroken: %zu commits, %zu facts, each end after its start.\n",
			audit->commits, audit->facts);
}

int history_verify(const struct branch *branch, const char *signers_file, bool json)
{
	auto_buf struct buf out = BUF_INIT(REPORT_MAX);
	auto_signers struct signers *signers = NULL;
	auto_audit struct audit *audit = NULL;
	struct error err;
	if (!find_signers(branch, signers_file, &signers, &err))
		return online_fail(&err);
	const struct audit_options options = {.repo = branch->repo,
		.tip = branch->tip,
		.folder = branch->folder,
		.signers = signers,
		.seen = branch->seen};
	if (!audit_run(&options, &audit, &err))
		return online_fail(&err);
	if (json) {
		add_json(audit, signers != NULL, &out);
	} else {
		add_answer(audit, &out);
		add_text(audit, signers != NULL, &out);
	}
	fwrite(out.text, 1, out.len, stdout);
	return fflush(stdout) || audit->break_count ? 1 : 0;
}
