/* Mustache: each row of the specification, in our own words and, where they are, in its own */
#include "tests/lib/mustache_context.h"
#include <unistd.h>

struct row {
	const char *name;
	const char *data; /* JSON */
	const char *template;
	const char *expected;
	struct partial partials[4];
};

static void check_row(const struct row *row, struct mustache_options options)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct error err;
	options.hooks.partial = partial_from_table;
	options.hooks.data = (void *)(uintptr_t)row->partials;
	if (!mustache_render("t.mustache", row->template, strlen(row->template),
		    json(arena, row->data), &options, &out, &err))
		fail_msg("%s: %s: %s", row->name, err.where, err.message);
	if (strcmp(out.text, row->expected) != 0)
		fail_msg("%s: got '%s', not '%s'", row->name, out.text, row->expected);
}

static void check_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_row(&rows[i], (struct mustache_options){.escape = MUSTACHE_ESCAPE_HTML});
}

/* Rows whose names are all there mean the same in strict mode. */
static void check_rows_strict(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_row(&rows[i],
			(struct mustache_options){.strict = true, .escape = MUSTACHE_ESCAPE_HTML});
}

/* ---- rows of the specification ----------------------------------------------------------------
 */

static const struct row comment_rows[] = {
	{"inline", "{}", "red{{! not blue }}green", "redgreen"},
	{"over lines", "{}", "red{{!\n not\n blue\n}}green\n", "redgreen\n"},
	{"standalone", "{}", "top\n{{! gone }}\nbottom\n", "top\nbottom\n"},
	{"standalone, indented", "{}", "top\n\t {{! gone }} \t\nbottom\n", "top\nbottom\n"},
	{"standalone, CRLF", "{}", "top\r\n{{! gone }}\r\nbottom", "top\r\nbottom"},
	{"standalone at the start", "{}", "  {{! gone }}\nbottom", "bottom"},
	{"standalone at the end", "{}", "top\n  {{! gone }}", "top\n"},
	{"standalone over lines", "{}", "top\n  {{!\n  gone\n  }}\nbottom\n", "top\nbottom\n"},
	{"two in one line stay", "{}", "a\n {{! 1 }} {{! 2 }}\nb", "a\n  \nb"},
	{"blanks around it stay", "{}", "1 {{! 2 }} 3", "1  3"},
	{"end of an indented line", "{}", "  1 {{! 2 }}\n", "  1 \n"},
	{"never a name", "{\"! x\": 1, \"x\": 2}", ">{{! x }}<", "><"},
	{"holds other tags", "{}", "a{{! {{x}}b", "ab"},
	{"empty", "{}", "a{{!}}b", "ab"},
};

static const struct row delimiter_rows[] = {
	{"pair", "{\"a\": \"x\"}", "{{=<% %>=}}[<%a%>{{a}}]", "[x{{a}}]"},
	{"special characters", "{\"a\": \"x\"}", "({{=[ ]=}}[a])", "(x)"},
	{"one character for both", "{\"a\": \"x\"}", "{{=| |=}}|a| {{a}}", "x {{a}}"},
	{"back again", "{\"a\": \"x\"}", "{{=<% %>=}}<%a%><%={{ }}=%>{{a}}<%a%>", "xx<%a%>"},
	{"in sections", "{\"s\": true, \"a\": \"x\"}",
		"{{#s}}\n{{a}}|a|\n{{/s}}\n{{= | | =}}\n|#s|\n{{a}}|a|\n|/s|\n", "x|a|\n{{a}}x\n"},
	{"in inverted sections", "{\"s\": false, \"a\": \"x\"}",
		"{{^s}}\n{{a}}|a|\n{{/s}}\n{{= | | =}}\n|^s|\n{{a}}|a|\n|/s|\n", "x|a|\n{{a}}x\n"},
	{"not handed to a partial", "{\"a\": \"x\"}", "{{>p}}.\n{{= | | =}}\n|>p|", "<x>.\n<x>",
		{{"p", "<{{a}}>"}}},
	{"not kept from a partial", "{\"a\": \"x\"}", "{{>p}} {{a}}|a|", "xx x|a|",
		{{"p", "{{a}}{{=| |=}}|a|"}}},
	{"blanks around it stay", "{}", "| {{=@ @=}} |", "|  |"},
	{"in a line with text", "{}", " | {{=@ @=}}\n", " | \n"},
	{"standalone", "{}", "top\n{{=@ @=}}\nbottom\n", "top\nbottom\n"},
	{"standalone, indented", "{}", "top\n  {{=@ @=}}\nbottom\n", "top\nbottom\n"},
	{"standalone, CRLF", "{}", "|\r\n{{= @ @ =}}\r\n|", "|\r\n|"},
	{"standalone at the start", "{}", "  {{=@ @=}}\n=", "="},
	{"standalone at the end", "{}", "=\n  {{=@ @=}}", "=\n"},
	{"padded", "{}", "|{{= @   @ =}}|", "||"},
	{"triple", "{\"a\": \"<\"}", "{{=<% %>=}}<%{a}%><%& a%>", "<<"},
};

