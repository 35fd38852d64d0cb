#include "reconcile/plan.h"
#include "tests/lib/gitrepo.h"
#include "tests/lib/infra.h"
#include <setjmp.h>

#include <cmocka.h>

#define CLIENTS "ansible/inventory/clients.yml"

/* Three clients that run the first commit, and a cache that has seen it. */
struct fixture {
	struct infra *infra;
	struct status *status;
	struct oid first;
	struct plan_cache *cache;
};

static struct plan *plan_with(
	struct fixture *fixture, const struct oid *commit, struct plan_cache *cache)
{
	struct infra *infra = fixture->infra;
	auto_tree struct tree *tree = NULL;
	auto_problems struct problems problems = {0};
	struct plan *plan = NULL;
	struct error err;
	assert_true(tree_open_commit(infra->repo, commit, &tree, &err));
	struct plan_request request = {.repo = infra->repo,
		.tree = tree,
		.commit = *commit,
		.base = fixture->first,
		.status = fixture->status,
		.keyring = infra->keyring,
		.keys = &infra->keys,
		.cache = cache};
	if (!plan_build(&request, &plan, NULL, &problems)) {
		assert_true(problems.errors > 0);
		return NULL;
	}
	return plan;
}

static int set_up(void **state)
{
	struct fixture *fixture = mem_zero(1, sizeof(*fixture));
	fixture->infra = infra_new();
	fixture->status = status_new();
	fixture->cache = plan_cache_new();
	fixture->first = infra_commit(fixture->infra);
	auto_plan struct plan *plan =
		infra_plan(fixture->infra, &fixture->first, NULL, fixture->status);
	infra_deploy(fixture->status, plan);
	plan_free(plan_with(fixture, &fixture->first, fixture->cache));
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	plan_cache_free(fixture->cache);
	status_free(fixture->status);
	infra_free(fixture->infra);
	free(fixture);
	return 0;
}

/* Commit, plan with the cache and without: both must say the same. @return clients that change */
static size_t same_with_and_without(struct fixture *fixture)
{
	struct oid commit = infra_commit(fixture->infra);
	auto_plan struct plan *warm = plan_with(fixture, &commit, fixture->cache);
	auto_plan struct plan *cold = plan_with(fixture, &commit, NULL);
	auto_buf struct buf left = BUF_INIT(1 << 20);
	auto_buf struct buf right = BUF_INIT(1 << 20);
	assert_int_equal(warm != NULL, cold != NULL);
	if (!warm)
		return SIZE_MAX;
	plan_to_json(warm, &left);
	plan_to_json(cold, &right);
	assert_string_equal(left.text, right.text);
	return warm->changed;
}

static void nothing_changed_is_nothing(void **state)
{
	struct fixture *fixture = *state;
	infra_write(fixture->infra, "README.md", "words\n");
	assert_int_equal(same_with_and_without(fixture), 0);
}

static void a_template_that_changes_is_seen(void **state)
{
	struct fixture *fixture = *state;
	infra_edit(fixture->infra, "docker/apps.yml", "28.0.1", "28.0.2");
	assert_int_equal(same_with_and_without(fixture), 3);
}

static void a_partial_that_changes_is_seen_for_its_readers(void **state)
{
	struct fixture *fixture = *state;
	infra_edit(fixture->infra, "docker/pretix.yml", "2026.7.0", "2026.8.0");
	assert_int_equal(same_with_and_without(fixture), 1);
}

static void a_partial_that_goes_before_another_is_seen(void **state)
{
	struct fixture *fixture = *state;
	infra_edit(fixture->infra, "docker/apps.yml", "pretix.yml", "pretix");
	infra_write(fixture->infra, "templates/pretix", "  pretix:\n    image: pretix:1\n");
	assert_int_equal(same_with_and_without(fixture), 1);
	infra_write(fixture->infra, "docker/pretix", "  pretix:\n    image: pretix:2\n");
	assert_int_equal(same_with_and_without(fixture), 1);
	infra_remove(fixture->infra, "docker/pretix");
	infra_remove(fixture->infra, "templates/pretix");
	assert_int_equal(same_with_and_without(fixture), SIZE_MAX);
}

static void a_variable_that_changes_is_seen(void **state)
{
	struct fixture *fixture = *state;
	infra_edit(fixture->infra, CLIENTS, "beta.example", "beta.example.org");
	assert_int_equal(same_with_and_without(fixture), 1);
	infra_write(fixture->infra, "ansible/group_vars/production.yml", "greeting: moin\n");
	assert_int_equal(same_with_and_without(fixture), 2);
}

