#include "base/arena.h"
#include "reconcile/audit_parts.h"

#define HISTORY_MAX ((size_t)1 << 30) /* of what is kept of all commits: 200 bytes each */

static const char lost[] = "objects are missing or damaged, or the clone is shallow: fetch the "
			   "branch again, whole";
static const char foreign[] = "somebody else wrote here. Aviary may have acted on it: look at what "
			      "it changes";
static const char replaced[] = "the branch was rewritten or deleted and made anew: what it told "
			       "before is gone from it";
static const char forged[] = "it was not made by Aviary, or changed after it was made";

void audit_free(struct audit *audit)
{
	if (!audit)
		return;
	for (size_t i = 0; i < audit->break_count; i++) {
		free(audit->breaks[i].subject);
		free(audit->breaks[i].what);
	}
	free(audit->breaks);
	strlist_clear(&audit->signers);
	free(audit);
}

void audit_add(struct audit_walk *walk, const struct told *told, const char *means,
	const char *format, ...)
{
	struct audit *audit = walk->audit;
	va_list args;
	mem_grow(audit->breaks, audit->break_count, audit->break_capacity);
	struct audit_break *item = &audit->breaks[audit->break_count++];
	*item = (struct audit_break){.means = means};
	if (told)
		memcpy(item->commit, told->commit, sizeof(item->commit));
	item->age = told ? told->age : 0;
	item->subject = mem_dup_str(told ? told->subject : "");
	va_start(args, format);
	item->what = mem_vprintf(format, args);
	va_end(args);
}

/* ---- one commit --------------------------------------------------------------------------------
 */

/* "<verb>(<name>): <what>", or without what; the verb alone tells whose fact it is. */
static const char *verb_of(struct arena *arena, const char *subject)
{
	size_t len = strspn(subject, "abcdefghijklmnopqrstuvwxyz");
	const char *close = len && subject[len] == '(' ? strchr(subject + len, ')') : NULL;
	bool good = close && close > subject + len + 1 &&
		    (!close[1] || (close[1] == ':' && close[2] == ' '));
	return good ? arena_dup(arena, subject, len) : NULL;
}

static int64_t epoch_of(const char *verb, const char *subject)
{
	const char *text = verb && !strcmp(verb, "leader") ? strstr(subject, "): epoch ") : NULL;
	return text ? strtoll(text + strlen("): epoch "), NULL, 10) : 0;
}

static struct told told_of(struct audit_walk *walk, const struct commit_info *info)
{
	struct told told = {.subject = arena_str(walk->arena, info->subject),
		.verb = verb_of(walk->arena, info->subject),
		.rollout = arena_str(walk->arena, commit_trailer(info, "Rollout")),
		.client = arena_str(walk->arena, commit_trailer(info, "Client")),
		.stage = arena_str(walk->arena, commit_trailer(info, "Stage")),
		.result = arena_str(walk->arena, commit_trailer(info, "Result"))};
	memcpy(told.commit, info->id.hex, sizeof(told.commit));
	told.age = walk->audit->commits - 1;
	told.epoch = epoch_of(told.verb, told.subject);
	return told;
}

static bool check_signature(struct audit_walk *walk, const struct commit_info *info,
	struct told *told, struct error *err)
{
	const struct audit_options *options = walk->options;
	char signer[SIGNER_TEXT];
	bool is_signed = false;
	if (!options->signers)
		return true;
	if (!commit_is_signed(options->repo, &info->id, &is_signed, err))
		return false;
	told->signature = is_signed ? SIGNATURE_GOOD : SIGNATURE_NONE;
	if (!is_signed)
		return true;
	if (signers_check_commit(options->signers, options->repo, &info->id, signer, err)) {
		if (!strlist_has(&walk->audit->signers, signer))
			strlist_add(&walk->audit->signers, signer);
		return true;
	}
	if (err->code != ERR_AUTH)
		return false;
	const char *why = strstr(err->message, ": "); /* behind "commit <id>" */
	told->signature = SIGNATURE_BAD;
	told->signature_why = arena_str(walk->arena, why ? why + 2 : err->message);
	return true;
}

