/* Mistakes in an inventory: each with its line and what to do, all in one run, none fatal. */
#include "tests/lib/inventory_case.h"

#include <unistd.h>

static void each_mistake_names_its_line_and_what_to_do(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		unsigned line;
		const char *what;
	} cases[] = {
		{"", 0, "the inventory is empty"},
		{"# only a comment\n", 0, "the inventory is empty"},
		{"all:\n", 0, "names no host"},
		{"- a\n", 1, "the inventory is a list"},
		{"plugin: hcloud\n", 1, "inventory plugin"},
		{"all:\n  hosts:\n    1: {}\n", 3, "host name '1' is read as a number"},
		{"all:\n  hosts:\n    yes: {}\n", 3, "is read as the word true"},
		{"all:\n  hosts:\n    \"a\\nb\": {}\n", 3, "control character"},
		{"all:\n  hosts:\n    ../../etc/x: {}\n", 3, "path part"},
		{"all:\n  hosts:\n    a/../x: {}\n", 3, "path part"},
		{"..:\n  hosts: {a: }\n", 1, "path part"},
		{"all:\n  hosts:\n    a:70000:\n", 3, "above 65535"},
		{"all:\n  hosts:\n    a: text\n", 3, "are text, not a map"},
		{"all:\n  hosts: [a]\n", 2, "'hosts' of group 'all' is a list"},
		{"all:\n  vars: 5\n", 2, "'vars' of group 'all' is a number"},
		{"12: {hosts: {a: }}\n", 1, "group name '12' is read as a number"},
		{"a: {hosts: {x: }, children: {a: }}\n", 1, "its own child"},
		{"a:\n  children: {ungrouped: }\n", 2, "'ungrouped' cannot be a child"},
		{"w:\n  vars:\n    ansible_group_priority: [1]\n", 3, "is no number"},
		{"all:\n  children:\n    web: no\n", 3, "neither a group nor a host"},
		{"a: {hosts: {x: }, children: {b: }}\nb: {children: {c: }}\n"
		 "c:\n  children:\n    a:\n",
			0, "contain each other"},
		{"all: {hosts: {a: {x: 1, y: [}}\n", 1, "not valid YAML"},
		{"all: {hosts: {a: {x: !what 1}}}\n", 1, "'!what'"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct inventory *inventory = NULL;
		given(CLIENTS, cases[i].text);
		assert_false(load(&inventory));
		const struct problem *error = first_error();
		if (!strstr(error->what, cases[i].what))
			fail_msg("'%s' is not in '%s'", cases[i].what, error->what);
		assert_string_equal(error->file, CLIENTS);
		if (cases[i].line)
			assert_int_equal(error->line, cases[i].line);
	}
}

static void all_mistakes_are_told_in_one_run(void **state)
{
	(void)state;
	struct inventory *inventory = NULL;

	given(CLIENTS, "all:\n"
		       "  hosts:\n"
		       "    1: {}\n"
		       "    web[1]: {}\n"
		       "    a: text\n"
		       "web:\n"
		       "  hosts: [a]\n"
		       "  vars: {ansible_group_priority: high}\n");
	assert_false(load(&inventory));
	assert_int_equal(problems.errors, 5);
	assert_int_equal(problems.items[0].line, 3);
	assert_int_equal(problems.items[1].line, 4);
	assert_int_equal(problems.items[2].line, 5);
	assert_int_equal(problems.items[3].line, 7);
	assert_int_equal(problems.items[4].line, 8);
}

static void a_misspelt_section_is_a_warning_with_its_line(void **state)
{
	(void)state;
	given(CLIENTS, "all:\n  hosts: {a: }\n  host:\n    b:\n");
	assert_int_equal(loaded()->host_count, 1);
	assert_int_equal(problems.warnings, 1);
	assert_int_equal(problems.items[0].line, 3);
	assert_non_null(strstr(problems.items[0].what, "'host'"));
}

static void broken_files_of_variables_are_named(void **state)
{
	(void)state;
	given(CLIENTS, "all: {hosts: {a: }}\n");
	given("ansible/group_vars/all.yml", "a: 1\nb: [\n");
	assert_refused("ansible/group_vars/all.yml", 3, "not valid YAML");
	given("ansible/group_vars/all.yml", "\n- a\n");
	assert_refused("ansible/group_vars/all.yml", 2, "holds a list, not a map");
	given("ansible/group_vars/all.yml", "$ANSIBLE_VAULT;1.1;AES256\n6231\n");
	assert_refused("ansible/group_vars/all.yml", 1, "encrypted with ansible-vault");
	given("ansible/group_vars/all.yml", "[]\n");
	(void)loaded(); /* Python takes an empty list for nothing, and so does Ansible */
}

static void a_link_among_the_variables_is_refused(void **state)
{
	(void)state;
	auto_free char *link = mem_printf("%s/ansible/inventory/host_vars/a.yml", scratch);

	given(CLIENTS, "all: {hosts: {a: }}\n");
	given("ansible/inventory/host_vars/b.yml", "x: 1\n");
	assert_int_equal(symlink("b.yml", link), 0);
	struct inventory *inventory = NULL;
	assert_false(load(&inventory));
	assert_string_equal(first_error()->file, "ansible/inventory/host_vars/a.yml");
}

static void what_is_no_yaml_inventory_is_refused(void **state)
{
	(void)state;
	static const char *const paths[] = {
		"ansible/inventory", "ansible/inventory/hosts.ini", "ansible/inventory/gone.yml"};
	auto_tree struct tree *tree = NULL;
	struct error err = {0};

	given(CLIENTS, "all: {hosts: {a: }}\n");
	given("ansible/inventory/hosts.ini", "[web]\na\n");
	assert_true(tree_open_folder(scratch, &tree, &err));
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct inventory *inventory = NULL;
		assert_false(load_from(tree, paths[i], &inventory));
		assert_string_equal(first_error()->file, paths[i]);
		assert_true(*first_error()->fix);
	}
}

static void deep_nesting_ends_as_an_error(void **state)
{
	(void)state;
	auto_buf struct buf text = BUF_INIT(1 << 20);
	struct inventory *inventory = NULL;

	for (int i = 0; i < 2000; i++)
		buf_addf(&text, "{g%d: {children: ", i);
	given(CLIENTS, text.text);
	assert_false(load(&inventory));
}

static void ranges_are_bounded_however_they_are_written(void **state)
{
	(void)state;
	static const char *const hosts[] = {
		"web[1:2000000000]",
		"a[1:400]b[1:400]",
		"a[1:2000000000]b[2:1]", /* names nobody, and would count for minutes */
		"a[1:9]b[1:9]c[1:9]d[1:9]e[1:9]f[1:9]",
		"a[1:1][1:1][1:1][1:1][1:1][1:1][1:1][1:1][1:1]",
	};
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		auto_free char *text = mem_printf("all:\n  hosts:\n    %s:\n", hosts[i]);
		given(CLIENTS, text);
		assert_refused(CLIENTS, 3, "more than");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(each_mistake_names_its_line_and_what_to_do),
		CASE(all_mistakes_are_told_in_one_run),
		CASE(a_misspelt_section_is_a_warning_with_its_line),
		CASE(broken_files_of_variables_are_named),
		CASE(a_link_among_the_variables_is_refused),
		CASE(what_is_no_yaml_inventory_is_refused),
		CASE(deep_nesting_ends_as_an_error),
		CASE(ranges_are_bounded_however_they_are_written),
	};
	return RUN_CASES(tests);
}
