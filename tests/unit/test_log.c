/* log: lines in both formats, mask, control characters, long values */
#include "base/log.h"
#include "base/utf8.h"
#include <setjmp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define LINE_MAX_BYTES 8193 /* with its line feed */

static int sink_fd;

static int open_sink(void **state)
{
	(void)state;
	sink_fd = memfd_create("log", MFD_CLOEXEC);
	log_setup(sink_fd, LOG_INFO, LOG_TEXT);
	log_set_mask(NULL);
	return sink_fd < 0;
}

static int close_sink(void **state)
{
	(void)state;
	log_setup(-1, LOG_INFO, LOG_TEXT);
	return close(sink_fd);
}

/* Everything logged so far, without the time if there is one line of text. */
static void read_sink(struct buf *text)
{
	char chunk[4096];
	ssize_t got;
	assert_int_equal(lseek(sink_fd, 0, SEEK_SET), 0);
	buf_clear(text);
	while ((got = read(sink_fd, chunk, sizeof(chunk))) > 0)
		buf_add(text, chunk, (size_t)got);
	assert_int_equal(ftruncate(sink_fd, 0), 0);
	assert_int_equal(lseek(sink_fd, 0, SEEK_SET), 0);
}

#define auto_lines auto_buf struct buf lines = BUF_INIT((size_t)1 << 20)
#define TIME_LEN   21 /* "2026-11-24T10:15:42Z " */

static void a_line_has_time_level_text_and_fields(void **state)
{
	(void)state;
	auto_lines;
	log_info("release activated", LOG_STR("client", "alpha"), LOG_INT("took_ms", 12));
	read_sink(&lines);
	assert_int_equal(lines.text[10], 'T');
	assert_int_equal(lines.text[19], 'Z');
	assert_string_equal(
		lines.text + TIME_LEN, "info  release activated client=alpha took_ms=12\n");
	log_err("no fields");
	read_sink(&lines);
	assert_string_equal(lines.text + TIME_LEN, "error no fields\n");
}

static void values_that_need_it_are_quoted(void **state)
{
	(void)state;
	static const struct {
		const char *value;
		const char *shown;
	} rows[] = {
		{"a-b_c./:@%+,9", "a-b_c./:@%+,9"},
		{"", "\"\""},
		{NULL, "\"\""},
		{"a b", "\"a b\""},
		{"a=b", "\"a=b\""},
		{"say \"x\"", "\"say \\\"x\\\"\""},
		{"one\ntwo level=error", "\"one\\ntwo level=error\""},
		{"\x1b[2J", "\"\\u001b[2J\""},
		{"\xff", "\"\xef\xbf\xbd\""},
		{"é", "\"é\""},
	};
	auto_lines;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *line = mem_printf("warn  text v=%s\n", rows[i].shown);
		log_warn("text", LOG_STR("v", rows[i].value));
		read_sink(&lines);
		assert_string_equal(lines.text + TIME_LEN, line);
	}
}

static void json_lines_have_the_same_facts(void **state)
{
	(void)state;
	auto_lines;
	log_setup(sink_fd, LOG_DEBUG, LOG_JSON);
	log_debug("text \"q\"", LOG_STR("s", "a\n\"b\""), LOG_INT("n", -5));
	read_sink(&lines);
	assert_memory_equal(lines.text, "{\"time\":\"", 9);
	assert_string_equal(strstr(lines.text, "\",\"level\""),
		"\",\"level\":\"debug\",\"message\":\"text \\\"q\\\"\","
		"\"s\":\"a\\n\\\"b\\\"\",\"n\":-5}\n");
}

static void lower_levels_and_no_sink_are_silent(void **state)
{
	(void)state;
	auto_lines;
	log_debug("hidden");
	log_setup(sink_fd, LOG_ERROR, LOG_TEXT);
	log_warn("hidden");
	log_setup(-1, LOG_DEBUG, LOG_TEXT);
	log_err("hidden");
	read_sink(&lines);
	assert_string_equal(lines.text, "");
}

static void an_error_is_one_field(void **state)
{
	(void)state;
	auto_lines;
	struct error err;
	error_set(&err, ERR_INVALID, "bad");
	error_at(&err, "f", 2);
	log_err("refused", LOG_ERROR_FIELD(&err));
	read_sink(&lines);
	assert_string_equal(lines.text + TIME_LEN, "error refused error=\"f:2: bad\"\n");
}

