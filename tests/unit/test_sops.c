#include "base/fs.h"
#include "reconcile/secrets/sops.h"
#include "tests/lib/sops_cases.h"
#include <setjmp.h>
#include <sodium.h>

#include <cmocka.h>

static void cases_made_for_us_end_as_they_say(void **state)
{
	(void)state; /* no fixture of its own */
	struct tally tally = {0};
	sops_cases_run("tests/fixtures/sops", &tally);
	tally_print(&tally);
	assert_int_equal(tally.failed, 0);
	assert_int_equal(tally.passed, 109);
}

static void creation_rules_are_those_that_sops_finds(void **state)
{
	(void)state; /* no fixture of its own */
	struct tally tally = {0};
	sops_rules_run("tests/fixtures/sops", &tally);
	tally_print(&tally);
	assert_int_equal(tally.failed, 0);
	assert_int_equal(tally.passed, 32);
}

static void cases_of_other_projects_end_as_they_say(void **state)
{
	(void)state; /* no fixture of its own */
	struct tally tally = {0};
	auto_free char *folder = fixture_shared("sops/upstream");
	if (!folder)
		skip();
	sops_cases_run(folder, &tally);
	tally_print(&tally);
	assert_int_equal(tally.failed, 0);
}

static const struct node *parse(struct arena *arena, const char *text)
{
	const struct node_options options = {.rules = NODE_SOPS};
	const struct node *node;
	struct error err;
	assert_true(
		node_parse_yaml(arena, "plain.yaml", text, strlen(text), &options, &node, &err));
	return node;
}

static const char everything[] =
	"text: s3cret value\nempty: ''\nnumber: 42\nnegative: -7\nfloat: 1.50\nbig: 1e21\n"
	"yes: true\nno_: false\nnothing: null\nday: 2020-02-03\nnone: {}\n"
	"list: [a, [b, {c: d}], ~]\n"
	"deep: {er: {est: \"line 1\\nline 2\\n\"}}\n'a:b': x\n\"\\u00e9\\U0001F600 \": y\n"
	"port_unencrypted: 5432\nhash: '#no comment'\nlooks: '0644'\n";

static void encrypt(const struct node *plain, struct keyring *keyring, struct buf *out)
{
	auto_strlist struct strlist recipients = STRLIST_INIT;
	struct error err;
	keyring_recipients(keyring, &recipients);
	assert_true(sops_encrypt_yaml(plain, &recipients, out, &err));
}

static void what_is_encrypted_opens_again_and_hides_its_values(void **state)
{
	(void)state; /* no fixture of its own */
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_keyring struct keyring *keyring = keyring_generate();
	auto_buf struct buf file = BUF_INIT(1 << 20);
	const struct node *plain = parse(arena, everything), *opened;
	enum sops_failure failure;
	struct error err;
	encrypt(plain, keyring, &file);
	assert_true(sops_decrypt_yaml(
		"f.yaml", file.text, file.len, keyring, arena, &opened, &failure, &err));
	assert_int_equal(failure, SOPS_OK);
	assert_true(node_equal(plain, opened));
	assert_null(strstr(file.text, "s3cret"));
	assert_null(strstr(file.text, "line 1"));
	assert_non_null(strstr(file.text, "port_unencrypted: 5432"));
	assert_true(sops_check_encrypted("f.yaml", file.text, file.len, &err));
}

static void two_files_of_one_plaintext_share_no_ciphertext(void **state)
{
	(void)state; /* no fixture of its own */
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_keyring struct keyring *keyring = keyring_generate();
	auto_buf struct buf one = BUF_INIT(1 << 20), two = BUF_INIT(1 << 20);
	const struct node *plain = parse(arena, "a: hunter2hunter2\n");
	encrypt(plain, keyring, &one);
	encrypt(plain, keyring, &two);
	char *mine = strstr(one.text, "data:"), *other = strstr(two.text, "data:");
	assert_memory_not_equal(mine, other, 20);
}

/* Bytes of the encrypted file's own text: a flip anywhere is an error or changes nothing. */
static void a_change_of_any_byte_gives_an_error_or_the_same_values(void **state)
{
	(void)state; /* no fixture of its own */
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_keyring struct keyring *keyring = keyring_generate();
	auto_buf struct buf file = BUF_INIT(1 << 20);
	const struct node *plain = parse(arena, "a: hunter2hunter2\nb: {c: 12}\n"), *opened;
	size_t same = 0;
	encrypt(plain, keyring, &file);
	for (size_t i = 0; i < file.len; i++) {
		struct error err;
		file.text[i] ^= 1;
		if (sops_decrypt_yaml(
			    "f.yaml", file.text, file.len, keyring, arena, &opened, NULL, &err)) {
			assert_true(node_equal(plain, opened));
			same++;
		} else {
			assert_null(strstr(err.message, "hunter2"));
		}
		file.text[i] ^= 1;
	}
	/* the type of `c` (int) cannot become another one by one bit; what is free to change is the
	 * recipient's text, the version, the rule's suffix, field names that nobody reads */
	assert_in_range(same, 1, 200);
}

