#include "reconcile/fleet.h"
#include "tests/lib/infra.h"
#include <setjmp.h>

#include <cmocka.h>

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

static void clients_come_by_stage_and_name_with_their_context(void **state)
{
	struct infra *infra = *state;
	auto_tree struct tree *tree = NULL;
	auto_fleet struct fleet *fleet = NULL;
	auto_problems struct problems problems = {0};
	struct error err;

	assert_true(tree_open_folder(infra->folder, &tree, &err));
	assert_true(fleet_load(tree, NULL, &fleet, &problems));
	assert_int_equal(fleet->client_count, 3);
	assert_string_equal(fleet->clients[0].name, "alpha");
	assert_string_equal(fleet->clients[2].name, "gamma");
	assert_int_equal(fleet->clients[0].stage, 0);
	assert_int_equal(fleet->clients[1].stage, 1);
	assert_string_equal(fleet->clients[1].root, "/srv/fleet/beta");
	assert_string_equal(fleet->clients[1].secrets_file, "secrets/clients/beta.sops.yaml");
	assert_ptr_equal(fleet_client(fleet, "gamma"), &fleet->clients[2]);
	assert_null(fleet_client(fleet, "delta"));
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct node *context = client_context(&fleet->clients[2], arena);
	assert_true(node_path(context, "apps.pretix")->boolean);
	assert_null(node_path(context, "apps.listmonk"));
}

/* One change to the repository and what must be said about it. */
struct mistake {
	const char *path, *old, *new;
	const char *file;
	unsigned line;
	const char *what, *fix;
};

#define CLIENTS "ansible/inventory/clients.yml"

static void a_pin_is_read_with_its_end_and_its_place(void **state)
{
	struct infra *infra = *state;
	auto_tree struct tree *tree = NULL;
	auto_fleet struct fleet *fleet = NULL;
	auto_problems struct problems problems = {0};
	struct error err;
	infra_edit(infra, CLIENTS, "apps: [nextcloud]",
		"apps: [nextcloud]\n          aviary_pin: {until: 2027-01-31, reason: the fair}");
	assert_true(tree_open_folder(infra->folder, &tree, &err));
	assert_true(fleet_load(tree, NULL, &fleet, &problems));
	const struct client_pin *pin = &fleet_client(fleet, "beta")->pin;
	assert_string_equal(pin->until, "2027-01-31");
	assert_string_equal(pin->reason, "the fair");
	assert_int_equal(pin->end_s, 1801440000); /* 2027-02-01T00:00:00Z */
	assert_int_equal(pin->place->line, 18);
	assert_int_equal(fleet_client(fleet, "alpha")->pin.end_s, 0);
}

