/* Two ledgers on one bare repository: races, rejections, tags, a branch that lost commits. */
#include "reconcile/ledger.h"
#include "tests/lib/gitrepo.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

struct side {
	struct repo *repo;
	struct remote *remote;
	struct ledger *ledger;
};

static struct error err;
static uint64_t batches;
static char *scratch, *bare;
static char commit_hex[OID_HEX + 1]; /* of the infra repository */

static struct side side_open(const char *name)
{
	struct side side = {0};
	auto_free char *path = mem_printf("%s/%s.git", scratch, name);
	const struct remote_options options = {.url = bare, .cancel_fd = -1};
	if (!repo_open_mirror(path, &side.repo, &err) || !remote_new(&options, &side.remote, &err))
		fail_msg("%s", err.message);
	const struct ledger_options ledger = {.repo = side.repo,
		.remote = side.remote,
		.branch = "deployments",
		.folder = "",
		.author_name = name,
		.author_mail = "aviary@example.org"};
	side.ledger = ledger_new(&ledger);
	/* Tags stand on commits of the infra repository, which the service has fetched. */
	const char *const refs[] = {"refs/heads/main"};
	if (!remote_fetch(side.remote, side.repo, "origin", refs, 1, NULL, &err))
		fail_msg("%s", err.message);
	return side;
}

static void side_close(struct side *side)
{
	ledger_free(side->ledger);
	remote_free(side->remote);
	repo_free(side->repo);
}
#define auto_side CLEANUP(side_close)

static int set_up(void **state)
{
	(void)state;
	scratch = gitrepo_scratch();
	bare = mem_printf("%s/bare.git", scratch);
	auto_free char *work = mem_printf("%s/work", scratch);
	gitrepo_write(scratch, "work/fleet.yaml", "version: 1\n");
	gitrepo_make(work);
	GIT(scratch, "clone", "-q", "--bare", work, bare);
	auto_free char *head = GIT_TEXT(bare, "rev-parse", "main");
	(void)snprintf(commit_hex, sizeof(commit_hex), "%s", head); /* 40 digits */
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(bare);
	gitrepo_remove(scratch);
	return 0;
}

static void load(struct side *side)
{
	struct status *status = NULL;
	if (!ledger_load(side->ledger, false, &status, &err))
		fail_msg("%s", err.message);
	status_free(status);
}

/* A fact about one client, with a rollback tag if @p rollout is given. */
static struct fact *fact_about(const char *client, const char *rollout)
{
	struct client_record record = {
		.client = (char *)(uintptr_t)client, .stage = (char[]){"canary"}};
	record.state = CLIENT_WAITING;
	memcpy(record.current.commit, commit_hex, sizeof(commit_hex));
	(void)snprintf(record.current.release, sizeof(record.current.release), "sha256:aa");
	struct fact *fact = fact_drift(&record);
	if (rollout) {
		fact->tag = mem_printf("rollback/%s/%s", client, rollout);
		memcpy(fact->tag_commit, commit_hex, sizeof(fact->tag_commit));
		fact->tag_message = mem_dup_str("known good");
	}
	return fact;
}

static bool append(struct side *side, const char *client, const char *rollout)
{
	auto_fact struct fact *fact = fact_about(client, rollout);
	struct fact *const facts[] = {fact};
	err = (struct error){0};
	return ledger_append(side->ledger, ++batches, facts, 1, &err);
}

static void must_append(struct side *side, const char *client, const char *rollout)
{
	if (!append(side, client, rollout))
		fail_msg("%s: %s", client, err.message);
}

static size_t count_commits(const char *pattern)
{
	auto_free char *grep = mem_printf("--grep=%s", pattern);
	auto_free char *text = GIT_TEXT(bare, "rev-list", "--count", grep, "deployments");
	return strtoul(text, NULL, 10);
}

/* What the remote runs before it takes a push. */
static void hook(const char *name, const char *script)
{
	auto_free char *path = mem_printf("bare.git/hooks/%s", name);
	auto_free char *whole = mem_printf("%s/%s", scratch, path);
	gitrepo_write(scratch, path, script);
	assert_int_equal(chmod(whole, 0755), 0);
}

static void unhook(const char *name)
{
	auto_free char *path = mem_printf("%s/hooks/%s", bare, name);
	assert_int_equal(remove(path), 0);
}

/* ---- races -------------------------------------------------------------------------------------
 */

static void the_first_fact_makes_the_branch_with_a_readme(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	load(&one);
	must_append(&one, "alpha", NULL);
	free(GIT_TEXT(bare, "cat-file", "-e", "deployments:README.md"));
	free(GIT_TEXT(bare, "cat-file", "-e", "deployments:clients/alpha.yaml"));
	assert_int_equal(count_commits("."), 1);
}

