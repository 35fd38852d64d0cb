#include "reconcile/secrets/age.h"
#include "reconcile/secrets/age_format.h"
#include "reconcile/secrets/bech32.h"
#include "tests/lib/age_vectors.h"
#include <setjmp.h>
#include <sodium.h>

#include <cmocka.h>

#define KEY_1 "AGE-SECRET-KEY-1HQEXLF6AWMA768F58GQF7LJ2JP7FU2HZQ2XNH8RHKVDL7FJMYY0S43K805"

static void vectors_made_for_us_end_as_they_say(void **state)
{
	(void)state; /* no fixture of its own */
	struct tally tally = {0};
	age_vectors_run("tests/fixtures/age/made", &tally);
	tally_print(&tally);
	assert_int_equal(tally.failed, 0);
	assert_int_equal(tally.passed, 25);
}

static void vectors_of_cctv_end_as_they_say(void **state)
{
	(void)state; /* no fixture of its own */
	struct tally tally = {0};
	auto_free char *folder = fixture_shared("age/cctv");
	if (!folder)
		skip();
	age_vectors_run(folder, &tally);
	tally_print(&tally);
	assert_int_equal(tally.failed, 0);
	assert_true(tally.passed > 60);
}

static void identity_files_are_read_strictly(void **state)
{
	(void)state; /* no fixture of its own */
	struct tally tally = {0};
	age_identities_run("tests/fixtures/age/identities.json", &tally);
	tally_print(&tally);
	assert_int_equal(tally.failed, 0);
	assert_int_equal(tally.passed, 26);
}

static void a_bad_identity_is_named_by_line_and_not_shown(void **state)
{
	(void)state; /* no fixture of its own */
	auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
	struct error err;
	const char *text = "# mine\n" KEY_1 "\nAGE-SECRET-KEY-1TYPO\n";
	assert_false(age_identities_read(&identities, "key.txt", text, strlen(text), &err));
	assert_string_equal(err.message, "line 3 of 'key.txt' is no age identity");
	assert_null(strstr(err.hint, "TYPO"));
	assert_int_equal(identities.count, 0);
}

static void key_files_of_other_kinds_are_refused_by_name(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"age-encryption.org/v1\n-> scrypt", "passphrase-protected"},
		{"-----BEGIN AGE ENCRYPTED FILE-----\n", "passphrase-protected"},
		{"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "SSH or PEM key"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
		struct error err;
		assert_false(age_identities_read(
			&identities, "k", cases[i].text, strlen(cases[i].text), &err));
		assert_non_null(strstr(err.message, cases[i].says));
	}
}

static void recipients_of_other_kinds_are_refused_by_name(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"age1pq1wh32e7tj06nv3274us052xz76", "post-quantum"},
		{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@host", "SSH key"},
		{"age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t",
			"plugin 'yubikey'"},
		{KEY_1, "recipient is a secret key"},
		{"age168xljnplfv0hpdrwmn2dcmndx6wnpsysy0e66twyel5hv9zfqyvq8nequt",
			"is no age recipient"},
		{"", "is no age recipient"},
		{"AGE168XLJNPLFV0HPDRWMN2DCMNDX6WNPSYSY0E66TWYEL5HV9ZFQYVQ8NEQUS",
			"is no age recipient"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err;
		uint8_t key[AGE_KEY_SIZE];
		assert_false(age_recipient_parse(cases[i].text, key, &err));
		assert_non_null(strstr(err.message, cases[i].says));
		assert_null(strstr(err.message, "HQEXLF6"));
	}
}

static void keys_survive_their_text(void **state)
{
	(void)state; /* no fixture of its own */
	auto_age_identities struct age_identities made = AGE_IDENTITIES_INIT;
	auto_age_identities struct age_identities read = AGE_IDENTITIES_INIT;
	auto_buf struct buf text = BUF_INIT_SECRET(4096);
	char recipient[AGE_RECIPIENT_SIZE];
	uint8_t key[AGE_KEY_SIZE];
	struct error err;
	for (size_t i = 0; i < 20; i++) {
		age_identities_generate(&made);
		age_identity_format(&made.items[i], &text);
		buf_add_char(&text, '\n');
	}
	assert_true(age_identities_read(&read, "text", text.text, text.len, &err));
	assert_int_equal(read.count, 20);
	assert_memory_equal(read.items, made.items, 20 * sizeof(*made.items));
	age_recipient_format(made.items[7].recipient, recipient);
	assert_true(age_recipient_parse(recipient, key, &err));
	assert_memory_equal(key, made.items[7].recipient, AGE_KEY_SIZE);
}

