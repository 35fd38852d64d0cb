/* Limits of hostile input, at the limit and just over it; that secrets are wiped; that messages
 * never hold a value. */
#include "base/yaml_wipe.h"
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/secret.h"
#include "reconcile/secrets/sops_file.h"
#include "reconcile/secrets/sops_formats.h"
#include "reconcile/secrets/sops_path.h"
#include "tests/lib/fixture.h"
#include <setjmp.h>
#include <sodium.h>

#include <cmocka.h>

#define FILE_LIMIT ((size_t)16 << 20)

static bool read_plain(const char *name, const struct buf *text, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct sops_source source = {sops_format_of(name), name, text->text, text->len};
	struct sops_item *documents;
	bool taken;
	return sops_store_read_plain(&source, arena, &documents, &taken, err);
}

static void repeat(struct buf *out, const char *text, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_add_str(out, text);
}

static void documents_have_a_greatest_depth(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		const char *name, *open, *inner, *close;
	} cases[] = {
		{"f.json", "{\"a\":", "1", "}"},
		{"f.yaml", "{a: ", "1", "}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t over = 0; over < 2; over++) {
			auto_buf struct buf text = BUF_INIT(1 << 20);
			struct error err = {.message = ""};
			repeat(&text, cases[i].open, NODE_MAX_DEPTH + over);
			buf_add_str(&text, cases[i].inner);
			repeat(&text, cases[i].close, NODE_MAX_DEPTH + over);
			if (read_plain(cases[i].name, &text, &err) != !over)
				fail_msg("%s +%zu: %s", cases[i].name, over, err.message);
			if (over)
				assert_non_null(strstr(err.message, "deeper than 128"));
		}
	}
}

static void documents_have_a_greatest_number_of_values(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		const char *name, *start, *each, *end;
		size_t others; /* values that are there beside the repeated ones */
	} cases[] = {
		{"f.json", "{\"a\": [", "1,", "1]}", 3},
		{"f.yaml", "a: [", "1,", "]", 3},
		{"f.yaml", "x: &x 1\na: [", "*x,", "]", 5}, /* counted where it is repeated */
		{"f.env", "", "A=1\n", "", 0},
		{"f.ini", "", "[s]\na=1\n", "", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t over = 0; over < 2; over++) {
			auto_buf struct buf text = BUF_INIT(1 << 22);
			struct error err = {.message = ""};
			buf_add_str(&text, cases[i].start);
			repeat(&text, cases[i].each, NODE_MAX_NODES - cases[i].others + over);
			buf_add_str(&text, cases[i].end);
			if (read_plain(cases[i].name, &text, &err) != !over)
				fail_msg("%s +%zu: %s", cases[i].name, over, err.message);
			if (over)
				assert_non_null(strstr(err.message, "more than 100000 values"));
		}
	}
}

static void a_file_has_a_greatest_size(void **state)
{
	(void)state; /* no fixture of its own */
	for (size_t over = 0; over < 2; over++) {
		auto_buf struct buf text = BUF_INIT(FILE_LIMIT + 1);
		auto_free char *filler = mem_alloc(FILE_LIMIT + 1);
		struct error err = {.message = ""};
		memset(filler, 'x', FILE_LIMIT + 1);
		buf_add(&text, filler, FILE_LIMIT + over);
		assert_int_equal(read_plain("f.bin", &text, &err), !over);
		if (over)
			assert_non_null(strstr(err.message, "limit of 16 MiB"));
	}
}

static void regular_expressions_have_a_greatest_length(void **state)
{
	(void)state; /* no fixture of its own */
	for (size_t over = 0; over < 2; over++) {
		auto_buf struct buf text = BUF_INIT(SOPS_REGEX_MAX + 1);
		struct error err;
		regex_t regex;
		repeat(&text, "a", SOPS_REGEX_MAX + over);
		assert_int_equal(sops_regex_compile(text.text, &regex, &err), !over);
		if (!over)
			regfree(&regex);
		else
			assert_non_null(strstr(err.message, "limit of 1000"));
	}
}

static void a_passphrase_has_a_greatest_work(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		const char *work, *says;
	} cases[] = {{"18", "does not open"}, {"19", "malformed"}, {"22", "malformed"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
		auto_buf struct buf out = BUF_INIT(100);
		auto_free char *text =
			mem_printf("age-encryption.org/v1\n"
				   "-> scrypt AAAAAAAAAAAAAAAAAAAAAA %s\n"
				   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
				   "--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
				cases[i].work);
		const struct age_file file = {text, strlen(text), false};
		enum age_failure failure;
		struct error err;
		age_identities_add_passphrase(&identities, "x", 1);
		assert_false(age_decrypt(&file, &identities, &out, &failure, &err));
		assert_non_null(strstr(err.message, cases[i].says));
	}
}

