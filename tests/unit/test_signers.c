/* The oracle is ssh-keygen: it makes every key and signature here, and what it says of them counts.
 */
#include "base/exec.h"
#include "base/fs.h"
#include "git/signers.h"
#include "git/signers_list.h"
#include "tests/lib/gitrepo.h"
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

#define MESSAGE "tree 0\nauthor Eva\n\nfirst\n"
#define MADE    "20200615120000Z"
#define MADE_S  1592222400

static struct error err;
static char *scratch; /* NULL: ssh-keygen is not installed */

/* @return exit status */
static int run(const char *const *argv, const char *input)
{
	static const char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C",
		"TZ=UTC", "HOME=/nonexistent", NULL};
	struct exec_request request = EXEC_REQUEST_INIT;
	struct exec_result result;
	request.argv = argv;
	request.environ_ = environment;
	request.folder = scratch;
	request.input = input;
	request.input_len = input ? strlen(input) : 0;
	if (!exec_run(&request, &result, &err))
		return -1;
	int status = result.exit_status;
	exec_result_clear(&result);
	return status;
}
#define RUN(input, ...) run((const char *const[]){__VA_ARGS__, NULL}, input)

static char *read_scratch(const char *name)
{
	auto_free char *path = mem_printf("%s/%s", scratch, name);
	auto_buf struct buf text = BUF_INIT(1 << 20);
	if (!fs_read(path, text.limit, &text, &err))
		fail_msg("%s", err.message);
	return buf_steal(&text);
}

static void make_key(const char *name, const char *type)
{
	assert_int_equal(
		RUN(NULL, "ssh-keygen", "-q", "-t", type, "-N", "", "-C", "someone", "-f", name),
		0);
}

/* <name>.sig, of MESSAGE */
static void make_signature(
	const char *name, const char *key, const char *purpose, const char *option)
{
	auto_free char *signature = mem_printf("%s.sig", name);
	gitrepo_write(scratch, name, MESSAGE);
	assert_int_equal(RUN(NULL, "ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", purpose, "-O",
				 option, name),
		0);
}

static int set_up(void **state)
{
	(void)state;
	scratch = gitrepo_scratch();
	if (RUN(NULL, "ssh-keygen", "-?") < 0) {
		gitrepo_remove(scratch);
		scratch = NULL;
		return 0;
	}
	make_key("eva", "ed25519");
	make_key("bob", "ed25519");
	make_key("rsa", "rsa");
	make_key("ecdsa", "ecdsa");
	make_signature("eva-git", "eva", "git", "hashalg=sha512");
	make_signature("eva-256", "eva", "git", "hashalg=sha256");
	make_signature("eva-file", "eva", "file", "hashalg=sha512");
	make_signature("bob-git", "bob", "git", "hashalg=sha512");
	make_signature("rsa-git", "rsa", "git", "hashalg=sha512");
	make_signature("ecdsa-git", "ecdsa", "git", "hashalg=sha256");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (scratch)
		gitrepo_remove(scratch);
	return 0;
}

/* The text with `EVA`, `BOB`, `RSA` and `ECDSA` replaced by public keys. */
static char *with_keys(const char *text)
{
	static const char *const names[][2] = {
		{"EVA", "eva.pub"}, {"BOB", "bob.pub"}, {"RSA", "rsa.pub"}, {"ECDSA", "ecdsa.pub"}};
	auto_buf struct buf out = BUF_INIT(1 << 16);
	while (*text) {
		size_t taken = 0;
		for (size_t i = 0; i < ARRAY_LEN(names) && !taken; i++) {
			size_t len = strlen(names[i][0]);
			if (strncmp(text, names[i][0], len) != 0)
				continue;
			auto_free char *key = read_scratch(names[i][1]);
			key[strcspn(key, "\n")] = '\0';
			buf_add_str(&out, key);
			taken = len;
		}
		if (!taken)
			buf_add_char(&out, *text);
		text += taken ? taken : 1;
	}
	return buf_steal(&out);
}

