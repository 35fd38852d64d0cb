/* Records as text: what is written reads back as the same strings, also by YAML 1.1 readers. */
#include "base/emit.h"
#include "base/node.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void write_sample(struct emitter *emitter)
{
	emit_str(emitter, "client", "alpha");
	emit_opt(emitter, "left_out", "");
	emit_opt(emitter, "left_out", NULL);
	emit_time(emitter, "never", 0);
	emit_time(emitter, "updated", 1700000000);
	emit_map(emitter, "apps");
	emit_close(emitter);
	emit_list(emitter, "good");
	emit_map(emitter, NULL);
	emit_str(emitter, "release", "sha256:ab");
	emit_int(emitter, "epoch", -7);
	emit_close(emitter);
	emit_str(emitter, NULL, "no");
	emit_close(emitter);
	emit_bool(emitter, "held", true);
	emit_str(emitter, "nothing", NULL);
}

static void one_tree_is_written_as_yaml_and_as_json(void **state)
{
	(void)state;
	auto_buf struct buf yaml = BUF_INIT(1 << 16);
	auto_buf struct buf json = BUF_INIT(1 << 16);
	struct emitter emitter;
	emit_begin(&emitter, EMIT_YAML, &yaml);
	write_sample(&emitter);
	emit_end(&emitter);
	emit_begin(&emitter, EMIT_JSON, &json);
	write_sample(&emitter);
	emit_end(&emitter);
	assert_string_equal(yaml.text, "client: alpha\n"
				       "updated: 2023-11-14T22:13:20Z\n"
				       "apps: {}\n"
				       "good:\n"
				       "  - release: sha256:ab\n"
				       "    epoch: -7\n"
				       "  - \"no\"\n"
				       "held: true\n"
				       "nothing: null\n");
	assert_string_equal(json.text,
		"{\"client\":\"alpha\",\"updated\":\"2023-11-14T22:13:20Z\",\"apps\":{},"
		"\"good\":[{\"release\":\"sha256:ab\",\"epoch\":-7},\"no\"],"
		"\"held\":true,\"nothing\":null}");
}

static void an_empty_root_is_a_map(void **state)
{
	(void)state;
	auto_buf struct buf out = BUF_INIT(100);
	struct emitter emitter;
	emit_begin(&emitter, EMIT_YAML, &out);
	emit_end(&emitter);
	assert_string_equal(out.text, "{}\n");
}

/* Texts that some reader takes for something else, if they stand there plain. */
static const char *const traps[] = {"", " ", "no", "Yes", "y", "null", "~", "28.10", "1e3", "0x1f",
	"0o17", "012", "1_000", "12:30:45", "2026-11-24", "2026-11-24T10:15:42Z", ".5", "+1", "-1",
	"-", "- a", "a: b", "a:", "a #b", "#a", "&a", "*a", "!a", "%a", "@a", "`a", "'a'", "\"a\"",
	"[a]", "{a}", "a\nb", "a\tb", "\x7f", "\xc3\xa4", "a\\b", "<<", "=", ".nan", "inf", ".inf",
	"nan", "? a", "---", "...", "| a", "> a", "on", "OFF", "20261124", "1.2.3", "28.0.2"};

static void every_text_reads_back_as_itself(void **state)
{
	(void)state;
	static const enum node_rules rules[] = {NODE_CORE12, NODE_ANSIBLE11};
	for (size_t i = 0; i < ARRAY_LEN(traps) * ARRAY_LEN(rules); i++) {
		const char *text = traps[i / ARRAY_LEN(rules)];
		const struct node_options options = {.rules = rules[i % ARRAY_LEN(rules)]};
		auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
		auto_buf struct buf out = BUF_INIT(1 << 16);
		const struct node *node;
		struct emitter emitter;
		struct error err = {0};
		emit_begin(&emitter, EMIT_YAML, &out);
		emit_str(&emitter, "value", text);
		emit_list(&emitter, "list");
		emit_str(&emitter, NULL, text);
		emit_close(&emitter);
		emit_end(&emitter);
		if (!node_parse_yaml(arena, "out", out.text, out.len, &options, &node, &err))
			fail_msg("'%s': %s in\n%s", text, err.message, out.text);
		const struct node *value = node_get(node, "value");
		const struct node *list = node_get(node, "list");
		if (value->kind != NODE_STRING || list->items[0]->kind != NODE_STRING)
			fail_msg("'%s' does not read as a text in\n%s", text, out.text);
		assert_string_equal(value->text, text);
		assert_string_equal(list->items[0]->text, text);
	}
}

static void a_key_reads_back_as_itself(void **state)
{
	(void)state;
	const struct node_options options = {.rules = NODE_CORE12};
	for (size_t i = 0; i < ARRAY_LEN(traps); i++) {
		auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
		auto_buf struct buf out = BUF_INIT(1 << 16);
		const struct node *node;
		struct emitter emitter;
		struct error err = {0};
		emit_begin(&emitter, EMIT_YAML, &out);
		emit_map(&emitter, traps[i]);
		emit_int(&emitter, "x", 1);
		emit_close(&emitter);
		emit_end(&emitter);
		if (!node_parse_yaml(arena, "out", out.text, out.len, &options, &node, &err))
			fail_msg("'%s': %s in\n%s", traps[i], err.message, out.text);
		assert_non_null(node_get(node, traps[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_tree_is_written_as_yaml_and_as_json),
		cmocka_unit_test(an_empty_root_is_a_map),
		cmocka_unit_test(every_text_reads_back_as_itself),
		cmocka_unit_test(a_key_reads_back_as_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
