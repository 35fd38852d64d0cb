#include "reconcile/release.h"
#include "tests/lib/gitrepo.h"
#include "tests/lib/infra.h"
#include <setjmp.h>

#include <cmocka.h>

#define CLIENTS "ansible/inventory/clients.yml"

static int set_up(void **state)
{
	*state = infra_new();
	return 0;
}

static int tear_down(void **state)
{
	infra_free(*state);
	return 0;
}

/* Everything needed to build releases of the folder as it lies. */
struct shop {
	struct tree *tree;
	struct fleet *fleet;
	struct release_builder *builder;
};

static void shop_close(struct shop *shop)
{
	release_builder_free(shop->builder);
	fleet_free(shop->fleet);
	tree_free(shop->tree);
}

static struct shop shop_open(struct infra *infra, const struct keyring *keyring)
{
	struct shop shop = {0};
	auto_problems struct problems problems = {0};
	struct error err;
	assert_true(tree_open_folder(infra->folder, &shop.tree, &err));
	if (!fleet_load(shop.tree, NULL, &shop.fleet, &problems))
		fail_msg("%s", problems.items[0].what);
	if (!release_builder_new(shop.fleet, shop.tree, keyring, &shop.builder, &err))
		fail_msg("%s", err.message);
	return shop;
}

/* Release of a client with keys and content. */
static struct release *build(struct infra *infra, const char *client)
{
	struct shop shop = shop_open(infra, infra->keyring);
	auto_problems struct problems problems = {0};
	struct release *release = NULL;
	if (!release_build(shop.builder, fleet_client(shop.fleet, client),
		    digest_keys_find(&infra->keys, NULL), true, &release, &problems))
		fail_msg("%s:%u: %s", problems.items[0].file, problems.items[0].line,
			problems.items[0].what);
	shop_close(&shop);
	return release;
}

struct digests {
	char alpha[DIGEST_TEXT], beta[DIGEST_TEXT], gamma[DIGEST_TEXT];
};

static struct digests digests_of(struct infra *infra)
{
	struct digests digests;
	auto_release struct release *alpha = build(infra, "alpha");
	auto_release struct release *beta = build(infra, "beta");
	auto_release struct release *gamma = build(infra, "gamma");
	memcpy(digests.alpha, alpha->digest, DIGEST_TEXT);
	memcpy(digests.beta, beta->digest, DIGEST_TEXT);
	memcpy(digests.gamma, gamma->digest, DIGEST_TEXT);
	return digests;
}

/* "a--": only alpha's digest changed. */
static void assert_changed(struct infra *infra, const struct digests *before, const char *expected)
{
	struct digests after = digests_of(infra);
	char changed[4] = {strcmp(before->alpha, after.alpha) ? 'a' : '-',
		strcmp(before->beta, after.beta) ? 'b' : '-',
		strcmp(before->gamma, after.gamma) ? 'g' : '-', 0};
	assert_string_equal(changed, expected);
}

static const struct release_file *file_of(const struct release *release, const char *path)
{
	for (size_t i = 0; i < release->file_count; i++)
		if (!strcmp(release->files[i].path, path))
			return &release->files[i];
	fail_msg("no file %s", path);
	return NULL;
}

static void files_have_values_and_shapes_have_names(void **state)
{
	auto_release struct release *release = build(*state, "alpha");
	const struct release_file *env = file_of(release, ".env");
	assert_int_equal(release->file_count, 2);
	assert_string_equal(env->bytes,
		"DOMAIN=alpha.example\nGREETING=hello\nADMIN=alpha-secret-1\nSMTP=mail-secret-1\n");
	assert_string_equal(env->shape,
		"DOMAIN=alpha.example\nGREETING=hello\nADMIN=<secret:admin>\n"
		"SMTP=<secret:smtp_password>\n");
	assert_int_equal(env->mode, 0600);
	assert_string_equal(file_of(release, "compose.yaml")->bytes,
		"services:\n  nextcloud:\n    image: nextcloud:28.0.1\n  listmonk:\n    "
		"image: listmonk/listmonk:v5.0.0\n");
	assert_string_equal(release->key, "k1");
	assert_int_equal(strlen(release->digest), 71);
}

