#include "reconcile/secrets/secret.h"
#include "reconcile/secrets/secret_spelling.h"
#include <setjmp.h>
#include <sodium.h>

#include <cmocka.h>

#define MASK "********"

static int clear(void **state)
{
	(void)state; /* the registry is the only state */
	secret_mask_clear();
	return 0;
}

static void add(const char *value)
{
	secret_mask_add(value, strlen(value));
}

static void expect_masked(const char *text, const char *masked)
{
	auto_buf struct buf buf = BUF_INIT(1 << 20);
	buf_add_str(&buf, text);
	secret_mask(&buf);
	assert_string_equal(buf.text, masked);
}

static void nothing_registered_changes_nothing(void **state)
{
	(void)state; /* the registry is the only state */
	expect_masked("hunter2 and all", "hunter2 and all");
	expect_masked("", "");
}

static void a_value_is_masked_wherever_it_stands(void **state)
{
	(void)state; /* the registry is the only state */
	add("hunter22");
	expect_masked("hunter22", MASK);
	expect_masked("password=hunter22;", "password=" MASK ";");
	expect_masked("hunter22 hunter22", MASK " " MASK);
	expect_masked("hunter2", "hunter2");
	expect_masked("Hunter22", "Hunter22");
}

static void values_shorter_than_six_bytes_are_left(void **state)
{
	(void)state; /* the registry is the only state */
	add("abcde");
	expect_masked("abcde", "abcde");
	add("abcdef");
	expect_masked("abcde abcdef", "abcde " MASK);
}

static void overlapping_values_leave_nothing_of_either(void **state)
{
	(void)state; /* the registry is the only state */
	add("abcdefgh");
	add("efghijkl");
	add("abcdef");
	expect_masked("-abcdefghijkl-", "-" MASK "-");
	expect_masked("-abcdef-", "-" MASK "-");
	expect_masked("-abcdefefghijkl-", "-" MASK "-");
}

static void all_spellings_are_masked(void **state)
{
	(void)state; /* the registry is the only state */
	static const struct {
		const char *value, *text, *masked;
	} cases[] = {
		/* base64 of the value alone: the character that padding has a part in stays */
		{"pass word/+&<\"1", "cGFzcyB3b3JkLysmPCIx", MASK},
		/* base64 of "user:pass word/+&<\"1" and of two other alignments */
		{"pass word/+&<\"1", "dXNlcjpwYXNzIHdvcmQvKyY8IjE=", "dXNlcjp" MASK "E="},
		{"pass word/+&<\"1", "eHBhc3Mgd29yZC8rJjwiMXk=", NULL},
		{"pass word/+&<\"1", "pass%20word%2F%2B%26%3C%221", MASK},
		{"pass word/+&<\"1", "pass%20word%2f%2b%26%3c%221", MASK},
		{"pass word/+&<\"1", "pass+word%2F%2B%26%3C%221", MASK},
		{"pass word/+&<\"1", "{\"p\":\"pass word/+&<\\\"1\"}", "{\"p\":\"" MASK "\"}"},
		{"pass word/+&<\"1", "pass word/+\\u0026\\u003c\\\"1", MASK},
		{"line1\nline2", "line1\\nline2", MASK},
		{"\xfb\xff\xfe\xfb\xff\xfe", "-__--__-", MASK},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf struct buf buf = BUF_INIT(1024);
		secret_mask_clear();
		add(cases[i].value);
		buf_add_str(&buf, cases[i].text);
		secret_mask(&buf);
		if (cases[i].masked ? strcmp(buf.text, cases[i].masked) != 0
				    : !strstr(buf.text, MASK))
			fail_msg("%zu: '%s' became '%s'", i, cases[i].text, buf.text);
	}
}

/* At most two characters of base64 at each side belong to neighbours too. */
static void base64_of_a_text_around_the_value_shows_nothing_of_it(void **state)
{
	(void)state; /* the registry is the only state */
	add("correct horse battery");
	for (size_t before = 0; before < 7; before++) {
		for (size_t after = 0; after < 4; after++) {
			auto_buf struct buf plain = BUF_INIT(100), buf = BUF_INIT(200);
			char text[100];
			buf_addf(&plain, "%.*scorrect horse battery%.*s", (int)before, "abcdefg",
				(int)after, "xyz");
			buf_add_str(&buf, sodium_bin2base64(text, sizeof(text),
						  (const unsigned char *)plain.text, plain.len,
						  sodium_base64_VARIANT_ORIGINAL));
			size_t len = buf.len;
			secret_mask(&buf);
			assert_non_null(strstr(buf.text, MASK));
			/* 21 bytes are 28 characters, of which at most 2 are shared */
			assert_true(buf.len <= len - 26 + strlen(MASK));
		}
	}
}

static void lines_of_a_long_value_are_masked_one_by_one(void **state)
{
	(void)state; /* the registry is the only state */
	add("-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nshort\n-----END KEY-----\n");
	expect_masked("log: MIIEvQIBADANBgkqhkiG9w0B here", "log: " MASK " here");
	expect_masked("a short line", "a short line");
}

static void a_very_long_value_is_masked_as_one(void **state)
{
	(void)state; /* the registry is the only state */
	auto_buf struct buf value = BUF_INIT(1 << 20), text = BUF_INIT(1 << 20);
	for (unsigned i = 0; i < 2000; i++)
		buf_addf(&value, "%u.", i * 7919);
	secret_mask_add(value.text, value.len);
	buf_addf(&text, "<%s>", value.text);
	secret_mask(&text);
	assert_string_equal(text.text, "<" MASK ">");
}