static const struct mistake mistakes[] = {
	{"fleet.yaml", "group: production", "group: productoin", "fleet.yaml", 5,
		"stage 'production': the inventory has no group 'productoin'", "name a group"},
	{CLIENTS, "client_name: alpha", "client_name: Alpha", CLIENTS, 9,
		"'Alpha' is no name of a client", "a to z"},
	{CLIENTS, "client_name: alpha", "client_name: \"al\\npha\"", CLIENTS, 9,
		"is no name of a client", "a to z"},
	{CLIENTS, "client_name: gamma", "client_name: beta", CLIENTS, 19,
		"client_name 'beta' belongs to host 'beta-vps' already", "its own"},
	{CLIENTS, "          client_name: alpha\n", "", CLIENTS, 8,
		"host 'alpha-vps' has no 'client_name'", "add it"},
	{CLIENTS, "domain: alpha.example", "domain: ''", CLIENTS, 10,
		"'domain' of host 'alpha-vps'", "in quotes"},
	{CLIENTS, "domain: alpha.example", "domain: '{{ name }}.example'", CLIENTS, 10,
		"'domain' of host 'alpha-vps' is a Jinja expression", "write the value itself"},
	{CLIENTS, "apps: [nextcloud, listmonk]", "apps: nextcloud", CLIENTS, 11,
		"'apps' of host 'alpha-vps' must be a list", "write apps"},
	{CLIENTS, "apps: [nextcloud, listmonk]", "apps: [nextcloud, nextcloud]", CLIENTS, 11,
		"app 'nextcloud' stands twice", "once"},
	{CLIENTS, "apps: [nextcloud, listmonk]", "apps: ['next cloud']", CLIENTS, 11,
		"'next cloud' is no name of an app", "letters"},
	{CLIENTS, "apps: [nextcloud]", "apps: [nextcloud]\n          aviary_pin: until 2027",
		CLIENTS, 18, "'aviary_pin' of host 'beta-vps' must be a map, not a",
		"write aviary_pin: {until"},
	{CLIENTS, "apps: [nextcloud]", "apps: [nextcloud]\n          aviary_pin: {reason: event}",
		CLIENTS, 18, "'aviary_pin' of host 'beta-vps' has no 'until'", "until: 2027-01-31"},
	{CLIENTS, "apps: [nextcloud]",
		"apps: [nextcloud]\n          aviary_pin: {until: 2027-01-31}", CLIENTS, 18,
		"'aviary_pin' of host 'beta-vps' has no 'reason'", "say why"},
	{CLIENTS, "apps: [nextcloud]",
		"apps: [nextcloud]\n          aviary_pin: {until: '2027-02-30', reason: event}",
		CLIENTS, 18, "is no day", "until: 2027-01-31"},
	{CLIENTS, "apps: [nextcloud]",
		"apps: [nextcloud]\n          aviary_pin: {until: '2027-1-31', reason: event}",
		CLIENTS, 18, "is no day: '2027-1-31'", "until: 2027-01-31"},
	{CLIENTS, "apps: [nextcloud]",
		"apps: [nextcloud]\n          aviary_pin: {until: 2027-01-31 12:00, reason: event}",
		CLIENTS, 18, "is no day", "until: 2027-01-31"},
	{CLIENTS, "apps: [nextcloud]",
		"apps: [nextcloud]\n          aviary_pin: {until: next week, reason: event}",
		CLIENTS, 18, "is no day: 'next week'", "until: 2027-01-31"},
	{CLIENTS, "apps: [nextcloud]",
		"apps: [nextcloud]\n          aviary_pin: {until: 20270131, reason: event}",
		CLIENTS, 18, "is no day", "until: 2027-01-31"},
	{CLIENTS, "apps: [nextcloud]",
		"apps: [nextcloud]\n          aviary_pin: {untill: 2027-01-31, reason: event}",
		CLIENTS, 18, "has no key 'untill'", "did you mean 'until'"},
	{CLIENTS, "apps: [nextcloud]",
		"apps: [nextcloud]\n          aviary_pin: {until: 2027-01-31, reason: ''}", CLIENTS,
		18, "is not one line", "say why"},
	{CLIENTS, "apps: [nextcloud]",
		"apps: [nextcloud]\n          aviary_pin: {until: 2027-01-31, reason: '{{ why }}'}",
		CLIENTS, 18, "is not one line", "say why"},
	{CLIENTS, "apps: [nextcloud]",
		"apps: [nextcloud]\n          aviary_pin: {until: 2027-01-31, reason: \"a\\nb\"}",
		CLIENTS, 18, "is not one line", "say why"},
	{CLIENTS, "apps: [nextcloud]", "apps: [nextcloud]\n          aviary_offboard: {}", CLIENTS,
		18, "'aviary_offboard' is not supported yet", "take it out"},
	{CLIENTS, "apps: [nextcloud]", "apps: [nextcloud]\n          nextcloud_version: 28.10",
		CLIENTS, 18, "'nextcloud_version' is read as a number: 28.10 means 28.1",
		"nextcloud_version: \"28.10\""},
	{CLIENTS, "listmonk_version: v5.0.0", "listmonk_version: 5", CLIENTS, 3,
		"'listmonk_version' is read as a number", "listmonk_version: \"5\""},
	{CLIENTS, "apps: [nextcloud]", "apps: [nextcloud]\n          secrets: {}", CLIENTS, 18,
		"'secrets' is the name", "another name"},
	{"fleet.yaml", "/{{client_name}}", "/all", "fleet.yaml", 10, "have the same driver.root",
		"{{client_name}}"},
	{"fleet.yaml", "/srv/fleet/{{client_name}}", "srv/{{client_name}}", "fleet.yaml", 10,
		"driver.root", "absolute"},
	{"fleet.yaml", "  nextcloud: {http", "  next: {http", "fleet.yaml", 12,
		"check 'next' is for app 'next', which no client has", "app: all"},
	{"fleet.yaml", "from: docker/apps.yml", "from: docker/app.yml", "fleet.yaml", 8,
		"release file 'docker/app.yml' does not exist", "name a file"},
	{"secrets/shared.sops.yaml", "smtp_password: ENC[", "smtp_password: plain[",
		"secrets/shared.sops.yaml", 1, "smtp_password", ""},
};

static void show(const struct problems *problems)
{
	for (size_t i = 0; i < problems->count; i++)
		print_message("%s:%u: %s: %s\n", problems->items[i].file, problems->items[i].line,
			problems->items[i].what, problems->items[i].fix);
}

