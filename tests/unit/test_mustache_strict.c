/* Mustache: strict mode's errors, wrong tags, hooks, limits */
#include "tests/lib/mustache_context.h"

/* ---- strict mode ------------------------------------------------------------------------------
 */

struct strict_row {
	const char *data;
	const char *template;
	const char *where;
	const char *message; /* part of it */
	const char *hint;    /* part of it; NULL: there must be none */
	struct partial partials[3];
};

static const struct strict_row strict_rows[] = {
	{"{\"domain\": 1}", "a\nb {{domian}}\n", "t:2", "unknown variable 'domian'",
		"did you mean 'domain'?"},
	{"{\"x\": 1}", "{{something_else}}", "t:1", "unknown variable 'something_else'",
		"define it, or correct the name"},
	{"{\"apps\": {\"nextcloud\": true}}", "\n\n{{apps.nextclod}}", "t:3", "apps.nextclod",
		"did you mean 'apps.nextcloud'?"},
	{"{\"secrets\": {\"m\": {\"p\": 1}}}", "{{secret.m.p}}", "t:1", "secret.m.p",
		"did you mean 'secrets.m.p'?"},
	{"{\"s\": {\"inner_name\": 1}}", "{{#s}}\n{{inner_nam}}\n{{/s}}", "t:2", "inner_nam",
		"'inner_name'"},
	{"{\"s\": {\"x\": 1}, \"outer_name\": 1}", "{{#s}}\n{{outer_nam}}\n{{/s}}", "t:2",
		"outer_nam", "'outer_name'"},
	{"{\"domain\": \"x\"}", "{{domain.name}}", "t:1", "'domain' is a", "write 'domain' alone"},
	{"{\"a\": [1]}", "\n{{a}}", "t:2", "'a' is a list", "'{{#a}}...{{/a}}'"},
	{"{\"a\": {}}", "{{a}}", "t:1", "'a' is a map", "'{{#a}}...{{/a}}'"},
	{"{\"flag\": true}", "\n{{#flg}}{{/flg}}", "t:2", "'flg'", "'flag'"},
	{"{\"flag\": true}", "\n\n{{^flg}}{{/flg}}", "t:3", "'flg'", "'flag'"},
	{"{}", "x\r\n{{>nowhere}}", "t:2", "partial 'nowhere'", NULL},
	{"{}", "\n  {{>p}}", "p:3", "unknown variable 'x'", "define it", {{"p", "1\n2\n{{x}}"}}},
	{"{}", "{{>p}}", "q:2", "unknown variable 'x'", "define it",
		{{"p", "\n\n\n{{>q}}"}, {"q", "\n{{x}}"}}},
	{"{}", "{{>p}}", "p:2", "not closed", "{{=<% %>=}}", {{"p", "\n{{#x}}"}}},
	{"{}", "docker ps --format '{{.Names}}'", "t:1", "'.Names' is not a variable's name",
		"{{=<% %>=}}"},
	{"{}", "{{ a | default('x') }}", "t:1", "is not a variable's name", "{{=<% %>=}}"},
	{"{}", "{{a..b}}", "t:1", "is not a variable's name", "{{=<% %>=}}"},
	{"{\"a\": 1}", "{{!\n\n}}{{=<% %>=}}\n<%a%>\n<%b%>", "t:5", "'b'", "'a'"},
};

static void check_fails(const struct strict_row *row, const struct mustache_options *options)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct error err;
	struct mustache_options with = *options;
	with.hooks.partial = partial_from_table;
	with.hooks.data = (void *)(uintptr_t)row->partials;
	if (mustache_render("t", row->template, strlen(row->template), json(arena, row->data),
		    &with, &out, &err))
		fail_msg("'%s' renders as '%s'", row->template, out.text);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.where, row->where);
	if (!strstr(err.message, row->message))
		fail_msg("'%s': message is '%s'", row->template, err.message);
	if (row->hint ? !strstr(err.hint, row->hint) : err.hint[0] != '\0')
		fail_msg("'%s': hint is '%s'", row->template, err.hint);
}

static void strict_mode_names_file_line_and_nearest_name(void **state)
{
	(void)state;
	const struct mustache_options options = {.strict = true};
	for (size_t i = 0; i < ARRAY_LEN(strict_rows); i++)
		check_fails(&strict_rows[i], &options);
}

