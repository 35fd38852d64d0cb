#include "base/clock.h"
#include "git/pack.h"
#include "reconcile/ledger_parts.h"

extern const char embedded_status_readme_md[];
extern const unsigned long embedded_status_readme_md_len;

/* ---- life ------------------------------------------------------------------------------------ */

struct ledger *ledger_new(const struct ledger_options *options)
{
	struct ledger *ledger = mem_zero(1, sizeof(*ledger));
	ledger->repo = options->repo;
	ledger->remote = options->remote;
	ledger->ref = mem_printf("refs/heads/%s", options->branch);
	ledger->tracking = mem_printf("refs/remotes/status/%s", options->branch);
	ledger->seen = mem_printf("refs/aviary/seen/%s", options->branch);
	ledger->folder = mem_dup_str(options->folder);
	ledger->author_name = mem_dup_str(options->author_name);
	ledger->author_mail = mem_dup_str(options->author_mail);
	ledger->signing_key_file = mem_dup_str(options->signing_key_file);
	return ledger;
}

void ledger_free(struct ledger *ledger)
{
	if (!ledger)
		return;
	free(ledger->ref);
	free(ledger->tracking);
	free(ledger->seen);
	free(ledger->folder);
	free(ledger->author_name);
	free(ledger->author_mail);
	free(ledger->signing_key_file);
	status_free(ledger->status);
	free(ledger);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The branch as the remote has it now; an empty id if it has none. */
static bool fetch_tip(struct ledger *ledger, struct oid *tip_out, struct error *err)
{
	auto_strlist struct strlist missing = STRLIST_INIT;
	const char *const refs[] = {ledger->ref};
	*tip_out = (struct oid){0};
	if (!remote_fetch(ledger->remote, ledger->repo, "status", refs, 1, &missing, err))
		return false;
	return missing.count || repo_ref(ledger->repo, ledger->tracking, tip_out, err);
}

static bool history_error(struct ledger *ledger, const char *what, struct error *err)
{
	error_set(err, ERR_REFUSED, "status branch '%s' %s", ledger->ref + strlen("refs/heads/"),
		what);
	return error_hint(err,
		"put it back on the remote, or take the truth from the hosts with 'aviary apply "
		"--accept-history'");
}

/* A status branch that lost commits must never be taken for the truth (design.md section 6). */
static bool check_history(struct ledger *ledger, const struct oid *tip, struct error *err)
{
	struct repo_seen seen;
	return repo_look_back(ledger->repo, ledger->seen, tip, &seen, err) &&
	       (!seen.lost || history_error(ledger, seen.lost, err));
}

static bool read_status(struct ledger *ledger, const struct oid *tip, struct error *err)
{
	auto_tree struct tree *tree = NULL;
	auto_status struct status *status = NULL;
	if (ledger->status && oid_equal(&ledger->status->tip, tip))
		return true;
	if (!tip->hex[0])
		status = status_new();
	else if (!tree_open_commit(ledger->repo, tip, &tree, err) ||
		 !status_load(tree, ledger->folder, tip, &status, err))
		return false;
	status_free(ledger->status);
	ledger->status = STEAL(status);
	return true;
}

bool ledger_load(
	struct ledger *ledger, bool accept_history, struct status **status_out, struct error *err)
{
	struct oid tip;
	if (!fetch_tip(ledger, &tip, err))
		return false;
	if (!accept_history && !check_history(ledger, &tip, err))
		return false;
	if (!read_status(ledger, &tip, err) ||
		!repo_ref_move(ledger->repo, ledger->seen, &tip, err))
		return false;
	*status_out = status_copy(ledger->status);
	return true;
}

struct status *ledger_status(const struct ledger *ledger)
{
	return ledger->status ? status_copy(ledger->status) : status_new();
}

/* ---- writing: the branch -----------------------------------------------------------------------
 */

/* Nothing was ever written: the first commit says what this is. */
static bool is_first(const struct ledger *ledger, const struct oid *tip)
{
	const struct status *status = ledger->status;
	return oid_equal(tip, &status->tip) && !status->epoch && !status->digest_keys &&
	       !status->client_count && !status->rollout_count;
}

/* Paths of a fact in the branch; owned by the list. */
static const char *place(const struct ledger *ledger, struct strlist *paths, const char *path)
{
	strlist_addf(paths, "%s%s", ledger->folder, path);
	return paths->items[paths->count - 1];
}

static void fact_message(const struct ledger *ledger, const struct fact *fact, struct buf *message)
{
	auto_free struct trailer *trailers = mem_zero(fact->trailer_keys.count, sizeof(*trailers));
	/* On the tracked branch the repository's own CI must not run for every fact. */
	const char *body = fact->body ? fact->body : ledger->folder[0] ? "[skip ci]" : NULL;
	for (size_t i = 0; i < fact->trailer_keys.count; i++)
		trailers[i] = (struct trailer){
			fact->trailer_keys.items[i], fact->trailer_values.items[i]};
	commit_message(fact->subject, body, trailers, fact->trailer_keys.count, message);
}

static bool commit_fact(const struct ledger *ledger, struct repo *batch, const struct fact *fact,
	struct oid *tip, struct error *err)
{
	size_t count = fact->file_count + 1;
	auto_free struct commit_change *changes = mem_zero(count, sizeof(*changes));
	auto_strlist struct strlist paths = STRLIST_INIT;
	auto_buf struct buf message = BUF_INIT(1 << 20);
	const struct commit_author author = {
		ledger->author_name, ledger->author_mail, clock_wall_s(), ledger->signing_key_file};
	struct oid made;
	size_t used = 0;
	if (is_first(ledger, tip))
		changes[used++] = (struct commit_change){place(ledger, &paths, "README.md"),
			embedded_status_readme_md, embedded_status_readme_md_len};
	for (size_t i = 0; i < fact->file_count; i++)
		changes[used++] = (struct commit_change){place(ledger, &paths, fact->files[i].path),
			fact->files[i].text, fact->files[i].len};
	fact_message(ledger, fact, &message);
	if (!commit_create(batch, tip, changes, used, message.text, &author, &made, err))
		return false;
	*tip = made;
	return true;
}

/* Is one path the same file in both commits? */
static bool path_is_same(
	struct tree *before, struct tree *now, const char *path, bool *same_out, struct error *err)
{
	struct tree_entry a = {0}, b = {0};
	bool in_before = !before || tree_stat(before, path, &a, err);
	if (!in_before && err->code != ERR_NOT_FOUND)
		return false;
	bool in_now = tree_stat(now, path, &b, err);
	if (!in_now && err->code != ERR_NOT_FOUND)
		return false;
	*same_out = (before && in_before) == in_now && oid_equal(&a.id, &b.id);
	return true;
}

/* Do the facts still hold on a tip that somebody else moved? They were decided on all records: also
 * a late push of a service that died meanwhile may have changed what they say of others. */
static bool facts_hold(
	struct ledger *ledger, const struct oid *from, const struct oid *now, struct error *err)
{
	static const char *const records[] = {
		"leader.yaml", "clients", "rollouts", "requests.yaml"};
	auto_tree struct tree *before = NULL;
	auto_tree struct tree *after = NULL;
	auto_strlist struct strlist paths = STRLIST_INIT;
	bool same = true;
	if (from->hex[0] && !tree_open_commit(ledger->repo, from, &before, err))
		return false;
	if (!tree_open_commit(ledger->repo, now, &after, err))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(records) && same; i++)
		if (!path_is_same(before, after, place(ledger, &paths, records[i]), &same, err))
			return false;
	return same ||
	       error_set(err, ERR_REJECTED, "somebody else changed records of '%s'", ledger->ref);
}

