#include "base/buf.h"
#include "base/node.h"
#include <setjmp.h>

#include <cmocka.h>

struct fixture {
	struct arena *arena;
	struct error err;
};

static int setup(void **state)
{
	struct fixture *fixture = mem_zero(1, sizeof(*fixture));
	fixture->arena = arena_new(ARENA_PLAIN, 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	arena_free(fixture->arena);
	free(fixture);
	return 0;
}

static const struct node *parse(struct fixture *fixture, enum node_rules rules, const char *text)
{
	struct node_options options = {
		.rules = rules, .allow_duplicate_keys = rules == NODE_ANSIBLE11};
	const struct node *node = NULL;
	fixture->err = (struct error){0};
	if (!node_parse_yaml(
		    fixture->arena, "f.yml", text, strlen(text), &options, &node, &fixture->err))
		return NULL;
	assert_non_null(node);
	return node;
}

static void assert_json(const struct node *node, int indent, bool sort, const char *expected)
{
	auto_buf struct buf json = BUF_INIT(1 << 20);
	assert_non_null(node);
	node_to_json(node, indent, sort, &json);
	assert_string_equal(json.text, expected);
}

static void assert_failure(struct fixture *fixture, const char *where, const char *message)
{
	assert_int_equal(fixture->err.code, ERR_INVALID);
	if (!strstr(fixture->err.message, message))
		assert_string_equal(fixture->err.message, message);
	assert_string_equal(fixture->err.where, where);
}

struct scalar_case {
	const char *text, *json;
};

static void check_scalars(struct fixture *fixture, enum node_rules rules,
	const struct scalar_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		auto_free char *text = mem_printf("- %s\n", cases[i].text);
		auto_free char *expected = mem_printf("[%s]", cases[i].json);
		const struct node *node = parse(fixture, rules, text);
		if (!node)
			fail_msg("%s: %s", cases[i].text, fixture->err.message);
		assert_json(node, 0, false, expected);
	}
}

/* What `ansible-inventory --list` of ansible-core 2.14 prints for the same text. */
static void ansible_scalars_mean_what_pyyaml_makes_of_them(void **state)
{
	static const struct scalar_case cases[] = {
		{"yes", "true"},
		{"On", "true"},
		{"OFF", "false"},
		{"tRue", "\"tRue\""},
		{"y", "\"y\""},
		{"~", "null"},
		{"Null", "null"},
		{"", "null"},
		{"0", "0"},
		{"-0", "0"},
		{"1_000", "1000"},
		{"1_", "1"},
		{"+1", "1"},
		{"012", "10"},
		{"-012", "-10"},
		{"0777", "511"},
		{"08", "\"08\""},
		{"0o14", "\"0o14\""},
		{"+0x1f", "31"},
		{"0b1_1", "3"},
		{"0_", "0"},
		{"1:30", "90"},
		{"190:20:30", "685230"},
		{"1:30.5", "90.5"},
		{"1:60", "\"1:60\""},
		{"1.0e+3", "1000.0"},
		{"1e3", "\"1e3\""},
		{"1.0e3", "\"1.0e3\""},
		{"1e+3", "\"1e+3\""},
		{".5", "0.5"},
		{"-.5", "\"-.5\""},
		{"1.", "1.0"},
		{"1_0.5", "10.5"},
		{"28.10", "28.1"},
		{"08.5", "8.5"},
		{"1.0e-7", "1e-07"},
		{"1.0e+16", "1e+16"},
		{"1.0e+15", "1000000000000000.0"},
		{"-0.0", "-0.0"},
		{"123456789012345680000.0", "1.2345678901234568e+20"},
		{".inf", "Infinity"},
		{"-.INF", "-Infinity"},
		{".nan", "NaN"},
		{"0.0001", "0.0001"},
		{"123456789012345678901234567890", "123456789012345678901234567890"},
		{"9223372036854775807", "9223372036854775807"},
		{"-9223372036854775808", "-9223372036854775808"},
		{"-9223372036854775809", "-9223372036854775809"},
		{"0777777777777777777777777777777", "1237940039285380274899124223"},
		{"0xffffffffffffffffffffff", "309485009821345068724781055"},
		{"2020-01-02", "\"2020-01-02\""},
		{"2020-1-2", "\"2020-1-2\""},
		{"2001-12-14t21:59:43.10-05:00", "\"2001-12-14T21:59:43.100000-05:00\""},
		{"2001-12-14 21:59:43.10 -5", "\"2001-12-14T21:59:43.100000-05:00\""},
		{"2001-12-15 2:59:43.10", "\"2001-12-15T02:59:43.100000\""},
		{"2002-1-2 03:04:05Z", "\"2002-01-02T03:04:05+00:00\""},
		{"2002-01-02T03:04:05.123456789+01:30", "\"2002-01-02T03:04:05.123456+01:30\""},
		{"'12'", "\"12\""},
		{"\"yes\"", "\"yes\""},
		{"!!str 12", "\"12\""},
		{"!!int \"12\"", "12"},
		{"!!float 3", "3.0"},
		{"!!bool \"yes\"", "true"},
		{"!!null \"\"", "null"},
		{"! \"12\"", "12"},
		{"\"=\"", "\"=\""},
		{"!unsafe \"{{x}}\"", "{\"__ansible_unsafe\":\"{{x}}\"}"},
		{"!vault abc", "{\"__ansible_vault\":\"abc\"}"},
		{"{{ x }}", NULL},
	};
	check_scalars(*state, NODE_ANSIBLE11, cases, ARRAY_LEN(cases) - 1);
}