static void only_the_recipients_can_open_it(void **state)
{
	(void)state; /* no fixture of its own */
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_keyring struct keyring *keyring = keyring_generate();
	auto_keyring struct keyring *other = keyring_generate(), *none = NULL;
	auto_buf struct buf file = BUF_INIT(1 << 20);
	auto_strlist struct strlist names = STRLIST_INIT;
	const struct node *opened;
	enum sops_failure failure;
	struct error err;
	encrypt(parse(arena, "a: b\n"), keyring, &file);
	assert_false(sops_decrypt_yaml(
		"f.yaml", file.text, file.len, other, arena, &opened, &failure, &err));
	assert_int_equal(failure, SOPS_NO_KEY);
	keyring_recipients(keyring, &names);
	assert_non_null(strstr(err.message, names.items[0]));
	assert_true(keyring_read("none", "# nothing\n", 10, &none, &err));
	assert_false(sops_decrypt_yaml(
		"f.yaml", file.text, file.len, none, arena, &opened, &failure, &err));
	assert_int_equal(failure, SOPS_NO_KEY);
	assert_non_null(strstr(err.hint, "age_key_file"));
}

static void peek_shows_names_and_no_metadata_without_a_key(void **state)
{
	(void)state; /* no fixture of its own */
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_keyring struct keyring *keyring = keyring_generate();
	auto_buf struct buf file = BUF_INIT(1 << 20);
	auto_strlist struct strlist names = STRLIST_INIT, expected = STRLIST_INIT;
	const struct node *tree;
	struct error err;
	encrypt(parse(arena, "db: {password: hunter2}\n"), keyring, &file);
	assert_true(sops_peek_yaml("f.yaml", file.text, file.len, arena, &tree, &err));
	assert_int_equal(tree->count, 1);
	assert_int_equal(strncmp(node_path(tree, "db.password")->text, "ENC[AES256_GCM,", 15), 0);
	assert_true(sops_recipients("f.yaml", file.text, file.len, &names, &err));
	keyring_recipients(keyring, &expected);
	assert_int_equal(names.count, 1);
	assert_string_equal(names.items[0], expected.items[0]);
	assert_false(sops_peek_yaml("f.yaml", "a: b\n", 5, arena, &tree, &err));
	assert_non_null(strstr(err.message, "not a SOPS file"));
}

static void encrypting_refuses_what_sops_refuses(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		const char *plain, *recipient, *says;
	} cases[] = {
		{"- a\n", NULL, "only a map"},
		{"sops: {}\n", NULL, "taken by SOPS"},
		{"1: a\n", NULL, "key is no text"},
		{"a: {null: b}\n", NULL, "key is no text"},
		{"a: b\n", "age1pq1qqqq", "post-quantum"},
		{"a: b\n", "nonsense", "is no age recipient"},
		{"a: b\n", "", "no recipient"},
	};
	auto_keyring struct keyring *keyring = keyring_generate();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
		auto_strlist struct strlist recipients = STRLIST_INIT;
		auto_buf struct buf out = BUF_INIT(1 << 16);
		struct error err;
		if (!cases[i].recipient)
			keyring_recipients(keyring, &recipients);
		else if (*cases[i].recipient)
			strlist_add(&recipients, cases[i].recipient);
		assert_false(
			sops_encrypt_yaml(parse(arena, cases[i].plain), &recipients, &out, &err));
		assert_non_null(strstr(err.message, cases[i].says));
		assert_int_equal(out.len, 0);
	}
}

static void every_format_can_be_checked_for_plain_values(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		const char *file, *says; /* NULL: all is encrypted */
	} cases[] = {
		{"yaml-types-3.13.2.enc.yaml", NULL},
		{"yaml-multidoc.enc.yaml", NULL},
		{"yaml-encrypted-regex.enc.yaml", NULL},
		{"yaml-unencrypted-regex.enc.yaml", NULL},
		{"json-types-3.13.2.enc.json", NULL},
		{"json-key-groups.enc.json", NULL},
		{"dotenv-3.13.2.enc.env", NULL},
		{"dotenv-key-groups.enc.env", NULL},
		{"ini-3.13.2.enc.ini", NULL},
		{"ini-3.9.4.enc.ini", NULL},
		{"ini-3.13.1-multiline-metadata.enc.ini", NULL},
		{"ini-key-groups.enc.ini", NULL},
		{"binary.enc.bin", NULL},
		{"binary-3.9.4.enc.bin", NULL},
		{"neg-plain-where-encrypted.enc.yaml", "value is not encrypted"},
		{"neg-number-where-encrypted.enc.yaml", "value is not encrypted"},
		{"neg-mac-missing.enc.yaml", "sops.mac"},
		{"neg-no-metadata.enc.yaml", "not a SOPS file"},
		{"yaml-types-3.13.2.plain.yaml", "not a SOPS file"},
		{"json-types-3.13.2.plain.json", "not a SOPS file"},
		{"dotenv-3.13.2.plain.env", "not a SOPS file"},
		{"ini-3.13.2.plain.ini", "not a SOPS file"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *path = mem_printf("tests/fixtures/sops/%s", cases[i].file);
		auto_buf struct buf file = fixture_read(path);
		struct error err = {.message = ""};
		bool ok = sops_check_encrypted(cases[i].file, file.text, file.len, &err);
		if (ok == !cases[i].says &&
			(ok || (strstr(err.message, cases[i].says) && *err.where)))
			continue;
		fail_msg("%s: %s at '%s'", cases[i].file, err.message, err.where);
	}
}

