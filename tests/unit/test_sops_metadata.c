/* The `sops` entry: how many entries and recipients it may have, in what is read and in what is
 * written; from one format into another. */
#include "reconcile/secrets/sops_file_parts.h"
#include "tests/lib/fixture.h"
#include <setjmp.h>
#include <sodium.h>

#include <cmocka.h>

#define FLAT_MAX 10000 /* flattened entries of dotenv and ini */

static const char *const names[] = {"f.yaml", "f.json", "f.env", "f.ini", "f.bin"};

static void must(bool ok, const struct error *err)
{
	if (!ok)
		fail_msg("%s (%s)", err->message, err->where);
}

static struct sops_source source_of(const char *name, const struct buf *text)
{
	return (struct sops_source){sops_format_of(name), name, text->text, text->len};
}

static void flattened_metadata_have_a_greatest_number_of_entries(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		const char *name, *start, *each;
	} cases[] = {{"f.env", "A=1\n", "sops_k%zu=v\n"}, {"f.ini", "[sops]\n", "k%zu = v\n"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t over = 0; over < 2; over++) {
			auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
			auto_buf struct buf text = BUF_INIT(1 << 20);
			struct sops_loaded loaded;
			struct error err = {.message = ""};
			buf_add_str(&text, cases[i].start);
			for (size_t k = 0; k < FLAT_MAX + over; k++)
				buf_addf(&text, cases[i].each, k);
			const struct sops_source source = source_of(cases[i].name, &text);
			if (sops_store_read(&source, arena, true, &loaded, &err) != !over)
				fail_msg("%s +%zu: %s", cases[i].name, over, err.message);
			if (over)
				assert_non_null(strstr(err.message, "limit of 10000 entries"));
			else
				assert_int_equal(loaded.metadata->count, FLAT_MAX);
		}
	}
}

static const char *plain_of(enum sops_format format)
{
	static const char *const texts[] = {[SOPS_YAML] = "a: 1\n",
		[SOPS_JSON] = "{\"a\": 1}",
		[SOPS_DOTENV] = "a=1\n",
		[SOPS_INI] = "[a]\nb = 1\n",
		[SOPS_BINARY] = "a"};
	return texts[format];
}

/* A written file for a group of this many recipients opens with the last of them; what could not
 * be read again is not made. */
static void write_for(enum sops_format format, const struct strlist *recipients,
	const struct keyring *last, bool fits)
{
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	auto_sops_file struct sops_file *file = NULL, *opened = NULL;
	auto_buf struct buf out = BUF_INIT(1 << 24);
	const char *text = plain_of(format);
	const struct sops_source plain = {format, names[format], text, strlen(text)};
	const struct sops_printing printing = {.format = format};
	enum sops_failure failure;
	struct error err = {.message = ""};
	strlist_copy(sops_creation_add_group(&creation), recipients);
	if (sops_file_new(&plain, &creation, &file, &failure, &err) != fits)
		fail_msg("%s, %zu recipients: %s", names[format], recipients->count, err.message);
	if (!fits) {
		assert_int_equal(failure, SOPS_METADATA);
		if (!strstr(err.message, "limit of 1000 recipients"))
			fail_msg("%s: %s", names[format], err.message);
		return;
	}
	must(sops_file_write(file, &printing, &out, &err), &err);
	const struct sops_source sealed = source_of(names[format], &out);
	must(sops_file_open(&sealed, last, &opened, &failure, &err), &err);
	assert_int_equal(sops_file_keys(opened)->groups[0].count, recipients->count);
}

static void a_written_group_has_a_greatest_number_of_recipients(void **state)
{
	(void)state; /* no fixture of its own */
	auto_strlist struct strlist recipients = STRLIST_INIT;
	auto_keyring struct keyring *last = keyring_generate();
	for (size_t i = 1; i < SOPS_MAX_ENTRIES; i++) {
		auto_keyring struct keyring *one = keyring_generate();
		keyring_recipients(one, &recipients);
	}
	keyring_recipients(last, &recipients);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		write_for((enum sops_format)i, &recipients, last, true);
	keyring_recipients(last, &recipients);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		write_for((enum sops_format)i, &recipients, last, false);
}

/* sops up to 3.12 wrote `"hc_vault": null` into groups of JSON: no list, and no entry of others. */
static void groups_of_json_are_written_in_every_format(void **state)
{
	(void)state; /* no fixture of its own */
	auto_buf struct buf text = fixture_read("tests/fixtures/sops/json-key-groups.enc.json");
	auto_buf struct buf key = fixture_read("tests/fixtures/sops/keys/age-3.txt");
	auto_buf struct buf other = fixture_read("tests/fixtures/sops/keys/age-2.txt");
	auto_keyring struct keyring *keyring = NULL;
	auto_sops_file struct sops_file *file = NULL;
	const struct sops_source source = source_of("f.json", &text);
	enum sops_failure failure;
	struct error err;
	buf_add(&key, other.text, other.len);
	must(keyring_read("keys", key.text, key.len, &keyring, &err), &err);
	must(sops_file_open(&source, keyring, &file, &failure, &err), &err);
	must(sops_file_unset(file, "[\"n\"]", &err), &err); /* a map, which dotenv cannot hold */
	for (size_t i = 0; i < SOPS_INI; i++) {             /* ini would need sections */
		const struct sops_printing printing = {.format = (enum sops_format)i};
		auto_buf struct buf out = BUF_INIT(1 << 20);
		auto_sops_file struct sops_file *again = NULL;
		must(sops_file_write(file, &printing, &out, &err), &err);
		const struct sops_source written = source_of(names[i], &out);
		must(sops_file_open(&written, keyring, &again, &failure, &err), &err);
		assert_int_equal(
			sops_file_keys(again)->group_count, sops_file_keys(file)->group_count);
	}
}

static void an_indent_that_has_no_digit_is_two_as_in_sops(void **state)
{
	(void)state; /* no fixture of its own */
	static const unsigned indents[] = {1, 10, SOPS_INDENT_MAX};
	static const char text[] = "a:\n    b: \" x\\ny\"\n";
	const struct sops_source source = {SOPS_YAML, "f.yaml", text, sizeof(text) - 1};
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	struct sops_item *documents;
	struct error err;
	bool taken;
	must(sops_store_read_plain(&source, arena, &documents, &taken, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(indents); i++) {
		const struct sops_printing printing = {
			.format = SOPS_YAML, .layout.yaml_indent = indents[i]};
		auto_buf struct buf out = BUF_INIT(1000);
		must(sops_store_write_plain(documents, &printing, &out, &err), &err);
		assert_string_equal(out.text, "a:\n  b: |2-\n     x\n    y\n");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flattened_metadata_have_a_greatest_number_of_entries),
		cmocka_unit_test(a_written_group_has_a_greatest_number_of_recipients),
		cmocka_unit_test(an_indent_that_has_no_digit_is_two_as_in_sops),
		cmocka_unit_test(groups_of_json_are_written_in_every_format),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
