/* Any bytes as an identity file, and as a recipient: all of it is taken or nothing; what is taken
 * is, written again, the same keys; no message holds a line of it. */
#include "reconcile/secrets/age.h"
#include <sodium.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Neither in a message: a key that stood in the text, in either case. */
static void check_message(const struct error *err)
{
	if (!*err->message || strcasestr(err->message, "AGE-SECRET-KEY"))
		abort();
}

static void check_written(const struct age_identities *identities)
{
	auto_age_identities struct age_identities again = AGE_IDENTITIES_INIT;
	auto_buf struct buf text = BUF_INIT_SECRET(AGE_MAX_KEY_FILE);
	struct error err;
	for (size_t i = 0; i < identities->count; i++) {
		age_identity_format(&identities->items[i], &text);
		buf_add_char(&text, '\n');
	}
	if (!age_identities_read(&again, "written", text.text ? text.text : "", text.len, &err) ||
		again.count != identities->count)
		abort();
	for (size_t i = 0; i < again.count; i++)
		if (memcmp(again.items[i].secret, identities->items[i].secret, AGE_KEY_SIZE) != 0)
			abort();
}

static void check_recipient(const char *line)
{
	uint8_t recipient[AGE_KEY_SIZE];
	char text[AGE_RECIPIENT_SIZE];
	struct error err = {.message = ""};
	if (!age_recipient_parse(line, recipient, &err)) {
		if (!*err.message)
			abort();
		return;
	}
	const char *written = age_recipient_format(recipient, text);
	if (!strstr(line, written))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_age_identities struct age_identities identities = AGE_IDENTITIES_INIT;
	auto_free char *line = mem_dup(data, size);
	const struct age_source source = {"input", (const char *)data, size, NULL};
	struct error err = {.message = ""};
	if (sodium_init() < 0)
		abort();
	if (age_identities_add(&identities, &source, &err)) {
		check_written(&identities);
	} else {
		check_message(&err);
		if (age_identities_count(&identities))
			abort();
	}
	check_recipient(line);
	return 0;
}
