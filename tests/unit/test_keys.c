#include "base/buf.h"
#include "base/keys.h"
#include <setjmp.h>

#include <cmocka.h>

struct inner {
	char *name;
	int64_t count;
};

struct settings {
	char *text;
	int64_t number, wait_ms, share;
	bool flag;
	int color;
	const struct node *anything;
	struct key_texts texts;
	struct inner inner;
	struct key_list list;
};

static const char *const colors[] = {"red", "green", "blue", NULL};
static const struct key inner_keys[] = {
	{.name = "name",
		.type = KEY_TEXT,
		.offset = offsetof(struct inner, name),
		.standard = "nobody",
		.doc = "Who."},
	{.name = "count",
		.type = KEY_INT,
		.offset = offsetof(struct inner, count),
		.standard = "3",
		.min = 1,
		.max = 9},
	KEYS_END,
};
static const struct key item_keys[] = {
	{.name = "name",
		.type = KEY_TEXT,
		.offset = offsetof(struct inner, name),
		.required = true},
	KEYS_END,
};
#define AT(member) .offset = offsetof(struct settings, member)
static const struct key keys[] = {
	{.name = "text", .type = KEY_TEXT, AT(text), .doc = ".dot and \\ backslash."},
	{.name = "number", .type = KEY_INT, AT(number), .min = -2, .max = 10},
	{.name = "wait",
		.type = KEY_DURATION,
		AT(wait_ms),
		.standard = "1m",
		.min = 1000,
		.max = 3600000,
		.env = "AVIARY_WAIT"},
	{.name = "share", .type = KEY_PERCENT, AT(share), .standard = "100%"},
	{.name = "flag", .type = KEY_BOOL, AT(flag), .standard = "true"},
	{.name = "color", .type = KEY_ENUM, AT(color), .words = colors, .standard = "blue"},
	{.name = "anything", .type = KEY_NODE, AT(anything)},
	{.name = "texts", .type = KEY_TEXTS, AT(texts)},
	{.name = "inner", .type = KEY_MAP, AT(inner), .keys = inner_keys},
	{.name = "list",
		.type = KEY_LIST,
		AT(list),
		.keys = item_keys,
		.item_size = sizeof(struct inner)},
	{.name = "later", .type = KEY_REFUSED},
	KEYS_END,
};

struct fixture {
	struct arena *arena;
	struct problems problems;
	struct settings settings;
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
	problems_clear(&fixture->problems);
	arena_free(fixture->arena);
	free(fixture);
	return 0;
}

static bool read_with(struct fixture *fixture, const struct key *table, const char *text)
{
	struct error err;
	const struct node *node = NULL;
	struct node_options options = {0};
	problems_clear(&fixture->problems);
	fixture->settings = (struct settings){0};
	if (!node_parse_yaml(fixture->arena, "f.yaml", text, strlen(text), &options, &node, &err))
		fail_msg("%s", err.message);
	return keys_read(
		table, "", node, "f.yaml", fixture->arena, &fixture->settings, &fixture->problems);
}

static void good_values_are_stored(void **state)
{
	struct fixture *fixture = *state;
	assert_true(read_with(fixture, keys,
		"text: hello\nnumber: -2\nwait: 1m30s\nshare: 25%\nflag: false\ncolor: green\n"
		"anything: {a: 1}\ntexts: [a, b]\ninner: {count: 9}\n"
		"list: [{name: x}, {name: y}]\n"));
	const struct settings *got = &fixture->settings;
	const struct inner *items = got->list.items;
	assert_string_equal(got->text, "hello");
	assert_int_equal(got->number, -2);
	assert_int_equal(got->wait_ms, 90000);
	assert_int_equal(got->share, 25);
	assert_false(got->flag);
	assert_int_equal(got->color, 1);
	assert_int_equal(node_get(got->anything, "a")->integer, 1);
	assert_int_equal(got->texts.count, 2);
	assert_string_equal(got->texts.items[1], "b");
	assert_string_equal(got->inner.name, "nobody");
	assert_int_equal(got->inner.count, 9);
	assert_int_equal(got->list.count, 2);
	assert_string_equal(items[1].name, "y");
}

static void absent_keys_take_their_defaults(void **state)
{
	struct fixture *fixture = *state;
	static const char *const texts[] = {"", "{}", "wait:\ninner:\nlist: []\n"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_true(read_with(fixture, keys, texts[i]));
		assert_null(fixture->settings.text);
		assert_int_equal(fixture->settings.wait_ms, 60000);
		assert_int_equal(fixture->settings.share, 100);
		assert_true(fixture->settings.flag);
		assert_int_equal(fixture->settings.color, 2);
		assert_int_equal(fixture->settings.inner.count, 3);
	}
}

static void a_single_text_counts_as_a_list_of_one(void **state)
{
	struct fixture *fixture = *state;
	assert_true(read_with(fixture, keys, "texts: one\n"));
	assert_int_equal(fixture->settings.texts.count, 1);
	assert_string_equal(fixture->settings.texts.items[0], "one");
}