static void core_scalars_mean_what_yaml_1_2_says(void **state)
{
	static const struct scalar_case cases[] = {
		{"yes", "\"yes\""},
		{"True", "true"},
		{"FALSE", "false"},
		{"~", "null"},
		{"012", "12"},
		{"0o14", "12"},
		{"0x1F", "31"},
		{"+0x1f", "\"+0x1f\""},
		{"1_000", "\"1_000\""},
		{"1e3", "1000.0"},
		{".5", "0.5"},
		{"-.5", "-0.5"},
		{"1.", "1.0"},
		{".", "\".\""},
		{"1:30", "\"1:30\""},
		{"25%", "\"25%\""},
		{"2020-01-02", "\"2020-01-02\""},
		{"-.inf", "-Infinity"},
		{".NaN", "NaN"},
		{"=", "\"=\""},
		{"<<", "\"<<\""},
		{"-7", "-7"},
	};
	check_scalars(*state, NODE_CORE12, cases, ARRAY_LEN(cases));
}

static void sops_scalars_mean_what_go_yaml_makes_of_them(void **state)
{
	static const struct scalar_case cases[] = {
		{"yes", "\"yes\""},
		{"True", "true"},
		{"tRue", "\"tRue\""},
		{"017", "15"},
		{"0o17", "15"},
		{"08", "8.0"},
		{"0899", "899.0"},
		{"0b11", "3"},
		{"-0x1f", "-31"},
		{"1_000", "1000"},
		{"1e3", "1000.0"},
		{"1:30", "\"1:30\""},
		{"!!float 3", "3.0"},
		{"18446744073709551616", "1.8446744073709552e+19"},
		{"!x 12", "\"12\""},
		{"!!binary aGVsbG8=", "\"hello\""},
		{"2001-1-2", "\"2001-01-02T00:00:00Z\""},
		{"2001-12-14T21:59:43.100-05:00", "\"2001-12-14T21:59:43.1-05:00\""},
		{"2001-12-14 21:59:43.5", "\"2001-12-14T21:59:43.5Z\""},
		{"2001-12-14 21:59:43 -5", "\"2001-12-14 21:59:43 -5\""},
		{"2001-02-30", "\"2001-02-30\""},
		{"+.inf", "Infinity"},
		{"'1'", "\"1\""},
	};
	check_scalars(*state, NODE_SOPS, cases, ARRAY_LEN(cases));
}

