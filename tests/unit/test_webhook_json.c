#include "server/webhook_json.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A copy of exact size: reading behind the text shows under AddressSanitizer. */
static bool check(const char *text, size_t len, const char **problem)
{
	struct webhook_json object = {0};
	auto_free char *copy = mem_alloc(len);
	memcpy(copy, text, len);
	*problem = NULL;
	bool good = webhook_json_check(copy, len, &object, problem);
	assert_int_equal(good, *problem == NULL);
	return good;
}

static void sound_objects_pass(void **state)
{
	(void)state;
	static const char *const texts[] = {"{}", " {} ", "\xEF\xBB\xBF{}", "{\"a\":[]}",
		"{\"a\":[1,-0,0.5,1e9,1E-9,1e400,-12.5e+3,123456789012345678901234567890]}",
		"{\"a\":true,\"b\":false,\"c\":null,\"d\":{}}",
		"{ \"a\" : [ 1 , { \"b\" : \"c\" } ] , \"d\" : \"\" }",
		"{\"\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\uD83D\\uDE00\"}",
		"{\"a\":\"\\\\u0000\"}", "{\"a\":1,\"a\":2}",
		"{\"\xC3\xA4\":\"\xF0\x9F\x98\x80\"}"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const char *problem = NULL;
		if (!check(texts[i], strlen(texts[i]), &problem))
			fail_msg("%s: %s", texts[i], problem);
	}
}

static void everything_else_is_refused_with_a_reason(void **state)
{
	(void)state;
	static const char *const texts[] = {"", " ", "[]", "null", "\"x\"", "1", "{", "}", "{]",
		"{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{\"a\":[1,]}", "{\"a\":[,1]}",
		"{\"a\":[1 2]}", "{\"a\" 1}", "{a:1}", "{'a':1}", "{\"a\":'b'}", "{\"a\":01}",
		"{\"a\":1.}", "{\"a\":.5}", "{\"a\":+1}", "{\"a\":-}", "{\"a\":1e}", "{\"a\":0x1}",
		"{\"a\":NaN}", "{\"a\":tru}", "{\"a\":truex}", "{}x", "{}{}", "{\"a\":\"b}",
		"{\"a\":\"\\", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\\u12g4\"}",
		"{\"a\":\"\\u0000\"}", "{\"\\u0000\":1}", "{\"a\":\"\\uD83D\"}",
		"{\"a\":\"\\uD83Dx\\uDE00\"}", "{\"a\":\"\\uD83D\\u0041\"}", "{\"a\":\"\\uDE00\"}",
		"{\"a\":\"\t\"}", "{\"a\":\"\n\"}", "{\"a\":\"\xFF\"}", "{\"a\":\"\xC0\x80\"}",
		"{\"a\":\"\xED\xA0\x80\"}", "{\"a\":\"\xC3\"}", "\xFF{}", "{}\xFF", "{\"a\":\xC3}",
		"\xEF\xBB{}", "{\"a\":1]", "{\"a\":[1}", "{/**/}", "{\"a\":1\v}"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const char *problem = NULL;
		if (check(texts[i], strlen(texts[i]), &problem))
			fail_msg("'%s' passed", texts[i]);
	}
}

static void every_cut_of_an_object_is_refused(void **state)
{
	(void)state;
	static const char text[] =
		"{\"a\":[1.5e3,true,{\"b\":\"\\uD83D\\uDE00\xC3\xA4\\n\"}],\"c\":null}";
	const char *problem = NULL;
	for (size_t len = 0; len < strlen(text); len++)
		assert_false(check(text, len, &problem));
	assert_true(check(text, strlen(text), &problem));
}

static void nul_bytes_are_refused_everywhere(void **state)
{
	(void)state;
	static const char text[] = "{\"a\":[1,\"b\"]} ";
	const char *problem = NULL;
	for (size_t at = 0; at <= strlen(text); at++) {
		char copy[sizeof(text) + 1];
		memcpy(copy, text, at);
		copy[at] = '\0';
		memcpy(copy + at + 1, text + at, strlen(text) - at);
		assert_false(check(copy, strlen(text) + 1, &problem));
	}
}

/* Strings are looked through eight bytes at a time: every byte, at every place of a word. */
static void every_byte_is_judged_at_every_place_of_a_string(void **state)
{
	(void)state;
	for (size_t at = 0; at < 24; at++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			char text[] = "{\"a\":\"xxxxxxxxxxxxxxxxxxxxxxxx\"}";
			bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
			const char *problem = NULL;
			text[6 + at] = (char)byte;
			if (check(text, sizeof(text) - 1, &problem) != plain)
				fail_msg("byte %u at %zu: %s", byte, at,
					problem ? problem : "passed");
		}
	}
}

