#include "base/fs.h"
#include "server/config.h"
#include "server/man.h"
#include <setjmp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define LEAST "repository: {url: /srv/infra.git}\n"

struct fixture {
	struct arena *arena;
	struct problems problems;
	struct config *config;
	char *folder;
};

static int setup(void **state)
{
	struct fixture *fixture = mem_zero(1, sizeof(*fixture));
	struct error err;
	fixture->arena = arena_new(ARENA_PLAIN, 0);
	*state = fixture;
	return fs_scratch(NULL, "config", &fixture->folder, &err) ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	struct error err;
	bool removed = fs_remove_tree(fixture->folder, &err);
	free(fixture->folder);
	problems_clear(&fixture->problems);
	arena_free(fixture->arena);
	free(fixture);
	return removed ? 0 : -1;
}

static bool parse_from(struct fixture *fixture, const struct config_source *source)
{
	problems_clear(&fixture->problems);
	fixture->config = NULL;
	return config_parse(source, fixture->arena, &fixture->config, &fixture->problems);
}

static bool parse(struct fixture *fixture, const char *text)
{
	struct config_source source = {
		.file = "/etc/aviary/aviary.yaml", .bytes = text, .len = strlen(text)};
	return parse_from(fixture, &source);
}

static const struct config *good(struct fixture *fixture, const char *text)
{
	if (!parse(fixture, text))
		fail_msg(
			"%u: %s", fixture->problems.items[0].line, fixture->problems.items[0].what);
	return fixture->config;
}

static void the_least_file_has_the_designs_defaults(void **state)
{
	const struct config *config = good(*state, LEAST);
	assert_string_equal(config->listen, "127.0.0.1:8750");
	assert_string_equal(config->state_dir, "/var/lib/aviary");
	assert_string_equal(config->socket, "/var/lib/aviary/aviary.sock");
	assert_string_equal(config->repository.branch, "main");
	assert_int_equal(config->repository.poll_interval_ms, 300000);
	assert_string_equal(config->status.branch, "deployments");
	assert_string_equal(config->status.url, "/srv/infra.git");
	assert_string_equal(config->status.author_name, "Aviary");
	assert_string_equal(config->status.author_mail, "aviary@localhost");
	assert_int_equal(config->webhook_max_body, 25 << 20);
	assert_int_equal(config->log_format, LOG_TEXT);
	assert_int_equal(config->log_level, LOG_INFO);
	assert_null(config->age_key_file);
}

static void every_key_is_read(void **state)
{
	const struct config *config = good(*state,
		"listen: \"[::1]:0\"\nsocket: /run/a.sock\nstate_dir: state\n"
		"repository: {url: 'git@forge:o/n.git', branch: release/1, ssh_key_file: id,"
		" known_hosts_file: /etc/known, token_file: t, ca_file: ca.pem,"
		" allowed_signers_file: who, revoked_signers_file: not, forge_keyring_file: /k,"
		" poll_interval: 30s}\n"
		"status: {branch: status, author: 'Ada L. <ada@example.org>', url: 'https://x/y',"
		" signing_key_file: ours}\n"
		"webhooks: [{forge: gitea, secret_file: s1},"
		" {forge: github, secret_file: [/s2, s3]}]\n"
		"webhook_max_body: 1024\nage_key_file: key\n"
		"api: {tokens: [{name: eva, file: tok, may: [read, approve]}]}\n"
		"log_format: json\nlog_level: debug\n");
	assert_string_equal(config->listen, "[::1]:0");
	assert_string_equal(config->socket, "/run/a.sock");
	assert_string_equal(config->state_dir, "/etc/aviary/state");
	assert_string_equal(config->repository.ssh_key_file, "/etc/aviary/id");
	assert_string_equal(config->repository.known_hosts_file, "/etc/known");
	assert_string_equal(config->repository.token_file, "/etc/aviary/t");
	assert_string_equal(config->repository.allowed_signers_file, "/etc/aviary/who");
	assert_string_equal(config->repository.revoked_signers_file, "/etc/aviary/not");
	assert_string_equal(config->repository.forge_keyring_file, "/k");
	assert_int_equal(config->repository.poll_interval_ms, 30000);
	assert_string_equal(config->status.author_name, "Ada L.");
	assert_string_equal(config->status.url, "https://x/y");
	assert_string_equal(config->status.signing_key_file, "/etc/aviary/ours");
	assert_int_equal(config->webhook_count, 2);
	assert_int_equal(config->webhooks[0].forge, WEBHOOK_GITEA);
	assert_string_equal(config->webhooks[0].secret_files[0], "/etc/aviary/s1");
	assert_int_equal(config->webhooks[1].secret_count, 2);
	assert_string_equal(config->webhooks[1].secret_files[0], "/s2");
	assert_int_equal(config->tokens[0].may, CONFIG_MAY_READ | CONFIG_MAY_APPROVE);
	assert_int_equal(config->log_format, LOG_JSON);
	assert_int_equal(config->log_level, LOG_DEBUG);
}