static const struct row value_rows[] = {
	{"no tag", "{}", "single {braces} stay\n", "single {braces} stay\n"},
	{"empty template", "{}", "", ""},
	{"text", "{\"a\": \"world\"}", "Hello, {{a}}!\n", "Hello, world!\n"},
	{"not twice", "{\"a\": \"{{b}}\", \"b\": \"no\"}", "{{a}}", "{{b}}"},
	{"escaped", "{\"a\": \"& \\\" < > '\"}", "{{a}}", "&amp; &quot; &lt; &gt; &#39;"},
	{"triple", "{\"a\": \"& \\\" < >\"}", "{{{a}}}", "& \" < >"},
	{"ampersand", "{\"a\": \"& \\\" < >\"}", "{{&a}}", "& \" < >"},
	{"integer", "{\"a\": 85}", "{{a}} {{{a}}} {{&a}}", "85 85 85"},
	{"decimal", "{\"a\": 1.21}", "{{a}} {{{a}}} {{&a}}", "1.21 1.21 1.21"},
	{"boolean", "{\"a\": true, \"b\": false}", "{{a}} {{b}}", "true false"},
	{"null", "{\"a\": null}", "({{a}}{{{a}}}{{&a}})", "()"},
	{"dotted", "{\"p\": {\"n\": \"<J>\"}}", "{{p.n}}{{{p.n}}}{{&p.n}}{{#p}}{{n}}{{/p}}",
		"&lt;J&gt;<J><J>&lt;J&gt;"},
	{"dotted, deep", "{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":\"x\"}}}}}", "{{a.b.c.d.e}}", "x"},
	{"dotted, from the section on top",
		"{\"a\":{\"b\":{\"c\":\"right\"}},\"b\":{\"c\":\"wrong\"}}", "{{#a}}{{b.c}}{{/a}}",
		"right"},
	{"dotted, against a key with a dot", "{\"a.b\": \"c\", \"a\": {\"b\": \"d\"}}", "{{a.b}}",
		"d"},
	{"iterator at the top", "\"a & b\"", "{{.}} {{{.}}} {{&.}}", "a &amp; b a & b a & b"},
	{"iterator at the top, number", "85", "{{.}}", "85"},
	{"blanks outside stay", "{\"a\": \"-\"}", "| {{a}} {{{a}}} {{&a}} |", "| - - - |"},
	{"alone in its line stays", "{\"a\": \"-\"}", " {{a}}\n {{{a}}}\n {{&a}}\n",
		" -\n -\n -\n"},
	{"padded", "{\"a\": \"-\"}", "{{ a }}{{{ a }}}{{& a }}{{\n a\t}}", "----"},
	{"UTF-8", "{\"né\": \"ü\"}", "{{né}}", "ü"},
	{"a brace before a tag", "{\"a\": \"-\"}", "{ {{a}} }", "{ - }"},
};

