/* Any bytes as the header of an age file: what is read is, written again, the same bytes, as the
 * format has one form only. */
#include "reconcile/secrets/age_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_written(const struct age_header *header, const char *text)
{
	const char *at = text;
	auto_buf struct buf again = BUF_INIT(header->mac_covers + 1);
	buf_add_str(&again, "age-encryption.org/v1\n");
	for (size_t i = 0; i < header->count; i++) {
		const struct age_stanza *stanza = &header->stanzas[i];
		/* arguments past the first few are only counted: they are taken from the text */
		at = memmem(at, (size_t)(text + header->mac_covers - at), "-> ", 3);
		if (!at || stanza->arg_count == 0)
			abort();
		const char *stop = memchr(at, '\n', (size_t)(text + header->mac_covers - at));
		auto_free char *args = mem_dup(at + 3, (size_t)(stop - at - 3));
		if (strlen(args) < stanza->args[0].len)
			abort();
		age_header_add(&again, args, (const uint8_t *)header->bodies.text + stanza->body_at,
			stanza->body_len);
		at = stop;
	}
	buf_add_str(&again, "---");
	if (again.len != header->mac_covers || memcmp(again.text, text, again.len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_age_header struct age_header header = {0};
	struct error err = {.message = ""};
	if (!age_header_parse((const char *)data, size, &header, &err)) {
		if (!*err.message)
			abort();
		return 0;
	}
	if (header.size > size || header.mac_covers >= header.size ||
		header.count > AGE_MAX_STANZAS || header.size > AGE_MAX_HEADER)
		abort();
	check_written(&header, (const char *)data);
	return 0;
}
