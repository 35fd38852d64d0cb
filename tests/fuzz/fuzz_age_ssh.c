/* Any bytes as a private SSH key, as a public one, and as what an age file is for: no crash, and
 * what is read opens what is written for it. */
#include "reconcile/secrets/age_ssh.h"
#include <sodium.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool ask(void *data, const char *source, struct buf *out, struct error *err)
{
	(void)data;   /* nothing is asked */
	(void)source; /* one key */
	(void)err;    /* cannot fail */
	buf_add_str(out, "passphrase");
	return true;
}

/* The public half of a key that was read is a recipient, and the key opens its files. */
static void check_key(const struct age_source *source, const struct age_ssh_key *key)
{
	auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
	auto_buf struct buf line = BUF_INIT(AGE_SSH_MAX_LINE), file = BUF_INIT(1 << 16);
	auto_buf struct buf plain = BUF_INIT_SECRET(100);
	enum age_failure failure;
	struct error err;
	age_ssh_key_format(key, &line);
	if (!age_encrypt_to(line.text, "x", 1, &file, &err))
		return; /* numbers that are no key: libcrypto finds out only now */
	const struct age_file made = {file.text, file.len, false};
	bool taken = age_identities_add(&identities, source, &err);
	if (!taken && strncmp(source->text, "-----BEGIN AGE", 14) != 0 &&
		strncmp(source->text, "age-encryption", 14) != 0)
		abort(); /* what starts as an encrypted key file is one, whatever follows */
	bool opens = age_decrypt(&made, &identities, &plain, &failure, &err);
	if (opens && (plain.len != 1 || plain.text[0] != 'x'))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct age_ask asking = {ask, NULL};
	auto_age_ssh_key struct age_ssh_key *key = NULL, *other = NULL;
	auto_free char *line = mem_dup(data, size);
	const struct age_source source = {"input", line, size, &asking};
	struct error err = {.message = ""};
	if (sodium_init() < 0)
		abort();
	if (age_ssh_private_parse(&source, &key, &err))
		check_key(&source, key);
	else if (!*err.message)
		abort();
	if (!age_ssh_public_parse(line, &other, &err) && !*err.message)
		abort();
	return 0;
}
