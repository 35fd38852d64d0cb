/* What we sign is verified by ssh-keygen and git, which also make the keys. */
#include "git/commit.h"
#include "git/signing_key.h"
#include "tests/lib/gitrepo.h"
#include "tests/lib/signing.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

static struct error err;
static char *scratch; /* NULL: ssh-keygen is not installed */
static char *eva;     /* path of a private key in it */

static const struct span message = {
	(const unsigned char *)SIGNING_MESSAGE, sizeof(SIGNING_MESSAGE) - 1};

static int set_up(void **state)
{
	(void)state;
	scratch = signing_set_up();
	eva = mem_printf("%s/eva", scratch ? scratch : "");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (scratch)
		gitrepo_remove(scratch);
	free(eva);
	return 0;
}

static void ssh_keygen_makes_the_same_signature(void **state)
{
	NEEDS_SSH_KEYGEN;
	static const char *const with[] = {"eva", "git", "hashalg=sha512"};
	auto_buf struct buf armor = BUF_INIT(SSHSIG_MAX);
	signing_make(scratch, "message", with);
	auto_free char *theirs = signing_read(scratch, "message.sig");
	assert_true(signing_key_sign(eva, &message, &armor, &err));
	buf_add_char(&armor, '\n');
	assert_string_equal(armor.text, theirs);
	assert_true(signing_key_check(eva, &err));
}

static void the_public_half_is_the_one_beside_it(void **state)
{
	NEEDS_SSH_KEYGEN;
	auto_buf struct buf line = BUF_INIT(SIGNING_KEY_MAX);
	auto_free char *theirs = signing_read(scratch, "eva.pub");
	assert_true(signing_key_public(eva, &line, &err));
	assert_memory_equal(theirs, line.text, line.len);
	assert_true(theirs[line.len] == ' ' || theirs[line.len] == '\n');
	assert_false(signing_key_public("/nonexistent", &line, &err));
}

static void a_key_that_cannot_sign_is_refused_with_a_remedy(void **state)
{
	NEEDS_SSH_KEYGEN;
	static const char *const lock[] = {
		"ssh-keygen", "-q", "-t", "ed25519", "-N", "secret words", "-f", "locked", NULL};
	static const struct {
		const char *file, *what;
	} cases[] = {
		{"rsa", "not of type ed25519"},
		{"ecdsa", "not of type ed25519"},
		{"locked", "locked with a passphrase"},
		{"nothing", "not a private key"},
		{"cut", "is damaged"},
		{"half", "is damaged"},
		{"no-base64", "is damaged"},
	};
	auto_free char *good = signing_read(scratch, "eva");
	auto_free char *half =
		mem_printf("%.*s\n-----END OPENSSH PRIVATE KEY-----\n", 35 + 1 + 71 * 3, good);
	assert_int_equal(signing_run(scratch, lock, NULL), 0);
	gitrepo_write(scratch, "nothing", "hello\n");
	gitrepo_write(scratch, "cut",
		"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n"
		"-----END OPENSSH PRIVATE KEY-----\n");
	gitrepo_write(scratch, "half", half);
	gitrepo_write(scratch, "no-base64",
		"-----BEGIN OPENSSH PRIVATE KEY-----\n!\n-----END OPENSSH PRIVATE KEY-----\n");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *path = mem_printf("%s/%s", scratch, cases[i].file);
		auto_buf struct buf armor = BUF_INIT(SSHSIG_MAX);
		assert_int_equal(chmod(path, 0600), 0);
		assert_false(signing_key_sign(path, &message, &armor, &err));
		if (!strstr(err.message, cases[i].what))
			fail_msg("%s: %s", cases[i].file, err.message);
		assert_non_null(strstr(err.hint, "ssh-keygen -t ed25519"));
		assert_int_equal(armor.len, 0);
	}
}

static void a_key_that_others_can_read_is_refused(void **state)
{
	NEEDS_SSH_KEYGEN;
	assert_int_equal(chmod(eva, 0640), 0);
	assert_false(signing_key_check(eva, &err));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_int_equal(chmod(eva, 0600), 0);
	assert_false(signing_key_check("/nonexistent/key", &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void git_verifies_our_commits_and_tags(void **state)
{
	NEEDS_SSH_KEYGEN;
	const struct commit_author author = {
		"Aviary", "aviary@localhost", 1700000000, .signing_key_file = eva};
	const struct commit_change change = {"a/b.txt", "x\n", 2};
	char *folder = gitrepo_scratch();
	auto_free char *who = signing_with_keys(scratch, "aviary@localhost EVA\n");
	struct repo *repo = NULL;
	struct oid head = {0}, made = {0}, again = {0};
	gitrepo_make(folder);
	gitrepo_write(folder, "who", who);
	GIT(folder, "config", "gpg.ssh.allowedSignersFile", "who");
	assert_true(repo_discover(folder, &repo, &err));
	assert_true(repo_revision(repo, "HEAD", &head, &err));
	assert_true(commit_create(
		repo, &head, &change, 1, "fact\n\nResult: started\n", &author, &made, &err));
	assert_true(commit_create(
		repo, &head, &change, 1, "fact\n\nResult: started\n", &author, &again, &err));
	assert_true(oid_equal(&made, &again));
	GIT(folder, "verify-commit", made.hex);
	assert_true(commit_tag(repo, "deploy/1", &made, "rollout 1 succeeded", &author, &err));
	assert_true(commit_tag(repo, "deploy/1", &made, "rollout 1 succeeded", &author, &err));
	assert_false(commit_tag(repo, "deploy/1", &head, "another", &author, &err));
	assert_int_equal(err.code, ERR_REJECTED);
	GIT(folder, "verify-tag", "deploy/1");
	auto_free char *text = GIT_TEXT(folder, "for-each-ref",
		"--format=%(*objectname) %(contents:subject)", "refs/tags/deploy/1");
	auto_free char *wanted = mem_printf("%s rollout 1 succeeded", made.hex);
	assert_string_equal(text, wanted);
	GIT(folder, "fsck", "--strict");
	repo_free(repo);
	gitrepo_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ssh_keygen_makes_the_same_signature),
		cmocka_unit_test(the_public_half_is_the_one_beside_it),
		cmocka_unit_test(a_key_that_cannot_sign_is_refused_with_a_remedy),
		cmocka_unit_test(a_key_that_others_can_read_is_refused),
		cmocka_unit_test(git_verifies_our_commits_and_tags),
	};
	if (!repo_library_init(&err))
		return 1;
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);
	repo_library_shutdown();
	return failed;
}