/* Somebody commits a file to the branch that is no record. */
static void write_note(int number)
{
	auto_free char *work = mem_printf("%s/note%d", scratch, number);
	auto_free char *path = mem_printf("note%d/NOTES%d.md", number, number);
	GIT(scratch, "clone", "-q", "-b", "deployments", bare, work);
	gitrepo_write(scratch, path, "hands off\n");
	GIT(work, "add", ".");
	GIT(work, "-c", "user.name=Eva", "-c", "user.email=eva@example.com", "commit", "-qm",
		"a note");
	GIT(work, "push", "-q", "origin", "deployments");
}

static void what_is_no_record_may_be_written_by_anybody(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	load(&one);
	must_append(&one, "alpha", NULL);
	for (int i = 0; i < 3; i++) {
		write_note(i);
		must_append(&one, "alpha", NULL);
	}
	assert_int_equal(count_commits("drift(alpha)"), 4);
	assert_int_equal(count_commits("a note"), 3);
}

/* Facts are decided on all records: a late push of a service that died changes what holds. */
static void any_record_that_somebody_else_changed_means_decide_again(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	auto_side struct side two = side_open("two");
	load(&one);
	must_append(&one, "alpha", NULL);
	load(&two);
	must_append(&one, "gamma", NULL);
	assert_false(append(&two, "beta", NULL));
	assert_int_equal(err.code, ERR_REJECTED);
	load(&two);
	must_append(&two, "beta", NULL);
	auto_status struct status *seen = ledger_status(two.ledger);
	assert_non_null(status_client(seen, "gamma"));
}

static void a_record_that_somebody_else_changed_means_decide_again(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	auto_side struct side two = side_open("two");
	load(&one);
	must_append(&one, "beta", NULL);
	load(&two);
	must_append(&one, "alpha", NULL);
	assert_false(append(&two, "alpha", NULL));
	assert_int_equal(err.code, ERR_REJECTED);
	assert_int_equal(count_commits("drift(alpha)"), 1);
	load(&two);
	assert_int_equal(count_commits("."), 2);
}

static void another_leader_means_decide_again_whatever_is_written(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	auto_side struct side two = side_open("two");
	load(&one);
	must_append(&one, "alpha", NULL);
	load(&two);
	auto_status struct status *before = ledger_status(one.ledger);
	auto_fact struct fact *leader = fact_leader("one", 7, NULL, 1700000000);
	struct fact *const facts[] = {leader};
	assert_true(ledger_append(one.ledger, 1, facts, 1, &err));
	assert_false(append(&two, "beta", NULL));
	assert_int_equal(err.code, ERR_REJECTED);
	auto_status struct status *seen = ledger_status(one.ledger);
	assert_int_equal(seen->epoch, 7);
	assert_string_equal(seen->leader, "one");
	/* no second copy of what was not changed */
	assert_ptr_equal(status_client(seen, "alpha"), status_client(before, "alpha"));
}

/* ---- declined, and tags ------------------------------------------------------------------------
 */

static void a_declined_push_tells_the_words_of_the_remote(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	load(&one);
	must_append(&one, "alpha", NULL);
	hook("pre-receive", "#!/bin/sh\necho 'ask Eva first' >&2\nexit 1\n");
	assert_false(append(&one, "beta", NULL));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_non_null(strstr(err.message, "status branch"));
	unhook("pre-receive");
	must_append(&one, "beta", NULL);
	assert_int_equal(count_commits("drift(beta)"), 1);
}

static void a_declined_tag_is_pushed_again_without_another_commit(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	auto_fact struct fact *fact = fact_about("alpha", "20260101-000000-1111111");
	struct fact *const facts[] = {fact};
	load(&one);
	hook("update", "#!/bin/sh\ncase $1 in refs/tags/*) exit 1;; esac\n");
	assert_false(ledger_append(one.ledger, 1, facts, 1, &err));
	assert_int_equal(count_commits("drift(alpha)"), 1);
	unhook("update");
	if (!ledger_append(one.ledger, 1, facts, 1, &err))
		fail_msg("%s", err.message);
	assert_int_equal(count_commits("drift(alpha)"), 1);
	auto_free char *type =
		GIT_TEXT(bare, "cat-file", "-t", "rollback/alpha/20260101-000000-1111111");
	assert_string_equal(type, "tag");
}