static void versions_come_from_the_variable_or_the_image(void **state)
{
	auto_release struct release *alpha = build(*state, "alpha");
	auto_release struct release *gamma = build(*state, "gamma");
	assert_string_equal(release_app_version(alpha, "nextcloud"), "28.0.1");
	assert_string_equal(release_app_version(alpha, "listmonk"), "v5.0.0");
	assert_string_equal(release_app_version(gamma, "pretix"), "2026.7.0");
	assert_string_equal(release_app_version(gamma, "listmonk"), "");
	assert_string_equal(alpha->app_places[0].file, CLIENTS);
	assert_int_equal(alpha->app_places[0].line, 3);
	assert_string_equal(alpha->app_places[1].file, "docker/apps.yml");
	assert_int_equal(alpha->app_places[1].line, 4);
	assert_string_equal(gamma->app_places[1].file, "docker/pretix.yml");
}

static void no_secret_enters_shape_inputs_or_digest_text(void **state)
{
	auto_release struct release *release = build(*state, "alpha");
	for (size_t i = 0; i < release->file_count; i++)
		assert_null(strstr(release->files[i].shape, "secret-1"));
	for (size_t i = 0; i < release->input_count; i++)
		assert_null(strstr(release->inputs[i].value, "secret-1"));
}

/* ---- the promise of the digest, clause by clause -------------------------------------------- */

static void a_file_of_another_app_changes_only_clients_with_that_app(void **state)
{
	struct digests before = digests_of(*state);
	infra_edit(*state, "docker/pretix.yml", "2026.7.0", "2026.8.0");
	assert_changed(*state, &before, "--g"); /* and a partial is followed */
}

static void a_section_of_another_app_changes_only_clients_with_that_app(void **state)
{
	struct digests before = digests_of(*state);
	infra_edit(*state, "docker/apps.yml", "listmonk/listmonk", "mirror/listmonk");
	assert_changed(*state, &before, "a--");
}

static void a_comment_changes_nobody(void **state)
{
	struct digests before = digests_of(*state);
	infra_edit(*state, CLIENTS, "all:\n", "# the fleet\nall:\n");
	infra_edit(*state, "fleet.yaml", "stages:", "stages:  # in order");
	infra_edit(*state, "docker/apps.yml", "services:\n", "{{! all apps }}\nservices:\n");
	assert_changed(*state, &before, "---");
}

static void encrypting_again_changes_nobody(void **state)
{
	struct infra *infra = *state;
	struct digests before = digests_of(infra);
	infra_secrets(infra, "secrets/shared.sops.yaml", "smtp_password: mail-secret-1\n");
	infra_secrets(infra, "secrets/clients/alpha.sops.yaml", "admin: alpha-secret-1\n");
	assert_changed(infra, &before, "---");
}

static void a_reordered_inventory_changes_nobody(void **state)
{
	struct digests before = digests_of(*state);
	infra_edit(*state, CLIENTS, "apps: [nextcloud, listmonk]", "apps: [listmonk, nextcloud]");
	infra_edit(*state, CLIENTS, "          client_name: beta\n          domain: beta.example\n",
		"          domain: beta.example\n          client_name: beta\n");
	infra_edit(*state, CLIENTS, "    greeting: hello\n", "");
	infra_edit(*state, CLIENTS, "  vars:\n", "  vars:\n    greeting: hello\n");
	infra_edit(*state, "fleet.yaml", "    - {from: docker/apps.yml, to: compose.yaml}\n", "");
	infra_edit(*state, "fleet.yaml",
		"driver:", "    - {from: docker/apps.yml, to: compose.yaml}\ndriver:");
	assert_changed(*state, &before, "---");
}

static void a_shared_variable_changes_all_who_read_it(void **state)
{
	struct digests before = digests_of(*state);
	infra_edit(*state, CLIENTS, "greeting: hello", "greeting: good day");
	assert_changed(*state, &before, "abg");
	before = digests_of(*state);
	infra_edit(*state, CLIENTS, "listmonk_version: v5.0.0", "listmonk_version: v5.0.1");
	assert_changed(*state, &before, "a--");
}

static void a_variable_of_one_host_changes_only_that_client(void **state)
{
	struct digests before = digests_of(*state);
	infra_edit(*state, CLIENTS, "domain: beta.example", "domain: beta.example.org");
	assert_changed(*state, &before, "-b-");
}

static void a_variable_that_nothing_reads_changes_nobody(void **state)
{
	struct digests before = digests_of(*state);
	infra_edit(*state, CLIENTS, "greeting: hello", "greeting: hello\n    unread: 1");
	assert_changed(*state, &before, "---");
}

