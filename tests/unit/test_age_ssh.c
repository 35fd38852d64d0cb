/* SSH keys and passphrases: keys of ssh-keygen and openssl open what was written for them. */
#include "base/exec.h"
#include "base/fs.h"
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/age_ssh.h"
#include "reconcile/secrets/keyring.h"
#include "tests/lib/fixture.h"
#include <setjmp.h>
#include <sodium.h>
#include <unistd.h>

#include <cmocka.h>

#define PASSPHRASE "correct horse"
#define TEXT       "attack at dawn"

static bool say(void *data, const char *source, struct buf *out, struct error *err)
{
	(void)source; /* one key at a time */
	(void)err;    /* never fails */
	buf_add_str(out, data);
	return true;
}

static const struct age_ask right = {say, (char *)PASSPHRASE}, wrong = {say, (char *)"wrong"};

/* Runs a program in a new folder; false: it is not here. */
static bool run(char **folder, const char *const *argv)
{
	struct error err;
	if (!*folder && !fs_scratch(NULL, "age-ssh", folder, &err))
		fail_msg("%s", err.message);
	struct exec_request request = EXEC_REQUEST_INIT;
	request.argv = argv;
	request.environ_ = (const char *const *)environ;
	request.folder = *folder;
	struct exec_result result;
	if (!exec_run(&request, &result, &err))
		return false;
	bool ok = result.exit_status == 0;
	exec_result_clear(&result);
	return ok;
}

static void remove_folder(char **folder)
{
	struct error err;
	if (*folder && !fs_remove_tree(*folder, &err))
		fail_msg("%s", err.message);
	free(*folder);
}

static bool open_with(
	const struct buf *key, const struct age_ask *ask, const struct buf *file, struct error *err)
{
	auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
	auto_buf struct buf plain = BUF_INIT_SECRET(4096);
	const struct age_source source = {"id", key->text, key->len, ask};
	const struct age_file age = {file->text, file->len, false};
	enum age_failure failure;
	if (!age_identities_add(&identities, &source, err) ||
		!age_decrypt(&age, &identities, &plain, &failure, err))
		return false;
	assert_string_equal(plain.text, TEXT);
	return true;
}

/* The key's file in @p folder opens what is written for its public half. */
static void check_key(const char *folder, const char *name, bool locked)
{
	auto_free char *path = mem_printf("%s/%s", folder, name);
	auto_free char *public_path = mem_printf("%s/id.pub", folder);
	auto_buf struct buf key = fixture_read(path), line = fixture_read(public_path);
	auto_buf struct buf file = BUF_INIT(1 << 16);
	struct error err = {.message = ""};
	assert_true(age_recipient_check(line.text, &err));
	assert_true(age_encrypt_to(line.text, TEXT, strlen(TEXT), &file, &err));
	if (!open_with(&key, &right, &file, &err))
		fail_msg("%s: %s", name, err.message);
	assert_int_equal(open_with(&key, NULL, &file, &err), !locked);
	if (!locked)
		return;
	assert_non_null(strstr(err.message, "is passphrase-protected"));
	assert_false(open_with(&key, &wrong, &file, &err));
	assert_string_equal(err.message, "passphrase does not open SSH key 'id'");
}

static void keys_of_ssh_keygen_open_with_and_without_passphrase(void **state)
{
	(void)state; /* no fixture of its own */
	static const char *const kinds[][2] = {{"ed25519", "256"}, {"rsa", "2048"}};
	static const char *const passphrases[] = {"", PASSPHRASE};
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		for (size_t k = 0; k < ARRAY_LEN(passphrases); k++) {
			CLEANUP(remove_folder) char *folder = NULL;
			const char *const argv[] = {"ssh-keygen", "-q", "-t", kinds[i][0], "-b",
				kinds[i][1], "-N", passphrases[k], "-C", "me@host", "-f", "id",
				NULL};
			if (!run(&folder, argv)) {
				print_message("skipped: no ssh-keygen\n");
				skip();
			}
			check_key(folder, "id", *passphrases[k]);
		}
	}
}