static struct signers *list_of(const char *text)
{
	struct signers *signers = NULL;
	auto_free char *whole = with_keys(text);
	if (!signers_parse("who", whole, strlen(whole), &signers, &err))
		fail_msg("%s: %s: %s", err.where, err.message, whole);
	return signers;
}

static struct signed_text text_of(const char *armor, const char *message)
{
	return (struct signed_text){
		.armor = {(const unsigned char *)armor, strlen(armor)},
		.bytes = {(const unsigned char *)message, strlen(message)},
		.wall_s = MADE_S,
	};
}

/* What ssh-keygen says, as git asks it: at the time at which the commit was made. */
static bool oracle(const char *list, const char *signature, const char *message)
{
	auto_free char *whole = with_keys(list);
	auto_free char *text = mem_printf("%s\n", whole);
	gitrepo_write(scratch, "who", text);
	return !RUN(message, "ssh-keygen", "-q", "-Y", "verify", "-f", "who", "-I", "eva@x", "-n",
		"git", "-s", signature, "-O", "verify-time=" MADE);
}

#define NEEDS_SSH_KEYGEN                                                                           \
	do {                                                                                       \
		(void)state;                                                                       \
		if (!scratch) {                                                                    \
			print_message("skipped: ssh-keygen is not installed\n");                   \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

static void signatures_count_where_ssh_keygen_says_so(void **state)
{
	NEEDS_SSH_KEYGEN;
	static const struct {
		const char *list, *signature, *message, *why; /* NULL: good */
	} cases[] = {
		{"eva@x EVA", "eva-git.sig", MESSAGE, NULL},
		{"eva@x EVA", "eva-256.sig", MESSAGE, NULL},
		{"eva@x RSA", "rsa-git.sig", MESSAGE, NULL},
		{"eva@x ECDSA", "ecdsa-git.sig", MESSAGE, NULL},
		{"eva@x EVA", "eva-git.sig", MESSAGE " ", "does not belong"},
		{"eva@x EVA", "eva-git.sig", "", "does not belong"},
		{"eva@x RSA", "rsa-git.sig", MESSAGE " ", "does not belong"},
		{"eva@x ECDSA", "ecdsa-git.sig", "x" MESSAGE, "does not belong"},
		{"eva@x EVA", "bob-git.sig", MESSAGE, "is not listed"},
		{"eva@x EVA", "rsa-git.sig", MESSAGE, "is not listed"},
		{"eva@x BOB\neva@x EVA", "eva-git.sig", MESSAGE, NULL},
		{"eva@x EVA", "eva-file.sig", MESSAGE, "for 'file' and not for 'git'"},
		{"eva@x namespaces=\"git\" EVA", "eva-git.sig", MESSAGE, NULL},
		{"eva@x namespaces=\"file,git\" EVA", "eva-git.sig", MESSAGE, NULL},
		{"eva@x namespaces=\"g?t\" EVA", "eva-git.sig", MESSAGE, NULL},
		{"eva@x NameSpaces=\"*\" EVA", "eva-git.sig", MESSAGE, NULL},
		{"eva@x namespaces=\"*,!git\" EVA", "eva-git.sig", MESSAGE, "may not sign for git"},
		{"eva@x namespaces=\"file\" EVA", "eva-git.sig", MESSAGE, "may not sign for git"},
		{"eva@x namespaces=\"Git\" EVA", "eva-git.sig", MESSAGE, "may not sign for git"},
		{"eva@x valid-before=\"20200615115959Z\" EVA", "eva-git.sig", MESSAGE, "expired"},
		{"eva@x valid-before=\"20200615120000Z\" EVA", "eva-git.sig", MESSAGE, NULL},
		{"eva@x valid-before=\"20200615Z\" EVA", "eva-git.sig", MESSAGE, "expired"},
		{"eva@x valid-after=\"20200615120001Z\" EVA", "eva-git.sig", MESSAGE,
			"counts from"},
		{"eva@x valid-after=\"202006151200Z\" EVA", "eva-git.sig", MESSAGE, NULL},
		{"eva@x valid-after=\"20200101Z\",valid-before=\"20210101Z\" EVA", "eva-git.sig",
			MESSAGE, NULL},
		{"eva@x valid-before=\"20200101\" EVA\neva@x valid-after=\"20200101\" EVA",
			"eva-git.sig", MESSAGE, NULL},
		{"eva@x,!mallory@x EVA comment with words", "eva-git.sig", MESSAGE, NULL},
		{"\teva@x\tEVA", "eva-git.sig", MESSAGE, NULL},
		{"# comment\n\n  # another\neva@x EVA", "eva-git.sig", MESSAGE, NULL},
		{"\"eva@x\" EVA", "eva-git.sig", MESSAGE, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_signers struct signers *signers = list_of(cases[i].list);
		auto_free char *armor = read_scratch(cases[i].signature);
		struct signed_text text = text_of(armor, cases[i].message);
		char signer[SIGNER_TEXT] = "";
		bool good = signers_check(signers, &text, signer, &err);
		if (good != !cases[i].why ||
			good != oracle(cases[i].list, cases[i].signature, cases[i].message))
			fail_msg("%s %s: %s", cases[i].list, cases[i].signature, err.message);
		assert_string_equal(signer, good ? "eva@x" : "");
		if (good)
			continue;
		assert_int_equal(err.code, ERR_AUTH);
		assert_non_null(strstr(err.message, cases[i].why));
		assert_true(err.hint[0] != '\0');
	}
}

static void a_line_that_says_nothing_clear_is_refused_with_its_number(void **state)
{
	NEEDS_SSH_KEYGEN;
	static const struct {
		const char *line, *what;
	} cases[] = {
		{"eva@x", "no key"},
		{"!eva@x EVA", "names nobody"},
		{"\"eva@x EVA", "names nobody"},
		{"eva@x ssh-ed25519", "missing or too long"},
		{"eva@x ssh-ed25519 AAAA", "damaged"},
		{"eva@x ssh-ed25519 A=A=", "no base64"},
		{"eva@x ssh-dss AAAAB3NzaC1kc3M=", "'ssh-dss' is no type"},
		{"eva@x ssh-ed25519-cert-v01@openssh.com AAAA", "is no type"},
		{"eva@x cert-authority EVA", "'cert-authority' is not supported"},
		{"eva@x namespaces=git EVA", "does not stand in quotes"},
		{"eva@x namespaces=\"git\"x EVA", "does not stand in quotes"},
		{"eva@x namespaces=\"a\",namespaces=\"b\" EVA", "stands twice"},
		{"eva@x valid-after=\"20200101\",valid-after=\"20200101\" EVA", "stands twice"},
		{"eva@x valid-after=\"2020\" EVA", "is no time"},
		{"eva@x valid-after=\"20201301\" EVA", "is no time"},
		{"eva@x valid-after=\"20200230Z\" EVA", "is no time"},
		{"eva@x valid-after=\"202001012460Z\" EVA", "is no time"},
		{"eva@x valid-after=\"20200101X\" EVA", "is no time"},
		{"eva@x valid-after=\"20210101Z\",valid-before=\"20200101Z\" EVA", "is not after"},
		{"eva@x no-pty EVA", "no option"},
		{"eva@x nonsense=\"x\" EVA", "no option that is known"},
		{"eva@x namespaces=\"git\", EVA", "is empty"},
		{"eva@x namespaces=\"git\" namespaces=\"git\" EVA", "is no type"},
		{"EVA", "is no type"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct signers *signers = NULL;
		auto_free char *lines = mem_printf("# who\nbob@x BOB\n%s\n", cases[i].line);
		auto_free char *text = with_keys(lines);
		if (signers_parse("list", text, strlen(text), &signers, &err))
			fail_msg("taken: %s", cases[i].line);
		if (!strstr(err.message, cases[i].what))
			fail_msg("%s: %s", cases[i].line, err.message);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.where, "list:3");
	}
}

static void a_list_without_keys_is_refused(void **state)
{
	static const char *const texts[] = {"", "\n", "# nobody\n"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct signers *signers = NULL;
		assert_false(signers_parse("list", texts[i], strlen(texts[i]), &signers, &err));
		assert_non_null(strstr(err.message, "lists no key"));
	}
	struct signers *signers = NULL;
	assert_false(signers_parse("list", "a\0b", 3, &signers, &err));
	assert_string_equal(err.where, "list:1");
}

static void revoked_keys_sign_nothing(void **state)
{
	NEEDS_SSH_KEYGEN;
	auto_signers struct signers *signers = list_of("eva@x EVA\nbob@x BOB");
	auto_free char *revoked = with_keys("# stolen\nEVA\n");
	auto_free char *by_eva = read_scratch("eva-git.sig");
	auto_free char *by_bob = read_scratch("bob-git.sig");
	struct signed_text text = text_of(by_eva, MESSAGE);
	char signer[SIGNER_TEXT];
	assert_true(signers_check(signers, &text, signer, &err));
	assert_true(signers_revoke(signers, "gone", revoked, strlen(revoked), &err));
	assert_false(signers_check(signers, &text, signer, &err));
	assert_non_null(strstr(err.message, "is revoked"));
	text = text_of(by_bob, MESSAGE);
	assert_true(signers_check(signers, &text, signer, &err));
	assert_string_equal(signer, "bob@x");

	assert_false(signers_revoke(signers, "gone", "SSHKRL\n\0\0\0", 10, &err));
	assert_non_null(strstr(err.message, "binary key revocation list"));
	assert_false(signers_revoke(signers, "gone", "\nssh-ed25519 !\n", 15, &err));
	assert_string_equal(err.where, "gone:2");
}

/* ---- hostile bytes */

static char *armor_of(const unsigned char *packed, size_t len)
{
	size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
	auto_free char *text = mem_alloc(size);
	(void)sodium_bin2base64(text, size, packed, len, sodium_base64_VARIANT_ORIGINAL);
	return mem_printf("-----BEGIN SSH SIGNATURE-----\n%s\n-----END SSH SIGNATURE-----\n", text);
}

static void no_bit_of_a_signature_may_change(void **state)
{
	NEEDS_SSH_KEYGEN;
	auto_signers struct signers *signers = list_of("eva@x EVA");
	auto_free char *armor = read_scratch("eva-git.sig");
	auto_free char *body = mem_dup_str(strchr(armor, '\n') + 1);
	unsigned char packed[512];
	char signer[SIGNER_TEXT];
	size_t len = 0;
	*strstr(body, "\n-----END") = '\0';
	assert_int_equal(sodium_base642bin(packed, sizeof(packed), body, strlen(body), "\n", &len,
				 NULL, sodium_base64_VARIANT_ORIGINAL),
		0);
	auto_free char *again = armor_of(packed, len);
	struct signed_text text = text_of(again, MESSAGE);
	assert_true(signers_check(signers, &text, signer, &err));
	for (size_t bit = 0; bit < len * 8; bit++) {
		packed[bit / 8] ^= (unsigned char)(1 << bit % 8);
		auto_free char *changed = armor_of(packed, len);
		packed[bit / 8] ^= (unsigned char)(1 << bit % 8);
		text = text_of(changed, MESSAGE);
		if (signers_check(signers, &text, signer, &err))
			fail_msg("bit %zu may change", bit);
		assert_int_equal(err.code, ERR_AUTH);
	}
	for (size_t cut = 0; cut < len; cut++) {
		auto_free char *shorter = armor_of(packed, cut);
		text = text_of(shorter, MESSAGE);
		assert_false(signers_check(signers, &text, signer, &err));
	}
	packed[len] = 0;
	auto_free char *longer = armor_of(packed, len + 1);
	text = text_of(longer, MESSAGE);
	assert_false(signers_check(signers, &text, signer, &err));
	assert_non_null(strstr(err.message, "something follows"));
}

static void the_armor_is_read_strictly(void **state)
{
	NEEDS_SSH_KEYGEN;
	auto_free char *armor = read_scratch("eva-git.sig");
	size_t len = strlen(armor);
	struct sshsig signature;
	assert_true(sshsig_parse(armor, len, &signature, &err));
	sshsig_clear(&signature);
	/* its last line break may be missing, nothing else */
	assert_true(sshsig_parse(armor, len - 1, &signature, &err));
	sshsig_clear(&signature);
	for (size_t cut = 0; cut < len - 1; cut++)
		assert_false(sshsig_parse(armor, cut, &signature, &err));
	static const char *const around[][2] = {{" ", ""}, {"\n", ""}, {"", "\n"}, {"", "x"},
		{"-----BEGIN SSH SIGNATURE-----\n", ""}, {"", "-----END SSH SIGNATURE-----\n"}};
	for (size_t i = 0; i < ARRAY_LEN(around); i++) {
		auto_free char *text = mem_printf("%s%s%s", around[i][0], armor, around[i][1]);
		assert_false(sshsig_parse(text, strlen(text), &signature, &err));
		assert_non_null(strstr(err.message, "damaged"));
	}
	auto_free char *large = mem_zero(1, SSHSIG_MAX + 1);
	assert_false(sshsig_parse(large, SSHSIG_MAX + 1, &signature, &err));
	assert_non_null(strstr(err.message, "too long"));
}

/* ---- commits */

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
	struct history made = {.folder = gitrepo_scratch(), .signers = list_of("eva@x EVA")};
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

static void patterns_match_as_in_openssh(void **state)
{
	(void)state;
	static const struct {
		const char *patterns, *text;
		int found;
	} cases[] = {
		{"git", "git", 1},
		{"git", "gi", 0},
		{"gi", "git", 0},
		{"*", "", 1},
		{"*", "git", 1},
		{"?", "", 0},
		{"g*t", "gt", 1},
		{"g*t", "gitgat", 1},
		{"g*t*x", "gitgat", 0},
		{"**t", "git", 1},
		{"!git", "git", -1},
		{"!git", "file", 0},
		{"*,!git", "git", -1},
		{"file,g?t", "git", 1},
		{"", "git", 0},
		{"[g]it", "git", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(signers_match(cases[i].patterns, cases[i].text), cases[i].found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures_count_where_ssh_keygen_says_so),
		cmocka_unit_test(a_line_that_says_nothing_clear_is_refused_with_its_number),
		cmocka_unit_test(a_list_without_keys_is_refused),
		cmocka_unit_test(revoked_keys_sign_nothing),
		cmocka_unit_test(no_bit_of_a_signature_may_change),
		cmocka_unit_test(the_armor_is_read_strictly),
		cmocka_unit_test(a_commit_is_split_as_git_does_it),
		cmocka_unit_test(what_git_signs_counts),
		cmocka_unit_test(the_merge_that_git_makes_of_a_signed_branch_counts),
		cmocka_unit_test(a_merge_whose_conflict_somebody_solved_needs_a_signature),
		cmocka_unit_test(a_merge_into_which_an_unsigned_branch_goes_is_refused),
		cmocka_unit_test(openpgp_counts_for_nothing_without_a_keyring),
		cmocka_unit_test(patterns_match_as_in_openssh),
	};
	(void)setenv("TZ", "UTC", 1); /* as in the oracle's environment */
	if (!repo_library_init(&err))
		return 1;
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);
	repo_library_shutdown();
	return failed;
}