static void groups_and_thresholds_have_limits(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		unsigned groups, threshold;
		bool ok;
	} cases[] = {{2, 0, true}, {2, 1, false}, {2, 2, true}, {2, 3, false}, {255, 255, true},
		{256, 2, false}, {0, 0, false}};
	auto_keyring struct keyring *keyring = keyring_generate();
	auto_strlist struct strlist recipients = STRLIST_INIT;
	keyring_recipients(keyring, &recipients);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
		auto_sops_file struct sops_file *file = NULL;
		const struct sops_source source = {SOPS_YAML, "f.yaml", "a: b\n", 5};
		enum sops_failure failure;
		struct error err;
		for (unsigned k = 0; k < cases[i].groups; k++)
			strlist_copy(sops_creation_add_group(&creation), &recipients);
		creation.shamir_threshold = cases[i].threshold;
		assert_int_equal(
			sops_file_new(&source, &creation, &file, &failure, &err), cases[i].ok);
		assert_int_equal(failure, cases[i].ok ? SOPS_OK : SOPS_METADATA);
	}
}

static void a_path_has_a_greatest_number_of_steps(void **state)
{
	(void)state; /* no fixture of its own */
	static const char *const wrong[] = {"", "a", "[", "[]", "[\"a\"", "[\"a]", "[-1]", "[1x]",
		"[9999999999]", "[\"a\"]x", ".a"};
	struct sops_path path;
	struct error err;
	for (size_t over = 0; over < 2; over++) {
		auto_buf struct buf text = BUF_INIT(1 << 12);
		repeat(&text, "[0]", SOPS_PATH_MAX + over);
		assert_int_equal(sops_path_parse(text.text, &path, &err), !over);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(sops_path_parse(wrong[i], &path, &err));
}

/* ---- wiping ---- */

/* Is a text anywhere in our own memory that can be read and written? @p own is where it stands. */
static size_t count_in_memory(const char *text, size_t len)
{
	auto_file FILE *maps = fopen("/proc/self/maps", "re");
	auto_file FILE *memory = fopen("/proc/self/mem", "re");
	char line[512];
	size_t found = 0;
	assert_true(maps && memory);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end;
		char mode[8];
		if (sscanf(line, "%lx-%lx %7s", &start, &end, mode) != 3 ||
			strncmp(mode, "rw", 2) != 0 || end - start > (512ul << 20))
			continue;
		auto_free char *copy = mem_alloc(end - start);
		if (fseeko(memory, (off_t)start, SEEK_SET) != 0)
			continue;
		size_t got = fread(copy, 1, end - start, memory);
		for (char *at = copy; (at = memmem(at, (size_t)(copy + got - at), text, len)); at++)
			found++;
		explicit_bzero(copy, end - start); /* or it is found in the next range */
	}
	return found;
}

#define MARKER_SIZE 500 /* a text that grows many times while it is read */
#define PIECE_SIZE  16

/* Made up at run time, so that it does not stand in the program's own data; the same each time. */
static void make_marker(char marker[MARKER_SIZE + 1])
{
	static const uint8_t seed[randombytes_SEEDBYTES] = "marker";
	randombytes_buf_deterministic(marker, MARKER_SIZE, seed);
	for (int i = 0; i < MARKER_SIZE; i++)
		marker[i] = (char)('a' + (unsigned char)marker[i] % 26);
	marker[MARKER_SIZE] = '\0';
}

/* How many pieces of it are in memory, besides @p own copies of the whole. */
static size_t count_pieces(size_t own)
{
	char marker[MARKER_SIZE + 1];
	size_t most = 0;
	make_marker(marker);
	for (size_t at = 0; at + PIECE_SIZE <= MARKER_SIZE; at += 2 * PIECE_SIZE) {
		size_t found = count_in_memory(marker + at, PIECE_SIZE);
		most = found > most ? found : most;
	}
	sodium_memzero(marker, sizeof(marker));
	return most > own + 1 ? most - own - 1 : 0; /* one is ours here */
}

static void edit_marker(struct sops_file *file, const char *marker)
{
	auto_buf struct buf edited = BUF_INIT_SECRET(1 << 16);
	struct error err;
	bool changed;
	buf_addf(&edited, "password: %s\nmore: '%s'\n# %s\nb: |\n  %s\n  x\n", marker, marker,
		marker, marker);
	assert_true(
		sops_file_edit(file, (struct sops_text){edited.text, edited.len}, &changed, &err));
	assert_true(changed);
}