static void keys_in_pem_form_open_with_and_without_passphrase(void **state)
{
	(void)state; /* no fixture of its own */
	static const char *const formats[] = {"PEM", "PKCS8"};
	for (size_t i = 0; i < ARRAY_LEN(formats) * 2; i++) {
		CLEANUP(remove_folder) char *folder = NULL;
		const char *passphrase = i % 2 ? PASSPHRASE : "";
		const char *const argv[] = {"ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m",
			formats[i / 2], "-N", passphrase, "-f", "id", NULL};
		if (!run(&folder, argv)) {
			print_message("skipped: no ssh-keygen\n");
			skip();
		}
		check_key(folder, "id", i % 2);
	}
}

static void an_ed25519_key_of_openssl_is_read(void **state)
{
	(void)state; /* no fixture of its own */
	CLEANUP(remove_folder) char *folder = NULL;
	const char *const argv[] = {
		"openssl", "genpkey", "-algorithm", "ed25519", "-out", "id", NULL};
	auto_strlist struct strlist recipients = STRLIST_INIT;
	auto_keyring struct keyring *keyring = NULL;
	auto_buf struct buf file = BUF_INIT(1 << 16);
	struct error err;
	if (!run(&folder, argv)) {
		print_message("skipped: no openssl\n");
		skip();
	}
	auto_free char *path = mem_printf("%s/id", folder);
	auto_buf struct buf key = fixture_read(path);
	assert_true(keyring_read("id", key.text, key.len, &keyring, &err));
	keyring_recipients(keyring, &recipients);
	assert_int_equal(recipients.count, 1);
	assert_true(age_encrypt_to(recipients.items[0], TEXT, strlen(TEXT), &file, &err));
	assert_true(open_with(&key, NULL, &file, &err));
}