/* Each text follows LEAST, so its mistake stands in line 2. */
static void each_mistake_is_named_with_its_line_and_remedy(void **state)
{
	static const struct {
		const char *text, *what, *fix;
	} cases[] = {
		{"listen: 8750", "'listen' must be a text", "in quotes"},
		{"listen: localhost", "no address with a port", "127.0.0.1:8750"},
		{"listen: 'a:65536'", "no address with a port", ""},
		{"listen: '::1:80'", "no address with a port", "[::1]:8750"},
		{"listen: ':80'", "no address with a port", ""},
		{"lissten: 'a:1'", "unknown key 'lissten'", "did you mean 'listen'?"},
		{"hosts: {resolve: {}}", "'hosts.resolve' is not supported yet", "remove"},
		{"hosts: {transport: telnet}", "'hosts.transport'", "libssh2"},
		{"hosts: {known_hosts_file: a}", "no key logs in there", "ssh_key_file"},
		{"hosts: {ssh_key_file: a, concurrency: 0}", "'hosts.concurrency' is 0", ""},
		{"tofu: {listen: '8751'}", "'tofu.listen' is '8751'", "127.0.0.1:8751"},
		{"tofu: {listen: '0.0.0.0:1'}", "leave this machine", "loopback"},
		{"status: {branch: tofu-state}\ntofu: {listen: '127.0.0.1:1'}",
			"'status.branch' is the branch of tofu's states", "another name"},
		{"forge: {}", "'forge' is not supported yet", "remove"},
		{"notify: []", "'notify' is not supported yet", "remove"},
		{"status: {branch: 'a b'}", "'status.branch' can not be 'a b'", "short name"},
		{"status: {branch: refs/heads/x}", "'status.branch' can not be", "short name"},
		{"status: {branch: -x}", "'status.branch' can not be", ""},
		{"status: {author: nobody}", "no name with a mail", "<aviary@"},
		{"status: {author: 'a <b> c'}", "no name with a mail", ""},
		{"status: {url: 'ftp://x'}", "'status.url' is no URL", "ssh://"},
		{"webhooks: {forge: gitea}", "'webhooks' must be a list", "'- '"},
		{"webhooks: [{forge: gitea}]", "'webhooks[0].secret_file' is missing", "add it"},
		{"webhooks: [{forge: svn, secret_file: a}]", "there is no forge 'svn'", "gitea"},
		{"webhooks: [{forge: gitea, secret_file: a}, {forge: gitea, secret_file: b}]",
			"the forge 'gitea' is there twice, first in line 2", "one list"},
		{"webhooks: [{forge: gitea, secret_file: []}]", "is empty", ""},
		{"webhook_max_body: 1", "must be 1024 to", ""},
		{"api: {tokens: [{name: a b, file: f, may: [read]}]}", "the name of a token", ""},
		{"api: {tokens: [{name: a, file: f, may: [reed]}]}", "nothing that a token may",
			"read, write, approve"},
		{"api: {tokens: [{name: a, file: f, may: read}, {name: a, file: g, may: read}]}",
			"the token 'a' is there twice", ""},
		{"log_format: xml", "'log_format' can not be 'xml'", "text or json"},
		{"state_dir: ''", "'state_dir' is empty", ""},
		{"repository: {}", "key 'repository' is written twice", ""},
	};
	struct fixture *fixture = *state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *text = mem_printf("%s%s\n", LEAST, cases[i].text);
		if (parse(fixture, text))
			fail_msg("accepted: %s", cases[i].text);
		const struct problem *problem = &fixture->problems.items[0];
		if (!strstr(problem->what, cases[i].what))
			assert_string_equal(problem->what, cases[i].what);
		if (!strstr(problem->fix, cases[i].fix))
			assert_string_equal(problem->fix, cases[i].fix);
		assert_int_equal(fixture->problems.errors, 1);
		assert_string_equal(problem->file, "/etc/aviary/aviary.yaml");
		assert_int_equal(problem->line, 2);
	}
}