/* A secret of 16 bytes, as the registry would mask it. */
#define SECRET "hunter2-hunter2-"

static void mask_secret(struct buf *line)
{
	auto_buf struct buf masked = BUF_INIT(line->limit);
	const char *from = line->text, *at;
	while ((at = strstr(from, SECRET))) {
		buf_add(&masked, from, (size_t)(at - from));
		buf_add_str(&masked, "****");
		from = at + strlen(SECRET);
	}
	buf_add_str(&masked, from);
	buf_clear(line);
	buf_add(line, masked.text, masked.len);
}

static void secrets_are_masked_in_both_formats(void **state)
{
	(void)state;
	auto_lines;
	log_set_mask(mask_secret);
	log_info("text", LOG_STR("a", SECRET), LOG_STR("b", "x " SECRET " y"));
	read_sink(&lines);
	assert_string_equal(lines.text + TIME_LEN, "info  text a=**** b=\"x **** y\"\n");
	log_setup(sink_fd, LOG_INFO, LOG_JSON);
	log_info("text", LOG_STR("a", "x" SECRET));
	read_sink(&lines);
	assert_null(strstr(lines.text, "hunter"));
	assert_non_null(strstr(lines.text, "\"a\":\"x****\"}"));
}

/* Wherever a long value is cut, no part of a secret at the cut may show. */
static void a_cut_value_shows_no_part_of_a_secret(void **state)
{
	(void)state;
	static const size_t cuts[] = {16, 128, 2048, 8192, (size_t)64 << 10};
	auto_lines;
	log_set_mask(mask_secret);
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++)
		for (size_t before = 1; before < strlen(SECRET); before++) {
			auto_buf struct buf value = BUF_INIT((size_t)1 << 20);
			while (value.len < cuts[i] - before)
				buf_add_char(&value, '.');
			for (int j = 0; j < 600; j++)
				buf_add_str(&value, SECRET);
			log_info("text", LOG_STR("a", value.text), LOG_STR("b", value.text),
				LOG_STR("c", value.text), LOG_STR("d", value.text),
				LOG_STR("e", value.text));
			read_sink(&lines);
			assert_null(strstr(lines.text, "hun"));
			assert_null(strstr(lines.text, "r2-"));
		}
}

static void long_values_leave_a_line_that_is_whole(void **state)
{
	(void)state;
	auto_lines;
	auto_buf struct buf value = BUF_INIT((size_t)1 << 20);
	for (int i = 0; i < 50000; i++)
		buf_add_str(&value, i % 3 ? "é" : "\x01");
	log_setup(sink_fd, LOG_INFO, LOG_JSON);
	for (size_t count = 1; count <= 64; count *= 2) {
		struct log_field fields[64];
		for (size_t i = 0; i < count; i++)
			fields[i] = LOG_STR("some_key", value.text);
		log_write(LOG_INFO, "text", fields, count);
		read_sink(&lines);
		assert_true(lines.len <= LINE_MAX_BYTES);
		assert_true(utf8_valid(lines.text, lines.len));
		assert_string_equal(lines.text + lines.len - 2, "}\n");
		assert_non_null(strstr(lines.text, "\"message\":\"text\""));
		assert_int_equal(strcspn(lines.text, "\n"), lines.len - 1);
		if (count <= 16)
			assert_non_null(strstr(lines.text, "...\"}\n"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_line_has_time_level_text_and_fields, open_sink, close_sink),
		cmocka_unit_test_setup_teardown(
			values_that_need_it_are_quoted, open_sink, close_sink),
		cmocka_unit_test_setup_teardown(
			json_lines_have_the_same_facts, open_sink, close_sink),
		cmocka_unit_test_setup_teardown(
			lower_levels_and_no_sink_are_silent, open_sink, close_sink),
		cmocka_unit_test_setup_teardown(an_error_is_one_field, open_sink, close_sink),
		cmocka_unit_test_setup_teardown(
			secrets_are_masked_in_both_formats, open_sink, close_sink),
		cmocka_unit_test_setup_teardown(
			a_cut_value_shows_no_part_of_a_secret, open_sink, close_sink),
		cmocka_unit_test_setup_teardown(
			long_values_leave_a_line_that_is_whole, open_sink, close_sink),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
