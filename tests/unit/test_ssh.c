/* What needs no server; sessions are tested in tests/e2e/test_ssh.py. */
#include "base/ssh.h"
#include <libssh2.h>
#include <setjmp.h>
#include <stdarg.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

static struct error err;

static void text_is_quoted_for_a_shell(void **state)
{
	(void)state;
	static const struct {
		const char *text, *quoted;
	} cases[] = {
		{"", "''"},
		{"/srv/infra.git", "'/srv/infra.git'"},
		{"it's", "'it'\\''s'"},
		{"hey!", "'hey'\\!''"},
		{"a b;$c`d`\"\\", "'a b;$c`d`\"\\'"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf struct buf out = BUF_INIT(100);
		ssh_quote(cases[i].text, &out);
		assert_string_equal(out.text, cases[i].quoted);
	}
}

static void a_key_that_cannot_work_is_refused_with_a_remedy(void **state)
{
	(void)state;
	static const struct {
		const char *key, *word;
	} cases[] = {
		{"", "not a private key"},
		{"ssh-ed25519 AAAA eva\n", "not a private key"},
		{"-----BEGIN OPENSSH PRIVATE KEY-----\n", "not a private key"},
		{"-----BEGIN OPENSSH PRIVATE KEY-----\n!!!!\n", "not a private key"},
		{"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAAAAAA\n", "not a private key"},
		/* the magic, then a cipher name of 4 GiB */
		{"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA/////w==\n",
			"not a private key"},
		/* the magic and "aes256-ctr" */
		{"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHI=\n",
			"passphrase"},
		{"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", "passphrase"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (ssh_key_check("the-file", cases[i].key, strlen(cases[i].key), &err))
			fail_msg("accepted: %s", cases[i].key);
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.message, "'the-file'"));
		if (!strstr(err.message, cases[i].word))
			fail_msg("case %zu: %s", i, err.message);
		assert_non_null(strstr(err.hint, "ssh-keygen -t ed25519"));
	}
}

static void an_rsa_key_is_refused_where_libssh2_cannot_sign_with_it(void **state)
{
	(void)state;
	static const char key[] = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n";
	bool fine = ssh_key_check("the-file", key, strlen(key), &err);
	bool modern = libssh2_version(0x010b00) != NULL;

	assert_int_equal(fine, modern);
	if (!modern)
		assert_non_null(strstr(err.message, "needs libssh2 1.11"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_quoted_for_a_shell),
		cmocka_unit_test(a_key_that_cannot_work_is_refused_with_a_remedy),
		cmocka_unit_test(an_rsa_key_is_refused_where_libssh2_cannot_sign_with_it),
	};
	return cmocka_run_group_tests_name("ssh", tests, NULL, NULL);
}
