/* The parts of SOPS files that have rules of their own: regexes, comments, shares, times, floats,
 * limits */
#include "reconcile/secrets/shamir.h"
#include "reconcile/secrets/sops_comments.h"
#include "reconcile/secrets/sops_metadata.h"
#include <setjmp.h>
#include <sodium.h>

#include <cmocka.h>

static const struct node *parse(struct arena *arena, const char *text)
{
	const struct node_options options = {.rules = NODE_SOPS};
	const struct node *node;
	struct error err;
	assert_true(
		node_parse_yaml(arena, "plain.yaml", text, strlen(text), &options, &node, &err));
	return node;
}

static void regular_expressions_are_translated_or_refused(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		const char *regex;
		bool ok;
		const char *yes, *no;
	} cases[] = {
		{"^data$", true, "data", "xdata"},
		{"^(data|stringData)$", true, "stringData", "stringdata"},
		{"(?i)PASSWORD", true, "db_password", "pass"},
		{"^\\d+$", true, "123", "12a"},
		{"^[\\w.-]+$", true, "a.b-c", "a b"},
		{"\\bkey\\b", true, "my key", "monkey"},
		{"a\\.b", true, "a.b", "axb"},
		{"(?:ab)+?c", true, "ababc", "abx"},
		{"^[^a-c]$", true, "d", "b"},
		{"^[]x]$", true, "]", "y"},
		{"^[a^-]$", true, "^", "b"},
		{"^a{2,3}$", true, "aaa", "a"},
		{"x|y", true, "y", "z"},
		{"[", false, NULL, NULL},
		{"(", false, NULL, NULL},
		{")", false, NULL, NULL},
		{"*a", false, NULL, NULL},
		{"a**", false, NULL, NULL},
		{"(?P<n>a)", false, NULL, NULL},
		{"\\pL", false, NULL, NULL},
		{"\\Qx\\E", false, NULL, NULL},
		{"[[:alpha:]]", false, NULL, NULL},
		{"a{1001}", false, NULL, NULL},
		{"(a{1000}){1000}", false, NULL, NULL},
		{"a{,3}", false, NULL, NULL},
		{"\\", false, NULL, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf struct buf posix = BUF_INIT(100000);
		struct error err;
		regex_t regex;
		bool icase;
		bool ok = sops_regex_translate(cases[i].regex, &posix, &icase, &err);
		if (ok != cases[i].ok)
			fail_msg("%s: %s", cases[i].regex, ok ? posix.text : err.message);
		if (!ok)
			continue;
		int flags = REG_EXTENDED | REG_NOSUB | (icase ? REG_ICASE : 0);
		assert_int_equal(regcomp(&regex, posix.text, flags), 0);
		if (regexec(&regex, cases[i].yes, 0, NULL, 0) != 0 ||
			regexec(&regex, cases[i].no, 0, NULL, 0) == 0)
			fail_msg("%s became %s", cases[i].regex, posix.text);
		regfree(&regex);
	}
}

/* Names of the keys, and texts of the list items, that a comment `secret` stands at. */
static void list_hits(const struct sops_item *item, struct buf *out)
{
	bool run = false;
	for (size_t i = 0; i < item->count; i++) {
		const struct sops_item *child = item->items[i];
		if (child->kind == SOPS_ITEM_COMMENT) {
			run = run || strcmp(child->value->text, " secret") == 0;
			continue;
		}
		if (run)
			buf_addf(out, "%s ",
				child->key                        ? child->key
				: child->kind == SOPS_ITEM_SCALAR ? child->value->text
								  : "[]");
		run = false;
		list_hits(child, out);
	}
	if (run)
		buf_add_str(out, "(end) ");
}