static void depth_is_bounded(void **state)
{
	(void)state;
	const char *problem = NULL;
	for (int depth = WEBHOOK_JSON_DEPTH - 1; depth <= WEBHOOK_JSON_DEPTH; depth++) {
		char text[2 * WEBHOOK_JSON_DEPTH + 8] = "{\"a\":";
		size_t len = 5;
		memset(text + len, '[', (size_t)depth);
		memset(text + len + depth, ']', (size_t)depth);
		len += 2 * (size_t)depth;
		text[len++] = '}';
		assert_int_equal(check(text, len, &problem), depth < WEBHOOK_JSON_DEPTH);
	}
	assert_string_equal(problem, "is nested too deeply");
}

static struct webhook_json parse(const char *text)
{
	struct webhook_json object = {0};
	const char *problem = NULL;
	assert_true(webhook_json_check(text, strlen(text), &object, &problem));
	return object;
}

static void members_are_found_by_their_decoded_name(void **state)
{
	(void)state;
	static const char *const names[] = {"ref", "after", "none"};
	struct webhook_json found[3];
	char text[16];
	struct webhook_json object = parse(
		"{\"x\":{\"ref\":1},\"Ref\":2,\"re\":3,\"r\\u0065f\":\"a\\tb\" ,\"after\":[1, 2]}");
	assert_true(webhook_json_members(object, names, 3, found));
	assert_true(webhook_json_text(found[0], text, sizeof(text)));
	assert_string_equal(text, "a\tb");
	assert_true(webhook_json_is_array(found[1]));
	assert_null(found[2].text);
	assert_true(webhook_json_is_null(found[2]));
}

static void a_doubled_member_is_refused_only_if_it_is_read(void **state)
{
	(void)state;
	static const char *const ref[] = {"ref"}, *const x[] = {"x"};
	struct webhook_json found;
	struct webhook_json object = parse("{\"ref\":1,\"x\":2,\"ref\":3}");
	assert_false(webhook_json_members(object, ref, 1, &found));
	assert_true(webhook_json_members(object, x, 1, &found));
	assert_false(webhook_json_members(found, x, 1, &found));
}

static void texts_are_decoded_and_bounded(void **state)
{
	(void)state;
	char text[8];
	struct webhook_json object = parse("{\"a\":\"\\u00e4\\uD83D\\uDE00\\/\",\"b\":\"1234567\","
					   "\"c\":\"12345678\",\"d\":7,\"e\":\"123456\\u00e4\"}");
	assert_true(webhook_json_text(webhook_json_member(object, "a"), text, sizeof(text)));
	assert_string_equal(text, "\xC3\xA4\xF0\x9F\x98\x80/");
	assert_true(webhook_json_text(webhook_json_member(object, "b"), text, sizeof(text)));
	assert_false(webhook_json_text(webhook_json_member(object, "c"), text, sizeof(text)));
	assert_false(webhook_json_text(webhook_json_member(object, "d"), text, sizeof(text)));
	assert_false(webhook_json_text(webhook_json_member(object, "e"), text, sizeof(text)));
}

static void lists_are_stepped_through(void **state)
{
	(void)state;
	static const char *const items[] = {"1", "\"]\"", "[2, [3]]", "{\"a\": \"}\"}", "null"};
	struct webhook_json object =
		parse("{\"l\":[ 1 ,\"]\",[2, [3]] , {\"a\": \"}\"},null ],\"e\":[ ]}");
	struct webhook_json list = webhook_json_member(object, "l"), item;
	size_t at = 0, count = 0;
	while (webhook_json_next(list, &at, &item)) {
		assert_int_equal(item.len, strlen(items[count]));
		assert_memory_equal(item.text, items[count], item.len);
		count++;
	}
	assert_int_equal(count, ARRAY_LEN(items));
	at = 0;
	assert_false(webhook_json_next(webhook_json_member(object, "e"), &at, &item));
	assert_false(webhook_json_next(object, &at, &item));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_objects_pass),
		cmocka_unit_test(everything_else_is_refused_with_a_reason),
		cmocka_unit_test(every_cut_of_an_object_is_refused),
		cmocka_unit_test(nul_bytes_are_refused_everywhere),
		cmocka_unit_test(every_byte_is_judged_at_every_place_of_a_string),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(members_are_found_by_their_decoded_name),
		cmocka_unit_test(a_doubled_member_is_refused_only_if_it_is_read),
		cmocka_unit_test(texts_are_decoded_and_bounded),
		cmocka_unit_test(lists_are_stepped_through),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
