/* Any bytes as ASCII armor: what is read is, armored again, the same, and is no longer than what
 * stood there. */
#include "reconcile/secrets/age_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf bytes = BUF_INIT(size), again = BUF_INIT(size * 2 + 200);
	auto_buf struct buf back = BUF_INIT(size);
	struct error err = {.message = ""};
	if (!age_armor_decode((const char *)data, size, &bytes, &err)) {
		if (!*err.message)
			abort();
		return 0;
	}
	if (buf_overflowed(&bytes))
		abort();
	age_armor_encode((const uint8_t *)bytes.text, bytes.len, &again);
	if (!age_armor_decode(again.text, again.len, &back, &err) || back.len != bytes.len ||
		(back.len && memcmp(back.text, bytes.text, back.len) != 0))
		abort();
	return 0;
}