static const struct row missing_rows[] = {
	{"value", "{}", "({{a}}{{{a}}}{{&a}})", "()"},
	{"broken chain", "{\"a\": {}}", "({{a.b.c}})", "()"},
	{"chain through text", "{\"a\": \"x\"}", "({{a.b}})", "()"},
	{"broken chain does not start again", "{\"a\":{\"b\":{}},\"c\":{\"n\":1}}", "({{a.b.c.n}})",
		"()"},
	{"the top one decides", "{\"a\":{\"b\":{}},\"b\":{\"c\":\"no\"}}", "({{#a}}{{b.c}}{{/a}})",
		"()"},
	{"a key with a dot", "{\"a.b\": \"c\"}", "({{a.b}})", "()"},
	{"section", "{}", "[{{#a}}no{{/a}}]", "[]"},
	{"section, dotted", "{\"a\": {}}", "[{{#a.b.c}}no{{/a.b.c}}]", "[]"},
	{"inverted", "{}", "[{{^a}}yes{{/a}}]", "[yes]"},
	{"inverted, dotted", "{\"a\": {}}", "[{{^a.b.c}}yes{{/a.b.c}}]", "[yes]"},
	{"partial", "{}", "[{{>nowhere}}]", "[]"},
	{"list and map as value", "{\"l\": [1], \"m\": {}}", "[{{l}}{{m}}]", "[]"},
};

static const struct row section_rows[] = {
	{"true", "{\"b\": true}", "<{{#b}}yes{{/b}}>", "<yes>"},
	{"false", "{\"b\": false}", "<{{#b}}no{{/b}}>", "<>"},
	{"null", "{\"b\": null}", "<{{#b}}no{{/b}}>", "<>"},
	{"empty text and zero", "{\"b\": \"\", \"c\": 0}", "<{{#b}}no{{/b}}{{#c}}no{{/c}}>", "<>"},
	{"map becomes the context", "{\"c\": {\"n\": \"Joe\"}}", "{{#c}}Hi {{n}}.{{/c}}",
		"Hi Joe."},
	{"contexts below stay visible",
		"{\"a\":\"1\",\"b\":\"no\",\"s\":{\"b\":\"2\"},\"c\":{\"d\":\"3\"}}",
		"{{#s}}{{a}}{{b}}{{c.d}}{{/s}}", "123"},
	{"text becomes the iterator", "{\"a\": \"x\"}", "{{#a}}{{.}}{{a}}{{/a}}", "xx"},
	{"lists in lists",
		"{\"t\":[{\"n\":{\"u\":\"A\"},"
		"\"m\":[{\"k\":1,\"b\":[{\"x\":\"p\"},{\"x\":\"q\"}]}]}]}",
		"{{#t}}{{#m}}{{n.u}}{{k}}{{#b}}{{n.u}}{{k}}{{x}}.{{/b}}{{/m}}{{/t}}", "A1A1p.A1q."},
	{"deep", "{\"a\":{\"p\":1},\"b\":{\"q\":2},\"c\":{\"r\":3,\"d\":{\"s\":4}}}",
		"{{#a}}\n{{#b}}\n{{p}}{{q}}\n"
		"{{#c.d}}\n{{p}}{{q}}{{s}}{{s}}\n{{/c.d}}\n{{/b}}\n{{/a}}\n",
		"12\n1244\n"},
	{"list", "{\"l\": [{\"i\": 1}, {\"i\": 2}]}", "{{#l}}<{{i}}>{{/l}}", "<1><2>"},
	{"empty list", "{\"l\": []}", "<{{#l}}no{{/l}}>", "<>"},
	{"list with false items", "{\"l\": [false, null, 0]}", "{{#l}}<{{.}}>{{/l}}",
		"<false><><0>"},
	{"twice", "{\"b\": true, \"t\": 2}", "{{#b}}\n1\n{{/b}}\n{{t}}\n{{#b}}\n3\n{{/b}}\n",
		"1\n2\n3\n"},
	{"in itself", "{\"b\": true, \"c\": false}",
		"a{{#b}}b{{#b}}c{{/b}}d{{/b}}e {{#c}}b{{#c}}c{{/c}}d{{/c}}", "abcde "},
	{"iterator", "{\"l\": [\"a\", 1, 2.5]}", "{{#l}}({{.}}){{/l}}", "(a)(1)(2.5)"},
	{"iterator over lists", "{\"l\": [[1, 2], [\"a\"]]}", "{{#l}}({{#.}}{{.}}{{/.}}){{/l}}",
		"(12)(a)"},
	{"iterator, escape", "{\"l\": [\"&\", \"<\"]}", "{{#l}}{{.}}{{{.}}}{{&.}}{{/l}}",
		"&amp;&&&lt;<<"},
	{"iterator at the top", "[{\"v\": \"a\"}, {\"v\": \"b\"}]", "{{#.}}({{v}}){{/.}}",
		"(a)(b)"},
	{"dotted", "{\"a\":{\"b\":{\"c\":true,\"d\":false}}}",
		"{{#a.b.c}}yes{{/a.b.c}}{{#a.b.d}}no{{/a.b.d}}", "yes"},
	{"blanks around stay", "{\"b\": true}", " | {{#b}}\t|\t{{/b}} | \n", " | \t|\t | \n"},
	{"blanks inside stay", "{\"b\": true}", " | {{#b}} {{! c }}\n {{/b}} | \n", " |  \n  | \n"},
	{"two tags in a line are not standalone", "{\"b\": true}",
		" {{#b}}1{{/b}}\n {{#b}}{{/b}}\n", " 1\n \n"},
	{"standalone", "{\"b\": true}", "a\n{{#b}}\nb\n{{/b}}\nc\n", "a\nb\nc\n"},
	{"standalone, indented", "{\"b\": true}", "a\n  {{#b}}\nb\n\t{{/b}}\nc\n", "a\nb\nc\n"},
	{"standalone, CRLF", "{\"b\": true}", "a\r\n{{#b}}\r\n{{/b}}\r\nc", "a\r\nc"},
	{"standalone at the start", "{\"b\": true}", "  {{#b}}\n#{{/b}}\n/", "#\n/"},
	{"standalone at the end", "{\"b\": true}", "#{{#b}}\n/\n  {{/b}}", "#\n/\n"},
	{"padded", "{\"b\": true}", "|{{# b }}={{/ b }}{{ #b }}={{ /b }}|", "|==|"},
};