/* Wrong in every mode. */
static const struct strict_row syntax_rows[] = {
	{"{}", "a\n{{x", "t:2", "tag is not closed: no '}}'", "correct the tag"},
	{"{}", "{{{x}}", "t:1", "no '}}}'", "correct the tag"},
	{"{}", "\n{{=<% %>}}", "t:2", "no '=}}'", "correct the tag"},
	{"{}", "{{! for ever", "t:1", "tag is not closed", "correct the tag"},
	{"{}", "{{=<% %>=}}\n<%x}}", "t:2", "no '%>' after this '<%'", "correct the tag"},
	{"{}", "{{}}", "t:1", "without a name", "correct the tag"},
	{"{}", "\n\n{{#}}{{/}}", "t:3", "without a name", "correct the tag"},
	{"{}", "{{ \n }}", "t:1", "without a name", "correct the tag"},
	{"{}", "{{a\nb}}", "t:1", "control character", "correct the tag"},
	{"{}", "{{a\x01}}", "t:1", "control character", "correct the tag"},
	{"{}", "{{a\xff}}", "t:1", "not UTF-8", "correct the tag"},
	{"{}", "a\n{{#s}}\nb\n", "t:2", "section 's' is not closed", "correct the tag"},
	{"{}", "a\n{{#s}}\n{{#t}}\n{{/s}}", "t:4", "'/s' closes the section 't' of line 3",
		"correct the tag"},
	{"{}", "a\n{{/s}}", "t:2", "not open", "correct the tag"},
	{"{}", "{{=a=}}", "t:1", "delimiters", "{{=<% %>=}}"},
	{"{}", "{{= =}}", "t:1", "delimiters", "{{=<% %>=}}"},
	{"{}", "{{=a b c=}}", "t:1", "delimiters", "{{=<% %>=}}"},
	{"{}", "{{=12345678901234567 %>=}}", "t:1", "delimiters", "{{=<% %>=}}"},
	{"{}", "{{=a= b=}}", "t:1", "delimiters", "{{=<% %>=}}"},
	{"{}", "{{<parent}}{{/parent}}", "t:1", "inheritance is not supported", "correct the tag"},
	{"{}", "{{$block}}{{/block}}", "t:1", "inheritance is not supported", "correct the tag"},
	{"{}", "{{>*dynamic}}", "t:1", "dynamic partial", "correct the tag"},
};

static void wrong_tags_are_refused_in_every_mode(void **state)
{
	(void)state;
	const struct mustache_options lenient = {.escape = MUSTACHE_ESCAPE_HTML};
	const struct mustache_options strict = {.strict = true};
	for (size_t i = 0; i < ARRAY_LEN(syntax_rows); i++) {
		check_fails(&syntax_rows[i], &lenient);
		check_fails(&syntax_rows[i], &strict);
	}
}

/* ---- hooks ------------------------------------------------------------------------------------
 */

struct trace {
	struct buf reads;
	const char *print_error;
};

static void record_read(void *data, const char *name, const struct node *value)
{
	struct trace *trace = data;
	buf_addf(&trace->reads, "%s%s ", name, value->kind == NODE_MAP ? "/" : "");
}

static bool missing_under_apps(void *data, const char *name)
{
	(void)data; /* the name says it all */
	return !strncmp(name, "apps.", 5);
}

static bool print_upper(
	void *data, const char *name, const struct node *value, struct buf *out, struct error *err)
{
	struct trace *trace = data;
	if (trace->print_error && !strcmp(name, trace->print_error))
		return error_set(err, ERR_INVALID, "'%s' has a line break", name);
	buf_addf(out, "<%s>", value->text);
	return true;
}

static bool render_hooked(struct trace *trace, const struct mustache_hooks *hooks, const char *text,
	struct buf *out, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	struct mustache_options options = {
		.strict = true, .escape = MUSTACHE_ESCAPE_HTML, .hooks = *hooks};
	options.hooks.data = trace;
	const struct node *context =
		json(arena, "{\"a\": \"x\", \"m\": {\"n\": \"y\", \"deep\": {\"z\": \"w\"}},"
			    " \"l\": [{\"a\": \"own\"}],"
			    " \"apps\": {\"on\": true}}");
	return mustache_render("t", text, strlen(text), context, &options, out, err);
}

static void reads_of_top_level_names_are_reported(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *reads;
	} rows[] = {
		{"plain", ""},
		{"{{a}}{{m.n}}", "a m.n "},
		{"{{#m}}{{n}}{{a}}{{/m}}", "m/ a "},
		{"{{#m.deep}}{{z}}{{/m.deep}}", "m.deep/ "},
		{"{{#l}}{{a}}{{m.n}}{{/l}}", "l m.n "},
		{"{{#.}}{{a}}{{/.}}", "a "},
		{"{{^a}}{{m.n}}{{/a}}", "a "},
		{"{{#apps.off}}{{a}}{{/apps.off}}", ""},
		{"{{! a }}", ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_buf struct buf out = BUF_INIT(1000);
		struct trace trace = {.reads = BUF_INIT(1000)};
		struct mustache_hooks hooks = {
			.read = record_read, .missing_section = missing_under_apps};
		struct error err;
		assert_true(render_hooked(&trace, &hooks, rows[i].text, &out, &err));
		assert_string_equal(trace.reads.text, rows[i].reads);
		buf_clear(&trace.reads);
	}
}