static void values_that_the_model_refuses_are_errors_with_their_line(void **state)
{
	static const struct {
		enum node_rules rules;
		const char *text, *message;
	} cases[] = {
		{NODE_ANSIBLE11, "=", "'=' has no meaning"},
		{NODE_ANSIBLE11, "<<", "'<<' has no meaning"},
		{NODE_ANSIBLE11, "2020-13-45", "a date that does not exist"},
		{NODE_ANSIBLE11, "0x_", "without digits"},
		{NODE_ANSIBLE11, "!!int x", "not what its tag"},
		{NODE_ANSIBLE11, "!mine x", "tag '!mine' is not known"},
		{NODE_ANSIBLE11, "!!set {a}", "tag 'tag:yaml.org,2002:set' is not supported"},
		{NODE_CORE12, "!vault x", "tag '!vault' is not known"},
		{NODE_SOPS, "18446744073709551615", "which sops refuses"},
		{NODE_SOPS, "!!binary '*'", "not base64"},
		{NODE_CORE12, "\"a\\0b\"", "NUL"},
		{NODE_CORE12, "*nobody", "has no anchor '&nobody'"},
		{NODE_CORE12, "&a [*a]", "inside of what it refers to"},
		{NODE_CORE12, "{[a]: b}", "a key must be a text, not a list"},
		{NODE_ANSIBLE11, "{2020-01-02: b}", "is a date"},
		{NODE_ANSIBLE11, "{<<: x}", "merges maps, but this is a text"},
	};
	struct fixture *fixture = *state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *text = mem_printf("- 1\n- %s\n", cases[i].text);
		assert_null(parse(fixture, cases[i].rules, text));
		assert_failure(fixture, "f.yml:2", cases[i].message);
	}
}

static void syntax_errors_name_line_and_remedy(void **state)
{
	static const struct {
		const char *text, *where, *message, *hint;
	} cases[] = {
		{"a: 1\nb: c: d\n", "f.yml:2", "mapping values", "quote a text that contains"},
		{"\xC3\xA9: 1\nb:\n\tc: d\n", "f.yml:3", "cannot start any token", "with spaces"},
		{"a: @x\n", "f.yml:1", "cannot start any token", "begins with '@'"},
		{"a: \"x\n\n", "f.yml:3", "unexpected end of stream", "close the quotation"},
		{"a: 1\nb: 2\nc: \xFF\n", "f.yml:3", "not a UTF-8 text", ""},
		{"a: 1\r\nb: \x01\r\n", "f.yml:2", "control characters", ""},
		{"a: 1\n---\nb: 2\n", "f.yml:2", "second document", "one document"},
		{"a: 1\nb: 2\na: 3\n", "f.yml:3", "key 'a' is written twice, first in line 1", ""},
	};
	struct fixture *fixture = *state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_null(parse(fixture, NODE_CORE12, cases[i].text));
		assert_failure(fixture, cases[i].where, cases[i].message);
		assert_non_null(strstr(fixture->err.hint, cases[i].hint));
	}
}

static void nodes_know_their_place(void **state)
{
	const struct node *root = parse(*state, NODE_CORE12, "a: 1\n\xC3\xA9: {b: [x, y]}\n");
	const struct node *list = node_path(root, "\xC3\xA9.b");
	assert_non_null(list);
	assert_int_equal(list->items[1]->line, 2);
	assert_int_equal(list->items[1]->column, 12); /* characters, not bytes */
	assert_string_equal(list->items[1]->file, "f.yml");
	assert_int_equal(root->map[1].key_node->column, 1);
	assert_null(node_path(root, "\xC3\xA9.c"));
	assert_null(node_path(root, "a.b"));
}

static void an_empty_file_is_nothing(void **state)
{
	assert_int_equal(parse(*state, NODE_CORE12, "")->kind, NODE_NULL);
	assert_int_equal(parse(*state, NODE_CORE12, "# only a comment\n")->kind, NODE_NULL);
	assert_int_equal(parse(*state, NODE_CORE12,
				 "\xEF\xBB\xBF"
				 "a: 1")
				 ->kind,
		NODE_MAP);
}

static void many_documents_become_a_list(void **state)
{
	struct fixture *fixture = *state;
	static const char text[] = "a: &x 1\n---\n---\n- 2\n";
	struct node_options options = {.rules = NODE_SOPS, .many_documents = true};
	const struct node *node;
	assert_true(node_parse_yaml(
		fixture->arena, "f", text, strlen(text), &options, &node, &fixture->err));
	assert_json(node, 0, false, "[{\"a\":1},null,[2]]");
	static const char crossing[] = "a: &x 1\n---\n*x\n";
	assert_false(node_parse_yaml(
		fixture->arena, "f", crossing, strlen(crossing), &options, &node, &fixture->err));
}