static bool check_commit(struct audit_walk *walk, const struct commit_info *info, struct error *err)
{
	struct told told = told_of(walk, info);
	bool is_fact = true;
	if (!audit_check_files(walk, info, &told, &is_fact, err))
		return false;
	if (!is_fact)
		return true;
	walk->audit->facts++;
	if (info->parents > 1)
		audit_add(walk, &told, foreign, "is a merge");
	if (!told.verb)
		audit_add(walk, &told, foreign, "is no fact of Aviary's");
	if (!check_signature(walk, info, &told, err))
		return false;
	mem_grow(walk->told, walk->told_count, walk->told_capacity);
	walk->told[walk->told_count++] = told;
	return true;
}

/* ---- the walk ----------------------------------------------------------------------------------
 */

/* What cannot be read ends the walk: nothing is known of what came before it. */
static bool walk_branch(struct audit_walk *walk, struct error *err)
{
	struct oid at = walk->options->tip;
	while (at.hex[0]) {
		auto_commit_info struct commit_info info = {0};
		struct told told = {.subject = "", .age = walk->audit->commits++};
		memcpy(told.commit, at.hex, sizeof(told.commit));
		if (!commit_read(walk->options->repo, &at, &info, err)) {
			audit_add(walk, &told, lost, "cannot be read: %s", err->message);
			return true;
		}
		if (!check_commit(walk, &info, err)) {
			/* an object that is missing is an answer; a machine that fails is none */
			if (err->code == ERR_TIMEOUT || err->code == ERR_STOPPED)
				return false;
			told.subject = info.subject;
			audit_add(walk, &told, lost, "cannot be checked: %s", err->message);
		}
		at = info.parent;
	}
	return true;
}

/* Unsigned commits from before signing began are covered by the first signature after them. */
static void judge_signatures(struct audit_walk *walk)
{
	struct audit *audit = walk->audit;
	for (size_t i = walk->told_count; i-- > 0;) {
		const struct told *told = &walk->told[i];
		if (told->signature == SIGNATURE_GOOD)
			audit->signed_count++;
		else if (told->signature == SIGNATURE_BAD)
			audit_add(
				walk, told, forged, "is not well signed: %s", told->signature_why);
		else if (told->signature == SIGNATURE_NONE && audit->signed_count)
			audit_add(walk, told, forged, "is not signed, and older commits are");
		else if (told->signature == SIGNATURE_NONE)
			audit->unsigned_before++;
	}
	if (walk->options->signers && !audit->signed_count && walk->told_count)
		audit_add(walk, &walk->told[0], forged,
			"and all commits before it are not signed by a key of the list");
}

static bool check_seen(struct audit_walk *walk, struct error *err)
{
	const struct audit_options *options = walk->options;
	bool there = true;
	if (!options->seen.hex[0])
		return true;
	if (!repo_is_ancestor(options->repo, &options->seen, &options->tip, &there, err))
		return false;
	if (there)
		return true;
	struct told told = {.subject = "the newest commit that this service has seen"};
	memcpy(told.commit, options->seen.hex, sizeof(told.commit));
	audit_add(walk, &told, replaced, "is not in the history any more");
	return true;
}

static int by_age(const void *a, const void *b)
{
	const struct audit_break *x = a, *y = b;
	return (x->age < y->age) - (x->age > y->age);
}

static bool check_all(struct audit_walk *walk, struct error *err)
{
	struct audit *audit = walk->audit;
	if (!check_seen(walk, err) || !walk_branch(walk, err))
		return false;
	judge_signatures(walk);
	if (!audit_check_order(walk, err))
		return false;
	if (audit->break_count)
		qsort(audit->breaks, audit->break_count, sizeof(*audit->breaks), by_age);
	return true;
}

bool audit_run(const struct audit_options *options, struct audit **audit_out, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, HISTORY_MAX);
	auto_audit struct audit *audit = mem_zero(1, sizeof(*audit));
	struct audit_walk walk = {.options = options, .audit = audit, .arena = arena};
	bool done = check_all(&walk, err);
	free(walk.told);
	if (done)
		*audit_out = STEAL(audit);
	return done;
}