static void wrong_values_name_the_line_and_the_right_form(void **state)
{
	static const struct {
		const char *text, *what, *fix;
	} cases[] = {
		{"text: 0644", "'text' must be a text, not a number", "in quotes: \"0644\""},
		{"text: true", "'text' must be a text, not true or false", "\"true\""},
		{"text: [a]", "'text' must be a text, not a list", "one text"},
		{"text: ''", "'text' is empty", "remove the key"},
		{"text: \"a\\nb\"", "'text' has a line break", "one line"},
		{"number: '3'", "must be a whole number, not a text", "without quotes"},
		{"number: 1.5", "must be a whole number", ""},
		{"number: 11", "'number' is 11, but must be -2 to 10", ""},
		{"wait: 10", "must be a duration, not a number", "such as 10s"},
		{"wait: soon", "'wait' is 'soon', which is no duration", "1h30m"},
		{"wait: 2h", "'wait' is 2h, but must be 1s to 1h", ""},
		{"share: 25", "must be a percentage", "write 25%"},
		{"share: 101%", "must be a percentage", "0% to 100%"},
		{"share: -1%", "must be a percentage", "0% to 100%"},
		{"flag: yes", "must be true or false, not a text", "write true or false"},
		{"color: gren", "'color' can not be 'gren'",
			"did you mean 'green'? write red, green or"},
		{"color: [red]", "must be one word, not a list", "red, green or blue"},
		{"texts: [a, 1]", "'texts[1]' must be a text, not a number", "\"1\""},
		{"texts: []", "'texts' is empty", "at least one"},
		{"texts: {a: b}", "'texts' must be a text, not a map", ""},
		{"inner: 3", "'inner' must be a map of keys, not a number", "key: value"},
		{"inner: {count: 0}", "'inner.count' is 0", ""},
		{"inner: {cont: 0}", "unknown key 'inner.cont'", "did you mean 'count'?"},
		{"list: {name: x}", "'list' must be a list, not a map", "'- '"},
		{"list: [{name: a}, {}]", "'list[1].name' is missing", "add it"},
		{"list: [a]", "'list[0]' must be a map of keys", ""},
		{"txt: a", "unknown key 'txt'", "did you mean 'text'?"},
		{"completely: a", "unknown key 'completely'", "known are text, number"},
		{"later: 1", "'later' is not supported yet", "remove the key"},
		{"\"a\\nb\": 1", "unknown key 'a?b'", ""},
	};
	struct fixture *fixture = *state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *text = mem_printf("# first line\n%s\n", cases[i].text);
		assert_false(read_with(fixture, keys, text));
		assert_int_equal(fixture->problems.errors, 1);
		const struct problem *problem = &fixture->problems.items[0];
		if (!strstr(problem->what, cases[i].what))
			assert_string_equal(problem->what, cases[i].what);
		if (!strstr(problem->fix, cases[i].fix))
			assert_string_equal(problem->fix, cases[i].fix);
		assert_string_equal(problem->file, "f.yaml");
		assert_int_equal(problem->line, 2);
	}
}

static void five_mistakes_are_five_problems(void **state)
{
	struct fixture *fixture = *state;
	assert_false(read_with(fixture, keys,
		"text: 1\nnumber: x\nlater: 1\nunknown: 1\ninner: {count: 100}\nflag: true\n"));
	assert_int_equal(fixture->problems.errors, 5);
}

static void required_keys_are_missed_even_in_an_empty_file(void **state)
{
	struct fixture *fixture = *state;
	assert_false(read_with(fixture, item_keys, ""));
	assert_string_equal(fixture->problems.items[0].what, "'name' is missing");
	assert_false(read_with(fixture, item_keys, "\n\nname:\n"));
	assert_int_equal(fixture->problems.items[0].line, 3);
	problems_clear(&fixture->problems);
	assert_false(keys_read(item_keys, "", NULL, "g.yaml", fixture->arena, &fixture->settings,
		&fixture->problems));
	assert_string_equal(fixture->problems.items[0].file, "g.yaml");
}

static void the_man_page_has_each_key_with_its_facts(void **state)
{
	(void)state; /* needs no fixture */
	auto_buf struct buf text = BUF_INIT(1 << 16);
	static const char *const parts[] = {".It Ic x.text\n\\&.dot and \\e backslash.\n",
		".It Ic x.wait\n.br\nType: duration, 1s to 1h.\nDefault: 1m.\n",
		".Ev AVIARY_WAIT\n", "word: red, green, blue.\nDefault: blue.",
		".It Ic x.inner.name\nWho.\n", ".It Ic x.list[].name\n", "Required."};
	keys_to_man(keys, "x.", &text);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (!strstr(text.text, parts[i]))
			fail_msg("no '%s' in:\n%s", parts[i], text.text);
	assert_null(strstr(text.text, "later"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(good_values_are_stored),
		TEST(absent_keys_take_their_defaults),
		TEST(a_single_text_counts_as_a_list_of_one),
		TEST(wrong_values_name_the_line_and_the_right_form),
		TEST(five_mistakes_are_five_problems),
		TEST(required_keys_are_missed_even_in_an_empty_file),
		TEST(the_man_page_has_each_key_with_its_facts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