static void comments_belong_to_the_item_they_stand_before_or_beside(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		const char *yaml, *hits;
	} cases[] = {
		{"# secret\na: 1\nb: 2\n", "a "},
		{"a: 1 # secret\nb: 2\n", "a "},
		{"a: 1\n\n  # secret\nb: 2\n", "b "},
		{"a: 1\n# other\n# secret\n# third\nb: 2\nc: 3\n", "b "},
		{"m:\n  a: 1\n  # secret\nb: 2\n", "(end) "},
		{"m:\n  a: 1\n# secret\nb: 2\n", "b "},
		{"m:\n# secret\n  a: 1\nb: 2\n", "a "},
		{"m: # secret\n  a: 1\nb: 2\n", "m "},
		{"l:\n  # secret\n  - x\n  - y\n", "x "},
		{"l:\n- x\n- y # secret\n- z\n", "y "},
		{"l:\n# secret\n- a: 1\n  b: 2\n", "[] "},
		{"l:\n- a: 1\n  # secret\n  b: 2\n", "b "},
		{"l:\n- - p\n  # secret\n  - q\n", "q "},
		{"f: {g: h} # secret\nb: 2\n", "g "},
		{"f: [g, # secret\n  h]\nb: 2\n", "g "},
		{"k: | # secret\n  text\nb: 2\n", "k "},
		{"a: &x # secret\n  k: 1\nb: 2\n", "k "},
		{"m:\n  - x\n  # secret\n", "(end) "},
		{"a: '# secret'\nb: \"x # secret\"\n", ""},
		{"a: |\n  # secret\nb: 2\n", ""},
		{"a: |\n  text\n# secret\nb: 2\n", "b "},
		{"a: x#secret\nb: 2\n", ""},
		{"\xc3\xa9\xe2\x98\x83: 1 # \xc3\xa9\n# secret\n\xc3\xbc: 2\n", "\xc3\xbc "},
		{"\xef\xbb\xbf# secret\na: 1\nb: 2\n", "a "},
		{"a: 1\r\n# secret\r\nb: 2\r\n", "b "},
		{"a: 1\r# secret\rb: 2\r", "b "},
		{"a: 1 # no\r# secret\rb: 2\r", "b "},
		{"a: 1\n# no\xc2\x85# secret\xe2\x80\xa8# no\nb: 2\n", "b "},
		{"k: | # secret\r  text\rb: 2\r", "k "},
		{"# secret", "(end) "},
		{"a: 1\n# secret", "(end) "},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
		auto_buf struct buf hits = BUF_INIT(1000);
		auto_sops_comments struct sops_comments *comments = NULL;
		struct sops_item *item;
		struct error err;
		assert_true(
			sops_comments_read(cases[i].yaml, strlen(cases[i].yaml), &comments, &err));
		assert_true(sops_comments_merge(
			arena, comments, parse(arena, cases[i].yaml), 0, &item, &err));
		list_hits(item, &hits);
		if (strcmp(hits.text, cases[i].hits) != 0)
			fail_msg("%zu: hits '%s'", i, hits.text);
	}
}

static void a_list_of_keys_has_a_limit(void **state)
{
	(void)state; /* no fixture of its own */
	for (unsigned over = 0; over < 2; over++) {
		auto_strlist struct strlist recipients = STRLIST_INIT;
		auto_buf struct buf file = BUF_INIT(1 << 20);
		struct error err;
		buf_add_str(&file, "a: ''\nsops:\n  lastmodified: 2026-01-01T00:00:00Z\n  age:\n");
		for (unsigned i = 0; i < SOPS_MAX_ENTRIES + over; i++)
			buf_addf(&file, "  - {recipient: age1x%u, enc: x}\n", i);
		bool ok = sops_recipients("f.yaml", file.text, file.len, &recipients, &err);
		assert_int_equal(ok, !over);
		assert_int_equal(recipients.count, over ? 0 : SOPS_MAX_ENTRIES);
		if (over)
			assert_non_null(strstr(err.message, "limit of 1000 entries"));
	}
}

static void a_file_larger_than_the_limit_is_refused_before_parsing(void **state)
{
	(void)state; /* no fixture of its own */
	size_t size = ((size_t)16 << 20) + 1;
	auto_free char *bytes = mem_zero(1, size);
	struct error err;
	assert_false(sops_check_encrypted("f.json", bytes, size, &err));
	assert_string_equal(err.message, "file is larger than the limit of 16 MiB");
	assert_false(sops_check_encrypted("f.json", bytes, size - 1, &err));
	assert_null(strstr(err.message, "limit of 16 MiB"));
}

