/* buf: limits, wiping, escapes; strlist; nearest_name; utf8 */
#include "base/buf.h"
#include "base/utf8.h"
#include <setjmp.h>
#include <sodium.h>
#include <stdint.h>

#include <cmocka.h>

static size_t wiped_bytes;

/* Takes libsodium's place in this program: the test sees what is wiped while it still may. */
void sodium_memzero(void *const bytes, const size_t len)
{
	memset(bytes, 0, len);
	__asm__ volatile("" : : "r"(bytes) : "memory");
	wiped_bytes += len;
}

static void a_new_buf_is_an_empty_string(void **state)
{
	(void)state;
	auto_buf struct buf buf = BUF_INIT(10);
	assert_string_equal(buf.text, "");
	buf_add(&buf, NULL, 0);
	buf_truncate(&buf, 5);
	assert_int_equal(buf.len, 0);
	auto_free char *text = buf_steal(&buf);
	assert_string_equal(text, "");
}

static void text_grows_and_stays_terminated(void **state)
{
	(void)state;
	auto_buf struct buf buf = BUF_INIT(100000);
	for (int i = 0; i < 1000; i++) {
		buf_addf(&buf, "%d,", i % 10);
		assert_int_equal(strlen(buf.text), buf.len);
	}
	assert_int_equal(buf.len, 2000);
	buf_add(&buf, "a\0b", 3);
	assert_int_equal(buf.len, 2003);
	assert_memory_equal(buf.text + 2000, "a\0b", 4);
	buf_truncate(&buf, 3);
	buf_add_char(&buf, '!');
	assert_string_equal(buf.text, "0,1!");
}

static void numbers_are_decimal(void **state)
{
	(void)state;
	auto_buf struct buf buf = BUF_INIT(1000);
	static const int64_t numbers[] = {0, 7, -1, 1790000000, INT64_MAX, INT64_MIN};
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		buf_add_int(&buf, numbers[i]);
		buf_add_char(&buf, ' ');
	}
	assert_string_equal(
		buf.text, "0 7 -1 1790000000 9223372036854775807 -9223372036854775808 ");
}

static void the_limit_is_exact_and_sticks(void **state)
{
	(void)state;
	auto_buf struct buf buf = BUF_INIT(4);
	buf_add_str(&buf, "abcd");
	assert_false(buf_overflowed(&buf));
	buf_add_char(&buf, 'e');
	assert_true(buf_overflowed(&buf));
	assert_string_equal(buf.text, "abcd");
	buf_truncate(&buf, 0);
	buf_add_str(&buf, "x");
	assert_true(buf_overflowed(&buf));
	assert_string_equal(buf.text, "");
	buf_clear(&buf);
	buf_addf(&buf, "%s", "abcde");
	assert_true(buf_overflowed(&buf));
	assert_string_equal(buf.text, "");
}

static void a_stolen_text_leaves_a_buf_that_works(void **state)
{
	(void)state;
	auto_buf struct buf buf = BUF_INIT(4);
	buf_add_str(&buf, "abc");
	buf_add_str(&buf, "too long");
	auto_free char *first = buf_steal(&buf);
	buf_add_str(&buf, "d");
	auto_free char *second = buf_steal(&buf);
	assert_string_equal(first, "abc");
	assert_string_equal(second, "d");
}

static void secrets_are_wiped_when_they_move_and_when_they_go(void **state)
{
	(void)state;
	struct buf buf = BUF_INIT_SECRET(1000);
	wiped_bytes = 0;
	buf_add_str(&buf, "hunter2");
	assert_int_equal(wiped_bytes, 0);
	size_t before = buf.capacity;
	for (int i = 0; i < 100; i++)
		buf_add_str(&buf, "x");
	assert_int_equal(wiped_bytes, before);
	buf_clear(&buf);
	assert_int_equal(wiped_bytes, before + 128);
	wiped_bytes = 0;
	buf_init(&buf, 1000);
	buf_add_str(&buf, "plain");
	buf_clear(&buf);
	assert_int_equal(wiped_bytes, 0);
}

struct text_row {
	const char *in;
	size_t len;
	const char *json;
	const char *clean;
};
#define ROW(in, json, clean)                                                                       \
	{                                                                                          \
		in, sizeof(in) - 1, json, clean                                                    \
	}

static void text_is_escaped_for_json_and_cleaned_for_terminals(void **state)
{
	(void)state;
	static const struct text_row rows[] = {
		ROW("", "", ""),
		ROW("plain /'<>", "plain /'<>", "plain /'<>"),
		ROW("a\"b\\c", "a\\\"b\\\\c", "a\"b\\c"),
		ROW("a\nb\tc\r", "a\\nb\\tc\\u000d", "a?b?c?"),
		ROW("\x1b[31m", "\\u001b[31m", "?[31m"),
		ROW("\x7f", "\\u007f", "?"),
		ROW("a\0b", "a\\u0000b", "a?b"),
		ROW("\xc2\x9b", "\xc2\x9b", "?"),
		ROW("\xc2\xa0", "\xc2\xa0", "\xc2\xa0"),
		ROW("é€😀", "é€😀", "é€😀"),
		ROW("\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd", "??"),
		ROW("a\xe2\x82", "a\xef\xbf\xbd\xef\xbf\xbd", "a??"),
		ROW("\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd", "??"),
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_buf struct buf json = BUF_INIT(100);
		auto_buf struct buf clean = BUF_INIT(100);
		buf_add_json(&json, rows[i].in, rows[i].len);
		buf_add_clean(&clean, rows[i].in, rows[i].len);
		assert_string_equal(json.text, rows[i].json);
		assert_string_equal(clean.text, rows[i].clean);
	}
}

