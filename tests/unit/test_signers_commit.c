/* Commits that git(1) signs and merges, and what signers_check_commit() says of them. */
#include "git/signers.h"
#include "tests/lib/gitrepo.h"
#include "tests/lib/signing.h"
#include <setjmp.h>
#include <stdarg.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

static struct error err;
static char *scratch; /* NULL: ssh-keygen is not installed */

static int set_up(void **state)
{
	(void)state;
	scratch = signing_set_up();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (scratch)
		gitrepo_remove(scratch);
	return 0;
}

static void a_commit_is_split_as_git_does_it(void **state)
{
	(void)state;
	static const struct {
		const char *object, *signature,
			*covered; /* signature NULL: refused for `covered` */
	} cases[] = {
		{"tree 1\ngpgsig A\n B\n C\n\nm\n", "A\nB\nC\n", "tree 1\n\nm\n"},
		{"tree 1\ngpgsig A\n  B\n\nm\n", "A\n B\n", "tree 1\n\nm\n"},
		{"tree 1\ngpgsig A\n B\nmergetag x\n y\n\nm", "A\nB\n",
			"tree 1\nmergetag x\n y\n\nm"},
		{"gpgsig A\ntree 1\n\ngpgsig B\n", "A\n", "tree 1\n\ngpgsig B\n"},
		{"tree 1\ngpgsig A", "A", "tree 1\n"},
		{"tree 1\n\ngpgsig A\n", NULL, "not signed"},
		{"tree 1\nx y\n gpgsig A\n\nm\n", NULL, "not signed"},
		{"tree 1\ngpgsigs A\n\nm\n", NULL, "not signed"},
		{"", NULL, "not signed"},
		{"\n", NULL, "not signed"},
		{"tree 1\ngpgsig A\ngpgsig B\n\nm\n", NULL, "two signatures"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf struct buf signature = BUF_INIT(1000);
		auto_buf struct buf covered = BUF_INIT(1000);
		bool good = commit_split(
			cases[i].object, strlen(cases[i].object), &signature, &covered, &err);
		assert_int_equal(good, cases[i].signature != NULL);
		if (!good) {
			assert_int_equal(err.code, ERR_AUTH);
			assert_non_null(strstr(err.message, cases[i].covered));
			continue;
		}
		assert_string_equal(signature.text, cases[i].signature);
		assert_string_equal(covered.text, cases[i].covered);
	}
	auto_buf struct buf signature = BUF_INIT(1000);
	auto_buf struct buf covered = BUF_INIT(1000);
	assert_false(commit_split("tree 1\ngpgsig A\n\nm\0more", 24, &signature, &covered, &err));
	assert_non_null(strstr(err.message, "NUL"));
}

struct history {
	char *folder;
	struct repo *repo;
	struct signers *signers;
};

static struct history make_history(void)
{
	struct history made = {
		.folder = gitrepo_scratch(), .signers = signing_list(scratch, "eva@x EVA")};
	auto_free char *key = mem_printf("%s/eva", scratch);
	gitrepo_make(made.folder);
	GIT(made.folder, "config", "gpg.format", "ssh");
	GIT(made.folder, "config", "user.signingkey", key);
	assert_true(repo_discover(made.folder, &made.repo, &err));
	return made;
}

static void end_history(struct history *history)
{
	repo_free(history->repo);
	signers_free(history->signers);
	gitrepo_remove(history->folder);
}

static bool head_counts(struct history *history)
{
	struct oid head = {0};
	char signer[SIGNER_TEXT] = "";
	assert_true(repo_revision(history->repo, "HEAD", &head, &err));
	bool good = signers_check_commit(history->signers, history->repo, &head, signer, &err);
	assert_string_equal(signer, good ? "eva@x" : "");
	if (!good) {
		char named[64];
		(void)snprintf(named, sizeof(named), "commit %.12s: ", head.hex);
		assert_int_equal(err.code, ERR_AUTH);
		assert_ptr_equal(strstr(err.message, named), err.message);
	}
	return good;
}

static void what_git_signs_counts(void **state)
{
	NEEDS_SSH_KEYGEN;
	struct history history = make_history();
	assert_false(head_counts(&history));
	assert_non_null(strstr(err.message, "not signed"));
	GIT(history.folder, "commit", "-q", "--allow-empty", "-S", "-m", "signed\n\ngpgsig x");
	assert_true(head_counts(&history));
	/* a signature of another content */
	auto_free char *object = GIT_TEXT(history.folder, "cat-file", "commit", "HEAD");
	char *word = strstr(object, "Eva <");
	assert_non_null(word);
	word[2] = 'e';
	auto_free char *forged = gitrepo_git_input(history.folder, object,
		(const char *const[]){"hash-object", "-t", "commit", "-w", "--stdin", NULL});
	GIT(history.folder, "reset", "-q", "--hard", forged);
	assert_false(head_counts(&history));
	assert_non_null(strstr(err.message, "does not belong"));
	end_history(&history);
}

/* main edits a file that the signed branch renames */
static void make_branches(const char *folder, const char *on_main)
{
	gitrepo_write(folder, "a.txt", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
	GIT(folder, "add", "-A");
	GIT(folder, "commit", "-q", "-m", "base");
	GIT(folder, "checkout", "-q", "-b", "topic");
	GIT(folder, "mv", "a.txt", "b.txt");
	gitrepo_write(folder, "b.txt", "one\n2\n3\n4\n5\n6\n7\n8\n9\n");
	GIT(folder, "commit", "-q", "-a", "-S", "-m", "rename");
	GIT(folder, "checkout", "-q", "main");
	gitrepo_write(folder, "a.txt", on_main);
	GIT(folder, "commit", "-q", "-a", "-m", "edit");
}

static void the_merge_that_git_makes_of_a_signed_branch_counts(void **state)
{
	NEEDS_SSH_KEYGEN;
	struct history history = make_history();
	make_branches(history.folder, "1\n2\n3\n4\n5\n6\n7\n8\nnine\n");
	GIT(history.folder, "merge", "-q", "--no-ff", "-m", "merge", "topic");
	assert_true(head_counts(&history));
	/* the same parents, another mode, content, or file */
	GIT(history.folder, "update-index", "--chmod=+x", "b.txt");
	GIT(history.folder, "commit", "-q", "--amend", "-m", "executable");
	assert_false(head_counts(&history));
	assert_non_null(strstr(err.message, "no plain merge of its parents"));
	GIT(history.folder, "update-index", "--chmod=-x", "b.txt");
	gitrepo_write(history.folder, "c.txt", "slipped in\n");
	GIT(history.folder, "add", "-A");
	GIT(history.folder, "commit", "-q", "--amend", "-m", "one more");
	assert_false(head_counts(&history));
	GIT(history.folder, "rm", "-q", "c.txt");
	GIT(history.folder, "commit", "-q", "--amend", "-m", "as it was");
	assert_true(head_counts(&history));
	end_history(&history);
}

static void a_merge_whose_conflict_somebody_solved_needs_a_signature(void **state)
{
	NEEDS_SSH_KEYGEN;
	struct history history = make_history();
	make_branches(history.folder, "uno\n2\n3\n4\n5\n6\n7\n8\n9\n");
	/* `ours` is a solution as any other */
	GIT(history.folder, "merge", "-q", "--no-ff", "-X", "ours", "-m", "merge", "topic");
	assert_false(head_counts(&history));
	assert_non_null(strstr(err.message, "no plain merge"));
	GIT(history.folder, "commit", "-q", "--amend", "-S", "-m", "signed");
	assert_true(head_counts(&history));
	end_history(&history);
}

static void a_merge_into_which_an_unsigned_branch_goes_is_refused(void **state)
{
	NEEDS_SSH_KEYGEN;
	struct history history = make_history();
	make_branches(history.folder, "1\n2\n3\n4\n5\n6\n7\n8\nnine\n");
	GIT(history.folder, "checkout", "-q", "topic");
	GIT(history.folder, "commit", "-q", "--amend", "--no-gpg-sign", "-m", "unsigned");
	GIT(history.folder, "checkout", "-q", "main");
	GIT(history.folder, "merge", "-q", "--no-ff", "-m", "merge", "topic");
	assert_false(head_counts(&history));
	assert_non_null(strstr(err.message, "its second parent"));
	/* an octopus is nobody's web page */
	GIT(history.folder, "reset", "-q", "--hard", "HEAD^");
	GIT(history.folder, "branch", "-f", "other", "topic");
	auto_free char *tree = GIT_TEXT(history.folder, "rev-parse", "HEAD^{tree}");
	auto_free char *octopus = GIT_TEXT(history.folder, "commit-tree", "-p", "HEAD", "-p",
		"topic", "-p", "HEAD^", "-m", "three", tree);
	GIT(history.folder, "reset", "-q", "--hard", octopus);
	assert_false(head_counts(&history));
	end_history(&history);
}

static void openpgp_counts_for_nothing_without_a_keyring(void **state)
{
	NEEDS_SSH_KEYGEN;
	struct history history = make_history();
	auto_free char *object = GIT_TEXT(history.folder, "cat-file", "commit", "HEAD");
	char *body = strstr(object, "\n\n");
	auto_free char *with = mem_printf("%.*s\ngpgsig -----BEGIN PGP SIGNATURE-----\n x%s",
		(int)(body - object), object, body);
	auto_free char *id = gitrepo_git_input(history.folder, with,
		(const char *const[]){"hash-object", "-t", "commit", "-w", "--stdin", NULL});
	GIT(history.folder, "reset", "-q", "--hard", id);
	assert_false(head_counts(&history));
	assert_non_null(strstr(err.message, "signed with OpenPGP"));
	assert_non_null(strstr(err.hint, "forge_keyring_file"));
	end_history(&history);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_commit_is_split_as_git_does_it),
		cmocka_unit_test(what_git_signs_counts),
		cmocka_unit_test(the_merge_that_git_makes_of_a_signed_branch_counts),
		cmocka_unit_test(a_merge_whose_conflict_somebody_solved_needs_a_signature),
		cmocka_unit_test(a_merge_into_which_an_unsigned_branch_goes_is_refused),
		cmocka_unit_test(openpgp_counts_for_nothing_without_a_keyring),
	};
	if (!repo_library_init(&err))
		return 1;
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);
	repo_library_shutdown();
	return failed;
}
