/* What a fleet's author relies on: the same variables as Ansible, and mistakes with their lines.
 * Whole inventories are compared with the real tool in tests/e2e/test_inventory_oracle.py. */
#include "reconcile/inventory.h"
#include "tests/lib/gitrepo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
/* after the headers above, as it says itself */
#include <cmocka.h>

#define CLIENTS INVENTORY_DEFAULT_PATH

static char *scratch;
static struct arena *arena;
static struct problems problems;
static struct strlist sources;

static int set_up(void **state)
{
	(void)state;
	scratch = gitrepo_scratch();
	arena = arena_new(ARENA_PLAIN, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	problems_clear(&problems);
	strlist_clear(&sources);
	arena_free(arena);
	gitrepo_remove(scratch);
	return 0;
}

static void given(const char *path, const char *text)
{
	gitrepo_write(scratch, path, text);
}

static bool load_from(struct tree *tree, const char *path, struct inventory **inventory_out)
{
	problems_clear(&problems);
	strlist_clear(&sources);
	bool ok = inventory_load(tree, path, arena, inventory_out, &sources, &problems);
	assert_int_equal(ok, problems.errors == 0);
	problems_sort(&problems);
	return ok;
}

static bool load(struct inventory **inventory_out)
{
	auto_tree struct tree *tree = NULL;
	struct error err = {0};

	if (!tree_open_folder(scratch, &tree, &err))
		fail_msg("%s", err.message);
	return load_from(tree, CLIENTS, inventory_out);
}

/* Loads what must load. */
static const struct inventory *loaded(void)
{
	struct inventory *inventory = NULL;

	if (!load(&inventory))
		fail_msg("%s:%u: %s", problems.items[0].file, problems.items[0].line,
			problems.items[0].what);
	return inventory;
}

static const struct host *host_of(const struct inventory *inventory, const char *name)
{
	const struct host *host = inventory_host(inventory, name);

	if (!host)
		fail_msg("no host '%s'", name);
	return host;
}

static const char *var(const struct inventory *inventory, const char *host, const char *key)
{
	const struct node *value = node_get(host_of(inventory, host)->vars, key);
	return value ? value->text : NULL;
}

static const struct problem *first_error(void)
{
	for (size_t i = 0; i < problems.count; i++) {
		if (!problems.items[i].warning)
			return &problems.items[i];
	}
	fail_msg("no error was reported");
	return NULL;
}

static void assert_refused(const char *file, unsigned line, const char *what)
{
	struct inventory *inventory = NULL;

	assert_false(load(&inventory));
	assert_null(inventory);
	const struct problem *error = first_error();
	assert_string_equal(error->file, file);
	assert_int_equal(error->line, line);
	if (!strstr(error->what, what))
		fail_msg("'%s' is not in '%s'", what, error->what);
	if (!*error->fix)
		fail_msg("'%s' does not say what to do", error->what);
}

/* ---- groups and precedence ----------------------------------------------------------------------
 */

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

/* ---- groups and precedence ----------------------------------------------------------------------
 */

static void the_stronger_place_wins_layer_by_layer(void **state)
{
	(void)state;
	static const struct {
		const char *path, *text;
	} files[] = {
		{CLIENTS, "all:\n"
			  "  vars: {v: all}\n"
			  "  children:\n"
			  "    web:\n"
			  "      hosts:\n"
			  "        a:\n"
			  "        own: {v: host}\n"},
		{"ansible/inventory/group_vars/all.yml", "v: all beside\n"},
		{"ansible/group_vars/all.yml", "v: all playbook\n"},
		{"ansible/inventory/group_vars/web.yml", "v: web beside\n"},
		{"ansible/group_vars/web.yml", "v: web playbook\n"},
		{"ansible/inventory/host_vars/a.yml", "v: host beside\n"},
		{"ansible/host_vars/a.json", "{\"v\": \"host playbook\"}\n"},
	};
	static const char *const expected[] = {"all", "all beside", "all playbook", "web beside",
		"web playbook", "host beside", "host playbook"};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		given(files[i].path, files[i].text);
		const struct inventory *inventory = loaded();
		assert_string_equal(var(inventory, "a", "v"), expected[i]);
		assert_string_equal(var(inventory, "own", "v"), "host");
		assert_int_equal(sources.count, i + 1);
		assert_true(strlist_has(&sources, files[i].path));
	}
}

static void groups_win_by_depth_then_priority_then_name(void **state)
{
	(void)state;
	given(CLIENTS, "outer: {vars: {depth: outer}, children: {inner: }}\n"
		       "inner: {vars: {depth: inner}, hosts: {a: }}\n"
		       "z: {vars: {prio: z, name: z, depth: z}, hosts: {a: }}\n"
		       "y: {vars: {prio: y, name: y, ansible_group_priority: 0}, hosts: {a: }}\n"
		       "b: {vars: {prio: b, ansible_group_priority: 20}, hosts: {a: }}\n"
		       "c: {vars: {name: c}, hosts: {a: }}\n");
	const struct inventory *inventory = loaded();
	assert_string_equal(var(inventory, "a", "depth"), "inner");
	assert_string_equal(var(inventory, "a", "prio"), "b");
	assert_string_equal(var(inventory, "a", "name"), "z");
	assert_null(var(inventory, "a", "ansible_group_priority"));
}