static void only_well_formed_utf8_has_a_width(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t len, width;
	} rows[] = {
		{"", 0, 0},
		{"\0", 1, 1},
		{"\x7f", 1, 1},
		{"\x80", 1, 0},
		{"\xc1\xbf", 2, 0},         /* overlong */
		{"\xc2\x80", 2, 2},         /* first of two bytes */
		{"\xc2\x80", 1, 0},         /* torn */
		{"\xc2\xc0", 2, 0},         /* no continuation */
		{"\xdf\xbf", 2, 2},         /* last of two bytes */
		{"\xe0\x9f\xbf", 3, 0},     /* overlong */
		{"\xe0\xa0\x80", 3, 3},     /* first of three bytes */
		{"\xed\x9f\xbf", 3, 3},     /* before the surrogates */
		{"\xed\xa0\x80", 3, 0},     /* surrogate */
		{"\xee\x80\x80", 3, 3},     /* after the surrogates */
		{"\xef\xbf\xbf", 2, 0},     /* torn */
		{"\xf0\x8f\xbf\xbf", 4, 0}, /* overlong */
		{"\xf0\x90\x80\x80", 4, 4}, /* first of four bytes */
		{"\xf4\x8f\xbf\xbf", 4, 4}, /* U+10FFFF */
		{"\xf4\x90\x80\x80", 4, 0}, /* above it */
		{"\xf5\x80\x80\x80", 4, 0},
		{"\xff", 1, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(utf8_width(rows[i].text, rows[i].len), rows[i].width);
		assert_int_equal(
			utf8_valid(rows[i].text, rows[i].len), rows[i].width == rows[i].len);
	}
	assert_true(utf8_valid("aé€😀", strlen("aé€😀")));
	assert_false(utf8_valid("aé\xe2\x82", 5));
}

static void lists_own_their_strings(void **state)
{
	(void)state;
	auto_strlist struct strlist list = STRLIST_INIT;
	auto_strlist struct strlist copy = STRLIST_INIT;
	char text[] = "b";
	strlist_add(&list, text);
	text[0] = 'z';
	strlist_addf(&list, "%s%d", "c", 1);
	strlist_take(&list, mem_dup_str("a"));
	assert_true(strlist_has(&list, "b"));
	assert_true(strlist_has(&list, "c1"));
	assert_false(strlist_has(&list, "c"));
	strlist_sort(&list);
	strlist_copy(&copy, &list);
	strlist_clear(&list);
	assert_int_equal(list.count, 0);
	assert_int_equal(copy.count, 3);
	assert_string_equal(copy.items[0], "a");
	assert_string_equal(copy.items[1], "b");
	assert_string_equal(copy.items[2], "c1");
	for (int i = 0; i < 100; i++)
		strlist_addf(&copy, "%d", i);
	assert_string_equal(copy.items[102], "99");
}

static void the_nearest_name_is_near(void **state)
{
	(void)state;
	static const char long_name[] =
		"0123456789012345678901234567890123456789012345678901234567890123456789";
	static const char *const names[] = {
		"domain", "client_name", "apps", "nextcloud_version", "x", long_name};
	static const struct {
		const char *text;
		const char *nearest;
	} rows[] = {
		{"domian", "domain"},
		{"domain", "domain"},
		{"clientname", "client_name"},
		{"app", "apps"},
		{"nextcloud_verison", "nextcloud_version"},
		{"something", NULL},
		{"dmn", NULL},
		{"y", "x"},
		{"", "x"},
		{long_name, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *nearest = nearest_name(rows[i].text, names, ARRAY_LEN(names));
		if (rows[i].nearest)
			assert_string_equal(nearest, rows[i].nearest);
		else
			assert_null(nearest);
	}
	assert_null(nearest_name("x", NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_buf_is_an_empty_string),
		cmocka_unit_test(text_grows_and_stays_terminated),
		cmocka_unit_test(numbers_are_decimal),
		cmocka_unit_test(the_limit_is_exact_and_sticks),
		cmocka_unit_test(a_stolen_text_leaves_a_buf_that_works),
		cmocka_unit_test(secrets_are_wiped_when_they_move_and_when_they_go),
		cmocka_unit_test(text_is_escaped_for_json_and_cleaned_for_terminals),
		cmocka_unit_test(only_well_formed_utf8_has_a_width),
		cmocka_unit_test(lists_own_their_strings),
		cmocka_unit_test(the_nearest_name_is_near),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