static void the_caller_decides_which_sections_may_miss(void **state)
{
	(void)state;
	const struct mustache_hooks hooks = {.missing_section = missing_under_apps};
	auto_buf struct buf out = BUF_INIT(1000);
	struct error err;
	assert_true(render_hooked(NULL, &hooks,
		"{{#apps.off}}no{{/apps.off}}{{^apps.off}}yes{{/apps.off}}", &out, &err));
	assert_string_equal(out.text, "yes");
	assert_false(render_hooked(NULL, &hooks, "{{#other}}{{/other}}", &out, &err));
	assert_string_equal(err.where, "t:1");
	assert_false(render_hooked(NULL, &hooks, "{{apps.off}}", &out, &err));
	assert_non_null(strstr(err.message, "apps.off"));
}

static void the_print_hook_prints_and_may_refuse(void **state)
{
	(void)state;
	const struct mustache_hooks hooks = {.print = print_upper};
	struct trace trace = {.print_error = "m.n"};
	auto_buf struct buf out = BUF_INIT(1000);
	struct error err;
	assert_true(render_hooked(&trace, &hooks, "{{a}} {{{a}}}", &out, &err));
	assert_string_equal(out.text, "&lt;x&gt; <x>");
	assert_false(render_hooked(&trace, &hooks, "\n{{m.n}}", &out, &err));
	assert_string_equal(err.where, "t:2");
	assert_string_equal(err.message, "'m.n' has a line break");
}

static bool partial_fails(void *data, const char *name, const char *including_file,
	const char **file_out, const char **text_out, size_t *len_out, struct error *err)
{
	(void)data, (void)name, (void)including_file; /* always fails */
	(void)file_out, (void)text_out, (void)len_out;
	return error_set(err, ERR_SYSTEM, "disk is gone");
}

static void a_partial_that_cannot_be_read_is_an_error_in_lenient_mode_too(void **state)
{
	(void)state;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf out = BUF_INIT(1000);
	const struct mustache_options options = {.hooks = {.partial = partial_fails}};
	struct error err;
	assert_false(mustache_render("t", "\n{{>p}}", 7, json(arena, "{}"), &options, &out, &err));
	assert_int_equal(err.code, ERR_SYSTEM);
	assert_string_equal(err.message, "partial 'p': disk is gone");
	assert_string_equal(err.where, "t:2");
}

/* ---- limits -----------------------------------------------------------------------------------
 */

static void repeat(struct buf *text, const char *part, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_add_str(text, part);
}

static bool render_lenient(const char *text, size_t len, const char *data, size_t max_output,
	struct buf *out, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	static const struct partial partials[] = {{"loop", "{{>loop}}"},
		{"twice", "{{>twice}}{{>twice}}"}, {"a", "x{{>b}}"}, {"b", "\n {{>a}}"},
		{NULL, NULL}};
	const struct mustache_options options = {.max_output = max_output,
		.hooks = {.partial = partial_from_table, .data = (void *)(uintptr_t)partials}};
	return mustache_render("t", text, len, json(arena, data), &options, out, err);
}

static void sections_nest_to_sixty_four(void **state)
{
	(void)state;
	for (size_t depth = 64; depth <= 65; depth++) {
		auto_buf struct buf text = BUF_INIT(100000);
		auto_buf struct buf out = BUF_INIT(1000);
		struct error err;
		repeat(&text, "{{#a}}", depth);
		buf_add_str(&text, "x");
		repeat(&text, "{{/a}}", depth);
		bool good = render_lenient(text.text, text.len, "{\"a\": true}", 0, &out, &err);
		assert_int_equal(good, depth == 64);
		if (!good)
			assert_non_null(strstr(err.message, "deeper than 64"));
	}
}

static void partials_without_end_are_stopped(void **state)
{
	(void)state;
	static const char *const texts[] = {"{{>loop}}", "{{>twice}}", "{{>a}}"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		auto_buf struct buf out = BUF_INIT(OUT_MAX);
		struct error err;
		assert_false(render_lenient(texts[i], strlen(texts[i]), "{}", 0, &out, &err));
		assert_non_null(strstr(err.message, "deeper than 64"));
	}
}

static void lists_that_multiply_are_stopped(void **state)
{
	(void)state;
	auto_buf struct buf text = BUF_INIT(100000);
	auto_buf struct buf out = BUF_INIT(1000);
	struct error err;
	repeat(&text, "{{#l}}", 60);
	repeat(&text, "{{/l}}", 60);
	assert_false(render_lenient(
		text.text, text.len, "{\"l\": [1, 2, 3, 4, 5, 6, 7, 8, 9]}", 0, &out, &err));
	assert_non_null(strstr(err.message, "steps"));
	assert_string_equal(err.where, "t:1");
}

