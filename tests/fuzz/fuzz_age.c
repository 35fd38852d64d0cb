/* Any bytes as an age file, as armor, as a key file, as a recipient: no crash, nothing handed out
 * without its tag. */
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/age_format.h"
#include <sodium.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Test key of tests/fixtures/age/made, so that the corpus opens. */
static const char key[] =
	"AGE-SECRET-KEY-1HQEXLF6AWMA768F58GQF7LJ2JP7FU2HZQ2XNH8RHKVDL7FJMYY0S43K805";

static void read_as_keys(const char *text, size_t size)
{
	auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
	auto_free char *line = mem_dup(text, size);
	uint8_t recipient[AGE_KEY_SIZE];
	struct error err;
	if (!age_identities_read(&identities, "input", text, size, &err) && identities.count)
		abort();
	if (age_recipient_parse(line, recipient, &err) && strncmp(line, "AGE-", 4) == 0)
		abort();
}

static void check_armor(const char *text, size_t size)
{
	auto_buf struct buf bytes = BUF_INIT(size), again = BUF_INIT(size * 2 + 200);
	auto_buf struct buf back = BUF_INIT(size);
	struct error err;
	if (!age_armor_decode(text, size, &bytes, &err))
		return;
	age_armor_encode((const uint8_t *)bytes.text, bytes.len, &again);
	if (!age_armor_decode(again.text, again.len, &back, &err) || back.len != bytes.len ||
		memcmp(back.text, bytes.text, back.len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
	auto_buf struct buf out = BUF_INIT_SECRET(size), other = BUF_INIT_SECRET(size);
	const char *text = (const char *)data;
	const struct age_file binary = {data, size, false}, armored = {data, size, true};
	enum age_failure failure;
	struct error err;
	if (sodium_init() < 0 || !age_identities_read(&identities, "key", key, strlen(key), &err))
		abort();
	if (age_decrypt(&binary, &identities, &out, &failure, &err) != (failure == AGE_OK) ||
		(out.len && failure != AGE_OK && failure != AGE_PAYLOAD))
		abort();
	if (age_decrypt(&armored, &identities, &other, &failure, &err) != (failure == AGE_OK))
		abort();
	check_armor(text, size);
	read_as_keys(text, size);
	return 0;
}