static void a_secret_changes_those_who_use_it(void **state)
{
	struct infra *infra = *state;
	struct digests before = digests_of(infra);
	infra_secrets(infra, "secrets/clients/beta.sops.yaml", "admin: beta-secret-2\n");
	assert_changed(infra, &before, "-b-");
	before = digests_of(infra);
	infra_secrets(
		infra, "secrets/shared.sops.yaml", "smtp_password: mail-secret-2\nother: x\n");
	assert_changed(infra, &before, "abg");
	before = digests_of(infra);
	infra_secrets(
		infra, "secrets/shared.sops.yaml", "smtp_password: mail-secret-2\nother: y\n");
	assert_changed(infra, &before, "---");
}

static void the_mode_of_a_file_is_part_of_the_release(void **state)
{
	struct digests before = digests_of(*state);
	infra_edit(*state, "fleet.yaml", "0600", "0640");
	assert_changed(*state, &before, "abg");
}

static void another_digest_key_gives_another_digest(void **state)
{
	struct infra *infra = *state;
	struct digests before = digests_of(infra);
	struct error err;
	assert_true(digest_keys_add(&infra->keys, &err));
	assert_string_equal(digest_keys_find(&infra->keys, NULL)->id, "k2");
	assert_changed(infra, &before, "abg");
}

/* ---- without keys --------------------------------------------------------------------------- */

static void without_keys_secrets_are_their_encrypted_text(void **state)
{
	struct infra *infra = *state;
	struct shop shop = shop_open(infra, NULL);
	auto_problems struct problems problems = {0};
	auto_release struct release *release = NULL;
	assert_true(release_build(
		shop.builder, fleet_client(shop.fleet, "beta"), NULL, false, &release, &problems));
	assert_string_equal(release->digest, "");
	assert_int_equal(strlen(release->plain), 71);
	assert_null(release->files[0].bytes);
	bool seen = false;
	for (size_t i = 0; i < release->input_count; i++)
		if (release->inputs[i].kind == INPUT_SECRET)
			seen |= strstr(release->inputs[i].value, "ENC[") != NULL;
	assert_true(seen);
	shop_close(&shop);
}

/* ---- mistakes of templates ------------------------------------------------------------------ */

struct mistake {
	const char *path, *old, *new;
	const char *file;
	unsigned line;
	const char *what;
};

static const struct mistake mistakes[] = {
	{"templates/env.mustache", "{{domain}}", "{{domian}}", "templates/env.mustache", 1,
		"unknown variable 'domian'"},
	{"templates/env.mustache", "{{secrets.admin}}", "{{secrets.admim}}",
		"templates/env.mustache", 3, "unknown variable 'secrets.admim'"},
	{"templates/env.mustache", "DOMAIN", "{{#domian}}x{{/domian}}DOMAIN",
		"templates/env.mustache", 1, "unknown variable 'domian'"},
	{"templates/env.mustache", "DOMAIN", "{{> nothing}}\nDOMAIN", "templates/env.mustache", 1,
		"there is no partial 'nothing'"},
	{"templates/env.mustache", "{{domain}}", "{{#domain}}", "templates/env.mustache", 1, ""},
	{CLIENTS, "greeting: hello", "greeting: \"two\\nlines\"", "templates/env.mustache", 2,
		"the value of 'greeting' has a line break"},
	{CLIENTS, "greeting: hello", "greeting: '{{ x }}'", CLIENTS, 4,
		"'greeting' is a Jinja expression"},
	{CLIENTS, "greeting: hello", "greeting: !vault abc", CLIENTS, 4, "'greeting' is marked"},
	{"docker/pretix.yml", ":2026.7.0", "", "docker/pretix.yml", 2,
		"image 'pretix/standalone' of service 'pretix' has no tag"},
	{"docker/pretix.yml", ":2026.7.0", ":latest", "docker/pretix.yml", 2,
		"image 'pretix/standalone:latest' of service 'pretix' is not pinned"},
	{"docker/pretix.yml", "    image", "    volumes: [./data:/data]\n    image",
		"docker/apps.yml", 0, "service 'pretix' mounts './data'"},
	{"docker/pretix.yml", "  pretix:", "  pretix: [", "docker/apps.yml", 0, "does not parse"},
	{"fleet.yaml", "{{domain}}/status", "{{domian}}/status", "fleet.yaml", 12,
		"unknown variable 'domian'"},
};