static void merge_keys_yield_to_own_keys_and_the_first_of_a_list_wins(void **state)
{
	const struct node *root = parse(*state, NODE_ANSIBLE11,
		"a: &a {x: 1, y: 2}\n"
		"b: &b {y: 3, z: 4}\n"
		"c: {z: 9, <<: [*a, *b]}\n"
		"d: &d {<<: *a, y: 7}\n"
		"e: {<<: *d}\n"
		"f: {'<<': 1}\n"
		"g: {!!merge x: *a}\n");
	assert_json(node_get(root, "c"), 0, true, "{\"x\":1,\"y\":2,\"z\":9}");
	assert_json(node_get(root, "d"), 0, true, "{\"x\":1,\"y\":7}");
	assert_json(node_get(root, "e"), 0, true, "{\"x\":1,\"y\":7}");
	assert_json(node_get(root, "f"), 0, true, "{\"<<\":1}");
	assert_json(node_get(root, "g"), 0, true, "{\"x\":1,\"y\":2}");
}

static void sops_files_know_no_merging(void **state)
{
	const struct node *root = parse(*state, NODE_SOPS, "a: &a {x: 1}\nb: {<<: *a, x: 2}\n");
	assert_json(root, 0, false, "{\"a\":{\"x\":1},\"b\":{\"<<\":{\"x\":1},\"x\":2}}");
}

static void the_last_of_equal_keys_wins_where_allowed(void **state)
{
	const struct node *root =
		parse(*state, NODE_ANSIBLE11, "a: 1\nb: 2\na: 3\nyes: x\ntrue: z\n");
	assert_json(root, 0, false, "{\"a\":3,\"b\":2,\"true\":\"z\"}");
}

static void keys_are_equal_as_in_a_python_dict(void **state)
{
	assert_json(parse(*state, NODE_ANSIBLE11, "{1: a, true: b, '1': c, 1.0: d, 01: e}"), 0,
		false, "{\"1\":\"e\",\"1\":\"c\"}");
	auto_buf struct buf text = BUF_INIT(1 << 16);
	for (int i = 0; i < 100; i++)
		buf_addf(&text, "%d: x\n", i);
	buf_add_str(&text, "7.0: y\ntrue: y\n0x3: y\n");
	const struct node *root = parse(*state, NODE_ANSIBLE11, text.text);
	assert_int_equal(root->count, 100);
	assert_string_equal(root->map[7].value->text, "y");
	assert_string_equal(root->map[1].value->text, "y");
	assert_string_equal(root->map[3].value->text, "y");
}

static void an_anchor_may_be_redefined_except_for_pyyaml(void **state)
{
	static const char text[] = "a: &x 1\nb: &x 2\nc: *x\n";
	assert_json(parse(*state, NODE_CORE12, text), 0, false, "{\"a\":1,\"b\":2,\"c\":2}");
	assert_null(parse(*state, NODE_ANSIBLE11, text));
	assert_failure(*state, "f.yml:2", "anchor '&x' is defined twice");
}

static void python_sorts_keys_of_one_kind_only(void **state)
{
	assert_json(parse(*state, NODE_ANSIBLE11, "{10: a, 9: b, 1.5: c}"), 0, true,
		"{\"1.5\":\"c\",\"9\":\"b\",\"10\":\"a\"}");
	assert_json(parse(*state, NODE_ANSIBLE11, "{b: {z: 1, a: 2}, a: {1: x, y: z}}"), 0, true,
		"{\"b\":{\"z\":1,\"a\":2},\"a\":{\"1\":\"x\",\"y\":\"z\"}}");
}

static void indented_json_is_that_of_ansible_inventory(void **state)
{
	const struct node *root = parse(*state, NODE_ANSIBLE11,
		"z: {}\na: [1, [], {k: \"\xC3\xA9\\t\\\"\\x01\\x7f\\r\"}]\nv: !vault x\n");
	assert_json(root, 4, true,
		"{\n    \"a\": [\n        1,\n        [],\n        {\n"
		"            \"k\": \"\xC3\xA9\\t\\\"\\u0001\x7f\\r\"\n        }\n    ],\n"
		"    \"v\": {\n        \"__ansible_vault\": \"x\"\n    },\n    \"z\": {}\n}");
}

static char *repeated(const char *text, size_t times)
{
	struct buf out = BUF_INIT(1 << 26);
	for (size_t i = 0; i < times; i++)
		buf_add_str(&out, text);
	return buf_steal(&out);
}