static const struct row inverted_rows[] = {
	{"false", "{\"b\": false}", "<{{^b}}yes{{/b}}>", "<yes>"},
	{"true", "{\"b\": true}", "<{{^b}}no{{/b}}>", "<>"},
	{"null", "{\"b\": null}", "<{{^b}}yes{{/b}}>", "<yes>"},
	{"map", "{\"c\": {\"n\": 1}}", "<{{^c}}no{{/c}}>", "<>"},
	{"list", "{\"l\": [1, 2]}", "<{{^l}}no{{/l}}>", "<>"},
	{"empty list", "{\"l\": []}", "<{{^l}}yes{{/l}}>", "<yes>"},
	{"twice", "{\"b\": false, \"t\": 2}", "{{^b}}\n1\n{{/b}}\n{{t}}\n{{^b}}\n3\n{{/b}}\n",
		"1\n2\n3\n"},
	{"in itself", "{\"b\": false, \"c\": true}",
		"a{{^b}}b{{^b}}c{{/b}}d{{/b}}e {{^c}}b{{^c}}c{{/c}}d{{/c}}", "abcde "},
	{"dotted", "{\"a\":{\"b\":{\"c\":true,\"d\":false}}}",
		"{{^a.b.c}}no{{/a.b.c}}{{^a.b.d}}yes{{/a.b.d}}", "yes"},
	{"the context stays", "{\"b\": false, \"n\": 1}", "{{^b}}{{n}}{{/b}}", "1"},
	{"blanks around stay", "{\"b\": false}", " | {{^b}}\t|\t{{/b}} | \n", " | \t|\t | \n"},
	{"blanks inside stay", "{\"b\": false}", " | {{^b}} {{! c }}\n {{/b}} | \n",
		" |  \n  | \n"},
	{"two tags in a line are not standalone", "{\"b\": false}", " {{^b}}1{{/b}}\n", " 1\n"},
	{"standalone", "{\"b\": false}", "a\n{{^b}}\nb\n{{/b}}\nc\n", "a\nb\nc\n"},
	{"standalone, indented", "{\"b\": false}", "a\n  {{^b}}\nb\n\t{{/b}}\nc\n", "a\nb\nc\n"},
	{"standalone, CRLF", "{\"b\": false}", "a\r\n{{^b}}\r\n{{/b}}\r\nc", "a\r\nc"},
	{"standalone at the start", "{\"b\": false}", "  {{^b}}\n#{{/b}}\n/", "#\n/"},
	{"standalone at the end", "{\"b\": false}", "#{{^b}}\n/\n  {{/b}}", "#\n/\n"},
	{"padded", "{\"b\": false}", "|{{^ b }}={{/ b }}|", "|=|"},
};