static void each_mistake_is_told_with_its_place(void **state)
{
	(void)state; /* each mistake needs a repository of its own */
	for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
		auto_infra struct infra *infra = infra_new();
		auto_problems struct problems problems = {0};
		const struct mistake *mistake = &mistakes[i];
		bool told = false;
		infra_edit(infra, mistake->path, mistake->old, mistake->new);
		bool valid = infra_validate(infra, &problems);
		for (size_t k = 0; k < problems.count; k++) {
			const struct problem *item = &problems.items[k];
			told |= !strcmp(item->file, mistake->file) && item->line == mistake->line &&
				strstr(item->what, mistake->what);
		}
		if (valid || !told)
			fail_msg("case %zu: %s:%u: %s", i,
				problems.count ? problems.items[0].file : "-",
				problems.count ? problems.items[0].line : 0,
				problems.count ? problems.items[0].what : "valid");
	}
}

static void a_digest_pin_needs_no_tag(void **state)
{
	auto_problems struct problems problems = {0};
	infra_edit(*state, "docker/pretix.yml", ":2026.7.0",
		"@sha256:5df3b7aa852ee2d067b6756b6023e719dc53e039b9fdde58d631547dc7a1dc02");
	assert_true(infra_validate(*state, &problems));
}

static void unpinned_images_pass_where_policy_allows_them(void **state)
{
	auto_problems struct problems problems = {0};
	infra_edit(*state, "docker/pretix.yml", ":2026.7.0", ":latest");
	infra_edit(*state, "fleet.yaml", "checks:", "policy: {pinned_images: false}\nchecks:");
	assert_true(infra_validate(*state, &problems));
}

static void a_section_over_a_name_that_another_host_defines_is_false(void **state)
{
	infra_edit(*state, CLIENTS, "domain: beta.example",
		"domain: beta.example\n          extra: on");
	infra_edit(
		*state, "templates/env.mustache", "DOMAIN", "{{#extra}}EXTRA=1\n{{/extra}}DOMAIN");
	auto_release struct release *alpha = build(*state, "alpha");
	auto_release struct release *beta = build(*state, "beta");
	assert_null(strstr(file_of(alpha, ".env")->bytes, "EXTRA"));
	assert_non_null(strstr(file_of(beta, ".env")->bytes, "EXTRA=1"));
}

static void partials_are_looked_for_beside_then_in_templates_then_at_the_root(void **state)
{
	infra_edit(*state, "docker/apps.yml", "{{> pretix.yml}}", "{{> part}}");
	infra_write(*state, "part.mustache", "  pretix:\n    image: pretix:1.root\n");
	auto_release struct release *root = build(*state, "gamma");
	infra_write(
		*state, "templates/part.mustache", "  pretix:\n    image: pretix:1.templates\n");
	auto_release struct release *templates = build(*state, "gamma");
	infra_write(*state, "docker/part.mustache", "  pretix:\n    image: pretix:1.beside\n");
	auto_release struct release *beside = build(*state, "gamma");
	assert_string_equal(release_app_version(root, "pretix"), "1.root");
	assert_string_equal(release_app_version(templates, "pretix"), "1.templates");
	assert_string_equal(release_app_version(beside, "pretix"), "1.beside");
}

static void only_html_files_are_escaped(void **state)
{
	infra_edit(*state, CLIENTS, "greeting: hello", "greeting: a<b>&c");
	infra_write(*state, "templates/page.mustache", "{{greeting}} {{{greeting}}}");
	infra_edit(*state, "fleet.yaml", "driver:",
		"    - {from: templates/page.mustache, to: www/index.html}\n"
		"    - {from: templates/page.mustache, to: www/raw.txt}\n"
		"    - {from: templates/page.mustache, to: www/plain.txt, template: "
		"false}\ndriver:");
	auto_release struct release *release = build(*state, "beta");
	assert_string_equal(file_of(release, "www/index.html")->bytes, "a&lt;b&gt;&amp;c a<b>&c");
	assert_string_equal(file_of(release, "www/raw.txt")->bytes, "a<b>&c a<b>&c");
	assert_string_equal(
		file_of(release, "www/plain.txt")->bytes, "{{greeting}} {{{greeting}}}");
}