static void output_ends_at_its_limit(void **state)
{
	(void)state;
	auto_buf struct buf out = BUF_INIT(1000);
	struct error err;
	buf_add_str(&out, "before ");
	assert_true(render_lenient("12345{{a}}", 10, "{\"a\": \"67890\"}", 10, &out, &err));
	assert_string_equal(out.text, "before 1234567890");
	buf_truncate(&out, 0);
	assert_false(render_lenient("\n12345{{a}}", 11, "{\"a\": \"67890\"}", 10, &out, &err));
	assert_string_equal(err.message, "output is larger than 10 bytes");
	assert_string_equal(err.where, "t:2");
	buf_clear(&out);
	auto_buf struct buf small = BUF_INIT(5);
	assert_false(render_lenient("123456", 6, "{}", 0, &small, &err));
}

static void huge_templates_are_refused(void **state)
{
	(void)state;
	auto_buf struct buf text = BUF_INIT(OUT_MAX);
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct error err;
	repeat(&text, "0123456789abcdef", ((size_t)4 << 20) / 16 + 1);
	assert_false(render_lenient(text.text, text.len, "{}", OUT_MAX, &out, &err));
	assert_non_null(strstr(err.message, "are more than"));
	assert_string_equal(err.where, "t");
}

static void names_longer_than_their_limit_are_refused(void **state)
{
	(void)state;
	for (size_t len = 256; len <= 257; len++) {
		auto_buf struct buf text = BUF_INIT(1000);
		auto_buf struct buf out = BUF_INIT(1000);
		struct error err;
		buf_add_str(&text, "{{");
		repeat(&text, "n", len);
		buf_add_str(&text, "}}");
		assert_int_equal(
			render_lenient(text.text, text.len, "{}", 0, &out, &err), len == 256);
	}
}

static void nul_bytes_pass_in_text_and_are_refused_in_names(void **state)
{
	(void)state;
	auto_buf struct buf out = BUF_INIT(1000);
	struct error err;
	assert_true(render_lenient("a\0b{{x}}", 8, "{\"x\": 1}", 0, &out, &err));
	assert_int_equal(out.len, 4);
	assert_memory_equal(out.text, "a\0b1", 4);
	assert_false(render_lenient("{{x\0y}}", 7, "{\"x\": 1}", 0, &out, &err));
	assert_false(render_lenient("{{=<\0% %>=}}", 12, "{}", 0, &out, &err));
}

/* ---- one-line texts ---------------------------------------------------------------------------
 */

static void texts_of_configuration_are_strict_and_placed(void **state)
{
	(void)state;
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct node *context = json(arena, "{\"client_name\": \"alpha\", \"d\": \"a&b\"}");
	struct node place = {.kind = NODE_STRING, .file = "fleet.yaml", .line = 7};
	auto_free char *text = NULL;
	struct error err;
	assert_true(mustache_text(&place, "/srv/{{client_name}}/{{d}}", context, &text, &err));
	assert_string_equal(text, "/srv/alpha/a&b");
	auto_free char *none = NULL;
	assert_false(mustache_text(&place, "/srv/{{client_nam}}", context, &none, &err));
	assert_null(none);
	assert_string_equal(err.where, "fleet.yaml:7");
	assert_string_equal(err.hint, "did you mean 'client_name'?");
	assert_false(mustache_text(&place, "{{>p}}", context, &none, &err));
	assert_string_equal(err.where, "fleet.yaml:7");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strict_mode_names_file_line_and_nearest_name),
		cmocka_unit_test(wrong_tags_are_refused_in_every_mode),
		cmocka_unit_test(reads_of_top_level_names_are_reported),
		cmocka_unit_test(the_caller_decides_which_sections_may_miss),
		cmocka_unit_test(the_print_hook_prints_and_may_refuse),
		cmocka_unit_test(a_partial_that_cannot_be_read_is_an_error_in_lenient_mode_too),
		cmocka_unit_test(sections_nest_to_sixty_four),
		cmocka_unit_test(partials_without_end_are_stopped),
		cmocka_unit_test(lists_that_multiply_are_stopped),
		cmocka_unit_test(output_ends_at_its_limit),
		cmocka_unit_test(huge_templates_are_refused),
		cmocka_unit_test(names_longer_than_their_limit_are_refused),
		cmocka_unit_test(nul_bytes_pass_in_text_and_are_refused_in_names),
		cmocka_unit_test(texts_of_configuration_are_strict_and_placed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
