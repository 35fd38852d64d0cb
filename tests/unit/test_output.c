/* output: what steps print is masked, harmless for a terminal, capped, and read back in parts */
#include "base/fs.h"
#include "base/utf8.h"
#include "reconcile/output.h"
#include "reconcile/secrets/secret.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECRET "hunter2-of-the-tests"

struct fixture {
	char folder[32];
	struct output_place place;
};

static int setup(void **state)
{
	struct fixture *fixture = mem_zero(1, sizeof(*fixture));
	memcpy(fixture->folder, "/tmp/test_output.XXXXXX", 24);
	assert_non_null(mkdtemp(fixture->folder));
	fixture->place = (struct output_place){fixture->folder, "20261124-101500-1234567", "alpha"};
	secret_mask_add(SECRET, strlen(SECRET));
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	struct error err;
	assert_true(fs_remove_tree(fixture->folder, &err));
	secret_mask_clear();
	free(fixture);
	return 0;
}

/* Keeps what was printed, in pieces of @p piece bytes. */
static void print(struct fixture *fixture, const char *text, size_t len, size_t piece)
{
	struct output output;
	struct error err = {0};
	output_begin(&output, &fixture->place, "backup");
	for (size_t i = 0; i < len; i += piece)
		output_add(&output, text + i, piece < len - i ? piece : len - i);
	output_end(&output, true, &err);
}

static void read_all(struct fixture *fixture, struct buf *text)
{
	struct error err;
	int64_t end;
	assert_true(output_read(&fixture->place, 0, text, &end, &err));
	assert_int_equal(end, text->len);
}

/* Without our notes and their times. */
static void assert_kept(struct fixture *fixture, const char *wanted)
{
	auto_buf struct buf text = BUF_INIT(OUTPUT_READ_MAX * 2);
	read_all(fixture, &text);
	assert_memory_equal(text.text, "--- 20", 6);
	const char *first = strchr(text.text, '\n') + 1, *last = strstr(first - 1, "\n--- ");
	assert_non_null(last);
	int len = last < first ? 0 : (int)(last - first);
	auto_free char *kept = mem_printf("%.*s", len, first);
	assert_string_equal(kept, wanted);
	assert_non_null(strstr(last, " backup: done\n"));
}

static void only_harmless_text_is_kept_however_it_comes(void **state)
{
	static const struct {
		const char *printed, *kept;
	} cases[] = {
		{"one\ntwo\n", "one\ntwo"},
		{"\ta\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\xA6",
			"\ta\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\xA6"},
		{"a\r\nb\r\n", "a\nb"},
		{"10%\r20%\r30%\n", "10%\n20%\n30%"},
		{"\x1B[1;31mred\x1B[0m", "red"},
		{"\x1B[2K\x1B[1Aup", "up"},
		{"a\x1B[31\nb", "a\nb"},         /* a sequence that never ends ends with its line */
		{"a\x1B\x07z", "a?z"},           /* ESC and a bell */
		{"a\x08\x7F\xC2\x9Bz", "a???z"}, /* the last is CSI in one character */
		{"\xFF\xC0\x80z", "???z"},
		{"\xE2\x82z\xF0\x9Fz", "??z??z"},
		{"\xE2\x82", "??"}, /* the rest never came */
		{"", ""},
		{"pass " SECRET " word", "pass ******** word"},
		{"pass hunter2-\x1B[1mof-the-tests word", "pass ******** word"},
	};
	struct fixture *fixture = *state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t piece = 1; piece <= 64; piece *= 4) {
			struct error err;
			print(fixture, cases[i].printed, strlen(cases[i].printed), piece);
			assert_kept(fixture, cases[i].kept);
			assert_true(fs_remove_tree(fixture->folder, &err));
		}
}

/* The same bytes in every run. */
static unsigned next_random(uint32_t *random)
{
	*random = *random * 1664525 + 1013904223;
	return *random >> 16;
}