static void the_clients_secrets_go_over_the_shared_ones(void **state)
{
	struct infra *infra = *state;
	infra_secrets(infra, "secrets/shared.sops.yaml",
		"smtp_password: shared\ndb: {user: u, password: p}\n");
	infra_secrets(infra, "secrets/clients/beta.sops.yaml",
		"admin: b\nsmtp_password: own\ndb: {password: q}\n");
	infra_edit(infra, "templates/env.mustache", "DOMAIN",
		"DB={{secrets.db.user}}:{{secrets.db.password}}\nDOMAIN");
	auto_release struct release *beta = build(infra, "beta");
	auto_release struct release *gamma = build(infra, "gamma");
	assert_non_null(strstr(file_of(beta, ".env")->bytes, "DB=u:q\n"));
	assert_non_null(strstr(file_of(beta, ".env")->bytes, "SMTP=own\n"));
	assert_non_null(strstr(file_of(gamma, ".env")->bytes, "DB=u:p\n"));
	assert_non_null(strstr(file_of(gamma, ".env")->bytes, "SMTP=shared\n"));
	assert_null(strstr(file_of(gamma, ".env")->bytes, "q"));
}

static void checks_are_rendered_for_the_clients_that_they_apply_to(void **state)
{
	struct infra *infra = *state;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_problems struct problems problems = {0};
	struct client_check *checks = NULL;
	size_t count = 0;
	infra_edit(infra, "fleet.yaml", "checks:\n",
		"checks:\n  pretix: {command: [./probe, \"{{domain}}\"]}\n"
		"  port: {app: all, tcp: \"{{domain}}:443\"}\n");
	struct shop shop = shop_open(infra, NULL);
	assert_true(release_checks(
		shop.fleet, fleet_client(shop.fleet, "beta"), arena, &checks, &count, &problems));
	assert_int_equal(count, 2);
	assert_string_equal(checks[0].target, "beta.example:443");
	assert_string_equal(checks[1].target, "https://beta.example/status.php");
	assert_true(release_checks(
		shop.fleet, fleet_client(shop.fleet, "gamma"), arena, &checks, &count, &problems));
	assert_int_equal(count, 3);
	assert_string_equal(checks[0].argv[1], "gamma.example");
	assert_null(checks[0].argv[2]);
	shop_close(&shop);
}

static void digest_keys_come_back_as_they_were_written(void **state)
{
	struct infra *infra = *state;
	auto_strlist struct strlist recipients = STRLIST_INIT;
	auto_buf struct buf text = BUF_INIT(1 << 20);
	auto_digest_keys struct digest_keys read = {0};
	struct error err;
	assert_true(digest_keys_add(&infra->keys, &err));
	keyring_recipients(infra->keyring, &recipients);
	assert_true(digest_keys_write(&infra->keys, &recipients, &text, &err));
	assert_true(digest_keys_read(text.text, text.len, infra->keyring, &read, &err));
	assert_int_equal(read.count, 2);
	assert_memory_equal(&read.items[1], &infra->keys.items[1], sizeof(read.items[1]));
	auto_keyring struct keyring *stranger = keyring_generate();
	assert_false(digest_keys_read(text.text, text.len, stranger, &read, &err));
	assert_int_equal(err.code, ERR_AUTH);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(files_have_values_and_shapes_have_names),
		TEST(versions_come_from_the_variable_or_the_image),
		TEST(no_secret_enters_shape_inputs_or_digest_text),
		TEST(a_file_of_another_app_changes_only_clients_with_that_app),
		TEST(a_section_of_another_app_changes_only_clients_with_that_app),
		TEST(a_comment_changes_nobody),
		TEST(encrypting_again_changes_nobody),
		TEST(a_reordered_inventory_changes_nobody),
		TEST(a_shared_variable_changes_all_who_read_it),
		TEST(a_variable_of_one_host_changes_only_that_client),
		TEST(a_variable_that_nothing_reads_changes_nobody),
		TEST(a_secret_changes_those_who_use_it),
		TEST(the_mode_of_a_file_is_part_of_the_release),
		TEST(another_digest_key_gives_another_digest),
		TEST(without_keys_secrets_are_their_encrypted_text),
		cmocka_unit_test(each_mistake_is_told_with_its_place),
		TEST(a_digest_pin_needs_no_tag),
		TEST(unpinned_images_pass_where_policy_allows_them),
		TEST(a_section_over_a_name_that_another_host_defines_is_false),
		TEST(partials_are_looked_for_beside_then_in_templates_then_at_the_root),
		TEST(only_html_files_are_escaped),
		TEST(the_clients_secrets_go_over_the_shared_ones),
		TEST(checks_are_rendered_for_the_clients_that_they_apply_to),
		TEST(digest_keys_come_back_as_they_were_written),
	};
	return cmocka_run_group_tests_name("release", tests, NULL, NULL);
}