static void deep_nesting_is_refused_at_once(void **state)
{
	auto_free char *deep = repeated("[", 200000);
	assert_null(parse(*state, NODE_CORE12, deep));
	assert_failure(*state, "f.yml:1", "nested deeper than 128 levels");
	const struct node *node;
	struct fixture *fixture = *state;
	assert_false(node_parse_json(
		fixture->arena, "f.json", deep, strlen(deep), &node, &fixture->err));
	assert_failure(fixture, "f.json:1", "nested deeper");
}

static void aliases_can_not_nest_deeper_either(void **state)
{
	auto_free char *open = repeated("[", 100), *close = repeated("]", 100);
	auto_free char *text = mem_printf("a: &a %s%s\nb: %s*a%s\n", open, close, open, close);
	assert_null(parse(*state, NODE_CORE12, text));
	assert_failure(*state, "f.yml:2", "nested deeper");
}

static void an_alias_bomb_is_refused(void **state)
{
	assert_null(parse(*state, NODE_ANSIBLE11,
		"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
		"c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
		"e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"));
	assert_failure(*state, "f.yml:5", "more than 100000 values");
	assert_null(parse(*state, NODE_ANSIBLE11,
		"a: &a {a: 1,b: 1,c: 1,d: 1,e: 1,f: 1,g: 1}\n"
		"b: &b [{<<: [*a,*a,*a,*a,*a,*a,*a,*a]},{<<: [*a,*a,*a,*a,*a,*a,*a,*a]}]\n"
		"c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
		"e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"));
	assert_failure(*state, "f.yml:5", "more than 100000 values");
}

static void limits_of_size_and_values_can_be_set(void **state)
{
	struct fixture *fixture = *state;
	struct node_options options = {.max_bytes = 8};
	const struct node *node;
	assert_false(node_parse_yaml(
		fixture->arena, "f.yml", "a: 1234567", 10, &options, &node, &fixture->err));
	assert_failure(fixture, "f.yml", "more than the limit of 8");
	auto_free char *large = repeated("- x\n", 150000);
	options = (struct node_options){.max_nodes = NODE_MAX_LARGE};
	assert_true(node_parse_yaml(
		fixture->arena, "f.yml", large, strlen(large), &options, &node, &fixture->err));
	assert_int_equal(node->count, 150000);
	assert_null(parse(fixture, NODE_CORE12, large));
}

static void large_maps_are_found_by_key(void **state)
{
	auto_buf struct buf text = BUF_INIT(1 << 22);
	for (int i = 0; i < 20000; i++)
		buf_addf(&text, "key%d: %d\n", i, i);
	const struct node *root = parse(*state, NODE_CORE12, text.text);
	assert_int_equal(root->count, 20000);
	for (int i = 0; i < 20000; i++) {
		char key[32];
		(void)snprintf(key, sizeof(key), "key%d", i);
		assert_int_equal(node_get(root, key)->integer, i);
	}
	assert_null(node_get(root, "key20000"));
	buf_add_str(&text, "key7: again\n");
	assert_null(parse(*state, NODE_CORE12, text.text));
	assert_failure(*state, "f.yml:20001", "key 'key7' is written twice, first in line 8");
}

static void equality_ignores_order_of_keys_place_and_style(void **state)
{
	const struct node *one = parse(*state, NODE_CORE12, "{a: 1, b: [x, 'y'], c: .nan}");
	const struct node *two = parse(*state, NODE_CORE12, "c: .nan\nb: [\"x\", y]\na: 1\n");
	assert_true(node_equal(one, two));
	static const char *const others[] = {"{a: 1, b: [x, y]}", "{a: '1', b: [x, y], c: .nan}",
		"{a: 1, b: [y, x], c: .nan}", "{a: 1, b: [x, y], d: .nan}", "[a]"};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(node_equal(one, parse(*state, NODE_CORE12, others[i])));
}

static void built_maps_behave_like_parsed_ones(void **state)
{
	struct fixture *fixture = *state;
	struct node_entry entries[] = {
		{"b", 1, NULL, node_new_string(fixture->arena, "x", 1)},
		{"a", 1, NULL, node_new_bool(fixture->arena, true)},
	};
	const struct node *map = node_new_map(fixture->arena, entries, 2, NULL);
	assert_json(map, 0, true, "{\"a\":true,\"b\":\"x\"}");
	assert_true(node_equal(map, parse(fixture, NODE_CORE12, "{a: true, b: x}")));
}