static void a_host_is_in_the_groups_above_its_own_and_in_all(void **state)
{
	(void)state;
	given(CLIENTS, "top: {children: {middle: {children: {low: {hosts: {a: }}}}}}\n"
		       "other: {hosts: {b: }}\n"
		       "all: {hosts: {c: }}\n");
	const struct inventory *inventory = loaded();
	const struct host *a = host_of(inventory, "a");
	assert_int_equal(a->group_count, 3);
	assert_string_equal(a->groups[0], "low");
	assert_string_equal(a->groups[1], "middle");
	assert_string_equal(a->groups[2], "top");
	assert_true(inventory_in_group(a, "top"));
	assert_true(inventory_in_group(a, "all"));
	assert_false(inventory_in_group(a, "other"));
	assert_false(inventory_in_group(a, "ungrouped"));
	assert_true(inventory_in_group(host_of(inventory, "c"), "ungrouped"));
	assert_null(inventory_host(inventory, "top"));
	assert_string_equal(inventory->groups[0].name, "all");
}

static void hosts_keep_the_place_and_order_of_their_first_mention(void **state)
{
	(void)state;
	given(CLIENTS, "z:\n  hosts:\n    second: {a: 1}\n    first:\n"
		       "a:\n  hosts:\n    third:\n    second: {b: 2}\n");
	const struct inventory *inventory = loaded();
	assert_int_equal(inventory->host_count, 3);
	assert_string_equal(inventory->hosts[0].name, "second");
	assert_int_equal(inventory->hosts[0].place->line, 3);
	assert_string_equal(inventory->hosts[0].place->file, CLIENTS);
	assert_string_equal(inventory->hosts[2].name, "third");
	assert_string_equal(var(inventory, "second", "b"), "2");
}

static void variables_keep_the_line_they_were_written_on(void **state)
{
	(void)state;
	given(CLIENTS, "all:\n  hosts:\n    a:\n      x: 1\n");
	given("ansible/group_vars/all.yml", "---\n\ny: 28.10\n");
	const struct node *vars = host_of(loaded(), "a")->vars;
	assert_int_equal(node_get(vars, "x")->line, 4);
	assert_int_equal(node_get(vars, "y")->line, 3);
	assert_string_equal(node_get(vars, "y")->file, "ansible/group_vars/all.yml");
	assert_int_equal(node_get(vars, "y")->kind, NODE_FLOAT);
	assert_string_equal(node_get(vars, "y")->text, "28.10");
}

static void hosts_without_variables_of_their_own_share_one_map(void **state)
{
	(void)state;
	given(CLIENTS, "web: {vars: {x: 1}, hosts: {'n[1:1000]': }}\n");
	const struct inventory *inventory = loaded();
	assert_int_equal(inventory->host_count, 1000);
	assert_ptr_equal(inventory->hosts[0].vars, inventory->hosts[999].vars);
	assert_ptr_equal(inventory->hosts[0].groups, inventory->hosts[999].groups);
}

static void large_inventories_load_whole(void **state)
{
	(void)state;
	auto_buf struct buf text = BUF_INIT(1 << 24);
	char name[16];

	buf_add_str(&text, "all:\n  hosts:\n");
	for (int i = 0; i < 10000; i++)
		buf_addf(&text, "    h%d: {a: %d, b: x, c: y, d: z, e: 1, f: 2, g: 3}\n", i, i);
	buf_add_str(&text, "canary:\n  hosts:\n    h[0:99]:\n");
	buf_add_str(&text, "production:\n  hosts:\n    h[100:9999]:\n");
	given(CLIENTS, text.text);
	const struct inventory *inventory = loaded();
	assert_int_equal(inventory->host_count, 10000);
	for (int i = 0; i < 10000; i += 997) {
		(void)snprintf(name, sizeof(name), "h%d", i); /* fits */
		assert_int_equal(node_get(host_of(inventory, name)->vars, "a")->integer, i);
		assert_true(inventory_in_group(
			host_of(inventory, name), i < 100 ? "canary" : "production"));
	}
}

static void only_files_of_groups_with_hosts_are_read(void **state)
{
	(void)state;
	given(CLIENTS, "used: {hosts: {a: }}\nunused: {vars: {x: 1}}\n");
	given("ansible/group_vars/unused.yml", "{{{ broken\n");
	given("ansible/host_vars/nobody.yml", "{{{ broken\n");
	given("ansible/group_vars/used/nested/deep.yml", "x: 2\n");
	given("ansible/group_vars/used/.hidden.yml", "{{{ broken\n");
	given("ansible/group_vars/used/backup.yml~", "{{{ broken\n");
	given("ansible/group_vars/used/readme.md", "{{{ broken\n");
	assert_string_equal(var(loaded(), "a", "x"), "2");
	assert_int_equal(sources.count, 2);
}