static const struct row partial_rows[] = {
	{"plain", "{}", "<{{>p}}>", "<text>", {{"p", "text"}}},
	{"sees the context", "{\"a\": \"x\"}", "{{>p}}", "*x*", {{"p", "*{{a}}*"}}},
	{"recursion", "{\"c\":\"X\",\"n\":[{\"c\":\"Y\",\"n\":[]}]}", "{{>p}}", "X<Y<>>",
		{{"p", "{{c}}<{{#n}}{{>p}}{{/n}}>"}}},
	{"partials in partials", "{\"a\":\"1\",\"b\":\"2\"}", "{{>o}}", "*1 2!*",
		{{"o", "*{{a}} {{>i}}*"}, {"i", "{{b}}!"}}},
	{"blanks around stay", "{}", "| {{>p}} |", "| \t|\t |", {{"p", "\t|\t"}}},
	{"inline is not indented", "{\"d\": \"|\"}", "  {{d}}  {{> p}}\n", "  |  >\n>\n",
		{{"p", ">\n>"}}},
	{"standalone, CRLF", "{}", "|\r\n{{>p}}\r\n|", "|\r\n>|", {{"p", ">"}}},
	{"standalone at the start", "{}", "  {{>p}}\n>", "  >\n  >>", {{"p", ">\n>"}}},
	{"standalone at the end", "{}", ">\n  {{>p}}", ">\n  >\n  >", {{"p", ">\n>"}}},
	{"indentation is the template's, not the value's", "{\"c\": \"<\\n->\"}",
		"\\\n {{>p}}\n/\n", "\\\n |\n <\n->\n |\n/\n", {{"p", "|\n{{{c}}}\n|\n"}}},
	{"padded", "{}", "|{{> p }}|", "|[]|", {{"p", "[]"}}},
	{"indentation adds up", "{}", "  {{>o}}\n", "  a\n    b\n    c\n  d\n",
		{{"o", "a\n  {{>i}}\nd\n"}, {"i", "b\nc\n"}}},
	{"a partial inside a line forgets the indentation", "{}", "  {{>o}}\n", "  a b\nc\n",
		{{"o", "a {{>i}}\n"}, {"i", "b\nc"}}},
	{"indented loops", "{\"l\": [1, 2]}", " {{>p}}\n", " l:\n - 1\n - 2\n end\n",
		{{"p", "l:\n{{#l}}\n- {{.}}\n{{/l}}\nend\n"}}},
	{"indented loop that begins in a line", "{\"l\": [1, 2]}", " {{>p}}\n", " 1\n2\n",
		{{"p", "{{#l}}{{.}}\n{{/l}}\n"}}},
	{"indented loop that ends in a line", "{\"l\": [1, 2]}", " {{>p}}\n", " 1\n  2\n  end\n",
		{{"p", "{{#l}}\n{{.}}\n{{/l}} end\n"}}},
	{"indented line that begins with a comment", "{}", " {{>p}}\n", "  x\n",
		{{"p", "{{!c}} x\n"}}},
	{"indented empty lines", "{}", " {{>p}}\n", " a\n \n b\n", {{"p", "a\n\nb\n"}}},
};

static void comments_leave_nothing_behind(void **state)
{
	(void)state;
	check_rows(comment_rows, ARRAY_LEN(comment_rows));
	check_rows_strict(comment_rows, ARRAY_LEN(comment_rows));
}

static void delimiters_change_until_the_end_of_their_file(void **state)
{
	(void)state;
	check_rows(delimiter_rows, ARRAY_LEN(delimiter_rows));
	check_rows_strict(delimiter_rows, ARRAY_LEN(delimiter_rows));
}

static void values_are_printed_as_written(void **state)
{
	(void)state;
	check_rows(value_rows, ARRAY_LEN(value_rows));
	check_rows_strict(value_rows, ARRAY_LEN(value_rows));
}

static void missing_names_are_empty_in_lenient_mode(void **state)
{
	(void)state;
	check_rows(missing_rows, ARRAY_LEN(missing_rows));
}