static void a_batch_given_up_is_not_taken_for_a_new_one(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	struct fact *facts[1] = {fact_about("alpha", "20260101-000000-1111111")};
	load(&one);
	hook("update", "#!/bin/sh\ncase $1 in refs/tags/*) exit 1;; esac\n");
	assert_false(ledger_append(one.ledger, 1, facts, 1, &err));
	unhook("update");
	/* The caller dropped it; the next batch stands at the same place in memory. */
	fact_free(facts[0]);
	facts[0] = fact_about("beta", NULL);
	if (!ledger_append(one.ledger, 2, facts, 1, &err))
		fail_msg("%s", err.message);
	fact_free(facts[0]);
	assert_int_equal(count_commits("drift(beta)"), 1);
}

static void an_answer_that_was_lost_leads_to_no_second_commit(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	auto_fact struct fact *fact = fact_about("alpha", NULL);
	auto_fact struct fact *keys = fact_digest_keys("k1", "digest key made", "keys: []\n", 9);
	struct fact *const facts[] = {fact};
	struct fact *const others[] = {keys};
	load(&one);
	/* The branch is taken, then the connection ends. */
	hook("post-receive", "#!/bin/sh\nkill -9 $PPID\n");
	bool told = ledger_append(one.ledger, 1, facts, 1, &err);
	unhook("post-receive");
	load(&one);
	assert_true(ledger_append(one.ledger, 0, others, 1, &err));
	if (!told && !ledger_append(one.ledger, 1, facts, 1, &err))
		fail_msg("%s", err.message);
	assert_int_equal(count_commits("drift(alpha)"), 1);
	assert_int_equal(count_commits("key(k1)"), 1);
}

/* One comes with each rollout, and the mirror would have a file more for it. */
static void a_deploy_tag_stays_on_the_remote_alone(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	auto_fact struct fact *fact = fact_about("alpha", "20260101-000001-1111111");
	struct fact *const facts[] = {fact};
	load(&one);
	must_append(&one, "beta", "20260101-000001-1111111");
	free(fact->tag);
	fact->tag = mem_dup_str("deploy/20260101-000001-1111111");
	if (!ledger_append(one.ledger, ++batches, facts, 1, &err))
		fail_msg("%s", err.message);
	auto_free char *mirror = mem_printf("%s/one.git", scratch);
	auto_free char *kept = GIT_TEXT(mirror, "tag", "-l");
	auto_free char *pushed = GIT_TEXT(bare, "tag", "-l");
	assert_string_equal(kept, "rollback/beta/20260101-000001-1111111");
	assert_string_equal(pushed, "deploy/20260101-000001-1111111\n"
				    "rollback/beta/20260101-000001-1111111");
}

/* A look between the decision and its push has read what others wrote. */
static void facts_of_before_a_load_are_rejected_after_it(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	auto_side struct side two = side_open("two");
	load(&one);
	must_append(&one, "alpha", NULL);
	load(&two);
	auto_status struct status *decided = ledger_status(two.ledger);
	write_note(7);
	load(&two);
	assert_true(ledger_is_still(two.ledger, &decided->tip, &err));
	must_append(&one, "gamma", NULL);
	load(&two);
	assert_false(ledger_is_still(two.ledger, &decided->tip, &err));
	assert_int_equal(err.code, ERR_REJECTED);
}

/* The answer to our push is lost, and before it is asked for again another one leads. */
static void ours_arrived_and_another_one_leads_means_decide_again(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	auto_side struct side two = side_open("two");
	auto_fact struct fact *fact = fact_about("alpha", NULL);
	auto_fact struct fact *leader = fact_leader("two", 7, NULL, 1700000000);
	struct fact *const facts[] = {fact}, *const leads[] = {leader};
	load(&one);
	must_append(&one, "beta", NULL);
	hook("post-receive", "#!/bin/sh\nkill -9 $PPID\n");
	bool told = ledger_append(one.ledger, 100, facts, 1, &err);
	unhook("post-receive");
	if (told)
		return; /* the answer was faster */
	load(&two);
	assert_true(ledger_append(two.ledger, 1, leads, 1, &err));
	assert_false(ledger_append(one.ledger, 100, facts, 1, &err));
	assert_int_equal(err.code, ERR_REJECTED);
	assert_int_equal(count_commits("drift(alpha)"), 1);
}

static void only_the_newest_rollback_tags_of_a_client_stay(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	load(&one);
	for (int i = 1; i <= 5; i++) {
		char rollout[ROLLOUT_TEXT];
		(void)snprintf(rollout, sizeof(rollout), "20260101-00000%d-1111111", i);
		must_append(&one, "alpha", rollout);
	}
	must_append(&one, "beta", "20260101-000001-1111111");
	if (!ledger_prune_tags(one.ledger, 2, &err))
		fail_msg("%s", err.message);
	auto_free char *left = GIT_TEXT(bare, "tag", "-l");
	assert_string_equal(left, "rollback/alpha/20260101-000004-1111111\n"
				  "rollback/alpha/20260101-000005-1111111\n"
				  "rollback/beta/20260101-000001-1111111");
}

