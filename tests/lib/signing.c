#include "tests/lib/signing.h"
#include "base/exec.h"
#include "base/fs.h"
#include "tests/lib/gitrepo.h"

/* Not cmocka's asserts: tools that are no unit tests link this file too. */
static void must(bool fine, const char *what, const struct error *err)
{
	if (fine)
		return;
	fprintf(stderr, "signing: %s: %s %s\n", what, err ? err->where : "",
		err ? err->message : "");
	abort();
}

int signing_run(const char *folder, const char *const *argv, const char *input)
{
	static const char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C",
		"TZ=UTC", "HOME=/nonexistent", NULL};
	struct exec_request request = EXEC_REQUEST_INIT;
	struct exec_result result;
	struct error err;
	request.argv = argv;
	request.environ_ = environment;
	request.folder = folder;
	request.input = input;
	request.input_len = input ? strlen(input) : 0;
	if (!exec_run(&request, &result, &err))
		return -1;
	int status = result.exit_status;
	exec_result_clear(&result);
	return status;
}

static void make_key(const char *folder, const char *name, const char *type)
{
	const char *const argv[] = {
		"ssh-keygen", "-q", "-t", type, "-N", "", "-C", "someone", "-f", name, NULL};
	must(signing_run(folder, argv, NULL) == 0, name, NULL);
}

char *signing_set_up(void)
{
	static const char *const argv[] = {"ssh-keygen", "-?", NULL};
	char *folder = gitrepo_scratch();
	if (signing_run(folder, argv, NULL) < 0) {
		gitrepo_remove(folder);
		return NULL;
	}
	make_key(folder, "eva", "ed25519");
	make_key(folder, "bob", "ed25519");
	make_key(folder, "rsa", "rsa");
	make_key(folder, "ecdsa", "ecdsa");
	return folder;
}

void signing_make(const char *folder, const char *name, const char *const key_purpose_option[3])
{
	const char *const argv[] = {"ssh-keygen", "-q", "-Y", "sign", "-f", key_purpose_option[0],
		"-n", key_purpose_option[1], "-O", key_purpose_option[2], name, NULL};
	gitrepo_write(folder, name, SIGNING_MESSAGE);
	must(signing_run(folder, argv, NULL) == 0, name, NULL);
}

char *signing_read(const char *folder, const char *name)
{
	auto_free char *path = mem_printf("%s/%s", folder, name);
	auto_buf struct buf text = BUF_INIT(1 << 20);
	struct error err;
	must(fs_read(path, text.limit, &text, &err), path, &err);
	return buf_steal(&text);
}

char *signing_with_keys(const char *folder, const char *text)
{
	static const char *const names[][2] = {
		{"EVA", "eva.pub"}, {"BOB", "bob.pub"}, {"RSA", "rsa.pub"}, {"ECDSA", "ecdsa.pub"}};
	auto_buf struct buf out = BUF_INIT(1 << 16);
	while (*text) {
		size_t taken = 0;
		for (size_t i = 0; i < ARRAY_LEN(names) && !taken; i++) {
			size_t len = strlen(names[i][0]);
			if (strncmp(text, names[i][0], len) != 0)
				continue;
			auto_free char *key = signing_read(folder, names[i][1]);
			key[strcspn(key, "\n")] = '\0';
			buf_add_str(&out, key);
			taken = len;
		}
		if (!taken)
			buf_add_char(&out, *text);
		text += taken ? taken : 1;
	}
	return buf_steal(&out);
}

struct signers *signing_list(const char *folder, const char *text)
{
	struct signers *signers = NULL;
	struct error err;
	auto_free char *whole = signing_with_keys(folder, text);
	must(signers_parse("who", whole, strlen(whole), &signers, &err), whole, &err);
	return signers;
}