static void any_bytes_become_text(void **state)
{
	struct fixture *fixture = *state;
	auto_buf struct buf text = BUF_INIT(OUTPUT_READ_MAX * 2);
	char bytes[4096];
	uint32_t random = 7;
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = next_random(&random) % 4
					   ? (char)next_random(&random)
					   : "\x1B[\r\n\xE2\x82\xC2\x9B"[next_random(&random) % 8];
		print(fixture, bytes, sizeof(bytes), 1 + (size_t)round);
	}
	read_all(fixture, &text);
	assert_true(utf8_valid(text.text, text.len));
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.text[i];
		assert_true(c >= 0x20 || c == '\n' || c == '\t');
		assert_false(c == 0xC2 && (unsigned char)text.text[i + 1] < 0xA0);
	}
}

static void endless_output_is_capped_for_a_step_and_for_a_file(void **state)
{
	struct fixture *fixture = *state;
	auto_buf struct buf text = BUF_INIT(OUTPUT_READ_MAX * 2);
	size_t len = 3 * OUTPUT_MAX / 2;
	auto_free char *bytes = mem_zero(1, len);
	for (size_t i = 0; i < len; i++)
		bytes[i] = "\xE2\x82\xAC"[i % 3];
	print(fixture, bytes, len, 60000);
	read_all(fixture, &text);
	assert_in_range(text.len, OUTPUT_MAX, OUTPUT_MAX + 400);
	assert_true(utf8_valid(text.text, text.len));
	assert_non_null(strstr(text.text, "output over 1 MiB was dropped\n"));
	for (int i = 0; i < 12; i++)
		print(fixture, bytes, len, 60000);
	buf_truncate(&text, 0);
	read_all(fixture, &text);
	assert_in_range(text.len, OUTPUT_FILE_MAX, OUTPUT_FILE_MAX + OUTPUT_MAX + 1000);
}

static void parts_of_it_join_to_the_whole(void **state)
{
	struct fixture *fixture = *state;
	auto_buf struct buf whole = BUF_INIT(OUTPUT_READ_MAX * 2);
	print(fixture, "\xE2\x82\xAC\xE2\x82\xAC", 6, 6);
	read_all(fixture, &whole);
	for (size_t from = 0; from <= whole.len; from++) {
		auto_buf struct buf part = BUF_INIT(OUTPUT_READ_MAX * 2);
		struct error err;
		int64_t end;
		assert_true(output_read(&fixture->place, (int64_t)from, &part, &end, &err));
		assert_int_equal(end, whole.len);
		assert_true(utf8_valid(part.text, part.len));
		assert_string_equal(part.text, whole.text + whole.len - part.len);
		assert_in_range(whole.len - from - part.len, 0, 2);
	}
}

static void without_a_file_there_is_nothing_to_read(void **state)
{
	struct fixture *fixture = *state;
	auto_buf struct buf text = BUF_INIT(OUTPUT_READ_MAX * 2);
	struct error err;
	int64_t end = -1;
	assert_true(output_read(&fixture->place, 17, &text, &end, &err));
	assert_int_equal(text.len, 0);
	assert_int_equal(end, 17);
}

static void the_last_line_goes_into_the_error(void **state)
{
	struct fixture *fixture = *state;
	struct output output;
	struct error err = {0};
	auto_buf struct buf text = BUF_INIT(OUTPUT_READ_MAX * 2);
	const char *printed = "starts\nno disk " SECRET "\n\n";
	output_begin(&output, &fixture->place, "activate (upgrade)");
	output_add(&output, printed, strlen(printed));
	error_set(&err, ERR_INVALID, "activate ended with status 3");
	output_end(&output, false, &err);
	assert_string_equal(err.message, "activate ended with status 3: no disk ********");
	read_all(fixture, &text);
	assert_non_null(strstr(text.text, " activate (upgrade): failed: activate ended with "
					  "status 3\n"));
	assert_null(strstr(text.text, SECRET));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_harmless_text_is_kept_however_it_comes),
		TEST(any_bytes_become_text),
		TEST(endless_output_is_capped_for_a_step_and_for_a_file),
		TEST(parts_of_it_join_to_the_whole),
		TEST(without_a_file_there_is_nothing_to_read),
		TEST(the_last_line_goes_into_the_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
