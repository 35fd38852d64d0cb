#include "reconcile/fleet.h"
#include "tests/lib/infra.h"
#include <setjmp.h>

#include <cmocka.h>

#define CLIENTS "ansible/inventory/clients.yml"
#define ALPHA   "client_name: alpha\n"

static int set_up(void **state)
{
	struct infra *infra = infra_new();
	infra_edit(infra, "fleet.yaml", "kind: local", "kind: ssh, user: deploy");
	*state = infra;
	return 0;
}

static int tear_down(void **state)
{
	infra_free(*state);
	return 0;
}

/* Variables of alpha's host. */
static void add_variables(struct infra *infra, const char *text)
{
	auto_free char *with = mem_printf(ALPHA "%s", text);
	infra_edit(infra, CLIENTS, ALPHA, with);
}

static void load(struct infra *infra, struct fleet **fleet_out, struct problems *problems)
{
	auto_tree struct tree *tree = NULL;
	struct error err;
	assert_true(tree_open_folder(infra->folder, &tree, &err));
	if (!fleet_load(tree, NULL, fleet_out, problems) && !problems->errors)
		fail_msg("no problem was told");
}

static void a_host_is_found_by_what_ansible_knows_of_it(void **state)
{
	struct infra *infra = *state;
	auto_fleet struct fleet *fleet = NULL;
	auto_problems struct problems problems = {0};
	add_variables(infra, "          ansible_host: 2001:db8::7\n"
			     "          ansible_port: 2222\n"
			     "          ansible_user: root\n"
			     "          ansible_become: yes\n"
			     "          aviary_transport: openssh\n"
			     "          ansible_ssh_common_args: -o ProxyJump=a@b:22,c -o X=y\n"
			     "          host_key_fingerprint: SHA256:abc\n");
	load(infra, &fleet, &problems);
	assert_int_equal(problems.errors, 0);
	const struct client *client = fleet_client(fleet, "alpha");
	assert_string_equal(client->address, "2001:db8::7");
	assert_int_equal(client->port, 2222);
	assert_string_equal(client->user, "root");
	assert_string_equal(client->jump, "a@b:22,c");
	assert_string_equal(client->fingerprint, "SHA256:abc");
	assert_true(client->sudo && client->openssh);
	assert_string_equal(client->folder, "/srv/fleet/alpha");
	assert_string_equal(client->root, "ssh://[2001:db8::7]:2222/srv/fleet/alpha");
	client = fleet_client(fleet, "beta");
	assert_string_equal(client->address, "beta-vps");
	assert_string_equal(client->user, "deploy");
	assert_string_equal(client->root, "ssh://beta-vps/srv/fleet/beta");
	assert_false(client->sudo || client->openssh || client->jump || client->fingerprint);
}

static void what_leads_to_no_host_is_told(void **state)
{
	static const struct {
		const char *variable, *what;
	} cases[] = {
		{"ansible_host: '{{ address }}'", "'ansible_host' of client 'alpha'"},
		{"ansible_host: -oProxyCommand=x", "cannot be '-oProxyCommand=x'"},
		{"ansible_host: 'a b'", "cannot be 'a b'"},
		{"ansible_host: [a]", "no plain text"},
		{"ansible_port: 0", "is no port"},
		{"ansible_port: ssh", "is no port"},
		{"ansible_user: -x", "cannot be '-x'"},
		{"ansible_user: 'a;b'", "cannot be 'a;b'"},
		{"ansible_become: 'maybe'", "is not yes or no"},
		{"aviary_transport: telnet", "is 'telnet'"},
		{"ansible_ssh_common_args: -J 'a;b'", "cannot be"},
		{"host_key_fingerprint: 'MD5:aa'", "is no fingerprint"},
	};
	struct infra *infra = *state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_fleet struct fleet *fleet = NULL;
		auto_problems struct problems problems = {0};
		auto_free char *line = mem_printf("          %s\n", cases[i].variable);
		auto_free char *with = mem_printf(ALPHA "%s", line);
		add_variables(infra, line);
		load(infra, &fleet, &problems);
		assert_true(problems.errors > 0);
		if (!strstr(problems.items[0].what, cases[i].what))
			assert_string_equal(problems.items[0].what, cases[i].what);
		assert_string_equal(problems.items[0].file, CLIENTS);
		infra_edit(infra, CLIENTS, with, ALPHA);
	}
}

static void two_clients_may_share_a_folder_only_on_different_hosts(void **state)
{
	struct infra *infra = *state;
	auto_fleet struct fleet *fleet = NULL;
	auto_fleet struct fleet *same = NULL;
	auto_problems struct problems problems = {0};
	auto_problems struct problems told = {0};
	infra_edit(infra, "fleet.yaml", "/srv/fleet/{{client_name}}", "/opt/docker");
	load(infra, &fleet, &problems);
	assert_int_equal(problems.errors, 0);
	add_variables(infra, "          ansible_host: beta-vps\n");
	load(infra, &same, &told);
	assert_int_equal(told.errors, 1);
	assert_non_null(strstr(told.items[0].what, "ssh://beta-vps/opt/docker"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_host_is_found_by_what_ansible_knows_of_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_leads_to_no_host_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			two_clients_may_share_a_folder_only_on_different_hosts, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