static void a_secret_that_changes_is_seen_and_one_encrypted_again_is_not(void **state)
{
	struct fixture *fixture = *state;
	infra_secrets(fixture->infra, "secrets/clients/beta.sops.yaml", "admin: beta-secret-1\n");
	assert_int_equal(same_with_and_without(fixture), 0);
	infra_secrets(fixture->infra, "secrets/clients/beta.sops.yaml", "admin: beta-secret-2\n");
	assert_int_equal(same_with_and_without(fixture), 1);
	infra_secrets(fixture->infra, "secrets/shared.sops.yaml", "smtp_password: other\n");
	assert_int_equal(same_with_and_without(fixture), 3);
}

/* Seen by a key that opens nothing: whoever needs no file does not notice. */
static void a_warm_plan_opens_no_file_of_secrets_that_nobody_needs_anew(void **state)
{
	struct fixture *fixture = *state;
	struct keyring *real = fixture->infra->keyring, *other = keyring_generate();
	infra_write(fixture->infra, "README.md", "words\n");
	struct oid words = infra_commit(fixture->infra);
	infra_secrets(fixture->infra, "secrets/clients/beta.sops.yaml", "admin: beta-secret-2\n");
	struct oid secret = infra_commit(fixture->infra);
	fixture->infra->keyring = other;
	auto_plan struct plan *warm = plan_with(fixture, &words, fixture->cache);
	assert_non_null(warm);
	assert_int_equal(warm->changed, 0);
	assert_null(plan_with(fixture, &words, NULL));
	assert_null(plan_with(fixture, &secret, fixture->cache)); /* this one it has to open */
	fixture->infra->keyring = real;
	keyring_free(other);
}

static void a_section_on_a_secret_is_never_guessed(void **state)
{
	struct fixture *fixture = *state;
	infra_edit(fixture->infra, "templates/env.mustache", "DOMAIN",
		"{{#secrets.debug}}DEBUG=1\n{{/secrets.debug}}DOMAIN");
	infra_secrets(fixture->infra, "secrets/shared.sops.yaml",
		"smtp_password: mail-secret-1\ndebug: false\n");
	assert_int_equal(same_with_and_without(fixture), 3);
	infra_secrets(fixture->infra, "secrets/shared.sops.yaml",
		"smtp_password: mail-secret-1\ndebug: true\n");
	assert_int_equal(same_with_and_without(fixture), 3);
}

static void a_name_that_no_host_defines_any_more_is_seen(void **state)
{
	struct fixture *fixture = *state;
	infra_edit(fixture->infra, CLIENTS, "domain: beta.example",
		"domain: beta.example\n          extra: on");
	infra_edit(fixture->infra, "templates/env.mustache", "DOMAIN",
		"{{#extra}}X=1\n{{/extra}}DOMAIN");
	assert_int_equal(same_with_and_without(fixture), 1);
	infra_edit(fixture->infra, CLIENTS, "          extra: on\n", "");
	assert_int_equal(same_with_and_without(fixture), SIZE_MAX);
}

static void mistakes_are_told_again(void **state)
{
	struct fixture *fixture = *state;
	infra_edit(fixture->infra, "templates/env.mustache", "{{domain}}", "{{domian}}");
	assert_int_equal(same_with_and_without(fixture), SIZE_MAX);
	infra_write(fixture->infra, "README.md", "words\n");
	assert_int_equal(same_with_and_without(fixture), SIZE_MAX);
	infra_edit(fixture->infra, "templates/env.mustache", "{{domian}}", "{{domain}}");
	assert_int_equal(same_with_and_without(fixture), 0);
}

static void another_digest_key_is_seen(void **state)
{
	struct fixture *fixture = *state;
	struct error err;
	assert_true(digest_keys_add(&fixture->infra->keys, &err));
	assert_int_equal(same_with_and_without(fixture), 0);
	infra_edit(fixture->infra, "docker/apps.yml", "28.0.1", "28.0.2");
	assert_int_equal(same_with_and_without(fixture), 3);
}

static void a_plain_file_of_secrets_is_refused_also_when_others_are_known(void **state)
{
	struct fixture *fixture = *state;
	infra_write(fixture->infra, "secrets/clients/beta.sops.yaml", "admin: plain\n");
	assert_int_equal(same_with_and_without(fixture), SIZE_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_changed_is_nothing),
		TEST(a_template_that_changes_is_seen),
		TEST(a_partial_that_changes_is_seen_for_its_readers),
		TEST(a_partial_that_goes_before_another_is_seen),
		TEST(a_variable_that_changes_is_seen),
		TEST(a_secret_that_changes_is_seen_and_one_encrypted_again_is_not),
		TEST(a_warm_plan_opens_no_file_of_secrets_that_nobody_needs_anew),
		TEST(a_section_on_a_secret_is_never_guessed),
		TEST(a_name_that_no_host_defines_any_more_is_seen),
		TEST(mistakes_are_told_again),
		TEST(another_digest_key_is_seen),
		TEST(a_plain_file_of_secrets_is_refused_also_when_others_are_known),
	};
	return cmocka_run_group_tests_name("plan cache", tests, NULL, NULL);
}
