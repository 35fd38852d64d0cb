/* What a fleet's author relies on: groups, precedence and values as Ansible has them. Whole
 * inventories are compared with the real tool in tests/e2e/test_inventory_oracle.py. */
#include "tests/lib/inventory_case.h"

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
		CASE(the_stronger_place_wins_layer_by_layer),
		CASE(groups_win_by_depth_then_priority_then_name),
		CASE(a_host_is_in_the_groups_above_its_own_and_in_all),
		CASE(hosts_keep_the_place_and_order_of_their_first_mention),
		CASE(variables_keep_the_line_they_were_written_on),
		CASE(hosts_without_variables_of_their_own_share_one_map),
		CASE(large_inventories_load_whole),
		CASE(only_files_of_groups_with_hosts_are_read),
		CASE(a_commit_reads_like_the_folder),
		CASE(jinja_is_seen_wherever_ansible_would_evaluate_it),
		CASE(the_list_prints_as_ansible_inventory_prints_it),
	};
	return RUN_CASES(tests);
}
