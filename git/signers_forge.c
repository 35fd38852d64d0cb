/* Signatures that a forge puts under the merges it makes: OpenPGP, verified by gpgv(1). */
#include "base/exec.h"
#include "base/fs.h"
#include "git/signers_list.h"
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define GPGV_MS 20000 /* gpgv needs 10 ms */
#define STATUS  "[GNUPG:] "

/* How many status lines of this keyword are there? @param rest_out  what follows in the last one */
static size_t count_status(const char *output, const char *keyword, const char **rest_out)
{
	size_t found = 0, width = strlen(keyword);
	for (const char *line = output; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, STATUS, strlen(STATUS)) != 0)
			continue;
		const char *word = line + strlen(STATUS);
		if (strncmp(word, keyword, width) != 0 || word[width] != ' ')
			continue;
		found++;
		*rest_out = word + width + 1;
	}
	return found;
}

/* gpgv's status lines; doc/DETAILS of GnuPG. Exactly one signature, and that one good. */
static bool judge(
	const struct exec_result *result, const char *keyring, char *signer, struct error *err)
{
	const char *rest = "", *unused = "";
	if (count_status(result->output.text, "EXPKEYSIG", &unused) ||
		count_status(result->output.text, "EXPSIG", &unused))
		return error_set(err, ERR_AUTH,
			"the forge's OpenPGP key, or its signature, has "
			"expired");
	if (count_status(result->output.text, "REVKEYSIG", &unused))
		return error_set(err, ERR_AUTH, "the forge's OpenPGP key is revoked");
	if (count_status(result->output.text, "NO_PUBKEY", &unused)) {
		(void)error_set(err, ERR_AUTH, "its OpenPGP key is not in '%s'", keyring);
		return error_hint(err, "if it is your forge's, add it: gpg --dearmor < KEY.asc");
	}
	if (result->exit_status || result->signal ||
		count_status(result->output.text, "NEWSIG", &unused) > 1 ||
		count_status(result->output.text, "VALIDSIG", &unused) != 1 ||
		count_status(result->output.text, "GOODSIG", &rest) != 1)
		return error_set(err, ERR_AUTH, "its OpenPGP signature is bad");
	rest += strcspn(rest, " \n"); /* GOODSIG <key id> <user id> */
	rest += *rest == ' ';
	auto_buf struct buf name = BUF_INIT(SIGNER_TEXT - 1);
	buf_add_str(&name, "forge:");
	buf_add_clean(&name, rest, strcspn(rest, "\n"));
	(void)snprintf(signer, SIGNER_TEXT, "%s", name.text);
	return true;
}

static bool run_gpgv(const char *keyring, int fd, const struct span *bytes,
	struct exec_result *result_out, struct error *err)
{
	struct exec_request request = EXEC_REQUEST_INIT;
	char path[32];
	(void)snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	const char *const argv[] = {
		"gpgv", "--status-fd", "1", "--keyring", keyring, path, "-", NULL};
	const char *const environment[] = {
		"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "HOME=/nonexistent", NULL};
	request.argv = argv;
	request.environ_ = environment;
	request.input = bytes->at;
	request.input_len = bytes->len;
	request.timeout_ms = GPGV_MS;
	request.keep_fd = fd;
	if (exec_run(&request, result_out, err))
		return true;
	(void)error_hint(err, "install gpgv, or take 'forge_keyring_file' out");
	return false;
}

bool signers_check_forge(
	const char *keyring, const struct signed_text *text, char *signer, struct error *err)
{
	/* exec keeps it open in the child, under the same number */
	auto_fd int fd = memfd_create("signature", MFD_CLOEXEC);
	struct exec_result result;
	if (fd < 0)
		return error_errno(err, errno, "memory file");
	ssize_t written = write(fd, text->armor.at, text->armor.len);
	if (written < 0 || (size_t)written != text->armor.len)
		return error_errno(err, errno, "memory file");
	if (!run_gpgv(keyring, fd, &text->bytes, &result, err))
		return false;
	bool good = false;
	if (result.timed_out)
		(void)error_set(err, ERR_TIMEOUT, "gpgv did not end by itself");
	else
		good = judge(&result, keyring, signer, err);
	exec_result_clear(&result);
	return good;
}
