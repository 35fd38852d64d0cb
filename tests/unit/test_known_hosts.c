#include "base/known_hosts.h"
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

/* Public keys made with `ssh-keygen -t ed25519`; KEY_C is ecdsa-sha2-nistp256. */
#define KEY_A "AAAAC3NzaC1lZDI1NTE5AAAAIJ9wlPcArjCyCdekHHvon3a54/4vHBk5IMktfEoUSvED"
#define KEY_B "AAAAC3NzaC1lZDI1NTE5AAAAIDiwFcxAnMhvG46VngaEl1OKwpura//RdwObNFBSiATK"
#define KEY_C                                                                                      \
	"AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBOfDpf+zrGqG2GnzkEINe7W4Kppu"         \
	"QQhPdb5ONyqDfDNUnCrjvlrr00vO01zrsOUyPld1B32vGIxBti7v2zfCWnE="

static struct error err;

static size_t blob_of(const char *key, unsigned char *blob)
{
	size_t len = strlen(key);
	int got = EVP_DecodeBlock(blob, (const unsigned char *)key, (int)len);
	assert_true(got > 0);
	return (size_t)got - (key[len - 1] == '=') - (key[len - 2] == '=');
}

static struct known_hosts *parse(const char *text)
{
	struct known_hosts *hosts = NULL;
	if (!known_hosts_parse("kh", text, strlen(text), &hosts, &err))
		fail_msg("%s: %s", err.where, err.message);
	return hosts;
}

enum outcome { MATCH, UNKNOWN, CHANGED, REVOKED };

static enum outcome check(
	const struct known_hosts *hosts, const char *host, unsigned port, const char *key)
{
	unsigned char blob[1024];
	const struct host_key shown = {host, port, blob, blob_of(key, blob)};

	if (known_hosts_check(hosts, &shown, &err))
		return MATCH;
	assert_int_equal(err.code, ERR_AUTH);
	if (strstr(err.message, "has changed"))
		return CHANGED;
	return strstr(err.message, "revoked") ? REVOKED : UNKNOWN;
}

static void a_host_is_found_as_ssh_finds_it(void **state)
{
	(void)state;
	static const struct {
		const char *line, *host;
		unsigned port;
		const char *key;
		enum outcome outcome;
	} cases[] = {
		{"git.example ssh-ed25519 " KEY_A, "git.example", 22, KEY_A, MATCH},
		{"git.example ssh-ed25519 " KEY_A " comment here", "git.example", 22, KEY_A, MATCH},
		{"GIT.example ssh-ed25519 " KEY_A, "git.EXAMPLE", 22, KEY_A, MATCH},
		{"git.example ssh-ed25519 " KEY_A, "git.example", 22, KEY_B, CHANGED},
		{"git.example ssh-ed25519 " KEY_A, "git.example", 22, KEY_C, CHANGED},
		{"git.example ssh-ed25519 " KEY_A, "other.example", 22, KEY_A, UNKNOWN},
		{"git.example ssh-ed25519 " KEY_A, "git.example.evil", 22, KEY_A, UNKNOWN},
		{"[git.example]:2222 ssh-ed25519 " KEY_A, "git.example", 2222, KEY_A, MATCH},
		{"[git.example]:2222 ssh-ed25519 " KEY_A, "git.example", 2222, KEY_B, CHANGED},
		{"[git.example]:2222 ssh-ed25519 " KEY_A, "git.example", 22, KEY_A, UNKNOWN},
		{"[git.example]:2222 ssh-ed25519 " KEY_A, "git.example", 2223, KEY_A, UNKNOWN},
		/* the bare name proves an odd port, and says nothing against it */
		{"git.example ssh-ed25519 " KEY_A, "git.example", 2222, KEY_A, MATCH},
		{"git.example ssh-ed25519 " KEY_A, "git.example", 2222, KEY_B, UNKNOWN},
		{"a,git.example,10.0.0.1 ssh-ed25519 " KEY_A, "10.0.0.1", 22, KEY_A, MATCH},
		{"*.example ssh-ed25519 " KEY_A, "git.example", 22, KEY_A, MATCH},
		{"git?.example ssh-ed25519 " KEY_A, "git1.example", 22, KEY_A, MATCH},
		{"*.example,!git.example ssh-ed25519 " KEY_A, "git.example", 22, KEY_A, UNKNOWN},
		{"g[i]t.example ssh-ed25519 " KEY_A, "git.example", 22, KEY_A, UNKNOWN},
		{"[::1]:2222 ssh-ed25519 " KEY_A, "::1", 2222, KEY_A, MATCH},
		{"@cert-authority * ssh-ed25519 " KEY_A, "git.example", 22, KEY_A, UNKNOWN},
		{"@revoked * ssh-ed25519 " KEY_A, "git.example", 22, KEY_A, REVOKED},
		{"@revoked * ssh-ed25519 " KEY_A, "git.example", 22, KEY_B, UNKNOWN},
		{"# git.example ssh-ed25519 " KEY_A, "git.example", 22, KEY_A, UNKNOWN},
		{"|1|bad|bad ssh-ed25519 " KEY_A, "git.example", 22, KEY_A, UNKNOWN},
		{"|1| ssh-ed25519 " KEY_A, "git.example", 22, KEY_A, UNKNOWN},
		{"", "git.example", 22, KEY_A, UNKNOWN},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_known_hosts struct known_hosts *hosts = parse(cases[i].line);
		enum outcome outcome = check(hosts, cases[i].host, cases[i].port, cases[i].key);
		if (outcome != cases[i].outcome)
			fail_msg("case %zu: '%s': %d", i, cases[i].line, outcome);
	}
}