static void check_round_trip(
	const struct age_identities *identities, const struct age_identities *others, size_t len)
{
	uint8_t keys[2][AGE_KEY_SIZE];
	auto_buf struct buf file = BUF_INIT(1 << 20), text = BUF_INIT(1 << 21);
	auto_buf struct buf out = BUF_INIT_SECRET(1 << 20), none = BUF_INIT(1 << 20);
	auto_free char *plain = mem_alloc(len);
	enum age_failure failure;
	struct error err;
	randombytes_buf(plain, len);
	memcpy(keys[0], others->items[0].recipient, AGE_KEY_SIZE);
	memcpy(keys[1], identities->items[0].recipient, AGE_KEY_SIZE);
	const struct age_recipients both = {keys, 2}, first = {keys, 1};
	assert_true(age_encrypt(&both, plain, len, &file, &err));
	age_armor_encode((const uint8_t *)file.text, file.len, &text);
	const struct age_file armored = {text.text, text.len, true};
	assert_true(age_decrypt(&armored, identities, &out, &failure, &err));
	assert_int_equal(out.len, len);
	assert_memory_equal(out.text, plain, len);
	assert_true(age_encrypt(&first, plain, len, &none, &err));
	const struct age_file binary = {none.text, none.len, false};
	assert_false(age_decrypt(&binary, identities, &out, &failure, &err));
	assert_int_equal(failure, AGE_NO_MATCH);
}

static void what_is_written_opens_again_and_only_for_its_recipients(void **state)
{
	(void)state; /* no fixture of its own */
	static const size_t sizes[] = {0, 1, 32, 47, 48, 65535, 65536, 65537, 131072, 200000};
	auto_age_identities struct age_identities ours = AGE_IDENTITIES_INIT;
	auto_age_identities struct age_identities others = AGE_IDENTITIES_INIT;
	age_identities_generate(&ours);
	age_identities_generate(&others);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		check_round_trip(&ours, &others, sizes[i]);
}

static void a_file_for_several_opens_for_each_of_them(void **state)
{
	(void)state; /* no fixture of its own */
	static const char *const ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoq"
				       "KLsabgH5C9okWi0dh2l9GKJl other";
	struct error err;
	enum age_failure failure;
	auto_strlist struct strlist recipients = STRLIST_INIT;
	auto_buf struct buf plain = BUF_INIT(100), sealed = BUF_INIT(10000);
	buf_add_str(&plain, "for both");
	assert_false(age_encrypt_to_all(&recipients, &plain, &sealed, &err));
	auto_age_identities struct age_identities first = AGE_IDENTITIES_INIT;
	auto_age_identities struct age_identities second = AGE_IDENTITIES_INIT;
	struct age_identities *both[] = {&first, &second};
	strlist_add(&recipients, ssh);
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		char text[AGE_RECIPIENT_SIZE];
		age_identities_generate(both[i]);
		strlist_add(&recipients, age_recipient_format(both[i]->items[0].recipient, text));
	}
	assert_true(age_encrypt_to_all(&recipients, &plain, &sealed, &err));
	const struct age_file file = {sealed.text, sealed.len, false};
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		auto_buf struct buf out = BUF_INIT_SECRET(10000);
		assert_true(age_decrypt(&file, both[i], &out, &failure, &err));
		assert_string_equal(out.text, "for both");
	}
	strlist_add(&recipients, "nobody");
	assert_false(age_encrypt_to_all(&recipients, &plain, &sealed, &err));
	assert_non_null(strstr(err.message, "'nobody'"));
}

