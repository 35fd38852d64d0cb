/* The oracle is ssh-keygen: it makes every key and signature here, and what it says of them counts.
 */
#include "git/signers.h"
#include "git/signers_list.h"
#include "tests/lib/gitrepo.h"
#include "tests/lib/signing.h"
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

#define MADE   "20200615120000Z"
#define MADE_S 1592222400

static struct error err;
static char *scratch; /* NULL: ssh-keygen is not installed */

static int set_up(void **state)
{
	static const char *const made[][4] = {
		{"eva-git", "eva", "git", "hashalg=sha512"},
		{"eva-256", "eva", "git", "hashalg=sha256"},
		{"eva-file", "eva", "file", "hashalg=sha512"},
		{"bob-git", "bob", "git", "hashalg=sha512"},
		{"rsa-git", "rsa", "git", "hashalg=sha512"},
		{"ecdsa-git", "ecdsa", "git", "hashalg=sha256"},
	};
	(void)state;
	scratch = signing_set_up();
	for (size_t i = 0; scratch && i < ARRAY_LEN(made); i++)
		signing_make(scratch, made[i][0], made[i] + 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (scratch)
		gitrepo_remove(scratch);
	return 0;
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
	auto_free char *whole = signing_with_keys(scratch, list);
	auto_free char *text = mem_printf("%s\n", whole);
	const char *const argv[] = {"ssh-keygen", "-q", "-Y", "verify", "-f", "who", "-I", "eva@x",
		"-n", "git", "-s", signature, "-O", "verify-time=" MADE, NULL};
	gitrepo_write(scratch, "who", text);
	return !signing_run(scratch, argv, message);
}

static void signatures_count_where_ssh_keygen_says_so(void **state)
{
	NEEDS_SSH_KEYGEN;
	static const struct {
		const char *list, *signature, *message, *why; /* NULL: good */
	} cases[] = {
		{"eva@x EVA", "eva-git.sig", SIGNING_MESSAGE, NULL},
		{"eva@x EVA", "eva-256.sig", SIGNING_MESSAGE, NULL},
		{"eva@x RSA", "rsa-git.sig", SIGNING_MESSAGE, NULL},
		{"eva@x ECDSA", "ecdsa-git.sig", SIGNING_MESSAGE, NULL},
		{"eva@x EVA", "eva-git.sig", SIGNING_MESSAGE " ", "does not belong"},
		{"eva@x EVA", "eva-git.sig", "", "does not belong"},
		{"eva@x RSA", "rsa-git.sig", SIGNING_MESSAGE " ", "does not belong"},
		{"eva@x ECDSA", "ecdsa-git.sig", "x" SIGNING_MESSAGE, "does not belong"},
		{"eva@x EVA", "bob-git.sig", SIGNING_MESSAGE, "is not listed"},
		{"eva@x EVA", "rsa-git.sig", SIGNING_MESSAGE, "is not listed"},
		{"eva@x BOB\neva@x EVA", "eva-git.sig", SIGNING_MESSAGE, NULL},
		{"eva@x EVA", "eva-file.sig", SIGNING_MESSAGE, "for 'file' and not for 'git'"},
		{"eva@x namespaces=\"git\" EVA", "eva-git.sig", SIGNING_MESSAGE, NULL},
		{"eva@x namespaces=\"file,git\" EVA", "eva-git.sig", SIGNING_MESSAGE, NULL},
		{"eva@x namespaces=\"g?t\" EVA", "eva-git.sig", SIGNING_MESSAGE, NULL},
		{"eva@x NameSpaces=\"*\" EVA", "eva-git.sig", SIGNING_MESSAGE, NULL},
		{"eva@x namespaces=\"*,!git\" EVA", "eva-git.sig", SIGNING_MESSAGE,
			"may not sign for git"},
		{"eva@x namespaces=\"file\" EVA", "eva-git.sig", SIGNING_MESSAGE,
			"may not sign for git"},
		{"eva@x namespaces=\"Git\" EVA", "eva-git.sig", SIGNING_MESSAGE,
			"may not sign for git"},
		{"eva@x valid-before=\"20200615115959Z\" EVA", "eva-git.sig", SIGNING_MESSAGE,
			"expired"},
		{"eva@x valid-before=\"20200615120000Z\" EVA", "eva-git.sig", SIGNING_MESSAGE,
			NULL},
		{"eva@x valid-before=\"20200615Z\" EVA", "eva-git.sig", SIGNING_MESSAGE, "expired"},
		{"eva@x valid-after=\"20200615120001Z\" EVA", "eva-git.sig", SIGNING_MESSAGE,
			"counts from"},
		{"eva@x valid-after=\"202006151200Z\" EVA", "eva-git.sig", SIGNING_MESSAGE, NULL},
		{"eva@x valid-after=\"20200101Z\",valid-before=\"20210101Z\" EVA", "eva-git.sig",
			SIGNING_MESSAGE, NULL},
		{"eva@x valid-before=\"20200101\" EVA\neva@x valid-after=\"20200101\" EVA",
			"eva-git.sig", SIGNING_MESSAGE, NULL},
		{"eva@x,!mallory@x EVA comment with words", "eva-git.sig", SIGNING_MESSAGE, NULL},
		{"\teva@x\tEVA", "eva-git.sig", SIGNING_MESSAGE, NULL},
		{"# comment\n\n  # another\neva@x EVA", "eva-git.sig", SIGNING_MESSAGE, NULL},
		{"\"eva@x\" EVA", "eva-git.sig", SIGNING_MESSAGE, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_signers struct signers *signers = signing_list(scratch, cases[i].list);
		auto_free char *armor = signing_read(scratch, cases[i].signature);
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
		auto_free char *text = signing_with_keys(scratch, lines);
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
	auto_signers struct signers *signers = signing_list(scratch, "eva@x EVA\nbob@x BOB");
	auto_free char *revoked = signing_with_keys(scratch, "# stolen\nEVA\n");
	auto_free char *by_eva = signing_read(scratch, "eva-git.sig");
	auto_free char *by_bob = signing_read(scratch, "bob-git.sig");
	struct signed_text text = text_of(by_eva, SIGNING_MESSAGE);
	char signer[SIGNER_TEXT];
	assert_true(signers_check(signers, &text, signer, &err));
	assert_true(signers_revoke(signers, "gone", revoked, strlen(revoked), &err));
	assert_false(signers_check(signers, &text, signer, &err));
	assert_non_null(strstr(err.message, "is revoked"));
	text = text_of(by_bob, SIGNING_MESSAGE);
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
	auto_signers struct signers *signers = signing_list(scratch, "eva@x EVA");
	auto_free char *armor = signing_read(scratch, "eva-git.sig");
	auto_free char *body = mem_dup_str(strchr(armor, '\n') + 1);
	unsigned char packed[512];
	char signer[SIGNER_TEXT];
	size_t len = 0;
	*strstr(body, "\n-----END") = '\0';
	assert_int_equal(sodium_base642bin(packed, sizeof(packed), body, strlen(body), "\n", &len,
				 NULL, sodium_base64_VARIANT_ORIGINAL),
		0);
	auto_free char *again = armor_of(packed, len);
	struct signed_text text = text_of(again, SIGNING_MESSAGE);
	assert_true(signers_check(signers, &text, signer, &err));
	for (size_t bit = 0; bit < len * 8; bit++) {
		packed[bit / 8] ^= (unsigned char)(1 << bit % 8);
		auto_free char *changed = armor_of(packed, len);
		packed[bit / 8] ^= (unsigned char)(1 << bit % 8);
		text = text_of(changed, SIGNING_MESSAGE);
		if (signers_check(signers, &text, signer, &err))
			fail_msg("bit %zu may change", bit);
		assert_int_equal(err.code, ERR_AUTH);
	}
	for (size_t cut = 0; cut < len; cut++) {
		auto_free char *shorter = armor_of(packed, cut);
		text = text_of(shorter, SIGNING_MESSAGE);
		assert_false(signers_check(signers, &text, signer, &err));
	}
	packed[len] = 0;
	auto_free char *longer = armor_of(packed, len + 1);
	text = text_of(longer, SIGNING_MESSAGE);
	assert_false(signers_check(signers, &text, signer, &err));
	assert_non_null(strstr(err.message, "something follows"));
}

static void the_armor_is_read_strictly(void **state)
{
	NEEDS_SSH_KEYGEN;
	auto_free char *armor = signing_read(scratch, "eva-git.sig");
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
		cmocka_unit_test(patterns_match_as_in_openssh),
	};
	(void)setenv("TZ", "UTC", 1); /* as in the oracle's environment */
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