static void shares_are_combined_by_their_own_numbers(void **state)
{
	(void)state; /* no fixture of its own */
	/* f(x) = 0x42 + 7x over the AES field: 1 -> 0x45, 2 -> 0x4c, 3 -> 0x4b */
	static const uint8_t one[] = {0x45, 1}, two[] = {0x4c, 2}, three[] = {0x4b, 3};
	static const uint8_t zero[] = {0x42, 0};
	const struct shamir_share good[][3] = {
		{{one}, {two}}, {{three}, {one}}, {{two}, {three}, {one}}};
	const struct shamir_share twice[] = {{one}, {one}}, none[] = {{one}, {zero}};
	const size_t counts[] = {2, 2, 3};
	struct error err;
	uint8_t secret;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(shamir_combine(good[i], counts[i], 1, &secret, &err));
		assert_int_equal(secret, 0x42);
	}
	assert_false(shamir_combine(twice, 2, 1, &secret, &err));
	assert_false(shamir_combine(none, 2, 1, &secret, &err));
	assert_false(shamir_combine(twice, 1, 1, &secret, &err));
}

static void times_are_hashed_as_rfc_3339(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		const char *text;
		enum sops_time_form form;
		bool fraction;
		const char *out; /* NULL: no time */
	} cases[] = {
		{"2020-02-03", SOPS_TIME_YAML, true, "2020-02-03T00:00:00Z"},
		{"2020-2-3", SOPS_TIME_YAML, true, "2020-02-03T00:00:00Z"},
		{"2020-02-03 4:05:06.70", SOPS_TIME_YAML, true, "2020-02-03T04:05:06.7Z"},
		{"2020-02-03t04:05:06+02:00", SOPS_TIME_YAML, true, "2020-02-03T04:05:06+02:00"},
		{"2020-02-03T04:05:06-00:00", SOPS_TIME_RFC3339, true, "2020-02-03T04:05:06Z"},
		{"2020-02-03T04:05:06.1234567891Z", SOPS_TIME_RFC3339, true,
			"2020-02-03T04:05:06.123456789Z"},
		{"2020-02-03T04:05:06.5Z", SOPS_TIME_RFC3339, false, "2020-02-03T04:05:06Z"},
		{"2020-02-03", SOPS_TIME_RFC3339, true, NULL},
		{"2020-02-30T00:00:00Z", SOPS_TIME_RFC3339, true, NULL},
		{"2021-02-29", SOPS_TIME_YAML, true, NULL},
		{"2020-02-03T24:00:00Z", SOPS_TIME_RFC3339, true, NULL},
		{"2020-02-03T04:05:06", SOPS_TIME_RFC3339, true, NULL},
		{"2020-02-03T04:05:06Zx", SOPS_TIME_RFC3339, true, NULL},
		{"yesterday", SOPS_TIME_RFC3339, true, NULL},
		{"", SOPS_TIME_YAML, true, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char out[SOPS_TIME_SIZE];
		bool ok = sops_time_format(cases[i].text, cases[i].form, cases[i].fraction, out);
		assert_int_equal(ok, cases[i].out != NULL);
		if (ok)
			assert_string_equal(out, cases[i].out);
	}
}

static void floats_are_hashed_without_an_exponent(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		double number;
		const char *text;
	} cases[] = {
		{1e6, "1000000"},
		{1e-7, "0.0000001"},
		{1.50, "1.5"},
		{3.0, "3"},
		{-0.0, "-0"},
		{0.1, "0.1"},
		{1e21, "1000000000000000000000"},
		{123456.789, "123456.789"},
		{-2.5e-3, "-0.0025"},
		{5e-324, NULL},
		{1.7976931348623157e308, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf struct buf text = BUF_INIT(2000);
		sops_format_float(cases[i].number, &text);
		assert_null(strchr(text.text, 'e'));
		assert_true(strtod(text.text, NULL) == cases[i].number);
		if (cases[i].text)
			assert_string_equal(text.text, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regular_expressions_are_translated_or_refused),
		cmocka_unit_test(comments_belong_to_the_item_they_stand_before_or_beside),
		cmocka_unit_test(a_list_of_keys_has_a_limit),
		cmocka_unit_test(a_file_larger_than_the_limit_is_refused_before_parsing),
		cmocka_unit_test(shares_are_combined_by_their_own_numbers),
		cmocka_unit_test(times_are_hashed_as_rfc_3339),
		cmocka_unit_test(floats_are_hashed_without_an_exponent),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