static void a_change_of_any_byte_is_noticed(void **state)
{
	(void)state; /* no fixture of its own */
	auto_age_identities struct age_identities ours = AGE_IDENTITIES_INIT;
	auto_buf struct buf file = BUF_INIT(4096);
	uint8_t key[1][AGE_KEY_SIZE];
	struct error err;
	age_identities_generate(&ours);
	memcpy(key[0], ours.items[0].recipient, AGE_KEY_SIZE);
	const struct age_recipients to = {key, 1};
	assert_true(age_encrypt(&to, "attack at dawn", 14, &file, &err));
	for (size_t i = 0; i < file.len; i++) {
		auto_buf struct buf out = BUF_INIT_SECRET(4096);
		enum age_failure failure;
		const struct age_file whole = {file.text, file.len, false};
		const struct age_file cut = {file.text, i, false};
		file.text[i] ^= 1;
		assert_false(age_decrypt(&whole, &ours, &out, &failure, &err));
		assert_int_equal(out.len, 0);
		file.text[i] ^= 1;
		assert_false(age_decrypt(&cut, &ours, &out, &failure, &err));
	}
}

static void add_grease(struct buf *header, size_t count)
{
	for (size_t i = 0; i < count; i++)
		age_header_add(header, "x-grease", (const uint8_t *)"abc", 3);
	buf_add_str(header, "--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n");
}

static void the_header_limits_are_what_they_say(void **state)
{
	(void)state; /* no fixture of its own */
	for (size_t over = 0; over < 2; over++) {
		auto_buf struct buf text = BUF_INIT(AGE_MAX_HEADER * 2);
		auto_age_header struct age_header header = {0};
		struct error err;
		add_grease(&text, AGE_MAX_STANZAS + over);
		assert_int_equal(age_header_parse(text.text, text.len, &header, &err), !over);
		if (over)
			assert_non_null(strstr(err.message, "limit of 1000 stanzas"));
	}
	auto_buf struct buf text = BUF_INIT(AGE_MAX_HEADER * 2);
	auto_age_header struct age_header header = {0};
	auto_free uint8_t *body = mem_zero(1, AGE_MAX_HEADER);
	struct error err;
	age_header_add(&text, "x", body, AGE_MAX_HEADER * 3 / 4);
	add_grease(&text, 1);
	assert_false(age_header_parse(text.text, text.len, &header, &err));
	assert_non_null(strstr(err.message, "limit of 256 KiB"));
}

static void a_low_order_recipient_is_refused(void **state)
{
	(void)state; /* no fixture of its own */
	auto_buf struct buf file = BUF_INIT(4096);
	uint8_t key[1][AGE_KEY_SIZE] = {{0}};
	struct error err;
	const struct age_recipients low = {key, 1}, none = {key, 0};
	assert_false(age_encrypt(&low, "x", 1, &file, &err));
	assert_false(age_encrypt(&none, "x", 1, &file, &err));
	assert_int_equal(file.len, 0);
}

static void bech32_refuses_what_bip_173_refuses(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		const char *text;
		bool ok;
	} cases[] = {
		{"A12UEL5L", true},
		{"a12uel5l", true},
		{"abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", true},
		{"A12uEL5L", false},
		{"a12uel5m", false},
		{"1nwldj5", false},
		{"pzry9x0s0muk", false},
		{"li1dgmt3", false},
		{"de1lg7wt\xff", false},
		{"x1b4n0q5v", false},
		{"", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf struct buf hrp = BUF_INIT(100), data = BUF_INIT(100);
		assert_int_equal(bech32_decode(cases[i].text, strlen(cases[i].text), &hrp, &data),
			cases[i].ok);
		assert_true(cases[i].ok || (!hrp.len && !data.len));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_made_for_us_end_as_they_say),
		cmocka_unit_test(vectors_of_cctv_end_as_they_say),
		cmocka_unit_test(identity_files_are_read_strictly),
		cmocka_unit_test(a_bad_identity_is_named_by_line_and_not_shown),
		cmocka_unit_test(key_files_of_other_kinds_are_refused_by_name),
		cmocka_unit_test(recipients_of_other_kinds_are_refused_by_name),
		cmocka_unit_test(keys_survive_their_text),
		cmocka_unit_test(what_is_written_opens_again_and_only_for_its_recipients),
		cmocka_unit_test(a_file_for_several_opens_for_each_of_them),
		cmocka_unit_test(a_change_of_any_byte_is_noticed),
		cmocka_unit_test(the_header_limits_are_what_they_say),
		cmocka_unit_test(a_low_order_recipient_is_refused),
		cmocka_unit_test(bech32_refuses_what_bip_173_refuses),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
