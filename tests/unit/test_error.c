/* errors: cutting, context, place, and what each code means to callers */
#include "base/error.h"
#include "base/utf8.h"
#include <errno.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static void a_new_error_forgets_the_old_one(void **state)
{
	(void)state;
	struct error err;
	assert_false(error_set(&err, ERR_INVALID, "first"));
	error_at(&err, "a.yaml", 3);
	error_hint(&err, "write %d", 7);
	error_set(&err, ERR_TIMEOUT, "no answer from '%s'", "host");
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_string_equal(err.message, "no answer from 'host'");
	assert_string_equal(err.where, "");
	assert_string_equal(err.hint, "");
}

static void context_goes_in_front_and_keeps_code_place_and_hint(void **state)
{
	(void)state;
	struct error err;
	error_set(&err, ERR_REFUSED, "no");
	error_at(&err, "fleet.yaml", 12);
	error_hint(&err, "ask");
	assert_false(error_wrap(&err, "release of '%s'", "alpha"));
	assert_int_equal(err.code, ERR_REFUSED);
	assert_string_equal(err.message, "release of 'alpha': no");
	assert_string_equal(err.where, "fleet.yaml:12");
	assert_string_equal(err.hint, "ask");
}

static void the_innermost_place_wins(void **state)
{
	(void)state;
	struct error err;
	error_set(&err, ERR_INVALID, "x");
	error_at(&err, "inner", 0);
	assert_string_equal(err.where, "inner");
	error_at(&err, "outer", 5);
	assert_string_equal(err.where, "inner");
}

static void long_text_is_cut_between_characters(void **state)
{
	(void)state;
	/* One to four bytes a character, so that the cut falls on each byte of one. */
	static const char *const characters[] = {"x", "é", "€", "😀"};
	for (size_t i = 0; i < ARRAY_LEN(characters); i++)
		for (size_t shift = 0; shift < 4; shift++) {
			struct error err;
			char text[2000] = "";
			memset(text, '.', shift);
			size_t width = strlen(characters[i]);
			for (size_t used = shift; used + width < sizeof(text); used += width)
				memcpy(text + used, characters[i], width + 1);
			error_set(&err, ERR_INVALID, "%s", text);
			assert_true(utf8_valid(err.message, strlen(err.message)));
			assert_true(strlen(err.message) >= sizeof(err.message) - 4);
			error_wrap(&err, "%s", "around");
			assert_true(utf8_valid(err.message, strlen(err.message)));
			error_hint(&err, "%s", text);
			error_at(&err, text, 1);
			assert_true(utf8_valid(err.hint, strlen(err.hint)));
			assert_true(utf8_valid(err.where, strlen(err.where)));
			error_errno(&err, ENOSPC, "%s", text);
			assert_true(utf8_valid(err.message, strlen(err.message)));
			error_line(&err, text, 100);
			assert_true(utf8_valid(text, strlen(text)));
		}
}

static void a_failed_call_says_why(void **state)
{
	(void)state;
	struct error err;
	assert_false(error_errno(&err, ENOENT, "open '%s'", "x"));
	assert_int_equal(err.code, ERR_SYSTEM);
	assert_string_equal(err.message, "open 'x': No such file or directory");
}

static void one_line_has_place_message_and_hint(void **state)
{
	(void)state;
	char text[200];
	struct error err;
	error_set(&err, ERR_INVALID, "bad");
	assert_string_equal(error_line(&err, text, sizeof(text)), "bad");
	error_hint(&err, "do that");
	assert_string_equal(error_line(&err, text, sizeof(text)), "bad: do that");
	error_at(&err, "f", 2);
	assert_string_equal(error_line(&err, text, sizeof(text)), "f:2: bad: do that");
	assert_string_equal(error_line(&err, text, 6), "f:2: ");
}

static void each_code_has_its_name_status_and_patience(void **state)
{
	(void)state;
	static const struct {
		enum error_code code;
		const char *name;
		int exit_status, http_status;
		bool transient;
	} rows[] = {
		{ERR_NONE, "none", 0, 200, false},
		{ERR_INVALID, "invalid", 1, 400, false},
		{ERR_REFUSED, "refused", 1, 409, false},
		{ERR_NOT_FOUND, "not-found", 1, 404, false},
		{ERR_REJECTED, "rejected", 1, 409, true},
		{ERR_AUTH, "auth", 1, 401, false},
		{ERR_UNREACHABLE, "unreachable", 3, 502, true},
		{ERR_TIMEOUT, "timeout", 3, 504, true},
		{ERR_STOPPED, "stopped", 1, 503, true},
		{ERR_SYSTEM, "system", 1, 500, true},
		{ERR_CODES, "unknown", 1, 500, false},
	};
	assert_int_equal(ARRAY_LEN(rows), ERR_CODES + 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_string_equal(error_code_name(rows[i].code), rows[i].name);
		assert_int_equal(error_exit_status(rows[i].code), rows[i].exit_status);
		assert_int_equal(error_http_status(rows[i].code), rows[i].http_status);
		assert_int_equal(error_is_transient(rows[i].code), rows[i].transient);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_error_forgets_the_old_one),
		cmocka_unit_test(context_goes_in_front_and_keeps_code_place_and_hint),
		cmocka_unit_test(the_innermost_place_wins),
		cmocka_unit_test(long_text_is_cut_between_characters),
		cmocka_unit_test(a_failed_call_says_why),
		cmocka_unit_test(one_line_has_place_message_and_hint),
		cmocka_unit_test(each_code_has_its_name_status_and_patience),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