/* The push that brings a client's third tag takes its first, and nothing else that looks like it.
 */
static void a_new_rollback_tag_takes_the_oldest_with_it(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	load(&one);
	must_append(&one, "beta", "20260101-000001-1111111");
	GIT(bare, "tag", "rollback-alpha", "main");
	GIT(bare, "tag", "rollback/alphabet/20250101-000000-1111111", "main");
	GIT(bare, "tag", "deploy/20250101-000000-1111111", "main");
	GIT(bare, "branch", "rollback/alpha/20250101-000000-1111111", "main");
	for (int i = 1; i <= 4; i++) {
		auto_free char *rollout = mem_printf("20260101-00000%d-1111111", i);
		auto_fact struct fact *fact = fact_about("alpha", rollout);
		struct fact *const facts[] = {fact};
		fact->keep_tags = 2;
		if (!ledger_append(one.ledger, ++batches, facts, 1, &err))
			fail_msg("%s", err.message);
	}
	auto_free char *left = GIT_TEXT(bare, "tag", "-l");
	assert_string_equal(left, "deploy/20250101-000000-1111111\n"
				  "rollback-alpha\n"
				  "rollback/alpha/20260101-000003-1111111\n"
				  "rollback/alpha/20260101-000004-1111111\n"
				  "rollback/alphabet/20250101-000000-1111111\n"
				  "rollback/beta/20260101-000001-1111111");
	auto_free char *branches = GIT_TEXT(bare, "branch", "--format=%(refname:short)", "-l");
	assert_non_null(strstr(branches, "rollback/alpha/20250101-000000-1111111"));
	auto_strlist struct strlist kept = STRLIST_INIT;
	assert_true(repo_refs(one.repo, "refs/tags/rollback/alpha/", &kept, &err));
	assert_int_equal(kept.count, 2); /* the mirror forgets them too */
}

/* ---- history -----------------------------------------------------------------------------------
 */

static void assert_history_refused(struct side *side, const char *words)
{
	struct status *status = NULL;
	err = (struct error){0};
	assert_false(ledger_load(side->ledger, false, &status, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_non_null(strstr(err.message, words));
	assert_non_null(strstr(err.hint, "--accept-history"));
	assert_true(ledger_load(side->ledger, true, &status, &err));
	status_free(status);
	load(side); /* accepted once is accepted */
}

static void a_branch_that_lost_commits_is_refused_until_accepted(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	load(&one);
	must_append(&one, "alpha", NULL);
	must_append(&one, "alpha", NULL);
	GIT(bare, "update-ref", "refs/heads/deployments", "deployments~1");
	assert_history_refused(&one, "is shorter");
	GIT(bare, "update-ref", "-d", "refs/heads/deployments");
	assert_history_refused(&one, "is missing");
	must_append(&one, "beta", NULL);
	assert_int_equal(count_commits("."), 1);
}

static void a_branch_that_vanishes_under_a_write_is_refused_too(void **state)
{
	(void)state;
	auto_side struct side one = side_open("one");
	load(&one);
	must_append(&one, "alpha", NULL);
	GIT(bare, "update-ref", "-d", "refs/heads/deployments");
	assert_false(append(&one, "beta", NULL));
	assert_int_equal(err.code, ERR_REFUSED);
	auto_free char *refs = GIT_TEXT(bare, "for-each-ref", "refs/heads/deployments");
	assert_string_equal(refs, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_fact_makes_the_branch_with_a_readme),
		TEST(what_is_no_record_may_be_written_by_anybody),
		TEST(any_record_that_somebody_else_changed_means_decide_again),
		TEST(a_record_that_somebody_else_changed_means_decide_again),
		TEST(another_leader_means_decide_again_whatever_is_written),
		TEST(a_declined_push_tells_the_words_of_the_remote),
		TEST(a_declined_tag_is_pushed_again_without_another_commit),
		TEST(a_batch_given_up_is_not_taken_for_a_new_one),
		TEST(an_answer_that_was_lost_leads_to_no_second_commit),
		TEST(a_new_rollback_tag_takes_the_oldest_with_it),
		TEST(a_deploy_tag_stays_on_the_remote_alone),
		TEST(facts_of_before_a_load_are_rejected_after_it),
		TEST(ours_arrived_and_another_one_leads_means_decide_again),
		TEST(only_the_newest_rollback_tags_of_a_client_stay),
		TEST(a_branch_that_lost_commits_is_refused_until_accepted),
		TEST(a_branch_that_vanishes_under_a_write_is_refused_too),
	};
	return cmocka_run_group_tests(tests, gitrepo_begin, gitrepo_end);
}