static void use_marker(const struct sops_creation *creation, const struct keyring *keyring)
{
	char marker[MARKER_SIZE + 1];
	auto_buf struct buf plain = BUF_INIT_SECRET(1 << 14), out = BUF_INIT(1 << 16);
	auto_buf struct buf printed = BUF_INIT_SECRET(1 << 16);
	auto_sops_file struct sops_file *file = NULL, *opened = NULL;
	const struct sops_printing printing = {.format = SOPS_YAML};
	enum sops_failure failure;
	struct error err;
	make_marker(marker);
	buf_addf(&plain, "password: %s\nlist: [\"%s\", 1]\nt: >\n  %s\n  %s\n", marker, marker,
		marker, marker);
	const struct sops_source source = {SOPS_YAML, "f.yaml", plain.text, plain.len};
	assert_true(sops_file_new(&source, creation, &file, &failure, &err));
	assert_true(sops_file_write(file, &printing, &out, &err));
	const struct sops_source sealed = {SOPS_YAML, "f.yaml", out.text, out.len};
	assert_true(sops_file_open(&sealed, keyring, &opened, &failure, &err));
	assert_true(sops_file_print(opened, &printing, &printed, &err));
	assert_non_null(strstr(printed.text, marker));
	assert_true(count_in_memory(marker, PIECE_SIZE) >= 4); /* it finds what is there */
	edit_marker(opened, marker);
	sodium_memzero(marker, sizeof(marker));
}

/* Does libyaml call the functions of ours that wipe? */
static bool libyaml_wipes(void)
{
	yaml_parser_t parser;
	char piece[PIECE_SIZE + 1];
	if (!yaml_parser_initialize(&parser))
		fail();
	for (size_t i = 0; i < PIECE_SIZE; i++)
		piece[i] = (char)('A' + i * 5 % 26);
	memcpy(parser.raw_buffer.start + 1000, piece, PIECE_SIZE);
	yaml_parser_delete(&parser);
	size_t found = count_in_memory(piece, PIECE_SIZE);
	sodium_memzero(piece, sizeof(piece));
	return found == 1;
}

static void decrypted_values_are_wiped_when_they_are_freed(void **state)
{
	(void)state; /* no fixture of its own */
	if (!libyaml_wipes()) {
		print_message("skipped: this libyaml cannot be made to wipe what it frees\n");
		skip();
	}
	auto_keyring struct keyring *keyring = keyring_generate();
	auto_sops_creation struct sops_creation creation = SOPS_CREATION_INIT;
	keyring_recipients(keyring, sops_creation_add_group(&creation));
	use_marker(&creation, keyring);
	secret_mask_clear();
	size_t left = count_pieces(0);
	if (left)
		fail_msg("%zu copies of a piece are left in memory", left);
}

/* ---- messages ---- */

static void assert_no_word_of(const char *values, const char *message)
{
	static const char between[] = " \n'\":-,[]{}";
	for (const char *at = values + strspn(values, between); *at; at += strspn(at, between)) {
		auto_free char *word = mem_dup(at, strcspn(at, between));
		if (strlen(word) >= 6 && strstr(message, word))
			fail_msg("'%s' stands in: %s", word, message);
		at += strlen(word);
	}
}

static void messages_of_all_failing_cases_hold_no_value(void **state)
{
	(void)state; /* no fixture of its own */
	static const char *const files[] = {"neg-plain-where-encrypted", "neg-edited-plain-value",
		"neg-type-str-to-int", "neg-number-where-encrypted", "neg-swapped-list-items",
		"neg-bad-base64", "neg-deleted-value", "neg-type-unknown"};
	auto_keyring struct keyring *keyring = NULL;
	auto_buf struct buf key = fixture_read("tests/fixtures/sops/keys/age-1.txt");
	auto_buf struct buf base = fixture_read("tests/fixtures/sops/neg-base.plain.yaml");
	struct error err;
	assert_true(keyring_read("key", key.text, key.len, &keyring, &err));
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_free char *path = mem_printf("tests/fixtures/sops/%s.enc.yaml", files[i]);
		auto_buf struct buf text = fixture_read(path);
		const struct sops_source source = {SOPS_YAML, "f.yaml", text.text, text.len};
		auto_sops_file struct sops_file *file = NULL;
		enum sops_failure failure;
		char line[1500];
		assert_false(sops_file_open(&source, keyring, &file, &failure, &err));
		(void)error_line(&err, line, sizeof(line)); /* its text is line */
		assert_no_word_of(base.text, line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_have_a_greatest_depth),
		cmocka_unit_test(documents_have_a_greatest_number_of_values),
		cmocka_unit_test(a_file_has_a_greatest_size),
		cmocka_unit_test(regular_expressions_have_a_greatest_length),
		cmocka_unit_test(a_passphrase_has_a_greatest_work),
		cmocka_unit_test(groups_and_thresholds_have_limits),
		cmocka_unit_test(a_path_has_a_greatest_number_of_steps),
		cmocka_unit_test(decrypted_values_are_wiped_when_they_are_freed),
		cmocka_unit_test(messages_of_all_failing_cases_hold_no_value),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