static void sections_repeat_for_lists_and_push_the_context(void **state)
{
	(void)state;
	check_rows(section_rows, ARRAY_LEN(section_rows));
	check_rows_strict(section_rows, ARRAY_LEN(section_rows));
}

static void inverted_sections_are_for_false_and_empty(void **state)
{
	(void)state;
	check_rows(inverted_rows, ARRAY_LEN(inverted_rows));
	check_rows_strict(inverted_rows, ARRAY_LEN(inverted_rows));
}

static void partials_keep_the_indentation_of_their_tag(void **state)
{
	(void)state;
	check_rows(partial_rows, ARRAY_LEN(partial_rows));
	check_rows_strict(partial_rows, ARRAY_LEN(partial_rows));
}

static void nothing_is_escaped_without_html(void **state)
{
	(void)state;
	const struct row row = {"none", "{\"a\": \"& < >\"}", "{{a}} {{{a}}}", "& < > & < >"};
	check_row(&row, (struct mustache_options){.strict = true});
}

/* ---- the official files -----------------------------------------------------------------------
 */

static const struct node *read_json_file(struct arena *arena, const char *path)
{
	auto_file FILE *file = fopen(path, "rb");
	auto_buf struct buf bytes = BUF_INIT(OUT_MAX);
	char chunk[4096];
	size_t got;
	if (!file)
		return NULL;
	while ((got = fread(chunk, 1, sizeof(chunk), file)))
		buf_add(&bytes, chunk, got);
	return json(arena, bytes.text);
}

static void run_official_case(const struct node *test, const char *file)
{
	struct partial partials[8] = {{NULL, NULL}};
	const struct node *map = node_get(test, "partials");
	const struct node *text = node_get(test, "template");
	const struct node *expected = node_get(test, "expected");
	const struct mustache_options options = {.escape = MUSTACHE_ESCAPE_HTML,
		.hooks = {.partial = partial_from_table, .data = partials}};
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct error err;
	for (size_t i = 0; map && i < map->count && i < ARRAY_LEN(partials) - 1; i++)
		partials[i] = (struct partial){map->map[i].key, map->map[i].value->text};
	if (!mustache_render(
		    file, text->text, text->len, node_get(test, "data"), &options, &out, &err))
		fail_msg("%s: %s: %s", file, node_get(test, "name")->text, err.message);
	if (out.len != expected->len || memcmp(out.text, expected->text, out.len) != 0)
		fail_msg("%s: %s: got '%s', not '%s'", file, node_get(test, "name")->text, out.text,
			expected->text);
}

static char *official_path(const char *name)
{
	const char *shared = getenv("AVIARY_SHARED");
	return mem_printf("%s/fixtures/mustache/%s.json", shared ? shared : "../shared", name);
}

static bool is_here(const char *name)
{
	auto_free char *path = official_path(name);
	bool here = !access(path, R_OK);
	if (!here)
		print_message("skipped: no official case in %s (see AVIARY_SHARED)\n", path);
	return here;
}

static void the_official_specification_passes(void **state)
{
	(void)state;
	static const char *const files[] = {
		"comments", "delimiters", "interpolation", "inverted", "partials", "sections"};
	size_t cases = 0;
	if (!is_here(files[0]))
		skip();
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
		auto_free char *path = official_path(files[i]);
		const struct node *tests = node_get(read_json_file(arena, path), "tests");
		assert_non_null(tests);
		for (size_t j = 0; j < tests->count; j++)
			run_official_case(tests->items[j], files[i]);
		cases += tests->count;
	}
	print_message("%zu official cases\n", cases);
	assert_true(cases >= 136);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comments_leave_nothing_behind),
		cmocka_unit_test(delimiters_change_until_the_end_of_their_file),
		cmocka_unit_test(values_are_printed_as_written),
		cmocka_unit_test(missing_names_are_empty_in_lenient_mode),
		cmocka_unit_test(sections_repeat_for_lists_and_push_the_context),
		cmocka_unit_test(inverted_sections_are_for_false_and_empty),
		cmocka_unit_test(partials_keep_the_indentation_of_their_tag),
		cmocka_unit_test(nothing_is_escaped_without_html),
		cmocka_unit_test(the_official_specification_passes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