static void json_is_read_strictly(void **state)
{
	static const struct {
		const char *text, *where, *message;
	} cases[] = {
		{"", "f:1", "ends too early"},
		{"[1,]", "f:1", "expected a value"},
		{"{\"a\":1,}", "f:1", "expected a key"},
		{"{\"a\" 1}", "f:1", "expected ':'"},
		{"[1\n2]", "f:2", "expected ',' or ']'"},
		{"[1] x", "f:1", "something follows"},
		{"01", "f:1", "not a number"},
		{"1.", "f:1", "not a number"},
		{"-", "f:1", "not a number"},
		{"1e", "f:1", "not a number"},
		{"1e999", "f:1", "too large"},
		{"NaN", "f:1", "expected a value"},
		{"'a'", "f:1", "expected a value"},
		{"\"a", "f:1", "does not end"},
		{"\"\\x\"", "f:1", "unknown escape"},
		{"\"\\u12g4\"", "f:1", "four hex"},
		{"\"\\u0000\"", "f:1", "NUL"},
		{"\"\\ud800x\"", "f:1", "surrogate"},
		{"\"\\udc00\"", "f:1", "surrogate"},
		{"\"\xFF\"", "f:1", "not UTF-8"},
		{"\"\n\"", "f:1", "control character"},
		{"\xEF\xBB\xBF{}", "f:1", "expected a value"},
		{"{\"a\":1,\n\"a\":2}", "f:2", "'a' is written twice, first in line 1"},
		{"// x\n1", "f:1", "expected a value"},
	};
	struct fixture *fixture = *state;
	const struct node *node;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_false(node_parse_json(fixture->arena, "f", cases[i].text,
			strlen(cases[i].text), &node, &fixture->err));
		assert_failure(fixture, cases[i].where, cases[i].message);
	}
}

static void json_values_keep_text_and_place(void **state)
{
	struct fixture *fixture = *state;
	static const char text[] =
		"{\"a\": [1, -2.50, 1e2, 12345678901234567890],\n"
		" \"\\u00e9\\ud83d\\ude00\": \"x\\/\\b\", \"n\": null, \"t\": true}";
	const struct node *node;
	assert_true(node_parse_json(fixture->arena, "f", text, strlen(text), &node, &fixture->err));
	assert_json(node, 0, false,
		"{\"a\":[1,-2.5,100.0,12345678901234567890],"
		"\"\xC3\xA9\xF0\x9F\x98\x80\":\"x/\\b\",\"n\":null,\"t\":true}");
	assert_string_equal(node_get(node, "a")->items[1]->text, "-2.50");
	assert_int_equal(node_get(node, "t")->line, 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(ansible_scalars_mean_what_pyyaml_makes_of_them),
		TEST(core_scalars_mean_what_yaml_1_2_says),
		TEST(sops_scalars_mean_what_go_yaml_makes_of_them),
		TEST(values_that_the_model_refuses_are_errors_with_their_line),
		TEST(syntax_errors_name_line_and_remedy),
		TEST(nodes_know_their_place),
		TEST(an_empty_file_is_nothing),
		TEST(many_documents_become_a_list),
		TEST(merge_keys_yield_to_own_keys_and_the_first_of_a_list_wins),
		TEST(sops_files_know_no_merging),
		TEST(the_last_of_equal_keys_wins_where_allowed),
		TEST(keys_are_equal_as_in_a_python_dict),
		TEST(an_anchor_may_be_redefined_except_for_pyyaml),
		TEST(python_sorts_keys_of_one_kind_only),
		TEST(indented_json_is_that_of_ansible_inventory),
		TEST(deep_nesting_is_refused_at_once),
		TEST(aliases_can_not_nest_deeper_either),
		TEST(an_alias_bomb_is_refused),
		TEST(limits_of_size_and_values_can_be_set),
		TEST(large_maps_are_found_by_key),
		TEST(equality_ignores_order_of_keys_place_and_style),
		TEST(built_maps_behave_like_parsed_ones),
		TEST(json_is_read_strictly),
		TEST(json_values_keep_text_and_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