static void any_key_of_several_lines_will_do(void **state)
{
	(void)state;
	auto_known_hosts struct known_hosts *hosts =
		parse("h ssh-ed25519 " KEY_A "\r\n\n  # comment\nh ssh-ed25519 " KEY_B);
	assert_int_equal(check(hosts, "h", 22, KEY_A), MATCH);
	assert_int_equal(check(hosts, "h", 22, KEY_B), MATCH);
}

static void a_revoked_key_is_refused_although_another_line_has_it(void **state)
{
	(void)state;
	auto_known_hosts struct known_hosts *hosts =
		parse("h ssh-ed25519 " KEY_A "\n@revoked h ssh-ed25519 " KEY_A);
	assert_int_equal(check(hosts, "h", 22, KEY_A), REVOKED);
	assert_string_equal(err.where, "kh:2");
}

static void an_unknown_host_gets_the_line_to_add(void **state)
{
	(void)state;
	auto_known_hosts struct known_hosts *hosts = parse("");
	assert_int_equal(check(hosts, "git.example", 2222, KEY_A), UNKNOWN);
	assert_non_null(strstr(err.message, "[git.example]:2222 ssh-ed25519 " KEY_A));
	assert_int_equal(check(hosts, "git.example", 22, KEY_C), UNKNOWN);
	assert_non_null(strstr(err.message, ": git.example ecdsa-sha2-nistp256 " KEY_C));
}

static void a_changed_key_names_both_fingerprints_and_the_line(void **state)
{
	(void)state;
	auto_known_hosts struct known_hosts *hosts = parse("\n\nh ssh-ed25519 " KEY_A "\n");
	unsigned char blob[1024];
	auto_buf struct buf first = BUF_INIT(100);
	auto_buf struct buf second = BUF_INIT(100);

	assert_int_equal(check(hosts, "h", 22, KEY_B), CHANGED);
	known_hosts_fingerprint(blob, blob_of(KEY_A, blob), &first);
	known_hosts_fingerprint(blob, blob_of(KEY_B, blob), &second);
	assert_non_null(strstr(err.message, first.text));
	assert_non_null(strstr(err.message, second.text));
	assert_null(strchr(first.text, '='));
	assert_string_equal(err.where, "kh:3");
}

static void a_damaged_line_is_named(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"h ssh-ed25519",
		"h",
		"h ssh-ed25519 %%%",
		"h ssh-ed25519 AAAA",
		"h ssh-rsa " KEY_A,
		"@unknown h ssh-ed25519 " KEY_A,
		"@revoked",
		"@revoked h ssh-ed25519",
	};
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct known_hosts *hosts = NULL;
		auto_free char *text = mem_printf("# first\n%s\n", lines[i]);
		if (known_hosts_parse("kh", text, strlen(text), &hosts, &err))
			fail_msg("accepted: %s", lines[i]);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.where, "kh:2");
	}
}

static void types_of_a_host_are_listed_once(void **state)
{
	(void)state;
	auto_strlist struct strlist types = STRLIST_INIT;
	auto_known_hosts struct known_hosts *hosts = parse(
		"h ssh-ed25519 " KEY_A "\nh ssh-ed25519 " KEY_B "\nh ecdsa-sha2-nistp256 " KEY_C
		"\nother ssh-ed25519 " KEY_A "\n@revoked h ssh-ed25519 " KEY_A);
	known_hosts_types(hosts, "h", 22, &types);
	assert_int_equal(types.count, 2);
	assert_true(strlist_has(&types, "ssh-ed25519"));
	assert_true(strlist_has(&types, "ecdsa-sha2-nistp256"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_is_found_as_ssh_finds_it),
		cmocka_unit_test(any_key_of_several_lines_will_do),
		cmocka_unit_test(a_revoked_key_is_refused_although_another_line_has_it),
		cmocka_unit_test(an_unknown_host_gets_the_line_to_add),
		cmocka_unit_test(a_changed_key_names_both_fingerprints_and_the_line),
		cmocka_unit_test(a_damaged_line_is_named),
		cmocka_unit_test(types_of_a_host_are_listed_once),
	};
	return cmocka_run_group_tests_name("known_hosts", tests, NULL, NULL);
}