static void a_plain_value_in_a_checked_file_is_named_by_place_only(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		const char *file, *from, *to, *where;
	} cases[] = {
		{"dotenv-3.13.2.enc.env", "ENC[AES256", "hunter2AES", ":"},
		{"ini-3.13.2.enc.ini", "ENC[AES256", "hunter2AES", ":"},
		{"json-types-3.13.2.enc.json", "ENC[AES256", "hunter2AES", ":"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_free char *path = mem_printf("tests/fixtures/sops/%s", cases[i].file);
		auto_buf struct buf file = fixture_read(path);
		struct error err = {.message = ""};
		char *at = strstr(file.text, cases[i].from);
		if (at > file.text && at[-1] == '#')
			at = strstr(at + 1, cases[i].from);
		if (strstr(cases[i].file, ".ini"))
			at = strstr(strstr(file.text, "= ENC"), cases[i].from);
		memcpy(at, cases[i].to, strlen(cases[i].to));
		assert_false(sops_check_encrypted(cases[i].file, file.text, file.len, &err));
		assert_non_null(strstr(err.message, "value is not encrypted"));
		assert_null(strstr(err.message, "hunter2"));
		assert_non_null(strstr(err.where, cases[i].where));
	}
}

static void key_files_that_others_can_read_are_refused(void **state)
{
	(void)state; /* no fixture of its own */
	auto_keyring struct keyring *made = keyring_generate(), *read = NULL, *none = NULL;
	auto_buf struct buf text = BUF_INIT_SECRET(4096);
	auto_free char *folder = NULL;
	struct error err;
	assert_true(fs_scratch(NULL, "test-sops", &folder, &err));
	auto_free char *path = mem_printf("%s/keys.txt", folder);
	keyring_write(made, &text);
	assert_true(fs_write(path, text.text, text.len, 0644, &err));
	assert_false(keyring_load(path, &none, &err));
	assert_non_null(strstr(err.message, "keys.txt"));
	assert_true(fs_write(path, text.text, text.len, 0600, &err));
	assert_true(keyring_load(path, &read, &err));
	assert_int_equal(keyring_count(read), 1);
	assert_true(fs_remove_tree(folder, &err));
	assert_false(keyring_load(path, &none, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void identities_come_from_the_environment_too(void **state)
{
	(void)state; /* no fixture of its own */
	auto_keyring struct keyring *one = keyring_generate(), *read = NULL, *none = NULL;
	auto_buf struct buf text = BUF_INIT_SECRET(4096), line = BUF_INIT_SECRET(4096);
	struct error err;
	keyring_write(one, &text);
	const char *key = strstr(text.text, "AGE-SECRET-KEY-");
	buf_addf(&line, "# two on a line\n%.74s %.74s\n", key, key);
	assert_int_equal(setenv("SOPS_AGE_KEY", line.text, 1), 0);
	bool ok = keyring_load(NULL, &read, &err);
	assert_int_equal(unsetenv("SOPS_AGE_KEY"), 0);
	assert_true(ok);
	assert_int_equal(keyring_count(read), 2);
	assert_true(keyring_load(NULL, &none, &err));
	assert_int_equal(keyring_count(none), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cases_made_for_us_end_as_they_say),
		cmocka_unit_test(creation_rules_are_those_that_sops_finds),
		cmocka_unit_test(cases_of_other_projects_end_as_they_say),
		cmocka_unit_test(what_is_encrypted_opens_again_and_hides_its_values),
		cmocka_unit_test(two_files_of_one_plaintext_share_no_ciphertext),
		cmocka_unit_test(a_change_of_any_byte_gives_an_error_or_the_same_values),
		cmocka_unit_test(only_the_recipients_can_open_it),
		cmocka_unit_test(peek_shows_names_and_no_metadata_without_a_key),
		cmocka_unit_test(encrypting_refuses_what_sops_refuses),
		cmocka_unit_test(every_format_can_be_checked_for_plain_values),
		cmocka_unit_test(a_plain_value_in_a_checked_file_is_named_by_place_only),
		cmocka_unit_test(key_files_that_others_can_read_are_refused),
		cmocka_unit_test(identities_come_from_the_environment_too),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