bool ledger_is_still(struct ledger *ledger, const struct oid *tip, struct error *err)
{
	return !ledger->status || oid_equal(&ledger->status->tip, tip) ||
	       facts_hold(ledger, tip, &ledger->status->tip, err);
}

static void put_records(struct status *status, struct fact *const *facts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (facts[i]->client)
			status_put_client(status, facts[i]->client);
		if (facts[i]->rollout)
			status_put_rollout(status, facts[i]->rollout);
		if (facts[i]->asked)
			status_put_asked(status, facts[i]->asked);
	}
}

/* Some facts change more than records (leader, digest keys): that is read back from the commit.
 * The records are not, since snapshots hold them: those of a large fleet would be there twice. */
static bool read_beside_records(struct ledger *ledger, struct fact *const *facts, size_t count,
	const struct oid *tip, struct error *err)
{
	auto_tree struct tree *tree = NULL;
	auto_status struct status *status = status_copy(ledger->status);
	put_records(status, facts, count);
	if (!tree_open_commit(ledger->repo, tip, &tree, err) ||
		!status_load_beside(tree, ledger->folder, status, err))
		return false;
	status_free(ledger->status);
	ledger->status = STEAL(status);
	return true;
}

/* What was accepted is the status from now on. */
static bool accept(struct ledger *ledger, struct fact *const *facts, size_t count,
	const struct oid *tip, struct error *err)
{
	bool records_only = true;
	for (size_t i = 0; i < count; i++)
		records_only =
			records_only && (facts[i]->client || facts[i]->rollout || facts[i]->asked);
	ledger->attempt.accepted = true;
	if (records_only)
		put_records(ledger->status, facts, count);
	else if (!read_beside_records(ledger, facts, count, tip, err))
		return false;
	ledger->status->tip = *tip;
	return repo_ref_move(ledger->repo, ledger->tracking, tip, err) &&
	       repo_ref_move(ledger->repo, ledger->seen, tip, err);
}