static void urls_are_checked_without_repeating_passwords(void **state)
{
	static const struct {
		const char *url, *what;
	} cases[] = {
		{"infra.git", "no URL of a repository"},
		{"git://x/y", "no URL of a repository"},
		{"'https://u:hunter2@x/y'", "'repository.url' contains a password"},
		{"'ssh://git@x/y'", "needs a key"},
		{"'git@x:y'", "needs a key"},
	};
	struct fixture *fixture = *state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *text = mem_printf("repository: {url: %s}\n", cases[i].url);
		assert_false(parse(fixture, text));
		assert_non_null(strstr(fixture->problems.items[0].what, cases[i].what));
		for (size_t k = 0; k < fixture->problems.count; k++)
			assert_null(strstr(fixture->problems.items[k].what, "hunter2"));
	}
	assert_false(parse(fixture, ""));
	assert_string_equal(fixture->problems.items[0].what, "'repository.url' is missing");
	assert_false(parse(fixture, "repository: {url: /x, forge_keyring_file: y}"));
	assert_false(parse(fixture, "repository: {url: /x, revoked_signers_file: y}"));
	(void)good(fixture, "repository: {url: 'https://u@x/y'}\n");
}

static void flags_go_before_variables_and_these_before_the_file(void **state)
{
	struct fixture *fixture = *state;
	static const char *const environment[] = {"AVIARY_LISTEN=127.0.0.1:2",
		"AVIARY_STATE_DIR=env", "AVIARY_POLL_INTERVAL=7s", "AVIARY_REPOSITORY_URL=/env.git",
		"AVIARY_LISTENER=x", NULL};
	static const char text[] = "listen: 127.0.0.1:1\nrepository: {branch: b}\n";
	struct config_source source = {.file = "/etc/aviary.yaml",
		.bytes = text,
		.len = strlen(text),
		.flags = {.listen = "127.0.0.1:3"},
		.environment = environment};
	assert_true(parse_from(fixture, &source));
	assert_string_equal(fixture->config->listen, "127.0.0.1:3");
	assert_string_equal(fixture->config->state_dir, "env"); /* from the working folder */
	assert_string_equal(fixture->config->repository.url, "/env.git");
	assert_string_equal(fixture->config->repository.branch, "b");
	assert_int_equal(fixture->config->repository.poll_interval_ms, 7000);
	source.flags.log_format = "xml";
	assert_false(parse_from(fixture, &source));
	assert_string_equal(fixture->problems.items[0].file, "--log-format");
}

static void put_file(struct fixture *fixture, const char *name, const char *text, mode_t mode)
{
	struct error err;
	auto_free char *path = mem_printf("%s/%s", fixture->folder, name);
	if (!fs_write(path, text, strlen(text), mode, &err))
		fail_msg("%s", err.message);
}

static bool load_and_check(struct fixture *fixture, const char *text)
{
	auto_free char *path = mem_printf("%s/aviary.yaml", fixture->folder);
	put_file(fixture, "aviary.yaml", text, 0644);
	problems_clear(&fixture->problems);
	return config_load(path, NULL, fixture->arena, &fixture->config, &fixture->problems) &&
	       config_check(fixture->config, &fixture->problems);
}

static void check_accepts_what_the_service_can_run_with(void **state)
{
	struct fixture *fixture = *state;
	put_file(fixture, "secret", "0123456789abcdef\n", 0600);
	if (!load_and_check(fixture, "repository: {url: /x, token_file: secret}\nstate_dir: a/b/c\n"
				     "webhooks: [{forge: gitea, secret_file: secret}]\n"
				     "api: {tokens: [{name: a, file: secret, may: read}]}\n"))
		fail_msg("%s", fixture->problems.items[0].what);
}