static void a_commit_reads_like_the_folder(void **state)
{
	(void)state;
	auto_repo struct repo *repo = NULL;
	auto_tree struct tree *tree = NULL;
	struct inventory *inventory = NULL;
	struct error err = {0};
	struct oid id;

	gitrepo_make(scratch);
	given(CLIENTS, "all: {hosts: {a: }}\n");
	given("ansible/host_vars/a/one.yml", "x: 1\n");
	given("ansible/inventory/group_vars/all", "y: 2\n");
	GIT(scratch, "add", "-A");
	GIT(scratch, "commit", "-q", "-m", "inventory");
	given(CLIENTS, "all: {hosts: {b: }}\n");
	assert_true(repo_discover(scratch, &repo, &err));
	assert_true(repo_revision(repo, "HEAD", &id, &err));
	assert_true(tree_open_commit(repo, &id, &tree, &err));
	assert_true(load_from(tree, CLIENTS, &inventory));
	assert_string_equal(var(inventory, "a", "x"), "1");
	assert_string_equal(var(inventory, "a", "y"), "2");
	assert_int_equal(sources.count, 3);
}

/* ---- mistakes
 * ------------------------------------------------------------------------------------ */

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

/* ---- values and output
 * --------------------------------------------------------------------------- */

static void jinja_is_seen_wherever_ansible_would_evaluate_it(void **state)
{
	(void)state;
	static const struct {
		const char *value;
		bool jinja;
	} cases[] = {
		{"plain", false},
		{"'{ not }'", false},
		{"'{{ x }}'", true},
		{"'a {% if b %}c{% endif %}'", true},
		{"'{# note #}'", true},
		{"[a, '{{ x }}']", true},
		{"{a: {b: '{{ x }}'}}", true},
		{"!unsafe '{{ x }}'", false},
		{"5", false},
		{"~", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *text = mem_printf("all: {hosts: {a: {v: %s}}}\n", cases[i].value);
		given(CLIENTS, text);
		const struct node *value = node_get(host_of(loaded(), "a")->vars, "v");
		if (node_has_jinja(value) != cases[i].jinja)
			fail_msg("%s", cases[i].value);
	}
}

static void the_list_prints_as_ansible_inventory_prints_it(void **state)
{
	(void)state;
	auto_buf struct buf out = BUF_INIT(1 << 16);
	auto_buf struct buf one = BUF_INIT(1 << 16);

	given(CLIENTS, "web: {hosts: {b:22: {y: ~, x: 1.0}, a: }}\nnobody: {}\n");
	const struct inventory *inventory = loaded();
	inventory_to_json(inventory, &out);
	assert_string_equal(out.text, "{\n"
				      "    \"_meta\": {\n"
				      "        \"hostvars\": {\n"
				      "            \"b\": {\n"
				      "                \"ansible_port\": 22,\n"
				      "                \"x\": 1.0,\n"
				      "                \"y\": null\n"
				      "            }\n"
				      "        }\n"
				      "    },\n"
				      "    \"all\": {\n"
				      "        \"children\": [\n"
				      "            \"ungrouped\",\n"
				      "            \"web\",\n"
				      "            \"nobody\"\n"
				      "        ]\n"
				      "    },\n"
				      "    \"web\": {\n"
				      "        \"hosts\": [\n"
				      "            \"b\",\n"
				      "            \"a\"\n"
				      "        ]\n"
				      "    }\n"
				      "}");
	inventory_host_to_json(host_of(inventory, "a"), &one);
	assert_string_equal(one.text, "{}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		CASE(ranges_are_bounded_however_they_are_written),
		CASE(the_stronger_place_wins_layer_by_layer),
		CASE(groups_win_by_depth_then_priority_then_name),
		CASE(a_host_is_in_the_groups_above_its_own_and_in_all),
		CASE(hosts_keep_the_place_and_order_of_their_first_mention),
		CASE(variables_keep_the_line_they_were_written_on),
		CASE(hosts_without_variables_of_their_own_share_one_map),
		CASE(large_inventories_load_whole),
		CASE(only_files_of_groups_with_hosts_are_read),
		CASE(a_commit_reads_like_the_folder),
		CASE(each_mistake_names_its_line_and_what_to_do),
		CASE(all_mistakes_are_told_in_one_run),
		CASE(a_misspelt_section_is_a_warning_with_its_line),
		CASE(broken_files_of_variables_are_named),
		CASE(a_link_among_the_variables_is_refused),
		CASE(what_is_no_yaml_inventory_is_refused),
		CASE(deep_nesting_ends_as_an_error),
		CASE(jinja_is_seen_wherever_ansible_would_evaluate_it),
		CASE(the_list_prints_as_ansible_inventory_prints_it),
	};
	struct error err = {0};

	if (!repo_library_init(&err))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	repo_library_shutdown();
	return failed;
}