static bool told(const struct problems *problems, const struct mistake *mistake)
{
	for (size_t i = 0; i < problems->count; i++) {
		const struct problem *item = &problems->items[i];
		if (!strcmp(item->file, mistake->file) && item->line == mistake->line &&
			strstr(item->what, mistake->what) && strstr(item->fix, mistake->fix))
			return true;
	}
	return false;
}

static void each_mistake_is_told_with_place_and_remedy(void **state)
{
	(void)state; /* each mistake needs a repository of its own */
	for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
		auto_infra struct infra *infra = infra_new();
		auto_problems struct problems problems = {0};
		const struct mistake *mistake = &mistakes[i];
		infra_edit(infra, mistake->path, mistake->old, mistake->new);
		bool valid = infra_validate(infra, &problems);
		if (valid || !told(&problems, mistake)) {
			show(&problems);
			fail_msg("case %zu: '%s' was not told", i, mistake->what);
		}
	}
}

static void a_client_in_no_stage_is_refused(void **state)
{
	struct infra *infra = *state;
	auto_problems struct problems problems = {0};
	infra_edit(infra, CLIENTS, "    production:\n      hosts:",
		"    lost:\n      hosts:\n        delta-vps: {client_name: delta, domain: "
		"d.example, apps: []}\n    production:\n      hosts:");
	infra_secrets(infra, "secrets/clients/delta.sops.yaml", "admin: x\n");
	assert_false(infra_validate(infra, &problems));
	assert_string_equal(problems.items[0].what, "client 'delta' belongs to no stage");
	assert_int_equal(problems.errors, 1);
}

static void an_empty_first_stage_is_an_error_and_a_later_one_warns(void **state)
{
	struct infra *infra = *state;
	auto_problems struct problems first = {0};
	auto_problems struct problems later = {0};
	infra_edit(infra, CLIENTS, "    production:", "    empty: {}\n    production:");
	infra_edit(infra, "fleet.yaml", "  - {name: production",
		"  - {name: empty}\n  - {name: production");
	assert_true(infra_validate(infra, &later));
	assert_int_equal(later.warnings, 1);
	assert_string_equal(later.items[0].what, "stage 'empty' has no client");
	infra_edit(infra, "fleet.yaml", "  - {name: canary",
		"  - {name: none, group: empty}\n  - {name: canary");
	assert_false(infra_validate(infra, &first));
	assert_string_equal(first.items[0].what, "the first stage, 'none', has no client");
}

static void five_mistakes_show_five_errors_in_one_run(void **state)
{
	struct infra *infra = *state;
	auto_problems struct problems problems = {0};
	infra_edit(infra, "fleet.yaml", "inventory:", "invntory: x\ninventory:");
	infra_edit(infra, CLIENTS, "listmonk_version: v5.0.0", "listmonk_version: 5.10");
	infra_edit(infra, "templates/env.mustache", "{{domain}}", "{{domian}}");
	infra_edit(infra, "docker/pretix.yml", ":2026.7.0", ":latest");
	infra_write(infra, "secrets/plain.yaml", "password: hunter22\n");
	assert_false(infra_validate(infra, &problems));
	if (problems.errors != 5)
		show(&problems);
	assert_int_equal(problems.errors, 5);
	for (size_t i = 0; i < problems.count; i++)
		assert_true(*problems.items[i].file && *problems.items[i].fix);
}

static void one_mistake_brings_no_others_with_it(void **state)
{
	struct infra *infra = *state;
	auto_problems struct problems problems = {0};
	infra_edit(infra, CLIENTS, "domain: alpha.example", "domain: ''");
	assert_false(infra_validate(infra, &problems));
	assert_int_equal(problems.errors, 1); /* and not: the first stage has no client */
	assert_int_equal(problems.warnings, 0);
}

static void encrypted_secrets_can_be_switched_off(void **state)
{
	struct infra *infra = *state;
	auto_problems struct problems problems = {0};
	infra_write(infra, "secrets/notes.yaml", "password: hunter22\n");
	infra_edit(infra, "fleet.yaml", "checks:", "policy: {encrypted_secrets: false}\nchecks:");
	assert_true(infra_validate(infra, &problems));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			clients_come_by_stage_and_name_with_their_context, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_pin_is_read_with_its_end_and_its_place, set_up, tear_down),
		cmocka_unit_test(each_mistake_is_told_with_place_and_remedy),
		cmocka_unit_test_setup_teardown(a_client_in_no_stage_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			an_empty_first_stage_is_an_error_and_a_later_one_warns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			five_mistakes_show_five_errors_in_one_run, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			one_mistake_brings_no_others_with_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			encrypted_secrets_can_be_switched_off, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("fleet", tests, NULL, NULL);
}