static void check_refuses_secrets_that_are_missing_open_or_empty(void **state)
{
	static const struct {
		const char *text, *what, *fix;
	} cases[] = {
		{"webhooks: [{forge: gitea, secret_file: none}]", "none", ""},
		{"webhooks: [{forge: gitea, secret_file: open}]", "is open to others",
			"chmod 0600"},
		{"webhooks: [{forge: gitea, secret_file: empty}]", "is empty", ""},
		{"webhooks: [{forge: gitea, secret_file: [secret, open]}]", "open to others", ""},
		{"api: {tokens: [{name: a, file: open, may: read}]}", "is open to others", "chmod"},
		{"age_key_file: open", "open", ""},
		{"age_key_file: secret", "", ""},
		{"state_dir: secret", "is not a folder", ""},
		{"state_dir: secret/below", "can not be made", ""},
	};
	struct fixture *fixture = *state;
	put_file(fixture, "secret", "0123456789abcdef\n", 0600);
	put_file(fixture, "open", "0123456789abcdef\n", 0644);
	put_file(fixture, "empty", "\n", 0600);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *text = mem_printf("repository: {url: /x}\n%s\n%s\n", cases[i].text,
			strstr(cases[i].text, "state_dir") ? "" : "state_dir: state");
		if (load_and_check(fixture, text))
			fail_msg("accepted: %s", cases[i].text);
		const struct problem *problem = &fixture->problems.items[0];
		if (!strstr(problem->what, cases[i].what))
			assert_string_equal(problem->what, cases[i].what);
		if (!strstr(problem->fix, cases[i].fix))
			assert_string_equal(problem->fix, cases[i].fix);
		assert_int_equal(problem->line, 2);
	}
}

static void check_warns_of_short_tokens(void **state)
{
	struct fixture *fixture = *state;
	put_file(fixture, "token", "short", 0600);
	assert_true(
		load_and_check(fixture, "repository: {url: /x}\nstate_dir: state\n"
					"api: {tokens: [{name: a, file: token, may: read}]}\n"));
	bool found = false;
	for (size_t i = 0; i < fixture->problems.count; i++)
		found = found || strstr(fixture->problems.items[i].what, "shorter than 16");
	assert_true(found);
}

static void a_missing_file_is_named(void **state)
{
	struct fixture *fixture = *state;
	assert_false(config_load("/nonexistent/aviary.yaml", NULL, fixture->arena, &fixture->config,
		&fixture->problems));
	assert_string_equal(fixture->problems.items[0].file, "/nonexistent/aviary.yaml");
}

static void man_pages_have_every_supported_key(void **state)
{
	(void)state; /* needs no file */
	static const struct command plan = {.name = "plan",
		.summary = "show what would change",
		.usage = "usage: aviary plan\n"};
	static const struct command *const commands[] = {&plan};
	static const struct {
		const char *page, *part;
	} cases[] = {
		{"aviary", ".Ss aviary plan\n"},
		{"aviary", "show what would change"},
		{"aviary", "usage: aviary plan\n"},
		{"aviary.yaml", ".It Ic repository.poll_interval\n"},
		{"aviary.yaml", ".It Ic api.tokens[].may\n"},
		{"fleet.yaml", ".It Ic checks.NAME.min_days\n"},
		{"fleet.yaml", ".It Ic stages[].max_failures\n"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf struct buf text = BUF_INIT(1 << 20);
		assert_true(man_write(cases[i].page, commands, 1, &text));
		assert_non_null(strstr(text.text, cases[i].part));
		assert_null(strstr(text.text, ".It Ic notify"));
	}
	auto_buf struct buf text = BUF_INIT(1 << 20);
	assert_false(man_write("nothing", commands, 1, &text));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_least_file_has_the_designs_defaults),
		TEST(every_key_is_read),
		TEST(each_mistake_is_named_with_its_line_and_remedy),
		TEST(urls_are_checked_without_repeating_passwords),
		TEST(flags_go_before_variables_and_these_before_the_file),
		TEST(check_accepts_what_the_service_can_run_with),
		TEST(check_refuses_secrets_that_are_missing_open_or_empty),
		TEST(check_warns_of_short_tokens),
		TEST(a_missing_file_is_named),
		TEST(man_pages_have_every_supported_key),
	};
	/* The check reads them too; a developer may have set them. */
	(void)unsetenv("SOPS_AGE_KEY_FILE");
	(void)unsetenv("SOPS_AGE_KEY");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
