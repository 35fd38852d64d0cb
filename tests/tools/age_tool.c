/* age_tool encrypt RECIPIENT IN OUT | decrypt KEY_FILE IN OUT: an age file of any size, as `age`
 * does it; for figures beside those of age */
#include "base/fs.h"
#include "reconcile/secrets/age_flow.h"
#include "reconcile/secrets/keyring.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

struct files {
	int in, out;
};

static ssize_t read_some(void *data, void *out, size_t size, struct error *err)
{
	const struct files *files = data;
	ssize_t got = read(files->in, out, size);
	if (got < 0)
		error_errno(err, errno, "cannot read");
	return got;
}

static bool write_all(void *data, const void *bytes, size_t len, struct error *err)
{
	const struct files *files = data;
	for (size_t at = 0; at < len;) {
		ssize_t wrote = write(files->out, (const char *)bytes + at, len - at);
		if (wrote < 0)
			return error_errno(err, errno, "cannot write");
		at += (size_t)wrote;
	}
	return true;
}

static bool encrypt(const char *recipient, const struct age_flow *flow, struct error *err)
{
	uint8_t keys[1][AGE_KEY_SIZE];
	const struct age_recipients to = {.keys = keys, .count = 1};
	return age_recipient_parse(recipient, keys[0], err) && age_flow_encrypt(&to, flow, err);
}

static bool decrypt(const char *key_file, const struct age_flow *flow, struct error *err)
{
	auto_keyring struct keyring *keyring = NULL;
	enum age_failure failure;
	return keyring_load(key_file, &keyring, err) &&
	       age_flow_decrypt(keyring_identities(keyring), flow, &failure, err);
}

int main(int argc, char **argv)
{
	struct error err;
	if (argc != 5 || sodium_init() < 0)
		return 2;
	struct files files = {open(argv[3], O_RDONLY | O_CLOEXEC),
		open(argv[4], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
	const struct age_flow flow = {read_some, write_all, &files};
	if (files.in < 0 || files.out < 0)
		return 2;
	if (strcmp(argv[1], "encrypt") == 0 ? encrypt(argv[2], &flow, &err)
					    : decrypt(argv[2], &flow, &err))
		return close(files.out) == 0 ? 0 : 1;
	fprintf(stderr, "%s\n", err.message);
	return 1;
}