/* The remote's branch after a push that did not clearly succeed: it may have our batch after all.
 */
static bool look_again(struct ledger *ledger, bool *accepted_out, struct error *err)
{
	struct oid tip;
	bool ours = false;
	*accepted_out = false;
	if (!fetch_tip(ledger, &tip, err) || !check_history(ledger, &tip, err))
		return false;
	if (tip.hex[0] && ledger->attempt.tip.hex[0] &&
		!repo_is_ancestor(ledger->repo, &ledger->attempt.tip, &tip, &ours, err))
		return false;
	const struct oid from = ours ? ledger->attempt.tip : ledger->status->tip;
	*accepted_out = ours;
	/* Also when ours arrived: who came after it may lead now. */
	if (!oid_equal(&tip, &from) && !facts_hold(ledger, &from, &tip, err))
		return false;
	return read_status(ledger, &tip, err) &&
	       repo_ref_move(ledger->repo, ledger->seen, &tip, err);
}

static bool push_batch(struct ledger *ledger, uint64_t batch, struct fact *const *facts,
	size_t count, struct error *err)
{
	struct oid tip = ledger->status->tip;
	auto_repo struct repo *objects = NULL;
	if (!pack_batch_open(ledger->repo, &objects, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!commit_fact(ledger, objects, facts[i], &tip, err) ||
			(pack_batch_is_full(objects) && !pack_batch_write(objects, err)))
			return error_wrap(err, "commit '%s'", facts[i]->subject);
	if (!pack_batch_write(objects, err))
		return false;
	ledger->attempt = (struct attempt){.batch = batch, .tip = tip};
	struct remote_update update = {
		.name = ledger->ref, .id = tip, .expected = ledger->status->tip};
	if (!remote_push(ledger->remote, objects, &update, 1, err))
		return false;
	return accept(ledger, facts, count, &tip, err);
}

static bool push_branch(struct ledger *ledger, uint64_t batch, struct fact *const *facts,
	size_t count, struct error *err)
{
	for (int i = 0; i < REMOTE_TRIES; i++) {
		bool accepted = false;
		bool unknown = ledger->attempt.batch == batch && ledger->attempt.tip.hex[0];
		if (i)
			remote_pause(i);
		if ((i || unknown) && !look_again(ledger, &accepted, err))
			return false;
		if (accepted) {
			ledger->attempt.accepted = true;
			return true;
		}
		if (push_batch(ledger, batch, facts, count, err))
			return true;
		if (err->code != ERR_REJECTED)
			return error_wrap(err, "status branch");
	}
	/* Nothing that we say was disputed, so it is tried again later, with the back-off of a
	 * remote that did not answer. */
	error_set(err, ERR_TIMEOUT, "status branch: somebody else was faster %d times in a row",
		REMOTE_TRIES);
	return false;
}

static bool append(struct ledger *ledger, uint64_t batch, struct fact *const *facts, size_t count,
	struct error *err)
{
	bool only_tags = ledger->attempt.batch == batch && ledger->attempt.accepted;
	if (!only_tags && !push_branch(ledger, batch, facts, count, err))
		return false;
	if (!ledger_push_fact_tags(ledger, facts, count, err))
		return false;
	ledger->attempt = (struct attempt){0};
	return true;
}

bool ledger_append(struct ledger *ledger, uint64_t batch, struct fact *const *facts, size_t count,
	struct error *err)
{
	if (!ledger->status)
		return error_set(err, ERR_SYSTEM, "the status branch was not read yet");
	if (batch)
		return append(ledger, batch, facts, count, err);
	/* Between two tries of a numbered batch, which must find its own traces afterwards. */
	struct attempt kept = ledger->attempt;
	ledger->attempt = (struct attempt){0};
	bool good = append(ledger, 0, facts, count, err);
	ledger->attempt = kept;
	return good;
}