static void registering_twice_masks_once(void **state)
{
	(void)state; /* the registry is the only state */
	for (int i = 0; i < 1000; i++)
		add("hunter22");
	expect_masked("hunter22", MASK);
	secret_mask_clear();
	expect_masked("hunter22", "hunter22");
}

static void many_values_are_all_found(void **state)
{
	(void)state; /* the registry is the only state */
	for (unsigned i = 0; i < 3000; i++) {
		auto_free char *value = mem_printf("value-%u-%u", i, i * i);
		add(value);
	}
	for (unsigned i = 0; i < 3000; i += 17) {
		auto_free char *text = mem_printf("x value-%u-%u/", i, i * i);
		expect_masked(text, "x " MASK "/");
	}
}

static void collect(void *data, const char *bytes, size_t len)
{
	buf_add(data, bytes, len);
}

static void expect_stream(const char *text, size_t step, const char *masked)
{
	auto_buf struct buf out = BUF_INIT(1 << 20);
	struct secret_stream *stream = secret_stream_new(collect, &out);
	size_t len = strlen(text);
	for (size_t at = 0; at < len; at += step)
		secret_stream_add(stream, text + at, len - at < step ? len - at : step);
	secret_stream_end(stream);
	assert_string_equal(out.text, masked);
}

static void a_stream_masks_across_every_boundary(void **state)
{
	(void)state; /* the registry is the only state */
	static const struct {
		const char *text, *masked;
	} cases[] = {
		{"one hunter22 two", "one " MASK " two"},
		{"hunter22", MASK},
		{"hunter2", "hunter2"},
		{"hunter2hunter22", "hunter2" MASK},
		{"-abcdefghijkl-", "-" MASK "-"},
		{"aaaaaaaaaaaaaaaaaaaaaaaa.", MASK "."},
		{"hunter22hunter22!", MASK "!"},
		{"", ""},
		{"no secret at all\n", "no secret at all\n"},
	};
	add("hunter22");
	add("abcdefgh");
	add("efghijkl");
	add("aaaaaaaa");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t step = 1; step <= 20; step++)
			expect_stream(cases[i].text, step, cases[i].masked);
	}
}

static void a_stream_holds_back_only_what_may_be_a_value(void **state)
{
	(void)state; /* the registry is the only state */
	auto_buf struct buf out = BUF_INIT(1024);
	struct secret_stream *stream = secret_stream_new(collect, &out);
	add("hunter22");
	secret_stream_add(stream, "done\n", 5);
	assert_string_equal(out.text, "done\n");
	secret_stream_add(stream, "pw: hunt", 8);
	assert_string_equal(out.text, "done\npw: ");
	secret_stream_add(stream, "er22\n", 5);
	assert_string_equal(out.text, "done\npw: " MASK "\n");
	secret_stream_end(stream);
	secret_stream_end(NULL);
}

static void random_streams_equal_the_masked_whole(void **state)
{
	(void)state; /* the registry is the only state */
	add("ababab");
	add("babaab");
	add("aabbaabb");
	for (unsigned round = 0; round < 500; round++) {
		auto_buf struct buf text = BUF_INIT(1024), out = BUF_INIT(4096);
		struct secret_stream *stream = secret_stream_new(collect, &out);
		for (unsigned i = 0; i < 200; i++)
			buf_add_char(&text, "abababx"[randombytes_uniform(7)]);
		for (size_t at = 0; at < text.len;) {
			size_t step = 1 + randombytes_uniform(12);
			step = step < text.len - at ? step : text.len - at;
			secret_stream_add(stream, text.text + at, step);
			at += step;
		}
		secret_stream_end(stream);
		secret_mask(&text);
		assert_string_equal(out.text, text.text);
	}
}

/* Without timing it only says that it ends: each place used to walk through all values. */
static void many_values_with_one_start_are_told_apart(void **state)
{
	(void)state;
	auto_buf struct buf text = BUF_INIT(1 << 24);
	for (int i = 0; i < 20000; i++) {
		auto_free char *value = mem_printf("postgres://client%d:%d@db", i, i * 7919);
		secret_mask_add(value, strlen(value));
	}
	for (int i = 0; i < 20000; i++)
		buf_add_str(&text, "postgres://client and ");
	size_t len = text.len;
	buf_add_str(&text, "postgres://client123:974037@db, postgres://client123:974038@db");
	secret_mask(&text);
	assert_string_equal(text.text + len, "********, postgres://client123:974038@db");
	secret_mask_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(many_values_with_one_start_are_told_apart, clear),
		cmocka_unit_test_teardown(nothing_registered_changes_nothing, clear),
		cmocka_unit_test_teardown(a_value_is_masked_wherever_it_stands, clear),
		cmocka_unit_test_teardown(values_shorter_than_six_bytes_are_left, clear),
		cmocka_unit_test_teardown(overlapping_values_leave_nothing_of_either, clear),
		cmocka_unit_test_teardown(all_spellings_are_masked, clear),
		cmocka_unit_test_teardown(
			base64_of_a_text_around_the_value_shows_nothing_of_it, clear),
		cmocka_unit_test_teardown(lines_of_a_long_value_are_masked_one_by_one, clear),
		cmocka_unit_test_teardown(a_very_long_value_is_masked_as_one, clear),
		cmocka_unit_test_teardown(registering_twice_masks_once, clear),
		cmocka_unit_test_teardown(many_values_are_all_found, clear),
		cmocka_unit_test_teardown(a_stream_masks_across_every_boundary, clear),
		cmocka_unit_test_teardown(a_stream_holds_back_only_what_may_be_a_value, clear),
		cmocka_unit_test_teardown(random_streams_equal_the_masked_whole, clear),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