static void ssh_recipients_that_cannot_be_used_are_refused_by_name(void **state)
{
	(void)state; /* no fixture of its own */
	static const struct {
		const char *line, *says;
	} cases[] = {
		{"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY= x",
			"type 'ecdsa-sha2-nistp256'"},
		{"sk-ssh-ed25519@openssh.com AAAA x", "type 'sk-ssh-ed25519@openssh.com'"},
		{"ssh-ed25519-cert-v01@openssh.com AAAA x", "ssh-ed25519-cert-v01@openssh.com"},
		{"ssh-dss AAAA", "type 'ssh-dss'"},
		{"ssh-ed25519 AAAA x", "no SSH key of type ssh-ed25519"},
		{"ssh-ed25519", "no SSH key of type ssh-ed25519"},
		{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
			"no SSH key of type ssh-ed25519"},
		{"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQE= x", "2048 to 16384 bits"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {.message = ""};
		assert_false(age_recipient_check(cases[i].line, &err));
		if (!strstr(err.message, cases[i].says))
			fail_msg("%s: %s", cases[i].line, err.message);
	}
}

static void private_keys_that_do_not_parse_are_refused(void **state)
{
	(void)state; /* no fixture of its own */
	static const char *const texts[] = {
		"-----BEGIN OPENSSH PRIVATE KEY-----\n",
		"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
		("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\n"
		 "-----END OPENSSH PRIVATE KEY-----\n"),
		"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
		"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
		struct error err;
		assert_false(
			age_identities_read(&identities, "id", texts[i], strlen(texts[i]), &err));
		assert_non_null(strstr(err.message, "'id' is an SSH or PEM key"));
	}
}

static void a_key_file_with_a_passphrase_opens_when_it_may_ask(void **state)
{
	(void)state; /* no fixture of its own */
	auto_free char *path = fixture_shared("sops/upstream/data-keys/identity-scrypt.age");
	if (!path) {
		print_message("skipped: no shared fixtures\n");
		skip();
	}
	auto_free char *pass_path =
		fixture_shared("sops/upstream/data-keys/identity-scrypt.passphrase");
	auto_buf struct buf key = fixture_read(path);
	auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
	auto_buf struct buf pass = fixture_read(pass_path ? pass_path : path);
	struct error err;
	if (pass.len && pass.text[pass.len - 1] == '\n')
		buf_truncate(&pass, pass.len - 1);
	const struct age_ask ask = {say, pass.text};
	struct age_source source = {"keys.txt", key.text, key.len, NULL};
	assert_false(age_identities_add(&identities, &source, &err));
	assert_string_equal(err.message, "key file 'keys.txt' is passphrase-protected");
	source.ask = &wrong;
	assert_false(age_identities_add(&identities, &source, &err));
	assert_string_equal(err.message, "key file 'keys.txt': the passphrase does not open it");
	source.ask = &ask;
	assert_true(age_identities_add(&identities, &source, &err));
	assert_int_equal(age_identities_count(&identities), 1);
}

/* Text before the key is passed over, as by ssh itself: here it makes the file as large as it may
 * be, and one byte larger. */
static void a_key_file_has_a_greatest_size(void **state)
{
	(void)state; /* no fixture of its own */
	static const char *const files[] = {"ssh-ed25519", "ssh-rsa", "rsa-pkcs1", "ed25519-pkcs8"};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_free char *path = mem_printf("tests/fuzz/corpus/age_ssh/%s", files[i]);
		auto_buf struct buf key = fixture_read(path);
		for (size_t over = 0; over < 2; over++) {
			auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
			auto_buf struct buf text = BUF_INIT(AGE_SSH_MAX_FILE + 1);
			struct error err = {.message = ""};
			while (text.len + key.len + 1 < AGE_SSH_MAX_FILE + over)
				buf_add_char(&text, text.len % 64 == 63 ? '\n' : 'x');
			buf_add_char(&text, '\n');
			buf_add(&text, key.text, key.len);
			const struct age_source source = {"id", text.text, text.len, NULL};
			assert_int_equal(text.len, AGE_SSH_MAX_FILE + over);
			if (age_identities_add(&identities, &source, &err) != !over)
				fail_msg("%s +%zu: %s", files[i], over, err.message);
			if (over)
				assert_string_equal(err.message,
					"SSH key 'id' is larger than the limit of 64 KiB");
		}
	}
}

/* A line of comment makes the file as large as it may be, and one byte larger. */
static void an_identity_file_has_a_greatest_size(void **state)
{
	(void)state; /* no fixture of its own */
	auto_keyring struct keyring *keyring = keyring_generate();
	auto_buf struct buf key = BUF_INIT_SECRET(1024);
	keyring_write(keyring, &key);
	auto_free char *filler = mem_alloc(AGE_MAX_KEY_FILE + 1);
	memset(filler, '#', AGE_MAX_KEY_FILE + 1);
	for (size_t over = 0; over < 2; over++) {
		auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
		auto_buf struct buf text = BUF_INIT(AGE_MAX_KEY_FILE + 1);
		struct error err = {.message = ""};
		buf_add(&text, key.text, key.len);
		buf_add(&text, filler, AGE_MAX_KEY_FILE + over - key.len);
		const struct age_source source = {"keys", text.text, text.len, NULL};
		assert_int_equal(age_identities_add(&identities, &source, &err), !over);
		if (over)
			assert_non_null(strstr(err.message, "limit of 16 MiB"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_of_ssh_keygen_open_with_and_without_passphrase),
		cmocka_unit_test(keys_in_pem_form_open_with_and_without_passphrase),
		cmocka_unit_test(an_ed25519_key_of_openssl_is_read),
		cmocka_unit_test(ssh_recipients_that_cannot_be_used_are_refused_by_name),
		cmocka_unit_test(private_keys_that_do_not_parse_are_refused),
		cmocka_unit_test(a_key_file_with_a_passphrase_opens_when_it_may_ask),
		cmocka_unit_test(a_key_file_has_a_greatest_size),
		cmocka_unit_test(an_identity_file_has_a_greatest_size),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
